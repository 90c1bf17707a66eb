//! The listing of a directory, as a page or as JSON.

mod accept;
mod page;

use std::cmp::Ordering;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{fs, io};

use crate::slots::Slots;
use ecohttpd::{Connection, Request};
use rustix::io::Errno;

use self::page::Page;

/// The entries of a directory that are looked at; nobody reads a longer list.
const MOST: usize = 10_000;

/// The bytes that all listings under way may hold, so that clients who take theirs slowly cannot
/// take the memory with them.
const MOST_HELD: usize = 4 << 20;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// Answers a GET or HEAD with the listing of `dir`.
pub(crate) async fn answer(
    con: &mut Connection,
    req: &Request,
    dir: PathBuf,
    charset: &str,
    reading: &Slots,
) -> ecohttpd::Result {
    let options = con.options();
    let confines = options.no_symlinks.then(|| options.docroot.clone());
    // One at a time, so that whatever else waits for the helper thread waits for one at most.
    let turn = reading.take().await;
    let listing = ecohttpd::unblock(move || Listing::read(&dir, confines.as_deref())).await?;
    drop(turn);
    let json = accept::prefers_json(req.header_all("accept"));
    let page = Page { path: req.path_bytes(), charset, json };
    let (kind, charset) =
        if json { ("application/json", "") } else { ("text/html; charset=", charset) };
    con.append_header("Vary", "Accept")?;
    con.add_header("Cache-Control", "no-cache")?;
    con.add_header("Content-Type", &[kind, charset].concat())?;
    let mut out = Vec::new();
    page.begin(&mut out, &listing);
    let mut entries = listing.entries.iter().enumerate();
    loop {
        let next = entries.next();
        match next {
            Some((i, entry)) => page.entry(&mut out, listing.name(entry), entry, i == 0),
            None => page.end(&mut out, &listing),
        }
        con.send(&out).await?;
        out.clear();
        match next {
            // Neither a fast client nor a HEAD makes it wait, and there may be thousands.
            Some((i, _)) if i % 128 == 127 => smol::future::yield_now().await,
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Other,
}

#[derive(Debug)]
struct Entry {
    /// Where its name begins, and how long it is.
    start: usize,
    len: usize,
    kind: Kind,
    size: u64,
    /// Seconds since 1970.
    modified: i64,
}

/// What is in a directory, in the order in which it is shown.
#[derive(Debug, Default)]
struct Listing {
    /// All names in one piece, which goes back to the system as one.
    names: Vec<u8>,
    entries: Vec<Entry>,
    /// There are more.
    truncated: bool,
    held: usize,
}

impl Listing {
    /// Reads a directory. What cannot be looked at is left out, since it could not be served either:
    /// what is gone by now, links that lead nowhere, and those that lead out of `confines`.
    fn read(dir: &Path, confines: Option<&Path>) -> io::Result<Listing> {
        let confines = confines.map(fs::canonicalize).transpose()?;
        let mut listing = Listing::default();
        for (seen, found) in fs::read_dir(dir)?.enumerate() {
            let found = found?;
            if seen == MOST {
                listing.truncated = true;
                break;
            }
            let path = found.path();
            if let Some(confines) = &confines {
                let is_link = found.file_type().is_ok_and(|kind| kind.is_symlink());
                if is_link && !fs::canonicalize(&path).is_ok_and(|real| real.starts_with(confines))
                {
                    continue;
                }
            }
            let Ok(meta) = fs::metadata(&path) else {
                continue;
            };
            let kind = match meta.file_type() {
                kind if kind.is_dir() => Kind::Directory,
                kind if kind.is_file() => Kind::File,
                _ => Kind::Other,
            };
            listing.add(found.file_name().as_bytes(), kind, meta.len(), meta.mtime());
        }
        listing.hold()?;
        let Listing { names, entries, .. } = &mut listing;
        entries.sort_unstable_by(|a, b| {
            let rank = |e: &Entry| e.kind != Kind::Directory;
            rank(a).cmp(&rank(b)).then_with(|| by_name(name(names, a), name(names, b)))
        });
        Ok(listing)
    }

    fn add(&mut self, name: &[u8], kind: Kind, size: u64, modified: i64) {
        let (start, len) = (self.names.len(), name.len());
        self.names.extend_from_slice(name);
        self.entries.push(Entry { start, len, kind, size, modified });
    }

    fn name(&self, entry: &Entry) -> &[u8] {
        name(&self.names, entry)
    }

    /// Counts what it takes, if there is still room for that.
    fn hold(&mut self) -> io::Result<()> {
        self.names.shrink_to_fit();
        self.entries.shrink_to_fit();
        let held = self.names.capacity() + self.entries.capacity() * size_of::<Entry>();
        // One thread reads them all, so nothing is added in between.
        if HELD.load(Relaxed) + held > MOST_HELD {
            return Err(Errno::NOMEM.into());
        }
        HELD.fetch_add(held, Relaxed);
        self.held = held;
        Ok(())
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        HELD.fetch_sub(self.held, Relaxed);
    }
}

fn name<'a>(names: &'a [u8], entry: &Entry) -> &'a [u8] {
    names.get(entry.start..entry.start + entry.len).unwrap_or(&[])
}

/// Case aside, unless it is the only difference.
fn by_name(a: &[u8], b: &[u8]) -> Ordering {
    let lower = u8::to_ascii_lowercase;
    a.iter().map(lower).cmp(b.iter().map(lower)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory of the test's own, removed when this goes.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Dir {
            let name = format!("ecohttpd-listing-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Dir(path)
        }

        fn write(&self, name: &str, content: &str) {
            fs::write(self.0.join(name), content).unwrap();
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn names(listing: &Listing) -> Vec<String> {
        let text = |entry| String::from_utf8_lossy(listing.name(entry)).into_owned();
        listing.entries.iter().map(text).collect()
    }

    #[test]
    fn directories_come_first_and_case_comes_last() {
        let dir = Dir::new("order");
        for name in ["b", "a", "B", "A10", "a2", ".x", "_", "z\u{e4}"] {
            dir.write(name, "");
        }
        for name in ["zz", "ZA"] {
            fs::create_dir(dir.0.join(name)).unwrap();
        }
        let listing = Listing::read(&dir.0, None).unwrap();
        assert_eq!(names(&listing), ["ZA", "zz", ".x", "_", "a", "A10", "a2", "B", "b", "z\u{e4}"]);
        assert_eq!(by_name(b"a\xff", b"a"), Ordering::Greater);
        assert_eq!(by_name(b"", b""), Ordering::Equal);
    }

    #[test]
    fn links_are_what_they_lead_to_or_nothing() {
        let (dir, other) = (Dir::new("links"), Dir::new("elsewhere"));
        dir.write("file", "12345");
        other.write("file", "1234567");
        let link = |to: &Path, name: &str| symlink(to, dir.0.join(name)).unwrap();
        link(Path::new("file"), "inside");
        link(&other.0.join("file"), "outside");
        link(&other.0, "directory");
        link(Path::new("/dev/null"), "device");
        link(Path::new("nowhere"), "dangling");
        link(Path::new("loop"), "loop");
        let listing = Listing::read(&dir.0, None).unwrap();
        assert_eq!(names(&listing), ["directory", "device", "file", "inside", "outside"]);
        let kinds: Vec<_> = listing.entries.iter().map(|e| e.kind).collect();
        assert_eq!(kinds[..3], [Kind::Directory, Kind::Other, Kind::File]);
        assert_eq!((listing.entries[3].size, listing.entries[4].size), (5, 7));
        let listing = Listing::read(&dir.0, Some(&dir.0)).unwrap();
        assert_eq!(names(&listing), ["file", "inside"]);
    }

    #[test]
    fn a_directory_is_empty_or_large_or_none() {
        let dir = Dir::new("many");
        let listing = Listing::read(&dir.0, None).unwrap();
        assert_eq!((listing.entries.len(), listing.truncated), (0, false));
        for i in 0..MOST {
            dir.write(&i.to_string(), "");
        }
        let listing = Listing::read(&dir.0, None).unwrap();
        assert_eq!((listing.entries.len(), listing.truncated), (MOST, false));
        dir.write("one more", "");
        let listing = Listing::read(&dir.0, None).unwrap();
        assert_eq!((listing.entries.len(), listing.truncated), (MOST, true));
        let error = Listing::read(&dir.0.join("none"), None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = Listing::read(&dir.0.join("1"), None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn all_listings_together_have_a_limit() {
        let listing = |len| {
            let mut listing = Listing::default();
            listing.names.resize(len, b'a');
            listing
        };
        let (mut one, mut two) = (listing(MOST_HELD / 2), listing(MOST_HELD / 2 + 1));
        one.hold().unwrap();
        let error = ecohttpd::Error::Io(two.hold().unwrap_err());
        assert_eq!(error.status(), Some(ecohttpd::Status::SERVICE_UNAVAILABLE));
        // The longest list there can be has room by itself.
        assert!(MOST * (255 + size_of::<Entry>()) <= MOST_HELD);
    }
}
