//! Parameters of a field value: `form-data; name="file"; filename="a;b.bin"`.

use std::borrow::Cow;

use super::uri::unescape;

/// The parameter called `name` of a field value, its quotes and escapes taken off.
///
/// Of the extended forms, `name*=UTF-8''…` (RFC 8187) outranks the plain one, and continuations
/// `name*0=…; name*1=…` (RFC 2231) are joined. Between quotes, `\"` and `\\` are a quote and a
/// backslash, and every other backslash is itself, as browsers mean it. Nothing is stripped from a
/// file name: what the client says may hold `/` and `..`.
///
/// ```
/// use ecohttpd::param;
///
/// let value = r#"form-data; name="file"; filename="a;b.bin""#;
/// assert_eq!(param(value, "filename").as_deref(), Some("a;b.bin"));
/// assert_eq!(param(value, "size"), None);
/// assert_eq!(param("attachment; filename*=UTF-8''na%C3%AFve", "filename").unwrap(), "naïve");
/// ```
pub fn param<'a>(value: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let params = || Params { rest: value.split_once(';').map(|(_, rest)| rest) };
    let named = |key: &str, suffix: &str| {
        let (stem, tail) = key.split_at_checked(name.len()).unwrap_or(("", ""));
        stem.eq_ignore_ascii_case(name) && tail == suffix
    };
    let find = |suffix: &str| params().find(|(key, _)| named(key, suffix)).map(|(_, raw)| raw);
    find("*")
        .and_then(|raw| extended(raw.text, None))
        .map(Cow::Owned)
        .or_else(|| continued(find).map(Cow::Owned))
        .or_else(|| find("").map(Raw::unquote))
}

/// A parameter's value as it stands, without its quotes.
#[derive(Clone, Copy)]
struct Raw<'a> {
    text: &'a str,
    quoted: bool,
}

impl<'a> Raw<'a> {
    fn unquote(self) -> Cow<'a, str> {
        if !self.quoted || !(self.text.contains("\\\"") || self.text.contains("\\\\")) {
            return Cow::Borrowed(self.text);
        }
        let mut out = String::with_capacity(self.text.len());
        let mut chars = self.text.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, chars.peek()) {
                ('\\', Some(&next @ ('"' | '\\'))) => {
                    out.push(next);
                    chars.next();
                }
                _ => out.push(c),
            }
        }
        Cow::Owned(out)
    }
}

struct Params<'a> {
    rest: Option<&'a str>,
}

impl<'a> Iterator for Params<'a> {
    type Item = (&'a str, Raw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest?;
            let end = rest.find(['=', ';']).unwrap_or(rest.len());
            let (key, after) = rest.split_at_checked(end)?;
            let Some(after) = after.strip_prefix('=') else {
                // A word without a value is none of ours.
                self.rest = after.strip_prefix(';');
                continue;
            };
            let after = after.trim_ascii_start();
            let (raw, tail) = match after.strip_prefix('"') {
                Some(quoted) => {
                    // Where every quote is escaped, a backslash was meant as one: `"C:\"`.
                    let end = closing_quote(quoted).or_else(|| quoted.rfind('"'))?;
                    let (text, tail) = quoted.split_at_checked(end)?;
                    (Raw { text, quoted: true }, tail)
                }
                None => {
                    let end = after.find(';').unwrap_or(after.len());
                    let (text, tail) = after.split_at_checked(end)?;
                    (Raw { text: text.trim_ascii(), quoted: false }, tail)
                }
            };
            self.rest = tail.split_once(';').map(|(_, rest)| rest);
            return Some((key.trim_ascii(), raw));
        }
    }
}

/// Where the quoted text ends: at the first quote that no backslash escapes.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let closes = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        closes
    })
}

/// `charset'language'percent-encoded`; the charset is `known` in the later parts of a value.
fn extended(text: &str, known: Option<Charset>) -> Option<String> {
    let (charset, encoded) = match known {
        Some(charset) => (charset, text),
        None => {
            let (charset, rest) = text.split_once('\'')?;
            (Charset::named(charset)?, rest.split_once('\'')?.1)
        }
    };
    let bytes = unescape(encoded.as_bytes(), false);
    match charset {
        Charset::Utf8 => String::from_utf8(bytes.into_owned()).ok(),
        Charset::Latin1 => Some(bytes.iter().map(|&b| char::from(b)).collect()),
    }
}

#[derive(Clone, Copy)]
enum Charset {
    Utf8,
    Latin1,
}

impl Charset {
    fn named(name: &str) -> Option<Charset> {
        if name.eq_ignore_ascii_case("utf-8") {
            Some(Charset::Utf8)
        } else if name.eq_ignore_ascii_case("iso-8859-1") {
            Some(Charset::Latin1)
        } else {
            None
        }
    }
}

/// `name*0`, `name*1`, … joined; each may be encoded (`name*0*`) or not.
fn continued<'a>(find: impl Fn(&str) -> Option<Raw<'a>>) -> Option<String> {
    let mut charset = None;
    let mut out = String::new();
    for i in 0..100 {
        if let Some(raw) = find(&format!("*{i}")) {
            out += &raw.unquote();
        } else if let Some(raw) = find(&format!("*{i}*")) {
            out += &extended(raw.text, charset)?;
            if charset.is_none() {
                charset = Charset::named(raw.text.split('\'').next()?);
            }
        } else {
            return (i > 0).then_some(out);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(value: &str, name: &str, expected: Option<&str>) {
        assert_eq!(param(value, name).as_deref(), expected, "{value}");
    }

    #[test]
    fn whole_names_only() {
        let v = r#"form-data; filename="a;name=b"; name="file""#;
        check(v, "name", Some("file"));
        check(v, "NAME", Some("file"));
        check(v, "filename", Some("a;name=b"));
        check("multipart/form-data; charset=x; boundary=Z ; a=b", "boundary", Some("Z"));
        check("x; word; a = b", "a", Some("b"));
        check("form-data", "name", None);
        check("form-data; name=\"open", "name", None);
        check("form-data; filename=\"\"", "filename", Some(""));
    }

    #[test]
    fn quotes_and_backslashes() {
        check(r#"f; n="a\"b"; m="c""#, "n", Some("a\"b"));
        check(r#"f; n="a\"b"; m="c""#, "m", Some("c"));
        check(r#"f; n="C:\dir\file""#, "n", Some(r"C:\dir\file"));
        check(r#"f; n="a\\"; m=1"#, "n", Some(r"a\"));
        check(r#"f; n="a\\"; m=1"#, "m", Some("1"));
        check(r#"f; n="C:\""#, "n", Some(r"C:\"));
        check("f; n=\"a%22b\"", "n", Some("a%22b"));
        check("f; n=\"\u{fc}.txt\"", "n", Some("\u{fc}.txt"));
    }

    #[test]
    fn extended_forms() {
        check("f; n=plain; n*=UTF-8''%E2%82%AC%20rates", "n", Some("\u{20ac} rates"));
        check("f; n*=iso-8859-1'en'%A3%20rates", "n", Some("\u{a3} rates"));
        check("f; n*=utf-8''%ff; n=plain", "n", Some("plain"));
        check("f; n*=klingon''x; n=plain", "n", Some("plain"));
        check("f; n*0=\"a b\"; n*1=c; n*2=d", "n", Some("a bcd"));
        check("f; n*0*=UTF-8''%C3%A4; n*1*=%C3%B6; n*2=x%41", "n", Some("\u{e4}\u{f6}x%41"));
        check("f; n*1=b; n*0=a", "n", Some("ab"));
        check("f; n*1=b", "n", None);
    }

    proptest! {
        #[test]
        fn no_text_panics(value in "(form-data|;|=|\"|\\\\|name|\\*|0|'|UTF-8|%|%41| |\u{e4}){0,24}") {
            let _ = param(&value, "name");
        }
    }
}
