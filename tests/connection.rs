//! Connections: how long they live, who ends them, and how little the others notice of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use common::{Client, Driver, LOCAL, Running, pattern};
use ecohttpd::{Connection, Options, Request, Result, Server};

/// 20 MiB, far more than all buffers on the way.
fn big() -> &'static [u8] {
    static BIG: OnceLock<Vec<u8>> = OnceLock::new();
    BIG.get_or_init(|| pattern(20 << 20))
}

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    match req.path() {
        "/big" => con.send(big()).await,
        "/echo" => {
            let body = con.read_body_to_end(1 << 20).await?;
            con.send(body).await
        }
        "/stream" => {
            con.send("one ").await?;
            con.flush().await?;
            con.send("two").await
        }
        "/close" => {
            con.add_header("Connection", "close")?;
            con.send("bye").await
        }
        path => con.send((req.method(), " ", path)).await,
    }
}

/// Under both drivers at once, each in a thread of its name, against a server of its own.
fn with_server(options: &Options, test: impl Fn(&Running) + Sync) {
    big();
    std::thread::scope(|scope| {
        for driver in Driver::all() {
            let (options, test) = (options.clone(), &test);
            let run = move || {
                test(&Running::start(
                    driver,
                    || Server::new(options).bind(LOCAL),
                    async |server| server.serve(handler).await,
                ));
            };
            let thread = std::thread::Builder::new().name(format!("{driver:?}"));
            thread.spawn_scoped(scope, run).unwrap();
        }
    });
}

/// All that comes until the end of the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_thousand_pipelined_requests_are_answered_in_their_order() {
    with_server(&Options::default(), |server| {
        let mut client = Client::connect(server.addr);
        let mut all = String::new();
        for i in 0..1000 {
            // This body is read, that one is not, and both look like requests.
            let evil = format!("GET /evil{i:03} HTTP/1.1\r\n\r\n");
            let n = evil.len();
            all += &match i % 4 {
                0 => format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {n}\r\n\r\n{evil}"),
                1 => format!("POST /{i} HTTP/1.1\r\nHost: h\r\nContent-Length: {n}\r\n\r\n{evil}"),
                2 => format!("HEAD /{i} HTTP/1.1\r\nHost: h\r\n\r\n"),
                _ => format!("GET /{i} HTTP/1.1\r\nHost: h\r\n\r\n"),
            };
        }
        assert!(all.len() > 40_000, "{}", all.len());
        let mut stream = client.stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || stream.write_all(all.as_bytes()).unwrap());
        for i in 0..1000 {
            let (method, text) = match i % 4 {
                0 => ("POST", format!("GET /evil{i:03} HTTP/1.1\r\n\r\n")),
                1 => ("POST", format!("POST /{i}")),
                2 => ("HEAD", String::new()),
                _ => ("GET", format!("GET /{i}")),
            };
            let r = client.response(method);
            assert_eq!((r.status, r.text()), (200, text.as_str()));
        }
        writer.join().unwrap();
        assert_eq!(client.get("/after", "").text(), "GET /after");
    });
}

#[test]
fn requests_may_arrive_byte_by_byte() {
    with_server(&Options::default(), |server| {
        let mut client = Client::connect(server.addr);
        for text in [
            "\r\nGET /slow HTTP/1.1\r\nHost: test\r\n\r\n",
            "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nGET /slow",
            "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nGET \r\n5\r\n/slow\r\n0\r\nT: 1\r\n\r\n",
        ] {
            for byte in text.as_bytes() {
                client.send([*byte]);
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(client.response("GET").text(), "GET /slow", "{text:?}");
        }
    });
}

#[test]
fn http_1_0_ends_with_the_connection_unless_asked() {
    with_server(&Options::default(), |server| {
        let mut client = Client::connect(server.addr);
        client.send("GET /x HTTP/1.0\r\n\r\n");
        let r = client.response("GET");
        assert_eq!(
            (r.header("connection"), r.header("content-length")),
            (Some("close"), Some("6"))
        );
        assert!(client.is_closed());

        let mut client = Client::connect(server.addr);
        for _ in 0..3 {
            client.send("GET /x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
            let r = client.response("GET");
            assert_eq!((r.header("connection"), r.text()), (Some("keep-alive"), "GET /x"));
        }
        // A body of unknown length can only end with the connection, whatever was asked.
        client.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let r = client.response("GET");
        assert_eq!((r.header("connection"), r.text()), (Some("close"), "one two"));
        assert_eq!((r.header("transfer-encoding"), r.header("content-length")), (None, None));
    });
}

#[test]
fn both_sides_can_close() {
    with_server(&Options::default(), |server| {
        for (path, headers) in
            [("/x", "Connection: close\r\n"), ("/x", "Connection: a,  Close\r\n"), ("/close", "")]
        {
            let mut client = Client::connect(server.addr);
            assert_eq!(
                client.get("/first", "Connection: keep-alive\r\n").header("connection"),
                None
            );
            let r = client.get(path, headers);
            assert_eq!(
                (r.status, r.header("connection")),
                (200, Some("close")),
                "{path} {headers}"
            );
            assert!(client.is_closed(), "{path} {headers}");
        }
    });
}

#[test]
fn without_keep_alive_each_response_ends_its_connection() {
    with_server(&Options { http_keepalive: 0, ..Options::default() }, |server| {
        for version in ["HTTP/1.1\r\nHost: h", "HTTP/1.0\r\nConnection: keep-alive"] {
            let mut client = Client::connect(server.addr);
            client.send(format!("GET /1 {version}\r\n\r\nGET /2 {version}\r\n\r\n"));
            let r = client.response("GET");
            assert_eq!((r.header("connection"), r.text()), (Some("close"), "GET /1"));
            assert!(client.is_closed());
        }
    });
}

#[test]
fn head_has_the_fields_of_get_and_no_content() {
    with_server(&Options::default(), |server| {
        let mut client = Client::connect(server.addr);
        let mut ask = |method: &str, path: &str| {
            let mut r = client.request(method, path, "", b"");
            r.headers.retain(|(name, _)| name != "date");
            (r.status, r.headers, r.body.len())
        };
        for (path, len) in [("/close-not", 14), ("/big", 20 << 20), ("/stream", 7)] {
            let (status, headers, got) = ask("GET", path);
            assert_eq!((status, got), (200, len), "{path}");
            let (status, head_headers, got) = ask("HEAD", path);
            assert_eq!((status, got), (200, 0), "{path}");
            if path == "/close-not" {
                // HEAD is a letter longer.
                assert!(head_headers.contains(&("content-length".into(), "15".into())));
            } else {
                assert_eq!(head_headers, headers, "{path}");
            }
        }
    });
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answers() {
    with_server(&Options::default(), |server| {
        let mut client = Client::connect(server.addr);
        client.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /big HTTP/1.1\r\nHost: h\r\n\r\n");
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.response("GET").text(), "GET /a");
        assert!(client.response("GET").body == big());
        assert!(client.is_closed());
        // Half a request is none.
        let mut client = Client::connect(server.addr);
        client.send("GET /a HTTP/1.1\r\nHo");
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut client.stream), "");
    });
}

#[test]
fn every_answer_has_a_date_and_the_server_that_was_wanted() {
    for (name, expected) in
        [("ecohttpd", Some("ecohttpd")), ("Router/2", Some("Router/2")), ("", None)]
    {
        with_server(&Options { server: name.into(), ..Options::default() }, |server| {
            for (request, status) in [
                ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200),
                ("GET / HTTP/1.1\r\n\r\n", 400),
                ("\0", 400),
            ] {
                let mut client = Client::connect(server.addr);
                client.send(request);
                let r = client.response("GET");
                assert_eq!((r.status, r.header("server")), (status, expected), "{request:?}");
                let date = httpdate::parse_http_date(r.header("date").unwrap()).unwrap();
                let off = SystemTime::now().duration_since(date).unwrap_or_default();
                assert!(off < Duration::from_secs(10), "{date:?}");
                assert_eq!(r.headers.iter().filter(|(n, _)| n == "date").count(), 1);
            }
        });
    }
}

#[test]
fn a_slow_reader_keeps_nobody_waiting() {
    with_server(&Options::default(), |server| {
        let (mut slow, mut other) = (Client::connect(server.addr), Client::connect(server.addr));
        rustix::net::sockopt::set_socket_recv_buffer_size(&slow.stream, 32 << 10).unwrap();
        slow.send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
        let head = slow.head();
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        let size = usize::from_str_radix(&slow.line(), 16).unwrap();
        assert_eq!(size, big().len());
        let mut piece = vec![0; 1 << 20];
        for expected in big().chunks(1 << 20) {
            // Whatever the server could get rid of by now, it has.
            assert_eq!(other.get("/other", "").text(), "GET /other");
            slow.stream.read_exact(&mut piece).unwrap();
            assert!(piece == expected);
        }
        assert_eq!((slow.line(), slow.line(), slow.line()), ("".into(), "0".into(), "".into()));
        assert_eq!(slow.get("/again", "").text(), "GET /again");
    });
}

/// Ends the connection with a RST.
fn reset(client: Client) {
    rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
}

#[test]
fn resets_leave_no_place_taken() {
    // If one of the two were lost at each reset, this would not get far.
    with_server(&Options { max_connections: 2, ..Options::default() }, |server| {
        for _ in 0..5 {
            let mut client = Client::connect(server.addr);
            client.send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
            client.stream.read_exact(&mut [0; 1000]).unwrap();
            reset(client);
            for started in [
                "",
                "GET /x HT",
                "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nabc",
                "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            ] {
                let mut client = Client::connect(server.addr);
                client.send(started);
                std::thread::sleep(Duration::from_millis(5));
                reset(client);
            }
        }
        let mut client = Client::connect(server.addr);
        assert_eq!(client.get("/still", "").text(), "GET /still");
    });
}

#[test]
fn draining_ends_what_is_idle_and_finishes_what_is_under_way() {
    with_server(&Options { http_keepalive: 60, ..Options::default() }, |server| {
        let addr = server.addr;
        let mut idle = Client::connect(addr);
        assert_eq!(idle.get("/", "").status, 200);
        let mut fresh = Client::connect(addr);
        let mut half = Client::connect(addr);
        half.send("GET /half HTTP/1.1\r\nHo");
        let mut busy = Client::connect(addr);
        busy.send(
            "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        );
        assert_eq!(busy.head().status, 100);
        // By now all of them have been accepted and looked at.
        server.steer(ecohttpd::Handle::drain);
        assert_eq!(rest(&mut idle.stream), "");
        assert_eq!(rest(&mut fresh.stream), "");
        let start = Instant::now();
        // One that comes right now may still be taken in, to be reset with the listener.
        while !matches!(TcpStream::connect(addr), Err(e) if e.kind() == ErrorKind::ConnectionRefused)
        {
            assert!(start.elapsed() < Duration::from_secs(5), "still accepting");
            std::thread::sleep(Duration::from_millis(10));
        }
        busy.send("abcdeGET /more HTTP/1.1\r\nHost: h\r\n\r\n");
        let r = busy.response("POST");
        assert_eq!((r.status, r.text(), r.header("connection")), (200, "abcde", Some("close")));
        assert!(busy.is_closed(), "no further request is served");
        half.send("st: h\r\n\r\n");
        let r = half.response("GET");
        assert_eq!((r.text(), r.header("connection")), ("GET /half", Some("close")));
        assert!(half.is_closed());
    });
}

#[test]
fn a_drained_server_returns() {
    for driver in Driver::all() {
        let server = Running::start(
            driver,
            || Server::new(Options::default()).bind(LOCAL),
            async |server| server.serve(handler).await,
        );
        let mut idle = Client::connect(server.addr);
        assert_eq!(idle.get("/", "").status, 200);
        let start = Instant::now();
        server.stop().unwrap();
        assert!(start.elapsed() < Duration::from_secs(10), "not its drain_timeout of 30 s");
        assert!(idle.is_closed());
    }
}

#[test]
fn draining_cuts_what_does_not_end() {
    for driver in Driver::all() {
        let options = Options { drain_timeout: 1, ..Options::default() };
        let server = Running::start(
            driver,
            || Server::new(options).bind(LOCAL),
            async |server| server.serve(handler).await,
        );
        let mut stuck = Client::connect(server.addr);
        stuck.send(
            "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        );
        assert_eq!(stuck.head().status, 100);
        let start = Instant::now();
        server.stop().unwrap();
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
        assert_eq!(stuck.read(&mut [0; 8]).unwrap_or(0), 0);
    }
}
