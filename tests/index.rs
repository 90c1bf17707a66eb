//! What a path stands for: index files, directories without their slash, programs, and nothing.
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
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use common::{Client, Dir, Process, Response};

fn serving(dir: &Dir, options: &[&str]) -> Process {
    let mut args = vec!["-f", "-p", "127.0.0.1:0", "-h", dir.text()];
    args.extend(options);
    Process::launcher(&args)
}

fn chmod(dir: &Dir, name: &str, mode: u32) {
    fs::set_permissions(dir.path(name), PermissionsExt::from_mode(mode)).unwrap();
}

fn get(server: &Process, path: &str) -> Response {
    Client::connect(server.addr).get(path, "")
}

#[test]
fn a_directory_has_uhttpds_four_names_for_an_index() {
    let dir = Dir::new();
    let server = serving(&dir, &["-D"]);
    let names = ["default.htm", "default.html", "index.htm", "index.html"];
    for name in names {
        for sub in ["", "sub/"] {
            dir.write(&format!("{sub}{name}"), name);
            let r = get(&server, &format!("/{sub}"));
            assert_eq!((r.status, r.text()), (200, name), "the first of them counts");
            assert_eq!(r.header("content-type"), Some("text/html; charset=utf-8"));
        }
    }
    for name in ["Index.html", "index.HTML", "index.php", "index"] {
        dir.write(&format!("other/{name}"), name);
    }
    assert_eq!(get(&server, "/other/").status, 403);
}

#[test]
fn other_names_come_first_in_the_order_in_which_they_were_given() {
    let dir = Dir::new();
    let beside = Dir::new();
    let conf = beside.write("httpd.conf", "I:third\nI:fourth\n");
    let options = ["-I", "first", "-I", "sub/second", "-c", conf.to_str().unwrap(), "-D"];
    let server = serving(&dir, &options);
    for name in ["index.html", "fourth", "third", "sub/second", "first"] {
        dir.write(name, name);
        assert_eq!(get(&server, "/").text(), name);
        assert_eq!(Client::connect(server.addr).request("HEAD", "/", "", b"").status, 200);
    }
}

#[test]
fn only_a_file_is_an_index() {
    let dir = Dir::new();
    fs::create_dir_all(dir.path("index.html/deep")).unwrap();
    symlink("nowhere", dir.path("index.htm")).unwrap();
    fs::write(dir.path("default.html"), "a file").unwrap();
    let server = serving(&dir, &[]);
    assert_eq!(get(&server, "/").text(), "a file");
    assert_eq!(get(&server, "/index.html").header("location"), Some("/index.html/"));
    // One that not everybody may read is the index all the same, and none is taken in its place.
    dir.write("sub/index.html", "private");
    dir.write("sub/index.htm", "public");
    chmod(&dir, "sub/index.html", 0o600);
    let r = get(&server, "/sub/");
    assert_eq!((r.status, r.text().contains("private")), (403, false));
}

#[test]
fn a_missing_slash_is_added_to_any_name() {
    let dir = Dir::new();
    let names: [(&[u8], &str); 14] = [
        (b"plain", "/plain"),
        (b"a b", "/a%20b"),
        (b"50%", "/50%25"),
        (b"%41", "/%2541"),
        (b"q?x", "/q%3Fx"),
        (b"h#f", "/h%23f"),
        (b"k\xc3\xa4se", "/k%C3%A4se"),
        (b"latin\xe4", "/latin%E4"),
        (b"a\r\nX-Evil: 1", "/a%0D%0AX-Evil:%201"),
        (b"<a \"'>", "/%3Ca%20%22'%3E"),
        (b"a;b=c,d", "/a;b=c,d"),
        (b"evil.com", "/evil.com"),
        (b"back\\slash", "/back%5Cslash"),
        (b"...", "/..."),
    ];
    for (name, _) in names {
        fs::create_dir(dir.0.join(OsStr::from_bytes(name))).unwrap();
    }
    let server = serving(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for (name, path) in names {
        for query in ["", "?a=b&c=%20d", "?", "?x?y/../z", "?http://h/"] {
            let kept = if query == "?" { "" } else { query };
            for method in ["GET", "HEAD"] {
                let r = client.request(method, &format!("{path}{query}"), "", b"");
                let shown = name.escape_ascii();
                assert_eq!((r.status, r.body.len()), (301, 0), "{shown}");
                assert_eq!(r.header("location"), Some(&*format!("{path}/{kept}")), "{shown}");
                assert_eq!(r.header("x-evil"), None);
            }
        }
        assert_eq!(client.get(&format!("{path}/"), "").status, 200, "{path}");
    }
    // No browser may take the location for another host.
    for path in ["//evil.com", "///evil.com", "/.//evil.com", "/x/..//evil.com", "/%2e//evil.com"] {
        assert_eq!(client.get(path, "").header("location"), Some("/evil.com/"), "{path}");
    }
    let r = client.get("/%2fevil.com", "");
    assert!(r.header("location").is_none_or(|to| !to.starts_with("//")), "{:?}", r.headers);
}

#[test]
fn nothing_follows_a_file() {
    let dir = Dir::new();
    dir.write("x.html", "x");
    dir.write("sub/index.html", "index");
    let server = serving(&dir, &[]);
    for path in [
        "/x.html/",
        "/x.html/more",
        "/x.html//more",
        "/x.html/index.html",
        "/sub/index.html/",
        "/sub/index.html/more",
        "/x.html%20",
        "/x.html.",
    ] {
        assert_eq!(get(&server, path).status, 404, "{path}");
    }
    assert_eq!(get(&server, "/x.html/../x.html").text(), "x");
}

const SOURCE: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nran'\n# the secret source\n";

#[test]
fn programs_are_run_and_never_shown() {
    let dir = Dir::new();
    dir.write("cgi-bin/run", SOURCE);
    dir.write("cgi-bin/sub/run", SOURCE);
    chmod(&dir, "cgi-bin/run", 0o755);
    chmod(&dir, "cgi-bin/sub/run", 0o755);
    dir.write("cgi-bin/idle", SOURCE);
    chmod(&dir, "cgi-bin/idle", 0o644);
    dir.write("page.own", SOURCE);
    dir.write("sub/index.own", SOURCE);
    let server = serving(&dir, &["-i", ".own=/bin/sh", "-I", "index.own"]);
    let mut client = Client::connect(server.addr);
    for path in [
        "/cgi-bin/run",
        "/cgi-bin/run/",
        "/cgi-bin/run/more",
        "/cgi-bin//run",
        "/cgi-bin/./run",
        "/./cgi-bin/run",
        "/%63gi-bin/run",
        "/cgi-bin/%72un",
        "/x/../cgi-bin/run",
        "/cgi-bin/sub/run",
        "/cgi-bin/run?x",
        "/page.own",
        "/page.own/",
        "/page.own/more.html",
        "/page%2eown",
        "/sub/",
        "/sub/index.own",
    ] {
        for (method, fields) in [
            ("GET", ""),
            ("GET", "Range: bytes=0-99\r\n"),
            ("GET", "Accept-Encoding: gzip, br\r\n"),
            ("GET", "If-None-Match: *\r\n"),
            ("POST", ""),
            ("PUT", ""),
            ("DELETE", ""),
            ("OPTIONS", ""),
            ("BREW", ""),
        ] {
            let r = client.request(method, path, fields, b"x");
            assert_eq!((r.status, r.text()), (200, "ran"), "{method} {path} {fields}");
        }
    }
    for (path, statuses) in [
        ("/cgi-bin", &[403, 404][..]),
        ("/cgi-bin/", &[403, 404]),
        ("/cgi-bin/sub", &[403, 404]),
        ("/cgi-bin/sub/", &[403, 404]),
        ("/cgi-bin/idle", &[403]),
        ("/cgi-bin/idle/more", &[403]),
        ("/cgi-bin/none", &[404]),
        ("/cgi-bin/run~", &[404]),
        ("/cgi-bin/run%20", &[404]),
        ("/cgi-bin/RUN", &[404]),
        ("/CGI-BIN/run", &[404]),
        ("/cgi-bin/run%00", &[400]),
        ("/page.own%00.html", &[400]),
        ("/page.OWN", &[404]),
        ("/page.own.", &[404]),
    ] {
        let r = client.request("GET", path, "Connection: keep-alive\r\n", b"");
        assert!(statuses.contains(&r.status), "{path}: {}", r.status);
        assert!(!r.text().contains("source") && !r.text().contains("run"), "{path}: {}", r.text());
        if r.header("connection").is_some() {
            client = Client::connect(server.addr);
        }
    }
}

#[test]
fn what_not_everybody_may_read_is_for_nobody() {
    let dir = Dir::new();
    for name in ["f.txt", "page.own", "closed/f.txt", "cgi-bin/run"] {
        dir.write(name, SOURCE);
    }
    dir.write("entered/index.html", "index");
    dir.write("entered/f.txt", "file");
    let server = serving(&dir, &["-i", ".own=/bin/sh"]);
    assert_eq!(get(&server, "/f.txt").status, 200);
    for mode in [0o640, 0o600, 0o750, 0o660, 0o000] {
        for name in ["f.txt", "page.own", "cgi-bin/run"] {
            chmod(&dir, name, mode);
        }
        for path in ["/f.txt", "/page.own", "/page.own/more", "/cgi-bin/run", "/cgi-bin/run/more"] {
            let r = get(&server, path);
            assert_eq!(r.status, 403, "{path} {mode:o}");
            assert!(!r.text().contains("source"), "{path} {mode:o}");
        }
    }
    // What can be run need not be read, and what is read by another need not be run.
    chmod(&dir, "cgi-bin/run", 0o711);
    assert_eq!(get(&server, "/cgi-bin/run").status, 200);
    chmod(&dir, "page.own", 0o604);
    assert_eq!(get(&server, "/page.own/more").text(), "ran");
    for mode in [0o750, 0o711] {
        chmod(&dir, "closed", mode);
        let r = get(&server, "/closed/");
        assert_eq!((r.status, r.text().contains("f.txt")), (403, false), "{mode:o}");
    }
    // Nor is what stands beside a file to be sent instead of it.
    dir.write("page.css", "for all");
    for suffix in ["gz", "br", "zst"] {
        let name = format!("page.css.{suffix}");
        dir.write(&name, "private");
        chmod(&dir, &name, 0o640);
    }
    let r = Client::connect(server.addr).get("/page.css", "Accept-Encoding: gzip, br, zstd\r\n");
    assert_eq!((r.status, r.text()), (200, "for all"));
    // A directory that can be entered but not read has what can be asked for by name.
    chmod(&dir, "entered", 0o711);
    assert_eq!(get(&server, "/entered/f.txt").text(), "file");
    assert_eq!(get(&server, "/entered/").text(), "index");
    assert_eq!(get(&server, "/entered").header("location"), Some("/entered/"));
}

/// What is stored as `.gz` only can be sent, but not run.
#[cfg(feature = "gzip")]
#[test]
fn a_program_that_is_packed_is_none() {
    let dir = Dir::new();
    dir.write("page.own.gz", "packed");
    let server = serving(&dir, &["-i", ".own=/bin/sh", "--gzip"]);
    for path in ["/page.own", "/page.own/more"] {
        assert_eq!(get(&server, path).status, 404, "{path}");
    }
}

#[test]
fn without_links_an_interpreter_is_no_way_out() {
    let (dir, outside) = (Dir::new(), Dir::new());
    let target = outside.write("page.own", SOURCE);
    symlink(&target, dir.path("link.own")).unwrap();
    symlink(&outside.0, dir.path("out")).unwrap();
    let server = serving(&dir, &["-i", ".own=/bin/sh"]);
    let paths = ["/link.own", "/link.own/more", "/out/page.own", "/out/page.own/more"];
    for path in paths {
        assert_eq!(get(&server, path).text(), "ran", "{path}");
    }
    let server = serving(&dir, &["-i", ".own=/bin/sh", "-S"]);
    for path in paths {
        assert_eq!(get(&server, path).status, 403, "{path}");
    }
}
