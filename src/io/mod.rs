//! Sockets, files, buffers and time; nothing here knows HTTP.
//!
//! The only place that names epoll, async-io and socket options.

pub(crate) mod buffer;
pub(crate) mod clock;
pub(crate) mod descriptor;
pub(crate) mod drive;
pub(crate) mod file;
pub(crate) mod helper;
pub(crate) mod listen;
#[cfg(feature = "tls")]
mod provider;
pub(crate) mod reactor;
pub(crate) mod signal;
pub(crate) mod sleeper;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod sys;
#[cfg(feature = "tls")]
pub(crate) mod tls;
