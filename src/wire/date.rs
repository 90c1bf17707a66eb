//! Dates (RFC 9110, 5.6.7), as seconds since 1970.

use std::time::{Duration, SystemTime};

/// The last second of the year 9999; `httpdate` panics beyond it, and before 1970.
const LAST: u64 = 253_402_300_799;

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn format(seconds: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST));
    httpdate::fmt_http_date(time)
}

/// The seconds of any of the three forms.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text).ok()?;
    time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_forms_of_one_date() {
        for text in [
            "Tue, 14 Nov 2023 22:13:20 GMT",
            "Tuesday, 14-Nov-23 22:13:20 GMT",
            "Tue Nov 14 22:13:20 2023",
        ] {
            assert_eq!(parse(text), Some(1_700_000_000), "{text}");
        }
        assert_eq!(format(1_700_000_000), "Tue, 14 Nov 2023 22:13:20 GMT");
        for text in ["", "garbage", "Tue, 14 Nov 2023", "Tue, 14 Nov 1969 00:00:00 GMT", "0"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn no_second_panics() {
        assert_eq!(format(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn any_second_comes_back(seconds in 0..=LAST) {
            prop_assert_eq!(parse(&format(seconds)), Some(seconds));
        }

        #[test]
        fn no_text_panics(text in "[A-Z][a-z]{2,8},? [0-9]{0,3}[ -][A-Z][a-z]{2}[ -][0-9]{0,5} [0-9]{0,3}:[0-9]{0,3}:[0-9]{0,3}( GMT| [0-9]{4})?") {
            let _ = parse(&text);
        }
    }
}
