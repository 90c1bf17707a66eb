//! Numbers, as they are configured: of nothing but digits.

/// The number that `text` is, if it is one and not too large.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let mut number: u64 = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 || number > u64::MAX / 10 {
            return None;
        }
        number = (number * 10).checked_add(digit.into())?;
    }
    (!text.is_empty()).then_some(number)
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
            assert_eq!(number(text.as_bytes()), measure(text), "{text}");
        }
        assert_eq!(number(b"18446744073709551620"), None);
        assert_eq!(number(b"99999999999999999999"), None);
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_std(text in "[0-9]{0,25}|[0-9+ a-f-]{0,4}", any: u64) {
            prop_assert_eq!(number(text.as_bytes()), measure(&text));
            prop_assert_eq!(number(any.to_string().as_bytes()), Some(any));
        }
    }
}
