//! Files that were asked for a moment ago, kept open for whoever asks next.
//!
//! A page is opened, looked at, read and closed for every request, which is more than half of the
//! system calls that a small file takes. What is asked for again within a second or two is kept:
//! open, so that it need only be looked at, and if it is small its bytes, so that even that happens
//! only once a second. Whatever nobody asks for goes at the next tick but one, and everything when
//! the last connection has ended, so that no file system is kept from being unmounted.

use std::cell::{Cell, OnceCell, RefCell};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::fields::Fields;
use crate::io::buffer;
use crate::io::file;
use crate::kept::Kept;
use crate::wire::coding::Codings;
use crate::wire::date;

/// Files kept at most, each of which takes a descriptor.
pub(crate) const MOST: usize = 8;

/// Ticks for which a file is kept that nobody asks for.
const KEPT: u32 = 2;

/// Ticks after which it is opened and read again all the same: what is written to a file through a
/// mapping does not show in its times until the system writes it back, if it ever does.
const LONGEST: u32 = 10;

/// Seconds that a file has to be left alone before its bytes are kept. Within one tick of the file
/// system's clock it can be changed without that being seen.
const SETTLED: u64 = 2;

/// An open file, what it was when it was last looked at, and what follows from that.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) meta: Metadata,
    /// Whether it was found to lie in the docroot, symbolic links and all.
    confined: bool,
    /// The tick at which it was last looked at.
    checked: Cell<u32>,
    used: Cell<u32>,
    /// The tick at which it was opened.
    since: Cell<u32>,
    /// Whether somebody has asked again.
    again: Cell<bool>,
    /// Which codings it has no sibling for; believed as long as the file itself is.
    lacks: Cell<Codings>,
    etag: OnceCell<Box<str>>,
    modified: OnceCell<Box<str>>,
    /// The fields of a response that has all of it as it is, and none but these.
    pub(crate) fields: OnceCell<Rc<Fields>>,
    /// All of its bytes, if they are kept.
    kept: RefCell<Option<Rc<Kept>>>,
}

impl Held {
    pub(crate) fn new(path: PathBuf, file: File, meta: Metadata, confined: bool) -> Held {
        Held {
            path,
            file,
            meta,
            confined,
            checked: Cell::new(0),
            used: Cell::new(0),
            since: Cell::new(0),
            again: Cell::new(false),
            lacks: Cell::new(0),
            etag: OnceCell::new(),
            modified: OnceCell::new(),
            fields: OnceCell::new(),
            kept: RefCell::default(),
        }
    }

    /// Whether its path still leads to it, unchanged.
    ///
    /// That keeps nobody waiting for a disk: what is open has its inode, and the names that lead to
    /// it, in memory.
    fn is_current(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|now| same(&now, &self.meta))
    }

    /// inode-size-mtime, as uhttpd's, the time to the nanosecond.
    pub(crate) fn etag(&self) -> &str {
        self.etag.get_or_init(|| {
            let time = i128::from(self.meta.mtime()) * 1_000_000_000;
            let time = time + i128::from(self.meta.mtime_nsec());
            format!("\"{:x}-{:x}-{time:x}\"", self.meta.ino(), self.meta.len()).into()
        })
    }

    /// When it was modified, as Last-Modified tells it, which is never later than `now`.
    pub(crate) fn modified(&self, seconds: u64, now: u64) -> std::borrow::Cow<'_, str> {
        match seconds <= now {
            true => self.modified.get_or_init(|| date::format(seconds).into()).as_ref().into(),
            false => date::format(now).into(),
        }
    }

    /// Whether it is known to have a sibling for none of these codings.
    pub(crate) fn lacks(&self, codings: Codings) -> bool {
        codings & !self.lacks.get() == 0
    }

    pub(crate) fn set_lacks(&self, codings: Codings) {
        self.lacks.set(self.lacks.get() | codings);
    }

    /// Whether its bytes are not kept, and should be, `now` being seconds since 1970: it is small, asked for
    /// again, and not just being written.
    pub(crate) fn is_worth_keeping(&self, most: usize, now: impl FnOnce() -> u64) -> bool {
        let size = self.meta.len();
        // Whoever sets the one time of it cannot set the other.
        let changed = self.meta.mtime().max(self.meta.ctime());
        let settled = || u64::try_from(changed).is_ok_and(|time| time + SETTLED < now());
        self.again.get()
            && self.kept.borrow().is_none()
            && (1..=most.min(buffer::SIZE) as u64).contains(&size)
            && settled()
    }

    /// All of its bytes, if they are kept.
    pub(crate) fn kept(&self) -> Option<Rc<Kept>> {
        self.kept.borrow().clone()
    }

    pub(crate) fn keep(&self, kept: Kept) {
        self.kept.replace(Some(kept.into()));
    }

    /// How many bytes of it are kept.
    fn weight(&self) -> usize {
        self.kept.borrow().as_ref().map_or(0, |kept| kept.content().len())
    }
}

/// What of a file says that it is the same, and the same as before.
fn same(a: &Metadata, b: &Metadata) -> bool {
    let facts = |it: &Metadata| {
        let (changed, modified) = ((it.ctime(), it.ctime_nsec()), (it.mtime(), it.mtime_nsec()));
        (it.dev(), it.ino(), it.len(), it.mode(), changed, modified)
    };
    facts(a) == facts(b)
}

/// Where a file is: what [`Path::join`] makes of the two, which nobody does for as long as it is not needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    pub(crate) root: &'a Path,
    pub(crate) below: &'a Path,
}

impl<'a> At<'a> {
    pub(crate) fn of(path: &'a Path) -> At<'a> {
        At { root: Path::new(""), below: path }
    }

    pub(crate) fn path(self) -> PathBuf {
        self.root.join(self.below)
    }

    /// Whether `path` is that, where what is below does not begin with a slash, or the root is nothing.
    fn is(self, path: &Path) -> bool {
        let [path, root, below] = [path, self.root, self.below].map(|it| it.as_os_str().as_bytes());
        let slash = if matches!(root.last(), None | Some(b'/')) { &b""[..] } else { b"/" };
        path.strip_prefix(root).and_then(|rest| rest.strip_prefix(slash)) == Some(below)
    }
}

/// The files that are kept.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    held: RefCell<Vec<Rc<Held>>>,
    /// A device that is known to be this machine's own.
    local: Cell<Option<u64>>,
}

impl Cache {
    /// The file at `path`, if it is kept and still what is there at `now`.
    ///
    /// If it is `believed`, one whose bytes are kept has to be looked at only once in each tick. Of
    /// others what is said and what is read have to be of the same moment.
    pub(crate) fn find(
        &self,
        path: At<'_>,
        confined: bool,
        believed: bool,
        now: u32,
    ) -> Option<Rc<Held>> {
        let held = self.held.borrow().iter().find(|held| path.is(&held.path))?.clone();
        let whole = held.kept.borrow().is_some() && (held.confined || !confined);
        let fresh = believed && whole && held.checked.get() == now;
        if !fresh {
            // That the way to it leads through no other link than before cannot be seen from it.
            let is_old = now.wrapping_sub(held.since.get()) >= LONGEST;
            if confined || is_old || !held.is_current() {
                self.held.borrow_mut().retain(|it| !Rc::ptr_eq(it, &held));
                return None;
            }
            held.checked.set(now);
            held.lacks.set(0);
        }
        held.used.set(now);
        held.again.set(true);
        Some(held)
    }

    /// Keeps a file that has just been opened, if it is one that can be looked at without waiting.
    pub(crate) fn keep(&self, held: &Rc<Held>, now: u32) {
        if !held.meta.is_file() {
            return;
        }
        let device = Some(held.meta.dev());
        if self.local.get() != device {
            if file::is_remote(&held.file) {
                return;
            }
            self.local.set(device);
        }
        held.checked.set(now);
        held.used.set(now);
        held.since.set(now);
        let mut all = self.held.borrow_mut();
        while all.len() >= MOST {
            let oldest = all.iter().enumerate().min_by_key(|(_, it)| it.used.get());
            let Some((oldest, _)) = oldest else { break };
            all.remove(oldest);
        }
        all.push(held.clone());
    }

    /// Keeps the bytes of a file that is worth it. All that is kept is no more than `most` bytes.
    pub(crate) async fn fill(&self, held: &Rc<Held>, most: usize) -> io::Result<()> {
        let size = held.meta.len();
        let size = size as usize;
        let mut bytes = vec![0; size];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file::read(&held.file, rest, done as u64).await? {
                0 => return Ok(()),
                n => done += n,
            }
        }
        if !same(&held.file.metadata()?, &held.meta) {
            return Ok(());
        }
        let mut all = self.held.borrow_mut();
        // Somebody else may have been faster, or it was let go.
        if !all.iter().any(|it| Rc::ptr_eq(it, held)) {
            return Ok(());
        }
        let taken = |all: &[Rc<Held>]| -> usize { all.iter().map(|it| it.weight()).sum() };
        while taken(&all) + size > most {
            let full = all.iter().enumerate().filter(|(_, it)| it.weight() > 0);
            let Some((oldest, _)) = full.min_by_key(|(_, it)| it.used.get()) else { break };
            all.remove(oldest);
        }
        held.keep(Kept::new(bytes));
        Ok(())
    }

    /// Lets go of what nobody has asked for of late.
    pub(crate) fn age(&self, now: u32) {
        self.held.borrow_mut().retain(|it| now.wrapping_sub(it.used.get()) < KEPT);
    }

    /// Lets go of everything.
    pub(crate) fn clear(&self) {
        self.held.take();
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use smol::future::block_on;

    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Dir {
            let dir =
                std::env::temp_dir().join(format!("ecohttpd-cache-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&dir);
            std::fs::create_dir(&dir).unwrap();
            Dir(dir)
        }

        fn file(&self, name: &str, content: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, content).unwrap();
            path
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn held(path: &Path, confined: bool) -> Rc<Held> {
        let file = File::open(path).unwrap();
        let meta = file.metadata().unwrap();
        Rc::new(Held::new(path.to_owned(), file, meta, confined))
    }

    /// The time after a while in which no file was touched.
    fn later() -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        now.as_secs() + 1 + SETTLED
    }

    #[test]
    fn places_are_known_as_they_are_joined() {
        let names = ["a", "b", "aa", "a/b", "b/a", "a.gz"].map(Path::new);
        for root in ["/www", "/www/", "/", "", "w", "/a", "/www/a"].map(Path::new) {
            for below in names {
                let at = At { root, below };
                assert!(at.is(&at.path()) && at.path() == root.join(below), "{at:?}");
                assert!(At::of(&at.path()).is(&at.path()));
                for other in names.iter().filter(|other| **other != below) {
                    assert!(!at.is(&root.join(other)), "{at:?} {other:?}");
                }
            }
            assert!(At::of(root).is(root) && At::of(root).path() == root);
        }
        assert!(!At { root: Path::new("/w"), below: Path::new("a") }.is(Path::new("/wa")));
    }

    #[test]
    fn who_is_believed_is_looked_at_once_a_tick() {
        let dir = Dir::new("believed");
        let path = dir.file("a", b"one");
        let cache = Cache::default();
        let keep = |now| {
            let it = held(&path, false);
            cache.keep(&it, now);
            it
        };
        block_on(cache.fill(&keep(5), 100)).unwrap();
        std::fs::write(&path, b"three").unwrap();
        assert!(cache.find(At::of(&path), false, true, 5).is_some());
        assert!(cache.find(At::of(&path), false, true, 6).is_none());
        let it = keep(6);
        block_on(cache.fill(&it, 100)).unwrap();
        assert!(cache.find(At::of(&path), false, false, 6).is_some());
        std::fs::write(&path, b"four").unwrap();
        assert!(cache.find(At::of(&path), false, false, 6).is_none(), "and otherwise every time");
        keep(6);
        assert!(cache.find(At::of(&path), false, true, 6).is_some());
        std::fs::write(&path, b"fourteen").unwrap();
        assert!(
            cache.find(At::of(&path), false, true, 6).is_none(),
            "and whose bytes are not kept"
        );
    }

    #[test]
    fn nothing_is_kept_for_ever() {
        let dir = Dir::new("ever");
        let path = dir.file("a", b"one");
        let cache = Cache::default();
        let it = held(&path, false);
        cache.keep(&it, 5);
        block_on(cache.fill(&it, 100)).unwrap();
        for now in 5..5 + LONGEST {
            assert!(cache.find(At::of(&path), false, true, now).is_some(), "{now}");
        }
        assert!(cache.find(At::of(&path), false, true, 5 + LONGEST).is_none());
    }

    #[test]
    fn what_is_replaced_or_gone_or_withheld_is_seen() {
        use std::os::unix::fs::PermissionsExt;
        let dir = Dir::new("replaced");
        let changes: [&dyn Fn(&Path); 3] = [
            &|path| {
                std::fs::copy(path, path.with_extension("new")).unwrap();
                std::fs::rename(path.with_extension("new"), path).unwrap();
            },
            &|path| std::fs::remove_file(path).unwrap(),
            &|path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap(),
        ];
        for change in changes {
            let path = dir.file("a", b"one");
            let cache = Cache::default();
            cache.keep(&held(&path, false), 1);
            assert!(cache.find(At::of(&path), false, true, 2).is_some());
            change(&path);
            assert!(cache.find(At::of(&path), false, true, 3).is_none());
        }
    }

    #[test]
    fn what_has_to_be_confined_is_found_again_by_its_path() {
        let dir = Dir::new("confined");
        let path = dir.file("a", b"one");
        let cache = Cache::default();
        cache.keep(&held(&path, false), 1);
        assert!(
            cache.find(At::of(&path), true, true, 1).is_none(),
            "nobody has looked whether it is"
        );
        let it = held(&path, true);
        cache.keep(&it, 1);
        block_on(cache.fill(&it, 100)).unwrap();
        assert!(cache.find(At::of(&path), true, true, 1).is_some());
        assert!(cache.find(At::of(&path), true, true, 2).is_none(), "a tick later");
    }

    #[test]
    fn no_more_files_are_kept_than_there_may_be() {
        let dir = Dir::new("most");
        let cache = Cache::default();
        let paths: Vec<_> = (0..MOST + 2).map(|i| dir.file(&i.to_string(), b"x")).collect();
        for (now, path) in paths.iter().enumerate() {
            cache.keep(&held(path, false), now as u32);
        }
        let now = paths.len() as u32;
        let found = |path: &PathBuf| cache.find(At::of(path), false, true, now).is_some();
        assert_eq!(paths.iter().map(found).filter(|it| *it).count(), MOST);
        assert!(!found(&paths[0]) && !found(&paths[1]), "those not used for longest went");
        assert!(cache.find(At::of(&paths[5]), false, true, now + 1).is_some());
        cache.age(now + 2);
        assert!(!found(&paths[6]) && cache.held.borrow().len() == 1);
        cache.clear();
        assert_eq!(cache.held.borrow().len(), 0);
    }

    #[test]
    fn bytes_are_kept_of_what_is_asked_for_again_and_has_settled() {
        let dir = Dir::new("bytes");
        let cache = Cache::default();
        let fill = |path: &Path, most| {
            let it = held(path, false);
            cache.keep(&it, 1);
            assert!(!it.is_worth_keeping(most, later), "nobody has asked again");
            cache.find(At::of(path), false, true, 1).unwrap();
            if it.is_worth_keeping(most, later) {
                block_on(cache.fill(&it, most)).unwrap();
                assert!(it.kept().is_some() && !it.is_worth_keeping(most, later));
            }
            it.kept().map(|kept| kept.content().to_vec())
        };
        assert_eq!(fill(&dir.file("a", b"some"), 100).as_deref(), Some(&b"some"[..]));
        assert_eq!(fill(&dir.file("b", &[7; 60]), 100), Some(vec![7; 60]));
        assert_eq!(fill(&dir.file("c", &[8; 60]), 100), Some(vec![8; 60]));
        let kept: usize = cache.held.borrow().iter().map(|it| it.weight()).sum();
        assert!((60..=100).contains(&kept), "{kept}");
        assert_eq!(fill(&dir.file("d", &[9; 101]), 100), None);
        assert_eq!(fill(&dir.file("e", b""), 100), None);
        assert_eq!(fill(&dir.file("f", &[9; buffer::SIZE + 1]), 1 << 20), None);

        let fresh = dir.file("g", b"just now");
        let it = held(&fresh, false);
        cache.keep(&it, 1);
        cache.find(At::of(&fresh), false, true, 1).unwrap();
        assert!(it.is_worth_keeping(100, later));
        assert!(!it.is_worth_keeping(100, || later() - SETTLED));
        // A time that somebody has set says nothing.
        let file = File::options().write(true).open(&fresh).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let it = held(&fresh, false);
        cache.keep(&it, 1);
        cache.find(At::of(&fresh), false, true, 1);
        assert!(!it.is_worth_keeping(100, || later() - SETTLED));
    }

    #[test]
    fn what_changes_while_it_is_read_is_not_kept() {
        let dir = Dir::new("changes");
        let path = dir.file("a", b"some");
        let cache = Cache::default();
        let it = held(&path, false);
        cache.keep(&it, 1);
        cache.find(At::of(&path), false, true, 1).unwrap();
        std::fs::write(&path, b"same").unwrap();
        block_on(cache.fill(&it, 100)).unwrap();
        assert!(it.kept().is_none());
    }
}
