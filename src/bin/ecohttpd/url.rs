//! Paths of URLs, as they are configured.

/// Looks at a path that is compared with those of requests, which are decoded and have no odd
/// segments.
pub(crate) fn check_path(path: &str) -> Result<(), &'static str> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err("it does not begin with /");
    };
    if path.contains('%') {
        return Err("a percent sign in it: paths are compared as they are when decoded");
    }
    check_segments(rest)
}

/// Looks at a path, with a query if it has one, that is asked for in place of a request's own, and
/// so is encoded as those are.
pub(crate) fn check_target(target: &str) -> Result<(), &'static str> {
    let Some(rest) = target.strip_prefix('/') else {
        return Err("it does not begin with /");
    };
    if !target.bytes().all(|b| matches!(b, b'!'..=b'~')) || target.contains('#') {
        return Err("a character in it that has to be percent-encoded");
    }
    let mut escapes = target.split('%').skip(1);
    let is_escape = |text: &str| {
        text.get(..2).is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    if !escapes.all(is_escape) {
        return Err("a percent sign without two digits behind it");
    }
    check_segments(rest.split('?').next().unwrap_or(rest))
}

/// Looks at what follows the first slash, and may end with one.
fn check_segments(rest: &str) -> Result<(), &'static str> {
    let odd = |segment: &str| matches!(segment, "" | "." | "..");
    let segments = rest.strip_suffix('/').unwrap_or(rest);
    match rest.starts_with('/') || !rest.is_empty() && segments.split('/').any(odd) {
        true => Err("a segment of it is empty, . or .., which no request has"),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_requests() {
        for good in ["/", "/a", "/a/", "/a/b c", "/\u{e9}"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for bad in ["", "a", "//", "/a//b", "/./a", "/a/..", "/../a", "/a%20b"] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
        for good in ["/", "/a%20b.html", "/cgi-bin/e?x=/../y"] {
            assert_eq!(check_target(good), Ok(()), "{good}");
        }
        for bad in ["", "a", "/a b", "/100%.html", "/%4", "/a#b", "/../a", "/a//b", "/\u{e9}"] {
            assert!(check_target(bad).is_err(), "{bad}");
        }
    }
}
