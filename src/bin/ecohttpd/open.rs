//! Files are opened by one call, where std has options for all systems.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::retry_on_intr;

/// Opens a file, and makes it with this mode if `flags` say so.
pub(crate) fn open(path: &Path, flags: OFlags, mode: u32) -> io::Result<File> {
    let flags = flags | OFlags::CLOEXEC | OFlags::LARGEFILE;
    let mode = Mode::from_raw_mode(mode);
    Ok(retry_on_intr(|| openat(CWD, path, flags, mode))?.into())
}
