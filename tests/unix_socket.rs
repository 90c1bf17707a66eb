//! The launcher at Unix sockets, which are files that somebody may have put there before.
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
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::{Client, Dir, Process};
use rustix::process::Signal;

/// A launcher at a Unix socket and at 127.0.0.1, and what it said about the first.
fn start(dir: &Dir, path: &Path) -> (Process, String) {
    let unix = format!("unix:{}", path.display());
    // What it says of this one is read by `launcher`, be it good or bad, as it names no address.
    let mut process = Process::launcher(&[
        "-f",
        "-c",
        "/dev/null",
        "-p",
        "127.0.0.1:0",
        "-p",
        &unix,
        "-h",
        dir.text(),
    ]);
    let said = process.line();
    (process, said)
}

fn started(dir: &Dir, path: &Path) -> Process {
    let (process, said) = start(dir, path);
    assert_eq!(said, format!("ecohttpd: listening on unix:{}", path.display()));
    process
}

/// A directory to serve, and a path beside its files.
fn docroot() -> (Dir, PathBuf) {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let path = dir.path("socket");
    (dir, path)
}

fn connect(path: &Path) -> Client<UnixStream> {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Client { stream }
}

fn serves(path: &Path) {
    assert_eq!(connect(path).get("/f.txt", "").text(), "content");
}

fn end(process: &mut Process) -> ExitStatus {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = process.child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < end, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn terminate(mut process: Process) {
    process.signal(Signal::TERM);
    assert_eq!(end(&mut process).code(), Some(0));
}

#[test]
fn curl_gets_files_by_it() {
    let (dir, path) = docroot();
    let process = started(&dir, &path);
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--noproxy", "*", "--unix-socket"])
        .arg(&path)
        .args(["http://router.lan/f.txt", "http://router.lan/f.txt"])
        .output()
        .expect("curl");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "contentcontent", "{output:?}");
    let mut client = connect(&path);
    for _ in 0..3 {
        assert_eq!(client.get("/f.txt", "").text(), "content", "it is kept alive");
    }
    terminate(process);
    assert!(client.is_closed());
    assert!(!path.exists(), "it is left behind");
}

#[test]
fn it_can_be_the_only_address() {
    let (dir, path) = docroot();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ecohttpd"))
        .args(["-f", "-c", "/dev/null", "-p", "unix:socket", "-h", "."])
        .current_dir(&dir.0)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    let served = std::panic::catch_unwind(|| {
        assert_eq!(line, format!("ecohttpd: listening on unix:{}\n", path.display()));
        serves(&path);
    });
    child.kill().unwrap();
    child.wait().unwrap();
    served.unwrap();
}

#[test]
fn scripts_run_for_those_who_come_by_it() {
    let (dir, path) = docroot();
    let script = dir.write(
        "cgi-bin/env",
        "#!/bin/sh\nprintf 'X-A: b\\r\\n\\r\\n'\nenv\necho \"body=$(cat)\"\n",
    );
    fs::set_permissions(script, PermissionsExt::from_mode(0o755)).unwrap();
    let _process = started(&dir, &path);
    let mut client = connect(&path);
    let r = client.request("POST", "/cgi-bin/env/x?y=z", "X-Forwarded-For: 10.0.0.7\r\n", b"text");
    assert_eq!(r.status, 200);
    let text = r.text();
    let var = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    for (name, value) in [
        ("REQUEST_METHOD", "POST"),
        ("SCRIPT_NAME", "/cgi-bin/env"),
        ("PATH_INFO", "/x"),
        ("QUERY_STRING", "y=z"),
        ("CONTENT_LENGTH", "4"),
        ("HTTP_X_FORWARDED_FOR", "10.0.0.7"),
        ("body", "text"),
        // There is no address at either end; RFC 3875 has these variables set all the same.
        ("SERVER_NAME", "test"),
        ("REMOTE_ADDR", ""),
    ] {
        assert_eq!(var(name), Some(value), "{name} in {text}");
    }
    let port: u16 = var("SERVER_PORT").unwrap().parse().unwrap();
    assert_ne!(port, 0);
}

#[test]
fn what_a_killed_server_has_left_is_replaced() {
    let (dir, path) = docroot();
    let mut first = started(&dir, &path);
    serves(&path);
    first.signal(Signal::KILL);
    end(&mut first);
    assert!(path.exists() && UnixStream::connect(&path).is_err());
    let second = started(&dir, &path);
    serves(&path);
    terminate(second);
    assert!(!path.exists());
}

#[test]
fn one_that_is_in_use_stays_with_whoever_has_it() {
    let (dir, path) = docroot();
    let first = started(&dir, &path);
    let (second, said) = start(&dir, &path);
    let why = format!("ecohttpd: cannot listen on unix:{}: ", path.display());
    assert!(said.starts_with(&why), "{said}");
    // Its other address is served.
    assert_eq!(Client::connect(second.addr).get("/f.txt", "").text(), "content");
    terminate(second);
    serves(&path);
    terminate(first);
    assert!(!path.exists());
    // Also if it is no server of ours.
    let listener = UnixListener::bind(&path).unwrap();
    let (second, said) = start(&dir, &path);
    assert!(said.starts_with(&why), "{said}");
    terminate(second);
    UnixStream::connect(&path).unwrap();
    drop(listener);
}

#[test]
fn what_is_no_socket_is_not_touched() {
    let (dir, path) = docroot();
    let why = format!("ecohttpd: cannot listen on unix:{}: ", path.display());
    let file = dir.write("precious", "mine");
    let make: [fn(&Path, &Path); 3] = [
        |path, _| fs::write(path, "mine").unwrap(),
        |path, _| fs::create_dir(path).unwrap(),
        |path, file| symlink(file, path).unwrap(),
    ];
    for make in make {
        make(&path, &file);
        let before = fs::symlink_metadata(&path).unwrap();
        let (process, said) = start(&dir, &path);
        assert!(said.starts_with(&why), "{said}");
        assert_eq!(Client::connect(process.addr).get("/f.txt", "").text(), "content");
        terminate(process);
        let after = fs::symlink_metadata(&path).expect("it is still there");
        assert_eq!(after.file_type(), before.file_type());
        if before.is_dir() {
            fs::remove_dir(&path).unwrap();
        } else {
            assert_eq!(fs::read(&path).unwrap(), b"mine");
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn the_next_server_keeps_its_own_while_the_last_one_ends() {
    let (dir, path) = docroot();
    dir.write("big.bin", vec![b'x'; 16 << 20]);
    let mut first = started(&dir, &path);
    let mut client = Client::connect(first.addr);
    rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 32 << 10).unwrap();
    client.send("GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().status, 200);
    first.signal(Signal::TERM);
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(first.addr).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        std::thread::sleep(Duration::from_millis(5));
    }
    // As a restart has it that does not wait.
    let second = started(&dir, &path);
    drop(client);
    assert_eq!(end(&mut first).code(), Some(0));
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    serves(&path);
    terminate(second);
    assert!(!path.exists());
}
