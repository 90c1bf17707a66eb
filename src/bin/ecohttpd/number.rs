//! Numbers, as they are configured: of nothing but digits.

/// The number that `text` is, if it is one of `most` at most.
pub(crate) fn number(text: &[u8], most: u64) -> Option<u64> {
    let mut number: u64 = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 || number > u64::MAX / 10 {
            return None;
        }
        number = (number * 10).checked_add(digit.into())?;
    }
    (!text.is_empty() && number <= most).then_some(number)
}

/// One of 32 bits.
pub(crate) fn number32(text: &[u8]) -> Option<u32> {
    number(text, u32::MAX.into()).map(|number| number as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What std makes of it, which takes a sign as well.
    fn measure(text: &str) -> Option<u64> {
        text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
    }

    #[test]
    fn numbers_end_where_they_have_no_room() {
        for text in ["", "0", "+1", "-1", "007", "18446744073709551615", "18446744073709551616"] {
            assert_eq!(number(text.as_bytes(), u64::MAX), measure(text), "{text}");
        }
        assert_eq!(number(b"18446744073709551620", u64::MAX), None);
        assert_eq!(number(b"99999999999999999999", u64::MAX), None);
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_std(text in "[0-9]{0,25}|[0-9+ a-f-]{0,4}", any: u64, shift in 0..64_u32) {
            prop_assert_eq!(number(text.as_bytes(), u64::MAX), measure(&text));
            prop_assert_eq!(number32(text.as_bytes()), measure(&text).and_then(|n| n.try_into().ok()));
            let most = any >> shift;
            prop_assert_eq!(number(text.as_bytes(), most), measure(&text).filter(|n| *n <= most));
            prop_assert_eq!(number(any.to_string().as_bytes(), u64::MAX), Some(any));
        }
    }
}
