//! The addresses of a host.
//!
//! They are what getaddrinfo(3) says, where the C library is one for all programs. Within a static
//! program that would be 28 KB of code on MIPS, for names that hardly anybody listens at: there it is
//! done here, as musl does it, by /etc/hosts and the servers of /etc/resolv.conf.

#![cfg_attr(not(target_feature = "crt-static"), allow(dead_code, reason = "the C library does it"))]

mod dns;
mod files;
pub(crate) mod literal;

use std::net::SocketAddr;

/// The addresses of a host, of which there is one at least, or why they are not known.
#[cfg(not(target_feature = "crt-static"))]
pub(crate) fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    use std::net::ToSocketAddrs;
    let found = (host, port).to_socket_addrs().map_err(|e| e.to_string())?;
    let mut found: Vec<_> = found.collect();
    found.dedup();
    if found.is_empty() { Err("it has no address".to_owned()) } else { Ok(found) }
}

/// The addresses of a host, of which there is one at least, or why they are not known.
#[cfg(target_feature = "crt-static")]
pub(crate) fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    use crate::accounts::read;
    // Files that are not there say nothing.
    let file = |path: &str| read(path.as_ref()).unwrap_or_default();
    let found = by_files(host, port, &file("/etc/hosts"), &file("/etc/resolv.conf"));
    found.map_err(|why| format!("failed to lookup address information: {why}"))
}

/// Likewise, by the contents of /etc/hosts and /etc/resolv.conf.
fn by_files(
    host: &str,
    port: u16,
    hosts: &[u8],
    servers: &[u8],
) -> Result<Vec<SocketAddr>, &'static str> {
    let mut found = Vec::new();
    if let Some(at) = literal::address(host.as_bytes(), port) {
        found.push(at);
        return Ok(found);
    }
    if !(1..255).contains(&host.len()) {
        return Err(dns::UNKNOWN);
    }
    files::hosts(hosts, host, port, &mut found);
    if found.is_empty() {
        dns::search(host, port, &files::servers(servers), &mut found)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::ToSocketAddrs;

    use super::*;

    #[test]
    fn addresses_are_those_that_std_finds() {
        let hosts = fs::read("/etc/hosts").unwrap();
        for host in ["localhost", "127.0.0.1", "::1", "127.1", "0x7f.1", "010.0.0.1", "1.2.3"] {
            let mut all: Vec<_> = (host, 7).to_socket_addrs().unwrap().collect();
            all.dedup();
            let mut found = by_files(host, 7, &hosts, b"").unwrap();
            assert_eq!(resolve(host, 7).as_ref(), Ok(&all), "{host}");
            all.sort();
            found.sort();
            // Some C libraries know localhost by themselves.
            assert!(found == all || host == "localhost", "{host}: {found:?} {all:?}");
        }
        for host in ["", "no-such-name.invalid"] {
            let why = resolve(host, 7).unwrap_err();
            assert!(why.starts_with("failed to lookup address information: "), "{why}");
        }
        assert_eq!(by_files("", 7, b"", b""), Err(dns::UNKNOWN));
        assert_eq!(by_files(&"x".repeat(255), 7, b"", b""), Err(dns::UNKNOWN));
        assert_eq!(by_files("a..", 7, b"", b""), Err(dns::UNKNOWN));
    }
}
