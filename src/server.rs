//! Servers: where they listen, how they are steered, and the tasks they consist of.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use smol::LocalExecutor;
use smol::future::FutureExt;

use crate::accept::{Gate, Listener, all_gone, next, open};
use crate::exchange::{Access, converse};
use crate::failure::failure;
use crate::io::listen;
use crate::io::reactor::Reactor;
use crate::io::sleeper::until_woken;
use crate::io::socket::Socket;
#[cfg(feature = "tls")]
use crate::io::tls::Tls;
use crate::shared::{Place, Shared};
use crate::{Connection, Error, Options, Request, Result, fields};

/// Times that connections are run before whatever else is on this thread gets its turn.
const ROUND: usize = 200;

/// Listening sockets and what is to be done with those who connect.
///
/// [`listen()`] is enough for one address; this is for several, plain and TLS, with a [`Handle`] to
/// steer them.
///
/// ```no_run
/// use ecohttpd::{Connection, Options, Request, Server};
///
/// async fn handler(con: &mut Connection, req: &mut Request) -> ecohttpd::Result {
///     con.serve_file(req).await
/// }
///
/// let options = Options { docroot: "/www".into(), ..Options::default() };
/// let server = Server::new(options)
///     .bind("192.168.1.1:80".parse()?)?
///     .bind("[fd00::1]:80".parse()?)?;
/// ecohttpd::block_on(server.serve(handler))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    pub(crate) shared: Rc<Shared>,
    /// The one whose place this is to take.
    pub(crate) predecessor: Option<Rc<Shared>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.draining.set(true);
        self.shared.close();
    }
}

/// Steers a server from outside its [`serve`](Server::serve).
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) Rc<Shared>);

impl Handle {
    /// Stops accepting: listening sockets and idle connections are closed at once, and `serve`
    /// returns when the requests under way are answered, or after
    /// [`Options::drain_timeout`](crate::Options::drain_timeout).
    pub fn drain(&self) {
        self.0.draining.set(true);
        self.0.clock.ring();
        self.0.wake();
    }

    /// Waits for the next tick of the server's clock: the next second, as long as anybody is
    /// connected, or else the next connection, which then comes after whatever is done about it.
    ///
    /// It is for what is to be looked at now and then, and wakes nobody up by itself.
    pub async fn tick(&self) {
        self.0.clock.tick().await;
    }

    /// Uses other certificates for the TLS connections that are still to come, on all listeners
    /// that speak TLS. Those that are open go on as they are.
    ///
    /// # Errors
    ///
    /// If no configuration can be made of them; the old one then stays.
    #[cfg(feature = "tls")]
    pub fn set_tls(&self, tls: &Tls) -> io::Result<()> {
        let new = tls.acceptor()?;
        for listener in self.0.listeners.borrow().iter() {
            if let Some(acceptor) = &listener.gate.acceptor {
                acceptor.replace(new.clone());
            }
        }
        Ok(())
    }
}

impl Server {
    /// A server that listens nowhere yet.
    pub fn new(options: Options) -> Self {
        Server { shared: Rc::new(Shared::new(options)), predecessor: None }
    }

    fn listen_at(&self, addr: SocketAddr) -> io::Result<Socket> {
        let options = self.shared.options();
        match listen::at_address(addr, &options.setup()) {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                self.listen_beside(addr, &options.setup(), e)
            }
            done => done,
        }
    }

    /// What is wrong with the options is said before anybody connects.
    ///
    /// Those that name files are [`listen()`]'s; here certificates are given to `bind_tls`, and
    /// to serve without what somebody set would be worse than not to serve.
    pub(crate) fn check(&self) -> io::Result<()> {
        let Options { cert, key, ca, insecure, headers, .. } = &*self.shared.options();
        for (name, value) in headers {
            fields::check_field(name, value.as_bytes())
                .and_then(|()| match fields::is_framing(name) {
                    true => Err(Error::Invalid("a header that frames the message")),
                    false => Ok(()),
                })
                .map_err(|e| {
                    let why = format!("the header {name}: {e}");
                    failure(io::ErrorKind::InvalidInput, why)
                })?;
        }
        if cert.is_some() || key.is_some() || ca.is_some() || *insecure {
            let why = "the options cert, key, ca and insecure are for listen(): give Server a Tls";
            return Err(failure(io::ErrorKind::InvalidInput, why));
        }
        Ok(())
    }

    /// Whether it can serve.
    pub(crate) fn is_ready(&self) -> io::Result<()> {
        if self.shared.listeners.borrow().is_empty() {
            let why = "the server listens nowhere: bind it to an address first";
            return Err(failure(io::ErrorKind::InvalidInput, why));
        }
        if self.shared.options().gzip && !cfg!(feature = "gzip") {
            return Err(unsupported("the option gzip takes the feature gzip"));
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, socket: impl Into<Rc<Socket>>, gate: Gate) {
        let listener = Listener { socket: socket.into(), gate: gate.into() };
        self.shared.listeners.borrow_mut().push(listener);
    }

    /// Listens at `addr`; port 0 is one that is free.
    ///
    /// # Errors
    ///
    /// Says which address, and why not.
    pub fn bind(mut self, addr: SocketAddr) -> io::Result<Self> {
        self.try_bind(addr)?;
        Ok(self)
    }

    /// Likewise, and leaves the server as it was where that fails. The address is the one that it
    /// listens at.
    ///
    /// # Errors
    ///
    /// Like [`bind`](Self::bind).
    pub fn try_bind(&mut self, addr: SocketAddr) -> io::Result<SocketAddr> {
        self.check()?;
        let socket = self.listen_at(addr)?;
        let addr = socket.local_addr()?;
        self.add(socket, Gate::plain());
        Ok(addr)
    }

    /// Listens at `addr`, for HTTPS.
    ///
    /// # Errors
    ///
    /// Like [`bind`](Self::bind), or if the certificates cannot be used.
    #[cfg(feature = "tls")]
    pub fn bind_tls(mut self, addr: SocketAddr, tls: Tls) -> io::Result<Self> {
        self.try_bind_tls(addr, &tls)?;
        Ok(self)
    }

    /// Likewise, and leaves the server as it was where that fails. The address is the one that it
    /// listens at.
    ///
    /// # Errors
    ///
    /// Like [`bind_tls`](Self::bind_tls).
    #[cfg(feature = "tls")]
    pub fn try_bind_tls(&mut self, addr: SocketAddr, tls: &Tls) -> io::Result<SocketAddr> {
        self.check()?;
        self.bind_with(addr, tls)
    }

    #[cfg(feature = "tls")]
    fn bind_with(&mut self, addr: SocketAddr, tls: &Tls) -> io::Result<SocketAddr> {
        let acceptor = tls.acceptor()?;
        let socket = self.listen_at(addr)?;
        let addr = socket.local_addr()?;
        self.add(socket, Gate::tls(acceptor));
        Ok(addr)
    }

    /// Takes over a listening socket, TCP or Unix, such as a supervisor hands over.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn adopt(mut self, socket: impl Into<OwnedFd>) -> io::Result<Self> {
        self.try_adopt(socket)?;
        Ok(self)
    }

    /// Likewise, and leaves the server as it was where that fails.
    ///
    /// # Errors
    ///
    /// Like [`adopt`](Self::adopt).
    pub fn try_adopt(&mut self, socket: impl Into<OwnedFd>) -> io::Result<()> {
        self.check()?;
        let socket = listen::adopted(socket.into(), &self.shared.options().setup())?;
        self.add(socket, Gate::plain());
        Ok(())
    }

    /// Likewise, for HTTPS.
    ///
    /// # Errors
    ///
    /// If it is none, or if the certificates cannot be used.
    #[cfg(feature = "tls")]
    pub fn adopt_tls(mut self, socket: impl Into<OwnedFd>, tls: Tls) -> io::Result<Self> {
        self.try_adopt_tls(socket, &tls)?;
        Ok(self)
    }

    /// Likewise, and leaves the server as it was where that fails.
    ///
    /// # Errors
    ///
    /// Like [`adopt_tls`](Self::adopt_tls).
    #[cfg(feature = "tls")]
    pub fn try_adopt_tls(&mut self, socket: impl Into<OwnedFd>, tls: &Tls) -> io::Result<()> {
        self.check()?;
        let acceptor = tls.acceptor()?;
        let socket = listen::adopted(socket.into(), &self.shared.options().setup())?;
        self.add(socket, Gate::tls(acceptor));
        Ok(())
    }

    /// Calls `log` for every request that was answered, and for every head that was refused.
    ///
    /// It runs between two requests of one thread: what it does, it has to do at once.
    pub fn access_log(self, log: impl Fn(&Access<'_>) + 'static) -> Self {
        // The first one stays.
        self.shared.log.borrow_mut().get_or_insert_with(|| Rc::new(log));
        self
    }

    /// The addresses it listens at, in the order they were added.
    ///
    /// # Errors
    ///
    /// If the system does not tell.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.shared.listeners.borrow().iter().map(|it| it.socket.local_addr()).collect()
    }

    /// A handle to steer the server with.
    pub fn handle(&self) -> Handle {
        Handle(self.shared.clone())
    }

    /// Serves until drained, calling `handler` for every request.
    ///
    /// All of it happens on this thread, each connection in a task of its own. The handler may
    /// borrow what is around it, and be a function, a closure or a method.
    ///
    /// # Errors
    ///
    /// If listening itself fails. Trouble with a connection, or a lack of descriptors or memory, is
    /// waited out.
    pub async fn serve<H>(self, handler: H) -> io::Result<()>
    where
        H: AsyncFn(&mut Connection, &mut Request) -> Result,
    {
        self.is_ready()?;
        let shared = &self.shared;
        let handler = &handler;
        let reactor = Reactor::current()?;
        let tasks = LocalExecutor::new();
        let accept = async {
            while let Some(accepted) = next(shared).await? {
                // On the heap: it would be kept as long as the connection is.
                let opening = Box::pin(open(accepted, Place::take(shared)));
                tasks.spawn(converse(opening, handler)).detach();
            }
            shared.close();
            all_gone(shared).await;
            Ok(())
        };
        // Polled only when something of it was woken, which a request does not.
        let others = reactor.drain().or(shared.clock.run(&reactor)).or(shared.tidy());
        let server = until_woken(accept.or(others));
        // The executor's own run() is made for threads that share their work, which costs more.
        let connections = async {
            loop {
                // Kept while it waits: to say that nobody does, and that somebody does again, costs.
                let mut wait = pin!(tasks.tick());
                poll_fn(|cx| {
                    if (0..ROUND).all(|_| tasks.try_tick()) {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    wait.as_mut().poll(cx)
                })
                .await;
            }
        };
        Box::pin(server.or(connections)).await
    }
}

/// Listens at `addr`, or at every IPv4 address if it is `None` (with [`Options::ipv6`] at every IPv6
/// address, which is IPv4 too), and serves until the future is dropped.
///
/// With [`Options::cert`] and [`Options::key`] it speaks HTTPS. The handler is called for every
/// request; what it returns with `?` is answered with the error's status.
///
/// ```no_run
/// use ecohttpd::{Connection, Options, Request, Result, listen};
///
/// async fn handler(con: &mut Connection, req: &mut Request) -> Result {
///     match req.path() {
///         "/hello" => con.send("<h1>Hello</h1>\n").await,
///         _ => con.serve_file(req).await,
///     }
/// }
///
/// smol::block_on(listen(None, 8080, Options::default(), handler))?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// An address that cannot be listened at, or a certificate that cannot be used; the error names it.
pub async fn listen<H>(
    addr: impl Into<Option<IpAddr>>,
    port: u16,
    options: Options,
    handler: H,
) -> io::Result<()>
where
    H: AsyncFn(&mut Connection, &mut Request) -> Result,
{
    let any: IpAddr =
        if options.ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let addr = SocketAddr::new(addr.into().unwrap_or(any), port);
    let server = bind(addr, options)?;
    server.serve(handler).await
}

fn bind(addr: SocketAddr, options: Options) -> io::Result<Server> {
    let incomplete = |e| Err(failure(io::ErrorKind::InvalidInput, e));
    match (&options.cert, &options.key) {
        (None, None) if options.ca.is_some() || options.insecure => {
            incomplete("the options ca and insecure take the options cert and key")
        }
        (None, None) => Server::new(options).bind(addr),
        (Some(_), None) => incomplete("the option cert takes the option key"),
        (None, Some(_)) => incomplete("the option key takes the option cert"),
        #[cfg(not(feature = "tls"))]
        (Some(_), Some(_)) => Err(unsupported("the options cert and key take the feature tls")),
        #[cfg(feature = "tls")]
        (Some(cert), Some(key)) => {
            let mut tls = Tls::load(cert, key)?;
            if let Some(ca) = &options.ca {
                tls = tls.with_client_ca(ca, options.insecure)?;
            }
            let mut server = Server::new(options);
            server.bind_with(addr, &tls)?;
            Ok(server)
        }
    }
}

fn unsupported(what: &'static str) -> io::Error {
    failure(io::ErrorKind::Unsupported, what)
}
