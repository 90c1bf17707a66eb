//! What a listing looks like.

use std::time::{Duration, SystemTime};

use super::{Entry, Kind, Listing, MOST};

/// The last second of the year 9999; `httpdate` panics beyond it.
const LAST: u64 = 253_402_300_799;

/// What a listing looks like; every part is added to the end of `out`.
pub(super) struct Page<'a> {
    pub(super) path: &'a [u8],
    pub(super) charset: &'a str,
    pub(super) json: bool,
}

const BEFORE_CHARSET: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"";
const BEFORE_TITLE: &str = "\">\n<meta name=\"viewport\" \
    content=\"width=device-width,initial-scale=1\">\n<title>Index of ";
// What is to be tapped is 45 pixels high. Size and time go below the name where there is no room
// beside it.
const BEFORE_HEADING: &str = "</title>\n<style>
:root{color-scheme:light dark}
body{font:1em/1.5 system-ui,sans-serif;max-width:60em;margin:auto;padding:0 1em}
h1{font-size:1.3em}
h1,a{overflow-wrap:anywhere;white-space:pre-wrap}
ul{padding:0;list-style:none}
li{display:flex;flex-wrap:wrap;align-items:baseline;gap:0 1em;border-top:1px solid #8888}
a{flex:1;min-width:0;padding:.65em 0}
span,time{font-variant-numeric:tabular-nums;opacity:.8}
@media(max-width:40em){a{flex-basis:100%}span,time{padding-bottom:.65em}}
</style>\n<h1>Index of ";
const AFTER_HEADING: &str = "</h1>\n";

impl Page<'_> {
    pub(super) fn begin(&self, out: &mut Vec<u8>, listing: &Listing) {
        if self.json {
            push(out, "{\"path\":\"");
            push_json(out, self.path);
            return push(out, "\",\"entries\":[");
        }
        push(out, BEFORE_CHARSET);
        self.push_text(out, self.charset.as_bytes());
        push(out, BEFORE_TITLE);
        self.push_text(out, self.path);
        push(out, BEFORE_HEADING);
        self.push_text(out, self.path);
        push(out, AFTER_HEADING);
        if listing.truncated {
            push(out, "<p>This is a part only: there are more than ");
            push(out, &MOST.to_string());
            push(out, " entries.</p>\n");
        } else if listing.entries.is_empty() {
            push(out, "<p>There is nothing here.</p>\n");
        }
        push(out, "<ul>\n");
        if self.path != b"/" {
            push(out, "<li><a href=\"../\">../</a>\n");
        }
    }

    pub(super) fn entry(&self, out: &mut Vec<u8>, name: &[u8], entry: &Entry, first: bool) {
        let slash = if entry.kind == Kind::Directory { "/" } else { "" };
        let size = entry.size.to_string();
        let modified = date(entry.modified);
        if self.json {
            push(out, if first { "\n{\"name\":\"" } else { ",\n{\"name\":\"" });
            push_json(out, name);
            push(out, "\",\"href\":\"");
            push_href(out, name);
            push(out, slash);
            let (kind, size) = match entry.kind {
                Kind::Directory => ("directory", "null"),
                Kind::File => ("file", &*size),
                Kind::Other => ("other", "null"),
            };
            for piece in ["\",\"type\":\"", kind, "\",\"size\":", size] {
                push(out, piece);
            }
            for piece in [",\"modified\":\"", &modified, "\"}"] {
                push(out, piece);
            }
            return;
        }
        push(out, "<li><a href=\"");
        push_href(out, name);
        push(out, slash);
        push(out, "\">");
        self.push_text(out, name);
        push(out, slash);
        push(out, "</a>");
        if entry.kind == Kind::File {
            for piece in ["<span title=\"", &size, " bytes\">", &in_units(entry.size), "</span>"] {
                push(out, piece);
            }
        }
        let part = |range| modified.get(range).unwrap_or("");
        for piece in ["<time datetime=\"", &modified, "\">", part(0..10), " ", part(11..16)] {
            push(out, piece);
        }
        push(out, "</time>\n");
    }

    pub(super) fn end(&self, out: &mut Vec<u8>, listing: &Listing) {
        push(
            out,
            match (self.json, listing.truncated) {
                (true, true) => "\n],\"truncated\":true}\n",
                (true, false) => "\n],\"truncated\":false}\n",
                (false, _) => "</ul>\n",
            },
        );
    }

    /// Text between tags or between quotes. Names are in the charset of the page, whatever it is.
    fn push_text(&self, out: &mut Vec<u8>, text: &[u8]) {
        if self.charset.eq_ignore_ascii_case("utf-8") {
            push_escaped(out, String::from_utf8_lossy(text).as_bytes());
        } else {
            push_escaped(out, text);
        }
    }
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Control characters are shown as what they are not, since there are charsets in which they change
/// the meaning of what follows.
fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    for &b in text {
        match b {
            b'<' => push(out, "&lt;"),
            b'>' => push(out, "&gt;"),
            b'&' => push(out, "&amp;"),
            b'"' => push(out, "&quot;"),
            b'\'' => push(out, "&#39;"),
            0..=31 | 127 => push(out, "&#xFFFD;"),
            _ => out.push(b),
        }
    }
}

/// A relative reference (RFC 3986, 4.2). It has no colon, which could end a scheme.
fn push_href(out: &mut Vec<u8>, name: &[u8]) {
    for &b in name {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(b);
        } else {
            out.push(b'%');
            push_hex(out, b);
        }
    }
}

/// What goes between the quotes of a JSON string (RFC 8259, 7).
fn push_json(out: &mut Vec<u8>, text: &[u8]) {
    for &b in String::from_utf8_lossy(text).as_bytes() {
        match b {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
            0..=31 => {
                push(out, "\\u00");
                push_hex(out, b);
            }
            _ => out.push(b),
        }
    }
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    for nibble in [byte >> 4, byte & 15] {
        out.push(if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 });
    }
}

/// `2026-11-22T22:39:11Z`; what is out of the range of dates is at its end.
fn date(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0).min(LAST);
    let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    // Sun, 22 Nov 2026 22:39:11 GMT
    let part = |range| text.get(range).unwrap_or("");
    let mut months = b"JanFebMarAprMayJunJulAugSepOctNovDec".chunks(3);
    let month = months.position(|name| name == part(8..11).as_bytes()).unwrap_or(0) + 1;
    let zero = if month < 10 { "0" } else { "" };
    let date = [part(12..16), "-", zero, &month.to_string(), "-", part(5..7)];
    [&date.concat(), "T", part(17..25), "Z"].concat()
}

/// `1.5 KiB`.
fn in_units(size: u64) -> String {
    for (shift, unit) in [(10, " KiB"), (20, " MiB"), (30, " GiB")] {
        let tenths = (size >> (shift - 10)).saturating_mul(10).saturating_add(512) >> 10;
        if size >= 1024 && (tenths < 10_240 || shift == 30) {
            return [&(tenths / 10).to_string(), ".", &(tenths % 10).to_string(), unit].concat();
        }
    }
    size.to_string() + " B"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: Page<'_> = Page { path: b"/x/", charset: "UTF-8", json: false };
    const JSON: Page<'_> = Page { json: true, ..PAGE };

    fn file(size: u64, modified: i64) -> Entry {
        Entry { start: 0, len: 0, kind: Kind::File, size, modified }
    }

    fn made(make: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        make(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn decode(href: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = href.bytes();
        while let Some(b) = rest.next() {
            assert!(b.is_ascii_alphanumeric() || b"-._~%".contains(&b), "{href}");
            out.push(match b {
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                b => b,
            });
        }
        out
    }

    /// What a JSON string says, up to the quote that ends it, and what follows that.
    fn parse_json(text: &str) -> (String, &str) {
        let mut out = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            assert!(c >= ' ', "{text}");
            out.push(match c {
                '"' => return (out, rest.as_str()),
                '\\' => match rest.next().unwrap() {
                    'u' => {
                        let digits: String = rest.by_ref().take(4).collect();
                        char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
                    }
                    c @ ('"' | '\\') => c,
                    c => panic!("\\{c}"),
                },
                c => c,
            });
        }
        panic!("{text}: it has no end")
    }

    #[test]
    fn a_page_is_small_and_complete() {
        let mut listing = Listing::default();
        let begin = |listing: &Listing| made(|out| PAGE.begin(out, listing));
        let text = begin(&listing);
        assert!(text.len() < 1200, "{}", text.len());
        assert!(text.contains("<html lang=\"en\">\n<meta charset=\"UTF-8\">"), "{text}");
        assert!(text.contains("<title>Index of /x/</title>"), "{text}");
        assert!(text.contains("<h1>Index of /x/</h1>\n<p>There is nothing here.</p>\n"), "{text}");
        assert!(text.ends_with("<ul>\n<li><a href=\"../\">../</a>\n"), "{text}");
        listing.add(b"a", Kind::File, 1, 2);
        assert!(begin(&listing).contains("</h1>\n<ul>\n"));
        listing.truncated = true;
        assert!(begin(&listing).contains("more than 10000 entries"));
        let top = Page { path: b"/", charset: "\"><", json: false };
        let text = made(|out| top.begin(out, &listing));
        assert!(text.ends_with("<ul>\n"), "{text}");
        assert!(text.contains("<meta charset=\"&quot;&gt;&lt;\">"), "{text}");
        assert_eq!(made(|out| PAGE.end(out, &listing)), "</ul>\n");
    }

    #[test]
    fn entries_have_name_size_and_time() {
        let mut entry = file(5_000_000_000, 1_795_387_151);
        assert_eq!(
            made(|out| PAGE.entry(out, b"a b", &entry, true)),
            "<li><a href=\"a%20b\">a b</a><span title=\"5000000000 bytes\">4.7 GiB</span>\
             <time datetime=\"2026-11-22T22:39:11Z\">2026-11-22 22:39</time>\n"
        );
        assert_eq!(
            made(|out| JSON.entry(out, b"a\xff", &entry, true)),
            "\n{\"name\":\"a\u{fffd}\",\"href\":\"a%FF\",\"type\":\"file\",\"size\":5000000000,\
             \"modified\":\"2026-11-22T22:39:11Z\"}"
        );
        entry.kind = Kind::Directory;
        let text = made(|out| PAGE.entry(out, b"d", &entry, false));
        assert!(text.starts_with("<li><a href=\"d/\">d/</a><time "), "{text}");
        let text = made(|out| JSON.entry(out, b"d", &entry, false));
        let start = ",\n{\"name\":\"d\",\"href\":\"d/\",\"type\":\"directory\",\"size\":null,";
        assert!(text.starts_with(start), "{text}");
        entry.kind = Kind::Other;
        let text = made(|out| JSON.entry(out, b"d", &entry, false));
        assert!(text.contains("\"d\",\"type\":\"other\",\"size\":null,"), "{text}");
    }

    #[test]
    fn json_begins_and_ends() {
        let mut listing = Listing::default();
        let page = Page { path: b"/\"\xff/", ..JSON };
        let text = made(|out| page.begin(out, &listing));
        assert_eq!(text, "{\"path\":\"/\\\"\u{fffd}/\",\"entries\":[");
        assert_eq!(made(|out| JSON.end(out, &listing)), "\n],\"truncated\":false}\n");
        listing.truncated = true;
        assert_eq!(made(|out| JSON.end(out, &listing)), "\n],\"truncated\":true}\n");
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        for (name, text, href) in [
            (&b"<script>"[..], "&lt;script&gt;", "%3Cscript%3E"),
            (b"\"'&", "&quot;&#39;&amp;", "%22%27%26"),
            (b"%41?#;", "%41?#;", "%2541%3F%23%3B"),
            (b"javascript:alert(1)", "javascript:alert(1)", "javascript%3Aalert%281%29"),
            (b"a\nb", "a&#xFFFD;b", "a%0Ab"),
            (b"a\xffb", "a\u{fffd}b", "a%FFb"),
            ("\u{e4}".as_bytes(), "\u{e4}", "%C3%A4"),
        ] {
            assert_eq!(made(|out| PAGE.push_text(out, name)), text);
            assert_eq!(made(|out| push_href(out, name)), href);
        }
        let (mut out, latin) = (Vec::new(), Page { charset: "iso-8859-1", ..PAGE });
        latin.push_text(&mut out, b"\xe4<\xff\x1b$B");
        assert_eq!(out, b"\xe4&lt;\xff&#xFFFD;$B");
    }

    #[test]
    fn sizes_are_rounded() {
        for (size, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10_189, "10.0 KiB"),
            (1_048_524, "1023.9 KiB"),
            (1_048_525, "1.0 MiB"),
            (1 << 20, "1.0 MiB"),
            ((1 << 30) - 1, "1.0 GiB"),
            (5_000_000_000, "4.7 GiB"),
            (1 << 50, "1048576.0 GiB"),
            (u64::MAX, "17179869184.0 GiB"),
        ] {
            assert_eq!(in_units(size), text, "{size}");
        }
    }

    #[test]
    fn every_month_has_its_number() {
        for month in 1..=12 {
            let text = format!("2023-{month:02}-28T01:02:03Z");
            let days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let days: i64 = days[..month - 1].iter().sum::<i64>() + 27;
            assert_eq!(date(1_672_531_200 + days * 86_400 + 3723), text);
        }
        assert_eq!(date(-1), "1970-01-01T00:00:00Z");
        assert_eq!(date(i64::MIN), "1970-01-01T00:00:00Z");
        assert_eq!(date(1_709_164_800), "2024-02-29T00:00:00Z");
        assert_eq!(date(i64::MAX), "9999-12-31T23:59:59Z");
    }

    proptest! {
        #[test]
        fn any_name_is_found_again(name in proptest::collection::vec(any::<u8>(), 0..256)) {
            let href = made(|out| push_href(out, &name));
            prop_assert_eq!(decode(&href), &name[..]);
            let text = made(|out| push_json(out, &name) ) + "\"end";
            let known = String::from_utf8_lossy(&name).into_owned();
            prop_assert_eq!(parse_json(&text), (known, "end"));
        }

        #[test]
        fn no_name_gets_out_of_its_place(name in proptest::collection::vec(any::<u8>(), 0..256)) {
            for charset in ["utf-8", "iso-8859-1"] {
                let mut out = Vec::new();
                Page { charset, ..PAGE }.push_text(&mut out, &name);
                prop_assert!(!out.iter().any(|b| b"<>\"'".contains(b) || *b < b' '));
                for after in out.split(|&b| b == b'&').skip(1) {
                    let end = after.iter().position(|&b| b == b';').unwrap();
                    prop_assert!([&b"lt"[..], b"gt", b"amp", b"quot", b"#39", b"#xFFFD"].contains(&&after[..end]));
                }
            }
        }

        #[test]
        fn any_size_and_time_is_shown(size: u64, modified: i64) {
            let text = made(|out| PAGE.entry(out, b"n", &file(size, modified), true));
            let exact = format!("title=\"{size} bytes\"");
            prop_assert!(text.contains(&exact));
            prop_assert_eq!(date(modified).len(), 20);
        }
    }
}
