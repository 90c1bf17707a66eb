//! One thread that waits for disks, so that nobody else has to. It is there while it is needed.

use std::any::Any;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::sys;

type Job = Box<dyn FnOnce() + Send>;

/// How long the thread stays without anything to do.
const IDLE: Duration = Duration::from_secs(5);

/// It reads files, in pieces from the heap.
const STACK: usize = 1 << 16;

struct Queue {
    jobs: VecDeque<Job>,
    /// Whether the thread is there to take them.
    running: bool,
}

// Plain locks and not channels: these are rarely used, and channels are 30 KB of code.
static QUEUE: Mutex<Queue> = Mutex::new(Queue { jobs: VecDeque::new(), running: false });
static NEWS: Condvar = Condvar::new();

/// What came of a job. Of any type, so that all but two calls is the same code for all jobs.
type Outcome = Box<dyn Any + Send>;

/// What came of a job that is over, and who waits for it.
#[derive(Default)]
struct Progress {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `job` in the helper thread and waits for what comes of it, so that a disk, or a password that
/// takes its time to be checked, keeps nobody else waiting.
///
/// There is one such thread, for as long as it has something to do, and jobs come one after the
/// other. A job goes on to its end even where nobody waits for it any more.
///
/// ```
/// # use ecohttpd::{Connection, Result};
/// async fn names(con: &mut Connection) -> Result {
///     let names = ecohttpd::unblock(|| {
///         let entries = std::fs::read_dir("/tmp")?;
///         Ok(entries.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>())
///     });
///     con.send(&format!("{:?}\n", names.await?)).await
/// }
/// ```
///
/// # Errors
///
/// Those of the job, and those of starting the thread.
pub fn unblock<T: Send + 'static>(
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> impl Future<Output = io::Result<T>> {
    let mut work = Work { job: Some(Box::new(|| Box::new(job()))), progress: Arc::default() };
    poll_fn(move |cx| {
        work.poll(cx).map(|outcome| match outcome?.downcast() {
            Ok(value) => *value,
            Err(_) => Err(io::ErrorKind::Interrupted.into()), // can't happen: it is of this type
        })
    })
}

/// A job of any kind that is waited for.
struct Work {
    /// What is still to be handed over.
    job: Option<Box<dyn FnOnce() -> Outcome + Send>>,
    progress: Arc<Mutex<Progress>>,
}

impl Work {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Outcome>> {
        if let Some(job) = self.job.take() {
            let told = self.progress.clone();
            hand_over(Box::new(move || {
                let outcome = job();
                let mut told = lock(&told);
                told.outcome = Some(outcome);
                let waker = told.waker.take();
                drop(told);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }))?;
        }
        let mut progress = lock(&self.progress);
        if let Some(outcome) = progress.outcome.take() {
            return Poll::Ready(Ok(outcome));
        }
        progress.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

fn hand_over(job: Job) -> io::Result<()> {
    let mut queue = lock(&QUEUE);
    if !queue.running {
        sys::start_thread(c"ecohttpd-disk", STACK, work)?;
        queue.running = true;
    }
    queue.jobs.push_back(job);
    NEWS.notify_one();
    Ok(())
}

fn work() {
    let mut queue = lock(&QUEUE);
    loop {
        while let Some(job) = queue.jobs.pop_front() {
            drop(queue);
            job();
            queue = lock(&QUEUE);
        }
        let waited = NEWS.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
        queue = waited.0;
        if waited.1.timed_out() && queue.jobs.is_empty() {
            queue.running = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn threads() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.trim() == "ecohttpd-disk").count()
    }

    #[test]
    fn there_is_one_thread_and_it_ends() {
        smol::future::block_on(async {
            for i in 0..100 {
                assert_eq!(unblock(move || Ok(i)).await.unwrap(), i);
            }
            assert_eq!(threads(), 1);
            let failed = unblock(|| Err::<(), _>(io::ErrorKind::NotFound.into())).await;
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
        });
        thread::sleep(IDLE + Duration::from_secs(2));
        assert_eq!(threads(), 0);
        assert_eq!(smol::future::block_on(unblock(|| Ok(7))).unwrap(), 7, "and comes again");
    }
}
