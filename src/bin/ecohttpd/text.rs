//! What lines of logs consist of: dates, and text that cannot forge a line.

use std::time::{Duration, SystemTime};

/// The last second of the year 9999; `httpdate` panics beyond it, and before 1970.
const LAST: u64 = 253_402_300_799;

/// A date in UTC, `Sun, 22 Nov 2026 22:39:11 GMT`, and its parts.
pub(crate) struct Date(String);

impl Date {
    /// That of this moment.
    pub(crate) fn now() -> Date {
        Date::new(SystemTime::now())
    }

    /// That of `when`, or the nearest of the years 1970 to 9999.
    pub(crate) fn new(when: SystemTime) -> Date {
        let seconds = when.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let when = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.min(LAST)));
        Date(httpdate::fmt_http_date(when.unwrap_or(SystemTime::UNIX_EPOCH)))
    }

    /// Two digits.
    pub(crate) fn day(&self) -> &str {
        self.0.get(5..7).unwrap_or_default()
    }

    /// Three letters.
    pub(crate) fn month(&self) -> &str {
        self.0.get(8..11).unwrap_or_default()
    }

    /// Four digits.
    pub(crate) fn year(&self) -> &str {
        self.0.get(12..16).unwrap_or_default()
    }

    /// Hours, minutes and seconds, with colons between them.
    pub(crate) fn time(&self) -> &str {
        self.0.get(17..25).unwrap_or_default()
    }
}

/// Where in a line a text is to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At its end, where nothing can be mistaken for what follows.
    Message,
    /// Between quotes.
    Quoted,
    /// Between spaces, before the brackets of a date.
    Word,
}

/// What stands for the rest of a text that is too long.
const REST: &str = "...";

/// Appends `text` in no more than `most` bytes, three at the least, and so that it ends neither the
/// line nor its place in it: quotes get a backslash, and what is no text becomes `\xHH`.
pub(crate) fn escape(out: &mut String, text: &[u8], most: usize, place: Place) {
    let start = out.len();
    // Up to where it can stay if there is more than fits.
    let mut kept = start;
    let mut fits = |out: &mut String| {
        let len = out.len() - start;
        if len + REST.len() <= most {
            kept = out.len();
        } else if len > most {
            out.truncate(kept);
            out.push_str(REST);
            return false;
        }
        true
    };
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' if place != Place::Message => out.extend(['\\', c]),
                c if is_unseen(c) || (place == Place::Word && matches!(c, ' ' | '[' | ']')) => {
                    c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| hex(out, b));
                }
                c => out.push(c),
            }
            if !fits(out) {
                return;
            }
        }
        for &b in chunk.invalid() {
            hex(out, b);
            if !fits(out) {
                return;
            }
        }
    }
}

/// Whether nothing is seen of it but what it does to the text around it, like a mark of the order of
/// bytes or of the direction of writing.
fn is_unseen(c: char) -> bool {
    let marks = ['\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2060}'..='\u{206f}'];
    c.is_control() || c == '\u{feff}' || marks.iter().any(|range| range.contains(&c))
}

/// All of a text between quotes, for a message.
pub(crate) fn quoted(text: &[u8]) -> String {
    let mut out = String::from('"');
    escape(&mut out, text, usize::MAX, Place::Quoted);
    out + "\""
}

fn hex(out: &mut String, byte: u8) {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    out.extend(['\\', 'x', digit(byte >> 4), digit(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &[u8], most: usize, place: Place) -> String {
        let mut out = String::from("before ");
        escape(&mut out, text, most, place);
        out.strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn what_could_end_a_line_or_a_field_is_escaped() {
        let text = b"a \"b\" \\ \n\r\t\x00\x7f \xff\xc3 \xc2\x85 \xc3\xa4";
        assert_eq!(
            escaped(text, 1000, Place::Quoted),
            r#"a \"b\" \\ \x0a\x0d\x09\x00\x7f \xff\xc3 \xc2\x85 ä"#
        );
        assert_eq!(
            escaped(text, 1000, Place::Message),
            r#"a "b" \ \x0a\x0d\x09\x00\x7f \xff\xc3 \xc2\x85 ä"#
        );
        assert_eq!(escaped(b"a [b]", 1000, Place::Word), r"a\x20\x5bb\x5d");
        let text = "\u{feff}a\u{202e}b".as_bytes();
        assert_eq!(escaped(text, 1000, Place::Message), r"\xef\xbb\xbfa\xe2\x80\xaeb");
        assert_eq!(escaped(b"", 0, Place::Quoted), "");
    }

    #[test]
    fn what_is_too_long_is_cut_between_two_characters() {
        for (text, most, cut) in [
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abc..."),
            ("abä", 4, "abä"),
            ("abäcdef", 6, "ab..."),
            ("ab\ncdef", 9, r"ab\x0a..."),
            ("ab\ncdefg", 8, "ab..."),
            ("ab\"\"\"", 8, r#"ab\"\"\""#),
            ("ab\"\"\"", 7, r#"ab\"..."#),
            ("abc", 0, "..."),
        ] {
            assert_eq!(escaped(text.as_bytes(), most, Place::Quoted), cut, "{text:?} in {most}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_escaped_forges_a_line(text: Vec<u8>, most in 3..200_usize) {
            for place in [Place::Message, Place::Quoted, Place::Word] {
                let out = escaped(&text, most, place);
                prop_assert!(out.len() <= most);
                prop_assert!(!out.contains(char::is_control));
                prop_assert!(place != Place::Word || !out.contains([' ', '[', ']']));
                if place != Place::Message {
                    let mut rest = out.chars();
                    while let Some(c) = rest.next() {
                        prop_assert_ne!(c, '"');
                        if c == '\\' {
                            prop_assert!(matches!(rest.next(), Some('"' | '\\' | 'x')), "{}", out);
                        }
                    }
                }
            }
        }

        #[test]
        fn no_date_panics(seconds: u64, before: bool) {
            let span = Duration::from_secs(seconds);
            let epoch = SystemTime::UNIX_EPOCH;
            let when = if before { epoch.checked_sub(span) } else { epoch.checked_add(span) };
            if let Some(when) = when {
                let date = Date::new(when);
                prop_assert_eq!(date.0.len(), 29);
                prop_assert!(!before || seconds == 0 || date.year() == "1970");
            }
        }
    }

    #[test]
    fn a_date_has_its_parts() {
        let date = Date::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_387_151));
        assert_eq!(date.0, "Sun, 22 Nov 2026 22:39:11 GMT");
        assert_eq!(
            (date.day(), date.month(), date.year(), date.time()),
            ("22", "Nov", "2026", "22:39:11")
        );
    }
}
