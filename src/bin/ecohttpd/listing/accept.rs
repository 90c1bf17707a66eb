//! Which form of a listing a client prefers.

/// Whether a client likes JSON better than a page (RFC 9110, 12.5.1).
pub(super) fn prefers_json<'a>(accept: impl Iterator<Item = &'a str>) -> bool {
    // How exact the range is that speaks of a type, and its weight.
    let (mut json, mut html) = ((0, 0), (0, 0));
    for member in accept.flat_map(|value| split(value, ',')) {
        let mut words = split(member, ';');
        let range = words.next().unwrap_or("");
        // Other parameters than the weight, such as a charset, make no difference to us.
        let weight = words.find_map(weight).unwrap_or(1000);
        for (best, all, whole) in
            [(&mut json, "application/*", "application/json"), (&mut html, "text/*", "text/html")]
        {
            let exact = match range {
                "*/*" => 1,
                _ if range.eq_ignore_ascii_case(all) => 2,
                _ if range.eq_ignore_ascii_case(whole) => 3,
                _ => continue,
            };
            *best = (*best).max((exact, weight));
        }
    }
    json.1 > html.1
}

/// What lies between separators outside quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let escapes = quoted && !escaped && c == '\\';
        quoted ^= c == '"' && !escaped;
        escaped = escapes;
        c == separator && !quoted
    })
    .map(|part| part.trim_ascii())
}

/// `q=0.5`, in thousandths; 0 for a weight that is none.
fn weight(word: &str) -> Option<u16> {
    let (name, value) = word.split_once('=')?;
    if !name.trim_ascii_end().eq_ignore_ascii_case("q") {
        return None;
    }
    let value = value.trim_ascii_start();
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let mut thousandths = 0;
    let mut digits = part.bytes();
    for place in [100, 10, 1] {
        match digits.next() {
            Some(b @ b'0'..=b'9') => thousandths += u16::from(b - b'0') * place,
            Some(_) => return Some(0),
            None => break,
        }
    }
    Some(match whole {
        "0" if digits.next().is_none() => thousandths,
        "1" if digits.next().is_none() && thousandths == 0 => 1000,
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weights_decide() {
        for (lines, json) in [
            (&[][..], false),
            (&[""], false),
            (&["*/*"], false),
            (&["text/html"], false),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], false),
            (&["application/json"], true),
            (&["Application/JSON"], true),
            (&["application/json; charset=utf-8"], true),
            (&["application/json, text/plain, */*"], false),
            (&["application/json, */*;q=0.5"], true),
            (&["application/json, text/html"], false),
            (&["application/json;q=0.5, text/html;q=0.5"], false),
            (&["application/json;q=0.501, text/html;q=0.5"], true),
            (&["application/json;q=0.5, text/html;q=0.4"], true),
            (&["application/json;q=0.5, text/html;q=0.6"], false),
            (&["application/json ; Q=0.5 , text/html ; q = 0.4"], true),
            (&["application/json", "text/html"], false),
            (&["application/json", "text/html;q=0.1"], true),
            (&["application/*"], true),
            (&["application/*, text/*;q=0.9"], true),
            (&["text/*, application/*;q=0.9"], false),
            (&["*/*, text/html;q=0"], true),
            (&["*/*, text/html;q=0.9"], true),
            (&["*/*, application/json;q=0"], false),
            (&["*/*;q=0.1, text/*;q=0.9, application/json;q=0.5"], false),
            (&["application/json;q=0"], false),
            (&["application/json;q=0.000"], false),
            (&["application/json;q=0.001"], true),
            (&["application/json;q=1.000"], true),
            (&["application/json;q=1.001"], false),
            (&["application/json;q=2"], false),
            (&["application/json;q=0.1234"], false),
            (&["application/json;q=.5"], false),
            (&["application/json;q=0.x"], false),
            (&["application/json;q="], false),
            (&["application/json;q"], true),
            (&["application/json;a=\",text/html;q=1;\\\",text/html\";q=0.1"], true),
            (&["text/html;a=\"application/json"], false),
            (&["application/jsonx"], false),
            (&["application/json2, ,;,=;"], false),
        ] {
            assert_eq!(prefers_json(lines.iter().copied()), json, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(application/json|text/html|[*]/[*]|;|,|q=|0|1|[.]|\"|\\\\|\u{e4}| ){0,24}") {
            let _ = prefers_json(std::iter::once(&text[..]));
        }
    }
}
