//! Where the server listens, and what it goes on listening by.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use ecohttpd::Server;

use crate::address::{self, Address, Inherited, SocketFile};
use crate::args::Args;
use crate::certificate::Tls;
use crate::failure::failure;

/// An address that is listened at.
pub(crate) struct Bound {
    /// As it was asked for.
    pub(crate) wanted: Address,
    pub(crate) secure: bool,
    /// Its port may be any that was free.
    pub(crate) at: Address,
    /// Its number among the sockets of the server.
    pub(crate) n: usize,
    /// Its number among those of the predecessor.
    pub(crate) kept: Option<usize>,
    /// What goes when nobody listens there any more.
    file: Option<Rc<SocketFile>>,
}

/// Has a server listen where `args` say, with HTTPS if there is a certificate, by the sockets of its
/// predecessor where `old` has the address. Of all others `said` hears what became of them, in the
/// order of the options.
pub(crate) fn bind(
    server: &mut Server,
    args: &Args,
    tls: Option<&Tls>,
    old: &[Bound],
    inherited: &mut Inherited,
    said: &mut dyn FnMut(&Address, io::Result<&Bound>),
) -> Vec<Bound> {
    let mut bound: Vec<Bound> = Vec::new();
    let mut left: Vec<Option<(&Address, bool)>> = Vec::new();
    for at in &args.http {
        left.push(Some((at, false)));
    }
    for at in args.https.iter().filter(|_| tls.is_some()) {
        left.push(Some((at, true)));
    }
    for turn in [Turn::Same, Turn::Changed, Turn::New] {
        for place in &mut left {
            let Some((at, secure)) = *place else {
                continue;
            };
            let tls = tls.filter(|_| secure);
            let kept = old.iter().find(|old| {
                turn != Turn::New
                    && old.wanted.is_same(at)
                    && (old.secure == secure || turn == Turn::Changed)
                    && bound.iter().all(|it| it.kept != Some(old.n))
            });
            let done = match kept {
                Some(old) => keep(server, old, tls),
                None if turn != Turn::New || at.is_superfluous() => continue,
                None => fresh(server, at, tls, inherited),
            };
            *place = None;
            match done {
                Ok((now, file)) => {
                    let (wanted, n, kept) = (at.clone(), bound.len(), kept.map(|old| old.n));
                    let new = Bound { wanted, secure, at: now, n, kept, file };
                    if kept.is_none() {
                        said(at, Ok(&new));
                    }
                    bound.push(new);
                }
                Err(e) => said(at, Err(e)),
            }
        }
    }
    bound
}

/// Which addresses are had first: what is left over of the old ones is not in the way of the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// What stays as it is.
    Same,
    /// What becomes HTTPS, or ceases to be it.
    Changed,
    New,
}

type Place = (Address, Option<Rc<SocketFile>>);

/// Goes on listening at an address.
fn keep(server: &mut Server, old: &Bound, tls: Option<&Tls>) -> io::Result<Place> {
    match tls {
        #[cfg(feature = "tls")]
        Some(tls) => server.try_keep_tls(old.n, tls)?,
        _ => server.try_keep(old.n)?,
    }
    Ok((old.at.clone(), old.file.clone()))
}

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
            adopted.map_err(|e| failure(e.kind(), format!("{at}: {e}")))?;
            Ok((at.clone(), file.map(Rc::new)))
        }
    }
}

/// The listening socket at an address that is not one of TCP.
fn socket(at: &Address, inherited: &mut Inherited) -> io::Result<(OwnedFd, Option<SocketFile>)> {
    match at {
        Address::Unix(path) => {
            let (listener, file) = address::bind_unix(path)?;
            Ok((listener, Some(file)))
        }
        Address::Descriptor(n) => Ok((inherited.take(*n)?, None)),
        Address::Unknown { why, .. } => {
            let why = format!("cannot listen on {at}: {why}");
            Err(failure(io::ErrorKind::AddrNotAvailable, why))
        }
        Address::Tcp { .. } => Err(io::ErrorKind::InvalidInput.into()),
    }
}
