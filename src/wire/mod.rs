//! The wire format: what bytes mean, and nothing about where they come from.
//!
//! Pure and synchronous; knows no socket, no clock and no file.

pub(crate) mod body;
pub(crate) mod coding;
pub(crate) mod condition;
pub(crate) mod date;
pub(crate) mod field;
pub(crate) mod head;
pub(crate) mod mime;
pub(crate) mod multipart;
pub(crate) mod param;
pub(crate) mod range;
pub(crate) mod search;
pub(crate) mod section;
pub(crate) mod status;
pub(crate) mod uri;

/// A stretch of a buffer of less than 64 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && end <= usize::from(u16::MAX));
        Span { start: start as u16, end: end as u16 }
    }

    /// Where `part` lies in `whole`, of which it is a subslice.
    pub(crate) fn of(whole: &[u8], part: &[u8]) -> Span {
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        Span::new(start, start + part.len())
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start.into()..self.end.into()
    }

    pub(crate) fn bytes(self, buf: &[u8]) -> &[u8] {
        buf.get(self.range()).unwrap_or(&[])
    }

    /// The bytes as text; empty where they are none.
    pub(crate) fn text(self, buf: &[u8]) -> &str {
        std::str::from_utf8(self.bytes(buf)).unwrap_or("")
    }
}

/// What a byte of a head may be a part of, a bit for each: that is asked for every one of them.
pub(crate) mod class {
    /// Tokens, of which methods and field names are made (RFC 9110, 5.6.2).
    pub(crate) const TOKEN: u8 = 1;
    /// The name of a host: unreserved, pct-encoded and sub-delims of RFC 3986.
    pub(crate) const HOST: u8 = 2;
    /// Nothing that a request target has. A fragment is never sent; visible ASCII is what browsers send,
    /// some of it beyond RFC 3986.
    pub(crate) const NO_TARGET: u8 = 4;
    /// What begins an escape in a path.
    pub(crate) const ESCAPE: u8 = 8;
    /// A slash.
    pub(crate) const SLASH: u8 = 16;
    /// What no segment of a path begins with that is as it should be.
    pub(crate) const BEHIND_SLASH: u8 = SLASH << 1;

    static CLASSES: [u8; 256] = table();

    const fn table() -> [u8; 256] {
        let (mut table, mut i) = ([0; 256], 0);
        while i < 256 {
            #[allow(clippy::indexing_slicing, reason = "at compile time")]
            (table[i] = of_byte(i as u8));
            i += 1;
        }
        table
    }

    const fn of_byte(b: u8) -> u8 {
        let name = b.is_ascii_alphanumeric();
        let token = name || has(b"!#$%&'*+-.^_`|~", b);
        let host = name || has(b"-._~%!$&'()*+,;=", b);
        (if token { TOKEN } else { 0 })
            | if host { HOST } else { 0 }
            | if b.is_ascii_graphic() && b != b'#' { 0 } else { NO_TARGET }
            | match b {
                b'%' => ESCAPE,
                b'/' => SLASH | BEHIND_SLASH,
                b'.' => BEHIND_SLASH,
                _ => 0,
            }
    }

    const fn has(bytes: &[u8], b: u8) -> bool {
        match bytes {
            [first, rest @ ..] => *first == b || has(rest, b),
            [] => false,
        }
    }

    /// Those of `b`.
    pub(crate) fn of(b: u8) -> u8 {
        CLASSES.get(usize::from(b)).copied().unwrap_or(0)
    }
}

/// A character of a token (RFC 9110, 5.6.2).
pub(crate) fn is_tchar(b: u8) -> bool {
    class::of(b) & class::TOKEN != 0
}

/// Whether `bytes` are a token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_tchar(b))
}

/// Whether a field value may hold `b`: visible, obs-text, space and tab (RFC 9110, 5.5).
pub(crate) fn is_value_byte(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7f)
}

/// A number of nothing but digits, up to what a file can be long.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u64, |n, b| {
            let digit = u64::from(b.wrapping_sub(b'0'));
            n.checked_mul(10)?.checked_add(digit).filter(|_| digit < 10)
        })
        .filter(|&n| n <= i64::MAX as u64)
}

/// What a number has at most.
pub(crate) const MOST_DIGITS: usize = 20;

/// Appends `n` in decimal, without the formatting machinery.
pub(crate) fn push_number(out: &mut Vec<u8>, n: u64) {
    let mut digits = [0; MOST_DIGITS];
    let at = write_number(&mut digits, n);
    out.extend_from_slice(digits.get(at..).unwrap_or(&[]));
}

/// Writes `n` likewise at the end of `room`, and says where in that it begins.
pub(crate) fn write_number(room: &mut [u8], mut n: u64) -> usize {
    let mut at = room.len();
    for (i, digit) in room.iter_mut().enumerate().rev() {
        *digit = b'0' + (n % 10) as u8;
        n /= 10;
        at = i;
        if n == 0 {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_made_of_what_the_rfc_says() {
        for b in 0..=u8::MAX {
            let tchar = b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            assert_eq!(is_tchar(b), tchar, "{b}");
        }
    }

    #[test]
    fn numbers_are_digits_only() {
        for (text, n) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("9223372036854775807", Some(i64::MAX as u64)),
            ("9223372036854775808", None),
            ("18446744073709551621", None),
            ("", None),
            ("+5", None),
            ("-5", None),
            ("5 ", None),
            ("0x5", None),
            ("\u{0665}", None),
        ] {
            assert_eq!(number(text.as_bytes()), n, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for n in [0, 9, 10, 1023, u64::from(u32::MAX), u64::MAX] {
            let mut out = b"x".to_vec();
            push_number(&mut out, n);
            assert_eq!(out, format!("x{n}").into_bytes());
        }
    }
}
