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

/// A set of ASCII characters: a bit for each byte there is, since it is asked for every byte of every name.
pub(crate) struct Set([u32; 8]);

impl Set {
    /// Letters and digits, and those of `others`.
    pub(crate) const fn alphanumeric_or(others: &[u8]) -> Set {
        let (mut bits, mut i) = ([0_u32; 8], 0);
        while i < 128 + others.len() {
            #[allow(clippy::indexing_slicing, reason = "at compile time")]
            let b = if i < 128 { i as u8 } else { others[i - 128] };
            if i >= 128 || b.is_ascii_alphanumeric() {
                #[allow(clippy::indexing_slicing, reason = "at compile time")]
                (bits[b as usize / 32] |= 1 << (b % 32));
            }
            i += 1;
        }
        Set(bits)
    }

    pub(crate) fn has(&self, b: u8) -> bool {
        self.0.get(usize::from(b / 32)).is_some_and(|bits| bits >> (b % 32) & 1 == 1)
    }
}

/// A character of a token (RFC 9110, 5.6.2), of which methods and field names are made.
pub(crate) fn is_tchar(b: u8) -> bool {
    static TCHARS: Set = Set::alphanumeric_or(b"!#$%&'*+-.^_`|~");
    TCHARS.has(b)
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
