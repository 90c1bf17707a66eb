//! Listening: where, how, on whose socket, and beside what else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

mod common;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use common::{Client, Dir, Driver, LOCAL, Running, free_addr};
use ecohttpd::{Connection, Options, Request, Result, Server, listen};
use rustix::net::sockopt;
use smol::io::{AsyncReadExt, AsyncWriteExt};

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    match req.path() {
        "/where" => con.send(&format!("{} {}", con.local_addr(), con.remote_addr())).await,
        path => con.send(path).await,
    }
}

fn start<M>(driver: Driver, make: M) -> Running
where
    M: FnOnce() -> io::Result<Server> + Send + 'static,
{
    Running::start(driver, make, async |server| server.serve(handler).await)
}

const V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);

/// What was said against a server.
fn refusal(server: io::Result<Server>) -> (ErrorKind, String) {
    let e = server.map(|_| ()).unwrap_err();
    (e.kind(), e.to_string())
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let holder = TcpListener::bind(LOCAL).unwrap();
    let taken = holder.local_addr().unwrap();
    let (kind, text) = refusal(Server::new(Options::default()).bind(taken));
    assert_eq!(kind, ErrorKind::AddrInUse);
    assert!(text.contains(&taken.to_string()), "{text}");
    let elsewhere: SocketAddr = "198.51.100.7:80".parse().unwrap();
    let (kind, text) = refusal(Server::new(Options::default()).bind(elsewhere));
    assert_eq!(kind, ErrorKind::AddrNotAvailable);
    assert!(text.contains("198.51.100.7:80"), "{text}");
    // Likewise by `listen`.
    let port = taken.port();
    for driver in Driver::all() {
        let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
        let e = driver.run(listen(localhost, port, Options::default(), handler)).unwrap_err();
        assert!(e.to_string().contains(&format!("127.0.0.1:{port}")), "{e}");
    }
}

#[test]
fn an_address_can_be_had_again_at_once() {
    for driver in Driver::all() {
        let first = start(driver, || Server::new(Options::default()).bind(LOCAL));
        let addr = first.addr;
        let mut client = Client::connect(addr);
        assert_eq!(client.get("/1", "Connection: close\r\n").text(), "/1");
        // The server's end closed first, so that its address lingers in TIME_WAIT.
        assert!(client.is_closed());
        first.stop().unwrap();
        let second = start(driver, move || Server::new(Options::default()).bind(addr));
        assert_eq!(Client::connect(second.addr).get("/2", "").text(), "/2");
    }
}

#[test]
fn ipv6_is_ipv4_too_unless_told_otherwise() {
    for driver in Driver::all() {
        for v6only in [false, true] {
            let options = Options { ipv6_v6only: v6only, ..Options::default() };
            let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
            let server = start(driver, move || Server::new(options).bind(any));
            let port = server.addr.port();
            let mut v6 = Client::connect((Ipv6Addr::LOCALHOST, port).into());
            let here = v6.stream.local_addr().unwrap();
            assert_eq!(v6.get("/where", "").text(), format!("[::1]:{port} {here}"));
            match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                Ok(stream) => {
                    assert_eq!((Client { stream }.get("/v4", "").text(), v6only), ("/v4", false))
                }
                Err(e) => assert_eq!((e.kind(), v6only), (ErrorKind::ConnectionRefused, true)),
            }
        }
    }
}

#[test]
fn listen_without_an_address_is_everywhere() {
    for driver in Driver::all() {
        for ipv6 in [false, true] {
            let port = free_addr().port();
            std::thread::spawn(move || {
                let options = Options { ipv6, ..Options::default() };
                driver.run(listen(None, port, options, handler)).unwrap();
            });
            let connect = |addr: IpAddr| {
                (0..500).find_map(|_| {
                    std::thread::sleep(Duration::from_millis(10));
                    TcpStream::connect((addr, port)).ok()
                })
            };
            let stream = connect(Ipv4Addr::LOCALHOST.into()).expect("a server");
            assert_eq!(Client { stream }.get("/x", "").text(), "/x", "{driver:?}");
            let v6 = TcpStream::connect((Ipv6Addr::LOCALHOST, port));
            assert_eq!(v6.is_ok(), ipv6, "{driver:?}");
        }
    }
}

#[test]
fn one_server_listens_at_several_places() {
    for driver in Driver::all() {
        let dir = Dir::new();
        let unix = UnixListener::bind(dir.path("socket")).unwrap();
        // One that blocks, as a supervisor may hand it over.
        let tcp = TcpListener::bind(LOCAL).unwrap();
        let adopted = tcp.local_addr().unwrap();
        let (tell, addrs) = std::sync::mpsc::channel();
        let server = start(driver, move || {
            let server = Server::new(Options::default()).bind(LOCAL)?.bind(V6)?;
            let server = server.adopt(tcp)?.adopt(unix)?;
            tell.send(server.local_addrs()?).unwrap();
            Ok(server)
        });
        let addrs = addrs.recv().unwrap();
        assert_eq!(addrs.len(), 4);
        assert_eq!((addrs[0], addrs[1].ip(), addrs[2]), (server.addr, V6.ip(), adopted));
        assert_eq!(addrs[3], "0.0.0.0:0".parse().unwrap());
        for addr in &addrs[..3] {
            let mut client = Client::connect(*addr);
            let here = client.stream.local_addr().unwrap();
            assert_eq!(client.get("/where", "").text(), format!("{addr} {here}"));
        }
        let mut client = Client { stream: UnixStream::connect(dir.path("socket")).unwrap() };
        for _ in 0..2 {
            assert_eq!(client.get("/where", "").text(), "0.0.0.0:0 0.0.0.0:0");
        }
        // All of them end together.
        server.stop().unwrap();
        assert!(client.is_closed());
        for addr in addrs[..3].iter() {
            assert_eq!(TcpStream::connect(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }
    }
}

#[test]
fn only_listening_sockets_are_adopted() {
    let (one, _other) = UnixStream::pair().unwrap();
    let listener = TcpListener::bind(LOCAL).unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let others: [OwnedFd; 4] = [
        one.into(),
        connected.into(),
        UnixDatagram::unbound().unwrap().into(),
        std::fs::File::open("/dev/null").unwrap().into(),
    ];
    for fd in others {
        let (_, text) = refusal(Server::new(Options::default()).adopt(fd));
        assert!(text.contains("the descriptor handed over"), "{text}");
    }
}

#[test]
fn two_servers_share_an_address_if_both_say_so() {
    for driver in Driver::all() {
        let shared = Options { reuseport: true, ..Options::default() };
        let named = |server: &'static str, addr| {
            let options = Options { server: server.into(), ..shared.clone() };
            start(driver, move || Server::new(options).bind(addr))
        };
        let first = named("first", LOCAL);
        let (kind, _) = refusal(Server::new(Options::default()).bind(first.addr));
        assert_eq!(kind, ErrorKind::AddrInUse);
        let _second = named("second", first.addr);
        let mut served = [0, 0];
        for _ in 0..100 {
            let r = Client::connect(first.addr).get("/", "");
            served[usize::from(r.header("server") == Some("second"))] += 1;
        }
        // The kernel spreads them by a hash of their ports.
        assert!(served[0] > 0 && served[1] > 0, "{served:?}");
    }
}

/// A duplicate of the server's socket, which is one of this very process: the one that listens at
/// `addr`, or the one whose peer is `client`.
fn socket(addr: SocketAddr, client: Option<SocketAddr>) -> OwnedFd {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let process = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let is = |found: rustix::io::Result<rustix::net::SocketAddrAny>, wanted| {
        found.ok().and_then(|found| SocketAddr::try_from(found).ok()) == wanted
    };
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .filter_map(|number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok())
        .find(|fd| {
            let peer = rustix::net::getpeername(fd);
            let listens = sockopt::socket_acceptconn(fd).unwrap_or(false);
            listens == client.is_none()
                && is(rustix::net::getsockname(fd), Some(addr))
                && is(peer.and_then(|peer| peer.ok_or(rustix::io::Errno::NOTCONN)), client)
        })
        .unwrap()
}

#[test]
fn socket_options_reach_the_connections() {
    for driver in Driver::all() {
        let all = Options {
            tcp_nodelay: false,
            keepalive: true,
            tcp_keepidle: Some(77),
            tcp_keepcnt: Some(5),
            tcp_keepintvl: Some(11),
            reuseaddr: false,
            ..Options::default()
        };
        for (options, told) in [(all, true), (Options::default(), false)] {
            let server = start(driver, || Server::new(options).bind(LOCAL));
            let mut client = Client::connect(server.addr);
            assert_eq!(client.get("/", "").status, 200);
            let fd = socket(server.addr, client.stream.local_addr().ok());
            assert_eq!(sockopt::tcp_nodelay(&fd).unwrap(), !told, "on unless turned off");
            assert_eq!(sockopt::socket_keepalive(&fd).unwrap(), told);
            let idle = sockopt::tcp_keepidle(&fd).unwrap().as_secs();
            let interval = sockopt::tcp_keepintvl(&fd).unwrap().as_secs();
            let count = sockopt::tcp_keepcnt(&fd).unwrap();
            assert_eq!((idle, interval, count) == (77, 11, 5), told, "{idle} {interval} {count}");
            let listener = socket(server.addr, None);
            assert_eq!(sockopt::socket_reuseaddr(&listener).unwrap(), !told);
            assert!(!sockopt::socket_reuseport(&listener).unwrap());
            let flags = rustix::io::fcntl_getfd(&fd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "no CGI inherits it");
        }
    }
}

#[test]
fn a_device_can_be_named() {
    let bind = |device: &str, addr| {
        let options = Options { device: Some(device.into()), ..Options::default() };
        start(Driver::Own, move || Server::new(options).bind(addr))
    };
    assert_eq!(Client::connect(bind("lo", LOCAL).addr).get("/lo", "").text(), "/lo");
    // From another device nothing comes that is sent to the loopback address.
    let other = std::fs::read_dir("/sys/class/net").unwrap().find_map(|entry| {
        entry.unwrap().file_name().into_string().ok().filter(|name| name != "lo" && name.len() < 16)
    });
    if let Some(other) = other {
        let server = bind(&other, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
        let e = TcpStream::connect((Ipv4Addr::LOCALHOST, server.addr.port())).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ConnectionRefused, "{other}");
    }
    for unknown in ["no-such-dev0", "a-name-longer-than-any-device-has"] {
        let options = Options { device: Some(unknown.into()), ..Options::default() };
        let (_, text) = refusal(Server::new(options).bind(LOCAL));
        assert!(text.contains(unknown) && text.contains("127.0.0.1:0"), "{text}");
    }
}

#[test]
fn marks_and_fast_open_are_taken() {
    let options = Options { tcp_fastopen: Some(16), ..Options::default() };
    let server = start(Driver::Own, || Server::new(options).bind(LOCAL));
    assert_eq!(Client::connect(server.addr).get("/open", "").text(), "/open");
    // Only who administers the network may mark; others are told what it was.
    let options = Options { mark: Some(42), ..Options::default() };
    match Server::new(options).bind(LOCAL) {
        Ok(server) => assert_eq!(server.local_addrs().unwrap().len(), 1),
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::PermissionDenied);
            assert!(e.to_string().contains("mark 42"), "{e}");
        }
    }
}

#[test]
fn a_certificate_takes_its_key() {
    let pki = |name: &str| Some([env!("CARGO_MANIFEST_DIR"), "tests/pki", name].iter().collect());
    let (cert, key) = (pki("localhost.pem"), pki("localhost.key"));
    let none = Options::default;
    let mut wrong = vec![
        (Options { cert: cert.clone(), ..none() }, "takes the option key"),
        (Options { key: key.clone(), ..none() }, "takes the option cert"),
    ];
    if cfg!(feature = "tls") {
        let (cert, key) = (cert.clone(), key.clone());
        wrong.push((Options { cert: pki("none.pem"), key: key.clone(), ..none() }, "none.pem"));
        wrong.push((Options { cert: cert.clone(), key: pki("guest.key"), ..none() }, "guest.key"));
        wrong.push((Options { cert, key, ca: pki("none.ca"), ..none() }, "none.ca"));
    } else {
        wrong.push((Options { cert, key, ..none() }, "feature tls"));
    }
    for driver in Driver::all() {
        for (options, what) in &wrong {
            let e = driver.run(listen(None, 0, options.clone(), handler)).unwrap_err();
            assert!(e.to_string().contains(what), "{e}");
        }
    }
}

/// A request by a client that is itself a task of smol.
async fn ask(addr: SocketAddr, path: &str) -> String {
    let mut stream = smol::net::TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn servers_run_beside_other_tasks_of_the_same_thread() {
    for driver in Driver::all() {
        let (ticks, served) = driver.run(async {
            let tasks = smol::LocalExecutor::new();
            let (mut addrs, mut handles, mut servers) = (vec![], vec![], vec![]);
            for _ in 0..2 {
                let server = Server::new(Options::default()).bind(LOCAL).unwrap();
                addrs.extend(server.local_addrs().unwrap());
                handles.push(server.handle());
                servers.push(tasks.spawn(server.serve(handler)));
            }
            let ticks = std::cell::Cell::new(0);
            let timer = async {
                loop {
                    smol::Timer::after(Duration::from_millis(5)).await;
                    ticks.set(ticks.get() + 1);
                }
            };
            let work = async {
                let mut served = 0;
                while served < 100 || ticks.get() < 20 {
                    let path = format!("/{served}");
                    assert_eq!(ask(addrs[served % 2], &path).await, path);
                    served += 1;
                }
                // Each ends by itself, the others go on.
                handles[0].drain();
                servers.remove(0).await.unwrap();
                assert_eq!(ask(addrs[1], "/still").await, "/still");
                handles[1].drain();
                servers.remove(0).await.unwrap();
                served
            };
            let served = Box::pin(tasks.run(smol::future::or(work, timer))).await;
            (ticks.get(), served)
        });
        assert!(ticks >= 20 && served >= 100, "{driver:?}: {ticks} {served}");
    }
}

#[test]
fn a_server_that_is_dropped_is_gone() {
    for driver in Driver::all() {
        driver.run(async {
            for _ in 0..3 {
                let server = Server::new(Options::default()).bind(LOCAL).unwrap();
                let addr = server.local_addrs().unwrap()[0];
                let mut idle = smol::net::TcpStream::connect(addr).await.unwrap();
                let once = async {
                    assert_eq!(ask(addr, "/once").await, "/once");
                    Ok(())
                };
                smol::future::or(server.serve(handler), once).await.unwrap();
                // With it go its connections.
                let end = idle.read(&mut [0; 8]).await;
                assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
                let refused = smol::net::TcpStream::connect(addr).await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            }
        });
    }
}

#[test]
fn a_server_serves_nowhere_and_ignores_no_option() {
    let refused = |options: Options| Server::new(options).bind(LOCAL).unwrap_err().to_string();
    for options in [
        Options { cert: Some("c".into()), ..Options::default() },
        Options { key: Some("k".into()), ..Options::default() },
        Options { ca: Some("ca".into()), ..Options::default() },
        Options { insecure: true, ..Options::default() },
    ] {
        assert!(refused(options).contains("are for listen()"));
    }
    let handler = async |con: &mut Connection, _: &mut Request| con.send("x").await;
    let nowhere = Server::new(Options::default()).serve(handler);
    let why = ecohttpd::block_on(nowhere).unwrap_err().to_string();
    assert!(why.contains("listens nowhere"), "{why}");
    let options = Options { ca: Some("ca".into()), ..Options::default() };
    let why = ecohttpd::block_on(listen(LOCAL.ip(), 0, options, handler)).unwrap_err();
    assert!(why.to_string().contains("take the options cert and key"), "{why}");
}
