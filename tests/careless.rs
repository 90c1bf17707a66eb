//! Handlers that do not look at errors: a response that was cut off stays so all the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::fs::OpenOptions;
use std::io::Read;

use common::{Client, Dir, Driver, LOCAL, Running, pattern};
use ecohttpd::{Connection, Options, Request, Result, Server};

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    if req.path() == "/next.txt" {
        return con.serve_file(req).await;
    }
    let path = con.options().docroot.join("f.bin");
    let _ = match req.query_string() {
        "send" => con.send_file(path, None, 0).await,
        _ => con.serve_file(req).await,
    };
    Ok(())
}

fn server(driver: Driver, dir: &Dir) -> Running {
    let gzip = cfg!(feature = "gzip");
    let options = Options { docroot: dir.0.clone(), gzip, ..Options::default() };
    Running::start(
        driver,
        || Server::new(options).bind(LOCAL),
        async |server| server.serve(handler).await,
    )
}

#[test]
fn nothing_follows_a_file_that_has_shrunk() {
    let whole = pattern(24 << 20);
    let mut wrong = Vec::new();
    for (driver, path) in
        Driver::all().into_iter().flat_map(|driver| [(driver, "/f.bin"), (driver, "/f.bin?send")])
    {
        let dir = Dir::new();
        let file = dir.write("f.bin", &whole);
        dir.write("next.txt", "the next response");
        let server = server(driver, &dir);
        let mut client = Client::connect(server.addr);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.send("GET /next.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        if client.head().header("transfer-encoding").is_some() {
            assert_eq!(client.line(), "1800000");
        }
        let mut got = vec![0; 100_000];
        client.stream.read_exact(&mut got).unwrap();
        OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap();
        let _ = client.stream.read_to_end(&mut got);
        assert!(got.len() < whole.len(), "{driver:?} {path}: it cannot have had all of it");
        if !whole.starts_with(&got) {
            let tail = got[got.len() - 40..].escape_ascii();
            wrong.push(format!("{driver:?} {path}: ends with {tail}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[cfg(feature = "gzip")]
#[test]
fn a_damaged_file_has_no_last_chunk() {
    let dir = Dir::new();
    let plain: String = (0..40_000).map(|i| format!("line {i}\n")).collect();
    dir.write("good.txt", plain);
    let gzip = std::process::Command::new("gzip").arg("-nk").arg(dir.path("good.txt")).status();
    assert!(gzip.unwrap().success());
    let good = std::fs::read(dir.path("good.txt.gz")).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() - 8] ^= 1;
    let mut wrong = Vec::new();
    for (name, bad) in [("cut.txt", &good[..good.len() / 2]), ("flipped.txt", &flipped)] {
        dir.write(&format!("{name}.gz"), bad);
        let server = server(Driver::Own, &dir);
        let mut client = Client::connect(server.addr);
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
        assert_eq!(client.head().header("transfer-encoding"), Some("chunked"));
        let mut got = Vec::new();
        let _ = client.stream.read_to_end(&mut got);
        assert!(got.len() > 10_000, "{name}: {}", got.len());
        if got.ends_with(b"0\r\n\r\n") {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "ended like whole responses: {wrong:?}");
}
