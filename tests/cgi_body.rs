//! Request bodies on their way to scripts, and what scripts may do about them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::io::Write;
use std::net::Shutdown;
use std::thread::{self, JoinHandle};

use common::{Client, Dir, Process, is_alive, number_in, pattern, soon};

const MB: usize = 1 << 20;

/// A launcher over some scripts.
fn start(dir: &Dir, args: &[&str]) -> Process {
    let echo = "#!/bin/sh\nprintf 'Content-Type: a/b\\nX-Length: %s\\n\\n' \"$CONTENT_LENGTH\"\n";
    dir.script("cgi-bin/echo", format!("{echo}exec cat\n"));
    dir.script("cgi-bin/count", format!("{echo}wc -c | tr -d ' \\n'\n"));
    dir.script("cgi-bin/ignore", format!("{echo}printf ignored\n"));
    dir.script("cgi-bin/deaf", format!("{echo}exec <&-\nprintf deaf\nsleep 0.2\n"));
    dir.script("cgi-bin/some", format!("{echo}head -c 10\n"));
    dir.script("cgi-bin/sleep", "#!/bin/sh\necho $$ > pid\nsleep 30\n");
    dir.script("cgi-bin/read", "#!/bin/sh\necho $$ > pid\ncat > taken\n: > whole\n");
    dir.script("cgi-bin/local", "#!/bin/sh\nprintf 'Location: /cgi-bin/count?x\\n\\n'\n");
    dir.script("cgi-bin/local-read", "#!/bin/sh\ncat > taken\nprintf 'Location: /f.txt\\n\\n'\n");
    dir.write("f.txt", "content");
    Process::launcher(&[&["-f", "-p", "127.0.0.1:0", "-h", dir.text()][..], args].concat())
}

/// Writes while somebody else reads. That it could not all be written is for the reader to mind.
fn write(client: &Client, bytes: Vec<u8>) -> JoinHandle<()> {
    let mut stream = client.stream.try_clone().unwrap();
    thread::spawn(move || {
        let _ = stream.write_all(&bytes);
    })
}

fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n")
}

fn with_length(path: &str, body: &[u8]) -> Vec<u8> {
    [post(path, &format!("Content-Length: {}\r\n", body.len())).as_bytes(), body].concat()
}

/// A request whose body is in chunks of `size`.
fn chunked(path: &str, headers: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = post(path, &format!("Transfer-Encoding: chunked\r\n{headers}")).into_bytes();
    for (i, chunk) in body.chunks(size).enumerate() {
        let extension = if i < 9 { ";ext=\"a;b\"" } else { "" };
        bytes.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\nX-Trailer: 1\r\n\r\n");
    bytes
}

#[test]
fn what_goes_in_comes_out_while_it_goes_in() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    client.get("/f.txt", "");
    let before = server.status("VmRSS:");
    let body = pattern(30 * MB);
    let writer = write(&client, with_length("/cgi-bin/echo", &body));
    let r = client.response("POST");
    writer.join().unwrap();
    assert_eq!((r.status, r.header("x-length")), (200, Some(&*body.len().to_string())));
    assert!(r.body == body, "not what was sent: {} bytes", r.body.len());
    // None of it was kept.
    let peak = server.status("VmHWM:");
    assert!(peak < before + 8 * 1024, "{peak} KiB after {before} KiB");
    assert_eq!(client.get("/f.txt", "").text(), "content");
}

#[test]
fn bodies_of_any_size_come_whole() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for len in [1, 2, 4095, 4096, 4097, 8191, 8192, 8193, 65535, 65536, 65537, 200_000] {
        let body = pattern(len);
        let writer = write(&client, with_length("/cgi-bin/echo", &body));
        let r = client.response("POST");
        writer.join().unwrap();
        assert!(r.status == 200 && r.body == body, "{len}");
        let writer = write(&client, chunked("/cgi-bin/echo", "", &body, 1000));
        let r = client.response("POST");
        writer.join().unwrap();
        assert_eq!(r.header("x-length"), Some(&*len.to_string()));
        assert!(r.status == 200 && r.body == body, "{len} in chunks");
    }
}

#[test]
fn a_body_behind_which_the_next_request_stands() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    for name in ["echo", "count", "ignore", "deaf", "some", "local", "local-read"] {
        for in_chunks in [false, true] {
            // It looks like a request itself.
            let body = b"GET /cgi-bin/none HTTP/1.1\r\nHost: h\r\n\r\n";
            let path = format!("/cgi-bin/{name}");
            let mut bytes = match in_chunks {
                true => chunked(&path, "", body, 7),
                false => with_length(&path, body),
            };
            bytes.extend(b"GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n");
            let mut client = Client::connect(server.addr);
            client.send(bytes);
            let r = client.response("POST");
            let len = body.len().to_string();
            let text = match name {
                "echo" => std::str::from_utf8(body).unwrap(),
                "count" => &len,
                "ignore" => "ignored",
                "deaf" => "deaf",
                "some" => "GET /cgi-b",
                "local" => "0",
                _ => "content",
            };
            assert_eq!((r.status, r.text()), (200, text), "{name} {in_chunks}");
            let length = r.header("x-length").map(str::to_owned);
            let r = client.response("GET");
            assert_eq!((r.status, r.text()), (200, "content"), "{name} {in_chunks}");
            if name == "local" {
                // The body was for the one before.
                assert_eq!(length.as_deref(), Some(""), "{in_chunks}");
            }
            if name == "local-read" {
                assert_eq!(std::fs::read(dir.path("taken")).unwrap(), body, "{in_chunks}");
            }
        }
    }
}

#[test]
fn a_script_need_not_read() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    for name in ["ignore", "deaf", "some", "local"] {
        for len in [100_000, 900_000, 8 * MB] {
            let mut client = Client::connect(server.addr);
            // By one who reads nothing before all has been written.
            let request = with_length(&format!("/cgi-bin/{name}"), &pattern(len));
            write(&client, request).join().unwrap();
            let r = client.response("POST");
            assert_eq!(r.status, 200, "{name} {len}");
            assert!(!r.body.is_empty(), "{name} {len}");
            // What little is left is read for the sake of the next request; rather than a lot, it
            // is for another connection.
            client.send("GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n");
            if len < MB || matches!(client.stream.peek(&mut [0]), Ok(1)) {
                assert_eq!(r.header("connection"), None, "{name} {len}");
                assert_eq!(client.response("GET").text(), "content", "{name} {len}");
            }
            assert_eq!(Client::connect(server.addr).get("/f.txt", "").text(), "content");
        }
    }
}

#[test]
fn chunks_are_counted_before_a_script_begins() {
    let dir = Dir::new();
    let server = start(&dir, &["--spool-limit", "1000"]);
    let mut client = Client::connect(server.addr);
    for (len, chunk) in [(0, 1), (1, 1), (300, 1), (999, 500), (1000, 1000), (1000, 1)] {
        let body = pattern(len);
        client.send(chunked("/cgi-bin/echo", "", &body, chunk));
        let r = client.response("POST");
        assert_eq!(r.header("x-length"), Some(&*len.to_string()), "by {chunk} {r:?}");
        assert!(r.status == 200 && r.body == body, "{len} by {chunk}");
    }
    for (len, chunk) in [(1001, 1001), (1001, 1), (200_000, 5000)] {
        for path in ["/cgi-bin/read", "/cgi-bin/local"] {
            let mut client = Client::connect(server.addr);
            let writer = write(&client, chunked(path, "", &pattern(len), chunk));
            let r = client.response("POST");
            assert_eq!((r.status, r.header("connection")), (413, Some("close")), "{len}");
            writer.join().unwrap();
        }
    }
    // Where the length is known, it is no matter.
    let writer = write(&client, with_length("/cgi-bin/count", &pattern(200_000)));
    assert_eq!(client.response("POST").text(), "200000");
    writer.join().unwrap();
    assert!(!dir.path("taken").exists(), "it ran without its whole body");
}

#[test]
fn chunks_can_be_refused() {
    let dir = Dir::new();
    let server = start(&dir, &["--spool-limit", "0"]);
    for body in [&b""[..], b"x"] {
        let mut client = Client::connect(server.addr);
        client.send(chunked("/cgi-bin/echo", "", body, 1));
        assert_eq!(client.response("POST").status, 411);
    }
    let mut client = Client::connect(server.addr);
    assert_eq!(client.request("POST", "/cgi-bin/echo", "", b"body").text(), "body");
}

#[test]
fn broken_chunks_reach_no_script() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    for chunks in ["x\r\n", "5\r\nabcdeX\r\n", "-1\r\n", "3\r\nabc\r\nffffffffffffffffff\r\n"] {
        let mut client = Client::connect(server.addr);
        client.send(post("/cgi-bin/read", "Transfer-Encoding: chunked\r\n"));
        client.send(chunks);
        assert_eq!(client.response("POST").status, 400, "{chunks:?}");
        assert!(client.is_closed(), "{chunks:?}");
    }
    let mut client = Client::connect(server.addr);
    client.send(post("/cgi-bin/read", "Transfer-Encoding: chunked\r\n"));
    client.send("5\r\nab");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.response("POST").status, 400);
    assert!(!dir.path("pid").exists(), "it ran");
}

#[test]
fn who_waits_to_be_asked_is_asked() {
    let dir = Dir::new();
    let server = start(&dir, &["--spool-limit", "1000"]);
    let mut client = Client::connect(server.addr);
    let expect = "Expect: 100-continue\r\n";
    for name in ["echo", "local-read"] {
        client.send(post(&format!("/cgi-bin/{name}"), &format!("{expect}Content-Length: 4\r\n")));
        assert_eq!(client.head().status, 100, "{name}");
        client.send("body");
        let r = client.response("POST");
        let text = if name == "echo" { "body" } else { "content" };
        assert_eq!((r.status, r.text()), (200, text), "{name}");
    }
    client.send(post("/cgi-bin/echo", &format!("{expect}Transfer-Encoding: chunked\r\n")));
    assert_eq!(client.head().status, 100);
    client.send("4\r\nbody\r\n0\r\n\r\n");
    let r = client.response("POST");
    assert_eq!((r.text(), r.header("x-length")), ("body", Some("4")));
    // Nobody is asked for what nobody will take.
    for (path, status) in [("/cgi-bin/none", 404), ("/cgi-bin/", 403), ("/none", 404)] {
        let mut client = Client::connect(server.addr);
        client.send(post(path, &format!("{expect}Content-Length: 4\r\n")));
        assert_eq!(client.response("POST").status, status, "{path}");
        assert!(client.is_closed(), "{path}");
    }
}

#[test]
fn an_upload_cut_short_ends_the_script() {
    let dir = Dir::new();
    let server = start(&dir, &["-n", "1"]);
    let header = |len: usize| format!("Content-Length: {len}\r\n");
    // One that reads waits for the rest; one that does not has the pipe full before it. (Of what is
    // more than fits between here and there, the end would never be heard.)
    for (name, len, sent) in [
        ("read", 1000, 0),
        ("read", 1000, 999),
        ("read", 8 * MB, 4 * MB),
        ("sleep", 1000, 999),
        ("sleep", 8 * MB, 100_000),
        ("sleep", 100_000, 100_000),
    ] {
        let mut client = Client::connect(server.addr);
        client.send(post(&format!("/cgi-bin/{name}"), &header(len)));
        let pid = number_in(&dir.path("pid"));
        client.send(pattern(sent));
        assert!(is_alive(pid), "{name} {sent}");
        client.stream.shutdown(Shutdown::Both).unwrap();
        drop(client);
        assert!(soon(|| !is_alive(pid)), "{name} {sent} of {len}");
        assert!(!dir.path("whole").exists(), "{name} {sent}: the rest was taken for read");
        std::fs::remove_file(dir.path("pid")).unwrap();
    }
    assert_eq!(Client::connect(server.addr).get("/cgi-bin/count", "").text(), "0");
}

#[test]
fn an_upload_that_nobody_reads_stalls_nobody_else() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let clients: Vec<_> = (0..2).map(|_| Client::connect(server.addr)).collect();
    let request = with_length("/cgi-bin/sleep", &pattern(16 * MB));
    let writers: Vec<_> = clients.iter().map(|client| write(client, request.clone())).collect();
    number_in(&dir.path("pid"));
    let mut other = Client::connect(server.addr);
    for i in 0..20 {
        assert_eq!(other.get("/f.txt", "").text(), "content", "{i}");
        assert_eq!(other.request("POST", "/cgi-bin/echo", "", b"body").text(), "body", "{i}");
    }
    let peak = server.status("VmHWM:");
    assert!(peak < 40 * 1024, "{peak} KiB");
    for client in clients {
        client.stream.shutdown(Shutdown::Both).unwrap();
    }
    for writer in writers {
        writer.join().unwrap();
    }
}
