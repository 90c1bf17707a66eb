//! Answers that are kept head and all: the same, to the byte, as those that are made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;
#[path = "common/reloaded.rs"]
mod reloaded;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use common::{Client, Dir, Driver, LOCAL, Process, Running, pattern, settle, soon};
use ecohttpd::{Connection, Options, Request, Result, Server, Status};

const REQUEST: &str = "GET /f.bin HTTP/1.1\r\nHost: h\r\n\r\n";

/// Everything until the end of the connection, without the date.
fn bytes(server: std::net::SocketAddr, request: &str) -> String {
    let mut stream = Client::connect(server).stream;
    stream.write_all(request.as_bytes()).unwrap();
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let text = String::from_utf8(all).unwrap();
    let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: "));
    lines.collect()
}

/// How often more could be said of a response, or in it, that was over.
static TOO_LATE: AtomicU32 = AtomicU32::new(0);

/// Handlers that have done something before they serve a file.
async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    match req.query_string() {
        "reason" => con.set_status_reason(Status::OK, "Fine")?,
        "status" => con.set_status(Status::NOT_FOUND)?,
        "field" => con.add_header("X-Own", "1")?,
        "type" => con.add_header("Content-Type", "text/x-own")?,
        "closes" => con.add_header("Connection", "close")?,
        "length" => con.add_header("Content-Length", "7")?,
        "dated" => con.add_header("Date", "Sat, 01 Jan 2000 00:00:00 GMT")?,
        "before" => con.send("before").await?,
        "waits" => drop(con.read_body().await?),
        "flushed" => {
            con.send("flushed").await?;
            con.flush().await?;
        }
        _ => {}
    }
    con.serve_file(req).await?;
    if req.query_string() == "after" {
        // The response is over. A panic would be nobody's but the connection's.
        if con.send("after").await.is_ok() || con.add_header("X-Late", "1").is_ok() {
            TOO_LATE.fetch_add(1, Relaxed);
        }
    }
    Ok(())
}

#[test]
fn what_was_said_before_a_file_is_served_counts() {
    let dir = Dir::new();
    dir.write("page.txt", "a page");
    dir.write("full.txt", "x".repeat(8192));
    settle();
    for driver in Driver::all() {
        let start = |file_cache: usize| {
            let docroot = dir.0.clone();
            let headers = vec![("X-Always".to_owned(), "1".to_owned())];
            let options = Options { docroot, file_cache, headers, ..Options::default() };
            let make = || Server::new(options).bind(LOCAL);
            Running::start(driver, make, async |server| server.serve(handler).await)
        };
        let (kept, made) = (start(32 << 10), start(0));
        // Whoever asks of files this often finds them kept.
        let mut held = Client::connect(kept.addr);
        for path in ["/page.txt", "/full.txt"].into_iter().cycle().take(6) {
            assert_eq!(held.get(path, "").header("x-always"), Some("1"));
        }
        let cases =
            ["", "reason", "status", "field", "type", "closes", "length", "dated", "before"];
        for query in cases.into_iter().chain(["flushed", "after"]) {
            for head in [
                "HTTP/1.1\r\nHost: h\r\n",
                "HTTP/1.1\r\nHost: h\r\nConnection: close\r\n",
                "HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nExpect: 100-continue\r\n",
                "HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n",
                "HTTP/1.0\r\n",
                "HTTP/1.0\r\nConnection: keep-alive\r\n",
            ] {
                for (method, path) in
                    [("GET", "/page.txt"), ("HEAD", "/page.txt"), ("GET", "/full.txt")]
                {
                    // More than its length, which is seen before there is a head or after it.
                    if (query, path) == ("before", "/full.txt") {
                        continue;
                    }
                    let request = format!("{method} {path}?{query} {head}\r\n");
                    let [kept, made] = [kept.addr, made.addr].map(|addr| bytes(addr, &request));
                    assert!(made.starts_with("HTTP/1.1 "), "{driver:?} {request:?} {made:?}");
                    assert_eq!(kept, made, "{driver:?} {request:?}");
                }
            }
        }
        assert_eq!(held.get("/page.txt", "").body, b"a page");
        assert_eq!(TOO_LATE.load(Relaxed), 0, "{driver:?}");
    }
}

#[test]
fn what_began_by_other_options_has_their_fields() {
    let dir = Dir::new();
    dir.write("page.txt", "a page");
    settle();
    let options = |docroot: &PathBuf, value: &str| Options {
        docroot: docroot.clone(),
        headers: vec![("X-Own".to_owned(), value.to_owned())],
        ..Options::default()
    };
    for driver in Driver::all() {
        let docroot = dir.0.clone();
        let make = move || Server::new(options(&docroot, "one")).bind(LOCAL);
        let server = Running::start(driver, make, async |server| server.serve(handler).await);
        let mut early = Client::connect(server.addr);
        early.send("GET /page.txt?waits HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(early.head().status, 100);
        let docroot = dir.0.clone();
        server.steer(move |handle| {
            let mut successor = handle.successor(options(&docroot, "two"));
            successor.try_keep(0).unwrap();
            handle.replace(successor).unwrap();
        });
        let mut client = Client::connect(server.addr);
        assert!(soon(|| {
            let r = Client::connect(server.addr).get("/page.txt", "");
            r.header("x-own") == Some("two")
        }));
        for _ in 0..4 {
            assert_eq!(client.get("/page.txt", "").header("x-own"), Some("two"));
        }
        early.send("x");
        assert_eq!(early.response("GET").header("x-own"), Some("one"), "{driver:?}");
        assert_eq!(client.get("/page.txt", "").header("x-own"), Some("two"));
        assert_eq!(early.get("/page.txt", "").header("x-own"), Some("two"));
    }
}

#[test]
fn the_date_goes_on() {
    let dir = Dir::new();
    dir.write("f.txt", pattern(1000));
    settle();
    let server = Process::launcher(&["-f", "-p", "127.0.0.1:0", "-h", dir.text()]);
    let mut client = Client::connect(server.addr);
    let mut last = SystemTime::UNIX_EPOCH;
    let mut seen = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(3300) {
        let r = client.get("/f.txt", "");
        let date = httpdate::parse_http_date(r.header("date").unwrap()).unwrap();
        // It is made anew once a second, and told by whole seconds.
        let age = SystemTime::now().duration_since(date).unwrap();
        assert!(date >= last && age < Duration::from_secs(5), "{age:?}");
        seen += usize::from(date != last);
        last = date;
        sleep(Duration::from_millis(20));
    }
    assert!((3..=6).contains(&seen), "{seen} dates in 3.3 s");
}

/// A file that is written makes the Date go on in the middle of a tick, for everybody.
#[test]
fn the_date_never_goes_back() {
    let dir = Dir::new();
    dir.write("f.bin", pattern(1000));
    settle();
    let server = Process::launcher(&["-f", "-p", "127.0.0.1:0", "-h", dir.text()]);
    // Its ticks begin with the first connection, and are to be in the middle of seconds.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    sleep(Duration::from_millis(u64::from(1500 - now.subsec_millis()) % 1000));
    let mut client = Client::connect(server.addr);
    let (mut last, mut early) = (SystemTime::UNIX_EPOCH, 0);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(4200) {
        for path in ["/f.bin", "/new.txt", "/f.bin"] {
            let r = client.get(path, "");
            let date = httpdate::parse_http_date(r.header("date").unwrap()).unwrap();
            assert!(date >= last, "{path}: {date:?} after {last:?}");
            early += usize::from(path == "/new.txt" && date > last);
            last = date;
        }
        dir.write("new.txt", "new");
        sleep(Duration::from_millis(15));
    }
    assert!(early > 0, "no file was ever newer than the Date");
}

#[test]
fn other_options_count_at_once() {
    let mut server = reloaded::Server::start("header X-Own: one\n");
    settle();
    let mut client = server.connect();
    for _ in 0..4 {
        assert_eq!(client.get("/f.txt", "").header("x-own"), Some("one"));
    }
    server.change("home www\nheader X-Own: two\n");
    for _ in 0..4 {
        assert_eq!(client.get("/f.txt", "").header("x-own"), Some("two"));
    }
}

#[test]
fn what_is_kept_is_logged_like_everything() {
    let dir = Dir::new();
    dir.write("f.txt", pattern(1000));
    let log = Dir::new();
    let path = log.path("access.log");
    let text = path.to_str().unwrap();
    settle();
    let server =
        Process::launcher(&["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "--access-log", text]);
    let mut client = Client::connect(server.addr);
    for _ in 0..5 {
        client.get("/f.txt", "");
    }
    let lines = || std::fs::read_to_string(&path).unwrap_or_default();
    assert!(soon(|| lines().lines().count() == 5), "{}", lines());
    assert!(
        lines().lines().all(|line| line.contains("\"GET /f.txt HTTP/1.1\" 200 1000")),
        "{}",
        lines()
    );
}

#[test]
fn whoever_reads_slowly_gets_all_of_it() {
    let dir = Dir::new();
    let content = pattern(8000);
    dir.write("f.bin", &content);
    settle();
    let server = Process::launcher(&["-f", "-p", "127.0.0.1:0", "-h", dir.text()]);
    let mut quick = Client::connect(server.addr);
    for _ in 0..4 {
        assert_eq!(quick.get("/f.bin", "").body, content);
    }
    let mut slow = Client::connect(server.addr);
    // More than sockets hold, so that some answer is cut where it is kept.
    let count = 2000;
    let mut asking = slow.stream.try_clone().unwrap();
    let asks = std::thread::spawn(move || asking.write_all(REQUEST.repeat(count).as_bytes()));
    // Meanwhile its head is made anew.
    for _ in 0..15 {
        assert_eq!(quick.get("/f.bin", "").body, content);
        sleep(Duration::from_millis(100));
    }
    for i in 0..count {
        let r = slow.response("GET");
        assert!(r.status == 200 && r.body == content, "the {i}th");
    }
    asks.join().unwrap().unwrap();
}
