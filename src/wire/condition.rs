//! Conditional requests (RFC 9110, 13).

use super::{date, field};

/// What is known of the selected representation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators<'a> {
    /// The entity tag, quotes and all.
    pub(crate) etag: &'a str,
    /// Seconds since 1970 of the last modification, as Last-Modified tells it.
    pub(crate) modified: u64,
    /// Now, likewise.
    pub(crate) now: u64,
}

/// What the conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answer as if there were none; Range counts only where it may.
    Proceed {
        range: bool,
    },
    NotModified,
    Failed,
}

/// Evaluates the conditions of a GET or HEAD in their order of precedence (RFC 9110, 13.2.2).
///
/// `values` gives the values of all field lines of a name.
pub(crate) fn evaluate<'a, I>(values: impl Fn(&str) -> I, it: Validators<'_>) -> Verdict
where
    I: Iterator<Item = &'a str>,
{
    let given = |name: &str| values(name).next().is_some();
    let lists = |name: &str, weakly: bool| {
        values(name)
            .any(|value| field::list(value).any(|tag| tag == "*" || same(tag, it.etag, weakly)))
    };
    let time = |name: &str| values(name).next().and_then(date::parse);

    if given("if-match") {
        if !lists("if-match", false) {
            return Verdict::Failed;
        }
    } else if time("if-unmodified-since").is_some_and(|since| it.modified > since) {
        return Verdict::Failed;
    }
    if given("if-none-match") {
        if lists("if-none-match", true) {
            return Verdict::NotModified;
        }
    } else if time("if-modified-since").is_some_and(|since| it.modified <= since) {
        return Verdict::NotModified;
    }
    let range = values("if-range").next().is_none_or(|value| {
        let value = value.trim_ascii();
        match date::parse(value) {
            // A date is only as good as a strong validator once a second has passed since.
            Some(time) => time == it.modified && it.now > it.modified,
            None => same(value, it.etag, false),
        }
    });
    Verdict::Proceed { range }
}

/// Whether two entity tags are the same; weakly, their `W/` does not count (RFC 9110, 8.8.3.2).
fn same(a: &str, b: &str, weakly: bool) -> bool {
    let strip = |tag| str::strip_prefix(tag, "W/");
    match (strip(a), strip(b)) {
        (None, None) => a == b,
        (x, y) => weakly && x.unwrap_or(a) == y.unwrap_or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEAK: Verdict = Verdict::Proceed { range: false };
    const FULL: Verdict = Verdict::Proceed { range: true };
    const LM: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const EARLIER: &str = "Mon, 01 Jan 2001 00:00:00 GMT";
    const LATER: &str = "Fri, 01 Jan 2027 00:00:00 GMT";

    fn verdict(etag: &str, fields: &[(&str, &str)]) -> Verdict {
        let values = |name: &str| {
            let name = name.to_owned();
            fields.iter().filter(move |(n, _)| *n == name).map(|(_, v)| *v)
        };
        evaluate(values, Validators { etag, modified: 1_700_000_000, now: 1_800_000_000 })
    }

    #[test]
    fn precedence_is_that_of_the_rfc() {
        use Verdict::{Failed, NotModified};
        let (im, ius, inm, ims, ir) =
            ("if-match", "if-unmodified-since", "if-none-match", "if-modified-since", "if-range");
        let cases: &[(&[(&str, &str)], Verdict)] = &[
            (&[], FULL),
            (&[(im, "\"e\"")], FULL),
            (&[(im, "*")], FULL),
            (&[(im, "\"x\", \"e\"")], FULL),
            (&[(im, "\"x\"")], Failed),
            (&[(im, "W/\"e\"")], Failed),
            (&[(ius, LM)], FULL),
            (&[(ius, LATER)], FULL),
            (&[(ius, EARLIER)], Failed),
            (&[(ius, "garbage")], FULL),
            (&[(im, "\"e\""), (ius, EARLIER)], FULL),
            (&[(inm, "\"e\"")], NotModified),
            (&[(inm, "W/\"e\"")], NotModified),
            (&[(inm, "\"x,y\", \"e\", \"z\"")], NotModified),
            (&[(inm, "\"x\""), (inm, "\"e\"")], NotModified),
            (&[(inm, "*")], NotModified),
            (&[(inm, "\"xe\"")], FULL),
            (&[(inm, "\"x\""), (ims, LM)], FULL),
            (&[(inm, "\"e\""), (ims, EARLIER)], NotModified),
            (&[(ims, LM)], NotModified),
            (&[(ims, LATER)], NotModified),
            (&[(ims, EARLIER)], FULL),
            (&[(ims, "Tue, 14 Nov 2023 22:13:19 GMT")], FULL),
            (&[(ims, "Tuesday, 14-Nov-23 22:13:20 GMT")], NotModified),
            (&[(ims, "Tue Nov 14 22:13:20 2023")], NotModified),
            (&[(ims, "garbage")], FULL),
            (&[(im, "\"x\""), (inm, "\"e\"")], Failed),
            (&[(ir, "\"e\"")], FULL),
            (&[(ir, "\"x\"")], WEAK),
            (&[(ir, "W/\"e\"")], WEAK),
            (&[(ir, LM)], FULL),
            (&[(ir, EARLIER)], WEAK),
            (&[(ir, LATER)], WEAK),
        ];
        for (fields, expected) in cases {
            assert_eq!(verdict("\"e\"", fields), *expected, "{fields:?}");
        }
        assert_eq!(verdict("W/\"e\"", &[(inm, "\"e\"")]), NotModified);
        assert_eq!(verdict("W/\"e\"", &[(im, "W/\"e\"")]), Failed);
        assert_eq!(verdict("W/\"e\"", &[(ir, "W/\"e\"")]), WEAK);
    }
}
