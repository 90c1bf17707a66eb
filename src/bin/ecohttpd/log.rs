//! Messages of the server, on standard error or to syslog, which never keep a request waiting.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::SocketType;

use crate::sys;
use crate::text::{Date, Place, escape};
use crate::unix;

/// A pipe that can be written to takes this much at once without waiting.
const MOST: usize = 4096;

/// What a line leaves of that to the one that says how many lines were lost before it.
const NOTE: usize = 64;

/// The longest line of an access log anywhere, its end aside.
pub(crate) const LONGEST_ENTRY: usize = MOST - NOTE - 1;

/// What a syslog daemon reads of a datagram, and what of it is its head at most.
const MOST_OF_DATAGRAM: usize = 1023;
const HEAD_OF_DATAGRAM: usize = 47;

/// Where a syslog daemon listens.
const DAEMON: &str = "/dev/log";

/// The facility `daemon`, with the severities `warning` and `info`.
const WARNING: u32 = 28;
const INFO: u32 = 30;

/// Where the messages of the server go: each in a line of bounded length, or nowhere if whoever
/// reads them has fallen behind.
#[derive(Debug)]
pub(crate) struct Log {
    to: To,
    lost: Cell<u32>,
}

#[derive(Debug)]
enum To {
    Stderr,
    Syslog(Syslog),
}

impl Log {
    /// A log on standard error, for a server in the foreground.
    pub(crate) fn stderr() -> Log {
        Log { to: To::Stderr, lost: Cell::new(0) }
    }

    /// A log that goes to syslog, for a daemon. The time it gives there is UTC.
    pub(crate) fn syslog() -> Log {
        Log::syslog_at(Path::new(DAEMON))
    }

    fn syslog_at(path: &Path) -> Log {
        let syslog = Syslog { path: path.into(), socket: RefCell::new(None) };
        Log { to: To::Syslog(syslog), lost: Cell::new(0) }
    }

    /// Says one thing, given without a line end.
    pub(crate) fn line(&self, text: &str) {
        match &self.to {
            To::Stderr => self.print("ecohttpd: ", text),
            To::Syslog(syslog) => self.send(syslog, WARNING, text),
        }
    }

    /// Adds a line of the access log, which has [`longest_entry`](Self::longest_entry) bytes at most.
    pub(crate) fn entry(&self, text: &str) {
        match &self.to {
            To::Stderr => self.print("", text),
            To::Syslog(syslog) => self.send(syslog, INFO, text),
        }
    }

    /// How long a line of the access log can be without being cut, its end aside.
    pub(crate) fn longest_entry(&self) -> usize {
        match self.to {
            To::Stderr => LONGEST_ENTRY,
            To::Syslog(_) => MOST_OF_DATAGRAM - HEAD_OF_DATAGRAM,
        }
    }

    fn lose(&self) {
        self.lost.set(self.lost.get().saturating_add(1));
    }

    fn print(&self, prefix: &str, text: &str) {
        let mut line = match self.lost.get() {
            0 => String::new(),
            lost => format!("ecohttpd: {lost} lines were lost\n"),
        };
        line.push_str(prefix);
        // As long whether or not lines were lost, and both in one piece, for which there is room.
        escape(&mut line, text.as_bytes(), MOST - NOTE - 1 - prefix.len(), Place::Message);
        line.push('\n');
        let out = rustix::stdio::stderr();
        if !sys::takes_output(out) {
            return self.lose();
        }
        match rustix::io::write(out, line.as_bytes()) {
            Err(Errno::AGAIN) => self.lose(),
            _ => self.lost.set(0), // whoever read it may be gone
        }
    }

    fn send(&self, syslog: &Syslog, priority: u32, text: &str) {
        let mut may_connect = true;
        let lost = self.lost.get();
        if lost > 0 {
            let note = format!("{lost} lines were lost");
            if !syslog.send(&datagram(WARNING, &note), &mut may_connect) {
                return self.lose();
            }
            self.lost.set(0);
        }
        if !syslog.send(&datagram(priority, text), &mut may_connect) {
            self.lose();
        }
    }
}

/// A socket whose other end is the syslog daemon, for as long as that is there.
#[derive(Debug)]
struct Syslog {
    path: PathBuf,
    socket: RefCell<Option<OwnedFd>>,
}

impl Syslog {
    /// Sends a datagram if that can be done at once; whether it was.
    fn send(&self, datagram: &str, may_connect: &mut bool) -> bool {
        let mut socket = self.socket.borrow_mut();
        if let Some(connected) = &*socket {
            match rustix::io::write(connected, datagram.as_bytes()) {
                Ok(_) => return true,
                Err(Errno::AGAIN | Errno::NOBUFS) => return false,
                // The daemon has ended; there may be another by now.
                Err(_) => *socket = None,
            }
        }
        if !std::mem::take(may_connect) {
            return false;
        }
        let Ok(connected) = unix::connect(&self.path, SocketType::DGRAM) else {
            return false;
        };
        let sent = rustix::io::write(&connected, datagram.as_bytes()).is_ok();
        *socket = Some(connected);
        sent
    }
}

/// `<28>Nov 22 22:39:11 ecohttpd[123]: text`
fn datagram(priority: u32, text: &str) -> String {
    let date = Date::now();
    let day = date.day();
    let day = day.strip_prefix('0').map_or_else(|| day.to_owned(), |digit| format!(" {digit}"));
    // A daemon has another id than the process that read the command line.
    let id = std::process::id();
    let mut line = format!("<{priority}>{} {day} {} ecohttpd[{id}]: ", date.month(), date.time());
    let most = MOST_OF_DATAGRAM.saturating_sub(line.len());
    escape(&mut line, text.as_bytes(), most, Place::Message);
    line
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::SystemTime;

    use super::*;

    /// A directory of the test's own, removed when this goes.
    pub(crate) struct Dir(pub(crate) PathBuf);

    impl Dir {
        pub(crate) fn new() -> Dir {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            let path =
                std::env::temp_dir().join(format!("ecohttpd-log-{}-{n}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Dir(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn daemon(path: &Path) -> UnixDatagram {
        let _ = std::fs::remove_file(path);
        let daemon = UnixDatagram::bind(path).unwrap();
        daemon.set_nonblocking(true).unwrap();
        daemon
    }

    fn received(daemon: &UnixDatagram) -> Option<String> {
        let mut buf = [0; 4096];
        let n = daemon.recv(&mut buf).ok()?;
        Some(String::from_utf8(buf[..n].to_vec()).unwrap())
    }

    #[test]
    fn syslog_gets_what_syslog_3_sends() {
        let dir = Dir::new();
        let path = dir.0.join("log");
        let daemon = daemon(&path);
        let log = Log::syslog_at(&path);
        log.line("some\nthing");
        log.entry("an entry");
        let id = std::process::id();
        let line = received(&daemon).unwrap();
        let rest = line.strip_prefix("<28>").unwrap();
        assert_eq!(&rest[15..], format!(" ecohttpd[{id}]: some\\x0athing"));
        let (month, day) = (&rest[..3], &rest[4..6]);
        let date = httpdate::fmt_http_date(SystemTime::now());
        assert!(date.contains(month) && date.contains(&format!("{:>02} {month}", day.trim())));
        assert_eq!((&rest[3..4], &rest[6..7], &rest[9..10], &rest[12..13]), (" ", " ", ":", ":"));
        let line = received(&daemon).unwrap();
        assert!(line.starts_with("<30>") && line.ends_with(" an entry"), "{line}");
        log.line(&"ä".repeat(4000));
        let line = received(&daemon).unwrap();
        assert!((1020..=1023).contains(&line.len()) && line.ends_with("ä..."), "{line}");
        let entry = "x".repeat(log.longest_entry());
        log.entry(&entry);
        assert!(received(&daemon).unwrap().ends_with(&format!(": {entry}")), "nothing was cut");
    }

    #[test]
    fn syslog_is_found_again() {
        let dir = Dir::new();
        let path = dir.0.join("log");
        let log = Log::syslog_at(&path);
        log.line("nobody is there");
        let first = daemon(&path);
        log.line("one");
        assert!(received(&first).unwrap().ends_with(": 1 lines were lost"));
        assert!(received(&first).unwrap().ends_with(": one"));
        let second = daemon(&path);
        log.line("two");
        assert!(received(&first).unwrap().ends_with(": two"), "it is open still");
        drop(first);
        log.line("three");
        assert!(received(&second).unwrap().ends_with(": three"), "nothing was lost");
        drop(second);
        std::fs::remove_file(&path).unwrap();
        log.line("four");
        log.line("five");
        let third = daemon(&path);
        log.line("six");
        assert!(received(&third).unwrap().ends_with(": 2 lines were lost"));
        assert!(received(&third).unwrap().ends_with(": six"));
    }

    #[test]
    fn syslog_that_is_full_keeps_nobody_waiting() {
        let dir = Dir::new();
        let path = dir.0.join("log");
        let daemon = daemon(&path);
        let log = Log::syslog_at(&path);
        for i in 0..5000 {
            log.line(&format!("line {i}"));
        }
        let mut taken = 0;
        while let Some(line) = received(&daemon) {
            assert!(line.ends_with(&format!(": line {taken}")), "{line}");
            taken += 1;
        }
        assert!(taken < 5000);
        log.line("there is room");
        let note = format!(": {} lines were lost", 5000 - taken);
        assert!(received(&daemon).unwrap().ends_with(&note));
        assert!(received(&daemon).unwrap().ends_with(": there is room"));
        log.line("and on");
        assert!(received(&daemon).unwrap().ends_with(": and on"));
    }
}
