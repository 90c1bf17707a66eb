//! Work for the helper thread that is done one piece at a time, in the order in which it was asked for.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

type Job<T> = Pin<Box<dyn Future<Output = T>>>;

/// Those who wait for their turn. The first of them has it.
pub(crate) struct Turns<T> {
    queue: RefCell<Vec<(u32, Option<Waker>)>>,
    next: Cell<u32>,
    /// What was begun last. It may outlive the turn it was begun in, since the helper thread goes on
    /// with it where nobody waits for it any more.
    job: RefCell<Option<Job<T>>>,
}

/// A place in the queue, which is given up when this is dropped.
pub(crate) struct Turn<T> {
    turns: Rc<Turns<T>>,
    id: u32,
}

impl<T> Turns<T> {
    pub(crate) fn new() -> Self {
        Turns { queue: RefCell::default(), next: Cell::new(0), job: RefCell::new(None) }
    }

    /// Takes the last place, and waits until it is the first.
    pub(crate) async fn take(self: Rc<Self>) -> Turn<T> {
        let id = self.next.get();
        self.next.set(id.wrapping_add(1));
        self.queue.borrow_mut().push((id, None));
        let turn = Turn { turns: self, id };
        poll_fn(|cx| {
            let mut queue = turn.turns.queue.borrow_mut();
            if queue.first().is_some_and(|(first, _)| *first == id) {
                return Poll::Ready(());
            }
            let mut waker = Some(cx.waker().clone());
            if let Some((_, place)) = queue.iter_mut().find(|(it, _)| *it == id) {
                std::mem::swap(place, &mut waker);
            }
            // Dropping the waker may drop what it woke, and with it another place in the queue.
            drop(queue);
            drop(waker);
            Poll::Pending
        })
        .await;
        turn
    }

    /// Waits for what was begun last.
    async fn finish(&self) -> Option<T> {
        poll_fn(|cx| {
            let mut job = self.job.borrow_mut();
            let Some(running) = job.as_mut() else {
                return Poll::Ready(None);
            };
            let outcome = running.as_mut().poll(cx);
            if outcome.is_ready() {
                *job = None;
            }
            outcome.map(Some)
        })
        .await
    }
}

impl<T> Turn<T> {
    /// Does `job`, once nothing is left of what was begun in the turns before.
    pub(crate) async fn run(&self, job: impl Future<Output = T> + 'static) -> Option<T> {
        self.turns.finish().await;
        *self.turns.job.borrow_mut() = Some(Box::pin(job));
        self.turns.finish().await
    }
}

impl<T> Drop for Turn<T> {
    fn drop(&mut self) {
        let mut queue = self.turns.queue.borrow_mut();
        let at = queue.iter().position(|(id, _)| *id == self.id);
        let gone = at.map(|at| queue.remove(at));
        let first = match at {
            Some(0) => queue.first_mut().and_then(|(_, waker)| waker.take()),
            _ => None,
        };
        drop(queue);
        drop(gone);
        if let Some(waker) = first {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake};

    use smol::LocalExecutor;
    use smol::future::{block_on, pending, poll_once, yield_now};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    type Waiting = Pin<Box<dyn Future<Output = Turn<()>>>>;

    /// One who waits, and how often it was woken.
    fn waiting(turns: &Rc<Turns<()>>) -> (Waiting, Arc<Woken>) {
        let (mut waiting, woken) = (Box::pin(turns.clone().take()) as Waiting, Arc::default());
        assert!(poll(&mut waiting, &woken).is_none());
        (waiting, woken)
    }

    fn poll(waiting: &mut Waiting, woken: &Arc<Woken>) -> Option<Turn<()>> {
        let waker = woken.clone().into();
        match waiting.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    fn times(woken: &Arc<Woken>) -> usize {
        woken.0.load(Ordering::Relaxed)
    }

    #[test]
    fn turns_come_in_the_order_of_asking() {
        let turns = Rc::new(Turns::<()>::new());
        let order = Rc::new(RefCell::new(Vec::new()));
        let inside = Rc::new(Cell::new(0));
        let executor = LocalExecutor::new();
        let tasks: Vec<_> = (0..20)
            .map(|i| {
                let (turns, order, inside) = (turns.clone(), order.clone(), inside.clone());
                executor.spawn(async move {
                    // Each asks for several, so that those who come back queue up behind the others.
                    for _ in 0..3 {
                        let turn = turns.clone().take().await;
                        assert_eq!(inside.replace(1), 0);
                        for _ in 0..i % 4 {
                            yield_now().await;
                        }
                        turn.run(yield_now()).await.unwrap();
                        order.borrow_mut().push(i);
                        inside.set(0);
                    }
                })
            })
            .collect();
        block_on(executor.run(async {
            for task in tasks {
                task.await;
            }
        }));
        let order = order.take();
        for round in order.chunks(20).skip(1) {
            assert_eq!(round, &order[..20], "nobody overtakes");
        }
        assert!(turns.queue.borrow().is_empty());
    }

    #[test]
    fn whoever_goes_does_not_swallow_a_wake_up() {
        let turns = Rc::new(Turns::new());
        let held = block_on(turns.clone().take());
        let (first, first_woken) = waiting(&turns);
        let (second, second_woken) = waiting(&turns);
        let (mut third, third_woken) = waiting(&turns);
        // Out of the middle nobody is woken.
        drop(second);
        assert_eq!((times(&second_woken), times(&third_woken)), (0, 0));
        drop(held);
        assert_eq!((times(&first_woken), times(&third_woken)), (1, 0));
        // The turn was the first's already when that went.
        drop(first);
        assert_eq!(times(&third_woken), 1);
        let held = poll(&mut third, &third_woken).unwrap();
        let (never_polled, (mut last, last_woken)) = (turns.clone().take(), waiting(&turns));
        drop(never_polled);
        drop(held);
        assert!(poll(&mut last, &last_woken).is_some());
        assert!(turns.queue.borrow().is_empty());
        let _at_once = block_on(turns.take());
    }

    #[test]
    fn the_latest_waker_is_woken() {
        let turns = Rc::new(Turns::new());
        let held = block_on(turns.clone().take());
        let (mut moved, before) = waiting(&turns);
        let now = Arc::default();
        assert!(poll(&mut moved, &now).is_none());
        drop(held);
        assert_eq!((times(&before), times(&now)), (0, 1));
    }

    #[test]
    fn the_job_of_one_who_went_is_finished_first() {
        block_on(async {
            let turns = Rc::new(Turns::new());
            let over = Rc::new(Cell::new(false));
            let running = {
                let over = over.clone();
                async move {
                    while !over.get() {
                        yield_now().await;
                    }
                    1
                }
            };
            let turn = turns.clone().take().await;
            assert_eq!(poll_once(turn.run(running)).await, None);
            drop(turn);
            let turn = turns.clone().take().await;
            let mut next = Box::pin(turn.run(std::future::ready(2)));
            assert_eq!(poll_once(&mut next).await, None, "the other is in flight");
            over.set(true);
            assert_eq!(next.await, Some(2), "and what came of that is not taken for it");
            // One that is never done keeps the others waiting, and no longer than it is there.
            assert_eq!(poll_once(turn.run(pending())).await, None);
            assert_eq!(poll_once(turns.clone().take()).await.map(drop), None);
        });
    }
}
