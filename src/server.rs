//! Listeners, the connections they accept, and room for them.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::SystemTime;

use rustix::io::Errno;
use smol::LocalExecutor;
use smol::future::FutureExt;

#[cfg(feature = "tls")]
use crate::connection::FRESH;
use crate::io::buffer::Pool;
use crate::io::clock::{Clock, Watch};
use crate::io::listen;
use crate::io::reactor::Reactor;
use crate::io::socket::Socket;
use crate::io::stream::Stream;
#[cfg(feature = "tls")]
use crate::io::tls::{Acceptor, Tls};
use crate::wire::date;
use crate::{Connection, Error, Options, Request, Result, Status};

type Log = Box<dyn Fn(&Access<'_>)>;

/// What all connections of a server have in common.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) pool: Rc<Pool>,
    pub(crate) clock: Rc<Clock>,
    /// Whether the compressor is in use.
    #[cfg(feature = "gzip")]
    pub(crate) deflating: Cell<bool>,
    #[cfg(feature = "gzip")]
    pub(crate) inflating: Cell<u8>,
    active: Cell<usize>,
    /// Somebody waits for a place.
    crowded: Cell<bool>,
    draining: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
    date: RefCell<(u64, Rc<str>)>,
    log: OnceCell<Log>,
    docroot: RefCell<Option<PathBuf>>,
    #[cfg(feature = "tls")]
    acceptors: RefCell<Vec<Rc<RefCell<Acceptor>>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .field("active", &self.active)
            .field("draining", &self.draining)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether somebody waits for a connection to end.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.get()
    }

    /// A connection has become idle, and so could make room.
    pub(crate) fn told_idle(&self) {
        if self.crowded.get() {
            self.wake();
        }
    }

    fn wake(&self) {
        let waker = self.waiting.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
    }

    /// The date for the Date field, made once a second.
    pub(crate) fn date(&self) -> Rc<str> {
        let now = self.now();
        let mut date = self.date.borrow_mut();
        if date.0 != now || date.1.is_empty() {
            *date = (now, date::format(now).into());
        }
        date.1.clone()
    }

    /// Whether a path without symbolic links lies in the docroot.
    pub(crate) fn is_in_docroot(&self, real: &Path) -> bool {
        let known =
            |docroot: &Option<PathBuf>| docroot.as_ref().is_some_and(|d| real.starts_with(d));
        if known(&self.docroot.borrow()) {
            return true;
        }
        // It may have been replaced since, as a link is when a new version is put in place.
        let docroot = std::fs::canonicalize(&self.options.docroot).ok();
        let inside = known(&docroot);
        self.docroot.replace(docroot);
        inside
    }
}

/// One connection's place among those served at once.
struct Place(Rc<Shared>);

impl Place {
    fn take(shared: &Rc<Shared>) -> Place {
        shared.active.set(shared.active.get() + 1);
        Place(shared.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        self.0.wake();
    }
}

/// A request that was answered, for an access log.
#[derive(Debug)]
#[non_exhaustive]
pub struct Access<'a> {
    /// The client.
    pub remote_addr: SocketAddr,
    /// The request; none if its head was refused.
    pub request: Option<&'a Request>,
    /// The status it was answered with; none if the connection ended before that.
    pub status: Option<Status>,
    /// Bytes of content that were sent.
    pub sent: u64,
}

/// Listening sockets and what is to be done with those who connect.
///
/// [`listen`] is enough for one address; this is for several, plain and TLS, with a [`Handle`] to
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
    shared: Rc<Shared>,
    listeners: Vec<Listener>,
}

#[derive(Debug)]
struct Listener {
    socket: Socket,
    #[cfg(feature = "tls")]
    acceptor: Option<Rc<RefCell<Acceptor>>>,
}

/// Steers a server from outside its [`serve`](Server::serve).
#[derive(Clone, Debug)]
pub struct Handle(Rc<Shared>);

impl Handle {
    /// Stops accepting: listening sockets and idle connections are closed at once, and `serve`
    /// returns when the requests under way are answered, or after
    /// [`Options::drain_timeout`](crate::Options::drain_timeout).
    pub fn drain(&self) {
        self.0.draining.set(true);
        self.0.clock.ring();
        self.0.wake();
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
        for acceptor in self.0.acceptors.borrow().iter() {
            acceptor.replace(new.clone());
        }
        Ok(())
    }
}

impl Server {
    /// A server that listens nowhere yet.
    pub fn new(options: Options) -> Self {
        let shared = Shared {
            options,
            pool: Rc::default(),
            clock: Rc::default(),
            #[cfg(feature = "gzip")]
            deflating: Cell::new(false),
            #[cfg(feature = "gzip")]
            inflating: Cell::new(0),
            active: Cell::new(0),
            crowded: Cell::new(false),
            draining: Cell::new(false),
            waiting: RefCell::new(None),
            date: RefCell::new((0, "".into())),
            log: OnceCell::new(),
            docroot: RefCell::new(None),
            #[cfg(feature = "tls")]
            acceptors: RefCell::default(),
        };
        Server { shared: Rc::new(shared), listeners: Vec::new() }
    }

    fn listen_at(&self, addr: SocketAddr) -> io::Result<Socket> {
        let options = &self.shared.options;
        listen::at_address(
            addr,
            &listen::Setup {
                v6only: options.ipv6_v6only,
                backlog: options.backlog,
                reuseaddr: options.reuseaddr,
                reuseport: options.reuseport,
                device: options.device.as_deref(),
                mark: options.mark,
                nodelay: options.tcp_nodelay,
                keepalive: options.keepalive,
                keepidle: options.tcp_keepidle,
                keepcnt: options.tcp_keepcnt,
                keepintvl: options.tcp_keepintvl,
                fastopen: options.tcp_fastopen,
            },
        )
    }

    fn add(mut self, socket: Socket) -> Self {
        self.listeners.push(Listener {
            socket,
            #[cfg(feature = "tls")]
            acceptor: None,
        });
        self
    }

    #[cfg(feature = "tls")]
    fn add_tls(mut self, socket: Socket, acceptor: Acceptor) -> Self {
        let acceptor = Rc::new(RefCell::new(acceptor));
        self.shared.acceptors.borrow_mut().push(acceptor.clone());
        self.listeners.push(Listener { socket, acceptor: Some(acceptor) });
        self
    }

    /// Listens at `addr`; port 0 is one that is free.
    ///
    /// # Errors
    ///
    /// Says which address, and why not.
    pub fn bind(self, addr: SocketAddr) -> io::Result<Self> {
        let socket = self.listen_at(addr)?;
        Ok(self.add(socket))
    }

    /// Listens at `addr`, for HTTPS.
    ///
    /// # Errors
    ///
    /// Like [`bind`](Self::bind), or if the certificates cannot be used.
    #[cfg(feature = "tls")]
    pub fn bind_tls(self, addr: SocketAddr, tls: Tls) -> io::Result<Self> {
        let acceptor = tls.acceptor()?;
        let socket = self.listen_at(addr)?;
        Ok(self.add_tls(socket, acceptor))
    }

    /// Takes over a listening socket, TCP or Unix, such as a supervisor hands over.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn adopt(self, socket: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(self.add(listen::adopted(socket.into())?))
    }

    /// Likewise, for HTTPS.
    ///
    /// # Errors
    ///
    /// If it is none, or if the certificates cannot be used.
    #[cfg(feature = "tls")]
    pub fn adopt_tls(self, socket: impl Into<OwnedFd>, tls: Tls) -> io::Result<Self> {
        let acceptor = tls.acceptor()?;
        Ok(self.add_tls(listen::adopted(socket.into())?, acceptor))
    }

    /// Calls `log` for every request that was answered, and for every head that was refused.
    ///
    /// It runs between two requests of one thread: what it does, it has to do at once.
    pub fn access_log(self, log: impl Fn(&Access<'_>) + 'static) -> Self {
        let _ = self.shared.log.set(Box::new(log)); // the first one stays
        self
    }

    /// The addresses it listens at, in the order they were added.
    ///
    /// # Errors
    ///
    /// If the system does not tell.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(|listener| listener.socket.local_addr()).collect()
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
        let Server { shared, listeners } = self;
        if shared.options.gzip && !cfg!(feature = "gzip") {
            return Err(unsupported("the option gzip takes the feature gzip"));
        }
        let shared = &shared;
        let handler = &handler;
        let reactor = Reactor::current()?;
        let tasks = LocalExecutor::new();
        // Tasks and not part of what `run` is given, since that is polled at every wake-up.
        let news = tasks.spawn({
            let reactor = reactor.clone();
            async move { reactor.drain().await }
        });
        let time = tasks.spawn({
            let clock = shared.clock.clone();
            async move { clock.run(&reactor).await }
        });
        let accept = async {
            while let Some((acceptor, socket, peer)) = next(shared, &listeners).await? {
                let place = Place::take(shared);
                let connection = async move {
                    let shared = &place.0;
                    if let Ok(stream) = open(acceptor, socket, shared).await {
                        let mut con = Connection::new(stream, peer, shared.clone());
                        let _ = converse(&mut con, handler).await;
                    }
                };
                tasks.spawn(connection).detach();
            }
            drop(listeners);
            all_gone(shared).await;
            Ok(())
        };
        Box::pin(tasks.run(accept.or(news).or(time))).await
    }
}

#[cfg(feature = "tls")]
type MaybeTls = Option<Rc<RefCell<Acceptor>>>;
#[cfg(not(feature = "tls"))]
type MaybeTls = ();

impl Listener {
    fn acceptor(&self) -> MaybeTls {
        #[cfg(feature = "tls")]
        return self.acceptor.clone();
    }
}

/// Makes a stream of a socket; the handshake of TLS has to be over before its deadline.
async fn open(acceptor: MaybeTls, socket: Socket, shared: &Shared) -> Result<Stream> {
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
async fn next(
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
async fn all_gone(shared: &Shared) {
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

/// One connection's life: a request, its response, and again.
async fn converse<H>(con: &mut Connection, handler: &H) -> Result
where
    H: AsyncFn(&mut Connection, &mut Request) -> Result,
{
    loop {
        match con.idle().await {
            Ok(()) => {}
            Err(Error::Closed | Error::Timeout) => {
                Box::pin(con.end_idle()).await;
                return Ok(());
            }
            Err(e) => return Err(e),
        }
        // On the heap for as long as it lasts, so that an idle connection is small.
        match Box::pin(exchange(con, handler)).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(e) => {
                con.abort();
                return Err(e);
            }
        }
    }
    Box::pin(con.close()).await;
    Ok(())
}

/// One request and its response; whether another may follow.
async fn exchange<H>(con: &mut Connection, handler: &H) -> Result<bool>
where
    H: AsyncFn(&mut Connection, &mut Request) -> Result,
{
    let mut request = None;
    let outcome = match con.read_head().await {
        Ok(req) => handler(con, request.insert(req)).await,
        Err(e) => Err(e),
    };
    let outcome = match outcome {
        Ok(()) => con.finish().await,
        Err(e) => Err(e),
    };
    let outcome = match outcome {
        Err(e) => con.fail(e).await,
        done => done,
    };
    con.log(request.as_ref());
    outcome
}

impl Connection {
    fn log(&self, request: Option<&Request>) {
        if let Some(log) = self.shared.log.get() {
            let answered = self.response.head_sent;
            if answered || request.is_some() {
                log(&Access {
                    remote_addr: self.remote_addr(),
                    request,
                    status: answered.then_some(self.response.status),
                    sent: self.response.sent,
                });
            }
        }
    }
}

/// Listens at `addr`, or everywhere if it is `None`, and serves until the future is dropped.
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
    let incomplete = |e| Err(io::Error::new(io::ErrorKind::InvalidInput, e));
    match (&options.cert, &options.key) {
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
            Server::new(options).bind_tls(addr, tls)
        }
    }
}

fn unsupported(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, what)
}
