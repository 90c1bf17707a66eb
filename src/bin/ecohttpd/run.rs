//! The life of the server: bound, handed to a user, sent to the background, steered, ended.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ecohttpd::{Connection, Handle, Options, Request, Server, Signal, Signals, until_woken};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::chdir;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use smol::future::or;

use crate::access::AccessLog;
use crate::address::Inherited;
use crate::args::{Args, CommandLine};
use crate::bound::Bound;
use crate::certificate::Files;
use crate::cgi::Orphans;
use crate::log::Log;
use crate::redirect::Https;
use crate::reload::Change;
use crate::report::{Report, Said};
use crate::serve::{App, serve};
use crate::site::Site;
use crate::slots::Slots;
use crate::sys;

/// The least time between two looks at the certificates.
const LOOK: Duration = Duration::from_secs(5);

fn say(log: &Log, what: impl ToString) -> Said {
    log.line(&what.to_string());
    Said
}

/// What a server that runs was made of, to be changed when it is told to.
pub(crate) struct Running {
    pub(crate) line: CommandLine,
    pub(crate) args: Rc<Args>,
    pub(crate) handle: Handle,
    pub(crate) bound: Vec<Bound>,
    pub(crate) inherited: Inherited,
    pub(crate) access_log: Option<Rc<AccessLog>>,
    /// Those of the certificate.
    pub(crate) files: Files,
    pub(crate) is_draining: bool,
}

/// Serves until told to end.
pub(crate) fn run(line: CommandLine, args: Rc<Args>, site: Site, log: Log) -> Result<(), Said> {
    // Before anything else is opened.
    let inherited = Inherited::of([&args.http, &args.https]);
    // It is not for scripts, whoever forgot to say so.
    sys::keep_from_children();
    // From here on they wait to be heard: whoever is told where we listen may send one at once.
    hear().map_err(|e| say(&log, e))?;
    let mut running = Running {
        line,
        args: args.clone(),
        handle: Server::new(Options::default()).handle(),
        bound: Vec::new(),
        inherited,
        access_log: None,
        // Before they are read, so that nothing is missed that comes while they are.
        files: Files::of(&args),
        is_draining: false,
    };
    let mut report = Report::default();
    let change = running.other(args, &mut report);
    let Change { args, bound, server, access_log, said } = change;
    said.iter().for_each(|line| log.line(line));
    report.say(&log);
    if !report.mistakes.is_empty() {
        return Err(Said);
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
    let app = App {
        site: RefCell::new(Rc::new(site)),
        https: Cell::new(https(&args, &bound)),
        scripts: Slots::new(args.max_requests),
        spools: Slots::new(args.max_requests),
        listings: Slots::new(1),
        orphans: Rc::new(Orphans::default()),
        log,
    };
    running.handle = server.handle();
    (running.bound, running.access_log) = (bound, access_log);
    let ended = ecohttpd::block_on(live(&mut running, &app, server));
    if let Some(access_log) = &running.access_log {
        access_log.flush();
    }
    ended.map_err(|e| say(&app.log, e))
}

/// The signals that steer us, which do nothing else from here on.
fn hear() -> io::Result<Signals> {
    Signals::new(&[Signal::Terminate, Signal::Interrupt, Signal::Hangup])
}

async fn live(running: &mut Running, app: &App, server: Server) -> io::Result<()> {
    // Before any thread is there, so that all of them leave the signals to us; in the process that
    // is to hear them.
    let signals = hear()?;
    let handler = async |con: &mut Connection, req: &mut Request| serve(app, con, req).await;
    let steered = Box::pin(until_woken(steer(running, app, &signals)));
    or(Box::pin(server.serve(handler)), steered).await
}

/// What there is to be done something about.
enum News {
    Signal(Signal),
    Certificate,
}

async fn steer(running: &mut Running, app: &App, signals: &Signals) -> io::Result<()> {
    let mut last = Instant::now();
    loop {
        let Running { handle, access_log, files, .. } = &mut *running;
        let heard = async { signals.next().await.map(News::Signal) };
        let seen = async {
            loop {
                handle.tick().await;
                if last.elapsed() >= LOOK {
                    last = Instant::now();
                    if files.have_changed() {
                        return Ok(News::Certificate);
                    }
                }
            }
        };
        let write = async {
            match access_log {
                Some(access_log) => access_log.run(&app.log).await,
                None => pending().await,
            }
        };
        let others = async {
            or(write, app.orphans.reap()).await;
            pending().await
        };
        match or(heard, or(seen, others)).await? {
            News::Certificate => running.renew(app),
            News::Signal(Signal::Hangup) => running.reload(app),
            // Whoever cannot wait says so again.
            News::Signal(_) if running.is_draining => return Ok(()),
            News::Signal(_) => {
                running.is_draining = true;
                // Whoever comes next may want to listen there.
                running.bound.clear();
                running.handle.drain();
            }
        }
    }
}

/// Where clients of HTTP are sent to.
pub(crate) fn https(args: &Args, bound: &[Bound]) -> Https {
    // In the order of the options.
    let secure = args.https.iter().filter(|_| args.redirect_https);
    let bound = |at| bound.iter().find(|it: &&Bound| it.secure && it.wanted.is_same(at));
    Https::at(secure.filter_map(bound).map(|it| &it.at))
}

pub(crate) fn open_log(args: &Args) -> io::Result<Option<Rc<AccessLog>>> {
    let open = |to: &_| AccessLog::open(Clone::clone(to), args.log_format).map(Rc::new);
    args.access_log.as_ref().map(open).transpose()
}

/// Has a server write this log.
pub(crate) fn logging(server: Server, access_log: Option<&Rc<AccessLog>>) -> Server {
    match access_log.cloned() {
        Some(access_log) => server.access_log(move |access| access_log.entry(access)),
        None => server,
    }
}

pub(crate) fn options(args: &Args) -> Options {
    let probing = args.tcp_keepalive > 0;
    let probes = |n: u32| probing.then_some(n);
    Options {
        docroot: args.home.clone(),
        gzip: args.gzip,
        file_cache: args.file_cache,
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
    let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    sys::detach()?;
    chdir(c"/")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}
