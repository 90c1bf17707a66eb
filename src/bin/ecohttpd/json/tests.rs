use proptest::prelude::*;

use super::*;

fn json(text: &str) -> Json {
    parse(text.as_bytes()).unwrap().json
}

#[test]
fn values_are_read_as_they_are() {
    assert_eq!(json(" null\n"), Json::Null);
    assert_eq!(json("true"), Json::Bool(true));
    assert_eq!(json("false"), Json::Bool(false));
    for number in ["0", "-0", "302", "1.50", "-1e9", "1E-05", "0.0e+0", "123456789012345678901"] {
        assert_eq!(json(number), Json::Number(number.into()));
    }
    for (text, string) in [
        (r#""""#, ""),
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""\u00e9\uD83D\ude00é😀""#, "é😀é😀"),
        ("\"\u{7f}\"", "\u{7f}"),
    ] {
        assert_eq!(json(text), Json::String(string.into()), "{text}");
    }
    assert_eq!(json("[ ]"), Json::Array(Vec::new()));
    assert_eq!(json("{\r\n}"), Json::Object(Vec::new()));
}

#[test]
fn members_keep_their_order_and_lines() {
    let node = parse(b"\n{\"a\": [1,\n\"x\"\n], \"b\":\n {}, \"a\": null}").unwrap();
    let at = |line, json| Node { line, json };
    let array = vec![at(2, Json::Number("1".into())), at(3, Json::String("x".into()))];
    let members = vec![
        ("a".to_owned(), at(2, Json::Array(array))),
        ("b".to_owned(), at(5, Json::Object(Vec::new()))),
        ("a".to_owned(), at(5, Json::Null)),
    ];
    assert_eq!(node, at(2, Json::Object(members)));
}

#[test]
fn every_mistake_has_its_line() {
    for (text, line, why) in [
        (&b""[..], 1, "it ends where"),
        (b"\n\n", 3, "it ends where"),
        (b"\xef\xbb\xbf{}", 1, "a value is expected"),
        (b"nul", 1, "a value is expected"),
        (b"True", 1, "a value is expected"),
        (b"'a'", 1, "a value is expected"),
        (b"+1", 1, "a value is expected"),
        (b".5", 1, "a value is expected"),
        (b"// x\n1", 1, "a value is expected"),
        (b"1 2", 1, "more than one"),
        (b"{}\n}", 2, "more than one"),
        (b"01", 1, "more than one"),
        (b"-", 1, "a digit"),
        (b"1.", 1, "a digit"),
        (b"1e+", 1, "a digit"),
        (b"[1,\n]", 2, "a value is expected"),
        (b"[1\n2]", 2, "a comma or ']'"),
        (b"[1", 1, "a comma or ']'"),
        (b"[", 1, "it ends where"),
        (b"{\"a\":1,}", 1, "a name in"),
        (b"{\n,}", 2, "a name in"),
        (b"{a:1}", 1, "a name in"),
        (b"{\"a\"\n1}", 2, "a colon"),
        (b"{\"a\":1 \"b\":2}", 1, "a comma or '}'"),
        (b"\n\"abc", 2, "within a string"),
        (b"\"a\nb\"", 1, "a control character"),
        (b"\"\0\"", 1, "a control character"),
        (b"\"\\x\"", 1, "an unknown escape"),
        (b"\"\\", 1, "an unknown escape"),
        (b"\"\\u0000\"", 1, "a NUL"),
        (b"\"\\u12\"", 1, "four hexadecimal"),
        (b"\"\\ud800\"", 1, "half of"),
        (b"\"\\ud800\\u0041\"", 1, "half of"),
        (b"\"\\ud800\\n\"", 1, "half of"),
        (b"\"\\udc00\"", 1, "half of"),
        (b"[\n\"\xff\"]", 2, "not UTF-8"),
    ] {
        let (at, what) = parse(text).unwrap_err();
        assert!(at == line && what.contains(why), "{}: {at}: {what}", text.escape_ascii());
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |n| ["[".repeat(n), "]".repeat(n)].concat();
    assert!(parse(nested(DEPTH).as_bytes()).is_ok());
    assert_eq!(parse(nested(DEPTH + 1).as_bytes()).unwrap_err().1, "nested too deep");
    assert_eq!(parse("{\"a\":".repeat(9999).as_bytes()).unwrap_err().1, "nested too deep");
}

fn any_node() -> impl Strategy<Value = Node> {
    let at = |json| Node { line: 0, json };
    let string = "[^\0]{0,8}";
    let leaf = prop_oneof![
        Just(at(Json::Null)),
        any::<bool>().prop_map(move |b| at(Json::Bool(b))),
        "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,3})?([eE][-+]?[0-9]{1,2})?"
            .prop_map(move |n| at(Json::Number(n))),
        string.prop_map(move |s| at(Json::String(s))),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(move |v| at(Json::Array(v))),
            prop::collection::vec((string, inner), 0..6).prop_map(move |v| at(Json::Object(v))),
        ]
    })
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..'\u{20}' | '\u{ff}'.. => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Writes `node`, with line ends between, and notes the lines its values are in.
fn write(node: &mut Node, line: &mut u32, out: &mut String) {
    node.line = *line;
    let next = |out: &mut String, i: usize, line: &mut u32| {
        out.push_str(if i > 0 { ",\n" } else { " \r\n\t" });
        *line += 1;
    };
    match &mut node.json {
        Json::Null => out.push_str("null"),
        Json::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Json::Number(n) => out.push_str(n),
        Json::String(s) => write_string(s, out),
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter_mut().enumerate() {
                next(out, i, line);
                write(item, line, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (i, (name, value)) in members.iter_mut().enumerate() {
                next(out, i, line);
                write_string(name, out);
                out.push_str(" : ");
                write(value, line, out);
            }
            out.push('}');
        }
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read(mut node in any_node()) {
        let mut text = String::new();
        write(&mut node, &mut 1, &mut text);
        prop_assert_eq!(parse(text.as_bytes()), Ok(node));
    }

    #[test]
    fn nothing_panics(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&text);
    }

    #[test]
    fn nothing_like_json_panics(text in "[]\\[{}:,\"\\\\u0d8ntf \n.e+-]{0,48}") {
        let _ = parse(text.as_bytes());
    }

    #[test]
    fn nothing_cut_short_is_whole(mut node in any_node(), cut in any::<prop::sample::Index>()) {
        let mut text = String::new();
        write(&mut node, &mut 1, &mut text);
        text.insert(0, '[');
        text.push(']');
        prop_assert!(parse(text.as_bytes()).is_ok());
        prop_assert!(parse(&text.as_bytes()[..cut.index(text.len())]).is_err());
    }
}
