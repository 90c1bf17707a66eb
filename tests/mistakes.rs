//! What is said of a command line and its files before anybody is served: mistakes, and what may mend
//! itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[cfg(feature = "tls")]
use common::Process;
use common::{Client, Dir, soon};

/// Runs a launcher that ends by itself; its exit code, and what it says.
fn run(args: &[&str]) -> (Option<i32>, Vec<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ecohttpd"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A name is looked up for some seconds where there is no network.
    let end = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let line = |line: &str| line.strip_prefix("ecohttpd: ").expect(line).to_owned();
    (output.status.code(), said.lines().map(line).collect())
}

/// The arguments `more` behind those without which there is always something wrong.
fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let conf = if more.contains(&"-c") { &[][..] } else { &["-c", "/dev/null"] };
    [&["-f", "-p", "127.0.0.1:0", "-h", "/"], conf, more].concat()
}

/// It is a mistake, which is said like this, be it to be checked or to be started.
fn is_mistake(args: &[&str], start: &str) {
    let checked = [&["--check"], args].concat();
    for args in [&checked, args] {
        let (code, said) = run(args);
        assert_eq!(code, Some(2), "{args:?}: {said:?}");
        let why = said[0].strip_prefix(start).unwrap_or_else(|| panic!("{args:?}: {said:?}"));
        assert!(!why.is_empty() && said.len() == 2, "{args:?}: {said:?}");
        assert!(said[1].contains("--help"), "{args:?}: {said:?}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn values_that_no_request_could_meet_are_mistakes() {
    for (flag, value) in [
        ("-I", "./x"),
        ("-I", "a//b"),
        ("-I", "a/../b"),
        ("-E", "/err page.html"),
        ("-E", "/../x"),
        ("-x", "/a/../b"),
        ("-x", "/a%20b"),
        ("-y", "/a//b=/c"),
        ("-y", "/a%20b=/c"),
        ("-y", "/a=/b/../c"),
        ("-i", ".x=/"),
        ("-i", ".x=/etc/passwd"),
        ("-z", "Keep-Alive:x"),
        ("-z", "Upgrade:x"),
        ("-z", "upgrade: x"),
    ] {
        is_mistake(&with(&[flag, value]), &format!("{flag} {value}: "));
    }
    // By the long name where that was given.
    is_mistake(&with(&["--error-page", "/a b"]), "--error-page /a b: ");
}

#[test]
fn values_that_look_like_them_are_good() {
    for (flag, value) in [
        ("-I", "cgi-bin/env"),
        ("-I", "a..b"),
        ("-E", "/err%20page.html"),
        ("-E", "/cgi-bin/e?why=/../x"),
        ("-E", "/..x"),
        ("-x", "/"),
        ("-x", "/a b/"),
        ("-y", "/a b=/c"),
        ("-y", "/a"),
        ("-i", ".x=/bin/sh"),
        ("-z", "X-Upgrade:x"),
    ] {
        let args = [&["--check"][..], &with(&[flag, value])].concat();
        assert_eq!(run(&args), (Some(0), vec![]), "{flag} {value}");
    }
}

#[test]
fn files_have_the_same_mistakes_with_their_lines() {
    let dir = Dir::new();
    for line in ["E404:/my error.html", "E404:/../x", "*.x:/etc/passwd", "*.x:/"] {
        let conf = dir.write("httpd.conf", format!("# one\n\n{line}\nE404:/good.html\n"));
        is_mistake(&with(&["-c", text(&conf)]), &format!("{}:3: {line}: ", conf.display()));
    }
    let rules = dir.write(
        "rules.json",
        r#"{"request": [
            ["if", ["regex", "REQUEST_URI", "^/(a|b)\\."], ["redirect", "/x"]],
            ["if", ["regex", "REQUEST_URI", "(.*)\\1z"], ["redirect", "/x"]]
        ]}"#,
    );
    is_mistake(&with(&["-H", text(&rules)]), &format!("{}:3: ", rules.display()));
    // A backslash is not one before a digit that is behind another.
    let rules = dir.write(
        "rules.json",
        r#"{"request": [["if", ["regex", "REQUEST_URI", "(.*)\\\\1z"], ["redirect", "/x"]]]}"#,
    );
    let args = [&["--check"][..], &with(&["-H", text(&rules)])].concat();
    assert_eq!(run(&args), (Some(0), vec![]));
}

const MISSING: [(&str, &str); 2] = [
    ("[fe80::1%nosuch0]:0", "there is no interface nosuch0"),
    // What is said of it is the system's.
    ("no-such-name.invalid:0", ""),
];

/// A launcher whose messages go to a file, killed when this goes.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_address_that_may_still_come_leaves_the_others() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    for (missing, why) in MISSING {
        for order in [[missing, "127.0.0.1:0"], ["127.0.0.1:0", missing]] {
            let args = ["-f", "-c", "/dev/null", "-h", dir.text(), "-p", order[0], "-p", order[1]];
            // Lines before the one that says where it listens are for whoever reads the file.
            let said = dir.path("said");
            let mut command = Command::new("sh");
            command.args(["-c", "exec \"$@\" 2> \"$0\"", text(&said)]);
            command.arg(env!("CARGO_BIN_EXE_ecohttpd")).args(args);
            let server = Server(command.stdin(Stdio::null()).spawn().unwrap());
            let read = || std::fs::read_to_string(&said).unwrap_or_default();
            let start = format!("ecohttpd: cannot listen on {missing}: {why}");
            let listening = "ecohttpd: listening on ";
            let find = |start: &str| {
                let text = read();
                let rest = text.lines().find_map(|line| line.strip_prefix(start));
                rest.map(str::to_owned)
            };
            let up = || find(&start).is_some() && find(listening).is_some();
            assert!(soon(up), "{order:?}: {}", read());
            let addr = find(listening).unwrap().parse().unwrap();
            assert_eq!(Client::connect(addr).get("/f.txt", "").text(), "content");
            drop(server);
            std::fs::remove_file(said).unwrap();
        }
    }
}

#[test]
fn an_address_that_may_still_come_is_not_enough() {
    for (missing, why) in MISSING {
        let start = format!("cannot listen on {missing}: {why}");
        let args = ["-f", "-c", "/dev/null", "-p", missing];
        let (code, said) = run(&args);
        assert_eq!(code, Some(1), "{said:?}");
        assert!(said[0].starts_with(&start), "{said:?}");
        assert_eq!(said.last().unwrap(), "there is no address left to listen at");
        // Once the network is up it may be.
        let (code, said) = run(&[&["--check"], &args[..]].concat());
        assert_eq!((code, said.len()), (Some(0), 1), "{said:?}");
        assert!(said[0].starts_with(&start), "{said:?}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn https_alone_takes_a_certificate_that_is_there() {
    let dir = Dir::new();
    dir.write("f.txt", "content");
    let cert = dir.path("missing.crt");
    let key = dir.path("missing.key");
    let alone = ["-f", "-c", "/dev/null", "-h", dir.text(), "-s", "127.0.0.1:0"];
    let alone = [&alone[..], &["-C", text(&cert), "-K", text(&key)]].concat();
    is_mistake(&alone, &format!("no HTTPS: {}: No such file", cert.display()));
    // With HTTP beside it there is something to serve until it comes.
    let both = [&alone[..], &["-p", "127.0.0.1:0"]].concat();
    let (code, said) = run(&[&["--check"], &both[..]].concat());
    assert_eq!((code, said.len()), (Some(0), 1), "{said:?}");
    assert!(said[0].starts_with("no HTTPS: "), "{said:?}");
    let server = Process::launcher(&both);
    assert_eq!(Client::connect(server.addr).get("/f.txt", "").text(), "content");
}
