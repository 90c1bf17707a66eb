//! Another user to become once everything is bound (`-Z`).

use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::accounts;
use crate::number::number32;
use crate::parts::parts;

/// A user of this system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    uid: u32,
    gid: u32,
}

impl User {
    /// Finds a user by name.
    pub(crate) fn named(name: &str) -> Result<User, String> {
        let passwd =
            accounts::read("/etc/passwd".as_ref()).map_err(|e| format!("/etc/passwd: {e}"))?;
        let found = lines(&passwd).find_map(|line| User::of(line, name));
        found.ok_or_else(|| "there is no such user".into())
    }

    /// `name:password:uid:gid:...`, if it is that name.
    fn of(line: &[u8], name: &str) -> Option<User> {
        let mut fields = parts(line, b':');
        if fields.next() != Some(name.as_bytes()) {
            return None;
        }
        let uid = number32(fields.nth(1)?)?;
        let gid = number32(fields.next()?)?;
        // To the kernel this number means that nothing is to be changed.
        let is_one = |id: u32| id != u32::MAX;
        (is_one(uid) && is_one(gid)).then(|| User { name: name.to_owned(), uid, gid })
    }

    /// Gives up all that this process may do beyond what the user may.
    pub(crate) fn become_it(&self) -> io::Result<()> {
        let mut groups = vec![Gid::from_raw(self.gid)];
        match accounts::read("/etc/group".as_ref()) {
            Ok(text) => {
                for line in lines(&text) {
                    if let Some(gid) = self.group(line) {
                        groups.push(Gid::from_raw(gid));
                    }
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        // There is no other thread, of which the C library's own ways would have to think.
        set_thread_groups(&groups)?;
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        Ok(())
    }

    /// `name:password:gid:user,user`, if it is a group that the user is in.
    fn group(&self, line: &[u8]) -> Option<u32> {
        let mut fields = parts(line, b':');
        let gid = number32(fields.nth(2)?)?;
        let mut members = parts(fields.next()?, b',');
        (gid != self.gid && members.any(|name| name == self.name.as_bytes())).then_some(gid)
    }
}

/// The lines of a text, whoever wrote it.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    parts(text, b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_means_no_change_is_nobody() {
        for line in ["x:x:4294967295:65534::/:/bin/sh", "x:x:65534:4294967295::/:/bin/sh"] {
            assert!(User::of(line.as_bytes(), "x").is_none(), "{line}");
        }
        assert!(User::of(b"x:x:65534:65534::/:/bin/sh", "x").is_some());
    }

    #[test]
    fn users_are_found_by_their_whole_name() {
        let root = User::named("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        for name in ["roo", "root:", "", "no-such-user"] {
            assert_eq!(User::named(name).unwrap_err(), "there is no such user", "{name}");
        }
        assert_eq!(User::of(b"u:x:5", "u"), None);
        let user = User::of(b"u:x:5:6:", "u").unwrap();
        for (line, group) in [
            ("g:x:7:u", Some(7)),
            ("g:x:8:a,u,b", Some(8)),
            ("g:x:6:u", None),
            ("g:x:9:uu,a", None),
            ("u:x:9:", None),
            ("g:x:-1:u", None),
            ("g:x", None),
        ] {
            assert_eq!(user.group(line.as_bytes()), group, "{line}");
        }
        assert_eq!(User::of(b"u:x:-5:6:", "u"), None);
        let mut read = lines(b"g:x:7:u\r\nh:x:8:u\n").map(|line| user.group(line));
        assert_eq!((read.next(), read.next()), (Some(Some(7)), Some(Some(8))));
    }
}
