//! For how long scripts may be silent (`-t`), and what is no silence.
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
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, Dir, Process, is_alive, number_in, pattern, soon};

fn start(dir: &Dir, args: &[&str]) -> Process {
    dir.write("f.txt", "content");
    Process::launcher(
        &[&["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "-n", "20"][..], args].concat(),
    )
}

fn script(dir: &Dir, name: &str, commands: &str) {
    dir.script(&format!("cgi-bin/{name}"), format!("#!/bin/sh\n{commands}\n"));
}

fn rest(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

#[test]
fn silence_ends() {
    let dir = Dir::new();
    // The one that is silent is not the one that was started.
    let silent = "sleep 30 & echo $! > pid$QUERY_STRING; wait";
    script(&dir, "before", silent);
    script(&dir, "half", &format!("printf 'Content-Type: a/b\\n'; {silent}"));
    script(&dir, "open", &format!("printf 'Content-Type: a/b\\n\\npart'; {silent}"));
    script(&dir, "known", &format!("printf 'Content-Length: 400\\n\\npart'; {silent}"));
    let mut server = start(&dir, &["-t", "1"]);
    let began = Instant::now();
    let mut clients = Vec::new();
    for name in ["before", "half", "open", "known"] {
        for request in ["GET PATH HTTP/1.1\r\n", "GET PATH HTTP/1.0\r\n", "POST PATH HTTP/1.1\r\n"]
        {
            let number = clients.len();
            let request = request.replace("PATH", &format!("/cgi-bin/{name}?{number}"));
            let mut client = Client::connect(server.addr);
            // More than anything between here and there takes.
            let length = if request.starts_with("POST") { 16 << 20 } else { 0 };
            client.send(format!("{request}Host: h\r\nContent-Length: {length}\r\n\r\n"));
            let mut stream = client.stream.try_clone().unwrap();
            let writer = thread::spawn(move || {
                let _ = stream.write_all(&pattern(length));
            });
            clients.push((name, number, request, client, writer));
        }
    }
    for (name, number, request, mut client, writer) in clients {
        let mut bytes = Vec::new();
        let end = client.stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        assert!(began.elapsed() > Duration::from_secs(1), "{request}");
        if matches!(name, "before" | "half") {
            assert!(text.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{request}: {text}");
            assert!(end.is_ok() || request.starts_with("POST"), "{request}: {end:?}");
        } else {
            assert!(
                text.starts_with("HTTP/1.1 200 ") && text.contains("part"),
                "{request}: {text}"
            );
            assert!(!text.contains("\r\n0\r\n"), "{request}: {text}");
            if name == "open" && request.contains("1.0") {
                assert!(end.is_err(), "{request}: it looks like a good end");
            }
        }
        writer.join().unwrap();
        let child = number_in(&dir.path(&format!("pid{number}")));
        assert!(soon(|| !is_alive(child)), "{request}");
        assert!(server.line().contains("silent for too long"), "{request}");
    }
    assert_eq!(Client::connect(server.addr).get("/f.txt", "").text(), "content");
}

#[test]
fn what_moves_is_not_silent() {
    let dir = Dir::new();
    let head = "printf 'Content-Type: a/b\\n\\n'";
    script(&dir, "count", &format!("n=$(wc -c); {head}; printf %s $n"));
    script(
        &dir,
        "slow",
        &format!("{head}; for i in 1 2 3 4 5 6 7 8 9 10; do printf $i; sleep 0.5; done"),
    );
    script(
        &dir,
        "reader",
        &format!(
            "for i in 1 2 3 4 5 6 7 8 9 10; do head -c 65536 > /dev/null; sleep 0.5; done\n\
             {head}; wc -c | tr -d ' \\n'"
        ),
    );
    script(&dir, "big", &format!("{head}; head -c 30000000 /dev/zero"));
    let server = start(&dir, &["-t", "2"]);
    let post = |name: &str, length: usize| {
        let mut client = Client::connect(server.addr);
        let head = format!("POST /cgi-bin/{name} HTTP/1.1\r\nHost: h\r\n");
        client.send(format!("{head}Content-Length: {length}\r\n\r\n"));
        client
    };
    // All of them for longer than -t says.
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = post("count", 1000);
            for _ in 0..10 {
                rest(500);
                client.send(pattern(100));
            }
            assert_eq!(client.response("POST").text(), "1000", "a slow upload");
        });
        scope.spawn(|| {
            let mut client = post("count", 4);
            rest(5000);
            client.send("body");
            assert_eq!(client.response("POST").text(), "4", "a client that thinks");
        });
        scope.spawn(|| {
            let mut client = Client::connect(server.addr);
            assert_eq!(client.get("/cgi-bin/slow", "").text(), "12345678910", "a slow answer");
        });
        scope.spawn(|| {
            let mut client = post("reader", 11 * 65536);
            client.send(pattern(11 * 65536));
            assert_eq!(client.response("POST").text(), "65536", "a script that reads slowly");
        });
        scope.spawn(|| {
            let mut client = Client::connect(server.addr);
            client.send("GET /cgi-bin/big HTTP/1.1\r\nHost: h\r\n\r\n");
            rest(5000);
            assert_eq!(client.response("GET").body.len(), 30_000_000, "a slow reader");
        });
    });
}

#[test]
fn clients_have_a_clock_of_their_own() {
    let dir = Dir::new();
    script(&dir, "read", "echo $$ > pid; cat > taken; : > whole");
    let server = start(&dir, &["-T", "1"]);
    let mut client = Client::connect(server.addr);
    client.send("POST /cgi-bin/read HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nbody");
    let pid = number_in(&dir.path("pid"));
    assert_eq!(client.response("POST").status, 408);
    assert!(soon(|| !is_alive(pid)));
    assert!(!dir.path("whole").exists());
}

#[test]
fn no_time_is_for_ever() {
    let dir = Dir::new();
    script(&dir, "it", "sleep 3; printf 'Content-Type: a/b\\n\\nlate'; sleep 3; printf r");
    let server = start(&dir, &["-t", "0"]);
    let r = Client::connect(server.addr).get("/cgi-bin/it", "");
    assert_eq!((r.status, r.text()), (200, "later"));
}

#[test]
fn whoever_waits_for_too_long_is_told() {
    let dir = Dir::new();
    // It is never silent, and keeps the place that others wait for.
    script(&dir, "busy", "printf 'Content-Type: a/b\\n\\n'; while sleep 0.1; do printf x; done");
    script(&dir, "it", ": > ran");
    let server = start(&dir, &["-t", "1", "-n", "1"]);
    let mut busy = Client::connect(server.addr);
    busy.send("GET /cgi-bin/busy HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(busy.head().status, 200);
    for request in ["Content-Length: 4\r\n\r\nbody", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
    {
        let mut client = Client::connect(server.addr);
        client.send(format!("POST /cgi-bin/it HTTP/1.1\r\nHost: h\r\n{request}"));
        let r = client.response("POST");
        assert_eq!((r.status, r.header("retry-after")), (503, Some("1")));
    }
    assert!(!dir.path("ran").exists());
    let mut bytes = [0; 64];
    assert!(busy.read(&mut bytes).unwrap() > 0, "it goes on");
}
