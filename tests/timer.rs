//! Timers, under both drivers: smol's, of any length, and the server's own, of whole seconds.
//!
//! On 32-bit MIPS they depend on how the program was built (`cross/environment`), so that these run
//! there under QEMU, too (`tests/qemu/user`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::cell::RefCell;
use std::fs;
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, Driver, LOCAL, Running};
use ecohttpd::{Connection, Error, Options, Request, Result, Server};
use smol::{LocalExecutor, Timer};

const LENGTHS: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(300),
    Duration::from_millis(1200),
];

/// By how much a machine that has other things to do may be late.
const LATE: Duration = Duration::from_secs(2);

/// What `wait` comes to in a thread of its own; panics if it takes for ever.
fn run<T: Send + 'static, F: Future<Output = T>>(
    driver: Driver,
    wait: impl FnOnce() -> F + Send + 'static,
) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(driver.run(wait())));
    told.recv_timeout(Duration::from_secs(20)).expect("a timer never fires")
}

/// What the threads of this process have had of the processors.
fn busy() -> Duration {
    // Not from /proc/self/stat, which QEMU has its own idea of.
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let texts = threads.flat_map(|thread| fs::read_to_string(thread.path().join("schedstat")));
    let first = |text: String| text.split(' ').next().unwrap().parse::<u64>().unwrap();
    Duration::from_nanos(texts.map(first).sum())
}

fn check(what: &str, driver: Driver, length: Duration, took: Duration) {
    assert!(took >= length, "{what} {length:?} under {driver:?}: early, after {took:?}");
    assert!(took <= length + LATE, "{what} {length:?} under {driver:?}: late, after {took:?}");
}

/// Held by each test: what is due in one of them wakes all of smol, and a timer that was lost would be
/// found by that.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn one_after_the_other() {
    let _alone = alone();
    for driver in Driver::all() {
        let took = run(driver, || async {
            let mut took = Vec::new();
            for length in LENGTHS {
                let began = Instant::now();
                Timer::after(length).await;
                took.push(began.elapsed());
            }
            took
        });
        for (length, took) in LENGTHS.into_iter().zip(took) {
            check("one of", driver, length, took);
        }
    }
}

#[test]
fn all_at_once() {
    let _alone = alone();
    for driver in Driver::all() {
        let fired = run(driver, || async {
            let began = Instant::now();
            let fired = RefCell::new(Vec::new());
            let executor = LocalExecutor::new();
            // The longest first: the shorter ones have to get in before it.
            let timers = LENGTHS.iter().rev().map(|&length| {
                let fired = &fired;
                executor.spawn(async move {
                    Timer::after(length).await;
                    fired.borrow_mut().push((length, began.elapsed()));
                })
            });
            let timers: Vec<_> = timers.collect();
            executor
                .run(async {
                    for timer in timers {
                        timer.await;
                    }
                })
                .await;
            fired.take()
        });
        let order: Vec<_> = fired.iter().map(|(length, _)| *length).collect();
        assert_eq!(order, LENGTHS, "{driver:?}");
        for (length, took) in fired {
            check("one of several,", driver, length, took);
        }
    }
}

/// A timer that is set wrong may fire all the time until the right one has come.
#[test]
fn nobody_is_busy_meanwhile() {
    let _alone = alone();
    for driver in Driver::all() {
        let took = run(driver, || async {
            // What is to be done once has been done then.
            Timer::after(LENGTHS[0]).await;
            let before = busy();
            Timer::after(LENGTHS[3]).await;
            busy().saturating_sub(before)
        });
        assert!(took < LENGTHS[3] / 10, "{driver:?}: {took:?} of {:?}", LENGTHS[3]);
    }
}

#[test]
fn the_shorter_of_two() {
    let _alone = alone();
    for driver in Driver::all() {
        let took = run(driver, || async {
            let began = Instant::now();
            let short = async { Timer::after(LENGTHS[2]).await };
            let long = async { Timer::after(Duration::from_secs(600)).await };
            smol::future::or(long, short).await;
            began.elapsed()
        });
        check("a deadline of", driver, LENGTHS[2], took);
    }
}

/// Takes as many seconds as it is asked for, by the server's timer, and says how long that was.
async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    let secs = req.path().trim_start_matches('/').parse().unwrap();
    let began = Instant::now();
    let end = con.timer().within(secs, pending::<()>()).await;
    assert!(matches!(end, Err(Error::Timeout)));
    con.send(&began.elapsed().as_millis().to_string()).await
}

/// It comes up to a second late by itself.
#[test]
fn the_server_s() {
    let _alone = alone();
    thread::scope(|scope| {
        for driver in Driver::all() {
            scope.spawn(move || {
                let server = Running::start(
                    driver,
                    || Server::new(Options::default()).bind(LOCAL),
                    async |server| server.serve(handler).await,
                );
                // The second one begins when the clock is set already, or has just stopped.
                let mut client = Client::connect(server.addr);
                for secs in [1, 2] {
                    let r = client.get(&format!("/{secs}"), "");
                    let took = Duration::from_millis(r.text().parse().unwrap());
                    check("the server's", driver, Duration::from_secs(secs), took);
                }
                server.stop().unwrap();
            });
        }
    });
}
