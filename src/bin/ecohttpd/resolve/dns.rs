//! What servers of the Domain Name System say (RFC 1035), asked by UDP.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use rustix::buffer::spare_capacity;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::files::{Servers, words};
use crate::parts::parts;
use crate::sys;

/// There is no such name.
pub(super) const UNKNOWN: &str = "Name does not resolve";

/// Nobody has answered.
const SILENCE: &str = "Try again";

/// There is, but it has no address.
const NO_ADDRESS: &str = "Name has no usable address";

/// The types of what is asked for: IPv6 addresses and those of IPv4.
const AAAA: u8 = 28;
const A: u8 = 1;

/// The bit of a header that makes it a reply, and those that say what came of it.
const REPLY: u8 = 0x80;
const OUTCOME: u8 = 15;
const NO_SUCH_NAME: u8 = 3;

/// The longest reply by UDP.
const LONGEST: usize = 512;

/// So many datagrams are looked at, of which all but one may be no reply to this query.
const STRAY: usize = 4;

/// Adds the addresses of a name, which may be one of a domain that is searched.
pub(super) fn search(
    name: &str,
    port: u16,
    conf: &Servers<'_>,
    found: &mut Vec<SocketAddr>,
) -> Result<(), &'static str> {
    let full = name.strip_suffix('.');
    let dots = name.bytes().filter(|b| *b == b'.').count();
    if full.is_none() && dots < conf.dots as usize {
        for domain in words(conf.search) {
            let mut name = name.as_bytes().to_vec();
            name.push(b'.');
            name.extend_from_slice(domain);
            match ask(&name, port, conf, found) {
                Err(UNKNOWN) => {}
                done => return done,
            }
        }
    }
    ask(full.unwrap_or(name).as_bytes(), port, conf, found)
}

/// Adds the addresses of this name.
fn ask(
    name: &[u8],
    port: u16,
    conf: &Servers<'_>,
    found: &mut Vec<SocketAddr>,
) -> Result<(), &'static str> {
    for kind in [AAAA, A] {
        let query = query(name, kind).ok_or(UNKNOWN)?;
        let reply = ask_all(&query, conf).ok_or(SILENCE)?;
        if outcome(&reply) == NO_SUCH_NAME {
            return Err(UNKNOWN);
        }
        let _ = addresses(&reply, kind, port, found); // up to where it is damaged
    }
    if found.is_empty() { Err(NO_ADDRESS) } else { Ok(()) }
}

/// A query for what a name has of one kind.
fn query(name: &[u8], kind: u8) -> Option<Vec<u8>> {
    // A number that nobody else knows; recursion is wished for; one question.
    let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    sys::random(query.get_mut(..2)?).ok()?;
    for label in parts(name, b'.') {
        if !(1..64).contains(&label.len()) {
            return None;
        }
        query.push(label.len() as u8);
        query.extend_from_slice(label);
    }
    query.extend_from_slice(&[0, 0, kind, 0, 1]); // of the Internet
    (name.len() < 254).then_some(query)
}

/// What the first server says that says something.
fn ask_all(query: &[u8], conf: &Servers<'_>) -> Option<Vec<u8>> {
    let times = conf.attempts * conf.servers.len() as u32;
    let millis = conf.seconds * 1000 / times.max(1);
    for _ in 0..conf.attempts {
        for server in &conf.servers {
            let reply = ask_one(query, *server, millis as i32);
            if reply.is_some() {
                return reply;
            }
        }
    }
    None
}

/// What a server says within so many milliseconds, if it knows whether there is such a name.
fn ask_one(query: &[u8], server: SocketAddr, millis: i32) -> Option<Vec<u8>> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, None).ok()?;
    connect(&socket, &server).ok()?; // from others nothing is heard
    rustix::io::write(&socket, query).ok()?;
    for _ in 0..STRAY {
        if !sys::has_input(socket.as_fd(), millis) {
            return None;
        }
        let mut reply = Vec::with_capacity(LONGEST);
        rustix::io::read(&socket, spare_capacity(&mut reply)).ok()?;
        let is_reply = reply.get(2).is_some_and(|flags| flags & REPLY != 0);
        if is_reply && reply.get(..2) == query.get(..2) {
            return matches!(outcome(&reply), 0 | NO_SUCH_NAME).then_some(reply);
        }
    }
    None
}

fn outcome(reply: &[u8]) -> u8 {
    reply.get(3).map_or(OUTCOME, |flags| flags & OUTCOME)
}

/// Adds the addresses of one kind that stand in a reply, up to where it is damaged.
fn addresses(reply: &[u8], kind: u8, port: u16, found: &mut Vec<SocketAddr>) -> Option<()> {
    let count = |at: usize| match reply.get(at..at + 2) {
        Some([high, low]) => Some(usize::from(*high) << 8 | usize::from(*low)),
        _ => None,
    };
    let mut at = 12; // behind the header
    for _ in 0..count(4)? {
        at = name_end(reply, at)? + 4;
    }
    for _ in 0..count(6)? {
        at = name_end(reply, at)?;
        let (is_it, len) = (count(at)? == usize::from(kind), count(at + 8)?);
        at += 10;
        let data = reply.get(at..at + len)?;
        at += len;
        let ip = match (<[u8; 4]>::try_from(data), <[u8; 16]>::try_from(data)) {
            (Ok(ip), _) if is_it && kind == A => Ipv4Addr::from(ip).into(),
            (_, Ok(ip)) if is_it && kind == AAAA => Ipv6Addr::from(ip).into(),
            _ => continue,
        };
        found.push(SocketAddr::new(ip, port));
    }
    Some(())
}

/// Where a name ends that begins at `at`.
fn name_end(reply: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *reply.get(at)? {
            0 => return Some(at + 1),
            // The rest of it stands elsewhere.
            0xc0.. => return Some(at + 2),
            len => at += 1 + usize::from(len),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    /// Records of the name that is asked for, after one of another type that leads to it.
    fn reply(query: &[u8], flags: [u8; 2], records: &[(u8, &[u8])]) -> Vec<u8> {
        let mut reply = query.to_vec();
        reply[2..4].copy_from_slice(&flags);
        reply[7] = records.len() as u8;
        for (kind, data) in records {
            reply.extend_from_slice(&[0xc0, 12, 0, *kind, 0, 1, 0, 0, 0, 9, 0, data.len() as u8]);
            reply.extend_from_slice(data);
        }
        reply
    }

    /// A server that knows four names, and none of its clients' mistakes.
    fn server() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut buf = [0; 600];
            while let Ok((n, from)) = socket.recv_from(&mut buf) {
                let query = &buf[..n];
                let kind = query[n - 3];
                let six = Ipv6Addr::LOCALHOST.octets();
                let known: &[(u8, &[u8])] = match kind {
                    AAAA => &[(5, b"\x01a\xc0\x0c"), (AAAA, &six), (A, &[9, 9, 9, 9])],
                    _ => &[(A, &[10, 0, 0, 1]), (A, &[10, 0, 0, 2])],
                };
                let mut stray = reply(query, [0x81, 0x80], known);
                stray[0] ^= 1;
                let answer = match &query[12..n - 4] {
                    b"\x03box\x03lan\0" | b"\x01a\x01b\0" => reply(query, [0x81, 0x80], known),
                    b"\x04none\0" => reply(query, [0x81, 0x80], &[]),
                    b"\x04fail\0" => reply(query, [0x81, 0x82], &[]),
                    b"\x06silent\0" => continue,
                    _ => reply(query, [0x81, 0x83], &[]),
                };
                for message in [b"x".to_vec(), query.to_vec(), stray, answer] {
                    socket.send_to(&message, from).unwrap();
                }
            }
        });
        at
    }

    #[test]
    fn servers_know_names() {
        let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let servers = vec![dead, server()];
        let conf = Servers { servers, search: b"nowhere lan", dots: 1, seconds: 1, attempts: 1 };
        let of = |name: &str| {
            let mut found = Vec::new();
            search(name, 80, &conf, &mut found)
                .map(|()| found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        let all = Ok("[::1]:80 10.0.0.1:80 10.0.0.2:80".to_owned());
        for name in ["box", "box.lan", "box.lan.", "a.b"] {
            assert_eq!(of(name), all, "{name}");
        }
        let long = format!("{}.x", "x".repeat(64));
        for name in ["box.", "b", "nowhere", "a..b", "..", ".", &long, &"x.".repeat(127)] {
            assert_eq!(of(name), Err(UNKNOWN), "{name}");
        }
        assert_eq!(of("none"), Err(NO_ADDRESS));
        assert_eq!(of("fail"), Err(SILENCE));
        assert_eq!(of("silent"), Err(SILENCE));
    }

    proptest! {
        #[test]
        fn any_reply_is_looked_at(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            cut in 0..90_usize,
        ) {
            let mut found = Vec::new();
            addresses(&bytes, A, 80, &mut found);
            let query = query(b"a.b", A).unwrap();
            let whole = reply(&query, [0x81, 0x80], &[(A, &[1, 2, 3, 4]), (A, &[1, 2, 3, 5])]);
            found.clear();
            let cut = cut.min(whole.len());
            let is_whole = addresses(&whole[..cut], A, 80, &mut found).is_some();
            prop_assert_eq!(is_whole, cut == whole.len());
            prop_assert_eq!(found.len() == 2, is_whole);
        }
    }
}
