//! Request bodies that nobody reads, and clients that ask first whether anybody will.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

mod common;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::{Client, Driver, LOCAL, Running, pattern};
use ecohttpd::{Connection, Error, Options, Request, Result, Server, Status};

async fn handler(con: &mut Connection, req: &mut Request, go: &AtomicBool) -> Result {
    match req.path() {
        // Reads once it may.
        "/wait" => {
            while !go.load(Ordering::SeqCst) {
                smol::Timer::after(Duration::from_millis(10)).await;
            }
            let body = con.read_body_to_end(100_000).await?;
            con.send(body).await
        }
        "/peek" => {
            let n = con.read_body().await?.len();
            con.send(&n.to_string()).await
        }
        "/discard" => {
            con.discard_body().await?;
            con.send("discarded").await
        }
        "/refuse" => con.send_error_with(Status::FORBIDDEN, "", "no").await,
        "/fail" => Err(Error::Status(Status::CONFLICT, "no")),
        "/large" => con.send(&pattern(100_000)).await,
        _ => con.send("unread").await,
    }
}

struct Setting {
    addr: SocketAddr,
    paths: mpsc::Receiver<String>,
    go: Arc<AtomicBool>,
}

impl Setting {
    fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// The requests that were handled since the last time.
    fn paths(&self) -> Vec<String> {
        self.paths.try_iter().collect()
    }
}

/// Under both drivers at once, each in a thread of its name, against a server of its own.
fn with_server(options: &Options, test: impl Fn(Setting) + Sync) {
    std::thread::scope(|scope| {
        for driver in Driver::all() {
            let (options, test) = (options.clone(), &test);
            let (tell, paths) = mpsc::channel();
            let go = Arc::new(AtomicBool::new(false));
            let may = go.clone();
            let run = move || {
                let server = Running::start(
                    driver,
                    || Server::new(options).bind(LOCAL),
                    async move |server| {
                        let handler = async |con: &mut Connection, req: &mut Request| {
                            tell.send(req.path().to_owned()).unwrap();
                            handler(con, req, &may).await
                        };
                        server.serve(handler).await
                    },
                );
                test(Setting { addr: server.addr, paths, go });
            };
            let thread = std::thread::Builder::new().name(format!("{driver:?}"));
            thread.spawn_scoped(scope, run).unwrap();
        }
    });
}

fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n")
}

const EXPECT: &str = "Expect: 100-continue\r\nContent-Length: 5";
const EVIL: &str = "GET /evil HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn the_client_is_told_to_continue_when_the_body_is_first_read() {
    with_server(&Options::default(), |it| {
        for expect in [EXPECT, "Expect: 100-Continue\r\nTransfer-Encoding: chunked"] {
            it.go.store(false, Ordering::SeqCst);
            let mut client = it.client();
            client.send(post("/wait", expect));
            client.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let early = client.read(&mut [0; 99]).unwrap_err();
            assert_eq!(early.kind(), ErrorKind::WouldBlock, "nobody reads yet");
            client.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            it.go.store(true, Ordering::SeqCst);
            let interim = client.head();
            assert_eq!((interim.status, interim.reason.as_str()), (100, "Continue"));
            assert!(interim.headers.is_empty());
            client.send(if expect == EXPECT { "hello" } else { "5\r\nhello\r\n0\r\n\r\n" });
            let r = client.response("POST");
            assert_eq!((r.status, r.text(), r.header("connection")), (200, "hello", None));
            assert_eq!(client.get("/", "").text(), "unread");
        }
    });
}

#[test]
fn a_client_that_is_answered_first_is_not_told_to_continue() {
    with_server(&Options::default(), |it| {
        for (path, status, text) in [
            ("/unread", 200, "unread"),
            ("/refuse", 403, "no"),
            ("/fail", 409, ""),
            ("/large", 200, "larger than what is gathered, so that its length is not known"),
        ] {
            let mut client = it.client();
            client.send(post(path, EXPECT));
            let r = client.response("POST");
            assert_eq!(r.status, status, "the first thing that comes is the answer");
            if path != "/large" {
                assert_eq!(r.text(), text, "{path}");
            }
            // Whether the body comes now, nobody knows.
            assert_eq!(r.header("connection"), Some("close"), "{path}");
            client.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let after = client.read(&mut [0; 99]).unwrap();
            assert_eq!(after, 0, "{path}");
        }
    });
}

#[test]
fn only_who_waits_is_told_to_continue() {
    with_server(&Options::default(), |it| {
        it.go.store(true, Ordering::SeqCst);
        // It did not wait.
        let mut client = it.client();
        client.send(post("/wait", EXPECT) + "hello");
        let r = client.response("POST");
        assert_eq!((r.status, r.text()), (200, "hello"));
        assert_eq!(r.header("connection"), None, "all of the body has been read");
        // There is no body to wait with.
        client.send(post("/wait", "Expect: 100-continue\r\nContent-Length: 0"));
        assert_eq!(client.response("POST").status, 200);
        // HTTP/1.0 does not know of it.
        let mut client = it.client();
        client.send(format!("POST /wait HTTP/1.0\r\n{EXPECT}\r\n\r\n"));
        client.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let early = client.read(&mut [0; 99]).unwrap_err();
        assert_eq!(early.kind(), ErrorKind::WouldBlock);
        client.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.send("hello");
        let r = client.response("POST");
        assert_eq!((r.status, r.text()), (200, "hello"));
        // Other expectations cannot be met.
        let mut client = it.client();
        client.send(post("/wait", "Expect: cake"));
        assert_eq!(client.response("POST").status, 417);
    });
}

#[test]
fn an_unread_body_never_becomes_the_next_request() {
    with_server(&Options::default(), |it| {
        let mut client = it.client();
        let n = EVIL.len();
        let length = format!("Content-Length: {n}");
        for path in ["/unread", "/peek", "/large", "/discard"] {
            for (headers, body) in [
                (length.as_str(), EVIL.to_owned()),
                ("Transfer-Encoding: chunked", format!("{n:x}\r\n{EVIL}\r\n0\r\n\r\n")),
                (
                    "Transfer-Encoding: chunked",
                    format!("0\r\nX: y\r\n\r\n{EVIL}").replace("/evil", "/true"),
                ),
            ] {
                client.send(post(path, headers));
                // Whether it is there when the handler answers makes no difference.
                std::thread::sleep(Duration::from_millis(20));
                client.send(&body);
                assert_eq!(client.response("POST").status, 200);
                let mut expected = vec![path];
                if body.ends_with(&EVIL.replace("/evil", "/true")) {
                    assert_eq!(client.response("GET").text(), "unread");
                    expected.push("/true");
                }
                client.send(EVIL.replace("/evil", "/next"));
                assert_eq!(client.response("GET").text(), "unread");
                expected.push("/next");
                assert_eq!(it.paths(), expected, "{path} {headers}");
            }
        }
    });
}

#[test]
fn a_large_unread_body_ends_the_connection() {
    with_server(&Options { max_discard: 10_000, ..Options::default() }, |it| {
        let body = EVIL.repeat(1000);
        let length = format!("Content-Length: {}", body.len());
        let in_chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        for path in ["/unread", "/large", "/refuse", "/fail"] {
            for (headers, body) in
                [(length.as_str(), &body), ("Transfer-Encoding: chunked", &in_chunks)]
            {
                let mut client = it.client();
                client.send(post(path, headers) + body + EVIL);
                let r = client.response("POST");
                if headers == length && path != "/large" {
                    // Known when the head is made, so it says so.
                    assert_eq!(r.header("connection"), Some("close"), "{path}");
                }
                assert!(client.is_closed(), "{path} {headers}");
                assert_eq!(it.paths(), [path]);
            }
        }
        // One that is just small enough does not.
        let mut client = it.client();
        client.send(post("/unread", "Content-Length: 10000") + &"x".repeat(10_000) + EVIL);
        assert_eq!(client.response("POST").header("connection"), None);
        assert_eq!(client.response("GET").text(), "unread");
        assert_eq!(it.paths(), ["/unread", "/evil"]);
    });
}

#[test]
fn discarding_has_the_same_bound() {
    with_server(&Options { max_discard: 10_000, ..Options::default() }, |it| {
        for n in [10_000, 10_001] {
            let body = "x".repeat(n);
            for sent in [
                post("/discard", &format!("Content-Length: {n}")) + &body,
                post("/discard", "Transfer-Encoding: chunked")
                    + &format!("{n:x}\r\n{body}\r\n0\r\n\r\n"),
            ] {
                let mut client = it.client();
                client.send(sent);
                let r = client.response("POST");
                if n == 10_000 {
                    assert_eq!((r.status, r.text()), (200, "discarded"));
                    assert_eq!(client.get("/", "").text(), "unread");
                } else {
                    assert_eq!(r.status, 413);
                    assert!(client.is_closed());
                }
            }
        }
    });
}

#[test]
fn who_is_refused_while_uploading_gets_to_know_why() {
    with_server(&Options::default(), |it| {
        let piece = pattern(1 << 20);
        for (path, status) in [("/refuse", 403), ("/fail", 409), ("/unread", 200)] {
            let mut client = it.client();
            client.send(post(path, &format!("Content-Length: {}", 30 << 20)));
            // All of it, before the answer is looked at: a reset meanwhile would destroy that.
            for _ in 0..30 {
                client.send(&piece);
            }
            let r = client.response("POST");
            assert_eq!((r.status, r.header("connection")), (status, Some("close")), "{path}");
            assert!(client.is_closed(), "{path}");
        }
    });
}

#[test]
fn who_goes_on_without_end_is_cut_off() {
    with_server(&Options { max_connections: 1, ..Options::default() }, |it| {
        let mut client = it.client();
        client.send(post("/refuse", "Content-Length: 9000000000"));
        assert_eq!(client.response("POST").status, 403);
        // The one place there is becomes free although this client neither ends nor closes.
        let mut next = it.client();
        assert_eq!(next.get("/next", "").text(), "unread");
    });
}
