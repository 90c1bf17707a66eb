//! A part of a task that sleeps while the others run.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Tells which part of a task was woken.
struct Alarm {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Alarm {
    fn set(&self, task: &Waker) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.clone());
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, SeqCst) {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}

/// Polls `future` only when it was woken itself, and not whenever the task is that it is part of.
///
/// It is for what waits beside a server for something rare, such as a signal: a task that consists
/// of both is polled for every request.
///
/// ```no_run
/// # use ecohttpd::{Connection, Options, Request, Server, Signal, Signals, until_woken};
/// # use smol::future::or;
/// # let server = Server::new(Options::default()).bind(([127, 0, 0, 1], 8080).into())?;
/// # let handler = async |con: &mut Connection, _: &mut Request| con.send("hello\n").await;
/// let signals = Signals::new(&[Signal::Terminate])?;
/// let ended = until_woken(async { signals.next().await.map(drop) });
/// ecohttpd::block_on(or(server.serve(handler), ended))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn until_woken<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let alarm = Arc::new(Alarm { rung: true.into(), task: Mutex::default() });
    let waker = Waker::from(alarm.clone());
    let mut task: Option<Waker> = None;
    poll_fn(|cx| {
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            alarm.set(cx.waker());
            task = Some(cx.waker().clone());
        }
        if !alarm.rung.load(SeqCst) {
            return Poll::Pending;
        }
        alarm.rung.store(false, SeqCst);
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use smol::future::{block_on, or, yield_now};

    use super::*;

    #[test]
    fn it_is_polled_when_it_was_woken() {
        let (polls, waker) = (Cell::new(0), RefCell::new(None::<Waker>));
        let rare = poll_fn(|cx| {
            polls.set(polls.get() + 1);
            waker.replace(Some(cx.waker().clone()));
            if polls.get() == 3 { Poll::Ready(7) } else { Poll::Pending }
        });
        let busy = async {
            for i in 0..100 {
                yield_now().await;
                assert_eq!(polls.get(), if i < 50 { 1 } else { 2 });
                if i == 49 {
                    waker.borrow().as_ref().unwrap().wake_by_ref();
                    yield_now().await;
                }
            }
            waker.take().unwrap().wake();
            std::future::pending().await
        };
        assert_eq!(block_on(or(until_woken(rare), busy)), 7);
    }

    #[test]
    fn another_thread_may_wake_it() {
        let mut thread = None;
        let rare = poll_fn(|cx| match thread.take() {
            None => {
                let waker = cx.waker().clone();
                thread = Some(std::thread::spawn(move || waker.wake()));
                Poll::Pending
            }
            Some(woken) => Poll::Ready(woken.join().is_ok()),
        });
        assert!(block_on(until_woken(rare)));
    }
}
