//! Files over HTTPS, with a certificate that can be renewed while it runs.
//!
//! ```text
//! cargo run --example https [PORT [CERT KEY]]
//! curl --cacert tests/pki/ca.pem https://localhost:8443/README.md
//! ```
//!
//! On SIGHUP it reads the certificate again; on SIGTERM or SIGINT it ends what it is doing, and then
//! itself.

use std::io;

use ecohttpd::{Connection, Options, Request, Server, Signal, Signals, Tls};
use smol::future::FutureExt;

async fn handler(con: &mut Connection, req: &mut Request) -> ecohttpd::Result {
    con.serve_file(req).await
}

fn port(arg: Option<String>, default: u16) -> io::Result<u16> {
    let Some(arg) = arg else {
        return Ok(default);
    };
    arg.parse().map_err(|_| io::Error::other(format!("{arg} is not a port")))
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let port = port(args.next(), 8443)?;
    let cert = args.next().unwrap_or("tests/pki/localhost.pem".into());
    let key = args.next().unwrap_or("tests/pki/localhost.key".into());

    let signals = Signals::new(&[Signal::Hangup, Signal::Terminate, Signal::Interrupt])?;
    let server = Server::new(Options::default())
        .bind_tls(([127, 0, 0, 1], port).into(), Tls::load(&cert, &key)?)?;
    let handle = server.handle();
    for addr in server.local_addrs()? {
        println!("https://{addr}/");
    }
    let steer = async {
        while let Signal::Hangup = signals.next().await? {
            match Tls::load(&cert, &key).and_then(|tls| handle.set_tls(&tls)) {
                Ok(()) => println!("the certificate was read again"),
                Err(e) => eprintln!("the old certificate stays: {e}"),
            }
        }
        handle.drain();
        std::future::pending().await
    };
    ecohttpd::block_on(server.serve(handler).or(steer))
}
