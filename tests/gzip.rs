//! Files stored compressed: siblings of others, and such as are there in no other form.
#![cfg(feature = "gzip")]
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
use std::io::{ErrorKind, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use common::{Client, Dir, Driver, LOCAL, Process, Running};
use ecohttpd::{Connection, Options, Request, Result, Server};

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    con.serve_file(req).await
}

fn server(driver: Driver, dir: &Dir, gzip: bool) -> Running {
    let options = Options { docroot: dir.0.clone(), gzip, ..Options::default() };
    Running::start(
        driver,
        || Server::new(options).bind(LOCAL),
        async |server| server.serve(handler).await,
    )
}

/// What the `gzip` command makes of `plain`.
fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut command = Command::new("gzip");
    let command = command.args(["-9nc"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(plain).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    })
}

/// Lines of text, all of them different.
fn text(len: usize) -> Vec<u8> {
    let mut text = String::new();
    for i in 0_u64.. {
        if text.len() >= len {
            break;
        }
        text.push_str(&format!("{i}: of {} sheep, {} jumped\n", i * 7919 % 100_003, i * i % 977));
    }
    text.truncate(len);
    text.into_bytes()
}

/// Bytes that no compressor gains anything from.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn age(dir: &Dir, name: &str, secs: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 - secs);
    File::options().append(true).open(dir.path(name)).unwrap().set_modified(time).unwrap();
}

#[test]
fn siblings_are_chosen_by_their_weights() {
    let dir = Dir::new();
    let plain = text(20_000);
    let names = [("", "identity"), (".br", "br"), (".zst", "zstd"), (".gz", "gzip")];
    let contents = [plain.clone(), b"as if brotli".to_vec(), b"as if zstd".to_vec(), gzip(&plain)];
    for ((suffix, _), content) in names.iter().zip(&contents) {
        dir.write(&format!("page.html{suffix}"), content);
        age(&dir, &format!("page.html{suffix}"), 0);
    }
    dir.write("lone.html", &plain[..200]);
    for option in [false, true] {
        let server = server(Driver::Own, &dir, option);
        let mut client = Client::connect(server.addr);
        let mut tags = Vec::new();
        for (accept, coding) in [
            (None, "identity"),
            (Some(""), "identity"),
            (Some("deflate, compress"), "identity"),
            (Some("gzip"), "gzip"),
            (Some("x-gzip"), "gzip"),
            (Some("GZip"), "gzip"),
            (Some("gzip, deflate, br, zstd"), "br"),
            (Some("gzip, zstd"), "zstd"),
            (Some("*"), "br"),
            (Some("*, br;q=0"), "zstd"),
            (Some("br;q=0.5, zstd;q=0.8, gzip;q=0.7"), "zstd"),
            (Some("br;q=0.001, gzip;q=0.002"), "gzip"),
            (Some("br;q=0, gzip;q=0.0, zstd;q=0.000"), "identity"),
            (Some("gzip;q=0.5, identity;q=0.6"), "identity"),
            (Some("gzip;q=0.5, identity;q=0.5"), "gzip"),
            (Some("br ; Q=1 , gzip"), "br"),
            (Some("br;q=nonsense, gzip;q=0.1"), "gzip"),
            (Some("br;q=2, gzip"), "gzip"),
            (Some("gzip\r\nAccept-Encoding: br"), "br"),
        ] {
            let accept = accept.map(|value| format!("Accept-Encoding: {value}\r\n"));
            let accept = accept.unwrap_or_default();
            let r = client.get("/page.html", &accept);
            let i = names.iter().position(|(_, name)| *name == coding).unwrap();
            assert_eq!(r.status, 200, "{accept}");
            assert_eq!(r.header("content-encoding").unwrap_or("identity"), coding, "{accept}");
            assert!(r.body == contents[i], "{accept}");
            let length = contents[i].len().to_string();
            assert_eq!(r.header("content-length"), Some(&*length), "{accept}");
            assert_eq!(r.header("vary"), Some("Accept-Encoding"), "{accept}");
            assert_eq!(r.header("content-type"), Some("text/html; charset=utf-8"));
            assert_eq!(r.header("accept-ranges"), Some("bytes"));
            let tag = r.header("etag").unwrap().to_owned();
            let head = client.request("HEAD", "/page.html", &accept, b"");
            assert_eq!(
                (head.header("etag"), head.header("content-length")),
                (Some(&*tag), Some(&*length))
            );
            let known = client.get("/page.html", &format!("{accept}If-None-Match: {tag}\r\n"));
            assert_eq!((known.status, known.header("vary")), (304, Some("Accept-Encoding")));
            tags.push(tag);

            // A range is one of the representation that was chosen.
            let r = client.get("/page.html", &format!("{accept}Range: bytes=3-6\r\n"));
            assert_eq!((r.status, &r.body[..]), (206, &contents[i][3..7]), "{accept}");
            assert_eq!(r.header("content-range"), Some(&*format!("bytes 3-6/{length}")));
            assert_eq!(r.header("content-encoding").unwrap_or("identity"), coding);
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 4, "one for each representation: {tags:?}");
        // One tag is no validator for another representation.
        let other = client.get("/page.html", "").header("etag").unwrap().to_owned();
        let headers = format!("Accept-Encoding: gzip\r\nIf-None-Match: {other}\r\n");
        assert_eq!(client.get("/page.html", &headers).status, 200);
        // A cache has to know that also where there is no choice yet.
        let r = client.get("/lone.html", "Accept-Encoding: gzip, br\r\n");
        assert_eq!(
            (r.header("vary"), r.header("content-encoding")),
            (Some("Accept-Encoding"), None)
        );
        // A stored .gz asked for by its own name is just a file.
        let r = client.get("/page.html.gz", "Accept-Encoding: gzip\r\n");
        assert_eq!((r.header("content-encoding"), r.header("vary")), (None, None));
        assert!(r.header("content-type") == Some("application/gzip") && r.body == contents[3]);
    }
}

#[test]
fn a_sibling_older_than_its_file_is_not_used() {
    let dir = Dir::new();
    dir.write("a.js", "new");
    dir.write("a.js.br", "old");
    dir.write("a.js.gz", gzip(b"new"));
    age(&dir, "a.js", 10);
    let server = server(Driver::Own, &dir, false);
    for (br, gz, coding) in [(11, 10, "gzip"), (10, 11, "br"), (11, 11, "none"), (0, 0, "br")] {
        age(&dir, "a.js.br", br);
        age(&dir, "a.js.gz", gz);
        let r = Client::connect(server.addr).get("/a.js", "Accept-Encoding: br, gzip\r\n");
        assert_eq!(r.header("content-encoding").unwrap_or("none"), coding, "{br} {gz}");
        assert_eq!(r.header("vary"), Some("Accept-Encoding"));
    }
}

#[test]
fn what_is_stored_as_gzip_alone_is_inflated() {
    // Also such that end exactly where a buffer or a window does.
    let mut files = vec![("text", text(5_000_000)), ("noise", noise(1_000_000)), ("empty", vec![])];
    for size in [1, 8191, 8192, 8193, 16_384, 32_767, 32_768, 32_769, 65_536, 98_304, 262_144] {
        files.push(("text", text(size)));
        files.push(("noise", noise(size)));
    }
    for driver in Driver::all() {
        let dir = Dir::new();
        for (i, (_, plain)) in files.iter().enumerate() {
            dir.write(&format!("{i}.txt.gz"), gzip(plain));
        }
        dir.write("sub/index.html.gz", gzip(b"an index"));
        let server = server(driver, &dir, true);
        let mut client = Client::connect(server.addr);
        for (i, (kind, plain)) in files.iter().enumerate() {
            let what = format!("{driver:?}: {} bytes of {kind}", plain.len());
            let stored = std::fs::read(dir.path(&format!("{i}.txt.gz"))).unwrap();
            let path = format!("/{i}.txt");
            for accept in ["", "Accept-Encoding: gzip;q=0, br\r\n", "Range: bytes=0-9\r\n"] {
                if plain.len() >= 1_000_000 && !accept.is_empty() {
                    continue;
                }
                let r = client.get(&path, accept);
                assert_eq!((r.status, r.header("content-encoding")), (200, None), "{what}");
                assert!(r.body == *plain, "{what}: {} came", r.body.len());
                assert_eq!(r.header("content-type"), Some("text/plain; charset=utf-8"));
                assert_eq!(r.header("vary"), Some("Accept-Encoding"), "{what}");
                // Made anew each time, so it may not be the same byte for byte.
                assert!(r.header("etag").unwrap().starts_with("W/"), "{what}");
                assert_eq!(r.header("accept-ranges"), None, "{what}");
            }
            let tag = client.get(&path, "Accept-Encoding: gzip\r\n");
            assert!(tag.body == stored && tag.header("content-encoding") == Some("gzip"), "{what}");
            let length = stored.len().to_string();
            assert_eq!(tag.header("content-length"), Some(&*length), "{what}");
            assert!(tag.header("etag").unwrap().starts_with('"'), "{what}");
        }
        let r = client.request("HEAD", "/0.txt", "", b"");
        assert_eq!((r.status, r.header("content-encoding")), (200, None));
        assert_ne!(r.header("content-length"), Some(&*gzip(&files[0].1).len().to_string()));
        let r = client.request("HEAD", "/0.txt", "Accept-Encoding: gzip\r\n", b"");
        assert_eq!((r.status, r.header("content-encoding")), (200, Some("gzip")));
        assert_eq!(client.get("/sub/", "").text(), "an index");
        let mut old = Client::connect(server.addr);
        old.send("GET /1.txt HTTP/1.0\r\n\r\n");
        let r = old.response("GET");
        assert!(r.header("transfer-encoding").is_none() && r.body == files[1].1, "{driver:?}");
        server.stop().unwrap();
        // Without the option there is no such file, only the one that is named .gz.
        let server = self::server(driver, &dir, false);
        for accept in ["", "Accept-Encoding: gzip\r\n"] {
            assert_eq!(Client::connect(server.addr).get("/0.txt", accept).status, 404);
        }
        server.stop().unwrap();
    }
}

#[test]
fn members_and_headers_of_all_kinds_are_inflated() {
    let dir = Dir::new();
    let (a, b) = (text(100_000), noise(50_000));
    let (ga, gb) = (gzip(&a), gzip(&b));
    let both = [&a[..], &b].concat();
    dir.write("members.txt.gz", [&ga[..], &gb].concat());
    dir.write("empties.txt.gz", [&gzip(b"")[..], &ga, &gzip(b""), &gb, &gzip(b"")].concat());
    dir.write("padded.txt.gz", [&ga[..], &gb, &[0; 20_000]].concat());
    // With the name that the command itself puts in; and with an extra field, name and comment.
    dir.write("named.txt", &a);
    let named = dir.path("named.txt");
    assert!(Command::new("gzip").arg(named).status().unwrap().success());
    let mut full = vec![0x1f, 0x8b, 8, 4 | 8 | 16, 1, 2, 3, 4, 0, 3];
    full.extend_from_slice(&1500_u16.to_le_bytes());
    full.extend_from_slice(&[0; 1500]);
    full.extend_from_slice(
        &[b"name.txt\0", "c".repeat(2000).as_bytes(), b"\0", &ga[10..]].concat(),
    );
    dir.write("full.txt.gz", full);
    let server = server(Driver::Own, &dir, true);
    for (path, plain) in [
        ("/members.txt", &both),
        ("/empties.txt", &both),
        ("/padded.txt", &both),
        ("/named.txt", &a),
        ("/full.txt", &a),
    ] {
        let r = Client::connect(server.addr).get(path, "");
        assert_eq!((r.status, r.header("content-encoding")), (200, None), "{path}");
        assert!(r.body == *plain, "{path}: {} of {}", r.body.len(), plain.len());
    }
}

#[test]
fn a_damaged_file_never_ends_like_a_whole_response() {
    let dir = Dir::new();
    let mut wrong = Vec::new();
    for (size, large) in [(5000, false), (300_000, true)] {
        let good = gzip(&text(size));
        let end = good.len();
        let mut damaged = vec![
            good[..end - 1].to_vec(),
            good[..end - 8].to_vec(),
            good[..end - 20].to_vec(),
            good[..end / 2].to_vec(),
            [&good[..], b"and no member"].concat(),
            [&good[..], &good[..15]].concat(),
        ];
        for at in [end - 8, end - 5, end - 4, end - 1, end * 3 / 4] {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            damaged.push(bad);
        }
        for (i, bad) in damaged.iter().enumerate() {
            dir.write(&format!("{size}-{i}.txt.gz"), bad);
        }
        let server = server(Driver::Own, &dir, true);
        for (i, version) in (0..damaged.len()).flat_map(|i| [(i, "1.1"), (i, "1.0")]) {
            let what = format!("{size} bytes, damage {i}, HTTP/{version}");
            let mut client = Client::connect(server.addr);
            client.send(format!("GET /{size}-{i}.txt HTTP/{version}\r\nHost: h\r\n\r\n"));
            let mut got = Vec::new();
            let end = client.stream.read_to_end(&mut got);
            // Begun before the damage was seen, only its end can tell it: no last chunk, or a reset
            // where the end of the connection is that of the body. Before that a status can.
            let reset = end.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset);
            let right = match large && got.starts_with(b"HTTP/1.1 200 ") {
                true if version == "1.1" => !got.ends_with(b"0\r\n\r\n"),
                true => reset,
                false => got.starts_with(b"HTTP/1.1 500 "),
            };
            if !right {
                let start = got[..got.len().min(20)].escape_ascii();
                wrong.push(format!("{what}: {} bytes, {start}, reset: {reset}", got.len()));
            }
        }
        server.stop().unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn more_inflating_than_memory_is_set_aside_for_is_put_off() {
    let dir = Dir::new();
    dir.write("big.txt.gz", gzip(&vec![b'x'; 32 << 20]));
    dir.write("small.txt.gz", gzip(b"small"));
    let server = server(Driver::Own, &dir, true);
    // Who has begun and does not read on holds what it has.
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(server.addr);
        client.send("GET /big.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head().status, 200);
        slow.push(client);
    }
    let r = Client::connect(server.addr).get("/small.txt", "");
    assert_eq!((r.status, r.header("retry-after")), (503, Some("1")));
    let r = Client::connect(server.addr).get("/small.txt", "Accept-Encoding: gzip\r\n");
    assert_eq!((r.status, r.header("content-encoding")), (200, Some("gzip")));
    slow.pop();
    let mut tries = 0;
    while Client::connect(server.addr).get("/small.txt", "").status != 200 {
        tries += 1;
        assert!(tries < 500, "what an aborted response held is not given back");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn curl_gets_the_same_with_and_without_coding() {
    let dir = Dir::new();
    let plain = text(300_000);
    dir.write("both.txt", &plain);
    dir.write("both.txt.gz", gzip(&plain));
    dir.write("stored.txt.gz", gzip(&plain));
    dir.write("plain.txt", &plain);
    let launcher = Process::launcher(&["-f", "-p", "127.0.0.1:0", "--gzip", "-h", dir.text()]);
    for name in ["both.txt", "stored.txt", "plain.txt"] {
        for options in [&["--compressed"][..], &[], &["--compressed", "--http1.0"]] {
            let url = format!("http://{}/{name}", launcher.addr);
            let mut curl = Command::new("curl");
            let curl = curl.args(["-s", "--fail", "--max-time", "20"]).args(options).arg(url);
            let output = curl.output().unwrap();
            assert!(output.status.success(), "{name} {options:?}: {:?}", output.status);
            assert!(output.stdout == plain, "{name} {options:?}: {}", output.stdout.len());
        }
    }
}
