//! Where the server listens, and what it goes on listening by.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use ecohttpd::Server;

use crate::address::{self, Address, Inherited, SocketFile};
use crate::args::Args;
use crate::certificate::Tls;

/// An address, and whether it is for HTTPS.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) at: Address,
    pub(crate) secure: bool,
}

impl Wanted {
    /// What there is to listen at, in the order of the options; with HTTPS, if that can be served.
    pub(crate) fn all(args: &Args, https: bool) -> Vec<Wanted> {
        let wanted = |secure| move |at: &Address| Wanted { at: at.clone(), secure };
        let all = args.http.iter().map(wanted(false)).chain(args.https.iter().map(wanted(true)));
        all.filter(|it| (https || !it.secure) && !it.at.is_superfluous()).collect()
    }
}

/// An address that is listened at.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) wanted: Wanted,
    /// Its port may be any that was free.
    pub(crate) at: Address,
    /// Its number among the sockets of the server.
    pub(crate) n: usize,
    /// Its number among those of the predecessor.
    pub(crate) kept: Option<usize>,
    /// What goes when nobody listens there any more.
    file: Option<Rc<SocketFile>>,
}

/// Has a server listen where it is wanted, as far as that can be had, by the sockets of its
/// predecessor where `old` has the address. With each address comes what became of it.
pub(crate) fn bind(
    server: &mut Server,
    wanted: Vec<Wanted>,
    tls: Option<&Tls>,
    old: &[Bound],
    inherited: &mut Inherited,
) -> Vec<(Wanted, io::Result<Bound>)> {
    let mut n = 0..;
    let mut bind = |wanted: &Wanted, old: Option<&Bound>| {
        let (at, file) = match old {
            Some(old) => {
                keep(server, old.n, tls.filter(|_| wanted.secure))?;
                (old.at.clone(), old.file.clone())
            }
            None => fresh(server, &wanted.at, tls.filter(|_| wanted.secure), inherited)?,
        };
        let n = n.next().unwrap_or_default();
        Ok(Bound { wanted: wanted.clone(), at, n, kept: old.map(|old| old.n), file })
    };
    let mut left: Vec<_> = old.iter().collect();
    let mut done: Vec<_> = wanted.into_iter().map(|wanted| (wanted, None)).collect();
    // First what stays as it is, then what becomes HTTPS or ceases to be it: what is left over is
    // not in the way of the others.
    for same in [true, false] {
        for (wanted, bound) in done.iter_mut().filter(|(_, bound)| bound.is_none()) {
            let is_it = |old: &&Bound| {
                old.wanted.at.is_same(&wanted.at) && (old.wanted.secure == wanted.secure || !same)
            };
            if let Some(i) = left.iter().position(is_it) {
                *bound = Some(bind(wanted, Some(left.remove(i))));
            }
        }
    }
    let all = done.into_iter().map(|(wanted, bound)| {
        let bound = bound.unwrap_or_else(|| bind(&wanted, None));
        (wanted, bound)
    });
    all.collect()
}

type Place = (Address, Option<Rc<SocketFile>>);

/// Listens at an address that was not listened at before.
fn fresh(
    server: &mut Server,
    at: &Address,
    tls: Option<&Tls>,
    inherited: &mut Inherited,
) -> io::Result<Place> {
    match at {
        Address::Tcp { at, .. } => {
            let at = match tls {
                #[cfg(feature = "tls")]
                Some(tls) => server.try_bind_tls(*at, tls)?,
                _ => server.try_bind(*at)?,
            };
            Ok((Address::Tcp { at, optional: false }, None))
        }
        _ => {
            let (fd, file) = socket(at, inherited)?;
            let adopted = match tls {
                #[cfg(feature = "tls")]
                Some(tls) => server.try_adopt_tls(fd, tls),
                _ => server.try_adopt(fd),
            };
            adopted.map_err(|e| io::Error::new(e.kind(), format!("{at}: {e}")))?;
            Ok((at.clone(), file.map(Rc::new)))
        }
    }
}

fn keep(server: &mut Server, n: usize, tls: Option<&Tls>) -> io::Result<()> {
    match tls {
        #[cfg(feature = "tls")]
        Some(tls) => server.try_keep_tls(n, tls),
        _ => server.try_keep(n),
    }
}

/// The listening socket at an address that is not one of TCP.
fn socket(at: &Address, inherited: &mut Inherited) -> io::Result<(OwnedFd, Option<SocketFile>)> {
    match at {
        Address::Unix(path) => {
            let (listener, file) = address::bind_unix(path)?;
            Ok((listener.into(), Some(file)))
        }
        Address::Descriptor(n) => Ok((inherited.take(*n)?, None)),
        Address::Unknown { why, .. } => {
            let why = format!("cannot listen on {at}: {why}");
            Err(io::Error::new(io::ErrorKind::AddrNotAvailable, why))
        }
        Address::Tcp { .. } => Err(io::ErrorKind::InvalidInput.into()),
    }
}
