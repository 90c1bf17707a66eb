//! A chunked body on its way into a file, since a script has to be told its length beforehand.

use std::env::temp_dir;
use std::fs::File;
use std::io::{self, Seek, Write};

use ecohttpd::{Connection, Error, Result, Status, unblock};
use rustix::fs::OFlags;

use crate::open::open;
use crate::sys;

/// What is gathered before it is written.
const BATCH: usize = 1 << 16;

/// Stores the body of the request in a file without a name; also its length.
///
/// # Errors
///
/// [`Error::TooLarge`] beyond `limit`, which is answered with 413; with a limit of 0 it is 411.
pub(crate) async fn store(con: &mut Connection, limit: u64) -> Result<(File, u64)> {
    if limit == 0 {
        return Err(Error::Status(Status::LENGTH_REQUIRED, "chunked request body for a script"));
    }
    let mut file = None;
    let mut batch = Vec::new();
    let mut length = 0;
    loop {
        let piece = con.read_body().await?;
        let last = piece.is_empty();
        length += piece.len() as u64;
        if length > limit {
            return Err(Error::TooLarge("chunked request body for a script"));
        }
        batch.extend_from_slice(piece);
        if !last && batch.len() < BATCH {
            continue;
        }
        let bytes = std::mem::take(&mut batch);
        let written = unblock(move || {
            let mut file = match file {
                Some(file) => file,
                None => nameless()?,
            };
            file.write_all(&bytes)?;
            if last {
                file.rewind()?;
            }
            Ok(file)
        });
        let written = written.await?;
        if last {
            return Ok((written, length));
        }
        file = Some(written);
    }
}

/// Where such files are.
pub(crate) fn dir() -> String {
    temp_dir().display().to_string()
}

/// A file that is gone with its last descriptor.
fn nameless() -> io::Result<File> {
    let dir = temp_dir();
    match open(&dir, OFlags::RDWR | OFlags::TMPFILE, 0o600) {
        // Not every file system has such files.
        Err(e)
            if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT)) => {
        }
        done => return done,
    }
    let mut random = [0; 8];
    sys::random(&mut random)?;
    let path = dir.join(format!("ecohttpd-{:016x}", u64::from_ne_bytes(random)));
    let file = open(&path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, 0o600)?;
    std::fs::remove_file(path)?;
    Ok(file)
}
