//! What a script answers: its header, its status, and where it sends the client instead.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use common::{Client, Dir, Process, Response};

/// A script that answers with exactly these bytes.
fn says(dir: &Dir, name: &str, bytes: impl AsRef<[u8]>) {
    dir.write(&format!("cgi-bin/{name}.out"), bytes);
    let name = format!("cgi-bin/{name}");
    if !dir.path(&name).exists() {
        dir.script(&name, "#!/bin/sh\nexec cat \"$0.out\"\n");
    }
}

fn start(dir: &Dir, args: &[&str]) -> Process {
    dir.write("f.txt", "content");
    Process::launcher(&[&["-f", "-p", "127.0.0.1:0", "-h", dir.text()][..], args].concat())
}

/// What a script is answered as that says this, asked on a connection that is in step afterwards.
fn answered(dir: &Dir, server: &Process, method: &str, bytes: &[u8]) -> Response {
    says(dir, "it", bytes);
    let mut client = Client::connect(server.addr);
    let r = client.request(method, "/cgi-bin/it", "", b"");
    assert_eq!(r.header("connection"), None, "{} {r:?}", bytes.escape_ascii());
    assert_eq!(client.get("/f.txt", "").text(), "content", "{}", bytes.escape_ascii());
    r
}

#[test]
fn statuses_have_the_reasons_that_scripts_give() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    for (head, status, reason) in [
        ("Content-Type: a/b\n", 200, "OK"),
        ("Status: 200\n", 200, "OK"),
        ("Status: 201 Made it\n", 201, "Made it"),
        ("status:404 Not h\u{e9}re\r\n", 404, "Not h\u{e9}re"),
        ("X-A: b\nSTATUS:   418   I am  one  \n", 418, "I am  one"),
        ("Status: 500\r\n", 500, "Internal Server Error"),
        ("Status: 599 Beyond\n", 599, "Beyond"),
        ("X-A: b\n", 200, "OK"),
    ] {
        let r = answered(&dir, &server, "GET", format!("{head}\nbody").as_bytes());
        assert_eq!((r.status, &*r.reason, r.text()), (status, reason, "body"), "{head}");
        assert_eq!(r.header("status"), None, "{head}");
    }
}

#[test]
fn lines_end_one_way_or_the_other() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let head = "Status: 203 So\nContent-Type: text/plain\nX-A:1\nX-Empty:\nX-B:  a: b \n\n";
    for head in [head.to_owned(), head.replace('\n', "\r\n"), head.replacen('\n', "\r\n", 2)] {
        let r = answered(&dir, &server, "GET", format!("{head}\n\r\nbody").as_bytes());
        assert_eq!((r.status, &*r.reason, r.text()), (203, "So", "\n\r\nbody"), "{head:?}");
        for (name, value) in
            [("content-type", "text/plain"), ("x-a", "1"), ("x-b", "a: b"), ("x-empty", "")]
        {
            assert_eq!(r.header(name), Some(value), "{head:?}");
        }
    }
}

#[test]
fn fields_are_passed_on_as_they_are() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let r = answered(
        &dir,
        &server,
        "GET",
        b"Set-Cookie: a=1; path=/\nContent-Type: text/plain\nset-cookie: b=2\nVary: A\nVary: B\n\
          Set-Cookie: c=\xc3\xa9\nServer: mine\nDate: Thu, 01 Jan 1970 00:00:00 GMT\n\
          Connection: Keep-Alive\nKeep-Alive: timeout=99\nContent-Length: 4\n\nbody",
    );
    let values = |name: &str| -> Vec<_> {
        r.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| &**value).collect()
    };
    assert_eq!(values("set-cookie"), ["a=1; path=/", "b=2", "c=\u{e9}"]);
    assert_eq!(values("vary"), ["A", "B"]);
    assert_eq!(values("content-type"), ["text/plain"]);
    assert_eq!(values("content-length"), ["4"]);
    assert_eq!(values("server"), ["mine"]);
    assert_eq!(values("date"), ["Thu, 01 Jan 1970 00:00:00 GMT"]);
    assert_eq!((values("keep-alive"), values("transfer-encoding")), (vec![], vec![]));
    assert_eq!(r.text(), "body");
}

#[test]
fn a_script_may_want_the_connection_closed() {
    let dir = Dir::new();
    says(&dir, "it", "Content-Type: a/b\nConnection: close\n\nbody");
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    let r = client.get("/cgi-bin/it", "");
    assert_eq!((r.text(), r.header("connection")), ("body", Some("close")));
    assert!(client.is_closed());
}

#[test]
fn a_location_alone_is_a_redirect() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    for (head, status, reason, location) in [
        ("Location: http://h/x?y\n", 302, "Found", "http://h/x?y"),
        ("location: https://h/x#y\r\n", 302, "Found", "https://h/x#y"),
        ("Location: //h/f.txt\n", 302, "Found", "//h/f.txt"),
        ("Location: f.txt\n", 302, "Found", "f.txt"),
        ("Status: 301 Gone there\nLocation: /f.txt\n", 301, "Gone there", "/f.txt"),
        ("Location: /f.txt\nStatus: 303 See\n", 303, "See", "/f.txt"),
        ("Status: 201 Made\nLocation: /f.txt\n", 201, "Made", "/f.txt"),
        ("Set-Cookie: a=b\nLocation: /f.txt\n", 302, "Found", "/f.txt"),
        ("Location: /f.txt\nCache-Control: no-store\n", 302, "Found", "/f.txt"),
    ] {
        let r = answered(&dir, &server, "GET", format!("{head}\nbody").as_bytes());
        assert_eq!((r.status, &*r.reason), (status, reason), "{head}");
        assert_eq!((r.header("location"), r.text()), (Some(location), "body"), "{head}");
        let cookie = head.contains("Cookie").then_some("a=b");
        assert_eq!(r.header("set-cookie"), cookie, "{head}");
    }
}

#[test]
fn a_path_is_fetched_for_the_client() {
    let dir = Dir::new();
    dir.script(
        "cgi-bin/show",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\nX-Method: %s\\n\\n' $REQUEST_METHOD\n\
         printf '%s|' \"$QUERY_STRING\" \"$PATH_INFO\" \"$SCRIPT_NAME\" \"$CONTENT_LENGTH\" \"$(cat)\"\n",
    );
    dir.write("docs/a b.txt", "text");
    dir.write("docs/index.html", "index");
    for (name, to) in [
        ("file", "/f.txt"),
        ("index", "/docs/"),
        ("encoded", "/docs/a%20b.txt"),
        ("script", "/cgi-bin/show/x?a=%20b&c"),
        ("chain", "/cgi-bin/script?lost"),
        ("none", "/none"),
        ("out", "/../../../../../etc/passwd"),
        ("dir", "/docs"),
    ] {
        // Said beside it, a content is of no interest.
        says(&dir, name, format!("Content-Type: text/html\r\nLocation: {to}\r\n\r\nbody"));
    }
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    let shown = "a=%20b&c|/x|/cgi-bin/show|||";
    for (name, status, text) in [
        ("file", 200, "content"),
        ("index", 200, "index"),
        ("encoded", 200, "text"),
        ("script?own", 200, shown),
        ("chain", 200, shown),
        ("none", 404, ""),
        ("out", 403, ""),
        ("dir", 301, ""),
    ] {
        let path = format!("/cgi-bin/{name}");
        let small = vec![b'x'; 1000];
        for (method, body) in [("GET", &[][..]), ("POST", &small), ("PUT", &small), ("HEAD", &[])] {
            let r = client.request(method, &path, "Content-Type: a/b\r\n", body);
            assert_eq!(r.status, status, "{method} {name}");
            if status == 200 && method != "HEAD" {
                assert_eq!(r.text(), text, "{method} {name}");
            }
            assert!(!r.text().contains("body"), "{method} {name}");
            if text == shown {
                let as_method = if method == "HEAD" { "HEAD" } else { "GET" };
                assert_eq!(r.header("x-method"), Some(as_method), "{method} {name}");
            }
        }
    }
}

#[test]
fn a_path_is_no_way_round_a_password() {
    let dir = Dir::new();
    let conf = Dir::new();
    let conf = conf.write("httpd.conf", "/secret:u:p\n");
    dir.write("secret/f.txt", "secret");
    says(&dir, "it", "Location: /secret/f.txt\n\n");
    let server = start(&dir, &["-c", conf.to_str().unwrap()]);
    let mut client = Client::connect(server.addr);
    assert_eq!(client.get("/cgi-bin/it", "").status, 401);
    let r = client.get("/cgi-bin/it", "Authorization: Basic dTpw\r\n");
    assert_eq!((r.status, r.text()), (200, "secret"));
}

#[test]
fn a_circle_of_paths_ends() {
    let dir = Dir::new();
    says(&dir, "self", "Location: /cgi-bin/self\n\n");
    says(&dir, "there", "Location: /cgi-bin/back\n\n");
    says(&dir, "back", "Location: /cgi-bin/there\n\n");
    // One at a time: a script that is through leaves its place to the next.
    let mut server = start(&dir, &["-n", "1"]);
    for name in ["self", "there"] {
        let r = Client::connect(server.addr).get(&format!("/cgi-bin/{name}"), "");
        assert!(r.status >= 500, "{name} {r:?}");
        assert!(server.line().contains(&format!("/cgi-bin/{name}")), "{name}");
    }
}

#[test]
fn a_header_may_come_in_pieces() {
    let dir = Dir::new();
    dir.script(
        "cgi-bin/it",
        "#!/bin/sh\nprintf 'Sta'; sleep 0.05; printf 'tus: 404 No'; sleep 0.05; printf 'ne\\r'\n\
         sleep 0.05; printf '\\nX-A: b\\r\\n\\r'; sleep 0.05; printf '\\nbo'; sleep 0.05; printf dy\n",
    );
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    let r = client.get("/cgi-bin/it", "");
    assert_eq!((r.status, &*r.reason, r.header("x-a")), (404, "None", Some("b")));
    assert_eq!(r.text(), "body");
    assert_eq!(client.get("/f.txt", "").text(), "content");
}

#[test]
fn a_header_has_an_end() {
    let dir = Dir::new();
    let field = |len: usize| format!("X-A: {}\n\nbody", "x".repeat(len - 7));
    says(&dir, "long", field(1 << 14));
    says(&dir, "longer", field((1 << 14) + 1));
    says(&dir, "longest", field(100_000));
    dir.script("cgi-bin/endless", "#!/bin/sh\nwhile :; do echo X-A: b; done\n");
    let server = start(&dir, &[]);
    let r = Client::connect(server.addr).get("/cgi-bin/long", "");
    assert_eq!((r.status, r.text()), (200, "body"));
    assert_eq!(r.header("x-a").unwrap().len(), (1 << 14) - 7);
    for name in ["longer", "longest", "endless"] {
        let r = Client::connect(server.addr).get(&format!("/cgi-bin/{name}"), "");
        assert_eq!((r.status, r.header("x-a")), (502, None), "{name}");
    }
}

#[test]
fn what_is_no_answer_is_a_bad_gateway() {
    let dir = Dir::new();
    let mut server = start(&dir, &[]);
    let root = dir.0.canonicalize().unwrap();
    for bytes in [
        &b""[..],
        b"\r",
        b"Content-Type: text/plain\n",
        b"Content-Type: text/plain\r\n\r",
        b"this is no header\n\nbody",
        b"<html>\n<body>\n\n",
        b"HTTP/1.1 200 OK\nContent-Type: a/b\n\nbody",
        b"Content-Type: a/b\nbroken\n\nbody",
        b"Content-Type: a/b\n folded\n\nbody",
        b"X Y: z\n\nbody",
        b": z\n\nbody",
        b"X-A: b\0\n\nbody",
        b"X-A: b\rX-B: c\n\nbody",
        b"X-A: \x1b[2J\n\nbody",
        b"Status: OK\n\nbody",
        b"Status: 42\n\nbody",
        b"Status: 2000\n\nbody",
        b"Status: 100 Continue\n\nbody",
        b"Status: 101 Switching\n\nbody",
        b"Content-Length: 3\nContent-Length: 4\n\nbody",
        b"Content-Length: +4\n\nbody",
        b"Content-Length: 4, 4\n\nbody",
        b"Content-Length: 99999999999999999999\n\nbody",
        b"Transfer-Encoding: chunked\n\n4\r\nbody\r\n0\r\n\r\n",
        b"transfer-encoding: identity\n\nbody",
        b"Status: 1000\n\nbody",
        b"Location: /a b\n\n",
        b"Location: /%zz\n\n",
    ] {
        let shown = bytes.escape_ascii();
        says(&dir, "it", bytes);
        let r = Client::connect(server.addr).get("/cgi-bin/it", "");
        assert_eq!((r.status, &*r.reason), (502, "Bad Gateway"), "{shown}");
        assert!(!r.text().contains("body") && r.header("x-a").is_none(), "{shown}");
        if !bytes.starts_with(b"Location") {
            // Whoever wrote the script is told.
            let line = server.line();
            assert!(line.contains(&format!("{}/cgi-bin/it: ", root.display())), "{shown} {line}");
            assert!(!line.contains(char::is_control), "{shown} {line}");
        }
    }
}

#[test]
fn some_answers_have_no_content() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let big = "x".repeat(20_000);
    for status in [204, 205, 304] {
        for length in ["", "Content-Length: 0\n", "Content-Length: 4\n", "Content-Length: 20000\n"]
        {
            for body in ["", "body", &big] {
                let bytes = format!("Status: {status}\nETag: \"a\"\n{length}\n{body}");
                let r = answered(&dir, &server, "GET", bytes.as_bytes());
                let shown = format!("{status} {length} {}", body.len());
                assert_eq!((r.status, r.text()), (status, ""), "{shown}");
                assert_eq!(r.header("etag"), Some("\"a\""), "{shown}");
                assert_eq!(r.header("transfer-encoding"), None, "{shown}");
            }
        }
    }
}

#[test]
fn a_head_is_all_that_head_gets() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let big = "x".repeat(200_000);
    for (length, body) in [
        ("", "body"),
        ("", ""),
        ("", &*big),
        ("Content-Length: 4\n", "body"),
        ("Content-Length: 4\n", ""),
        ("Content-Length: 4\n", "more than that"),
        ("Content-Length: 200000\n", &*big),
    ] {
        for status in ["", "Status: 404 None\n"] {
            let bytes = format!("Content-Type: a/b\n{status}{length}\n{body}");
            let r = answered(&dir, &server, "HEAD", bytes.as_bytes());
            let shown = format!("{status}{length}{}", body.len());
            assert_eq!(r.status, if status.is_empty() { 200 } else { 404 }, "{shown}");
            assert_eq!(r.header("content-type"), Some("a/b"), "{shown}");
            // What it says of the content has to be what GET would have got.
            let said = length.strip_prefix("Content-Length: ").map(str::trim);
            let actual = body.len().to_string();
            match r.header("content-length") {
                None => assert_eq!(said, None, "{shown}"),
                length => assert_eq!(length, said.or(Some(&actual)), "{shown}"),
            }
        }
    }
}

#[test]
fn old_clients_get_the_connections_end() {
    let dir = Dir::new();
    says(&dir, "it", "Content-Type: a/b\n\nbody");
    says(&dir, "known", "Content-Type: a/b\nContent-Length: 4\n\nbody");
    says(&dir, "big", format!("Content-Type: a/b\n\n{}", "x".repeat(200_000)));
    let server = start(&dir, &[]);
    for (name, len) in [("it", 4), ("known", 4), ("big", 200_000)] {
        let mut client = Client::connect(server.addr);
        client.send(format!("GET /cgi-bin/{name} HTTP/1.0\r\n\r\n"));
        let r = client.response("GET");
        assert_eq!((r.status, r.body.len()), (200, len), "{name}");
        assert_eq!(r.header("transfer-encoding"), None, "{name}");
        assert_eq!(r.header("connection"), Some("close"), "{name}");
        assert!(client.is_closed(), "{name}");
    }
    // It can be kept where the length is known.
    let mut client = Client::connect(server.addr);
    for _ in 0..2 {
        client.send("GET /cgi-bin/known HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let r = client.response("GET");
        assert_eq!((r.text(), r.header("connection")), ("body", Some("keep-alive")));
    }
}

#[test]
fn errors_have_a_script_for_their_page() {
    let dir = Dir::new();
    let show = "#!/bin/sh\nprintf 'Content-Type: text/plain\\nFIELD\\n'\n\
        printf '%s|%s|%s' $REDIRECT_STATUS $REQUEST_METHOD $REQUEST_URI\n";
    dir.script("cgi-bin/plain", show.replace("FIELD", ""));
    dir.script("cgi-bin/own", show.replace("FIELD", "Status: 410 Gone\\n"));
    dir.script("cgi-bin/bad", "#!/bin/sh\nexit 1\n");
    for (page, status, reason) in [("plain", 404, "Not Found"), ("own", 410, "Gone")] {
        let server = start(&dir, &["-E", &format!("/cgi-bin/{page}")]);
        let mut client = Client::connect(server.addr);
        for (method, body) in [("GET", &b""[..]), ("POST", b"body")] {
            for path in ["/none?x", "/cgi-bin/none"] {
                let r = client.request(method, path, "", body);
                assert_eq!((r.status, &*r.reason), (status, reason), "{method} {path}");
                assert_eq!(r.text(), format!("404|{method}|{path}"));
            }
        }
        assert_eq!(client.get("/f.txt", "").text(), "content");
    }
    let server = start(&dir, &["-E", "/cgi-bin/bad"]);
    assert!(Client::connect(server.addr).get("/none", "").status >= 400);
}
