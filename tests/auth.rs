//! Passwords for paths (`-c`, `-r`): who is asked, who is let in, and what does not get around it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::fs::File;
use std::io::ErrorKind;
use std::process::Command;

use common::{Client, Dir, Process, Response};

const SECRET: &str = "only for those who know";

/// A launcher over `dir` with this configuration, which lies elsewhere.
fn serving(dir: &Dir, conf: &str, options: &[&str]) -> (Process, Dir) {
    let beside = Dir::new();
    let conf = beside.write("httpd.conf", conf);
    let mut args = vec!["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "-c", conf.to_str().unwrap()];
    args.extend(options);
    (Process::launcher(&args), beside)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | group.get(i).map_or(0, |&b| u32::from(b)));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= group.len() { digit.into() } else { '=' });
        }
    }
    text
}

/// The header line of somebody with this name and password.
fn basic(credentials: &str) -> String {
    format!("Authorization: Basic {}\r\n", base64(credentials.as_bytes()))
}

fn get(server: &Process, path: &str, headers: &str) -> Response {
    Client::connect(server.addr).get(path, headers)
}

#[test]
fn a_realm_has_its_name_and_keeps_the_connection() {
    let dir = Dir::new();
    dir.write("prot/f.txt", SECRET);
    for (options, realm) in [
        (&[][..], r#""Protected Area""#),
        (&["-r", r#"The "inner" \ one"#], r#""The \"inner\" \\ one""#),
        (&["-r", "a, realm=b"], r#""a, realm=b""#),
        (&["-r", ""], r#""""#),
    ] {
        let (server, _conf) = serving(&dir, "/prot:me:it\n", options);
        let mut client = Client::connect(server.addr);
        for _ in 0..3 {
            let r = client.get("/prot/f.txt", "");
            assert_eq!((r.status, r.reason.as_str()), (401, "Unauthorized"));
            let challenge = r.header("www-authenticate").unwrap();
            let rest = challenge.strip_prefix("Basic realm=").expect(challenge);
            assert!(rest.starts_with(realm), "{challenge}");
            assert_eq!(r.header("connection"), None, "it is kept");
            assert_eq!(r.header("content-type"), Some("text/html; charset=utf-8"));
            assert!(r.text().contains("401") && !r.text().contains(SECRET));
        }
        // Nothing of the file shows in what is refused.
        let r = client.get("/prot/f.txt", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n");
        assert_eq!((r.status, r.header("etag"), r.header("last-modified")), (401, None, None));
        let r = client.get("/prot/f.txt", &basic("me:it"));
        assert_eq!((r.status, r.text()), (200, SECRET));
        assert_eq!(r.header("www-authenticate"), None);
    }
}

#[test]
fn every_method_is_challenged() {
    let dir = Dir::new();
    dir.write("prot/f.txt", SECRET);
    let (server, _conf) = serving(&dir, "/prot:me:it\n", &[]);
    let mut client = Client::connect(server.addr);
    let length = client.get("/prot/f.txt", "").body.len().to_string();
    let r = client.request("HEAD", "/prot/f.txt", "", b"");
    assert_eq!((r.status, r.header("content-length")), (401, Some(&*length)));
    // The body of the request is nobody's, least of all the next request.
    let evil = b"GET /evil HTTP/1.1\r\nHost: h\r\n\r\n";
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW", "GET"] {
        let r = client.request(method, "/prot/f.txt", "", evil);
        assert_eq!(r.status, 401, "{method}");
        assert!(!r.body.is_empty(), "{method}");
    }
    let r = client.request("HEAD", "/prot/f.txt", "", evil);
    assert_eq!(r.status, 401);
    client.send("POST /prot/f.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.response("POST").status, 401);
    assert_eq!(client.get("/prot/f.txt", &basic("me:it")).text(), SECRET);
    assert_eq!(client.request("POST", "/prot/f.txt", &basic("me:it"), b"x").status, 405);
}

#[test]
fn a_realm_ends_where_a_segment_does() {
    let dir = Dir::new();
    for name in ["prot/f", "prot/sub/f", "prot2/f", "prot.d/f", "a/prot/f", "pro/f", "f"] {
        dir.write(name, name);
    }
    let (server, _conf) = serving(&dir, "/prot:me:it\n", &[]);
    for path in ["/prot", "/prot/", "/prot/f", "/prot/sub", "/prot/sub/f", "/prot/none", "/prot?x"]
    {
        assert_eq!(get(&server, path, "").status, 401, "{path}");
    }
    for path in ["/prot2/f", "/prot.d/f", "/a/prot/f", "/pro/f", "/f"] {
        assert_eq!(get(&server, path, "").text(), &path[1..]);
    }
    for (path, status) in [("/prot2", 301), ("/prot3", 404), ("/", 200)] {
        assert_eq!(get(&server, path, "").status, status, "{path}");
    }
    // All there is, what is not there, and what no file can be.
    let (server, _conf) = serving(&dir, "/:me:it\n", &[]);
    for path in ["/", "/f", "/none", "/prot2/", "/../f", "/a%2fprot", "/cgi-bin/x"] {
        assert_eq!(get(&server, path, "").status, 401, "{path}");
    }
    assert_eq!(get(&server, "/f", &basic("me:it")).text(), "f");
}

#[test]
fn no_spelling_of_a_path_gets_around_a_realm() {
    let dir = Dir::new();
    dir.write("prot/f.txt", SECRET);
    dir.write("pub/f.txt", "for all");
    let (server, _conf) = serving(&dir, "/prot:me:it\n", &[]);
    for path in [
        "/%70rot/f.txt",
        "/%50rot/f.txt",
        "/PROT/f.txt",
        "/Prot/f.txt",
        "//prot/f.txt",
        "///prot//f.txt",
        "/./prot/f.txt",
        "/%2e/prot/f.txt",
        "/pub/../prot/f.txt",
        "/pub/%2e%2e/prot/f.txt",
        "/pub/.%2E/prot/f.txt",
        "/pub/x/../../prot/./f.txt",
        "/prot/../prot/f.txt",
        "/prot/x/../f.txt",
        "/../prot/f.txt",
        "/prot%2ff.txt",
        "/%2fprot/f.txt",
        "/pub/..%2fprot/f.txt",
        "/prot/%66.txt",
        "http://127.0.0.1/prot/f.txt",
        "http://elsewhere/pub/../prot/f.txt",
        "https://elsewhere//prot/f.txt?x",
    ] {
        let r = get(&server, path, "");
        assert_eq!(r.status, 401, "{path}");
        assert!(!r.text().contains(SECRET), "{path}");
    }
    for path in ["/prot%00/f.txt", "/%2570rot/f.txt", "/prot;/f.txt", "/pub\\..\\prot\\f.txt"] {
        let r = get(&server, path, "");
        assert!(matches!(r.status, 400 | 404), "{path}: {}", r.status);
    }
    assert_eq!(get(&server, "/prot/../pub/f.txt", "").text(), "for all");
}

#[test]
fn an_alias_leads_to_no_realm_and_out_of_none() {
    let dir = Dir::new();
    dir.write("prot/in/f.txt", SECRET);
    dir.write("open/prot/f.txt", SECRET);
    let options = ["-y", "/in=/prot", "-y", "/prot=/open"];
    let (server, _conf) = serving(&dir, "/prot:me:it\n", &options);
    for path in ["/in/f.txt", "/prot/f.txt"] {
        assert_eq!(get(&server, path, "").status, 401, "{path}");
        assert_eq!(get(&server, path, &basic("me:it")).text(), SECRET, "{path}");
    }
    // To go straight to where the alias leads is not asking for the guarded path.
    assert_eq!(get(&server, "/open/prot/f.txt", "").text(), SECRET);
}

#[test]
fn the_index_and_the_listing_of_a_directory_are_guarded() {
    let dir = Dir::new();
    dir.write("prot/index.html", SECRET);
    dir.write("list/hidden-name", SECRET);
    dir.write("single/index.html", SECRET);
    dir.write("single/other.html", "for all");
    let conf = "/prot:me:it\n/list:me:it\n/single/index.html:me:it\n";
    let (server, _conf) = serving(&dir, conf, &[]);
    for path in ["/prot", "/prot/", "/list", "/list/", "/single/index.html"] {
        for accept in ["", "Accept: application/json\r\n"] {
            let r = get(&server, path, accept);
            assert_eq!(r.status, 401, "{path}");
            assert!(!r.text().contains("hidden-name") && !r.text().contains(SECRET), "{path}");
        }
    }
    let me = basic("me:it");
    assert_eq!(get(&server, "/prot/", &me).text(), SECRET);
    assert_eq!(get(&server, "/prot", &me).header("location"), Some("/prot/"));
    assert!(get(&server, "/list/", &me).text().contains("hidden-name"));
    assert_eq!(get(&server, "/single/other.html", "").text(), "for all");
    // A file that is guarded by itself is so too where it stands for its directory.
    let r = get(&server, "/single/", "");
    assert_eq!((r.status, r.text().contains(SECRET)), (401, false));
    assert_eq!(get(&server, "/single/", &me).text(), SECRET);
}

#[test]
fn each_realm_has_its_own_users() {
    let dir = Dir::new();
    for name in ["a/f", "a/b/f", "a/b/c/f"] {
        dir.write(name, name);
    }
    let conf =
        "/a:ann:1\n/a:bob:2\n/a/b/:cat:3\n/a:ann:again\n/a:colon:x:y:\n/a:k\u{e4}se:\u{20ac}\n";
    let (server, _conf) = serving(&dir, conf, &[]);
    for (path, who, status) in [
        ("/a/f", "ann:1", 200),
        ("/a/f", "bob:2", 200),
        ("/a/f", "ann:2", 401),
        ("/a/f", "bob:1", 401),
        ("/a/f", "ann:again", 200),
        ("/a/f", "colon:x:y:", 200),
        ("/a/f", "colon:x:y", 401),
        ("/a/f", "k\u{e4}se:\u{20ac}", 200),
        ("/a/f", "cat:3", 401),
        ("/a/f", "Ann:1", 401),
        ("/a/f", "ann:1 ", 401),
        ("/a/f", "ann:", 401),
        ("/a/f", ":1", 401),
        ("/a/f", ":", 401),
        ("/a/f", "dan:1", 401),
        // The realm with the longest path counts, and it alone.
        ("/a/b/f", "cat:3", 200),
        ("/a/b/c/f", "cat:3", 200),
        ("/a/b/f", "ann:1", 401),
    ] {
        assert_eq!(get(&server, path, &basic(who)).status, status, "{path} {who}");
    }
}

#[test]
fn hashes_are_those_of_their_passwords() {
    let dir = Dir::new();
    dir.write("prot/f", SECRET);
    let hash = |method: &str| {
        let args = ["passwd", method, "-salt", "abcdefgh", "pa:ss w\u{f6}rd"];
        let output = Command::new("openssl").args(args).output().expect("openssl");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let hashes = ["-1", "-5", "-6"].map(hash);
    let lines = ["m", "s", "t"].iter().zip(&hashes).map(|(u, hash)| format!("/prot:{u}:{hash}\n"));
    let (server, _conf) = serving(&dir, &lines.collect::<String>(), &[]);
    let mut client = Client::connect(server.addr);
    for (user, hash) in ["m", "s", "t"].iter().zip(&hashes) {
        let mut ask =
            |password: &str| client.get("/prot/f", &basic(&format!("{user}:{password}"))).status;
        // Twice, since what was right once is remembered.
        for _ in 0..2 {
            assert_eq!(ask("pa:ss w\u{f6}rd"), 200, "{hash}");
            for wrong in ["pa:ss", "", "*", "x", &"x".repeat(3000), hash, &hash[..12]] {
                assert_eq!(ask(wrong), 401, "{hash} {wrong}");
            }
        }
        // Nor is somebody else's password one's own, though it is the same here: the name counts.
        assert_eq!(client.get("/prot/f", &basic("nobody:pa:ss w\u{f6}rd")).status, 401);
    }
}

fn is_withheld(path: &str) -> bool {
    File::open(path).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied)
}

#[test]
fn nobody_gets_in_by_a_locked_account_or_a_broken_hash() {
    let dir = Dir::new();
    dir.write("prot/f", SECRET);
    for (line, passwords) in [
        ("/prot:me:$p$daemon", &["", "*", "!", "x", "daemon", "$p$daemon"][..]),
        ("/prot:me:$p$no-such-account", &["", "*", "no-such-account", "$p$no-such-account"]),
        ("/prot:me:$", &["", "$"]),
        ("/prot:me:$1$salt", &["", "$1$salt", "*0"]),
        ("/prot:me:$nonsense$salt$hash", &["", "$nonsense$salt$hash", "*0", "*1"]),
    ] {
        if line.contains("$p$") && is_withheld("/etc/shadow") {
            println!("skipped: {line}: this user may not read /etc/shadow");
            continue;
        }
        let (server, _conf) = serving(&dir, line, &[]);
        for password in passwords {
            let r = get(&server, "/prot/f", &basic(&format!("me:{password}")));
            assert_eq!(r.status, 401, "{line}: {password}");
        }
    }
}

#[test]
fn what_is_no_authorization_is_refused() {
    let dir = Dir::new();
    dir.write("prot/f", SECRET);
    let (server, _conf) = serving(&dir, "/prot:me:it\n", &[]);
    let mut client = Client::connect(server.addr);
    let good = base64(b"me:it");
    for field in [
        String::new(),
        "Basic".into(),
        "Basic ".into(),
        good.clone(),
        format!("Basic{good}"),
        format!("Bearer {good}"),
        format!("Digest {good}"),
        format!("Basic {good} {good}"),
        format!("Basic {good},"),
        format!("Basic \"{good}\""),
        format!("Basic {good}===="),
        format!("Basic ={good}"),
        "Basic me:it".into(),
        "Basic !!!!".into(),
        format!("Basic {}", base64(b"me")),
        format!("Basic {}", base64(b"me:it\0")),
        format!("Basic {}", base64(b"me:it\n")),
        format!("Basic {}", base64(b"me:\xff")),
        format!("Basic {}", "A".repeat(6000)),
    ] {
        let r = client.get("/prot/f", &format!("Authorization: {field}\r\n"));
        assert_eq!(r.status, 401, "{field}");
    }
    // Whatever its length is, and however it is cut.
    for len in 1..good.len() {
        let field = format!("Authorization: Basic {}\r\n", &good[..len]);
        let status = if good[len..].bytes().all(|b| b == b'=') { 200 } else { 401 };
        assert_eq!(client.get("/prot/f", &field).status, status, "{field}");
    }
    for field in [format!("basic {good}"), format!("BASIC   {good}")] {
        let r = client.get("/prot/f", &format!("authorization: {field}\r\n"));
        assert_eq!((r.status, r.text()), (200, SECRET), "{field}");
    }
}

#[test]
fn the_log_names_who_was_let_in() {
    let dir = Dir::new();
    dir.write("prot/f", SECRET);
    let (mut server, _conf) = serving(&dir, "/prot:me too:it\n", &["--access-log", "stderr"]);
    let mut client = Client::connect(server.addr);
    for (headers, entry) in [
        (basic("me too:it"), "127.0.0.1 - me\\x20too ["),
        (basic("me too:wrong"), "127.0.0.1 - - ["),
        (basic("root:it"), "127.0.0.1 - - ["),
        (String::new(), "127.0.0.1 - - ["),
    ] {
        client.get("/prot/f", &headers);
        let line = server.line();
        assert!(line.contains(entry), "{line}");
    }
    // Nor is it the one who came before on the same connection.
    client.get("/prot/f", &basic("me too:it"));
    assert!(server.line().contains(" - me\\x20too ["));
    client.get("/", "");
    assert!(server.line().contains(" - - ["));
}

#[test]
fn there_is_no_ubus_and_its_options_are_told_so() {
    let dir = Dir::new();
    dir.write("f", "f");
    let options = ["-u", "/ubus", "-U", "/var/run/ubus.sock", "-a", "-X", "-e", "5"];
    let (server, _conf) = serving(&dir, "", &options);
    let mut client = Client::connect(server.addr);
    // Only 200 would make LuCI use it.
    for (method, path) in
        [("POST", "/ubus"), ("POST", "/ubus/"), ("GET", "/ubus/list"), ("OPTIONS", "/ubus")]
    {
        let r = client.request(method, path, "Origin: http://h\r\n", br#"{"method":"list"}"#);
        assert_eq!(r.status, 404, "{method} {path}");
        assert_eq!(r.header("access-control-allow-origin"), None);
    }
    assert_eq!(client.get("/f", "").text(), "f");
}
