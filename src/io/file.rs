//! Files, read without making everybody wait for a disk.
//!
//! What lies in the page cache is had at once, on this thread. Only what does not is fetched by a
//! helper thread, which ends when it has had nothing to do for a while.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::helper::unblock;

/// Bytes of a file sent in one call, so that a fast client does not keep all others waiting.
///
/// They are 45 segments of TCP over Ethernet, and a little less than one over the loopback, which takes
/// 65,483 bytes: what is left over would be a packet of its own, and wake whoever reads once more.
pub(super) const BITE: u64 = 45 * 1448;

/// How much the helper thread fetches into the page cache at once.
pub(crate) const AHEAD: u64 = 4 * BITE;

/// For reading, and so that neither a pipe nor a terminal in the way of it does harm. Of the ways
/// to open, one lets a 32-bit kernel refuse files past 2 GiB unless it is told.
const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::LARGEFILE);

/// Opens a file, or a directory, for reading.
pub(crate) async fn open(path: &Path) -> io::Result<File> {
    if !knows_cached() {
        return open_now(path);
    }
    match openat2(CWD, path, FLAGS, Mode::empty(), ResolveFlags::CACHED) {
        Ok(fd) => Ok(fd.into()),
        // What leads there has to be fetched first.
        Err(Errno::AGAIN) => {
            let path = path.to_owned();
            unblock(move || open_now(&path)).await
        }
        Err(Errno::INVAL | Errno::TOOBIG | Errno::PERM) => open_now(path),
        Err(e) => Err(e.into()),
    }
}

/// Whether a path can be opened on condition that it is cached: since Linux 5.12.
fn knows_cached() -> bool {
    static KNOWS: OnceLock<bool> = OnceLock::new();
    *KNOWS.get_or_init(|| {
        let root = openat2(CWD, "/", FLAGS, Mode::empty(), ResolveFlags::CACHED);
        matches!(root, Ok(_) | Err(Errno::AGAIN))
    })
}

fn open_now(path: &Path) -> io::Result<File> {
    Ok(openat(CWD, path, FLAGS, Mode::empty())?.into())
}

/// Whether somebody else has to be asked what has become of a file: of a file system in the net, or
/// of a program's.
pub(crate) fn is_remote(file: &File) -> bool {
    // statfs(2) names these: NFS, SMB, CIFS, SMB2, FUSE, 9P, Coda, AFS, Ceph.
    const REMOTE: [u32; 9] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x6573_5546,
        0x0102_1997,
        0x7375_7245,
        0x5346_414f,
        0x00c3_6400,
    ];
    rustix::fs::fstatfs(file).map_or(true, |it| REMOTE.contains(&(it.f_type as u32)))
}

/// Reads some of `file` at `offset`: as much as is cached, or else as much as a read gives.
pub(crate) async fn read(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    if let Some(n) = read_cached(file, buf, offset)? {
        return Ok(n);
    }
    fetch(file, offset, buf.len() as u64).await?;
    match read_cached(file, buf, offset)? {
        Some(n) => Ok(n),
        // Out of the cache again already: memory is that short.
        None => file.read_at(buf, offset),
    }
}

/// Makes it likely that `count` bytes at `offset` can be had without waiting.
pub(crate) async fn prepare(file: &File, offset: u64, count: u64) -> io::Result<()> {
    let last = offset.saturating_add(count.min(AHEAD)).saturating_sub(1);
    match read_cached(file, &mut [0], last)? {
        Some(_) => Ok(()),
        None => fetch(file, offset, count.min(AHEAD)).await,
    }
}

/// What of the file is in the page cache; nothing if it is not. File systems that cannot tell are
/// read from as they always were.
fn read_cached(file: &File, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
    match preadv2(file, &mut [IoSliceMut::new(buf)], offset, ReadWriteFlags::NOWAIT) {
        Ok(n) => Ok(Some(n)),
        Err(Errno::AGAIN) => Ok(None),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => file.read_at(buf, offset).map(Some),
        Err(e) => Err(e.into()),
    }
}

/// Reads a stretch of the file in the helper thread, for the page cache to keep.
async fn fetch(file: &File, mut offset: u64, count: u64) -> io::Result<()> {
    let file = file.try_clone()?;
    let end = offset.saturating_add(count);
    unblock(move || {
        let mut buf = vec![0; 1 << 14];
        while offset < end {
            match file.read_at(&mut buf, offset)? {
                0 => break,
                n => offset += n as u64,
            }
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use smol::future::block_on;

    use super::*;

    #[test]
    fn cold_and_warm_files_read_alike() {
        let path = std::env::temp_dir().join(format!("ecohttpd-cold-{}", std::process::id()));
        let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i / 7) as u8).collect();
        let mut made = File::create(&path).unwrap();
        made.write_all(&bytes).unwrap();
        made.sync_all().unwrap();
        // Out of the page cache with it, where the file system lets that be asked.
        let cold = || {
            let _ = rustix::fs::fadvise(&made, 0, None, rustix::fs::Advice::DontNeed);
        };
        block_on(async {
            cold();
            let file = open(&path).await.unwrap();
            let mut buf = [0; 1000];
            for offset in [0, 299_500, 100_000] {
                cold();
                let n = read(&file, &mut buf, offset as u64).await.unwrap();
                assert!(n > 0);
                assert_eq!(buf[..n], bytes[offset..offset + n]);
            }
            assert_eq!(read(&file, &mut buf, 300_000).await.unwrap(), 0);
            cold();
            prepare(&file, 5, 200_000).await.unwrap();
            prepare(&file, 299_999, 1).await.unwrap();
            let missing = open(Path::new("/nonexistent/x")).await.unwrap_err();
            assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        });
        std::fs::remove_file(&path).unwrap();
    }
}
