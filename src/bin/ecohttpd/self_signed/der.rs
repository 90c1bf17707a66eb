//! DER, in which certificates are written: each value after its tag and its length; and PEM.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BITS: u8 = 0x03;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const UTF8: u8 = 0x0c;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// Values, one after the other.
#[derive(Debug, Default)]
pub(super) struct Der(Vec<u8>);

impl Der {
    /// Bytes that are values already, or of which [`wrap`](Der::wrap) makes one.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn value(&mut self, tag: u8, content: &[u8]) {
        let from = self.len();
        self.put(content);
        self.wrap(from, tag);
    }

    /// Makes all that follows the first `from` bytes the content of a value.
    pub(super) fn wrap(&mut self, from: usize, tag: u8) {
        let mut length = self.len() - from;
        if length < 0x80 {
            self.0.insert(from, length as u8);
        } else {
            // The digits to the base of 256, the last one first, and before them how many.
            let mut digits = 0x80;
            while length > 0 {
                self.0.insert(from, length as u8);
                length >>= 8;
                digits += 1;
            }
            self.0.insert(from, digits);
        }
        self.0.insert(from, tag);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Text for files and mail, in lines of 64 characters.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let byte = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
            let group = byte(0) << 16 | byte(1) << 8 | byte(2);
            for i in 0..4 {
                let digit = DIGITS.get((group >> (18 - 6 * i) & 63) as usize);
                let digit = if i <= three.len() { digit } else { None };
                text.push(digit.map_or('=', |digit| char::from(*digit)));
            }
        }
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tag and content of a value, and what follows it; by the rules of X.690 10.1.
    fn read(der: &[u8]) -> (u8, &[u8], &[u8]) {
        let (tag, first, rest) = (der[0], der[1], &der[2..]);
        let (length, rest) = match first {
            ..0x80 => (usize::from(first), rest),
            _ => {
                let (digits, rest) = rest.split_at(usize::from(first & 0x7f));
                assert!(first & 0x7f != 0 && digits[0] != 0, "no more digits than it takes");
                let length = digits.iter().fold(0, |length, b| length << 8 | usize::from(*b));
                assert!(length >= 0x80, "the short form where it is long enough");
                (length, rest)
            }
        };
        let (content, rest) = rest.split_at(length);
        (tag, content, rest)
    }

    #[test]
    fn lengths_take_as_few_bytes_as_they_can() {
        for (length, head) in [
            (0, &[4, 0][..]),
            (1, &[4, 1]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (255, &[4, 0x81, 255]),
            (256, &[4, 0x82, 1, 0]),
            (65_535, &[4, 0x82, 255, 255]),
            (65_536, &[4, 0x83, 1, 0, 0]),
        ] {
            let mut der = Der::default();
            der.value(OCTETS, &vec![7; length]);
            let der = der.bytes();
            assert_eq!(&der[..head.len()], head);
            assert_eq!(der.len(), head.len() + length);
        }
    }

    #[test]
    fn pem_is_what_rfc_4648_says() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let line = if text.is_empty() { String::new() } else { format!("{text}\n") };
            let pem = pem("X", bytes.as_bytes());
            assert_eq!(pem, format!("-----BEGIN X-----\n{line}-----END X-----\n"));
        }
    }

    proptest! {
        #[test]
        fn values_can_be_read_again(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..5),
        ) {
            let mut der = Der::default();
            der.put(b"before");
            let from = der.len();
            parts.iter().for_each(|part| der.value(OCTETS, part));
            der.wrap(from, SEQUENCE);
            let der = der.bytes().strip_prefix(b"before").unwrap();
            let (tag, mut content, rest) = read(der);
            prop_assert_eq!((tag, rest.len()), (SEQUENCE, 0));
            for part in &parts {
                let (tag, bytes, rest) = read(content);
                prop_assert_eq!((tag, bytes), (OCTETS, part.as_slice()));
                content = rest;
            }
            prop_assert!(content.is_empty());
        }

        #[test]
        fn pem_is_read_by_others(bytes in proptest::collection::vec(any::<u8>(), 1..400)) {
            use futures_rustls::pki_types::{CertificateDer, pem::PemObject};
            let pem = pem("CERTIFICATE", &bytes);
            prop_assert!(pem.lines().all(|line| line.len() <= 64));
            let read = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            prop_assert_eq!(read.as_ref(), bytes.as_slice());
        }
    }
}
