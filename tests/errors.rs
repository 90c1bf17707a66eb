//! Pages for what is missing or forbidden (`-E`, `E404`), and the plain answers without them.
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
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use common::{Client, Dir, Process, Response};

fn serving(dir: &Dir, options: &[&str]) -> Process {
    let mut args = vec!["-f", "-p", "127.0.0.1:0", "-h", dir.text()];
    args.extend(options);
    Process::launcher(&args)
}

fn script(dir: &Dir, name: &str, text: &str) {
    let path = dir.write(name, format!("#!/bin/sh\necho x >>\"$DOCUMENT_ROOT/ran\"\n{text}"));
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn chmod(dir: &Dir, name: &str, mode: u32) {
    fs::set_permissions(dir.path(name), PermissionsExt::from_mode(mode)).unwrap();
}

fn get(server: &Process, path: &str) -> Response {
    Client::connect(server.addr).get(path, "")
}

/// How often scripts ran since this was last asked.
fn runs(dir: &Dir) -> usize {
    let ran = fs::read(dir.path("ran")).unwrap_or_default();
    let _ = fs::remove_file(dir.path("ran"));
    ran.len() / 2
}

/// What is wrong in its own way, each with the status of that.
fn wrong(dir: &Dir) -> [(&'static str, u16); 12] {
    dir.write("private.txt", "private");
    chmod(dir, "private.txt", 0o640);
    dir.write("x.html", "x");
    fs::create_dir_all(dir.path("closed")).unwrap();
    symlink("loop", dir.path("loop")).unwrap();
    fs::create_dir_all(dir.path("cgi-bin")).unwrap();
    symlink("loop", dir.path("cgi-bin/loop")).unwrap();
    fs::create_dir_all(dir.path("indexed")).unwrap();
    symlink("index.html", dir.path("indexed/index.html")).unwrap();
    drop(UnixListener::bind(dir.path("socket")).unwrap());
    [
        ("/none", 404),
        ("/none/", 404),
        ("/x.html/none", 404),
        ("/private.txt", 403),
        ("/closed/", 403),
        ("/../none", 403),
        ("/cgi-bin/none", 404),
        // What cannot be opened or is no file, in its several ways.
        ("/loop", 403),
        ("/loop/x", 403),
        ("/indexed/", 403),
        ("/socket", 403),
        ("/cgi-bin/loop", 403),
    ]
}

#[test]
fn a_file_stands_for_what_is_missing_or_forbidden() {
    let dir = Dir::new();
    dir.write("lost.html", "<h1>Lost</h1>");
    let wrong = wrong(&dir);
    let server = serving(&dir, &["-D", "-E", "/lost.html"]);
    let mut client = Client::connect(server.addr);
    for (path, status) in wrong {
        for (method, body) in
            [("GET", ""), ("POST", "a=b"), ("PUT", "x"), ("DELETE", ""), ("OPTIONS", "")]
        {
            let r = client.request(method, path, "", body.as_bytes());
            assert_eq!((r.status, r.text()), (status, "<h1>Lost</h1>"), "{method} {path}");
            assert_eq!(r.header("content-type"), Some("text/html; charset=utf-8"));
            assert_eq!(r.header("connection"), None, "{method} {path}");
            // Those of the page, which is not what was asked for.
            for name in ["etag", "last-modified", "accept-ranges", "allow", "location"] {
                assert_eq!(r.header(name), None, "{method} {path} {name}");
            }
        }
        let r = client.request("HEAD", path, "", b"");
        assert_eq!((r.status, r.header("content-length")), (status, Some("13")), "{path}");
        for field in [
            "If-None-Match: *\r\n",
            "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n",
            "If-Match: \"x\"\r\n",
            "Range: bytes=0-1\r\n",
        ] {
            let r = client.get(path, field);
            assert_eq!((r.status, r.text()), (status, "<h1>Lost</h1>"), "{path} {field}");
        }
    }
    // By itself it is a file like others, and other errors have nothing to do with it.
    let r = client.get("/lost.html", "");
    assert_eq!((r.status, r.header("etag").is_some()), (200, true));
    let r = client.request("DELETE", "/lost.html", "", b"");
    assert_eq!((r.status, r.text().contains("405")), (405, true));
    assert_eq!(client.get("/closed", "").header("location"), Some("/closed/"));
}

#[test]
fn a_script_stands_for_what_is_missing_or_forbidden() {
    let dir = Dir::new();
    script(
        &dir,
        "cgi-bin/lost",
        "printf 'Content-Type: text/x-lost\\n\\n'
        echo \"$REDIRECT_STATUS $REQUEST_METHOD $REQUEST_URI $SCRIPT_NAME $QUERY_STRING\"; cat",
    );
    let wrong = wrong(&dir);
    let server = serving(&dir, &["-D", "-E", "/cgi-bin/lost?why=gone"]);
    let mut client = Client::connect(server.addr);
    for (path, status) in wrong {
        let path = format!("{path}?a=b");
        for (method, body) in [("GET", ""), ("POST", "what was sent"), ("PUT", "x")] {
            let r = client.request(method, &path, "", body.as_bytes());
            let said = format!("{status} {method} {path} /cgi-bin/lost why=gone\n{body}");
            assert_eq!((r.status, r.text()), (status, &*said));
            assert_eq!(r.header("content-type"), Some("text/x-lost"));
        }
        let r = client.request("HEAD", &path, "", b"");
        assert_eq!(r.status, status, "{path}");
        assert_eq!(runs(&dir), 4, "{path}: once for each");
    }
    // Asked for by itself, it is no error.
    assert!(client.get("/cgi-bin/lost", "").text().starts_with("200 GET /cgi-bin/lost "));
}

#[test]
fn a_script_may_say_something_else() {
    let dir = Dir::new();
    for (name, head, status, text) in [
        ("other", "Status: 410 Gone\\n\\ngone", 410, "gone"),
        ("fine", "Status: 200 OK\\n\\nfine", 200, "fine"),
        ("away", "Status: 302 Found\\nLocation: /x\\n\\n", 302, ""),
    ] {
        script(&dir, &format!("cgi-bin/{name}"), &format!("printf '{head}'"));
        let server = serving(&dir, &["-E", &format!("/cgi-bin/{name}")]);
        let r = get(&server, "/none");
        assert_eq!((r.status, r.text()), (status, text), "{name}");
    }
}

#[test]
fn a_page_that_is_not_there_is_no_page() {
    let dir = Dir::new();
    dir.write("secret.html", "secret");
    chmod(&dir, "secret.html", 0o600);
    dir.write("errors/index.html", "errors");
    fs::create_dir_all(dir.path("empty")).unwrap();
    symlink("nowhere", dir.path("dangling.html")).unwrap();
    symlink("loop.html", dir.path("loop.html")).unwrap();
    dir.write("cgi-bin/not-executable", "#!/bin/sh\n");
    chmod(&dir, "cgi-bin/not-executable", 0o644);
    for page in [
        "/none.html",
        "/secret.html",
        "/empty/",
        "/empty",
        "/dangling.html",
        "/loop.html",
        "/cgi-bin/not-executable",
        "/cgi-bin/",
        "/",
    ] {
        let server = serving(&dir, &["-E", page]);
        let mut client = Client::connect(server.addr);
        for path in ["/none", page] {
            // What the page itself is when it is asked for is another matter.
            if path == page && matches!(page, "/" | "/empty" | "/empty/" | "/%zz") {
                continue;
            }
            let r = client.get(path, "");
            assert!(matches!(r.status, 403 | 404), "{page}: {}", r.status);
            assert_eq!(r.status == 404, path == "/none" || !is_forbidden(page), "{page} {path}");
            assert!(r.text().contains(&r.status.to_string()), "{page}: {}", r.text());
            assert!(!r.text().contains("secret"), "{page}");
        }
    }
    let server = serving(&dir, &["-E", "/errors/"]);
    let r = get(&server, "/none");
    assert_eq!((r.status, r.text()), (404, "errors"), "the index of a directory is one");
}

fn is_forbidden(page: &str) -> bool {
    !matches!(page, "/none.html" | "/dangling.html")
}

#[test]
fn no_page_leads_to_itself() {
    let dir = Dir::new();
    script(&dir, "cgi-bin/missing", "printf 'Location: /none/either\\n\\n'");
    script(&dir, "cgi-bin/itself", "printf 'Location: /cgi-bin/itself\\n\\n'");
    script(&dir, "cgi-bin/silent", "");
    script(&dir, "cgi-bin/closed", "printf 'Location: /cgi-bin/\\n\\n'");
    // The page for what is missing is what is missing itself, and is not asked again.
    for (page, status, most) in [
        ("/cgi-bin/missing", 404, 1),
        ("/cgi-bin/closed", 403, 1),
        ("/cgi-bin/silent", 502, 1),
        ("/cgi-bin/itself", 502, 20),
    ] {
        let server = serving(&dir, &["-E", page]);
        let r = get(&server, "/none");
        assert_eq!(r.status, status, "{page}");
        assert!(r.text().contains(&status.to_string()), "{page}: {}", r.text());
        let runs = runs(&dir);
        assert!((1..=most).contains(&runs), "{page}: {runs} times");
        assert_eq!(get(&server, "/").status, 200, "{page}");
    }
}

#[test]
fn the_configuration_names_a_page_too() {
    let dir = Dir::new();
    dir.write("conf.html", "conf");
    dir.write("option.html", "option");
    let beside = Dir::new();
    let conf = beside.write("httpd.conf", "# pages\nE404:/conf.html\n");
    let conf = conf.to_str().unwrap();
    // The one in the file is read last, as in uhttpd.
    for options in [&["-c", conf][..], &["-c", conf, "-E", "/option.html"]] {
        let server = serving(&dir, options);
        let r = get(&server, "/none");
        assert_eq!((r.status, r.text()), (404, "conf"), "{options:?}");
    }
}

/// What a server says to `request` until it closes.
fn all(server: &Process, request: &str) -> String {
    let mut client = Client::connect(server.addr);
    client.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.send(request);
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = Vec::new();
    // Whoever is refused in the midst of a head may be told so with a reset.
    let _ = client.stream.read_to_end(&mut said);
    String::from_utf8(said).unwrap()
}

#[test]
fn every_error_says_what_it_is_but_not_to_a_head() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    dir.write("private.txt", "private");
    chmod(&dir, "private.txt", 0o600);
    script(&dir, "cgi-bin/silent", "");
    let server = serving(&dir, &[]);
    let long = "x".repeat(9000);
    let many = "X: y\r\n".repeat(101);
    for (method, path, fields, line) in [
        ("GET", "/none", "", "404 Not Found"),
        ("GET", "/private.txt", "", "403 Forbidden"),
        ("GET", "/../x", "", "403 Forbidden"),
        ("DELETE", "/f.txt", "", "405 Method Not Allowed"),
        ("GET", "/f.txt", "If-Match: \"x\"\r\n", "412 Precondition Failed"),
        ("GET", "/f.txt", "Range: bytes=99-\r\n", "416 Range Not Satisfiable"),
        ("GET", "/f.txt", "Expect: tea\r\n", "417 Expectation Failed"),
        ("GET", "/cgi-bin/silent", "", "502 Bad Gateway"),
        ("GET", "/%zz", "", "400 Bad Request"),
        ("GET", "/f.txt", "Content-Length: x\r\n", "400 Bad Request"),
        ("GET", "/f.txt", "Host: twice\r\n", "400 Bad Request"),
        ("GET", "/f.txt", "No colon\r\n", "400 Bad Request"),
        ("GET", &format!("/{long}"), "", "414 URI Too Long"),
        ("GET", "/f.txt", &format!("X: {long}\r\n"), "431 Request Header Fields Too Large"),
        ("GET", "/f.txt", &many, "431 Request Header Fields Too Large"),
        ("CONNECT", "h:80", "", "501 Not Implemented"),
    ] {
        let request = |method: &str| {
            format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{fields}Connection: close\r\n\r\n")
        };
        let shown = &path[..path.len().min(20)];
        let said = all(&server, &request(method));
        let (head, body) = said.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {line}\r\n")), "{method} {shown}: {head}");
        assert!(head.contains("\r\nContent-Type: text/html; charset=utf-8"), "{line}: {head}");
        let length = format!("Content-Length: {}", body.len());
        assert!(head.lines().any(|field| field == length), "{line}: {head}");
        assert!(body.contains(line), "{line}: {body}");
        if method != "GET" || fields.starts_with("Range") {
            continue;
        }
        let said = all(&server, &request("HEAD"));
        let (head_only, rest) = said.split_once("\r\n\r\n").expect("a head");
        assert!(head_only.starts_with(&format!("HTTP/1.1 {line}\r\n")), "HEAD {shown}: {head}");
        assert_eq!(rest, "", "HEAD {shown}: {line}");
    }
    let said = all(&server, "GET / HTTP/2.0\r\nHost: h\r\n\r\n");
    assert!(said.contains("505 HTTP Version Not Supported</h1>"), "{said}");
    let said = all(&server, "nonsense\r\n\r\n");
    assert!(said.contains("400 Bad Request</h1>"), "{said}");
    // What is no error needs no page.
    let tag = get(&server, "/f.txt").header("etag").unwrap().to_owned();
    let mut client = Client::connect(server.addr);
    let r = client.get("/f.txt", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((r.status, r.header("content-length"), r.header("content-type")), (304, None, None));
    let r = client.get("/cgi-bin/../cgi-bin", "");
    assert!(r.status >= 400 || r.body.is_empty());
}

#[test]
fn nothing_of_a_request_gets_into_a_page() {
    let dir = Dir::new();
    let server = serving(&dir, &[]);
    for path in ["/<script>", "/%3Cscript%3E", "/?<script>", "/cgi-bin/<script>"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert!(!all(&server, &request).contains("<script"), "{path}");
    }
}
