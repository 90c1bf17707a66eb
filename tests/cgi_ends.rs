//! Where the answer of a script ends, whatever the script says or does about it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::io::{ErrorKind, Read};

use common::{Client, Dir, Process, is_alive, number_in, soon};

fn start(dir: &Dir, args: &[&str]) -> Process {
    dir.write("f.txt", "content");
    Process::launcher(&[&["-f", "-p", "127.0.0.1:0", "-h", dir.text()][..], args].concat())
}

fn script(dir: &Dir, name: &str, commands: &str) {
    dir.script(&format!("cgi-bin/{name}"), format!("#!/bin/sh\n{commands}\n"));
}

/// Two requests at once: for a script, and for a file behind it.
fn pipelined(name: &str, method: &str, version: &str) -> String {
    format!(
        "{method} /cgi-bin/{name} HTTP/{version}\r\nHost: h\r\n\r\n\
         GET /f.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    )
}

/// Everything that comes until the connection ends, and whether that end was an orderly one.
fn all(client: &mut Client) -> (String, bool) {
    let mut bytes = Vec::new();
    let end = client.stream.read_to_end(&mut bytes);
    if let Err(e) = &end {
        assert_eq!(e.kind(), ErrorKind::ConnectionReset);
    }
    (String::from_utf8(bytes).unwrap(), end.is_ok())
}

#[test]
fn a_length_too_short_cuts_the_rest_off() {
    let dir = Dir::new();
    script(&dir, "once", "printf 'Content-Length: 3\\n\\nabcdef'");
    script(&dir, "twice", "printf 'Content-Length: 3\\n\\nab'; sleep 0.1; printf cdef");
    script(
        &dir,
        "late",
        "printf 'Content-Length: 3\\n\\nabc'; sleep 0.1; printf 'HTTP/1.1 200 OK'",
    );
    script(&dir, "much", "printf 'Content-Length: 3\\n\\nabc'; head -c 300000 /dev/zero");
    script(&dir, "none", "printf 'Content-Length: 0\\n\\n'; sleep 0.1; head -c 300000 /dev/zero");
    let server = start(&dir, &[]);
    for (name, body) in
        [("once", "abc"), ("twice", "abc"), ("late", "abc"), ("much", "abc"), ("none", "")]
    {
        for method in ["GET", "HEAD"] {
            let mut client = Client::connect(server.addr);
            client.send(pipelined(name, method, "1.1"));
            let r = client.response(method);
            assert_eq!(r.header("content-length"), Some(&*body.len().to_string()), "{name}");
            assert_eq!(r.text(), if method == "HEAD" { "" } else { body }, "{name}");
            let r = client.response("GET");
            assert_eq!((r.status, r.text()), (200, "content"), "{method} {name}");
            assert!(client.is_closed(), "{method} {name}");
        }
    }
}

#[test]
fn a_length_too_long_ends_the_connection() {
    let dir = Dir::new();
    script(&dir, "once", "printf 'Content-Length: 400\\n\\nabc'");
    script(&dir, "twice", "printf 'Content-Length: 400\\n\\na'; sleep 0.1; printf bc");
    script(&dir, "none", "printf 'Content-Length: 400\\n\\n'; sleep 0.1");
    let server = start(&dir, &[]);
    for name in ["once", "twice", "none"] {
        for version in ["1.1", "1.0"] {
            let mut client = Client::connect(server.addr);
            client.send(pipelined(name, "GET", version));
            let (text, _) = all(&mut client);
            let shown = format!("{version} {name}: {text}");
            // What is no answer may be said to be none, as long as nothing has been sent.
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            if head.starts_with("HTTP/1.1 200 ") {
                assert!(head.contains("Content-Length: 400"), "{shown}");
                assert!("abc".starts_with(body), "{shown}");
            } else {
                assert!(head.starts_with("HTTP/1.1 502 ") && name != "twice", "{shown}");
                assert!(head.contains("Connection: close") && !body.contains("abc"), "{shown}");
            }
            assert!(!text.contains("content"), "{shown}");
        }
    }
}

#[test]
fn nobody_takes_an_answer_cut_short_for_whole() {
    let dir = Dir::new();
    let mut server = start(&dir, &[]);
    script(&dir, "open", "printf 'Content-Type: a/b\\n\\npart'; sleep 0.2; kill -9 $$");
    script(&dir, "known", "printf 'Content-Length: 400\\n\\npart'; sleep 0.2; kill -9 $$");
    script(&dir, "term", "printf 'Content-Type: a/b\\n\\npart'; sleep 0.2; kill $$");
    script(&dir, "crash", "printf 'Content-Type: a/b\\n\\npart'; sleep 0.2; kill -SEGV $$");
    for name in ["open", "known", "term", "crash"] {
        let mut client = Client::connect(server.addr);
        client.send(pipelined(name, "GET", "1.1"));
        let (text, _) = all(&mut client);
        assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("part"), "{name}: {text}");
        assert!(!text.contains("\r\n0\r\n"), "{name}: {text}");
        assert!(!text.contains("content"), "{name}: {text}");
        assert!(server.line().contains("killed by signal"), "{name}");

        // Where the end of the connection is that of the body, it must not look like one.
        let mut client = Client::connect(server.addr);
        client.send(format!("GET /cgi-bin/{name} HTTP/1.0\r\n\r\n"));
        let (text, orderly) = all(&mut client);
        assert!(text.contains("Content-Length: 400") || !orderly, "{name}: {text}");
    }
    script(&dir, "early", "kill -9 $$; printf 'Content-Type: a/b\\n\\nbody'");
    script(&dir, "exit", "exit 1");
    for name in ["early", "exit"] {
        let r = Client::connect(server.addr).get(&format!("/cgi-bin/{name}"), "");
        assert_eq!(r.status, 502, "{name}");
    }
}

#[test]
fn a_failure_after_the_whole_answer_is_the_scripts_own() {
    let dir = Dir::new();
    script(&dir, "open", "printf 'Content-Type: a/b\\n\\nwhole'; exit 1");
    script(&dir, "late", "printf 'Content-Type: a/b\\n\\nwhole'; sleep 0.1; exit 255");
    script(&dir, "known", "printf 'Content-Length: 5\\n\\nwhole'; exit 3");
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for name in ["open", "late", "known"] {
        let r = client.get(&format!("/cgi-bin/{name}"), "");
        assert_eq!((r.status, r.text()), (200, "whole"), "{name}");
    }
    assert_eq!(client.get("/f.txt", "").text(), "content");
}

#[test]
fn pieces_leave_when_they_are_there() {
    let dir = Dir::new();
    script(
        &dir,
        "it",
        "printf 'Content-Type: a/b\\n\\n'; i=0\n\
         while [ $i -lt 5 ]; do printf $i; while [ ! -e go$i ]; do sleep 0.02; done; i=$((i+1)); done",
    );
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    client.send("GET /cgi-bin/it HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().status, 200);
    for i in 0..5 {
        assert_eq!((client.line(), client.line()), ("1".into(), i.to_string()));
        dir.write(&format!("go{i}"), "");
    }
    assert_eq!((client.line(), client.line()), ("0".into(), String::new()));
    assert_eq!(client.get("/f.txt", "").text(), "content");
}

#[test]
fn a_script_that_has_said_all_may_go_on_by_itself() {
    let dir = Dir::new();
    script(
        &dir,
        "it",
        "echo $$ > pid\nprintf 'Content-Type: a/b\\n\\nbody'\nexec >&-\n\
         while [ ! -e go ]; do sleep 0.05; done\necho >> done",
    );
    // Its place is free again, too.
    let server = start(&dir, &["-n", "1", "-t", "1"]);
    let mut client = Client::connect(server.addr);
    for _ in 0..2 {
        let r = client.get("/cgi-bin/it", "");
        assert_eq!((r.status, r.text()), (200, "body"));
        assert!(is_alive(number_in(&dir.path("pid"))));
        assert_eq!(client.get("/f.txt", "").text(), "content");
    }
    drop(client);
    // What it does then is not cut short, by the end of the connection or the clock.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    dir.write("go", "");
    // Both of them, of which none is to be left behind.
    assert!(soon(|| std::fs::read(dir.path("done")).is_ok_and(|lines| lines.len() == 2)));
}

#[test]
fn what_a_script_leaves_behind_does_not_keep_the_client() {
    let dir = Dir::new();
    // Its standard output is still open there, and its input.
    script(&dir, "it", "sleep 30 & echo $! > pid\nprintf 'Content-Type: a/b\\n\\nbody'\nexit 0");
    script(&dir, "late", "(sleep 30; echo) & echo $! > pid\nprintf 'Location: /f.txt\\n\\n'");
    let server = start(&dir, &["-n", "1"]);
    let mut client = Client::connect(server.addr);
    for (name, text) in [("it", "body"), ("late", "content")] {
        for (method, body) in [("GET", &b""[..]), ("POST", b"12345")] {
            let r = client.request(method, &format!("/cgi-bin/{name}"), "", body);
            assert_eq!((r.status, r.text()), (200, text), "{name}");
            let pid = i32::try_from(number_in(&dir.path("pid"))).unwrap();
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            std::fs::remove_file(dir.path("pid")).unwrap();
        }
    }
}

#[test]
fn what_a_script_leaves_behind_may_be_talkative() {
    let dir = Dir::new();
    script(&dir, "it", "printf 'Content-Type: a/b\\n\\nbody'; yes & echo $! > pid; exit 0");
    let server = start(&dir, &["-n", "1", "-t", "2"]);
    for method in ["GET", "HEAD"] {
        let mut client = Client::connect(server.addr);
        let close = "Connection: close\r\n";
        client.send(format!("{method} /cgi-bin/it HTTP/1.1\r\nHost: h\r\n{close}\r\n"));
        assert_eq!(client.head().status, 200, "{method}");
        assert_eq!(Client::connect(server.addr).get("/f.txt", "").text(), "content", "{method}");
        // It ends at some time, and does not look as if it were whole.
        let (mut block, mut end) = (vec![0; 1 << 20], Vec::new());
        while let Ok(n @ 1..) = client.read(&mut block) {
            end.extend_from_slice(&block[..n]);
            end.drain(..end.len().saturating_sub(5));
        }
        assert_ne!(end, b"0\r\n\r\n", "{method}");
        assert!(method == "GET" || end.is_empty(), "{method}");
        let pid = number_in(&dir.path("pid"));
        assert!(soon(|| !is_alive(pid)), "nobody listens to it");
        std::fs::remove_file(dir.path("pid")).unwrap();
    }
}

#[test]
fn output_that_nobody_gets_does_not_go_on_for_ever() {
    let dir = Dir::new();
    let endless = "echo $$ > pid\nprintf 'Content-Type: a/b\\nLENGTH\\n'\nexec yes";
    script(&dir, "open", &endless.replace("LENGTH", ""));
    script(&dir, "known", &endless.replace("LENGTH", "Content-Length: 2\\n"));
    let server = start(&dir, &["-n", "1"]);
    for (method, name) in [("HEAD", "open"), ("HEAD", "known"), ("GET", "known"), ("GET", "open")] {
        let mut client = Client::connect(server.addr);
        client.send(format!("{method} /cgi-bin/{name} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(client.head().status, 200);
        let pid = number_in(&dir.path("pid"));
        // While it goes on, others get what they want.
        assert_eq!(Client::connect(server.addr).get("/f.txt", "").text(), "content");
        drop(client);
        assert!(soon(|| !is_alive(pid)), "{method} {name}");
        std::fs::remove_file(dir.path("pid")).unwrap();
    }
}
