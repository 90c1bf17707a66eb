//! What is left of a launcher that a fault ends, by which its cause can be found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use common::Process;
use rustix::process::Signal;

/// The number behind `before` in `line`.
fn hex(line: &str, before: &str) -> u64 {
    let rest = line.split_once(before).unwrap_or_else(|| panic!("{before:?} in {line:?}")).1;
    let digits = rest.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap();
    u64::from_str_radix(digits, 16).unwrap()
}

#[test]
fn a_fault_says_where_it_was() {
    for (signal, number) in [
        (Signal::SEGV, 11),
        (Signal::ILL, 4),
        (Signal::TRAP, 5),
        (Signal::ABORT, 6),
        (Signal::BUS, 7),
    ] {
        let mut server = Process::launcher(&["-f", "-p", "127.0.0.1:0", "-h", "examples/www"]);
        let maps = fs::read_to_string(format!("/proc/{}/maps", server.child.id())).unwrap();
        let binary = env!("CARGO_BIN_EXE_ecohttpd");
        let begins = maps.lines().find(|line| line.ends_with(binary)).unwrap();
        let begins = u64::from_str_radix(begins.split('-').next().unwrap(), 16).unwrap();
        // It waits for whoever connects, in a call of the system.
        std::thread::sleep(Duration::from_millis(50));
        server.signal(signal);
        let line = server.line();
        let said = format!("ecohttpd {} dies of signal {number} at 0x", env!("CARGO_PKG_VERSION"));
        assert!(line.starts_with(&said), "{line}");
        let is_code = |at: u64| {
            maps.lines().filter(|line| line.contains("r-xp")).any(|line| {
                let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
                let from = u64::from_str_radix(from, 16).unwrap();
                (from..u64::from_str_radix(to, 16).unwrap()).contains(&at)
            })
        };
        assert!(is_code(hex(&line, " at 0x")), "{line}\n{maps}");
        assert_eq!(hex(&line, "in a program at 0x"), begins, "{line}\n{maps}");
        // It ends as it would have: whoever looks after it sees the signal.
        assert_eq!(server.child.wait().unwrap().signal(), Some(number), "{line}");
    }
}
