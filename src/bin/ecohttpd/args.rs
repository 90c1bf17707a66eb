//! The command line: uhttpd's letters, each with a long name.

mod file;
mod given;
mod help;
mod option;
mod special;
mod words;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::access::{Destination, Format};
use crate::address::Address;
use crate::report::Report;
use crate::user::User;
use given::Given;
pub(crate) use help::HELP;
pub(crate) use words::{Word, Words};

/// The configuration file that is read if it is there.
const CONFIG: &str = "/etc/httpd.conf";

/// What the command line asks for, and its file of options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    /// The file that more options were read from.
    pub(crate) options: Option<PathBuf>,
    /// What tells one content of that from another.
    pub(crate) options_sum: u64,
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
    pub(crate) file_cache: usize,
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
            options: None,
            options_sum: 0,
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
            file_cache: 1 << 15,
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
    /// Whether a file of options says the same as in `other`, which is of the same command line, and
    /// names of addresses stand for the same.
    pub(crate) fn is_same(&self, other: &Args) -> bool {
        let is_same = |one: &[Address], other: &[Address]| {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_same(other))
        };
        self.options_sum == other.options_sum
            && is_same(&self.http, &other.http)
            && is_same(&self.https, &other.https)
    }

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
    Serve(Rc<Args>),
    /// Print this, and end.
    Print(String),
    /// Make a certificate by what else the command line says, and end.
    SelfSigned,
}

/// The command line, which is followed once more when its file of options is read again.
#[derive(Debug)]
pub(crate) struct CommandLine {
    pub(crate) words: Vec<OsString>,
    /// Where its paths count from: a daemon has gone elsewhere.
    dir: PathBuf,
}

impl CommandLine {
    pub(crate) fn new(words: Vec<OsString>) -> CommandLine {
        CommandLine { words, dir: env::current_dir().unwrap_or_default() }
    }

    /// Follows it; what is wrong with it stands in the report.
    pub(crate) fn parse(&self, report: &mut Report) -> Action {
        let mut words = Words::new(&self.words);
        let mut reading = Reading { args: Args::default(), seen: Seen::default() };
        while let Some(word) = words.next() {
            let mut shown = match word {
                Word::Option(name) => name,
                Word::Stray(value) => {
                    let value = value.to_string_lossy();
                    report.mistake(format!("{value}: it belongs to no option"));
                    continue;
                }
                Word::Mistake(why) => {
                    report.mistake(why);
                    continue;
                }
            };
            match &*shown {
                "--help" => return Action::Print(HELP.into()),
                "--version" => {
                    let version = concat!("ecohttpd ", env!("CARGO_PKG_VERSION"), "\n");
                    return Action::Print(version.into());
                }
                "--self-signed" => return Action::SelfSigned,
                "--days" => {
                    words.value(); // which belongs to it
                    report.mistake("--days: without --self-signed it means nothing");
                    continue;
                }
                _ => {}
            }
            let option = option::named(&shown);
            let value = option.filter(|it| it.takes_value()).and_then(|_| words.value());
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                shown.push(' ');
                shown.push_str(&value.to_string_lossy());
            }
            let mut given = Given { shown, value, dir: &self.dir, report: &mut *report };
            if let Ok(Some(print)) = reading.follow(option, &mut given) {
                return Action::Print(print);
            }
        }
        reading.check(&self.dir, report);
        Action::Serve(Rc::new(reading.args))
    }
}

/// Options that are being followed.
struct Reading {
    args: Args,
    seen: Seen,
}

/// What was given, be it wrong.
#[derive(Default)]
struct Seen {
    http: bool,
    https: bool,
    /// Handlers of scripts, with their values.
    handlers: Vec<String>,
}

impl Reading {
    /// What does not go together. Paths count from `dir`.
    fn check(&mut self, dir: &Path, report: &mut Report) {
        let Reading { args, seen } = self;
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
        if args.home.as_os_str() == "." {
            match dir.canonicalize() {
                Ok(home) => args.home = home,
                Err(e) => report.mistake(format!("the current directory: {e}")),
            }
        }
        if let Some(Destination::File(path)) = &args.access_log {
            if !path.parent().is_some_and(Path::is_dir) {
                report.mistake(format!(
                    "--access-log {}: there is no such directory",
                    path.display()
                ));
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
}

#[cfg(test)]
mod tests;
