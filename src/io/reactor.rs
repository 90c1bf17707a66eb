//! Which sockets are ready: one edge-triggered epoll, told of each socket once.
//!
//! A socket is added when it is made and leaves when it is closed. In between the kernel is asked
//! for bytes and, once for many sockets, for news. What it said last is kept in a slot, and is
//! believed until a read or write proves it wrong.
//!
//! Whoever runs the thread also has to take the news: [`drive::block_on`](super::drive::block_on)
//! waits in this very epoll; under a foreign executor [`Reactor::drain`] waits for it as for any
//! other descriptor, since an epoll with news is itself readable.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::pending;
#[cfg(feature = "async-io")]
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[cfg(feature = "async-io")]
use async_io::Async;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;
use slab::Slab;

/// Events taken from the kernel at once.
const ROUND: usize = 64;

/// The peer will send no more, or nothing works any more: a read says which, without waiting.
const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Read,
    Write,
    /// That the peer has ended; whoever waits for it does not read meanwhile.
    End,
}

impl Way {
    fn mask(self) -> EventFlags {
        match self {
            Way::Read => EventFlags::IN.union(ENDED),
            Way::Write => EventFlags::OUT.union(EventFlags::HUP).union(EventFlags::ERR),
            Way::End => ENDED,
        }
    }
}

#[derive(Debug)]
struct Slot {
    ready: EventFlags,
    /// Tells this use of the slot from those before it.
    serial: u32,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Slot {
    fn waiting(&mut self, way: Way) -> &mut Option<Waker> {
        match way {
            Way::Read | Way::End => &mut self.reader,
            Way::Write => &mut self.writer,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Reactor {
    epoll: Rc<OwnedFd>,
    #[cfg(feature = "async-io")]
    outer: OnceCell<Async<Rc<OwnedFd>>>,
    slots: RefCell<Slab<Slot>>,
    serial: Cell<u32>,
    /// Those who have had their share and go on after the next round of news.
    parked: RefCell<Vec<Waker>>,
    /// Whoever takes the news under a foreign executor, while it waits for them.
    #[cfg(feature = "async-io")]
    drainer: RefCell<Option<Waker>>,
    /// Whether somebody waits in the epoll itself.
    pub(super) driven: Cell<bool>,
}

impl Reactor {
    /// This thread's reactor.
    pub(crate) fn current() -> io::Result<Rc<Reactor>> {
        thread_local!(static CURRENT: OnceCell<Rc<Reactor>> = const { OnceCell::new() });
        CURRENT.with(|current| match current.get() {
            Some(reactor) => Ok(reactor.clone()),
            None => {
                let reactor = Rc::new(Reactor {
                    epoll: Rc::new(epoll::create(CreateFlags::CLOEXEC)?),
                    #[cfg(feature = "async-io")]
                    outer: OnceCell::new(),
                    slots: RefCell::default(),
                    serial: Cell::new(0),
                    parked: RefCell::default(),
                    #[cfg(feature = "async-io")]
                    drainer: RefCell::default(),
                    driven: Cell::new(false),
                });
                Ok(current.get_or_init(|| reactor).clone())
            }
        })
    }

    /// Begins to watch `fd`, which has to be non-blocking. What `ready` says is taken for granted.
    pub(super) fn add(&self, fd: &impl AsFd, ready: EventFlags) -> io::Result<usize> {
        let serial = self.serial.get().wrapping_add(1);
        self.serial.set(serial);
        let slot = Slot { ready, serial, reader: None, writer: None };
        let key = self.slots.borrow_mut().insert(slot);
        let data = EventData::new_u64(u64::from(serial) << 32 | key as u64);
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        if let Err(e) = epoll::add(&*self.epoll, fd, data, flags) {
            self.remove(key);
            return Err(e.into());
        }
        Ok(key)
    }

    /// Forgets a descriptor; the kernel does when it is closed.
    pub(super) fn remove(&self, key: usize) {
        // Wakers go when the slots are free again: dropping one may drop a task and its sockets.
        let slot = self.slots.borrow_mut().try_remove(key);
        drop(slot);
    }

    pub(super) fn poll_ready(&self, key: usize, way: Way, cx: &mut Context<'_>) -> Poll<()> {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else {
            return Poll::Ready(()); // can't happen: a socket has its slot until it is dropped
        };
        if slot.ready.intersects(way.mask()) {
            return Poll::Ready(());
        }
        let place = slot.waiting(way);
        if !place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            let old = place.replace(cx.waker().clone());
            drop(slots);
            drop(old);
        }
        Poll::Pending
    }

    /// The call would have blocked. That also disproves errors and hang-ups seen before.
    pub(super) fn blocked(&self, key: usize, way: Way) {
        self.disprove(key, way.mask());
    }

    /// The call did less than it was asked to, so the next would block. If an end was seen, that
    /// stays: it tells nothing new, and a read has to find it.
    pub(super) fn short(&self, key: usize, way: Way) {
        self.disprove(
            key,
            match way {
                Way::Read | Way::End => EventFlags::IN,
                Way::Write => EventFlags::OUT,
            },
        );
    }

    /// Takes for granted that the descriptor is ready.
    pub(super) fn believe(&self, key: usize, flags: EventFlags) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(key) {
            slot.ready |= flags;
        }
    }

    fn disprove(&self, key: usize, flags: EventFlags) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(key) {
            slot.ready.remove(flags);
        }
    }

    /// Lets everybody else go first: wakes this task after the next round of news.
    ///
    /// To wake it at once would not do: an executor runs what can run for a long time before it
    /// looks at the kernel again.
    pub(super) fn park(&self, cx: &mut Context<'_>) {
        self.parked.borrow_mut().push(cx.waker().clone());
        #[cfg(feature = "async-io")]
        {
            let drainer = self.drainer.borrow_mut().take();
            if let Some(drainer) = drainer {
                drainer.wake();
            }
        }
    }

    /// Whether somebody is parked, so that news are not to be waited for.
    pub(super) fn is_busy(&self) -> bool {
        !self.parked.borrow().is_empty()
    }

    /// Takes one round of news and wakes whom it concerns, and those who are parked.
    ///
    /// `awake` is called when the wait is over, before anybody is woken.
    pub(super) fn turn(&self, timeout: Option<&Timespec>, awake: impl FnOnce()) -> usize {
        let parked = self.parked.take();
        let count = self.take_news(timeout, awake);
        parked.into_iter().for_each(Waker::wake);
        count
    }

    fn take_news(&self, timeout: Option<&Timespec>, awake: impl FnOnce()) -> usize {
        let mut events = [MaybeUninit::<Event>::uninit(); ROUND];
        let news = epoll::wait(&*self.epoll, &mut events, timeout);
        awake();
        let Ok((events, _)) = news else {
            return 0; // interrupted
        };
        for &mut Event { flags, data } in &mut *events {
            let (key, serial) = (data.u64() as u32 as usize, (data.u64() >> 32) as u32);
            let mut slots = self.slots.borrow_mut();
            // A descriptor closed here but still open in a child has no slot, or not this one.
            let Some(slot) = slots.get_mut(key).filter(|slot| slot.serial == serial) else {
                continue;
            };
            slot.ready |= flags;
            let woken = [Way::Read, Way::Write]
                .map(|way| slot.waiting(way).take_if(|_| flags.intersects(way.mask())));
            drop(slots);
            woken.into_iter().flatten().for_each(Waker::wake);
        }
        events.len()
    }

    /// Takes the news for as long as it is polled.
    pub(crate) async fn drain(&self) -> io::Result<()> {
        if self.driven.get() {
            return pending().await;
        }
        self.drain_nested().await
    }

    #[cfg(not(feature = "async-io"))]
    async fn drain_nested(&self) -> io::Result<()> {
        Err(crate::failure::failure(
            io::ErrorKind::Unsupported,
            "built without the feature async-io, servers run under ecohttpd::block_on only",
        ))
    }

    #[cfg(feature = "async-io")]
    async fn drain_nested(&self) -> io::Result<()> {
        let outer = match self.outer.get() {
            Some(outer) => outer,
            None => {
                let outer = Async::new_nonblocking(self.epoll.clone())?;
                self.outer.get_or_init(|| outer)
            }
        };
        loop {
            let busy = self.is_busy();
            if self.turn(Some(&Timespec::default()), || ()) == 0 && !busy {
                let mut readable = std::pin::pin!(outer.readable());
                poll_fn(|cx| {
                    if self.is_busy() {
                        return Poll::Ready(Ok(()));
                    }
                    self.drainer.replace(Some(cx.waker().clone()));
                    readable.as_mut().poll(cx)
                })
                .await?;
            } else {
                // Those woken come first; what they leave undone by then makes one round.
                smol::future::yield_now().await;
            }
        }
    }

    pub(super) fn add_bell(&self, bell: &impl AsFd) -> io::Result<()> {
        let data = EventData::new_u64(u64::MAX); // no slot's
        Ok(epoll::add(&*self.epoll, bell, data, EventFlags::IN | EventFlags::ET)?)
    }
}
