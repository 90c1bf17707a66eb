//! `--options`: a file that is read again on SIGHUP, with all addresses in it, while nobody is dropped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;
#[path = "common/reloaded.rs"]
mod reloaded;

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use common::{Client, Dir, LOCAL, free_addr, is_alive, number_in, pattern, soon};
use reloaded::{DONE, REFUSED, Server, WAIT, is_refused, text};
use rustix::process::Signal;

/// The next piece of a chunked response.
fn chunk(client: &mut Client) -> String {
    let size = usize::from_str_radix(&client.line(), 16).unwrap();
    let mut chunk = vec![0; size];
    client.stream.read_exact(&mut chunk).unwrap();
    assert_eq!(client.line(), "");
    String::from_utf8(chunk).unwrap()
}

#[test]
fn another_address_and_docroot() {
    let mut server = Server::start("http_keepalive 100\n");
    let old = server.process.addr;
    let mut client = server.connect();
    assert_eq!(client.get("/f.txt", "").text(), "content");
    let new = free_addr();
    assert_eq!(
        server.reload(&format!("listen_http {new}\nhome other\nhttp_keepalive 100\n")),
        [
            format!("ecohttpd: not listening on {old} any more"),
            format!("ecohttpd: listening on {new}"),
        ]
    );
    assert!(is_refused(old));
    assert_eq!(text(new), "other");
    // Who came by the old address gets an answer, by what counts now, and has to go.
    let r = client.get("/f.txt", "");
    assert_eq!((r.text(), r.header("connection")), ("other", Some("close")));
    assert!(client.is_closed());
    // Who comes by one that stays does, too.
    let mut client = Client::connect(new);
    assert_eq!(client.get("/f.txt", "").text(), "other");
    let both = format!("listen_http {old}\nlisten_http {new}\nhome www\n");
    assert_eq!(server.reload(&both), [format!("ecohttpd: listening on {old}")]);
    let r = client.get("/f.txt", "");
    assert_eq!((r.text(), r.header("connection")), ("content", None));
    assert_eq!((text(old), text(new)), ("content".into(), "content".into()));
}

#[test]
fn what_is_under_way_is_finished() {
    let mut server = Server::start("");
    let content = pattern(16 << 20);
    server.dir.write("www/big.bin", &content);
    server.script("wait", &format!("echo first\n{WAIT}\ncat\necho last"));
    let mut download = server.connect();
    rustix::net::sockopt::set_socket_recv_buffer_size(&download.stream, 32 << 10).unwrap();
    download.send("GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(download.head().status, 200);
    let mut script = server.connect();
    script.send("POST /cgi-bin/wait HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nbo");
    assert_eq!(script.head().status, 200);
    assert_eq!(chunk(&mut script), "first\n");
    let (old, new) = (server.process.addr, free_addr());
    server.reload(&format!("listen_http {new}\nhome other\ncgi_prefix /none\nmax_requests 1\n"));
    assert!(is_refused(old));
    script.send("dy\n");
    server.dir.write("www/go", "");
    let mut rest = String::new();
    while let more @ 1.. = {
        let more = chunk(&mut script);
        rest.push_str(&more);
        more.len()
    } {
        let _ = more;
    }
    assert_eq!(rest, "body\nlast\n");
    let mut got = vec![0; content.len()];
    download.stream.read_exact(&mut got).unwrap();
    assert!(got == content);
    assert_eq!(script.get("/cgi-bin/wait", "").status, 404);
}

#[test]
fn nobody_is_refused_where_it_stays() {
    let mut server = Server::start("");
    let addr = server.process.addr;
    let (over, count) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let mut client = Client::connect(addr);
                    let r = client.get("/f.txt", "Connection: close\r\n");
                    assert_eq!(r.status, 200);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let reloads = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for i in 0..20 {
                let home = if i % 2 == 0 { "other" } else { "www" };
                let before = count.load(Ordering::Relaxed);
                server.change(&format!("home {home}\n"));
                assert!(soon(|| count.load(Ordering::Relaxed) > before + 3));
            }
        }));
        over.store(true, Ordering::Relaxed);
        reloads.unwrap();
    });
    assert!(count.into_inner() >= 60);
}

#[test]
fn nobody_is_refused_where_one_address_stays_of_all() {
    let mut server = Server::start_with("listen_http 0.0.0.0:0\n", "");
    let port = server.process.addr.port();
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let other = SocketAddr::from(([127, 0, 0, 2], port));
    let (over, count) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                assert_eq!(Client::connect(addr).get("/f.txt", "").status, 200);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let reloads = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for i in 0..10 {
                let before = count.load(Ordering::Relaxed);
                let at = if i % 2 == 0 { "127.0.0.1" } else { "0.0.0.0" };
                server.reload(&format!("listen_http {at}:{port}\nhome www\n"));
                assert_eq!(is_refused(other), i % 2 == 0);
                assert!(soon(|| count.load(Ordering::Relaxed) > before + 3));
            }
        }));
        over.store(true, Ordering::Relaxed);
        reloads.unwrap();
    });
}

#[test]
fn mistakes_leave_all_of_it() {
    let mut server = Server::start("max_connections 50\n");
    let mut client = server.connect();
    let file = server.dir.path("options");
    let at = |line: u32, what: &str| format!("ecohttpd: {}:{line}: {what}", file.display());
    let new = free_addr();
    let good = format!("listen_http {new}\nhome other\n");
    assert_eq!(
        server.refuses(&format!("{good}max_requests 0\n# so\nnonsense\nerror_page x\n")),
        [
            at(4, "max_requests: it has to be 1 at least"),
            at(6, "nonsense: there is no such option"),
            at(7, "error_page: it does not begin with /"),
        ]
    );
    // Those of files that it names, too.
    let conf = server.dir.write("httpd.conf", "garbage\n");
    let said = server.refuses(&format!("{good}config httpd.conf\n"));
    assert_eq!(
        said,
        [format!("ecohttpd: {}:1: garbage: there is no such setting", conf.display())]
    );
    let said = server.refuses(&format!("{good}access_log www/\n"));
    assert!(said[0].contains("a directory"), "{said:?}");
    // And what shows only when it is tried; of two, both are said.
    let holder = TcpListener::bind(LOCAL).unwrap();
    let taken = holder.local_addr().unwrap();
    let said = server.refuses(&format!(
        "{good}listen_http {taken}\nlisten_http unix:{}\nlisten_http fd:9\n",
        server.dir.path("www").display()
    ));
    assert!(said[0].starts_with(&format!("ecohttpd: cannot listen on {taken}: ")), "{said:?}");
    assert!(said[1].starts_with("ecohttpd: cannot listen on unix:"), "{said:?}");
    assert!(said[2].starts_with("ecohttpd: fd:9: descriptors are handed over"), "{said:?}");
    assert_eq!(said.len(), 3);
    let said = server.refuses("home other\n");
    assert_eq!(said, ["ecohttpd: -p or -s is missing: there is no address to listen at"]);
    std::fs::remove_file(&file).unwrap();
    let mut said = server.hup();
    assert_eq!(said.pop().as_deref(), Some(REFUSED));
    assert_eq!(said, ["ecohttpd: --options options: No such file or directory (os error 2)"]);
    assert!(is_refused(new));
    assert_eq!(client.get("/f.txt", "").text(), "content");
    assert_eq!(text(server.process.addr), "content");
    // And once all is well again, it counts.
    assert_eq!(
        server.reload(&format!("{good}listen_http 127.0.0.1:0\n")),
        [format!("ecohttpd: listening on {new}")]
    );
    assert_eq!((text(new), text(server.process.addr)), ("other".into(), "other".into()));
}

#[test]
fn what_could_not_be_had_before_is_no_mistake() {
    let holder = TcpListener::bind(LOCAL).unwrap();
    let taken = holder.local_addr().unwrap();
    let listen = format!("listen_http 127.0.0.1:0\nlisten_http {taken}\n");
    let mut server = Server::start_with(&listen, "");
    let unknown = "listen_http [fe80::1%nosuch0]:80\n";
    let why = format!("ecohttpd: cannot listen on {taken}: ");
    assert!(server.process.line().starts_with(&why));
    let said = server.reload(&format!("{listen}{unknown}home other\n"));
    assert!(said[0].starts_with(&why), "{said:?}");
    assert!(said[1].contains("there is no interface nosuch0"), "{said:?}");
    assert_eq!(said.len(), 2);
    assert_eq!(text(server.process.addr), "other");
    drop(holder);
    let said = server.reload(&format!("{listen}home www\n"));
    assert_eq!(said, [format!("ecohttpd: listening on {taken}")]);
    assert_eq!(text(taken), "content");
}

#[test]
fn a_unix_socket_comes_and_goes() {
    let mut server = Server::start("");
    let path = server.dir.path("s");
    let connect = || UnixStream::connect(&path);
    let with = "listen_http 127.0.0.1:0\nlisten_http unix:s\nhome www\n";
    let named = format!("listening on unix:{}", path.display());
    assert_eq!(server.reload(with), [format!("ecohttpd: {named}")]);
    let inode = |path: &std::path::Path| {
        use std::os::unix::fs::MetadataExt;
        std::fs::symlink_metadata(path).unwrap().ino()
    };
    let before = inode(&path);
    assert_eq!(server.reload(&with.replace("www", "other")), [""; 0]);
    assert_eq!(inode(&path), before, "it is the same one");
    let stream = connect().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut client = Client { stream };
    assert_eq!(client.get("/f.txt", "").text(), "other");
    // A reload that fails takes nothing away, nor leaves anything.
    server.refuses(&format!("{with}listen_http unix:t\nnonsense\n"));
    server.refuses(&format!("{with}listen_http unix:t\nlisten_http unix:www\n"));
    assert!(path.exists() && !server.dir.path("t").exists());
    let said = server.reload("listen_http 127.0.0.1:0\nhome www\n");
    assert_eq!(said, [format!("ecohttpd: not {named} any more")]);
    assert!(!path.exists());
    assert_eq!(client.get("/f.txt", "").header("connection"), Some("close"));
}

#[test]
fn many_signals_in_a_row() {
    let server = Server::start("http_keepalive 100\n");
    let content = pattern(4 << 20);
    server.dir.write("www/big.bin", &content);
    server.dir.write("other/big.bin", &content);
    let mut idle = server.connect();
    assert_eq!(idle.get("/f.txt", "").text(), "content");
    let mut download = server.connect();
    rustix::net::sockopt::set_socket_recv_buffer_size(&download.stream, 32 << 10).unwrap();
    download.send("GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(download.head().status, 200);
    let descriptors =
        || std::fs::read_dir(format!("/proc/{}/fd", server.process.child.id())).unwrap().count();
    let storm = |rounds: u32| {
        for i in 0..rounds {
            let home = if i % 2 == 0 { "www" } else { "other" };
            // Each with an address of its own beside the one that stays.
            server.write(&format!(
                "listen_http 127.0.0.1:0\nlisten_http unix:s{i}\nhome {home}\nhttp_keepalive 100\n"
            ));
            server.process.signal(Signal::HUP);
            std::thread::sleep(Duration::from_millis(10));
        }
        let last = rounds - 1;
        assert!(soon(|| server.dir.path(&format!("s{last}")).exists()));
        assert_eq!(text(server.process.addr), "other");
    };
    storm(20);
    let (memory, open) = (server.process.status("VmRSS"), descriptors());
    storm(200);
    assert_eq!(idle.get("/f.txt", "").text(), "other");
    assert!(soon(|| descriptors() <= open), "{open}: {}", descriptors());
    let more = server.process.status("VmRSS").saturating_sub(memory);
    assert!(more < 400, "{more} KiB more for 200 reloads");
    let mut got = vec![0; content.len()];
    download.stream.read_exact(&mut got).unwrap();
    assert!(got == content);
    assert_eq!(download.get("/f.txt", "").text(), "other");
}

#[test]
fn what_has_not_changed_is_not_bound_anew() {
    let mut server = Server::start("");
    server.dir.write("conf", "");
    server.change("home www\nconfig conf\n");
    let mut client = server.connect();
    assert_eq!(client.get("/f.txt", "").status, 200);
    // What the file names is read again nonetheless.
    server.dir.write("conf", "/:me:one\n");
    assert_eq!(server.hup(), [DONE]);
    assert_eq!(client.get("/f.txt", "").status, 401);
    // A path is what it was, wherever it leads to in the end.
    server.write("listen_http 127.0.0.1:0\nhome www\nuser nobody\n");
    assert_eq!(server.hup(), ["ecohttpd: -Z: another user takes a restart", DONE]);
    assert_eq!(client.get("/f.txt", "").status, 200);
}

#[test]
fn a_daemon_reads_it_where_it_was_started() {
    let dir = Dir::new();
    let addr = free_addr();
    dir.write("www/f.txt", "content");
    dir.write("other/f.txt", "other");
    dir.write("www/cgi-bin/x", "");
    dir.script("www/cgi-bin/pid", "#!/bin/sh\nprintf 'X-A: b\\r\\n\\r\\n'\necho $PPID > pid\n");
    dir.write("options", format!("listen_http {addr}\nhome www\nconfig /dev/null\n"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ecohttpd"));
    let status = command.args(["--options", "options"]).current_dir(&dir.0).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(Client::connect(addr).get("/cgi-bin/pid", "").status, 200);
    let pid = number_in(&dir.path("www/pid"));
    let signal = |signal| {
        let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    };
    let new = free_addr();
    dir.write("options", format!("listen_http {new}\nhome other\nconfig /dev/null\n"));
    signal(Signal::HUP);
    let moved = soon(|| TcpStream::connect(new).is_ok());
    let served = moved.then(|| text(new));
    signal(Signal::TERM);
    assert_eq!(served.as_deref(), Some("other"));
    assert!(soon(|| !is_alive(pid)));
}
