//! Runs a future on this thread, waiting in the reactor's own epoll.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use rustix::event::{EventfdFlags, eventfd};
use rustix::time::Timespec;

use super::reactor::Reactor;

/// Interrupts the wait. Rung from this thread it costs no system call.
struct Bell {
    fd: OwnedFd,
    rung: AtomicBool,
    asleep: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, SeqCst) && self.asleep.load(SeqCst) {
            let _ = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
        }
    }
}

/// Runs `future` on this thread, and the sockets of all servers in it without a second thread.
///
/// Servers also run under `smol::block_on`, and under every executor that polls `async-io`, where
/// each request costs a few more system calls; that takes the cargo feature `async-io`. Timers and
/// other things of smol work under either. For 32-bit MIPS of big endian with musl, smol's timers take
/// rustix's flag `--cfg fix_y2038`, which the server itself does not need.
///
/// ```no_run
/// use ecohttpd::{Connection, Options, Request, listen};
///
/// ecohttpd::block_on(listen(None, 8080, Options::default(), async |con: &mut Connection, _req: &mut Request| {
///     con.send("hello\n").await
/// }))?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
///
/// If the kernel has no descriptor left to begin with.
#[allow(clippy::expect_used, reason = "before anything is served; documented")]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let reactor = Reactor::current().expect("an epoll");
    let bell = Arc::new(Bell {
        fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd"),
        rung: true.into(),
        asleep: false.into(),
    });
    reactor.add_bell(&bell.fd).expect("an eventfd in the epoll");
    let before = reactor.driven.replace(true);
    let waker = Waker::from(bell.clone());
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if bell.rung.swap(false, SeqCst) {
            if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
                reactor.driven.set(before);
                return value;
            }
        }
        bell.asleep.store(true, SeqCst);
        let rung = (bell.rung.load(SeqCst) || reactor.is_busy()).then(Timespec::default);
        reactor.turn(rung.as_ref(), || bell.asleep.store(false, SeqCst));
    }
}
