//! The request head: request line and header fields (RFC 9112, 2 to 6).

use memchr::memchr;

use super::uri::{self, Target};
use super::{Span, field, is_tchar, is_token, number};
use crate::{Error, Result, Status};

/// The most header fields there is room to parse, whatever the limit is set to.
pub(crate) const MOST_FIELDS: usize = 128;

/// As many as most requests have, for which less room is made first.
const FEW_FIELDS: usize = 16;

/// As long as most heads are.
const FEW_BYTES: usize = 1024;

/// A parsed request head, standing on its own copy of the bytes.
#[derive(Debug)]
pub(crate) struct Head {
    /// The head as it came, but for the field names, which are in lower case.
    pub(crate) bytes: Vec<u8>,
    pub(crate) method: Span,
    pub(crate) raw_target: Span,
    pub(crate) target: Target,
    /// 0 or 1: later minor versions are served as 1.1.
    pub(crate) minor: u8,
    pub(crate) fields: Vec<(Span, Span)>,
    /// The [`field::trace`] of every field.
    pub(crate) traces: u32,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

impl Head {
    /// What it stands on, for another one to stand on; nothing is left of this one.
    pub(crate) fn take_room(&mut self) -> Room {
        Room { bytes: std::mem::take(&mut self.bytes), fields: std::mem::take(&mut self.fields) }
    }

    /// Whether it takes no more memory than most.
    pub(crate) fn is_small(&self) -> bool {
        self.bytes.capacity() <= FEW_BYTES && self.fields.capacity() <= FEW_FIELDS
    }
}

/// The memory of a head that nobody needs any more.
#[derive(Debug, Default)]
pub(crate) struct Room {
    bytes: Vec<u8>,
    fields: Vec<(Span, Span)>,
}

/// How the request body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

/// Looks for the end of a head that comes in pieces, and at the ends of its lines.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// How far it has come, less the three bytes that may begin the end.
    from: usize,
    /// Where the first line ends, once that is known: before its LF.
    line: Option<usize>,
    /// A line ended with LF alone.
    bare: bool,
}

impl Search {
    /// Where the head at the start of `buf` ends, if all of it is there. What was there the last time
    /// still is.
    ///
    /// Line ends are taken for what they are meant to be; [`parse`] is strict.
    pub(crate) fn end(&mut self, buf: &[u8]) -> Option<usize> {
        let mut at = self.from;
        while let Some(ahead) = memchr(b'\n', buf.get(at..)?) {
            at += ahead + 1;
            let line = buf.get(..at - 1)?;
            self.line.get_or_insert(line.len());
            let stripped = line.strip_suffix(b"\r");
            self.bare |= stripped.is_none();
            if stripped.unwrap_or(line).last() == Some(&b'\n') {
                return Some(at);
            }
        }
        self.from = buf.len().saturating_sub(3);
        None
    }
}

/// Whether no request can begin like this. Tells garbage, and TLS, before it has an end.
pub(crate) fn is_hopeless(buf: &[u8]) -> bool {
    buf.first().is_some_and(|&b| !is_tchar(b))
}

/// Checks the request line, once all of it is there: whoever speaks another protocol need not wait
/// for the end of a head that will not come.
pub(crate) fn check_line(buf: &[u8]) -> Result {
    let Some(end) = memchr(b'\n', buf) else {
        return Ok(());
    };
    let line = buf.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    request_line(line.ok_or(Error::Malformed("line end"))?).map(drop)
}

/// How many bytes of empty lines precede the request line, which are to be ignored (RFC 9112, 2.2).
pub(crate) fn blank(buf: &[u8]) -> usize {
    if buf.starts_with(b"\r\n") { 2 } else { 0 }
}

/// Parses a complete head of at most `most_fields` header fields, the end of which was found by `search`.
/// It will stand in `room`.
pub(crate) fn parse(head: &[u8], search: &Search, most_fields: usize, room: Room) -> Result<Head> {
    // httparse takes a bare LF for a line end; whoever stands before us may not.
    if search.bare {
        return Err(Error::Malformed("line end"));
    }
    let line_end = search.line.unwrap_or(0);
    let line = head.get(..line_end).and_then(|line| line.strip_suffix(b"\r")).unwrap_or(&[]);
    let (method, raw_target, minor) = request_line(line)?;

    let span = |part: &[u8]| Span::of(head, part);
    let (method, raw_target) = (span(method), span(raw_target));
    let target = uri::target(head, raw_target, method.bytes(head))?;
    let lines = head.get(line_end + 1..).unwrap_or(&[]);
    let most_fields = most_fields.min(MOST_FIELDS);
    let mut few = [httparse::EMPTY_HEADER; FEW_FIELDS];
    let few = few.get_mut(..most_fields.min(FEW_FIELDS)).unwrap_or(&mut []);
    let Room { mut bytes, fields: mut spans } = room;
    let (traces, seen) = match fields(head, lines, few, &mut spans)? {
        Some(fields) => fields,
        None => {
            fields(head, lines, &mut vec![httparse::EMPTY_HEADER; most_fields], &mut spans)?.ok_or(
                Error::Status(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, "too many header fields"),
            )?
        }
    };
    let (framing, keep_alive) = seen.decide(minor)?;

    bytes.clear();
    // No more than that, or the room would soon be too large to be kept.
    bytes.reserve_exact(head.len());
    bytes.extend_from_slice(head);
    for (name, _) in &spans {
        if let Some(name) = bytes.get_mut(name.range()) {
            name.make_ascii_lowercase();
        }
    }
    Ok(Head {
        bytes,
        method,
        raw_target,
        target,
        minor,
        fields: spans,
        traces,
        framing,
        keep_alive,
        expects_continue: seen.expects_continue && minor > 0,
    })
}

/// Parses the lines of fields that end `head`, and says what they come to; nothing if there are more of
/// them than there is `room`.
fn fields<'a>(
    head: &'a [u8],
    lines: &'a [u8],
    room: &mut [httparse::Header<'a>],
    spans: &mut Vec<(Span, Span)>,
) -> Result<Option<(u32, Seen)>> {
    let fields = match httparse::parse_headers(lines, room) {
        Ok(httparse::Status::Complete((used, fields))) if used == lines.len() => fields,
        Err(httparse::Error::TooManyHeaders) => return Ok(None),
        _ => return Err(Error::Malformed("header field")),
    };
    let mut seen = Seen::default();
    spans.clear();
    spans.reserve_exact(fields.len());
    let mut traces = 0;
    for field in fields {
        // The parser takes nothing but tokens for names.
        let (name, value) = (field.name.as_bytes(), field.value.trim_ascii_end());
        seen.field(field.name, value)?;
        traces |= field::trace(name);
        spans.push((Span::of(head, name), Span::of(head, value)));
    }
    Ok(Some((traces, seen)))
}

/// What is before the one space of a request line, between that and the other, which has to be in its place,
/// and from there on.
fn words(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (words, version) = line.split_at_checked(line.len().checked_sub(" HTTP/1.1".len())?)?;
    let space = words.iter().position(|&b| b == b' ')?;
    let (method, target) = (words.get(..space)?, words.get(space + 1..)?);
    (!target.contains(&b' ')).then_some((method, target, version))
}

fn request_line(line: &[u8]) -> Result<(&[u8], &[u8], u8)> {
    const BAD: Error = Error::Malformed("request line");
    let Some((method, target, version)) = words(line) else {
        return Err(BAD);
    };
    if !is_token(method) {
        return Err(BAD);
    }
    match version {
        [b' ', b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] => {
            if *major != b'1' {
                return Err(Error::Status(Status::HTTP_VERSION_NOT_SUPPORTED, "HTTP version"));
            }
            Ok((method, target, u8::from(*minor > b'0')))
        }
        _ => Err(BAD),
    }
}

/// What the fields say about the message as a whole.
#[derive(Default)]
struct Seen {
    hosts: u8,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Seen {
    fn field(&mut self, name: &str, value: &[u8]) -> Result {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("content-length") {
            // Even two equal ones: somebody before us may have added one of them.
            let length = number(value).filter(|_| self.length.is_none());
            self.length = Some(length.ok_or(Error::Malformed("content-length"))?);
        } else if is("transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Error::Malformed("transfer-encoding"));
            }
            self.chunked = true;
        } else if is("host") {
            self.hosts = self.hosts.saturating_add(1);
            if self.hosts > 1 || !uri::is_host(value) {
                return Err(Error::Malformed("host"));
            }
        } else if is("connection") {
            let value = std::str::from_utf8(value).unwrap_or("");
            for option in field::list(value) {
                self.close |= option.eq_ignore_ascii_case("close");
                self.keep_alive |= option.eq_ignore_ascii_case("keep-alive");
            }
        } else if is("expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Error::Status(Status::EXPECTATION_FAILED, "expectation"));
            }
            self.expects_continue = true;
        }
        Ok(())
    }

    fn decide(&self, minor: u8) -> Result<(Framing, bool)> {
        if minor > 0 && self.hosts == 0 {
            return Err(Error::Malformed("host: there is none"));
        }
        let framing = match (self.length, self.chunked) {
            (Some(_), true) => return Err(Error::Malformed("body framing: two at once")),
            (None, true) if minor == 0 => return Err(Error::Malformed("transfer-encoding")),
            (None, true) => Framing::Chunked,
            (length, false) => Framing::Length(length.unwrap_or(0)),
        };
        Ok((framing, !self.close && (minor > 0 || self.keep_alive)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(head: &[u8], most_fields: usize) -> Result<Head> {
        let mut search = Search::default();
        search.end(head);
        super::parse(head, &search, most_fields, Room::default())
    }

    fn status(head: &str) -> u16 {
        match parse(head.as_bytes(), 100) {
            Ok(_) => 200,
            Err(e) => e.status().unwrap().code(),
        }
    }

    fn with(fields: &str) -> String {
        format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n")
    }

    #[test]
    fn request_lines() {
        for (line, code) in [
            ("GET / HTTP/1.1", 200),
            ("GET / HTTP/1.2", 200),
            ("BREW /pot HTTP/1.1", 200),
            ("GET /a b HTTP/1.1", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET / HTTP/1.1 ", 400),
            (" GET / HTTP/1.1", 400),
            ("GET /", 400),
            ("GET", 400),
            ("", 400),
            ("GET / http/1.1", 400),
            ("GET / HTTP/1.1x", 400),
            ("GET / HTTP/01.1", 400),
            ("GET / HTTP/1.", 400),
            ("GET / HTTP/1,1", 400),
            ("GET\t/ HTTP/1.1", 400),
            ("GET / HTTP/1.1\rX", 400),
            ("GET / HTTP/1.1\r", 400),
            ("GET /\r HTTP/1.1", 400),
            ("G(T / HTTP/1.1", 400),
            ("GET /\0 HTTP/1.1", 400),
            ("GET / HTTP/2.0", 505),
            ("GET /a b HTTP/2.0", 400),
            ("GET / HTTP/0.9", 505),
            ("CONNECT h:80 HTTP/1.1", 501),
        ] {
            assert_eq!(status(&format!("{line}\r\nHost: h\r\n\r\n")), code, "{line:?}");
        }
    }

    #[test]
    fn a_request_line_is_checked_as_soon_as_it_is_there() {
        for (text, fine) in [
            ("", true),
            ("GET / HT", true),
            ("GET / HTTP/1.1\r\nHo", true),
            ("SSH-2.0-OpenSSH_9.2\r\n", false),
            ("GET /\r\nHo", false),
            ("GET  / HTTP/1.1\r\nHo", false),
            ("GET /a b HTTP/1.1\r\nHo", false),
            ("GET / HTTP/1.1 \r\nHo", false),
            ("GET / HTTP/1.1\nHo", false),
        ] {
            assert_eq!(check_line(text.as_bytes()).is_ok(), fine, "{text:?}");
        }
    }

    #[test]
    fn framing_is_unambiguous() {
        for (fields, code) in [
            ("Content-Length: 5", 200),
            ("Content-Length: 9223372036854775807", 200),
            ("Transfer-Encoding: ChunKed", 200),
            ("Content-Length: 5\r\nContent-Length: 5", 400),
            ("Content-Length: 5, 5", 400),
            ("Content-Length: +5", 400),
            ("Content-Length: -5", 400),
            ("Content-Length: 0x5", 400),
            ("Content-Length:", 400),
            ("Content-Length: 9223372036854775808", 400),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
            ("Transfer-Encoding: gzip, chunked", 400),
            ("Transfer-Encoding: identity", 400),
            ("Transfer-Encoding: \u{b}chunked", 400),
            ("Transfer-Encoding : chunked", 400),
            ("Transfer-Encoding:\r\n chunked", 400),
        ] {
            assert_eq!(status(&with(fields)), code, "{fields:?}");
        }
        assert_eq!(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
    }

    #[test]
    fn fields_are_strict() {
        for (fields, code) in [
            ("X: \u{e4}", 200),
            ("X:", 200),
            ("X:y", 200),
            ("X : y", 400),
            ("X\t: y", 400),
            (": y", 400),
            ("X y: z", 400),
            ("X[]: y", 400),
            ("NoColon", 400),
            ("X: a\u{1}b", 400),
            ("X: a\u{7f}b", 400),
            ("X: a\0b", 400),
            ("X: a\rb", 400),
            ("X: y\n", 400),
            ("X: y\nZ: w", 400),
            ("X: y\r\n fold", 400),
            ("Host: h", 400),
            ("Expect: 100-Continue", 200),
            ("Expect: tea", 417),
        ] {
            assert_eq!(status(&with(fields)), code, "{fields:?}");
        }
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400, "no host");
        assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), 200, "no host in 1.0");
        assert_eq!(status("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\n Host: h\r\n\r\n"), 400, "leading space");
        assert_eq!(status(&with(&vec!["X: y"; 99].join("\r\n"))), 200);
        assert_eq!(status(&with(&vec!["X: y"; 100].join("\r\n"))), 431);
    }

    #[test]
    fn field_names_are_tokens() {
        for b in 0..=u8::MAX {
            for (before, after) in [("", "a"), ("a", ""), ("abcdefghi", "b")] {
                let mut head = b"GET / HTTP/1.1\r\nHost: h\r\n".to_vec();
                head.extend([before.as_bytes(), &[b], after.as_bytes(), b": 1\r\n\r\n"].concat());
                // A colon ends the name, if there is one.
                let is_name = is_tchar(b) || b == b':' && !before.is_empty();
                assert_eq!(parse(&head, 9).is_ok(), is_name, "{before}{:?}{after}", char::from(b));
            }
        }
    }

    #[test]
    fn a_head_is_taken_apart() {
        let raw = b"GET http://h/p?q=1 HTTP/1.1\r\nHOST: h\r\nX-One:  a b \t\r\nX-One:\r\n\r\n";
        let head = parse(raw, 100).unwrap();
        let text = |span: Span| span.text(&head.bytes);
        assert_eq!(text(head.method), "GET");
        assert_eq!(text(head.raw_target), "http://h/p?q=1");
        assert_eq!(text(head.target.path), "/p");
        assert_eq!(text(head.target.query), "q=1");
        let fields: Vec<_> = head.fields.iter().map(|&(n, v)| (text(n), text(v))).collect();
        assert_eq!(fields, [("host", "h"), ("x-one", "a b"), ("x-one", "")]);
        assert!(head.keep_alive && !head.expects_continue);
    }

    #[test]
    fn persistence() {
        let keeps = |text: &str| parse(text.as_bytes(), 100).unwrap().keep_alive;
        assert!(keeps("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, CLOSE\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
        assert!(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n"));
    }

    proptest! {
        /// Wherever the bytes are cut on their way, the head ends at the same place.
        #[test]
        fn any_cut_finds_the_same_end(
            lines in proptest::collection::vec("[ -~]{0,6}", 0..5),
            rest in "[a-z\r\n]{0,8}",
            cuts in proptest::collection::vec(1_usize..9, 0..40),
            lf in any::<bool>(),
        ) {
            let eol = if lf { "\n" } else { "\r\n" };
            let lines: Vec<_> = lines.into_iter().filter(|l| !l.is_empty()).collect();
            let text = format!("G{eol}{}{eol}{rest}", lines.iter().map(|l| format!("{l}{eol}")).collect::<String>());
            let (mut search, mut pieces) = (Search::default(), Search::default());
            let whole = search.end(text.as_bytes());
            let mut have = 0;
            let mut cuts = cuts.into_iter();
            let mut found = None;
            while found.is_none() && have < text.len() {
                have = (have + cuts.next().unwrap_or(3)).min(text.len());
                found = pieces.end(&text.as_bytes()[..have]);
            }
            prop_assert_eq!(found, whole);
            prop_assert_eq!((search.bare, pieces.bare), (lf, lf));
            prop_assert_eq!((search.line, pieces.line), (text.find('\n'), text.find('\n')));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, 100);
        }

        #[test]
        fn no_near_miss_panics(text in "(GET|POST|\\*|/|a|%|:|\r|\n|\r\n| |HTTP/1.1|Host|Content-Length|[0-9]){0,30}\r\n\r\n") {
            let _ = parse(text.as_bytes(), 100);
        }
    }
}
