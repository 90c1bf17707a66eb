//! Scripts and clients that do not keep to what is usual: they write on after their end, hold places,
//! speak of the connection, or find no room.
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
use std::net::Shutdown;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, Dir, Process, is_alive, number_in, soon};
use rustix::process::{Pid, Signal, kill_process};

fn start(dir: &Dir, more: &[&str]) -> Process {
    dir.write("f.txt", "content");
    let args = ["-f", "-p", "127.0.0.1:0", "-c", "/dev/null", "-h", dir.text()];
    Process::launcher(&[&args, more].concat())
}

fn script(dir: &Dir, name: &str, commands: &str) {
    dir.script(&format!("cgi-bin/{name}"), format!("#!/bin/sh\n{commands}\n"));
}

const HEAD: &str = "printf 'Content-Type: text/plain\\n\\n'";

#[test]
fn what_is_written_after_the_end_of_a_script_counts() {
    let dir = Dir::new();
    script(&dir, "on", &format!("{HEAD}; (seq 1 3; sleep 0.5; seq 4 6) &"));
    script(&dir, "late", &format!("(sleep 0.5; {HEAD}; seq 1 6) &"));
    // More than a pipe holds.
    script(&dir, "much", &format!("{HEAD}; (sleep 0.2; head -c 1000000 /dev/zero) &"));
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for name in ["on", "late"] {
        // The framing is taken at its word, and the connection goes on behind it.
        let r = client.get(&format!("/cgi-bin/{name}"), "");
        assert_eq!((r.status, r.text()), (200, "1\n2\n3\n4\n5\n6\n"), "{name}");
        let r = client.request("POST", &format!("/cgi-bin/{name}"), "", b"body");
        assert_eq!((r.status, r.text()), (200, "1\n2\n3\n4\n5\n6\n"), "{name}");
    }
    assert_eq!(client.get("/cgi-bin/much", "").body.len(), 1_000_000);
    assert_eq!(client.get("/f.txt", "").text(), "content");
    // One whose client can tell by the end of the connection only.
    let mut client = Client::connect(server.addr);
    client.send("GET /cgi-bin/on HTTP/1.0\r\nHost: h\r\n\r\n");
    assert_eq!(client.response("GET").text(), "1\n2\n3\n4\n5\n6\n");
}

/// What was left behind, ended when this goes.
struct Left(u32);

impl Drop for Left {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.0.try_into().unwrap()).unwrap();
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[test]
fn whoever_only_holds_the_pipe_is_not_waited_for() {
    let dir = Dir::new();
    let hold = "sleep 60 & echo $! > \"$DOCUMENT_ROOT/pid$QUERY_STRING\"";
    script(&dir, "hold", &format!("{HEAD}; echo all; {hold}"));
    let server = start(&dir, &["-n", "1"]);
    let left = |n: usize| Left(number_in(&dir.path(&format!("pid{n}"))));
    let mut client = Client::connect(server.addr);
    for n in 0..2 {
        let r = client.get(&format!("/cgi-bin/hold?{n}"), "");
        let left = left(n);
        assert_eq!((r.status, r.text()), (200, "all\n"));
        // It is neither waited for nor killed: that is how scripts start services.
        assert!(is_alive(left.0));
    }
    assert_eq!(client.get("/f.txt", "").text(), "content");
    // A client that has nothing more to say is still listening.
    let mut client = Client::connect(server.addr);
    client.send("GET /cgi-bin/hold?2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    client.stream.shutdown(Shutdown::Write).unwrap();
    let r = client.response("GET");
    let ended = left(2);
    assert_eq!((r.status, r.text()), (200, "all\n"));
    assert!(is_alive(ended.0));
    // Nor does one keep it waiting that goes on to send what nobody reads.
    let mut client = Client::connect(server.addr);
    client.send("POST /cgi-bin/hold?3 HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n");
    let mut stream = client.stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        // Far longer than anybody should wait, but not for ever.
        for _ in 0..150 {
            if stream.write_all(b"x").is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(200));
        }
    });
    let r = client.response("POST");
    let held = left(3);
    assert_eq!((r.status, r.text()), (200, "all\n"));
    assert!(is_alive(held.0) && !writer.is_finished());
    client.stream.shutdown(Shutdown::Both).unwrap();
    writer.join().unwrap();
}

#[test]
fn whoever_trickles_makes_way_for_others() {
    let dir = Dir::new();
    script(&dir, "read", &format!("echo $$ > \"$DOCUMENT_ROOT/pid\"; n=$(wc -c); {HEAD}; echo $n"));
    script(&dir, "it", &format!("{HEAD}; echo it"));
    let server = start(&dir, &["-t", "2", "-T", "5", "-n", "1"]);
    let mut trickler = Client::connect(server.addr);
    trickler.send("POST /cgi-bin/read HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\nx");
    let pid = number_in(&dir.path("pid"));
    let mut stream = trickler.stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        // Often enough for -T, and for longer than this test has patience.
        for _ in 0..60 {
            thread::sleep(Duration::from_secs(1));
            if stream.write_all(b"x").is_err() {
                return;
            }
        }
    });
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let r = Client::connect(server.addr).get("/cgi-bin/it", "");
        match r.status {
            200 => break assert_eq!(r.text(), "it\n"),
            // Whoever has waited for too long asks again.
            503 => assert!(Instant::now() < end, "nobody gets a place"),
            _ => panic!("{r:?}"),
        }
    }
    assert!(soon(|| !is_alive(pid)));
    let mut bytes = Vec::new();
    let _ = trickler.stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408 "), "{text}");
    let _ = trickler.stream.shutdown(Shutdown::Both);
    writer.join().unwrap();
}

#[test]
fn whoever_trickles_alone_is_heard_out() {
    let dir = Dir::new();
    script(&dir, "read", &format!("n=$(wc -c); {HEAD}; echo $n"));
    let server = start(&dir, &["-t", "2", "-T", "5", "-n", "1"]);
    let mut client = Client::connect(server.addr);
    client.send("POST /cgi-bin/read HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n");
    for _ in 0..12 {
        thread::sleep(Duration::from_millis(500));
        client.send("x");
    }
    let r = client.response("POST");
    assert_eq!((r.status, r.text()), (200, "12\n"));
    // Others who want no script do not wait, nor make anybody go.
    client.send("POST /cgi-bin/read HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n");
    for _ in 0..8 {
        assert_eq!(Client::connect(server.addr).get("/f.txt", "").text(), "content");
        thread::sleep(Duration::from_millis(500));
        client.send("x");
    }
    assert_eq!(client.response("POST").text(), "8\n");
}

#[test]
fn a_body_that_cannot_be_stored_is_said() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    script(&dir, "read", &format!(": > \"$DOCUMENT_ROOT/ran\"; {HEAD}; wc -c"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ecohttpd"));
    command.env("TMPDIR", "/nonexistent").args(["-f", "-p", "127.0.0.1:0", "-c", "/dev/null"]);
    command.args(["-h", dir.text()]);
    let mut server = Process::start(command);
    for length in [4, 200_000] {
        let mut client = Client::connect(server.addr);
        let head = "POST /cgi-bin/read HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = "x".repeat(length);
        // It need not be taken to its end.
        let bytes = format!("{head}{length:x}\r\n{body}\r\n0\r\n\r\n");
        let mut stream = client.stream.try_clone().unwrap();
        let writer = thread::spawn(move || drop(stream.write_all(bytes.as_bytes())));
        assert_eq!(client.response("POST").status, 500, "{length}");
        drop(client);
        writer.join().unwrap();
        let line = server.line();
        let named = line.contains("/nonexistent") && line.contains("No such file");
        assert!(line.starts_with("ecohttpd: ") && named, "{line}");
    }
    assert!(!dir.path("ran").exists());
    // Bodies of which the length is known need no room.
    let mut client = Client::connect(server.addr);
    assert_eq!(client.request("POST", "/cgi-bin/read", "", b"body").status, 200);
    assert_eq!(client.get("/f.txt", "").text(), "content");
}

#[test]
fn the_target_of_a_local_redirect_has_no_body_and_no_type_of_one() {
    let dir = Dir::new();
    script(&dir, "local", "cat > /dev/null; printf 'Location: /cgi-bin/target?x\\n\\n'");
    let says = "printf '%s [%s] [%s]' $REQUEST_METHOD";
    script(
        &dir,
        "target",
        &format!("{HEAD}; {says} \"${{CONTENT_TYPE-}}\" \"${{CONTENT_LENGTH-}}\""),
    );
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    let kind = "Content-Type: application/x-it\r\n";
    let r = client.request("POST", "/cgi-bin/target", kind, b"body");
    assert_eq!(r.text(), "POST [application/x-it] [4]");
    let r = client.request("POST", "/cgi-bin/local", kind, b"body");
    assert_eq!((r.status, r.text()), (200, "GET [] []"));
    client.send(format!(
        "POST /cgi-bin/local HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n{kind}\r\n\
         4\r\nbody\r\n0\r\n\r\n"
    ));
    assert_eq!(client.response("POST").text(), "GET [] []");
}

#[test]
fn scripts_do_not_speak_of_the_connection() {
    let dir = Dir::new();
    let fields = [
        "Upgrade: h2c",
        "Trailer: X-Sum",
        "Proxy-Connection: keep-alive",
        "Keep-Alive: timeout=600",
        "upgrade: websocket",
    ];
    let fields = fields.join("\\n");
    let commands = format!("printf 'X-A: b\\n{fields}\\nContent-Type: text/plain\\n\\nit'");
    script(&dir, "it", &commands);
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for _ in 0..2 {
        let r = client.get("/cgi-bin/it", "");
        assert_eq!((r.status, r.header("x-a"), r.text()), (200, Some("b"), "it"));
        for name in ["upgrade", "trailer", "proxy-connection", "keep-alive"] {
            assert_eq!(r.header(name), None);
        }
    }
}
