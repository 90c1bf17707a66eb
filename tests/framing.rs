//! What goes on the wire is one whole response, or visibly none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use common::{Client, Dir, Driver, LOCAL, Response, Running};
use ecohttpd::{Connection, Options, Request, Result, Server, Status};

/// More than all buffers on the way take while nobody reads.
const LEN: usize = 8 << 20;

/// The clients to whom no more of it is sent, so that they may begin to read.
static DONE: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());

/// No ASCII, so that text in the midst of it is somebody else's, and hardly to be compressed.
fn noise() -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    NOISE.get_or_init(|| {
        let mut state = 1_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0] | 0x80
        };
        (0..LEN).map(|_| next()).collect()
    })
}

/// Sends much, in one of the ways there are.
async fn send_much(con: &mut Connection, how: &str) -> Result {
    match how {
        "length" => con.add_header("Content-Length", &LEN.to_string())?,
        "gzip" => con.add_header("Content-Type", "text/plain")?,
        _ => {}
    }
    if how.starts_with("file") {
        let path = con.options().docroot.join("noise");
        return con.send_file(path, None, 0).await;
    }
    con.send(noise()).await
}

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    let root = con.options().docroot.clone();
    match req.path() {
        "/beyond" => {
            con.add_header("Content-Length", "60")?;
            con.send(&[b'a'; 60]).await?;
            let _ = con.send(&[b'z'; 9000]).await;
            Ok(())
        }
        "/promise" => {
            con.add_header("Content-Length", "3")?;
            con.send("hello").await
        }
        "/given-up" | "/ignored" => {
            let patience = if req.path() == "/ignored" { 60_000 } else { 50 };
            let much = async { drop(send_much(con, req.query_string()).await) };
            let enough = async {
                smol::Timer::after(Duration::from_millis(patience)).await;
            };
            smol::future::or(much, enough).await;
            DONE.lock().unwrap().insert(con.remote_addr());
            con.send("after").await
        }
        "/much" => send_much(con, req.query_string()).await,
        "/coded" => {
            con.add_header("Content-Type", "text/plain")?;
            con.send(&noise()[..200_000]).await
        }
        "/deaf" => {
            for _ in 0..20 {
                con.send(&[b'x'; 1 << 10]).await?;
            }
            Ok(())
        }
        "/reset" => {
            con.set_status(Status::RESET_CONTENT)?;
            if req.query_string() == "promised" {
                con.add_header("Content-Length", "5")?;
            }
            let len = if req.query_string() == "long" { 20_000 } else { 5 };
            con.send(&[b'x'; 20_000][..len]).await
        }
        "/docs" | "/docs/" => con.serve_path(req, root.join("sub")).await,
        path => con.send(path).await,
    }
}

/// The status of a request that was answered, and the bytes sent, as the access log has them.
type Logged = (Option<u16>, u64);
type Log = mpsc::Receiver<Logged>;

fn logged(log: &Log) -> Logged {
    log.recv_timeout(Duration::from_secs(20)).expect("an entry in the access log")
}

fn start(driver: Driver, options: Options) -> (Running, Log) {
    let (tell, log) = mpsc::channel();
    let make = move || {
        let server = Server::new(options).bind(LOCAL)?;
        Ok(server.access_log(move |access| {
            let _ = tell.send((access.status.map(|status| status.code()), access.sent));
        }))
    };
    (Running::start(driver, make, async |server| server.serve(handler).await), log)
}

/// Under both drivers at once, against a server of its own each.
fn with_server(options: &Options, test: impl Fn(&Running, &Log) + Sync) {
    std::thread::scope(|scope| {
        for driver in Driver::all() {
            let test = &test;
            scope.spawn(move || {
                let (server, log) = start(driver, options.clone());
                test(&server, &log);
            });
        }
    });
}

/// A directory with a file of noise, and one of its own.
fn docroot() -> (Dir, Options) {
    let dir = Dir::new();
    dir.write("noise", noise());
    dir.write("sub/index.html", "the index");
    let gzip = cfg!(feature = "gzip");
    let options = Options { docroot: dir.0.clone(), gzip, ..Options::default() };
    (dir, options)
}

/// Each way to send much at once, under both drivers.
fn with_each_way(options: &Options, test: impl Fn(&Running, &Log, &str) + Sync) {
    let ways: &[&str] = match cfg!(feature = "gzip") {
        true => &["chunked", "length", "file", "gzip"],
        false => &["chunked", "length", "file"],
    };
    std::thread::scope(|scope| {
        for way in ways {
            let test = &test;
            scope.spawn(move || with_server(options, |server, log| test(server, log, way)));
        }
    });
}

/// Reads nothing until no more of what was asked for is sent.
fn wait_until_done(client: &Client) {
    let addr = client.stream.local_addr().unwrap();
    let start = Instant::now();
    while !DONE.lock().unwrap().remove(&addr) {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asks for much and for something else behind it: the head of what comes, the rest up to the end,
/// and what the log says of it.
fn cut_off(server: &Running, log: &Log, path: &str) -> (Response, Vec<u8>, Logged) {
    let mut client = Client::connect(server.addr);
    rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 32 << 10).unwrap();
    client.send(format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n"
    ));
    wait_until_done(&client);
    let head = client.head();
    let mut rest = Vec::new();
    // An end of any kind will do, as long as it is one.
    if let Err(e) = client.stream.read_to_end(&mut rest) {
        assert_eq!(e.kind(), io::ErrorKind::ConnectionReset, "{path}");
    }
    (head, rest, logged(log))
}

/// It has to be seen that this is not all.
fn assert_is_cut_off(path: &str, head: &Response, rest: &[u8]) {
    let tail = rest[rest.len().saturating_sub(40)..].escape_ascii().to_string();
    match (head.header("transfer-encoding"), head.header("content-length")) {
        (Some("chunked"), None) => {
            assert!(!rest.ends_with(b"0\r\n\r\n"), "{path} has a last chunk: {tail}");
        }
        (None, Some(length)) => {
            assert!(rest.len() < length.parse().unwrap(), "{path} seems whole: {tail}");
        }
        other => panic!("{path}: {other:?}"),
    }
    let has = |text: &str| rest.windows(text.len()).any(|window| window == text.as_bytes());
    // Coded content may look like anything.
    if head.header("content-encoding").is_none() {
        assert!(!has("after"), "{path}: something else is in it");
    }
    assert!(!has("HTTP/1.1 "), "{path}: another response is in it");
}

#[test]
fn more_than_was_announced_leaves_a_whole_response() {
    with_server(&Options::default(), |server, _| {
        let mut client = Client::connect(server.addr);
        for method in ["GET", "HEAD", "GET"] {
            let r = client.request(method, "/beyond", "", b"");
            assert_eq!((r.status, r.header("content-length")), (200, Some("60")), "{method}");
            assert_eq!(r.body, if method == "GET" { vec![b'a'; 60] } else { vec![] });
            assert_eq!(client.get("/in/step", "").text(), "/in/step", "{method}");
        }
    });
}

#[test]
fn a_broken_promise_is_answered_with_500() {
    with_server(&Options::default(), |server, _| {
        for method in ["GET", "HEAD"] {
            let mut client = Client::connect(server.addr);
            let r = client.request(method, "/promise", "", b"");
            assert_eq!((r.status, r.header("connection")), (500, Some("close")), "{method}");
            if method == "GET" {
                assert_eq!((r.header("content-length"), r.text()), (Some("0"), ""));
            }
            assert!(client.is_closed(), "{method}");
        }
    });
}

#[test]
fn nothing_follows_a_send_that_was_given_up() {
    let (_dir, options) = docroot();
    with_each_way(&options, |server, log, way| {
        let path = format!("/given-up?{way}");
        let (head, rest, (status, sent)) = cut_off(server, log, &path);
        assert_eq!((head.status, head.header("content-encoding").is_some()), (200, way == "gzip"));
        assert_is_cut_off(&path, &head, &rest);
        assert_eq!(status, Some(200), "{path}");
        assert!(sent <= rest.len() as u64, "{path}: {sent} of {}", rest.len());
    });
}

#[test]
fn nothing_follows_a_send_that_timed_out() {
    let (_dir, options) = docroot();
    with_each_way(&Options { write_timeout: 1, ..options }, |server, log, way| {
        let path = format!("/ignored?{way}");
        let (head, rest, (status, sent)) = cut_off(server, log, &path);
        assert_is_cut_off(&path, &head, &rest);
        assert_eq!(status, Some(200), "{path}");
        assert!(sent <= rest.len() as u64, "{path}: {sent} of {}", rest.len());
    });
}

#[test]
fn a_body_that_ends_with_the_connection_ends_with_a_reset() {
    let (_dir, options) = docroot();
    with_each_way(&options, |server, _, way| {
        if way == "length" {
            return; // which says by itself that it is not whole
        }
        let mut client = Client::connect(server.addr);
        rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 32 << 10).unwrap();
        client.send(format!("GET /given-up?{way} HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n"));
        wait_until_done(&client);
        let end = client.stream.read_to_end(&mut Vec::new());
        assert_eq!(end.map_err(|e| e.kind()), Err(io::ErrorKind::ConnectionReset), "{way}");
    });
}

#[test]
fn who_waits_in_vain_for_100_is_told_of_the_end() {
    with_server(&Options::default(), |server, _| {
        for body in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
            let mut client = Client::connect(server.addr);
            client.send(format!(
                "POST /deaf HTTP/1.1\r\nHost: h\r\n{body}\r\nExpect: 100-continue\r\n\r\n"
            ));
            // Its body may come or not, so nobody could tell where the next request begins.
            let r = client.response("POST");
            assert_eq!((r.status, r.header("connection")), (200, Some("close")), "{body}");
            assert_eq!(r.header("transfer-encoding"), Some("chunked"), "{body}");
            assert_eq!(r.body, [b'x'; 20 << 10], "{body}");
            assert!(client.is_closed(), "{body}");
        }
    });
}

#[test]
fn a_bare_carriage_return_ends_no_line() {
    with_server(&Options::default(), |server, _| {
        for request in [
            "GET / HTTP/1.1\rXHost: h\r\n\r\n",
            "GET / HTTP/1.1\rHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\rHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\0Host: h\r\n\r\n",
            "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n",
            "GET /\r HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\rX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX\r: y\r\n\r\n",
        ] {
            let mut client = Client::connect(server.addr);
            client.send(request);
            assert_eq!(client.response("GET").status, 400, "{request:?}");
            assert!(client.is_closed(), "{request:?}");
        }
    });
}

#[test]
fn reset_content_has_none() {
    with_server(&Options::default(), |server, _| {
        let mut client = Client::connect(server.addr);
        for path in ["/reset", "/reset?long", "/reset?promised"] {
            let r = client.get(path, "");
            assert_eq!((r.status, r.header("content-length")), (205, Some("0")), "{path}");
            assert_eq!(r.header("transfer-encoding"), None, "{path}");
            assert_eq!(client.get("/in/step", "").text(), "/in/step", "{path}");
        }
    });
}

#[test]
fn a_next_request_costs_nobody_the_answer_before_it() {
    noise();
    with_server(&Options { http_keepalive: 0, ..Options::default() }, |server, _| {
        let mut client = Client::connect(server.addr);
        rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 32 << 10).unwrap();
        client.send("GET /much HTTP/1.1\r\nHost: h\r\n\r\n");
        std::thread::sleep(Duration::from_millis(200));
        client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
        let head = client.head();
        assert_eq!(head.header("connection"), Some("close"));
        assert_eq!(usize::from_str_radix(&client.line(), 16).unwrap(), LEN);
        let mut piece = vec![0; 64 << 10];
        for expected in noise().chunks(piece.len()) {
            client.stream.read_exact(&mut piece).unwrap();
            assert!(piece == expected);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(
            (client.line(), client.line(), client.line()),
            ("".into(), "0".into(), "".into())
        );
        assert!(client.is_closed());
    });
}

#[test]
fn a_directory_without_its_slash_is_served_where_the_request_has_one() {
    let (_dir, options) = docroot();
    with_server(&options, |server, _| {
        let mut client = Client::connect(server.addr);
        let r = client.get("/docs?a=b", "");
        assert_eq!((r.status, r.header("location")), (301, Some("/docs/?a=b")));
        let r = client.get("/docs/?a=b", "");
        assert_eq!((r.status, r.header("location"), r.text()), (200, None, "the index"));
    });
}

#[test]
fn the_access_log_counts_what_was_sent() {
    let (_dir, options) = docroot();
    with_server(&options, |server, log| {
        let mut client = Client::connect(server.addr);
        for (method, path) in [
            ("GET", "/small"),
            ("GET", "/deaf"),
            ("GET", "/much?chunked"),
            ("GET", "/much?length"),
            ("GET", "/much?file"),
            ("GET", "/docs/"),
            ("GET", "/docs"),
            ("GET", "/beyond"),
            ("GET", "/reset"),
            ("HEAD", "/small"),
            ("HEAD", "/deaf"),
            ("HEAD", "/much?chunked"),
            ("HEAD", "/much?length"),
            ("HEAD", "/much?file"),
            ("HEAD", "/docs/"),
        ] {
            let r = client.request(method, path, "", b"");
            let entry = (Some(r.status), r.body.len() as u64);
            assert_eq!(logged(log), entry, "{method} {path}");
        }
        // What is sent may be what is compressed.
        let r = client.get("/coded", "Accept-Encoding: gzip\r\n");
        assert_eq!(r.header("content-encoding").is_some(), cfg!(feature = "gzip"));
        assert_eq!(logged(log), (Some(200), r.body.len() as u64));
    });
}
