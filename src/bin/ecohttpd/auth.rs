//! Basic authentication (RFC 7617): which paths take a password, and whose.

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::hint::black_box;
use std::io;
use std::rc::Rc;

use crate::accounts::Accounts;
use crate::basic::credentials;
use crate::report::Report;
use crate::sys::{self, crypt};
use crate::turn::Turns;

/// Longer passwords are hashed by no crypt(3), some of which would take their time over them.
const LONGEST: usize = 512;

/// The digits of base 64 as crypt(3) writes it.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

thread_local! {
    /// One for all realms, those of a configuration that is on its way out among them.
    static TURNS: Rc<Turns<io::Result<bool>>> = Rc::new(Turns::new());
}

/// The paths that take a password.
#[derive(Default)]
pub(crate) struct Realms {
    realms: Vec<Realm>,
}

/// What is to become of a request.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(crate) enum Verdict {
    /// Its path takes no password.
    Open,
    Admitted {
        user: String,
        password: String,
    },
    Refused,
}

struct Realm {
    /// Its segments, each after a slash; nothing for `/`.
    path: String,
    users: Vec<User>,
}

struct User {
    name: String,
    secret: Secret,
}

enum Secret {
    Plain(String),
    Hash(Hash),
    /// No password is the right one.
    Nobody,
}

struct Hash {
    hash: CString,
    /// The last password that turned out to be right.
    known: RefCell<Option<String>>,
}

impl Realms {
    /// Lets `user` in at `path` and below it with `password`, which is a plain one, a hash, or the
    /// name of a system account after `$p$`. `place` is where that was said.
    pub(crate) fn add(
        &mut self,
        path: &str,
        user: &str,
        password: &str,
        accounts: &Accounts,
        place: &str,
        report: &mut Report,
    ) {
        let mut normal = String::with_capacity(path.len());
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            if matches!(segment, "." | "..") {
                return report.mistake(format!("{place}: {path}: no request has {segment} in it"));
            }
            normal.push('/');
            normal.push_str(segment);
        }
        if is_escaped(path) {
            report.note(format!("{place}: {path}: % and what follows it is taken as it stands"));
        }
        let locked = |report: &mut Report, why: &str| {
            report.note(format!("{place}: {path}: nobody gets in as {user}: {why}"));
            Secret::Nobody
        };
        let no_hash = "no hash of a method that crypt(3) has here";
        let secret = if let Some(account) = password.strip_prefix("$p$") {
            let what = |what: &str| format!("the account {account} {what}");
            match accounts.password(account) {
                Err(e) => {
                    report.mistake(format!("{place}: {path}: {e}"));
                    Secret::Nobody
                }
                Ok(None) => locked(report, &what("is not there")),
                Ok(Some([])) => {
                    let what = what("has no password, so this guards nothing");
                    return report.note(format!("{place}: {path}: {what}"));
                }
                Ok(Some(hash)) => match Hash::new(hash) {
                    Some(hash) => Secret::Hash(hash),
                    None if hash == b"x" || matches!(hash, [b'*' | b'!', ..]) => {
                        locked(report, &what("is locked"))
                    }
                    None => locked(report, &what(&format!("has {no_hash}"))),
                },
            }
        } else if password.starts_with('$') {
            match Hash::new(password.as_bytes()) {
                Some(hash) => Secret::Hash(hash),
                None => locked(report, &format!("what begins with $ is {no_hash}")),
            }
        } else {
            Secret::Plain(password.to_owned())
        };
        let user = User { name: user.to_owned(), secret };
        match self.realms.iter_mut().find(|it| it.path.eq_ignore_ascii_case(&normal)) {
            Some(realm) => realm.users.push(user),
            None => self.realms.push(Realm { path: normal, users: vec![user] }),
        }
    }

    /// Whether no path takes a password.
    pub(crate) fn is_empty(&self) -> bool {
        self.realms.is_empty()
    }

    /// Whether a request for `path`, decoded, takes a password.
    pub(crate) fn guards(&self, path: &[u8]) -> bool {
        self.covering(path).is_some()
    }

    /// The realm with the longest path of those that cover `path`.
    fn covering(&self, path: &[u8]) -> Option<&Realm> {
        let covering = self.realms.iter().filter(|realm| realm.covers(path));
        covering.max_by_key(|realm| realm.path.len())
    }

    /// Judges a request for `path`, decoded, by its Authorization field.
    ///
    /// A hash is checked in the helper thread, one at a time, and once for each right password.
    pub(crate) async fn admits(
        &self,
        path: &[u8],
        authorization: Option<&[u8]>,
    ) -> ecohttpd::Result<Verdict> {
        let Some(realm) = self.covering(path) else {
            return Ok(Verdict::Open);
        };
        let Some((user, password)) = authorization.and_then(credentials) else {
            return Ok(Verdict::Refused);
        };
        if realm.knows(&user, &password) || realm.hashes(&user, &password).await? {
            return Ok(Verdict::Admitted { user, password });
        }
        Ok(Verdict::Refused)
    }
}

impl Realm {
    /// Paths are compared by segments, and without regard to case, since the file system may have
    /// none.
    fn covers(&self, path: &[u8]) -> bool {
        let segments = |path| <[u8]>::split(path, |&b| b == b'/').filter(|s| !s.is_empty());
        let mut theirs = segments(path);
        segments(self.path.as_bytes())
            .all(|ours| theirs.next().is_some_and(|it| it.eq_ignore_ascii_case(ours)))
    }

    /// Whether the password is right as far as that can be told at once.
    fn knows(&self, user: &str, password: &str) -> bool {
        self.users.iter().fold(false, |known, it| {
            let right = match &it.secret {
                Secret::Plain(right) => same(password.as_bytes(), right.as_bytes()),
                Secret::Hash(hash) => hash.knows(password),
                Secret::Nobody => false,
            };
            known | (right & it.is(user))
        })
    }

    /// Whether a hash of `user` is that of the password. Whoever has none is told no after as long.
    async fn hashes(&self, user: &str, password: &str) -> ecohttpd::Result<bool> {
        let key = match CString::new(password) {
            Ok(key) if password.len() <= LONGEST => key,
            _ => return Ok(false),
        };
        let hashes = || {
            self.users.iter().filter_map(|it| match &it.secret {
                Secret::Hash(hash) => Some((it.is(user), hash)),
                _ => None,
            })
        };
        let has_any = hashes().any(|(theirs, _)| theirs);
        let most = if has_any { usize::MAX } else { 1 };
        for (theirs, hash) in hashes().filter(|(theirs, _)| *theirs == has_any).take(most) {
            let turn = TURNS.with(Rc::clone).take().await;
            // Found out by a request that was before this one in the queue.
            if theirs && hash.knows(password) {
                return Ok(true);
            }
            let (key, expected) = (key.clone(), hash.hash.clone());
            let job = ecohttpd::unblock(move || Ok(is_hash_of(&key, &expected)));
            if turn.run(job).await.transpose()?.unwrap_or(false) && theirs {
                *hash.known.borrow_mut() = Some(password.to_owned());
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl User {
    fn is(&self, name: &str) -> bool {
        same(name.as_bytes(), self.name.as_bytes())
    }
}

impl Hash {
    /// `$method$salt...$hash`, unless it is known that crypt(3) does not have the method.
    fn new(hash: &[u8]) -> Option<Self> {
        let rest = hash.strip_prefix(b"$")?;
        let method = rest.get(..rest.iter().position(|&b| b == b'$')?)?;
        let musl: [&[u8]; 7] = [b"1", b"2a", b"2b", b"2x", b"2y", b"5", b"6"];
        let known = !method.is_empty() && (!cfg!(target_env = "musl") || musl.contains(&method));
        let hash = CString::new(hash).ok()?;
        known.then_some(Hash { hash, known: RefCell::new(None) })
    }

    fn knows(&self, password: &str) -> bool {
        let known = self.known.borrow();
        known.as_ref().is_some_and(|known| same(password.as_bytes(), known.as_bytes()))
    }
}

fn is_hash_of(key: &CStr, expected: &CStr) -> bool {
    crypt(key, expected).is_some_and(|hash| same(hash.to_bytes(), expected.to_bytes()))
}

/// Whether both are the same, in a time that does not tell where they differ.
fn same(given: &[u8], right: &[u8]) -> bool {
    let mut differ = u8::from(given.len() != right.len());
    for (i, byte) in given.iter().enumerate() {
        differ = black_box(differ | (byte ^ right.get(i).copied().unwrap_or(0)));
    }
    differ == 0
}

/// Whether there is a percent sign with two hexadecimal digits in `path`.
fn is_escaped(path: &str) -> bool {
    path.as_bytes()
        .windows(3)
        .any(|it| matches!(it, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

/// The `$1$` hash of `password` with a salt of its own, for a line of the configuration.
pub(crate) fn hash_md5(password: &str) -> Option<String> {
    let mut random = [0_u8; 8];
    sys::random(&mut random).ok()?;
    let mut setting = String::from("$1$");
    for byte in random {
        setting.push(DIGITS.get(usize::from(byte & 63)).copied()?.into());
    }
    setting.push('$');
    let hash = crypt(&CString::new(password).ok()?, &CString::new(setting.as_str()).ok()?)?;
    hash.into_string().ok().filter(|hash| hash.starts_with(&setting))
}

#[cfg(test)]
mod tests;
