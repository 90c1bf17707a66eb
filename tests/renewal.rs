//! Certificates that are renewed while the launcher runs, as OpenSSL sees them.
#![cfg(feature = "tls")]
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
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Client, Dir, Process};
use rustix::process::Signal;

fn pki(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/pki", name].iter().collect()
}

/// A launcher with a plain address and a secure one, and the files of its certificate.
struct Server {
    process: Process,
    secure: SocketAddr,
    dir: Dir,
}

const READ: &str = "ecohttpd: certificate read";
const KEPT: &str = "; the old certificate stays";

impl Server {
    /// Its certificate is that of localhost.
    fn start() -> Server {
        let dir = Dir::new();
        for (ending, name) in ENDINGS {
            fs::copy(pki(&format!("localhost.{ending}")), dir.path(name)).unwrap();
        }
        dir.write("www/f.txt", "content\n");
        let path = |name: &str| dir.path(name).to_str().unwrap().to_owned();
        let (home, cert, key) = (path("www"), path("cert"), path("key"));
        let mut process = Process::launcher(&[
            "-f",
            "-p",
            "127.0.0.1:0",
            "-s",
            "127.0.0.1:0",
            "-h",
            &home,
            "-C",
            &cert,
            "-K",
            &key,
            "-c",
            "/dev/null",
            "-k",
            "100",
        ]);
        let line = process.line();
        let secure = line.rsplit(' ').next().unwrap().parse().expect(&line);
        Server { process, secure, dir }
    }

    /// A connection that stays, so that the server's clock goes on.
    fn stay(&self) -> Client {
        let mut client = Client::connect(self.process.addr);
        assert_eq!(client.get("/f.txt", "").text(), "content\n");
        client
    }

    /// Whose certificate a new connection gets. It asks for nothing and ends at once.
    fn subject(&self) -> String {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &self.secure.to_string(), "-CAfile"])
            .arg(pki("ca.pem"))
            .stdin(Stdio::null())
            .output()
            .expect("openssl");
        let said = String::from_utf8_lossy(&output.stdout);
        let mut subjects = said.lines().filter_map(|line| line.strip_prefix("subject=CN = "));
        subjects.next().unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    /// Waits until new connections get the certificate of `name`, and for the line that says so.
    fn comes_to(&mut self, name: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.subject() != name {
            assert!(Instant::now() < end, "the certificate is not that of {name}");
            std::thread::sleep(Duration::from_millis(200));
        }
        // One of them may have been there before the other.
        while self.process.line() != READ {}
    }

    /// Puts the file of `name` in the place of the one there, whole and at once.
    fn rename(&self, from: &str, to: &str) {
        let new = self.dir.path("new");
        fs::copy(pki(from), &new).unwrap();
        fs::rename(new, self.dir.path(to)).unwrap();
    }

    fn install(&self, name: &str) {
        for (ending, to) in ENDINGS {
            self.rename(&format!("{name}.{ending}"), to);
        }
    }

    /// Sends SIGHUP; what it says about the certificate.
    fn reload(&mut self) -> String {
        self.process.signal(Signal::HUP);
        assert_eq!(self.process.line(), "ecohttpd: reloaded");
        self.process.line()
    }
}

/// How the files of the tests end, and what those of a server are called.
const ENDINGS: [(&str, &str); 2] = [("pem", "cert"), ("key", "key")];

/// A connection of OpenSSL's that stays.
struct Session {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Session {
    fn open(addr: SocketAddr) -> Session {
        let mut child = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect", &addr.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut session = Session { child, lines };
        session.get();
        session
    }

    fn get(&mut self) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(b"GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let line = self.lines.next().expect("an answer").unwrap();
        assert_eq!(line, "HTTP/1.1 200 OK");
        while !self.lines.next().expect("the end of a header").unwrap().is_empty() {}
        assert_eq!(self.lines.next().expect("a file").unwrap(), "content");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_signal_has_them_read_at_once() {
    let mut server = Server::start();
    assert_eq!(server.subject(), "localhost");
    server.install("guest");
    assert_eq!(server.reload(), READ);
    assert_eq!(server.subject(), "guest");
    // Also where they have not changed: who asks for it gets it.
    assert_eq!(server.reload(), READ);
    assert_eq!(server.subject(), "guest");
}

#[test]
fn new_files_are_noticed_however_they_come() {
    let mut servers = [(); 3].map(|()| Server::start());
    let mut clients = servers.each_ref().map(Server::stay);
    let [renamed, written, linked] = &servers;
    renamed.install("guest");
    for (ending, to) in ENDINGS {
        let new = pki(&format!("guest.{ending}"));
        // In place, the file being the same one as before.
        fs::write(written.dir.path(to), fs::read(&new).unwrap()).unwrap();
        // As acme.sh and certbot leave them.
        symlink(&new, linked.dir.path("link")).unwrap();
        fs::rename(linked.dir.path("link"), linked.dir.path(to)).unwrap();
    }
    for server in &mut servers {
        server.comes_to("guest");
    }
    for client in &mut clients {
        assert_eq!(client.get("/f.txt", "").text(), "content\n");
    }
}

#[test]
fn the_first_one_after_a_quiet_time_gets_the_new_one() {
    let mut server = Server::start();
    assert_eq!(server.subject(), "localhost");
    // Nobody is connected, so that the clock stands still, and nothing is looked at.
    std::thread::sleep(Duration::from_millis(6500));
    server.install("guest");
    assert_eq!(server.subject(), "guest");
    assert_eq!(server.process.line(), READ);
}

#[test]
fn what_does_not_fit_together_leaves_the_old_one() {
    let mut server = Server::start();
    let mut client = server.stay();
    let mut session = Session::open(server.secure);
    server.rename("guest.pem", "cert");
    let said = server.process.line();
    let (cert, key) = (server.dir.path("cert"), server.dir.path("key"));
    let names = |said: &str, path: &Path| said.contains(path.to_str().unwrap());
    assert!(names(&said, &cert) && names(&said, &key) && said.ends_with(KEPT), "{said}");
    assert_eq!(server.subject(), "localhost");
    // A signal does not make it better.
    let said = server.reload();
    assert!(names(&said, &key) && said.ends_with(KEPT), "{said}");
    assert_eq!(server.subject(), "localhost");
    server.rename("guest.key", "key");
    server.comes_to("guest");
    assert_eq!(client.get("/f.txt", "").text(), "content\n");
    session.get();
}

#[test]
fn what_is_half_written_leaves_the_old_one() {
    let mut server = Server::start();
    let _client = server.stay();
    let mut session = Session::open(server.secure);
    let cert = fs::read(pki("guest.pem")).unwrap();
    for half in [&b""[..], &cert[..cert.len() / 2], b"\x30\x82garbage"] {
        fs::write(server.dir.path("cert"), half).unwrap();
        let said = server.reload();
        let place = format!("ecohttpd: {}: ", server.dir.path("cert").display());
        assert!(said.starts_with(&place) && said.ends_with(KEPT), "{said}");
        assert_eq!(server.subject(), "localhost");
    }
    fs::remove_file(server.dir.path("cert")).unwrap();
    let said = server.reload();
    assert!(said.contains("No such file") && said.ends_with(KEPT), "{said}");
    assert_eq!(server.subject(), "localhost");
    server.rename("guest.key", "key");
    fs::write(server.dir.path("cert"), &cert).unwrap();
    assert_eq!(server.reload(), READ);
    assert_eq!(server.subject(), "guest");
    session.get();
}

#[test]
fn nobody_is_dropped_for_a_new_certificate() {
    let mut server = Server::start();
    let mut client = server.stay();
    let mut before = [Session::open(server.secure), Session::open(server.secure)];
    server.install("guest");
    assert_eq!(server.reload(), READ);
    let mut after = Session::open(server.secure);
    for session in &mut before {
        session.get();
    }
    after.get();
    assert_eq!(client.get("/f.txt", "").text(), "content\n");
}

/// A launcher whose certificate is still missing, that would send clients of HTTP to HTTPS.
fn start_without(dir: &Dir, secure: &str) -> Process {
    dir.write("www/f.txt", "content\n");
    let path = |name: &str| dir.path(name).to_str().unwrap().to_owned();
    let (home, cert, key) = (path("www"), path("cert"), path("key"));
    let args = ["-f", "-s", secure, "-C", &cert, "-K", &key, "-p", "127.0.0.1:0", "-q"];
    let more = ["-h", &home, "-c", "/dev/null", "-k", "100"];
    let mut process = Process::launcher(&[&args[..], &more].concat());
    let said = process.line();
    let place = format!("ecohttpd: no HTTPS: {cert}: No such file");
    assert!(said.starts_with(&place), "{said}");
    process
}

/// Waits until the launcher says that it serves HTTPS, and where.
fn begins(mut process: Process, dir: Dir) -> Server {
    let line = process.line();
    let secure = line.strip_prefix("ecohttpd: listening on ").expect(&line).parse().expect(&line);
    assert_eq!(process.line(), READ);
    Server { process, secure, dir }
}

#[test]
fn a_missing_certificate_leaves_http_until_it_is_there() {
    let dir = Dir::new();
    let mut process = start_without(&dir, "127.0.0.1:0");
    let mut client = Client::connect(process.addr);
    // Nor is anybody sent to where nobody listens.
    assert_eq!(client.get("/f.txt", "").text(), "content\n");
    process.signal(Signal::HUP);
    assert_eq!(process.line(), "ecohttpd: reloaded");
    assert!(process.line().starts_with("ecohttpd: no HTTPS: "));
    assert_eq!(client.get("/f.txt", "").text(), "content\n");
    for (ending, name) in ENDINGS {
        fs::copy(pki(&format!("localhost.{ending}")), dir.path(name)).unwrap();
    }
    process.signal(Signal::HUP);
    assert_eq!(process.line(), "ecohttpd: reloaded");
    let mut server = begins(process, dir);
    assert_eq!(server.subject(), "localhost");
    // Who was there before is, too, and finds out.
    let r = client.get("/f.txt", "");
    let location = format!("https://test:{}/f.txt", server.secure.port());
    assert_eq!((r.status, r.header("location")), (307, Some(&*location)));
    server.install("guest");
    assert_eq!(server.reload(), READ);
    assert_eq!(server.subject(), "guest");
}

#[test]
fn a_certificate_that_comes_later_is_found() {
    for quiet in [false, true] {
        let dir = Dir::new();
        let process = start_without(&dir, "127.0.0.1:0");
        let client = (!quiet).then(|| {
            let mut client = Client::connect(process.addr);
            assert_eq!(client.get("/f.txt", "").text(), "content\n");
            client
        });
        if quiet {
            // The clock stands still, and nobody looks until somebody comes.
            std::thread::sleep(Duration::from_millis(6500));
        }
        // One without the other is none.
        fs::copy(pki("localhost.pem"), dir.path("cert")).unwrap();
        fs::copy(pki("localhost.key"), dir.path("new")).unwrap();
        fs::rename(dir.path("new"), dir.path("key")).unwrap();
        if quiet {
            let mut first = Client::connect(process.addr);
            assert!(matches!(first.get("/f.txt", "").status, 200 | 307));
        }
        let server = begins(process, dir);
        assert_eq!(server.subject(), "localhost");
        if let Some(mut client) = client {
            assert_eq!(client.get("/f.txt", "").status, 307);
        }
    }
}

#[test]
fn https_that_cannot_begin_leaves_http() {
    let dir = Dir::new();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let mut process = start_without(&dir, &taken);
    let mut client = Client::connect(process.addr);
    for (ending, name) in ENDINGS {
        fs::copy(pki(&format!("localhost.{ending}")), dir.path(name)).unwrap();
    }
    process.signal(Signal::HUP);
    assert_eq!(process.line(), "ecohttpd: reloaded");
    let said = process.line();
    assert!(said.starts_with(&format!("ecohttpd: cannot listen on {taken}: ")), "{said}");
    assert_eq!(client.get("/f.txt", "").text(), "content\n");
    drop(holder);
    process.signal(Signal::HUP);
    assert_eq!(process.line(), "ecohttpd: reloaded");
    assert_eq!(begins(process, dir).subject(), "localhost");
}
