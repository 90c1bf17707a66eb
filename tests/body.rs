//! Request bodies: read whole or in pieces, cut off, too slow, too large, or not wanted at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{Client, Driver, LOCAL, Running, pattern};
use ecohttpd::{Connection, Options, Request, Result, Server};

/// Sums up bytes so that their order matters.
fn sum(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, &b| sum.wrapping_mul(31).wrapping_add(b.into()))
}

/// The handlers, which tell of every request that got to them and of every error they met.
struct World {
    seen: mpsc::Sender<String>,
}

impl World {
    async fn handle(&self, con: &mut Connection, req: &mut Request) -> Result {
        self.seen.send(req.path().to_owned()).unwrap();
        let result = Box::pin(self.answer(con, req)).await;
        if let Err(e) = &result {
            self.seen.send(format!("{e:?}")).unwrap();
        }
        result
    }

    async fn answer(&self, con: &mut Connection, req: &mut Request) -> Result {
        match req.path() {
            "/pieces" => {
                let (mut n, mut all, mut most) = (0_u64, 0, 0);
                loop {
                    match con.read_body().await {
                        Ok([]) => break,
                        Ok(piece) => {
                            n += piece.len() as u64;
                            most = most.max(piece.len());
                            all = sum(all, piece);
                        }
                        Err(e) => {
                            self.seen.send(format!("{n} bytes")).unwrap();
                            return Err(e);
                        }
                    }
                }
                assert!(most <= 8192, "{most}");
                assert!(con.read_body().await?.is_empty(), "the end stays the end");
                con.send(&format!("{n} {all}")).await
            }
            "/into" => {
                let (mut n, mut all, mut buf) = (0, 0, [0; 1000]);
                loop {
                    let got = con.read_body_into(&mut buf).await?;
                    n += got;
                    all = sum(all, &buf[..got]);
                    if got < buf.len() {
                        return con.send(&format!("{n} {all}")).await;
                    }
                }
            }
            "/whole" => {
                let body = con.read_body_to_end(100_000).await?;
                con.send(&format!("{} {}", body.len(), sum(0, &body))).await
            }
            // A little of each.
            "/mixed" => {
                let mut buf = [0; 10];
                let got = con.read_body_into(&mut buf).await?;
                let piece = con.read_body().await?.to_vec();
                let rest = con.read_body_to_end(100_000).await?;
                let all = [&buf[..got], &piece, &rest].concat();
                con.send(&format!("{} {}", all.len(), sum(0, &all))).await
            }
            "/echo" => loop {
                match con.read_body().await?.to_vec() {
                    piece if piece.is_empty() => return Ok(()),
                    piece => con.send(piece).await?,
                }
            },
            "/discard" => {
                con.discard_body().await?;
                con.send("gone").await
            }
            "/patient" => {
                con.set_body_timeout(60);
                con.read_body_to_end(100).await?;
                con.send("patient").await
            }
            path => panic!("{path}"),
        }
    }
}

struct Setting {
    addr: SocketAddr,
    seen: mpsc::Receiver<String>,
}

impl Setting {
    /// What the handlers told since the last time; each request has to be answered by now.
    fn seen(&self) -> Vec<String> {
        self.seen.try_iter().collect()
    }

    fn next(&self) -> String {
        self.seen.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    fn client(&self) -> Client {
        Client::connect(self.addr)
    }
}

/// Under both drivers at once, each in a thread of its name, against a server of its own.
fn with_server(options: &Options, test: impl Fn(Setting) + Sync) {
    std::thread::scope(|scope| {
        for driver in Driver::all() {
            let (options, test) = (options.clone(), &test);
            let (tell, seen) = mpsc::channel();
            let world = World { seen: tell };
            let run = move || {
                let server = Running::start(
                    driver,
                    || Server::new(options).bind(LOCAL),
                    async move |server| {
                        let world = &world;
                        server
                            .serve(async |con: &mut Connection, req: &mut Request| {
                                Box::pin(world.handle(con, req)).await
                            })
                            .await
                    },
                );
                test(Setting { addr: server.addr, seen });
            };
            let thread = std::thread::Builder::new().name(format!("{driver:?}"));
            thread.spawn_scoped(scope, run).unwrap();
        }
    });
}

fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n")
}

const CHUNKED: &str = "Transfer-Encoding: chunked";

/// In chunks of all sizes, some with an extension (there is a limit to them), and with trailers.
fn chunked(body: &[u8]) -> Vec<u8> {
    let (mut out, mut at, mut size) = (Vec::new(), 0, 1);
    while at < body.len() {
        let chunk = &body[at..body.len().min(at + size)];
        let extension = if size % 2 == 0 && at < 50_000 { ";name=\"va;lue\"" } else { "" };
        out.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        (at, size) = (at + chunk.len(), size * 3 % 9973);
    }
    out.extend_from_slice(b"0\r\nX-Trailer: 1\r\nX-Other: a b\r\n\r\n");
    out
}

#[test]
fn every_way_to_read_gives_every_byte() {
    with_server(&Options::default(), |it| {
        let mut client = it.client();
        for len in [0, 1, 999, 1000, 1001, 8191, 8192, 8193, 100_000] {
            let body = pattern(len);
            let expected = format!("{len} {}", sum(0, &body));
            for path in ["/pieces", "/into", "/whole", "/mixed"] {
                let r = client.request("POST", path, "", &body);
                assert_eq!((r.status, r.text()), (200, expected.as_str()), "{path}");
                client.send(post(path, CHUNKED));
                client.send(chunked(&body));
                let r = client.response("POST");
                assert_eq!((r.status, r.text()), (200, expected.as_str()), "{path} chunked");
            }
        }
    });
}

#[test]
fn a_whole_body_has_the_limit_it_is_given() {
    with_server(&Options::default(), |it| {
        let body = pattern(100_001);
        for (headers, body) in [("Content-Length: 100001", body.clone()), (CHUNKED, chunked(&body))]
        {
            let mut client = it.client();
            client.send(post("/whole", headers));
            client.send(&body);
            let r = client.response("POST");
            assert_eq!((r.status, r.header("connection")), (413, Some("close")), "{headers}");
            assert!(client.is_closed());
            assert_eq!(it.seen(), ["/whole", "TooLarge(\"request body\")"]);
        }
    });
}

#[test]
fn no_body_is_larger_than_the_option_says() {
    with_server(&Options { max_body: 5000, ..Options::default() }, |it| {
        let mut client = it.client();
        assert_eq!(client.request("POST", "/pieces", "", &pattern(5000)).status, 200);
        client.send(post("/pieces", CHUNKED));
        client.send(chunked(&pattern(5000)));
        assert_eq!(client.response("POST").status, 200);
        assert_eq!(it.seen(), ["/pieces", "/pieces"]);

        client.send(post("/pieces", CHUNKED));
        client.send(chunked(&pattern(5001)));
        assert_eq!(client.response("POST").status, 413);
        assert!(client.is_closed());
        assert_eq!(it.seen().last().unwrap(), "TooLarge(\"request body\")");

        // That it would be too large is known before the handler is asked.
        let mut client = it.client();
        client.send(post("/pieces", "Content-Length: 5001"));
        assert_eq!(client.response("POST").status, 413);
        assert!(client.is_closed());
        assert!(it.seen().is_empty());
    });
}

#[test]
fn a_body_may_be_longer_than_four_gigabytes() {
    with_server(&Options::default(), |it| {
        let mut client = it.client();
        client.send(post("/pieces", "Content-Length: 5368709120"));
        let piece = pattern(1 << 20);
        for _ in 0..20 {
            client.send(&piece);
        }
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.response("POST").status, 400);
        assert_eq!(it.seen(), ["/pieces", "20971520 bytes", "Truncated"]);
    });
}

#[test]
fn a_body_cut_off_is_an_error() {
    with_server(&Options::default(), |it| {
        for path in ["/pieces", "/into", "/whole", "/mixed", "/discard"] {
            for (headers, sent) in [
                ("Content-Length: 100", ""),
                ("Content-Length: 100", "0123456789"),
                (CHUNKED, ""),
                (CHUNKED, "4\r\n0123"),
                (CHUNKED, "5\r\n0123"),
                (CHUNKED, "4\r\n0123\r\n"),
                (CHUNKED, "4\r\n0123\r\n0\r\n"),
                (CHUNKED, "4\r\n0123\r\n0\r\nX: y\r\n"),
            ] {
                let mut client = it.client();
                client.send(post(path, headers) + sent);
                client.stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(client.response("POST").status, 400, "{path} {headers} {sent:?}");
                assert!(client.is_closed());
                assert_eq!(it.seen().last().unwrap(), "Truncated", "{path} {headers} {sent:?}");

                // Likewise where nobody is there any more to be told.
                let mut client = it.client();
                client.send(post(path, headers) + sent);
                drop(client);
                while it.next() != "Truncated" {}
            }
        }
    });
}

#[test]
fn broken_chunks_are_an_error() {
    with_server(&Options::default(), |it| {
        let trailers = "X-T: 1\r\n".repeat(101);
        for (sent, status) in [
            ("zz\r\n", 400),
            ("4\r\n0123456789", 400),
            ("-1\r\n", 400),
            ("FFFFFFFFFFFFFFFFFF\r\n", 400),
            ("0\r\nno trailer\r\n\r\n", 400),
            (&format!("0\r\nX: {}\r\n\r\n", "t".repeat(9000)), 431),
            (&format!("0\r\n{trailers}\r\n"), 431),
            (&format!("1;{}\r\n", "e".repeat(9000)), 413),
        ] {
            let mut client = it.client();
            client.send(post("/pieces", CHUNKED) + sent);
            let r = client.response("POST");
            assert_eq!((r.status, r.header("connection")), (status, Some("close")), "{sent:.20}");
            assert!(client.is_closed());
        }
    });
}

#[test]
fn silence_within_a_body_is_answered_with_408() {
    with_server(&Options { body_timeout: 1, ..Options::default() }, |it| {
        for headers in ["Content-Length: 10", CHUNKED] {
            let (mut client, mut patient) = (it.client(), it.client());
            patient.send(post("/patient", "Content-Length: 4") + "ab");
            let start = Instant::now();
            client.send(post("/pieces", headers) + "5\r\nab");
            let r = client.response("POST");
            let took = start.elapsed();
            assert_eq!((r.status, r.header("connection")), (408, Some("close")), "{headers}");
            assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(8), "{took:?}");
            assert!(it.seen().contains(&"Timeout".to_owned()));
            // Whoever set another timeout for this request has it.
            patient.send("cd");
            assert_eq!(patient.response("POST").text(), "patient");
        }
    });
}

#[test]
fn slow_progress_is_progress_unless_nobody_wants_the_bytes() {
    with_server(&Options { body_timeout: 2, ..Options::default() }, |it| {
        let (mut wanted, mut unwanted) = (it.client(), it.client());
        wanted.send(post("/whole", "Content-Length: 10"));
        unwanted.send(post("/discard", "Content-Length: 100"));
        unwanted.stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let start = Instant::now();
        let (mut sent, mut refused) = (0, None);
        while sent < 10 || refused.is_none() {
            if sent < 10 {
                wanted.send("x");
                sent += 1;
            }
            let _ = unwanted.stream.write(b"x");
            let mut answer = [0; 12];
            if refused.is_none() && unwanted.stream.read_exact(&mut answer).is_ok() {
                refused = Some((answer, start.elapsed()));
            }
            assert!(start.elapsed() < Duration::from_secs(15));
            std::thread::sleep(Duration::from_millis(400));
        }
        assert!(start.elapsed() > Duration::from_secs(3), "longer than the timeout");
        assert_eq!(wanted.response("POST").status, 200);
        let (answer, after) = refused.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 408");
        assert!(after >= Duration::from_secs(2), "{after:?}");
    });
}

#[test]
fn bodies_go_both_ways_at_once() {
    with_server(&Options::default(), |it| {
        let mut client = it.client();
        let body = pattern(8 << 20);
        for framing in ["Content-Length: 8388608", CHUNKED] {
            let sent = if framing == CHUNKED { chunked(&body) } else { body.clone() };
            let mut stream = client.stream.try_clone().unwrap();
            client.send(post("/echo", framing));
            // Neither side could store all of it: whoever did not read would stop the other.
            let writer = std::thread::spawn(move || stream.write_all(&sent).unwrap());
            let r = client.response("POST");
            assert_eq!((r.status, r.header("transfer-encoding")), (200, Some("chunked")));
            assert!(r.body == body, "{framing}");
            writer.join().unwrap();
        }
    });
}
