//! /etc/hosts.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use memchr::memrchr;
use rustix::buffer::spare_capacity;
use rustix::fs::OFlags;
use rustix::io::retry_on_intr;

use super::literal::address;
use crate::open::open;
use crate::parts::{cut, parts};

/// Where it is.
pub(super) const FILE: &str = "/etc/hosts";

/// So much of it is read at once, for it can be long: some keep advertisers away by it.
const PIECE: usize = 4096;

/// No line is longer than this.
const LONGEST: usize = 64 << 10;

/// The addresses that the file at `path` has for a name, those of IPv6 first. One that is not there says
/// nothing.
pub(super) fn addresses(path: &Path, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // Whoever opens a pipe waits for somebody to write to it.
    let file = match open(path, OFlags::RDONLY | OFlags::NONBLOCK, 0) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        done => done?,
    };
    let (mut found, mut text) = (Vec::new(), Vec::new());
    loop {
        text.reserve(PIECE);
        let is_all = retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut text)))? == 0;
        let end = match memrchr(b'\n', &text) {
            _ if is_all => text.len(),
            Some(at) => at + 1,
            None if text.len() > LONGEST => return Err(io::ErrorKind::InvalidData.into()),
            None => continue,
        };
        add(text.get(..end).unwrap_or_default(), name, port, &mut found);
        text.drain(..end);
        if is_all {
            found.sort_by_key(SocketAddr::is_ipv4);
            return Ok(found);
        }
    }
}

/// Adds what stands in some lines.
fn add(lines: &[u8], name: &str, port: u16, found: &mut Vec<SocketAddr>) {
    for line in parts(lines, b'\n') {
        let line = cut(line, b'#').0;
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let ip = words.next().unwrap_or_default();
        if words.any(|word| word.eq_ignore_ascii_case(name.as_bytes())) {
            let at = address(ip, port).filter(|at| !found.contains(at));
            found.extend(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(text in prop::collection::vec(any::<u8>(), 0..99)) {
            add(&text, "a", 80, &mut Vec::new());
        }
    }

    struct Hosts(PathBuf);

    impl Hosts {
        fn new(name: &str, text: &[u8]) -> Hosts {
            let path = std::env::temp_dir().join(format!("ecohttpd-{name}-{}", std::process::id()));
            fs::write(&path, text).unwrap();
            Hosts(path)
        }

        fn of(&self, name: &str) -> Vec<String> {
            let found = addresses(&self.0, name, 80).unwrap();
            found.iter().map(ToString::to_string).collect()
        }
    }

    impl Drop for Hosts {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn hosts_have_names() {
        let hosts = Hosts::new(
            "hosts",
            b"127.0.0.1 localhost a # b\n::1\tlocalhost\tc\n\n10.0.0.1 a\n#10.0.0.2 a\n\
              x a\n10.0.0.1 a\nfe80::1%7 d\n  10.0.0.3 e\r\n10.0.0.4 f",
        );
        assert_eq!(hosts.of("localhost"), ["[::1]:80", "127.0.0.1:80"]);
        assert_eq!(hosts.of("a"), ["127.0.0.1:80", "10.0.0.1:80"]);
        assert_eq!(hosts.of("A"), hosts.of("a"));
        assert_eq!(hosts.of("c"), ["[::1]:80"]);
        assert_eq!(hosts.of("d"), ["[fe80::1%7]:80"]);
        assert_eq!(hosts.of("e"), ["10.0.0.3:80"]);
        assert_eq!(hosts.of("f"), ["10.0.0.4:80"]);
        for name in ["b", "", "local", "127.0.0.1"] {
            assert_eq!(hosts.of(name), [""; 0], "{name}");
        }
    }

    #[test]
    fn a_long_file_is_read_to_its_end() {
        let text: String = (0..60_000).map(|i| format!("0.0.0.0 ad{i}.example.com\n")).collect();
        let hosts = Hosts::new("long", (text + "127.0.0.5 mine").as_bytes());
        assert!(fs::metadata(&hosts.0).unwrap().len() > 1 << 20);
        assert_eq!(hosts.of("mine"), ["127.0.0.5:80"]);
        assert_eq!(hosts.of("ad59999.example.com"), ["0.0.0.0:80"]);
    }

    #[test]
    fn what_is_no_such_file_is_said() {
        assert_eq!(addresses("/no/such/file".as_ref(), "a", 80).unwrap(), []);
        assert!(addresses("/".as_ref(), "a", 80).is_err());
        let hosts = Hosts::new("line", &[b'x'; LONGEST + PIECE + 1]);
        let e = addresses(&hosts.0, "a", 80).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::InvalidData);
    }
}
