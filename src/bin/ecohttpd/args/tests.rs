//! What the command line makes of its options.

use std::fs;

use super::*;
use crate::log::tests::Dir;

fn parse(words: impl IntoIterator<Item = OsString>, report: &mut Report) -> Action {
    CommandLine::new(words.into_iter().collect()).parse(report)
}

fn words(line: &str) -> impl Iterator<Item = OsString> {
    line.split_whitespace().map(OsString::from)
}

fn serve(line: &str) -> (Args, Report) {
    let mut report = Report::default();
    match parse(words(line), &mut report) {
        Action::Serve(args) => (Rc::into_inner(args).unwrap(), report),
        other => panic!("{line}: {other:?}"),
    }
}

fn good(line: &str) -> Args {
    let (args, report) = serve(line);
    assert_eq!(report, Report::default(), "{line}");
    args
}

fn at(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn letters_and_long_names_mean_the_same() {
    let short = good(
        "-f -p80 -p 127.0.0.1:81 -h / -A 5 -I a.html -I b/c.html -E /e -S -D -b latin1 \
         -H x -z X-A:b -x /run/ -i .sh=/bin/sh -y /a -y /b=/c/ -t 5 -n 6 -c conf -r Realm -R \
         -N 7 -T 8 -k 0 -Z nobody",
    );
    let long = good(
        "--foreground --listen-http 80 --listen-http=127.0.0.1:81 --home / --tcp-keepalive 5 \
         --index-page a.html --index-page b/c.html --error-page /e --no-symlinks --no-dirlists \
         --charset latin1 --json-script x --header X-A:b --cgi-prefix /run --interpreter \
         .sh=/bin/sh --alias /a --alias /b=/c --script-timeout 5 --max-requests 6 --config \
         conf --realm Realm --rfc1918-filter --max-connections 7 --network-timeout 8 \
         --http-keepalive 0 --user nobody",
    );
    assert_eq!(short, long);
    assert_eq!(at(&short.http), ["0.0.0.0:80", "[::]:80", "127.0.0.1:81"]);
    assert_eq!(short.cgi_prefix, "/run");
    assert_eq!(short.aliases, [("/b".into(), Some("/c".into())), ("/a".into(), None)]);
    assert_eq!(short.headers, [("X-A".into(), "b".into())]);
    assert!(short.config.unwrap().is_absolute());
    assert_eq!((short.tcp_keepalive, short.http_keepalive), (5, 0));
    assert_eq!(good("-p 80 -x /").cgi_prefix, "");
}

#[cfg(feature = "tls")]
#[test]
fn https_takes_a_certificate_and_its_key() {
    let short = good("-f -s [::1]:443 -C c -K k -P TLS_AES_128_GCM_SHA256 -q -Q h=https://h:8443/");
    assert_eq!(at(&short.https), ["[::1]:443"]);
    let long = good(
        "-f --listen-https [::1]:443 --cert c --key k --ciphers TLS_AES_128_GCM_SHA256 --redirect-https \
         --redirect-host h=https://h:8443/ --redirect-status 307",
    );
    assert_eq!(short, long);
}

#[test]
fn every_mistake_is_named() {
    for (line, why) in [
        ("", "-p or -s is missing"),
        ("-f -p", "-p: its value is missing"),
        ("-f -p x", "-p x: the port is no number"),
        ("-f -p ::1:80", "-p ::1:80: an IPv6 address takes brackets"),
        ("-f -p 80 -h /nonexistent", "-h /nonexistent: No such file"),
        ("-f -p 80 -h /dev/null", "-h /dev/null: not a directory"),
        ("-f -p 80 -n 0", "-n 0: it has to be 1 at least"),
        ("-f -p 80 -n x", "-n x: no number"),
        ("-f -p 80 -k -1", "-k -1: no number"),
        ("-f -p 80 -t 99999999999", "-t 99999999999: no number, or too large a one"),
        ("-f -p 80 -E e", "-E e: it does not begin with /"),
        ("-f -p 80 -I /x", "-I /x: not the name of a file"),
        ("-f -p 80 -I ../x", "-I ../x: not the name of a file"),
        ("-f -p 80 -b a;b", "-b a;b: not the name of a charset"),
        ("-f -p 80 -z x", "-z x: it has no colon"),
        ("-f -p 80 -z a/b:c", "-z a/b:c: the name before the colon"),
        ("-f -p 80 -z Content-Length:5", "-z Content-Length:5: how messages are framed"),
        ("-f -p 80 -i .sh", "-i .sh: it has no ="),
        ("-f -p 80 -i sh=/bin/sh", "-i sh=/bin/sh: the extension"),
        ("-f -p 80 -i .sh=/nonexistent", "-i .sh=/nonexistent: No such file"),
        ("-f -p 80 -y x", "-y x: it does not begin with /"),
        ("-f -p 80 -y /x=y", "-y /x=y: it does not begin with /"),
        ("-f -p 80 -Q x", "-Q x: it has no ="),
        ("-f -p 80 -Q x=ftp://y", "-Q x=ftp://y: the URL does not begin"),
        ("-f -p 80 --redirect-status 303", "--redirect-status 303: it is none of"),
        ("-f -p 80 --log-format x", "--log-format x:"),
        ("-f -p 80 -z Date:x", "-z Date:x: the server knows the date"),
        ("-f -p 80 -A 32768", "-A 32768: the system takes at most"),
        ("-f -p 80 -Z nobody-at-all", "-Z nobody-at-all: there is no such user"),
        ("-f -p 80 --access-log /nonexistent/x", "--access-log /nonexistent/x: there is no"),
        ("-f -p 80 --access-log /tmp", "--access-log /tmp: a directory"),
        #[cfg(feature = "tls")]
        ("-s 443 -C c -K k -P HIGH:!aNULL", "-P HIGH:!aNULL: HIGH: no cipher suite"),
        ("-f -p 80 -Y x", "-Y x: it is kept for the proxy"),
        ("-f -p 80 -v", "-v: there is no such option"),
        ("-f -p 80 --nonsense", "--nonsense: there is no such option"),
        ("-f -p 80 stray", "stray: it belongs to no option"),
        ("-p 80 -d %4", "-d %4: a percent sign"),
        #[cfg(feature = "tls")]
        ("-s 443", "-C is missing"),
        #[cfg(feature = "tls")]
        ("-s 443 -C c", "-K is missing"),
        #[cfg(not(feature = "tls"))]
        ("-s 443 -C c -K k", "-s takes a build with the feature tls"),
        #[cfg(not(feature = "gzip"))]
        ("-p 80 --gzip", "--gzip: it takes a build with the feature gzip"),
    ] {
        let report = serve(line).1;
        assert!(report.mistakes.iter().any(|m| m.contains(why)), "{line}: {report:?}");
    }
    let all = serve("-p x -n 0 stray --nonsense").1;
    assert_eq!(all.mistakes.len(), 4, "{all:?}");
}

/// What a file of options makes of itself, behind the words of a command line.
fn file(line: &str, text: impl AsRef<[u8]>) -> (Args, Report) {
    let dir = Dir::new();
    let path = dir.0.join("o");
    fs::write(&path, text).unwrap();
    let (mut args, mut report) = serve(&format!("{line} --options {}", path.display()));
    assert_eq!(args.options.take(), Some(path.clone()));
    assert_ne!(std::mem::take(&mut args.options_sum), 0);
    for said in report.mistakes.iter_mut().chain(&mut report.notes) {
        *said = said.replace(path.to_str().unwrap(), "FILE");
    }
    (args, report)
}

#[test]
fn a_file_says_what_the_command_line_does() {
    let line = good(
        "-f --listen-http 80 --listen-http unix:s --home / --tcp-keepalive 5 --index-page a.html \
         --index-page b/c.html --no-symlinks --rfc1918-filter --alias /a --alias /b=/c \
         --interpreter .sh=/bin/sh --config conf --http-keepalive 0 --access-log log --user root",
    );
    let text = "# what to serve\n\nlisten_http 80\r\n  listen-http\tunix:s  \nhome /\n\
                tcp_keepalive   5\nindex_page a.html\nindex_page b/c.html\nno_symlinks\n\
                rfc1918_filter \n\t# and so on\nalias /a\nalias /b=/c\ninterpreter .sh=/bin/sh\n\
                config conf\nhttp_keepalive 0\naccess_log log\nuser root";
    let (args, report) = file("-f", text);
    assert_eq!(report, Report::default());
    assert_eq!(args, line);
    let (args, _) = file("-f -p 80", "header X-A: b  c \nrealm The realm # of mine\n");
    assert_eq!(args.headers, [("X-A".into(), "b  c".into())]);
    assert_eq!(args.realm, "The realm # of mine");
}

#[test]
fn a_file_adds_up_with_the_command_line() {
    let (args, report) = file(
        "-f -p 1.2.3.4:80 -I a -n 5 -k 7",
        "listen_http 1.2.3.4:81\nindex_page b\nmax_requests 6\n",
    );
    assert_eq!(report, Report::default());
    assert_eq!(at(&args.http), ["1.2.3.4:80", "1.2.3.4:81"]);
    assert_eq!(args.index, ["a", "b"]);
    assert_eq!((args.max_requests, args.http_keepalive), (6, 7), "the last one counts");
    let dir = Dir::new();
    let path = dir.0.join("o");
    fs::write(&path, "max_requests 6\nlisten_http 80").unwrap();
    // It counts where it stands.
    assert_eq!(good(&format!("--options={} -f -n 5", path.display())).max_requests, 5);
    let twice = serve(&format!("--options {0} --options {0}", path.display())).1;
    assert!(twice.mistakes[0].ends_with("there is one such file only"), "{twice:?}");
}

#[test]
fn mistakes_of_a_file_have_their_line() {
    for (text, mistake) in [
        ("nonsense 1", "FILE:1: nonsense: there is no such option"),
        ("\n#\np 80", "FILE:3: p: there is no such option"),
        ("--home /", "FILE:1: --home: there is no such option"),
        ("listen_http", "FILE:1: listen_http: its value is missing"),
        ("listen_http x", "FILE:1: listen_http: the port is no number from 0 to 65535"),
        ("no_dirlists 1", "FILE:1: no_dirlists: it takes no value"),
        ("ubus_cors 1", "FILE:1: ubus_cors: it takes no value"),
        ("max-requests 0", "FILE:1: max-requests: it has to be 1 at least"),
        ("home /nonexistent", "FILE:1: home: No such file or directory (os error 2)"),
        ("realm a\0b", "FILE:1: realm: a control character in it"),
        ("options x", "FILE:1: options: it is for the command line only"),
        ("check", "FILE:1: check: it is for the command line only"),
        ("help", "FILE:1: help: it is for the command line only"),
        ("version", "FILE:1: version: it is for the command line only"),
        ("foreground", "FILE:1: foreground: it is for the command line only"),
        ("url_decode x", "FILE:1: url_decode: it is for the command line only"),
        ("url-decode x", "FILE:1: url-decode: it is for the command line only"),
        ("md5 x", "FILE:1: md5: it is for the command line only"),
    ] {
        let (_, report) = file("-f -p 80", text);
        assert_eq!(report.mistakes, [mistake], "{text}");
    }
    let (_, report) = file("-f -p 80", b"realm \xff\n\xff x\n");
    let why = ["FILE:1: realm: it is no UTF-8", "FILE:2: \u{fffd}: there is no such option"];
    assert_eq!(report.mistakes, why);
    let (_, report) = file("-f -p 80", "x\n".repeat(200));
    assert_eq!(report.mistakes.len(), 101);
    assert!(report.mistakes[100].starts_with("FILE:101: the lines from here on"), "{report:?}");
    let (_, report) = file("-f -p 80", "ubus_prefix /u\nlua_prefix /l\nno_ubusauth\n");
    let notes =
        ["FILE:1: ubus_prefix: this", "FILE:3: no_ubusauth: this", "FILE:2: lua_prefix: scr"];
    assert_eq!(report.mistakes, [""; 0]);
    assert!(report.notes.iter().zip(notes).all(|(a, b)| a.starts_with(b)), "{report:?}");
    assert_eq!(report.notes.len(), 3);
}

#[test]
fn a_file_of_options_is_a_file_of_reasonable_size() {
    let dir = Dir::new();
    let path = dir.0.join("o");
    let said = |path: &Path| {
        let mut report = serve(&format!("-f --options {}", path.display())).1;
        assert_eq!(report.mistakes.len(), 1, "what it would say is not missed: {report:?}");
        report.mistakes.remove(0).replace(&format!("--options {}: ", path.display()), "")
    };
    assert_eq!(said(&path), "No such file or directory (os error 2)");
    assert_eq!(said(&dir.0), "it is no regular file");
    assert_eq!(said("/dev/null".as_ref()), "it is no regular file");
    let fifo = dir.0.join("fifo");
    let (mode, kind) = (rustix::fs::Mode::from_raw_mode(0o600), rustix::fs::FileType::Fifo);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
    assert_eq!(said(&fifo), "it is no regular file");
    let full = format!("listen_http 80\n{}", "#".repeat((64 << 10) - 15));
    fs::write(&path, &full).unwrap();
    good(&format!("-f --options {}", path.display()));
    fs::write(&path, full + "#").unwrap();
    assert_eq!(said(&path), "it is larger than 64 KiB");
}

#[test]
fn paths_count_from_where_it_was_started() {
    let dir = Dir::new();
    fs::create_dir(dir.0.join("www")).unwrap();
    fs::write(dir.0.join("o"), "home www\ncert c\nlisten_http unix:s\naccess_log log").unwrap();
    let line = CommandLine {
        words: words("-f --options o -K k -i .sh=sh -p 80").collect(),
        dir: dir.0.clone(),
    };
    let mut report = Report::default();
    let Action::Serve(args) = line.parse(&mut report) else { panic!() };
    assert_eq!(report.mistakes, ["-i .sh=sh: No such file or directory (os error 2)"]);
    let path = |name: &str| dir.0.join(name);
    assert_eq!(args.home, path("www").canonicalize().unwrap());
    assert_eq!((args.cert.clone(), args.key.clone()), (Some(path("c")), Some(path("k"))));
    assert_eq!(args.http[0], Address::Unix(path("s")));
    assert_eq!(args.access_log, Some(Destination::File(path("log"))));
    let line = CommandLine { words: words("-f -p 80").collect(), dir: dir.0.clone() };
    let Action::Serve(args) = line.parse(&mut report) else { panic!() };
    assert_eq!(args.home, dir.0.canonicalize().unwrap());
}

#[test]
fn what_means_nothing_here_is_said() {
    let (_, report) = serve(
        "-p 80 -l /lua -L f -o /ucode -O f -u /ubus -U s -a -X -e 5 -C c -K k -q \
         -Q a=https://b",
    );
    assert_eq!(report.mistakes, [""; 0]);
    let named = |name: &str| report.notes.iter().any(|note| note.starts_with(name));
    for name in ["-l", "-L", "-o", "-O", "-u", "-U", "-a", "-X", "-e", "-C", "-K", "-q", "-Q"] {
        assert!(named(name), "{name}: {report:?}");
    }
}

#[test]
fn what_only_prints() {
    let print = |args: &[&str]| match parse(args.iter().map(OsString::from), &mut Report::default())
    {
        Action::Print(text) => text,
        other => panic!("{args:?}: {other:?}"),
    };
    assert_eq!(print(&["-d", "a%20b+c%c3%a9"]), "a b c\u{e9}");
    assert_eq!(print(&["--url-decode", ""]), "");
    assert!(print(&["-m", "secret"]).starts_with("$1$"));
    assert!(print(&["--help"]).starts_with("Usage: ecohttpd"));
    assert!(print(&["--version"]).starts_with("ecohttpd 0."));
}
