//! Another user to become once everything is bound (`-Z`).

use std::io;

use crate::accounts;
use crate::sys;

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
        let found = String::from_utf8_lossy(&passwd).lines().find_map(|line| User::of(line, name));
        found.ok_or_else(|| "there is no such user".into())
    }

    /// `name:password:uid:gid:...`, if it is that name.
    fn of(line: &str, name: &str) -> Option<User> {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { name: name.to_owned(), uid, gid })
    }

    /// Gives up all that this process may do beyond what the user may.
    pub(crate) fn become_it(&self) -> io::Result<()> {
        sys::become_user(&self.name, self.uid, self.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let root = User::named("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        for name in ["roo", "root:", "", "no-such-user"] {
            assert_eq!(User::named(name).unwrap_err(), "there is no such user", "{name}");
        }
        assert_eq!(User::of("u:x:5", "u"), None);
        assert_eq!(User::of("u:x:-5:6:", "u"), None);
    }
}
