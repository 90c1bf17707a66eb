//! How many, how long and how often, as the launcher is told (`-N`, `-k`, `-T`, `-A`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::{Client, Dir, LOCAL, Process};
use rustix::net::sockopt;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open};

fn serving(dir: &Dir, options: &[&str]) -> Process {
    let mut args = vec!["-f", "-p", "127.0.0.1:0", "-h", dir.text()];
    args.extend(options);
    Process::launcher(&args)
}

fn docroot() -> Dir {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    dir.write("big.bin", vec![b'x'; 32 << 20]);
    dir
}

fn is_answered(client: &mut Client) -> bool {
    let r = client.get("/f.txt", "");
    (r.status, r.text()) == (200, "content")
}

/// Whether the server has closed the connection by now, or does so soon.
fn is_gone(client: &mut Client) -> bool {
    client.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    matches!(client.stream.peek(&mut [0]), Ok(0) | Err(_))
}

fn is_there(client: &mut Client) -> bool {
    client.stream.set_nonblocking(true).unwrap();
    let there = client.stream.peek(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
    client.stream.set_nonblocking(false).unwrap();
    there
}

#[test]
fn whoever_idles_longest_makes_room_for_the_next() {
    let dir = docroot();
    let server = serving(&dir, &["-N", "3"]);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(server.addr)).collect();
    for client in &mut clients {
        assert!(is_answered(client));
    }
    // The first one has been heard of last.
    assert!(is_answered(&mut clients[0]));
    for gone in [1, 2, 0] {
        let mut next = Client::connect(server.addr);
        assert!(is_answered(&mut next), "there is room");
        assert!(is_gone(&mut clients[gone]), "{gone} has idled for longest");
        clients.push(next);
        let here = [1, 2, 0, 3, 4, 5];
        let after = here.iter().position(|&i| i == gone).unwrap() + 1;
        for &i in &here[after..] {
            if let Some(client) = clients.get_mut(i) {
                assert!(is_there(client), "{i} has not when {gone} had");
            }
        }
    }
}

#[test]
fn whoever_is_busy_makes_room_for_nobody() {
    let dir = docroot();
    let server = serving(&dir, &["-N", "2"]);
    // Downloads that wait for those who asked for them.
    let mut busy: Vec<_> = (0..2).map(|_| Client::connect(server.addr)).collect();
    for client in &mut busy {
        sockopt::set_socket_recv_buffer_size(&client.stream, 32 << 10).unwrap();
        client.send("GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head().status, 200);
    }
    let mut next = Client::connect(server.addr);
    next.send("GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    next.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(next.read(&mut [0]).is_err(), "there was no room");
    // It is let in once one of them is done, and none was cut short for it.
    let mut whole = vec![0; 32 << 20];
    busy[0].stream.read_exact(&mut whole).unwrap();
    next.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let r = next.response("GET");
    assert_eq!((r.status, r.text()), (200, "content"));
    busy[1].stream.read_exact(&mut whole).unwrap();
}

#[test]
fn whoever_asks_before_it_is_gone_is_answered() {
    let dir = docroot();
    let server = serving(&dir, &["-N", "200", "-k", "2"]);
    // More than are told of at once.
    let mut clients: Vec<_> = (0..150).map(|_| Client::connect(server.addr)).collect();
    for client in &mut clients {
        assert!(is_answered(client));
    }
    server.signal(Signal::STOP);
    // Until all of their deadlines are over, which it then sees first.
    sleep(Duration::from_millis(4500));
    for client in &mut clients {
        client.send("GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    server.signal(Signal::CONT);
    for client in &mut clients {
        assert_eq!(client.response("GET").status, 200);
    }
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    const MANY: u64 = 200;
    let dir = docroot();
    let server = serving(&dir, &["-N", "400"]);
    let (line, end) = ("GET /f.txt HTTP/1.1\r\nHost: h\r\nX: ", "\r\n\r\n");
    // Two are just what a buffer holds, so that the server has to look whether there is more.
    let request = format!("{line}{}{end}", "x".repeat(4096 - line.len() - end.len()));
    let idle = || {
        let mut client = Client::connect(server.addr);
        client.send(request.repeat(2));
        assert_eq!([client.response("GET").status, client.response("GET").status], [200, 200]);
        client
    };
    let first = idle();
    let before = server.status("RssAnon");
    let clients: Vec<_> = (0..MANY).map(|_| idle()).collect();
    let each = server.status("RssAnon").saturating_sub(before) * 1024 / MANY;
    assert!(each < 2048, "{each} bytes each");
    drop((first, clients));
}

#[test]
fn without_keep_alive_every_connection_has_one_request() {
    let dir = docroot();
    let server = serving(&dir, &["-k", "0"]);
    let twice = "GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2);
    for (request, status) in [
        (&*twice, 200),
        ("GET /none HTTP/1.1\r\nHost: h\r\n\r\n", 404),
        ("GET /f.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200),
    ] {
        let mut client = Client::connect(server.addr);
        client.send(request);
        let r = client.response("GET");
        assert_eq!((r.status, r.header("connection")), (status, Some("close")));
        assert!(client.is_closed(), "{request}");
    }
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let dir = docroot();
    let (short, long) = (serving(&dir, &["-k", "1"]), serving(&dir, &[]));
    let mut clients = [&short, &long].map(|server| Client::connect(server.addr));
    for client in &mut clients {
        assert!(is_answered(client));
    }
    let [mut short, mut long] = clients;
    // Nothing is said meanwhile, neither a last chunk nor an error.
    assert!(short.is_closed());
    assert!(is_there(&mut long), "who is given 20 seconds");
    assert!(is_answered(&mut long));
}

#[test]
fn a_head_has_as_long_as_it_is_given() {
    let dir = docroot();
    let server = serving(&dir, &["-T", "1"]);
    let (mut silent, mut slow) = (Client::connect(server.addr), Client::connect(server.addr));
    slow.send("GET /f.txt HTTP/1.1\r\nHo");
    let r = slow.response("GET");
    assert_eq!((r.status, r.header("connection")), (408, Some("close")));
    assert!(slow.is_closed());
    assert!(silent.is_closed(), "who asks for nothing is told nothing");
    // To send a little now and then does not help: it is told long before it has sent all.
    let mut trickling = Client::connect(server.addr);
    trickling.stream.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
    let request = format!("GET /f.txt HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(60));
    let told = request.bytes().any(|b| {
        let _ = trickling.stream.write_all(&[b]);
        trickling.stream.peek(&mut [0]).is_ok()
    });
    assert!(told);
    assert_eq!(trickling.response("GET").status, 408);
    // Nor has a body longer between two of its bytes, be it for a script or for nobody.
    let script = dir.write("cgi-bin/read", "#!/bin/sh\ncat >/dev/null; printf '\\nread'");
    fs::set_permissions(script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for (path, status) in [("/cgi-bin/read", 408), ("/f.txt", 405)] {
        let mut client = Client::connect(server.addr);
        client.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"));
        assert_eq!(client.response("POST").status, status, "{path}");
        assert!(client.is_closed(), "{path}");
    }
}

#[test]
fn who_takes_nothing_is_not_waited_for() {
    let dir = docroot();
    let server = serving(&dir, &["-T", "1", "-N", "1"]);
    let mut stuck = Client::connect(server.addr);
    sockopt::set_socket_recv_buffer_size(&stuck.stream, 32 << 10).unwrap();
    stuck.send("GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(stuck.head().status, 200);
    assert!(is_answered(&mut Client::connect(server.addr)), "its place is free again");
    let mut rest = Vec::new();
    let _ = stuck.stream.read_to_end(&mut rest);
    assert!(rest.len() < 32 << 20, "it was cut off");
}

/// A descriptor of the process to which `which` applies, as one of our own.
fn borrowed(server: &Process, which: impl Fn(&OwnedFd) -> bool) -> Option<OwnedFd> {
    let pidfd = pidfd_open(server.pid(), PidfdFlags::empty()).unwrap();
    fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap().find_map(|entry| {
        let number = entry.unwrap().file_name().to_str().unwrap().parse().unwrap();
        match pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()) {
            Ok(fd) => Some(fd).filter(|fd| which(fd)),
            Err(rustix::io::Errno::PERM | rustix::io::Errno::NOSYS) => None,
            Err(e) => panic!("{e}"),
        }
    })
}

fn is_listener(fd: &OwnedFd) -> bool {
    sockopt::socket_acceptconn(fd).unwrap_or(false)
}

/// Pending Fast Open requests that a listener takes, which rustix does not tell.
fn fast_open(listener: OwnedFd) -> String {
    let output = Command::new("python3")
        .args(["-c", "import socket; print(socket.socket(fileno=0).getsockopt(6, 23))"])
        .stdin(Stdio::from(listener))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Probed or not, after how long, how often, and how many times.
fn keep_alive(fd: &OwnedFd) -> (bool, u64, u64, u32) {
    (
        sockopt::socket_keepalive(fd).unwrap(),
        sockopt::tcp_keepidle(fd).unwrap().as_secs(),
        sockopt::tcp_keepintvl(fd).unwrap().as_secs(),
        sockopt::tcp_keepcnt(fd).unwrap(),
    )
}

#[test]
fn silent_connections_are_probed_if_it_is_asked_for() {
    let dir = docroot();
    for (options, probed) in
        [(&["-A", "7"][..], Some((true, 1, 7, 3))), (&["-A", "0"], None), (&[], None)]
    {
        let server = serving(&dir, options);
        let mut client = Client::connect(server.addr);
        assert!(is_answered(&mut client));
        let Some(listener) = borrowed(&server, is_listener) else {
            println!("skipped: nobody may look at the sockets of another process here");
            return;
        };
        let peer = client.stream.local_addr().unwrap();
        let connection = borrowed(&server, |fd| {
            let socket = TcpStream::from(fd.try_clone().unwrap());
            socket.peer_addr().is_ok_and(|at| at == peer)
        });
        for fd in [&listener, &connection.expect("the connection")] {
            match probed {
                Some(probed) => assert_eq!(keep_alive(fd), probed, "{options:?}"),
                None => assert!(!keep_alive(fd).0, "{options:?}"),
            }
        }
        assert_eq!(fast_open(listener), if probed.is_some() { "5" } else { "0" }, "{options:?}");
    }
}

/// A child process that does not outlive its test.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What somebody else has bound is probed like the rest: the option is about connections.
#[test]
fn connections_to_an_inherited_socket_are_probed_too() {
    let dir = docroot();
    let listener = TcpListener::bind(LOCAL).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut command = Command::new("sh");
    // The shell hands it over as it got it, which is as its standard input.
    let run = "exec 5<&0 </dev/null; exec \"$0\" -f -p fd:5 -A 7 -h \"$1\"";
    command.args(["-c", run, env!("CARGO_BIN_EXE_ecohttpd"), dir.text()]);
    let fd = OwnedFd::from(listener.try_clone().unwrap());
    assert!(fd.as_raw_fd() > 2);
    let _server = Owned(command.stdin(Stdio::from(fd)).stderr(Stdio::null()).spawn().unwrap());
    assert!(is_answered(&mut Client::connect(addr)));
    assert_eq!(keep_alive(&listener.into()), (true, 1, 7, 3));
}
