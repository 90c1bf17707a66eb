//! What must not be seen: programs that stand for directories, packed forms of guarded files, and
//! passwords whose file has gone.
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
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Client, Dir, Process, Response, soon};
use rustix::process::Signal;

// u:p, me:one and me:two
const KNOWN: &str = "Authorization: Basic dTpw\r\n";
const ONE: &str = "Authorization: Basic bWU6b25l\r\n";
const TWO: &str = "Authorization: Basic bWU6dHdv\r\n";

const PROGRAM: &str = "#!/bin/sh\n\
    printf 'Content-Type: text/plain\\n\\nran %s [%s]' \"$SCRIPT_NAME\" \"$QUERY_STRING\"\n";

fn start(dir: &Dir, more: &[&str]) -> Process {
    let args = ["-f", "-p", "127.0.0.1:0", "-h", dir.text()];
    let conf = if more.contains(&"-c") { &[][..] } else { &["-c", "/dev/null"] };
    Process::launcher(&[&args, conf, more].concat())
}

fn get(server: &Process, path: &str, headers: &str) -> Response {
    Client::connect(server.addr).get(path, headers)
}

#[test]
fn a_program_that_stands_for_a_directory_is_run() {
    let dir = Dir::new();
    dir.script("cgi-bin/env", PROGRAM);
    dir.script("cgi-bin/index.cgi", PROGRAM);
    dir.script("cgi-bin/sub/index.cgi", PROGRAM);
    dir.write("plain/f.txt", "content");
    let server = start(&dir, &["-I", "cgi-bin/env"]);
    let r = get(&server, "/?a=b", "");
    assert_eq!((r.status, r.text()), (200, "ran /cgi-bin/env [a=b]"));
    let r = Client::connect(server.addr).request("POST", "/", "", b"body");
    assert_eq!((r.status, r.text()), (200, "ran /cgi-bin/env []"));
    let r = Client::connect(server.addr).request("HEAD", "/", "", b"");
    assert_eq!((r.status, r.header("content-type")), (200, Some("text/plain")));
    // No other directory has one.
    let r = get(&server, "/plain/", "");
    assert!(r.status == 200 && r.text().contains("f.txt"), "{r:?}");
    let server = start(&dir, &["-I", "index.cgi"]);
    for (path, ran) in [
        ("/cgi-bin/", "ran /cgi-bin/index.cgi []"),
        ("/cgi-bin/?x", "ran /cgi-bin/index.cgi [x]"),
        ("/cgi-bin/sub/", "ran /cgi-bin/sub/index.cgi []"),
    ] {
        let r = get(&server, path, "");
        assert_eq!((r.status, r.text()), (200, ran), "{path}");
    }
    // The others there are neither listed nor shown.
    let server = start(&dir, &["-I", "nothing"]);
    for path in ["/cgi-bin/", "/cgi-bin/sub/"] {
        let r = get(&server, path, "");
        assert!(r.status == 403 && !r.text().contains("index.cgi"), "{path}: {r:?}");
    }
}

#[test]
fn a_program_that_cannot_be_run_is_not_shown_instead() {
    let dir = Dir::new();
    let path = dir.write("cgi-bin/env", PROGRAM);
    fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    dir.write("index.html", "page");
    let server = start(&dir, &["-I", "cgi-bin/env"]);
    let r = get(&server, "/", "");
    assert!(r.status == 403 && !r.text().contains("#!"), "{r:?}");
    // One that is not there leaves the next.
    let server = start(&dir, &["-I", "cgi-bin/none", "-I", "index.html"]);
    let r = get(&server, "/", "");
    assert_eq!((r.status, r.text()), (200, "page"));
}

#[test]
fn a_program_that_stands_for_a_directory_is_guarded_as_itself() {
    let dir = Dir::new();
    dir.script("cgi-bin/env", PROGRAM);
    let beside = Dir::new();
    for guarded in ["/cgi-bin", "/cgi-bin/env"] {
        let conf = beside.write("httpd.conf", format!("{guarded}:u:p\n"));
        let server = start(&dir, &["-I", "cgi-bin/env", "-c", conf.to_str().unwrap()]);
        let r = get(&server, "/", "");
        assert!(r.status == 401 && !r.text().contains("ran"), "{guarded}: {r:?}");
        let r = get(&server, "/", KNOWN);
        assert_eq!((r.status, r.text()), (200, "ran /cgi-bin/env []"), "{guarded}");
    }
}

#[test]
fn packed_forms_of_a_guarded_file_are_guarded() {
    let dir = Dir::new();
    let beside = Dir::new();
    let conf = beside.write("httpd.conf", "/gz.txt:u:p\n/sub/only.txt:u:p\n");
    let all = ["gz.txt", "gz.txt.gz", "gz.txt.br", "sub/only.txt.gz"];
    for name in all.into_iter().chain(["open.txt.gz"]) {
        dir.write(name, format!("this is {name}"));
    }
    let server = start(&dir, &["-c", conf.to_str().unwrap()]);
    for name in all {
        for method in ["GET", "HEAD"] {
            let mut client = Client::connect(server.addr);
            let r = client.request(method, &format!("/{name}"), "", b"");
            assert_eq!(r.status, 401, "{method} {name}");
            assert!(!String::from_utf8_lossy(&r.body).contains("this is"), "{method} {name}");
        }
        let r = get(&server, &format!("/{name}"), KNOWN);
        assert_eq!((r.status, r.text()), (200, &*format!("this is {name}")));
    }
    // Nor otherwise spelled.
    for path in ["/gz.txt%2egz", "/gz.txt.%67z", "/sub/../gz.txt.br", "//gz.txt.gz"] {
        let r = get(&server, path, "");
        assert!(!String::from_utf8_lossy(&r.body).contains("this is"), "{path}: {r:?}");
    }
    // That of the file itself is chosen for those who may.
    let r = get(&server, "/gz.txt", "Accept-Encoding: gzip\r\n");
    assert_eq!((r.status, r.header("content-encoding")), (401, None));
    assert_eq!(get(&server, "/open.txt.gz", "").status, 200);
}

/// Sends SIGHUP; what is said about it, and whether it was done.
fn reload(server: &mut Process) -> (Vec<String>, bool) {
    server.signal(Signal::HUP);
    let mut said = Vec::new();
    loop {
        match server.line() {
            line if line == "ecohttpd: reloaded" => return (said, true),
            line if line.starts_with("ecohttpd: not reloaded") => return (said, false),
            line => said.push(line),
        }
    }
}

fn make_pipe(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

/// Whether the passwords are those of the file with `me:one`.
fn asks_for_one(server: &Process) -> bool {
    let status = |headers| get(server, "/private/f.txt", headers).status;
    (status(""), status(ONE), status(TWO)) == (401, 200, 401)
}

#[test]
fn a_configuration_that_has_become_a_pipe_is_not_waited_for() {
    let dir = Dir::new();
    dir.write("private/f.txt", "secret");
    dir.write("f.txt", "content");
    let beside = Dir::new();
    let conf = beside.write("httpd.conf", "/private:me:one\n");
    let mut server = start(&dir, &["-c", conf.to_str().unwrap()]);
    assert!(asks_for_one(&server));
    fs::remove_file(&conf).unwrap();
    make_pipe(&conf);
    let (said, done) = reload(&mut server);
    assert!(!done, "{said:?}");
    let why = format!("ecohttpd: {}: ", conf.display());
    assert!(said.iter().any(|line| line.starts_with(&why) && line.contains("no regular file")));
    assert_eq!(get(&server, "/f.txt", "").text(), "content");
    assert!(asks_for_one(&server));
    fs::remove_file(&conf).unwrap();
    beside.write("httpd.conf", "/private:me:two\n");
    assert_eq!(reload(&mut server), (vec![], true));
    assert_eq!(get(&server, "/private/f.txt", TWO).status, 200);
}

#[test]
fn no_file_that_is_read_may_be_a_pipe() {
    let dir = Dir::new();
    let pipe = dir.path("pipe");
    make_pipe(&pipe);
    for option in ["-c", "-H"] {
        for check in [&["--check"][..], &[]] {
            let mut child = Command::new(env!("CARGO_BIN_EXE_ecohttpd"))
                .args(check)
                .args(["-f", "-p", "127.0.0.1:0", "-h", dir.text(), option])
                .arg(&pipe)
                .stdin(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let stat = format!("/proc/{}/stat", child.id());
            let ended = soon(|| fs::read_to_string(&stat).unwrap().contains(") Z "));
            if !ended {
                child.kill().unwrap();
            }
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{option} {check:?}: {said}");
            assert!(said.contains("no regular file"), "{option} {check:?}: {said}");
        }
    }
}

/// A launcher that reads no file but the usual one, in an /etc of its own, as which `etc` is seen.
struct Usual {
    etc: Dir,
    home: Dir,
}

impl Usual {
    /// Nothing where that cannot be had, which is printed.
    fn new() -> Option<Usual> {
        let usual = Usual { etc: Dir::new(), home: Dir::new() };
        for name in ["passwd", "group", "nsswitch.conf", "ld.so.cache"] {
            if let Ok(content) = fs::read(Path::new("/etc").join(name)) {
                usual.etc.write(name, content);
            }
        }
        usual.home.write("private/f.txt", "secret");
        for dir in [&usual.etc.0, &usual.home.0, &usual.home.path("private")] {
            fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let can = rustix::process::getuid().is_root()
            && usual.command(&["id", "nobody"]).output().is_ok_and(|it| it.status.success());
        if !can {
            println!("skipped: that takes root, a mount namespace, and a user nobody");
        }
        can.then_some(usual)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", "mount --bind \"$0\" /etc && exec \"$@\""]);
        command.arg(&self.etc.0).args(args);
        command
    }

    fn start(&self, more: &[&str]) -> Process {
        let program = env!("CARGO_BIN_EXE_ecohttpd");
        let args = [program, "-f", "-p", "127.0.0.1:0", "-h", self.home.text()];
        Process::start(self.command(&[&args, more].concat()))
    }

    /// Writes a file that everybody may read.
    fn write(&self, name: &str, text: &str) {
        let path = self.etc.write(name, text);
        fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    }
}

/// A reload is refused, on account of the usual file, whose passwords stay.
fn is_refused(server: &mut Process, why: &str) {
    let (said, done) = reload(server);
    assert!(!done, "{why}: {said:?}");
    let place = "ecohttpd: /etc/httpd.conf: ";
    assert!(said.iter().any(|line| line.starts_with(place)), "{why}: {said:?}");
    assert!(asks_for_one(server), "{why}");
}

#[test]
fn the_usual_file_that_cannot_be_looked_at_is_not_missing() {
    let Some(usual) = Usual::new() else {
        return;
    };
    // Where root gets to, but not whom it becomes.
    usual.write("locked/httpd.conf", "/private:me:one\n");
    let locked = usual.etc.path("locked");
    fs::set_permissions(&locked, PermissionsExt::from_mode(0o700)).unwrap();
    symlink("locked/httpd.conf", usual.etc.path("httpd.conf")).unwrap();
    let mut server = usual.start(&["-Z", "nobody"]);
    assert!(asks_for_one(&server));
    is_refused(&mut server, "a locked directory");
    fs::set_permissions(&locked, PermissionsExt::from_mode(0o755)).unwrap();
    assert!(reload(&mut server).1);
    assert!(asks_for_one(&server));
    let file = locked.join("httpd.conf");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    is_refused(&mut server, "a locked file");
    fs::remove_file(&file).unwrap();
    is_refused(&mut server, "a link to nothing");
    usual.write("locked/httpd.conf", "/private:me:two\n");
    assert_eq!(reload(&mut server), (vec![], true));
    assert_eq!(get(&server, "/private/f.txt", TWO).status, 200);
}

#[test]
fn the_usual_file_that_has_gone_leaves_its_passwords() {
    let Some(usual) = Usual::new() else {
        return;
    };
    // Without it nobody is asked, and one that comes counts.
    let mut server = usual.start(&[]);
    assert_eq!(reload(&mut server), (vec![], true));
    assert_eq!(get(&server, "/private/f.txt", "").status, 200);
    usual.write("httpd.conf", "/private:me:one\n");
    assert_eq!(reload(&mut server), (vec![], true));
    assert!(asks_for_one(&server));
    fs::remove_file(usual.etc.path("httpd.conf")).unwrap();
    for _ in 0..2 {
        is_refused(&mut server, "nothing");
    }
    // To ask nobody any more can still be said.
    usual.write("httpd.conf", "");
    assert_eq!(reload(&mut server), (vec![], true));
    assert_eq!(get(&server, "/private/f.txt", "").status, 200);
}
