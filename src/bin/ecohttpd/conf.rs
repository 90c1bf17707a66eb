//! The configuration file: what uhttpd reads of busybox's httpd.conf.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::accounts::{self, Accounts};
use crate::auth::Realms;
use crate::parts::parts;
use crate::report::Report;
use crate::site::check_interpreter;
use crate::text::{Place, escape};
use crate::url::check_target;

/// Whoever has more mistakes has given the wrong file.
const MOST_MISTAKES: usize = 100;

/// As much of a line is shown.
const SHOWN: usize = 60;

/// What a configuration file says.
#[derive(Default)]
pub(crate) struct Conf {
    pub(crate) realms: Realms,
    /// The names of index files, in the order in which they are looked for.
    pub(crate) index: Vec<String>,
    /// The path that answers for what is not there.
    pub(crate) error_page: Option<String>,
    /// The programs that run files, by how the names of those end, with the dot.
    pub(crate) interpreters: Vec<(String, PathBuf)>,
}

impl Conf {
    /// Reads the file at `path`. Every line that cannot be followed is a mistake.
    pub(crate) fn read(path: &Path, report: &mut Report) -> Conf {
        let file = path.to_string_lossy();
        match accounts::read(path) {
            Ok(text) => Conf::parse(&file, &text, &Accounts::system(), report),
            Err(e) => {
                report.mistake(format!("{file}: {e}"));
                Conf::default()
            }
        }
    }

    fn parse(file: &str, text: &[u8], accounts: &Accounts, report: &mut Report) -> Conf {
        let mut conf = Conf::default();
        let mut error_page_at = None;
        let before = report.mistakes.len();
        for (line, at) in parts(text, b'\n').zip(1_u32..) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if matches!(line.trim_ascii_start(), [] | [b'#', ..]) {
                continue;
            }
            let place = format!("{file}:{at}");
            if report.mistakes.len() - before >= MOST_MISTAKES {
                report.mistake(format!("{place}: the lines from here on were not looked at"));
                break;
            }
            let mut why = match checked(line) {
                Ok(line) if line.starts_with('/') => conf.realm(line, accounts, &place, report),
                Ok(line) => conf.line(line),
                Err(why) => Err(why.into()),
            };
            if line.starts_with(b"E404:") && why.is_ok() {
                if let Some(earlier) = error_page_at.replace(at) {
                    let twice = format!("the error page was given in line {earlier} already");
                    why = Err(twice.into());
                }
            }
            if let Err(why) = why {
                report.mistake(format!("{place}: {}: {why}", shown(line)));
            }
        }
        conf
    }

    /// `/path:user:password`
    fn realm(
        &mut self,
        line: &str,
        accounts: &Accounts,
        place: &str,
        report: &mut Report,
    ) -> Result<(), Why> {
        let (path, rest) = line.split_once(':').unwrap_or((line, ""));
        let (user, password) = rest.split_once(':').unwrap_or((rest, ""));
        match (user, password) {
            ("", _) => Err("the user is missing".into()),
            (_, "") => Err("the password is missing".into()),
            (_, "$p$") => Err("the account after $p$ is missing".into()),
            _ => {
                self.realms.add(path, user, password, accounts, place, report);
                Ok(())
            }
        }
    }

    /// Any other line.
    fn line(&mut self, line: &str) -> Result<(), Why> {
        let Some((key, value)) = line.split_once(':') else {
            return Err(UNKNOWN.into());
        };
        let is_name = !value.is_empty() && value.trim() == value;
        match key.as_bytes() {
            b"I" => {
                if !is_name || value.contains('/') || matches!(value, "." | "..") {
                    return Err("this is no name of an index file".into());
                }
                self.index.push(value.to_owned());
            }
            b"E404" => {
                if !is_name || !value.starts_with('/') {
                    return Err("the path of an error page begins with a slash".into());
                }
                check_target(value)?;
                self.error_page = Some(value.to_owned());
            }
            [b'*', ..] => return self.interpreter(key.get(1..).unwrap_or_default(), value),
            _ => return Err(UNKNOWN.into()),
        }
        Ok(())
    }

    /// `*.ext:/path/to/interpreter`
    fn interpreter(&mut self, ext: &str, path: &str) -> Result<(), Why> {
        if ext.len() < 2 || !ext.starts_with('.') || ext.contains('/') {
            return Err("a dot and how the names of the files end belong after the *".into());
        }
        if !path.starts_with('/') {
            return Err("the path of an interpreter begins with a slash".into());
        }
        if self.interpreters.iter().any(|(it, _)| it == ext) {
            return Err("there is an interpreter for them already".into());
        }
        check_interpreter(path.as_ref())?;
        self.interpreters.push((ext.to_owned(), path.into()));
        Ok(())
    }
}

/// What is wrong with a line.
type Why = Cow<'static, str>;

const UNKNOWN: &str = "there is no such setting";

/// The line as a text, of which neither a file's name nor what a client sends can be more than this.
fn checked(line: &[u8]) -> Result<&str, &'static str> {
    match std::str::from_utf8(line) {
        Err(_) => Err("it is not UTF-8"),
        Ok(_) if line.contains(&0) => Err("it contains a NUL"),
        Ok(_) if line.iter().any(u8::is_ascii_control) => Err("it contains a control character"),
        Ok(text) => Ok(text),
    }
}

/// The line for a message, which others may read: without what may be a password.
fn shown(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let (key, rest) = line.split_once(':').unwrap_or((&line, ""));
    let is_harmless =
        matches!(key.as_bytes(), b"E404" | [b'A' | b'D' | b'P' | b'H' | b'I'] | [b'*' | b'.', ..]);
    let (text, cut) = if is_harmless || rest.is_empty() { (&*line, "") } else { (key, ":...") };
    let mut chars = text.chars();
    chars.by_ref().take(SHOWN).for_each(drop);
    let (start, cut) = match chars.as_str() {
        "" => (text, cut),
        rest => (text.strip_suffix(rest).unwrap_or(text), "..."),
    };
    let mut shown = String::new();
    escape(&mut shown, start.as_bytes(), usize::MAX, Place::Quoted);
    shown + cut
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smol::future::block_on;

    use super::*;
    use crate::auth::Verdict;

    fn parse(text: impl AsRef<[u8]>) -> (Conf, Report) {
        let mut report = Report::default();
        let accounts = Accounts::at("/nonexistent/shadow".into(), "/nonexistent/passwd".into());
        let conf = Conf::parse("f", text.as_ref(), &accounts, &mut report);
        (conf, report)
    }

    #[test]
    fn every_kind_of_line_is_understood() {
        let text = "# comment\n  # another\n\n \t \n/prot:me:pa:ss # word \r\nI:start.html\nI:index.htm\r\n\
                    E404:/cgi-bin/luci\n*.sh:/bin/sh\n*.tar.gz:/bin/cat\n#\u{e9}\u{1}\n/prot:you:$ecret";
        let (conf, report) = parse([text.as_bytes(), b"\n# latin \xe9\n/last:me:it"].concat());
        assert_eq!(report.mistakes, [""; 0]);
        assert_eq!(report.notes.len(), 1, "{report:?}");
        assert!(report.notes[0].starts_with("f:12: /prot: nobody gets in as you"), "{report:?}");
        assert_eq!(conf.index, ["start.html", "index.htm"]);
        assert_eq!(conf.error_page.as_deref(), Some("/cgi-bin/luci"));
        let interpreters =
            [(".sh".to_owned(), "/bin/sh".into()), (".tar.gz".to_owned(), "/bin/cat".into())];
        assert_eq!(conf.interpreters, interpreters);
        assert!(
            conf.realms.guards(b"/prot/x")
                && conf.realms.guards(b"/last")
                && !conf.realms.guards(b"/")
        );
        // me:pa:ss # word and a blank
        let field = b"Basic bWU6cGE6c3MgIyB3b3JkIA==";
        let verdict = block_on(conf.realms.admits(b"/prot", Some(field))).unwrap();
        assert!(matches!(verdict, Verdict::Admitted { .. }), "{verdict:?}");
    }

    #[test]
    fn every_mistake_is_named() {
        let kinds = "there is no such setting";
        for (line, mistake) in [
            ("A:192.168.", &*format!("f:3: A:192.168.: {kinds}")),
            ("D:*", &format!("f:3: D:*: {kinds}")),
            ("P:/a:http://b/", &format!("f:3: P:/a:http://b/: {kinds}")),
            ("H:/www", &format!("f:3: H:/www: {kinds}")),
            (".au:audio/basic", &format!("f:3: .au:audio/basic: {kinds}")),
            ("garbage", &format!("f:3: garbage: {kinds}")),
            ("i:index.html", &format!("f:3: i:...: {kinds}")),
            (":", &format!("f:3: :: {kinds}")),
            ("prot:me:secret", &format!("f:3: prot:...: {kinds}")),
            (" /prot:me:secret", &format!("f:3:  /prot:...: {kinds}")),
            ("\u{feff}I:index.html", &format!("f:3: \\xef\\xbb\\xbfI:...: {kinds}")),
            ("/prot", "f:3: /prot: the user is missing"),
            ("/prot:", "f:3: /prot:: the user is missing"),
            ("/prot:secret", "f:3: /prot:...: the password is missing"),
            ("/prot:me:", "f:3: /prot:...: the password is missing"),
            ("/prot:me:$p$", "f:3: /prot:...: the account after $p$ is missing"),
            ("/prot::secret", "f:3: /prot:...: the user is missing"),
            ("/a/../b:me:secret", "f:3: /a/../b: no request has .. in it"),
            ("/a/.:me:secret", "f:3: /a/.: no request has . in it"),
            ("/prot:m\te:secret", "f:3: /prot:...: it contains a control character"),
            ("/prot:me:se\rcret", "f:3: /prot:...: it contains a control character"),
            ("/prot:me:secr\0et", "f:3: /prot:...: it contains a NUL"),
            ("\0", "f:3: \\x00: it contains a NUL"),
            ("I:", "f:3: I:: this is no name of an index file"),
            ("I:a/b", "f:3: I:a/b: this is no name of an index file"),
            ("I:..", "f:3: I:..: this is no name of an index file"),
            ("I: index.html", "f:3: I: index.html: this is no name of an index file"),
            ("E404:", "f:3: E404:: the path of an error page begins with a slash"),
            ("E404:error.html", "f:3: E404:error.html: the path of an error page begins"),
            ("E404:/error ", "f:3: E404:/error : the path of an error page begins"),
            ("*php:/bin/sh", "f:3: *php:/bin/sh: a dot and"),
            ("*.:/bin/sh", "f:3: *.:/bin/sh: a dot and"),
            ("*./x:/bin/sh", "f:3: *./x:/bin/sh: a dot and"),
            ("*:/bin/sh", "f:3: *:/bin/sh: a dot and"),
            ("*.sh", "f:3: *.sh: there is no such"),
            ("*.sh:", "f:3: *.sh:: the path of an interpreter begins with a slash"),
            ("*.sh:bin/sh", "f:3: *.sh:bin/sh: the path of an interpreter begins"),
            ("*.sh:/nonexistent", "f:3: *.sh:/nonexistent: No such file"),
            ("*.sh:/bin", "f:3: *.sh:/bin: the interpreter is no file"),
        ] {
            let (conf, report) = parse(format!("I:a\n\n{line}\nI:b\n"));
            assert_eq!(report.mistakes.len(), 1, "{line}: {report:?}");
            assert!(report.mistakes[0].starts_with(mistake), "{line}: {report:?}");
            assert_eq!(conf.index, ["a", "b"], "{line}");
            assert!(conf.realms.is_empty() && conf.interpreters.is_empty(), "{line}");
        }
        let (_, report) = parse(b"/prot:me:secr\xe9t\n");
        assert_eq!(report.mistakes, ["f:1: /prot:...: it is not UTF-8"]);
    }

    #[test]
    fn a_second_one_is_a_mistake() {
        let (conf, report) = parse("E404:/a\nE404:\n*.sh:/bin/sh\nE404:/b\n*.sh:/bin/cat\n");
        assert_eq!(
            report.mistakes,
            [
                "f:2: E404:: the path of an error page begins with a slash",
                "f:4: E404:/b: the error page was given in line 1 already",
                "f:5: *.sh:/bin/cat: there is an interpreter for them already",
            ]
        );
        assert_eq!(conf.error_page.as_deref(), Some("/b"), "the last one counts");
    }

    #[test]
    fn mistakes_and_lines_are_shown_within_limits() {
        let (_, report) = parse("x\n".repeat(MOST_MISTAKES + 50));
        assert_eq!(report.mistakes.len(), MOST_MISTAKES + 1);
        assert_eq!(report.mistakes[100], "f:101: the lines from here on were not looked at");
        let (_, report) = parse("ä".repeat(1000));
        assert_eq!(
            report.mistakes,
            [format!("f:1: {}...: there is no such setting", "ä".repeat(60))]
        );
        assert_eq!(parse("x\n".repeat(MOST_MISTAKES)).1.mistakes.len(), MOST_MISTAKES);
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        for (path, why) in [
            ("/nonexistent/conf", "/nonexistent/conf: No such file"),
            ("/etc", "/etc: Is a directory"),
            ("/dev/zero", "/dev/zero: it is larger than 1 MiB"),
        ] {
            let mut report = Report::default();
            Conf::read(Path::new(path), &mut report);
            assert_eq!(report.mistakes.len(), 1);
            assert!(report.mistakes[0].starts_with(why), "{report:?}");
        }
        let mut report = Report::default();
        assert!(Conf::read(Path::new("/dev/null"), &mut report).realms.is_empty());
        assert_eq!(report, Report::default());
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(text in prop::collection::vec(any::<u8>(), 0..200)) {
            parse(text);
        }

        #[test]
        fn no_line_is_passed_over(lines in prop::collection::vec("[/IE*.:a0$#\\t\u{e9}]{0,8}", 0..20)) {
            let (conf, report) = parse(lines.join("\n"));
            for (line, at) in lines.iter().zip(1..) {
                let place = format!("f:{at}: ");
                let said = report.mistakes.iter().filter(|it| it.starts_with(&place)).count();
                prop_assert!(said <= 1);
                let is_blank = line.trim().is_empty() || line.trim_start().starts_with('#');
                let is_realm = line.starts_with('/') && line.splitn(3, ':').count() == 3;
                let is_index = line.starts_with("I:");
                prop_assert_eq!(said == 0 && !is_blank, said == 0 && (is_realm || is_index), "{}", line);
            }
            prop_assert!(conf.interpreters.is_empty());
        }
    }
}
