//! How many may do something at once, and who is next.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A number of places, given to those who wait in the order in which they came.
#[derive(Debug)]
pub(crate) struct Slots {
    most: Cell<usize>,
    taken: Cell<usize>,
    /// Those who wait, each under a number of its own.
    waiting: RefCell<Vec<(u32, Waker)>>,
    last: Cell<u32>,
}

/// A place, given back when this goes.
#[derive(Debug)]
pub(crate) struct Slot<'a>(&'a Slots);

impl Slots {
    pub(crate) fn new(most: usize) -> Self {
        let waiting = RefCell::default();
        Slots { most: Cell::new(most), taken: Cell::new(0), waiting, last: Cell::new(0) }
    }

    /// Has so many places from here on. Those that are taken beyond that are not given again.
    pub(crate) fn resize(&self, most: usize) {
        self.most.set(most);
        self.wake();
    }

    fn free(&self) -> usize {
        self.most.get().saturating_sub(self.taken.get())
    }

    /// Waits for a place.
    pub(crate) async fn take(&self) -> Slot<'_> {
        let mut ticket = Ticket { slots: self, number: None };
        poll_fn(|cx| {
            let mut waiting = self.waiting.borrow_mut();
            let turn = match ticket.number {
                Some(number) => waiting.iter().position(|(n, _)| *n == number),
                None => Some(waiting.len()),
            };
            // Whoever came before goes before, though it may not have been polled yet.
            if turn.is_none_or(|turn| turn < self.free()) {
                return Poll::Ready(());
            }
            match ticket.number {
                Some(number) => {
                    let place = waiting.iter_mut().find(|(n, _)| *n == number);
                    if let Some((_, waker)) = place {
                        waker.clone_from(cx.waker());
                    }
                }
                None => {
                    let number = self.last.get().wrapping_add(1);
                    self.last.set(number);
                    ticket.number = Some(number);
                    waiting.push((number, cx.waker().clone()));
                }
            }
            Poll::Pending
        })
        .await;
        self.taken.set(self.taken.get() + 1);
        Slot(self)
    }

    /// Whether somebody waits for a place.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Wakes those whose turn it is.
    fn wake(&self) {
        let wakers: Vec<_> = {
            let waiting = self.waiting.borrow();
            waiting.iter().take(self.free()).map(|(_, waker)| waker.clone()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get().saturating_sub(1));
        self.0.wake();
    }
}

/// A place in the queue, left when this goes: because its turn came, or because nobody waits for it
/// any more.
struct Ticket<'a> {
    slots: &'a Slots,
    number: Option<u32>,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else {
            return;
        };
        let waiting = &self.slots.waiting;
        let left = waiting.borrow().iter().position(|(n, _)| *n == number);
        let gone = left.map(|i| waiting.borrow_mut().remove(i));
        drop(gone);
        self.slots.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};

    use smol::future::{block_on, poll_once};

    use super::*;

    async fn now<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_once(future).await
    }

    #[test]
    fn first_come_first_served() {
        block_on(async {
            let slots = Slots::new(2);
            let a = slots.take().await;
            let b = slots.take().await;
            let (mut c, mut d, mut e) =
                (pin!(slots.take()), pin!(slots.take()), pin!(slots.take()));
            assert!(now(c.as_mut()).await.is_none());
            assert!(now(d.as_mut()).await.is_none());
            drop(a);
            assert!(now(e.as_mut()).await.is_none(), "the place is c's");
            assert!(now(d.as_mut()).await.is_none(), "the place is c's");
            let c = now(c.as_mut()).await.expect("its turn");
            drop(b);
            drop(c);
            let d = now(d.as_mut()).await.expect("its turn");
            let e = now(e.as_mut()).await.expect("its turn");
            drop((d, e));
            assert_eq!((slots.free(), slots.waiting.borrow().len()), (2, 0));
        });
    }

    #[test]
    fn whoever_leaves_the_queue_keeps_nobody_in_it() {
        block_on(async {
            let slots = Slots::new(1);
            let a = slots.take().await;
            let mut b = Box::pin(slots.take());
            let mut c = pin!(slots.take());
            assert!(now(b.as_mut()).await.is_none());
            assert!(now(c.as_mut()).await.is_none());
            drop(a);
            drop(b); // its turn, but it has gone
            assert!(now(c.as_mut()).await.is_some());
        });
    }

    #[test]
    fn there_can_be_more_places_or_fewer() {
        block_on(async {
            let slots = Slots::new(1);
            let a = slots.take().await;
            let (mut b, mut c) = (pin!(slots.take()), pin!(slots.take()));
            assert!(now(b.as_mut()).await.is_none());
            assert!(now(c.as_mut()).await.is_none());
            slots.resize(2);
            let b = now(b.as_mut()).await.expect("a new place");
            assert!(now(c.as_mut()).await.is_none());
            slots.resize(1);
            drop(a);
            assert!(now(c.as_mut()).await.is_none(), "that place is no more");
            drop(b);
            assert!(now(c.as_mut()).await.is_some());
        });
    }

    #[test]
    fn waiting_tasks_are_woken() {
        let slots = Slots::new(1);
        let order = RefCell::new(Vec::new());
        let ex = smol::LocalExecutor::new();
        block_on(ex.run(async {
            let tasks: Vec<_> = (0..5)
                .map(|i| {
                    let (slots, order) = (&slots, &order);
                    ex.spawn(async move {
                        let _slot = slots.take().await;
                        smol::future::yield_now().await;
                        order.borrow_mut().push(i);
                    })
                })
                .collect();
            for task in tasks {
                task.await;
            }
        }));
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
    }
}
