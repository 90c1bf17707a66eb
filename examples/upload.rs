//! The site in examples/www with its upload form working.
//!
//! ```text
//! cargo run --release --example upload [PORT [DIRECTORY]]
//! ```
//!
//! Files go to the directory as they arrive, 64 KiB at a time, under a name of their own until the
//! last byte is there. `GET /uploads/` lists them, as JSON or as a page.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ecohttpd::{Connection, FormEvent, Options, Request, Result, Server, Status, param};
use smol::Unblock;
use smol::io::AsyncWriteExt;

/// A file that is being received. Unless it is kept, it goes when this does.
struct Incoming {
    name: String,
    path: PathBuf,
    size: u64,
    file: Unblock<File>,
}

impl Incoming {
    fn create(directory: &Path, name: String) -> io::Result<Incoming> {
        for i in 0_u32.. {
            let path = directory.join(format!(".incoming-{i}"));
            match File::create_new(&path) {
                Ok(file) => {
                    let file = Unblock::with_capacity(1 << 16, file);
                    return Ok(Incoming { name, path, size: 0, file });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    async fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.size += data.len() as u64;
        self.file.write_all(data).await
    }

    /// Gives the file its name, or that name with a number if there is one already.
    async fn keep(mut self, directory: &Path) -> io::Result<Entry> {
        self.file.close().await?;
        for i in 0_u32.. {
            let name = if i == 0 { self.name.clone() } else { numbered(&self.name, i) };
            match fs::hard_link(&self.path, directory.join(&name)) {
                Ok(()) => return Ok(Entry { name, size: self.size }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn numbered(name: &str, i: u32) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!("{stem}-{i}.{extension}"),
        _ => format!("{name}-{i}"),
    }
}

struct Entry {
    name: String,
    size: u64,
}

struct Uploads {
    directory: PathBuf,
}

impl Uploads {
    async fn receive(&self, con: &mut Connection, req: &mut Request) -> Result {
        let as_json = takes_json(req);
        let mut stored = Vec::new();
        let mut incoming: Option<Incoming> = None;
        loop {
            match con.read_formdata(req).await? {
                FormEvent::Header { name: "content-disposition", value } => {
                    let name = param(value, "filename").filter(|name| !name.is_empty());
                    // Where no file was chosen, a browser sends one without a name.
                    if let (Some("file"), Some(name)) = (param(value, "name").as_deref(), name) {
                        let Some(name) = plain_name(&name) else {
                            return con
                                .send_error_with(Status::BAD_REQUEST, "", "a file needs a name\n")
                                .await;
                        };
                        incoming = Some(Incoming::create(&self.directory, name)?);
                    }
                }
                FormEvent::Header { .. } => {}
                FormEvent::Body { data, last } => {
                    if let Some(file) = &mut incoming {
                        file.write(data).await?;
                    }
                    if let Some(file) = incoming.take_if(|_| last) {
                        stored.push(file.keep(&self.directory).await?);
                    }
                }
                FormEvent::End => break,
            }
        }
        if as_json {
            return send_json(con, &stored).await;
        }
        con.redirect(Status::SEE_OTHER, "/uploads/").await
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let (name, meta) = (entry.file_name(), entry.metadata()?);
            if let (Some(name), true) = (name.to_str(), meta.is_file()) {
                if !name.starts_with('.') {
                    entries.push(Entry { name: name.to_owned(), size: meta.len() });
                }
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    async fn list(&self, con: &mut Connection, req: &Request) -> Result {
        let entries = self.entries()?;
        con.add_header("Cache-Control", "no-store")?;
        con.add_header("Vary", "Accept")?;
        if takes_json(req) {
            return send_json(con, &entries).await;
        }
        con.add_header("Content-Type", "text/html; charset=utf-8")?;
        con.send("<!DOCTYPE html>\n<link rel=\"icon\" href=\"/favicon.svg\">\n").await?;
        con.send("<title>Uploads</title>\n<h1>Uploads</h1>\n<ul>\n").await?;
        for entry in entries {
            let (href, name) = (href(&entry.name), text(&entry.name));
            con.send(&format!("<li><a href=\"{href}\">{name}</a>, {} bytes\n", entry.size)).await?;
        }
        con.send("</ul>\n<p><a href=\"/upload.html\">More</a>\n").await
    }

    async fn download(&self, con: &mut Connection, req: &Request, name: &[u8]) -> Result {
        let plain = std::str::from_utf8(name).ok().and_then(plain_name);
        if plain.is_none_or(|plain| plain.as_bytes() != name) {
            return con.send_error(Status::NOT_FOUND).await;
        }
        // Whatever somebody uploaded is not to run as a page of this site.
        con.add_header("Content-Disposition", "attachment")?;
        con.add_header("X-Content-Type-Options", "nosniff")?;
        con.serve_path(req, self.directory.join(std::ffi::OsStr::from_bytes(name))).await
    }
}

/// The last part of what a client calls a file, if it can be a name of ours.
fn plain_name(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next()?;
    let fine = !name.is_empty() && !name.starts_with('.') && !name.contains(char::is_control);
    (fine && name.len() <= 200).then(|| name.to_owned())
}

fn takes_json(req: &Request) -> bool {
    req.header("accept").is_some_and(|accept| accept.contains("application/json"))
}

async fn send_json(con: &mut Connection, entries: &[Entry]) -> Result {
    con.add_header("Content-Type", "application/json")?;
    con.send("[").await?;
    for (i, Entry { name, size }) in entries.iter().enumerate() {
        let comma = if i > 0 { ",\n" } else { "" };
        let (quoted, href) = (json(name), href(name));
        con.send(&format!("{comma}{{\"name\":{quoted},\"size\":{size},\"href\":\"{href}\"}}"))
            .await?;
    }
    con.send("]\n").await
}

fn json(raw: &str) -> String {
    let mut out = String::from("\"");
    for c in raw.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn text(raw: &str) -> Cow<'_, str> {
    match raw.contains(['&', '<']) {
        true => raw.replace('&', "&amp;").replace('<', "&lt;").into(),
        false => raw.into(),
    }
}

fn href(name: &str) -> String {
    let mut out = String::from("/uploads/");
    for &b in name.as_bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(b.into())
            }
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn port(arg: Option<String>, default: u16) -> io::Result<u16> {
    let Some(arg) = arg else {
        return Ok(default);
    };
    arg.parse().map_err(|_| io::Error::other(format!("{arg} is not a port")))
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let port = port(args.next(), 8080)?;
    let directory =
        args.next().map_or_else(|| std::env::temp_dir().join("ecohttpd-uploads"), Into::into);
    fs::create_dir_all(&directory)?;
    let uploads = Uploads { directory };
    let options = Options {
        docroot: concat!(env!("CARGO_MANIFEST_DIR"), "/examples/www").into(),
        error_pages: true,
        gzip: cfg!(feature = "gzip"),
        ..Options::default()
    };
    let server = Server::new(options).bind(([127, 0, 0, 1], port).into())?;
    for addr in server.local_addrs()? {
        println!("http://{addr}/ stores uploads in {}", uploads.directory.display());
    }
    io::stdout().flush()?;
    // The handler is a closure that borrows `uploads`; nothing here needs an Rc.
    ecohttpd::block_on(server.serve(async |con: &mut Connection, req: &mut Request| {
        match (req.method(), req.path_bytes()) {
            ("POST", b"/upload") => Box::pin(uploads.receive(con, req)).await,
            ("GET" | "HEAD", b"/uploads/") => uploads.list(con, req).await,
            (_, path) => match path.strip_prefix(b"/uploads/") {
                Some(name) => {
                    let name = name.to_owned();
                    uploads.download(con, req, &name).await
                }
                None => con.serve_file(req).await,
            },
        }
    }))
}
