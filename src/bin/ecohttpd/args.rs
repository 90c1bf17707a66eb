//! The command line: uhttpd's letters, each with a long name.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use lexopt::prelude::*;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Usage: ecohttpd -f [-p [ADDR:]PORT]... [-s [ADDR:]PORT -C CERT -K KEY]... [-h DOCROOT]

An HTTP/1.1 and HTTPS server for routers.

  -f, --foreground           stay in the foreground
  -p, --listen-http ADDRESS  serve HTTP at [ADDR:]PORT; more than once for more
                             PORT alone is every IPv4 and IPv6 address
  -s, --listen-https ADDRESS serve HTTPS at [ADDR:]PORT; more than once for more
  -C, --cert FILE            the certificate for HTTPS, in PEM or DER
  -K, --key FILE             its key, in PEM or DER
  -h, --home DIR             serve the files in DIR (default: the current directory)
      --gzip                 inflate files that are there only as .gz, and deflate
                             what compresses
  -v, --verbose              print a line for every request to standard error
      --help                 print this
      --version              print the version
";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) foreground: bool,
    pub(crate) http: Vec<Address>,
    pub(crate) https: Vec<Address>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) home: Option<PathBuf>,
    pub(crate) gzip: bool,
    pub(crate) verbose: bool,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Serve(Args),
    Help,
    Version,
}

/// An address to listen at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) at: SocketAddr,
    /// Nobody asked for this one by itself: without IPv6 a port alone is served by IPv4.
    pub(crate) optional: bool,
}

/// Why a command line cannot be followed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake(String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<lexopt::Error> for Mistake {
    fn from(e: lexopt::Error) -> Self {
        Mistake(e.to_string())
    }
}

/// Reads the command line; what it says is checked before a socket is opened.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Action, Mistake> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut args = Args::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Short('f') | Long("foreground") => args.foreground = true,
            Short('p') | Long("listen-http") => {
                args.http.extend(addresses("-p", &parser.value()?)?);
            }
            Short('s') | Long("listen-https") => {
                args.https.extend(addresses("-s", &parser.value()?)?);
            }
            Short('C') | Long("cert") => args.cert = Some(parser.value()?.into()),
            Short('K') | Long("key") => args.key = Some(parser.value()?.into()),
            Short('h') | Long("home") => args.home = Some(parser.value()?.into()),
            Long("gzip") => args.gzip = true,
            Short('v') | Long("verbose") => args.verbose = true,
            Long("help") => return Ok(Action::Help),
            Long("version") => return Ok(Action::Version),
            Value(value) => {
                let value = value.to_string_lossy().into_owned();
                return Err(Mistake(format!("{value}: it belongs to no option")));
            }
            _ => return Err(arg.unexpected().into()),
        }
    }
    check(&args)?;
    Ok(Action::Serve(args))
}

fn check(args: &Args) -> Result<(), Mistake> {
    let mistake = |what: &str| Err(Mistake(what.to_owned()));
    if !args.foreground {
        return mistake("-f is missing: this version stays in the foreground only");
    }
    if args.http.is_empty() && args.https.is_empty() {
        return mistake("-p or -s is missing: there is no address to listen at");
    }
    let tls = !args.https.is_empty();
    match (tls, &args.cert, &args.key) {
        (true, None, _) => mistake("-C is missing: -s takes a certificate"),
        (true, _, None) => mistake("-K is missing: -s takes the key of its certificate"),
        (false, Some(_), _) => mistake("-C takes -s"),
        (false, _, Some(_)) => mistake("-K takes -s"),
        _ if tls && !cfg!(feature = "tls") => mistake("-s takes a build with the feature tls"),
        _ if args.gzip && !cfg!(feature = "gzip") => {
            mistake("--gzip takes a build with the feature gzip")
        }
        _ => Ok(()),
    }?;
    let home = args.home.clone().unwrap_or_else(|| ".".into());
    match std::fs::metadata(&home) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(Mistake(format!("-h {}: not a directory", home.display()))),
        Err(e) => Err(Mistake(format!("-h {}: {e}", home.display()))),
    }
}

/// `port`, `address:port`, `[address]:port` or `name:port`.
fn addresses(flag: &str, value: &OsString) -> Result<Vec<Address>, Mistake> {
    let text = value.to_string_lossy();
    let bad = |why: &str| Mistake(format!("{flag} {text}: {why}"));
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (Some(host), port),
        None => (None, &*text),
    };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port: u16 = match port.parse() {
        Ok(port) if digits => port,
        _ => return Err(bad("the port is no number from 0 to 65535")),
    };
    let at = |ip: IpAddr, optional| Address { at: SocketAddr::new(ip, port), optional };
    let Some(host) = host else {
        return Ok(vec![
            at(Ipv4Addr::UNSPECIFIED.into(), false),
            at(Ipv6Addr::UNSPECIFIED.into(), true),
        ]);
    };
    if host.is_empty() {
        return Err(bad("the address before the colon is missing"));
    }
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(|| bad("a bracket is missing"))?,
        None if host.contains(':') => return Err(bad("an IPv6 address takes brackets")),
        None => host,
    };
    if let Ok(ip) = bare.parse() {
        return Ok(vec![at(ip, false)]);
    }
    let found = (bare, port).to_socket_addrs().map_err(|e| bad(&e.to_string()))?;
    let mut found: Vec<_> = found.map(|at| Address { at, optional: false }).collect();
    found.dedup();
    if found.is_empty() { Err(bad("it has no address")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Result<Action, Mistake> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn serve(line: &str) -> Args {
        match args(line) {
            Ok(Action::Serve(args)) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn at(args: &[Address]) -> Vec<String> {
        args.iter().map(|a| a.at.to_string()).collect()
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn what_was_not_built_is_refused() {
        let mistake = args("-f -s 443 -C c -K k").unwrap_err().to_string();
        assert!(mistake.contains("-s takes a build with the feature tls"), "{mistake}");
    }

    #[test]
    fn letters_and_long_names_mean_the_same() {
        let short = serve("-f -p80 -p 127.0.0.1:81 -h / -v");
        assert_eq!(at(&short.http), ["0.0.0.0:80", "[::]:80", "127.0.0.1:81"]);
        assert!(short.http[1].optional && !short.http[0].optional);
        let long =
            serve("--foreground --listen-http 80 --listen-http=127.0.0.1:81 --home / --verbose");
        assert_eq!(short, long);
        assert_eq!(args("--help"), Ok(Action::Help));
        assert_eq!(args("--version"), Ok(Action::Version));
        assert_eq!(at(&serve("-f -p localhost:0").http)[0].rsplit(':').next(), Some("0"));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn https_takes_a_certificate_and_its_key() {
        let short = serve("-f -s [::1]:443 -C c -K k");
        assert_eq!(at(&short.https), ["[::1]:443"]);
        let long = serve("-f --listen-https [::1]:443 --cert c --key k");
        assert_eq!(short, long);
    }

    #[test]
    fn every_mistake_is_named() {
        for (line, why) in [
            ("", "-f is missing"),
            ("-p 80", "-f is missing"),
            ("-f", "-p or -s is missing"),
            ("-f -p", "missing argument for option '-p'"),
            ("-f -p x", "-p x: the port is no number"),
            ("-f -p 65536", "-p 65536: the port"),
            ("-f -p +80", "-p +80: the port"),
            ("-f -p 127.0.0.1:", "-p 127.0.0.1:: the port"),
            ("-f -p :80", "-p :80: the address before the colon is missing"),
            ("-f -p ::1:80", "-p ::1:80: an IPv6 address takes brackets"),
            ("-f -p [::1:80", "-p [::1:80: a bracket"),
            ("-f -p 80 -h /nonexistent", "-h /nonexistent: No such file"),
            ("-f -p 80 -h /dev/null", "-h /dev/null: not a directory"),
            ("-f -s 443", "-C is missing"),
            ("-f -s 443 -C c", "-K is missing"),
            ("-f -p 80 -C c", "-C takes -s"),
            ("-f -p 80 -K k", "-K takes -s"),
            ("-f -p 80 -Z", "invalid option '-Z'"),
            ("-f -p 80 --nonsense", "invalid option '--nonsense'"),
            ("-f -p 80 stray", "stray: it belongs to no option"),
        ] {
            let mistake = args(line).unwrap_err().to_string();
            assert!(mistake.contains(why), "{line}: {mistake}");
        }
    }

    #[test]
    fn help_names_every_option() {
        let source = include_str!("args.rs");
        for name in source.split("Long(\"").skip(1).filter_map(|s| s.split('"').next()) {
            if name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
                assert!(HELP.contains(&format!("--{name}")), "{name}");
            }
        }
    }
}
