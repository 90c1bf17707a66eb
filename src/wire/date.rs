//! Dates (RFC 9110, 5.6.7), as seconds since 1970.

use std::ops::Range;
use std::time::{Duration, SystemTime};

/// The last second of the year 9999; `httpdate` panics beyond it, and before 1970.
const LAST: u64 = 253_402_300_799;

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn format(seconds: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST));
    httpdate::fmt_http_date(time)
}

/// The seconds of any of the three forms.
///
/// What is read is written again in the first form, which has to come to the same: so all its parts
/// are looked at, and the day of the week is the right one.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let text = first_form(text.trim_ascii())?;
    let number = |range: Range<usize>| text.get(range)?.parse::<u32>().ok();
    let (mut year, day) = (number(12..16)?, number(5..7)?);
    if year < 1970 {
        return None;
    }
    // From March on, so that the day that there may be is the last one.
    let mut months = b"MarAprMayJunJulAugSepOctNovDecJanFeb".chunks(3).zip(0_u32..);
    let (_, mut month) = months.find(|(name, _)| Some(*name) == text.as_bytes().get(8..11))?;
    if month >= 10 {
        year -= 1;
    }
    month = (153 * month + 2) / 5;
    let days =
        (365 * year + year / 4 - year / 100 + year / 400 + month + day).checked_sub(719_469)?;
    let seconds = number(17..19)? * 3600 + number(20..22)? * 60 + number(23..25)?;
    let seconds = u64::from(days) * 86400 + u64::from(seconds);
    (format(seconds) == text).then_some(seconds)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994` as the form that is sent.
fn first_form(text: &str) -> Option<String> {
    let (weekday, rest) = text.split_once(',').unwrap_or_default();
    if let Some(stem) = weekday.strip_suffix("day") {
        let names = ["Mon", "Tues", "Wednes", "Thurs", "Fri", "Satur", "Sun"];
        let (date, time) = rest.strip_prefix(' ')?.split_once(' ')?;
        let weekday = names.contains(&stem).then(|| weekday.get(..3))??;
        let century = if date.get(7..)? < "70" { "20" } else { "19" };
        let parts =
            [weekday, ", ", &date.get(..7)?.replace('-', " "), century, date.get(7..)?, " "];
        return Some(parts.concat() + time);
    }
    if text.len() != 24 {
        return Some(text.to_owned());
    }
    let day = text.get(8..10)?.replace(' ', "0");
    let year = text.get(19..)?.strip_prefix(' ')?;
    let parts = [text.get(..3)?, ", ", &day, text.get(3..8)?, year, text.get(10..19)?];
    Some(parts.concat() + " GMT")
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
        fn one_wrong_byte_is_found(seconds in 0..=LAST, form in 0..3, at in 0..33_usize, by in "[ -~]") {
            let (time, weekdays) = (format(seconds), ["Mon", "Tues", "Wednes", "Thurs", "Fri", "Satur", "Sun"]);
            let part = |range| &time[range];
            let mut text = match form {
                0 => time.clone(),
                1 => {
                    let weekday = weekdays.iter().find(|it| it.starts_with(part(0..3))).unwrap();
                    let date = [part(5..12).replace(' ', "-"), part(14..16).to_owned()].concat();
                    format!("{weekday}day, {date} {} GMT", part(17..25))
                }
                _ => {
                    let day = part(5..7).strip_prefix('0').map_or(part(5..7).to_owned(), |it| format!(" {it}"));
                    format!("{}{}{day} {} {}", part(0..3), part(7..12), part(17..25), part(12..16))
                }
            };
            for _ in 0..2 {
                let theirs = httpdate::parse_http_date(&text).ok().map(|at| {
                    at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
                });
                // At one space of this form httpdate does not look.
                if form != 1 || text.as_bytes()[text.len() - 13] == b' ' {
                    prop_assert_eq!(parse(&text), theirs, "{}", text);
                }
                let at = at % text.len();
                text.replace_range(at..=at, &by);
            }
        }

        #[test]
        fn it_reads_what_httpdate_does(text in "[A-Z][a-z]{2,8},? [0-9]{0,3}[ -][A-Z][a-z]{2}[ -][0-9]{0,5} [0-9]{0,3}:[0-9]{0,3}:[0-9]{0,3}( GMT| [0-9]{4})?") {
            let theirs = httpdate::parse_http_date(&text).ok().map(|at| {
                at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
            });
            prop_assert_eq!(parse(&text), theirs);
        }
    }
}
