//! SIGHUP: what is in files is read again, and nobody who is connected notices.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use common::{Client, Dir, Process, pattern};
use rustix::process::Signal;

/// A launcher over `www` in its directory, with a configuration and rules beside that.
struct Server {
    process: Process,
    dir: Dir,
}

/// What is said after a reload, and after one that did not come about.
const DONE: &str = "ecohttpd: reloaded";
const REFUSED: &str = "ecohttpd: not reloaded: what was read before stays";

impl Server {
    fn start(more: &[&str]) -> Server {
        let dir = Dir::new();
        dir.write("www/f.txt", "content");
        dir.write("www/private/f.txt", "secret");
        dir.write("httpd.conf", "");
        dir.write("rules.json", r#"{"request": []}"#);
        let path = |name: &str| dir.path(name).to_str().unwrap().to_owned();
        let (home, conf, rules) = (path("www"), path("httpd.conf"), path("rules.json"));
        let args = ["-f", "-p", "127.0.0.1:0", "-h", &home, "-c", &conf, "-H", &rules];
        Server { process: Process::launcher(&[&args, more].concat()), dir }
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.dir.write(&format!("www/cgi-bin/{name}"), text);
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn connect(&self) -> Client {
        Client::connect(self.process.addr)
    }

    /// Sends SIGHUP; what is said about it.
    fn reload(&mut self) -> Vec<String> {
        self.process.signal(Signal::HUP);
        let mut said = Vec::new();
        loop {
            let line = self.process.line();
            let is_last = line == DONE || line == REFUSED;
            said.push(line);
            if is_last {
                return said;
            }
        }
    }

    fn reload_well(&mut self) {
        assert_eq!(self.reload(), [DONE]);
    }

    /// What it says where nothing is read of a file with these mistakes in it.
    fn refusal(&self, mistakes: &[(&str, &str)]) -> Vec<String> {
        let place = |(at, what): &(&str, &str)| {
            let (file, line) = at.split_once(':').unwrap();
            format!("ecohttpd: {}:{line}: {what}", self.dir.path(file).display())
        };
        mistakes.iter().map(place).chain([REFUSED.to_owned()]).collect()
    }
}

/// The status that me gets with a password, of three letters, for what is private.
fn status(client: &mut Client, password: &str) -> u16 {
    let token = match password {
        "one" => "bWU6b25l",
        "two" => "bWU6dHdv",
        other => panic!("{other}"),
    };
    let authorization = format!("Authorization: Basic {token}\r\n");
    client.get("/private/f.txt", &authorization).status
}

/// The next piece of a chunked response.
fn chunk(client: &mut Client) -> String {
    let size = usize::from_str_radix(&client.line(), 16).unwrap();
    let mut chunk = vec![0; size];
    client.stream.read_exact(&mut chunk).unwrap();
    assert_eq!(client.line(), "");
    String::from_utf8(chunk).unwrap()
}

#[test]
fn new_passwords_count_for_the_next_request() {
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    let statuses = |client: &mut Client| (status(client, "one"), status(client, "two"));
    assert_eq!(statuses(&mut client), (200, 200), "it is not private yet");
    for (conf, expected) in [
        ("/private:me:one\n", (200, 401)),
        ("/private:me:two\n", (401, 200)),
        ("/private:me:one\n/private:me:two\n", (200, 200)),
        ("/private:you:one\n", (401, 401)),
        ("# nothing\n", (200, 200)),
    ] {
        server.dir.write("httpd.conf", conf);
        server.reload_well();
        // By the same connection, which was there before all of it.
        assert_eq!(statuses(&mut client), expected, "{conf}");
        assert_eq!(client.get("/f.txt", "").text(), "content");
    }
}

#[test]
fn the_hash_of_an_old_password_is_forgotten() {
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    // What was found out to be right once is not hashed again, as long as it is right.
    let one = "$1$abcdefgh$7.lm.6ee9.UHlcakym0SR.";
    let two = "$1$abcdefgh$aEJ4hNqGU4ecGV.KYkiwP1";
    for (hash, expected) in [(one, (200, 401)), (two, (401, 200)), (one, (200, 401))] {
        server.dir.write("httpd.conf", format!("/private:me:{hash}\n"));
        server.reload_well();
        for _ in 0..2 {
            let statuses = (status(&mut client, "one"), status(&mut client, "two"));
            assert_eq!(statuses, expected);
        }
    }
}

#[test]
fn new_settings_count_for_the_next_request() {
    let mut server = Server::start(&["-E", "/f.txt"]);
    let dir = &server.dir;
    dir.write("www/dir/first.html", "first");
    dir.write("www/dir/second.html", "second");
    dir.write("www/sorry.txt", "sorry");
    dir.write("www/script.x", "echo X-A: b; echo; echo run");
    let mut client = server.connect();
    assert_eq!(client.get("/missing", "").text(), "content");
    for (conf, index, missing, script) in [
        ("I:first.html\nE404:/sorry.txt\n*.x:/bin/sh\n", "first", "sorry", "run\n"),
        ("I:second.html\n", "second", "content", "echo X-A: b; echo; echo run"),
        ("I:no.html\nI:second.html\nI:first.html\n*.x:/bin/cat\n", "second", "content", ""),
    ] {
        server.dir.write("httpd.conf", conf);
        server.reload_well();
        assert_eq!(client.get("/dir/", "").text(), index, "{conf}");
        let r = client.get("/missing", "");
        assert_eq!((r.status, r.text()), (404, missing), "{conf}");
        let r = client.get("/script.x", "");
        if script.is_empty() {
            assert_eq!(r.status, 502, "cat says no header");
        } else {
            assert_eq!((r.status, r.text()), (200, script), "{conf}");
        }
    }
}

#[test]
fn new_rules_count_for_the_next_request() {
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    assert_eq!(client.get("/x", "").status, 404);
    for (rules, status, location) in [
        (r#"{"request": [["redirect", "/one"]]}"#, 302, Some("/one")),
        (r#"{"fallback": [["redirect", "/two", 301]]}"#, 301, Some("/two")),
        (r#"{"request": [["rewrite", "/f.txt"]]}"#, 200, None),
        (r#"{"request": []}"#, 404, None),
    ] {
        server.dir.write("rules.json", rules);
        server.reload_well();
        let r = client.get("/x", "");
        assert_eq!((r.status, r.header("location")), (status, location), "{rules}");
    }
}

#[test]
fn what_is_wrong_is_said_and_the_old_state_stays() {
    let mut server = Server::start(&[]);
    server.dir.write("httpd.conf", "/private:me:one\nE404:/f.txt\n");
    server
        .dir
        .write("rules.json", r#"{"fallback": [["if", ["has", "HTTP_X"], ["redirect", "/x"]]]}"#);
    server.reload_well();
    let mut client = server.connect();
    let mut as_before = || {
        assert_eq!((status(&mut client, "one"), status(&mut client, "two")), (200, 401));
        assert_eq!(client.get("/missing", "").text(), "content");
        assert_eq!(client.get("/missing", "X: y\r\n").header("location"), Some("/x"));
    };
    as_before();
    // Good lines beside the bad one do not count either.
    server.dir.write("httpd.conf", "/private:me:two\n\nE404:nowhere\ngarbage\n");
    let said = server.reload();
    let expected = server.refusal(&[
        ("httpd.conf:3", "E404:nowhere: the path of an error page begins with a slash"),
        ("httpd.conf:4", "garbage: there is no such setting"),
    ]);
    assert_eq!(said, expected);
    as_before();
    // Nor does a good file beside the bad one.
    server.dir.write("httpd.conf", "/private:me:two\n");
    server.dir.write("rules.json", "{\n\"request\": [\n[\"redirct\", \"/x\"]\n]}");
    let said = server.reload();
    assert_eq!(said, server.refusal(&[("rules.json:3", "\"redirct\" is no command")]));
    as_before();
    server.dir.write("rules.json", "{\n\n\"request\": [,]}");
    let said = server.reload();
    let place = format!("ecohttpd: {}:3: ", server.dir.path("rules.json").display());
    assert!(said[0].starts_with(&place) && said.len() == 2, "{said:?}");
    as_before();
    // A file that has gone, by accident perhaps: no password would be asked for without it.
    server.dir.write("rules.json", r#"{"request": []}"#);
    std::fs::remove_file(server.dir.path("httpd.conf")).unwrap();
    let said = server.reload();
    let place = format!("ecohttpd: {}: No such file", server.dir.path("httpd.conf").display());
    assert!(said[0].starts_with(&place) && said[1] == REFUSED, "{said:?}");
    as_before();
    // And all is well once the files are.
    server.dir.write("httpd.conf", "/private:me:two\n");
    server.reload_well();
    assert_eq!((status(&mut client, "one"), status(&mut client, "two")), (401, 200));
    assert_eq!(client.get("/missing", "X: y\r\n").status, 404);
}

#[test]
fn what_is_only_noted_does_not_keep_a_reload_from_being_done() {
    let mut server = Server::start(&[]);
    server.dir.write("httpd.conf", "/private:me:one\n/private:me:$no-hash\n");
    let said = server.reload();
    let place = format!("ecohttpd: {}:2: /private: ", server.dir.path("httpd.conf").display());
    assert!(said.len() == 2 && said[0].starts_with(&place) && said[1] == DONE, "{said:?}");
    assert_eq!(status(&mut server.connect(), "one"), 200);
}

#[test]
fn a_download_under_way_goes_on() {
    let mut server = Server::start(&[]);
    let content = pattern(16 << 20);
    server.dir.write("www/big.bin", &content);
    let mut client = server.connect();
    rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 32 << 10).unwrap();
    client.send("GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = client.head();
    assert_eq!(head.header("content-length"), Some("16777216"));
    let mut got = vec![0; content.len()];
    let half = got.len() / 2;
    client.stream.read_exact(&mut got[..1000]).unwrap();
    // Whoever is let in is: the request was made before there was a password.
    server.dir.write("httpd.conf", "/:me:one\n");
    server.reload_well();
    client.stream.read_exact(&mut got[1000..half]).unwrap();
    server.dir.write("httpd.conf", "garbage\n");
    assert_eq!(server.reload().last().unwrap(), REFUSED);
    client.stream.read_exact(&mut got[half..]).unwrap();
    assert!(got == content);
    assert_eq!(client.get("/f.txt", "").status, 401, "the next one is asked for it");
}

#[test]
fn a_script_under_way_goes_on() {
    let mut server = Server::start(&[]);
    // It ends when there is a file, which no reload may be in the way of.
    server.script(
        "wait",
        "#!/bin/sh\nprintf 'X-A: b\\r\\n\\r\\nfirst\\n'\n\
         until [ -e \"$DOCUMENT_ROOT/go\" ]; do sleep 0.02; done\ncat\necho last\n",
    );
    let mut client = server.connect();
    client.send("POST /cgi-bin/wait HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nbo");
    let head = client.head();
    assert_eq!((head.status, head.header("transfer-encoding")), (200, Some("chunked")));
    assert_eq!(chunk(&mut client), "first\n");
    server.dir.write("httpd.conf", "/cgi-bin:me:one\n");
    server.reload_well();
    client.send("dy\n");
    server.dir.write("www/go", "");
    let mut rest = String::new();
    loop {
        match chunk(&mut client) {
            last if last.is_empty() => break,
            more => rest.push_str(&more),
        }
    }
    assert_eq!(rest, "body\nlast\n");
    assert_eq!(client.get("/cgi-bin/wait", "").status, 401);
}

#[test]
fn nobody_is_dropped() {
    let mut server = Server::start(&[]);
    let mut clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        match i % 3 {
            0 => {} // who has said nothing yet
            1 => assert_eq!(client.get("/f.txt", "").text(), "content"),
            _ => client.send("GET /f.txt HT"), // half a request
        }
    }
    for i in 0..10 {
        // Every other one is refused.
        server.dir.write("httpd.conf", if i % 2 == 0 { "E404:/sorry\n" } else { "E405:/no\n" });
        let last = if i % 2 == 0 { DONE } else { REFUSED };
        assert_eq!(server.reload().last().unwrap(), last);
    }
    for (i, client) in clients.iter_mut().enumerate() {
        if i % 3 == 2 {
            client.send("TP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.response("GET").text(), "content");
        }
        assert_eq!(client.get("/f.txt", "").text(), "content");
    }
}

#[test]
fn signals_in_a_row_leave_the_last_state() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for i in 0..50 {
        let password = if i % 2 == 0 { "one" } else { "two" };
        server.dir.write("httpd.conf", format!("/private:me:{password}\n"));
        server.process.signal(Signal::HUP);
    }
    // Those that come while one is under way may count as one, but not be forgotten.
    let end = Instant::now() + Duration::from_secs(10);
    while (status(&mut client, "one"), status(&mut client, "two")) != (401, 200) {
        assert!(Instant::now() < end, "the last state is not that of the files");
        std::thread::sleep(Duration::from_millis(10));
    }
}
