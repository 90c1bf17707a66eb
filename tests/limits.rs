//! Limits: of a request head, of time, of connections, and of descriptors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

mod common;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Client, Driver, LOCAL, Process, Running};
use ecohttpd::{Connection, Options, Request, Result, Server};

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    match req.path() {
        "/big" => con.send(&vec![b'x'; 20 << 20]).await,
        // Nothing at all goes on meanwhile.
        "/block" => {
            std::thread::sleep(Duration::from_secs(1));
            con.send("blocked").await
        }
        "/echo" => {
            let body = con.read_body_to_end(1 << 20).await?;
            con.send(body).await
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
                    || Server::new(options).bind(LOCAL),
                    async |server| server.serve(handler).await,
                ));
            };
            let thread = std::thread::Builder::new().name(format!("{driver:?}"));
            thread.spawn_scoped(scope, run).unwrap();
        }
    });
}

/// Where a deadline of `secs` has to have fired, on a machine that may be busy.
fn assert_took(start: Instant, secs: u64) {
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(secs), "early: {took:?}");
    assert!(took < Duration::from_secs(secs + 8), "late: {took:?}");
}

/// The status that answers `request`, after which the connection is closed unless it is 200.
fn status(server: &Running, request: &str) -> u16 {
    let mut client = Client::connect(server.addr);
    client.send(request);
    let r = client.response("GET");
    if r.status == 200 {
        assert_eq!(client.get("/after", "").text(), "/after");
    } else {
        assert_eq!(r.header("connection"), Some("close"), "{}", r.status);
        assert!(client.is_closed());
    }
    r.status
}

/// A request whose head is exactly `len` bytes long, most of it in its target.
fn long_line(len: usize) -> String {
    let rest = " HTTP/1.1\r\nHost: h\r\n\r\n";
    format!("GET /{}{rest}", "a".repeat(len - 5 - rest.len()))
}

/// Likewise, most of it in one field.
fn long_field(len: usize) -> String {
    let start = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
    format!("{start}{}\r\n\r\n", "a".repeat(len - start.len() - 4))
}

#[test]
fn a_head_has_as_much_room_as_the_options_say() {
    for max_head in [8192, 1000] {
        with_server(&Options { max_head, ..Options::default() }, |server| {
            assert_eq!(long_line(max_head).len(), max_head);
            assert_eq!(status(server, &long_line(max_head)), 200);
            assert_eq!(status(server, &long_field(max_head)), 200);
            // Only where it is the request line that does not fit is that what is told.
            assert_eq!(status(server, &long_line(max_head + 1)), 431);
            assert_eq!(status(server, &long_line(max_head + 100)), 414);
            assert_eq!(status(server, &long_line(max_head + 70_000)), 414);
            assert_eq!(status(server, &long_field(max_head + 1)), 431);
            assert_eq!(status(server, &long_field(max_head + 70_000)), 431);
            let many = "X-Y: z\r\n".repeat(max_head / 8);
            assert_eq!(status(server, &format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n")), 431);
            // Without an end it is refused as soon as it cannot fit any more.
            let mut endless = long_line(max_head + 100);
            endless.truncate(max_head + 1);
            assert_eq!(status(server, &endless), 414);
        });
    }
}

#[test]
fn a_head_has_as_many_fields_as_the_options_say() {
    for max_headers in [100, 128, 3] {
        with_server(&Options { max_headers, ..Options::default() }, |server| {
            let request =
                |n| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(n - 1));
            assert_eq!(status(server, &request(max_headers)), 200, "{max_headers}");
            assert_eq!(status(server, &request(max_headers + 1)), 431, "{max_headers}");
        });
    }
}

#[test]
fn a_head_that_only_trickles_is_answered_with_408() {
    with_server(&Options { head_timeout: 2, ..Options::default() }, |server| {
        let mut client = Client::connect(server.addr);
        assert_eq!(client.get("/first", "").status, 200);
        client.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut request =
            "GET /never HTTP/1.1\r\nHost: h\r\nX: ".bytes().chain(std::iter::repeat(b'x'));
        let start = Instant::now();
        let answer = loop {
            client.send([request.next().unwrap()]);
            let mut answer = [0; 12];
            match client.stream.read_exact(&mut answer) {
                Ok(()) => break answer,
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
        };
        // One deadline for all of it, however often something came.
        assert_took(start, 2);
        assert_eq!(&answer, b"HTTP/1.1 408");
        client.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.stream.read_to_end(&mut Vec::new()).unwrap();
    });
}

#[test]
fn a_client_that_says_nothing_is_closed_without_an_answer() {
    let options = Options { head_timeout: 1, http_keepalive: 60, ..Options::default() };
    with_server(&options, |server| {
        let start = Instant::now();
        let mut client = Client::connect(server.addr);
        assert!(client.is_closed());
        assert_took(start, 1);
    });
}

#[test]
fn an_idle_connection_is_closed_after_http_keepalive() {
    let options = Options { http_keepalive: 2, head_timeout: 60, ..Options::default() };
    with_server(&options, |server| {
        let mut client = Client::connect(server.addr);
        for i in 0..3 {
            // Each request begins it anew.
            assert_eq!(client.get("/", "").status, 200, "{i}");
            std::thread::sleep(Duration::from_secs(1));
        }
        assert_eq!(client.get("/", "").status, 200);
        let start = Instant::now();
        assert!(client.is_closed());
        assert_took(start, 2);
    });
}

#[test]
fn a_client_that_never_reads_does_not_keep_its_place() {
    let options = Options { max_connections: 1, write_timeout: 1, ..Options::default() };
    with_server(&options, |server| {
        let mut deaf = Client::connect(server.addr);
        deaf.send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(deaf.head().status, 200);
        let start = Instant::now();
        let mut next = Client::connect(server.addr);
        assert_eq!(next.get("/next", "").text(), "/next");
        assert_took(start, 1);
        // What it did not take in time is missing.
        let mut got = Vec::new();
        let _ = deaf.stream.read_to_end(&mut got);
        assert!(got.len() < 20 << 20, "{}", got.len());
    });
}

/// Whether the server has closed this connection by now, or does so soon.
fn is_gone(client: &mut Client) -> bool {
    client.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    matches!(client.read(&mut [0; 8]), Ok(0))
}

#[test]
fn whoever_idles_longest_makes_room() {
    let options = Options { max_connections: 3, http_keepalive: 60, ..Options::default() };
    with_server(&options, |server| {
        let connect = |path: &str| {
            let mut client = Client::connect(server.addr);
            assert_eq!(client.get(path, "").text(), path);
            client
        };
        let (mut a, mut b, mut c) = (connect("/a"), connect("/b"), connect("/c"));
        let mut d = connect("/d");
        assert!(is_gone(&mut a));
        // Now `d` is idle since before these two.
        assert_eq!(b.get("/b", "").text(), "/b");
        assert_eq!(c.get("/c", "").text(), "/c");
        let mut e = connect("/e");
        assert!(is_gone(&mut d));
        for (client, path) in [(&mut b, "/b2"), (&mut c, "/c2"), (&mut e, "/e2")] {
            assert_eq!(client.get(path, "").text(), path, "it had not to go");
        }
    });
}

#[test]
fn those_who_never_said_anything_make_room_too() {
    let options = Options { max_connections: 3, head_timeout: 60, ..Options::default() };
    with_server(&options, |server| {
        let mut silent: Vec<_> = (0..3).map(|_| Client::connect(server.addr)).collect();
        for i in 0..3 {
            let path = format!("/{i}");
            // Each takes the place of a silent one, or of the one before.
            assert_eq!(Client::connect(server.addr).get(&path, "").text(), path);
        }
        assert!(is_gone(&mut silent[0]));
    });
}

#[test]
fn where_nobody_is_idle_the_next_one_waits_its_turn() {
    with_server(&Options { max_connections: 2, ..Options::default() }, |server| {
        let mut busy: Vec<_> = (0..2)
            .map(|_| {
                let mut client = Client::connect(server.addr);
                client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
                assert_eq!(client.head().status, 100);
                client
            })
            .collect();
        let mut waiting: Vec<_> = (0..3)
            .map(|i| {
                let mut client = Client::connect(server.addr);
                client.send(format!("GET /{i} HTTP/1.1\r\nHost: h\r\n\r\n"));
                client
            })
            .collect();
        for client in &mut waiting {
            client.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let early = client.read(&mut [0; 8]).unwrap_err();
            assert_eq!(early.kind(), ErrorKind::WouldBlock);
            client.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        }
        busy[0].send("done");
        assert_eq!(busy[0].response("POST").text(), "done");
        for (i, client) in waiting.iter_mut().enumerate() {
            assert_eq!(client.response("GET").text(), format!("/{i}"));
        }
        // All through one place: the other one was never taken from whom it belongs to.
        busy[1].send("well");
        assert_eq!(busy[1].response("POST").text(), "well");
    });
}

#[test]
fn whoever_has_sent_a_request_is_not_idle() {
    with_server(&Options { max_connections: 2, ..Options::default() }, |server| {
        for _ in 0..3 {
            let mut idle = Client::connect(server.addr);
            assert_eq!(idle.get("/idle", "").text(), "/idle");
            idle.send("GET /block HTTP/1.1\r\nHost: h\r\n\r\n");
            // All of these arrive at once, more than can be made room for by ending what is idle.
            let mut burst: Vec<_> = (0..30)
                .map(|i| {
                    let mut client = Client::connect(server.addr);
                    client.send(format!("GET /{i} HTTP/1.1\r\nHost: h\r\n\r\n"));
                    client
                })
                .collect();
            assert_eq!(idle.response("GET").text(), "blocked");
            for (i, client) in burst.iter_mut().enumerate() {
                assert_eq!(client.response("GET").text(), format!("/{i}"));
            }
        }
    });
}

/// The other side of the test below, a process of its own since the limit is one of processes.
#[test]
#[ignore = "run by the test below"]
fn a_server_short_of_descriptors() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let Ok(name) = std::env::var("SHORT_OF_DESCRIPTORS") else { return };
    let driver = Driver::all().into_iter().find(|driver| format!("{driver:?}") == name).unwrap();
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum: Some(100) }).unwrap();
    driver
        .run(async {
            let server = Server::new(Options::default()).bind(LOCAL)?;
            // The program has other uses for them, of which the server cannot know.
            let mut files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
            files.truncate(files.len() - 20);
            println!("\nlistening on {}", server.local_addrs()?[0]);
            server.serve(handler).await
        })
        .unwrap();
}

/// Clock ticks of CPU time, a hundredth of a second each, that a process has spent.
fn ticks(server: &Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
    fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
}

#[test]
fn a_lack_of_descriptors_is_waited_out() {
    for driver in Driver::all() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_server_short_of_descriptors", "--ignored", "--nocapture"]);
        command.env("SHORT_OF_DESCRIPTORS", format!("{driver:?}"));
        let server = Process::start(command);
        // All busy, so that none can be made to go.
        let mut busy: Vec<_> = (0..40)
            .map(|_| {
                let mut client = Client::connect(server.addr);
                client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
                client
            })
            .collect();
        // While none can be accepted it must not spin.
        std::thread::sleep(Duration::from_millis(500));
        let open =
            |fd: u32| std::fs::symlink_metadata(format!("/proc/{}/fd/{fd}", server.child.id()));
        let closed: Vec<_> = (0..100).filter(|fd| open(*fd).is_err()).collect();
        assert_eq!(closed, [], "it has come to that");
        let before = ticks(&server);
        std::thread::sleep(Duration::from_millis(1500));
        let spent = ticks(&server) - before;
        assert!(spent < 15, "{driver:?}: {spent} ticks");
        let start = Instant::now();
        for client in &mut busy {
            client.stream.write_all(b"cd").unwrap();
        }
        for client in &mut busy {
            assert_eq!(client.response("POST").text(), "abcd", "{driver:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(15), "{driver:?}: {:?}", start.elapsed());
        // And idle ones make room, as where connections run out.
        for i in 0..40 {
            assert_eq!(Client::connect(server.addr).get("/late", "").text(), "/late", "{i}");
        }
    }
}
