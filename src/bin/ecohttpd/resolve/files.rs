//! /etc/hosts and /etc/resolv.conf.

use std::net::{Ipv4Addr, SocketAddr};

use super::literal::address;
use crate::number::number32;
use crate::parts::{cut, parts};

/// Adds the addresses that /etc/hosts has for a name, those of IPv6 first.
pub(super) fn hosts(text: &[u8], name: &str, port: u16, found: &mut Vec<SocketAddr>) {
    for ipv6 in [true, false] {
        for line in parts(text, b'\n') {
            let mut words = words(cut(line, b'#').0);
            let at = words.next().and_then(|ip| address(ip, port));
            if let Some(at) = at.filter(|at| at.is_ipv6() == ipv6) {
                if words.any(|word| word == name.as_bytes()) && !found.contains(&at) {
                    found.push(at);
                }
            }
        }
    }
}

/// What /etc/resolv.conf says.
pub(super) struct Servers<'a> {
    /// Those that are asked, the first three of them.
    pub(super) servers: Vec<SocketAddr>,
    /// The domains that a name may be in, with blanks between them.
    pub(super) search: &'a [u8],
    /// A name with so many dots has its domain already.
    pub(super) dots: u32,
    /// For how many seconds they are asked, and how often in that time.
    pub(super) seconds: u32,
    pub(super) attempts: u32,
}

/// The port of a server.
const PORT: u16 = 53;

/// Reads /etc/resolv.conf. Without a server in it, there is one on this machine.
pub(super) fn servers(text: &[u8]) -> Servers<'_> {
    let mut conf = Servers { servers: Vec::new(), search: b"", dots: 1, seconds: 5, attempts: 2 };
    for line in parts(text, b'\n') {
        let mut rest = words(line);
        let name = rest.next().unwrap_or_default();
        if name == b"nameserver" {
            if let (Some(ip), 0..3) = (rest.next(), conf.servers.len()) {
                conf.servers.extend(address(ip, PORT));
            }
        } else if name == b"search" || name == b"domain" {
            conf.search = rest.rest();
        } else if name == b"options" {
            for option in rest {
                let (name, value) = cut(option, b':');
                if let Some(number) = value.and_then(number32) {
                    if name == b"ndots" {
                        conf.dots = number.min(15);
                    } else if name == b"timeout" {
                        conf.seconds = number.min(60);
                    } else if name == b"attempts" {
                        conf.attempts = number.clamp(1, 10);
                    }
                }
            }
        }
    }
    if conf.servers.is_empty() {
        conf.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
    }
    conf
}

/// The words of a text, which have blanks between them.
pub(super) struct Words<'a>(&'a [u8]);

pub(super) fn words(text: &[u8]) -> Words<'_> {
    Words(text)
}

impl<'a> Words<'a> {
    /// What has not been looked at yet.
    fn rest(self) -> &'a [u8] {
        self.0.trim_ascii()
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline(never)] // one for all, where LLVM would take several
    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.0.trim_ascii_start();
        let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at_checked(end)?;
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_are_those_of_std(text in "[ab \\t\\r\\n]{0,9}") {
            let measure: Vec<_> = text.split_ascii_whitespace().map(str::as_bytes).collect();
            prop_assert_eq!(words(text.as_bytes()).collect::<Vec<_>>(), measure);
        }

        #[test]
        fn any_bytes_are_looked_at(text in prop::collection::vec(any::<u8>(), 0..99)) {
            servers(&text);
            hosts(&text, "a", 80, &mut Vec::new());
        }
    }

    #[test]
    fn hosts_have_names() {
        let text = b"127.0.0.1 localhost a # b\n::1\tlocalhost\tc\n\n10.0.0.1 a\n#10.0.0.2 a\n\
                     x a\n10.0.0.1 a\nfe80::1%7 d\n  10.0.0.3 e\r\n";
        let of = |name: &str| {
            let mut found = Vec::new();
            hosts(text, name, 80, &mut found);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of("localhost"), ["[::1]:80", "127.0.0.1:80"]);
        assert_eq!(of("a"), ["127.0.0.1:80", "10.0.0.1:80"]);
        assert_eq!(of("c"), ["[::1]:80"]);
        assert_eq!(of("d"), ["[fe80::1%7]:80"]);
        assert_eq!(of("e"), ["10.0.0.3:80"]);
        for name in ["b", "", "local", "127.0.0.1", "A"] {
            assert_eq!(of(name), [""; 0], "{name}");
        }
    }

    #[test]
    fn servers_are_asked_in_their_order() {
        let text = b"# made by hand\nsearch lan example.org\nnameserver 10.0.0.1\nnameserver ::1\n\
                     nameserver x\nnameserver\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n\
                     options ndots:2 rotate timeout:99 attempts:3\n";
        let conf = servers(text);
        let shown: Vec<_> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.1:53", "[::1]:53", "10.0.0.2:53"]);
        assert_eq!(conf.search, b"lan example.org");
        assert_eq!((conf.dots, conf.seconds, conf.attempts), (2, 60, 3));
        let conf = servers(b"");
        assert_eq!(conf.servers, [SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53)]);
        assert_eq!((conf.search, conf.dots, conf.seconds, conf.attempts), (&b""[..], 1, 5, 2));
        assert_eq!(servers(b"domain lan\n").search, b"lan");
    }
}
