//! What is run, what is run by whom, and what is neither run nor shown.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use common::{Client, Dir, Process};

/// Answers with how it was called: name, number of arguments, the first of them, variables.
const CALL: &str = "#!/bin/sh\n# secret\nprintf 'Content-Type: text/plain\\n\\n'\n\
    printf '%s|%s|%s|' \"$0\" $# \"$1\"\n\
    printf '%s|%s|%s' \"$SCRIPT_NAME\" \"$PATH_INFO\" \"$SCRIPT_FILENAME\"\n";

fn start(dir: &Dir, args: &[&str]) -> (Process, Client) {
    let server =
        Process::launcher(&[&["-f", "-p", "127.0.0.1:0", "-h", dir.text()][..], args].concat());
    let client = Client::connect(server.addr);
    (server, client)
}

/// A directory of which nothing has to be resolved, so that paths in it can be compared.
fn docroot() -> (Dir, String) {
    let dir = Dir::new();
    let root = dir.0.canonicalize().unwrap().to_str().unwrap().to_owned();
    (dir, root)
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn links_to_scripts_may_lead_anywhere() {
    let (dir, root) = docroot();
    let beside = Dir::new();
    let tool = beside.script("tool", CALL);
    let text = beside.write("text", "not yours");
    dir.write("cgi-bin/here", "");
    for name in ["cgi-up", "cgi-down"] {
        symlink(&tool, dir.path(&format!("cgi-bin/{name}"))).unwrap();
    }
    symlink(&beside.0, dir.path("cgi-bin/dir")).unwrap();
    symlink(&text, dir.path("text")).unwrap();
    symlink("nowhere", dir.path("cgi-bin/broken")).unwrap();
    symlink("circle", dir.path("cgi-bin/circle")).unwrap();
    for args in [&[][..], &["-S"]] {
        let (server, mut client) = start(&dir, args);
        // A program of several names tells by its own which one is meant.
        for name in ["cgi-up", "cgi-down", "dir/tool"] {
            let r = client.get(&format!("/cgi-bin/{name}/x"), "");
            let path = format!("{root}/cgi-bin/{name}");
            let expected = format!("{path}|0||/cgi-bin/{name}|/x|{path}");
            assert_eq!((r.status, r.text()), (200, &*expected), "{args:?}");
        }
        assert_eq!(client.get("/cgi-bin/broken", "").status, 404, "{args:?}");
        let r = Client::connect(server.addr).get("/cgi-bin/circle", "");
        assert_eq!(r.status, 403, "{args:?}");
        // Elsewhere it is for -S to say.
        let r = client.get("/text", "");
        assert_eq!(r.status == 200, args.is_empty(), "{args:?}");
    }
}

#[test]
fn what_may_not_be_run_is_not_shown_either() {
    let (dir, _) = docroot();
    for (name, mode) in [("plain", 0o644), ("owner", 0o744), ("group", 0o774), ("open", 0o755)] {
        set_mode(dir.write(&format!("cgi-bin/{name}"), CALL), mode);
    }
    dir.write("cgi-bin/dir/index.html", "secret");
    dir.script("cgi-bin/dir/script", CALL);
    dir.script("cgi-bin2/open", CALL);
    dir.write("x/y", "");
    let (_server, mut client) = start(&dir, &["-I", "open"]);
    for name in ["plain", "owner", "group"] {
        for path in [
            "/cgi-bin/NAME",
            "/cgi-bin/NAME/info",
            "/cgi-bin/NAME/",
            "/cgi-bin/NAME?x",
            "//cgi-bin//NAME",
            "/./cgi-bin/./NAME",
            "/x/../cgi-bin/NAME",
            "/%63gi-bin/NAME",
            "/cgi-bin/dir/../NAME",
            "/cgi-bin/dir/%2e%2e/NAME",
        ] {
            let path = path.replace("NAME", name);
            for method in ["GET", "HEAD", "POST"] {
                let r = client.request(method, &path, "Range: bytes=0-\r\n", b"");
                assert_eq!(r.status, 403, "{method} {path}");
                assert!(!r.text().contains("secret"), "{method} {path}");
            }
        }
    }
    for (path, status) in [
        ("/cgi-bin/none", 404),
        ("/cgi-bin/none/x", 404),
        ("/cgi-bin/dir/none", 404),
        ("/cgi-bin/dir", 403),
        ("/cgi-bin/dir/", 403),
        ("/cgi-bin", 403),
        ("/cgi-bin/", 200), // by its index
        // What follows a script may have such a slash, and so the paths of scripts may.
        ("/cgi-bin%2fopen", 200),
        ("/cgi-bin/dir/script/a%2fb", 200),
        ("/cgi-bin/open", 200),
        ("/cgi-bin/dir/script", 200),
        ("/cgi-bin/dir/script/x", 200),
    ] {
        for method in ["GET", "HEAD"] {
            let r = client.request(method, path, "", b"");
            assert_eq!(r.status, status, "{method} {path}");
            assert!(!r.text().contains("secret"), "{method} {path}");
        }
    }
    // A longer name is another one: a file, as everywhere else.
    assert_eq!(client.get("/cgi-bin2/open", "").text(), CALL);
}

#[test]
fn what_cannot_be_run_is_an_error() {
    let (dir, root) = docroot();
    dir.script("cgi-bin/lost", "#!/nonexistent/interpreter\nsecret\n");
    dir.script("cgi-bin/odd", "secret, and no program at all");
    dir.script("cgi-bin/empty", "");
    dir.script("cgi-bin/open", CALL);
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.path("cgi-bin/fifo"), 0o755.into()).unwrap();
    set_mode(dir.path("cgi-bin/fifo"), 0o755);
    let (mut server, _) = start(&dir, &[]);
    for name in ["lost", "odd", "empty"] {
        let r = Client::connect(server.addr).get(&format!("/cgi-bin/{name}"), "");
        // Some C libraries have the shell try what is no program.
        let expected = if name == "lost" { &[500][..] } else { &[500, 502] };
        assert!(expected.contains(&r.status), "{name}: {r:?}");
        assert!(!r.text().contains("secret"), "{name}");
        while !server.line().contains(&format!("ecohttpd: {root}/cgi-bin/{name}: ")) {}
    }
    let mut client = Client::connect(server.addr);
    assert_eq!(client.get("/cgi-bin/fifo", "").status, 403);
    assert_eq!(client.get("/cgi-bin/open", "").status, 200);
}

#[test]
fn interpreters_run_files_wherever_they_are() {
    let (dir, root) = docroot();
    let beside = Dir::new();
    let php = beside.script("php", CALL);
    let php = php.to_str().unwrap();
    for name in ["x.php", "sub/index.php", "cgi-bin/y.php", "dir.php/page.php", "x/.php"] {
        dir.write(name, "secret");
    }
    dir.write("dir.php/f.txt", "content");
    dir.write("other/x.phps", "content");
    let (_server, mut client) = start(&dir, &["-i", &format!(".php={php}"), "-I", "index.php"]);
    for (path, name, info) in [
        ("/x.php", "/x.php", ""),
        ("/x.php?a=b", "/x.php", ""),
        ("/%78.p%68p", "/x.php", ""),
        ("/x.php/", "/x.php", "/"),
        ("/x.php/a/b%20c", "/x.php", "/a/b c"),
        ("/x.php/y.php/z", "/x.php", "/y.php/z"),
        ("/x/.php", "/x/.php", ""),
        ("/sub/", "/sub/index.php", ""),
        ("/sub/index.php/i", "/sub/index.php", "/i"),
        ("/cgi-bin/y.php/i", "/cgi-bin/y.php", "/i"),
        ("/dir.php/page.php/i", "/dir.php/page.php", "/i"),
    ] {
        for (method, body) in [("GET", &b""[..]), ("POST", b"1=2")] {
            let r = client.request(method, path, "", body);
            let file = format!("{root}{name}");
            let expected = format!("{php}|1|{file}|{name}|{info}|{file}");
            assert_eq!((r.status, r.text()), (200, &*expected), "{method} {path}");
        }
        assert_eq!(client.request("HEAD", path, "", b"").status, 200, "{path}");
    }
    for path in ["/none.php", "/none.php/x", "/dir.php/none.php/x"] {
        assert_eq!(client.get(path, "").status, 404, "{path}");
    }
    assert_eq!(client.get("/sub?x", "").header("location"), Some("/sub/?x"));
    for path in ["/dir.php/f.txt", "/other/x.phps"] {
        assert_eq!(client.get(path, "").text(), "content", "{path}");
    }
}

#[test]
fn the_longest_way_round_does_not_run_what_is_forbidden() {
    let (dir, _) = docroot();
    let beside = Dir::new();
    let php = beside.script("php", CALL);
    let outside = beside.write("outside.php", "secret");
    set_mode(dir.write("closed.php", "secret"), 0o640);
    set_mode(dir.write("closed.txt", "secret"), 0o640);
    symlink(&outside, dir.path("link.php")).unwrap();
    symlink(&beside.0, dir.path("link")).unwrap();
    let (_server, mut client) =
        start(&dir, &["-S", "-i", &format!(".php={}", php.to_str().unwrap())]);
    for path in ["/closed.txt", "/closed.php", "/link.php", "/link/outside.php"] {
        for info in ["", "/", "/x", "/x/y.php"] {
            let r = client.get(&format!("{path}{info}"), "");
            assert!(matches!(r.status, 403 | 404), "{path}{info}: {r:?}");
        }
    }
}

#[test]
fn interpreters_come_from_the_configuration_too() {
    let (dir, root) = docroot();
    let beside = Dir::new();
    let pl = beside.script("perl", CALL);
    let pl = pl.to_str().unwrap();
    let conf = beside.write("httpd.conf", format!("*.pl:{pl}\n"));
    dir.write("x.pl", "secret");
    let (_server, mut client) = start(&dir, &["-c", conf.to_str().unwrap()]);
    let r = client.get("/x.pl/i", "");
    assert_eq!(r.text(), format!("{pl}|1|{root}/x.pl|/x.pl|/i|{root}/x.pl"));
}

#[test]
fn aliases_lead_to_scripts() {
    let (dir, root) = docroot();
    dir.script("cgi-bin/app", CALL);
    dir.script("cgi-bin/deep/er", CALL);
    dir.write("new/old/f.txt", "content");
    let (_server, mut client) =
        start(&dir, &["-y", "/app", "-y", "/deep", "-y", "/old=/new", "-y", "/er=/cgi-bin/deep"]);
    for (path, name, info) in [
        ("/app", "/cgi-bin/app", ""),
        ("/app/", "/cgi-bin/app", "/"),
        ("/app/a%20b?x", "/cgi-bin/app", "/a b"),
        ("/deep/er/x", "/cgi-bin/deep/er", "/x"),
        ("/er/x", "/cgi-bin/deep/er", "/x"),
        ("/cgi-bin/app/x", "/cgi-bin/app", "/x"),
    ] {
        let r = client.get(path, "");
        let expected = format!("{root}{name}|0||{name}|{info}|{root}{name}");
        assert_eq!((r.status, r.text()), (200, &*expected), "{path}");
    }
    assert_eq!(client.get("/old/f.txt", "").text(), "content");
    for path in ["/apple", "/x/app", "/old/none", "/deep"] {
        assert!(matches!(client.get(path, "").status, 403 | 404), "{path}");
    }
}

#[test]
fn aliases_keep_the_query() {
    let (dir, _) = docroot();
    dir.script(
        "cgi-bin/app",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n%s|%s|' \"$QUERY_STRING\" \"$REQUEST_URI\"\n\
         cat\n",
    );
    let (_server, mut client) = start(&dir, &["-y", "/app"]);
    let r = client.request("POST", "/app/%20?a=%20&b", "", b"body");
    assert_eq!(r.text(), "a=%20&b|/app/%20?a=%20&b|body");
}

#[test]
fn scripts_can_have_another_place() {
    let (dir, root) = docroot();
    dir.script("run/it", CALL);
    dir.script("cgi-bin/it", CALL);
    for (prefix, path) in [("/run", "/run/it"), ("/run/", "/run/it"), ("/cgi-bin", "/cgi-bin/it")] {
        let (_server, mut client) = start(&dir, &["-x", prefix]);
        let r = client.get(&format!("{path}/x"), "");
        assert_eq!(r.text(), format!("{root}{path}|0||{path}|/x|{root}{path}"));
    }
    // All of it.
    dir.script("it", CALL);
    set_mode(dir.write("plain", "secret"), 0o644);
    let (_server, mut client) = start(&dir, &["-x", "/"]);
    assert_eq!(client.get("/it/x", "").text(), format!("{root}/it|0||/it|/x|{root}/it"));
    assert_eq!(client.get("/plain", "").status, 403);
    assert_eq!(client.get("/", "").status, 403);
}

#[test]
fn scripts_see_no_slash_that_was_hidden() {
    // Decoded, it would say something else than the client did.
    let (dir, _) = docroot();
    dir.script("cgi-bin/it", CALL);
    let (_server, mut client) = start(&dir, &[]);
    for path in
        ["/cgi-bin/it/..%2f..%2fetc", "/cgi-bin/it/%2e%2e/%2e%2e/%2e%2e/etc", "/cgi-bin/it/%00"]
    {
        let mut client = Client::connect(client.stream.peer_addr().unwrap());
        let r = client.get(path, "");
        assert!((400..500).contains(&r.status), "{path}: {r:?}");
    }
    let r = client.get("/cgi-bin/it/a/../b/./c", "");
    assert!(r.text().contains("|/cgi-bin/it|/b/c|"), "{r:?}");
}

#[test]
fn names_may_be_odd() {
    let (dir, root) = docroot();
    let names: [&[u8]; 9] = [
        b"a b",
        b"-n",
        b"\xc3\xa9",
        b"\xff\xfe",
        b"$(touch x)`id`",
        b"'\";|&<>*",
        b"a\nb",
        b"...",
        b"%41",
    ];
    for name in names {
        let path = Path::new(&root).join("cgi-bin").join(OsStr::from_bytes(name));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::rename(dir.script("script", CALL), path).unwrap();
    }
    let (_server, mut client) = start(&dir, &[]);
    for name in names {
        let encoded: String = name.iter().map(|b| format!("%{b:02x}")).collect();
        let r = client.get(&format!("/cgi-bin/{encoded}/{encoded}"), "");
        let path = [root.as_bytes(), b"/cgi-bin/", name].concat();
        let info = [b"/", name].concat();
        let expected = [&path[..], b"|0||/cgi-bin/", name, b"|", &info, b"|", &path].concat();
        let shown = name.escape_ascii();
        assert_eq!(
            (r.status, r.body.escape_ascii().to_string()),
            (200, expected.escape_ascii().to_string()),
            "{shown}"
        );
    }
}
