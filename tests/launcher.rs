//! The launcher where nobody listens to it, or nobody gives it anything.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::{Client, Dir, LOCAL, Process, free_addr};
use rustix::process::Signal;

fn launcher(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ecohttpd"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A child process that does not outlive its test.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A pipe whose reader is gone.
fn broken_pipe() -> Stdio {
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let writer = reader.stdin.take().unwrap();
    assert!(reader.wait().unwrap().success());
    writer.into()
}

/// A pipe that has no room left, and whoever holds its other end without reading.
fn full_pipe() -> (Stdio, Owned) {
    let mut reader = Command::new("sleep").arg("60").stdin(Stdio::piped()).spawn().unwrap();
    let mut writer = reader.stdin.take().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    for piece in [4096, 1] {
        while writer.write_all(&vec![b'.'; piece]).is_ok() {}
    }
    assert_eq!(writer.write(b".").unwrap_err().kind(), ErrorKind::WouldBlock);
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (writer.into(), Owned(reader))
}

/// Starts a launcher that cannot say where it listens, and waits until it does.
fn start_silent(dir: &Dir, stderr: Stdio) -> (Owned, SocketAddr) {
    let addr = free_addr();
    let mut command =
        launcher(&["-f", "--access-log", "stderr", "-p", &addr.to_string(), "-h", dir.text()]);
    let mut child = Owned(command.stderr(stderr).spawn().unwrap());
    let end = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(addr).is_err() {
        assert_eq!(child.0.try_wait().unwrap(), None, "it ended");
        assert!(Instant::now() < end, "it does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    (child, addr)
}

fn end(child: &mut Child, secs: u64) -> Option<ExitStatus> {
    let end = Instant::now() + Duration::from_secs(secs);
    loop {
        match child.try_wait().unwrap() {
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            ended => return ended,
        }
    }
}

#[test]
fn it_serves_though_nobody_reads_its_messages() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let (full, _holder) = full_pipe();
    for (what, stderr) in [("closed", broken_pipe()), ("full", full)] {
        let (mut server, addr) = start_silent(&dir, stderr);
        let mut client = Client::connect(addr);
        // More than a page of messages, which is what even a full pipe may make room for.
        let long = "x".repeat(2000);
        for i in 0..400 {
            let r = client.get(&format!("/f.txt?{long}"), "");
            assert_eq!((r.status, r.text()), (200, "content"), "{what} {i}");
        }
        let pid = rustix::process::Pid::from_child(&server.0);
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        let ended = end(&mut server.0, 10).expect("the end of it");
        assert_eq!(ended.code(), Some(0), "{what}: {ended}");
    }
}

#[test]
fn it_ends_with_its_own_codes_though_nobody_reads_its_messages() {
    let taken = TcpListener::bind(LOCAL).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (full, _holder) = full_pipe();
    for (what, stderr) in [("closed", broken_pipe as fn() -> Stdio), ("null", Stdio::null)] {
        for (args, code) in [
            (&["--help"][..], 0),
            (&["--version"], 0),
            (&["--nonsense"], 2),
            (&["stray"], 2),
            (&["-f", "-p", "nowhere:at:all"], 2),
            (&["-f", "-p", &taken], 1),
        ] {
            let ended = launcher(args).stderr(stderr()).status().unwrap();
            assert_eq!(ended.code(), Some(code), "{what} {args:?}: {ended}");
        }
    }
    let mut full = Owned(launcher(&["--nonsense"]).stderr(full).spawn().unwrap());
    assert_eq!(end(&mut full.0, 10).expect("the end of it").code(), Some(2));
    let ended = launcher(&["--help"]).stdout(broken_pipe()).status().unwrap();
    assert_eq!(ended.code(), Some(1), "{ended}");
}

#[test]
fn nobody_writes_control_characters_into_the_log() {
    let dir = Dir::new();
    let mut command =
        launcher(&["-f", "--access-log", "stderr", "-p", "127.0.0.1:0", "-h", dir.text()]);
    let mut server = Owned(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut stderr = server.0.stderr.take().unwrap();
    let mut first = Vec::new();
    while !first.ends_with(b"\n") {
        let mut byte = [0];
        stderr.read_exact(&mut byte).unwrap();
        first.push(byte[0]);
    }
    let first = String::from_utf8(first).unwrap();
    let addr = first.trim().rsplit(' ').next().unwrap().parse().unwrap();
    let log = std::thread::spawn(move || {
        let mut log = Vec::new();
        stderr.read_to_end(&mut log).unwrap();
        log
    });
    let mut answered = 0;
    let mut ask = |request: &[u8]| {
        let mut client = Client::connect(addr);
        client.send(request);
        assert!((400..500).contains(&client.response("GET").status), "{}", request.escape_ascii());
        answered += 1;
    };
    for byte in 0..=255_u8 {
        let escaped = format!("%{byte:02x}");
        // C1 controls have two bytes in UTF-8.
        for text in [&[byte][..], escaped.as_bytes(), &[0xc2, byte]] {
            let end = b"b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
            ask(&[b"GET /a", text, end].concat());
            ask(&[b"GET /a?", text, end].concat());
            ask(&[b"G", text, b"T /", end].concat());
        }
    }
    let pid = rustix::process::Pid::from_child(&server.0);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(end(&mut server.0, 10).expect("the end of it").code(), Some(0));
    let log = log.join().unwrap();
    for line in log.split(|&b| b == b'\n') {
        let text = std::str::from_utf8(line).unwrap_or("\0");
        assert!(!text.contains(char::is_control), "{}", line.escape_ascii());
    }
    assert_eq!(log.iter().filter(|&&b| b == b'\n').count(), answered, "a line for each");
}

#[test]
fn a_second_signal_ends_a_drain_that_hangs() {
    let dir = Dir::new();
    dir.write("big.bin", vec![b'x'; 32 << 20]);
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Process::launcher(&["-f", "-p", "127.0.0.1:0", "-h", dir.text()]);
        let mut client = Client::connect(server.addr);
        rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 32 << 10).unwrap();
        client.send("GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head().status, 200);
        server.signal(signal);
        // It waits for who does not read, which can take half a minute.
        let ended = end(&mut server.child, 2);
        assert_eq!(ended, None, "a request was under way");
        assert_eq!(
            TcpStream::connect(server.addr).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        server.signal(signal);
        let ended = end(&mut server.child, 8).expect("the end of it");
        assert_eq!(ended.code(), Some(0), "{ended}");
    }
}

#[test]
fn a_lack_of_descriptors_is_nobodys_answer() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 40; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_ecohttpd")]);
    command.args(["-f", "-p", "127.0.0.1:0", "-h", dir.text()]);
    let server = Process::start(command);
    let request = "GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut clients: Vec<_> = (0..60)
        .map(|_| {
            // Whoever has said nothing yet could be made to go.
            let mut client = Client::connect(server.addr);
            client.send(request);
            client
        })
        .collect();
    // Each new one gets its answer, be it that an idle one has to go for it.
    for client in &mut clients {
        let r = client.response("GET");
        assert_eq!((r.status, r.text()), (200, "content"));
    }
    // Of the others some are still there; to be gone is no answer, and 503 would be one.
    let mut answered = 0;
    for _ in 0..5 {
        for client in &mut clients {
            let _ = client.stream.write_all(request.as_bytes());
        }
        for client in &mut clients {
            if matches!(client.stream.peek(&mut [0]), Ok(1)) {
                let r = client.response("GET");
                assert_eq!((r.status, r.text()), (200, "content"));
                answered += 1;
            }
        }
    }
    assert!(answered > 0);
}
