//! The addresses of a host.
//!
//! With the feature `dns` they are what getaddrinfo(3) says. In a static program that is 28 KB of code on
//! MIPS, for names that hardly anybody listens at: without it a host is an address in numbers, or a
//! name that /etc/hosts has.

#![cfg_attr(feature = "dns", allow(dead_code, reason = "the C library does it"))]

mod hosts;
pub(crate) mod literal;

use std::io;
use std::net::SocketAddr;
use std::path::Path;

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
    let found = by_hosts(host, port, hosts::FILE.as_ref());
    match found.map_err(|e| format!("{}: {e}", hosts::FILE))? {
        found if found.is_empty() => {
            Err(format!("no such name in {}, and this build asks no DNS", hosts::FILE))
        }
        found => Ok(found),
    }
}

/// The addresses of a host by what a file like /etc/hosts says, if it is no address itself.
fn by_hosts(host: &str, port: u16, file: &Path) -> io::Result<Vec<SocketAddr>> {
    match literal::address(host.as_bytes(), port) {
        Some(at) => Ok(vec![at]),
        None => hosts::addresses(file, host, port),
    }
}

#[cfg(test)]
mod tests {
    use std::net::ToSocketAddrs;

    use super::*;

    #[test]
    fn addresses_are_those_that_std_finds() {
        let hosts = hosts::FILE.as_ref();
        for host in ["localhost", "127.0.0.1", "::1", "127.1", "0x7f.1", "010.0.0.1", "1.2.3"] {
            let mut all: Vec<_> = (host, 7).to_socket_addrs().unwrap().collect();
            all.dedup();
            all.sort();
            let mut found = by_hosts(host, 7, hosts).unwrap();
            found.sort();
            // Some C libraries know localhost by themselves.
            assert!(found == all || host == "localhost", "{host}: {found:?} {all:?}");
            assert!(!resolve(host, 7).unwrap().is_empty(), "{host}");
        }
        for host in ["", "no-such-name.invalid"] {
            assert_eq!(by_hosts(host, 7, hosts).unwrap(), [], "{host}");
            let why = resolve(host, 7).unwrap_err();
            let expected = match cfg!(feature = "dns") {
                true => "failed to lookup address information: ",
                false => "no such name in /etc/hosts",
            };
            assert!(why.starts_with(expected), "{why}");
        }
    }
}
