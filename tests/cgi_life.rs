//! Scripts as processes: what they inherit, how they end, and what is left of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::net::Shutdown;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

use common::{Client, Dir, Process, is_alive, number_in, soon};
use rustix::process::Signal;

fn launcher(dir: &Dir, args: &[&str]) -> Process {
    dir.write("f.txt", "content");
    Process::launcher(&[&["-f", "-p", "127.0.0.1:0", "-h", dir.text()][..], args].concat())
}

fn script(dir: &Dir, name: &str, commands: &str) {
    dir.script(&format!("cgi-bin/{name}"), format!("#!/bin/sh\n{commands}\n"));
}

/// A client that has asked for a script and not read what comes.
fn asking(server: &Process, name: &str) -> Client {
    let mut client = Client::connect(server.addr);
    client.send(format!("GET /cgi-bin/{name} HTTP/1.1\r\nHost: h\r\n\r\n"));
    client
}

/// The children of a process that have ended and were not reaped.
fn zombies(parent: u32) -> usize {
    let ended = |stat: &str| {
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut fields = rest.split(' ');
        fields.next() == Some("Z") && fields.next() == Some(&parent.to_string())
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter(|stat| ended(stat)).count()
}

fn descriptors(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.child.id())).unwrap().count()
}

fn end(process: &mut Process) -> Option<ExitStatus> {
    for _ in 0..750 {
        if let Some(status) = process.child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
    None
}

/// It writes down who it is, and is not the only one.
const FOREVER: &str =
    "sleep 30 & echo $! > child$QUERY_STRING; echo $$ > script$QUERY_STRING; wait";

#[test]
fn whoever_goes_takes_the_script_along() {
    let dir = Dir::new();
    script(&dir, "silent", FOREVER);
    script(&dir, "begun", &format!("printf 'Content-Type: a/b\\n\\npart'; {FOREVER}"));
    script(
        &dir,
        "busy",
        "echo $$ > script$QUERY_STRING; echo $$ > child$QUERY_STRING\n\
         printf 'Content-Type: a/b\\n\\n'; while :; do printf x; done",
    );
    let server = launcher(&dir, &["-n", "9", "-t", "0"]);
    // By closing it, by breaking it off, and with another request under way.
    let clients: Vec<_> = [
        ("silent", "close"),
        ("silent", "reset"),
        ("silent", "pipelined"),
        ("begun", "close"),
        ("begun", "reset"),
        ("busy", "close"),
    ]
    .into_iter()
    .enumerate()
    .map(|(n, (name, way))| {
        let mut client = asking(&server, &format!("{name}?{n}"));
        let pids = ["script", "child"].map(|of| number_in(&dir.path(&format!("{of}{n}"))));
        assert!(pids.iter().all(|pid| is_alive(*pid)), "{name} {way}");
        match way {
            "reset" => {
                let linger = Some(Duration::ZERO);
                rustix::net::sockopt::set_socket_linger(&client.stream, linger).unwrap();
            }
            "pipelined" => client.send("GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n"),
            _ => {}
        }
        (name, way, pids, client)
    })
    .collect();
    let gone: Vec<_> = clients.into_iter().map(|(name, way, pids, _)| (name, way, pids)).collect();
    for (name, way, pids) in gone {
        for pid in pids {
            assert!(soon(|| !is_alive(pid)), "{name} {way}");
        }
    }
    assert_eq!(Client::connect(server.addr).get("/f.txt", "").text(), "content");
    assert!(soon(|| zombies(server.child.id()) == 0), "they were not reaped");
}

#[test]
fn whoever_only_stops_talking_may_still_listen() {
    let dir = Dir::new();
    script(
        &dir,
        "it",
        "sleep 0.3; printf 'Content-Type: a/b\\n\\n'; sleep 0.3; printf '<%s>' \"$(cat)\"",
    );
    let server = launcher(&dir, &[]);
    for body in ["", "body"] {
        let mut client = Client::connect(server.addr);
        let length = body.len();
        client.send(format!(
            "POST /cgi-bin/it HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.response("POST").text(), format!("<{body}>"));
    }
}

#[cfg(feature = "tls")]
#[test]
fn whoever_goes_is_missed_with_https_too() {
    let dir = Dir::new();
    script(&dir, "silent", FOREVER);
    let pki = |name: &str| format!("{}/tests/pki/{name}", env!("CARGO_MANIFEST_DIR"));
    let (cert, key) = (pki("localhost.pem"), pki("localhost.key"));
    let server = Process::launcher(&[
        "-f",
        "-s",
        "127.0.0.1:0",
        "-C",
        &cert,
        "-K",
        &key,
        "-h",
        dir.text(),
        "-t",
        "0",
    ]);
    let mut curl = Command::new("curl")
        .args(["-sk", "--max-time", "20", "--noproxy", "*", "-o", "/dev/null"])
        .arg(format!("https://{}/cgi-bin/silent", server.addr))
        .spawn()
        .unwrap();
    let pids = ["script", "child"].map(|name| number_in(&dir.path(name)));
    curl.kill().unwrap();
    curl.wait().unwrap();
    for pid in pids {
        assert!(soon(|| !is_alive(pid)));
    }
}

#[test]
fn nothing_of_the_servers_is_a_scripts() {
    let dir = Dir::new();
    // `ls` has the directory open that it lists.
    script(&dir, "fds", "printf 'Content-Type: a/b\\n\\n'; exec ls /proc/self/fd");
    script(&dir, "status", "printf 'Content-Type: a/b\\n\\n'; exec cat /proc/self/status");
    script(&dir, "other", FOREVER);
    dir.write("f.txt", vec![b'x'; 32 << 20]);
    let log = dir.path("log");
    // Some who start it leave their own descriptors open.
    let mut command = Command::new("sh");
    command.args(["-c", "exec 7</dev/null 8</ 9>&2; exec \"$0\" \"$@\""]);
    command.arg(env!("CARGO_BIN_EXE_ecohttpd"));
    command.args(["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "-n", "9"]);
    command.args(["--access-log", log.to_str().unwrap()]);
    let server = Process::start(command);
    // And it is busy: with other scripts, connections, and a file.
    let mut busy: Vec<_> = (0..3).map(|_| asking(&server, "other")).collect();
    busy.push(Client::connect(server.addr));
    let mut slow = Client::connect(server.addr);
    slow.send("GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(slow.head().status, 200);
    number_in(&dir.path("child"));
    let mut client = Client::connect(server.addr);
    let chunks = "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    for rest in ["\r\n", "Content-Length: 4\r\n\r\nbody", chunks] {
        client.send(format!("POST /cgi-bin/fds HTTP/1.1\r\nHost: h\r\n{rest}"));
        assert_eq!(client.response("POST").text(), "0\n1\n2\n3\n", "{rest}");
        client.send(format!("POST /cgi-bin/status HTTP/1.1\r\nHost: h\r\n{rest}"));
        let r = client.response("POST");
        let signals = |name: &str| {
            let line = r.text().lines().find(|line| line.starts_with(name)).unwrap();
            u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
        };
        let pipe = 1 << (Signal::PIPE.as_raw() - 1);
        assert_eq!((signals("SigBlk:"), signals("SigIgn:") & pipe), (0, 0), "{rest}");
    }
}

#[test]
fn nothing_of_many_scripts_is_left() {
    let dir = Dir::new();
    let head = "printf 'Content-Type: a/b\\n\\n'";
    script(&dir, "good", &format!("{head}; exec cat"));
    script(&dir, "bad", "exit 1");
    script(&dir, "crash", &format!("{head}; kill -9 $$"));
    script(&dir, "there", "printf 'Location: /cgi-bin/good\\n\\n'");
    script(&dir, "on", &format!("{head}; exec >&-; exec <&-; sleep 0.1"));
    dir.script("cgi-bin/odd", "no program");
    let server = launcher(&dir, &["-n", "5"]);
    let round = |n: usize| {
        for i in 0..n {
            for name in ["good", "bad", "crash", "there", "odd", "on"] {
                if name == "on" && i % 8 != 0 {
                    continue;
                }
                let mut client = Client::connect(server.addr);
                let chunks = "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
                let framing = ["\r\n", "Content-Length: 4\r\n\r\nbody", chunks][i % 3];
                client.send(format!("POST /cgi-bin/{name} HTTP/1.1\r\nHost: h\r\n{framing}"));
                if i % 5 == 4 {
                    continue; // gone
                }
                let status = client.head().status;
                let expected: &[u16] = match name {
                    "bad" => &[502],
                    "crash" => &[200, 502],
                    "odd" => &[500, 502],
                    _ => &[200],
                };
                assert!(expected.contains(&status), "{name}: {status}");
            }
        }
    };
    // What it opens once and for all, it has then.
    round(5);
    let pid = server.child.id();
    let settled = || {
        let before = descriptors(&server);
        thread::sleep(Duration::from_millis(500));
        before == descriptors(&server) && zombies(pid) == 0
    };
    assert!(soon(settled));
    let before = descriptors(&server);
    round(40);
    assert!(soon(|| descriptors(&server) <= before), "{} of {before}", descriptors(&server));
    assert!(soon(|| zombies(pid) == 0), "{}", zombies(pid));
}

#[test]
fn what_a_script_complains_about_is_in_the_log() {
    let dir = Dir::new();
    script(&dir, "it", "echo 'a complaint' >&2; printf 'Content-Type: a/b\\n\\nbody'");
    let mut server = launcher(&dir, &[]);
    let r = Client::connect(server.addr).get("/cgi-bin/it", "");
    assert_eq!((r.status, r.text()), (200, "body"));
    assert_eq!(server.line(), "a complaint");
}

#[test]
fn the_end_waits_for_scripts() {
    let dir = Dir::new();
    let body = "printf 'Content-Type: a/b\\n\\nfirst'; echo $$ > script\n\
        while [ ! -e go ]; do sleep 0.05; done; printf second";
    script(&dir, "it", body);
    let mut server = launcher(&dir, &["-n", "1"]);
    let mut running = asking(&server, "it");
    assert_eq!(running.head().status, 200);
    number_in(&dir.path("script"));
    let mut queued = asking(&server, "it");
    // Whoever was there before is served, in the queue too.
    assert_eq!(Client::connect(server.addr).get("/f.txt", "").text(), "content");
    server.signal(Signal::TERM);
    assert!(soon(|| std::net::TcpStream::connect(server.addr).is_err()));
    thread::sleep(Duration::from_millis(500));
    assert_eq!(server.child.try_wait().unwrap(), None, "a script was under way");
    dir.write("go", "");
    for (size, content) in [("5", "first"), ("6", "second"), ("0", "")] {
        assert_eq!((running.line(), running.line()), (size.into(), content.into()));
    }
    assert!(running.is_closed());
    let r = queued.response("GET");
    assert_eq!((r.status, r.text()), (200, "firstsecond"));
    assert_eq!(end(&mut server).expect("the end of it").code(), Some(0));
}

#[test]
fn a_script_that_hangs_keeps_the_end_only_once() {
    let dir = Dir::new();
    script(&dir, "it", FOREVER);
    let mut server = launcher(&dir, &["-t", "0"]);
    let client = asking(&server, "it");
    let pids = ["script", "child"].map(|name| number_in(&dir.path(name)));
    server.signal(Signal::TERM);
    assert!(soon(|| std::net::TcpStream::connect(server.addr).is_err()));
    thread::sleep(Duration::from_millis(300));
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    assert_eq!(server.child.try_wait().unwrap(), None);
    server.signal(Signal::TERM);
    assert_eq!(end(&mut server).expect("the end of it").code(), Some(0));
    for pid in pids {
        assert!(soon(|| !is_alive(pid)));
    }
    drop(client);
}
