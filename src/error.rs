//! What can go wrong, and which status answers it.

use std::{fmt, io};

use crate::Status;

/// What a handler, and every method of [`Connection`](crate::Connection), returns.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// Why an exchange could not be completed.
///
/// A handler returns it with `?`. While the response head is unsent the server answers with
/// [`status`](Error::status); after that, and where there is no such status, it closes the
/// connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The peer hung up, or the handler wants the connection closed.
    Closed,
    /// The peer was silent for too long.
    Timeout,
    /// The request ended before its body did.
    Truncated,
    /// The peer broke the protocol.
    Malformed(&'static str),
    /// Something the peer sent is larger than a limit.
    TooLarge(&'static str),
    /// The request is to be answered with this status, for this reason.
    Status(Status, &'static str),
    /// The response head is already on the wire, or the response is over.
    HeadSent,
    /// The handler asked for something that cannot be sent.
    Invalid(&'static str),
    /// A file, or whatever else the handler works with, failed.
    Io(io::Error),
    /// The connection failed.
    Network(io::Error),
}

impl Error {
    /// The status to answer with, where answering still makes sense.
    ///
    /// An [`Io`](Error::Io) error is 404 where a file is missing, 403 where it may not be read,
    /// 507 where the disk is full, 503 where descriptors or memory are, and 500 otherwise.
    pub fn status(&self) -> Option<Status> {
        Some(match self {
            Error::Malformed(_) | Error::Truncated => Status::BAD_REQUEST,
            Error::TooLarge(_) => Status::PAYLOAD_TOO_LARGE,
            Error::Timeout => Status::REQUEST_TIMEOUT,
            Error::Status(status, _) => *status,
            Error::Invalid(_) => Status::INTERNAL_SERVER_ERROR,
            Error::Io(e) => io_status(e),
            Error::Closed | Error::HeadSent | Error::Network(_) => return None,
        })
    }
}

fn io_status(e: &io::Error) -> Status {
    use rustix::io::Errno;
    match (e.kind(), Errno::from_io_error(e)) {
        (_, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => Status::SERVICE_UNAVAILABLE,
        (io::ErrorKind::NotFound, _) | (_, Some(Errno::NOTDIR | Errno::NAMETOOLONG)) => {
            Status::NOT_FOUND
        }
        (io::ErrorKind::PermissionDenied, _) | (_, Some(Errno::LOOP | Errno::NXIO)) => {
            Status::FORBIDDEN
        }
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => {
            Status::INSUFFICIENT_STORAGE
        }
        _ => Status::INTERNAL_SERVER_ERROR,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Closed => f.write_str("connection closed"),
            Error::Timeout => f.write_str("timed out"),
            Error::Truncated => f.write_str("request body cut short"),
            Error::Malformed(what) => write!(f, "malformed {what}"),
            Error::TooLarge(what) => write!(f, "{what} too large"),
            Error::Status(status, what) => write!(f, "{status}: {what}"),
            Error::HeadSent => f.write_str("response head already sent"),
            Error::Invalid(what) => write!(f, "cannot send {what}"),
            Error::Io(e) => e.fmt(f),
            Error::Network(e) => write!(f, "connection: {e}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(e) | Error::Network(e) => Some(e),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        Error::Io(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_status_that_names_them() {
        let io = |kind: io::ErrorKind| Error::Io(kind.into()).status();
        assert_eq!(io(io::ErrorKind::NotFound), Some(Status::NOT_FOUND));
        assert_eq!(io(io::ErrorKind::PermissionDenied), Some(Status::FORBIDDEN));
        assert_eq!(io(io::ErrorKind::StorageFull), Some(Status::INSUFFICIENT_STORAGE));
        assert_eq!(io(io::ErrorKind::Other), Some(Status::INTERNAL_SERVER_ERROR));
        let errno = |n: i32| Error::Io(io::Error::from_raw_os_error(n)).status();
        assert_eq!(errno(libc::EMFILE), Some(Status::SERVICE_UNAVAILABLE));
        assert_eq!(errno(libc::ENOTDIR), Some(Status::NOT_FOUND));
        assert_eq!(errno(libc::ELOOP), Some(Status::FORBIDDEN));
        assert_eq!(Error::Closed.status(), None);
        assert_eq!(Error::HeadSent.status(), None);
        assert_eq!(Error::Truncated.status(), Some(Status::BAD_REQUEST));
    }
}
