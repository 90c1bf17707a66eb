//! Sockets of the Unix domain.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::failure::failure;

/// The longest path that a sockaddr_un holds with the NUL that many look for.
pub(crate) const LONGEST_PATH: usize = 107;

/// A socket that listens at `path`.
pub(crate) fn listen(path: &Path) -> io::Result<OwnedFd> {
    let fd = socket(SocketType::STREAM)?;
    rustix::net::bind(&fd, &address(path)?)?;
    rustix::net::listen(&fd, -1)?; // as many as the system lets wait
    Ok(fd)
}

/// A socket whose other end is the one at `path`.
pub(crate) fn connect(path: &Path, kind: SocketType) -> io::Result<OwnedFd> {
    let fd = socket(kind)?;
    rustix::net::connect(&fd, &address(path)?)?;
    Ok(fd)
}

fn socket(kind: SocketType) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?)
}

fn address(path: &Path) -> io::Result<SocketAddrUnix> {
    if path.as_os_str().len() > LONGEST_PATH {
        let why = "path must be shorter than SUN_LEN";
        return Err(failure(io::ErrorKind::InvalidInput, why));
    }
    Ok(SocketAddrUnix::new(path)?)
}
