//! Files that are not in memory yet: nobody waits for them but who asked for them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::collections::BTreeSet;
use std::fs::{File, read_dir, read_to_string};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Client, Dir, Driver, LOCAL, Process, Running, pattern};
use ecohttpd::{Connection, Options, Request, Result, Server};

/// The threads of a process but for the first, by their names.
fn threads(server: &Process) -> Vec<String> {
    let pid = server.child.id();
    let tasks = read_dir(format!("/proc/{pid}/task")).unwrap().map(|task| task.unwrap().path());
    // One may end while it is looked at.
    let others = tasks.filter(|task| !task.ends_with(pid.to_string()));
    let names = others.filter_map(|task| read_to_string(task.join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

#[test]
fn one_thread_waits_for_the_disk_and_only_for_a_while() {
    let dir = Dir::new();
    dir.write("warm.txt", "warm");
    let server = Process::launcher(&["-f", "-p", "127.0.0.1:0", "-h", dir.text()]);
    assert_eq!(Client::connect(server.addr).get("/warm.txt", "").text(), "warm");
    let mut clients: Vec<_> = (0..60).map(|_| Client::connect(server.addr)).collect();
    let mut most = 0;
    let mut names = BTreeSet::new();
    let mut look = || {
        let threads = threads(&server);
        most = most.max(threads.len());
        names.extend(threads);
    };
    for round in 0..5 {
        for (i, client) in clients.iter_mut().enumerate() {
            // Nobody has looked for these, so the kernel has to.
            client.send(format!("GET /cold-{round}-{i} HTTP/1.1\r\nHost: h\r\n\r\n"));
        }
        look();
        for client in &mut clients {
            assert_eq!(client.response("GET").status, 404);
            look();
        }
    }
    assert!(most <= 1, "{most} threads at once, of {names:?}");
    // A thread has the name of its process until it gives itself its own.
    assert!(names.iter().all(|name| name.starts_with("ecohttpd")), "{names:?}");
    // A router has better uses for the memory of a thread.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(threads(&server), [""; 0]);
    assert_eq!(Client::connect(server.addr).get("/cold", "").status, 404);
    assert_eq!(Client::connect(server.addr).get("/warm.txt", "").text(), "warm");
}

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    con.serve_file(req).await
}

/// Puts a file out of the page cache, where the file system lets that be asked.
fn cool(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    let _ = rustix::fs::fadvise(file.as_fd(), 0, None, rustix::fs::Advice::DontNeed);
}

const SIZES: [usize; 5] = [1, 8000, 100_000, 300_000, 3_000_000];

fn cold_files() -> (Dir, Vec<PathBuf>) {
    let dir = Dir::new();
    let write = |len: &usize| dir.write(&format!("{len}.bin"), pattern(*len));
    let paths = SIZES.iter().map(write).collect();
    (dir, paths)
}

#[test]
fn a_cold_file_is_served_whole() {
    for driver in Driver::all() {
        let (dir, paths) = cold_files();
        let options = Options { docroot: dir.0.clone(), ..Options::default() };
        let server = Running::start(
            driver,
            || Server::new(options).bind(LOCAL),
            async |server| server.serve(handler).await,
        );
        let (mut client, mut other) = (Client::connect(server.addr), Client::connect(server.addr));
        for (len, path) in SIZES.into_iter().zip(paths) {
            let name = format!("/{len}.bin");
            cool(&path);
            client.send(format!("GET {name} HTTP/1.1\r\nHost: h\r\n\r\n"));
            // Whoever comes meanwhile is served too, be it the same file.
            assert!(other.get(&name, "").body == pattern(len), "{driver:?} {len}");
            let r = client.response("GET");
            assert_eq!((r.status, r.body.len()), (200, len), "{driver:?}");
            assert!(r.body == pattern(len), "{driver:?} {len}");
            cool(&path);
            let r = client.get(&name, &format!("Range: bytes={}-\r\n", len / 2));
            assert_eq!(r.status, 206, "{driver:?} {len}");
            assert!(r.body == pattern(len)[len / 2..], "{driver:?} {len}");
        }
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_cold_file_is_served_whole_under_tls() {
    let pki = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pki").join(name);
    for driver in Driver::all() {
        let (dir, paths) = cold_files();
        let options = Options { docroot: dir.0.clone(), ..Options::default() };
        let tls = ecohttpd::Tls::load(pki("localhost.pem"), pki("localhost.key")).unwrap();
        let server = Running::start(
            driver,
            || Server::new(options).bind_tls(LOCAL, tls),
            async |server| server.serve(handler).await,
        );
        for (len, path) in SIZES.into_iter().zip(paths) {
            cool(&path);
            let mut curl = std::process::Command::new("curl");
            curl.args(["-sSf", "--max-time", "20", "--noproxy", "*", "--cacert"]);
            curl.arg(pki("ca.pem")).arg(format!("https://{}/{len}.bin", server.addr));
            let got = curl.output().unwrap();
            assert!(got.status.success(), "{driver:?} {len}: {got:?}");
            assert!(got.stdout == pattern(len), "{driver:?} {len}: {}", got.stdout.len());
        }
    }
}
