//! The head of what a script answers (RFC 3875, 6): header lines that end in LF or CRLF.

use ecohttpd::Status;
use memchr::memchr;

use crate::text::quoted;

/// What a head may have, in bytes.
pub(crate) const MOST: usize = 1 << 14;

/// Fields that are about the connection (RFC 9110, 7.6.1), which is none of a script's.
const HOP_BY_HOP: [&str; 5] = ["keep-alive", "proxy-connection", "te", "trailer", "upgrade"];

/// What a script says of its answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: Option<(Status, String)>,
    /// Names and values in their order; those that frame the message are not among them.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) length: Option<u64>,
    pub(crate) closes: bool,
}

/// The end of a head in `bytes`, with the blank line, if it is there.
pub(crate) fn end(bytes: &[u8]) -> Option<usize> {
    let mut line = 0;
    loop {
        let rest = bytes.get(line..)?;
        let len = memchr(b'\n', rest)?;
        line += len + 1;
        if matches!(rest.get(..len), Some(b"" | b"\r")) {
            return Some(line);
        }
    }
}

impl Head {
    /// Parses a head, which ends with its blank line.
    ///
    /// # Errors
    ///
    /// Says what is no header.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Head, String> {
        let mut head = Head::default();
        for line in bytes.split(|&b| b == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue; // the blank line
            }
            let colon = memchr(b':', line).ok_or_else(|| shown("no header", line))?;
            let (name, value) = line.split_at_checked(colon).unwrap_or((line, b":"));
            let value = value.get(1..).unwrap_or(&[]).trim_ascii();
            let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
            let control = |b: &u8| (*b < b' ' && *b != b'\t') || *b == 0x7f;
            if name.is_empty() || !name.iter().all(token) || value.iter().any(control) {
                return Err(shown("no header", line));
            }
            head.add(&String::from_utf8_lossy(name), value).ok_or_else(|| shown("bad", line))?;
        }
        Ok(head)
    }

    fn add(&mut self, name: &str, value: &[u8]) -> Option<()> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("status") {
            let text = String::from_utf8_lossy(value);
            let (code, reason) = text.split_at_checked(3)?;
            let code = Some(code).filter(|code| code.bytes().all(|b| b.is_ascii_digit()))?;
            let code: u16 = code.parse().ok().filter(|code| (200..=999).contains(code))?;
            if !reason.is_empty() && !reason.starts_with(' ') {
                return None;
            }
            self.status = Some((Status::new(code).ok()?, reason.trim_ascii().to_owned()));
        } else if is("content-length") {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()?;
            if self.length.is_some_and(|length| length != number) {
                return None;
            }
            self.length = Some(number);
        } else if is("transfer-encoding") {
            // The script has framed the body itself, which is not for it to do.
            return None;
        } else if is("connection") {
            self.closes = value.eq_ignore_ascii_case(b"close");
        } else if !HOP_BY_HOP.iter().any(|name| is(name)) {
            self.fields.push((name.to_owned(), value.to_vec()));
        }
        Some(())
    }

    /// The value of the first field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &value[..])
    }

    /// The path on this server from which the answer is to be taken instead (RFC 3875, 6.2.2). A
    /// script that says anything else beside it wants the client to know.
    pub(crate) fn local_redirect(&self) -> Option<&str> {
        let location = std::str::from_utf8(self.field("location")?).ok()?;
        let alone = self.status.is_none()
            && self.fields.iter().all(|(name, _)| {
                name.eq_ignore_ascii_case("location") || name.eq_ignore_ascii_case("content-type")
            });
        (alone && location.starts_with('/') && !location.starts_with("//")).then_some(location)
    }
}

/// What was wrong with a line, and some of the line.
fn shown(what: &str, line: &[u8]) -> String {
    let line = line.get(..60).unwrap_or(line);
    format!("{what}: {}", quoted(line))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Head {
        Head::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn heads_end_with_a_blank_line() {
        assert_eq!(end(b"A: b\n\nbody"), Some(6));
        assert_eq!(end(b"A: b\r\n\r\nbody"), Some(8));
        assert_eq!(end(b"A: b\r\n\nbody"), Some(7));
        assert_eq!(end(b"\nbody"), Some(1));
        assert_eq!(end(b"A: b\n"), None);
        assert_eq!(end(b"A: b\n\r"), None);
        assert_eq!(end(b""), None);
    }

    #[test]
    fn fields_are_told_apart() {
        let head = parsed(
            "Status: 404 Not here\r\nContent-Type:text/plain\nset-cookie: a=1\nSet-Cookie: b=2\r\n\
             Content-Length: 5\nConnection: close\nX:\n\n",
        );
        let (status, reason) = head.status.clone().unwrap();
        assert_eq!((status.code(), reason.as_str()), (404, "Not here"));
        assert_eq!((head.length, head.closes), (Some(5), true));
        let names: Vec<_> = head.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Content-Type", "set-cookie", "Set-Cookie", "X"]);
        assert_eq!(head.field("CONTENT-type"), Some(&b"text/plain"[..]));
        assert_eq!(parsed("sTATUS: 204\n\n").status.unwrap().1, "");
        assert_eq!(parsed("\n"), Head::default());
        assert_eq!(parsed("X-A: \u{e9}\n\n").field("x-a"), Some("\u{e9}".as_bytes()));
    }

    #[test]
    fn what_is_no_head_is_named() {
        for bad in [
            "this is no header\n\n",
            ": x\n\n",
            "A b: x\n\n",
            "A: x\ry\n\n",
            "A: x\0\n\n",
            " folded: x\n\n",
            "Status: 40\n\n",
            "Status: abc\n\n",
            "Status: 4040\n\n",
            "Status: 101 Switching\n\n",
            "Status: +20\n\n",
            "Content-Length: x\n\n",
            "Content-Length: +5\n\n",
            "Content-Length: 5\nContent-Length: 6\n\n",
            "Transfer-Encoding: chunked\n\n",
        ] {
            assert!(Head::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn local_redirects_say_nothing_else() {
        let local = |text: &str| parsed(text).local_redirect().map(str::to_owned);
        assert_eq!(local("Location: /x?y\n\n").as_deref(), Some("/x?y"));
        assert_eq!(local("Content-Type: a/b\nLocation: /x\n\n").as_deref(), Some("/x"));
        assert_eq!(local("Location: //evil/x\n\n"), None);
        assert_eq!(local("Location: http://h/x\n\n"), None);
        assert_eq!(local("Status: 302 Found\nLocation: /x\n\n"), None);
        assert_eq!(local("Set-Cookie: a=b\nLocation: /x\n\n"), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = end(&bytes);
            let _ = Head::parse(&bytes);
        }

        #[test]
        fn whatever_is_parsed_can_be_sent(text in "([A-Za-z: \\-\r\n\t\u{0}-\u{20}]{0,40}\n){0,5}\n") {
            if let Ok(head) = Head::parse(text.as_bytes()) {
                for (name, value) in head.fields {
                    prop_assert!(!name.is_empty() && !name.contains([' ', ':', '\r', '\n']));
                    prop_assert!(!value.iter().any(|b| b"\r\n\0".contains(b)));
                }
            }
        }
    }
}
