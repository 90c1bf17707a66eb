//! Listening sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use rustix::process::{Resource, getrlimit};

use super::reactor::Reactor;
use super::socket::Socket;
use super::sys;
use crate::failure::failure;

/// How a listening socket is set up. Most of it is inherited by the connections it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setup<'a> {
    pub(crate) v6only: bool,
    pub(crate) backlog: u32,
    pub(crate) reuseaddr: bool,
    pub(crate) reuseport: bool,
    pub(crate) device: Option<&'a str>,
    pub(crate) mark: Option<u32>,
    pub(crate) nodelay: bool,
    pub(crate) keepalive: bool,
    pub(crate) keepidle: Option<u32>,
    pub(crate) keepcnt: Option<u32>,
    pub(crate) keepintvl: Option<u32>,
    pub(crate) fastopen: Option<u32>,
    pub(crate) freebind: bool,
}

/// Names what failed, since the kernel's word for it alone helps nobody.
fn at<T>(what: impl std::fmt::Display, result: Result<T, impl Into<io::Error>>) -> io::Result<T> {
    result.map_err(|e| {
        let e = e.into();
        failure(e.kind(), format!("{what}: {e}"))
    })
}

/// Listens at `addr`.
pub(crate) fn at_address(addr: SocketAddr, setup: &Setup<'_>) -> io::Result<Socket> {
    let reactor = Reactor::current()?;
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let here = format_args!("cannot listen on {addr}");
    let fd = at(here, socket_with(family, SocketType::STREAM, flags, None))?;
    if addr.is_ipv6() {
        at(here, sockopt::set_ipv6_v6only(&fd, setup.v6only))?;
    }
    at(here, sockopt::set_socket_reuseaddr(&fd, setup.reuseaddr))?;
    at(here, sockopt::set_socket_reuseport(&fd, setup.reuseport))?;
    if let Some(device) = setup.device {
        let bound = sys::set_text(fd.as_fd(), libc::SOL_SOCKET, libc::SO_BINDTODEVICE, device);
        at(format_args!("{here} by device {device}"), bound)?;
    }
    if let Some(mark) = setup.mark {
        let marked = sys::set_number(fd.as_fd(), libc::SOL_SOCKET, libc::SO_MARK, mark as i32);
        at(format_args!("{here} with mark {mark}"), marked)?;
    }
    if setup.freebind {
        let (level, name) = match addr {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_FREEBIND),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_FREEBIND),
        };
        at(here, sys::set_number(fd.as_fd(), level, name, 1))?;
    }
    at(here, bind(&fd, &addr))?;
    let backlog = setup.backlog.try_into().unwrap_or(i32::MAX);
    at(here, listen(&fd, backlog))?;
    at(here, set_tcp(&fd, setup))?;
    Socket::adopt(&reactor, fd)
}

/// Takes over a listening socket that somebody else made. Only what is about its connections is set,
/// and only where it is asked for: the rest was for somebody else to say.
pub(crate) fn adopted(fd: OwnedFd, setup: &Setup<'_>) -> io::Result<Socket> {
    const WHAT: &str = "the descriptor handed over";
    if !at(WHAT, sockopt::socket_acceptconn(&fd))? {
        let kind = io::ErrorKind::InvalidInput;
        return Err(failure(kind, format!("{WHAT} is no listening socket")));
    }
    at(WHAT, rustix::io::ioctl_fionbio(&fd, true))?;
    at(WHAT, rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC))?;
    let domain = at(WHAT, sockopt::socket_domain(&fd))?;
    let is_tcp = matches!(domain, AddressFamily::INET | AddressFamily::INET6);
    if setup.keepalive && is_tcp {
        at(WHAT, set_tcp(&fd, setup))?;
    } else if setup.nodelay && is_tcp {
        at(WHAT, sockopt::set_tcp_nodelay(&fd, true))?;
    }
    Socket::adopt(&Reactor::current()?, fd)
}

/// Lets other sockets of this process listen at the same address, or no more; whether that is news.
pub(crate) fn share(socket: &Socket, on: bool) -> bool {
    sockopt::socket_reuseport(socket) == Ok(!on)
        && sockopt::set_socket_reuseport(socket, on).is_ok()
}

/// Sets up once more a socket that goes on, as far as it is about its connections.
pub(crate) fn change(socket: &Socket, old: &Setup<'_>, new: &Setup<'_>) {
    let domain = sockopt::socket_domain(socket);
    if old == new || !matches!(domain, Ok(AddressFamily::INET | AddressFamily::INET6)) {
        return;
    }
    let off = old.fastopen.map(|_| 0);
    // It could be done before, and it is no reason to give up the others.
    let _ = set_tcp(socket, &Setup { fastopen: new.fastopen.or(off), ..new.clone() });
}

/// How many connections there are descriptors for, with one more for a file each, and some for the
/// rest of the process.
pub(crate) fn most_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(16 + crate::cache::MOST as u64) / 2).unwrap_or(usize::MAX)
}

fn set_tcp(fd: &impl AsFd, setup: &Setup<'_>) -> io::Result<()> {
    let seconds = |n: u32| std::time::Duration::from_secs(n.into());
    sockopt::set_tcp_nodelay(fd, setup.nodelay)?;
    sockopt::set_socket_keepalive(fd, setup.keepalive)?;
    if let Some(n) = setup.keepidle {
        sockopt::set_tcp_keepidle(fd, seconds(n))?;
    }
    if let Some(n) = setup.keepintvl {
        sockopt::set_tcp_keepintvl(fd, seconds(n))?;
    }
    if let Some(n) = setup.keepcnt {
        sockopt::set_tcp_keepcnt(fd, n)?;
    }
    if let Some(n) = setup.fastopen {
        let n = n.try_into().unwrap_or(i32::MAX);
        sys::set_number(fd.as_fd(), libc::IPPROTO_TCP, libc::TCP_FASTOPEN, n)?;
    }
    Ok(())
}
