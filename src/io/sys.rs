//! System calls that nobody wraps safely: the only unsafe code here.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use libc::{c_int, c_void, socklen_t};

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Fills `buf`, of 256 bytes at most, with random numbers.
///
/// That of rustix looks for getrandom(2) by its name, of which a static program for MIPS dies.
pub(crate) fn random(buf: &mut [u8]) -> io::Result<()> {
    // SAFETY: it writes to no more than the bytes of `buf`. So few come at once, or not at all.
    let n = unsafe { libc::getrandom(buf.as_mut_ptr().cast(), buf.len(), libc::GRND_NONBLOCK) };
    match usize::try_from(n) {
        Ok(n) if n == buf.len() => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets a socket option that is a number.
pub(super) fn set_number(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    n: c_int,
) -> io::Result<()> {
    let value: *const c_int = &n;
    let len = size_of::<c_int>() as socklen_t;
    // SAFETY: the descriptor is open as long as it is borrowed, and `value` points to an int of
    // `len` bytes that outlives the call.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.cast::<c_void>(), len) })?;
    Ok(())
}

/// Sets a socket option that is a text.
pub(super) fn set_text(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    text: &str,
) -> io::Result<()> {
    let (value, len) = (text.as_ptr(), text.len() as socklen_t);
    // SAFETY: the descriptor is open as long as it is borrowed, and `value` points to `len` bytes
    // that outlive the call.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.cast::<c_void>(), len) })?;
    Ok(())
}

/// Lets a timer descriptor tick every so many seconds, or no more at 0.
///
/// By libc, whose times are those of the C library. What rustix hands over is another layout for musl
/// on 32-bit MIPS.
pub(super) fn set_interval(fd: BorrowedFd<'_>, seconds: u8) -> io::Result<()> {
    // SAFETY: the structure is numbers alone, of which 0 is one. The descriptor is open as long as it
    // is borrowed, the structure outlives the call, which only reads it, and the null pointer is for
    // an old value that nobody wants.
    unsafe {
        let mut spec: libc::itimerspec = std::mem::zeroed();
        spec.it_interval.tv_sec = seconds.into();
        spec.it_value.tv_sec = seconds.into();
        check(libc::timerfd_settime(fd.as_raw_fd(), 0, &raw const spec, ptr::null_mut()))?;
    }
    Ok(())
}

/// Starts a thread called `name`, with `stack` bytes for its stack, that nobody waits for.
///
/// That of std is 10 KB of code on MIPS, most of it for what a thread leaves behind.
pub(super) fn start_thread(name: &'static CStr, stack: usize, work: fn()) -> io::Result<()> {
    /// What the thread is to do, on the heap while it is handed over.
    struct Start(&'static CStr, fn());

    extern "C" fn run(start: *mut c_void) -> *mut c_void {
        // SAFETY: the pointer is that of the box below, which whoever has started the thread has let
        // go of.
        let Start(name, work) = *unsafe { Box::from_raw(start.cast::<Start>()) };
        // SAFETY: it copies 16 bytes at most of a C string that is always there. The other arguments
        // are not looked at.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
        work();
        ptr::null_mut()
    }

    let says = |result: c_int| match result {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    };
    let start = Box::into_raw(Box::new(Start(name, work))).cast::<c_void>();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let attr = attributes.as_mut_ptr();
    // SAFETY: the attributes are made before they are used, and given up once. The box is the
    // thread's where that has started, and ours again where it has not.
    unsafe {
        if let Err(e) = says(libc::pthread_attr_init(attr)) {
            drop(Box::from_raw(start.cast::<Start>()));
            return Err(e);
        }
        let started =
            says(libc::pthread_attr_setstacksize(attr, stack.max(libc::PTHREAD_STACK_MIN)))
                .and_then(|()| {
                    says(libc::pthread_attr_setdetachstate(attr, libc::PTHREAD_CREATE_DETACHED))
                })
                .and_then(|()| says(libc::pthread_create(thread.as_mut_ptr(), attr, run, start)));
        libc::pthread_attr_destroy(attr);
        if started.is_err() {
            drop(Box::from_raw(start.cast::<Start>()));
        }
        started
    }
}

/// A descriptor that can be read when one of `signals` arrives, which then does nothing else.
pub(super) fn signal_descriptor(signals: &[c_int]) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set it is given, and it is only used after that; the
    // signal numbers are plain ints, of which sigaddset refuses those that are none. The mask is
    // read by pthread_sigmask, which accepts a null for the old one. signalfd returns a descriptor
    // that nobody else owns, or -1, which does not get past `check`.
    unsafe {
        check(libc::sigemptyset(set.as_mut_ptr()))?;
        for &signal in signals {
            check(libc::sigaddset(set.as_mut_ptr(), signal))?;
        }
        match libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()) {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        Ok(OwnedFd::from_raw_fd(check(libc::signalfd(-1, set.as_ptr(), flags))?))
    }
}
