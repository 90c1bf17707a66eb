//! The manual page says what `--help` says, its examples are good, and it is typeset without a
//! warning.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use common::Dir;

const PAGE: &str = include_str!("../src/bin/ecohttpd/ecohttpd.8");

/// What getopt(3) is given by uhttpd; and what later versions of it have beside that, but for -Y,
/// which is kept for them.
const UHTTPD: &str = "A:ab:C:c:Dd:E:e:fh:H:I:i:K:k:L:l:m:N:n:O:o:P:p:qRr:Ss:T:t:U:u:Xx:y:Q:Z:z:";

/// The column in which `--help` says what an option does, or has a second one.
const COLUMN: usize = 30;

fn help() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ecohttpd")).arg("--help").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.is_ascii());
    help
}

/// An option as it is documented.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Documented {
    /// What it stands under, up to the first comma or the like.
    group: String,
    letter: Option<char>,
    long: String,
    /// Empty if it takes no value.
    metavar: String,
    default: Option<String>,
}

impl Documented {
    /// `-p, --listen-http ADDRESS`
    fn new(group: &str, text: &str) -> Documented {
        let (letter, rest) = match text.split_once(", --") {
            Some((letter, rest)) => (letter.strip_prefix('-'), rest),
            None => (None, text.strip_prefix("--").expect("a long name")),
        };
        let (long, metavar) = rest.split_once(' ').unwrap_or((rest, ""));
        Documented {
            group: group.split([',', ';', ':']).next().unwrap().to_owned(),
            letter: letter.map(|letter| letter.parse().expect("one letter")),
            long: long.to_owned(),
            metavar: metavar.to_owned(),
            default: None,
        }
    }
}

/// The options of `--help`.
fn options_of_help(help: &str) -> Vec<Documented> {
    let mut group = "";
    let mut options: Vec<(Documented, String)> = Vec::new();
    for line in help.lines() {
        let (left, right) = line.split_at_checked(COLUMN).unwrap_or((line, ""));
        if left.trim_start().starts_with('-') {
            assert!(right.is_empty() || left.ends_with(' '), "{line}");
            options.push((Documented::new(group, left.trim()), right.to_owned()));
            if right.starts_with('-') {
                options.push((Documented::new(group, right), String::new()));
            }
        } else if left.trim().is_empty() && !right.is_empty() {
            let (_, text) = options.last_mut().expect("an option");
            text.push(' ');
            text.push_str(right);
        } else if !line.starts_with(' ') {
            group = line;
        }
    }
    let with_default = |(mut option, text): (Documented, String)| {
        let default = text.split_once("(default: ").map(|(_, rest)| rest);
        option.default = default.and_then(|rest| Some(rest.split_once(')')?.0.to_owned()));
        option
    };
    options.into_iter().map(with_default).collect()
}

/// Text without what only typesetting needs.
fn plain(text: &str) -> String {
    let mut text = text.replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\");
    for font in ["\\fB", "\\fI", "\\fR", ".B "] {
        text = text.replace(font, "");
    }
    text
}

/// The lines of a section of the page.
fn section<'p>(page: &'p str, name: &'p str) -> impl Iterator<Item = &'p str> {
    let from = page.lines().skip_while(move |line| line.strip_prefix(".SH ") != Some(name));
    from.skip(1).take_while(|line| !line.starts_with(".SH "))
}

/// The options that have an entry in the page, in which a line `Default: this.` may stand.
fn options_of_page(page: &str) -> Vec<Documented> {
    let mut group = "";
    let mut options: Vec<Documented> = Vec::new();
    let mut lines = section(page, "OPTIONS");
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix(".SS ") {
            group = heading;
        } else if line == ".TP" {
            options.push(Documented::new(group, &plain(lines.next().expect("an option"))));
        } else if let Some(default) = line.strip_prefix("Default: ") {
            let default = default.strip_suffix('.').expect("a full stop");
            let option = options.last_mut().expect("an option");
            assert_eq!(option.default.replace(plain(default)), None, "{line}");
        }
    }
    options
}

/// What of `--help` the page does not say, and the other way round.
fn complaints(help: &str, page: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let (ours, theirs) = (options_of_help(help), options_of_page(page));
    let missing = |of: &[Documented], from: &[Documented], what| -> Vec<_> {
        let missing = of.iter().filter(|option| !from.contains(option));
        missing.map(|option| format!("{what}: {option:?}")).collect()
    };
    complaints.extend(missing(&ours, &theirs, "not in the page"));
    complaints.extend(missing(&theirs, &ours, "not in --help"));
    if complaints.is_empty() && ours != theirs {
        complaints.push("another order".into());
    }
    let mut letters = UHTTPD.chars().peekable();
    while let Some(letter) = letters.next() {
        let takes_value = letters.next_if_eq(&':').is_some();
        let found = theirs.iter().find(|option| option.letter == Some(letter));
        if found.is_none_or(|option| option.metavar.is_empty() == takes_value) {
            complaints.push(format!("-{letter} of uhttpd"));
        }
    }
    let usage = help.lines().next().and_then(|line| line.strip_prefix("Usage: "));
    let synopsis: Vec<_> = section(page, "SYNOPSIS").map(plain).collect();
    if usage != Some(&synopsis.join(" ")) {
        complaints.push(format!("the usage is {usage:?}, and not {synopsis:?}"));
    }
    let version = concat!("\"ecohttpd ", env!("CARGO_PKG_VERSION"), "\"");
    if !page.lines().any(|line| line.starts_with(".TH ECOHTTPD 8 ") && line.contains(version)) {
        complaints.push(format!("the version is {version}"));
    }
    complaints
}

#[test]
fn page_and_help_say_the_same() {
    let help = help();
    assert!(options_of_help(&help).len() > 45);
    assert_eq!(complaints(&help, PAGE), [""; 0]);
}

#[test]
fn differences_are_noticed() {
    let help = help();
    let noticed = |help: &str, page: &str, what: &str| {
        let complaints = complaints(help, page);
        assert!(complaints.iter().any(|it| it.contains(what)), "{what}: {complaints:?}");
    };
    for (from, to, what) in [
        (".TP\n\\fB\\-q\\fR", ".PP\n\\fB\\-q\\fR", "not in the page"),
        ("\\fB\\-q\\fR, ", "\\fB\\-w\\fR, ", "-q of uhttpd"),
        ("\\fB\\-q\\fR, ", "", "-q of uhttpd"),
        ("\\-\\-redirect\\-https\\fR", "\\-\\-redirect\\-http\\fR", "not in --help"),
        ("\\-\\-foreground\\fR", "\\-\\-foreground\\fR \\fIX\\fR", "-f of uhttpd"),
        ("\\fI.EXT=FILE\\fR", "\\fI.EXT\\fR", "\".EXT=FILE\""),
        (".SS Scripts", ".SS Programs", "\"Programs\""),
        (".SS Scripts\n", "", "not in --help"),
        ("Default: 60.", "Default: 30.", "Some(\"60\")"),
        ("Default: 60.", "By default 60.", "not in --help"),
        ("\\-C\\fR \\fICERT", "\\-C\\fR \\fIFILE", "the usage"),
        ("\"ecohttpd 0", "\"ecohttpd 9", "the version"),
        (".SH OPTIONS", ".SH FLAGS", "not in the page"),
    ] {
        let page = PAGE.replacen(from, to, 1);
        assert_ne!(page, PAGE, "{from}");
        noticed(&help, &page, what);
    }
    for (from, to, what) in [
        ("  -q, --redirect-https ", "  -q, --redirect-plain ", "not in --help"),
        ("  -q, --redirect-https ", "      --redirect-https ", "not in the page"),
        ("(default: 307)", "(default: 308)", "not in the page"),
        ("(default: 307)", "", "not in the page"),
        ("-U, --ubus-socket FILE", "-U, --ubus-socket PATH", "not in the page"),
        ("Usage: ecohttpd", "Usage: uhttpd", "the usage"),
    ] {
        let other = help.replacen(from, to, 1);
        assert_ne!(other, help, "{from}");
        noticed(&other, PAGE, what);
    }
    let mut lines: Vec<_> = help.lines().collect();
    let at = lines.iter().position(|line| line.contains("--no-symlinks")).unwrap();
    lines.swap(at, at + 1);
    noticed(&lines.join("\n"), PAGE, "another order");
}

/// The texts of a section that are set as they are.
fn displays(name: &str) -> Vec<String> {
    let mut displays: Vec<Vec<String>> = Vec::new();
    let mut inside = false;
    for line in section(PAGE, name) {
        match line {
            ".nf" => displays.push(Vec::new()),
            ".fi" => {}
            _ if inside => displays.last_mut().unwrap().push(plain(line)),
            _ => {}
        }
        inside = line == ".nf" || inside && line != ".fi";
    }
    displays.iter().map(|lines| lines.join("\n") + "\n").collect()
}

/// What `--check` says of a command line.
fn check(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ecohttpd"));
    let output = command.args(args).arg("--check").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), said.is_empty(), "{args:?}: {said}");
    said
}

#[test]
fn examples_are_good() {
    let dir = Dir::new();
    let [conf] = <[String; 1]>::try_from(displays("CONFIGURATION FILE")).unwrap();
    let [options] = <[String; 1]>::try_from(displays("OPTIONS FILE")).unwrap();
    let [rules] = <[String; 1]>::try_from(displays("RULES")).unwrap();
    // Not everybody who tests can read the passwords of the system.
    assert!(conf.contains("$p$root"));
    let conf = dir.write("conf", conf.replace("$p$root", "root"));
    let rules = dir.write("rules", rules);
    let (conf, rules) = (conf.to_str().unwrap(), rules.to_str().unwrap());
    let home = dir.text();
    assert_eq!(check(&["-p", "80", "-h", home, "-c", conf, "-H", rules]), "");
    for bad in [["-c", rules], ["-H", conf]] {
        assert_ne!(check(&["-p", "80", "-h", home, bad[0], bad[1]]), "");
    }

    let pki = |name: &str| format!("{}/tests/pki/{name}", env!("CARGO_MANIFEST_DIR"));
    let (cert, key, log) = (pki("localhost.pem"), pki("localhost.key"), dir.path("log"));
    let ours = [("/etc/uhttpd.crt", &*cert), ("/etc/uhttpd.key", &key), ("/www", home)];
    let options = ours.iter().fold(options, |text, (from, to)| text.replace(from, to));
    let options = dir.write("options", options);
    let said = check(&["-c", conf, "--options", options.to_str().unwrap()]);
    assert!(if cfg!(feature = "tls") { said.is_empty() } else { said.contains("tls") }, "{said}");
    let mut passed = 0;
    for example in displays("EXAMPLES") {
        let example = example.replace("\\\n", " ");
        let mut words = example.split_whitespace().map(|word| match word {
            "/www" | "/mnt/share" => home,
            "/etc/uhttpd.crt" => &cert,
            "/etc/uhttpd.key" => &key,
            "/etc/httpd.conf.new" => conf,
            "/tmp/access.log" => log.to_str().unwrap(),
            word => word,
        });
        assert_eq!(words.next(), Some("ecohttpd"));
        let args: Vec<_> = words.filter(|word| *word != "--check").collect();
        let has = |name| args.contains(&name);
        if !cfg!(feature = "tls") && has("-s") || !cfg!(feature = "gzip") && has("--gzip") {
            continue;
        }
        // Where no file is named, the system may have one that is no good.
        let named: &[&str] = if has("-c") { &[] } else { &["-c", conf] };
        assert_eq!(check(&[&args, named].concat()), "", "{example}");
        passed += 1;
    }
    assert!(passed >= 2);
}

#[cfg(feature = "tls")]
#[test]
fn the_certificate_of_the_example_is_made() {
    let dir = Dir::new();
    let [example] = <[String; 1]>::try_from(displays("SELF-SIGNED CERTIFICATES")).unwrap();
    let example = example.replace("\\\n", " ").replace("/etc/", &format!("{}/", dir.text()));
    let mut words = example.split_whitespace();
    assert_eq!(words.next(), Some("ecohttpd"));
    let output = Command::new(env!("CARGO_BIN_EXE_ecohttpd")).args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (cert, key) = (dir.path("ecohttpd.crt"), dir.path("ecohttpd.key"));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let https = ["-s", "443", "-h", dir.text(), "-c", "/dev/null", "-C", cert, "-K", key];
    assert_eq!(check(&https), "");
}

/// What groff has to say of a page, unless it is not there.
fn warnings(page: &str) -> Option<String> {
    let mut command = Command::new("groff");
    command.args(["-man", "-ww", "-Tutf8", "-P-cbou"]).stdin(Stdio::piped());
    let mut groff = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Err(e) if e.kind() == ErrorKind::NotFound => return None,
        groff => groff.unwrap(),
    };
    let mut stdin = groff.stdin.take().unwrap();
    let page = page.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(page.as_bytes()));
    let output = groff.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("EXIT STATUS"), "{text}");
    Some(String::from_utf8(output.stderr).unwrap())
}

#[test]
fn it_is_typeset_without_a_warning() {
    // Bytes that are no ASCII look different everywhere.
    assert!(PAGE.is_ascii());
    assert!(PAGE.lines().all(|line| line.len() <= 80 && line.trim_end() == line));
    let Some(said) = warnings(PAGE) else {
        eprintln!("skipped: groff is not there (Debian: groff-base)");
        return;
    };
    assert_eq!(said, "");
    for bad in [".NOMACRO\n", "\\[nochar]\n"] {
        assert_ne!(warnings(&format!("{PAGE}{bad}")).unwrap(), "", "{bad}");
    }
}
