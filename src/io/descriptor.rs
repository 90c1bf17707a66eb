//! Descriptors of a handler's own, waited for like everything else.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::reactor::Reactor;
use super::socket::Socket;

/// A descriptor that keeps nobody waiting: an end of a pipe, a Unix socket, a pidfd.
///
/// One task at a time can wait to read, and one to write. Whoever is at the other end of a pipe is
/// not affected.
///
/// ```no_run
/// use std::process::{Command, Stdio};
///
/// use ecohttpd::{Connection, Descriptor, Result};
///
/// async fn uptime(con: &mut Connection) -> Result {
///     let mut child = Command::new("uptime").stdout(Stdio::piped()).spawn()?;
///     if let Some(pipe) = child.stdout.take() {
///         let (pipe, mut buf) = (Descriptor::new(pipe)?, [0; 256]);
///         while let n @ 1.. = pipe.read(&mut buf).await? {
///             con.send(buf.get(..n).unwrap_or(&[])).await?;
///         }
///     }
///     child.wait()?; // it has ended, or is about to
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Descriptor(Socket);

impl Descriptor {
    /// Makes the descriptor non-blocking and begins to watch it.
    ///
    /// # Errors
    ///
    /// If it cannot be watched, as a regular file cannot.
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<Descriptor> {
        let fd = fd.into();
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Descriptor(Socket::adopt(&Reactor::current()?, fd)?))
    }

    /// Waits until there may be something to read, or the other end is closed.
    pub async fn readable(&self) {
        poll_fn(|cx| self.0.poll_readable(cx)).await;
    }

    /// Reads what is there, and waits only for the first of it; nothing at the end.
    ///
    /// # Errors
    ///
    /// Those of `read(2)`.
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).await
    }

    /// Reads what is there without waiting.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) where that is nothing, and those of `read(2)`.
    pub fn read_now(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_now(buf)
    }

    /// Writes some of `bytes`, as soon as there is room for any.
    ///
    /// # Errors
    ///
    /// Those of `write(2)`; [`BrokenPipe`](io::ErrorKind::BrokenPipe) where nobody reads any more.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.0.poll_write_bytes(cx, bytes)).await
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
