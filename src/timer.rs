//! Deadlines for what a handler waits for.

use std::pin::pin;

use crate::Result;
use crate::io::clock::Watch;

/// A deadline on the server's clock, which costs no system call to set.
///
/// The clock ticks once a second: deadlines come up to a second late, and never early.
///
/// ```
/// # use ecohttpd::{Connection, Descriptor, Result};
/// async fn line(con: &mut Connection, pipe: &Descriptor) -> Result<usize> {
///     let mut buf = [0; 512];
///     Ok(con.timer().within(10, pipe.read(&mut buf)).await??)
/// }
/// ```
#[derive(Debug)]
pub struct Timer(pub(crate) Watch);

impl Timer {
    /// Waits for `future`, but not much longer than `secs` seconds.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`](crate::Error::Timeout).
    pub async fn within<T>(&self, secs: u32, future: impl Future<Output = T>) -> Result<T> {
        self.0.within(secs, pin!(future)).await
    }

    /// Sets the deadline for [`until`](Self::until): `secs` seconds from now.
    pub fn set(&self, secs: u32) {
        self.0.arm(secs);
    }

    /// Waits for `future`, but not past the deadline that was set.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`](crate::Error::Timeout).
    pub async fn until<T>(&self, future: impl Future<Output = T>) -> Result<T> {
        self.0.until(pin!(future)).await
    }
}
