//! An HTTP/1.1 and HTTPS server for routers.
//!
//! The API is that of lua-eco's `eco.http.server`: [`listen`] with a handler, which gets a
//! [`Connection`] and a [`Request`] for every request. Everything runs on one thread, in fixed small
//! buffers, so that neither a body of 4 GB nor a hundred idle browsers costs memory that a router
//! does not have.
//!
//! ```no_run
//! use ecohttpd::{Connection, Options, Request, Result, listen};
//!
//! async fn handler(con: &mut Connection, req: &mut Request) -> Result {
//!     match req.path() {
//!         "/hello" => {
//!             con.add_header("Content-Type", "text/html")?;
//!             con.send(("<h1>Hello, ", con.remote_addr().to_string(), "</h1>\n")).await
//!         }
//!         _ => con.serve_file(req).await,
//!     }
//! }
//!
//! let options = Options { docroot: "/www".into(), ..Options::default() };
//! ecohttpd::block_on(listen(None, 8080, options, handler))?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Running it
//!
//! [`block_on`] waits in the very epoll that tells of the sockets, and costs the fewest system
//! calls. Under `smol::block_on`, or any executor that polls `async-io`, the same servers run beside
//! everything else there. Handlers are not `Send` and need not be; nothing is locked.
//!
//! # Implementation
//!
//! Floors, each using only those before it:
//!
//! * `wire`: bytes in, meaning out. Pure and synchronous; knows no socket.
//! * `io`: sockets, files, buffers and time. Knows no HTTP.
//! * [`Request`], [`Connection`], [`Server`]: the two put together.
//!
//! A helper thread starts only when a file that is not in the page cache has to be fetched from its
//! disk, so that the disk keeps nobody else waiting, and ends a few seconds after the last of them.
//!
//! # Features
//!
//! * `tls` (on): HTTPS by rustls with ring.
//! * `gzip` (on): [`Options::gzip`].
//! * `async-io` (on): servers under other executors than [`block_on`].

mod accept;
mod cache;
mod connection;
mod error;
mod exchange;
mod failure;
mod fields;
mod file;
mod find;
mod form;
mod frame;
#[cfg(feature = "gzip")]
mod gzip;
mod io;
mod kept;
mod link;
mod options;
mod peer;
mod rare;
mod receive;
mod request;
mod response;
mod send;
mod server;
mod shared;
mod successor;
mod timer;
mod transfer;
mod wire;

pub use connection::Connection;
pub use error::{Error, Result};
pub use exchange::Access;
pub use find::OpenFile;
pub use form::FormEvent;
pub use io::descriptor::Descriptor;
pub use io::drive::block_on;
pub use io::helper::unblock;
pub use io::signal::{Signal, Signals};
pub use io::sleeper::until_woken;
#[cfg(feature = "tls")]
pub use io::tls::Tls;
pub use options::Options;
pub use request::Request;
pub use send::Content;
pub use server::{Handle, Server, listen};
pub use timer::Timer;
pub use wire::param::param;
pub use wire::status::Status;
