//! Scripts that wait for one another (`-n`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::thread;
use std::time::Duration;

use common::{Client, Dir, Process, number_in, soon};

/// Writes down its beginning and its end, between which nobody else's are if they run one by one.
const NOTE: &str = "#!/bin/sh\nprintf '<%s' $QUERY_STRING >> log\n\
    while [ ! -e go ]; do sleep 0.02; done\nsleep 0.02\nprintf '%s>' $QUERY_STRING >> log\n\
    printf 'Content-Type: a/b\\n\\n%s' $QUERY_STRING\n";

fn start(dir: &Dir, n: &str) -> Process {
    dir.write("f.txt", "content");
    dir.write("log", "");
    dir.script("cgi-bin/note", NOTE);
    Process::launcher(&["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "-n", n])
}

/// Asks for script number `n`, and returns when the server knows of it.
fn ask(server: &Process, other: &mut Client, n: usize, body: &str) -> Client {
    let mut client = Client::connect(server.addr);
    // A connection that is there already is heard of at once.
    assert_eq!(client.get("/f.txt", "").text(), "content");
    client.send(format!("POST /cgi-bin/note?{n} HTTP/1.1\r\nHost: h\r\n{body}"));
    thread::sleep(Duration::from_millis(20));
    // Static files are nobody's turn.
    assert_eq!(other.get("/f.txt", "").text(), "content");
    client
}

fn log(dir: &Dir) -> String {
    std::fs::read_to_string(dir.path("log")).unwrap()
}

const NO_BODY: &str = "\r\n";
const BODY: &str = "Content-Length: 4\r\n\r\nbody";
const CHUNKS: &str = "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";

#[test]
fn one_after_the_other_as_they_came() {
    let dir = Dir::new();
    let server = start(&dir, "1");
    let mut other = Client::connect(server.addr);
    let clients: Vec<_> =
        (0..6).map(|n| ask(&server, &mut other, n, [NO_BODY, BODY, NO_BODY][n % 3])).collect();
    assert!(soon(|| log(&dir) == "<0"), "{}", log(&dir));
    for _ in 0..10 {
        assert_eq!(other.get("/f.txt", "").text(), "content");
    }
    dir.write("go", "");
    for (n, mut client) in clients.into_iter().enumerate() {
        assert_eq!(client.response("POST").text(), n.to_string());
    }
    assert_eq!(log(&dir), "<00><11><22><33><44><55>");
}

#[test]
fn chunked_bodies_wait_their_turn_too() {
    let dir = Dir::new();
    let server = start(&dir, "1");
    let mut other = Client::connect(server.addr);
    let clients: Vec<_> = (0..4).map(|n| ask(&server, &mut other, n, CHUNKS)).collect();
    assert!(soon(|| log(&dir) == "<0"), "{}", log(&dir));
    dir.write("go", "");
    for (n, mut client) in clients.into_iter().enumerate() {
        assert_eq!(client.response("POST").text(), n.to_string());
    }
    assert_eq!(log(&dir), "<00><11><22><33>");
}

#[test]
fn so_many_at_once_and_no_more() {
    let dir = Dir::new();
    for (n, running) in [("2", 2), ("4", 4)] {
        let server = start(&dir, n);
        let mut other = Client::connect(server.addr);
        let clients: Vec<_> = (0..5).map(|n| ask(&server, &mut other, n, NO_BODY)).collect();
        assert!(soon(|| log(&dir).len() == 2 * running), "{n}: {}", log(&dir));
        thread::sleep(Duration::from_millis(200));
        assert_eq!(log(&dir).len(), 2 * running, "{n}: {}", log(&dir));
        dir.write("go", "");
        for (n, mut client) in clients.into_iter().enumerate() {
            assert_eq!(client.response("POST").text(), n.to_string());
        }
        assert_eq!(log(&dir).len(), 20, "{n}");
        std::fs::remove_file(dir.path("go")).unwrap();
    }
}

#[test]
fn whoever_leaves_the_queue_takes_no_turn() {
    let dir = Dir::new();
    let server = start(&dir, "1");
    let mut other = Client::connect(server.addr);
    let mut first = ask(&server, &mut other, 0, NO_BODY);
    assert!(soon(|| log(&dir) == "<0"), "{}", log(&dir));
    let left: Vec<_> = [NO_BODY, BODY, CHUNKS, "Content-Length: 9\r\n\r\nhalf"]
        .iter()
        .enumerate()
        .map(|(n, body)| ask(&server, &mut other, 1 + n, body))
        .collect();
    let mut last = ask(&server, &mut other, 9, BODY);
    drop(left);
    // It is given a moment, since it may only have stopped talking.
    thread::sleep(Duration::from_millis(3500));
    dir.write("go", "");
    assert_eq!(first.response("POST").text(), "0");
    assert_eq!(last.response("POST").text(), "9");
    assert_eq!(log(&dir), "<00><99>");
}

#[test]
fn a_place_comes_back_whatever_became_of_it() {
    let dir = Dir::new();
    dir.script("cgi-bin/bad", "#!/bin/sh\nexit 1\n");
    dir.script("cgi-bin/crash", "#!/bin/sh\nprintf 'Content-Type: a/b\\n\\n'; kill -9 $$\n");
    dir.script("cgi-bin/odd", "no program");
    dir.script("cgi-bin/there", "#!/bin/sh\nprintf 'Location: /cgi-bin/note?1\\n\\n'\n");
    dir.script("cgi-bin/gone", "#!/bin/sh\necho $$ > gone; exec sleep 30\n");
    let server = start(&dir, "1");
    dir.write("go", "");
    for name in ["bad", "crash", "odd", "there", "gone"] {
        for _ in 0..2 {
            let mut client = Client::connect(server.addr);
            client.send(format!("GET /cgi-bin/{name} HTTP/1.1\r\nHost: h\r\n\r\n"));
            if name == "gone" {
                number_in(&dir.path("gone"));
                std::fs::remove_file(dir.path("gone")).unwrap();
            } else {
                client.head();
            }
        }
    }
    assert_eq!(Client::connect(server.addr).get("/cgi-bin/note?x", "").text(), "x");
}

#[test]
fn each_keeps_what_is_its_own() {
    let dir = Dir::new();
    dir.script(
        "cgi-bin/it",
        "#!/bin/sh\nsleep 0.1\nn=${QUERY_STRING%%-*}\n\
         printf 'Status: 2%s Number %s\\nX-N: %s\\n\\n' $n $n $n; sleep 0.1\n\
         printf '%s %s' \"$(cat)\" \"$QUERY_STRING\"\n",
    );
    for at_once in ["1", "8"] {
        let server = start(&dir, at_once);
        let long = "x".repeat(6000);
        let clients: Vec<_> = (0..8)
            .map(|n| {
                let mut client = Client::connect(server.addr);
                let query = format!("1{n}-{long}{n}");
                let framing = ["Content-Length: 5", "Transfer-Encoding: chunked"][n % 2];
                let body = [format!("body{n}"), format!("5\r\nbody{n}\r\n0\r\n\r\n")];
                client.send(format!(
                    "POST /cgi-bin/it?{query} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{}",
                    body[n % 2]
                ));
                (n, query, client)
            })
            .collect();
        for (n, query, mut client) in clients {
            let r = client.response("POST");
            assert_eq!((r.status, r.reason), (210 + n as u16, format!("Number 1{n}")));
            assert_eq!(r.headers.iter().filter(|(name, _)| name == "x-n").count(), 1);
            assert_eq!(String::from_utf8(r.body).unwrap(), format!("body{n} {query}"));
        }
    }
}
