//! The addresses of a host.
//!
//! With the feature `dns` they are what getaddrinfo(3) says. In a static program that is 28 KB of code on
//! MIPS, for names that hardly anybody listens at: without it a host is an address in numbers, or a
//! name that /etc/hosts has.

#![cfg_attr(feature = "dns", allow(dead_code, reason = "the C library does it"))]

mod hosts;
pub(crate) mod literal;

use std::net::SocketAddr;

/// The addresses of a host, of which there is one at least, or why they are not known.
#[cfg(feature = "dns")]
pub(crate) fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    use std::net::ToSocketAddrs;
    let found = (host, port).to_socket_addrs().map_err(|e| e.to_string())?;
    let mut found: Vec<_> = found.collect();
    found.dedup();
    if found.is_empty() { Err("it has no address".to_owned()) } else { Ok(found) }
}

/// The addresses of a host, of which there is one at least, or why they are not known.
#[cfg(not(feature = "dns"))]
pub(crate) fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    // A file that is not there says nothing.
    let hosts = crate::accounts::read("/etc/hosts".as_ref()).unwrap_or_default();
    match by_hosts(host, port, &hosts) {
        found if found.is_empty() => {
            Err("no such name in /etc/hosts, and this build asks no DNS".to_owned())
        }
        found => Ok(found),
    }
}

/// The addresses of a host by what /etc/hosts says, if it is no address itself.
fn by_hosts(host: &str, port: u16, text: &[u8]) -> Vec<SocketAddr> {
    match literal::address(host.as_bytes(), port) {
        Some(at) => vec![at],
        None => hosts::addresses(text, host, port),
    }
}

#[cfg(test)]
mod tests {
    use std::net::ToSocketAddrs;

    use super::*;

    #[test]
    fn addresses_are_those_that_std_finds() {
        let hosts = std::fs::read("/etc/hosts").unwrap();
        for host in ["localhost", "127.0.0.1", "::1", "127.1", "0x7f.1", "010.0.0.1", "1.2.3"] {
            let mut all: Vec<_> = (host, 7).to_socket_addrs().unwrap().collect();
            all.dedup();
            all.sort();
            let mut found = by_hosts(host, 7, &hosts);
            found.sort();
            // Some C libraries know localhost by themselves.
            assert!(found == all || host == "localhost", "{host}: {found:?} {all:?}");
            assert!(!resolve(host, 7).unwrap().is_empty(), "{host}");
        }
        for host in ["", "no-such-name.invalid"] {
            assert_eq!(by_hosts(host, 7, &hosts), [], "{host}");
            let why = resolve(host, 7).unwrap_err();
            let expected = match cfg!(feature = "dns") {
                true => "failed to lookup address information: ",
                false => "no such name in /etc/hosts",
            };
            assert!(why.starts_with(expected), "{why}");
        }
    }
}
