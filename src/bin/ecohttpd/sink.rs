//! Files that lines are appended to, be they pipes or devices.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use memchr::memrchr;
use rustix::fs::OFlags;

use crate::failure::failure;
use crate::open::open as open_file;

/// A pipe takes this much in one piece or not at all, and no line is longer.
const PIECE: usize = 4096;

/// Opens a file for appending. One that is no file, but a pipe or a device, keeps nobody waiting.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match open_file(path, flags | OFlags::WRONLY, 0o640) {
        // A pipe that nobody reads yet; it keeps what it has room for if it is open both ways.
        Err(e) if e.raw_os_error() == Some(libc::ENXIO) => {
            open_file(path, flags | OFlags::RDWR, 0o640)
        }
        file => file,
    };
    file.map_err(|e| failure(e.kind(), format!("{}: {e}", path.display())))
}

/// Writes `lines`, whole ones in each piece. Says how much of them was written, down to the end of a
/// line; `torn` is whether the file ends elsewhere, before and after.
pub(crate) fn write(mut file: &File, lines: &[u8], torn: &mut bool) -> (usize, io::Result<()>) {
    let mut written = 0;
    if *torn {
        match file.write_all(b"\n") {
            Ok(()) => *torn = false,
            Err(e) => return (0, Err(e)),
        }
    }
    while let Some(rest @ [_, ..]) = lines.get(written..) {
        let first = rest.get(..PIECE).unwrap_or(rest);
        let end = memrchr(b'\n', first).map_or(first.len(), |at| at + 1);
        let mut piece = first.get(..end).unwrap_or(first);
        while !piece.is_empty() {
            let error = match file.write(piece) {
                Ok(n @ 1..) => {
                    let done = piece.get(..n).unwrap_or(piece);
                    *torn = done.last() != Some(&b'\n');
                    piece = piece.get(n..).unwrap_or_default();
                    continue;
                }
                Ok(0) => ErrorKind::WriteZero.into(),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => e,
            };
            let done = first.get(..end - piece.len()).unwrap_or_default();
            written += memrchr(b'\n', done).map_or(0, |at| at + 1);
            return (written, Err(error));
        }
        written += end;
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_lines() {
        let (a, b) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(a));
        let lines: String = (0..1000).map(|i| format!("line {i}\n")).collect();
        let mut torn = true;
        let (written, outcome) = write(&file, lines.as_bytes(), &mut torn);
        outcome.unwrap();
        assert_eq!((written, torn), (lines.len(), false));
        let mut all = String::new();
        while all.len() < lines.len() + 1 {
            let mut buf = [0; 2 * PIECE];
            let n = b.recv(&mut buf).unwrap();
            assert!(n <= PIECE && buf[..n].ends_with(b"\n"));
            all.push_str(std::str::from_utf8(&buf[..n]).unwrap());
        }
        assert_eq!(all, format!("\n{lines}"));
    }
}
