//! Accepting connections: the next one, and room for it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
#[cfg(feature = "tls")]
use std::{cell::RefCell, rc::Rc};

use rustix::io::Errno;

#[cfg(feature = "tls")]
use crate::Error;
use crate::Result;
#[cfg(feature = "tls")]
use crate::connection::FRESH;
use crate::io::clock::Watch;
use crate::io::listen;
use crate::io::socket::Socket;
use crate::io::stream::Stream;
#[cfg(feature = "tls")]
use crate::io::tls::Acceptor;
use crate::shared::Shared;

/// A listening socket, and what makes TLS sessions of its connections.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: Socket,
    #[cfg(feature = "tls")]
    pub(crate) acceptor: Option<Rc<RefCell<Acceptor>>>,
}

#[cfg(feature = "tls")]
pub(crate) type MaybeTls = Option<Rc<RefCell<Acceptor>>>;
#[cfg(not(feature = "tls"))]
pub(crate) type MaybeTls = ();

impl Listener {
    fn acceptor(&self) -> MaybeTls {
        #[cfg(feature = "tls")]
        return self.acceptor.clone();
    }
}

/// Makes a stream of a socket; the handshake of TLS has to be over before its deadline.
pub(crate) async fn open(acceptor: MaybeTls, socket: Socket, shared: &Shared) -> Result<Stream> {
    #[cfg(feature = "tls")]
    if let Some(acceptor) = acceptor {
        let watch = Watch::new(shared.clock.clone());
        let secs = shared.options.head_timeout;
        // Who says nothing can be made to go for lack of room; who has begun cannot.
        let begun = poll_fn(|cx| socket.poll_readable(cx));
        watch.idle(secs, FRESH, begun).await?;
        let acceptor = acceptor.borrow().clone();
        let handshake = Box::pin(acceptor.accept(socket));
        return watch.within(secs, handshake).await?.map_err(Error::Network);
    }
    let _ = (acceptor, shared);
    Ok(Stream::Plain(socket))
}

/// The next connection to serve, once there is a place for it; nothing once drained.
pub(crate) async fn next(
    shared: &Shared,
    listeners: &[Listener],
) -> io::Result<Option<(MaybeTls, Socket, SocketAddr)>> {
    loop {
        let accepted = poll_fn(|cx| {
            *shared.waiting.borrow_mut() = Some(cx.waker().clone());
            if shared.is_draining() {
                return Poll::Ready(Ok(None));
            }
            for listener in listeners {
                if let Poll::Ready(accepted) = listener.socket.poll_accept(cx) {
                    return Poll::Ready(
                        accepted.map(|(socket, peer)| Some((listener.acceptor(), socket, peer))),
                    );
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
    let most = shared.options.max_connections.min(listen::most_connections()).max(1);
    let watch = Watch::new(shared.clock.clone());
    let mut place = pin!(poll_fn(|cx| {
        *shared.waiting.borrow_mut() = Some(cx.waker().clone());
        if shared.is_draining() {
            return Poll::Ready(false);
        }
        if shared.active.get() < most {
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
    shared.clock.evict();
    let freed = poll_fn(|cx| {
        *shared.waiting.borrow_mut() = Some(cx.waker().clone());
        let freed = shared.active.get() < active || shared.is_draining();
        if freed { Poll::Ready(()) } else { Poll::Pending }
    });
    let _ = Watch::new(shared.clock.clone()).within(0, freed).await;
}

/// Waits until the last connection has ended, but not for ever.
pub(crate) async fn all_gone(shared: &Shared) {
    let gone = poll_fn(|cx| {
        *shared.waiting.borrow_mut() = Some(cx.waker().clone());
        if shared.active.get() == 0 { Poll::Ready(()) } else { Poll::Pending }
    });
    match shared.options.drain_timeout {
        0 => gone.await,
        secs => {
            let _ = Watch::new(shared.clock.clone()).within(secs, gone).await;
        }
    }
}
