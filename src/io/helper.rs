//! One thread that waits for disks, so that nobody else has to. It is there while it is needed.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// How long the thread stays without anything to do.
const IDLE: Duration = Duration::from_secs(5);

/// It reads files, in pieces from the heap.
const STACK: usize = 1 << 16;

/// The way to the thread, if it is there. Held only to hand over a job, or to agree on its end.
static HELPER: Mutex<Option<Sender<Job>>> = Mutex::new(None);

fn helper() -> MutexGuard<'static, Option<Sender<Job>>> {
    HELPER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `job` in the helper thread and waits for what comes of it. Jobs come one after the other.
pub(crate) async fn run<T: Send + 'static>(
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = smol::channel::bounded(1);
    let job: Job = Box::new(move || {
        // It fails if nobody waits any more.
        let _ = tell.try_send(job());
    });
    hand_over(job)?;
    told.recv().await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

fn hand_over(job: Job) -> io::Result<()> {
    let mut helper = helper();
    let job = match helper.as_ref() {
        Some(sender) => match sender.send(job) {
            Ok(()) => return Ok(()),
            Err(back) => back.0,
        },
        None => job,
    };
    start(&mut helper, job)
}

fn start(helper: &mut Option<Sender<Job>>, job: Job) -> io::Result<()> {
    let (sender, receiver) = channel();
    let thread = thread::Builder::new().name("ecohttpd-disk".into()).stack_size(STACK);
    thread.spawn(move || work(&receiver))?;
    let _ = sender.send(job);
    *helper = Some(sender);
    Ok(())
}

fn work(jobs: &Receiver<Job>) {
    loop {
        match jobs.recv_timeout(IDLE) {
            Ok(job) => job(),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let mut helper = helper();
                // One may have come just now; none can while the way is held.
                match jobs.try_recv() {
                    Ok(job) => {
                        drop(helper);
                        job();
                    }
                    Err(_) => {
                        *helper = None;
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
                assert_eq!(run(move || Ok(i)).await.unwrap(), i);
            }
            assert_eq!(threads(), 1);
            let failed = run(|| Err::<(), _>(io::ErrorKind::NotFound.into())).await;
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
        });
        thread::sleep(IDLE + Duration::from_secs(2));
        assert_eq!(threads(), 0);
        assert_eq!(smol::future::block_on(run(|| Ok(7))).unwrap(), 7, "and comes again");
    }
}
