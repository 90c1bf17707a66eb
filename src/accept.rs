//! Accepting connections: the next one, and room for it.

use std::cell::Cell;
#[cfg(feature = "tls")]
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use rustix::io::Errno;

#[cfg(feature = "tls")]
use crate::Error;
#[cfg(feature = "tls")]
use crate::connection::FRESH;
use crate::io::clock::Watch;
use crate::io::listen;
use crate::io::socket::Socket;
use crate::io::stream::Stream;
#[cfg(feature = "tls")]
use crate::io::tls::Acceptor;
use crate::shared::{Place, Shared};
use crate::{Connection, Result};

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: Rc<Socket>,
    pub(crate) gate: Rc<Gate>,
}

/// What connections know of where they came in.
#[derive(Debug)]
pub(crate) struct Gate {
    closed: Cell<bool>,
    /// What makes TLS sessions of them.
    #[cfg(feature = "tls")]
    pub(crate) acceptor: Option<RefCell<Acceptor>>,
}

impl Gate {
    pub(crate) fn plain() -> Gate {
        Gate {
            closed: Cell::new(false),
            #[cfg(feature = "tls")]
            acceptor: None,
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn tls(acceptor: Acceptor) -> Gate {
        Gate { closed: Cell::new(false), acceptor: Some(acceptor.into()) }
    }

    /// Whether nobody comes in here any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(crate) fn close(&self) {
        self.closed.set(true);
    }

    /// Goes on as `new`, if that is for the same; whether it is.
    pub(crate) fn renew(&self, new: &Gate) -> bool {
        #[cfg(feature = "tls")]
        match (&self.acceptor, &new.acceptor) {
            (Some(old), Some(new)) => old.swap(new),
            (None, None) => {}
            _ => return false,
        }
        let _ = new;
        true
    }
}

/// A connection, and where it came in.
pub(crate) type Accepted = (Rc<Gate>, Socket, SocketAddr);

/// Makes a connection of what was accepted; the handshake of TLS has to be over before its deadline.
pub(crate) async fn open((gate, socket, peer): Accepted, place: Place) -> Result<Connection> {
    let stream = stream(&gate, socket, &place).await?;
    Ok(Connection::new(stream, peer, gate, place))
}

async fn stream(gate: &Gate, socket: Socket, shared: &Shared) -> Result<Stream> {
    #[cfg(feature = "tls")]
    if let Some(acceptor) = &gate.acceptor {
        let watch = Watch::new(shared.clock.clone());
        let secs = shared.options().head_timeout;
        // Who says nothing can be made to go for lack of room; who has begun cannot.
        let begun = poll_fn(|cx| socket.poll_readable(cx));
        watch.idle(secs, FRESH, begun).await?;
        let acceptor = acceptor.borrow().clone();
        let handshake = Box::pin(acceptor.accept(socket));
        return watch.within(secs, handshake).await?.map_err(Error::Network);
    }
    let _ = (gate, shared);
    Ok(Stream::Plain(socket))
}

/// The next connection to serve, once there is a place for it; nothing once drained.
pub(crate) async fn next(shared: &Shared) -> io::Result<Option<Accepted>> {
    loop {
        let accepted = poll_fn(|cx| {
            *shared.waiting.borrow_mut() = Some(cx.waker().clone());
            if shared.is_draining() {
                return Poll::Ready(Ok(None));
            }
            if let Some(late) = shared.late.borrow_mut().pop() {
                return Poll::Ready(Ok(Some(late)));
            }
            for Listener { socket, gate } in shared.listeners.borrow().iter() {
                if let Poll::Ready(accepted) = socket.poll_accept(cx) {
                    return Poll::Ready(accepted.map(|(it, peer)| Some((gate.clone(), it, peer))));
                }
            }
            Poll::Pending
        });
        match accepted.await {
            Ok(Some(next)) => return Ok(room(shared).await.then_some(next)),
            Ok(None) => return Ok(None),
            Err(e) => match Errno::from_io_error(&e) {
                Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => return Err(e),
                // The trouble of that connection alone; accept(2) names these.
                Some(
                    Errno::CONNABORTED
                    | Errno::PROTO
                    | Errno::PERM
                    | Errno::NETDOWN
                    | Errno::NETUNREACH
                    | Errno::HOSTDOWN
                    | Errno::HOSTUNREACH
                    | Errno::NONET
                    | Errno::NOPROTOOPT
                    | Errno::OPNOTSUPP
                    | Errno::TIMEDOUT,
                ) => {}
                // Too few descriptors or too little memory, or something worse.
                _ => shortage(shared).await,
            },
        }
    }
}

/// Waits for a place, for which whoever has been idle for longest has to go; whether there is one.
async fn room(shared: &Shared) -> bool {
    let limit = listen::most_connections();
    let watch = Watch::new(shared.clock.clone());
    let mut place = pin!(poll_fn(|cx| {
        *shared.waiting.borrow_mut() = Some(cx.waker().clone());
        if shared.is_draining() {
            return Poll::Ready(false);
        }
        if shared.active.get() < shared.options().max_connections.min(limit).max(1) {
            return Poll::Ready(true);
        }
        shared.crowded.set(true);
        shared.clock.evict();
        Poll::Pending
    }));
    // Asked again at every tick, for some are spared for a while.
    let placed = loop {
        if let Ok(placed) = watch.within(0, place.as_mut()).await {
            break placed;
        }
    };
    shared.crowded.set(false);
    placed
}

/// Waits until there may be descriptors and memory again. Those in the backlog are no news, so it
/// is up to us to ask again: when somebody has gone, or in a second.
async fn shortage(shared: &Shared) {
    let active = shared.active.get();
    shared.short.set(true);
    shared.cache.clear();
    shared.clock.evict();
    let freed = poll_fn(|cx| {
        *shared.waiting.borrow_mut() = Some(cx.waker().clone());
        let freed = shared.active.get() < active || shared.is_draining();
        if freed { Poll::Ready(()) } else { Poll::Pending }
    });
    let _ = Watch::new(shared.clock.clone()).within(0, freed).await;
    shared.short.set(false);
}

/// Waits until the last connection has ended, but not for ever.
pub(crate) async fn all_gone(shared: &Shared) {
    let gone = poll_fn(|cx| {
        *shared.waiting.borrow_mut() = Some(cx.waker().clone());
        if shared.active.get() == 0 { Poll::Ready(()) } else { Poll::Pending }
    });
    match shared.options().drain_timeout {
        0 => gone.await,
        secs => {
            let _ = Watch::new(shared.clock.clone()).within(secs, gone).await;
        }
    }
}
