//! A certificate and its key as files, of which there is never half.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::failure::failure;

/// Where a file is or is to be.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// As it was given.
    shown: PathBuf,
    dir: PathBuf,
    name: OsString,
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        (&self.dir, &self.name) == (&other.dir, &other.name)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.display().fmt(f)
    }
}

impl Place {
    pub(super) fn of(path: &Path) -> Result<Place, String> {
        let name = path.file_name().ok_or("not the path of a file")?.to_owned();
        let dir = match path.parent() {
            Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
            Some(dir) => dir,
            None => Path::new("/"),
        };
        // A directory that is not there is said when something is written to it.
        let dir = dir.canonicalize().unwrap_or_else(|_| dir.into());
        Ok(Place { shown: path.into(), dir, name })
    }

    fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// A file beside it. One that is left there by somebody who was killed is in the way of nobody.
    fn beside(&self, why: &str) -> Beside {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(".ecohttpd-");
        name.push(why);
        let path = self.dir.join(name);
        let _ = fs::remove_file(&path);
        Beside(path)
    }

    fn named(&self, e: io::Error) -> io::Error {
        failure(e.kind(), format!("{self}: {e}"))
    }

    /// Whether nothing is lost if it is replaced but an older file.
    fn check(&self) -> io::Result<()> {
        let why = match fs::symlink_metadata(self.path()) {
            Ok(meta) if meta.is_symlink() => "a symbolic link, perhaps to what others look after",
            Ok(meta) if !meta.is_file() => "no file, so it is not replaced",
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(self.named(e)),
            _ => return Ok(()),
        };
        Err(self.named(failure(ErrorKind::AlreadyExists, why)))
    }

    /// Writes what it is to be to a file beside it, down to the disk.
    fn prepare(&self, content: &str, mode: u32) -> io::Result<Beside> {
        let beside = self.beside("new");
        let write = || {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside.0)?;
            file.write_all(content.as_bytes())?;
            // Whatever the umask is.
            file.set_permissions(Permissions::from_mode(mode))?;
            file.sync_all()
        };
        write().map_err(|e| self.named(e))?;
        Ok(beside)
    }

    /// Puts that file in its place.
    fn replace(&self, by: &Beside) -> io::Result<()> {
        fs::rename(&by.0, self.path()).map_err(|e| self.named(e))
    }
}

/// A file that goes when this goes, unless it was renamed.
#[derive(Debug)]
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What is to be in which file.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    pub(super) cert: (&'a Place, String),
    pub(super) key: (&'a Place, String),
}

impl Pair<'_> {
    /// Writes both, or leaves both as they were.
    pub(super) fn write(&self) -> io::Result<()> {
        let ((cert, _), (key, _)) = (&self.cert, &self.key);
        // Two of us at once would leave the key of one and the certificate of the other.
        let (first, second) = if cert.dir < key.dir { (cert, key) } else { (key, cert) };
        let first = lock(first)?;
        let second = if cert.dir == key.dir { None } else { Some(lock(second)?) };
        cert.check()?;
        key.check()?;
        self.exchange()?;
        for dir in [Some(&first), second.as_ref()].into_iter().flatten() {
            match dir.sync_all() {
                // Not every file system knows it.
                Err(e) if e.kind() != ErrorKind::InvalidInput => return Err(key.named(e)),
                _ => {}
            }
        }
        Ok(())
    }

    fn exchange(&self) -> io::Result<()> {
        let ((cert, cert_text), (key, key_text)) = (&self.cert, &self.key);
        let new_key = key.prepare(key_text, 0o600)?;
        let new_cert = cert.prepare(cert_text, 0o644)?;
        // By a second name, under which it outlives being replaced.
        let old_key = key.beside("old");
        let kept = fs::hard_link(key.path(), &old_key.0);
        key.replace(&new_key)?;
        // Between the two they do not fit, for as long as the system takes over one call.
        cert.replace(&new_cert).inspect_err(|_| {
            let _ = match kept {
                Ok(()) => key.replace(&old_key),
                Err(e) if e.kind() == ErrorKind::NotFound => fs::remove_file(key.path()),
                Err(_) => Ok(()), // the file system knows no second names
            };
        })
    }
}

/// Waits until nobody else writes there.
fn lock(place: &Place) -> io::Result<File> {
    let dir = File::open(&place.dir).map_err(|e| place.named(e))?;
    // Where there are no locks, there is nobody to wait for that could be known.
    let _ = flock(&dir, FlockOperation::LockExclusive);
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of the test's own.
    fn dir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("ecohttpd-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn listing(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_certificate_that_cannot_be_replaced_leaves_the_key() {
        let dir = dir("pair-back");
        // What a file that is mounted on its own would do, too.
        fs::create_dir_all(dir.join("cert/full")).unwrap();
        let (cert, key) = (dir.join("cert"), dir.join("key"));
        let (cert, key) = (Place::of(&cert).unwrap(), Place::of(&key).unwrap());
        let pair = Pair { cert: (&cert, "new".into()), key: (&key, "new".into()) };
        let e = pair.exchange().unwrap_err();
        assert!(e.to_string().starts_with(&format!("{cert}: ")), "{e}");
        assert_eq!(listing(&dir), ["cert"], "there was none, and there is none");
        fs::write(key.path(), "old").unwrap();
        fs::set_permissions(key.path(), Permissions::from_mode(0o640)).unwrap();
        pair.exchange().unwrap_err();
        assert_eq!(listing(&dir), ["cert", "key"]);
        assert_eq!(fs::read_to_string(key.path()).unwrap(), "old");
        assert_eq!(key.path().metadata().unwrap().permissions().mode() & 0o777, 0o640);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_somebody_left_who_was_killed_is_no_hindrance() {
        let dir = dir("pair-left");
        for name in [".key.ecohttpd-new", ".key.ecohttpd-old", ".cert.ecohttpd-new"] {
            fs::write(dir.join(name), "half").unwrap();
        }
        let (cert, key) = (dir.join("cert"), dir.join("key"));
        let (cert, key) = (Place::of(&cert).unwrap(), Place::of(&key).unwrap());
        Pair { cert: (&cert, "c".into()), key: (&key, "k".into()) }.write().unwrap();
        assert_eq!(listing(&dir), ["cert", "key"]);
        assert_eq!(fs::read_to_string(key.path()).unwrap(), "k");
        fs::remove_dir_all(dir).unwrap();
    }
}
