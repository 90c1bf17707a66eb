//! `--self-signed`: what OpenSSL and curl make of the certificates, and what is left on the disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::process::{Command, Stdio};

use common::Dir;

/// Runs the launcher in `dir`: its exit code, what it prints, and what it says.
fn run(dir: &Dir, args: &[&str]) -> (Option<i32>, String, Vec<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ecohttpd"));
    let output = command.args(args).current_dir(&dir.0).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let line = |line: &str| line.strip_prefix("ecohttpd: ").expect(line).to_owned();
    let printed = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), printed, said.lines().map(line).collect())
}

#[cfg(not(feature = "tls"))]
#[test]
fn it_takes_a_build_with_tls() {
    let dir = Dir::new();
    let (code, printed, said) = run(&dir, &["--self-signed", "a", "-C", "crt", "-K", "key"]);
    assert_eq!((code, &*printed), (Some(2), ""));
    assert_eq!(said, ["--self-signed: it takes a build with the feature tls"]);
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0);
}

#[cfg(feature = "tls")]
mod tls {
    use std::fs::{self, Permissions};
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::SystemTime;

    use super::*;
    use common::{Process, soon};
    use rustix::process::Signal;

    const DAY: u64 = 86_400;

    /// Makes `crt` and `key` for these names, and returns what it prints.
    fn make(dir: &Dir, names: &str, more: &[&str]) -> String {
        let args = [&["--self-signed", names, "-C", "crt", "-K", "key"], more].concat();
        let (code, printed, said) = run(dir, &args);
        assert_eq!((code, said), (Some(0), vec![]), "{args:?}");
        printed
    }

    /// Whether openssl(1) succeeds in `dir`, and all that it says.
    fn openssl(dir: &Dir, args: &[&str]) -> (bool, String) {
        let mut command = Command::new("openssl");
        command.args(args).current_dir(&dir.0).stdin(Stdio::null());
        let output = command.output().expect("openssl");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.success(), text.concat())
    }

    fn verifies(dir: &Dir, more: &[&str]) -> bool {
        let strict = ["verify", "-CAfile", "crt", "-x509_strict", "-purpose", "sslserver"];
        openssl(dir, &[&strict[..], more, &["crt"]].concat()).0
    }

    /// What is in a directory.
    fn names(dir: &Dir) -> Vec<String> {
        let entries = fs::read_dir(&dir.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn mode(dir: &Dir, name: &str) -> u32 {
        fs::metadata(dir.path(name)).unwrap().permissions().mode() & 0o7777
    }

    fn read(dir: &Dir, name: &str) -> String {
        fs::read_to_string(dir.path(name)).unwrap()
    }

    /// Whether the key is that of the certificate.
    fn fit(dir: &Dir) -> bool {
        let public = openssl(dir, &["x509", "-in", "crt", "-noout", "-pubkey"]);
        let private = openssl(dir, &["pkey", "-in", "key", "-pubout"]);
        assert!(public.0 && private.0, "{public:?} {private:?}");
        public == private
    }

    #[test]
    fn it_is_what_browsers_ask_for() {
        let dir = Dir::new();
        let given = "OpenWrt,router.lan,*.router.lan,192.168.1.1,[fd00::1],FE80::2,openwrt";
        let printed = make(&dir, given, &[]);
        let names = "openwrt, router.lan, *.router.lan, 192.168.1.1, fd00::1, fe80::2";
        let start = format!("crt: for {names}, until 20");
        assert!(printed.starts_with(&start) && printed.ends_with('\n'), "{printed}");
        assert_eq!(printed.lines().count(), 1);

        let (_, text) =
            openssl(&dir, &["x509", "-in", "crt", "-noout", "-text", "-nameopt", "RFC2253"]);
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let after = |name: &str| {
            let at = lines.iter().position(|line| *line == name);
            lines[at.unwrap_or_else(|| panic!("{name}: {text}")) + 1]
        };
        assert!(lines.contains(&"Version: 3 (0x2)"), "{text}");
        assert!(lines.contains(&"Signature Algorithm: ecdsa-with-SHA256"), "{text}");
        assert!(lines.contains(&"NIST CURVE: P-256"), "{text}");
        assert_eq!(after("X509v3 Basic Constraints: critical"), "CA:FALSE");
        assert_eq!(after("X509v3 Key Usage: critical"), "Digital Signature");
        assert_eq!(after("X509v3 Extended Key Usage:"), "TLS Web Server Authentication");
        assert_eq!(
            after("X509v3 Subject Alternative Name:"),
            "DNS:openwrt, DNS:router.lan, DNS:*.router.lan, IP Address:192.168.1.1, \
             IP Address:FD00:0:0:0:0:0:0:1, IP Address:FE80:0:0:0:0:0:0:2"
        );
        assert_eq!(after("X509v3 Subject Key Identifier:").len(), 20 * 3 - 1);
        assert_eq!(after("Serial Number:").len(), 16 * 3 - 1);
        let subject = lines.iter().find_map(|line| line.strip_prefix("Subject: ")).unwrap();
        assert!(subject.starts_with("CN=openwrt,O=ecohttpd "), "{subject}");
        assert!(lines.contains(&&*format!("Issuer: {subject}")), "{text}");

        for name in ["openwrt", "OPENWRT", "router.lan", "guest.router.lan"] {
            assert!(verifies(&dir, &["-verify_hostname", name]), "{name}");
        }
        for address in ["192.168.1.1", "fd00::1", "fe80::2"] {
            assert!(verifies(&dir, &["-verify_ip", address]), "{address}");
        }
        assert!(!verifies(&dir, &["-verify_hostname", "example.org"]));
        assert!(!verifies(&dir, &["-verify_ip", "192.168.1.2"]));
        assert!(!verifies(&dir, &["-purpose", "sslclient"]));

        let (good, said) = openssl(&dir, &["pkey", "-in", "key", "-check", "-noout"]);
        assert!(good && fit(&dir), "{said}");
        let key = read(&dir, "key");
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n"), "PKCS #8");
        let lines = |text: &str| text.lines().all(|line| line.len() <= 64);
        assert!(lines(&key) && lines(&read(&dir, "crt")));
    }

    #[test]
    fn a_name_that_is_too_long_for_the_subject_is_none_the_less_one() {
        let dir = Dir::new();
        let long = format!("{}.{}", "a".repeat(60), "b".repeat(60));
        for (names, subject) in [(long.clone(), ""), (format!("{long},short,c"), ", CN = short\n")]
        {
            make(&dir, &names, &[]);
            let (_, text) = openssl(&dir, &["x509", "-in", "crt", "-noout", "-subject"]);
            let rest = text.strip_prefix("subject=O = ecohttpd ").expect(&text);
            assert_eq!(rest[8..].trim_end(), subject.trim_end(), "{text}");
            assert!(verifies(&dir, &["-verify_hostname", &long]));
        }
    }

    #[test]
    fn it_is_valid_from_yesterday_and_no_longer_than_it_may_be() {
        let dir = Dir::new();
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        for (args, days) in [(&[][..], 397), (&["--days", "1"], 1), (&["--days=30"], 30)] {
            let from = now();
            let printed = make(&dir, "a", args);
            let to = now();
            let before = DAY.min(days * DAY / 2);
            let at = |second: u64| verifies(&dir, &["-attime", &second.to_string()]);
            // It was made between the two.
            let (first, last) = (from - before, from - before + days * DAY - 1);
            assert!(!at(first - 1) && at(to - before), "{days} from");
            // OpenSSL takes the last second for one too many.
            assert!(at(last - 1) && !at(last + (to - from) + 1), "{days} to");
            assert!(at(now()));
            // What is printed is the day of its end.
            let (_, end) = openssl(
                &dir,
                &["x509", "-in", "crt", "-noout", "-enddate", "-dateopt", "iso_8601"],
            );
            let day = end.strip_prefix("notAfter=").expect(&end)[..10].to_owned();
            assert_eq!(printed, format!("crt: for a, until {day}\n"));
        }
    }

    /// Curl's exit code for one certificate and one name.
    fn curl(dir: &Dir, server: &Process, cert: &str, host: &str, version: &str) -> Option<i32> {
        let port = server.addr.port();
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--noproxy", "*", "--cacert", cert]);
        command.args(["--tls-max", version, &format!("--tlsv{version}"), "-o", "got"]);
        command.args(["--resolve", &format!("{host}:{port}:127.0.0.1")]);
        command.arg(format!("https://{host}:{port}/f.txt")).current_dir(&dir.0);
        command.stderr(Stdio::null()).status().expect("curl").code()
    }

    #[test]
    fn clients_trust_it_and_its_successor() {
        const UNTRUSTED: Option<i32> = Some(60);
        let dir = Dir::new();
        let home = Dir::new();
        home.write("f.txt", "content");
        let order = "router.lan,127.0.0.1,openwrt";
        make(&dir, order, &[]);
        let [cert, key] = ["crt", "key"].map(|name| dir.path(name).to_str().unwrap().to_owned());
        let args = ["-f", "-c", "/dev/null", "-s", "127.0.0.1:0", "-h", home.text()];
        let server = Process::launcher(&[&args[..], &["-C", &cert, "-K", &key]].concat());
        let ask = |cert: &str, host: &str, version| curl(&dir, &server, cert, host, version);
        for version in ["1.2", "1.3"] {
            for host in ["router.lan", "openwrt", "127.0.0.1"] {
                assert_eq!(ask("crt", host, version), Some(0), "{host} {version}");
                assert_eq!(read(&dir, "got"), "content");
            }
            assert_eq!(ask("crt", "other.lan", version), UNTRUSTED, "{version}");
        }
        fs::copy(&cert, dir.path("older")).unwrap();
        make(&dir, order, &[]);
        server.signal(Signal::HUP);
        assert!(soon(|| ask("crt", "router.lan", "1.3") == Some(0)));
        assert_eq!(ask("older", "router.lan", "1.3"), UNTRUSTED);
    }

    #[test]
    fn no_two_are_the_same() {
        let dir = Dir::new();
        let mut had = Vec::new();
        for _ in 0..3 {
            make(&dir, "a", &[]);
            let what = ["-serial", "-subject", "-pubkey"];
            had.extend(what.map(|what| openssl(&dir, &["x509", "-in", "crt", "-noout", what])));
        }
        assert!(had.iter().all(|(good, _)| *good), "{had:?}");
        let all = had.len();
        had.sort();
        had.dedup();
        assert_eq!(had.len(), all, "{had:?}");
    }

    #[test]
    fn nobody_else_reads_the_key() {
        let dir = Dir::new();
        for umask in ["000", "022", "077", "277"] {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
            command.arg(env!("CARGO_BIN_EXE_ecohttpd")).current_dir(&dir.0);
            command.args(["--self-signed", "a", "-C", "crt", "-K", "key"]);
            assert!(command.stdout(Stdio::null()).status().unwrap().success(), "{umask}");
            assert_eq!((mode(&dir, "crt"), mode(&dir, "key")), (0o644, 0o600), "{umask}");
            // Also in the place of what everybody might read.
            fs::set_permissions(dir.path("key"), Permissions::from_mode(0o666)).unwrap();
        }
        assert_eq!(names(&dir), ["crt", "key"]);
    }

    #[test]
    fn whoever_reads_the_old_ones_reads_them_to_the_end() {
        let dir = Dir::new();
        make(&dir, "a", &[]);
        let old = ["crt", "key"].map(|name| read(&dir, name));
        let open = ["crt", "key"].map(|name| fs::File::open(dir.path(name)).unwrap());
        make(&dir, "a", &[]);
        for ((old, mut open), name) in old.iter().zip(open).zip(["crt", "key"]) {
            let mut text = String::new();
            open.read_to_string(&mut text).unwrap();
            assert_eq!(&text, old);
            assert_ne!(&read(&dir, name), old);
        }
        assert!(fit(&dir));
    }

    #[test]
    fn of_many_at_once_one_is_last() {
        let dir = Dir::new();
        for _ in 0..2 {
            let children: Vec<_> = (0..8)
                .map(|_| {
                    Command::new(env!("CARGO_BIN_EXE_ecohttpd"))
                        .args(["--self-signed", "a", "-C", "crt", "-K", "key"])
                        .current_dir(&dir.0)
                        .stdout(Stdio::null())
                        .spawn()
                        .unwrap()
                })
                .collect();
            for mut child in children {
                assert!(child.wait().unwrap().success());
            }
            assert!(fit(&dir));
            assert_eq!(names(&dir), ["crt", "key"]);
        }
    }

    /// With `crt` and `key` there, these others cannot be written; nothing has changed.
    #[track_caller]
    fn fails(dir: &Dir, cert: &str, key: &str, why: &str) {
        let before = (names(dir), read(dir, "crt"), read(dir, "key"));
        let (code, printed, said) = run(dir, &["--self-signed", "a", "-C", cert, "-K", key]);
        assert_eq!((code, &*printed), (Some(1), ""), "{said:?}");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(why), "{said:?}");
        assert_eq!((names(dir), read(dir, "crt"), read(dir, "key")), before);
        assert!(fit(dir));
    }

    #[test]
    fn what_cannot_be_written_leaves_both_as_they_were() {
        let dir = Dir::new();
        make(&dir, "a", &[]);
        fails(&dir, "crt", "missing/key", "missing/key: No such file or directory");
        fails(&dir, "missing/crt", "key", "missing/crt: No such file or directory");
        fails(&dir, "crt/crt", "key", "crt/crt: Not a directory");
        // Not even root makes a file there.
        fails(&dir, "/proc/crt", "key", "/proc/crt: ");
        fails(&dir, "crt", "/proc/key", "/proc/key: ");
        // No room for a whole one; without the signal that would end it.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"]);
        command.arg(env!("CARGO_BIN_EXE_ecohttpd")).current_dir(&dir.0);
        let output = command.args(["--self-signed", "a", "-C", "crt", "-K", "key"]).output();
        let output = output.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("ecohttpd: key: File too large"), "{said}");
        assert_eq!(names(&dir), ["crt", "key"]);
        assert!(fit(&dir));
    }

    #[test]
    fn a_directory_of_others_leaves_both_as_they_were() {
        if rustix::process::getuid().is_root() {
            println!("skipped: nothing is unwritable for root");
            return;
        }
        let dir = Dir::new();
        make(&dir, "a", &[]);
        fs::create_dir(dir.path("others")).unwrap();
        fs::set_permissions(dir.path("others"), Permissions::from_mode(0o555)).unwrap();
        fails(&dir, "others/crt", "key", "others/crt: Permission denied");
        fails(&dir, "crt", "others/key", "others/key: Permission denied");
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let dir = Dir::new();
        make(&dir, "a", &[]);
        fs::create_dir(dir.path("dir")).unwrap();
        fails(&dir, "dir", "key", "dir: no file");
        fails(&dir, "crt", "dir", "dir: no file");
        // As of acme, which looks after what they lead to.
        dir.write("acme", "of acme");
        symlink("acme", dir.path("link")).unwrap();
        symlink("nowhere", dir.path("dangling")).unwrap();
        for link in ["link", "dangling"] {
            fails(&dir, link, "key", &format!("{link}: a symbolic link"));
            fails(&dir, "crt", link, &format!("{link}: a symbolic link"));
        }
        assert_eq!(read(&dir, "acme"), "of acme");
        let pipe = dir.path("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fails(&dir, "crt", "pipe", "pipe: no file");
        // Links to directories are as good as directories.
        symlink(".", dir.path("here")).unwrap();
        let (code, printed, _) = run(&dir, &["--self-signed", "b", "-C", "here/crt", "-K", "key"]);
        assert_eq!(code, Some(0));
        assert!(printed.starts_with("here/crt: for b, until "), "{printed}");
        assert!(fit(&dir) && verifies(&dir, &["-verify_hostname", "b"]));
    }

    #[test]
    fn mistakes_are_named_and_nothing_is_written() {
        let dir = Dir::new();
        let both = ["-C", "crt", "-K", "key"];
        let range = "no number from 1 to 397, which is the most that browsers take";
        let neither = "neither a host name nor an IP address";
        for (args, mistake) in [
            (&["--self-signed", "a_b"][..], format!("--self-signed a_b: 'a_b': {neither}")),
            (
                &["--self-signed", "a,b.c,d..e"],
                format!("--self-signed a,b.c,d..e: 'd..e': {neither}"),
            ),
            (&["--self-signed="], "--self-signed : '': an empty name".into()),
            (&["--self-signed"], "--self-signed: its value is missing".into()),
            (&["--self-signed", "a", "--days", "0"], format!("--days 0: {range}")),
            (&["--self-signed", "a", "--days", "398"], format!("--days 398: {range}")),
            (&["--self-signed", "a", "--days", "+5"], format!("--days +5: {range}")),
            (&["--self-signed", "a", "--days", "-5"], format!("--days -5: {range}")),
            (&["--self-signed", "a", "--days", "1y"], format!("--days 1y: {range}")),
            (&["--self-signed", "a", "--days="], format!("--days : {range}")),
            (&["--self-signed", "a", "--days"], "--days: its value is missing".into()),
            (&["--self-signed", "a", "b"], "b: it belongs to no option".into()),
            (&["--self-signed", "a", "-p", "80"], "-p: it does not go with --self-signed".into()),
            (
                &["--check", "--self-signed", "a"],
                "--check: it does not go with --self-signed".into(),
            ),
            (&["--self-signed", "a", "-K", "crt"], "-K crt: the certificate goes there".into()),
            (&["--self-signed", "a", "--key=./crt"], "-K ./crt: the certificate goes there".into()),
            (&["--self-signed", "a", "-C", "/"], "-C /: not the path of a file".into()),
        ] {
            let (code, printed, said) = run(&dir, &[&both[..], args].concat());
            assert_eq!((code, &*printed), (Some(2), ""), "{args:?}: {said:?}");
            assert_eq!(said, [&mistake, "Try 'ecohttpd --help'."], "{args:?}");
        }
        let missing = |flag| format!("{flag}: it is missing: --self-signed writes that file");
        for (args, mistakes) in [
            (&["-C", "crt"][..], &[missing("-K")][..]),
            (&["-K", "key"], &[missing("-C")]),
            (&[], &[missing("-C"), missing("-K")]),
        ] {
            let (code, _, said) = run(&dir, &[&["--self-signed", "a"], args].concat());
            assert_eq!((code, &said[..said.len() - 1]), (Some(2), mistakes), "{args:?}");
        }
        // What is the value of another option is not this one.
        let (code, _, said) = run(&dir, &["--days", "5", "-f", "-p", "80", "-r", "--self-signed"]);
        assert_eq!(code, Some(2));
        assert_eq!(said[0], "--days: without --self-signed it means nothing");
        assert_eq!(names(&dir), [""; 0]);
    }
}
