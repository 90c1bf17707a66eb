//! The request head: request line and header fields (RFC 9112, 2 to 6).

use memchr::memchr;

use super::search::Search;
use super::section::{FEW_FIELDS, Section};
use super::uri::{self, Target};
use super::{Span, is_tchar, is_token};
use crate::{Error, Result, Status};

/// As long as most heads are.
const FEW_BYTES: usize = 1024;

/// A parsed request head, standing on its own copy of the bytes.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// The request line, without its end.
    pub(crate) line: Vec<u8>,
    pub(crate) method: Span,
    pub(crate) raw_target: Span,
    pub(crate) target: Target,
    /// 0 or 1: later minor versions are served as 1.1.
    pub(crate) minor: u8,
    pub(crate) section: Section,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

impl Head {
    /// Parses `buf`, a complete head of at most `most_fields` fields, in place of the head that this was.
    ///
    /// What is in it already is not parsed again: the same request line, and the section that `search`
    /// knew, which has to be this one's. What cannot be parsed is not in it afterwards.
    pub(crate) fn parse(&mut self, buf: &[u8], search: &Search, most_fields: usize) -> Result {
        // httparse takes a bare LF for a line end; whoever stands before us may not.
        if search.bare {
            return Err(Error::Malformed("line end"));
        }
        let line_end = search.line.unwrap_or(0);
        let line = buf.get(..line_end).and_then(|line| line.strip_suffix(b"\r")).unwrap_or(&[]);
        if self.line.is_empty() || self.line != line {
            self.line.clear();
            let (method, raw_target, minor) = request_line(line)?;
            self.method = Span::of(line, method);
            self.raw_target = Span::of(line, raw_target);
            self.minor = minor;
            self.target = uri::target(line, self.raw_target, method)?;
            stand_on(&mut self.line, line);
        }
        let lines = if search.known { None } else { buf.get(line_end + 1..) };
        self.section.parse(lines, most_fields)?;
        (self.framing, self.keep_alive) = self.section.framing(self.minor)?;
        self.expects_continue = self.section.expects_continue() && self.minor > 0;
        Ok(())
    }

    /// Whether it takes no more memory than most. Names in lower case, once made, come to it.
    pub(crate) fn is_small(&self) -> bool {
        let left = FEW_BYTES.checked_sub(self.line.capacity());
        left.is_some_and(|left| self.section.is_within(left, FEW_FIELDS))
    }
}

/// Makes `own` a copy of `bytes`.
pub(super) fn stand_on(own: &mut Vec<u8>, bytes: &[u8]) {
    own.clear();
    // No more than that, or the room would soon be too large to be kept.
    own.reserve_exact(bytes.len());
    own.extend_from_slice(bytes);
}

/// How the request body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

impl Default for Framing {
    fn default() -> Self {
        Framing::Length(0)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(head: &[u8], most_fields: usize) -> Result<Head> {
        parse_in(Head::default(), head, most_fields).1
    }

    /// In the room of another one, the section of which may be known.
    fn parse_in(mut other: Head, head: &[u8], most_fields: usize) -> (bool, Result<Head>) {
        let mut search = Search::default();
        search.end(head, Some(&other.section));
        let parsed = other.parse(head, &search, most_fields);
        (search.known, parsed.map(|()| other))
    }

    fn parse_behind(other: &[u8], head: &[u8], most_fields: usize) -> (bool, Result<Head>) {
        parse_in(parse(other, 100).unwrap_or_default(), head, most_fields)
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
        let text = |span: Span| span.text(&head.line);
        assert_eq!(text(head.method), "GET");
        assert_eq!(text(head.raw_target), "http://h/p?q=1");
        assert_eq!(text(head.target.path), "/p");
        assert_eq!(text(head.target.query), "q=1");
        let fields: Vec<_> = head.section.names().zip(head.section.values()).collect();
        assert_eq!(fields, [("host", &b"h"[..]), ("x-one", b"a b"), ("x-one", b"")]);
        assert!(head.keep_alive && !head.expects_continue);
    }

    /// All that there is to see of it.
    fn shown(head: &Result<Head>) -> String {
        let names: Vec<_> = head.iter().flat_map(|head| head.section.names()).collect();
        format!("{names:?} {head:?}")
    }

    #[test]
    fn a_section_that_comes_again_is_known() {
        let fields = "Host: h\r\nX: 1\r\n\r\n";
        let [old, head] =
            ["GET /a HTTP/1.0", "PUT /bc?d HTTP/1.1"].map(|line| format!("{line}\r\n{fields}"));
        for (known, head, most) in [
            (true, head.clone(), 100),
            (true, head.clone() + "GET", 100),
            (true, head.clone(), 2),
            (true, head.clone(), 1),
            (true, head.replace("/bc", "/b c"), 100),
            (false, head.replace("X: 1", "X: 2"), 100),
            (false, head.replace("X: 1", "x: 1"), 100),
            (false, head.replace("X: 1\r", "X: 1"), 100),
            (false, head.replace("\r\n\r\n", "\r\nY:\r\n\r\n"), 100),
            (false, head[..head.len() - 1].to_owned(), 100),
        ] {
            let (was_known, again) = parse_behind(old.as_bytes(), head.as_bytes(), most);
            assert_eq!(was_known, known, "{head:?}");
            let head = head.strip_suffix("GET").unwrap_or(&head);
            assert_eq!(shown(&again), shown(&parse(head.as_bytes(), most)), "{head:?}");
        }
    }

    #[test]
    fn what_is_alike_is_not_the_same() {
        for [old, new] in [
            ["GET /a HTTP/1.1\r\nHost: h", "GET /A HTTP/1.1\r\nHost: h"],
            ["GET /a HTTP/1.1\r\nHost: h", "get /a HTTP/1.1\r\nHost: h"],
            ["GET /a HTTP/1.1\r\nHost: h", "GET /a HTTP/1.1\r\nHOST: h"],
            // What a section says is another thing in another version.
            ["GET / HTTP/1.1\r\nHost: h", "GET / HTTP/1.0\r\nHost: h"],
            ["GET / HTTP/1.0\r\nX: 1", "GET / HTTP/1.1\r\nX: 1"],
            [
                "GET / HTTP/1.0\r\nTransfer-Encoding: chunked",
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked",
            ],
            [
                "PUT / HTTP/1.0\r\nHost: h\r\nExpect: 100-continue",
                "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue",
            ],
            ["GET / HTTP/1.1\r\nHost: h\r\nX: \u{e4}", "GET / HTTP/1.1\r\nHost: h\r\nX: 1"],
        ] {
            for [old, new] in [[old, new], [new, old]] {
                // Half of a character, where there is one.
                let bytes = |text: &str| {
                    [text.as_bytes(), b"\r\n\r\n"]
                        .concat()
                        .into_iter()
                        .filter(|&b| b != 0xa4)
                        .collect::<Vec<_>>()
                };
                let (old, new) = (bytes(old), bytes(new));
                let before = parse(&old, 100);
                shown(&before);
                let (_, again) = parse_in(before.unwrap_or_default(), &new, 100);
                assert_eq!(shown(&again), shown(&parse(&new, 100)), "{old:?} {new:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_parsed_is_not_known() {
        let good = "GET /a HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n";
        for bad in [
            good.replace("/a", "b"),
            good.replace("GET", "G:T"),
            good.replace("X: 1", "Expect: tea"),
            good.replace("X: 1", "Content-Length: 1\r\nX"),
            good.replace("X: 1", "X: 1\r\nY: 1\r\nZ: 1"),
        ] {
            let mut head = parse(good.as_bytes(), 100).unwrap();
            let mut search = Search::default();
            search.end(bad.as_bytes(), Some(&head.section));
            assert!(head.parse(bad.as_bytes(), &search, 3).is_err(), "{bad:?}");
            let (_, again) = parse_in(head, good.as_bytes(), 100);
            assert_eq!(shown(&again), shown(&parse(good.as_bytes(), 100)), "{bad:?}");
        }
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
        /// Whatever was there before, a head is what it is by itself.
        #[test]
        fn the_head_before_changes_nothing(
            lines in proptest::collection::vec("(GET|get|HEAD) /[aA%]{0,2} HTTP/1[.][01]\r?\n", 2),
            sections in proptest::collection::vec("(Host: h\r\n|Host: i\r\n|HOST: h\r\n|connection: close\r\n|Expect: 100-continue\r\n|Content-Length: 1\r\n|Transfer-Encoding: chunked\r\n|X:\r?\n|X: \u{e4}\r\n|Cookie: a=[12]\r\n){0,3}\r\n", 1..3),
            odd in any::<bool>(),
            most in 1_usize..4,
        ) {
            let [old, new] = [0, 1].map(|i| {
                let mut bytes = format!("{}{}", lines[i], sections[i % sections.len()]).into_bytes();
                // Half of a character.
                bytes.retain(|&b| !odd || b != 0xa4);
                bytes
            });
            let before = parse(&old, 100);
            shown(&before);
            let (_, again) = parse_in(before.unwrap_or_default(), &new, most);
            prop_assert_eq!(shown(&again), shown(&parse(&new, most)));
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
