//! The launcher: uhttpd's command line over the public API of the library.

mod args;
mod log;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use ecohttpd::{Connection, Options, Request, Server, Signal, Signals};
use smol::future::FutureExt;

use crate::args::{Action, Address, Args, HELP};
use crate::log::Log;

/// The exit code for a command line that cannot be followed.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = match args::parse(env::args_os().skip(1)) {
        Ok(Action::Serve(args)) => args,
        Ok(Action::Help) => return print(HELP),
        Ok(Action::Version) => return print(concat!("ecohttpd ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(mistake) => {
            Log::default().line(format!("ecohttpd: {mistake}\nTry 'ecohttpd --help'.\n"));
            return USAGE.into();
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            Log::default().line(format!("ecohttpd: {e}\n"));
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(args: Args) -> io::Result<()> {
    // Before any thread is there, so that all of them leave the signals to us.
    let signals = Signals::new(&[Signal::Terminate, Signal::Interrupt])?;
    let verbose = args.verbose;
    let mut server = bind(args)?;
    let log = Log::default();
    for addr in server.local_addrs()? {
        log.line(format!("ecohttpd: listening on {addr}\n"));
    }
    if verbose {
        server = server.access_log(move |access| log.access(access));
    }
    let handle = server.handle();
    ecohttpd::block_on(async {
        let quit = async {
            signals.next().await?;
            handle.drain();
            // Whoever cannot wait says so again.
            signals.next().await.map(drop)
        };
        server.serve(handler).or(quit).await
    })
}

async fn handler(con: &mut Connection, req: &mut Request) -> ecohttpd::Result {
    con.serve_file(req).await
}

fn bind(args: Args) -> io::Result<Server> {
    let options = Options {
        docroot: args.home.unwrap_or_else(|| ".".into()),
        gzip: args.gzip,
        error_pages: true,
        ipv6_v6only: true,
        ..Options::default()
    };
    let mut server = Server::new(options);
    for address in &args.http {
        server = bind_one(server, address, Server::bind)?;
    }
    #[cfg(feature = "tls")]
    if let (Some(cert), Some(key)) = (&args.cert, &args.key) {
        let tls = ecohttpd::Tls::load(cert, key)?;
        for address in &args.https {
            server = bind_one(server, address, |server, at| server.bind_tls(at, tls.clone()))?;
        }
    }
    Ok(server)
}

/// Listens at an address; one that is optional only if there is IPv6.
fn bind_one(
    server: Server,
    address: &Address,
    bind: impl FnOnce(Server, std::net::SocketAddr) -> io::Result<Server>,
) -> io::Result<Server> {
    if address.optional && !has_ipv6() {
        return Ok(server);
    }
    bind(server, address.at)
}

fn has_ipv6() -> bool {
    use rustix::net::{AddressFamily, SocketType, socket};
    socket(AddressFamily::INET6, SocketType::STREAM, None).is_ok()
}
