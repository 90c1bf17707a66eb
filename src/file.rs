//! Files as responses: which part of which, by what the request says.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::cache::{At, Held};
use crate::find::{OpenFile, Representation, Transfer, open, represent};
use crate::io::sys;
use crate::wire::condition::{self, Validators, Verdict};
use crate::wire::range::{self, Part, Ranges};
use crate::wire::uri;
use crate::{Connection, Error, Request, Result, Status};

impl Connection {
    /// Serves the file that the request names, from [`Options::docroot`](crate::Options::docroot).
    ///
    /// For GET and HEAD: the index file of a directory, and a redirect (301) where its slash is
    /// missing; validators and conditional requests (RFC 9110, 13); byte ranges, one or several
    /// (14); and of the file's precompressed siblings `.br`, `.zst` and `.gz` the one the client
    /// prefers, unless it is older than the file. Other methods are answered with 405. A path that
    /// leaves the docroot is answered with 403; so is one that hides a slash as `%2F`, since no file
    /// can be meant by it. Where a handler has set another status than 200 before, the file is sent
    /// with that status and without conditions: an error page.
    ///
    /// # Errors
    ///
    /// Those of the connection. What is wrong with the file is answered: 404, 403, 500, 503.
    pub async fn serve_file(&mut self, req: &Request) -> Result {
        if req.climbs() || req.hides_slash() {
            return self.answer(Status::FORBIDDEN).await;
        }
        let relative = req.path_bytes().strip_prefix(b"/").unwrap_or(req.path_bytes());
        let path = self.options.docroot.join(OsStr::from_bytes(relative));
        self.serve(req, &path, true).await
    }

    /// Serves this file, or directory, in the same way, wherever it is.
    ///
    /// The path is the program's own and is taken as it is; the request's counts only where a
    /// directory's slash is missing.
    ///
    /// # Errors
    ///
    /// Like [`serve_file`](Self::serve_file).
    pub async fn serve_path(&mut self, req: &Request, path: impl AsRef<Path>) -> Result {
        self.serve(req, path.as_ref(), false).await
    }

    /// Opens what is at `path`, which counts from the docroot unless it is absolute, without
    /// keeping anybody waiting: a file, or a directory.
    ///
    /// [`Options::no_symlinks`](crate::Options::no_symlinks) applies, and with
    /// [`Options::gzip`](crate::Options::gzip) what is there only as `.gz` is found by its own name.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<OpenFile> {
        let path = path.as_ref();
        let at = match path.is_absolute() {
            true => At::of(path),
            false => At { root: &self.options.docroot, below: path },
        };
        open(self, at, true).await
    }

    /// Serves a file that is open already, in the same way as [`serve_file`](Self::serve_file).
    ///
    /// Of a directory it is the index file; where the request's path lacks the slash, the client
    /// is sent to the path that has it.
    ///
    /// # Errors
    ///
    /// Like [`serve_file`](Self::serve_file).
    pub async fn serve_open(&mut self, req: &Request, file: OpenFile) -> Result {
        match self.allows_method(req)? {
            true => self.serve_opened(req, file, true).await,
            false => Box::pin(self.answer(Status::METHOD_NOT_ALLOWED)).await,
        }
    }

    /// Whether the request's method is one that files have. An error page answers whatever was
    /// asked.
    fn allows_method(&mut self, req: &Request) -> Result<bool> {
        let allowed = self.response.status != Status::OK || req.is_read();
        if !allowed {
            self.add_header("Allow", "GET, HEAD")?;
        }
        Ok(allowed)
    }

    async fn serve(&mut self, req: &Request, path: &Path, confined: bool) -> Result {
        if !self.allows_method(req)? {
            return Box::pin(self.answer(Status::METHOD_NOT_ALLOWED)).await;
        }
        let slash = path.as_os_str().as_bytes().ends_with(b"/");
        let index = slash.then(|| path.join(&self.options.index));
        let opened = Box::pin(open(self, At::of(index.as_deref().unwrap_or(path)), confined)).await;
        let error = match opened {
            Ok(file) if slash && file.is_dir() => io::ErrorKind::PermissionDenied.into(),
            Ok(file) => return self.serve_opened(req, file, confined).await,
            // A directory without an index is there, but not to be looked into.
            Err(e) if slash && e.kind() == io::ErrorKind::NotFound => {
                match Box::pin(open(self, At::of(path), confined)).await {
                    Ok(_) => io::ErrorKind::PermissionDenied.into(),
                    Err(_) => e,
                }
            }
            Err(e) => e,
        };
        Box::pin(self.answer_io(error)).await
    }

    async fn serve_opened(&mut self, req: &Request, file: OpenFile, confined: bool) -> Result {
        if let Some(kept) = self.at_hand(req, &file) {
            return self.send_kept(&file.held, kept).await;
        }
        Box::pin(self.serve_looked_at(req, file, confined)).await
    }

    async fn serve_looked_at(&mut self, req: &Request, file: OpenFile, confined: bool) -> Result {
        if file.is_dir() {
            // The request has its slash; it is the program's path that has none.
            if req.path_bytes().ends_with(b"/") {
                return Box::pin(self.serve(req, &file.path().join(""), confined)).await;
            }
            let mut location = String::new();
            uri::push_escaped(&mut location, req.path_bytes());
            location.push('/');
            if !req.query_string().is_empty() {
                location.push('?');
                location.push_str(req.query_string());
            }
            return self.redirect(Status::MOVED_PERMANENTLY, &location).await;
        }
        let confined = confined && self.options.no_symlinks;
        match Box::pin(represent(self, req, file, confined)).await {
            Ok(it) => Box::pin(self.send_representation(req, it)).await,
            Err(e) => self.answer_io(e).await,
        }
    }

    async fn answer_io(&mut self, e: io::Error) -> Result {
        self.answer(Error::Io(e).status().unwrap_or(Status::INTERNAL_SERVER_ERROR)).await
    }

    async fn send_representation(&mut self, req: &Request, it: Box<Representation>) -> Result {
        let is_bare = self.response.status == Status::OK && self.response.is_bare();
        let size = it.opened.size();
        let held = &*it.opened.held;
        match self.choose(req, &it)? {
            Choice::Nothing(status) => return self.answer(status).await,
            Choice::NotModified => {}
            Choice::NoPart => {
                self.response.drop_content();
                self.add_header("Content-Range", &format!("bytes */{size}"))?;
                return self.error_page(Status::RANGE_NOT_SATISFIABLE).await;
            }
            #[cfg(feature = "gzip")]
            Choice::Whole if it.transfer != Transfer::Plain => {
                self.send_transformed(held, it.transfer).await?;
            }
            Choice::Whole => {
                self.response.set_length(size);
                let most = self.options.file_cache;
                if held.is_worth_keeping(most, || self.shared.now()) {
                    Box::pin(self.shared.cache.fill(&it.opened.held, most)).await?;
                }
                let is_usual = is_bare && it.coding.is_none() && held.kept().is_some();
                if let Some(fields) = self.response.fields_set().filter(|_| is_usual) {
                    held.fields.get_or_init(|| fields.clone());
                }
                self.send_stretch(held, Part { start: 0, len: size }).await?;
            }
            Choice::Parts(parts) => {
                self.set_status(Status::PARTIAL_CONTENT)?;
                Box::pin(self.send_parts(held, size, &parts)).await?;
            }
        }
        self.write(&[], true).await
    }

    /// Decides by the conditions and ranges of a request what of a file is sent, and sets the fields for
    /// it.
    fn choose(&mut self, req: &Request, it: &Representation) -> Result<Choice> {
        let whole = it.transfer == Transfer::Plain;
        let mut choice = Choice::Whole;
        if !it.kind.packed {
            // Also where there is no sibling, so that nobody has to look for one.
            self.response.put("Vary", b"Accept-Encoding", false);
        }
        if self.response.status == Status::OK {
            let now = self.shared.dated(it.opened.modified());
            let modified = it.opened.modified().min(now);
            let weak = (!whole).then(|| format!("W/{}", it.opened.held.etag()));
            let etag = weak.as_deref().unwrap_or(it.opened.held.etag());
            self.response.put("ETag", etag.as_bytes(), true);
            let date = it.opened.held.modified(it.opened.modified(), now);
            self.response.put("Last-Modified", date.as_bytes(), true);
            let validators = Validators { etag, modified, now };
            match condition::evaluate(|name| req.header_all(name), validators) {
                Verdict::Failed => return Ok(Choice::Nothing(Status::PRECONDITION_FAILED)),
                Verdict::NotModified => {
                    self.set_status(Status::NOT_MODIFIED)?;
                    return Ok(Choice::NotModified);
                }
                Verdict::Proceed { range: true } if req.method() == "GET" && whole => {
                    match req.header("range").map(|value| range::parse(value, it.opened.size())) {
                        None | Some(Ranges::Whole) => {}
                        Some(Ranges::Parts(parts)) => choice = Choice::Parts(parts),
                        Some(Ranges::Unsatisfiable) => return Ok(Choice::NoPart),
                    }
                }
                Verdict::Proceed { .. } => {}
            }
            if whole {
                self.response.put("Accept-Ranges", b"bytes", true);
            }
        }
        if let Some(coding) = it.coding {
            self.add_header("Content-Encoding", coding.name())?;
        }
        if !self.response.has("content-type") {
            self.response.put("Content-Type", it.kind.name.as_bytes(), true);
        }
        Ok(choice)
    }

    /// One range, or several as `multipart/byteranges` (RFC 9110, 14.6).
    async fn send_parts(&mut self, held: &Held, size: u64, parts: &[Part]) -> Result {
        if let [part] = parts {
            self.add_header("Content-Range", &content_range(*part, size))?;
            self.response.set_length(part.len);
            return self.send_stretch(held, *part).await;
        }
        let kind = self.response.field("content-type").unwrap_or("").to_owned();
        let random = || {
            let mut bytes = [0; 8];
            // Whoever has put one into a file has done so by chance.
            let _ = sys::random(&mut bytes);
            u64::from_ne_bytes(bytes)
        };
        let boundary = format!("{:016x}{:016x}", random(), random());
        let head = |part: &Part| {
            let range = content_range(*part, size);
            format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n")
        };
        let end = format!("\r\n--{boundary}--\r\n");
        let lengths = parts.iter().map(|part| head(part).len() as u64 + part.len);
        self.response.set_length(lengths.sum::<u64>() + end.len() as u64);
        self.add_header("Content-Type", &format!("multipart/byteranges; boundary={boundary}"))?;
        for part in parts {
            self.send_pieces(&[head(part).as_bytes()]).await?;
            self.send_stretch(held, *part).await?;
        }
        self.send_pieces(&[end.as_bytes()]).await
    }
}

/// What of a file is sent.
enum Choice {
    /// No file at all.
    Nothing(Status),
    /// The client has it.
    NotModified,
    /// What it asks for lies behind the end.
    NoPart,
    Whole,
    Parts(Vec<Part>),
}

fn content_range(part: Part, size: u64) -> String {
    let last = part.start.saturating_add(part.len).saturating_sub(1);
    format!("bytes {}-{last}/{size}", part.start)
}
