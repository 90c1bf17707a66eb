//! `--options`: what else than addresses counts from a SIGHUP on.
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
use std::time::{Duration, Instant};

use common::soon;
use reloaded::{DONE, Server, WAIT};
use rustix::process::Signal;

#[test]
fn limits_count_from_then_on() {
    let mut server = Server::start("http_keepalive 100\n");
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/f.txt", "").text(), "content");
    }
    // One fits beside the one that is left of these.
    server.change("home www\nmax_connections 2\nhttp_keepalive 100\n");
    let mut last = server.connect();
    assert_eq!(last.get("/f.txt", "").text(), "content");
    let (gone, mut left): (Vec<_>, Vec<_>) = clients.into_iter().partition(|client| {
        client.stream.set_nonblocking(true).unwrap();
        let is_gone = matches!(client.stream.peek(&mut [0]), Ok(0));
        client.stream.set_nonblocking(false).unwrap();
        is_gone
    });
    assert_eq!((gone.len(), left.len()), (3, 1));
    assert_eq!(left[0].get("/f.txt", "").text(), "content");
    // How long a connection is kept, also for one that is there.
    server.change("home www\nhttp_keepalive 1\n");
    assert_eq!(last.get("/f.txt", "").header("connection"), None);
    let start = Instant::now();
    assert!(last.is_closed());
    assert!(start.elapsed() < Duration::from_secs(6));
    server.change("home www\nhttp_keepalive 0\n");
    assert_eq!(left[0].get("/f.txt", "").header("connection"), Some("close"));
    // And for how long a client may keep a head from being whole.
    server.change("home www\nnetwork_timeout 1\n");
    let mut slow = server.connect();
    slow.send("GET /f.txt HT");
    let start = Instant::now();
    assert_eq!(slow.response("GET").status, 408);
    assert!(start.elapsed() < Duration::from_secs(6));
}

#[test]
fn everything_else_counts_from_then_on() {
    let mut server = Server::start("");
    server.dir.write("www/dir/f", "");
    server.dir.write("www/dir/start.txt", "start");
    server.dir.write("www/s.x", "echo X-A: b; echo; echo run");
    server.dir.write("conf", "/private:me:one\n");
    std::os::unix::fs::symlink(server.dir.path("other/f.txt"), server.dir.path("www/link"))
        .unwrap();
    let mut client = server.connect();
    assert_eq!(client.get("/dir/", "").status, 200);
    assert_eq!(client.get("/link", "").text(), "other");
    assert_eq!(client.get("/s.x", "").header("x-a"), None);
    server.change(
        "home www\nno_symlinks\nno_dirlists\ninterpreter .x=/bin/sh\nheader X-New: yes\n\
         index_page start.txt\nerror_page /f.txt\nalias /private=/p\n",
    );
    let r = client.get("/dir/", "");
    assert_eq!((r.text(), r.header("x-new")), ("start", Some("yes")));
    let r = client.get("/link", "");
    assert_eq!((r.status, r.text()), (403, "content"));
    assert_eq!(client.get("/s.x", "").text(), "run\n");
    server.write("listen_http 127.0.0.1:0\nhome www\nconfig conf\nrealm A new realm\n");
    assert_eq!(server.hup(), [DONE]);
    let r = client.get("/private", "");
    let challenge = "Basic realm=\"A new realm\", charset=\"UTF-8\"";
    assert_eq!((r.status, r.header("www-authenticate")), (401, Some(challenge)));
    assert_eq!(client.get("/dir/", "").header("x-new"), None);
}

#[test]
fn scripts_have_the_places_of_now() {
    let mut server = Server::start("max_requests 1\n");
    server.script("wait", &format!("echo $$\n{WAIT}\necho end"));
    let request = "GET /cgi-bin/wait HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut clients = [server.connect(), server.connect(), server.connect()];
    clients[0].send(request);
    assert_eq!(clients[0].head().status, 200);
    clients[1].send(request);
    clients[2].send(request);
    // There is no place for it yet.
    clients[1].stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(clients[1].stream.peek(&mut [0]).is_err());
    clients[1].stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    server.change("home www\nmax_requests 2\n");
    let second = clients.iter_mut().skip(1).find(|client| {
        client.stream.set_nonblocking(true).unwrap();
        let answered = soon(|| client.stream.peek(&mut [0]).is_ok());
        client.stream.set_nonblocking(false).unwrap();
        answered
    });
    assert_eq!(second.expect("one that runs beside the first").head().status, 200);
    server.dir.write("www/go", "");
    let mut rest = [0; 4];
    clients[2].stream.read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b"HTTP");
}

#[test]
fn the_access_log_goes_where_it_is_told() {
    let mut server = Server::start("access_log first.log\n");
    let mut client = server.connect();
    let lines = |name: &str| std::fs::read_to_string(server.dir.path(name)).unwrap_or_default();
    let has = |name: &str, path: &str| lines(name).contains(path);
    client.get("/one", "");
    assert!(soon(|| has("first.log", "GET /one ")));
    let path = server.dir.path("second.log");
    server.write(&format!(
        "listen_http 127.0.0.1:0\nhome www\nlog_format combined\naccess_log {}\n",
        path.display()
    ));
    let Server { process, dir } = &mut server;
    // It finds both at once, and has no time to write the line before. What is asked for is at hand.
    client.get("/f.txt", "");
    process.signal(Signal::STOP);
    client.send("GET /f.txt?late HTTP/1.1\r\nHost: h\r\n\r\n");
    process.signal(Signal::HUP);
    process.signal(Signal::CONT);
    assert_eq!(client.response("GET").text(), "content");
    assert_eq!(process.line(), DONE);
    client.get("/two", "User-Agent: me\r\n");
    let text = |name: &str| std::fs::read_to_string(dir.path(name)).unwrap_or_default();
    assert!(soon(
        || text("second.log").contains("GET /two ") && text("second.log").contains("\"me\"")
    ));
    assert!(text("first.log").contains("GET /f.txt?late "), "nothing is lost");
    assert!(!text("first.log").contains("/two") && !text("second.log").contains("/one"));
    // And by its name, when that is given to another file.
    std::fs::rename(&path, dir.path("old.log")).unwrap();
    process.signal(Signal::HUP);
    assert_eq!(process.line(), DONE);
    client.get("/three", "");
    assert!(soon(|| text("second.log").contains("GET /three ")));
    server.change("home www\n");
    client.get("/four", "");
    client.get("/five", "");
    assert!(!std::fs::read_to_string(&path).unwrap().contains("/four"));
}

#[cfg(feature = "tls")]
mod tls {
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::common::{Client, free_addr};
    use crate::reloaded::{is_refused, text};

    fn pki(name: &str) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "tests/pki", name].iter().collect()
    }

    /// What curl gets from an address by HTTPS.
    fn https(addr: &str) -> String {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "20", "--noproxy", "*", "--cacert"])
            .arg(pki("ca.pem"))
            .arg(format!("https://{addr}/f.txt"))
            .stdin(Stdio::null())
            .output()
            .expect("curl");
        String::from_utf8(if output.status.success() { output.stdout } else { output.stderr })
            .unwrap()
    }

    const READ: &str = "ecohttpd: certificate read";

    #[test]
    fn https_comes_and_goes() {
        let mut server = Server::start("");
        let mut client = server.connect();
        assert_eq!(client.get("/f.txt", "").text(), "content");
        let (cert, key) = (pki("localhost.pem"), pki("localhost.key"));
        let tls = format!(
            "cert {}\nkey {}\nhome www\nredirect_https\nredirect_status 308\n",
            cert.display(),
            key.display()
        );
        let secure = free_addr();
        let port = secure.port();
        let both = format!("listen_http 127.0.0.1:0\nlisten_https {secure}\n{tls}");
        assert_eq!(server.reload(&both), [format!("ecohttpd: listening on {secure}")]);
        assert_eq!(server.process.line(), READ);
        assert_eq!(https(&format!("127.0.0.1:{port}")), "content");
        let r = client.get("/f.txt", "");
        let location = format!("https://test:{port}/f.txt");
        assert_eq!((r.status, r.header("location")), (308, Some(&*location)));
        // A certificate that is no good leaves HTTPS as it is, and the rest, too.
        let bad = both.replace("localhost.pem", "guest.pem").replace("home www", "home other");
        let said = server.refuses(&bad);
        assert!(said[0].starts_with("ecohttpd: no HTTPS: "), "{said:?}");
        assert_eq!(server.process.line(), READ, "the one that is used was read again");
        assert_eq!(https(&format!("127.0.0.1:{port}")), "content");
        // HTTP at its address and HTTPS at the other one, by the sockets that are there.
        let plain = server.process.addr;
        server.reload(&format!("listen_http {secure}\nlisten_https {plain}\n{tls}"));
        assert_eq!(server.process.line(), READ);
        assert_eq!(https(&plain.to_string()), "content");
        let r = Client::connect(secure).get("/f.txt", "");
        let location = format!("https://test:{}/f.txt", plain.port());
        assert_eq!((r.status, r.header("location")), (308, Some(&*location)));
        server.reload(&format!("listen_http {secure}\nhome www\n"));
        assert!(is_refused(plain));
        assert_eq!(text(secure), "content");
    }

    #[test]
    fn a_certificate_may_come_after_its_options() {
        let mut server = Server::start("");
        let mut client = server.connect();
        let secure = free_addr();
        let both =
            format!("listen_http 127.0.0.1:0\nlisten_https {secure}\ncert c\nkey k\nhome www\n");
        let said = server.reload(&both);
        assert!(said[0].starts_with("ecohttpd: no HTTPS: ") && said.len() == 1, "{said:?}");
        assert!(is_refused(secure));
        assert_eq!(client.get("/f.txt", "").text(), "content");
        std::fs::copy(pki("localhost.pem"), server.dir.path("c")).unwrap();
        std::fs::copy(pki("localhost.key"), server.dir.path("k")).unwrap();
        // Without a signal, while somebody is connected.
        assert_eq!(server.process.line(), format!("ecohttpd: listening on {secure}"));
        assert_eq!(server.process.line(), READ);
        assert_eq!(https(&secure.to_string()), "content");
    }
}
