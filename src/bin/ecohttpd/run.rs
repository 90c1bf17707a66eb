//! The life of the server: bound, handed to a user, sent to the background, reloaded, ended.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ecohttpd::{Connection, Handle, Options, Request, Server, Signal, Signals, Status};
use smol::future::or;

use crate::access::AccessLog;
use crate::address::{self, Address, Inherited, SocketFile};
use crate::args::Args;
use crate::certificate::Files;
use crate::cgi::Orphans;
use crate::log::Log;
use crate::redirect::Https;
use crate::report::Report;
use crate::serve::{App, serve};
use crate::site::Site;
use crate::slots::Slots;
use crate::sys;

/// Stands for an address that is not one of TCP.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The least time between two looks at the certificates.
const LOOK: Duration = Duration::from_secs(5);

/// It has been said where it had to be.
#[derive(Debug)]
pub(crate) struct Said;

fn say(log: &Log, what: impl ToString) -> Said {
    log.line(&what.to_string());
    Said
}

/// Serves until told to end.
pub(crate) fn run(args: Args, site: Site, log: Log) -> Result<(), Said> {
    // Before anything else is opened.
    let inherited = Inherited::of(args.http.iter().chain(&args.https));
    // It is not for scripts, whoever forgot to say so.
    sys::keep_from_children();
    // From here on they wait to be heard: whoever is told where we listen may send one at once.
    hear().map_err(|e| say(&log, e))?;
    let access_log = match &args.access_log {
        Some(to) => match AccessLog::open(to.clone(), args.log_format) {
            Ok(access_log) => Some(Rc::new(access_log)),
            Err(e) => return Err(say(&log, e)),
        },
        None => None,
    };
    // Before they are read, so that nothing is missed that comes while they are.
    let files = RefCell::new(Files::of(&args));
    let mut own = Own { inherited, sockets: Vec::new() };
    let (mut server, secure) = bind(&args, &mut own, &log);
    let sockets = RefCell::new(own.sockets);
    if server.local_addrs().map_err(|e| say(&log, e))?.is_empty() {
        return Err(say(&log, "there is no address left to listen at"));
    }
    if let Some(user) = &args.user {
        user.become_it().map_err(|e| say(&log, format!("-Z {}: {e}", user.name)))?;
    }
    let log = match args.foreground {
        true => log,
        false => {
            detach().map_err(|e| say(&log, e))?;
            Log::syslog()
        }
    };
    if let Some(access_log) = &access_log {
        let access_log = access_log.clone();
        server = server.access_log(move |access| access_log.entry(access));
    }
    let app = App {
        site: RefCell::new(Rc::new(site)),
        #[cfg(feature = "tls")]
        has_https: !secure.is_empty(),
        https: if args.redirect_https { Https::at(&secure) } else { Https::default() },
        redirect_status: Status::new(args.redirect_status).unwrap_or(Status::TEMPORARY_REDIRECT),
        scripts: Slots::new(args.max_requests),
        spools: Slots::new(args.max_requests),
        listings: Slots::new(1),
        orphans: Rc::new(Orphans::default()),
        log,
    };
    let ended =
        ecohttpd::block_on(live(&args, &app, server, access_log.as_deref(), &files, &sockets));
    if let Some(access_log) = &access_log {
        access_log.flush();
    }
    ended.map_err(|e| say(&app.log, e))
}

/// The signals that steer us, which do nothing else from here on.
fn hear() -> io::Result<Signals> {
    Signals::new(&[Signal::Terminate, Signal::Interrupt, Signal::Hangup])
}

async fn live(
    args: &Args,
    app: &App,
    server: Server,
    access_log: Option<&AccessLog>,
    files: &RefCell<Files>,
    sockets: &RefCell<Vec<SocketFile>>,
) -> io::Result<()> {
    // Before any thread is there, so that all of them leave the signals to us; in the process that
    // is to hear them.
    let signals = hear()?;
    let handle = server.handle();
    let steer = async {
        let mut draining = false;
        loop {
            match signals.next().await? {
                Signal::Hangup => reload(args, app, &handle, access_log, files),
                // Whoever cannot wait says so again.
                _ if draining => return Ok(()),
                _ => {
                    draining = true;
                    // Whoever comes next may want to listen there.
                    sockets.take();
                    handle.drain();
                }
            }
        }
    };
    let renew = async {
        let mut last = Instant::now();
        loop {
            handle.tick().await;
            if last.elapsed() < LOOK {
                continue;
            }
            last = Instant::now();
            if files.borrow_mut().have_changed() {
                renew(args, app, &handle);
            }
        }
    };
    let write = async {
        match access_log {
            Some(access_log) => access_log.run(&app.log).await,
            None => pending().await,
        }
    };
    let others = or(or(renew, write), app.orphans.reap());
    let others = async {
        others.await;
        pending().await
    };
    let handler =
        async |con: &mut Connection, req: &mut Request| Box::pin(serve(app, con, req)).await;
    or(Box::pin(server.serve(handler)), or(steer, Box::pin(others))).await
}

/// Reads everything again that is in files. What is wrong leaves what was there before.
fn reload(
    args: &Args,
    app: &App,
    handle: &Handle,
    access_log: Option<&AccessLog>,
    files: &RefCell<Files>,
) {
    let mut report = Report::default();
    let site = Site::load(args, &mut report);
    // To guard nothing any more is too much for a file that has gone, be it for a moment.
    if let (Some(path), None) = (&app.site.borrow().config, &site.config) {
        report.mistake(format!("{}: it is not there any more", path.display()));
    }
    report.notes.iter().chain(&report.mistakes).for_each(|line| app.log.line(line));
    if report.mistakes.is_empty() {
        app.site.replace(Rc::new(site));
        app.log.line("reloaded");
    } else {
        app.log.line("not reloaded: what was read before stays");
    }
    files.borrow_mut().have_changed();
    renew(args, app, handle);
    if let Some(Err(e)) = access_log.map(AccessLog::reopen) {
        app.log.line(&format!("{e}; the old one stays"));
    }
}

/// Reads the certificates again.
fn renew(args: &Args, app: &App, handle: &Handle) {
    #[cfg(feature = "tls")]
    {
        let loaded = match crate::certificate::load(args) {
            Some(Ok(_)) if !app.has_https => {
                return app
                    .log
                    .line("the certificate was not there at first: HTTPS takes a restart");
            }
            Some(Ok(tls)) => handle.set_tls(&tls),
            Some(Err(e)) => Err(e),
            None => return,
        };
        match loaded {
            Ok(()) => app.log.line("certificate read"),
            Err(e) if !app.has_https => app.log.line(&format!("no HTTPS: {e}")),
            Err(e) => app.log.line(&format!("{e}; the old certificate stays")),
        }
    }
    let _ = (args, app, handle);
}

/// Binds what can be bound, and says what cannot: an admin page at one address is better than none.
/// Also the addresses that are for HTTPS.
fn bind(args: &Args, own: &mut Own, log: &Log) -> (Server, Vec<Address>) {
    let mut server = Server::new(options(args));
    for at in args.http.iter().filter(|at| !at.is_superfluous()) {
        let bound = match at {
            Address::Tcp { at, .. } => server.try_bind(*at),
            _ => own
                .socket(at)
                .and_then(|fd| server.try_adopt(fd).map_err(|e| named(at, &e)))
                .map(|()| NOWHERE),
        };
        listening(at, bound, log);
    }
    let secure = bind_https(&mut server, args, own, log);
    (server, secure)
}

#[cfg(feature = "tls")]
fn bind_https(server: &mut Server, args: &Args, own: &mut Own, log: &Log) -> Vec<Address> {
    let tls = match crate::certificate::load(args) {
        Some(Ok(tls)) => tls,
        Some(Err(e)) => {
            log.line(&format!("no HTTPS: {e}"));
            return Vec::new();
        }
        None => return Vec::new(),
    };
    let mut secure = Vec::new();
    for at in args.https.iter().filter(|at| !at.is_superfluous()) {
        let bound = match at {
            Address::Tcp { at, .. } => server.try_bind_tls(*at, &tls),
            _ => own
                .socket(at)
                .and_then(|fd| server.try_adopt_tls(fd, &tls).map_err(|e| named(at, &e)))
                .map(|()| NOWHERE),
        };
        secure.extend(listening(at, bound, log));
    }
    secure
}

#[cfg(not(feature = "tls"))]
fn bind_https(_: &mut Server, _: &Args, _: &mut Own, _: &Log) -> Vec<Address> {
    Vec::new()
}

/// Says whether `at` could be bound, and to what: its port may be any that is free.
fn listening(at: &Address, bound: io::Result<SocketAddr>, log: &Log) -> Option<Address> {
    let at = match bound {
        Ok(bound) if matches!(at, Address::Tcp { .. }) => {
            Address::Tcp { at: bound, optional: false }
        }
        Ok(_) => at.clone(),
        Err(e) => {
            log.line(&e.to_string());
            return None;
        }
    };
    log.line(&format!("listening on {at}"));
    Some(at)
}

fn named(at: &Address, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{at}: {e}"))
}

/// What is listened at that is not TCP's.
struct Own {
    inherited: Inherited,
    sockets: Vec<SocketFile>,
}

impl Own {
    /// The listening socket at an address that is not one of TCP.
    fn socket(&mut self, at: &Address) -> io::Result<OwnedFd> {
        match at {
            Address::Unix(path) => {
                let (listener, file) = address::bind_unix(path)?;
                self.sockets.push(file);
                Ok(listener.into())
            }
            Address::Descriptor(n) => self.inherited.take(*n),
            Address::Unknown { why, .. } => {
                let why = format!("cannot listen on {at}: {why}");
                Err(io::Error::new(io::ErrorKind::AddrNotAvailable, why))
            }
            Address::Tcp { .. } => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

fn options(args: &Args) -> Options {
    let probing = args.tcp_keepalive > 0;
    let probes = |n: u32| probing.then_some(n);
    Options {
        docroot: args.home.clone(),
        gzip: args.gzip,
        no_symlinks: args.no_symlinks,
        error_pages: true,
        headers: args.headers.clone(),
        ipv6_v6only: true,
        freebind: true,
        // As uhttpd sets them, all of them together.
        keepalive: probing,
        tcp_keepidle: probes(1),
        tcp_keepcnt: probes(3),
        tcp_keepintvl: probes(args.tcp_keepalive),
        tcp_fastopen: probes(5),
        max_connections: args.max_connections,
        http_keepalive: args.http_keepalive,
        head_timeout: args.network_timeout,
        body_timeout: args.network_timeout,
        write_timeout: args.network_timeout,
        ..Options::default()
    }
}

/// Goes to the background, where nobody reads what is printed.
fn detach() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    sys::detach()?;
    std::env::set_current_dir("/")?;
    rustix::stdio::dup2_stdin(null.as_fd())?;
    rustix::stdio::dup2_stdout(null.as_fd())?;
    rustix::stdio::dup2_stderr(null.as_fd())?;
    Ok(())
}
