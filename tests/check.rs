//! `--check`: all that is wrong is said, each thing once and with its place, and nothing is done.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Dir, LOCAL};

/// What follows the mistakes.
const HINT: &str = "ecohttpd: Try 'ecohttpd --help'.";

/// How a check ended, and the lines it printed, which are all on standard error and by their name.
fn check<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> (i32, Vec<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ecohttpd"))
        .arg("--check")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let line = |line: &str| line.strip_prefix("ecohttpd: ").expect(line).to_owned();
    (output.status.code().expect("an exit code"), stderr.lines().map(line).collect())
}

/// The arguments `more` behind those without which there is always something wrong. Nothing of this
/// machine's own is read.
fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["-f", "-p", "127.0.0.1:0", "-c", "/dev/null"], more].concat()
}

/// The lines about what is wrong, which it is said to be.
fn mistakes(args: &[&str]) -> Vec<String> {
    let (code, mut lines) = check(args);
    assert_eq!(code, 2, "{args:?}: {lines:?}");
    assert_eq!(lines.pop().as_deref(), HINT.strip_prefix("ecohttpd: "), "{args:?}");
    lines
}

/// The lines about what is good enough.
fn notes(args: &[&str]) -> Vec<String> {
    let (code, lines) = check(args);
    assert_eq!(code, 0, "{args:?}: {lines:?}");
    lines
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_is_good_is_not_worth_a_word() {
    let dir = Dir::new();
    let conf = dir.write(
        "httpd.conf",
        "# all there is\n/private:me:geheim\n/hashed:me:$1$abcdefgh$7.lm.6ee9.UHlcakym0SR.\n\
         I:start.html\nE404:/sorry.html\n*.x:/bin/sh\n",
    );
    let rules = dir.write(
        "rules.json",
        r#"{"request": [[["if", ["regex", "REQUEST_URI", "^/a/"], ["redirect", "/b/"]]]],
            "fallback": [["rewrite", "/cgi-bin/all"]]}"#,
    );
    let socket = format!("unix:{}", dir.path("socket").display());
    let all = [
        "-f",
        "-p",
        "0",
        "-p",
        "[::1]:0",
        "-p",
        &socket,
        "-A",
        "1",
        "-h",
        dir.text(),
        "-I",
        "a",
        "-E",
        "/e",
        "-S",
        "-D",
        "-b",
        "latin1",
        "-H",
        text(&rules),
        "-z",
        "X-A: b",
        "-x",
        "/run",
        "-i",
        ".x=/bin/sh",
        "-y",
        "/a=/b",
        "-t",
        "5",
        "-n",
        "5",
        "--spool-limit",
        "0",
        "--file-cache",
        "0",
        "-c",
        text(&conf),
        "-r",
        "Realm",
        "-R",
        "-N",
        "5",
        "-T",
        "5",
        "-k",
        "5",
        "-Z",
        "nobody",
        "--access-log",
        "stderr",
        "--log-format",
        "combined",
    ];
    assert_eq!(notes(&all), [""; 0]);
    assert_eq!(notes(&with(&[])), [""; 0]);
}

#[test]
fn nothing_is_done() {
    let dir = Dir::new();
    let holder = TcpListener::bind(LOCAL).unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let (socket, log) = (dir.path("socket"), dir.path("access.log"));
    let unix = format!("unix:{}", socket.display());
    // As an init script runs it while the server is there that it is about to restart.
    let args = ["-p", &taken, "-p", &unix, "--access-log", text(&log)];
    assert_eq!(notes(&with(&args)), [""; 0]);
    assert!(!socket.exists() && !log.exists());
    // And without -f.
    let free = TcpListener::bind(LOCAL).unwrap().local_addr().unwrap();
    let at = free.to_string();
    assert_eq!(notes(&["-p", &at, "-c", "/dev/null"]), [""; 0]);
    assert!(TcpStream::connect(free).is_err());
    drop(holder);
}

#[test]
fn mistakes_of_the_command_line_are_named() {
    for (args, mistake) in [
        (&["-p"][..], "-p: its value is missing"),
        (&["-p", "http"], "-p http: the port is no number from 0 to 65535"),
        (&["-p", "::1:80"], "-p ::1:80: an IPv6 address takes brackets"),
        (&["-p", "unix:"], "-p unix:: the path of the socket is missing"),
        (&["-p", "fd:2"], "-p fd:2: the descriptor is no number from 3 on"),
        (&["--listen-http=65536"], "--listen-http 65536: the port is no number"),
        (&["--redirect-status", "303"], "--redirect-status 303: it is none of 301"),
        (&["-Q", "host"], "-Q host: it has no ="),
        (&["-Q", "host=ftp://x"], "-Q host=ftp://x: the URL does not begin with https://"),
        (&["-A", "x"], "-A x: no number"),
        (&["-A", "32768"], "-A 32768: the system takes at most 32767"),
        (&["-z", "Date: x"], "-z Date: x: the server knows the date"),
        (&["-h", "/nonexistent"], "-h /nonexistent: No such file"),
        (&["-h", "/dev/null"], "-h /dev/null: not a directory"),
        (&["-I", "../x"], "-I ../x: not the name of a file"),
        (&["-E", "x"], "-E x: it does not begin with /"),
        (&["-b", "a b"], "-b a b: not the name of a charset"),
        (&["-z", "X-A"], "-z X-A: it has no colon"),
        (&["-z", "Content-Length: 5"], "-z Content-Length: 5: how messages are framed"),
        (&["-z", "X-A: b\nX-B: c"], "-z X-A: b\\x0aX-B: c: a control character in it"),
        (&["-x", "x"], "-x x: it does not begin with /"),
        (&["-i", ".x"], "-i .x: it has no ="),
        (&["-i", ".x=/nonexistent"], "-i .x=/nonexistent: No such file"),
        (&["-y", "x"], "-y x: it does not begin with /"),
        (&["-t", "-1"], "-t -1: no number"),
        (&["-n", "0"], "-n 0: it has to be 1 at least"),
        (&["--spool-limit", "1k"], "--spool-limit 1k: no number"),
        (&["--file-cache", "64k"], "--file-cache 64k: no number"),
        (&["-N", "0"], "-N 0: it has to be 1 at least"),
        (&["-T", "0"], "-T 0: it has to be 1 at least"),
        (&["-k", ""], "-k: no number"),
        (&["--log-format", "short"], "--log-format short: it is neither common nor combined"),
        (&["-v"], "-v: there is no such option"),
        (&["-fv"], "-v: there is no such option"),
        (&["--verbose"], "--verbose: there is no such option"),
        (&["stray"], "stray: it belongs to no option"),
        (&["--foreground=yes"], "unexpected argument for option '--foreground': \"yes\""),
        (&["-Z", "nobody-of-this-name"], "-Z nobody-of-this-name: there is no such user"),
        (&["-Y", "/path=http://x"], "-Y /path=http://x: it is kept for the proxy"),
        (
            &["--access-log", "/nonexistent/log"],
            "--access-log /nonexistent/log: there is no such directory",
        ),
        (&["--access-log", "/etc"], "--access-log /etc: a directory"),
    ] {
        let lines = mistakes(&with(args));
        assert_eq!(lines.len(), 1, "{args:?}: {lines:?}");
        assert!(lines[0].starts_with(mistake), "{args:?}: {lines:?}");
    }
}

#[test]
fn what_is_missing_is_said_whatever_else_is_wrong() {
    let missing = "-p or -s is missing: there is no address to listen at";
    assert_eq!(mistakes(&["-c", "/dev/null"]), [missing]);
    let lines = mistakes(&["-c", "/dev/null", "-n", "0"]);
    assert_eq!(lines, ["-n 0: it has to be 1 at least", missing]);
    // One that was given wrong is not missing.
    let lines = mistakes(&["-c", "/dev/null", "-p", "x"]);
    assert_eq!(lines, ["-p x: the port is no number from 0 to 65535"]);
}

#[cfg(feature = "tls")]
#[test]
fn https_takes_a_certificate_and_its_key() {
    let secure = |more: &[&'static str]| with(&[&["-s", "127.0.0.1:0"], more].concat());
    assert_eq!(
        mistakes(&secure(&[])),
        [
            "-C is missing: -s takes a certificate",
            "-K is missing: -s takes the key of its certificate"
        ]
    );
    let lines = mistakes(&secure(&["-C", "/x"]));
    assert_eq!(lines, ["-K is missing: -s takes the key of its certificate"]);
    // It may come later, and serves HTTP until then.
    let lines = notes(&secure(&["-C", "/nonexistent/cert", "-K", "/nonexistent/key"]));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("no HTTPS: /nonexistent/cert: No such file"), "{lines:?}");
    // An address that cannot be is not none at all.
    let args = ["-s", "x", "-C", "/nonexistent/cert", "-K", "/nonexistent/key", "-q"];
    assert_eq!(mistakes(&with(&args)), ["-s x: the port is no number from 0 to 65535"]);
}

#[cfg(feature = "tls")]
#[test]
fn certificates_are_looked_into() {
    let pki = |name: &str| format!("{}/tests/pki/{name}", env!("CARGO_MANIFEST_DIR"));
    let dir = Dir::new();
    let garbage = dir.write("garbage.pem", "no certificate\n");
    let (cert, key, other) = (pki("localhost.pem"), pki("localhost.key"), pki("guest.key"));
    let run = |cert: &str, key: &str, more: &[&str]| {
        let args = ["-s", "127.0.0.1:0", "-C", cert, "-K", key];
        check(&with(&[&args, more].concat()))
    };
    assert_eq!(run(&cert, &key, &[]), (0, vec![]));
    assert_eq!(run(&cert, &key, &["-P", "TLS_AES_128_GCM_SHA256"]), (0, vec![]));
    for (cert, key, culprit) in [
        (text(&garbage), &key, text(&garbage)),
        (&cert, &text(&garbage).to_owned(), text(&garbage)),
        (&cert, &other, &*other),
    ] {
        let (code, lines) = run(cert, key, &[]);
        let starts = lines[0].starts_with(&format!("no HTTPS: {culprit}: "));
        assert!((code, lines.len()) == (0, 1) && starts, "{code} {lines:?}");
    }
    // No file can make that right.
    let (code, lines) = run(&cert, &key, &["-P", "TLS_AES_128_GCM_SHA256:nonsense"]);
    assert_eq!(code, 2, "{lines:?}");
    let starts = "-P TLS_AES_128_GCM_SHA256:nonsense: nonsense: no cipher suite";
    assert!(lines.len() == 2 && lines[0].starts_with(starts), "{lines:?}");
}

#[test]
fn mistakes_of_a_configuration_have_their_line() {
    let dir = Dir::new();
    for (line, mistake) in [
        ("garbage", "garbage: there is no such setting"),
        ("A:192.168.", "A:192.168.: there is no such setting"),
        ("/private:geheim", "/private:...: the password is missing"),
        ("/private", "/private: the user is missing"),
        ("/a/../b:me:geheim", "/a/../b: no request has .. in it"),
        ("I:a/b", "I:a/b: this is no name of an index file"),
        ("E404:sorry", "E404:sorry: the path of an error page begins with a slash"),
        ("*.x:/nonexistent", "*.x:/nonexistent: No such file"),
        ("*x:/bin/sh", "*x:/bin/sh: a dot and"),
        ("/private:m\te:geheim", "/private:...: it contains a control character"),
    ] {
        let conf = dir.write("httpd.conf", format!("# first\n\n{line}\nI:a\n"));
        let lines = mistakes(&["-f", "-p", "127.0.0.1:0", "-c", text(&conf)]);
        let place = format!("{}:3: {mistake}", conf.display());
        assert!(lines.len() == 1 && lines[0].starts_with(&place), "{line}: {lines:?}");
        assert!(!lines[0].contains("geheim"), "a password: {lines:?}");
    }
    for (conf, mistake) in [("/nonexistent", "No such file"), ("/etc", "Is a directory")] {
        let lines = mistakes(&["-f", "-p", "127.0.0.1:0", "-c", conf]);
        let starts = lines[0].starts_with(&format!("{conf}: {mistake}"));
        assert!(lines.len() == 1 && starts, "{lines:?}");
    }
}

#[test]
fn mistakes_of_rules_have_their_line() {
    let dir = Dir::new();
    for (rules, line, mistake) in [
        ("{\n\"request\": [,]}", 2, ""),
        ("{\"request\": [[\"rewrite\", \"/x\"]]", 1, ""),
        ("\n[]", 2, "an object with \"request\" or \"fallback\" is expected"),
        ("{\"requests\": []}", 1, "\"requests\" is neither"),
        ("{\"request\": [\n[\"rewrit\", \"/x\"]]}", 2, "\"rewrit\" is no command"),
        ("{\"request\": [\n[\"rewrite\"]]}", 2, "\"rewrite\" takes a URL"),
        ("{\"request\": [[\"if\",\n\n[\"regex\", \"X\", \"(\"], [\"return\"]]]}", 3, ""),
        ("{\"request\": [[\"redirect\", \"/x\",\n 200]]}", 2, ""),
    ] {
        let file = dir.write("rules.json", rules);
        let lines = mistakes(&with(&["-H", text(&file)]));
        let place = format!("{}:{line}: {mistake}", file.display());
        let first = lines.iter().any(|line| line.starts_with(&place) && line.len() > place.len());
        assert!(first || lines == [&*place], "{rules}: {lines:?}");
        assert!(lines.iter().all(|line| line.starts_with(text(&file))), "{rules}: {lines:?}");
    }
    let lines = mistakes(&with(&["-H", "/nonexistent"]));
    assert!(lines.len() == 1 && lines[0].starts_with("/nonexistent: No such file"), "{lines:?}");
}

#[test]
fn all_of_them_are_said_in_one_run() {
    let dir = Dir::new();
    let conf = dir.write("httpd.conf", "I:a/b\nI:a\ngarbage\n");
    let rules = dir.write("rules.json", "{\"request\": [[\n[\"a\"],\n[\"b\"]\n]]}");
    let more = dir.write("more.json", "{");
    let args = [
        "-f",
        "-p",
        "x",
        "-p",
        "127.0.0.1:0",
        "--foreground=yes",
        "-n",
        "0",
        "stray",
        "--nonsense",
        "-c",
        text(&conf),
        "-H",
        text(&rules),
        "-H",
        text(&more),
        "-t",
        "y",
        "-l",
        "/lua",
    ];
    let lines = mistakes(&args);
    let starts: Vec<_> = [
        // What can be followed comes first.
        "-l /lua: ".to_owned(),
        "-p x: ".into(),
        "unexpected argument".into(),
        "-n 0: ".into(),
        "stray: ".into(),
        "--nonsense: ".into(),
        "-t y: ".into(),
        format!("{}:1: ", conf.display()),
        format!("{}:3: ", conf.display()),
        format!("{}:2: ", rules.display()),
        format!("{}:3: ", rules.display()),
        format!("{}:1: ", more.display()),
    ]
    .into();
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(&starts) {
        assert!(line.starts_with(start), "{line} for {start}");
    }
}

#[test]
fn what_does_nothing_here_is_noted() {
    for (args, note) in [
        (&["-l", "/lua"][..], "-l /lua: scripts run as CGI here, below /cgi-bin"),
        (&["-L", "/lua.lua"], "-L /lua.lua: scripts run as CGI here"),
        (&["-o", "/ucode"], "-o /ucode: scripts run as CGI here"),
        (&["-O", "/u.uc"], "-O /u.uc: scripts run as CGI here"),
        (&["-u", "/ubus"], "-u /ubus: this build has no /ubus"),
        (&["-U", "/socket"], "-U /socket: this build has no /ubus"),
        (&["-e", "5"], "-e 5: this build has no /ubus"),
        (&["-a"], "-a: this build has no /ubus"),
        (&["-X"], "-X: this build has no /ubus"),
        (&["-C", "/x"], "-C: without -s it does nothing"),
        (&["-K", "/x"], "-K: without -s it does nothing"),
        (&["-P", "TLS_AES_128_GCM_SHA256"], "-P: without -s it does nothing"),
        (&["-q"], "-q: without -s it does nothing"),
        (&["-Q", "h=https://x"], "-Q: without -s it does nothing"),
        (&["--ubus-prefix=/ubus"], "--ubus-prefix /ubus: this build has no /ubus"),
    ] {
        let lines = notes(&with(args));
        assert!(lines.len() == 1 && lines[0].starts_with(note), "{args:?}: {lines:?}");
    }
    // The prefix that counts is the one given, wherever.
    let lines = notes(&with(&["-l", "/lua", "-x", "/run"]));
    assert!(lines[0].contains("below /run"), "{lines:?}");
    let dir = Dir::new();
    let conf = dir.write("httpd.conf", "I:a\n/private:me:$no-hash\n");
    let lines = notes(&["-f", "-p", "127.0.0.1:0", "-c", text(&conf)]);
    let place = format!("{}:2: /private: nobody gets in as me: ", conf.display());
    assert!(lines.len() == 1 && lines[0].starts_with(&place), "{lines:?}");
}

#[test]
fn bytes_that_are_no_text_are_shown_as_far_as_they_are() {
    let bad = std::ffi::OsStr::from_bytes(b"a\xff\x1bb");
    let option = |name: &str| [name.as_ref(), bad].map(ToOwned::to_owned);
    for name in ["-r", "-h", "-p", "-E", "--log-format"] {
        let args: Vec<_> = ["-f", "-p", "127.0.0.1:0", "-c", "/dev/null"]
            .iter()
            .map(std::ffi::OsString::from)
            .chain(option(name))
            .collect();
        let (code, lines) = check(&args);
        assert_eq!((code, lines.len()), (2, 2), "{name}: {lines:?}");
        let starts = lines[0].starts_with(&format!("{name} a\u{fffd}"));
        assert!(starts && !lines[0].contains(char::is_control), "{name}: {lines:?}");
    }
}
