//! I/O errors that say something. The launcher has this file for a module of its own, too.

use std::{error, fmt, io};

/// An I/O error of that kind, which says `why`.
///
/// std's own brings with it all that shows a text in quotes, which is 4.5 KB of a small program.
pub(crate) fn failure(kind: io::ErrorKind, why: impl Into<String>) -> io::Error {
    io::Error::new(kind, Failure(why.into()))
}

struct Failure(String);

impl error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
