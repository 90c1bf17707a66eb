//! The address of a client.

use std::net::{IpAddr, SocketAddr};

/// A socket address without the flow label of IPv6, of which Linux says nothing to who has not asked: 24
/// bytes instead of 32, for each idle connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    ip: IpAddr,
    port: u16,
    scope: u32,
}

impl From<SocketAddr> for Peer {
    fn from(addr: SocketAddr) -> Self {
        let scope = match addr {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(addr) => addr.scope_id(),
        };
        Peer { ip: addr.ip(), port: addr.port(), scope }
    }
}

impl From<Peer> for SocketAddr {
    fn from(peer: Peer) -> Self {
        let mut addr = SocketAddr::new(peer.ip, peer.port);
        if let SocketAddr::V6(addr) = &mut addr {
            addr.set_scope_id(peer.scope);
        }
        addr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_address_is_lost() {
        for text in
            ["192.0.2.1:80", "[2001:db8::1]:443", "[fe80::1%7]:65535", "[::ffff:192.0.2.1]:1"]
        {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddr::from(Peer::from(addr)), addr);
        }
        assert_eq!(size_of::<Peer>(), 24);
    }
}
