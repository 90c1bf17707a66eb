//! The passwords of the system's accounts.

use std::cell::OnceCell;
use std::fs::{File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// No file of accounts or settings is larger than this.
const MOST: u64 = 1 << 20;

/// Nor one of options than this.
const MOST_OPTIONS: u64 = 64 << 10;

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
        let lines = text.as_ref().map_err(String::as_str)?.split(|&b| b == b'\n');
        let mut fields = lines.map(|line| line.split(|&b| b == b':'));
        Ok(fields.find_map(|mut it| (it.next() == Some(account.as_bytes())).then(|| it.next())?))
    }
}

/// A whole file, if it is of reasonable size.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    up_to(MOST, path, |kind| !kind.is_fifo(), "it is larger than 1 MiB")
}

/// A whole file of options, which is nothing but a file.
pub(crate) fn read_options(path: &Path) -> io::Result<Vec<u8>> {
    up_to(MOST_OPTIONS, path, FileType::is_file, "it is larger than 64 KiB")
}

fn up_to(
    most: u64,
    path: &Path,
    is_good: impl Fn(&FileType) -> bool,
    larger: &str,
) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    // Whoever opens a pipe waits for somebody to write to it.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !is_good(&file.metadata()?.file_type()) {
        return Err(io::Error::other("it is no regular file"));
    }
    file.take(most + 1).read_to_end(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::other(larger));
    }
    Ok(text)
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
        let most = file("most", &vec![b'#'; MOST as usize]);
        assert_eq!(read(&most).unwrap().len() as u64, MOST);
        let more = file("more", &vec![b'#'; MOST as usize + 1]);
        assert!(read(&more).unwrap_err().to_string().contains("1 MiB"));
        fs::remove_file(most).unwrap();
        fs::remove_file(more).unwrap();
    }
}
