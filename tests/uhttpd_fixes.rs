//! What uhttpd got wrong, part one: where one request ends and the next one begins. The other parts
//! are `uhttpd_memory` and `uhttpd_answers`; passwords and redirects are in `auth` and `redirect`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::fs;
use std::io::{Cursor, Read};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;

use common::{Client, Dir, Process, Response};

/// Whoever answers this has taken a body for a request.
const EVIL: &str = "GET /evil.txt HTTP/1.1\r\nHost: h\r\n\r\n";

/// Who reads a body, who does not, and who answers without being asked.
const TARGETS: [&str; 8] = [
    "/f.txt",
    "/none",
    "/private",
    "/prot/f.txt",
    "/list/",
    "/ubus",
    "/cgi-bin/echo",
    "/cgi-bin/deaf",
];

struct Site {
    server: Process,
    _dirs: [Dir; 2],
}

impl Site {
    fn new(options: &[&str]) -> Site {
        let (dir, beside) = (Dir::new(), Dir::new());
        dir.write("f.txt", "content");
        dir.write("evil.txt", "smuggled");
        dir.write("list/f.txt", "listed");
        dir.write("prot/f.txt", "guarded");
        dir.write("private", "private");
        fs::set_permissions(dir.path("private"), PermissionsExt::from_mode(0o600)).unwrap();
        // It says nothing before it has read all, lest it be cut off when the rest is wrong.
        let echo = "body=$(cat); printf '\\n%s' \"$body\"";
        for (name, text) in [("echo", echo), ("deaf", "printf '\\ndeaf'")] {
            let path = dir.write(&format!("cgi-bin/{name}"), format!("#!/bin/sh\n{text}"));
            fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let conf = beside.write("conf", "/prot:me:it\n");
        let mut args = vec!["-f", "-p", "127.0.0.1:0", "-h", dir.text()];
        args.extend(["-c", conf.to_str().unwrap()]);
        args.extend(options);
        Site { server: Process::launcher(&args), _dirs: [dir, beside] }
    }

    /// All that is said to these bytes.
    fn said(&self, request: &[u8]) -> Vec<u8> {
        let mut client = Client::connect(self.server.addr);
        // It may be refused before all of it is there.
        let _ = std::io::Write::write_all(&mut client.stream, request);
        let _ = client.stream.shutdown(Shutdown::Write);
        let mut said = Vec::new();
        // Whoever goes on sending is cut off in the end.
        let _ = client.stream.read_to_end(&mut said);
        said
    }

    /// The same as responses, to requests with these methods and then GET.
    fn answers(&self, request: impl AsRef<[u8]>, methods: &[&str]) -> Vec<Response> {
        let said = self.said(request.as_ref());
        let end = said.len() as u64;
        let mut client = Client { stream: Cursor::new(said) };
        let mut answers = Vec::new();
        while client.stream.position() < end {
            answers.push(client.response(methods.get(answers.len()).unwrap_or(&"GET")));
        }
        answers
    }

    /// The head of the only answer, which may be cut off where its request is.
    fn only(&self, request: impl AsRef<[u8]>, what: &str) -> Response {
        let said = self.said(request.as_ref());
        let text = String::from_utf8(said.clone()).unwrap();
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{what}: {text}");
        assert!(!text.contains("smuggled"), "{what}: {text}");
        Client { stream: Cursor::new(said) }.head()
    }
}

fn post(path: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{body}").into()
}

const CHUNKED: &str = "Transfer-Encoding: chunked";

/// For all who could be asked, with a request behind it. The statuses are those that the one script
/// which reads its input may lead to; others may answer before anything is wrong.
fn assert_desynchronises_nobody(cases: &[(&str, &str)], statuses: &[u16]) {
    let site = Site::new(&[]);
    for (fields, body) in cases {
        for target in TARGETS {
            let request = post(target, fields, &format!("{body}{EVIL}"));
            let what = format!("{target} {fields:?} {body:?}");
            let r = site.only(request, &what);
            if target == "/cgi-bin/echo" {
                assert!(statuses.contains(&r.status), "{what}: {}", r.status);
            }
        }
    }
    assert_eq!(Client::connect(site.server.addr).get("/f.txt", "").text(), "content");
}

#[test]
fn a_length_is_given_once_and_in_digits() {
    let site = Site::new(&[]);
    for fields in [
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 0",
        "Content-Length: 3\r\ncontent-length: 4",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: 3, 3",
        "Content-Length: 3,",
        "Content-Length: 0x3",
        "Content-Length: -1",
        "Content-Length: +3",
        "Content-Length:",
        "Content-Length: ",
        "Content-Length: 3 x",
        "Content-Length: 3x",
        "Content-Length: 3;",
        "Content-Length: 3.0",
        "Content-Length: 3e0",
        "Content-Length: \"3\"",
        "Content-Length: 9223372036854775808",
        "Content-Length: 18446744073709551619",
        "Content-Length: 99999999999999999999999999",
        "Content-Length : 3",
        "Content-Length\t: 3",
        "Content-Length: 3\rX: y",
        "Content-Length:\r\n 3",
    ] {
        for target in TARGETS {
            let request = post(target, fields, &format!("abc{EVIL}"));
            let r = site.only(request, &format!("{target} {fields:?}"));
            assert_eq!((r.status, r.header("connection")), (400, Some("close")), "{fields:?}");
        }
    }
}

#[test]
fn a_length_beyond_32_bits_is_no_smaller_one() {
    for length in ["4294967299", "2147483651", "4294967296", "9223372036854775807"] {
        let fields = format!("Content-Length: {length}");
        // The body is never all there, so whatever is answered, nothing follows.
        assert_desynchronises_nobody(&[(&fields, "abc")], &[400]);
    }
}

#[test]
fn a_chunk_size_is_nothing_but_digits() {
    for size in [
        "",
        " ",
        " 3",
        "\t3",
        "0x3",
        "3_0",
        "3 ",
        "3 4",
        "+3",
        "-3",
        "3.",
        "3,",
        "g",
        "3g",
        "3\r",
        "8000000000000000",
        "ffffffffffffffff",
        "10000000000000003",
        "00000000000000000000000000000003",
        "3;\u{1}",
        "3;a\nb",
        "3;a\rb",
    ] {
        let body = format!("{size}\r\nabc\r\n0\r\n\r\n");
        assert_desynchronises_nobody(&[(CHUNKED, &body)], &[400]);
    }
    // Nor is the last one's, which would end the body.
    for size in
        ["", " ", ";", ";a", " ;a", "0x", "0x0", "0_0", "+0", "-0", "0 ", "0.", "00000000000000000"]
    {
        let body = format!("{size}\r\n\r\n");
        assert_desynchronises_nobody(&[(CHUNKED, &body)], &[400]);
    }
    assert_desynchronises_nobody(&[(CHUNKED, "3\nabc\n0\n\n")], &[400]);
}

#[test]
fn a_chunk_beyond_32_bits_is_no_smaller_one() {
    for size in ["80000000", "ffffffff", "100000003", "ffffffffff", "7fffffffffffffff"] {
        let body = format!("{size}\r\nabc\r\n0\r\n\r\n");
        assert_desynchronises_nobody(&[(CHUNKED, &body)], &[400, 413]);
    }
}

#[test]
fn a_chunk_ends_where_it_said() {
    let cases = [
        (CHUNKED, "3\r\nabcXX0\r\n\r\n"),
        (CHUNKED, "3\r\nabcd\r\n0\r\n\r\n"),
        (CHUNKED, "3\r\nab\r\n0\r\n\r\n"),
        (CHUNKED, "3\r\nabc\n0\r\n\r\n"),
        (CHUNKED, "3\r\nabc\r0\r\n\r\n"),
        (CHUNKED, "3\r\nabc0\r\n\r\n"),
        (CHUNKED, "3\r\nabc\r\n\r\n0\r\n\r\n"),
        (CHUNKED, "0\r\nabc"),
        (CHUNKED, "0\n\n"),
    ];
    assert_desynchronises_nobody(&cases, &[400]);
}

#[test]
fn hundreds_of_tiny_chunks_are_one_body() {
    let site = Site::new(&[]);
    for count in [255, 256, 257, 300, 1000] {
        let chunks = "1\r\nx\r\n".repeat(count);
        let more = "GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2);
        for target in TARGETS {
            let request = post(target, CHUNKED, &format!("{chunks}0\r\n\r\n{more}"));
            let answers = site.answers(request, &["POST", "GET", "GET"]);
            assert_eq!(answers.len(), 3, "{target} {count}: {answers:?}");
            assert_eq!((answers[1].text(), answers[2].text()), ("content", "content"));
            if target == "/cgi-bin/echo" {
                assert_eq!(answers[0].text(), "x".repeat(count));
            }
        }
    }
}

#[test]
fn chunked_is_the_only_coding_and_has_no_case() {
    let site = Site::new(&[]);
    for value in ["chunked", "Chunked", "CHUNKED", "  chunked\t"] {
        let fields = format!("Transfer-Encoding: {value}");
        let answers = site.answers(post("/cgi-bin/echo", &fields, "3\r\nabc\r\n0\r\n\r\n"), &[]);
        assert_eq!((answers.len(), answers[0].text()), (1, "abc"), "{value}");
    }
    for value in [
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "gzip",
        "identity",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "\"chunked\"",
        "\u{b}chunked",
        "",
        "chunked\r\nTransfer-Encoding: identity",
        "identity\r\nTransfer-Encoding: chunked",
    ] {
        let fields = format!("Transfer-Encoding: {value}");
        for target in TARGETS {
            let request = post(target, &fields, &format!("3\r\nabc\r\n0\r\n\r\n{EVIL}"));
            let r = site.only(request, &format!("{target} {value:?}"));
            assert!(matches!(r.status, 400 | 501), "{value:?}: {}", r.status);
            assert_eq!(r.header("connection"), Some("close"), "{value:?}");
        }
    }
    // What HTTP/1.0 does not have it cannot be asked for.
    let request = "POST /cgi-bin/echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(site.only(format!("{request}{EVIL}"), "HTTP/1.0").status, 400);
}

#[test]
fn trailers_are_read_away_and_are_no_request() {
    let site = Site::new(&[]);
    let next = "GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n";
    let many = "X: y\r\n".repeat(50);
    for trailers in [
        "",
        "X: y\r\n",
        "Content-Length: 50\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: other\r\n",
        "X: GET /evil.txt HTTP/1.1\r\n",
        &many,
    ] {
        for target in TARGETS {
            let body = format!("3\r\nabc\r\n0\r\n{trailers}\r\n{next}");
            let answers = site.answers(post(target, CHUNKED, &body), &["POST"]);
            assert_eq!(answers.len(), 2, "{target} {trailers:?}: {answers:?}");
            assert_eq!(answers[1].text(), "content", "{target} {trailers:?}");
        }
    }
    let endless = format!("X: {}\r\n", "y".repeat(20_000));
    let cases = [
        (CHUNKED, &*format!("0\r\n{EVIL}")),
        (CHUNKED, "0\r\nno colon\r\n\r\n"),
        (CHUNKED, "0\r\n: no name\r\n\r\n"),
        (CHUNKED, "0\r\nX : y\r\n\r\n"),
        (CHUNKED, "0\r\nX: a\rb\r\n\r\n"),
        (CHUNKED, "0\r\nX: a\n\r\n"),
        (CHUNKED, "0\r\n folded\r\n\r\n"),
        (CHUNKED, &format!("0\r\n{endless}\r\n")),
        (CHUNKED, &format!("0\r\n{}\r\n", "X: y\r\n".repeat(200))),
    ];
    assert_desynchronises_nobody(&cases, &[400, 413, 431]);
}

#[test]
fn names_of_fields_are_tokens() {
    let site = Site::new(&[]);
    for field in [
        &b":x"[..],
        b": x",
        b"X : a",
        b"X\t: a",
        b"X y: a",
        b"X(: a",
        b"X;: a",
        b"X\"y\": a",
        b"X@y: a",
        b"[X]: a",
        b"X\x80: a",
        b"\xc3\xa9: a",
        b"X\0: a",
        b"\x7f: a",
        b"X",
        b"X = a",
        b" X: a",
        b"\tX: a",
    ] {
        let request =
            [b"POST /f.txt HTTP/1.1\r\nHost: h\r\n", field, b"\r\n\r\n", EVIL.as_bytes()].concat();
        assert_eq!(site.only(request, &field.escape_ascii().to_string()).status, 400);
    }
}

#[test]
fn values_of_fields_have_no_control_characters() {
    let site = Site::new(&[]);
    let with = |value: &[u8]| {
        let end = [b"\r\n\r\n", EVIL.as_bytes()].concat();
        [b"POST /f.txt HTTP/1.1\r\nHost: h\r\nX: a", value, b"b", &end].concat()
    };
    for b in (0..b' ').chain([0x7f]).filter(|b| *b != b'\t') {
        assert_eq!(site.only(with(&[b]), &format!("{b:#x}")).status, 400);
    }
    for value in [&b"\rEvil: 1"[..], b"\r\r\n", b"\n\r\n", b"\r\n folded"] {
        assert_eq!(site.only(with(value), &value.escape_ascii().to_string()).status, 400);
    }
    // A tab is none, nor is what is not ASCII.
    for value in [&b"\t"[..], b"\x80", b"\xff\xfe", "\u{e4}".as_bytes()] {
        assert_eq!(site.answers(with(value), &["POST"]).len(), 2, "{}", value.escape_ascii());
    }
}
