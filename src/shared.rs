//! What all connections of a server have in common.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::Waker;
use std::time::SystemTime;

use crate::accept::{Accepted, Listener};
use crate::cache::Cache;
use crate::exchange::Access;
use crate::io::clock::Clock;
use crate::response::USUAL;
use crate::wire::date;
use crate::{Options, Request};

pub(crate) type Log = Rc<dyn Fn(&Access<'_>)>;

/// How most heads start, to the end of the Date field, and at which beat of the clock that was made.
#[derive(Default)]
struct Date {
    beats: u32,
    seconds: u64,
    text: Rc<str>,
}

/// What all connections of a server have in common.
pub(crate) struct Shared {
    options: RefCell<Rc<Options>>,
    pub(crate) listeners: RefCell<Vec<Listener>>,
    /// Those who had connected where nobody listens any more.
    pub(crate) late: RefCell<Vec<Accepted>>,
    pub(crate) cache: Cache,
    pub(crate) clock: Rc<Clock>,
    /// Whether the compressor is in use.
    #[cfg(feature = "gzip")]
    pub(crate) deflating: Cell<bool>,
    #[cfg(feature = "gzip")]
    pub(crate) inflating: Cell<u8>,
    pub(crate) active: Cell<usize>,
    /// Somebody waits for a place.
    pub(crate) crowded: Cell<bool>,
    /// Somebody waits for descriptors or memory.
    pub(crate) short: Cell<bool>,
    pub(crate) draining: Cell<bool>,
    pub(crate) waiting: RefCell<Option<Waker>>,
    date: RefCell<Date>,
    /// The last request that is over, for the next one: its memory, and what was found out about its head.
    pub(crate) over: Cell<Option<Box<Request>>>,
    /// Where heads are put together, while nobody does.
    pub(crate) scratch: Cell<Vec<u8>>,
    pub(crate) log: RefCell<Option<Log>>,
    /// A docroot, and where that is without symbolic links.
    docroot: RefCell<Option<(PathBuf, PathBuf)>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .field("active", &self.active)
            .field("draining", &self.draining)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        Shared {
            options: RefCell::new(options.into()),
            listeners: RefCell::default(),
            late: RefCell::default(),
            cache: Cache::default(),
            clock: Rc::default(),
            #[cfg(feature = "gzip")]
            deflating: Cell::new(false),
            #[cfg(feature = "gzip")]
            inflating: Cell::new(0),
            active: Cell::new(0),
            crowded: Cell::new(false),
            short: Cell::new(false),
            draining: Cell::new(false),
            waiting: RefCell::new(None),
            date: RefCell::default(),
            over: Cell::default(),
            scratch: Cell::default(),
            log: RefCell::default(),
            docroot: RefCell::default(),
        }
    }

    /// The options that count for what begins now.
    pub(crate) fn options(&self) -> Rc<Options> {
        self.options.borrow().clone()
    }

    /// Whether these are the options that count for what begins now.
    pub(crate) fn is_current(&self, options: &Rc<Options>) -> bool {
        Rc::ptr_eq(&self.options.borrow(), options)
    }

    pub(crate) fn set_options(&self, options: Rc<Options>) {
        self.options.replace(options);
        // What was found in one docroot is no proof for another.
        self.cache.clear();
    }

    /// Listens nowhere any more.
    pub(crate) fn close(&self) {
        self.listeners.take();
        self.late.take();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether somebody waits for a connection to end.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.get()
    }

    /// A connection has become idle, and so could make room.
    pub(crate) fn told_idle(&self) {
        if self.crowded.get() {
            self.wake();
        }
    }

    pub(crate) fn wake(&self) {
        let waker = self.waiting.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
    }

    /// The usual status line and the Date field, made once a second: to ask for the time is a system call
    /// where the kernel has no other way.
    pub(crate) fn start(&self) -> Rc<str> {
        self.dated(0);
        self.date.borrow().text.clone()
    }

    /// The seconds since 1970 that the Date field tells, which is made anew if they are before
    /// `modified`: nothing was modified later than that (RFC 9110, 8.8.2.1).
    pub(crate) fn dated(&self, modified: u64) -> u64 {
        let beats = self.clock.beats();
        let mut date = self.date.borrow_mut();
        if date.beats != beats || date.text.is_empty() || date.seconds < modified {
            let seconds = self.now();
            *date = Date {
                beats,
                seconds,
                text: format!("{USUAL}Date: {}\r\n", date::format(seconds)).into(),
            };
        }
        date.seconds
    }

    /// Looks after what is kept, at every tick, for as long as the server runs.
    pub(crate) async fn tidy(&self) -> io::Result<()> {
        loop {
            self.clock.tick().await;
            match self.active.get() {
                0 => {
                    self.cache.clear();
                    self.over.take();
                }
                _ => self.cache.age(self.clock.beats()),
            }
        }
    }

    /// Whether a path without symbolic links lies in `docroot`.
    pub(crate) fn is_in_docroot(&self, real: &Path, docroot: &Path) -> bool {
        let known = |known: &Option<(PathBuf, PathBuf)>| {
            known.as_ref().is_some_and(|(of, root)| of == docroot && real.starts_with(root))
        };
        if known(&self.docroot.borrow()) {
            return true;
        }
        // It may have been replaced since, as a link is when a new version is put in place.
        let root = std::fs::canonicalize(docroot).ok();
        let now = root.map(|root| (docroot.to_owned(), root));
        let inside = known(&now);
        self.docroot.replace(now);
        inside
    }
}

/// One connection's place among those served at once.
#[derive(Debug)]
pub(crate) struct Place(Rc<Shared>);

impl Place {
    pub(crate) fn take(shared: &Rc<Shared>) -> Place {
        shared.active.set(shared.active.get() + 1);
        Place(shared.clone())
    }
}

impl std::ops::Deref for Place {
    type Target = Rc<Shared>;

    fn deref(&self) -> &Rc<Shared> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let shared = &self.0;
        shared.active.set(shared.active.get() - 1);
        // To whoever waits for the next connection it is no news.
        if shared.crowded.get() || shared.short.get() || shared.is_draining() {
            shared.wake();
        }
    }
}
