//! The access log: what its lines look like, and where they go.

use std::ffi::OsStr;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::SystemTime;

use ecohttpd::Access;

use crate::append::Append;
use crate::log::{LONGEST_ENTRY, Log};
use crate::text::{Date, Place, escape};

/// Where an access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Stderr,
    Syslog,
    File(PathBuf),
}

impl Destination {
    /// `stderr` or `-`, `syslog`, or the path of a file.
    pub(crate) fn parse(text: &OsStr) -> Destination {
        match text.to_str() {
            Some("stderr" | "-") => Destination::Stderr,
            Some("syslog") => Destination::Syslog,
            _ => Destination::File(text.into()),
        }
    }
}

/// What a line of an access log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The Common Log Format.
    Common,
    /// The same, with Referer and User-Agent.
    Combined,
}

impl Format {
    /// `common` or `combined`.
    pub(crate) fn parse(text: &str) -> Option<Format> {
        match text {
            "common" => Some(Format::Common),
            "combined" => Some(Format::Combined),
            _ => None,
        }
    }

    /// A line of `most` bytes at most, without its end. What comes from the wire is cut to its share
    /// of it, so that the line has all its fields, however long one of them is.
    fn line(self, entry: &Entry<'_>, most: usize) -> String {
        let number = |number: Option<u64>| match number {
            Some(number) => number.to_string(),
            None => "-".to_owned(),
        };
        let status = number(entry.status.map(u64::from));
        let sent = number(Some(entry.sent).filter(|sent| *sent > 0));
        let mut tail = format!("\" {status} {sent}");
        if self == Format::Combined {
            for (value, share) in [(entry.referer, most / 4), (entry.agent, most / 6)] {
                tail.push_str(" \"");
                escape(&mut tail, value.unwrap_or(b"-"), share, Place::Quoted);
                tail.push('"');
            }
        }
        let mut line = match entry.host {
            // What there is instead of an address at the other end of a Unix socket.
            SocketAddr::V4(host) if *host.ip() == Ipv4Addr::UNSPECIFIED && host.port() == 0 => {
                "unix:".to_owned()
            }
            host => host.ip().to_canonical().to_string(),
        };
        line.push_str(" - ");
        let user = entry.user.filter(|user| !user.is_empty()).unwrap_or("-");
        escape(&mut line, user.as_bytes(), most / 16, Place::Word);
        let date = Date::new(entry.when);
        let (day, month, year, time) = (date.day(), date.month(), date.year(), date.time());
        line.push_str(&format!(" [{day}/{month}/{year}:{time} +0000] \""));
        match &entry.request {
            Some(RequestLine { method, target, version: (major, minor) }) => {
                escape(&mut line, method.as_bytes(), 32, Place::Quoted);
                line.push(' ');
                let version = format!(" HTTP/{major}.{minor}");
                let room = most.saturating_sub(line.len() + version.len() + tail.len());
                escape(&mut line, target.as_bytes(), room, Place::Quoted);
                line.push_str(&version);
            }
            None => line.push('-'),
        }
        line.push_str(&tail);
        line
    }
}

/// What is known of an exchange.
#[derive(Clone, Debug)]
struct Entry<'a> {
    host: SocketAddr,
    user: Option<&'a str>,
    when: SystemTime,
    /// None if the head was refused.
    request: Option<RequestLine<'a>>,
    /// None if the connection ended before an answer.
    status: Option<u16>,
    sent: u64,
    referer: Option<&'a [u8]>,
    agent: Option<&'a [u8]>,
}

#[derive(Clone, Debug)]
struct RequestLine<'a> {
    method: &'a str,
    target: &'a str,
    version: (u8, u8),
}

impl<'a> Entry<'a> {
    fn new(access: &Access<'a>) -> Entry<'a> {
        let field = |name| access.request.and_then(|req| req.header_bytes(name));
        Entry {
            host: access.remote_addr,
            user: access.user,
            when: SystemTime::now(),
            request: access.request.map(|req| RequestLine {
                method: req.raw_method(),
                target: req.raw_path(),
                version: req.version(),
            }),
            status: access.status.map(|status| status.code()),
            sent: access.sent,
            referer: field("referer"),
            agent: field("user-agent"),
        }
    }
}

/// A line for every request, on its way to where it is wanted.
#[derive(Debug)]
pub(crate) struct AccessLog {
    format: Format,
    to: To,
}

#[derive(Debug)]
enum To {
    Log(Log),
    File(Append),
}

impl AccessLog {
    /// Opens the log; a file is appended to, and made if it is not there.
    pub(crate) fn open(destination: Destination, format: Format) -> io::Result<AccessLog> {
        let to = match destination {
            Destination::Stderr => To::Log(Log::stderr()),
            Destination::Syslog => To::Log(Log::syslog()),
            Destination::File(path) => To::File(Append::open(path)?),
        };
        Ok(AccessLog { format, to })
    }

    /// Opens the file anew, which may have another name by now; if that fails, the old one goes on.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        match &self.to {
            To::Log(_) => Ok(()),
            To::File(append) => append.reopen(),
        }
    }

    /// Adds a line for a request, and never waits for that.
    pub(crate) fn entry(&self, access: &Access<'_>) {
        self.add(&Entry::new(access));
    }

    fn add(&self, entry: &Entry<'_>) {
        match &self.to {
            To::Log(log) => log.entry(&self.format.line(entry, log.longest_entry())),
            To::File(append) => {
                let mut line = self.format.line(entry, LONGEST_ENTRY);
                line.push('\n');
                append.push(&line);
            }
        }
    }

    /// Writes what there is to be written, for as long as it is polled; it does not end. `messages`
    /// is told when that begins to fail.
    pub(crate) async fn run(&self, messages: &Log) {
        match &self.to {
            To::Log(_) => pending().await,
            To::File(append) => append.run(messages).await,
        }
    }

    /// Waits, but only for a moment, until what there was to be written is.
    pub(crate) fn flush(&self) {
        if let To::File(append) = &self.to {
            append.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::log::tests::Dir;

    fn entry() -> Entry<'static> {
        Entry {
            host: "192.168.1.2:4567".parse().unwrap(),
            user: None,
            when: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_387_151),
            request: Some(RequestLine { method: "GET", target: "/a?b", version: (1, 1) }),
            status: Some(200),
            sent: 1234,
            referer: None,
            agent: None,
        }
    }

    const START: &str = "192.168.1.2 - - [22/Nov/2026:22:39:11 +0000]";

    fn common(entry: &Entry<'_>) -> String {
        Format::Common.line(entry, LONGEST_ENTRY)
    }

    fn combined(entry: &Entry<'_>) -> String {
        Format::Combined.line(entry, LONGEST_ENTRY)
    }

    /// The fields of a line, as those who read logs take it apart.
    fn fields(line: &str) -> Vec<String> {
        let mut fields = vec![String::new()];
        let mut end = None;
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            let field = fields.last_mut().unwrap();
            match (c, end) {
                (' ', None) => fields.push(String::new()),
                ('[', None) if field.is_empty() => end = Some(']'),
                ('"', None) if field.is_empty() => end = Some('"'),
                (']' | '"', Some(c2)) if c == c2 => end = None,
                ('\\', _) => field.extend([c, chars.next().unwrap()]),
                _ => field.push(c),
            }
        }
        assert_eq!(end, None, "{line}");
        fields
    }

    #[test]
    fn destinations_and_formats_have_names() {
        let parse = |text: &str| Destination::parse(text.as_ref());
        assert_eq!(parse("stderr"), Destination::Stderr);
        assert_eq!(parse("-"), Destination::Stderr);
        assert_eq!(parse("syslog"), Destination::Syslog);
        for path in ["/var/log/access", "./syslog", "stderr.log", "log"] {
            assert_eq!(parse(path), Destination::File(path.into()));
        }
        assert_eq!(Format::parse("common"), Some(Format::Common));
        assert_eq!(Format::parse("combined"), Some(Format::Combined));
        assert_eq!(Format::parse("Common"), None);
    }

    #[test]
    fn lines_are_those_of_the_formats() {
        let mut e = entry();
        assert_eq!(common(&e), format!("{START} \"GET /a?b HTTP/1.1\" 200 1234"));
        assert_eq!(combined(&e), format!("{START} \"GET /a?b HTTP/1.1\" 200 1234 \"-\" \"-\""));
        (e.referer, e.agent) = (Some(&b"http://h/"[..]), Some(&b"Mozilla/5.0 (X11)"[..]));
        let rest = "\"http://h/\" \"Mozilla/5.0 (X11)\"";
        assert_eq!(combined(&e), format!("{START} \"GET /a?b HTTP/1.1\" 200 1234 {rest}"));
        e.request = Some(RequestLine { method: "HEAD", target: "/", version: (1, 0) });
        e.sent = 0;
        assert_eq!(common(&e), format!("{START} \"HEAD / HTTP/1.0\" 200 -"));
        (e.request, e.status, e.sent) = (None, Some(400), 7);
        assert_eq!(common(&e), format!("{START} \"-\" 400 7"));
        (e.status, e.sent) = (None, u64::MAX);
        assert_eq!(common(&e), format!("{START} \"-\" - 18446744073709551615"));
    }

    #[test]
    fn clients_have_addresses_and_names() {
        for (host, text) in [
            ("[::ffff:10.0.0.1]:80", "10.0.0.1"),
            ("[fe80::1]:80", "fe80::1"),
            ("0.0.0.0:0", "unix:"),
            ("0.0.0.0:1", "0.0.0.0"),
        ] {
            let line = common(&Entry { host: host.parse().unwrap(), ..entry() });
            assert!(line.starts_with(&format!("{text} - - [22/Nov")), "{line}");
        }
        for (user, text) in [
            ("root", "root"),
            ("", "-"),
            ("a b", r"a\x20b"),
            ("a\" \n[", r#"a\"\x20\x0a\x5b"#),
            ("käse", "käse"),
        ] {
            let line = common(&Entry { user: Some(user), ..entry() });
            assert!(line.starts_with(&format!("192.168.1.2 - {text} [22/Nov")), "{line}");
        }
    }

    #[test]
    fn a_long_field_leaves_room_for_the_others() {
        let long = "x".repeat(9000);
        let request = Some(RequestLine { method: &long, target: &long, version: (1, 1) });
        let bytes = Some(long.as_bytes());
        let user = Some(&*long);
        let full = Entry { user, request, referer: bytes, agent: bytes, ..entry() };
        for most in [LONGEST_ENTRY, Log::syslog().longest_entry()] {
            let line = Format::Combined.line(&full, most);
            assert_eq!(line.len(), most, "{line}");
            let fields = fields(&line);
            assert_eq!((&*fields[5], &*fields[6]), ("200", "1234"));
            for i in [2, 7, 8] {
                assert!(fields[i].len() > 50 && fields[i].ends_with("xxx..."), "{line}");
            }
            assert!(fields[4].ends_with("xxx... HTTP/1.1") && fields[4].len() > 300, "{line}");
        }
        let request = Some(RequestLine { method: "GET", target: &long, version: (1, 1) });
        let line = common(&Entry { request, ..entry() });
        assert_eq!(line.len(), LONGEST_ENTRY);
        assert!(line.ends_with("xxx... HTTP/1.1\" 200 1234"));
    }

    #[test]
    fn a_file_gets_the_lines() {
        let dir = Dir::new();
        let path = dir.0.join("access.log");
        let destination = Destination::parse(path.as_os_str());
        let log = AccessLog::open(destination, Format::Common).unwrap();
        log.add(&entry());
        log.add(&Entry { status: Some(404), ..entry() });
        log.flush();
        let text = std::fs::read_to_string(path).unwrap();
        let line = common(&entry());
        assert_eq!(text, format!("{line}\n{}\n", line.replace(" 200 ", " 404 ")));
    }

    proptest! {
        #[test]
        fn no_client_forges_a_line(
            user: Option<String>,
            method: String,
            target: String,
            known: bool,
            status: Option<u16>,
            sent: u64,
            referer: Option<Vec<u8>>,
            agent: Option<Vec<u8>>,
            syslog: bool,
        ) {
            let request = RequestLine { method: &method, target: &target, version: (1, 0) };
            let e = Entry {
                user: user.as_deref(),
                request: known.then_some(request),
                status,
                sent,
                referer: referer.as_deref(),
                agent: agent.as_deref(),
                ..entry()
            };
            let most = if syslog { Log::syslog().longest_entry() } else { LONGEST_ENTRY };
            for (format, count) in [(Format::Common, 7), (Format::Combined, 9)] {
                let line = format.line(&e, most);
                prop_assert!(line.len() <= most);
                prop_assert!(!line.contains(char::is_control));
                let fields = fields(&line);
                prop_assert_eq!(fields.len(), count, "{}", line);
                prop_assert_eq!((&*fields[0], &*fields[1]), ("192.168.1.2", "-"));
                prop_assert_eq!(&*fields[3], "22/Nov/2026:22:39:11 +0000");
                let number = |n: Option<String>| n.unwrap_or("-".into());
                prop_assert_eq!(&fields[5], &number(status.map(|s| s.to_string())));
                prop_assert_eq!(&fields[6], &number((sent > 0).then(|| sent.to_string())));
            }
        }
    }
}
