//! `-Z`: from root to somebody who may do less. Only root can try that; others skip it.
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
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use common::{Client, Dir, Process};
use rustix::process::{Pid, Signal, kill_process};

/// Somebody whom every system has.
const USER: &str = "nobody";

/// The user's numbers, if we are root, who alone can become somebody else.
fn numbers() -> Option<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("nobody:"));
    if !rustix::process::getuid().is_root() || line.is_none() {
        println!("skipped: that takes root, and a user {USER}");
        return None;
    }
    let fields: Vec<_> = line?.split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

/// A directory that everybody may read.
fn docroot() -> Dir {
    let dir = Dir::new();
    fs::set_permissions(&dir.0, PermissionsExt::from_mode(0o755)).unwrap();
    let file = dir.write("f.txt", "content");
    fs::set_permissions(file, PermissionsExt::from_mode(0o644)).unwrap();
    dir
}

fn script(dir: &Dir, name: &str, text: &str) {
    let path = dir.write(name, format!("#!/bin/sh\nprintf 'X-A: b\\r\\n\\r\\n'\n{text}\n"));
    fs::set_permissions(path.parent().unwrap(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn start(dir: &Dir, more: &[&str]) -> Process {
    let args = ["-f", "-p", "127.0.0.1:0", "-h", dir.text()];
    let conf = if more.contains(&"-c") { &[][..] } else { &["-c", "/dev/null"] };
    let process = Process::launcher(&[&args, conf, more].concat());
    // It listens before it has become anybody.
    assert_eq!(Client::connect(process.addr).get("/f.txt", "").text(), "content");
    process
}

/// A daemon, killed when this goes.
struct Daemon(Option<Pid>);

impl Daemon {
    /// The process whose command line names the directory, which nobody else's does.
    fn of(dir: &Dir) -> Daemon {
        let mut pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let cmdline = String::from_utf8(fs::read(entry.path().join("cmdline")).ok()?).ok()?;
            let is_it = cmdline.split('\0').any(|arg| arg == dir.text());
            is_it.then(|| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))?
        });
        Daemon(pids.next())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The words behind a name in what /proc tells of a process.
fn words<'a>(status: &'a str, name: &str) -> Vec<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect(name).split_whitespace().collect()
}

/// A copy of the launcher that everybody can run, as the one of the build may be out of reach.
fn copy(dir: &Dir) -> PathBuf {
    let copy = dir.path("ecohttpd");
    // By another process: what this one has open for writing, a child of another thread may have
    // open, too, and then it cannot be run.
    let done = Command::new("cp").arg(env!("CARGO_BIN_EXE_ecohttpd")).arg(&copy).status();
    assert!(done.unwrap().success());
    fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    copy
}

/// Runs a launcher that cannot start.
fn fails(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.stdin(Stdio::null()).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn nothing_of_root_is_left() {
    let Some((uid, gid)) = numbers() else {
        return;
    };
    let dir = docroot();
    let process = start(&dir, &["-Z", USER]);
    let status = fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let (uid, gid) = (uid.to_string(), gid.to_string());
    // The real, the effective, the saved one, and that of the file system.
    assert_eq!(words(&status, "Uid"), [&uid; 4]);
    assert_eq!(words(&status, "Gid"), [&gid; 4]);
    // Those of the user, whoever started it.
    let groups = words(&status, "Groups");
    assert!(!groups.contains(&"0") && groups.iter().all(|group| *group == gid), "{groups:?}");
    for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert_eq!(words(&status, set), ["0000000000000000"], "{set}");
    }
}

#[test]
fn groups_of_whoever_started_it_are_dropped() {
    let Some((_, gid)) = numbers() else {
        return;
    };
    let dir = docroot();
    let mut command = Command::new("setpriv");
    command.args(["--groups", "0,1,2,3", env!("CARGO_BIN_EXE_ecohttpd"), "-f", "-Z", USER]);
    command.args(["-p", "127.0.0.1:0", "-c", "/dev/null", "-h", dir.text()]);
    if !Command::new("setpriv").arg("true").status().is_ok_and(|status| status.success()) {
        return println!("skipped: there is no setpriv(1)");
    }
    let process = Process::start(command);
    Client::connect(process.addr).get("/f.txt", "");
    let status = fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let gid = gid.to_string();
    assert!(words(&status, "Groups").iter().all(|group| *group == gid), "{status}");
}

#[test]
fn scripts_run_as_the_user() {
    let Some((uid, gid)) = numbers() else {
        return;
    };
    let dir = docroot();
    script(&dir, "cgi-bin/id", "id -u; id -g; id -G");
    script(&dir, "cgi-bin/try", "cat private.txt 2>/dev/null; touch here 2>/dev/null; echo $?");
    let secret = dir.write("private.txt", "secret");
    fs::set_permissions(secret, PermissionsExt::from_mode(0o600)).unwrap();
    let process = start(&dir, &["-Z", USER]);
    let mut client = Client::connect(process.addr);
    assert_eq!(client.get("/cgi-bin/id", "").text(), format!("{uid}\n{gid}\n{gid}\n"));
    assert_eq!(client.get("/cgi-bin/try", "").text(), "1\n");
    assert_eq!(client.get("/private.txt", "").status, 403);
    // What makes a difference.
    let process = start(&dir, &[]);
    let mut client = Client::connect(process.addr);
    assert!(client.get("/cgi-bin/id", "").text().starts_with("0\n0\n"));
    assert_eq!(client.get("/cgi-bin/try", "").text(), "secret0\n");
}

#[test]
fn a_daemon_becomes_the_user_too() {
    let Some((uid, gid)) = numbers() else {
        return;
    };
    let dir = docroot();
    script(&dir, "cgi-bin/id", "id -u; id -g");
    let said = dir.path("said");
    let status = Command::new(env!("CARGO_BIN_EXE_ecohttpd"))
        .args(["-p", "127.0.0.1:0", "-Z", USER, "-c", "/dev/null", "-h", dir.text()])
        .stdin(Stdio::null())
        .stderr(File::create(&said).unwrap())
        .status()
        .unwrap();
    let daemon = Daemon::of(&dir);
    assert!(status.success() && daemon.0.is_some(), "{status}");
    let said = fs::read_to_string(said).unwrap();
    let addr = said.trim().rsplit(' ').next().unwrap().parse().expect(&said);
    let text = Client::connect(addr).get("/cgi-bin/id", "").text().to_owned();
    assert_eq!(text, format!("{uid}\n{gid}\n"));
}

#[test]
fn ports_of_root_are_bound_before() {
    if numbers().is_none() {
        return;
    }
    let dir = docroot();
    let script = r#"
        ip link set lo up
        cd "$1"
        "$0" -f -c /dev/null -p 127.0.0.1:80 -h "$1" -Z nobody 2> said &
        pid=$!
        trap 'kill -9 $pid 2> said || true' EXIT
        until grep -q 'listening on 127.0.0.1:80' said; do kill -0 $pid; sleep 0.02; done
        curl -sS --noproxy '*' --max-time 10 http://127.0.0.1/f.txt
        grep '^Uid:' /proc/$pid/status
        kill $pid
        wait $pid
        trap - EXIT
    "#;
    // A network of its own, where nobody has that port.
    let can = Command::new("unshare").args(["-n", "ip", "link", "set", "lo", "up"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return println!("skipped: no network namespace can be had here, or there is no ip(8)");
    }
    let output = Command::new("unshare")
        .args(["-n", "sh", "-e", "-c", script, env!("CARGO_BIN_EXE_ecohttpd"), dir.text()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.starts_with("contentUid:") && !text.contains("\t0"), "{text}");
}

#[test]
fn files_it_may_read_are_read_again_and_others_stay() {
    if numbers().is_none() {
        return;
    }
    let dir = docroot();
    let conf = |mode, text: &str| {
        let path = dir.write("httpd.conf", text);
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    };
    // me:one, me:two
    let status = |client: &mut Client, token: &str| {
        client.get("/private/", &format!("Authorization: Basic {token}\r\n")).status
    };
    let (one, two) = ("bWU6b25l", "bWU6dHdv");
    fs::create_dir(dir.path("private")).unwrap();
    fs::set_permissions(dir.path("private"), PermissionsExt::from_mode(0o755)).unwrap();
    // Root could read it before.
    let path = conf(0o600, "/private:me:one\n");
    let mut process = start(&dir, &["-Z", USER, "-c", path.to_str().unwrap()]);
    let mut client = Client::connect(process.addr);
    assert_eq!((status(&mut client, one), status(&mut client, two)), (200, 401));
    conf(0o600, "/private:me:two\n");
    process.signal(Signal::HUP);
    let said = process.line();
    assert!(
        said.starts_with(&format!("ecohttpd: {}: Permission denied", path.display())),
        "{said}"
    );
    assert_eq!(process.line(), "ecohttpd: not reloaded: what was read before stays");
    assert_eq!((status(&mut client, one), status(&mut client, two)), (200, 401));
    conf(0o644, "/private:me:two\n");
    process.signal(Signal::HUP);
    assert_eq!(process.line(), "ecohttpd: reloaded");
    assert_eq!((status(&mut client, one), status(&mut client, two)), (401, 200));
}

#[test]
fn other_addresses_are_for_the_user_to_bind() {
    if numbers().is_none() {
        return;
    }
    let dir = docroot();
    let write = |text: &str| {
        let text = format!("home {}\nconfig /dev/null\nuser {USER}\n{text}", dir.text());
        fs::set_permissions(dir.write("options", text), PermissionsExt::from_mode(0o644)).unwrap();
    };
    write("listen_http 0.0.0.0:0\n");
    let options = dir.path("options");
    let mut process = Process::launcher(&["-f", "--options", options.to_str().unwrap()]);
    let port = process.addr.port();
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut reload = |text: &str| {
        write(text);
        process.signal(Signal::HUP);
        let lines: Vec<_> = (0..2).map(|_| process.line()).collect();
        assert_eq!(Client::connect(addr).get("/f.txt", "").text(), "content");
        lines
    };
    const REFUSED: &str = "ecohttpd: not reloaded: what was read before stays";
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim() == "1024" {
        let said = reload("listen_http 0.0.0.0:0\nlisten_http 127.0.0.1:1023\n");
        let why = "ecohttpd: cannot listen on 127.0.0.1:1023: Permission denied";
        assert!(said[0].starts_with(why) && said[1] == REFUSED, "{said:?}");
    }
    // What root has bound is in the way of one who is not root.
    let said = reload(&format!("listen_http {addr}\n"));
    let why = format!("ecohttpd: cannot listen on {addr}: Address already in use");
    assert!(said[0].starts_with(&why) && said[1] == REFUSED, "{said:?}");
    let said = reload("listen_http 0.0.0.0:0\nlisten_http 127.0.0.1:0\n");
    assert!(said[0].starts_with("ecohttpd: listening on 127.0.0.1:"), "{said:?}");
    assert_eq!(said[1], "ecohttpd: reloaded");
}

#[test]
fn a_user_who_is_not_there_is_said() {
    let dir = docroot();
    for name in ["nobody-of-this-name", "", "nobody:x", "65534"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ecohttpd"));
        command.args(["-f", "-p", "127.0.0.1:0", "-c", "/dev/null", "-h", dir.text(), "-Z", name]);
        let (code, said) = fails(command);
        assert_eq!(code, Some(2), "{name}: {said}");
        let option = format!("-Z {name}");
        let first = said.lines().next().unwrap();
        assert_eq!(first, format!("ecohttpd: {}: there is no such user", option.trim()));
    }
}

#[test]
fn whoever_is_not_root_is_told() {
    let dir = docroot();
    let launcher = copy(&dir);
    let socket = dir.path("open/socket");
    fs::create_dir(dir.path("open")).unwrap();
    fs::set_permissions(dir.path("open"), PermissionsExt::from_mode(0o777)).unwrap();
    let run = |user: &str| {
        let mut command = Command::new(&launcher);
        command.args(["-f", "-p", "127.0.0.1:0", "-c", "/dev/null", "-h", dir.text(), "-Z", user]);
        command.arg("-p").arg(format!("unix:{}", socket.display()));
        if rustix::process::getuid().is_root() {
            // Anybody will do.
            command.uid(65_534).gid(65_534);
        }
        fails(command)
    };
    for user in ["root", "daemon"] {
        let (code, said) = run(user);
        assert_eq!(code, Some(1), "{said}");
        let last = said.lines().last().unwrap();
        let clear = last.starts_with(&format!("ecohttpd: -Z {user}: Operation not permitted"));
        assert!(clear, "{said}");
        // It did listen for a moment, of which nothing is left.
        let addr = said.lines().next().unwrap().rsplit(' ').next().unwrap();
        assert!(TcpStream::connect(addr).is_err());
        let bound = format!("ecohttpd: listening on unix:{}\n", socket.display());
        assert!(said.contains(&bound) && !socket.exists(), "{said}");
    }
}
