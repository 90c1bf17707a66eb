//! What is served where: the configuration as requests see it, and what a path stands for.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ecohttpd::{Connection, OpenFile, Status};

use crate::args::Args;
use crate::auth::Realms;
use crate::conf::Conf;
use crate::report::Report;
use crate::rules::Rules;

/// The configuration as requests see it. A reload makes another one.
pub(crate) struct Site {
    args: Rc<Args>,
    /// The configuration file that was read.
    pub(crate) config: Option<PathBuf>,
    pub(crate) docroot: PathBuf,
    index: Vec<String>,
    pub(crate) error_page: Option<String>,
    pub(crate) no_dirlists: bool,
    pub(crate) charset: String,
    /// Without a slash at its end, so that it is empty where everything is run.
    pub(crate) cgi_prefix: String,
    /// Those of the configuration file, beside those of the command line.
    interpreters: Vec<(String, PathBuf)>,
    pub(crate) rules: Rules,
    pub(crate) realms: Realms,
    pub(crate) realm: String,
    pub(crate) rfc1918_filter: bool,
    pub(crate) redirect_status: Status,
    pub(crate) redirect_hosts: Vec<(String, String)>,
    pub(crate) script_timeout: u32,
    pub(crate) spool_limit: u64,
}

/// A script, and how the path of the request divides on it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) path: PathBuf,
    /// The path as the client knows it: SCRIPT_NAME.
    pub(crate) name: Vec<u8>,
    /// What follows it: PATH_INFO.
    pub(crate) info: Vec<u8>,
    pub(crate) interpreter: Option<PathBuf>,
}

/// What a path stands for.
#[derive(Debug)]
pub(crate) enum Target {
    Script(Box<Script>),
    /// A file, or a directory whose slash is missing.
    File(OpenFile),
    /// A directory without an index.
    Directory(PathBuf),
    Missing,
    Forbidden,
}

/// Names that stand for a directory after those that were given, as in uhttpd.
const INDEX: [&str; 4] = ["index.html", "index.htm", "default.html", "default.htm"];

impl Site {
    /// Reads what the command line names.
    pub(crate) fn load(args: &Rc<Args>, report: &mut Report) -> Site {
        let config = args.config();
        let conf = config.map(|path| Conf::read(path, report)).unwrap_or_default();
        let mut rules = Rules::default();
        for path in &args.json_scripts {
            rules.read(path, report);
        }
        let mut index = args.index.clone();
        index.extend(conf.index);
        for name in INDEX {
            index.push(name.to_owned());
        }
        Site {
            args: args.clone(),
            config: config.map(Path::to_owned),
            docroot: args.home.clone(),
            index,
            error_page: conf.error_page.or_else(|| args.error_page.clone()),
            no_dirlists: args.no_dirlists,
            charset: args.charset.clone(),
            cgi_prefix: args.cgi_prefix.clone(),
            interpreters: conf.interpreters,
            rules,
            realms: conf.realms,
            realm: args.realm.clone(),
            rfc1918_filter: args.rfc1918_filter,
            redirect_status: Status::new(args.redirect_status)
                .unwrap_or(Status::TEMPORARY_REDIRECT),
            redirect_hosts: args.redirect_hosts.clone(),
            script_timeout: args.script_timeout,
            spool_limit: args.spool_limit,
        }
    }

    /// Where below the docroot a path of URLs is.
    fn place(&self, path: &[u8]) -> PathBuf {
        self.docroot.join(below(path))
    }

    /// Whether everybody may see `path`.
    pub(crate) fn is_open(&self, path: &[u8]) -> bool {
        self.guarded(path).is_none()
    }

    /// What of `path` takes a password: all of it, or the file that it is a packed form of.
    pub(crate) fn guarded<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        if self.realms.is_empty() {
            return None;
        }
        let stem = [".gz", ".br", ".zst"].iter().find_map(|end| path.strip_suffix(end.as_bytes()));
        [Some(path), stem].into_iter().flatten().find(|path| self.realms.guards(path))
    }

    /// The path that an alias has for `path`.
    pub(crate) fn alias(&self, path: &[u8]) -> Option<Vec<u8>> {
        let (_, to) =
            self.args.aliases.iter().find(|(alias, _)| is_below(path, alias.as_bytes()))?;
        let to = to.as_deref().unwrap_or(&self.cgi_prefix);
        Some([to.as_bytes(), path].concat())
    }

    /// The path by which a file or script is known by itself, which may have been found as the
    /// index of a directory.
    pub(crate) fn own_path(&self, target: &Target) -> Option<Vec<u8>> {
        match target {
            Target::Script(script) => Some(script.name.clone()),
            Target::File(file) => {
                let below = file.path().strip_prefix(&self.docroot).ok()?;
                Some([b"/", below.as_os_str().as_bytes()].concat())
            }
            _ => None,
        }
    }

    fn interpreter(&self, path: &[u8]) -> Option<&Path> {
        let ends = |extension: &str| {
            path.strip_suffix(extension.as_bytes()).is_some_and(|stem| !stem.is_empty())
        };
        let mut all = self.args.interpreters.iter().chain(&self.interpreters);
        let found = all.find(|(extension, _)| ends(extension));
        found.map(|(_, interpreter)| interpreter.as_path())
    }

    /// Finds out what `path` stands for, which is decoded and begins with a slash.
    ///
    /// All but a file of that name is on the heap, so that this is small.
    pub(crate) async fn resolve(&self, con: &Connection, path: &[u8]) -> io::Result<Target> {
        if is_below(path, self.cgi_prefix.as_bytes()) {
            return Box::pin(self.program(path)).await;
        }
        let found = match path.ends_with(b"/") {
            true => Box::pin(self.index(con, path)).await,
            // What is kept is found without a path that is put together.
            false => match con.open(below(path)).await {
                Ok(file) => self.found(file, path),
                Err(e) => Err(e),
            },
        };
        let found = match found {
            Err(e) if is_missing(&e) => Box::pin(self.interpreted(con, path)).await,
            done => done,
        };
        match found {
            Err(e) if is_forbidden(&e) => Ok(Target::Forbidden),
            done => done,
        }
    }

    /// A file that was found, unless it is to be run.
    fn found(&self, file: OpenFile, path: &[u8]) -> io::Result<Target> {
        if file.is_dir() {
            return Ok(Target::File(file));
        }
        // What not everybody may read is not for everybody in the net, as uhttpd has it.
        if !file.is_file() || file.metadata().mode() & 0o004 == 0 {
            return Ok(Target::Forbidden);
        }
        match self.interpreter(path) {
            // Nothing is unpacked to be run.
            Some(_) if file.is_packed() => Ok(Target::Missing),
            Some(interpreter) => Ok(Target::Script(Box::new(Script {
                path: file.path().to_owned(),
                name: path.to_owned(),
                info: Vec::new(),
                interpreter: Some(interpreter.to_owned()),
            }))),
            None => Ok(Target::File(file)),
        }
    }

    /// The index of a directory, or else the directory itself.
    async fn index(&self, con: &Connection, path: &[u8]) -> io::Result<Target> {
        for name in &self.index {
            let joined = [path, name.as_bytes()].concat();
            if is_below(&joined, self.cgi_prefix.as_bytes()) {
                match self.program(&joined).await? {
                    Target::Missing => continue,
                    found => return Ok(found),
                }
            }
            match con.open(below(&joined)).await {
                Ok(file) if file.is_file() => {
                    return self.found(file, &joined);
                }
                Err(e) if !is_missing(&e) => return Err(e),
                _ => {}
            }
        }
        let dir = con.open(below(path)).await?;
        match dir.metadata().mode() & 0o004 {
            0 => Ok(Target::Forbidden),
            _ => Ok(Target::Directory(dir.path().to_owned())),
        }
    }

    /// A file with an interpreter somewhere in the middle of the path.
    async fn interpreted(&self, con: &Connection, path: &[u8]) -> io::Result<Target> {
        for end in ends(path, 1) {
            let (name, info) = path.split_at_checked(end).unwrap_or((path, &[]));
            if info.is_empty() || self.interpreter(name).is_none() {
                continue;
            }
            let file = match con.open(below(name)).await {
                Err(e) if is_missing(&e) => continue,
                done => done?,
            };
            if !file.is_file() {
                continue;
            }
            return Ok(match self.found(file, name)? {
                Target::Script(mut script) => {
                    script.info = info.to_owned();
                    Target::Script(script)
                }
                other => other,
            });
        }
        Ok(Target::Missing)
    }

    /// A program below the prefix for scripts. A link may lead anywhere: those of LuCI lead out of
    /// the docroot.
    async fn program(&self, path: &[u8]) -> io::Result<Target> {
        for end in ends(path, self.cgi_prefix.len() + 1) {
            let (name, info) = path.split_at_checked(end).unwrap_or((path, &[]));
            let place = self.place(name);
            let (is_file, mode) = match OpenFile::open(&place).await {
                Ok(file) => {
                    if file.is_file() {
                        let _ = file.prefetch().await; // whoever runs it will say what is wrong
                    }
                    (file.is_file(), file.metadata().mode())
                }
                // It may be there to be run, and not to be read.
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    match std::fs::metadata(&place) {
                        Ok(meta) => (meta.is_file(), meta.mode()),
                        Err(_) => return Ok(Target::Forbidden),
                    }
                }
                Err(e) if is_missing(&e) => return Ok(Target::Missing),
                Err(e) if is_forbidden(&e) => return Ok(Target::Forbidden),
                Err(e) => return Err(e),
            };
            if !is_file {
                continue;
            }
            let interpreter = self.interpreter(name).map(Path::to_owned);
            if interpreter.is_none() && mode & 0o001 == 0 {
                return Ok(Target::Forbidden);
            }
            let (name, info) = (name.to_owned(), info.to_owned());
            let script = Script { path: place, name, info, interpreter };
            return Ok(Target::Script(Box::new(script)));
        }
        // A directory of programs is not listed, but one of them may stand for it.
        if path.ends_with(b"/") {
            for name in &self.index {
                let joined = [path, name.as_bytes()].concat();
                match Box::pin(self.program(&joined)).await? {
                    Target::Missing => {}
                    found => return Ok(found),
                }
            }
        }
        match OpenFile::open(self.place(path)).await {
            Err(e) if is_missing(&e) => Ok(Target::Missing),
            _ => Ok(Target::Forbidden),
        }
    }
}

/// What a path of URLs is, counted from the docroot; never one that counts from the root.
fn below(path: &[u8]) -> &Path {
    let slashes = path.iter().take_while(|&&b| b == b'/').count();
    Path::new(OsStr::from_bytes(path.get(slashes..).unwrap_or(&[])))
}

/// Looks at a program that files are to be run by.
pub(crate) fn check_interpreter(path: &Path) -> Result<(), Cow<'static, str>> {
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => Err("the interpreter is no file".into()),
        Ok(meta) if meta.mode() & 0o111 == 0 => Err("the interpreter cannot be run".into()),
        Ok(_) => Ok(()),
        Err(e) => Err(e.to_string().into()),
    }
}

fn is_missing(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || e.raw_os_error() == Some(libc::ENAMETOOLONG)
}

/// What may not be read, a link that leads to itself, a socket.
fn is_forbidden(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::PermissionDenied
        || matches!(e.raw_os_error(), Some(libc::ELOOP | libc::ENXIO))
}

/// Whether `path` is `prefix` or something below it. Below nothing is everything.
fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Where the segments of `path` end, from the one on that `from` is in.
fn ends(path: &[u8], from: usize) -> impl Iterator<Item = usize> {
    let slashes = memchr::memchr_iter(b'/', path).chain([path.len()]);
    slashes.filter(move |end| *end > from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_ends_where_a_segment_does() {
        assert!(is_below(b"/cgi-bin", b"/cgi-bin") && is_below(b"/cgi-bin/x", b"/cgi-bin"));
        assert!(!is_below(b"/cgi-bin2", b"/cgi-bin") && !is_below(b"/x/cgi-bin", b"/cgi-bin"));
        assert!(is_below(b"/x", b"") && is_below(b"/", b""));
        for (path, inside) in [("/", ""), ("/a/b", "a/b"), ("//etc/passwd", "etc/passwd"), ("", "")]
        {
            assert_eq!(below(path.as_bytes()), Path::new(inside));
        }
        assert_eq!(ends(b"/a/b/c", 1).collect::<Vec<_>>(), [2, 4, 6]);
        assert_eq!(ends(b"/cgi-bin/luci/", 9).collect::<Vec<_>>(), [13, 14]);
        assert_eq!(ends(b"/cgi-bin", 9).collect::<Vec<_>>(), [0; 0]);
    }
}
