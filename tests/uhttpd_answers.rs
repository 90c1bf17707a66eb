//! What uhttpd got wrong, part four: what scripts say, what caches ask, and how it starts.
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
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use common::{Client, Dir, Process, free_addr};
use rustix::process::{Pid, Signal, kill_process};

fn serving(dir: &Dir, options: &[&str]) -> Process {
    let mut args = vec!["-f", "-p", "127.0.0.1:0", "-h", dir.text()];
    args.extend(options);
    Process::launcher(&args)
}

fn script(dir: &Dir, name: &str, text: &str) {
    let path = dir.write(name, format!("#!/bin/sh\n{text}"));
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn a_script_that_tells_its_length_is_not_chunked_too() {
    let dir = Dir::new();
    script(&dir, "cgi-bin/length", "printf 'content-length: 5\\r\\n\\r\\nhello'");
    script(&dir, "cgi-bin/empty", "printf 'Content-Length: 0\\n\\n'");
    script(
        &dir,
        "cgi-bin/long",
        "printf 'Content-Length: 100000\\n\\n'; head -c 100000 /dev/zero | tr '\\0' x",
    );
    script(&dir, "cgi-bin/none", "printf '\\n'; head -c 100000 /dev/zero | tr '\\0' x");
    let server = serving(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for (path, length) in
        [("/cgi-bin/length", 5), ("/cgi-bin/empty", 0), ("/cgi-bin/long", 100_000)]
    {
        for method in ["GET", "HEAD"] {
            let r = client.request(method, path, "", b"");
            let lengths = r.headers.iter().filter(|(name, _)| name == "content-length");
            assert_eq!(lengths.count(), 1, "{method} {path}");
            assert_eq!(r.header("content-length"), Some(&*length.to_string()), "{method} {path}");
            assert_eq!(r.header("transfer-encoding"), None, "{method} {path}");
        }
    }
    // Nor is anything chunked for who does not know of that, or of length unknown and both.
    let r = client.get("/cgi-bin/none", "");
    assert_eq!(
        (r.header("transfer-encoding"), r.header("content-length")),
        (Some("chunked"), None)
    );
    assert_eq!(r.body.len(), 100_000);
    let mut old = Client::connect(server.addr);
    old.send("GET /cgi-bin/none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let r = old.response("GET");
    assert_eq!((r.header("transfer-encoding"), r.body.len()), (None, 100_000));
    assert_ne!(r.header("connection"), Some("keep-alive"));
}

#[test]
fn scripts_at_once_keep_their_own_status() {
    let dir = Dir::new();
    // Each has said its status before either goes on.
    let meet = |own: &str, other: &str, status: &str| {
        format!(
            "printf 'Status: {status}\\nX-Own: {own}\\n'; cd \"$DOCUMENT_ROOT\"; echo >{own}
            i=0; while [ ! -e {other} ] && [ $i -lt 400 ]; do sleep 0.05; i=$((i+1)); done
            printf '\\n{own}'"
        )
    };
    script(&dir, "cgi-bin/a", &meet("a", "b", "403 Not for you"));
    script(&dir, "cgi-bin/b", &meet("b", "a", "201 Made of it"));
    let server = serving(&dir, &[]);
    let mut clients = ["a", "b"].map(|name| {
        let mut client = Client::connect(server.addr);
        client.send(format!("GET /cgi-bin/{name} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client
    });
    for (client, (name, status, reason)) in
        clients.iter_mut().zip([("a", 403, "Not for you"), ("b", 201, "Made of it")])
    {
        let r = client.response("GET");
        assert_eq!((r.status, r.reason.as_str(), r.text()), (status, reason, name));
        assert_eq!(r.header("x-own"), Some(name));
    }
}

#[test]
fn nothing_is_said_when_an_idle_connection_ends() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    script(&dir, "cgi-bin/chunked", "printf '\\n'; sleep 0.1; printf some; sleep 0.1; printf more");
    script(&dir, "cgi-bin/empty", "printf 'Status: 204 No Content\\n\\n'");
    script(&dir, "cgi-bin/nothing", "printf 'Content-Type: text/plain\\n\\n'");
    let server = serving(&dir, &["-k", "1"]);
    let mut clients = Vec::new();
    for (method, path) in [
        ("GET", "/cgi-bin/chunked"),
        ("HEAD", "/cgi-bin/chunked"),
        ("GET", "/cgi-bin/empty"),
        ("GET", "/cgi-bin/nothing"),
        ("GET", "/f.txt"),
        ("GET", "/none"),
        ("OPTIONS", "/f.txt"),
    ] {
        let mut client = Client::connect(server.addr);
        assert!(client.request(method, path, "", b"").status >= 200);
        clients.push((client, path));
    }
    for (mut client, path) in clients {
        let mut rest = Vec::new();
        client.stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"", "{path}");
    }
}

#[test]
fn an_error_that_a_script_answers_has_its_body() {
    let dir = Dir::new();
    // As LuCI's login page comes.
    script(
        &dir,
        "cgi-bin/luci",
        "printf 'Status: 403 Forbidden\\r\\ncontent-type: text/html\\r\\n'
        printf 'x-luci-login-required: yes\\r\\n\\r\\n<form>luci_password</form>'",
    );
    let server = serving(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for method in ["GET", "POST"] {
        let r = client.request(method, "/cgi-bin/luci", "", b"a=b");
        assert_eq!((r.status, r.text()), (403, "<form>luci_password</form>"));
        assert_eq!(r.header("content-type"), Some("text/html"));
        assert_eq!(r.header("x-luci-login-required"), Some("yes"));
    }
    let r = client.request("HEAD", "/cgi-bin/luci", "", b"");
    assert_eq!((r.status, r.header("x-luci-login-required")), (403, Some("yes")));
    assert_eq!(client.get("/cgi-bin/luci", "").text(), "<form>luci_password</form>");
}

#[test]
fn lists_of_entity_tags_are_read_to_their_end() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let server = serving(&dir, &[]);
    let mut client = Client::connect(server.addr);
    let tag = client.get("/f.txt", "").header("etag").unwrap().to_owned();
    for (list, named, strongly) in [
        (tag.clone(), true, true),
        (format!("\"a\", {tag}"), true, true),
        (format!("{tag}, \"b\""), true, true),
        (format!("\"a\",{tag},\"b\""), true, true),
        (format!("\"a\" , ,\t{tag}"), true, true),
        (format!("W/{tag}"), true, false),
        (format!("\"a\", W/{tag}, W/\"b\""), true, false),
        ("*".into(), true, true),
        ("\"a\"".into(), false, false),
        ("\"a\", \"b\"".into(), false, false),
        (format!("\"x{}", &tag[1..]), false, false),
        (format!("\"a, {}, b\"", tag.trim_matches('"')), false, false),
    ] {
        let r = client.get("/f.txt", &format!("If-None-Match: {list}\r\n"));
        assert_eq!(r.status, if named { 304 } else { 200 }, "If-None-Match: {list}");
        let r = client.get("/f.txt", &format!("If-Match: {list}\r\n"));
        assert_eq!(r.status, if strongly { 200 } else { 412 }, "If-Match: {list}");
    }
    let two = format!("If-None-Match: \"a\"\r\nIf-None-Match: {tag}\r\n");
    assert_eq!(client.get("/f.txt", &two).status, 304, "in a field of its own");
    // The tag counts, and then the date does not.
    let both = "If-None-Match: \"a\"\r\nIf-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n";
    assert_eq!(client.get("/f.txt", both).status, 200);
}

#[test]
fn a_date_that_is_none_is_not_there() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let old = File::create(dir.path("old.txt")).unwrap();
    old.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let server = serving(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for date in [
        "",
        "x",
        "0",
        "-1",
        "Fri, 99 Jan 2100 00:00:00 GMT",
        "Fri, 01 Foo 2100 00:00:00 GMT",
        "Fri, 01 Jan 2100",
        "Fri, 01 Jan 2100 25:00:00 GMT",
        "2100-01-01T00:00:00Z",
        "Fri, 01 Jan 2100 00:00:00 GMT; length=7",
    ] {
        for name in ["If-Modified-Since", "If-Unmodified-Since"] {
            for path in ["/f.txt", "/old.txt"] {
                let r = client.get(path, &format!("{name}: {date}\r\n"));
                assert_eq!(r.status, 200, "{path} {name}: {date}");
            }
        }
    }
    let epoch = "Thu, 01 Jan 1970 00:00:00 GMT";
    assert_eq!(client.get("/old.txt", "").header("last-modified"), Some(epoch));
    let since = format!("If-Modified-Since: {epoch}\r\n");
    assert_eq!(client.get("/old.txt", &since).status, 304);
    assert_eq!(client.get("/f.txt", &since).status, 200);
    let since = format!("If-Unmodified-Since: {epoch}\r\n");
    assert_eq!(client.get("/old.txt", &since).status, 200);
    assert_eq!(client.get("/f.txt", &since).status, 412);
}

#[test]
fn scripts_take_their_signals_as_they_are() {
    let dir = Dir::new();
    script(
        &dir,
        "cgi-bin/signals",
        "printf '\\n'; grep -E '^Sig(Blk|Ign)' /proc/self/status; yes | head -n 1",
    );
    let server = serving(&dir, &[]);
    let r = Client::connect(server.addr).get("/cgi-bin/signals", "");
    // Others than these may be ignored by whoever started us all.
    let of = |signal: Signal| 1_u64 << (signal.as_raw() - 1);
    let ended_by = of(Signal::HUP) | of(Signal::INT) | of(Signal::TERM) | of(Signal::CHILD);
    for (name, not) in [("SigBlk:", ended_by | of(Signal::PIPE)), ("SigIgn:", of(Signal::PIPE))] {
        let line = r.text().lines().find(|line| line.starts_with(name)).unwrap();
        let mask = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_eq!(mask & not, 0, "{line}");
    }
    assert_eq!(r.text().lines().count(), 3, "{}", r.text());
}

#[test]
fn an_address_that_nobody_has_yet_can_be_bound() {
    let dir = Dir::new();
    for address in ["192.0.2.77:0", "[2001:db8::77]:0"] {
        if address.starts_with('[') && TcpListener::bind("[::1]:0").is_err() {
            println!("skipped: there is no IPv6 here");
            continue;
        }
        let server = Process::launcher(&["-f", "-p", address, "-h", dir.text()]);
        let (ip, _) = address.rsplit_once(':').unwrap();
        assert!(server.addr.to_string().starts_with(ip), "{}", server.addr);
        assert_ne!(server.addr.port(), 0);
    }
}

/// A process that is found by one of its arguments, ended when this goes.
struct Found(Pid);

impl Found {
    fn by(argument: &str) -> Option<Found> {
        let is = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|&b| b == 0);
            words.next().is_some_and(|name| name.ends_with(b"ecohttpd"))
                && words.any(|word| word == argument.as_bytes())
        };
        let pids = fs::read_dir("/proc").unwrap();
        let mut pids = pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        pids.find(is).and_then(Pid::from_raw).map(Found)
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// A child process that does not outlive its test.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_starts_without_standard_descriptors() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    script(
        &dir,
        "cgi-bin/open",
        "printf '\\n'; cat; for fd in 0 1 2; do [ -e /proc/self/fd/$fd ] && printf $fd; done",
    );
    for (closed, background) in [
        ("<&-", false),
        ("<&-", true),
        (">&- 2>&-", false),
        ("<&- >&- 2>&-", false),
        ("<&- >&- 2>&-", true),
    ] {
        let addr = free_addr();
        let flag = if background { "" } else { "-f" };
        let run = format!("exec \"$0\" {flag} -p {addr} -h \"$1\" {closed}");
        let args = ["-c", &run, env!("CARGO_BIN_EXE_ecohttpd"), dir.text()];
        let mut child = Owned(Command::new("sh").args(args).stderr(Stdio::null()).spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(addr).is_err() {
            assert!(Instant::now() < end, "it does not listen: {run}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let found = background.then(|| {
            assert_eq!(child.0.wait().unwrap().code(), Some(0), "{run}");
            Found::by(dir.text()).expect("the daemon")
        });
        let mut client = Client::connect(addr);
        for _ in 0..2 {
            assert_eq!(client.get("/f.txt", "").text(), "content", "{run}");
            // Nobody's connection takes the place of what was closed.
            let r = client.request("POST", "/cgi-bin/open", "", b"sent");
            assert_eq!((r.status, r.text()), (200, "sent012"), "{run}");
        }
        if let Some(found) = found {
            kill_process(found.0, Signal::TERM).unwrap();
            while TcpStream::connect(addr).is_ok() {
                assert!(Instant::now() < end, "it does not end: {run}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
