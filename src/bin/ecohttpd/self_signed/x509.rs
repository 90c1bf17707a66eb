//! The certificate: X.509 version 3 as RFC 5280 has it, an ECDSA key on P-256, signed by itself.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use ring::digest::{SHA256, digest};

use super::der::{BITS, Der, GENERALIZED_TIME, INTEGER, OCTETS, SEQUENCE, SET, UTC_TIME, UTF8};
use super::names::{Name, Names};
use crate::text::Date;

/// The bytes of a serial number; RFC 5280 allows for 20.
pub(super) const SERIAL: usize = 16;

/// The most that a common name may have (ub-common-name).
const LONGEST_COMMON_NAME: usize = 64;

const DAY: u64 = 86_400;

/// What is the same in all of them, each line a value or the head of one.
///
/// Version 3.
const VERSION: &[u8] = &[0xa0, 3, 0x02, 1, 2];

/// `ecdsa-with-SHA256`, 1.2.840.10045.4.3.2.
#[rustfmt::skip]
const ALGORITHM: &[u8] = &[
    0x30, 10,
        0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2,
];

/// `id-ecPublicKey`, 1.2.840.10045.2.1, and `secp256r1`, 1.2.840.10045.3.1.7.
#[rustfmt::skip]
const CURVE: &[u8] = &[
    0x30, 19,
        0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1,
        0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
];

/// The extensions basicConstraints, 2.5.29.19; keyUsage, 15; extKeyUsage, 37.
#[rustfmt::skip]
const EXTENSIONS: &[u8] = &[
    // Critical, and not an authority: whoever trusts this server trusts none that it would vouch for.
    0x30, 12,
        0x06, 3, 0x55, 0x1d, 19,
        0x01, 1, 0xff,
        0x04, 2,
            0x30, 0,
    // Critical, and the first bit, digitalSignature: all that a key of ECDSA is for in TLS.
    0x30, 14,
        0x06, 3, 0x55, 0x1d, 15,
        0x01, 1, 0xff,
        0x04, 4,
            0x03, 2, 7, 0x80,
    // For nothing but serverAuth, 1.3.6.1.5.5.7.3.1.
    0x30, 19,
        0x06, 3, 0x55, 0x1d, 37,
        0x04, 12,
            0x30, 10,
                0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1,
];

/// Their names: subjectKeyIdentifier, 2.5.29.14, and subjectAltName, 17.
const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x06, 3, 0x55, 0x1d, 14];
const SUBJECT_ALT_NAME: &[u8] = &[0x06, 3, 0x55, 0x1d, 17];

/// Names of attributes: commonName, 2.5.4.3, and organizationName, 10.
const COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 4, 3];
const ORGANIZATION: &[u8] = &[0x06, 3, 0x55, 4, 10];

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
fn put_time(der: &mut Der, seconds: u64) {
    let date = date(seconds);
    let time = date.time().replace(':', "");
    let text = format!("{}{:02}{}{time}Z", date.year(), month(&date), date.day());
    match text.get(2..) {
        Some(short) if date.year() < "2050" => der.value(UTC_TIME, short.as_bytes()),
        _ => der.value(GENERALIZED_TIME, text.as_bytes()),
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
    pub(super) fn signed<S: AsRef<[u8]>>(
        &self,
        sign: impl FnOnce(&[u8]) -> Option<S>,
    ) -> Option<Der> {
        let mut der = Der::default();
        self.put_unsigned(&mut der);
        let signature = sign(der.bytes())?;
        der.put(ALGORITHM);
        put_bits(&mut der, signature.as_ref());
        der.wrap(0, SEQUENCE);
        Some(der)
    }

    fn put_unsigned(&self, der: &mut Der) {
        let from = der.len();
        der.put(VERSION);
        // Positive, and as long as it is: the two highest bits are none of the random ones.
        let mut serial = self.serial;
        if let Some(first) = serial.first_mut() {
            *first = *first & 0x3f | 0x40;
        }
        der.value(INTEGER, &serial);
        der.put(ALGORITHM);
        self.put_subject(der); // as the issuer
        let validity = der.len();
        put_time(der, self.validity.first);
        put_time(der, self.validity.last);
        der.wrap(validity, SEQUENCE);
        self.put_subject(der);
        let key = der.len();
        der.put(CURVE);
        put_bits(der, self.public);
        der.wrap(key, SEQUENCE);
        self.put_extensions(der);
        der.wrap(from, SEQUENCE);
    }

    /// RFC 7093, 2, (1): the leftmost 160 bits of SHA-256.
    fn identifier(&self) -> [u8; 20] {
        let mut identifier = [0; 20];
        identifier
            .iter_mut()
            .zip(digest(&SHA256, self.public).as_ref())
            .for_each(|(to, b)| *to = *b);
        identifier
    }

    /// `O=ecohttpd 1a2b3c4d, CN=router.lan`. No two certificates have the same: browsers look for the
    /// issuer of one among all of its name that they know.
    fn put_subject(&self, der: &mut Der) {
        let from = der.len();
        let [a, b, c, d, ..] = self.identifier();
        let unique = u32::from_be_bytes([a, b, c, d]);
        put_attribute(der, ORGANIZATION, &format!("ecohttpd {unique:08x}"));
        let mut names = self.names.iter().map(Name::to_string);
        if let Some(name) = names.find(|name| name.len() <= LONGEST_COMMON_NAME) {
            put_attribute(der, COMMON_NAME, &name);
        }
        der.wrap(from, SEQUENCE);
    }

    fn put_extensions(&self, der: &mut Der) {
        let from = der.len();
        der.put(EXTENSIONS);
        let extension = der.len();
        der.put(SUBJECT_KEY_IDENTIFIER);
        let content = der.len();
        der.value(OCTETS, &self.identifier());
        der.wrap(content, OCTETS);
        der.wrap(extension, SEQUENCE);
        let extension = der.len();
        der.put(SUBJECT_ALT_NAME);
        let content = der.len();
        self.names.iter().for_each(|name| put_name(der, name));
        der.wrap(content, SEQUENCE);
        der.wrap(content, OCTETS);
        der.wrap(extension, SEQUENCE);
        der.wrap(from, SEQUENCE);
        der.wrap(from, 0xa3);
    }
}

/// Whole bytes as bits: none of the last one is left out.
fn put_bits(der: &mut Der, bytes: &[u8]) {
    let from = der.len();
    der.put(&[0]);
    der.put(bytes);
    der.wrap(from, BITS);
}

fn put_attribute(der: &mut Der, name: &[u8], text: &str) {
    let from = der.len();
    der.put(name);
    der.value(UTF8, text.as_bytes());
    der.wrap(from, SEQUENCE);
    der.wrap(from, SET);
}

/// A dNSName or an iPAddress.
fn put_name(der: &mut Der, name: &Name) {
    match name {
        Name::Host(name) => der.value(0x82, name.as_bytes()),
        Name::Address(IpAddr::V4(address)) => der.value(0x87, &address.octets()),
        Name::Address(IpAddr::V6(address)) => der.value(0x87, &address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(seconds: u64) -> (u8, String) {
        let mut der = Der::default();
        put_time(&mut der, seconds);
        let der = der.bytes();
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
            // Beyond what can be said.
            (253_402_300_800, GENERALIZED_TIME, "99991231235959Z"),
        ] {
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
