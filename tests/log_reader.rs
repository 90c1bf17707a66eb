//! The access log of the launcher where whoever reads it is slow, full, or gone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Client, Dir, Process};
use rustix::process::Signal;

/// The fields of a line, as those who read logs take it apart.
fn fields(line: &str) -> Vec<String> {
    assert!(!line.contains(char::is_control), "{line:?}");
    assert!(line.len() < 4096, "{line}");
    let mut fields = vec![String::new()];
    let mut end = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let field = fields.last_mut().unwrap();
        match (c, end) {
            (' ', None) => fields.push(String::new()),
            ('[', None) if field.is_empty() => end = Some(']'),
            ('"', None) if field.is_empty() => end = Some('"'),
            (']' | '"', Some(e)) if c == e => end = None,
            ('\\', _) => field.extend([c, chars.next().unwrap()]),
            _ => field.push(c),
        }
    }
    assert_eq!(end, None, "{line}");
    fields
}

fn lines(text: &str) -> Vec<String> {
    text.split_terminator('\n').map(str::to_owned).collect()
}

/// A launcher whose messages wait in a pipe until somebody reads them.
struct Unheard {
    child: Child,
    addr: SocketAddr,
    stderr: BufReader<ChildStderr>,
}

impl Unheard {
    fn start(dir: &Dir, destination: &str) -> Unheard {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ecohttpd"));
        command.args(["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "--access-log", destination]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let addr = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended");
            if let Some((_, addr)) = line.trim().split_once("listening on ") {
                break addr.parse().unwrap();
            }
        };
        Unheard { child, addr, stderr }
    }

    /// Ends it, and says what it wrote that was not read.
    fn end(mut self) -> Vec<String> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        lines(&text)
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many lines a line says were lost.
fn lost(line: &str) -> Option<usize> {
    let (_, rest) = line.split_once(": ").or(line.split_once("# "))?;
    rest.strip_suffix(" lines were lost")?.parse().ok()
}

/// How many requests `lines` tell of, be it that they were lost.
fn told(lines: &[String]) -> usize {
    lines.iter().map(|line| lost(line).unwrap_or(1)).sum()
}

/// Whatever there is to be read of a pipe.
fn drain(pipe: &mut impl Read, into: &mut Vec<u8>) {
    let mut buf = [0; 4096];
    while let Ok(n @ 1..) = pipe.read(&mut buf) {
        into.extend(&buf[..n]);
    }
}

#[test]
fn nobody_waits_for_a_pipe_that_nobody_reads() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let path = dir.path("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let args = ["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "--access-log"];
    let server = Process::launcher(&[&args[..], &[path.to_str().unwrap()]].concat());
    let mut client = Client::connect(server.addr);
    let long = "x".repeat(1000);
    let mut ask = |count: usize| {
        for i in 0..count {
            let start = Instant::now();
            assert_eq!(client.get(&format!("/f.txt?{i}-{long}"), "").status, 200);
            assert!(start.elapsed() < Duration::from_secs(5));
        }
        count
    };
    let mut all = ask(500);
    let mut reader: File =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let mut bytes = Vec::new();
    let end = Instant::now() + Duration::from_secs(20);
    let lines = loop {
        drain(&mut reader, &mut bytes);
        let lines = lines(std::str::from_utf8(&bytes).unwrap());
        if told(&lines) >= all {
            break lines;
        }
        assert!(Instant::now() < end, "{} of {all}", told(&lines));
        // What was lost is told when there is something to be written.
        all += ask(1);
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(told(&lines), all);
    assert!(lines.len() < 500, "the pipe was full");
    for line in lines.iter().filter(|line| lost(line).is_none()) {
        assert_eq!(fields(line).len(), 7, "{line}");
    }
}

#[test]
fn a_full_disk_is_said_once() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let server = Unheard::start(&dir, "/dev/full");
    let mut client = Client::connect(server.addr);
    for _ in 0..200 {
        let r = client.get("/f.txt", "");
        assert_eq!((r.status, r.text()), (200, "content"));
    }
    let said = server.end();
    let told: Vec<_> = said.iter().filter(|line| line.contains("/dev/full")).collect();
    assert_eq!(told.len(), 1, "{said:?}");
    assert!(told[0].contains("No space left on device"), "{said:?}");
}

#[test]
fn standard_error_has_lines_beside_messages() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    for destination in ["stderr", "-"] {
        let server = Unheard::start(&dir, destination);
        let mut client = Client::connect(server.addr);
        for i in 0..100 {
            client.get(&format!("/f.txt?{i}"), "");
        }
        let lines: Vec<_> =
            server.end().into_iter().filter(|line| line.contains(" HTTP/1.1")).collect();
        assert_eq!(lines.len(), 100);
        for (i, line) in lines.iter().enumerate() {
            assert_eq!(fields(line)[4], format!("GET /f.txt?{i} HTTP/1.1"));
        }
    }
}

#[test]
fn standard_error_goes_on_where_it_was_not_read_for_a_while() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let mut server = Unheard::start(&dir, "stderr");
    rustix::io::ioctl_fionbio(server.stderr.get_ref(), true).unwrap();
    let mut client = Client::connect(server.addr);
    let long = "x".repeat(5000);
    for _ in 0..300 {
        assert_eq!(client.get(&format!("/f.txt?{long}"), "").status, 200);
    }
    let mut bytes = Vec::new();
    drain(&mut server.stderr, &mut bytes);
    for i in 0..3 {
        client.get(&format!("/f.txt?{i}"), "");
    }
    rustix::io::ioctl_fionbio(server.stderr.get_ref(), false).unwrap();
    let mut lines = lines(std::str::from_utf8(&bytes).unwrap());
    lines.extend(server.end());
    lines.retain(|line| line.contains(" HTTP/1.1") || lost(line).is_some());
    assert_eq!(told(&lines), 303);
    assert!(lines.iter().any(|line| lost(line).is_some()), "it was full");
    for (i, line) in lines[lines.len() - 3..].iter().enumerate() {
        assert_eq!(fields(line)[4], format!("GET /f.txt?{i} HTTP/1.1"));
    }
}

/// The launcher with a /dev of its own, in which there is nothing but what `dev` has.
fn with_dev(dev: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", "mount --bind \"$0\" /dev && exec \"$@\""]);
    command.arg(dev).args(args);
    command
}

#[test]
fn syslog_has_lines() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let dev = Dir::new();
    let can = with_dev(&dev.0, &["true"]).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there can be no /dev of this test's own");
        return;
    }
    let path = dev.path("log");
    let daemon = UnixDatagram::bind(&path).unwrap();
    daemon.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let receive = |daemon: &UnixDatagram| {
        let mut buf = [0; 4096];
        let n = daemon.recv(&mut buf).unwrap();
        assert!(n <= 1024);
        String::from_utf8(buf[..n].to_vec()).unwrap()
    };
    let program = env!("CARGO_BIN_EXE_ecohttpd");
    let args = ["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "--access-log", "syslog"];
    let server = Process::start(with_dev(&dev.0, &[&[program][..], &args].concat()));
    let mut client = Client::connect(server.addr);
    for i in 0..20 {
        client.get(&format!("/f.txt?{i}"), "");
        let line = receive(&daemon);
        let (head, entry) = line.split_once(": ").unwrap();
        assert!(head.starts_with("<30>"), "{line}");
        // The process is what unshare and the shell have become.
        assert!(head.ends_with(&format!(" ecohttpd[{}]", server.child.id())), "{line}");
        assert_eq!(
            head.len(),
            "<30>Nov 22 22:39:11 ".len() + head.rsplit(' ').next().unwrap().len()
        );
        assert_eq!(fields(entry)[4..], [&*format!("GET /f.txt?{i} HTTP/1.1"), "200", "7"]);
    }
    client.get(&format!("/f.txt?{}", "x".repeat(3000)), "");
    let line = receive(&daemon);
    assert!(line.ends_with("xxx... HTTP/1.1\" 200 7"), "{line}");
    // It is restarted.
    drop(daemon);
    client.get("/f.txt", "");
    std::fs::remove_file(&path).unwrap();
    client.get("/f.txt", "");
    let daemon = UnixDatagram::bind(&path).unwrap();
    daemon.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.get("/f.txt?again", "");
    let mut lines = vec![receive(&daemon)];
    while !lines.last().unwrap().ends_with("\"GET /f.txt?again HTTP/1.1\" 200 7") {
        lines.push(receive(&daemon));
    }
    // An answer may be there before its line, so the second may have found the new one.
    assert!(lost(&lines[0]).is_some_and(|lost| lost > 0), "{lines:?}");
    assert_eq!(told(&lines), 3, "{lines:?}");
    // Nobody reads it.
    for _ in 0..2000 {
        assert_eq!(client.get("/f.txt", "").status, 200);
    }
}
