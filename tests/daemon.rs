//! The launcher in the background, which is where it goes without `-f`.
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
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{Client, Dir, LOCAL};
use rustix::process::{Pid, Signal, getpgid, getsid, kill_process};

const LAUNCHER: &str = env!("CARGO_BIN_EXE_ecohttpd");

/// What a launcher printed before it ended or went to the background, and its exit code.
struct Parent {
    code: Option<i32>,
    stderr: String,
    /// Nobody holds its outputs any more: a daemon that does keeps whoever started it waiting.
    closed: bool,
}

impl Parent {
    /// Runs `command` until it has ended, and its outputs, too.
    fn run(mut command: Command) -> Parent {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stderr.take().unwrap()), Box::new(child.stdout.take().unwrap())];
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for output in outputs {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = tell.send(line + "\n");
                }
            }
        });
        let end = Instant::now() + Duration::from_secs(15);
        let mut stderr = String::new();
        let closed = loop {
            match told.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => stderr.push_str(&line),
                Err(why) => break why == mpsc::RecvTimeoutError::Disconnected,
            }
        };
        Parent { code: child.wait().unwrap().code(), stderr, closed }
    }

    /// The addresses it said it listens at.
    fn addrs(&self) -> Vec<SocketAddr> {
        let words = self.stderr.lines().filter_map(|line| line.split_once("listening on "));
        words.filter_map(|(_, addr)| addr.parse().ok()).collect()
    }
}

/// A daemon, killed when this goes.
struct Daemon {
    addrs: Vec<SocketAddr>,
    /// Nothing until it has been found.
    pid: Option<Pid>,
}

impl Daemon {
    /// Runs `command`, which is to leave a daemon behind.
    fn start(command: Command) -> Daemon {
        let parent = Parent::run(command);
        // Whatever is found to be wrong with it from here on, it does not stay behind.
        let mut daemon = Daemon { addrs: parent.addrs(), pid: None };
        assert_eq!((parent.code, parent.closed), (Some(0), true), "{}", parent.stderr);
        assert!(!daemon.addrs.is_empty(), "{}", parent.stderr);
        // There is no need to wait for it: it listened before the parent ended.
        drop(TcpStream::connect(daemon.addrs[0]).unwrap());
        daemon.pid = listener(daemon.addrs[0]);
        assert!(daemon.pid.is_some(), "nobody listens at {}", daemon.addrs[0]);
        daemon
    }

    fn addr(&self) -> SocketAddr {
        self.addrs[0]
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid.unwrap(), signal).unwrap();
    }

    /// Its directory in /proc.
    fn proc(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.pid.unwrap().as_raw_nonzero()).into()
    }

    /// Whether it has ended, after some time.
    fn has_ended(&self) -> bool {
        // Its parent is init, or whoever stands for it, and may not reap it.
        eventually(|| match fs::read_to_string(self.proc("stat")) {
            Ok(stat) => stat.rsplit(") ").next().unwrap().starts_with('Z'),
            Err(_) => true,
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let found = || self.addrs.iter().find_map(|addr| listener(*addr));
        let Some(pid) = self.pid.or_else(found) else {
            return;
        };
        // The number may be somebody else's by now.
        if is_launcher(pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn is_launcher(pid: Pid) -> bool {
    let exe = fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero()));
    exe.is_ok_and(|exe| exe == fs::canonicalize(LAUNCHER).unwrap())
}

/// The launcher that listens at an IPv4 address.
fn listener(addr: SocketAddr) -> Option<Pid> {
    let SocketAddr::V4(addr) = addr else {
        return None;
    };
    let ip = u32::from_ne_bytes(addr.ip().octets());
    let local = format!("{ip:08X}:{:04X}", addr.port());
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let inode = sockets.lines().skip(1).find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        (words[1] == local && words[3] == "0A").then(|| format!("socket:[{}]", words[9]))
    })?;
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find_map(|pid: i32| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        let mut links = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
        links.any(|link| link.as_os_str() == inode.as_str()).then(|| Pid::from_raw(pid))?
    })
    .filter(|pid| is_launcher(*pid))
}

fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(15);
    while Instant::now() < end {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn launcher(args: &[&str]) -> Command {
    let mut command = Command::new(LAUNCHER);
    // No configuration of this machine's.
    command.args(["-c", "/dev/null"]).args(args).stdin(Stdio::null());
    command
}

fn script(dir: &Dir, name: &str, text: &str) {
    let path = dir.write(name, text);
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Where a link of /proc leads.
fn link(path: impl AsRef<Path>) -> String {
    fs::read_link(path).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_daemon_has_left_everything_of_its_parent() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let mut command = launcher(&["-p", "127.0.0.1:0", "-h", dir.text()]);
    command.current_dir(&dir.0);
    let daemon = Daemon::start(command);
    let pid = daemon.pid.unwrap();
    let mut client = Client::connect(daemon.addr());
    assert_eq!(client.get("/f.txt", "").text(), "content");
    for fd in 0..=2 {
        assert_eq!(link(daemon.proc(&format!("fd/{fd}"))), "/dev/null", "{fd}");
    }
    assert_eq!(link(daemon.proc("cwd")), "/");
    // A session of its own, so that no terminal's end is its own.
    assert_eq!((getsid(Some(pid)).unwrap(), getpgid(Some(pid)).unwrap()), (pid, pid));
    let stat = fs::read_to_string(daemon.proc("stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    assert_eq!(fields[4], "0", "a terminal: {stat}");
    daemon.signal(Signal::TERM);
    assert!(client.is_closed());
    assert!(daemon.has_ended());
    assert!(TcpStream::connect(daemon.addr()).is_err());
}

#[test]
fn the_parent_says_where_it_listens_and_what_it_noticed() {
    let dir = Dir::new();
    let args = ["-p", "127.0.0.1:0", "-p", "127.0.0.1:0", "-h", dir.text(), "-u", "/ubus"];
    let parent = Parent::run(launcher(&args));
    let daemon = Daemon { pid: listener(parent.addrs()[0]), addrs: parent.addrs() };
    assert_eq!((parent.code, daemon.addrs.len()), (Some(0), 2), "{}", parent.stderr);
    assert!(parent.stderr.contains("-u /ubus: "), "{}", parent.stderr);
    for addr in &daemon.addrs {
        assert_eq!(Client::connect(*addr).get("/missing", "").status, 404);
    }
}

#[test]
fn relative_paths_still_hold_after_a_reload() {
    let dir = Dir::new();
    dir.write("www/f.txt", "content");
    dir.write("www/private/f.txt", "secret");
    script(&dir, "interpreter", "#!/bin/sh\nprintf 'X-A: b\\r\\n\\r\\n'\ncat \"$1\"\n");
    dir.write("www/a.x", "interpreted");
    let conf = |password: &str| {
        dir.write("httpd.conf", format!("/private:me:{password}\n"));
    };
    let rules = |to: &str| {
        dir.write("rules.json", format!(r#"{{"fallback": [["redirect", "{to}"]]}}"#));
    };
    conf("one");
    rules("/one");
    let mut command = Command::new(LAUNCHER);
    command
        .args(["-p", "127.0.0.1:0", "-h", "www", "-c", "httpd.conf", "-H", "rules.json"])
        .args(["-i", ".x=interpreter", "--access-log", "access.log", "-p", "unix:socket"])
        .current_dir(&dir.0)
        .stdin(Stdio::null());
    let daemon = Daemon::start(command);
    let mut client = Client::connect(daemon.addr());
    let mut expect = |password: &str, to: &str| {
        // me:one, me:two
        let token = if password == "one" { "bWU6b25l" } else { "bWU6dHdv" };
        let authorization = format!("Authorization: Basic {token}\r\n");
        let right = client.get("/private/f.txt", &authorization).status == 200;
        right && client.get("/missing", "").header("location") == Some(to)
    };
    assert!(expect("one", "/one"));
    fs::rename(dir.path("access.log"), dir.path("access.old")).unwrap();
    conf("two");
    rules("/two");
    daemon.signal(Signal::HUP);
    assert!(eventually(|| expect("two", "/two")), "it was not reloaded");
    assert!(!expect("one", "/two"), "the old password");
    assert_eq!(client.get("/f.txt", "").text(), "content");
    assert_eq!(client.get("/a.x", "").text(), "interpreted");
    let log = || fs::read_to_string(dir.path("access.log")).unwrap_or_default();
    assert!(eventually(|| log().contains("/a.x")), "{}", log());
    let mut unix = Client { stream: UnixStream::connect(dir.path("socket")).unwrap() };
    assert_eq!(unix.get("/f.txt", "").text(), "content");
    daemon.signal(Signal::TERM);
    assert!(daemon.has_ended());
    assert!(!dir.path("socket").exists(), "the socket is left");
}

#[cfg(feature = "tls")]
#[test]
fn relative_certificates_are_found_again() {
    let pki = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pki");
    let dir = Dir::new();
    let install = |name: &str| {
        for (ending, to) in [("pem", "cert.pem"), ("key", "key.pem")] {
            fs::copy(pki.join(format!("{name}.{ending}")), dir.path(to)).unwrap();
        }
    };
    install("localhost");
    let args = ["-s", "127.0.0.1:0", "-C", "cert.pem", "-K", "key.pem", "-h", dir.text()];
    let mut command = launcher(&args);
    command.current_dir(&dir.0);
    let daemon = Daemon::start(command);
    let subject = || {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &daemon.addr().to_string()])
            .stdin(Stdio::null())
            .output()
            .expect("openssl");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.lines().find_map(|line| line.strip_prefix("subject=CN = ")).map(str::to_owned)
    };
    assert_eq!(subject().as_deref(), Some("localhost"));
    install("guest");
    daemon.signal(Signal::HUP);
    assert!(eventually(|| subject().as_deref() == Some("guest")));
}

#[test]
fn it_starts_without_the_usual_descriptors() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    script(
        &dir,
        "cgi-bin/fds",
        "#!/bin/sh\nprintf 'X-A: b\\r\\n\\r\\n'\ncat\nreadlink /proc/$$/fd/0 /proc/$$/fd/2\n\
         readlink /proc/$$/fd/1 | cut -d: -f1\n",
    );
    let log = dir.path("access.log");
    for closed in ["<&-", "<&- >&-"] {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("exec \"$0\" \"$@\" {closed}"), LAUNCHER])
            .args(["-p", "127.0.0.1:0", "-c", "/dev/null", "-h", dir.text()])
            .args(["--access-log", log.to_str().unwrap()]);
        let daemon = Daemon::start(command);
        for fd in 0..=2 {
            let to = link(daemon.proc(&format!("fd/{fd}")));
            assert_eq!(to, "/dev/null", "{closed} {fd}");
        }
        let mut client = Client::connect(daemon.addr());
        assert_eq!(client.get("/f.txt", "").text(), "content");
        assert_eq!(client.get("/cgi-bin/fds", "").text(), "/dev/null\n/dev/null\npipe\n");
        let r = client.request("POST", "/cgi-bin/fds", "", b"body ");
        assert!(r.text().starts_with("body pipe:"), "{}", r.text());
    }
}

#[test]
fn the_end_of_a_terminal_is_not_its_end() {
    let dir = Dir::new();
    // In the foreground this is a reason to reload; the daemon has another session.
    let mut command = Command::new("setsid");
    let run = "\"$0\" \"$@\"; code=$?; kill -HUP 0; exit $code";
    command.args(["sh", "-c", &format!("trap : HUP; {run}"), LAUNCHER]);
    command.args(["-p", "127.0.0.1:0", "-c", "/dev/null", "-h", dir.text()]).stdin(Stdio::null());
    let daemon = Daemon::start(command);
    assert_eq!(Client::connect(daemon.addr()).get("/missing", "").status, 404);
}

#[test]
fn what_cannot_be_bound_is_the_parents_failure() {
    let dir = Dir::new();
    let holder = TcpListener::bind(LOCAL).unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let parent = Parent::run(launcher(&["-p", &taken, "-h", dir.text()]));
    let addrs = parent.addrs();
    let _nobody = Daemon { addrs: addrs.clone(), pid: None };
    assert_eq!((parent.code, addrs.len()), (Some(1), 0), "{}", parent.stderr);
    let first = parent.stderr.lines().next().unwrap();
    assert!(first.contains(&format!("cannot listen on {taken}: ")), "{}", parent.stderr);
    assert_eq!(listener(holder.local_addr().unwrap()), None);
}

#[test]
fn mistakes_leave_no_daemon_behind() {
    let dir = Dir::new();
    let bad = dir.write("bad.conf", "nonsense\n");
    for (args, code, says) in [
        (&["-n", "0"][..], 2, "-n 0: "),
        (&["-c", bad.to_str().unwrap()], 2, ":1: nonsense: "),
        (&["-Z", "nobody-of-this-name"], 2, "-Z nobody-of-this-name: "),
        (&["--access-log", "/nonexistent/log"], 2, "/nonexistent/log: "),
    ] {
        let all = [&["-p", "127.0.0.1:0", "-h", dir.text()], args].concat();
        let parent = Parent::run(launcher(&all));
        let nobody = Daemon { addrs: parent.addrs(), pid: None };
        assert_eq!((parent.code, parent.closed), (Some(code), true), "{args:?}: {}", parent.stderr);
        assert!(parent.stderr.contains(says), "{args:?}: {}", parent.stderr);
        assert_eq!(nobody.addrs, [], "{args:?}");
    }
}
