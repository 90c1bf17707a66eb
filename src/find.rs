//! Which file answers a request, and in what form.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Request;
use crate::io::file;
use crate::shared::Shared;
use crate::wire::coding::{Accepted, Coding};
use crate::wire::mime::{self, Kind};

/// An open file and what it was when it was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    meta: Metadata,
}

impl Opened {
    pub(crate) fn size(&self) -> u64 {
        self.meta.len()
    }

    /// Seconds since 1970, none before that.
    pub(crate) fn modified(&self) -> u64 {
        self.meta.mtime().try_into().unwrap_or(0)
    }

    /// When it was modified, in nanoseconds since 1970.
    fn time(&self) -> i128 {
        i128::from(self.meta.mtime()) * 1_000_000_000 + i128::from(self.meta.mtime_nsec())
    }

    /// inode-size-mtime, as uhttpd's, the time to the nanosecond.
    pub(crate) fn etag(&self, weak: bool) -> String {
        let (inode, size, time) = (self.meta.ino(), self.size(), self.time());
        format!("{}\"{inode:x}-{size:x}-{time:x}\"", if weak { "W/" } else { "" })
    }
}

/// How what is stored becomes what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// As it is.
    Plain,
    /// It may be compressed on its way.
    #[cfg(feature = "gzip")]
    Deflate,
    /// It is stored compressed, for a client that does not take that.
    #[cfg(feature = "gzip")]
    Inflate,
}

/// A file in the form in which it is sent.
#[derive(Debug)]
pub(crate) struct Representation {
    pub(crate) opened: Opened,
    pub(crate) kind: Kind,
    pub(crate) coding: Option<Coding>,
    pub(crate) transfer: Transfer,
}

pub(crate) enum Found {
    File(Box<Representation>),
    /// A directory that was asked for without its slash.
    Directory,
}

/// Finds the file at `path`, or the index file if that ends with a slash. If `confined`, the
/// option about symbolic links applies.
pub(crate) async fn find(
    shared: &Shared,
    req: &Request,
    path: &Path,
    confined: bool,
) -> io::Result<Found> {
    let options = &shared.options;
    let confined = confined && options.no_symlinks;
    let slash = path.as_os_str().as_bytes().ends_with(b"/");
    let target = if slash { path.join(&options.index) } else { path.to_owned() };
    let kind = mime::kind(target.as_os_str().as_bytes());
    let mut accepted = Accepted::default();
    if !kind.packed {
        req.header_all("accept-encoding").for_each(|value| accepted.add(value));
    }
    let opened = match open(shared, &target, confined).await {
        Ok(opened) if opened.meta.is_dir() && !slash => return Ok(Found::Directory),
        Ok(opened) => regular(opened)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            #[cfg(feature = "gzip")]
            if let Some(it) = only_gzip(shared, &target, kind, accepted, confined).await? {
                return Ok(Found::File(Box::new(it)));
            }
            // A directory without an index is there, but not to be looked into.
            let forbidden = slash && open(shared, path, confined).await.is_ok();
            return Err(if forbidden { io::ErrorKind::PermissionDenied.into() } else { e });
        }
        Err(e) => return Err(e),
    };
    for coding in accepted.preferred() {
        let Ok(sibling) = open(shared, &with_suffix(&target, coding), confined).await else {
            continue;
        };
        // An older one is of an earlier version of the file. By whole seconds, since copying a
        // directory may well make the sibling first.
        if sibling.meta.is_file() && sibling.meta.mtime() >= opened.meta.mtime() {
            let (coding, transfer) = (Some(coding), Transfer::Plain);
            return Ok(Found::File(Box::new(Representation {
                opened: sibling,
                kind,
                coding,
                transfer,
            })));
        }
    }
    #[cfg(feature = "gzip")]
    let transfer = crate::gzip::transfer(shared, req, kind, accepted, opened.size());
    #[cfg(not(feature = "gzip"))]
    let transfer = Transfer::Plain;
    Ok(Found::File(Box::new(Representation { opened, kind, coding: None, transfer })))
}

/// A file that is stored as `.gz` and in no other form.
#[cfg(feature = "gzip")]
async fn only_gzip(
    shared: &Shared,
    target: &Path,
    kind: Kind,
    accepted: Accepted,
    confined: bool,
) -> io::Result<Option<Representation>> {
    if !shared.options.gzip || kind.packed {
        return Ok(None);
    }
    match open(shared, &with_suffix(target, Coding::Gzip), confined).await {
        Ok(opened) if opened.meta.is_file() => {
            let (coding, transfer) = match accepted.prefers(Coding::Gzip) {
                true => (Some(Coding::Gzip), Transfer::Plain),
                false => (None, Transfer::Inflate),
            };
            Ok(Some(Representation { opened, kind, coding, transfer }))
        }
        Ok(_) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn with_suffix(path: &Path, coding: Coding) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(coding.suffix());
    path.into()
}

fn regular(opened: Opened) -> io::Result<Opened> {
    match opened.meta.is_file() {
        true => Ok(opened),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Opens a regular file of a handler's.
pub(crate) async fn open_regular(path: &Path) -> io::Result<Opened> {
    let file = file::open(path).await?;
    regular(Opened { meta: file.metadata()?, file })
}

async fn open(shared: &Shared, path: &Path, confined: bool) -> io::Result<Opened> {
    let file = file::open(path).await?;
    // Looked at once it is open, so that no link can be put in its way between the two.
    if confined {
        let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        if !shared.is_in_docroot(&real) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    Ok(Opened { meta: file.metadata()?, file })
}
