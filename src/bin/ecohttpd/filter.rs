//! Requests from a private network to a public address, as DNS rebinding makes them (`-R`).

use std::net::IpAddr;

/// Whether a client at `peer` has no business with the address `local`.
pub(crate) fn is_rebound(peer: IpAddr, local: IpAddr) -> bool {
    is_private(peer.to_canonical()) && !is_private(local.to_canonical())
}

/// RFC 1918 for IPv4; unique local (RFC 4193) and link-local (RFC 4291) for IPv6.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_clients_have_private_servers() {
        for (peer, local, rebound) in [
            ("192.168.1.2", "192.168.1.1", false),
            ("192.168.1.2", "10.0.0.1", false),
            ("192.168.1.2", "203.0.113.1", true),
            ("172.31.255.255", "203.0.113.1", true),
            ("172.32.0.1", "203.0.113.1", false),
            ("10.1.2.3", "8.8.8.8", true),
            ("::ffff:10.1.2.3", "::ffff:8.8.8.8", true),
            ("::ffff:10.1.2.3", "::ffff:10.0.0.1", false),
            ("198.51.100.7", "203.0.113.1", false),
            ("fd00::2", "fd00::1", false),
            ("fd00::2", "2001:db8::1", true),
            ("fe80::2", "2001:db8::1", true),
            ("fe80::2", "fe80::1", false),
            ("fe80::2", "fd00::1", false),
            ("2001:db8::2", "2001:db8::1", false),
        ] {
            let got = is_rebound(peer.parse().unwrap(), local.parse().unwrap());
            assert_eq!(got, rebound, "{peer} to {local}");
        }
    }
}
