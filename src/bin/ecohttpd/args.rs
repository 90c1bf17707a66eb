//! The command line: uhttpd's letters, each with a long name.

mod help;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf, absolute};

use lexopt::prelude::*;

use crate::access::{Destination, Format};
use crate::address::Address;
use crate::report::Report;
use crate::site::check_interpreter;
use crate::url;
use crate::user::User;
pub(crate) use help::HELP;

/// The configuration file that is read if it is there.
const CONFIG: &str = "/etc/httpd.conf";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) http: Vec<Address>,
    pub(crate) https: Vec<Address>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) ciphers: Option<String>,
    pub(crate) redirect_https: bool,
    pub(crate) redirect_status: u16,
    /// Names and where they are.
    pub(crate) redirect_hosts: Vec<(String, String)>,
    pub(crate) tcp_keepalive: u32,
    pub(crate) home: PathBuf,
    pub(crate) index: Vec<String>,
    pub(crate) error_page: Option<String>,
    pub(crate) no_symlinks: bool,
    pub(crate) no_dirlists: bool,
    pub(crate) charset: String,
    pub(crate) json_scripts: Vec<PathBuf>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) gzip: bool,
    pub(crate) cgi_prefix: String,
    pub(crate) interpreters: Vec<(String, PathBuf)>,
    /// Paths and what they are below of.
    pub(crate) aliases: Vec<(String, Option<String>)>,
    pub(crate) script_timeout: u32,
    pub(crate) max_requests: usize,
    pub(crate) spool_limit: u64,
    pub(crate) config: Option<PathBuf>,
    pub(crate) realm: String,
    pub(crate) rfc1918_filter: bool,
    pub(crate) max_connections: usize,
    pub(crate) network_timeout: u32,
    pub(crate) http_keepalive: u32,
    pub(crate) user: Option<User>,
    pub(crate) foreground: bool,
    pub(crate) access_log: Option<Destination>,
    pub(crate) log_format: Format,
    pub(crate) check: bool,
}

impl Default for Args {
    fn default() -> Self {
        Args {
            http: Vec::new(),
            https: Vec::new(),
            cert: None,
            key: None,
            ciphers: None,
            redirect_https: false,
            redirect_status: 307,
            redirect_hosts: Vec::new(),
            tcp_keepalive: 0,
            home: ".".into(),
            index: Vec::new(),
            error_page: None,
            no_symlinks: false,
            no_dirlists: false,
            charset: "UTF-8".into(),
            json_scripts: Vec::new(),
            headers: Vec::new(),
            gzip: false,
            cgi_prefix: "/cgi-bin".into(),
            interpreters: Vec::new(),
            aliases: Vec::new(),
            script_timeout: 60,
            max_requests: 3,
            spool_limit: 1 << 20,
            config: None,
            realm: "Protected Area".into(),
            rfc1918_filter: false,
            max_connections: 100,
            network_timeout: 30,
            http_keepalive: 20,
            user: None,
            foreground: false,
            access_log: None,
            log_format: Format::Common,
            check: false,
        }
    }
}

impl Args {
    /// The configuration file to read, if any.
    pub(crate) fn config(&self) -> Option<&Path> {
        let usual = Path::new(CONFIG);
        // One that may be there and cannot be looked at is not one that is not there.
        let missing = |e: std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
        let is_missing = || usual.symlink_metadata().is_err_and(missing);
        self.config.as_deref().or_else(|| (!is_missing()).then_some(usual))
    }
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Serve(Box<Args>),
    /// Print this, and end.
    Print(String),
    /// Make a certificate by what else the command line says, and end.
    SelfSigned,
}

/// Reads the command line; what is wrong with it stands in the report.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>, report: &mut Report) -> Action {
    let mut parser = lexopt::Parser::from_args(args);
    let mut args = Box::<Args>::default();
    let mut seen = Seen::default();
    loop {
        match parser.next() {
            Ok(None) => break,
            Ok(Some(Long("help"))) => return Action::Print(HELP.into()),
            Ok(Some(Long("version"))) => {
                return Action::Print(concat!("ecohttpd ", env!("CARGO_PKG_VERSION"), "\n").into());
            }
            Ok(Some(Long("self-signed"))) => return Action::SelfSigned,
            Ok(Some(Long("days"))) => {
                let _ = parser.value(); // which belongs to it
                report.mistake("--days: without --self-signed it means nothing");
            }
            Ok(Some(Value(value))) => {
                let value = value.to_string_lossy();
                report.mistake(format!("{value}: it belongs to no option"));
            }
            Ok(Some(arg)) => {
                let name = match arg {
                    Short(letter) => format!("-{letter}"),
                    Long(name) => format!("--{name}"),
                    Value(_) => continue, // above
                };
                let mut value = Given { parser: &mut parser, text: String::new() };
                match option(&mut args, &name, &mut value, &mut seen, report) {
                    Ok(None) => {}
                    Ok(Some(print)) => return Action::Print(print),
                    Err(why) if value.text.is_empty() => report.mistake(format!("{name}: {why}")),
                    Err(why) => report.mistake(format!("{name} {}: {why}", value.text)),
                }
            }
            Err(e) => report.mistake(e.to_string()),
        }
    }
    check(&mut args, &seen, report);
    Action::Serve(args)
}

/// What was given, be it wrong.
#[derive(Default)]
struct Seen {
    http: bool,
    https: bool,
    /// Handlers of scripts, with their values.
    handlers: Vec<String>,
}

/// The value of an option, once it is asked for.
struct Given<'a> {
    parser: &'a mut lexopt::Parser,
    /// As it is shown where it is wrong.
    text: String,
}

impl Given<'_> {
    fn os(&mut self) -> Result<OsString, String> {
        let value = self.parser.value().map_err(|_| "its value is missing")?;
        self.text = value.to_string_lossy().into_owned();
        Ok(value)
    }

    fn text(&mut self) -> Result<String, String> {
        match self.os()?.into_string() {
            Ok(text) if text.contains(char::is_control) => Err("a control character in it".into()),
            Ok(text) => Ok(text),
            Err(_) => Err("it is no UTF-8".into()),
        }
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, String> {
        let text = self.text()?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number.ok_or_else(|| "no number, or too large a one".into())
    }

    /// A path, which counts from the directory that is the current one now.
    fn path(&mut self) -> Result<PathBuf, String> {
        let value = self.os()?;
        absolute(&value).map_err(|e| e.to_string())
    }

    /// A path of URLs.
    fn url_path(&mut self) -> Result<String, String> {
        let text = self.text()?;
        url::check_path(&text)?;
        Ok(text)
    }
}

/// Follows one option. What it returns is to be printed, and nothing else done.
fn option(
    args: &mut Args,
    name: &str,
    value: &mut Given<'_>,
    seen: &mut Seen,
    report: &mut Report,
) -> Result<Option<String>, String> {
    match name {
        "-p" | "--listen-http" => {
            seen.http = true;
            args.http.extend(Address::parse(&value.text()?)?);
        }
        "-s" | "--listen-https" => {
            seen.https = true;
            args.https.extend(Address::parse(&value.text()?)?);
        }
        "-C" | "--cert" => args.cert = Some(value.path()?),
        "-K" | "--key" => args.key = Some(value.path()?),
        "-P" | "--ciphers" => {
            let list = value.text()?;
            #[cfg(feature = "tls")]
            ecohttpd::Tls::check_ciphers(&list).map_err(|e| e.to_string())?;
            args.ciphers = Some(list);
        }
        "-q" | "--redirect-https" => args.redirect_https = true,
        "--redirect-status" => match value.number()? {
            code @ (301 | 302 | 307 | 308) => args.redirect_status = code,
            _ => return Err("it is none of 301, 302, 307 and 308".into()),
        },
        "-Q" | "--redirect-host" => {
            let text = value.text()?;
            let (host, url) = text.split_once('=').ok_or("it has no =")?;
            let plain = |text: &str| text.bytes().all(|b| matches!(b, b'!'..=b'~'));
            if host.is_empty() || !plain(&text) {
                return Err("the host is missing, or what follows is no URL".into());
            }
            if !["https://", "http://"].iter().any(|scheme| url.starts_with(scheme)) {
                return Err("the URL does not begin with https:// or http://".into());
            }
            args.redirect_hosts.push((host.to_owned(), url.to_owned()));
        }
        "-A" | "--tcp-keepalive" => match value.number()? {
            secs @ 0..=32767 => args.tcp_keepalive = secs,
            _ => return Err("the system takes at most 32767".into()),
        },
        "-h" | "--home" => {
            let home = value.path()?;
            args.home = home.canonicalize().map_err(|e| e.to_string())?;
            if !args.home.is_dir() {
                return Err("not a directory".into());
            }
        }
        "-I" | "--index-page" => {
            let index = value.text()?;
            if url::check_path(&format!("/{index}")).is_err() || index.ends_with('/') {
                return Err("not the name of a file in every directory".into());
            }
            args.index.push(index);
        }
        "-E" | "--error-page" => {
            let page = value.text()?;
            url::check_target(&page)?;
            args.error_page = Some(page);
        }
        "-S" | "--no-symlinks" => args.no_symlinks = true,
        "-D" | "--no-dirlists" => args.no_dirlists = true,
        "-b" | "--charset" => {
            let charset = value.text()?;
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:+".contains(&b);
            if charset.is_empty() || !charset.bytes().all(plain) {
                return Err("not the name of a charset".into());
            }
            args.charset = charset;
        }
        "-H" | "--json-script" => args.json_scripts.push(value.path()?),
        "-z" | "--header" => args.headers.push(header(&value.text()?)?),
        "--gzip" if !cfg!(feature = "gzip") => {
            return Err("it takes a build with the feature gzip".into());
        }
        "--gzip" => args.gzip = true,
        "-x" | "--cgi-prefix" => {
            let prefix = value.url_path()?;
            args.cgi_prefix = prefix.trim_end_matches('/').to_owned();
        }
        "-i" | "--interpreter" => {
            let text = value.text()?;
            let (extension, path) = text.split_once('=').ok_or("it has no =")?;
            if extension.len() < 2 || !extension.starts_with('.') || extension.contains('/') {
                return Err("the extension does not begin with a dot".into());
            }
            let path = absolute(path).map_err(|e| e.to_string())?;
            check_interpreter(&path)?;
            args.interpreters.push((extension.to_owned(), path));
        }
        "-y" | "--alias" => {
            let text = value.text()?;
            let (alias, to) = match text.split_once('=') {
                Some((alias, to)) => (alias, Some(to)),
                None => (&*text, None),
            };
            url::check_path(alias)?;
            to.map_or(Ok(()), url::check_path)?;
            let trim = |path: &str| path.trim_end_matches('/').to_owned();
            // The last one that fits counts, as in uhttpd.
            args.aliases.insert(0, (trim(alias), to.map(trim)));
        }
        "-t" | "--script-timeout" => args.script_timeout = value.number()?,
        "-n" | "--max-requests" => args.max_requests = at_least_one(value)?,
        "--spool-limit" => args.spool_limit = value.number()?,
        "-c" | "--config" => args.config = Some(value.path()?),
        "-r" | "--realm" => args.realm = value.text()?,
        "-R" | "--rfc1918-filter" => args.rfc1918_filter = true,
        "-N" | "--max-connections" => args.max_connections = at_least_one(value)?,
        "-T" | "--network-timeout" => {
            let secs = at_least_one(value)?;
            args.network_timeout = secs.try_into().map_err(|_| "too large a number")?;
        }
        "-k" | "--http-keepalive" => args.http_keepalive = value.number()?,
        "-Z" | "--user" => args.user = Some(User::named(&value.text()?)?),
        "-f" | "--foreground" => args.foreground = true,
        "--access-log" => args.access_log = Some(Destination::parse(&value.os()?)),
        "--log-format" => {
            let format = Format::parse(&value.text()?);
            args.log_format = format.ok_or("it is neither common nor combined")?;
        }
        "--check" => args.check = true,
        "-d" | "--url-decode" => return decoded(&value.os()?).map(Some),
        "-m" | "--md5" => {
            let hash = crate::auth::hash_md5(&value.text()?);
            return hash.map(|hash| Some(hash + "\n")).ok_or("this system has no MD5".into());
        }
        "-l" | "--lua-prefix" | "-L" | "--lua-handler" | "-o" | "--ucode-prefix" | "-O"
        | "--ucode-handler" => {
            seen.handlers.push(format!("{name} {}", value.text()?));
        }
        "-u" | "--ubus-prefix" | "-U" | "--ubus-socket" | "-e" | "--events-retry" => {
            let text = value.text()?;
            report.note(format!("{name} {text}: {NO_UBUS}"));
        }
        "-a" | "--no-ubusauth" | "-X" | "--ubus-cors" => {
            report.note(format!("{name}: {NO_UBUS}"));
        }
        "-Y" => {
            let _ = value.os(); // which belongs to it, whatever it is
            return Err("it is kept for the proxy of later versions of uhttpd".into());
        }
        _ => return Err("there is no such option".into()),
    }
    Ok(None)
}

const NO_UBUS: &str = "this build has no /ubus; LuCI goes by way of its CGI script instead";

fn at_least_one(value: &mut Given<'_>) -> Result<usize, String> {
    match value.number()? {
        0 => Err("it has to be 1 at least".into()),
        n => Ok(n),
    }
}

/// `Name: value`
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("it has no colon")?;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err("the name before the colon is not one of a header".into());
    }
    if ["content-length", "transfer-encoding", "connection", "keep-alive", "upgrade"]
        .iter()
        .any(|framing| name.eq_ignore_ascii_case(framing))
    {
        return Err("how messages are framed is for the server to say".into());
    }
    if name.eq_ignore_ascii_case("date") {
        return Err("the server knows the date".into());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// Percent-decoded, a plus being a space, as `uhttpd -d` does it for scripts.
fn decoded(text: &OsStr) -> Result<String, String> {
    let mut bytes = text.as_encoded_bytes().iter().copied();
    let mut out = Vec::new();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'+' => b' ',
            b'%' => {
                let mut digit = || (bytes.next()? as char).to_digit(16);
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err("a percent sign without two digits behind it".into()),
                }
            }
            b => b,
        });
    }
    String::from_utf8(out).map_err(|_| "what it encodes is no UTF-8".into())
}

/// What does not go together.
fn check(args: &mut Args, seen: &Seen, report: &mut Report) {
    if args.check {
        for at in args.http.iter().chain(&args.https) {
            if let Address::Unknown { why, .. } = at {
                report.note(format!("cannot listen on {at}: {why}"));
            }
        }
    }
    for handler in &seen.handlers {
        report.note(format!(
            "{handler}: scripts run as CGI here, below {}, which is all that LuCI needs",
            if args.cgi_prefix.is_empty() { "/" } else { &args.cgi_prefix }
        ));
    }
    if args.home == Path::new(".") {
        match Path::new(".").canonicalize() {
            Ok(home) => args.home = home,
            Err(e) => report.mistake(format!("the current directory: {e}")),
        }
    }
    if let Some(Destination::File(path)) = &args.access_log {
        if !path.parent().is_some_and(|dir| dir.as_os_str().is_empty() || dir.is_dir()) {
            report.mistake(format!("--access-log {}: there is no such directory", path.display()));
        }
        if path.is_dir() {
            report.mistake(format!("--access-log {}: a directory", path.display()));
        }
    }
    if args.access_log == Some(Destination::Stderr) && !args.foreground {
        report.note("--access-log stderr: without -f nobody sees it");
    }
    if !seen.http && !seen.https {
        report.mistake("-p or -s is missing: there is no address to listen at");
    }
    if !seen.https {
        for (name, given) in [
            ("-C", args.cert.is_some()),
            ("-K", args.key.is_some()),
            ("-P", args.ciphers.is_some()),
            ("-q", args.redirect_https),
            ("-Q", !args.redirect_hosts.is_empty()),
        ] {
            if given {
                report.note(format!("{name}: without -s it does nothing"));
            }
        }
    } else if !cfg!(feature = "tls") {
        report.mistake("-s takes a build with the feature tls");
    } else {
        if args.cert.is_none() {
            report.mistake("-C is missing: -s takes a certificate");
        }
        if args.key.is_none() {
            report.mistake("-K is missing: -s takes the key of its certificate");
        }
    }
}

#[cfg(test)]
mod tests;
