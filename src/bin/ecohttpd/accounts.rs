//! The passwords of the system's accounts.

use std::cell::OnceCell;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::OFlags;
use rustix::io::retry_on_intr;

use crate::failure::failure;
use crate::open::open;
use crate::parts::parts;

/// No file of accounts or settings is larger than this.
const MOST: usize = 1 << 20;

/// Nor one of options than this.
const MOST_OPTIONS: usize = 64 << 10;

/// So much of a file is read at once.
const PIECE: usize = 4096;

/// The tables of accounts, read when the first of them is asked for.
pub(crate) struct Accounts {
    shadow: Table,
    passwd: Table,
}

struct Table {
    path: PathBuf,
    text: OnceCell<Result<Vec<u8>, String>>,
}

impl Accounts {
    /// Those of this system.
    pub(crate) fn system() -> Self {
        Accounts::at("/etc/shadow".into(), "/etc/passwd".into())
    }

    /// Those in the files given.
    pub(crate) fn at(shadow: PathBuf, passwd: PathBuf) -> Self {
        let table = |path| Table { path, text: OnceCell::new() };
        Accounts { shadow: table(shadow), passwd: table(passwd) }
    }

    /// The password field of an account.
    pub(crate) fn password(&self, account: &str) -> Result<Option<&[u8]>, &str> {
        match self.shadow.password(account)? {
            None => self.passwd.password(account),
            found => Ok(found),
        }
    }
}

impl Table {
    fn password(&self, account: &str) -> Result<Option<&[u8]>, &str> {
        let text = self.text.get_or_init(|| match read(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            text => text.map_err(|e| format!("{}: {e}", self.path.display())),
        });
        for line in parts(text.as_ref().map_err(String::as_str)?, b'\n') {
            let mut fields = parts(line, b':');
            if fields.next() == Some(account.as_bytes()) {
                if let Some(password) = fields.next() {
                    return Ok(Some(password));
                }
            }
        }
        Ok(None)
    }
}

/// A whole file, if it is of reasonable size.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    up_to(MOST, path, false, "it is larger than 1 MiB")
}

/// A whole file of options, which is nothing but a file.
pub(crate) fn read_options(path: &Path) -> io::Result<Vec<u8>> {
    up_to(MOST_OPTIONS, path, true, "it is larger than 64 KiB")
}

/// No pipe, in which there may be nothing for long, and if `only_file`, no device either.
fn up_to(most: usize, path: &Path, only_file: bool, larger: &str) -> io::Result<Vec<u8>> {
    // Whoever opens a pipe waits for somebody to write to it.
    let file = open(path, OFlags::RDONLY | OFlags::NONBLOCK, 0)?;
    let kind = file.metadata()?.file_type();
    if kind.is_fifo() || only_file && !kind.is_file() {
        return Err(failure(io::ErrorKind::Other, "it is no regular file"));
    }
    let mut text = Vec::new();
    while text.len() <= most {
        text.reserve(PIECE);
        if retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut text)))? == 0 {
            return Ok(text);
        }
    }
    Err(failure(io::ErrorKind::Other, larger))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(name: &str, text: &[u8]) -> PathBuf {
        let name = format!("ecohttpd-accounts-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn shadow_outranks_passwd() {
        let shadow =
            file("shadow", b"root:$1$a$b:0:0:99999:7:::\nempty::0\n\nbroken\n:x:\nlatin\xe9:*:1");
        let passwd = file("passwd", b"root:x:0:0:root:/root:/bin/ash\nold:$1$c$d:1:1\nempty:x:2:2");
        let accounts = Accounts::at(shadow.clone(), passwd.clone());
        let of = |name| {
            accounts.password(name).unwrap().map(|it| String::from_utf8_lossy(it).into_owned())
        };
        assert_eq!(of("root").as_deref(), Some("$1$a$b"));
        assert_eq!(of("old").as_deref(), Some("$1$c$d"));
        assert_eq!(of("empty").as_deref(), Some(""));
        for name in ["roo", "root2", "broken", "latin", "ROOT", ""] {
            assert_eq!(of(name).as_deref().filter(|it| *it != "x"), None, "{name}");
        }
        // They are read once.
        fs::write(&shadow, b"root:*:").unwrap();
        assert_eq!(of("root").as_deref(), Some("$1$a$b"));
        let alone = Accounts::at("/nonexistent/shadow".into(), passwd.clone());
        assert_eq!(alone.password("root"), Ok(Some(&b"x"[..])));
        let none = Accounts::at("/nonexistent/shadow".into(), "/nonexistent/passwd".into());
        assert_eq!(none.password("root"), Ok(None));
        fs::remove_file(shadow).unwrap();
        fs::remove_file(passwd).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        // A directory, since nothing keeps root from reading a file.
        let accounts = Accounts::at("/".into(), "/etc/passwd".into());
        let why = accounts.password("root").unwrap_err();
        assert!(why.starts_with("/: Is a directory"), "{why}");
    }

    #[test]
    fn files_have_a_limit() {
        let most = file("most", &vec![b'#'; MOST]);
        assert_eq!(read(&most).unwrap().len(), MOST);
        let more = file("more", &vec![b'#'; MOST + 1]);
        assert!(read(&more).unwrap_err().to_string().contains("1 MiB"));
        fs::remove_file(most).unwrap();
        fs::remove_file(more).unwrap();
    }
}
