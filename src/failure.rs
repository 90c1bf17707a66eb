//! I/O errors that say something.

use std::{error, fmt, io};

/// An I/O error of that kind, which says `why`.
///
/// std's own for a text has with it all that shows a text in quotes, which is 3 KB in a small program.
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
