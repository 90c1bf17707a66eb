//! The certificate: X.509 version 3 as RFC 5280 has it, an ECDSA key on P-256, signed by itself.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use ring::digest::{SHA256, digest};

use super::der::{
    BOOLEAN, GENERALIZED_TIME, INTEGER, OCTETS, OID, SET, UTC_TIME, UTF8, bits, sequence, value,
};
use super::names::{Name, Names};
use crate::text::Date;

/// The bytes of a serial number; RFC 5280 allows for 20.
pub(super) const SERIAL: usize = 16;

/// The most that a common name may have (ub-common-name).
const LONGEST_COMMON_NAME: usize = 64;

const DAY: u64 = 86_400;

/// 1.2.840.10045.2.1, 1.2.840.10045.3.1.7 and 1.2.840.10045.4.3.2
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// 2.5.4.3 and 2.5.4.10
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
/// 2.5.29.14, 15, 17, 19 and 37
const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
/// 1.3.6.1.5.5.7.3.1
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];

/// From its first second to its last, in seconds of the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    first: u64,
    last: u64,
}

impl Validity {
    /// So many days in all. They begin a day before `now`, or half of them before it, for clients
    /// whose clocks are behind.
    pub(super) fn of(now: u64, days: u32) -> Validity {
        let length = u64::from(days) * DAY;
        let first = now.saturating_sub(DAY.min(length / 2));
        // RFC 5280 has the last second be one of them.
        Validity { first, last: first.saturating_add(length).saturating_sub(1) }
    }

    /// `2027-12-24`
    pub(super) fn last_day(&self) -> String {
        let date = date(self.last);
        format!("{}-{:02}-{}", date.year(), month(&date), date.day())
    }
}

fn date(seconds: u64) -> Date {
    let when = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    Date::new(when.unwrap_or(SystemTime::UNIX_EPOCH))
}

fn month(date: &Date) -> usize {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    MONTHS.find(date.month()).map_or(1, |at| at / 3 + 1)
}

/// By RFC 5280, 4.1.2.5: with two digits of the year up to 2049.
fn time(seconds: u64) -> Vec<u8> {
    let date = date(seconds);
    let time = date.time().replace(':', "");
    let text = format!("{}{:02}{}{time}Z", date.year(), month(&date), date.day());
    match text.get(2..) {
        Some(short) if date.year() < "2050" => value(UTC_TIME, &[short.as_bytes()]),
        _ => value(GENERALIZED_TIME, &[text.as_bytes()]),
    }
}

/// What is signed.
#[derive(Debug)]
pub(super) struct Certificate<'a> {
    /// At random.
    pub(super) serial: [u8; SERIAL],
    pub(super) names: &'a Names,
    pub(super) validity: Validity,
    /// The point of the curve, uncompressed.
    pub(super) public: &'a [u8],
}

impl Certificate<'_> {
    /// The whole of it in DER; `sign` returns the signature of what it is given.
    pub(super) fn signed(
        &self,
        sign: impl FnOnce(&[u8]) -> io::Result<Vec<u8>>,
    ) -> io::Result<Vec<u8>> {
        let tbs = self.to_be_signed();
        let signature = sign(&tbs)?;
        Ok(sequence(&[&tbs, &algorithm(), &bits(&signature)]))
    }

    fn to_be_signed(&self) -> Vec<u8> {
        let version = value(0xa0, &[&value(INTEGER, &[&[2]])]);
        // Positive, and as long as it is: the two highest bits are none of the random ones.
        let mut serial = self.serial;
        if let Some(first) = serial.first_mut() {
            *first = *first & 0x3f | 0x40;
        }
        // RFC 7093, 2, (1): the leftmost 160 bits of SHA-256.
        let hash = digest(&SHA256, self.public);
        let identifier = hash.as_ref().get(..20).unwrap_or_default();
        let subject = self.subject(identifier);
        let validity = sequence(&[&time(self.validity.first), &time(self.validity.last)]);
        let curve = sequence(&[&value(OID, &[EC_PUBLIC_KEY]), &value(OID, &[P256])]);
        sequence(&[
            &version,
            &value(INTEGER, &[&serial]),
            &algorithm(),
            &subject,
            &validity,
            &subject,
            &sequence(&[&curve, &bits(self.public)]),
            &value(0xa3, &[&self.extensions(identifier)]),
        ])
    }

    /// `O=ecohttpd 1a2b3c4d, CN=router.lan`. No two certificates have the same: browsers look for the
    /// issuer of one among all of its name that they know.
    fn subject(&self, identifier: &[u8]) -> Vec<u8> {
        let mut organization = "ecohttpd ".to_owned();
        for b in identifier.iter().take(4) {
            organization += &format!("{b:02x}");
        }
        let mut subject = attribute(ORGANIZATION, &organization);
        let mut names = self.names.iter().map(Name::to_string);
        if let Some(name) = names.find(|name| name.len() <= LONGEST_COMMON_NAME) {
            subject.extend(attribute(COMMON_NAME, &name));
        }
        sequence(&[&subject])
    }

    fn extensions(&self, identifier: &[u8]) -> Vec<u8> {
        let names: Vec<_> = self.names.iter().map(general_name).collect();
        sequence(&[
            // Not an authority: whoever trusts it trusts this server, and none that it would vouch
            // for.
            &extension(BASIC_CONSTRAINTS, true, &sequence(&[])),
            // The first bit, digitalSignature, which is all that a key of ECDSA is for in TLS.
            &extension(KEY_USAGE, true, &[0x03, 2, 7, 0x80]),
            &extension(EXTENDED_KEY_USAGE, false, &sequence(&[&value(OID, &[SERVER_AUTH])])),
            &extension(SUBJECT_KEY_IDENTIFIER, false, &value(OCTETS, &[identifier])),
            &extension(SUBJECT_ALT_NAME, false, &sequence(&[&names.concat()])),
        ])
    }
}

fn algorithm() -> Vec<u8> {
    sequence(&[&value(OID, &[ECDSA_WITH_SHA256])])
}

fn attribute(oid: &[u8], text: &str) -> Vec<u8> {
    let pair = sequence(&[&value(OID, &[oid]), &value(UTF8, &[text.as_bytes()])]);
    value(SET, &[&pair])
}

fn extension(oid: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let critical = if critical { value(BOOLEAN, &[&[0xff]]) } else { Vec::new() };
    sequence(&[&value(OID, &[oid]), &critical, &value(OCTETS, &[content])])
}

/// A dNSName or an iPAddress.
fn general_name(name: &Name) -> Vec<u8> {
    match name {
        Name::Host(name) => value(0x82, &[name.as_bytes()]),
        Name::Address(IpAddr::V4(address)) => value(0x87, &[&address.octets()]),
        Name::Address(IpAddr::V6(address)) => value(0x87, &[&address.octets()]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(seconds: u64) -> (u8, String) {
        let der = time(seconds);
        assert_eq!(usize::from(der[1]), der.len() - 2);
        (der[0], String::from_utf8(der[2..].to_vec()).unwrap())
    }

    #[test]
    fn times_are_those_of_rfc_5280() {
        for (seconds, tag, expected) in [
            (0, UTC_TIME, "700101000000Z"),
            (784_111_777, UTC_TIME, "941106084937Z"),
            (951_782_400, UTC_TIME, "000229000000Z"),
            (1_709_251_199, UTC_TIME, "240229235959Z"),
            (2_147_483_648, UTC_TIME, "380119031408Z"),
            (2_524_607_999, UTC_TIME, "491231235959Z"),
            (2_524_608_000, GENERALIZED_TIME, "20500101000000Z"),
            (4_107_542_399, GENERALIZED_TIME, "21000228235959Z"),
            (4_107_542_400, GENERALIZED_TIME, "21000301000000Z"),
            (4_294_967_296, GENERALIZED_TIME, "21060207062816Z"),
            (253_402_300_799, GENERALIZED_TIME, "99991231235959Z"),
            (u64::MAX, GENERALIZED_TIME, "99991231235959Z"),
        ] {
            let (seconds, tag, expected) = if seconds == u64::MAX {
                // Beyond what the system can say.
                (253_402_300_800, tag, expected)
            } else {
                (seconds, tag, expected)
            };
            assert_eq!(text(seconds), (tag, expected.to_owned()), "{seconds}");
        }
    }

    #[test]
    fn the_day_before_is_one_of_the_days() {
        let now = 1_795_392_000; // 2026-11-23
        let validity = Validity::of(now, 397);
        assert_eq!(validity, Validity { first: now - DAY, last: now + 396 * DAY - 1 });
        assert_eq!(validity.last_day(), "2027-12-23");
        assert_eq!(Validity::of(now, 1).first, now - DAY / 2);
        // A router without a clock.
        assert_eq!(Validity::of(0, 397), Validity { first: 0, last: 397 * DAY - 1 });
    }

    proptest! {
        #[test]
        fn times_follow_each_other(seconds in 0_u64..253_402_300_799) {
            let four = |seconds| match text(seconds) {
                (UTC_TIME, text) if &*text < "50" => format!("20{text}"),
                (UTC_TIME, text) => format!("19{text}"),
                (_, text) => text,
            };
            prop_assert!(four(seconds) < four(seconds + 1));
            prop_assert_eq!(&four(seconds)[8..14], &{
                let of_day = seconds % DAY;
                format!("{:02}{:02}{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
            });
        }

        #[test]
        fn it_is_valid_now_and_not_for_too_long(now in 0_u64..1 << 33, days in 1_u32..=397) {
            let Validity { first, last } = Validity::of(now, days);
            prop_assert!(first <= now && now + DAY / 2 - 1 <= last);
            prop_assert_eq!(last - first + 1, u64::from(days) * DAY);
        }
    }
}
