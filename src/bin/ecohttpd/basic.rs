//! What a client says of itself in an Authorization field (RFC 7617).

/// User and password of an Authorization field, if it is one of Basic and has no control characters.
pub(crate) fn credentials(field: &[u8]) -> Option<(String, String)> {
    let field = field.trim_ascii();
    let (scheme, token) = field.split_at(field.iter().position(u8::is_ascii_whitespace)?);
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return None;
    }
    let text = String::from_utf8(decode(token.trim_ascii_start())?).ok()?;
    if text.bytes().any(|b| b.is_ascii_control()) {
        return None;
    }
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// What `text` is in base 64 (RFC 4648), with or without the padding at its end.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|&&b| b == b'=').count();
    let digits = text.get(..text.len() - padding)?;
    if padding > 2 || padding > 0 && text.len() % 4 != 0 || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    for &digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Base 64 as the RFC draws it, by groups of three.
    pub(crate) fn encode(bytes: &[u8]) -> String {
        let alphabet: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').collect();
        let digit = |n: u32| match n {
            62 => '+',
            63 => '/',
            n => alphabet[n as usize].into(),
        };
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let at = |i| u32::from(group.get(i).copied().unwrap_or(0));
            let bits = at(0) << 16 | at(1) << 8 | at(2);
            for i in 0..4 {
                text.push(if i <= group.len() { digit(bits >> (18 - 6 * i) & 63) } else { '=' });
            }
        }
        text
    }

    fn basic(text: &[u8]) -> Option<(String, String)> {
        credentials(format!("Basic {}", encode(text)).as_bytes())
    }

    fn pair(user: &str, password: &str) -> Option<(String, String)> {
        Some((user.to_owned(), password.to_owned()))
    }

    #[test]
    fn the_first_colon_divides() {
        assert_eq!(basic(b"Aladdin:open sesame"), pair("Aladdin", "open sesame"));
        assert_eq!(basic(b"a:b:c"), pair("a", "b:c"));
        assert_eq!(basic(b":"), pair("", ""));
        assert_eq!(basic("jürgen:pässwörd".as_bytes()), pair("jürgen", "pässwörd"));
        let field = b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(credentials(field), pair("Aladdin", "open sesame"));
    }

    #[test]
    fn the_scheme_has_no_case_and_the_padding_is_optional() {
        for field in
            ["basic YTpi", "BASIC\tYTpi", " bAsIc   YTpi ", "Basic YTpiYw", "Basic YTpiYw=="]
        {
            let found = credentials(field.as_bytes()).unwrap();
            assert_eq!((&*found.0, &found.1[..1]), ("a", "b"), "{field}");
        }
    }

    #[test]
    fn what_is_malformed_is_nobody() {
        for field in [
            "",
            " ",
            "Basic",
            "Basic ",
            "BasicYTpi",
            "Bearer YTpi",
            "Digest YTpi",
            "Basic Y",
            "Basic YTpiY",
            "Basic YTpi=",
            "Basic YTpiYw=",
            "Basic YTpiYw===",
            "Basic YTpiYw==YTpi",
            "Basic YT pi",
            "Basic YTpi YTpi",
            "Basic YT-_",
            "Basic YTp\u{e9}",
            "Basic ====",
            "Basic =",
            "Basic YTpiYx==",
            "Basic YWI=",
            "Basic YTpi,",
            "Basic YTpi\0",
        ] {
            assert_eq!(credentials(field.as_bytes()), None, "{field}");
        }
        for text in [
            &b"a:b\0"[..],
            b"a\0:b",
            b"a\n:b",
            b"a:b\r",
            b"a:\x7f",
            b"a:\xff",
            b"\xc3:b",
            b"ab",
            b"",
        ] {
            assert_eq!(basic(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let text = encode(&bytes);
            prop_assert_eq!(decode(text.as_bytes()), Some(bytes.clone()));
            prop_assert_eq!(decode(text.trim_end_matches('=').as_bytes()), Some(bytes));
        }

        #[test]
        fn what_is_decoded_was_encoded_so(text in "[A-Za-z0-9+/]{0,12}={0,3}") {
            if let Some(bytes) = decode(text.as_bytes()) {
                let encoded = encode(&bytes);
                prop_assert!(text == encoded || text == encoded.trim_end_matches('='));
            }
        }

        #[test]
        fn any_field_is_looked_at(field in prop::collection::vec(any::<u8>(), 0..100)) {
            credentials(&field);
            credentials(&[b"Basic ", &field[..]].concat());
        }

        #[test]
        fn any_user_and_password_arrive(user in "[^:\\x00-\\x1f\\x7f]*", password in "[^\\x00-\\x1f\\x7f]*") {
            prop_assert_eq!(basic(format!("{user}:{password}").as_bytes()), pair(&user, &password));
        }
    }
}
