//! SIGTERM: nobody new comes in, and whoever is there is served to the end.
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
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use common::{Client, Dir, Process, pattern};
use rustix::process::Signal;

/// A launcher with two addresses and a Unix socket.
struct Server {
    process: Process,
    other: SocketAddr,
    dir: Dir,
}

impl Server {
    fn start(more: &[&str]) -> Server {
        let dir = Dir::new();
        dir.write("www/f.txt", "content");
        let home = dir.path("www").to_str().unwrap().to_owned();
        let unix = format!("unix:{}", dir.path("socket").display());
        let args = ["-f", "-p", "127.0.0.1:0", "-p", "127.0.0.1:0", "-p", &unix, "-h", &home];
        let more = [&["-c", "/dev/null", "-k", "100"], more].concat();
        let mut process = Process::launcher(&[&args[..], &more].concat());
        let line = process.line();
        let other = line.rsplit(' ').next().unwrap().parse().expect(&line);
        assert_eq!(process.line(), format!("ecohttpd: listening on {unix}"));
        Server { process, other, dir }
    }

    /// A script that says it runs, and its process, and goes on once there is a file `go`.
    fn script(&self) {
        let text = "#!/bin/sh\nprintf 'X-A: b\\r\\n\\r\\n%s\\n' $$\n\
                    until [ -e \"$DOCUMENT_ROOT/go\" ]; do sleep 0.02; done\ncat\necho end\n";
        self.executable("www/cgi-bin/wait", text);
    }

    fn executable(&self, name: &str, text: &str) {
        let path = self.dir.write(name, text);
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn connect(&self) -> Client {
        Client::connect(self.process.addr)
    }

    /// Sends SIGTERM, and waits until that has been heard: until nobody can connect.
    fn terminate(&self) {
        self.process.signal(Signal::TERM);
        let end = Instant::now() + Duration::from_secs(10);
        for addr in [self.process.addr, self.other] {
            while let Ok(stream) = TcpStream::connect(addr) {
                drop(stream);
                assert!(Instant::now() < end, "it still listens at {addr}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let unix = UnixStream::connect(self.dir.path("socket")).unwrap_err();
        assert!(matches!(unix.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound));
    }

    fn is_running(&mut self) -> bool {
        self.process.child.try_wait().unwrap().is_none()
    }

    fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + Duration::from_secs(15);
        loop {
            if let Some(status) = self.process.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn ends_well(&mut self) {
        let status = self.end();
        assert_eq!(status.code(), Some(0), "{status}");
        assert!(!self.dir.path("socket").exists(), "the socket is left");
    }
}

/// The next piece of a chunked response; nothing at its end.
fn chunk(client: &mut Client) -> String {
    let size = usize::from_str_radix(&client.line(), 16).unwrap();
    let mut chunk = vec![0; size];
    client.stream.read_exact(&mut chunk).unwrap();
    assert_eq!(client.line(), "");
    String::from_utf8(chunk).unwrap()
}

/// The rest of one.
fn rest(client: &mut Client) -> String {
    let mut rest = String::new();
    loop {
        match chunk(client) {
            last if last.is_empty() => return rest,
            more => rest.push_str(&more),
        }
    }
}

/// Whether there is a process, and it is no zombie.
fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn whoever_is_idle_goes_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&[]);
        let mut silent = server.connect();
        let mut idle = server.connect();
        assert_eq!(idle.get("/f.txt", "").text(), "content");
        server.process.signal(signal);
        // A hundred seconds would be left to them.
        assert!(idle.is_closed() && silent.is_closed());
        server.ends_well();
    }
}

#[test]
fn a_download_under_way_is_finished() {
    let mut server = Server::start(&[]);
    let content = pattern(16 << 20);
    server.dir.write("www/big.bin", &content);
    let mut client = server.connect();
    rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 32 << 10).unwrap();
    client.send("GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().status, 200);
    let mut got = vec![0; content.len()];
    client.stream.read_exact(&mut got[..1000]).unwrap();
    let mut idle = server.connect();
    assert_eq!(idle.get("/f.txt", "").text(), "content");
    server.terminate();
    assert!(idle.is_closed());
    assert!(server.is_running());
    client.stream.read_exact(&mut got[1000..]).unwrap();
    assert!(got == content);
    // It could ask for more, but nobody would answer.
    assert!(client.is_closed());
    server.ends_well();
}

#[test]
fn a_script_under_way_is_finished() {
    let mut server = Server::start(&[]);
    server.script();
    let mut client = server.connect();
    client.send("POST /cgi-bin/wait HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nbo");
    assert_eq!(client.head().status, 200);
    let pid = chunk(&mut client);
    server.terminate();
    assert!(server.is_running() && is_alive(&pid));
    // An upload goes on, too.
    client.send("dy\n");
    server.dir.write("www/go", "");
    assert_eq!(rest(&mut client), "body\nend\n");
    assert!(client.is_closed());
    server.ends_well();
    assert!(!is_alive(&pid));
}

#[test]
fn a_request_that_waits_for_its_turn_gets_it() {
    let mut server = Server::start(&["-n", "1"]);
    server.script();
    let request = "GET /cgi-bin/wait HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut first = server.connect();
    first.send(request);
    assert_eq!(first.head().status, 200);
    let _pid = chunk(&mut first);
    let mut second = server.connect();
    second.send(request);
    // What is answered behind it shows that it was taken up.
    for _ in 0..3 {
        assert_eq!(server.connect().get("/f.txt", "").text(), "content");
    }
    server.terminate();
    server.dir.write("www/go", "");
    assert_eq!(rest(&mut first), "end\n");
    let r = second.response("GET");
    assert_eq!((r.status, r.header("connection")), (200, Some("close")));
    assert!(r.text().ends_with("\nend\n"), "{}", r.text());
    assert!(first.is_closed() && second.is_closed());
    drop((first, second)); // whose end is waited for after a last answer, for a while
    server.ends_well();
}

#[test]
fn a_second_signal_ends_it_at_once_and_its_scripts() {
    for second in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&[]);
        server.script();
        let mut client = server.connect();
        client.send("GET /cgi-bin/wait HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head().status, 200);
        let pid = chunk(&mut client);
        server.terminate();
        assert!(server.is_running());
        server.process.signal(second);
        server.ends_well();
        assert!(eventually(|| !is_alive(&pid)), "the script goes on");
        // Nobody takes it for a whole answer.
        let mut rest = Vec::new();
        let _ = client.stream.read_to_end(&mut rest);
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{}", rest.escape_ascii());
    }
}

#[test]
fn a_reload_while_it_ends_does_no_harm() {
    let mut server = Server::start(&[]);
    server.script();
    let mut client = server.connect();
    client.send("GET /cgi-bin/wait HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().status, 200);
    let _pid = chunk(&mut client);
    server.terminate();
    server.process.signal(Signal::HUP);
    assert_eq!(server.process.line(), "ecohttpd: reloaded");
    assert!(TcpStream::connect(server.process.addr).is_err());
    server.dir.write("www/go", "");
    assert_eq!(rest(&mut client), "end\n");
    server.ends_well();
}

#[test]
fn what_a_script_has_left_running_keeps_nobody() {
    let mut server = Server::start(&[]);
    // As what restarts the network does it.
    server.executable(
        "www/cgi-bin/restart",
        "#!/bin/sh\nprintf 'X-A: b\\r\\n\\r\\n'\n\
         (until [ -e go ]; do sleep 0.02; done; echo done > done) </dev/null >/dev/null 2>&1 &\n\
         echo $!\n",
    );
    let mut client = server.connect();
    let pid = client.get("/cgi-bin/restart", "").text().to_owned();
    server.terminate();
    server.ends_well();
    assert!(is_alive(&pid), "it had answered: what it does now is its own affair");
    server.dir.write("www/go", "");
    let done = server.dir.path("www/done");
    assert!(eventually(|| done.exists()));
}
