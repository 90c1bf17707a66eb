//! System calls that nobody wraps safely: the only unsafe code of the launcher.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, c_char};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};
use std::{io, ptr};

use libc::c_int;
use rustix::process::Pid;

use crate::line::Line;

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Where the C library begins: main(3). That of std would bring 10 KB of code on MIPS for what it does
/// beside the following.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code, reason = "tests begin elsewhere"))]
extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: these are so many C strings, as it is with main(3), and stay to the end.
    let words = (1..count).map(|i| unsafe { CStr::from_ptr(*words.add(i)) });
    let words = words.map(|word| OsStr::from_bytes(word.to_bytes()).to_owned()).collect();
    // What is opened must not be taken for one of the usual three.
    for fd in 0..3 {
        // SAFETY: F_GETFD takes any number, and open(2) a C string. It takes the lowest number that
        // is free, which is this one, since those below are open.
        unsafe {
            if libc::fcntl(fd, libc::F_GETFD) < 0 {
                libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            }
        }
    }
    // SAFETY: to ignore a signal takes no handler. Nobody else is there yet.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    say_where_it_dies();
    crate::begin(words).into()
}

/// Fills `buf`, of 256 bytes at most, with random numbers.
///
/// That of rustix looks for getrandom(2) by its name, of which a static program for MIPS dies.
pub(crate) fn random(buf: &mut [u8]) -> io::Result<()> {
    // SAFETY: it writes to no more than the bytes of `buf`. So few come at once, or not at all.
    let n = unsafe { libc::getrandom(buf.as_mut_ptr().cast(), buf.len(), 0) };
    match usize::try_from(n) {
        Ok(n) if n == buf.len() => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes a descriptor that this process was started with.
///
/// Nobody else may have taken it, and nothing may have been opened since that stays open.
pub(crate) fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD takes any number, and fails if it is no open descriptor. One that is open was
    // there from the start, as the caller has it, so that nobody in this process owns it.
    unsafe {
        check(libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Whether something can be written without waiting.
///
/// By libc, since rustix has a time in this, of another layout than musl's on 32-bit MIPS.
pub(crate) fn takes_output(fd: BorrowedFd<'_>) -> bool {
    let mut watched = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: the descriptor is open as long as it is borrowed, and there is one structure, which
    // outlives the call.
    unsafe { libc::poll(&raw mut watched, 1, 0) == 1 }
}

/// Makes all descriptors that this process was started with end with it, but for the usual three.
pub(crate) fn keep_from_children() {
    const CLOEXEC: libc::c_uint = 4;
    // SAFETY: it takes plain numbers, and changes nothing but a flag of what is open.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOEXEC) };
    if done == 0 {
        return;
    }
    // Linux before 5.11 goes one by one.
    for fd in 3..1024 {
        // SAFETY: F_SETFD takes any number, and fails if it is no open descriptor.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Goes on in a child of this process, which ends; in a session of its own.
///
/// There must be no other thread.
pub(crate) fn detach() -> io::Result<()> {
    // SAFETY: with one thread, the child of fork is a whole copy of this process. _exit runs nothing
    // of what the child still needs.
    unsafe {
        if check(libc::fork())? > 0 {
            libc::_exit(0);
        }
        check(libc::setsid())?;
    }
    Ok(())
}

/// Starts a program in a process group of its own, in the directory `dir`, with all signals to be
/// heard though some are blocked here, and with nothing of ours but standard error. Its path is the
/// first of its arguments.
///
/// The C library's own way, which copies none of our memory for what is a program at once. That of
/// std is thirty KB of code on MIPS.
pub(crate) fn spawn(
    args: &[CString],
    env: &[CString],
    dir: &CStr,
    stdin: BorrowedFd<'_>,
    stdout: BorrowedFd<'_>,
) -> io::Result<Pid> {
    let list = |texts: &[CString]| -> Vec<*mut c_char> {
        texts.iter().map(|text| text.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
    };
    let (argv, envp) = (list(args), list(env));
    let program = args.first().ok_or(io::ErrorKind::InvalidInput)?;
    let says = |result: c_int| match result {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    };
    let flags =
        libc::POSIX_SPAWN_SETPGROUP | libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK;
    let mut pid = 0;
    let (mut attributes, mut actions) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    let mut signals = MaybeUninit::uninit();
    // SAFETY: each set, the attributes and the actions are made before they are used, and the latter
    // two are given up once, at the end. What they point to, like the lists with the null pointers
    // at their ends, outlives all of it. The descriptors are open as long as they are borrowed.
    unsafe {
        says(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
        let attributes = attributes.assume_init_mut();
        says(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
        let actions = actions.assume_init_mut();
        let done = (|| {
            says(libc::posix_spawnattr_setflags(attributes, flags as libc::c_short))?;
            check(libc::sigemptyset(signals.as_mut_ptr()))?;
            let signals = signals.assume_init_mut();
            says(libc::posix_spawnattr_setsigmask(attributes, signals))?;
            // It is ignored here, and would be there.
            check(libc::sigaddset(signals, libc::SIGPIPE))?;
            says(libc::posix_spawnattr_setsigdefault(attributes, signals))?;
            says(libc::posix_spawn_file_actions_adddup2(actions, stdin.as_raw_fd(), 0))?;
            says(libc::posix_spawn_file_actions_adddup2(actions, stdout.as_raw_fd(), 1))?;
            says(libc::posix_spawn_file_actions_addchdir_np(actions, dir.as_ptr()))?;
            let (path, argv, envp) = (program.as_ptr(), argv.as_ptr(), envp.as_ptr());
            says(libc::posix_spawn(&mut pid, path, actions, attributes, argv, envp))
        })();
        libc::posix_spawn_file_actions_destroy(actions);
        libc::posix_spawnattr_destroy(attributes);
        done?;
    }
    // can't happen: what has been started has a number
    Pid::from_raw(pid).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Says to stderr, before this process dies of a fault, of which one and where in the program.
///
/// It is all that there is to find the cause by in a build for routers, in which a panic has no
/// message.
fn say_where_it_dies() {
    /// As large as it takes to say so.
    static STACK: [AtomicUsize; 2048] = [const { AtomicUsize::new(0) }; 2048];
    let stack = libc::stack_t {
        ss_sp: (&raw const STACK).cast_mut().cast(),
        ss_flags: 0,
        ss_size: size_of_val(&STACK),
    };
    // SAFETY: it can be written to, is there to the end, and for the handler alone.
    unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
    for signal in FATAL {
        // SAFETY: the action is whole: its mask is the empty set of zeros, and the handler is one that
        // takes what SA_SIGINFO hands over. It runs on the stack that is there for it, if there is.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = dying as *const () as usize;
            action.sa_flags =
                libc::SA_SIGINFO | libc::SA_RESETHAND | libc::SA_NODEFER | libc::SA_ONSTACK;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

/// What the processor or the C library ends a process with.
const FATAL: [c_int; 6] =
    [libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGSEGV];

unsafe extern "C" {
    /// Where the program begins, by its linker.
    safe static __ehdr_start: u8;
}

/// Where the program counter and the return address are in what the kernel hands to a handler of
/// signals, in bytes (`ucontext` in its asm/ucontext.h and asm/sigcontext.h), if they are known.
#[cfg(target_arch = "mips")]
const COUNTERS: Option<(usize, usize)> = match cfg!(target_endian = "big") {
    // The lower halves of 64 bits.
    true => Some((36, 292)),
    false => Some((32, 288)),
};
#[cfg(target_arch = "arm")]
const COUNTERS: Option<(usize, usize)> = Some((92, 88));
#[cfg(target_arch = "aarch64")]
const COUNTERS: Option<(usize, usize)> = Some((440, 424));
#[cfg(target_arch = "x86_64")]
const COUNTERS: Option<(usize, usize)> = Some((168, 168));
#[cfg(target_arch = "riscv64")]
const COUNTERS: Option<(usize, usize)> = Some((176, 184));
#[cfg(not(any(
    target_arch = "mips",
    target_arch = "arm",
    target_arch = "aarch64",
    target_arch = "x86_64",
    target_arch = "riscv64"
)))]
const COUNTERS: Option<(usize, usize)> = None;

/// Nothing but async-signal-safe calls, and nothing that allocates.
extern "C" fn dying(signal: c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let mut line = Line::new();
    line.push(concat!("ecohttpd ", env!("CARGO_PKG_VERSION"), " dies of signal ").as_bytes());
    line.number(signal.unsigned_abs() as usize, 10);
    if let (Some((counter, back)), false) = (COUNTERS, context.is_null()) {
        let word = |at| {
            // SAFETY: the kernel's ucontext is larger than all of these offsets, and words in it are
            // aligned to their size.
            unsafe { context.cast::<u8>().add(at).cast::<usize>().read() }
        };
        line.push(b" at 0x");
        line.number(word(counter), 16);
        line.push(b", called from 0x");
        line.number(word(back), 16);
        line.push(b", in a program at 0x");
        line.number((&raw const __ehdr_start) as usize, 16);
    }
    line.push(b"\n");
    let text = line.text();
    // SAFETY: the bytes are there, and nobody waits for what comes of it. The action of the signal is
    // the default again, which ends this process.
    unsafe {
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::raise(signal);
    }
}

// A library of its own with glibc, a part of libc with musl.
#[cfg_attr(not(target_env = "musl"), link(name = "crypt"))]
unsafe extern "C" {
    #[link_name = "crypt"]
    fn libc_crypt(key: *const c_char, setting: *const c_char) -> *const c_char;
}

/// The hash of `key` by the method, rounds and salt that `setting` begins with, if this system knows
/// the method.
pub(crate) fn crypt(key: &CStr, setting: &CStr) -> Option<CString> {
    // What crypt(3) returns lies in a buffer that the next call overwrites.
    static BUFFER: Mutex<()> = Mutex::new(());
    let _held = BUFFER.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: both are C strings that outlive the call, which only reads them, and nobody else is in
    // crypt(3) as long as the lock is held.
    let hash = unsafe { libc_crypt(key.as_ptr(), setting.as_ptr()) };
    if hash.is_null() {
        return None;
    }
    // SAFETY: what is not null is a C string in crypt(3)'s own buffer, which is valid until the next
    // call, and that waits for the lock; it is copied before the lock is released.
    let hash = unsafe { CStr::from_ptr(hash) }.to_owned();
    // A failure may be told by a text that no hash begins with.
    (!hash.to_bytes().starts_with(b"*")).then_some(hash)
}

/// What the C library says of an extended regular expression and a text, as the measure of ours: nothing
/// where it cannot compile the pattern.
#[cfg(test)]
pub(crate) fn libc_matches(pattern: &CStr, text: &CStr) -> Option<bool> {
    let mut compiled = MaybeUninit::<libc::regex_t>::zeroed();
    let flags = libc::REG_EXTENDED | libc::REG_NOSUB;
    // SAFETY: `compiled` is room for a regex_t that nobody else knows of and that does not move. Both
    // texts end with their NUL and outlive the calls. As no matches are asked for, none are written to
    // the null pointer. What is freed was compiled, and is not used again.
    unsafe {
        if libc::regcomp(compiled.as_mut_ptr(), pattern.as_ptr(), flags) != 0 {
            return None;
        }
        let result = libc::regexec(compiled.as_ptr(), text.as_ptr(), 0, ptr::null_mut(), 0);
        libc::regfree(compiled.as_mut_ptr());
        Some(result == 0)
    }
}
