//! The command line: uhttpd's letters, each with a long name.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf, absolute};

use lexopt::prelude::*;

use crate::access::{Destination, Format};
use crate::address::Address;
use crate::report::Report;
use crate::site::check_interpreter;
use crate::url;
use crate::user::User;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Usage: ecohttpd -p [ADDR:]PORT [-s [ADDR:]PORT -C CERT -K KEY] [OPTION]...

An HTTP/1.1 and HTTPS server for routers. Its options are those of uhttpd.

Where to listen; addresses can be repeated:
  -p, --listen-http ADDRESS   serve HTTP at [ADDR:]PORT, unix:PATH or fd:N
                              PORT alone is every IPv4 and IPv6 address
  -s, --listen-https ADDRESS  likewise, HTTPS
  -C, --cert FILE             the certificate for HTTPS, in PEM or DER
  -K, --key FILE              its key, in PEM or DER
  -P, --ciphers LIST          only these cipher suites, between colons
  -q, --redirect-https        send HTTP clients to HTTPS
      --redirect-status CODE  with 301, 302, 307 or 308 (default: 307)
  -Q, --redirect-host H=URL   send HTTPS clients that ask for the host H to URL
  -A, --tcp-keepalive SECS    probe silent connections every SECS seconds

What to serve:
  -h, --home DIR              the files in DIR (default: the current directory)
  -I, --index-page NAME       the index file of a directory; can be repeated
  -E, --error-page PATH       the page for what is missing or forbidden
  -S, --no-symlinks           no file that a symbolic link leads to outside DIR
  -D, --no-dirlists           no listings of directories
  -b, --charset NAME          the charset of listings (default: UTF-8)
  -H, --json-script FILE      rules that rewrite and redirect; can be repeated
  -z, --header 'NAME: VALUE'  a field of every response; can be repeated
      --gzip                  inflate files that are there only as .gz, and
                              deflate what compresses

Scripts:
  -x, --cgi-prefix PATH       run what is below PATH (default: /cgi-bin)
  -i, --interpreter .EXT=FILE run what ends in .EXT by FILE; can be repeated
  -y, --alias PATH[=TO]       serve PATH from below TO, or from the CGI prefix
  -t, --script-timeout SECS   for which a script may be silent (default: 60)
  -n, --max-requests N        scripts that run at once (default: 3)
      --spool-limit BYTES     of a chunked body, whose length a script has to be
                              told; 0 refuses them (default: 1048576)

Who may:
  -c, --config FILE           passwords, in the format of busybox's httpd.conf
                              (default: /etc/httpd.conf, if it is there)
  -r, --realm TEXT            what passwords are asked for
  -R, --rfc1918-filter        no requests from private to public addresses
  -N, --max-connections N     connections at once (default: 100)
  -T, --network-timeout SECS  for which a client may be silent (default: 30)
  -k, --http-keepalive SECS   for which a connection may idle (default: 20)
  -Z, --user NAME             become NAME once the addresses are bound

How to run:
  -f, --foreground            stay in the foreground
      --access-log TO         a line per request to stderr, syslog or a file
      --log-format FORMAT     common or combined (default: common)
      --check                 say what is wrong with all of this, and end
  -d, --url-decode TEXT       print TEXT, percent-decoded, and end
  -m, --md5 TEXT              print TEXT as a password for -c, and end
      --help                  print this
      --version               print the version

Taken for uhttpd's sake, with a message that says what they do here:
  -l, --lua-prefix PATH       -L, --lua-handler FILE
  -o, --ucode-prefix PATH     -O, --ucode-handler FILE
  -u, --ubus-prefix PATH      -U, --ubus-socket FILE
  -a, --no-ubusauth           -X, --ubus-cors
  -e, --events-retry SECS
";

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
mod tests {
    use super::*;

    fn words(line: &str) -> impl Iterator<Item = OsString> {
        line.split_whitespace().map(OsString::from)
    }

    fn serve(line: &str) -> (Args, Report) {
        let mut report = Report::default();
        match parse(words(line), &mut report) {
            Action::Serve(args) => (*args, report),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn good(line: &str) -> Args {
        let (args, report) = serve(line);
        assert_eq!(report, Report::default(), "{line}");
        args
    }

    fn at(addresses: &[Address]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn letters_and_long_names_mean_the_same() {
        let short = good(
            "-f -p80 -p 127.0.0.1:81 -h / -A 5 -I a.html -I b/c.html -E /e -S -D -b latin1 \
             -H x -z X-A:b -x /run/ -i .sh=/bin/sh -y /a -y /b=/c/ -t 5 -n 6 -c conf -r Realm -R \
             -N 7 -T 8 -k 0 -Z nobody",
        );
        let long = good(
            "--foreground --listen-http 80 --listen-http=127.0.0.1:81 --home / --tcp-keepalive 5 \
             --index-page a.html --index-page b/c.html --error-page /e --no-symlinks --no-dirlists \
             --charset latin1 --json-script x --header X-A:b --cgi-prefix /run --interpreter \
             .sh=/bin/sh --alias /a --alias /b=/c --script-timeout 5 --max-requests 6 --config \
             conf --realm Realm --rfc1918-filter --max-connections 7 --network-timeout 8 \
             --http-keepalive 0 --user nobody",
        );
        assert_eq!(short, long);
        assert_eq!(at(&short.http), ["0.0.0.0:80", "[::]:80", "127.0.0.1:81"]);
        assert_eq!(short.cgi_prefix, "/run");
        assert_eq!(short.aliases, [("/b".into(), Some("/c".into())), ("/a".into(), None)]);
        assert_eq!(short.headers, [("X-A".into(), "b".into())]);
        assert!(short.config.unwrap().is_absolute());
        assert_eq!((short.tcp_keepalive, short.http_keepalive), (5, 0));
        assert_eq!(good("-p 80 -x /").cgi_prefix, "");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn https_takes_a_certificate_and_its_key() {
        let short =
            good("-f -s [::1]:443 -C c -K k -P TLS_AES_128_GCM_SHA256 -q -Q h=https://h:8443/");
        assert_eq!(at(&short.https), ["[::1]:443"]);
        let long = good(
            "-f --listen-https [::1]:443 --cert c --key k --ciphers TLS_AES_128_GCM_SHA256 --redirect-https \
             --redirect-host h=https://h:8443/ --redirect-status 307",
        );
        assert_eq!(short, long);
    }

    #[test]
    fn every_mistake_is_named() {
        for (line, why) in [
            ("", "-p or -s is missing"),
            ("-f -p", "-p: its value is missing"),
            ("-f -p x", "-p x: the port is no number"),
            ("-f -p ::1:80", "-p ::1:80: an IPv6 address takes brackets"),
            ("-f -p 80 -h /nonexistent", "-h /nonexistent: No such file"),
            ("-f -p 80 -h /dev/null", "-h /dev/null: not a directory"),
            ("-f -p 80 -n 0", "-n 0: it has to be 1 at least"),
            ("-f -p 80 -n x", "-n x: no number"),
            ("-f -p 80 -k -1", "-k -1: no number"),
            ("-f -p 80 -t 99999999999", "-t 99999999999: no number, or too large a one"),
            ("-f -p 80 -E e", "-E e: it does not begin with /"),
            ("-f -p 80 -I /x", "-I /x: not the name of a file"),
            ("-f -p 80 -I ../x", "-I ../x: not the name of a file"),
            ("-f -p 80 -b a;b", "-b a;b: not the name of a charset"),
            ("-f -p 80 -z x", "-z x: it has no colon"),
            ("-f -p 80 -z a/b:c", "-z a/b:c: the name before the colon"),
            ("-f -p 80 -z Content-Length:5", "-z Content-Length:5: how messages are framed"),
            ("-f -p 80 -i .sh", "-i .sh: it has no ="),
            ("-f -p 80 -i sh=/bin/sh", "-i sh=/bin/sh: the extension"),
            ("-f -p 80 -i .sh=/nonexistent", "-i .sh=/nonexistent: No such file"),
            ("-f -p 80 -y x", "-y x: it does not begin with /"),
            ("-f -p 80 -y /x=y", "-y /x=y: it does not begin with /"),
            ("-f -p 80 -Q x", "-Q x: it has no ="),
            ("-f -p 80 -Q x=ftp://y", "-Q x=ftp://y: the URL does not begin"),
            ("-f -p 80 --redirect-status 303", "--redirect-status 303: it is none of"),
            ("-f -p 80 --log-format x", "--log-format x:"),
            ("-f -p 80 -z Date:x", "-z Date:x: the server knows the date"),
            ("-f -p 80 -A 32768", "-A 32768: the system takes at most"),
            ("-f -p 80 -Z nobody-at-all", "-Z nobody-at-all: there is no such user"),
            ("-f -p 80 --access-log /nonexistent/x", "--access-log /nonexistent/x: there is no"),
            ("-f -p 80 --access-log /tmp", "--access-log /tmp: a directory"),
            #[cfg(feature = "tls")]
            ("-s 443 -C c -K k -P HIGH:!aNULL", "-P HIGH:!aNULL: HIGH: no cipher suite"),
            ("-f -p 80 -Y x", "-Y x: it is kept for the proxy"),
            ("-f -p 80 -v", "-v: there is no such option"),
            ("-f -p 80 --nonsense", "--nonsense: there is no such option"),
            ("-f -p 80 stray", "stray: it belongs to no option"),
            ("-p 80 -d %4", "-d %4: a percent sign"),
            #[cfg(feature = "tls")]
            ("-s 443", "-C is missing"),
            #[cfg(feature = "tls")]
            ("-s 443 -C c", "-K is missing"),
            #[cfg(not(feature = "tls"))]
            ("-s 443 -C c -K k", "-s takes a build with the feature tls"),
            #[cfg(not(feature = "gzip"))]
            ("-p 80 --gzip", "--gzip: it takes a build with the feature gzip"),
        ] {
            let report = serve(line).1;
            assert!(report.mistakes.iter().any(|m| m.contains(why)), "{line}: {report:?}");
        }
        let all = serve("-p x -n 0 stray --nonsense").1;
        assert_eq!(all.mistakes.len(), 4, "{all:?}");
    }

    #[test]
    fn what_means_nothing_here_is_said() {
        let (_, report) = serve(
            "-p 80 -l /lua -L f -o /ucode -O f -u /ubus -U s -a -X -e 5 -C c -K k -q \
             -Q a=https://b",
        );
        assert_eq!(report.mistakes, [""; 0]);
        let named = |name: &str| report.notes.iter().any(|note| note.starts_with(name));
        for name in ["-l", "-L", "-o", "-O", "-u", "-U", "-a", "-X", "-e", "-C", "-K", "-q", "-Q"] {
            assert!(named(name), "{name}: {report:?}");
        }
    }

    #[test]
    fn what_only_prints() {
        let print =
            |args: &[&str]| match parse(args.iter().map(OsString::from), &mut Report::default()) {
                Action::Print(text) => text,
                other => panic!("{args:?}: {other:?}"),
            };
        assert_eq!(print(&["-d", "a%20b+c%c3%a9"]), "a b c\u{e9}");
        assert_eq!(print(&["--url-decode", ""]), "");
        assert!(print(&["-m", "secret"]).starts_with("$1$"));
        assert!(print(&["--help"]).starts_with("Usage: ecohttpd"));
        assert!(print(&["--version"]).starts_with("ecohttpd 0."));
    }

    #[test]
    fn help_names_every_option() {
        let source = include_str!("args.rs").split("#[cfg(test)]").next().unwrap();
        let mut n = 0;
        for arm in source.split('"').filter(|s| s.starts_with('-') && s.len() > 1) {
            let name = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            if arm.bytes().all(name) && arm != "-Y" && arm != "-_.:+" {
                let shown = |end: &str| HELP.contains(&format!("{arm}{end}"));
                assert!(shown(" ") || shown(",") || shown("\n"), "{arm}");
                n += 1;
            }
        }
        assert!(n > 80, "{n}");
        assert!(HELP.lines().all(|line| line.len() <= 80));
    }
}
