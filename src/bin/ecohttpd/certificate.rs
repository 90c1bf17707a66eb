//! The certificate for HTTPS and its key, which are renewed while the server runs.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::args::Args;
#[cfg(feature = "tls")]
use crate::failure::failure;
use crate::report::Report;

/// What HTTPS is served by, of which there is none without TLS.
#[cfg(feature = "tls")]
pub(crate) type Tls = ecohttpd::Tls;
#[cfg(not(feature = "tls"))]
pub(crate) type Tls = std::convert::Infallible;

/// Says what would keep HTTPS from being served. It is no mistake: HTTP is served all the same, and
/// the files may come later.
pub(crate) fn check(args: &Args, report: &mut Report) {
    if let (_, Some(e)) = load(args) {
        let why = format!("no HTTPS: {e}");
        match args.http.is_empty() {
            true => report.mistake(why),
            false => report.note(why),
        }
    }
}

/// Reads the certificate, if there is to be one; or why there is none.
pub(crate) fn load(args: &Args) -> (Option<Tls>, Option<io::Error>) {
    #[cfg(feature = "tls")]
    if let (Some(cert), Some(key), false) = (&args.cert, &args.key, args.https.is_empty()) {
        let loaded = Tls::load(cert, key).and_then(|tls| match &args.ciphers {
            Some(list) => {
                tls.with_ciphers(list).map_err(|e| failure(e.kind(), format!("-P {list}: {e}")))
            }
            None => Ok(tls),
        });
        return match loaded {
            Ok(tls) => (Some(tls), None),
            Err(e) => (None, Some(e)),
        };
    }
    let _ = args;
    (None, None)
}

/// The files, and what they were when they were last read. Without TLS there is nothing to renew.
#[derive(Debug)]
pub(crate) struct Files(Vec<(PathBuf, Option<State>)>);

/// What tells that a file is another one, or has been written: when that was, its size and number.
type State = (i64, i64, u64, u64);

fn state(path: &Path) -> Option<State> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.mtime(), meta.mtime_nsec(), meta.size(), meta.ino()))
}

impl Files {
    pub(crate) fn of(args: &Args) -> Files {
        let paths = args.cert.iter().chain(&args.key).filter(|_| cfg!(feature = "tls"));
        Files(paths.map(|path| (path.clone(), state(path))).collect())
    }

    /// Whether they are others than they were when this was last asked, and are all there.
    pub(crate) fn have_changed(&mut self) -> bool {
        if !cfg!(feature = "tls") {
            return false;
        }
        let now: Vec<_> = self.0.iter().map(|(path, _)| state(path)).collect();
        let changed = self.0.iter().zip(&now).any(|((_, seen), now)| seen != now);
        if !changed || now.contains(&None) {
            return false;
        }
        self.0.iter_mut().zip(now).for_each(|((_, seen), now)| *seen = now);
        true
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    #[test]
    fn renewed_files_are_noticed_once_both_are_there() {
        let dir = std::env::temp_dir().join(format!("ecohttpd-cert-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (cert, key) = (dir.join("c"), dir.join("k"));
        fs::write(&cert, "1").unwrap();
        fs::write(&key, "1").unwrap();
        let args = Args { cert: Some(cert.clone()), key: Some(key.clone()), ..Args::default() };
        let mut files = Files::of(&args);
        assert!(!files.have_changed());
        fs::write(dir.join("new"), "22").unwrap();
        fs::rename(dir.join("new"), &cert).unwrap();
        assert!(files.have_changed());
        assert!(!files.have_changed());
        fs::remove_file(&key).unwrap();
        assert!(!files.have_changed(), "half of them");
        fs::write(&key, "22").unwrap();
        assert!(files.have_changed());
        fs::remove_dir_all(&dir).unwrap();
    }
}
