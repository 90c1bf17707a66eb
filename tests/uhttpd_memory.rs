//! What uhttpd got wrong, part three: what is long, odd or short of what it said to be.
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
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use common::{Client, Dir, Process};
use rustix::fs::{Mode, OFlags};

fn serving(dir: &Dir, options: &[&str]) -> Process {
    let mut args = vec!["-f", "-p", "127.0.0.1:0", "-h", dir.text()];
    args.extend(options);
    Process::launcher(&args)
}

fn script(dir: &Dir, name: &str, text: &str) {
    let path = dir.write(name, format!("#!/bin/sh\n{text}"));
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn still_serves(server: &mut Process) {
    assert_eq!(server.child.try_wait().unwrap(), None, "it ended");
    assert_eq!(Client::connect(server.addr).get("/f.txt", "").text(), "content");
}

fn docroot() -> Dir {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    dir
}

/// Until that is so, but not for ever.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn too_many_fields_and_too_long_ones_have_a_status() {
    let dir = docroot();
    let mut server = serving(&dir, &[]);
    let ask = |fields: &str| Client::connect(server.addr).get("/f.txt", fields).status;
    // Host is one of them.
    assert_eq!(ask(&"X: y\r\n".repeat(99)), 200);
    assert_eq!(ask(&"X: y\r\n".repeat(100)), 431);
    assert_eq!(ask(&"X: y\r\n".repeat(101)), 431);
    assert_eq!(ask(&"X: y\r\n".repeat(2000)), 431);
    assert_eq!(ask(&format!("X: {}\r\n", "y".repeat(6000))), 200);
    for len in [9000, 16_384, 20_000, 100_000] {
        assert_eq!(ask(&format!("X: {}\r\n", "y".repeat(len))), 431, "{len}");
    }
    let r = Client::connect(server.addr).get(&format!("/f.txt?{}", "x".repeat(6000)), "");
    assert_eq!((r.status, r.text()), (200, "content"));
    still_serves(&mut server);
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    let dir = docroot();
    script(&dir, "cgi-bin/read", "cat >/dev/null; printf '\\nread'");
    let server = serving(&dir, &["-T", "1"]);
    let mut clients = Vec::new();
    for path in ["/cgi-bin/read", "/f.txt", "/ubus"] {
        for start in ["Content-Length: 9\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n9\r\nabc"]
        {
            let mut client = Client::connect(server.addr);
            client.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\n{start}"));
            clients.push((client, path));
        }
    }
    for (mut client, path) in clients {
        let status = match path {
            "/cgi-bin/read" => 408,
            "/f.txt" => 405,
            _ => 404,
        };
        assert_eq!(client.response("POST").status, status, "{path}");
        assert!(client.is_closed(), "{path}");
    }
}

#[test]
fn encoded_paths_of_any_length_are_decoded() {
    let dir = docroot();
    let long = "n".repeat(255);
    dir.write(&long, "long");
    let mut server = serving(&dir, &["-y", "/alias=/there"]);
    // As long as fits into a head, and a little longer.
    let most = (8192 - "GET / HTTP/1.1\r\nHost: test\r\n\r\n".len()) / 3;
    for count in [1, 84, 85, 86, 1364, 1365, 1366, most - 1, most, most + 1, most + 2] {
        for start in ["/", "/alias/", "/cgi-bin/", "/f.txt?"] {
            for end in ["", "%", "%4", "a", "/"] {
                let path = format!("{start}{}{end}", "%6E".repeat(count));
                let status = Client::connect(server.addr).get(&path, "").status;
                let expected: &[u16] = match (start, end) {
                    ("/f.txt?", _) => &[200, 414, 431],
                    (_, "%" | "%4") => &[400, 414, 431],
                    ("/", "") if count == 255 => &[200],
                    ("/cgi-bin/", _) => &[403, 404, 414, 431],
                    _ => &[404, 414, 431],
                };
                assert!(expected.contains(&status), "{start} {count} {end}: {status}");
            }
        }
    }
    assert_eq!(
        Client::connect(server.addr).get(&format!("/{}", "%6e".repeat(255)), "").status,
        200
    );
    still_serves(&mut server);
}

#[test]
fn base_64_of_any_length_is_decoded() {
    let dir = docroot();
    dir.write("prot/f", "guarded");
    let conf = dir.write("conf", "/prot:me:it\n");
    let mut server = serving(&dir, &["-c", conf.to_str().unwrap()]);
    let mut client = Client::connect(server.addr);
    for len in (0..70).chain(1020..1030).chain(7000..7004) {
        for padding in ["", "=", "==", "===", "===="] {
            let field = format!("Authorization: Basic {}{padding}\r\n", "A".repeat(len));
            assert_eq!(client.get("/prot/f", &field).status, 401, "{len} {padding}");
        }
    }
    still_serves(&mut server);
}

/// Makes a directory in another, however long the path of that is.
fn directory(parent: &OwnedFd, name: &str) -> OwnedFd {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)).unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty()).unwrap()
}

#[test]
fn a_directory_with_a_path_as_long_as_can_be_is_listed() {
    const LONGEST: usize = 4095;
    let dir = docroot();
    let mut parent = OwnedFd::from(File::open(&dir.0).unwrap());
    let mut path = String::from("/");
    let segment = "d".repeat(150);
    // What is left is the length of one more name.
    while LONGEST - dir.text().len() - path.len() > 240 {
        parent = directory(&parent, &segment);
        path.push_str(&segment);
        path.push('/');
    }
    let mut server = serving(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for whole in LONGEST - 20..=LONGEST + 10 {
        let name = "x".repeat(whole - dir.text().len() - path.len());
        let last = directory(&parent, &name);
        directory(&last, "sub");
        for (slash, accept) in [("", ""), ("/", ""), ("/", "Accept: application/json\r\n")] {
            let r = client.get(&format!("{path}{name}{slash}"), accept);
            // What is too long for the system is not there.
            let missing = whole + slash.len() > LONGEST;
            let status = if missing {
                404
            } else if slash.is_empty() {
                301
            } else {
                200
            };
            assert_eq!(r.status, status, "{whole} {slash} {accept}");
            if status == 301 {
                assert_eq!(r.header("location"), Some(&*format!("{path}{name}/")));
            }
            if status == 200 && whole + "/sub".len() <= LONGEST {
                assert!(r.text().contains("sub"), "{whole} {accept}: {}", r.text());
            }
        }
    }
    still_serves(&mut server);
}

#[test]
fn bytes_beyond_ascii_are_passed_on_or_refused() {
    let dir = docroot();
    script(
        &dir,
        "cgi-bin/tell",
        "printf '\\n'; printf %s \"$PATH_INFO|$HTTP_X_ODD|$QUERY_STRING\" | od -An -tx1",
    );
    let mut server = serving(&dir, &[]);
    for b in 0x80..=0xff_u8 {
        for request in [
            [b"GET /", &[b][..], b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat(),
            [b"GET /f.txt?", &[b][..], b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat(),
            [b"GET /f.txt HTTP/1.1\r\nHost: h\r\nX", &[b][..], b": y\r\n\r\n"].concat(),
            [b"GE", &[b][..], b" /f.txt HTTP/1.1\r\nHost: h\r\n\r\n"].concat(),
            [b"GET /f.txt HTTP/1.1\r\nHost: h", &[b][..], b"\r\n\r\n"].concat(),
        ] {
            let mut client = Client::connect(server.addr);
            client.send(&request);
            assert_eq!(client.response("GET").status, 400, "{}", request.escape_ascii());
        }
        let r = Client::connect(server.addr).get(&format!("/%{b:02x}"), "");
        assert_eq!(r.status, 404, "{b:#x}");
    }
    for b in [0x80, 0xa0, 0xc3, 0xe4, 0xff_u8] {
        let mut client = Client::connect(server.addr);
        client.send(format!("GET /cgi-bin/tell/%{b:02x}?q HTTP/1.1\r\nHost: h\r\nX-Odd: a"));
        client.send([b]);
        client.send("b\r\n\r\n");
        let r = client.response("GET");
        let text = r.text().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(text, format!("2f {b:02x} 7c 61 {b:02x} 62 7c 71"));
    }
    still_serves(&mut server);
}

#[test]
fn an_alias_may_make_a_path_longer_than_any() {
    let dir = docroot();
    let long = format!("/long=/{}", "x/".repeat(2000));
    let conf = format!("/wide=/{}", "y".repeat(4000));
    let mut server = serving(&dir, &["-y", &long, "-y", &conf, "-y", "/cgi"]);
    for start in ["/long", "/wide", "/cgi"] {
        for len in [0, 1, 90, 250, 4000, 7000] {
            for unit in ["a", "%61", "/"] {
                let path = format!("{start}/{}", unit.repeat(len / unit.len()));
                let status = Client::connect(server.addr).get(&path, "").status;
                assert!(matches!(status, 403 | 404 | 414 | 500), "{start} {len} {unit}: {status}");
            }
        }
    }
    still_serves(&mut server);
}

#[test]
fn a_file_that_gets_shorter_while_it_is_sent_is_cut_off_visibly() {
    const SIZE: usize = 64 << 20;
    let dir = docroot();
    File::create(dir.path("big")).unwrap().set_len(SIZE as u64).unwrap();
    let mut server = serving(&dir, &[]);
    for (range, announced) in [("", SIZE), ("Range: bytes=1000-\r\n", SIZE - 1000)] {
        File::options().write(true).open(dir.path("big")).unwrap().set_len(SIZE as u64).unwrap();
        let mut client = Client::connect(server.addr);
        rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 32 << 10).unwrap();
        client.send(format!("GET /big HTTP/1.1\r\nHost: h\r\n{range}\r\n"));
        client.send("GET /f.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        let r = client.head();
        assert_eq!(r.header("content-length"), Some(&*announced.to_string()));
        File::options().write(true).open(dir.path("big")).unwrap().set_len(100_000).unwrap();
        let mut rest = Vec::new();
        if let Err(e) = client.stream.read_to_end(&mut rest) {
            assert_eq!(e.kind(), ErrorKind::ConnectionReset);
        }
        assert!(rest.len() < announced, "it could not be whole");
        assert!(rest.iter().all(|&b| b == 0), "and nothing else follows");
        still_serves(&mut server);
    }
}

#[test]
fn scripts_that_wait_for_their_turn_keep_their_long_queries() {
    let dir = docroot();
    // It goes on once it is told to, be it that nobody does for long.
    script(
        &dir,
        "cgi-bin/wait",
        "echo x >>\"$DOCUMENT_ROOT/started\"
        i=0; while [ ! -e \"$DOCUMENT_ROOT/go\" ] && [ $i -lt 400 ]; do sleep 0.05; i=$((i+1)); done
        printf '\\n%s' \"$QUERY_STRING\"",
    );
    let mut server = serving(&dir, &[]);
    let query = |i: usize| format!("{i}-{}", char::from(b'a' + i as u8).to_string().repeat(7000));
    let mut clients: Vec<_> = (0..9)
        .map(|i| {
            let mut client = Client::connect(server.addr);
            let query = query(i);
            client.send(format!("GET /cgi-bin/wait?{query} HTTP/1.1\r\nHost: h\r\n\r\n"));
            client
        })
        .collect();
    let started = || fs::read(dir.path("started")).map_or(0, |text| text.len() / 2);
    wait_until("three of them run", || started() == 3);
    still_serves(&mut server);
    assert_eq!(started(), 3, "the others wait");
    // Who has gone by then is not run for.
    drop(clients.pop());
    dir.write("go", "");
    for (i, client) in clients.iter_mut().enumerate() {
        let r = client.response("GET");
        assert_eq!((r.status, r.text()), (200, &*query(i)), "{i}");
    }
    still_serves(&mut server);
}

#[test]
fn who_goes_away_in_the_midst_leaves_nothing_behind() {
    let dir = docroot();
    script(
        &dir,
        "cgi-bin/events",
        "echo $$ >>\"$DOCUMENT_ROOT/pids\"
        printf 'Content-Type: text/event-stream\\n\\n'
        while :; do printf 'data: x\\n\\n'; sleep 0.05; done",
    );
    let mut server = serving(&dir, &[]);
    for _ in 0..6 {
        let mut client = Client::connect(server.addr);
        client.send("GET /cgi-bin/events HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head().status, 200);
        let mut some = [0; 10];
        client.stream.read_exact(&mut some).unwrap();
    }
    let pids = fs::read_to_string(dir.path("pids")).unwrap();
    assert_eq!(pids.lines().count(), 6);
    for pid in pids.lines() {
        wait_until("the script is gone", || !fs::exists(format!("/proc/{pid}")).unwrap());
    }
    still_serves(&mut server);
}
