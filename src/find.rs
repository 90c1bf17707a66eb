//! Which file answers a request, and in what form.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::cache::{At, Held};
use crate::io::file;
use crate::wire::coding::{Accepted, Coding};
use crate::wire::mime::{self, Kind};
use crate::{Connection, Request};

/// A file or directory, opened without keeping anybody waiting, and what it was then.
///
/// It comes from [`Connection::open`](crate::Connection::open), and is what
/// [`Connection::serve_open`](crate::Connection::serve_open) serves.
#[derive(Clone, Debug)]
pub struct OpenFile {
    pub(crate) held: Rc<Held>,
    /// It is the `.gz` of a file that is not there.
    #[cfg(feature = "gzip")]
    packed: bool,
}

impl OpenFile {
    /// Opens what is at `path`, whatever the options say, without keeping anybody waiting.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub async fn open(path: impl Into<PathBuf>) -> io::Result<OpenFile> {
        let path = path.into();
        let file = file::open(&path).await?;
        let meta = file.metadata()?;
        Ok(Rc::new(Held::new(path, file, meta, false)).into())
    }

    /// Where it was found; without the `.gz` of a file that is stored as such only.
    pub fn path(&self) -> &Path {
        let path = self.held.path.as_os_str().as_bytes();
        let suffix = if self.is_packed() { Coding::Gzip.suffix() } else { "" };
        Path::new(OsStr::from_bytes(path.strip_suffix(suffix.as_bytes()).unwrap_or(path)))
    }

    /// What it was when it was last looked at.
    pub fn metadata(&self) -> &Metadata {
        &self.held.meta
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.held.meta.is_dir()
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.held.meta.is_file()
    }

    /// Whether it is the `.gz` of a file that is not there.
    pub fn is_packed(&self) -> bool {
        #[cfg(feature = "gzip")]
        return self.packed;
        #[cfg(not(feature = "gzip"))]
        false
    }

    /// Makes it likely that its first page can be read without waiting, which is what running it
    /// begins with.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub async fn prefetch(&self) -> io::Result<()> {
        file::prepare(&self.held.file, 0, 1).await
    }

    pub(crate) fn size(&self) -> u64 {
        self.held.meta.len()
    }

    /// Seconds since 1970, none before that.
    pub(crate) fn modified(&self) -> u64 {
        self.held.meta.mtime().try_into().unwrap_or(0)
    }
}

impl From<Rc<Held>> for OpenFile {
    fn from(held: Rc<Held>) -> OpenFile {
        OpenFile {
            held,
            #[cfg(feature = "gzip")]
            packed: false,
        }
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
    pub(crate) opened: OpenFile,
    pub(crate) kind: Kind,
    pub(crate) coding: Option<Coding>,
    pub(crate) transfer: Transfer,
}

/// In what form `opened` is sent, which is a regular file.
pub(crate) async fn represent(
    con: &Connection,
    req: &Request,
    opened: OpenFile,
    confined: bool,
) -> io::Result<Box<Representation>> {
    let opened = regular(opened)?;
    let kind = mime::kind(opened.path().as_os_str().as_bytes());
    let mut accepted = Accepted::default();
    match kind.packed {
        // Nobody looks for what would not be sent.
        true => opened.held.set_lacks(Coding::SET),
        false => accepted = req.codings(),
    }
    #[cfg(feature = "gzip")]
    if opened.packed {
        let (coding, transfer) = match accepted.prefers(Coding::Gzip) {
            true => (Some(Coding::Gzip), Transfer::Plain),
            false => (None, Transfer::Inflate),
        };
        return Ok(Box::new(Representation { opened, kind, coding, transfer }));
    }
    for coding in accepted.preferred() {
        if opened.held.lacks(coding.bit()) {
            continue;
        }
        let path = with_suffix(&opened.held.path, coding);
        let sibling = match open_plain(con, At::of(&path), confined).await {
            Ok(sibling) => sibling,
            Err(e) => {
                if e.kind() == io::ErrorKind::NotFound && con.options.file_cache > 0 {
                    opened.held.set_lacks(coding.bit());
                }
                continue;
            }
        };
        // Who may read the file may not be able to read this one.
        let withheld = opened.metadata().mode() & !sibling.metadata().mode() & 0o444;
        // An older one is of an earlier version of the file. By whole seconds, since copying a
        // directory may well make the sibling first.
        let late = sibling.metadata().mtime() >= opened.metadata().mtime();
        if sibling.is_file() && withheld == 0 && late {
            let (coding, transfer) = (Some(coding), Transfer::Plain);
            return Ok(Box::new(Representation { opened: sibling, kind, coding, transfer }));
        }
    }
    #[cfg(feature = "gzip")]
    let transfer = crate::gzip::transfer(con, req, kind, accepted, opened.size());
    #[cfg(not(feature = "gzip"))]
    let transfer = Transfer::Plain;
    Ok(Box::new(Representation { opened, kind, coding: None, transfer }))
}

/// Whether `opened` has just been found to have no other form that this request could be answered with.
#[cfg_attr(not(feature = "gzip"), expect(unused_variables, reason = "nothing is made on the way"))]
pub(crate) fn is_only_form(con: &Connection, req: &Request, opened: &OpenFile) -> bool {
    if !req.may_want_coding() {
        return true;
    }
    // One may be made on the way.
    #[cfg(feature = "gzip")]
    if con.options.gzip {
        return false;
    }
    // Most have no sibling at all, and then what is asked for need not be read.
    opened.held.lacks(Coding::SET) || opened.held.lacks(req.codings().set())
}

fn with_suffix(path: &Path, coding: Coding) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(coding.suffix());
    path.into()
}

fn regular(opened: OpenFile) -> io::Result<OpenFile> {
    match opened.is_file() {
        true => Ok(opened),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Opens a regular file of a handler's.
pub(crate) async fn open_regular(con: &Connection, path: &Path) -> io::Result<OpenFile> {
    regular(open_plain(con, At::of(path), false).await?)
}

/// Opens what is at `path`, or the `.gz` of it where that is all there is and can be inflated. If
/// `confined`, the option about symbolic links applies.
pub(crate) async fn open(con: &Connection, path: At<'_>, confined: bool) -> io::Result<OpenFile> {
    let confined = confined && con.options.no_symlinks;
    let missing = match open_plain(con, path, confined).await {
        Err(e) if e.kind() == io::ErrorKind::NotFound => e,
        done => return done,
    };
    #[cfg(feature = "gzip")]
    if con.options.gzip {
        let path = path.path();
        if mime::kind(path.as_os_str().as_bytes()).packed {
            return Err(missing);
        }
        match open_plain(con, At::of(&with_suffix(&path, Coding::Gzip)), confined).await {
            Ok(opened) if opened.is_file() => {
                return Ok(OpenFile { packed: true, ..opened });
            }
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Err(missing)
}

async fn open_plain(con: &Connection, path: At<'_>, confined: bool) -> io::Result<OpenFile> {
    let (cache, now) = (&con.shared.cache, con.shared.clock.beats());
    if let Some(held) = cache.find(path, confined, con.options.file_cache > 0, now) {
        return Ok(held.into());
    }
    Box::pin(open_anew(con, path.path(), confined)).await
}

async fn open_anew(con: &Connection, path: PathBuf, confined: bool) -> io::Result<OpenFile> {
    let file = file::open(&path).await?;
    let meta = file.metadata()?;
    // Looked at once it is open, so that no link can be put in its way between the two.
    if confined {
        let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        if !con.shared.is_in_docroot(&real, &con.options.docroot) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    let held = Rc::new(Held::new(path, file, meta, confined));
    // What was found by options that count no more is no proof for those that do.
    if con.shared.is_current(&con.options) {
        con.shared.cache.keep(&held, con.shared.clock.beats());
    }
    Ok(held.into())
}
