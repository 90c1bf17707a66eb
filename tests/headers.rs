//! Fields of every response (`-z`).
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
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use common::{Client, Dir, Process, Response};

fn serving(dir: &Dir, options: &[&str]) -> Process {
    let mut args = vec!["-f", "-p", "127.0.0.1:0", "-h", dir.text()];
    args.extend(options);
    Process::launcher(&args)
}

fn script(dir: &Dir, name: &str, text: &str) {
    let path = dir.write(name, format!("#!/bin/sh\n{text}"));
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn all<'a>(r: &'a Response, name: &str) -> Vec<&'a str> {
    r.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
}

const CSP: &str = "default-src 'self'; img-src *:80";

#[test]
fn every_response_has_them_once() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    dir.write("sub/f.txt", "content");
    dir.write("page.css.gz", "packed");
    dir.write("page.css", "plain");
    dir.write("prot/f.txt", "content");
    dir.write("private", "private");
    fs::set_permissions(dir.path("private"), PermissionsExt::from_mode(0o600)).unwrap();
    script(&dir, "cgi-bin/ok", "printf 'Content-Type: text/plain\\n\\nok'");
    script(&dir, "cgi-bin/long", "printf '\\n'; head -c 100000 /dev/zero");
    script(&dir, "cgi-bin/empty", "printf 'Status: 204 No Content\\n\\n'");
    script(&dir, "cgi-bin/away", "printf 'Location: http://h/\\n\\n'");
    script(&dir, "cgi-bin/local", "printf 'Location: /f.txt\\n\\n'");
    script(&dir, "cgi-bin/bad", "printf 'no header'");
    let beside = Dir::new();
    let conf = beside.write("conf", "/prot:me:it\n");
    let rules = beside.write(
        "rules.json",
        r#"{"request": [[["if", ["eq", "REQUEST_URI", "/rule"], ["redirect", "/f.txt"]]]]}"#,
    );
    let csp = format!("Content-Security-Policy: {CSP}");
    let mut options = vec!["-z", &csp, "-z", "X-Odd:   k\u{e4}se ", "-z", "X-Empty:"];
    options.extend(["-c", conf.to_str().unwrap(), "-H", rules.to_str().unwrap()]);
    options.extend(["-z", "X-Two: 1", "--header", "x-two: 2"]);
    let server = serving(&dir, &options);
    let tag = Client::connect(server.addr).get("/f.txt", "").header("etag").unwrap().to_owned();
    let same = format!("If-None-Match: {tag}\r\n");
    let large = format!("X: {}\r\n", "x".repeat(9000));
    for (method, path, fields, status) in [
        ("GET", "/f.txt", "", 200),
        ("GET", "/f.txt", &*same, 304),
        ("GET", "/f.txt", "Range: bytes=0-1\r\n", 206),
        ("GET", "/f.txt", "Range: bytes=0-1,3-4\r\n", 206),
        ("GET", "/f.txt", "Range: bytes=99-\r\n", 416),
        ("GET", "/f.txt", "If-Match: \"x\"\r\n", 412),
        ("GET", "/f.txt", "Connection: close\r\n", 200),
        ("GET", "/page.css", "Accept-Encoding: gzip\r\n", 200),
        ("DELETE", "/f.txt", "", 405),
        ("OPTIONS", "*", "", 405),
        ("GET", "/none", "", 404),
        ("GET", "/private", "", 403),
        ("GET", "/../x", "", 403),
        ("GET", "/prot/f.txt", "", 401),
        ("GET", "/sub", "", 301),
        ("GET", "/sub/", "", 200),
        ("GET", "/sub/", "Accept: application/json\r\n", 200),
        ("GET", "/rule", "", 302),
        ("GET", "/cgi-bin/ok", "", 200),
        ("GET", "/cgi-bin/long", "", 200),
        ("GET", "/cgi-bin/empty", "", 204),
        ("GET", "/cgi-bin/away", "", 302),
        ("GET", "/cgi-bin/local", "", 200),
        ("GET", "/cgi-bin/bad", "", 502),
        // Those of heads that were refused, too.
        ("GET", "/%zz", "", 400),
        ("GET", "/f.txt", "No colon\r\n", 400),
        ("GET", "/f.txt", "Content-Length: 1, 1\r\n", 400),
        ("GET", "/f.txt", &large, 431),
        ("CONNECT", "h:80", "", 501),
    ] {
        let mut methods = vec![method];
        if method == "GET" && status < 400 && !fields.starts_with("Range") {
            methods.push("HEAD");
        }
        for method in methods {
            let mut client = Client::connect(server.addr);
            let r = client.request(method, path, fields, b"");
            assert_eq!(r.status, status, "{method} {path} {fields}");
            assert_eq!(all(&r, "content-security-policy"), [CSP], "{method} {path} {fields}");
            assert_eq!(all(&r, "x-odd"), ["k\u{e4}se"], "{method} {path} {fields}");
            assert_eq!(all(&r, "x-empty"), [""], "{method} {path} {fields}");
            assert_eq!(all(&r, "x-two"), ["1", "2"], "{method} {path} {fields}");
        }
    }
    // An interim response is none.
    let mut client = Client::connect(server.addr);
    client.send("POST /cgi-bin/ok HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n");
    client.send("Content-Length: 2\r\n\r\n");
    let mut r = client.head();
    if r.status == 100 {
        assert_eq!(r.headers, []);
        client.send("ab");
        r = client.response("POST");
    }
    assert_eq!((r.status, all(&r, "content-security-policy")), (200, vec![CSP]));
}

#[test]
fn what_a_response_says_itself_counts() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    fs::create_dir(dir.path("list")).unwrap();
    script(
        &dir,
        "cgi-bin/own",
        "printf 'content-security-policy: none\\nX-Frame-Options: DENY\\nServer: mine\\n'
        printf 'Cache-Control: private\\nContent-Type: text/x-own\\n\\n'",
    );
    script(&dir, "cgi-bin/cookies", "printf 'Set-Cookie: a=1\\nSet-Cookie: b=2\\n\\n'");
    let fields = [
        "Content-Security-Policy: ours",
        "x-frame-options: SAMEORIGIN",
        "Cache-Control: max-age=60",
        "Content-Type: text/x-ours",
        "Set-Cookie: c=3",
        "ETag: \"ours\"",
        "Vary: ours",
        "Location: /ours",
    ];
    let options: Vec<_> = fields.iter().flat_map(|field| ["-z", field]).collect();
    let server = serving(&dir, &options);
    let mut client = Client::connect(server.addr);
    let r = client.get("/cgi-bin/own", "");
    for (name, value) in [
        ("content-security-policy", "none"),
        ("x-frame-options", "DENY"),
        ("cache-control", "private"),
        ("content-type", "text/x-own"),
        ("server", "mine"),
        ("set-cookie", "c=3"),
    ] {
        assert_eq!(all(&r, name), [value]);
    }
    let r = client.get("/cgi-bin/cookies", "");
    assert_eq!(all(&r, "set-cookie"), ["a=1", "b=2"]);
    let r = client.get("/f.txt", "");
    assert_eq!(all(&r, "content-security-policy"), ["ours"]);
    assert_eq!(all(&r, "cache-control"), ["max-age=60"]);
    for name in ["etag", "content-type", "vary"] {
        let values = all(&r, name);
        assert!(values.len() == 1 && !values[0].contains("ours"), "{name}: {values:?}");
    }
    assert_eq!(all(&client.get("/list/", ""), "cache-control"), ["no-cache"]);
    assert_eq!(all(&client.get("/list", ""), "location"), ["/list/"]);
}

#[test]
fn the_name_of_the_server_can_be_given() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let server = serving(&dir, &["-z", "SERVER: mine"]);
    for path in ["/f.txt", "/none", "/%zz"] {
        let r = Client::connect(server.addr).get(path, "");
        assert_eq!(all(&r, "server"), ["mine"], "{path}");
        assert_eq!(all(&r, "date").len(), 1, "{path}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn https_and_the_way_there_have_them() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let pki = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pki/localhost");
    let (cert, key) = (format!("{pki}.pem"), format!("{pki}.key"));
    let hsts = "Strict-Transport-Security: max-age=31536000";
    let mut server =
        serving(&dir, &["-s", "127.0.0.1:0", "-C", &cert, "-K", &key, "-q", "-z", hsts]);
    let r = Client::connect(server.addr).get("/f.txt", "");
    assert_eq!((r.status, all(&r, "strict-transport-security")), (307, vec!["max-age=31536000"]));
    let https = server.line();
    let url = format!("https://{}/f.txt", https.rsplit_once(' ').unwrap().1);
    let output = Command::new("curl")
        .args(["-skD", "-", "--max-time", "20", "--noproxy", "*", &url])
        .output()
        .expect("curl");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches(&format!("\r\n{hsts}\r\n")).count(), 1, "{text}");
}

#[test]
fn what_is_no_field_ends_the_start() {
    let long = format!("X\u{e4}: {}", "y");
    for bad in [
        "",
        ":",
        "X",
        ": value",
        "X : value",
        " X: value",
        "X Y: value",
        "X/Y: value",
        "X(: value",
        "X\t: value",
        &long,
        "X: a\nY: b",
        "X: a\r\nY: b",
        "X: a\rb",
        "X: a\u{1}b",
        "X: a\u{7f}",
        "Content-Length: 5",
        "content-length : 5",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "cOnNeCtIoN: keep-alive",
        // There would be two of it, or a wrong one.
        "date: Thu, 01 Jan 1970 00:00:00 GMT",
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_ecohttpd"))
            .args(["-f", "-p", "127.0.0.1:0", "--check", "-z", bad])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{bad:?}: {text}");
        assert!(text.contains("-z"), "{bad:?}: {text}");
    }
    for good in ["X:", "X:y", "X: y: z", "X-!#$%&'*+.^_`|~9: y", "X: a\u{e4}"] {
        let status = Command::new(env!("CARGO_BIN_EXE_ecohttpd"))
            .args(["-f", "-p", "127.0.0.1:0", "--check", "-z", good])
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(0), "{good:?}");
    }
}
