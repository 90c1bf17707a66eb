//! Files as responses, by the library: whole, in part, and while they change.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use common::{Client, Dir, Driver, LOCAL, Running, pattern};
use ecohttpd::{Connection, Options, Request, Result, Server};

const GIB: u64 = 1 << 30;

fn number(req: &Request, name: &str) -> Option<u64> {
    req.query_value(name).and_then(|value| value.parse().ok())
}

/// `/send` sends files by name: `?file=NAME`, again for more of them, with count and offset for
/// all, and with a Content-Length where one is given. Everything else is served.
async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    if req.path() != "/send" {
        return con.serve_file(req).await;
    }
    if let Some(length) = req.query_value("length") {
        con.add_header("Content-Length", &length)?;
    }
    let text = req.query_value("text").unwrap_or_default().into_owned();
    con.send(&text).await?;
    for (name, value) in req.query().filter(|(name, _)| name == "file") {
        let path: PathBuf = con.options().docroot.join(&*value);
        assert_eq!(name, "file");
        con.send_file(path, number(req, "count"), number(req, "offset").unwrap_or(0)).await?;
        con.send(&text).await?;
    }
    Ok(())
}

fn server(driver: Driver, dir: &Dir) -> Running {
    let options = Options { docroot: dir.0.clone(), ..Options::default() };
    Running::start(
        driver,
        || Server::new(options).bind(LOCAL),
        async |server| server.serve(handler).await,
    )
}

/// All that comes until the end, and whether the end was a reset.
fn rest(client: &mut Client) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    match client.stream.read_to_end(&mut all) {
        Ok(_) => (all, false),
        Err(e) if e.kind() == ErrorKind::ConnectionReset => (all, true),
        Err(e) => panic!("neither an end nor a reset: {e}"),
    }
}

#[test]
fn files_of_every_size_come_whole() {
    for driver in Driver::all() {
        let dir = Dir::new();
        // Around the size of a buffer, of what sendfile is given at once, and well beyond.
        let sizes =
            [0, 1, 255, 8190, 8191, 8192, 8193, 16384, 65_159, 65_161, 260_639, 260_641, 3_000_001];
        for size in sizes {
            dir.write(&format!("{size}.bin"), pattern(size));
        }
        let server = server(driver, &dir);
        let mut client = Client::connect(server.addr);
        for size in sizes {
            let length = size.to_string();
            let path = format!("/{size}.bin");
            let r = client.get(&path, "");
            assert_eq!((r.status, r.reason.as_str()), (200, "OK"));
            assert_eq!(r.header("content-length"), Some(length.as_str()), "{driver:?}");
            assert_eq!(r.header("content-type"), Some("application/octet-stream"));
            assert_eq!(r.header("accept-ranges"), Some("bytes"));
            assert!(r.body == pattern(size), "{driver:?}: {size}");
            let head = client.request("HEAD", &path, "", b"");
            for name in ["content-length", "etag", "last-modified", "content-type", "vary"] {
                assert_eq!(head.header(name), r.header(name), "{name}");
            }

            let r = client.get(&format!("/send?file={size}.bin"), "");
            assert!(r.status == 200 && r.body == pattern(size), "{driver:?}: {size}");
            let small = size <= 8192;
            let expected = (small.then_some(length.as_str()), (!small).then_some("chunked"));
            assert_eq!((r.header("content-length"), r.header("transfer-encoding")), expected);
            let head = client.request("HEAD", &format!("/send?file={size}.bin"), "", b"");
            assert_eq!(head.header("content-length"), r.header("content-length"), "{size}");
        }
        // A client of HTTP/1.0 knows the end by the end.
        for (size, length) in [(8192, Some("8192")), (3_000_001, None)] {
            let mut client = Client::connect(server.addr);
            client.send(format!("GET /send?file={size}.bin HTTP/1.0\r\n\r\n"));
            let r = client.response("GET");
            assert_eq!(
                (r.header("content-length"), r.header("connection")),
                (length, Some("close"))
            );
            assert!(r.header("transfer-encoding").is_none() && r.body == pattern(size));
            assert!(client.is_closed());
        }
        server.stop().unwrap();
    }
}

/// Five GiB, nearly all of it a hole; the bytes at and around 4 GiB tell where they are from.
fn huge(dir: &Dir) {
    let file = File::create(dir.path("huge.bin")).unwrap();
    file.set_len(5 * GIB).unwrap();
    file.write_all_at(b"below 4G", 4 * GIB - 8).unwrap();
    file.write_all_at(b"above 4G", 4 * GIB).unwrap();
    file.write_all_at(b"the end.", 5 * GIB - 8).unwrap();
    file.write_all_at(b"no wrap!", 0).unwrap();
}

#[test]
fn files_are_served_past_4_gib() {
    for driver in Driver::all() {
        let dir = Dir::new();
        huge(&dir);
        let server = server(driver, &dir);
        let mut client = Client::connect(server.addr);
        let head = client.request("HEAD", "/huge.bin", "", b"");
        assert_eq!((head.status, head.header("content-length")), (200, Some("5368709120")));
        for (range, content, answer) in [
            ("4294967296-4294967303", "above 4G", "bytes 4294967296-4294967303/5368709120"),
            ("4294967288-4294967303", "below 4Gabove 4G", "bytes 4294967288-4294967303/5368709120"),
            ("5368709112-", "the end.", "bytes 5368709112-5368709119/5368709120"),
            ("-8", "the end.", "bytes 5368709112-5368709119/5368709120"),
            ("5368709119-9999999999", ".", "bytes 5368709119-5368709119/5368709120"),
        ] {
            let r = client.get("/huge.bin", &format!("Range: bytes={range}\r\n"));
            assert_eq!(
                (r.status, r.text(), r.header("content-range")),
                (206, content, Some(answer))
            );
        }
        let r = client.get("/huge.bin", "Range: bytes=5368709120-\r\n");
        assert_eq!((r.status, r.header("content-range")), (416, Some("bytes */5368709120")));
        let r = client.get("/huge.bin", "Range: bytes=4294967296-4294967300,-4,0-1\r\n");
        assert_eq!(r.status, 206);
        for part in ["\r\n\r\nabove\r\n--", "\r\n\r\nend.\r\n--", "\r\n\r\nno\r\n--"] {
            assert!(r.text().contains(part), "{:?}", r.text());
        }
        // By sendfile too, which takes more than a buffer holds.
        let r = client.get("/huge.bin", "Range: bytes=4294957288-4294977287\r\n");
        assert_eq!(
            (r.status, r.body.len(), &r.body[10_000..10_016]),
            (206, 20_000, &b"below 4Gabove 4G"[..])
        );

        for (query, content) in [
            ("count=8&offset=4294967296", "above 4G"),
            ("offset=5368709112", "the end."),
            ("offset=5368709120", ""),
            ("offset=18446744073709551615", ""),
            ("count=18446744073709551615&offset=5368709116", "end."),
        ] {
            let r = client.get(&format!("/send?file=huge.bin&{query}"), "");
            assert_eq!((r.status, r.text()), (200, content), "{query}");
        }
        let r = client.get("/send?file=huge.bin&count=20000&offset=4294957288", "");
        assert_eq!(r.header("transfer-encoding"), Some("chunked"));
        assert_eq!((r.body.len(), &r.body[10_000..10_016]), (20_000, &b"below 4Gabove 4G"[..]));
    }
}

#[test]
fn a_file_that_shrinks_ends_the_connection_short() {
    let whole = pattern(24 << 20);
    for (driver, path) in
        Driver::all().into_iter().flat_map(|d| [(d, "/f.bin"), (d, "/send?file=f.bin")])
    {
        let dir = Dir::new();
        let file = dir.write("f.bin", &whole);
        dir.write("next.txt", "next");
        let server = server(driver, &dir);
        let mut client = Client::connect(server.addr);
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\n\r\nGET /next.txt HTTP/1.1\r\nHost: h\r\n\r\n"
        ));
        let head = client.head();
        if path == "/f.bin" {
            assert_eq!(head.header("content-length"), Some("25165824"));
        } else {
            assert_eq!(client.line(), "1800000", "one chunk, as long as the file");
        }
        let mut got = vec![0; 100_000];
        client.stream.read_exact(&mut got).unwrap();
        // What is in the sockets' buffers is far less than the file.
        OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap();
        let (more, _) = rest(&mut client);
        got.extend(more);
        assert!(got.len() < whole.len(), "{driver:?} {path}: it cannot have had all of it");
        assert!(whole.starts_with(&got), "{driver:?} {path}: what came is not the file's");
        let r = Client::connect(server.addr).get("/next.txt", "");
        assert_eq!((r.status, r.text()), (200, "next"), "others are served on");
        server.stop().unwrap();
    }
}

#[test]
fn a_file_that_grows_is_sent_as_long_as_announced() {
    let whole = pattern(12 << 20);
    for (driver, path) in
        Driver::all().into_iter().flat_map(|d| [(d, "/f.bin"), (d, "/send?file=f.bin")])
    {
        let dir = Dir::new();
        let file = dir.write("f.bin", &whole);
        let server = server(driver, &dir);
        let mut client = Client::connect(server.addr);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let head = client.head();
        let chunked = head.header("transfer-encoding").is_some();
        if chunked {
            assert_eq!(client.line(), "c00000");
        } else {
            assert_eq!(head.header("content-length"), Some("12582912"));
        }
        let mut got = vec![0; whole.len()];
        let (first, more) = got.split_at_mut(100_000);
        client.stream.read_exact(first).unwrap();
        let mut log = OpenOptions::new().append(true).open(file).unwrap();
        log.write_all(&[b'+'; 1 << 20]).unwrap();
        client.stream.read_exact(more).unwrap();
        assert!(got == whole, "{driver:?} {path}");
        if chunked {
            assert_eq!([client.line(), client.line(), client.line()], ["", "0", ""]);
        }
        let r = client.request("HEAD", "/f.bin", "", b"");
        assert_eq!((r.status, r.header("content-length")), (200, Some("13631488")));
        server.stop().unwrap();
    }
}

#[test]
fn send_file_takes_count_and_offset() {
    for driver in Driver::all() {
        let dir = Dir::new();
        dir.write("abc.txt", "abcdefghij");
        dir.write("big.bin", pattern(100_000));
        let server = server(driver, &dir);
        let mut client = Client::connect(server.addr);
        for (query, content) in [
            ("", "abcdefghij"),
            ("&count=3", "abc"),
            ("&offset=7", "hij"),
            ("&count=3&offset=2", "cde"),
            ("&count=0", ""),
            ("&count=0&offset=5", ""),
            ("&count=100", "abcdefghij"),
            ("&count=100&offset=9", "j"),
            ("&offset=10", ""),
            ("&offset=1000", ""),
            ("&file=abc.txt", "abcdefghijabcdefghij"),
            ("&file=abc.txt&count=2&offset=1&text=-", "-bc-bc-"),
            ("&length=10", "abcdefghij"),
        ] {
            let r = client.get(&format!("/send?file=abc.txt{query}"), "");
            assert_eq!((r.status, r.text()), (200, content), "{driver:?}: {query}");
            let length = content.len().to_string();
            assert_eq!(r.header("content-length"), Some(length.as_str()), "{query}");
        }
        // Larger ones, each a chunk of its own, with what is sent around them in its place.
        let r = client.get("/send?file=big.bin&file=abc.txt&file=big.bin&text=(--)", "");
        let big = pattern(100_000);
        let expected = [b"(--)", &big[..], b"(--)abcdefghij(--)", &big, b"(--)"].concat();
        assert!(
            r.header("transfer-encoding") == Some("chunked") && r.body == expected,
            "{driver:?}"
        );
        let r = client.get("/send?file=big.bin&count=50000&offset=30000", "");
        assert!(r.body == big[30_000..80_000]);
        let r = client.get("/send?file=big.bin&file=big.bin&length=200000", "");
        assert_eq!(
            (r.header("content-length"), r.header("transfer-encoding")),
            (Some("200000"), None)
        );
        assert!(r.body == [&big[..], &big].concat());
        server.stop().unwrap();
    }
}

#[test]
fn a_content_length_that_is_not_kept_closes_the_connection() {
    for driver in Driver::all() {
        let dir = Dir::new();
        dir.write("big.bin", pattern(100_000));
        dir.write("abc.txt", "abc");
        let server = server(driver, &dir);
        for (query, length, most) in [
            ("file=big.bin&length=100001", 100_001, 100_000),
            ("file=abc.txt&length=4", 4, 3),
            ("file=big.bin&length=99999", 99_999, 99_999),
            ("file=big.bin&file=missing&length=100000", 100_000, 100_000),
        ] {
            let mut client = Client::connect(server.addr);
            client.send(format!("GET /send?{query} HTTP/1.1\r\nHost: h\r\n\r\n").repeat(2));
            let head = client.head();
            assert_eq!(
                (head.status, head.header("content-length")),
                (200, Some(&*length.to_string()))
            );
            let (body, _) = rest(&mut client);
            // Not a byte more than promised, and no second response behind it.
            assert!(body.len() <= most, "{driver:?} {query}: {}", body.len());
            assert!(pattern(100_000).starts_with(&body) || body == b"abc", "{driver:?} {query}");
        }
        server.stop().unwrap();
    }
}

#[test]
fn files_that_cannot_be_sent_are_errors_with_a_status() {
    for driver in Driver::all() {
        let dir = Dir::new();
        dir.write("abc.txt", "abc");
        dir.write("big.bin", pattern(100_000));
        let server = server(driver, &dir);
        for (query, status) in [
            ("file=missing", 404),
            ("file=abc.txt/x", 404),
            ("file=.", 403),
            ("file=%2Fdev%2Fnull", 403),
            // The first of them is gathered still, so its error can be told.
            ("file=abc.txt&file=missing", 404),
        ] {
            let r = Client::connect(server.addr).get(&format!("/send?{query}"), "");
            assert_eq!((r.status, r.body.len()), (status, 0), "{driver:?}: {query}");
        }
        // Once the head has gone only the connection's end can tell: no last chunk.
        let mut client = Client::connect(server.addr);
        client.send("GET /send?file=big.bin&file=missing HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head().header("transfer-encoding"), Some("chunked"));
        let (body, _) = rest(&mut client);
        assert!(!body.ends_with(b"0\r\n\r\n"), "{driver:?}: it ended like a whole response");
        server.stop().unwrap();
    }
}

#[test]
fn validators_tell_every_change() {
    let dir = Dir::new();
    let server = server(Driver::Own, &dir);
    let mut client = Client::connect(server.addr);
    let path = dir.write("f.txt", "first");
    let second = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let touch = |time| File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    touch(second + Duration::from_millis(100));
    let first = client.get("/f.txt", "");
    assert_eq!(first.header("last-modified"), Some("Tue, 14 Nov 2023 22:13:20 GMT"));
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "strong: {tag}");
    assert_eq!(
        client.get("/f.txt", "").header("etag"),
        Some(&*tag),
        "the same while nothing changes"
    );
    assert_eq!(client.get("/f.txt", &format!("If-None-Match: {tag}\r\n")).status, 304);

    // The same size in the same second; and a file put in its place with the same time.
    let mut tags = vec![tag.clone()];
    std::fs::write(&path, "again").unwrap();
    touch(second + Duration::from_millis(200));
    let again = client.get("/f.txt", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((again.status, again.text()), (200, "again"));
    assert_eq!(again.header("last-modified"), first.header("last-modified"));
    tags.push(again.header("etag").unwrap().to_owned());
    let other = dir.write("other", "other");
    std::fs::rename(other, &path).unwrap();
    touch(second + Duration::from_millis(200));
    tags.push(client.get("/f.txt", "").header("etag").unwrap().to_owned());
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b"!").unwrap();
    touch(second + Duration::from_millis(200));
    tags.push(client.get("/f.txt", "").header("etag").unwrap().to_owned());
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4, "{tags:?}");

    // A clock was wrong: no time that is still to come (RFC 9110, 8.8.2.1), and none before 1970.
    touch(SystemTime::now() + Duration::from_secs(86_400));
    let r = client.get("/f.txt", "");
    let seconds = |name| httpdate::parse_http_date(r.header(name).unwrap()).unwrap();
    assert!(seconds("last-modified") <= seconds("date"), "{r:?}");
    touch(SystemTime::UNIX_EPOCH - Duration::from_secs(86_400));
    let r = client.get("/f.txt", "");
    assert_eq!(r.header("last-modified"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
}

/// Nothing follows the head, and so it must not wait for that, which is 200 ms.
#[test]
fn a_head_alone_waits_for_nothing() {
    let dir = Dir::new();
    dir.write("large.bin", pattern(100_000));
    for driver in Driver::all() {
        let server = server(driver, &dir);
        let mut client = Client::connect(server.addr);
        let begun = std::time::Instant::now();
        for _ in 0..10 {
            let r = client.request("HEAD", "/send?file=large.bin", "", b"");
            assert_eq!(r.status, 200);
        }
        assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    }
}
