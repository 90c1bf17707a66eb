//! What a handler returns, or promises and does not keep, and what the client gets to see of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

mod common;

use std::io::{self, ErrorKind, Read};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use common::{Client, Driver, LOCAL, Running};
use ecohttpd::{Connection, Error, Options, Request, Result, Server, Status};

/// Every kind of error, by a name for it.
fn error(name: &str) -> Error {
    let os = |errno: rustix::io::Errno| Error::Io(errno.into());
    match name {
        "closed" => Error::Closed,
        "timeout" => Error::Timeout,
        "truncated" => Error::Truncated,
        "malformed" => Error::Malformed("thing"),
        "too-large" => Error::TooLarge("thing"),
        "status" => Error::Status(Status::CONFLICT, "thing"),
        "head-sent" => Error::HeadSent,
        "invalid" => Error::Invalid("thing"),
        "missing" => Error::Io(ErrorKind::NotFound.into()),
        "forbidden" => Error::Io(ErrorKind::PermissionDenied.into()),
        "disk-full" => os(rustix::io::Errno::NOSPC),
        "descriptors" => os(rustix::io::Errno::MFILE),
        "io" => Error::Io(io::Error::other("thing")),
        "network" => Error::Network(ErrorKind::BrokenPipe.into()),
        other => panic!("{other}"),
    }
}

/// Those that are answered, and how.
const ANSWERED: [(&str, u16); 11] = [
    ("timeout", 408),
    ("truncated", 400),
    ("malformed", 400),
    ("too-large", 413),
    ("status", 409),
    ("invalid", 500),
    ("missing", 404),
    ("forbidden", 403),
    ("disk-full", 507),
    ("descriptors", 503),
    ("io", 500),
];

const UNANSWERED: [&str; 3] = ["closed", "head-sent", "network"];

/// How often a response that was over was found to be.
static REFUSED_TWICE: AtomicU32 = AtomicU32::new(0);

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    let (what, rest) = req.path().strip_prefix('/').unwrap().split_once('/').unwrap();
    match what {
        // Before the head is out, however much has been said by then.
        "early" => {
            con.set_status(Status::CREATED)?;
            con.add_header("X-Secret", "1")?;
            con.add_header("Content-Length", "1000")?;
            con.send("secret").await?;
            Err(error(rest))
        }
        "late" => {
            con.send("part").await?;
            con.flush().await?;
            Err(error(rest))
        }
        // Content-Length: PROMISE, and then one piece for each further word.
        "promise" => {
            let mut words = rest.split('/');
            con.add_header("Content-Length", words.next().unwrap())?;
            for word in words {
                match word {
                    "flush" => con.flush().await?,
                    word => con.send(&word).await?,
                }
            }
            Ok(())
        }
        "large" => {
            con.add_header("Content-Length", "5")?;
            let sent = con.send(&[b'x'; 100_000]).await;
            assert!(matches!(sent, Err(Error::Invalid(_))), "{sent:?}");
            sent
        }
        "bodiless" => {
            con.set_status(Status::new(rest.parse().unwrap())?)?;
            con.send("nobody sees this").await
        }
        "twice" => {
            con.send_error_with(Status::GONE, "", "gone").await?;
            let again = con.send_error(Status::NOT_FOUND).await;
            let more = con.send("more").await;
            // A panic would be nobody's but the connection's, which has its answer.
            if matches!((&again, &more), (Err(Error::HeadSent), Err(Error::HeadSent))) {
                REFUSED_TWICE.fetch_add(1, Relaxed);
            }
            more
        }
        _ => con.send(req.path()).await,
    }
}

fn with_server(options: Options, test: impl Fn(std::net::SocketAddr)) {
    for driver in Driver::all() {
        let options = options.clone();
        let server = Running::start(
            driver,
            || Server::new(options).bind(LOCAL),
            async |server| server.serve(handler).await,
        );
        test(server.addr);
        assert_eq!(Client::connect(server.addr).get("/still/here", "").text(), "/still/here");
    }
}

/// All that answers `path` and a request pipelined behind it, and how that ended.
fn raw(addr: std::net::SocketAddr, path: &str, version: &str) -> (String, io::Result<()>) {
    let mut client = Client::connect(addr);
    client.send(format!(
        "GET {path} {version}\r\nHost: h\r\n\r\nGET /next/one {version}\r\nHost: h\r\n\r\n"
    ));
    let mut bytes = Vec::new();
    let end = client.stream.read_to_end(&mut bytes).map(|_| ());
    (String::from_utf8(bytes).unwrap(), end)
}

#[test]
fn errors_before_the_head_are_answered_by_their_status_alone() {
    with_server(Options::default(), |addr| {
        for (name, status) in ANSWERED {
            let mut client = Client::connect(addr);
            let r = client.get(&format!("/early/{name}"), "");
            assert_eq!((r.status, r.text()), (status, ""), "{name}");
            assert_eq!(r.reason, Status::new(status).unwrap().reason(), "{name}");
            assert_eq!(r.header("connection"), Some("close"), "{name}");
            assert_eq!(r.header("content-length"), Some("0"), "{name}");
            assert_eq!(r.header("x-secret"), None, "{name}");
            let retry = (status == 503).then_some("1");
            assert_eq!(r.header("retry-after"), retry, "{name}");
            assert!(client.is_closed(), "{name}");
        }
    });
}

#[test]
fn errors_without_a_status_close_without_an_answer() {
    with_server(Options::default(), |addr| {
        for name in UNANSWERED {
            let (answer, end) = raw(addr, &format!("/early/{name}"), "HTTP/1.1");
            assert_eq!(answer, "", "{name}");
            end.unwrap();
        }
    });
}

#[test]
fn error_pages_name_the_status() {
    with_server(Options { error_pages: true, ..Options::default() }, |addr| {
        for (name, status) in ANSWERED {
            let r = Client::connect(addr).get(&format!("/early/{name}"), "");
            let title = format!("<h1>{}</h1>", Status::new(status).unwrap());
            assert_eq!(r.status, status);
            assert!(r.text().contains(&title), "{}", r.text());
            assert_eq!(r.header("content-type"), Some("text/html; charset=utf-8"));
        }
    });
}

#[test]
fn an_error_after_the_head_leaves_the_body_visibly_unfinished() {
    with_server(Options::default(), |addr| {
        for name in ANSWERED.map(|(name, _)| name).iter().chain(&UNANSWERED) {
            let (answer, _) = raw(addr, &format!("/late/{name}"), "HTTP/1.1");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{name}: {head}");
            assert!(head.contains("\r\nTransfer-Encoding: chunked"), "{name}: {head}");
            assert_eq!(body, "4\r\npart\r\n", "{name}: no last chunk");

            // Where the end of the connection would be that of the body, it must not look like one.
            let (answer, end) = raw(addr, &format!("/late/{name}"), "HTTP/1.0");
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{name}: {answer}");
            assert!(answer.ends_with("\r\n\r\npart"), "{name}: {answer}");
            assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset, "{name}");
        }
    });
}

#[test]
fn a_promise_that_is_kept_keeps_the_connection() {
    with_server(Options::default(), |addr| {
        let mut client = Client::connect(addr);
        for path in [
            "/promise/6/abc/def",
            "/promise/6/flush/abc/flush/def/flush",
            "/promise/6/abcdef/flush",
        ] {
            let r = client.get(path, "");
            assert_eq!((r.header("content-length"), r.text()), (Some("6"), "abcdef"), "{path}");
            assert_eq!(r.header("connection"), None);
        }
        assert_eq!(client.get("/promise/0", "").text(), "");
        // What GET would bring is said, and nothing brought.
        let r = client.request("HEAD", "/promise/6", "", b"");
        assert_eq!((r.status, r.header("content-length")), (200, Some("6")));
        assert_eq!(client.get("/next/one", "").text(), "/next/one");
    });
}

#[test]
fn a_promise_that_is_broken_ends_the_connection_there() {
    with_server(Options::default(), |addr| {
        for (path, length, most) in [
            ("/promise/6/abc", 6, "abc"),
            ("/promise/6/flush", 6, ""),
            ("/promise/6/abc/flush", 6, "abc"),
            ("/promise/9/abc/flush/def/flush", 9, "abcdef"),
            ("/promise/3/ab/flush/cdef", 3, "ab"),
            ("/promise/3/abc/flush/def", 3, "abc"),
        ] {
            let (answer, _) = raw(addr, path, "HTTP/1.1");
            // What was promised, up to where it was broken; and what follows is not taken for the
            // rest of it.
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("\r\nContent-Length: {length}")), "{path}: {head}");
            assert_eq!(body, most, "{path}");
        }
        // Where that is known before the head is out, the client is told.
        for path in ["/promise/3/abcdef", "/large/"] {
            let (answer, end) = raw(addr, path, "HTTP/1.1");
            assert!(answer.starts_with("HTTP/1.1 500 "), "{path}: {answer}");
            assert!(answer.contains("\r\nContent-Length: 0\r\n"), "{path}: {answer}");
            assert!(answer.ends_with("\r\n\r\n"), "{path}: {answer}");
            end.unwrap();
        }
    });
}

#[test]
fn statuses_without_content_have_none() {
    with_server(Options::default(), |addr| {
        let mut client = Client::connect(addr);
        for status in [204, 304] {
            let r = client.get(&format!("/bodiless/{status}"), "");
            assert_eq!((r.status, r.header("transfer-encoding")), (status, None));
            assert_eq!(client.get("/next/one", "").text(), "/next/one", "after {status}");
        }
        let r = client.get("/bodiless/299", "");
        assert_eq!((r.status, r.reason.as_str(), r.text()), (299, "", "nobody sees this"));
    });
}

#[test]
fn a_response_that_is_over_stays_over() {
    with_server(Options::default(), |addr| {
        let (answer, end) = raw(addr, "/twice/", "HTTP/1.1");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 410 Gone\r\n"), "{head}");
        assert_eq!(body, "gone");
        end.unwrap();
        assert_eq!(REFUSED_TWICE.swap(0, Relaxed), 1);
    });
}
