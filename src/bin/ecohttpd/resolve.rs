//! The addresses of a name: those in /etc/hosts, or else what the servers of /etc/resolv.conf say.
//!
//! It is for the addresses to listen at, before anything is served. What the C library has for it is
//! 20 KB on MIPS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use rustix::time::Timespec;

use crate::accounts;
use crate::sys;

/// As many servers are asked.
const MOST_SERVERS: usize = 3;

/// What asks for IPv6 and for IPv4 addresses (RFC 1035, 3.2.2; RFC 3596, 2.1). Those of IPv6 are
/// listened at first.
const KINDS: [u16; 2] = [28, 1];

/// What is said of a name that nobody knows, as the C library has it.
const UNKNOWN: &str = "Name does not resolve";

/// The addresses of `name`.
///
/// # Errors
///
/// Says why there are none.
pub(crate) fn addresses(name: &str) -> Result<Vec<IpAddr>, String> {
    let failed = |why: &str| format!("failed to lookup address information: {why}");
    if name.len() > 253 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(failed(UNKNOWN));
    }
    let mut found = in_hosts(&text("/etc/hosts"), name);
    if found.is_empty() {
        let conf = Conf::parse(&text("/etc/resolv.conf"));
        found = conf.ask(name).map_err(|e| match e.kind() {
            io::ErrorKind::TimedOut => failed("Try again"),
            io::ErrorKind::InvalidInput => failed(UNKNOWN),
            _ => failed(&e.to_string()),
        })?;
    }
    if found.is_empty() {
        return Err(failed(UNKNOWN));
    }
    let mut sorted: Vec<IpAddr> = Vec::new();
    for is_ipv6 in [true, false] {
        for ip in found.iter().filter(|ip| ip.is_ipv6() == is_ipv6) {
            if !sorted.contains(ip) {
                sorted.push(*ip);
            }
        }
    }
    Ok(sorted)
}

fn text(path: &str) -> String {
    let bytes = accounts::read(path.as_ref()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The words of each line, without comments.
fn lines(text: &str) -> impl Iterator<Item = impl Iterator<Item = &str>> {
    text.lines().map(|line| {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        line.split_ascii_whitespace()
    })
}

/// `address name name...`
fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for mut words in lines(text) {
        let address = words.next().and_then(|word| word.parse().ok());
        if words.any(|word| word.eq_ignore_ascii_case(name)) {
            found.extend::<Option<IpAddr>>(address);
        }
    }
    found
}

/// What resolv.conf(5) says.
#[derive(Debug, PartialEq, Eq)]
struct Conf {
    servers: Vec<SocketAddr>,
    /// The domains that names are looked for in.
    search: Vec<String>,
    /// A name with as many dots is whole.
    dots: usize,
    /// How long an answer is waited for, and how often it is asked for.
    timeout: Duration,
    attempts: u32,
}

impl Conf {
    fn parse(text: &str) -> Conf {
        let mut conf = Conf {
            servers: Vec::new(),
            search: Vec::new(),
            dots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for mut words in lines(text) {
            match words.next() {
                Some("nameserver") => {
                    let ip = words.next().and_then(|word| word.parse().ok());
                    conf.servers.extend(ip.map(|ip: IpAddr| SocketAddr::new(ip, 53)));
                }
                Some("domain" | "search") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        conf.servers.truncate(MOST_SERVERS);
        if conf.servers.is_empty() {
            conf.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
        }
        conf
    }

    fn option(&mut self, option: &str) {
        let Some((name, number)) = option.split_once(':') else {
            return;
        };
        match (name, number.parse::<u32>()) {
            ("ndots", Ok(n)) => self.dots = n.min(15) as usize,
            ("timeout", Ok(n)) => self.timeout = Duration::from_secs(n.clamp(1, 60).into()),
            ("attempts", Ok(n)) => self.attempts = n.clamp(1, 10),
            _ => {}
        }
    }

    /// Asks for the addresses of `name` in each of the domains, and as it is.
    fn ask(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let is_whole = name.ends_with('.') || name.matches('.').count() >= self.dots;
        let name = name.trim_end_matches('.');
        if !is_whole {
            for domain in &self.search {
                let found = self.ask_for(&[name, ".", domain.trim_matches('.')].concat())?;
                if !found.is_empty() {
                    return Ok(found);
                }
            }
        }
        self.ask_for(name)
    }

    /// Asks one server after the other until one of them knows.
    fn ask_for(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut failed = io::ErrorKind::TimedOut.into();
        for _ in 0..self.attempts {
            for server in &self.servers {
                match ask_at(*server, name, self.timeout / self.attempts) {
                    Err(e) => failed = e,
                    found => return found,
                }
            }
        }
        Err(failed)
    }
}

/// Asks one server for both kinds of addresses.
fn ask_at(server: SocketAddr, name: &str, timeout: Duration) -> io::Result<Vec<IpAddr>> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // What does not come from where it is connected to does not come in; the kernel chooses a port.
    let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
    connect(&socket, &server)?;
    let mut found = Vec::new();
    for kind in KINDS {
        found.extend(exchange(&socket, &question(name, kind)?, kind, timeout)?);
    }
    Ok(found)
}

fn exchange(
    socket: &OwnedFd,
    question: &[u8],
    kind: u16,
    timeout: Duration,
) -> io::Result<Vec<IpAddr>> {
    send(socket, question, SendFlags::NOSIGNAL)?;
    let until = Instant::now() + timeout;
    let mut answer = [0; 1500];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ };
        if retry_on_intr(|| poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&left)))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match recv(socket, &mut answer[..], RecvFlags::empty()) {
            Ok((n, _)) => {
                let answer = answer.get(..n).unwrap_or_default();
                if let Some(found) = answers(question, answer, kind) {
                    return found;
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// A question for the addresses of `name` (RFC 1035, 4.1).
fn question(name: &str, kind: u16) -> io::Result<Vec<u8>> {
    let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    // Its number, which nobody can guess; with no number left to chance the port is still.
    let _ = sys::random(message.get_mut(..2).unwrap_or_default());
    for label in name.split('.') {
        match label.len() {
            1..64 => message.push(label.len() as u8),
            _ => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
        }
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, kind as u8, 0, 1]);
    Ok(message)
}

/// The addresses in `answer`, if it is one to that question and whoever sent it can answer.
fn answers(question: &[u8], answer: &[u8], kind: u16) -> Option<io::Result<Vec<IpAddr>>> {
    let head = answer.get(..12)?;
    let asked = answer.get(12..question.len())?;
    if head.get(..2) != question.get(..2) || !asked.eq_ignore_ascii_case(question.get(12..)?) {
        return None;
    }
    match (head.get(2)? & 0x80, head.get(3)? & 15) {
        (0, _) => return None,
        (_, 0) => {}
        (_, 3) => return Some(Ok(Vec::new())), // there is no such name
        _ => return Some(Err(io::ErrorKind::TimedOut.into())),
    }
    let mut found = Vec::new();
    let mut rest = answer.get(question.len()..)?;
    // What was cut off is not missed: a few addresses are enough.
    while let Some((it, data, after)) = record(rest) {
        if it == kind {
            let v4 = <[u8; 4]>::try_from(data).map(|ip| IpAddr::from(Ipv4Addr::from(ip)));
            let v6 = <[u8; 16]>::try_from(data).map(|ip| IpAddr::from(Ipv6Addr::from(ip)));
            found.extend(v4.or(v6));
        }
        rest = after;
    }
    Some(Ok(found))
}

/// The kind of a resource record and what it holds, and what follows it.
fn record(message: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let mut rest = message;
    loop {
        let (&length, after) = rest.split_first()?;
        match length {
            0 => {
                rest = after;
                break;
            }
            1..64 => rest = after.get(length.into()..)?,
            // The rest of the name is somewhere else.
            192.. => {
                rest = after.get(1..)?;
                break;
            }
            _ => return None,
        }
    }
    let (head, rest) = rest.split_at_checked(10)?;
    let number = |at: usize| Some(u16::from_be_bytes([*head.get(at)?, *head.get(at + 1)?]));
    let (data, rest) = rest.split_at_checked(number(8)?.into())?;
    Some((number(0)?, data, rest))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::thread;

    use super::*;

    const LAN: &str = "127.0.0.1 localhost # here\n::1 localhost\n\n\
                       192.168.1.1\tRouter router.lan\n10.0.0.300 router.lan\n";

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn hosts_are_found_by_each_of_their_names() {
        assert_eq!(in_hosts(LAN, "localhost"), ips(&["127.0.0.1", "::1"]));
        assert_eq!(in_hosts(LAN, "ROUTER"), ips(&["192.168.1.1"]));
        assert_eq!(in_hosts(LAN, "router.lan"), ips(&["192.168.1.1"]));
        for name in ["here", "route", "192.168.1.1", ""] {
            assert!(in_hosts(LAN, name).is_empty(), "{name}");
        }
        assert!(addresses("localhost").unwrap().contains(&Ipv4Addr::LOCALHOST.into()));
        for name in ["", "a b", "ü", "a/b"] {
            assert!(addresses(name).unwrap_err().ends_with(": Name does not resolve"), "{name}");
        }
    }

    #[test]
    fn settings_are_those_of_resolv_conf() {
        let text = "; c\nnameserver 127.0.0.1\nnameserver ::1 # c\nnameserver x\nsearch lan example.com\n\
                    options rotate ndots:2 timeout:0 attempts:99\nnameserver 9.9.9.9\nnameserver 8.8.8.8\n";
        let servers = ips(&["127.0.0.1", "::1", "9.9.9.9"]).into_iter();
        let wanted = Conf {
            servers: servers.map(|ip| SocketAddr::new(ip, 53)).collect(),
            search: vec!["lan".to_owned(), "example.com".to_owned()],
            dots: 2,
            timeout: Duration::from_secs(1),
            attempts: 10,
        };
        assert_eq!(Conf::parse(text), wanted);
        assert_eq!(Conf::parse("").servers, ["127.0.0.1:53".parse().unwrap()]);
    }

    /// A question for a kind of addresses of a name, and the records or the code that answer it.
    type Turn = (&'static str, u16, Result<Vec<u8>, u8>);

    /// A server that answers these questions in turn.
    fn server(turns: Vec<Turn>) -> (Conf, thread::JoinHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let conf = Conf {
            servers: vec![socket.local_addr().unwrap()],
            search: vec!["lan".to_owned()],
            dots: 1,
            timeout: Duration::from_millis(400),
            attempts: 2,
        };
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let answering = thread::spawn(move || {
            for (name, kind, records) in turns {
                let mut buf = [0; 512];
                let (n, peer) = socket.recv_from(&mut buf).unwrap();
                let asked = &buf[..n];
                assert_eq!(asked[2..], question(name, kind).unwrap()[2..], "{name}");
                let (code, records) = match records {
                    Ok(records) => (0, records),
                    Err(code) => (code, Vec::new()),
                };
                let mut answer = [asked, &records].concat();
                answer[2] |= 0x80;
                answer[3] |= code;
                // What is somebody else's answer is not taken for it.
                let mut other = answer.clone();
                other[0] ^= 1;
                socket.send_to(&other, peer).unwrap();
                socket.send_to(&answer[..11], peer).unwrap();
                socket.send_to(&answer, peer).unwrap();
            }
        });
        (conf, answering)
    }

    fn with(kind: u8, data: &[u8]) -> Vec<u8> {
        [&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8], data].concat()
    }

    #[test]
    fn servers_are_asked_in_the_domains_first() {
        let alias = with(5, b"\x01x\xc0\x0c");
        let (conf, answering) = server(vec![
            ("router.lan", 28, Err(3)),
            ("router.lan", 1, Err(3)),
            ("router", 28, Ok([alias.clone(), with(28, &[0xfd; 16])].concat())),
            ("router", 1, Ok([alias, with(1, &[10, 0, 0, 1]), with(1, &[10, 0, 0, 2])].concat())),
        ]);
        let found = conf.ask("router").unwrap();
        assert_eq!(found[1..], ips(&["10.0.0.1", "10.0.0.2"]));
        assert_eq!(found[0], IpAddr::from([0xfd; 16]));
        answering.join().unwrap();
    }

    #[test]
    fn one_that_fails_is_asked_again() {
        let (conf, answering) = server(vec![
            ("a.b", 28, Err(2)),
            ("a.b", 28, Ok(Vec::new())),
            ("a.b", 1, Ok(with(1, &[10, 0, 0, 1])[..13].to_vec())),
        ]);
        assert!(conf.ask("a.b").unwrap().is_empty());
        answering.join().unwrap();
        assert!(conf.ask("a.b").is_err(), "nobody is there any more");
    }

    #[test]
    fn silence_has_an_end() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (mut conf, answering) = server(Vec::new());
        answering.join().unwrap();
        conf.servers = vec![socket.local_addr().unwrap()];
        let before = Instant::now();
        assert_eq!(conf.ask("a.b").unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!((400..2000).contains(&before.elapsed().as_millis()));
    }

    proptest::proptest! {
        #[test]
        fn no_answer_panics(tail in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let question = question("a.b", 1).unwrap();
            let mut answer = [&question[..], &tail].concat();
            answer[2] |= 0x80;
            let _ = answers(&question, &answer, 1);
            let _ = answers(&question, &tail, 1);
        }
    }
}
