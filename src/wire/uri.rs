//! Request targets, paths and queries (RFC 9112, 3.2; RFC 3986).

use std::borrow::Cow;

use super::{Span, class};
use crate::{Error, Result};

/// The parts of a request target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// The authority of the absolute form, which outranks the Host field.
    pub(crate) authority: Option<Span>,
    /// The path, still encoded. It is `*` in the asterisk form.
    pub(crate) path: Span,
    /// What follows the `?`, still encoded.
    pub(crate) query: Span,
    /// The path is what [`path`] would make of it: nothing is encoded in it, and no segment is empty or
    /// begins with a dot.
    pub(crate) is_normal: bool,
}

/// The classes of all bytes of a text, but [`class::BEHIND_SLASH`] only of those that are behind a slash.
fn classes(text: &[u8]) -> u8 {
    let (mut all, mut before) = (0, 0);
    for &b in text {
        let class = class::of(b);
        all |= class & (!class::BEHIND_SLASH | (before & class::SLASH) << 1);
        before = class;
    }
    all
}

const BAD: Error = Error::Malformed("request target");

/// Takes apart the target that lies at `span` of `buf`.
pub(crate) fn target(buf: &[u8], span: Span, method: &[u8]) -> Result<Target> {
    let text = span.bytes(buf);
    if text.is_empty() || classes(text) & class::NO_TARGET != 0 {
        return Err(BAD);
    }
    if method == b"CONNECT" {
        return Err(Error::Status(crate::Status::NOT_IMPLEMENTED, "method CONNECT"));
    }
    if text == b"*" {
        let path = span;
        let target = Target { path, ..Target::default() };
        return if method == b"OPTIONS" { Ok(target) } else { Err(BAD) };
    }
    let (mut authority, mut rest) = (None, text);
    if !text.starts_with(b"/") {
        let absolute = ["http://", "https://"].iter().find_map(|scheme| {
            let (head, rest) = text.split_at_checked(scheme.len())?;
            head.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
        });
        let absolute = absolute.ok_or(BAD)?;
        let end = absolute.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(absolute.len());
        let (host, path) = absolute.split_at(end);
        if host.is_empty() || !is_host(host) {
            return Err(BAD);
        }
        (authority, rest) = (Some(Span::of(buf, host)), path);
    }
    let (path, query) = match rest.iter().position(|&b| b == b'?') {
        Some(at) => (rest.get(..at).unwrap_or(&[]), rest.get(at + 1..)),
        None => (rest, None),
    };
    let odd = class::ESCAPE | class::BEHIND_SLASH;
    let is_normal = path.starts_with(b"/") && classes(path) & odd == 0;
    let query = query.map(|query| Span::of(buf, query)).unwrap_or_default();
    Ok(Target { authority, path: Span::of(buf, path), query, is_normal })
}

/// Whether `value` is a host with an optional port (RFC 9110, 7.2). It may be empty.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let Some(address) = value.strip_prefix(b"[") else {
        let end = value.iter().position(|&b| class::of(b) & class::HOST == 0);
        let port = value.get(end.unwrap_or(value.len())..).unwrap_or(&[]);
        return match port {
            [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
            port => port.is_empty(),
        };
    };
    let Some(end) = address.iter().position(|&b| b == b']') else {
        return false;
    };
    let (address, rest) = address.split_at(end);
    let legal = |&b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    address.contains(&b':')
        && address.iter().all(legal)
        && match rest {
            [b']'] => true,
            [b']', b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
            _ => false,
        }
}

/// A path as the file system and every comparison have to see it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    /// Percent-decoded, then without `.`, `..` and empty segments.
    pub(crate) bytes: Vec<u8>,
    /// It had more `..` than segments before them.
    pub(crate) climbs: bool,
    /// It had a slash that was encoded, and so was no separator to whoever wrote it.
    pub(crate) hides_slash: bool,
}

/// Decodes and normalises a raw path. Bad escapes and NUL are errors.
pub(crate) fn path(raw: &[u8]) -> Result<Path> {
    if raw == b"*" {
        return Ok(Path { bytes: raw.to_vec(), ..Path::default() });
    }
    let mut hides_slash = false;
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        if b != b'%' {
            decoded.push(b);
            continue;
        }
        let (byte, after) = escape(after).ok_or(Error::Malformed("percent escape in the path"))?;
        if byte == 0 {
            return Err(Error::Malformed("NUL in the path"));
        }
        hides_slash |= byte == b'/';
        decoded.push(byte);
        rest = after;
    }
    let mut path = Path { bytes: Vec::with_capacity(raw.len() + 1), climbs: false, hides_slash };
    let mut open = false;
    for segment in decoded.split(|&b| b == b'/') {
        open = false;
        match segment {
            b"" | b"." => open = true,
            b".." => {
                open = true;
                match path.bytes.iter().rposition(|&b| b == b'/') {
                    Some(at) => path.bytes.truncate(at),
                    None => path.climbs = true,
                }
            }
            segment => {
                path.bytes.push(b'/');
                path.bytes.extend_from_slice(segment);
            }
        }
    }
    if open || path.bytes.is_empty() {
        path.bytes.push(b'/');
    }
    Ok(path)
}

/// The byte that two hexadecimal digits stand for, and what follows them.
fn escape(digits: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, rest @ ..] = digits else {
        return None;
    };
    let hex = |b: u8| char::from(b).to_digit(16);
    Some(((hex(*high)? << 4 | hex(*low)?) as u8, rest))
}

/// Percent-decodes what can be; the rest stays as it is.
pub(crate) fn unescape(raw: &[u8], plus_is_space: bool) -> Cow<'_, [u8]> {
    if !raw.iter().any(|&b| b == b'%' || (plus_is_space && b == b'+')) {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        match (b, escape(after)) {
            (b'%', Some((byte, after))) => {
                out.push(byte);
                rest = after;
            }
            (b'+', _) if plus_is_space => out.push(b' '),
            _ => out.push(b),
        }
    }
    Cow::Owned(out)
}

/// A name or value of a query, decoded; what is not UTF-8 in it shows as U+FFFD.
pub(crate) fn unescape_text(raw: &str) -> Cow<'_, str> {
    match unescape(raw.as_bytes(), true) {
        Cow::Borrowed(_) => Cow::Borrowed(raw),
        Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        }),
    }
}

/// Appends `path`, encoding all that is not a path's own (RFC 3986, 3.3).
pub(crate) fn push_escaped(out: &mut String, path: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &b in path {
        if b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&b) {
            out.push(b.into());
        } else {
            out.push('%');
            for nibble in [b >> 4, b & 15] {
                out.push(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0').into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(raw: &str) -> (String, bool, bool) {
        let path = path(raw.as_bytes()).unwrap();
        (String::from_utf8(path.bytes).unwrap(), path.climbs, path.hides_slash)
    }

    #[test]
    fn paths_are_decoded_once_and_normalised() {
        for (raw, bytes, climbs, hides_slash) in [
            ("/", "/", false, false),
            ("", "/", false, false),
            ("/a/b", "/a/b", false, false),
            ("//a///b//", "/a/b/", false, false),
            ("/a/./b/.", "/a/b/", false, false),
            ("/a/../b", "/b", false, false),
            ("/a/..", "/", false, false),
            ("/a/b/..", "/a/", false, false),
            ("/../a", "/a", true, false),
            ("/%2e%2E/a", "/a", true, false),
            ("/a/..%2f..%2Fetc", "/etc", true, true),
            ("/a%2Fb", "/a/b", false, true),
            ("/%252e%252e/a", "/%2e%2e/a", false, false),
            ("/a%20b%2Bc+d", "/a b+c+d", false, false),
            ("/...", "/...", false, false),
            ("/a\\..\\b", "/a\\..\\b", false, false),
            ("*", "*", false, false),
        ] {
            assert_eq!(normal(raw), (bytes.to_owned(), climbs, hides_slash), "{raw}");
        }
    }

    #[test]
    fn bad_escapes_and_nul_are_refused() {
        for raw in ["/%", "/%2", "/%zz", "/a%00", "/%00/b", "/%2g", "/% 2"] {
            assert!(path(raw.as_bytes()).is_err(), "{raw}");
        }
    }

    fn parts(text: &str, method: &str) -> Option<(Option<String>, String, String)> {
        let buf = text.as_bytes();
        let t = target(buf, Span::new(0, buf.len()), method.as_bytes()).ok()?;
        let text = |s: Span| s.text(buf).to_owned();
        Some((t.authority.map(text), text(t.path), text(t.query)))
    }

    #[test]
    fn targets_have_four_forms() {
        let some =
            |a: Option<&str>, p: &str, q: &str| Some((a.map(Into::into), p.into(), q.into()));
        assert_eq!(parts("/a?b?c", "GET"), some(None, "/a", "b?c"));
        assert_eq!(parts("/?", "GET"), some(None, "/", ""));
        assert_eq!(parts("http://h:80/a?q", "GET"), some(Some("h:80"), "/a", "q"));
        assert_eq!(parts("HTTPS://[::1]", "GET"), some(Some("[::1]"), "", ""));
        assert_eq!(parts("http://h?q", "GET"), some(Some("h"), "", "q"));
        assert_eq!(parts("*", "OPTIONS"), some(None, "*", ""));
        for (text, method) in [
            ("*", "GET"),
            ("h:80", "GET"),
            ("h:80", "CONNECT"),
            ("", "GET"),
            ("a/b", "GET"),
            ("/a#b", "GET"),
            ("/\u{e4}", "GET"),
            ("http:///a", "GET"),
            ("http://u@h/", "GET"),
            ("ftp://h/", "GET"),
        ] {
            assert_eq!(parts(text, method), None, "{text} {method}");
        }
    }

    #[test]
    fn hosts() {
        for ok in ["", "a", "a.b-c.example:80", "127.0.0.1", "[::1]", "[fe80::1]:8080", "a:", "%41"]
        {
            assert!(is_host(ok.as_bytes()), "{ok}");
        }
        for bad in
            ["a b", "a/b", "u@h", "a:b:c", "[::1", "a:8x", "a\\b", "[]", "[::1]x", "[a]", "::1"]
        {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
        for b in 0..=u8::MAX {
            let legal = b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:".contains(&b);
            assert_eq!(is_host(&[b]), legal, "{b}");
        }
    }

    #[test]
    fn queries_decode_plus_and_keep_what_is_no_escape() {
        assert_eq!(unescape_text("a+b%20c%2Bd%zz%"), "a b c+d%zz%");
        assert_eq!(unescape_text("%ff"), "\u{fffd}");
        assert!(matches!(unescape_text("plain"), Cow::Borrowed("plain")));
    }

    proptest! {
        #[test]
        fn no_path_leads_out(raw in "(/|\\.|%2[eEfF]|a|%41|\\\\){0,24}") {
            let path = path(raw.as_bytes()).unwrap();
            prop_assert!(path.bytes.starts_with(b"/"));
            prop_assert!(!path.bytes.windows(2).any(|w| w == b"//"));
            for segment in path.bytes.split(|&b| b == b'/') {
                prop_assert!(segment != b".." && segment != b".");
            }
        }

        #[test]
        fn what_is_normal_stays_as_it_is(
            raw in "/(/|\\.|%2[eEfF]|a|\\\\){0,9}",
            query in "(\\?[/.%a?]{0,5})?",
            host in "(http://h)?",
        ) {
            let text = format!("{host}{raw}{query}");
            let target = target(text.as_bytes(), Span::new(0, text.len()), b"GET").unwrap();
            let bytes = target.path.bytes(text.as_bytes());
            prop_assert_eq!(bytes, raw.as_bytes());
            prop_assert_eq!(target.query.text(text.as_bytes()), query.strip_prefix('?').unwrap_or(""));
            let odd = raw.contains('%') || raw.contains("//") || raw.contains("/.");
            prop_assert_eq!(target.is_normal, !odd);
            if target.is_normal {
                let bytes = bytes.to_vec();
                prop_assert_eq!(path(raw.as_bytes()).unwrap(), Path { bytes, ..Path::default() });
            }
        }

        #[test]
        fn what_is_escaped_comes_back(bytes in proptest::collection::vec(1_u8.., 0..40)) {
            let mut text = String::new();
            push_escaped(&mut text, &bytes);
            prop_assert_eq!(unescape(text.as_bytes(), false).into_owned(), bytes);
        }
    }
}
