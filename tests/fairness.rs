//! One client that never pauses does not keep another one waiting.
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
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::{Client, Driver, LOCAL, Running};
use ecohttpd::{Connection, Options, Request, Result, Server};
use rustix::net::sockopt;

/// Requests of the flood that were answered.
static FLOOD: AtomicUsize = AtomicUsize::new(0);

/// Held by each test, so that they do not take each other's time.
static TURN: Mutex<()> = Mutex::new(());

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    match req.path() {
        "/flood" => {
            FLOOD.fetch_add(1, SeqCst);
            con.send("flood").await
        }
        "/read" => {
            let mut n = 0;
            loop {
                match con.read_body().await? {
                    [] => return con.send(&n.to_string()).await,
                    piece => n += piece.len(),
                }
            }
        }
        "/unread" => con.send("unread").await,
        path => con.send(path).await,
    }
}

fn server(driver: Driver) -> Running {
    let options = Options { max_discard: u64::MAX, ..Options::default() };
    let make = || {
        // With much room there is always something to read, so that it takes more than a gap in
        // what arrives to let others through.
        let listener = TcpListener::bind(LOCAL)?;
        sockopt::set_socket_recv_buffer_size(&listener, 4 << 20)?;
        Server::new(options).adopt(listener)
    };
    Running::start(driver, make, async |server| server.serve(handler).await)
}

/// The one in the middle, so that the odd pause of a busy machine decides nothing.
fn median(mut numbers: Vec<usize>) -> usize {
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

/// Sends requests and drops responses until the connection is shut down.
fn flood(stream: &TcpStream) -> [std::thread::JoinHandle<()>; 2] {
    let (mut reader, mut writer) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
    let requests = "GET /flood HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2000);
    [
        std::thread::spawn(move || while writer.write_all(requests.as_bytes()).is_ok() {}),
        std::thread::spawn(move || {
            let mut buf = vec![0; 1 << 20];
            while matches!(reader.read(&mut buf), Ok(1..)) {}
        }),
    ]
}

#[test]
fn a_flood_of_requests_lets_others_through() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for driver in Driver::all() {
        let server = server(driver);
        let flooding = Client::connect(server.addr).stream;
        let threads = flood(&flooding);
        let mut polite = Client::connect(server.addr);
        let start = FLOOD.load(SeqCst);
        // It has to be under way.
        while FLOOD.load(SeqCst) < start + 2000 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let end = Instant::now() + Duration::from_secs(3);
        let mut before = FLOOD.load(SeqCst);
        let mut between = Vec::new();
        while between.len() < 500 && (Instant::now() < end || between.is_empty()) {
            assert_eq!(polite.get("/polite", "").text(), "/polite");
            let now = FLOOD.load(SeqCst);
            between.push(now - before);
            before = now;
        }
        flooding.shutdown(Shutdown::Both).unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let (total, count) = (before - start, between.len());
        assert!(total > 5000, "{driver:?}: that was no flood: {total}");
        let typical = median(between);
        assert!(typical < 300, "{driver:?}: {typical} of {total} responses for one of {count}");
    }
}

#[test]
fn an_upload_in_tiny_chunks_lets_others_through() {
    const CHUNKS: usize = 2_000_000;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let chunks = "1\r\nx\r\n".repeat(10_000);
    for (driver, path) in
        Driver::all().into_iter().flat_map(|driver| [(driver, "/read"), (driver, "/unread")])
    {
        let server = server(driver);
        let mut upload = Client::connect(server.addr);
        let mut polite = Client::connect(server.addr);
        assert_eq!(polite.get("/ready", "").text(), "/ready");
        upload
            .send(format!("POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
        let over = AtomicBool::new(false);
        let ([first, next], answered) = std::thread::scope(|scope| {
            let upload = scope.spawn(|| {
                for _ in 0..CHUNKS / 10_000 {
                    upload.send(&chunks);
                }
                upload.send("0\r\n\r\nGET /in/step HTTP/1.1\r\nHost: h\r\n\r\n");
                let responses = [upload.response("POST"), upload.response("GET")];
                over.store(true, SeqCst);
                responses
            });
            let mut answered = 0;
            while !over.load(SeqCst) {
                assert_eq!(polite.get("/polite", "").text(), "/polite");
                answered += 1;
            }
            (upload.join().unwrap(), answered)
        });
        let expected = if path == "/read" { CHUNKS.to_string() } else { "unread".into() };
        assert_eq!(
            (first.text(), next.text()),
            (expected.as_str(), "/in/step"),
            "{driver:?} {path}"
        );
        assert!(answered > 20, "{driver:?} {path}: {answered} others were answered meanwhile");
    }
}
