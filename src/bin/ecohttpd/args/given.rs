//! The value of an option, read as what the option takes.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::address::Address;
use crate::failure::failure;
use crate::number::number;
use crate::parts::parts;
use crate::report::{Report, Said};
use crate::url;

/// An option that was given, wherever it stands.
pub(super) struct Given<'a> {
    /// What messages name it by: with its value, where nothing else shows that.
    pub(super) shown: String,
    pub(super) value: Option<&'a OsStr>,
    /// Where paths count from.
    pub(super) dir: &'a Path,
    pub(super) report: &'a mut Report,
}

impl<'a> Given<'a> {
    /// Reports what is wrong with it.
    #[cold]
    pub(super) fn wrong(&mut self, why: &str) -> Said {
        self.report.mistake(format!("{}: {why}", self.shown));
        Said
    }

    /// Likewise, by what the system says.
    #[cold]
    pub(super) fn failed(&mut self, e: &io::Error) -> Said {
        self.wrong(&e.to_string())
    }

    pub(super) fn os(&mut self) -> Result<&'a OsStr, Said> {
        self.value.ok_or_else(|| self.wrong("its value is missing"))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Said> {
        match self.os()?.to_str() {
            Some(text) if text.chars().any(char::is_control) => {
                Err(self.wrong("a control character in it"))
            }
            Some(text) => Ok(text),
            None => Err(self.wrong("it is no UTF-8")),
        }
    }

    /// A number of `most` at most.
    pub(super) fn number(&mut self, most: u64) -> Result<u64, Said> {
        let number = number(self.text()?.as_bytes(), most);
        number.ok_or_else(|| self.wrong("no number, or too large a one"))
    }

    pub(super) fn seconds(&mut self) -> Result<u32, Said> {
        Ok(self.number(u32::MAX.into())? as u32)
    }

    pub(super) fn count(&mut self) -> Result<usize, Said> {
        Ok(self.number(usize::MAX as u64)? as usize)
    }

    pub(super) fn at_least_one(&mut self) -> Result<usize, Said> {
        match self.count()? {
            0 => Err(self.wrong("it has to be 1 at least")),
            n => Ok(n),
        }
    }

    pub(super) fn path(&mut self) -> Result<PathBuf, Said> {
        let path = self.os()?;
        self.absolute(path.as_ref())
    }

    pub(super) fn absolute(&mut self, path: &Path) -> Result<PathBuf, Said> {
        absolute(self.dir, path).map_err(|e| self.failed(&e))
    }

    pub(super) fn addresses(&mut self) -> Result<Vec<Address>, Said> {
        let text = self.text()?;
        let mut found = Address::parse(text).map_err(|why| self.wrong(why))?;
        for at in &mut found {
            if let Address::Unix(path) = at {
                *path = self.absolute(path)?;
            }
        }
        Ok(found)
    }

    /// A path of URLs.
    pub(super) fn url_path(&mut self) -> Result<&'a str, Said> {
        let text = self.text()?;
        self.check(url::check_path(text))?;
        Ok(text)
    }

    /// Two texts with a `=` between them.
    pub(super) fn pair(&mut self) -> Result<(&'a str, &'a str), Said> {
        self.text()?.split_once('=').ok_or_else(|| self.wrong("it has no ="))
    }

    /// Reports what somebody else says of it.
    pub(super) fn check(&mut self, outcome: Result<(), &str>) -> Result<(), Said> {
        outcome.map_err(|why| self.wrong(why))
    }
}

/// The path with nothing in it that leads nowhere, counted from `dir` unless it is absolute: what
/// [`std::path::absolute`] makes of it, for less code.
fn absolute(dir: &Path, path: &Path) -> io::Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(failure(io::ErrorKind::InvalidInput, "cannot make an empty path absolute"));
    }
    let mut whole = dir.join(path);
    if !whole.has_root() {
        whole = env::current_dir()?.join(whole);
    }
    let bytes = whole.as_os_str().as_bytes();
    let mut clean = Vec::with_capacity(bytes.len());
    // Two slashes at the begin are for the system to understand.
    if bytes.starts_with(b"//") && !bytes.starts_with(b"///") {
        clean.push(b'/');
    }
    let start = clean.len();
    for part in parts(bytes, b'/').filter(|part| !matches!(*part, [] | [b'.'])) {
        clean.push(b'/');
        clean.extend_from_slice(part);
    }
    if clean.len() == start || bytes.ends_with(b"/") {
        clean.push(b'/');
    }
    Ok(OsString::from_vec(clean).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn paths_are_those_of_std(path in "[/.a]{0,9}", dir in "|/|/b|/b/./c/") {
            let (path, dir) = (Path::new(&path), Path::new(&dir));
            let given = if path.as_os_str().is_empty() { path.into() } else { dir.join(path) };
            match (absolute(dir, path), std::path::absolute(given)) {
                (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours.as_os_str(), theirs.as_os_str()),
                (ours, theirs) => prop_assert_eq!(ours.unwrap_err().to_string(), theirs.unwrap_err().to_string()),
            }
        }
    }
}
