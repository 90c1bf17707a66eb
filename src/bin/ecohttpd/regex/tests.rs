use std::ffi::CString;

use proptest::prelude::*;

use super::*;
use crate::sys::libc_matches;

fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern.as_bytes()).unwrap().is_match(text.as_bytes())
}

#[test]
fn patterns_match_anywhere_unless_anchored() {
    for (pattern, text, expected) in [
        ("^/old/", "/old/page", true),
        ("^/old/", "/very/old/", false),
        ("old", "/very/old/", true),
        ("\\.(jpg|png)$", "/a.png", true),
        ("\\.(jpg|png)$", "/a.png?x", false),
        ("^[0-9]{2,3}$", "1234", false),
        ("^[0-9]{2,}$", "1234", true),
        ("^[0-9]{,3}$", "1234", false),
        ("^a{3}$", "aaa", true),
        ("^a{0}$", "", true),
        ("^a+b?$", "aaa", true),
        ("^(ab*|c){2}$", "abbc", true),
        ("", "", true),
        ("a|", "b", true),
        ("()", "b", true),
        ("A", "a", false),
        ("^(a*)*$", "aaaa", true),
        ("^(a*)+b$", "aaaac", false),
        ("^/é$", "/é", true),
        ("^/..$", "/é", true),
        ("[]a]", "]", true),
        ("[^]a]", "]a", false),
        ("[a-]", "-", true),
        ("[-a]", "-", true),
        ("[[:digit:][:upper:]]", "Q", true),
        ("[[:digit:][:upper:]]", "q", false),
        ("[a[]", "[", true),
        ("a^b", "a^b", false),
        ("a\\^b", "a^b", true),
        ("^\\w+\\.\\d$", "a_9.7", true),
        ("\\S", " \t", false),
        ("\\bcat\\b", "a cat.", true),
        ("\\<cat\\>", "concat", false),
        ("\\Bcat", "concat", true),
        ("a}", "a}", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern:?} {text:?}");
    }
}

#[test]
fn what_is_none_says_why() {
    for (pattern, why) in [
        ("(", "a ( without its )"),
        ("a)", "a ) without its ("),
        ("[a", "a [ without its ]"),
        ("[", "a [ without its ]"),
        ("[]", "a [ without its ]"),
        ("a{2,1}", "fewer at most than at least"),
        ("a{", "a { without a number, or without its }"),
        ("a{,}", "a { without a number, or without its }"),
        ("a{1", "a { without a number, or without its }"),
        ("a{256}", "more than 255 repetitions"),
        ("a{99999999999999999999}", "more than 255 repetitions"),
        ("\\", "nothing behind the last \\"),
        ("(a)\\1", "a \\ before a letter or digit that needs none"),
        ("*a", "nothing there to repeat"),
        ("a|+", "nothing there to repeat"),
        ("[b-a]", "a range that ends before it begins"),
        ("[[:letters:]]", "no class of characters has this name"),
        ("[[:alpha]", "no class of characters has this name"),
        ("[[.a.]]", "there are no collating elements"),
        ("((a{99}){99})", "too large, with all of its repetitions"),
        (&"(".repeat(40), "too many groups in each other"),
    ] {
        assert_eq!(Regex::new(pattern.as_bytes()).unwrap_err(), why, "{pattern:?}");
    }
}

#[test]
fn no_pattern_takes_for_ever() {
    // Each of these makes those that try one way after the other try 2^4096 of them.
    let text = "a".repeat(4096);
    for pattern in ["^(a|a)*$b", "^(a*)*b$", "(a+)+b", "^(a?){200}a{200}b", "((a*)*)*c"] {
        assert!(!matches(pattern, &text), "{pattern}");
    }
}

/// Patterns that mean the same to every library.
fn pattern() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        8 => "[abc/.]".prop_map(|c| if c == "." { "\\.".to_owned() } else { c }),
        2 => Just(".".to_owned()),
        2 => Just("[ab]".to_owned()),
        1 => Just("[^a/]".to_owned()),
        1 => Just("[a-c]".to_owned()),
        1 => Just("[[:alpha:]]".to_owned()),
    ];
    let anchored = prop_oneof![Just("^"), Just("$"), Just("")];
    let expr = atom.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            3 => proptest::collection::vec(inner.clone(), 1..4).prop_map(|all| all.concat()),
            2 => proptest::collection::vec(inner.clone(), 2..4)
                .prop_map(|all| format!("({})", all.join("|"))),
            2 => (inner, prop_oneof![
                Just("*"), Just("+"), Just("?"), Just("{2}"), Just("{1,3}"), Just("{2,}")
            ])
                .prop_map(|(inner, times)| format!("({inner}){times}")),
        ]
    });
    (prop_oneof![Just("^"), Just("")], expr, anchored).prop_map(|(start, expr, end)| {
        format!("{start}{expr}{}", if end == "^" { "" } else { end })
    })
}

proptest! {
    #[test]
    fn every_pattern_means_what_the_c_library_takes_it_for(
        pattern in pattern(),
        texts in proptest::collection::vec("[abc/.]{0,12}", 1..8),
    ) {
        let ours = Regex::new(pattern.as_bytes()).unwrap();
        let c_pattern = CString::new(pattern.clone()).unwrap();
        for text in texts {
            let c_text = CString::new(text.clone()).unwrap();
            let theirs = libc_matches(&c_pattern, &c_text);
            prop_assert_eq!(Some(ours.is_match(text.as_bytes())), theirs, "{} {}", pattern, text);
        }
    }

    #[test]
    fn no_bytes_make_it_fall_over(
        pattern in proptest::collection::vec(any::<u8>(), 0..64),
        tricky in "[\\[\\]a(){},0-9*+?|^$.:\\\\-]{0,40}",
        text in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        for pattern in [&*pattern, tricky.as_bytes()] {
            if let Ok(regex) = Regex::new(pattern) {
                regex.is_match(&text);
            }
        }
    }
}
