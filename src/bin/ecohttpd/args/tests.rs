//! What the command line makes of its options.

use super::*;

fn words(line: &str) -> impl Iterator<Item = OsString> {
    line.split_whitespace().map(OsString::from)
}

fn serve(line: &str) -> (Args, Report) {
    let mut report = Report::default();
    match parse(words(line), &mut report) {
        Action::Serve(args) => (*args, report),
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

#[test]
fn help_names_every_option() {
    let source = include_str!("../args.rs");
    let mut n = 0;
    for arm in source.split('"').filter(|s| s.starts_with('-') && s.len() > 1) {
        let name = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if arm.bytes().all(name) && arm != "-Y" && arm != "-_.:+" {
            let shown = |end: &str| HELP.contains(&format!("{arm}{end}"));
            assert!(shown(" ") || shown(",") || shown("\n"), "{arm}");
            n += 1;
        }
    }
    assert!(n > 80, "{n}");
    assert!(HELP.lines().all(|line| line.len() <= 80));
}
