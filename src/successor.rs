//! Another configuration for a server that goes on.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::accept::{Gate, Listener};
use crate::failure::failure;
use crate::io::listen::{self, Setup};
use crate::io::socket::Socket;
#[cfg(feature = "tls")]
use crate::io::tls::Tls;
use crate::{Handle, Options, Server};

impl Handle {
    /// A server that is to take the place of this one by [`replace`](Self::replace), as soon as
    /// nothing is wrong with it. This one goes on meanwhile.
    ///
    /// It can keep listening sockets of this one, and listen at addresses that are in the way of
    /// this one's others, such as one of all addresses.
    ///
    /// ```no_run
    /// # use ecohttpd::{Handle, Options};
    /// # fn reload(handle: &Handle) -> std::io::Result<()> {
    /// let options = Options { docroot: "/www2".into(), ..Options::default() };
    /// let mut successor = handle.successor(options);
    /// successor.try_keep(0)?;
    /// handle.replace(successor.bind(([127, 0, 0, 1], 8080).into())?)
    /// # }
    /// ```
    pub fn successor(&self, options: Options) -> Server {
        let mut server = Server::new(options);
        server.predecessor = Some(self.0.clone());
        server
    }

    /// Has the server go on with the options, the listening sockets and the access log of another
    /// one that was not served yet.
    ///
    /// Nobody is dropped: requests under way end with the options that they began with, open
    /// connections stay, and whoever has connected where it listens no more is served, too; the next
    /// answer is then the last one. A socket that was kept goes on with what
    /// [`Options`] say of its connections.
    ///
    /// # Errors
    ///
    /// If that server could not serve, or this one is being drained; it then stays as it is.
    pub fn replace(&self, successor: Server) -> io::Result<()> {
        successor.is_ready()?;
        let (old, new) = (&self.0, &successor.shared);
        if old.is_draining() {
            return Err(failure(io::ErrorKind::Other, "the server is being drained"));
        }
        let (before, options) = (old.options(), new.options());
        let mut listeners = new.listeners.take();
        for Listener { socket, gate } in old.listeners.take() {
            let kept = listeners.iter_mut().find(|it| Rc::ptr_eq(&it.socket, &socket));
            if let Some(kept) = kept {
                listen::change(&socket, &before.setup(), &options.setup());
                if gate.renew(&kept.gate) {
                    kept.gate = gate;
                } else {
                    gate.close();
                }
                continue;
            }
            gate.close();
            // No more than there can be, as others may be faster than this.
            for _ in 0..=before.backlog {
                match socket.accept_now() {
                    Ok((it, peer)) => old.late.borrow_mut().push((gate.clone(), it, peer)),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => {}
                }
            }
        }
        old.listeners.replace(listeners);
        old.set_options(options);
        old.log.replace(new.log.take());
        old.wake();
        Ok(())
    }
}

impl Server {
    /// Goes on listening by a socket of the server whose [`successor`](Handle::successor) this is:
    /// the one that was added to that as number `n`, from 0 on. Whoever connects meanwhile notices
    /// nothing.
    ///
    /// # Errors
    ///
    /// If there is none, or it was kept already.
    pub fn try_keep(&mut self, n: usize) -> io::Result<()> {
        let socket = self.kept(n)?;
        self.add(socket, Gate::plain());
        Ok(())
    }

    /// Likewise, for HTTPS, whatever it was for before.
    ///
    /// # Errors
    ///
    /// Like [`try_keep`](Self::try_keep), or if the certificates cannot be used.
    #[cfg(feature = "tls")]
    pub fn try_keep_tls(&mut self, n: usize, tls: &Tls) -> io::Result<()> {
        let acceptor = tls.acceptor()?;
        let socket = self.kept(n)?;
        self.add(socket, Gate::tls(acceptor));
        Ok(())
    }

    fn kept(&self, n: usize) -> io::Result<Rc<Socket>> {
        self.check()?;
        if let Some(predecessor) = &self.predecessor {
            match predecessor.listeners.borrow().get(n) {
                Some(it) if !self.has(&it.socket) => return Ok(it.socket.clone()),
                _ => {}
            }
        }
        let why = format!("there is no listening socket {n} to keep");
        Err(failure(io::ErrorKind::InvalidInput, why))
    }

    fn has(&self, socket: &Rc<Socket>) -> bool {
        self.shared.listeners.borrow().iter().any(|it| Rc::ptr_eq(&it.socket, socket))
    }

    /// Listens at `addr`, which has failed with `e`, if what was in the way is the predecessor: an
    /// address is one of all addresses. What is kept of it stays in the way.
    pub(crate) fn listen_beside(
        &self,
        addr: SocketAddr,
        setup: &Setup<'_>,
        e: io::Error,
    ) -> io::Result<Socket> {
        let mut others = Vec::new();
        if let Some(predecessor) = &self.predecessor {
            for Listener { socket, .. } in predecessor.listeners.borrow().iter() {
                let overlaps = socket.local_addr().is_ok_and(|it| it.port() == addr.port());
                if overlaps && !self.has(socket) && listen::share(socket, true) {
                    others.push(socket.clone());
                }
            }
        }
        // Or it would be shared with whoever else is willing to.
        if others.is_empty() {
            return Err(e);
        }
        let socket = listen::at_address(addr, &Setup { reuseport: true, ..setup.clone() });
        for other in &others {
            listen::share(other, false);
        }
        let socket = socket?;
        listen::share(&socket, setup.reuseport);
        Ok(socket)
    }
}
