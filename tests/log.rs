//! The access log of the launcher: its lines, where they go, and that nobody waits for it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use common::{Client, Dir, Process};
use rustix::process::Signal;

/// The fields of a line, as those who read logs take it apart.
fn fields(line: &str) -> Vec<String> {
    assert!(!line.contains(char::is_control), "{line:?}");
    assert!(line.len() < 4096, "{line}");
    let mut fields = vec![String::new()];
    let mut end = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let field = fields.last_mut().unwrap();
        match (c, end) {
            (' ', None) => fields.push(String::new()),
            ('[', None) if field.is_empty() => end = Some(']'),
            ('"', None) if field.is_empty() => end = Some('"'),
            (']' | '"', Some(e)) if c == e => end = None,
            ('\\', _) => field.extend([c, chars.next().unwrap()]),
            _ => field.push(c),
        }
    }
    assert_eq!(end, None, "{line}");
    fields
}

fn lines(text: &str) -> Vec<String> {
    text.split_terminator('\n').map(str::to_owned).collect()
}

/// Waits until `path` has `count` lines, or more, and they end as lines do.
fn logged(path: &Path, count: usize) -> Vec<String> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines = lines(&text);
        if lines.len() >= count && text.ends_with('\n') {
            return lines;
        }
        assert!(Instant::now() < end, "{} of {count} lines", lines.len());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn start(dir: &Dir, destination: &str, more: &[&str]) -> Process {
    let mut args = vec!["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "--access-log", destination];
    args.extend(more);
    Process::launcher(&args)
}

#[test]
fn every_exchange_has_its_line() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let path = dir.path("access.log");
    let server = start(&dir, path.to_str().unwrap(), &[]);
    let mut client = Client::connect(server.addr);
    let first = client.get("/f.txt?a=b", "");
    let tag = format!("If-None-Match: {}\r\n", first.header("etag").expect("an ETag"));
    let missing = client.get("/missing", "").body.len().to_string();
    assert_eq!(client.get("/f.txt", &tag).status, 304);
    assert_eq!(client.get("/f.txt", "Range: bytes=2-4\r\n").status, 206);
    assert_eq!(client.request("HEAD", "/f.txt", "", b"").status, 200);
    client.send("GET /f.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.response("GET").status, 200);
    client.send("GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n");
    let refused = client.response("GET");
    assert_eq!(refused.status, 400);
    let refused = refused.body.len().to_string();
    let lines = logged(&path, 7);
    let expected = [
        ("GET /f.txt?a=b HTTP/1.1", "200", "7"),
        ("GET /missing HTTP/1.1", "404", &*missing),
        ("GET /f.txt HTTP/1.1", "304", "-"),
        ("GET /f.txt HTTP/1.1", "206", "3"),
        ("HEAD /f.txt HTTP/1.1", "200", "-"),
        ("GET /f.txt HTTP/1.0", "200", "7"),
        ("-", "400", if refused == "0" { "-" } else { &*refused }),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, (request, status, bytes)) in lines.iter().zip(expected) {
        let fields = fields(line);
        assert_eq!(fields.len(), 7, "{line}");
        assert_eq!(fields[..3], ["127.0.0.1", "-", "-"], "{line}");
        assert_eq!(fields[4..], [request, status, bytes], "{line}");
        // 22/Nov/2026:22:39:11 +0000, and not long ago.
        let (date, zone) = fields[3].split_once(' ').unwrap();
        assert_eq!(zone, "+0000");
        let date = date.replace('/', " ").replacen(':', " ", 1);
        let date = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
            .iter()
            .find_map(|day| httpdate::parse_http_date(&format!("{day}, {date} GMT")).ok())
            .expect("a date");
        let age = SystemTime::now().duration_since(date).unwrap();
        assert!(age < Duration::from_secs(60), "{line}");
    }
}

#[test]
fn combined_lines_have_referer_and_agent() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let path = dir.path("access.log");
    for format in ["common", "combined"] {
        let _ = std::fs::remove_file(&path);
        let server = start(&dir, path.to_str().unwrap(), &["--log-format", format]);
        let mut client = Client::connect(server.addr);
        client.get("/f.txt", "Referer: http://h/?q=\"a b\"\r\nUser-Agent: Test/1 (X11)\r\n");
        client.get("/f.txt", "");
        let lines = logged(&path, 2);
        if format == "common" {
            assert!(lines.iter().all(|line| fields(line).len() == 7), "{lines:?}");
            continue;
        }
        assert_eq!(fields(&lines[0])[7..], [r#"http://h/?q=\"a b\""#, "Test/1 (X11)"]);
        assert_eq!(fields(&lines[1])[7..], ["-", "-"]);
    }
}

#[test]
fn who_was_let_in_has_a_name() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let other = Dir::new();
    let config = other.write("httpd.conf", "/:user:pass\n");
    let path = other.path("access.log");
    let server = start(&dir, path.to_str().unwrap(), &["-c", config.to_str().unwrap()]);
    let mut client = Client::connect(server.addr);
    // user:pass
    let r = client.get("/f.txt", "Authorization: Basic dXNlcjpwYXNz\r\n");
    assert_eq!(r.status, 200);
    let line = &logged(&path, 1)[0];
    assert_eq!(fields(line)[2], "user", "{line}");
}

#[test]
fn nobody_forges_a_line() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let path = dir.path("access.log");
    let server = start(&dir, path.to_str().unwrap(), &["--log-format", "combined"]);
    let forged = "\" 200 7\n10.0.0.1 - root [22/Nov/2026:22:39:11 +0000] \"GET / HTTP/1.1";
    let mut texts: Vec<Vec<u8>> = vec![
        forged.into(),
        forged.replace('\n', "").into(),
        forged.replace('\n', "\r").into(),
        "\\\" \"\\".into(),
        "\\".into(),
        "\"".into(),
        "\u{85}\u{9b}31m\u{2028}".into(),
        "x".repeat(3000).into(),
        "\"".repeat(3000).into(),
    ];
    texts.extend((0..=255).map(|byte| vec![b'a', byte, b'b']));
    let mut count = 0;
    for text in &texts {
        for (before, after) in [
            (&b"GET /"[..], &b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"[..]),
            (b"GET /f.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\nUser-Agent: ", b"\r\n\r\n"),
            (b"GET /f.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\nReferer: ", b"\r\n\r\n"),
            (
                b"GET /f.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: ",
                b"\r\n\r\n",
            ),
        ] {
            let mut client = Client::connect(server.addr);
            client.send([before, text, after].concat());
            client.response("GET");
            count += 1;
            if count % 10 == 0 {
                logged(&path, count);
            }
        }
    }
    let lines = logged(&path, count);
    assert_eq!(lines.len(), count);
    for line in &lines {
        let fields = fields(line);
        assert_eq!(fields.len(), 9, "{line}");
        assert_eq!(fields[..3], ["127.0.0.1", "-", "-"], "{line}");
    }
    let odd: Vec<_> = lines.iter().filter(|line| line.contains(r"a\xffb")).collect();
    assert!(!odd.is_empty(), "what is no text shows as numbers");
}

#[test]
fn two_thousand_requests_have_two_thousand_lines() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let path = dir.path("access.log");
    let server = start(&dir, path.to_str().unwrap(), &[]);
    let mut client = Client::connect(server.addr);
    for round in 0..20 {
        // No more of them than there is room for, however long the disk takes.
        for i in 0..100 {
            assert_eq!(client.get(&format!("/f.txt?{round}-{i}"), "").status, 200);
        }
        logged(&path, (round + 1) * 100);
    }
    let lines = logged(&path, 2000);
    assert_eq!(lines.len(), 2000);
    for (i, line) in lines.iter().enumerate() {
        let target = format!("GET /f.txt?{}-{} HTTP/1.1", i / 100, i % 100);
        assert_eq!(fields(line)[4], target);
    }
}

#[test]
fn nothing_is_missing_at_the_end() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let path = dir.path("access.log");
    for round in 1..=5 {
        let mut server = start(&dir, path.to_str().unwrap(), &[]);
        let mut client = Client::connect(server.addr);
        for _ in 0..50 {
            client.get("/f.txt", "");
        }
        server.signal(Signal::TERM);
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(lines(&text).len(), round * 50, "and it is appended to");
    }
}

#[test]
fn a_log_is_rotated_and_nothing_is_lost() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let path = dir.path("access.log");
    let server = start(&dir, path.to_str().unwrap(), &[]);
    let addr = server.addr;
    let busy = std::thread::spawn(move || {
        let mut client = Client::connect(addr);
        for i in 0..500 {
            assert_eq!(client.get(&format!("/f.txt?busy-{i}"), "").status, 200);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let mut client = Client::connect(server.addr);
    let mut all = Vec::new();
    for i in 0..5 {
        logged(&path, 1);
        let old = dir.path(&format!("access.log.{i}"));
        std::fs::rename(&path, &old).unwrap();
        server.signal(Signal::HUP);
        let end = Instant::now() + Duration::from_secs(20);
        while !path.exists() {
            assert!(Instant::now() < end, "it is not opened anew");
            std::thread::sleep(Duration::from_millis(5));
        }
        client.get(&format!("/f.txt?next-{i}"), "");
        let next = format!("?next-{i} ");
        while !logged(&path, 1).iter().any(|line| line.contains(&next)) {
            assert!(Instant::now() < end, "the next line is not in the new file");
            std::thread::sleep(Duration::from_millis(5));
        }
        all.push(old);
    }
    busy.join().unwrap();
    all.push(path);
    let end = Instant::now() + Duration::from_secs(20);
    let lines = loop {
        let texts = all.iter().map(|path| std::fs::read_to_string(path).unwrap());
        let lines: Vec<_> = texts.flat_map(|text| lines(&text)).collect();
        if lines.len() >= 505 || Instant::now() > end {
            break lines;
        }
    };
    assert_eq!(lines.len(), 505);
    let busy = lines.iter().filter(|line| line.contains("?busy-"));
    for (i, line) in busy.enumerate() {
        assert!(line.contains(&format!("?busy-{i} ")), "{line}: in their order");
    }
}

#[test]
fn a_file_that_cannot_be_opened_anew_leaves_the_old_one() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let path = dir.path("access.log");
    let mut server = start(&dir, path.to_str().unwrap(), &[]);
    let mut client = Client::connect(server.addr);
    client.get("/f.txt", "");
    logged(&path, 1);
    let old = dir.path("old");
    std::fs::rename(&path, &old).unwrap();
    std::fs::create_dir(&path).unwrap();
    server.signal(Signal::HUP);
    while !server.line().contains("Is a directory") {}
    client.get("/f.txt", "");
    logged(&old, 2);
}

#[test]
fn a_log_that_cannot_be_opened_is_said() {
    let dir = Dir::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ecohttpd"));
    command.args(["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "--access-log", "/nonexistent/log"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/nonexistent/log: there is no such directory"), "{said}");
}
