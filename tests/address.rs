//! Where the launcher listens: families, names, descriptors, and what is taken already.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{Client, Dir, LOCAL, free_addr};
use rustix::process::{Pid, Signal, kill_process};

const LAUNCHER: &str = env!("CARGO_BIN_EXE_ecohttpd");

/// A launcher, killed when this goes.
struct Server {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Server {
    fn start(args: &[&str]) -> Server {
        let mut command = Command::new(LAUNCHER);
        command.args(["-f", "-c", "/dev/null"]).args(args).stdin(Stdio::null());
        Server::spawn(command)
    }

    /// With `socket` as its descriptor 7, which nobody else has then, and one that nobody told it of.
    fn start_with(socket: impl Into<OwnedFd>, args: &[&str]) -> Server {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 7<&0 8</dev/zero </dev/null", LAUNCHER]);
        command.args(["-f", "-c", "/dev/null"]).args(args).stdin(Stdio::from(socket.into()));
        Server::spawn(command)
    }

    fn spawn(mut command: Command) -> Server {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        Server { child, lines }
    }

    fn line(&self) -> String {
        let line = self.lines.recv_timeout(Duration::from_secs(20)).expect("a line");
        line.strip_prefix("ecohttpd: ").expect(&line).to_owned()
    }

    /// Where it says in the next line that it listens.
    fn addr(&self) -> SocketAddr {
        let line = self.line();
        let addr = line.strip_prefix("listening on ").expect(&line);
        addr.parse().expect(&line)
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory with one file.
fn docroot() -> Dir {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    dir
}

fn serves(addr: impl Into<SocketAddr>) {
    assert_eq!(Client::connect(addr.into()).get("/f.txt", "").text(), "content");
}

/// Whether this machine has IPv6; if not, that is printed.
fn has_ipv6() -> bool {
    let has = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !has {
        println!("skipped: there is no IPv6 here");
    }
    has
}

/// Runs a shell script in a network of its own, where it is root. Without such a thing that is
/// printed, and nothing returned.
fn in_network(script: &str, dir: &Dir) -> Option<Output> {
    let enter: &[&str] = if rustix::process::getuid().is_root() { &["-n"] } else { &["-rn"] };
    let can = Command::new("unshare").args(enter).args(["ip", "link", "set", "lo", "up"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        println!("skipped: no network namespace can be had here, or there is no ip(8)");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(enter).args(["sh", "-e", "-c"]);
    let output = command.arg(script).arg(LAUNCHER).arg(dir.text()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    Some(output)
}

#[test]
fn a_port_alone_is_every_address_of_both_families() {
    if !has_ipv6() {
        return;
    }
    let dir = docroot();
    // Free for both a moment ago.
    let port = loop {
        let v6 = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let port = v6.local_addr().unwrap().port();
        drop(v6);
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            break port;
        }
    };
    let server = Server::start(&["-p", &port.to_string(), "-h", dir.text()]);
    assert_eq!(server.addr(), (Ipv4Addr::UNSPECIFIED, port).into());
    assert_eq!(server.addr(), (Ipv6Addr::UNSPECIFIED, port).into());
    serves((Ipv4Addr::LOCALHOST, port));
    serves((Ipv6Addr::LOCALHOST, port));
}

#[test]
fn an_ipv6_address_is_not_ipv4_too() {
    if !has_ipv6() {
        return;
    }
    let dir = docroot();
    for any in ["[::]:0", "[::1]:0"] {
        let server = Server::start(&["-p", any, "-h", dir.text()]);
        let port = server.addr().port();
        serves((Ipv6Addr::LOCALHOST, port));
        let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{any}");
    }
}

#[test]
fn names_are_looked_up() {
    let dir = docroot();
    let server = Server::start(&["-p", "localhost:0", "-h", dir.text(), "-p", "127.0.0.1:0"]);
    // One line for each address of the name, and one for the last.
    let mut addrs = vec![server.addr()];
    while let Ok(line) = server.lines.recv_timeout(Duration::from_millis(500)) {
        addrs.push(line.rsplit(' ').next().unwrap().parse().expect(&line));
    }
    assert!(addrs.len() >= 2, "{addrs:?}");
    for addr in addrs {
        assert!(addr.ip().is_loopback(), "{addr}");
        serves(addr);
    }
}

#[test]
fn an_address_may_come_later_than_its_server() {
    let dir = docroot();
    // An address for documentation, which no interface has.
    let args = ["-p", "198.51.100.7:0", "-p", "127.0.0.1:0", "-h", dir.text()];
    let server = Server::start(&args);
    assert_eq!(server.addr().ip(), Ipv4Addr::new(198, 51, 100, 7));
    serves(server.addr());
    let script = r#"
        ip link set lo up
        cd "$1"
        "$0" -f -c /dev/null -p 198.51.100.7:8080 -p '[2001:db8::7]:8080' -h "$1" 2> said &
        pid=$!
        trap 'kill -9 $pid 2> said || true' EXIT
        until [ "$(grep -c 'listening on' said)" = 2 ]; do kill -0 $pid; sleep 0.02; done
        ip addr add 198.51.100.7/32 dev lo
        ip addr add 2001:db8::7/128 dev lo nodad || echo content
        # A busy kernel takes a moment until it knows the way to a new address.
        get() { curl -sS -g --noproxy '*' --max-time 10 --retry 5 --retry-all-errors "http://$1:8080/f.txt"; echo; }
        get 198.51.100.7
        if ip addr show dev lo | grep -q 2001:db8::7; then get '[2001:db8::7]'; fi
        kill $pid
        wait $pid
        trap - EXIT
    "#;
    if let Some(output) = in_network(script, &dir) {
        assert_eq!(String::from_utf8_lossy(&output.stdout), "content\ncontent\n");
    }
}

#[test]
fn link_local_addresses_have_a_scope() {
    let dir = docroot();
    let script = r#"
        ip link set lo up
        cd "$1"
        if ! ip addr add fe80::7/64 dev lo nodad; then echo no IPv6; exit; fi
        "$0" -f -c /dev/null -p '[fe80::7%lo]:8080' -p '[fe80::7%1]:8081' -h "$1" 2> said &
        pid=$!
        trap 'kill -9 $pid 2> said || true' EXIT
        until [ "$(grep -c 'listening on' said)" = 2 ]; do kill -0 $pid; sleep 0.02; done
        # A busy kernel takes a moment until it knows the way to a new address.
        get() { curl -sS -g --noproxy '*' --max-time 10 --retry 5 --retry-all-errors "http://[fe80::7%25lo]:$1/f.txt"; echo; }
        get 8080
        get 8081
        cat said
        kill $pid
        wait $pid
        trap - EXIT
    "#;
    let Some(output) = in_network(script, &dir) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if said == "no IPv6\n" {
        return println!("skipped: there is no IPv6 here");
    }
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[..2], ["content"; 2], "{said}");
    assert_eq!(lines[2], "ecohttpd: listening on [fe80::7%1]:8080");
    assert_eq!(lines[3], "ecohttpd: listening on [fe80::7%1]:8081");
}

#[test]
fn a_machine_without_ipv6_is_served_all_the_same() {
    let dir = docroot();
    let script = r#"
        ip link set lo up
        cd "$1"
        echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 || true
        "$0" -f -c /dev/null -p 8080 -h "$1" 2> said &
        pid=$!
        trap 'kill -9 $pid 2> said || true' EXIT
        until grep -q 'listening on 0.0.0.0:8080' said; do kill -0 $pid; sleep 0.02; done
        curl -sS --noproxy '*' --max-time 10 http://127.0.0.1:8080/f.txt
        kill $pid
        wait $pid
        trap - EXIT
    "#;
    if let Some(output) = in_network(script, &dir) {
        assert_eq!(String::from_utf8_lossy(&output.stdout), "content");
    }
}

#[test]
fn what_is_taken_leaves_the_others() {
    let dir = docroot();
    let holder = TcpListener::bind(LOCAL).unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let refused = |line: &str| {
        let why = format!("cannot listen on {taken}: Address already in use");
        assert!(line.starts_with(&why), "{line}");
    };
    let server = Server::start(&["-p", &taken, "-p", "127.0.0.1:0", "-h", dir.text()]);
    refused(&server.line());
    serves(server.addr());
    // Also where it has taken it itself.
    let free = free_addr();
    let at = free.to_string();
    let server = Server::start(&["-p", &at, "-p", &at, "-h", dir.text()]);
    assert_eq!(server.addr(), free);
    assert!(server.line().starts_with(&format!("cannot listen on {at}: ")));
    serves(free);
    // With nothing left there is nothing to do.
    let socket = format!("unix:{}", dir.path("no/such/socket").display());
    let args = ["-p", &taken, "-p", &socket, "-p", "fd:99", "-h", dir.text()];
    let mut server = Server::start(&args);
    refused(&server.line());
    assert!(server.line().starts_with(&format!("cannot listen on {socket}: No such file")));
    assert!(server.line().starts_with("fd:99: no descriptor was handed over"));
    assert_eq!(server.line(), "there is no address left to listen at");
    assert_eq!(server.end().code(), Some(1));
}

#[cfg(feature = "tls")]
#[test]
fn https_that_is_taken_leaves_http() {
    let dir = docroot();
    let holder = TcpListener::bind(LOCAL).unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let pki = |name: &str| format!("{}/tests/pki/{name}", env!("CARGO_MANIFEST_DIR"));
    let (cert, key) = (pki("localhost.pem"), pki("localhost.key"));
    let args = ["-p", "127.0.0.1:0", "-s", &taken, "-C", &cert, "-K", &key, "-q", "-h", dir.text()];
    let server = Server::start(&args);
    let addr = server.addr();
    assert!(server.line().starts_with(&format!("cannot listen on {taken}: ")));
    // Nor is anybody sent there.
    serves(addr);
}

#[test]
fn a_listening_socket_can_be_handed_over() {
    let dir = docroot();
    let script = dir.write(
        "cgi-bin/fds",
        "#!/bin/sh\nprintf 'X-A: b\\r\\n\\r\\n'\n\
         for fd in /proc/$$/fd/*; do readlink $fd || true; done\n",
    );
    fs::set_permissions(script, PermissionsExt::from_mode(0o755)).unwrap();
    let listener = TcpListener::bind(LOCAL).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut server = Server::start_with(listener, &["-p", "fd:7", "-h", dir.text()]);
    assert_eq!(server.line(), "listening on fd:7");
    serves(addr);
    // Neither is for scripts.
    let r = Client::connect(addr).get("/cgi-bin/fds", "");
    assert!(r.text().contains("pipe:"), "{}", r.text());
    assert!(!r.text().contains("socket:") && !r.text().contains("zero"), "{}", r.text());
    server.terminate();
    assert_eq!(server.end().code(), Some(0));
    // A Unix socket likewise, which stays with whoever made it.
    let path = dir.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut server = Server::start_with(listener, &["-p", "fd:7", "-h", dir.text()]);
    assert_eq!(server.line(), "listening on fd:7");
    let mut client = Client { stream: UnixStream::connect(&path).unwrap() };
    assert_eq!(client.get("/f.txt", "").text(), "content");
    server.terminate();
    assert_eq!(server.end().code(), Some(0));
    assert!(path.exists());
}

#[test]
fn what_was_handed_over_is_given_up_by_a_drain() {
    let dir = docroot();
    dir.write("big.bin", vec![b'x'; 16 << 20]);
    let listener = TcpListener::bind(LOCAL).unwrap();
    let addr = listener.local_addr().unwrap();
    let server = Server::start_with(listener, &["-p", "fd:7", "-h", dir.text()]);
    assert_eq!(server.line(), "listening on fd:7");
    let mut client = Client::connect(addr);
    rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 32 << 10).unwrap();
    client.send("GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().status, 200);
    server.terminate();
    // Whoever came now would wait for an answer for as long as the others are served.
    let end = Instant::now() + Duration::from_secs(5);
    let refused = loop {
        match TcpStream::connect_timeout(&addr, Duration::from_secs(1)) {
            Ok(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            Ok(_) => panic!("it still listens"),
            // It came in the very moment.
            Err(e) if e.kind() == ErrorKind::ConnectionReset && Instant::now() < end => {}
            Err(e) => break e,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_descriptor_is_taken_once() {
    let dir = docroot();
    let listener = TcpListener::bind(LOCAL).unwrap();
    let addr = listener.local_addr().unwrap();
    let server = Server::start_with(listener, &["-p", "fd:7", "-p", "fd:7", "-h", dir.text()]);
    assert_eq!(server.line(), "listening on fd:7");
    assert!(server.line().starts_with("fd:7: "));
    serves(addr);
    // What the server has opened itself was not handed over to it.
    let args: Vec<_> = (3..16).map(|n| format!("fd:{n}")).collect();
    let args = args.iter().flat_map(|fd| ["-p", fd]);
    let args: Vec<_> = ["-p", "127.0.0.1:0", "-h", dir.text()].into_iter().chain(args).collect();
    let server = Server::start(&args);
    serves(server.addr());
    for n in 3..16 {
        let line = server.line();
        assert!(line.starts_with(&format!("fd:{n}: ")), "{line}");
    }
}

#[test]
fn what_is_handed_over_but_does_not_listen_is_named() {
    let dir = docroot();
    let stream = TcpStream::connect(TcpListener::bind(LOCAL).unwrap().local_addr().unwrap());
    let not: [OwnedFd; 2] = [File::open("/dev/null").unwrap().into(), stream.unwrap().into()];
    for fd in not {
        let server = Server::start_with(fd, &["-p", "fd:7", "-p", "127.0.0.1:0", "-h", dir.text()]);
        let line = server.line();
        assert!(line.starts_with("fd:7: "), "{line}");
        serves(server.addr());
    }
}

#[cfg(feature = "tls")]
#[test]
fn https_can_be_handed_over() {
    let dir = docroot();
    let pki = |name: &str| format!("{}/tests/pki/{name}", env!("CARGO_MANIFEST_DIR"));
    let (cert, key) = (pki("localhost.pem"), pki("localhost.key"));
    let listener = TcpListener::bind(LOCAL).unwrap();
    let port = listener.local_addr().unwrap().port();
    let args = ["-s", "fd:7", "-C", &cert, "-K", &key, "-h", dir.text()];
    let server = Server::start_with(listener, &args);
    assert_eq!(server.line(), "listening on fd:7");
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--noproxy", "*", "--cacert", &pki("ca.pem")])
        .arg(format!("https://127.0.0.1:{port}/f.txt"))
        .output()
        .expect("curl");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "content", "{output:?}");
}
