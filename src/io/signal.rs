//! Signals, as something to wait for.

use std::io;

use super::reactor::Reactor;
use super::socket::Socket;
use super::sys;

/// A signal a server may want to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGHUP`
    Hangup,
    /// `SIGINT`
    Interrupt,
    /// `SIGTERM`
    Terminate,
    /// `SIGUSR1`
    User1,
    /// `SIGUSR2`
    User2,
}

impl Signal {
    const ALL: [Signal; 5] =
        [Signal::Hangup, Signal::Interrupt, Signal::Terminate, Signal::User1, Signal::User2];

    fn number(self) -> libc::c_int {
        match self {
            Signal::Hangup => libc::SIGHUP,
            Signal::Interrupt => libc::SIGINT,
            Signal::Terminate => libc::SIGTERM,
            Signal::User1 => libc::SIGUSR1,
            Signal::User2 => libc::SIGUSR2,
        }
    }
}

/// Signals of this process, heard by way of the reactor: no handler runs and no thread is needed.
///
/// They are blocked for this thread, and for those it starts, from here on. Make it before any
/// other thread. Child processes inherit that, and have to unblock them for what they run.
///
/// ```no_run
/// use ecohttpd::{Connection, Options, Request, Server, Signal, Signals};
/// use smol::future::FutureExt;
///
/// let server = Server::new(Options::default()).bind("127.0.0.1:8080".parse()?)?;
/// let signals = Signals::new(&[Signal::Terminate])?;
/// let handle = server.handle();
/// ecohttpd::block_on(async {
///     let drain = async {
///         signals.next().await?;
///         handle.drain();
///         std::future::pending().await
///     };
///     let serve = server.serve(async |con: &mut Connection, req: &mut Request| con.serve_file(req).await);
///     serve.or(drain).await
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Signals(Socket);

impl Signals {
    /// Begins to listen for `signals`.
    ///
    /// # Errors
    ///
    /// If there is no descriptor left.
    pub fn new(signals: &[Signal]) -> io::Result<Signals> {
        let numbers: Vec<_> = signals.iter().map(|signal| signal.number()).collect();
        let fd = sys::signal_descriptor(&numbers)?;
        Ok(Signals(Socket::adopt(&Reactor::current()?, fd)?))
    }

    /// Waits for the next one.
    ///
    /// # Errors
    ///
    /// If it cannot be read, which is not to be expected.
    pub async fn next(&self) -> io::Result<Signal> {
        loop {
            // A signalfd_siginfo, which begins with the number.
            let mut info = [0; 128];
            self.0.read(&mut info).await?;
            let number = info.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
            let known = Signal::ALL.iter().find(|signal| signal.number() as u32 == number);
            if let Some(signal) = known {
                return Ok(*signal);
            }
        }
    }
}
