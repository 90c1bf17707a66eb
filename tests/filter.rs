//! Requests from private networks to public addresses (`-R`), in a network of the test's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Client, Dir, Process};

/// A network namespace with these addresses, for as long as this lives.
struct Network(Child);

impl Network {
    /// None where this user, or this machine, cannot have one; it is then said why.
    fn new(addresses: &[&str]) -> Option<Network> {
        let mut script = String::from("ip link set lo up && ");
        for address in addresses {
            script.push_str(&format!("ip addr add {address} dev lo && "));
        }
        script.push_str("echo ready && exec sleep 300");
        let spawned = Command::new("unshare")
            .args(["-n", "sh", "-ec", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = spawned else {
            println!("skipped: there is no unshare(1)");
            return None;
        };
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        let network = Network(child);
        BufReader::new(output).read_line(&mut line).unwrap();
        if line.trim() == "ready" {
            return Some(network);
        }
        println!("skipped: this user cannot have a network of its own, or not with {addresses:?}");
        None
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([&format!("--net=/proc/{}/ns/net", self.0.id()), program]);
        command
    }

    fn launcher(&self, args: &[&str]) -> Process {
        let mut command = self.command(env!("CARGO_BIN_EXE_ecohttpd"));
        command.args(args);
        Process::start(command)
    }

    /// What clients are answered, each with an address of its own and the one that it connects to.
    fn ask(&self, pairs: &[(&str, &str)], port: u16, request: &str) -> Vec<String> {
        const CLIENT: &str = "import socket, sys
port, request, *pairs = sys.argv[1:]
while pairs:
    source, to = pairs[:2]
    pairs = pairs[2:]
    family, _, _, _, here = socket.getaddrinfo(source, 0, type=socket.SOCK_STREAM)[0]
    there = socket.getaddrinfo(to, port, type=socket.SOCK_STREAM)[0][4]
    with socket.socket(family) as s:
        s.settimeout(20)
        s.bind(here)
        s.connect(there)
        s.sendall(request.encode())
        while piece := s.recv(65536):
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.write(b'\\0')
";
        let mut command = self.command("python3");
        command.args(["-c", CLIENT, &port.to_string(), request]);
        command.args(pairs.iter().flat_map(|(from, to)| [from, to]));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{pairs:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let answers: Vec<_> = text.split_terminator('\0').map(str::to_owned).collect();
        assert_eq!(answers.len(), pairs.len(), "{text}");
        answers
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const REQUEST: &str = "GET /f.txt HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n";

fn is_ok(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\ncontent")
}

fn is_refused(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 403 Forbidden\r\n") && !answer.contains("content")
}

#[test]
fn who_is_here_is_let_in() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let server = Process::launcher(&["-f", "-p", "127.0.0.1:0", "-R", "-h", dir.text()]);
    assert_eq!(Client::connect(server.addr).get("/f.txt", "").text(), "content");
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let server = Process::launcher(&["-f", "-p", "[::1]:0", "-R", "-h", dir.text()]);
        assert_eq!(Client::connect(server.addr).get("/f.txt", "").text(), "content");
    }
    // A Unix socket has no address that could be anybody's.
    let socket = dir.path("socket");
    let listen = format!("unix:{}", socket.display());
    let args = ["-f", "-p", "127.0.0.1:0", "-p", &listen, "-R", "-h", dir.text()];
    let _server = Process::launcher(&args);
    let end = Instant::now() + Duration::from_secs(20);
    let stream = loop {
        match std::os::unix::net::UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            Err(e) => assert!(Instant::now() < end, "{e}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(common::Client { stream }.get("/f.txt", "").text(), "content");
}

#[test]
fn private_ipv4_clients_get_nothing_from_a_public_address() {
    let private = ["10.1.2.3", "172.16.0.9", "172.31.255.1", "192.168.7.7"];
    let public = ["203.0.113.1", "172.32.0.1", "192.169.0.1", "11.0.0.1", "100.64.0.1"];
    let all: Vec<_> = private.iter().chain(&public).map(|ip| format!("{ip}/32")).collect();
    let Some(network) = Network::new(&all.iter().map(String::as_str).collect::<Vec<_>>()) else {
        return;
    };
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let pairs = private.iter().chain(&public).flat_map(|&from| {
        let others = private.iter().chain(&public).filter(move |to| **to != from);
        others.map(move |&to| (from, to))
    });
    let pairs: Vec<_> = pairs.collect();
    for options in [&["-R"][..], &[]] {
        let mut args = vec!["-f", "-p", "0.0.0.0:0", "-h", dir.text()];
        args.extend(options);
        let server = network.launcher(&args);
        let answers = network.ask(&pairs, server.addr.port(), REQUEST);
        for ((from, to), answer) in pairs.iter().zip(answers) {
            let refused = !options.is_empty() && private.contains(from) && public.contains(to);
            let right = if refused { is_refused(&answer) } else { is_ok(&answer) };
            assert!(right, "{from} {to} {options:?}: {answer}");
        }
    }
}

#[test]
fn private_ipv6_clients_get_nothing_from_a_public_address() {
    let addresses =
        ["fd00::1/128", "fc00:1::2/128", "fe80::1:1/64", "2001:db8::1/128", "2001:db8::2/128"];
    let Some(network) = Network::new(&addresses) else {
        return;
    };
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let server = network.launcher(&["-f", "-p", "[::]:0", "-R", "-h", dir.text()]);
    let cases = [
        ("fd00::1", "2001:db8::1", false),
        ("fc00:1::2", "2001:db8::1", false),
        ("fe80::1:1%lo", "2001:db8::1", false),
        ("fd00::1", "fc00:1::2", true),
        ("fd00::1", "fe80::1:1%lo", true),
        ("fe80::1:1%lo", "fd00::1", true),
        ("2001:db8::2", "2001:db8::1", true),
        ("2001:db8::2", "fd00::1", true),
        ("2001:db8::2", "fe80::1:1%lo", true),
        ("::1", "2001:db8::1", true),
    ];
    let pairs = cases.map(|(from, to, _)| (from, to));
    let answers = network.ask(&pairs, server.addr.port(), REQUEST);
    for ((from, to, let_in), answer) in cases.into_iter().zip(answers) {
        assert!(if let_in { is_ok(&answer) } else { is_refused(&answer) }, "{from} {to}: {answer}");
    }
}

#[test]
fn who_is_refused_is_so_before_anything_is_looked_at() {
    let Some(network) = Network::new(&["10.1.2.3/32", "203.0.113.1/32"]) else {
        return;
    };
    let dir = Dir::new();
    dir.write("prot/f.txt", "content");
    let script =
        dir.write("cgi-bin/run", "#!/bin/sh\necho >\"$DOCUMENT_ROOT/ran\"\nprintf '\\n'\n");
    std::fs::set_permissions(script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let conf = dir.write("conf", "/prot:me:it\nE404:/cgi-bin/run\n");
    let args = ["-f", "-p", "0.0.0.0:0", "-R", "-h", dir.text(), "-c", conf.to_str().unwrap()];
    let server = network.launcher(&args);
    let ask = |request: &str| {
        network.ask(&[("10.1.2.3", "203.0.113.1")], server.addr.port(), request).remove(0)
    };
    for path in ["/", "/prot/f.txt", "/none", "/cgi-bin/run", "/../x"] {
        let request = REQUEST.replace("/f.txt", path);
        let answer = ask(&request);
        assert!(is_refused(&answer) && !answer.contains("WWW-Auth"), "{path}: {answer}");
    }
    let answer = ask("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(is_refused(&answer) && answer.ends_with("\r\n\r\n"), "{answer}");
    // A body is read away, and is no second request.
    let body = "GET /f.txt HTTP/1.1\r\n\r\n";
    let answer = ask(&format!(
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(!dir.path("ran").exists());
}

#[test]
fn an_address_that_comes_later_is_served_once_it_is_there() {
    let Some(network) = Network::new(&["10.1.2.3/32", "2001:db8::2/128"]) else {
        return;
    };
    let dir = Dir::new();
    dir.write("f.txt", "content");
    for (bound, later, from) in [
        ("203.0.113.1:0", "203.0.113.1/32", "10.1.2.3"),
        ("[2001:db8::1]:0", "2001:db8::1/128", "2001:db8::2"),
    ] {
        let server = network.launcher(&["-f", "-p", bound, "-h", dir.text()]);
        let mut add = network.command("ip");
        assert!(add.args(["addr", "add", later, "dev", "lo"]).status().unwrap().success());
        let to = server.addr.ip().to_string();
        let answers = network.ask(&[(from, &to)], server.addr.port(), REQUEST);
        assert!(is_ok(&answers[0]), "{bound}");
    }
}
