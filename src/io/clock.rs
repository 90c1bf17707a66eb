//! Time in whole seconds, told once a second to whoever waits for it.
//!
//! A timer per read would cost a system call to arm and a tree to keep. Here arming a deadline is
//! a store, and one task looks at all of them once a second. It sleeps while nobody has one.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use slab::Slab;

use super::reactor::Reactor;
use super::socket::Ticker;
use crate::{Error, Result};

/// The time and those who watch it.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Ticks so far, each a second.
    now: Cell<u32>,
    slots: RefCell<Slab<Slot>>,
    ticker: OnceCell<Ticker>,
    /// Since when it ticks, and what the time was then; nothing while it does not.
    since: Cell<Option<(Instant, u32)>>,
    /// Counts those who became idle.
    idlers: Cell<u32>,
    /// Counts the ticks, and the times it began to tick.
    beats: Cell<u32>,
    /// Those who wait for the next of them.
    listeners: RefCell<Vec<Waker>>,
}

#[derive(Debug, Default)]
struct Slot {
    due: u32,
    /// Its number among the idlers, if it is one.
    idle: Option<u32>,
    /// When it can be made to go, if it is.
    evictable: u32,
    waker: Option<Waker>,
}

impl Clock {
    /// Keeps time; runs for as long as the server does.
    pub(crate) async fn run(&self, reactor: &Rc<Reactor>) -> io::Result<()> {
        let ticker = match self.ticker.get() {
            Some(ticker) => ticker,
            None => {
                let ticker = Ticker::new(reactor)?;
                self.ticker.get_or_init(|| ticker)
            }
        };
        if !self.slots.borrow().is_empty() {
            self.start();
        }
        loop {
            ticker.tick().await?;
            if let Some((since, then)) = self.since.get() {
                // Not counted: ticks may have been slept through.
                self.now.set(then.wrapping_add(since.elapsed().as_secs() as u32));
            }
            self.beat();
            if self.slots.borrow().is_empty() {
                ticker.set(false)?;
                self.since.set(None);
            } else {
                let now = self.now.get();
                self.wake(|slot| slot.due <= now);
            }
        }
    }

    fn start(&self) {
        if let (None, Some(ticker)) = (self.since.get(), self.ticker.get()) {
            // Without its ticks no deadline would end, but everything else goes on.
            if ticker.set(true).is_ok() {
                self.since.set(Some((Instant::now(), self.now.get())));
                self.beat();
            }
        }
    }

    fn beat(&self) {
        self.beats.set(self.beats.get().wrapping_add(1));
        self.listeners.take().into_iter().for_each(Waker::wake);
    }

    /// Waits for the next tick, without making the clock tick for it: where nobody has a deadline,
    /// until somebody has.
    pub(crate) async fn tick(&self) {
        let beats = self.beats.get();
        poll_fn(|cx| {
            if self.beats.get() != beats {
                return Poll::Ready(());
            }
            let mut listeners = self.listeners.borrow_mut();
            if !listeners.iter().any(|waker| waker.will_wake(cx.waker())) {
                listeners.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Another number after each second for as long as it ticks, and after each time that it did not.
    pub(crate) fn beats(&self) -> u32 {
        self.beats.get()
    }

    /// Ends all idling.
    pub(crate) fn ring(&self) {
        for (_, slot) in self.slots.borrow_mut().iter_mut() {
            if slot.idle.is_some() {
                slot.due = 0;
            }
        }
        self.wake(|slot| slot.due == 0);
    }

    /// Ends the idling of whoever has been idle for longest; whether there was one. Asked again
    /// before that one has gone, it ends no other.
    pub(crate) fn evict(&self) -> bool {
        let mut slots = self.slots.borrow_mut();
        if slots.iter().any(|(_, slot)| slot.idle.is_some() && slot.due == 0) {
            return true;
        }
        let (now, last) = (self.now.get(), self.idlers.get());
        let longest = slots
            .iter_mut()
            .filter(|(_, slot)| slot.evictable <= now)
            .filter_map(|(_, slot)| slot.idle.map(|number| (last.wrapping_sub(number), slot)))
            .max_by_key(|(age, _)| *age);
        let Some((_, slot)) = longest else {
            return false;
        };
        slot.due = 0;
        let waker = slot.waker.take();
        drop(slots);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn wake(&self, which: impl Fn(&Slot) -> bool) {
        let mut due = Vec::new();
        for (_, slot) in self.slots.borrow_mut().iter_mut() {
            if which(slot) {
                due.extend(slot.waker.take());
            }
        }
        due.into_iter().for_each(Waker::wake);
    }
}

/// One task's place on the clock.
#[derive(Debug)]
pub(crate) struct Watch {
    clock: Rc<Clock>,
    key: usize,
}

impl Watch {
    pub(crate) fn new(clock: Rc<Clock>) -> Self {
        let slot = Slot { due: u32::MAX, ..Slot::default() };
        let key = clock.slots.borrow_mut().insert(slot);
        clock.start();
        Watch { clock, key }
    }

    /// Sets the deadline for what follows: `secs` from now, and up to a second more.
    pub(crate) fn arm(&self, secs: u32) {
        let due = self.clock.now.get().saturating_add(secs).saturating_add(1);
        self.slot(|slot| {
            slot.due = due;
            slot.idle = None;
        });
    }

    /// Waits for `future`, but not past the deadline that was set.
    ///
    /// This and what follows are no async functions, which would keep the future twice, and idle
    /// connections are many.
    pub(crate) fn until<T>(
        &self,
        mut future: impl Future<Output = T> + Unpin,
    ) -> impl Future<Output = Result<T>> + Unpin {
        poll_fn(move |cx| match Pin::new(&mut future).poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => self.poll_due(cx).map(|()| Err(Error::Timeout)),
        })
    }

    /// Waits for `future`, but not much longer than `secs` from now.
    pub(crate) fn within<T>(
        &self,
        secs: u32,
        future: impl Future<Output = T> + Unpin,
    ) -> impl Future<Output = Result<T>> + Unpin {
        self.arm(secs);
        self.until(future)
    }

    /// Like `within`, and ends at once when the clock is rung, or when this is whom to evict: not
    /// before `grace` seconds are over.
    pub(crate) fn idle<T>(
        &self,
        secs: u32,
        grace: u32,
        mut future: impl Future<Output = T> + Unpin,
    ) -> impl Future<Output = Result<T>> + Unpin {
        self.arm_idle(secs, grace);
        poll_fn(move |cx| match Pin::new(&mut future).poll(cx) {
            Poll::Ready(value) => {
                self.end_idle();
                Poll::Ready(Ok(value))
            }
            Poll::Pending => self.poll_idle(cx).map(|()| Err(Error::Timeout)),
        })
    }

    /// Sets the deadline for [`poll_idle`](Self::poll_idle), as `idle` does.
    pub(crate) fn arm_idle(&self, secs: u32, grace: u32) {
        self.arm(secs);
        let number = self.clock.idlers.get().wrapping_add(1);
        self.clock.idlers.set(number);
        let until = if grace > 0 { grace.saturating_add(1) } else { 0 };
        let evictable = self.clock.now.get().saturating_add(until);
        self.slot(|slot| {
            slot.idle = Some(number);
            slot.evictable = evictable;
        });
    }

    /// Whether the idleness has lasted for long enough; it is over then.
    pub(crate) fn poll_idle(&self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_due(cx));
        self.end_idle();
        Poll::Ready(())
    }

    /// Ends the idleness, for what came.
    fn end_idle(&self) {
        self.slot(|slot| slot.idle = None);
    }

    fn poll_due(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut old = None; // dropped when the slots are free again
        self.slot(|slot| {
            if slot.due <= self.clock.now.get() {
                return Poll::Ready(());
            }
            if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                old = slot.waker.replace(cx.waker().clone());
            }
            Poll::Pending
        })
    }

    fn slot<T>(&self, f: impl FnOnce(&mut Slot) -> T) -> T {
        let mut slots = self.clock.slots.borrow_mut();
        match slots.get_mut(self.key) {
            Some(slot) => f(slot),
            // can't happen: it is there until this is dropped
            None => f(&mut Slot::default()),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let slot = self.clock.slots.borrow_mut().try_remove(self.key);
        drop(slot); // its waker, when the slots are free again
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use smol::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn whoever_idles_longest_is_evicted_first() {
        block_on(async {
            let clock = Rc::new(Clock::default());
            let [a, b, c] = [(); 3].map(|()| Watch::new(clock.clone()));
            let mut first = pin!(a.idle(9, 0, pending::<()>()));
            let mut second = pin!(b.idle(9, 0, pending::<()>()));
            let mut busy = pin!(c.within(9, pending::<()>()));
            assert!(poll_once(first.as_mut()).await.is_none());
            assert!(poll_once(second.as_mut()).await.is_none());
            assert!(poll_once(busy.as_mut()).await.is_none());
            assert!(clock.evict() && clock.evict(), "it is one and the same");
            assert!(poll_once(second.as_mut()).await.is_none());
            assert!(matches!(poll_once(first.as_mut()).await, Some(Err(Error::Timeout))));
            assert!(clock.evict());
            assert!(matches!(poll_once(second.as_mut()).await, Some(Err(Error::Timeout))));
            assert!(!clock.evict(), "the busy one stays");
            assert!(poll_once(busy.as_mut()).await.is_none());
        });
    }

    #[test]
    fn who_has_just_come_is_spared() {
        block_on(async {
            let clock = Rc::new(Clock::default());
            let watch = Watch::new(clock.clone());
            let mut fresh = pin!(watch.idle(9, 1, pending::<()>()));
            assert!(poll_once(fresh.as_mut()).await.is_none());
            assert!(!clock.evict());
            clock.now.set(1);
            assert!(!clock.evict(), "that may be less than a second");
            clock.now.set(2);
            assert!(clock.evict());
            assert!(poll_once(fresh.as_mut()).await.is_some());
        });
    }

    #[test]
    fn a_deadline_is_never_early() {
        block_on(async {
            let clock = Rc::new(Clock::default());
            let watch = Watch::new(clock.clone());
            let mut wait = pin!(watch.within(2, pending::<()>()));
            for now in 0..=2 {
                clock.now.set(now);
                assert!(poll_once(wait.as_mut()).await.is_none(), "{now}");
            }
            clock.now.set(3);
            assert!(poll_once(wait.as_mut()).await.is_some());
        });
    }
}
