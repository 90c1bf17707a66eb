//! What happens within TLS, and to those who only come near it.
#![cfg(feature = "tls")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

mod common;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Client, Driver, LOCAL, Running, pattern};
use ecohttpd::{Connection, Error, Options, Request, Result, Server, Status, Tls};
use futures_rustls::pki_types::CertificateDer;
use futures_rustls::pki_types::pem::PemObject;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Session = StreamOwned<ClientConnection, TcpStream>;

fn pki(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/pki", name].iter().collect()
}

fn localhost() -> Tls {
    Tls::load(pki("localhost.pem"), pki("localhost.key")).unwrap()
}

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    match req.path() {
        "/refuse" => con.send_error(Status::FORBIDDEN).await,
        "/echo" => loop {
            match con.read_body().await?.to_vec() {
                piece if piece.is_empty() => return Ok(()),
                piece => con.send(piece).await?,
            }
        },
        "/late" => {
            con.send("part").await?;
            con.flush().await?;
            Err(Error::Invalid("thing"))
        }
        path => con.send(path).await,
    }
}

/// Under both drivers at once, each in a thread of its name, against a server of its own.
fn with_server(options: &Options, test: impl Fn(&Running) + Sync) {
    std::thread::scope(|scope| {
        for driver in Driver::all() {
            let (options, test) = (options.clone(), &test);
            let run = move || {
                test(&Running::start(
                    driver,
                    || Server::new(options).bind_tls(LOCAL, localhost()),
                    async |server| server.serve(handler).await,
                ));
            };
            let thread = std::thread::Builder::new().name(format!("{driver:?}"));
            thread.spawn_scoped(scope, run).unwrap();
        }
    });
}

/// A client that wants `name`, and a proof of it; its handshake is over with the first byte sent.
fn client(addr: SocketAddr, name: &'static str) -> Client<Session> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki("ca.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
    Client { stream: StreamOwned::new(session, Client::connect(addr).stream) }
}

#[test]
fn requests_in_one_record_are_all_answered() {
    with_server(&Options::default(), |server| {
        let mut client = client(server.addr, "localhost");
        assert_eq!(client.get("/first", "").text(), "/first");
        // More than the receive buffer, less than a record: what is left over is decrypted already,
        // so the socket has no news of it.
        let all: String = (0..250)
            .map(|i| format!("GET /{i} HTTP/1.1\r\nHost: localhost\r\nX: some more of it\r\n\r\n"))
            .collect();
        assert!(all.len() > 8192 && all.len() < 16384, "{}", all.len());
        client.send(&all);
        for i in 0..250 {
            assert_eq!(client.response("GET").text(), format!("/{i}"));
        }
        assert_eq!(client.get("/after", "").text(), "/after");
    });
}

#[test]
fn bodies_go_both_ways_at_once() {
    with_server(&Options::default(), |server| {
        let mut client = client(server.addr, "localhost");
        let body = pattern(3 << 20);
        client.send(format!(
            "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        // Written by and by, since one thread does both.
        let (mut sent, mut got) = (0, Vec::new());
        client.stream.sock.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let start = Instant::now();
        while !got.ends_with(b"\r\n0\r\n\r\n") {
            assert!(start.elapsed() < Duration::from_secs(20), "{sent} {}", got.len());
            if sent < body.len() {
                let end = body.len().min(sent + (64 << 10));
                client.send(&body[sent..end]);
                sent = end;
            }
            let mut buf = [0; 64 << 10];
            match client.read(&mut buf) {
                Ok(n) => got.extend_from_slice(&buf[..n]),
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
        }
        let mut replay = Client { stream: io::Cursor::new(got) };
        let r = replay.response("POST");
        assert_eq!(r.status, 200);
        assert!(r.body == body);
    });
}

#[test]
fn a_new_certificate_is_for_new_connections() {
    with_server(&Options::default(), |server| {
        let mut open = client(server.addr, "localhost");
        assert_eq!(open.get("/before", "").status, 200);
        let guest = Tls::load(pki("guest.pem"), pki("guest.key")).unwrap();
        server.steer(move |handle| handle.set_tls(&guest).unwrap());
        let start = Instant::now();
        let new = loop {
            // Until the order has been carried out, this name cannot be proved.
            let mut new = client(server.addr, "guest.lan");
            match new.stream.write_all(b"GET /new HTTP/1.1\r\nHost: h\r\n\r\n") {
                Ok(()) => break new.response("GET"),
                Err(e) => assert!(e.to_string().contains("certificate"), "{e}"),
            }
            assert!(start.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(new.text(), "/new");
        let mut old = client(server.addr, "localhost");
        let e = old.stream.write_all(b"GET / HTTP/1.1\r\n").unwrap_err();
        assert!(e.to_string().contains("certificate"), "{e}");
        assert_eq!(open.get("/still", "").text(), "/still");
    });
}

/// Reads to the end of the session; an error is one without close_notify.
fn end(client: &mut Client<Session>) -> io::Result<Vec<u8>> {
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).map(|_| rest)
}

#[test]
fn the_end_of_a_session_is_told() {
    let options = Options { http_keepalive: 1, head_timeout: 1, ..Options::default() };
    with_server(&options, |server| {
        let mut closing = client(server.addr, "localhost");
        closing.send("GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert!(end(&mut closing).unwrap().ends_with(b"\r\n\r\n/x"));
        let mut idle = client(server.addr, "localhost");
        assert_eq!(idle.get("/x", "").status, 200);
        assert_eq!(end(&mut idle).unwrap(), b"");
        let mut slow = client(server.addr, "localhost");
        slow.send("GET /x HT");
        assert!(end(&mut slow).unwrap().starts_with(b"HTTP/1.1 408 "));
        // A body that ends with the session, and was not all of it, must not seem so.
        let mut cut = client(server.addr, "localhost");
        cut.send("GET /late HTTP/1.0\r\n\r\n");
        let e = end(&mut cut).unwrap_err();
        assert!(matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{e}");
    });
    with_server(&Options::default(), |server| {
        let mut idle = client(server.addr, "localhost");
        assert_eq!(idle.get("/x", "").status, 200);
        server.steer(ecohttpd::Handle::drain);
        assert_eq!(end(&mut idle).unwrap(), b"");
    });
}

#[test]
fn openssl_too_finds_the_end_in_order() {
    let script = r#"
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context.minimum_version = context.maximum_version = version
    plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20)
    s = context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
    s.sendall(b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    got = b""
    while piece := s.recv(4096):
        got += piece
    assert got.endswith(b"\r\n\r\n/x"), got
    print(s.version())
    s.unwrap()
"#;
    with_server(&Options::default(), |server| {
        let output = Command::new("python3")
            .args(["-c", script, &server.addr.port().to_string()])
            .arg(pki("ca.pem"))
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(said, "TLSv1.2\nTLSv1.3\n");
    });
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answers() {
    with_server(&Options::default(), |server| {
        let mut client = client(server.addr, "localhost");
        assert_eq!(client.get("/first", "").status, 200);
        // The last request and the end of the session arrive together.
        let requests = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n";
        client.stream.conn.writer().write_all(requests).unwrap();
        client.stream.conn.send_close_notify();
        client.stream.flush().unwrap();
        client.stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.response("GET").text(), "/a");
        assert_eq!(client.response("GET").text(), "/b");
        assert_eq!(end(&mut client).unwrap(), b"");
    });
}

#[test]
fn who_is_refused_while_uploading_gets_to_know_why() {
    with_server(&Options::default(), |server| {
        let mut client = client(server.addr, "localhost");
        client.send(format!(
            "POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
            4 << 20
        ));
        let piece = pattern(1 << 20);
        for _ in 0..4 {
            client.send(&piece);
        }
        assert_eq!(client.response("POST").status, 403);
        assert_eq!(end(&mut client).unwrap(), b"");
    });
}

#[test]
fn a_handshake_has_a_deadline_and_stops_nobody() {
    with_server(&Options { head_timeout: 2, ..Options::default() }, |server| {
        let start = Instant::now();
        let mut silent = Client::connect(server.addr);
        let mut half = Client::connect(server.addr);
        half.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        for _ in 0..3 {
            assert_eq!(client(server.addr, "localhost").get("/x", "").text(), "/x");
        }
        for stuck in [&mut silent, &mut half] {
            let _ = stuck.stream.read_to_end(&mut Vec::new());
            let took = start.elapsed();
            assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(10), "{took:?}");
        }
    });
}

#[test]
fn those_who_do_not_begin_a_handshake_make_room() {
    let options = Options { max_connections: 2, head_timeout: 60, ..Options::default() };
    with_server(&options, |server| {
        let _silent = [Client::connect(server.addr), Client::connect(server.addr)];
        for path in ["/1", "/2", "/3"] {
            assert_eq!(client(server.addr, "localhost").get(path, "").text(), path);
        }
    });
}

#[test]
fn a_handshake_under_way_is_not_idle() {
    with_server(&Options { max_connections: 2, ..Options::default() }, |server| {
        // More at once than there are places for: the others wait, nobody is turned away.
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    let mut client = client(server.addr, "localhost");
                    assert_eq!(client.get("/x", "Connection: close\r\n").text(), "/x");
                });
            }
        });
    });
}

#[test]
fn who_takes_the_wrong_port_is_turned_away_at_once() {
    with_server(&Options::default(), |server| {
        let start = Instant::now();
        let mut plain = Client::connect(server.addr);
        plain.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut said = Vec::new();
        let _ = plain.stream.read_to_end(&mut said);
        // At most an alert, which is a record of type 21.
        assert!(said.is_empty() || said[0] == 21, "{}", said.escape_ascii());
        for garbage in [&b"\0\0\0\0\0\0\0\0"[..], &[0xff; 5000], b"\x16\x03\x01\x00\x05hello"] {
            let mut wrong = Client::connect(server.addr);
            wrong.send(garbage);
            let _ = wrong.stream.read_to_end(&mut Vec::new());
        }
        assert_eq!(client(server.addr, "localhost").get("/x", "").text(), "/x");
        assert!(start.elapsed() < Duration::from_secs(10), "not the deadline of 20 s");
    });
    for driver in Driver::all() {
        let server = Running::start(
            driver,
            || Server::new(Options::default()).bind(LOCAL),
            async |server| server.serve(handler).await,
        );
        let start = Instant::now();
        let e = client(server.addr, "localhost").stream.write_all(b"x").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidData, "{e}");
        let mut hello = Client::connect(server.addr);
        hello.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        let r = hello.response("GET");
        assert_eq!((r.status, r.header("connection")), (400, Some("close")), "{driver:?}");
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(Client::connect(server.addr).get("/x", "").text(), "/x");
    }
}
