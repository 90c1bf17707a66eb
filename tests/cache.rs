//! Files that are kept for a moment: served as every other, changed as every other, and let go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::fs::{Permissions, read_dir, read_link};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Client, Dir, Process, Response, pattern, settle, soon};

fn launcher(dir: &Dir, more: &[&str]) -> Process {
    Process::launcher(&[&["-f", "-p", "127.0.0.1:0", "-h", dir.text()], more].concat())
}

/// The files below `dir` that a server has open.
fn open_files(server: &Process, dir: &Dir) -> usize {
    let fds = read_dir(format!("/proc/{}/fd", server.child.id())).unwrap();
    let open = fds.filter_map(|fd| read_link(fd.ok()?.path()).ok());
    open.filter(|path| path.starts_with(&dir.0)).count()
}

/// All of a response but its date.
fn facts(response: &Response) -> (u16, Vec<(String, String)>, &[u8]) {
    let headers = response.headers.iter().filter(|(name, _)| name != "date").cloned();
    (response.status, headers.collect(), &response.body)
}

#[test]
fn what_is_kept_is_served_as_if_it_were_not() {
    let dir = Dir::new();
    dir.write("page.html", pattern(1024));
    dir.write("small.png", b"x");
    dir.write("full.bin", pattern(8192));
    dir.write("large.bin", pattern(100_000));
    dir.write("empty.txt", b"");
    dir.write("packed.js", pattern(2000));
    dir.write("packed.js.gz", b"\x1f\x8b packed");
    dir.write("sub/index.html", b"an index");
    let only = dir.write("only.js", pattern(3000));
    assert!(Command::new("gzip").arg(only).status().unwrap().success());
    let rule = r#"["if", ["eq", "REQUEST_URI", "/ruled"],
        [["add-header", "X-Rule", "1"], ["rewrite", "/page.html"]]]"#;
    let rules = dir.write("rules.json", format!("{{\"request\": [[{rule}]]}}"));
    settle();
    let rules = rules.to_str().unwrap();
    for more in [&["-z", "X-Own: 1"][..], &["--gzip"], &["-H", rules, "-E", "/page.html"]] {
        is_served_as_if_it_were_not(&dir, more);
    }
}

fn is_served_as_if_it_were_not(dir: &Dir, more: &[&str]) {
    let kept = launcher(dir, more);
    let fresh = launcher(dir, &[more, &["--file-cache", "0"]].concat());
    let page = Client::connect(fresh.addr).get("/page.html", "");
    let (etag, date) = (page.header("etag").unwrap(), page.header("last-modified").unwrap());
    let requests = [
        // Twice, so that it is kept for this first.
        ("GET", "/ruled", String::new()),
        ("GET", "/ruled", String::new()),
        ("GET", "/page.html", String::new()),
        ("GET", "/ruled", String::new()),
        ("HEAD", "/page.html", String::new()),
        ("GET", "/page.html", "Range: bytes=10-19\r\n".into()),
        ("GET", "/page.html", "Range: bytes=2000-\r\n".into()),
        ("GET", "/page.html", format!("If-None-Match: {etag}\r\n")),
        ("GET", "/page.html", "If-None-Match: \"other\"\r\n".into()),
        ("GET", "/page.html", "If-Match: \"other\"\r\n".into()),
        ("GET", "/page.html", format!("If-Modified-Since: {date}\r\n")),
        ("GET", "/page.html", "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT\r\n".into()),
        ("GET", "/page.html", "If-Range: \"other\"\r\nRange: bytes=1-2\r\n".into()),
        ("GET", "/page.html", "Accept-Encoding: gzip, br, zstd\r\n".into()),
        ("GET", "/page.html", "Accept-Encoding: gzip, deflate\r\nUser-Agent: x\r\n".into()),
        ("GET", "/page.html", "Accept-Encoding: identity\r\n".into()),
        ("GET", "/page.html", "Accept-Encoding: gzip;q=0, *\r\n".into()),
        ("GET", "/page.html", "Connection: close\r\n".into()),
        ("POST", "/page.html", String::new()),
        ("GET", "/small.png", String::new()),
        ("GET", "/small.png", "Accept-Encoding: gzip\r\n".into()),
        ("GET", "/full.bin", String::new()),
        ("GET", "/large.bin", String::new()),
        ("GET", "/large.bin", "Range: bytes=-7\r\n".into()),
        ("GET", "/empty.txt", String::new()),
        ("GET", "/packed.js", "Accept-Encoding: gzip\r\n".into()),
        ("GET", "/packed.js", String::new()),
        ("GET", "/packed.js", "Accept-Encoding: br\r\n".into()),
        ("GET", "/packed.js", "Accept-Encoding: br, *;q=0.5\r\n".into()),
        ("GET", "/packed.js.gz", String::new()),
        ("GET", "/only.js.gz", String::new()),
        ("GET", "/only.js.gz", String::new()),
        ("GET", "/only.js", String::new()),
        ("GET", "/only.js", "Accept-Encoding: gzip\r\n".into()),
        ("GET", "/sub/", String::new()),
        ("GET", "/sub/index.html", String::new()),
        ("GET", "/sub", String::new()),
        ("GET", "/page.html/", String::new()),
        ("GET", "/missing", String::new()),
    ];
    for round in 0..3 {
        for (method, path, fields) in &requests {
            let ask =
                |server: &Process| Client::connect(server.addr).request(method, path, fields, b"");
            let (kept, fresh) = (ask(&kept), ask(&fresh));
            assert_eq!(facts(&kept), facts(&fresh), "round {round}: {method} {path} {fields:?}");
        }
    }
}

#[test]
fn a_change_is_seen_within_a_second_or_with_no_cache_at_once() {
    let dir = Dir::new();
    for (more, patience) in [(&[][..], 3000), (&["--file-cache", "0"], 0)] {
        dir.write("page.html", b"old content");
        let server = launcher(&dir, more);
        let mut client = Client::connect(server.addr);
        let changes: [(&dyn Fn(), u16, &str); 5] = [
            (&|| drop(dir.write("page.html", "new content")), 200, "new content"),
            (
                &|| {
                    dir.write("next.html", b"replacement");
                    std::fs::rename(dir.path("next.html"), dir.path("page.html")).unwrap();
                },
                200,
                "replacement",
            ),
            (&|| std::fs::remove_file(dir.path("page.html")).unwrap(), 404, ""),
            (&|| drop(dir.write("page.html", "here again")), 200, "here again"),
            (
                &|| {
                    let mode = Permissions::from_mode(0o640);
                    std::fs::set_permissions(dir.path("page.html"), mode).unwrap();
                },
                403,
                "",
            ),
        ];
        for (change, status, text) in changes {
            settle();
            for _ in 0..5 {
                client.get("/page.html", "");
            }
            change();
            let began = Instant::now();
            loop {
                let now = client.get("/page.html", "");
                if now.status == status && (status != 200 || now.text() == text) {
                    break;
                }
                assert!(
                    began.elapsed() < Duration::from_millis(patience),
                    "{more:?}: {} and not {status} {text:?}",
                    now.status
                );
                sleep(Duration::from_millis(50));
            }
        }
        std::fs::set_permissions(dir.path("page.html"), Permissions::from_mode(0o644)).unwrap();
    }
}

#[test]
fn a_sibling_is_seen_within_a_second() {
    let dir = Dir::new();
    dir.write("page.html", b"plain");
    settle();
    let server = launcher(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for fields in ["Accept-Encoding: gzip\r\n", "", "Accept-Encoding: gzip\r\n"] {
        assert_eq!(client.get("/page.html", fields).text(), "plain");
    }
    // With the patience of a slow machine, but before everything is read again anyway.
    let mut is_seen = |text: &str| {
        let began = Instant::now();
        while client.get("/page.html", "Accept-Encoding: gzip\r\n").text() != text {
            assert!(began.elapsed() < Duration::from_secs(3), "{text} is not seen");
            sleep(Duration::from_millis(50));
        }
        assert_eq!(client.get("/page.html", "").text(), "plain");
    };
    dir.write("page.html.gz", b"packed");
    is_seen("packed");
    std::fs::remove_file(dir.path("page.html.gz")).unwrap();
    is_seen("plain");
}

#[test]
fn nothing_is_kept_for_long() {
    let dir = Dir::new();
    for i in 0..30 {
        dir.write(&format!("{i}.txt"), b"content");
    }
    let server = launcher(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for i in (0..30).chain(0..30) {
        assert_eq!(client.get(&format!("/{i}.txt"), "").text(), "content");
        assert!(open_files(&server, &dir) <= 8);
    }
    assert!(open_files(&server, &dir) > 0, "something is kept");
    assert!(soon(|| open_files(&server, &dir) == 0), "while somebody is connected");
    client.get("/1.txt", "");
    client.get("/1.txt", "");
    assert_eq!(open_files(&server, &dir), 1);
    drop(client);
    assert!(soon(|| open_files(&server, &dir) == 0), "and when nobody is");
}

#[test]
fn a_link_that_leads_out_later_is_not_followed() {
    let dir = Dir::new();
    dir.write("root/page.html", b"inside");
    dir.write("secret.html", b"outside");
    let root = dir.path("root");
    let server =
        Process::launcher(&["-f", "-p", "127.0.0.1:0", "-S", "-h", root.to_str().unwrap()]);
    let mut client = Client::connect(server.addr);
    for _ in 0..5 {
        assert_eq!(client.get("/page.html", "").text(), "inside");
    }
    // The very same file, by a link to where it is now: only its path tells.
    std::fs::rename(root.join("page.html"), dir.path("moved.html")).unwrap();
    symlink(dir.path("moved.html"), root.join("page.html")).unwrap();
    let began = Instant::now();
    while client.get("/page.html", "").status != 403 {
        assert!(began.elapsed() < Duration::from_secs(3), "it is still followed");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn nothing_is_cut_to_what_it_was_before() {
    let dir = Dir::new();
    dir.write("large.bin", pattern(20_000));
    let server = launcher(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for size in [20_000, 30_000, 10_000] {
        dir.write("large.bin", pattern(size));
        for _ in 0..2 {
            assert_eq!(client.get("/large.bin", "").body, pattern(size));
        }
        settle();
        assert_eq!(client.get("/large.bin", "").body, pattern(size));
    }
}

#[test]
fn what_is_said_is_of_what_is_sent() {
    let dir = Dir::new();
    let server = launcher(&dir, &["--gzip"]);
    let mut client = Client::connect(server.addr);
    let plain = "old content, ".repeat(200);
    for (change, size) in [("NEW CONTENT, ".repeat(200), 2600), (String::new(), 0)] {
        dir.write("page.html", &plain);
        settle();
        let etag = (0..4).map(|_| client.get("/page.html", "")).last().unwrap();
        let etag = etag.header("etag").unwrap().to_owned();
        dir.write("page.html", &change);
        let began = Instant::now();
        // At any time each answer is of the one file or of the other.
        while began.elapsed() < Duration::from_millis(2500) {
            for fields in [
                "Range: bytes=0-19\r\n".to_owned(),
                format!("Range: bytes=0-19\r\nIf-Range: {etag}\r\n"),
                "Range: bytes=0-9,20-29\r\n".to_owned(),
                "Accept-Encoding: gzip\r\n".to_owned(),
                String::new(),
            ] {
                let answer = client.get("/page.html", &fields);
                assert!(matches!(answer.status, 200 | 206 | 416), "{fields}: {answer:?}");
                let tag = answer.header("etag").unwrap_or("").trim_start_matches("W/");
                let is_old = tag == etag;
                let coded = answer.header("content-encoding").is_some();
                let old = answer.body.windows(3).any(|it| it == b"old");
                let new = answer.body.windows(3).any(|it| it == b"NEW");
                if coded || answer.status == 416 {
                    continue;
                }
                assert!(!(is_old && new) && (is_old || !old), "{fields}: {answer:?}");
                if !is_old && answer.status == 200 {
                    assert_eq!(answer.body.len(), size);
                }
            }
        }
    }
}

#[test]
fn a_file_that_is_being_written_is_never_late() {
    let dir = Dir::new();
    let server = launcher(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for i in 0..100 {
        // Some of one size and, for many of them, of one tick of the file system's clock.
        let text = "x".repeat(i / 5) + &i.to_string();
        dir.write("state.json", &text);
        assert_eq!(client.get("/state.json", "").text(), text);
    }
}
