//! lua-eco's examples/http/server_multiprocess.lua in Rust: one server process per processor, all
//! on the same port.
//!
//! ```text
//! cargo run --example multiprocess [PORT]
//! curl http://127.0.0.1:8080/test
//! ```

use std::fmt::Display;
use std::io::Read;
use std::process::{Child, Command, Stdio, id};
use std::{env, io, thread};

use ecohttpd::{Connection, Options, Request, Result, Signal, Signals, listen};

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    if req.path() != "/test" {
        return con.serve_file(req).await;
    }
    con.add_header("content-type", "text/html")?;
    con.send("<h1>HTTP server test</h1>\n").await?;
    let peer = con.remote_addr();
    let (major, minor) = req.version();
    line(con, "process: ", &id()).await?;
    line(con, "remote addr: ", &peer.ip()).await?;
    line(con, "remote port: ", &peer.port()).await?;
    line(con, "method: ", &req.method()).await?;
    line(con, "path: ", &req.path()).await?;
    line(con, "http version: ", &format!("{major}.{minor}")).await?;
    con.send("<h2>query:</h2>\n").await?;
    for (name, value) in req.query() {
        con.send(&format!("<p>{}: {}</p>\n", text(&name), text(&value))).await?;
    }
    con.send("<h2>headers:</h2>\n").await?;
    for (name, value) in req.headers() {
        con.send(&format!("<p>{}: {}</p>\n", text(name), text(value))).await?;
    }
    let body = con.read_body_to_end(1 << 16).await?;
    line(con, "body: ", &String::from_utf8_lossy(&body)).await
}

async fn line(con: &mut Connection, name: &str, value: &dyn Display) -> Result {
    con.send(("<h2>", name, text(&value.to_string()), "</h2>\n")).await
}

/// What a client sent, as text of a page.
fn text(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;")
}

/// One server. It ends with the parent, whose end of the pipe closes however it ends.
fn serve(port: u16) -> io::Result<()> {
    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let options = Options { reuseaddr: true, reuseport: true, ..Options::default() };
    ecohttpd::block_on(listen(None, port, options, handler))
}

fn spawn() -> io::Result<Child> {
    Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env("ECOHTTPD_WORKER", "1")
        .stdin(Stdio::piped())
        .spawn()
}

fn port(arg: Option<String>, default: u16) -> io::Result<u16> {
    let Some(arg) = arg else {
        return Ok(default);
    };
    arg.parse().map_err(|_| io::Error::other(format!("{arg} is not a port")))
}

fn main() -> io::Result<()> {
    let port = port(env::args().nth(1), 8080)?;
    if env::var_os("ECOHTTPD_WORKER").is_some() {
        return serve(port);
    }
    let signals = Signals::new(&[Signal::Interrupt, Signal::Terminate])?;
    let count = thread::available_parallelism()?.get();
    let mut workers = (0..count).map(|_| spawn()).collect::<io::Result<Vec<_>>>()?;
    ecohttpd::block_on(signals.next())?;
    println!("\nasked to quit");
    for worker in &mut workers {
        drop(worker.stdin.take());
        worker.wait()?;
    }
    Ok(())
}
