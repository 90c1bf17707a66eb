//! Where to listen: `[ADDR:]PORT`, `unix:PATH`, `fd:N`.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use memchr::memrchr;
use rustix::net::{AddressFamily, SocketType, socket};

use crate::failure::failure;
use crate::number::number;
use crate::resolve::{literal, resolve};
use crate::sys;
use crate::unix::{self, LONGEST_PATH};

/// An address to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp {
        at: SocketAddr,
        /// Nobody asked for this one by itself: without IPv6 a port alone is served by IPv4.
        optional: bool,
    },
    Unix(PathBuf),
    /// A listening socket that whoever started us has opened.
    Descriptor(i32),
    /// A name that nobody knows the address of, or an interface that is not there, as it may be
    /// before the network is up.
    Unknown {
        name: String,
        why: String,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { at, .. } => at.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Descriptor(n) => write!(f, "fd:{n}"),
            Address::Unknown { name, .. } => f.write_str(name),
        }
    }
}

impl Address {
    /// The addresses that `text` names: a port alone is every IPv4 and every IPv6 address.
    pub(crate) fn parse(text: &str) -> Result<Vec<Address>, &'static str> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                0 => Err("the path of the socket is missing"),
                1..=LONGEST_PATH => Ok(vec![Address::Unix(path.into())]),
                _ => Err("the path of the socket has more than 107 bytes"),
            };
        }
        if let Some(n) = text.strip_prefix("fd:") {
            return match number(n.as_bytes(), i32::MAX as u64) {
                Some(n @ 3..) => Ok(vec![Address::Descriptor(n as i32)]),
                _ => Err("the descriptor is no number from 3 on"),
            };
        }
        let bytes = text.as_bytes();
        let colon = memrchr(b':', bytes);
        let port = bytes.get(colon.map_or(0, |at| at + 1)..).unwrap_or_default();
        let port = number(port, u16::MAX.into()).ok_or("the port is no number from 0 to 65535")?;
        let port = port as u16;
        let Some(host) = colon.and_then(|at| text.get(..at)) else {
            let any4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
            let any6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
            return Ok(vec![
                Address::Tcp { at: any4, optional: false },
                Address::Tcp { at: any6, optional: true },
            ]);
        };
        if host.is_empty() {
            return Err("the address before the colon is missing");
        }
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or("a bracket is missing")?,
            None if host.contains(':') => return Err("an IPv6 address takes brackets"),
            None => host,
        };
        let (bare, scope) = match bare.split_once('%') {
            Some((ip, scope)) => (ip, Some(scope)),
            None => (bare, None),
        };
        let found = match scope {
            Some(scope) => {
                let ip = literal::ipv6(bare.as_bytes());
                let ip = ip.ok_or("a scope is for IPv6 addresses only")?;
                match literal::scope_id(scope.as_bytes()) {
                    Some(scope) => Ok(vec![SocketAddrV6::new(ip, port, 0, scope).into()]),
                    None => Err(format!("there is no interface {scope}")),
                }
            }
            None => resolve(bare, port),
        };
        Ok(match found {
            Ok(found) => found.into_iter().map(|at| Address::Tcp { at, optional: false }).collect(),
            // Others may have an address, and an admin page at one is better than none.
            Err(why) => vec![Address::Unknown { name: text.to_owned(), why }],
        })
    }

    /// Whether it is this one, whoever asked for it.
    #[inline(never)] // LLVM takes what it asks for as little, and has it in each caller
    pub(crate) fn is_same(&self, other: &Address) -> bool {
        self.to_string() == other.to_string()
    }

    /// The port, if it has one.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Address::Tcp { at, .. } => Some(at.port()),
            _ => None,
        }
    }

    /// Whether this machine can do without it.
    pub(crate) fn is_superfluous(&self) -> bool {
        matches!(self, Address::Tcp { optional: true, .. })
            && socket(AddressFamily::INET6, SocketType::STREAM, None).is_err()
    }
}

/// The file of a Unix socket, which goes when this does, unless somebody else's is there by then.
/// That can be told apart for sure only while the socket is open.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    id: Option<(u64, u64)>,
}

impl SocketFile {
    fn id(path: &Path) -> Option<(u64, u64)> {
        let meta = fs::symlink_metadata(path).ok()?;
        Some((meta.dev(), meta.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.id.is_some() && SocketFile::id(&self.path) == self.id {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at a Unix socket, in place of one that nobody listens at any more.
pub(crate) fn bind_unix(path: &Path) -> io::Result<(OwnedFd, SocketFile)> {
    match replace(path) {
        Ok(listener) => {
            Ok((listener, SocketFile { path: path.to_owned(), id: SocketFile::id(path) }))
        }
        Err(e) => {
            let why = format!("cannot listen on unix:{}: {e}", path.display());
            Err(failure(e.kind(), why))
        }
    }
}

fn replace(path: &Path) -> io::Result<OwnedFd> {
    // What is no socket is somebody's file; binding says so.
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        // One that has no room for us is listened at, too.
        match unix::connect(path, SocketType::STREAM) {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            Err(_) => fs::remove_file(path)?,
        }
    }
    unix::listen(path)
}

/// The descriptors that were handed over, each of which can be taken once.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<(i32, io::Result<OwnedFd>)>);

impl Inherited {
    /// Those that `addresses` name. Nothing may have been opened yet that stays open.
    pub(crate) fn of(addresses: [&[Address]; 2]) -> Inherited {
        let mut inherited = Inherited::default();
        for at in addresses {
            for at in at {
                match at {
                    Address::Descriptor(n) if inherited.0.iter().all(|(it, _)| it != n) => {
                        inherited.0.push((*n, sys::inherited(*n)));
                    }
                    _ => {}
                }
            }
        }
        inherited
    }

    pub(crate) fn take(&mut self, number: i32) -> io::Result<OwnedFd> {
        let found = self.0.iter().position(|(n, _)| *n == number);
        let (kind, why) = match found.map(|i| self.0.swap_remove(i).1) {
            Some(Ok(fd)) => return Ok(fd),
            Some(Err(e)) => (e.kind(), format!("no descriptor was handed over: {e}")),
            None => (io::ErrorKind::InvalidInput, "it was given before".to_owned()),
        };
        Err(failure(kind, format!("fd:{number}: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<String> {
        Address::parse(text).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_form_is_understood() {
        assert_eq!(parsed("80"), ["0.0.0.0:80", "[::]:80"]);
        assert_eq!(parsed("127.0.0.1:81"), ["127.0.0.1:81"]);
        assert_eq!(parsed("[::1]:443"), ["[::1]:443"]);
        assert_eq!(parsed("[fe80::1%7]:80"), ["[fe80::1%7]:80"]);
        let lo = fs::read_to_string("/sys/class/net/lo/ifindex").unwrap();
        assert_eq!(parsed("[fe80::1%lo]:80"), [format!("[fe80::1%{}]:80", lo.trim())]);
        assert_eq!(parsed("unix:/run/x.sock"), ["unix:/run/x.sock"]);
        assert_eq!(parsed("fd:3"), ["fd:3"]);
        assert!(parsed("localhost:80").contains(&"127.0.0.1:80".to_owned()));
        let both = Address::parse("80").unwrap();
        assert!(matches!(both[0], Address::Tcp { optional: false, .. }));
        assert!(matches!(both[1], Address::Tcp { optional: true, .. }));
    }

    #[test]
    fn every_mistake_is_named() {
        for (text, why) in [
            ("", "the port is no number"),
            ("x", "the port is no number"),
            ("65536", "the port is no number"),
            ("+80", "the port is no number"),
            ("127.0.0.1:", "the port is no number"),
            (":80", "the address before the colon is missing"),
            ("::1:80", "an IPv6 address takes brackets"),
            ("[::1:80", "a bracket is missing"),
            ("[127.0.0.1%lo]:80", "a scope is for IPv6"),
            ("unix:", "the path of the socket is missing"),
            ("fd:2", "the descriptor is no number from 3 on"),
            ("fd:x", "the descriptor is no number from 3 on"),
            ("fd:99999999999", "the descriptor is no number from 3 on"),
        ] {
            let mistake = Address::parse(text).unwrap_err();
            assert!(mistake.contains(why), "{text}: {mistake}");
        }
        for scope in ["nosuch0", "../lo", ""] {
            let unknown = Address::parse(&format!("[fe80::1%{scope}]:80")).unwrap();
            let why = format!("there is no interface {scope}");
            assert!(matches!(&unknown[..], [Address::Unknown { why: it, .. }] if *it == why));
        }
        let unknown = Address::parse("no-such-name.invalid:80").unwrap();
        assert!(matches!(&unknown[..], [Address::Unknown { name, .. }] if name.ends_with(":80")));
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(Address::parse(&long).unwrap_err().contains("107 bytes"));
    }

    #[test]
    fn a_socket_of_an_earlier_run_is_replaced() {
        let dir = std::env::temp_dir().join(format!("ecohttpd-unix-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("s");
        let (first, file) = bind_unix(&path).unwrap();
        let taken = bind_unix(&path).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        drop(file);
        let (_second, file) = bind_unix(&path).unwrap();
        drop(file);
        assert!(!path.exists());
        // One that somebody else has put in its place stays; they differ as long as both are open.
        let (_third, file) = bind_unix(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let (_fourth, another) = bind_unix(&path).unwrap();
        drop(file);
        assert!(path.exists());
        drop(another);
        fs::write(dir.join("f"), "mine").unwrap();
        assert!(bind_unix(&dir.join("f")).unwrap_err().to_string().contains("unix:"));
        assert_eq!(fs::read(dir.join("f")).unwrap(), b"mine");
        fs::remove_dir_all(&dir).unwrap();
    }
}
