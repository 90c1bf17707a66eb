//! Fields: their names, and values that are lists (RFC 9110, 5.6.1).

/// What a set of field names has of a name, case aside: a bit that other names may share.
///
/// Most fields that a response depends on are not there. Where their bit is not, nobody has to look.
pub(crate) const fn trace(name: &[u8]) -> u32 {
    let (first, last) = match name {
        [] => (0, 0),
        [only] => (*only, *only),
        [first, .., last] => (*first, *last),
    };
    // By these factors nothing that is in most requests shares a bit with what files look for in all
    // of them.
    let mix = 5 * (first | 0x20) as u32 + 2 * (last | 0x20) as u32;
    1 << (mix % 32)
}

/// The members of a comma-separated list, trimmed, empty ones left out. Commas inside quotes
/// belong to their member.
pub(crate) fn list(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.bytes().position(|b| {
            match b {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' => return !quoted,
                _ => {}
            }
            false
        });
        let (member, after) = match end {
            Some(at) => (text.get(..at).unwrap_or(""), text.get(at + 1..)),
            None => (text, None),
        };
        rest = after;
        Some(member.trim_ascii())
    })
    .filter(|member| !member.is_empty())
}

/// Whether one of the list's members is `token`, case aside.
#[cfg(any(feature = "gzip", test))]
pub(crate) fn has_token(value: &str, token: &str) -> bool {
    list(value).any(|member| member.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_knows_no_case() {
        for name in ["Host", "IF-NONE-MATCH", "x", "", "X_1"] {
            assert_eq!(trace(name.as_bytes()), trace(name.to_ascii_lowercase().as_bytes()));
            assert_eq!(trace(name.as_bytes()).count_ones(), 1);
        }
    }

    #[test]
    fn what_most_requests_have_is_no_reason_to_look() {
        let looked_for = "accept-encoding if-match if-modified-since if-none-match if-range \
            if-unmodified-since range";
        let usual = "accept accept-language authorization cache-control connection content-length \
            content-type cookie dnt forwarded host keep-alive origin pragma priority referer \
            sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode \
            sec-fetch-site sec-fetch-user sec-gpc te transfer-encoding upgrade-insecure-requests \
            user-agent via x-csrf-token x-forwarded-for x-forwarded-host x-forwarded-port \
            x-forwarded-proto x-real-ip x-requested-with";
        for name in looked_for.split_whitespace() {
            let same = |other: &&str| trace(other.as_bytes()) == trace(name.as_bytes());
            assert_eq!(usual.split_whitespace().find(same), None, "{name}");
        }
    }

    #[test]
    fn lists_split_at_commas_outside_quotes() {
        let members: Vec<_> = list(" a , ,\"x,y\",\"\\\",\" ,b\t").collect();
        assert_eq!(members, ["a", "\"x,y\"", "\"\\\",\"", "b"]);
        assert_eq!(list("").count(), 0);
        assert!(has_token("foo, CLOSE", "close"));
        assert!(!has_token("closed", "close"));
    }
}
