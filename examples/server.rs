//! lua-eco's examples/http/server.lua in Rust: an upload form's end, a page that tells what it was
//! asked, and files for the rest.
//!
//! ```text
//! cargo run --example server [PORT]
//! curl 'http://127.0.0.1:8080/test?a=1'
//! curl -F file=@Cargo.toml http://127.0.0.1:8080/upload
//! ```

use std::fmt::Display;

use ecohttpd::{Connection, FormEvent, Options, Request, Result, Status, listen, param};
use smol::Unblock;
use smol::io::AsyncWriteExt;

/// Stores the part called `file` in the current directory and prints the others.
async fn handle_upload(con: &mut Connection, req: &mut Request) -> Result {
    let mut file = None;
    loop {
        match con.read_formdata(req).await? {
            FormEvent::Header { name: "content-disposition", value } => {
                let Some(part) = param(value, "name") else {
                    return con.send_error(Status::FORBIDDEN).await;
                };
                println!("part name: {part}");
                if part == "file" {
                    // A client can put anything here: only the last part of it names a file.
                    let name = param(value, "filename").unwrap_or_default();
                    let name = name.rsplit(['/', '\\']).next().unwrap_or("");
                    if matches!(name, "" | "." | "..") {
                        return con.send_error(Status::BAD_REQUEST).await;
                    }
                    match std::fs::File::create(name) {
                        // Written by a helper thread, 64 KiB at a time, so that a slow disk keeps
                        // nobody waiting.
                        Ok(created) => file = Some(Unblock::with_capacity(1 << 16, created)),
                        Err(_) => return con.send_error(Status::FORBIDDEN).await,
                    }
                }
            }
            FormEvent::Header { .. } => {}
            FormEvent::Body { data, last } => match &mut file {
                Some(open) => {
                    open.write_all(data).await?;
                    if last {
                        open.close().await?;
                        file = None;
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
        "/upload" => handle_upload(con, req).await,
        "/test" => handle_test(con, req).await,
        _ => con.serve_file(req).await,
    }
}

fn port(arg: Option<String>, default: u16) -> std::io::Result<u16> {
    let Some(arg) = arg else {
        return Ok(default);
    };
    arg.parse().map_err(|_| std::io::Error::other(format!("{arg} is not a port")))
}

fn main() -> std::io::Result<()> {
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
