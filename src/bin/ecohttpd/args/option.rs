//! One option after the other, wherever it stands.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf, absolute};

use super::{Reading, file};
use crate::access::{Destination, Format};
use crate::address::Address;
use crate::site::check_interpreter;
use crate::url;
use crate::user::User;

/// Where the value of an option is.
pub(super) enum Source<'a> {
    CommandLine(&'a mut lexopt::Parser),
    /// Nothing once it was taken.
    File(Option<&'a [u8]>),
}

/// The value of an option, once it is asked for.
pub(super) struct Given<'a> {
    /// What messages name the option by.
    name: String,
    pub(super) source: Source<'a>,
    /// Where paths count from.
    dir: &'a Path,
    /// What was given, where nothing else shows it.
    text: String,
}

impl<'a> Given<'a> {
    pub(super) fn new(name: String, source: Source<'a>, dir: &'a Path) -> Self {
        Given { name, source, dir, text: String::new() }
    }

    /// The option, and what it was given, for a message.
    pub(super) fn shown(&self) -> String {
        match self.text.is_empty() {
            true => self.name.clone(),
            false => format!("{} {}", self.name, self.text),
        }
    }

    fn os(&mut self) -> Result<OsString, String> {
        const MISSING: &str = "its value is missing";
        match &mut self.source {
            Source::CommandLine(parser) => {
                let value = parser.value().map_err(|_| MISSING)?;
                self.text = value.to_string_lossy().into_owned();
                Ok(value)
            }
            Source::File(value) => {
                let value = value.take().ok_or(MISSING)?;
                Ok(OsStr::from_bytes(value).to_owned())
            }
        }
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

    fn path(&mut self) -> Result<PathBuf, String> {
        let value = self.os()?;
        self.absolute(value.as_ref())
    }

    fn absolute(&self, path: &Path) -> Result<PathBuf, String> {
        // An empty one is none.
        let path = if path.as_os_str().is_empty() { path.into() } else { self.dir.join(path) };
        absolute(path).map_err(|e| e.to_string())
    }

    fn addresses(&mut self) -> Result<Vec<Address>, String> {
        let mut found = Address::parse(&self.text()?)?;
        for at in &mut found {
            if let Address::Unix(path) = at {
                *path = self.absolute(path)?;
            }
        }
        Ok(found)
    }

    /// A path of URLs.
    fn url_path(&mut self) -> Result<String, String> {
        let text = self.text()?;
        url::check_path(&text)?;
        Ok(text)
    }
}

impl Reading<'_> {
    /// Follows one option. What it returns is to be printed, and nothing else done.
    pub(super) fn follow(
        &mut self,
        name: &str,
        value: &mut Given<'_>,
    ) -> Result<Option<String>, String> {
        let args = &mut self.args;
        match name {
            "-p" | "--listen-http" => {
                self.seen.http = true;
                args.http.extend(value.addresses()?);
            }
            "-s" | "--listen-https" => {
                self.seen.https = true;
                args.https.extend(value.addresses()?);
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
                let path = value.absolute(path.as_ref())?;
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
            "--file-cache" => args.file_cache = value.number()?,
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
            "--access-log" => {
                args.access_log = Some(match Destination::parse(&value.os()?) {
                    Destination::File(path) => Destination::File(value.absolute(&path)?),
                    other => other,
                });
            }
            "--log-format" => {
                let format = Format::parse(&value.text()?);
                args.log_format = format.ok_or("it is neither common nor combined")?;
            }
            "--options" => {
                let path = value.path()?;
                if args.options.is_some() {
                    return Err("there is one such file only".into());
                }
                args.options = Some(path.clone());
                file::follow(self, &path)?;
            }
            "--check" => args.check = true,
            "-d" | "--url-decode" => return decoded(&value.os()?).map(Some),
            "-m" | "--md5" => {
                let hash = crate::auth::hash_md5(&value.text()?);
                return hash.map(|hash| Some(hash + "\n")).ok_or("this system has no MD5".into());
            }
            "-l" | "--lua-prefix" | "-L" | "--lua-handler" | "-o" | "--ucode-prefix" | "-O"
            | "--ucode-handler" => {
                value.text()?;
                self.seen.handlers.push(value.shown());
            }
            "-u" | "--ubus-prefix" | "-U" | "--ubus-socket" | "-e" | "--events-retry" => {
                value.text()?;
                self.report.note(format!("{}: {NO_UBUS}", value.shown()));
            }
            "-a" | "--no-ubusauth" | "-X" | "--ubus-cors" => {
                self.report.note(format!("{}: {NO_UBUS}", value.shown()));
            }
            "-Y" => {
                let _ = value.os(); // which belongs to it, whatever it is
                return Err("it is kept for the proxy of later versions of uhttpd".into());
            }
            _ => return Err("there is no such option".into()),
        }
        Ok(None)
    }
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
