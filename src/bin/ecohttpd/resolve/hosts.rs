//! /etc/hosts.

use std::net::SocketAddr;

use super::literal::address;
use crate::parts::{cut, parts};

/// The addresses that it has for a name, those of IPv6 first.
pub(super) fn addresses(text: &[u8], name: &str, port: u16) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for ipv6 in [true, false] {
        for line in parts(text, b'\n') {
            let line = cut(line, b'#').0;
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let at = words.next().and_then(|ip| address(ip, port));
            if let Some(at) = at.filter(|at| at.is_ipv6() == ipv6) {
                if words.any(|word| word == name.as_bytes()) && !found.contains(&at) {
                    found.push(at);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(text in prop::collection::vec(any::<u8>(), 0..99)) {
            addresses(&text, "a", 80);
        }
    }

    #[test]
    fn hosts_have_names() {
        let text = b"127.0.0.1 localhost a # b\n::1\tlocalhost\tc\n\n10.0.0.1 a\n#10.0.0.2 a\n\
                     x a\n10.0.0.1 a\nfe80::1%7 d\n  10.0.0.3 e\r\n";
        let of = |name: &str| {
            addresses(text, name, 80).iter().map(ToString::to_string).collect::<Vec<_>>()
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
}
