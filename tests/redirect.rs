//! Where clients of plain HTTP are sent (`-q`), and those who ask for another host (`-Q`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]
#![cfg(feature = "tls")]

mod common;

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::process::Command;

use common::{Client, Dir, Process, Response};

fn pki(name: &str) -> String {
    format!("{}/tests/pki/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A launcher over `dir` with a certificate.
fn serving(dir: &Dir, options: &[&str]) -> Process {
    let (cert, key) = (pki("localhost.pem"), pki("localhost.key"));
    let mut args = vec!["-f", "-h", dir.text(), "-C", &cert, "-K", &key];
    args.extend(options);
    Process::launcher(&args)
}

/// The next address that it listens at.
fn next(server: &mut Process) -> SocketAddr {
    let line = server.line();
    line.rsplit_once("listening on ").expect(&line).1.parse().unwrap()
}

/// One that redirects to HTTPS, and the port of that.
fn redirecting(dir: &Dir, options: &[&str]) -> (Process, u16) {
    let mut args = vec!["-p", "127.0.0.1:0", "-s", "127.0.0.1:0", "-q"];
    args.extend(options);
    let mut server = serving(dir, &args);
    let port = next(&mut server).port();
    (server, port)
}

/// The answer to a request that is written out.
fn ask(addr: SocketAddr, request: &str) -> Response {
    let mut client = Client::connect(addr);
    client.send(request);
    client.response(request.split(' ').next().unwrap())
}

fn curl(args: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--noproxy", "*"])
        .args(args)
        .output()
        .expect("curl");
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_status_is_one_of_four() {
    let dir = Dir::new();
    for (options, status) in [
        (&[][..], 307),
        (&["--redirect-status", "301"], 301),
        (&["--redirect-status", "302"], 302),
        (&["--redirect-status", "307"], 307),
        (&["--redirect-status", "308"], 308),
    ] {
        let (server, port) = redirecting(&dir, options);
        let mut client = Client::connect(server.addr);
        for (method, body) in [("GET", ""), ("HEAD", ""), ("POST", "a=b"), ("OPTIONS", "")] {
            let r = client.request(method, "/x?y", "", body.as_bytes());
            assert_eq!((r.status, r.body.len()), (status, 0), "{method}");
            assert_eq!(r.header("location"), Some(&*format!("https://test:{port}/x?y")));
        }
    }
    for status in ["200", "303", "304", "x", ""] {
        let args = ["-f", "-p", "127.0.0.1:0", "--redirect-status", status];
        let ended = Command::new(env!("CARGO_BIN_EXE_ecohttpd")).args(args).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{status}");
    }
}

#[test]
fn path_and_query_are_kept_as_they_came() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let (server, port) = redirecting(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for target in [
        "/",
        "/f.txt",
        "/none",
        "/a%20b/%2e%2e/c?x=%20&y=a+b",
        "/x?",
        "/x??a=http://h/&b",
        "//evil.com/x",
        "/../../etc/passwd",
        "/cgi-bin/luci/;stok=1/admin?a[]=1",
        "/%ff%00%0d%0a",
        "/a\"<b>'{c}|\\^`",
    ] {
        let r = client.get(target, "");
        if r.status == 400 {
            // What is refused is not sent on.
            assert!(target.contains("%00"), "{target}");
            client = Client::connect(server.addr);
            continue;
        }
        assert_eq!(r.status, 307, "{target}");
        assert_eq!(r.header("location"), Some(&*format!("https://test:{port}{target}")));
    }
}

#[test]
fn the_host_is_the_one_that_was_asked_for() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let (server, port) = redirecting(&dir, &[]);
    let host = server.addr;
    for (host, named) in [
        ("router.lan", "router.lan"),
        ("router.lan:8080", "router.lan"),
        ("router.lan:", "router.lan"),
        ("Router.LAN", "Router.LAN"),
        ("192.168.1.1", "192.168.1.1"),
        ("192.168.1.1:80", "192.168.1.1"),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]"),
        ("[fd00::1:80]", "[fd00::1:80]"),
        (&*host.to_string(), "127.0.0.1"),
    ] {
        for version in ["1.0", "1.1"] {
            let r = ask(server.addr, &format!("GET /f.txt HTTP/{version}\r\nHost: {host}\r\n\r\n"));
            assert_eq!(r.status, 307, "{host}");
            let location = format!("https://{named}:{port}/f.txt");
            assert_eq!(r.header("location"), Some(&*location), "{host} {version}");
        }
    }
    // Without a host there is no place to send anybody to.
    for fields in ["Host:\r\n", "Host: \r\nHostess: evil\r\n"] {
        let r = ask(server.addr, &format!("GET /f.txt HTTP/1.1\r\n{fields}\r\n"));
        assert_eq!((r.status, r.text()), (200, "content"), "{fields}");
    }
    for fields in ["", "Hostess: evil\r\n", "X-Host: evil\r\n", "Hos: evil\r\n"] {
        let r = ask(server.addr, &format!("GET /f.txt HTTP/1.0\r\n{fields}\r\n"));
        assert_eq!((r.status, r.text()), (200, "content"), "{fields}");
    }
    for fields in [
        "Hostess: evil\r\nHost: good\r\n",
        "Host: good\r\nHostess: evil\r\n",
        "Host: good\r\nX-Forwarded-Host: evil\r\nForwarded: host=evil\r\n",
        "X-Original-Host: evil\r\nhOST: good\r\n",
    ] {
        let r = ask(server.addr, &format!("GET / HTTP/1.1\r\n{fields}\r\n"));
        let location = format!("https://good:{port}/");
        assert_eq!(r.header("location"), Some(&*location), "{fields}");
    }
    for host in ["a/b", "a b", "user@evil", "a\\b", "evil.com/..", "[::1", "a\tb", "h#x", "a,b c"] {
        let r = ask(server.addr, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!((r.status, r.header("location")), (400, None), "{host}");
    }
}

#[test]
fn a_whole_url_names_host_path_and_query_itself() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let (server, port) = redirecting(&dir, &[]);
    for (target, host, rest) in [
        ("http://other/f.txt?x=y", "other", "/f.txt?x=y"),
        ("http://other:8080/a/b", "other", "/a/b"),
        ("HTTP://other/a", "other", "/a"),
        ("http://[fd00::1]:80/a", "[fd00::1]", "/a"),
        ("http://other", "other", "/"),
        ("http://other/", "other", "/"),
        ("http://other?x=y", "other", "/?x=y"),
        ("http://other?x=/y", "other", "/?x=/y"),
        ("http://other/a?u=http://h/b", "other", "/a?u=http://h/b"),
    ] {
        let r = ask(server.addr, &format!("GET {target} HTTP/1.1\r\nHost: router\r\n\r\n"));
        let location = format!("https://{host}:{port}{rest}");
        assert_eq!((r.status, r.header("location")), (307, Some(&*location)), "{target}");
    }
}

#[test]
fn certificate_authorities_find_their_answer_over_http() {
    let (dir, challenges) = (Dir::new(), Dir::new());
    challenges.write("token", "answer");
    dir.write(".well-known/other", "other");
    symlink(&challenges.0, dir.path(".well-known/acme-challenge")).unwrap();
    let (server, port) = redirecting(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for path in [
        "/.well-known/acme-challenge/token",
        "/.well-known//acme-challenge/./token?x",
        "/%2ewell-known/acme-challenge/token",
    ] {
        let r = client.get(path, "");
        assert_eq!((r.status, r.text()), (200, "answer"), "{path}");
    }
    assert_eq!(client.get("/.well-known/acme-challenge/none", "").status, 404);
    for path in [
        "/.well-known/acme-challenge",
        "/.well-known/acme-challenges/token",
        "/.well-known/acme-challenge/../other",
        "/.well-known/acme-challenge/%2e%2e/other",
        "/.well-known/other",
        "/x/.well-known/acme-challenge/token",
        "/x?/.well-known/acme-challenge/token",
    ] {
        let r = client.get(path, "");
        let location = format!("https://test:{port}{path}");
        assert_eq!((r.status, r.header("location")), (307, Some(&*location)), "{path}");
    }
}

#[test]
fn the_redirect_arrives_and_the_connection_goes_on() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let (server, port) = redirecting(&dir, &[]);
    let mut client = Client::connect(server.addr);
    // What was to be posted is not the next request.
    let evil = b"GET /evil HTTP/1.1\r\nHost: h\r\n\r\n";
    for _ in 0..3 {
        let r = client.request("POST", "/form", "", evil);
        assert_eq!((r.status, r.header("connection")), (307, None));
        assert!(r.header("location").unwrap().ends_with("/form"));
    }
    let http = format!("localhost:{}", server.addr.port());
    let resolve =
        [format!("{http}:127.0.0.1"), format!("localhost:{port}:127.0.0.1")].map(|r| r.to_owned());
    let got = curl(&[
        "-L",
        "--cacert",
        &pki("ca.pem"),
        "--resolve",
        &resolve[0],
        "--resolve",
        &resolve[1],
        "-w",
        " %{url_effective}",
        &format!("http://{http}/f.txt?x"),
    ]);
    assert_eq!(got, format!("content https://localhost:{port}/f.txt?x"), "not for ever");
}

#[test]
fn each_family_has_its_own_port() {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: there is no IPv6 here");
        return;
    }
    let dir = Dir::new();
    let listen = ["-p", "127.0.0.1:0", "-p", "[::1]:0", "-s", "[::1]:0", "-s", "127.0.0.1:0", "-q"];
    let mut server = serving(&dir, &listen);
    let (http4, http6) = (server.addr, next(&mut server));
    let (https6, https4) = (next(&mut server), next(&mut server));
    for (http, https) in [(http4, https4), (http6, https6)] {
        let r = ask(http, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(r.header("location"), Some(&*format!("https://h:{}/", https.port())));
    }
}

#[test]
fn the_usual_port_is_not_named() {
    let at = "127.88.44.3:443";
    if TcpListener::bind(at).is_err() {
        println!("skipped: {at} is not to be had");
        return;
    }
    let dir = Dir::new();
    let server = serving(&dir, &["-p", "127.88.44.3:0", "-s", at, "-q"]);
    let r = ask(server.addr, "GET /x HTTP/1.1\r\nHost: h:8080\r\n\r\n");
    assert_eq!(r.header("location"), Some("https://h/x"));
}

#[test]
fn nobody_is_sent_to_where_nothing_is() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let broken = dir.write("broken.pem", "no certificate");
    let broken = broken.to_str().unwrap();
    let (cert, key, other) = (pki("localhost.pem"), pki("localhost.key"), pki("guest.key"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (cert, key, https) in [
        ("/nonexistent.pem", &*key, "127.0.0.1:0"),
        (&*cert, "/nonexistent.key", "127.0.0.1:0"),
        (broken, &*key, "127.0.0.1:0"),
        (&*cert, broken, "127.0.0.1:0"),
        (&*cert, &*other, "127.0.0.1:0"),
        (&*cert, &*key, &*taken),
    ] {
        let args = ["-f", "-p", "127.0.0.1:0", "-s", https, "-C", cert, "-K", key, "-q"];
        let mut args = args.to_vec();
        args.extend(["-h", dir.text()]);
        let mut server = Process::launcher(&args);
        let line = server.line();
        assert!(line.contains("no HTTPS") || line.contains(&taken), "{cert} {key}: {line}");
        let r = ask(server.addr, "GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!((r.status, r.text()), (200, "content"), "{cert} {key} {https}");
    }
    // Nor without -s at all, nor without -q.
    let server = Process::launcher(&["-f", "-p", "127.0.0.1:0", "-q", "-h", dir.text()]);
    assert_eq!(Client::connect(server.addr).get("/f.txt", "").text(), "content");
    let server = serving(&dir, &["-p", "127.0.0.1:0", "-s", "127.0.0.1:0"]);
    assert_eq!(Client::connect(server.addr).get("/f.txt", "").text(), "content");
}

#[test]
fn a_host_that_tls_is_asked_for_can_be_elsewhere() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let portal = "guest.lan=https://portal.lan:8443";
    let options =
        ["-Q", portal, "-Q", "login.lan=http://portal.lan/login?x", "-Q", "slash=https://s/"];
    let mut args = vec!["-p", "127.0.0.1:0", "-s", "127.0.0.1:0"];
    args.extend(options);
    let mut server = serving(&dir, &args);
    let https = next(&mut server);
    let get = |host: &str, path: &str, more: &[&str]| {
        let connect = format!("::{}:{}", https.ip(), https.port());
        let url = format!("https://{host}{path}");
        let mut args = vec!["-k", "--path-as-is", "--connect-to", &connect, &url];
        args.extend(["-w", " %{http_code} %header{location}"]);
        args.extend(more);
        curl(&args)
    };
    for (host, path, answer) in [
        ("guest.lan", "/a/b?c=d", " 301 https://portal.lan:8443/a/b?c=d"),
        ("guest.lan", "/", " 301 https://portal.lan:8443/"),
        ("guest.lan", "//evil.com/x", " 301 https://portal.lan:8443//evil.com/x"),
        ("GUEST.lan", "/f.txt", " 301 https://portal.lan:8443/f.txt"),
        ("guest.lan:8443", "/f.txt", " 301 https://portal.lan:8443/f.txt"),
        ("slash", "/f.txt", " 301 https://s/f.txt"),
        // A URL with a path of its own is where they all go.
        ("login.lan", "/f.txt?a", " 301 http://portal.lan/login?x"),
        ("localhost", "/f.txt", "content 200 "),
        ("xguest.lan", "/f.txt", "content 200 "),
        ("guest.lan.evil", "/f.txt", "content 200 "),
        ("127.0.0.1", "/f.txt", "content 200 "),
    ] {
        assert_eq!(get(host, path, &[]), answer, "{host}{path}");
    }
    // The name that TLS was asked for counts, and not what is said in the request.
    assert_eq!(get("localhost", "/f.txt", &["-H", "Host: guest.lan"]), "content 200 ");
    let answer = " 301 https://portal.lan:8443/f.txt";
    assert_eq!(get("guest.lan", "/f.txt", &["-H", "Host: localhost"]), answer);
    // Over plain HTTP nobody asks TLS for anything.
    let r = ask(server.addr, "GET /f.txt HTTP/1.1\r\nHost: guest.lan\r\n\r\n");
    assert_eq!((r.status, r.text()), (200, "content"));
}

#[test]
fn a_certificate_for_the_guests_is_checked_by_their_name() {
    let dir = Dir::new();
    let (cert, key, ca) = (pki("guest.pem"), pki("guest.key"), pki("ca.pem"));
    let args = ["-f", "-h", dir.text(), "-s", "127.0.0.1:0", "-C", &cert, "-K", &key];
    let mut args = args.to_vec();
    args.extend(["-Q", "guest.lan=https://portal.lan"]);
    let server = Process::launcher(&args);
    let resolve = format!("guest.lan:{}:127.0.0.1", server.addr.port());
    let url = format!("https://guest.lan:{}/x", server.addr.port());
    let format = "%{http_code} %header{location}";
    let got = curl(&["--cacert", &ca, "--resolve", &resolve, "-w", format, &url]);
    assert_eq!(got, "301 https://portal.lan/x");
}
