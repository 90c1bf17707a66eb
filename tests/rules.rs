//! URL rules (`-H`), as a client sees them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Client, Dir, Process};

/// A launcher over `dir`, with these files of rules.
fn start(dir: &Dir, rules: &[&str]) -> (Process, Dir) {
    let beside = Dir::new();
    let write = |(i, rules): (usize, &&str)| {
        let path = beside.write(&format!("{i}.json"), rules);
        path.to_str().unwrap().to_owned()
    };
    let files: Vec<_> = rules.iter().enumerate().map(write).collect();
    let mut args = vec!["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "-x", "/cgi-bin"];
    for file in &files {
        args.extend(["-H", file]);
    }
    (Process::launcher(&args), beside)
}

/// A server whose program for requests is a block of these commands.
fn start_request(dir: &Dir, commands: &str) -> (Process, Dir) {
    start(dir, &[&format!("{{\"request\": [[{commands}]]}}")])
}

fn script(dir: &Dir, name: &str, text: &str) {
    let path = dir.write(name, text);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// How a launcher ends that cannot start with this file of rules, and its name.
fn refused(rules: &str) -> (Output, String) {
    let dir = Dir::new();
    let file = dir.write("rules.json", rules);
    let mut child = Command::new(env!("CARGO_BIN_EXE_ecohttpd"))
        .args(["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "-H"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it started with {rules}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    (child.wait_with_output().unwrap(), file.to_str().unwrap().to_owned())
}

#[test]
fn redirects_have_their_status_and_reason() {
    let dir = Dir::new();
    dir.write("a.txt", "content");
    let (server, _rules) = start_request(
        &dir,
        r#"["case", "REQUEST_URI", {
            "/plain": ["redirect", "/a.txt"],
            "/moved": ["redirect", "https://%HTTP_HOST%/a.txt", 301],
            "/named": ["redirect", "/a.txt", 307, "This Way"],
            "/a.txt?x": ["redirect", "/a.txt"]
        }]"#,
    );
    let mut client = Client::connect(server.addr);
    for (path, status, reason, location) in [
        ("/plain", 302, "Found", "/a.txt"),
        ("/moved", 301, "Moved Permanently", "https://test/a.txt"),
        ("/named", 307, "This Way", "/a.txt"),
        ("/a.txt?x", 302, "Found", "/a.txt"),
    ] {
        let r = client.get(path, "");
        assert_eq!((r.status, r.reason.as_str()), (status, reason), "{path}");
        assert_eq!(r.header("location"), Some(location), "{path}");
        let r = client.request("HEAD", path, "", b"");
        assert_eq!((r.status, r.header("location")), (status, Some(location)), "{path}");
    }
    let r = client.get("/a.txt", "");
    assert_eq!((r.status, r.text()), (200, "content"));
    assert_eq!(client.get("/plain/", "").status, 404);
}

#[test]
fn what_a_client_says_cannot_add_headers_to_a_redirect() {
    let dir = Dir::new();
    let (server, _rules) = start_request(&dir, r#"["redirect", "/%HTTP_USER_AGENT%/%PATH_INFO%"]"#);
    let mut client = Client::connect(server.addr);
    let r = client.get("/x%0d%0aX-Evil:%201", "User-Agent: a\tb \u{e9}\r\n");
    if r.status != 400 {
        assert_eq!(r.status, 302);
        assert!(r.header("location").unwrap().starts_with("/a%09b%20%C3%A9/"), "{r:?}");
        assert_eq!(r.header("x-evil"), None);
    }
}

#[test]
fn rewrites_serve_something_else() {
    let dir = Dir::new();
    dir.write("a.txt", "content");
    dir.write("new/page.txt", "page");
    dir.write("old.txt", "old");
    script(
        &dir,
        "cgi-bin/show",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n\
         printf '%s|%s' \"$QUERY_STRING\" \"$PATH_INFO\"\n",
    );
    let (server, _rules) = start_request(
        &dir,
        r#"["if", ["eq", "REQUEST_URI", ["/old.txt", "/older.txt"]], ["rewrite", "/new/page.txt"]],
           ["if", ["regex", "REQUEST_URI", "^/app/"],
               ["rewrite", "/cgi-bin/show/more?from=%REQUEST_URI%&x=1"]]"#,
    );
    let mut client = Client::connect(server.addr);
    for (path, text) in [
        ("/old.txt", "page"),
        ("/older.txt", "page"),
        ("/a.txt", "content"),
        ("/app/a", "from=/app/a&x=1|/more"),
        ("/app/?y=2", "from=/app/?y=2&x=1|/more"),
    ] {
        let r = client.get(path, "");
        assert_eq!((r.status, r.text()), (200, text), "{path}");
    }
    // A path is found below the document root, wherever it is from.
    let (server, _rules) = start_request(&dir, r#"["rewrite", "/../../../../etc/passwd"]"#);
    let r = Client::connect(server.addr).get("/a.txt", "");
    assert!((400..500).contains(&r.status), "{r:?}");
}

#[test]
fn headers_are_added_to_every_answer() {
    let dir = Dir::new();
    dir.write("a.txt", "content");
    let (server, _rules) = start_request(
        &dir,
        r#"["add-header", "X-Frame-Options", "DENY"],
           ["add-header", "X-Share", "100%%"],
           ["add-header", "Set-Cookie", "a=1"],
           ["add-header", "Set-Cookie", "b=2"],
           ["if", ["eq", "REQUEST_URI", "/there"], ["redirect", "/a.txt"]]"#,
    );
    let mut client = Client::connect(server.addr);
    for (path, status) in [("/a.txt", 200), ("/there", 302), ("/none", 404)] {
        let r = client.get(path, "");
        assert_eq!(r.status, status, "{path}");
        assert_eq!(r.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(r.header("x-share"), Some("100%"), "{path}");
        let cookies = r.headers.iter().filter(|(name, _)| name == "set-cookie");
        assert_eq!(cookies.map(|(_, value)| value).collect::<Vec<_>>(), ["a=1", "b=2"], "{path}");
    }
}

#[test]
fn a_fallback_is_for_what_is_not_there() {
    let dir = Dir::new();
    dir.write("index.html", "app");
    dir.write("style.css", "style");
    let (server, _rules) = start(&dir, &[r#"{"fallback": [["rewrite", "/index.html"]]}"#]);
    let mut client = Client::connect(server.addr);
    for (path, text) in [
        ("/", "app"),
        ("/style.css", "style"),
        ("/users/7", "app"),
        ("/users/7?tab=x", "app"),
        ("/none.css", "app"),
    ] {
        let r = client.get(path, "");
        assert_eq!((r.status, r.text()), (200, text), "{path}");
    }
    let rules =
        r#"{"fallback": [["if", ["regex", "REQUEST_URI", "^/u/"], ["redirect", "/", 303]]]}"#;
    let (server, _rules) = start(&dir, &[rules]);
    let mut client = Client::connect(server.addr);
    assert_eq!(client.get("/u/x", "").status, 303);
    assert_eq!(client.get("/x", "").status, 404);
    assert_eq!(client.get("/style.css", "").text(), "style");
}

#[test]
fn a_fallback_that_is_not_there_either_ends() {
    let dir = Dir::new();
    let (server, _rules) = start(&dir, &[r#"{"fallback": [["rewrite", "/none.html"]]}"#]);
    assert_eq!(Client::connect(server.addr).get("/x", "").status, 404);
    // What was found as a fallback is asked about once more, as a request.
    dir.write("a.txt", "content");
    let rules = r#"{"fallback": [["rewrite", "/none.html"]],
        "request": [["if", ["eq", "REQUEST_URI", "/none.html"], ["rewrite", "/a.txt"]]]}"#;
    let (server, _rules) = start(&dir, &[rules]);
    assert_eq!(Client::connect(server.addr).get("/x", "").text(), "content");
}

#[test]
fn no_cache_has_every_use_asked_for() {
    let dir = Dir::new();
    dir.write("live.txt", "now");
    dir.write("a.txt", "content");
    let (server, _rules) =
        start_request(&dir, r#"["if", ["regex", "REQUEST_URI", "^/live"], ["no-cache"]]"#);
    let mut client = Client::connect(server.addr);
    let r = client.get("/a.txt", "");
    let tag = r.header("etag").expect("an ETag").to_owned();
    assert_ne!(r.header("cache-control"), Some("no-cache"));
    assert_eq!(client.get("/a.txt", &format!("If-None-Match: {tag}\r\n")).status, 304);
    let r = client.get("/live.txt", "");
    assert_eq!((r.status, r.text()), (200, "now"));
    assert_eq!(r.header("cache-control"), Some("no-cache"));
    // It may be kept, but has to be asked for each time.
    let tag = r.header("etag").expect("an ETag").to_owned();
    let r = client.get("/live.txt", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((r.status, r.header("cache-control")), (304, Some("no-cache")));
}

#[test]
fn variables_are_those_of_a_script() {
    let dir = Dir::new();
    dir.write("a.txt", "content");
    let (server, _rules) = start_request(
        &dir,
        r#"["add-header", "X-Uri", "<%REQUEST_URI%>"],
           ["add-header", "X-Host", "<%HTTP_HOST%>"],
           ["add-header", "X-Agent", "<%HTTP_USER_AGENT%>"],
           ["add-header", "X-Query", "<%QUERY_STRING%>"],
           ["add-header", "X-Addr", "<%REMOTE_ADDR%>"],
           ["add-header", "X-Script", "<%SCRIPT_NAME%>"],
           ["add-header", "X-Method", "<%REQUEST_METHOD%>"],
           ["add-header", "X-Proto", "<%SERVER_PROTOCOL%>"],
           ["add-header", "X-Port", "<%SERVER_PORT%>"],
           ["add-header", "X-Root", "<%DOCUMENT_ROOT%>"],
           ["add-header", "X-Https", "<%HTTPS%>"],
           ["if", ["has", "HTTPS"], ["add-header", "X-Is", "https"],
               ["add-header", "X-Is", "http"]],
           ["if", ["isdir", "%DOCUMENT_ROOT%"], ["add-header", "X-Dir", "yes"]]"#,
    );
    let mut client = Client::connect(server.addr);
    let r = client.get("/a.txt?b=%20c", "User-Agent: me\r\n");
    assert_eq!(r.text(), "content");
    let port = format!("<{}>", server.addr.port());
    let root = std::fs::canonicalize(&dir.0).unwrap();
    let root = format!("<{}>", root.display());
    for (name, value) in [
        ("x-uri", "</a.txt?b=%20c>"),
        ("x-host", "<test>"),
        ("x-agent", "<me>"),
        ("x-query", "<b=%20c>"),
        ("x-addr", "<127.0.0.1>"),
        ("x-script", "</a.txt>"),
        ("x-method", "<GET>"),
        ("x-proto", "<HTTP/1.1>"),
        ("x-port", &port),
        ("x-root", &root),
        ("x-https", "<>"),
        ("x-is", "http"),
        ("x-dir", "yes"),
    ] {
        assert_eq!(r.header(name), Some(value), "{name}");
    }
    let r = client.get("/a.txt", "");
    assert_eq!((r.header("x-agent"), r.header("x-query")), (Some("<>"), Some("<>")));
}

#[cfg(feature = "tls")]
#[test]
fn https_has_a_variable() {
    let dir = Dir::new();
    let rules = dir.write(
        "rules.json",
        r#"{"request": [["if", ["eq", "HTTPS", "on"], ["redirect", "/s"], ["redirect", "/p"]]]}"#,
    );
    let pki = |name: &str| format!("{}/tests/pki/{name}", env!("CARGO_MANIFEST_DIR"));
    let (cert, key, ca) = (pki("localhost.pem"), pki("localhost.key"), pki("ca.pem"));
    let mut args = vec!["-f", "-s", "127.0.0.1:0", "-C", &cert, "-K", &key, "-h", dir.text()];
    args.extend(["-H", rules.to_str().unwrap()]);
    let server = Process::launcher(&args);
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--noproxy", "*", "-o", "/dev/null"])
        .args(["-w", "%{http_code} %header{location}", "--cacert", &ca])
        .arg(format!("https://{}/x", server.addr))
        .output()
        .expect("curl");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "302 /s");
}

#[test]
fn files_are_asked_in_their_order() {
    let dir = Dir::new();
    dir.write("a.txt", "content");
    let (server, _rules) = start(
        &dir,
        &[
            r#"{"request": [[["add-header", "X-A", "1"], ["return"],
                ["add-header", "X-A", "2"]]]}"#,
            r#"{"request": [["if", ["eq", "REQUEST_URI", "/x"], ["redirect", "/first"]]]}"#,
            r#"{"request": [["if", ["regex", "REQUEST_URI", "^/[xy]$"],
                ["redirect", "/second"]]]}"#,
        ],
    );
    let mut client = Client::connect(server.addr);
    for (path, location) in [("/a.txt", None), ("/x", Some("/first")), ("/y", Some("/second"))] {
        let r = client.get(path, "");
        assert_eq!(r.header("location"), location, "{path}");
        let headers: Vec<_> = r.headers.iter().filter(|(name, _)| name == "x-a").collect();
        assert_eq!(headers.len(), 1, "{path}");
        assert_eq!(headers[0].1, "1", "{path}");
    }
}

#[test]
fn a_request_with_a_body_is_answered_and_the_next_one_too() {
    let dir = Dir::new();
    dir.write("a.txt", "content");
    let (server, _rules) = start_request(
        &dir,
        r#"["if", ["eq", "REQUEST_METHOD", "POST"], ["redirect", "/a.txt", 303]]"#,
    );
    let mut client = Client::connect(server.addr);
    for _ in 0..3 {
        let r = client.request("POST", "/form", "", b"a=1&b=2");
        assert_eq!((r.status, r.header("location")), (303, Some("/a.txt")));
        assert_eq!(client.get("/a.txt", "").text(), "content");
    }
}

#[test]
fn mistakes_end_the_start() {
    for (rules, lines) in [
        ("{\n\"request\": [\n[\"nonsense\"]]}", &["3: \"nonsense\" is no command"][..]),
        ("{\"request\": [\n", &["2: "]),
        ("{}", &["1: "]),
        (
            "{\"request\": [[\n[\"redirect\", \"/%HTTP_HOST\"],\n\
             [\"if\", [\"regex\", \"HTTP_HOST\", \"(\"], [\"rewrite\", \"x\"]]\n]]}",
            &["2: ", "3: \"(\"", "3: a rewritten URL"],
        ),
    ] {
        let (output, file) = refused(rules);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{rules}: {text}");
        for line in lines {
            assert!(text.contains(&format!("{file}:{line}")), "{rules}: {text}");
        }
    }
    let output = Command::new(env!("CARGO_BIN_EXE_ecohttpd"))
        .args(["-f", "-p", "127.0.0.1:0", "-H", "/nonexistent/rules.json"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("/nonexistent/rules.json: No such file"), "{text}");
}
