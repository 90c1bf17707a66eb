//! Field values that are lists (RFC 9110, 5.6.1).

/// The members of a comma-separated list, trimmed, empty ones left out. Commas inside quotes
/// belong to their member.
pub(crate) fn list(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.find(|c| {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ',' => return !quoted,
                _ => {}
            }
            false
        });
        let (member, after) = match end {
            Some(at) => (text.get(..at).unwrap_or(""), text.get(at + 1..)),
            None => (text, None),
        };
        rest = after;
        Some(member.trim_matches([' ', '\t']))
    })
    .filter(|member| !member.is_empty())
}

/// Whether one of the list's members is `token`, case aside.
pub(crate) fn has_token(value: &str, token: &str) -> bool {
    list(value).any(|member| member.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_split_at_commas_outside_quotes() {
        let members: Vec<_> = list(" a , ,\"x,y\",\"\\\",\" ,b\t").collect();
        assert_eq!(members, ["a", "\"x,y\"", "\"\\\",\"", "b"]);
        assert_eq!(list("").count(), 0);
        assert!(has_token("foo, CLOSE", "close"));
        assert!(!has_token("closed", "close"));
    }
}
