//! Lines on standard error, which never keep a request waiting.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{Write, stderr};

use ecohttpd::Access;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A pipe that can be written to takes this much at once without waiting.
const MOST: usize = 4096;

/// Writes a line of bounded length, unless whoever reads them has fallen behind.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lost: Cell<u32>,
}

impl Log {
    pub(crate) fn access(&self, access: &Access<'_>) {
        let mut line = String::new();
        let (method, target, version) = access
            .request
            .map_or(("-", "-", (1, 1)), |req| (req.method(), req.raw_path(), req.version()));
        let _ = write!(
            line,
            "{} \"{method} {target} HTTP/{}.{}\" ",
            access.remote_addr.ip().to_canonical(),
            version.0,
            version.1
        );
        let _ = match access.status {
            Some(status) => writeln!(line, "{} {}", status.code(), access.sent),
            None => writeln!(line, "- {}", access.sent),
        };
        self.line(line);
    }

    /// Writes `line`, which ends as a line does.
    pub(crate) fn line(&self, mut line: String) {
        if line.len() > MOST {
            let end = (0..=MOST - 4).rev().find(|&i| line.is_char_boundary(i)).unwrap_or(0);
            line.truncate(end);
            line.push_str("...\n");
        }
        let mut out = stderr().lock();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&out, PollFlags::OUT)], Some(&now)) == Ok(1);
        if !ready {
            return self.lost.set(self.lost.get().saturating_add(1));
        }
        let lost = self.lost.take();
        if lost > 0 {
            line = format!("ecohttpd: {lost} lines were lost\n");
            self.lost.set(1); // this one
        }
        let _ = out.write_all(line.as_bytes()); // whoever read it may be gone
    }
}
