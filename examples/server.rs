//! lua-eco's examples/http/server.lua in Rust: an upload form's end, a page that tells what it was
//! asked, and files for the rest.
//!
//! ```text
//! cargo run --example server [PORT]
//! curl 'http://127.0.0.1:8080/test?a=1'
//! curl -F file=@Cargo.toml http://127.0.0.1:8080/upload
//! ```

use std::fmt::Display;
use std::fs::{self, File};
use std::io;

use ecohttpd::{Connection, FormEvent, Options, Request, Result, Status, listen, param};
use smol::Unblock;
use smol::io::AsyncWriteExt;

/// Where uploads go, below the current directory.
const DIRECTORY: &str = "uploads";

/// A file that is being received, under a name of its own until all of it is there.
struct Incoming {
    path: String,
    part: String,
    /// Written by a helper thread, 64 KiB at a time, so that a slow disk keeps nobody waiting.
    file: Unblock<File>,
}

impl Incoming {
    /// A client can call a file anything: only the last part of that names one here.
    fn create(name: &str) -> io::Result<Incoming> {
        let name = name.rsplit(['/', '\\']).next().unwrap_or("");
        if name.is_empty() || name.starts_with('.') || name.contains(char::is_control) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        fs::create_dir_all(DIRECTORY)?;
        let (path, part) = (format!("{DIRECTORY}/{name}"), format!("{DIRECTORY}/.{name}.part"));
        let file = Unblock::with_capacity(1 << 16, File::create_new(&part)?);
        Ok(Incoming { path, part, file })
    }

    /// Gives it its name; what has that name already stays.
    async fn keep(mut self) -> io::Result<()> {
        self.file.close().await?;
        fs::hard_link(&self.part, &self.path)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part);
    }
}

/// Stores the part called `file` and prints the others.
async fn handle_upload(con: &mut Connection, req: &mut Request) -> Result {
    let mut file: Option<Incoming> = None;
    loop {
        match con.read_formdata(req).await? {
            FormEvent::Header { name: "content-disposition", value } => {
                let Some(part) = param(value, "name") else {
                    return con.send_error(Status::FORBIDDEN).await;
                };
                println!("part name: {}", part.escape_debug());
                if part == "file" {
                    let Some(name) = param(value, "filename") else {
                        return con.send_error(Status::BAD_REQUEST).await;
                    };
                    match Incoming::create(&name) {
                        Ok(incoming) => file = Some(incoming),
                        Err(_) => return con.send_error(Status::FORBIDDEN).await,
                    }
                }
            }
            FormEvent::Header { .. } => {}
            FormEvent::Body { data, last } => match &mut file {
                Some(open) => {
                    open.file.write_all(data).await?;
                    if let Some(whole) = file.take_if(|_| last) {
                        if whole.keep().await.is_err() {
                            return con.send_error(Status::FORBIDDEN).await;
                        }
                    }
                }
                None => println!("part data: {}", data.escape_ascii()),
            },
            FormEvent::End => return Ok(()),
        }
    }
}

async fn handle_test(con: &mut Connection, req: &mut Request) -> Result {
    con.add_header("content-type", "text/html")?;
    con.send("<h1>HTTP server test</h1>\n").await?;
    let peer = con.remote_addr();
    let (major, minor) = req.version();
    line(con, "remote addr: ", &peer.ip()).await?;
    line(con, "remote port: ", &peer.port()).await?;
    line(con, "method: ", &req.method()).await?;
    line(con, "raw_path: ", &req.raw_path()).await?;
    line(con, "path: ", &req.path()).await?;
    line(con, "http version: ", &format!("{major}.{minor}")).await?;
    line(con, "query_string: ", &req.query_string()).await?;
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

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    match req.path() {
        "/upload" => Box::pin(handle_upload(con, req)).await,
        "/test" => handle_test(con, req).await,
        _ => con.serve_file(req).await,
    }
}

fn port(arg: Option<String>, default: u16) -> io::Result<u16> {
    let Some(arg) = arg else {
        return Ok(default);
    };
    arg.parse().map_err(|_| io::Error::other(format!("{arg} is not a port")))
}

fn main() -> io::Result<()> {
    let port = port(std::env::args().nth(1), 8080)?;
    let options = Options {
        reuseaddr: true,
        http_keepalive: 30,
        keepalive: true,
        tcp_keepidle: Some(5),
        tcp_nodelay: true,
        docroot: ".".into(),
        index: "index.html".into(),
        gzip: false,
        ..Options::default()
    };
    // For HTTPS: cert: Some("cert.pem".into()), key: Some("key.pem".into()), insecure: true
    ecohttpd::block_on(listen(None, port, options, handler))
}
