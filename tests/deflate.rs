//! Responses deflated on their way: files, and what handlers send.
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

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{Client, Dir, Driver, LOCAL, Process, Response, Running};
use ecohttpd::{Connection, Options, Request, Result, Server};

/// `/stream` sends `size` bytes of text in pieces of `piece`, with the header lines that the query
/// names besides. `/gated` sends a line at a time, and the next one when the gate has opened for it.
async fn answer(con: &mut Connection, req: &mut Request, gate: &AtomicU32) -> Result {
    let number = |name: &str| req.query_value(name).and_then(|value| value.parse().ok());
    if !matches!(req.path(), "/stream" | "/gated") {
        return con.serve_file(req).await;
    }
    for (name, value) in req.query().filter(|(name, _)| name.contains('-') || name == "etag") {
        con.append_header(&name, &value)?;
    }
    if req.path() == "/stream" {
        let text = text(number("size").unwrap());
        for piece in text.chunks(number("piece").unwrap_or(usize::MAX)) {
            con.send(piece).await?;
        }
        return Ok(());
    }
    for i in 1..=number("lines").unwrap() {
        con.send(&format!("line {i}, of no great length\n")).await?;
        con.flush().await?;
        while gate.load(Ordering::SeqCst) < i as u32 {
            smol::Timer::after(Duration::from_millis(5)).await;
        }
    }
    con.send("the end\n").await
}

fn server(driver: Driver, dir: &Dir, gate: &Arc<AtomicU32>) -> Running {
    let options = Options { docroot: dir.0.clone(), gzip: true, ..Options::default() };
    let gate = gate.clone();
    Running::start(
        driver,
        || Server::new(options).bind(LOCAL),
        async move |server: Server| {
            server.serve(async |con, req| answer(con, req, &gate).await).await
        },
    )
}

/// What the `gzip` command makes of something compressed, and whether it was whole.
fn inflate(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut command = Command::new("gzip");
    command.arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes));
        let output = child.wait_with_output().unwrap();
        (output.stdout, output.status.success())
    })
}

/// Lines of text, all of them different.
fn text(len: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(len + 100);
    for i in 0_u64.. {
        if text.len() >= len {
            break;
        }
        writeln!(text, "{i}: of {} sheep, {} jumped", i * 7919 % 100_003, i * i % 977).unwrap();
    }
    text.truncate(len);
    text
}

fn assert_deflated(r: &Response, plain: &[u8], what: &str) {
    assert_eq!((r.status, r.header("content-encoding")), (200, Some("gzip")), "{what}");
    assert_eq!(r.header("vary"), Some("Accept-Encoding"), "{what}");
    assert_eq!(r.header("content-length"), None, "{what}: it cannot be known");
    let (content, whole) = inflate(&r.body);
    assert!(whole && content == plain, "{what}: {} of {}", content.len(), plain.len());
    assert!(plain.len() < 1000 || r.body.len() < plain.len() / 2, "{what}: {}", r.body.len());
}

const GZIP: &str = "Accept-Encoding: gzip\r\n";

#[test]
fn files_and_streams_are_deflated_and_come_back_the_same() {
    for driver in Driver::all() {
        let dir = Dir::new();
        let sizes = [256, 1000, 8190, 8191, 8192, 8193, 16_384, 16_385, 100_000, 600_000];
        for size in sizes {
            dir.write(&format!("{size}.json"), text(size));
        }
        let server = server(driver, &dir, &Arc::default());
        let mut client = Client::connect(server.addr);
        for size in sizes {
            let plain = text(size);
            let path = format!("/{size}.json");
            let r = client.get(&path, GZIP);
            assert_deflated(&r, &plain, &format!("{driver:?} {path}"));
            assert_eq!(r.header("transfer-encoding"), Some("chunked"));
            // Made anew each time: weak, and no ranges of it.
            let tag = r.header("etag").unwrap();
            assert!(tag.starts_with("W/\"") && r.header("accept-ranges").is_none(), "{r:?}");
            let known = client.get(&path, &format!("{GZIP}If-None-Match: {tag}\r\n"));
            assert_eq!((known.status, known.header("vary")), (304, Some("Accept-Encoding")));
            let head = client.request("HEAD", &path, GZIP, b"");
            for name in ["content-encoding", "content-length", "etag", "vary", "content-type"] {
                assert_eq!(head.header(name), r.header(name), "{path}: {name}");
            }
            let r = client.get(&path, "");
            assert_eq!(r.header("vary"), Some("Accept-Encoding"));
            assert!(r.header("content-encoding").is_none() && r.body == plain, "{path}");
            assert!(r.header("etag").unwrap().starts_with('"'), "{path}");

            // By a handler, in pieces of all kinds: smaller and larger than the buffers.
            for piece in [7, 1000, 8192, 10_000, usize::MAX] {
                if size / piece > 20_000 {
                    continue;
                }
                let path = format!("/stream?size={size}&piece={piece}&content-type=text/plain");
                assert_deflated(&client.get(&path, GZIP), &plain, &format!("{driver:?} {path}"));
            }
        }
        // HTTP/1.0 has no chunks; the end of the connection is that of the response.
        for path in ["/100000.json", "/stream?size=100000&content-type=text/html"] {
            let mut client = Client::connect(server.addr);
            client.send(format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n{GZIP}\r\n"));
            let r = client.response("GET");
            assert_deflated(&r, &text(100_000), path);
            assert_eq!(r.header("transfer-encoding"), None);
            assert_eq!(r.header("connection"), Some("close"));
        }
        server.stop().unwrap();
    }
}

#[test]
fn what_gains_nothing_or_must_not_be_changed_is_not_deflated() {
    let dir = Dir::new();
    let plain = text(50_000);
    for name in ["a.html", "a.png", "a.gz", "a.bin", "a.mp4", "a.zip", "a.woff2"] {
        dir.write(name, &plain);
    }
    dir.write("tiny.html", &plain[..255]);
    let server = server(Driver::Own, &dir, &Arc::default());
    let mut client = Client::connect(server.addr);
    let mut wrong = Vec::new();
    let stream = |size: usize, query: &str| format!("/stream?size={size}&piece=5000&{query}");
    for (path, headers) in [
        ("/tiny.html".into(), GZIP),
        ("/a.png".into(), GZIP),
        ("/a.gz".into(), GZIP),
        ("/a.bin".into(), GZIP),
        ("/a.mp4".into(), GZIP),
        ("/a.zip".into(), GZIP),
        ("/a.woff2".into(), GZIP),
        ("/a.html".into(), ""),
        ("/a.html".into(), "Accept-Encoding: br, zstd, deflate\r\n"),
        ("/a.html".into(), "Accept-Encoding: gzip;q=0\r\n"),
        ("/a.html".into(), "Accept-Encoding: gzip;q=0.3, identity\r\n"),
        (stream(255, "content-type=text/plain"), GZIP),
        (stream(50_000, "content-type=text/plain"), ""),
        (stream(50_000, ""), GZIP),
        (stream(50_000, "content-type=image/png"), GZIP),
        (stream(50_000, "content-type=application/octet-stream"), GZIP),
        (stream(50_000, "content-type=text/event-stream"), GZIP),
        (stream(50_000, "content-type=text/event-stream;%20charset=utf-8"), GZIP),
        // A strong tag is for exactly these bytes.
        (stream(50_000, "content-type=text/plain&etag=%22strong%22"), GZIP),
        (stream(50_000, "content-type=text/plain&cache-control=no-transform"), GZIP),
        (stream(50_000, "content-type=text/plain&cache-control=private,no-transform"), GZIP),
        (stream(50_000, "content-type=text/plain&cache-control=No-Transform"), GZIP),
        (
            stream(
                50_000,
                "content-type=text/plain&cache-control=private&cache-control=no-transform",
            ),
            GZIP,
        ),
    ] {
        let r = client.get(&path, headers);
        let what = format!("{path} {headers}");
        if r.header("content-encoding").is_some() {
            wrong.push(what);
            continue;
        }
        assert!(r.status == 200 && plain.starts_with(&r.body), "{what}: {}", r.status);
        assert!(r.body.len() == 255 || r.body.len() == plain.len(), "{what}: {}", r.body.len());
    }
    assert!(wrong.is_empty(), "deflated: {wrong:#?}");
    // What a handler has coded itself is not coded again.
    let r = client.get(&stream(50_000, "content-type=text/plain&content-encoding=br"), GZIP);
    assert!(r.header("content-encoding") == Some("br") && r.body == plain);
    // Ranges are of what is stored.
    for (range, status, content) in [("0-9", 206, &plain[..10]), ("junk", 200, &plain[..])] {
        let r = client.get("/a.html", &format!("{GZIP}Range: bytes={range}\r\n"));
        assert_eq!((r.status, r.header("content-encoding")), (status, None), "{range}");
        assert!(r.body == content && r.header("etag").unwrap().starts_with('"'), "{range}");
    }
    // And the same do get deflated where nothing speaks against it.
    for query in ["", "&etag=W/%22weak%22", "&cache-control=no-cache", "&vary=Accept-Encoding"] {
        let r = client.get(&stream(50_000, &format!("content-type=text/plain{query}")), GZIP);
        assert_deflated(&r, &plain, query);
    }
}

/// Reads chunks until what they inflate to ends with `end`; all of it so far is in `coded`.
fn read_until(client: &mut Client, coded: &mut Vec<u8>, end: &str) {
    loop {
        let size = usize::from_str_radix(&client.line(), 16).unwrap();
        assert_ne!(size, 0, "the last chunk, before {end:?}");
        let start = coded.len();
        coded.resize(start + size, 0);
        client.stream.read_exact(&mut coded[start..]).unwrap();
        assert_eq!(client.line(), "");
        if inflate(coded).0.ends_with(end.as_bytes()) {
            return;
        }
    }
}

#[test]
fn flushed_lines_arrive_at_once_though_deflated() {
    for driver in Driver::all() {
        let (dir, gate) = (Dir::new(), Arc::<AtomicU32>::default());
        let server = server(driver, &dir, &gate);
        let mut client = Client::connect(server.addr);
        let path = "/gated?lines=5&content-type=text/plain";
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{GZIP}\r\n"));
        let head = client.head();
        assert_eq!(head.header("content-encoding"), Some("gzip"), "{driver:?}");
        let mut coded = Vec::new();
        for i in 1..=5 {
            // The handler waits in the middle of the response, and this line is here.
            read_until(&mut client, &mut coded, &format!("line {i}, of no great length\n"));
            gate.store(i, Ordering::SeqCst);
        }
        read_until(&mut client, &mut coded, "the end\n");
        assert_eq!([client.line(), client.line()], ["0", ""]);
        let (content, whole) = inflate(&coded);
        assert!(whole && content.split(|&b| b == b'\n').count() == 7, "{driver:?}");
        server.stop().unwrap();
    }
}

#[test]
fn one_response_at_a_time_is_deflated() {
    let (dir, gate) = (Dir::new(), Arc::<AtomicU32>::default());
    let plain = text(60_000);
    dir.write("a.html", &plain);
    let server = server(Driver::Own, &dir, &gate);
    let other = || Client::connect(server.addr).get("/a.html", GZIP);
    assert_deflated(&other(), &plain, "before");
    let mut first = Client::connect(server.addr);
    first.send(format!(
        "GET /gated?lines=1&content-type=text/plain HTTP/1.1\r\nHost: h\r\n{GZIP}\r\n"
    ));
    assert_eq!(first.head().header("content-encoding"), Some("gzip"));
    // While that one goes on, others come as they are stored, with all that goes with it.
    for _ in 0..3 {
        let r = other();
        assert_eq!((r.status, r.header("content-encoding")), (200, None));
        assert_eq!(
            (r.header("content-length"), r.header("vary")),
            (Some("60000"), Some("Accept-Encoding"))
        );
        assert!(r.header("etag").unwrap().starts_with('"') && r.body == plain);
        let path = "/stream?size=60000&piece=5000&content-type=text/plain";
        let r = Client::connect(server.addr).get(path, GZIP);
        assert!(r.header("content-encoding").is_none() && r.body == plain);
        assert_eq!(r.header("vary"), Some("Accept-Encoding"));
    }
    gate.store(1, Ordering::SeqCst);
    read_until(&mut first, &mut Vec::new(), "the end\n");
    assert_eq!([first.line(), first.line()], ["0", ""]);
    assert_deflated(&other(), &plain, "after");
}

#[test]
fn a_reader_that_stalls_and_goes_gives_the_compressor_back() {
    let dir = Dir::new();
    // What no socket buffer holds even when it is deflated.
    let mut state = 1_u32;
    let mut digit = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b' ' + (state >> 26) as u8
    };
    dir.write("big.txt", (0..24 << 20).map(|_| digit()).collect::<Vec<_>>());
    let plain = text(60_000);
    dir.write("a.html", &plain);
    let server = server(Driver::Own, &dir, &Arc::default());
    let other = || Client::connect(server.addr).get("/a.html", GZIP);
    let mut slow = Client::connect(server.addr);
    slow.send(format!("GET /big.txt HTTP/1.1\r\nHost: h\r\n{GZIP}\r\n"));
    assert_eq!(slow.head().header("content-encoding"), Some("gzip"));
    let r = other();
    assert!(r.header("content-encoding").is_none() && r.body == plain);
    drop(slow);
    let mut tries = 0;
    while other().header("content-encoding").is_none() {
        tries += 1;
        assert!(tries < 500, "the compressor of an aborted response is not given back");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_deflated(&other(), &plain, "after");
}

#[test]
fn memory_stays_bounded_while_many_fetch_what_compresses() {
    let dir = Dir::new();
    let plain = text(1 << 20).repeat(20);
    dir.write("big.txt", &plain);
    dir.write("small.txt", &plain[..1000]);
    let server = Process::launcher(&["-f", "-p", "127.0.0.1:0", "--gzip", "-h", dir.text()]);
    assert_eq!(Client::connect(server.addr).get("/small.txt", GZIP).status, 200);
    let before = server.status("VmRSS");
    let (addr, plain) = (server.addr, &plain);
    let deflated: usize = std::thread::scope(|scope| {
        let fetch = || {
            let r = Client::connect(addr).get("/big.txt", GZIP);
            let coded = r.header("content-encoding") == Some("gzip");
            let content = if coded { inflate(&r.body).0 } else { r.body };
            assert!(content == *plain, "{} bytes", content.len());
            usize::from(coded)
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(fetch)).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!((1..8).contains(&deflated), "{deflated} of 8 deflated");
    let grown = server.status("VmHWM").saturating_sub(before);
    assert!(grown < 2048, "{grown} KiB more than before");
}
