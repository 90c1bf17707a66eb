//! Another configuration for a server that goes on: who is there stays, who comes is let in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

mod common;

use std::cell::RefCell;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;

use common::{Client, Dir, Driver, LOCAL, Running, pattern, soon};
use ecohttpd::{Connection, Handle, Options, Request, Result, Server};

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    match req.path() {
        "/options" => {
            let most = con.options().max_body;
            con.send(most.to_string()).await
        }
        // What it was called with, as long as it takes.
        "/slow" => {
            let most = con.options().max_body;
            con.send("begun ").await?;
            con.flush().await?;
            con.read_body().await?;
            assert_eq!(con.options().max_body, most);
            con.send(most.to_string()).await
        }
        _ => con.serve_file(req).await,
    }
}

/// Options that can be told apart.
fn options(number: u64) -> Options {
    Options { max_body: number, http_keepalive: 100, ..Options::default() }
}

fn start(driver: Driver, make: impl FnOnce() -> io::Result<Server> + Send + 'static) -> Running {
    Running::start(driver, make, async |server| server.serve(handler).await)
}

/// Does something with the handle of a server, in its thread, and waits for what comes of it.
fn ask<T: Send + 'static>(server: &Running, what: impl FnOnce(&Handle) -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    server.steer(move |handle| tell.send(what(handle)).unwrap());
    told.recv().unwrap()
}

fn number(addr: SocketAddr) -> String {
    Client::connect(addr).get("/options", "").text().to_owned()
}

fn is_refused(addr: SocketAddr) -> bool {
    TcpStream::connect(addr).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}

#[test]
fn who_is_there_stays() {
    for driver in Driver::all() {
        let server = start(driver, || Server::new(options(1)).bind(LOCAL));
        let mut idle = Client::connect(server.addr);
        assert_eq!(idle.get("/options", "").text(), "1");
        let mut silent = Client::connect(server.addr);
        let mut half = Client::connect(server.addr);
        half.send("GET /options HT");
        let mut slow = Client::connect(server.addr);
        slow.send("POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n");
        assert_eq!(slow.head().status, 200);
        ask(&server, |handle| {
            let mut successor = handle.successor(options(2));
            successor.try_keep(0)?;
            handle.replace(successor)
        })
        .unwrap();
        assert_eq!(number(server.addr), "2");
        assert_eq!(idle.get("/options", "").text(), "2");
        assert_eq!(silent.get("/options", "").text(), "2");
        half.send("TP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(half.response("GET").text(), "2");
        slow.send("x");
        let mut rest = vec![0; "6\r\nbegun \r\n1\r\n1\r\n0\r\n\r\n".len()];
        slow.stream.read_exact(&mut rest).unwrap();
        assert_eq!(rest, b"6\r\nbegun \r\n1\r\n1\r\n0\r\n\r\n", "with what it began with");
        assert_eq!(slow.get("/options", "").text(), "2");
        server.stop().unwrap();
        assert!(idle.is_closed());
    }
}

#[test]
fn another_address_takes_the_place_of_the_old_one() {
    for driver in Driver::all() {
        let server = start(driver, || Server::new(options(1)).bind(LOCAL)?.bind(LOCAL));
        let mut idle = Client::connect(server.addr);
        assert_eq!(idle.get("/options", "").text(), "1");
        let addrs = ask(&server, |handle| {
            let mut successor = handle.successor(options(2));
            // In another order, too.
            let first = successor.try_bind(LOCAL)?;
            successor.try_keep(1)?;
            let addrs = successor.local_addrs()?;
            assert_eq!(addrs[0], first);
            handle.replace(successor)?;
            io::Result::Ok(addrs)
        })
        .unwrap();
        assert!(is_refused(server.addr));
        assert_eq!(addrs.into_iter().map(number).collect::<Vec<_>>(), ["2", "2"]);
        // It may stay, and get an answer, but not for ever.
        let r = idle.get("/options", "");
        assert_eq!((r.text(), r.header("connection")), ("2", Some("close")));
        assert!(idle.is_closed());
        // And once more, by number: they are counted anew.
        ask(&server, |handle| {
            let mut successor = handle.successor(options(3));
            successor.try_keep(1)?;
            handle.replace(successor)
        })
        .unwrap();
        server.stop().unwrap();
    }
}

#[test]
fn whoever_was_kept_once_goes_when_its_address_does() {
    for driver in Driver::all() {
        let server = start(driver, || Server::new(options(1)).bind(LOCAL));
        let mut client = Client::connect(server.addr);
        for n in 2..5 {
            ask(&server, move |handle| {
                let mut successor = handle.successor(options(n));
                successor.try_keep(0)?;
                handle.replace(successor)
            })
            .unwrap();
            let r = client.get("/options", "");
            assert_eq!((r.text(), r.header("connection")), (&*n.to_string(), None));
        }
        ask(&server, |handle| handle.replace(handle.successor(options(5)).bind(LOCAL)?)).unwrap();
        assert_eq!(client.get("/options", "").header("connection"), Some("close"));
        assert!(client.is_closed());
    }
}

#[test]
fn who_waited_to_be_let_in_is() {
    for driver in Driver::all() {
        let server = start(driver, || Server::new(options(1)).bind(LOCAL));
        let addr = server.addr;
        // The server's own thread connects, so that nobody lets them in before it is replaced.
        let clients = ask(&server, move |handle| {
            let clients: Vec<_> = (0..40).map(|_| Client::connect(addr)).collect();
            handle.replace(handle.successor(options(2)).bind(LOCAL)?)?;
            io::Result::Ok(clients)
        });
        assert!(is_refused(addr));
        for mut client in clients.unwrap() {
            let r = client.get("/options", "");
            assert_eq!((r.text(), r.header("connection")), ("2", Some("close")));
            assert!(client.is_closed());
        }
    }
}

#[test]
fn an_address_can_be_one_of_all_and_all_one() {
    for driver in Driver::all() {
        let server = start(driver, || Server::new(options(1)).bind(([0, 0, 0, 0], 0).into()));
        let port = server.addr.port();
        let at = move |host: u8| SocketAddr::from(([127, 0, 0, host], port));
        let one = at(1);
        // By itself it cannot have it.
        let e = ask(&server, move |_| Server::new(options(2)).bind(one).map(drop)).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::AddrInUse);
        ask(&server, move |handle| handle.replace(handle.successor(options(2)).bind(one)?))
            .unwrap();
        assert_eq!(number(at(1)), "2");
        assert!(is_refused(at(2)));
        ask(&server, move |handle| {
            handle.replace(handle.successor(options(3)).bind(([0, 0, 0, 0], port).into())?)
        })
        .unwrap();
        assert_eq!((number(at(1)), number(at(2))), ("3".into(), "3".into()));
        // It is as good as any other: nobody takes it away.
        let e = ask(&server, move |_| Server::new(options(4)).bind(one).map(drop)).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::AddrInUse);
    }
}

#[test]
fn what_is_kept_is_in_the_way() {
    let server = start(Driver::Own, || Server::new(options(1)).bind(LOCAL));
    let addr = server.addr;
    let e = ask(&server, move |handle| {
        let mut successor = handle.successor(options(2));
        successor.try_keep(0)?;
        successor.try_bind(addr).map(drop)
    });
    assert_eq!(e.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    // That of somebody else is, too.
    let other = TcpListener::bind(LOCAL).unwrap();
    let taken = other.local_addr().unwrap();
    let e = ask(&server, move |handle| handle.successor(options(2)).try_bind(taken).map(drop));
    assert_eq!(e.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    // Also where that is willing to share it with those who are, too.
    let shared = Options { reuseport: true, ..options(3) };
    let other = start(Driver::Own, || Server::new(shared).bind(LOCAL));
    let taken = other.addr;
    let e = ask(&server, move |handle| handle.successor(options(2)).try_bind(taken).map(drop));
    assert_eq!(e.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(number(addr), "1", "and nothing has come of it");
}

#[test]
fn one_that_cannot_serve_changes_nothing() {
    let server = start(Driver::Own, || Server::new(options(1)).bind(LOCAL));
    let mut client = Client::connect(server.addr);
    let said = ask(&server, |handle| {
        let mut said = vec![handle.replace(handle.successor(options(2)))];
        let mut successor = handle.successor(options(2));
        said.push(successor.try_keep(1));
        successor.try_keep(0).unwrap();
        said.push(successor.try_keep(0));
        said.push(Server::new(options(2)).try_keep(0));
        let headers = vec![("Connection".to_owned(), "close".to_owned())];
        said.push(handle.successor(Options { headers, ..options(2) }).try_keep(0));
        said.into_iter().map(|it| it.unwrap_err().to_string()).collect::<Vec<_>>()
    });
    for (said, why) in said.iter().zip([
        "listens nowhere",
        "no listening socket 1",
        "no listening socket 0",
        "no listening socket 0",
        "the header Connection",
    ]) {
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(said.len(), 5);
    assert_eq!(client.get("/options", "").text(), "1");
    assert_eq!(number(server.addr), "1");
    let e = ask(&server, |handle| {
        let mut successor = handle.successor(options(2));
        successor.try_keep(0).unwrap();
        handle.drain();
        handle.replace(successor)
    });
    assert!(e.unwrap_err().to_string().contains("drained"));
    assert!(client.is_closed());
    assert!(soon(|| is_refused(server.addr)), "it listens still");
}

#[test]
fn a_successor_that_is_dropped_leaves_its_predecessor_alone() {
    let server = start(Driver::Own, || Server::new(options(1)).bind(LOCAL));
    let bound = ask(&server, |handle| {
        let mut successor = handle.successor(options(2));
        successor.try_keep(0).unwrap();
        successor.try_bind(LOCAL).unwrap()
    });
    assert!(is_refused(bound));
    for _ in 0..3 {
        assert_eq!(number(server.addr), "1");
    }
}

#[test]
fn a_download_goes_on_with_its_docroot() {
    let dir = Dir::new();
    let content = pattern(8 << 20);
    dir.write("old/big.bin", &content);
    dir.write("old/f.txt", "old");
    dir.write("new/f.txt", "new");
    let docroot = |name: &str| Options { docroot: dir.path(name), no_symlinks: true, ..options(1) };
    let (old, new) = (docroot("old"), docroot("new"));
    let server = start(Driver::Own, move || Server::new(old).bind(LOCAL));
    let mut client = Client::connect(server.addr);
    rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 32 << 10).unwrap();
    assert_eq!(client.get("/f.txt", "").text(), "old");
    client.send("GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().status, 200);
    ask(&server, |handle| {
        let mut successor = handle.successor(new);
        successor.try_keep(0)?;
        handle.replace(successor)
    })
    .unwrap();
    // A link to what was in the docroot leads out of it now.
    std::os::unix::fs::symlink(dir.path("old/f.txt"), dir.path("new/link")).unwrap();
    let mut other = Client::connect(server.addr);
    assert_eq!(other.get("/link", "").status, 403);
    assert_eq!(other.get("/f.txt", "").text(), "new");
    let mut got = vec![0; content.len()];
    client.stream.read_exact(&mut got).unwrap();
    assert!(got == content);
    assert_eq!(client.get("/f.txt", "").text(), "new");
}

#[test]
fn fewer_connections_and_another_log() {
    let (tell, told) = mpsc::channel();
    let log = |n: u32| {
        let tell = tell.clone();
        move |_: &ecohttpd::Access<'_>| tell.send(n).unwrap()
    };
    let (first, second) = (log(1), log(2));
    let server = start(Driver::Own, move || Server::new(options(1)).access_log(first).bind(LOCAL));
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(server.addr)).collect();
    for client in &mut clients {
        client.get("/options", "");
    }
    // That is done after the answer.
    let next = || told.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
    assert_eq!([next(), next(), next()], [1, 1, 1]);
    ask(&server, move |handle| {
        let options = Options { max_connections: 1, ..options(2) };
        let mut successor = handle.successor(options).access_log(second);
        successor.try_keep(0)?;
        handle.replace(successor)
    })
    .unwrap();
    // The next one to come takes the place of all of them.
    assert_eq!(number(server.addr), "2");
    for client in &mut clients {
        assert!(client.is_closed());
    }
    assert_eq!(next(), 2);
    // Without one there is none.
    ask(&server, move |handle| {
        let mut successor = handle.successor(options(3));
        successor.try_keep(0)?;
        handle.replace(successor)
    })
    .unwrap();
    assert_eq!((number(server.addr), number(server.addr)), ("3".into(), "3".into()));
    assert_eq!(told.try_iter().next(), None);
}

/// What a socket in this machine's table of TCP is probed by: nothing, or a timer.
fn probes(client: &Client) -> bool {
    let (ours, theirs) = (client.stream.local_addr().unwrap(), client.stream.peer_addr().unwrap());
    let text = |addr: SocketAddr| match addr {
        SocketAddr::V4(v4) => {
            format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port())
        }
        SocketAddr::V6(_) => panic!("{addr}"),
    };
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        (words[1] == text(theirs) && words[2] == text(ours)).then(|| words[5].to_owned())
    });
    line.expect("the server's end").starts_with("02:")
}

#[test]
fn a_kept_socket_probes_as_it_is_told() {
    let server = start(Driver::Own, || Server::new(options(1)).bind(LOCAL));
    let change = |keepalive: bool| {
        ask(&server, move |handle| {
            let options = Options {
                keepalive,
                tcp_keepidle: keepalive.then_some(50),
                tcp_fastopen: keepalive.then_some(5),
                ..options(1)
            };
            let mut successor = handle.successor(options);
            successor.try_keep(0)?;
            handle.replace(successor)
        })
        .unwrap();
        let mut client = Client::connect(server.addr);
        assert_eq!(client.get("/options", "").text(), "1");
        probes(&client)
    };
    assert!(!change(false));
    assert!(change(true));
    assert!(!change(false), "and no longer than that");
}

#[test]
fn what_holds_the_old_options_is_freed() {
    let held = Rc::new(());
    let count = Rc::new(RefCell::new(Vec::new()));
    let server = Server::new(options(0)).bind(LOCAL).unwrap();
    let handle = server.handle();
    let steer = async {
        for n in 1..50 {
            let mine = held.clone();
            let mut successor =
                handle.successor(options(n)).access_log(move |_| drop(mine.clone()));
            successor.try_keep(0).unwrap();
            handle.replace(successor).unwrap();
            count.borrow_mut().push(Rc::strong_count(&held));
        }
    };
    let serve = async {
        server.serve(handler).await.unwrap();
    };
    ecohttpd::block_on(smol::future::or(serve, steer));
    assert_eq!(*count.borrow(), [2; 49]);
}

#[cfg(feature = "tls")]
mod tls {
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use ecohttpd::Tls;

    use super::*;

    fn pki(name: &str) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "tests/pki", name].iter().collect()
    }

    fn load(name: &str) -> Tls {
        Tls::load(pki(&format!("{name}.pem")), pki(&format!("{name}.key"))).unwrap()
    }

    /// Whose certificate there is at an address; nothing if it speaks no TLS.
    fn subject(addr: SocketAddr) -> Option<String> {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &addr.to_string()]).stdin(Stdio::null());
        let output = command.output().expect("openssl");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut subjects = said.lines().filter_map(|line| line.strip_prefix("subject=CN = "));
        subjects.next().map(str::to_owned)
    }

    #[test]
    fn a_socket_can_become_one_of_tls_and_back() {
        let server = start(Driver::Own, || Server::new(options(1)).bind(LOCAL));
        let addr = server.addr;
        let mut plain = Client::connect(addr);
        assert_eq!(plain.get("/options", "").text(), "1");
        for name in ["localhost", "guest"] {
            ask(&server, move |handle| {
                let mut successor = handle.successor(options(2));
                successor.try_keep_tls(0, &load(name))?;
                handle.replace(successor)
            })
            .unwrap();
            assert_eq!(subject(addr).as_deref(), Some(name));
        }
        // There is no way in for it any more.
        assert_eq!(plain.get("/options", "").header("connection"), Some("close"));
        // It is steered by the same handle.
        ask(&server, |handle| handle.set_tls(&load("localhost"))).unwrap();
        assert_eq!(subject(addr).as_deref(), Some("localhost"));
        ask(&server, |handle| {
            let mut successor = handle.successor(options(3));
            successor.try_keep(0)?;
            handle.replace(successor)
        })
        .unwrap();
        assert_eq!(subject(addr), None);
        assert_eq!(number(addr), "3");
    }
}
