//! What uhttpd got wrong, part two: bodies that nobody reads, and answers that say so or not.
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
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use common::{Client, Dir, Process};

const EVIL: &str = "GET /evil.txt HTTP/1.1\r\nHost: h\r\n\r\n";

struct Site {
    server: Process,
    tag: String,
    _dirs: [Dir; 2],
}

impl Site {
    fn new() -> Site {
        let (dir, beside) = (Dir::new(), Dir::new());
        dir.write("f.txt", "content");
        dir.write("evil.txt", "smuggled");
        dir.write("list/f.txt", "listed");
        dir.write("prot/f.txt", "guarded");
        dir.write("private", "private");
        fs::set_permissions(dir.path("private"), PermissionsExt::from_mode(0o600)).unwrap();
        for (name, text) in [
            ("deaf", "printf '\\ndeaf'"),
            ("no", "printf 'Status: 403 No\\n\\nno'"),
            ("empty", "printf 'Status: 204 No Content\\n\\n'"),
            ("away", "printf 'Location: http://h/\\n\\n'"),
            ("local", "printf 'Location: /f.txt\\n\\n'"),
            ("bad", "true"),
        ] {
            let path = dir.write(&format!("cgi-bin/{name}"), format!("#!/bin/sh\n{text}"));
            fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let conf = beside.write("conf", "/prot:me:it\n");
        let args = ["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "-c", conf.to_str().unwrap()];
        let server = Process::launcher(&args);
        let r = Client::connect(server.addr).get("/f.txt", "");
        let tag = format!("If-None-Match: {}\r\n", r.header("etag").unwrap());
        Site { server, tag, _dirs: [dir, beside] }
    }

    /// Requests that nobody reads a body of, and their statuses.
    fn cases(&self) -> Vec<(&str, &str, &str, u16)> {
        vec![
            ("GET", "/f.txt", "", 200),
            ("GET", "/f.txt", &self.tag, 304),
            ("GET", "/f.txt", "Range: bytes=0-1\r\n", 206),
            ("GET", "/f.txt", "Range: bytes=0-1,3-4\r\n", 206),
            ("GET", "/f.txt", "Range: bytes=99-\r\n", 416),
            ("GET", "/f.txt", "If-Match: \"x\"\r\n", 412),
            ("GET", "/list", "", 301),
            ("GET", "/list/", "", 200),
            ("GET", "/list/", "Accept: application/json\r\n", 200),
            ("GET", "/prot/f.txt", "", 401),
            ("GET", "/private", "", 403),
            ("GET", "/none", "", 404),
            ("GET", "/../x", "", 403),
            ("POST", "/f.txt", "", 405),
            ("PUT", "/f.txt", "", 405),
            ("DELETE", "/f.txt", "", 405),
            ("OPTIONS", "/f.txt", "", 405),
            ("OPTIONS", "*", "", 405),
            ("BREW", "/list/", "", 405),
            ("POST", "/none", "", 404),
            ("POST", "/ubus", "", 404),
            ("GET", "/cgi-bin/deaf", "", 200),
            ("POST", "/cgi-bin/deaf", "", 200),
            ("POST", "/cgi-bin/no", "", 403),
            ("POST", "/cgi-bin/empty", "", 204),
            ("POST", "/cgi-bin/away", "", 302),
            ("POST", "/cgi-bin/local", "", 200),
            ("POST", "/cgi-bin/none", "", 404),
            ("HEAD", "/f.txt", "", 200),
            ("HEAD", "/f.txt", &self.tag, 304),
            ("HEAD", "/list/", "", 200),
            ("HEAD", "/list", "", 301),
            ("HEAD", "/none", "", 404),
            ("HEAD", "/private", "", 403),
            ("HEAD", "/prot/f.txt", "", 401),
            ("HEAD", "/cgi-bin/deaf", "", 200),
            ("HEAD", "/cgi-bin/no", "", 403),
        ]
    }
}

#[test]
fn a_body_that_nobody_reads_is_not_the_next_request() {
    let site = Site::new();
    let chunked = format!("{:x}\r\n{EVIL}\r\n0\r\n\r\n", EVIL.len());
    let many = EVIL.repeat(1000);
    let length = |body: &str| format!("Content-Length: {}\r\n", body.len());
    for (method, path, fields, status) in site.cases() {
        // All of these are short enough to be read away, so that the connection can go on.
        for (framing, body) in [
            (length(EVIL), EVIL),
            (length(&many), &many),
            ("Transfer-Encoding: chunked\r\n".into(), &chunked),
        ] {
            let what = format!("{method} {path} {fields}{framing}");
            let mut client = Client::connect(site.server.addr);
            client.send(format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{fields}{framing}\r\n"));
            client.send(body);
            client.send("GET /f.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            let r = client.response(method);
            assert_eq!((r.status, r.header("connection")), (status, None), "{what}");
            assert!(!r.text().contains("smuggled"), "{what}");
            let r = client.response("GET");
            assert_eq!((r.status, r.text()), (200, "content"), "{what}");
            assert!(client.is_closed(), "{what}");
        }
    }
}

#[test]
fn a_body_that_comes_late_is_not_the_next_request_either() {
    let site = Site::new();
    for (method, path, fields, status) in site.cases() {
        let what = format!("{method} {path} {fields}");
        let mut client = Client::connect(site.server.addr);
        let length = EVIL.len();
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: "));
        client.send(format!("{length}\r\n\r\n"));
        // The answer is there before the body is.
        assert_eq!(client.response(method).status, status, "{what}");
        client.send(EVIL);
        client.send("GET /f.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response("GET").text(), "content", "{what}");
        assert!(client.is_closed(), "{what}");
    }
}

#[test]
fn a_head_has_no_content_whatever_is_wrong() {
    let site = Site::new();
    for (_, path, fields, _) in site.cases() {
        let mut client = Client::connect(site.server.addr);
        client
            .send(format!("HEAD {path} HTTP/1.1\r\nHost: h\r\n{fields}Connection: close\r\n\r\n"));
        let r = client.head();
        let mut rest = Vec::new();
        client.stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"", "{path} {fields}: {}", r.status);
    }
}

#[test]
fn who_says_that_a_connection_stays_keeps_it() {
    let site = Site::new();
    let mut cases = site.cases();
    cases.extend([
        ("GET", "/cgi-bin/bad", "", 502),
        ("GET", "/%zz", "", 400),
        ("GET", "/f.txt", "No colon\r\n", 400),
        ("GET", "/f.txt", "Expect: tea\r\n", 417),
        ("GET", "/f.txt", "Connection: close\r\n", 200),
        ("GET", "/none", "Connection: close\r\n", 404),
    ]);
    for (method, path, fields, status) in cases {
        for (version, asks) in [("1.1", ""), ("1.0", ""), ("1.0", "Connection: keep-alive\r\n")] {
            let what = format!("{method} {path} {fields}{version} {asks}");
            let mut client = Client::connect(site.server.addr);
            client.send(format!("{method} {path} HTTP/{version}\r\nHost: h\r\n{fields}{asks}\r\n"));
            let r = client.response(method);
            assert_eq!(r.status, status, "{what}");
            let says = r.header("connection").map(str::to_ascii_lowercase);
            if version == "1.0" && asks.is_empty() || fields.contains("close") {
                assert_ne!(says.as_deref(), Some("keep-alive"), "{what}");
                assert!(client.is_closed(), "{what}");
            } else if says.as_deref() == Some("close") || (version == "1.0" && says.is_none()) {
                assert!(client.is_closed(), "{what}");
            } else {
                assert_eq!(client.get("/f.txt", "").text(), "content", "{what}");
            }
        }
    }
}

#[test]
fn a_body_too_long_to_be_read_away_ends_the_connection() {
    let site = Site::new();
    for (method, path, status) in [
        ("POST", "/f.txt", 405),
        ("POST", "/none", 404),
        ("GET", "/list/", 200),
        ("POST", "/ubus", 404),
    ] {
        let mut client = Client::connect(site.server.addr);
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n"
        ));
        client.send(EVIL);
        let r = client.response(method);
        assert_eq!((r.status, r.header("connection")), (status, Some("close")), "{path}");
        let mut rest = Vec::new();
        let _ = client.stream.read_to_end(&mut rest);
        assert_eq!(rest, b"", "{path}");
    }
}
