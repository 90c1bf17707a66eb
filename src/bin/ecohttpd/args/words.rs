//! The words of a command line, taken apart as getopt_long(3) does it: letters behind a dash, alone
//! or several of them, names behind two, and their values behind that or in the next word.

use std::ffi::{OsStr, OsString};
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::slice;

use memchr::memchr;

use crate::text::quoted;

/// What is next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Word<'a> {
    /// An option, as messages name it: `-p`, `--listen-http`.
    Option(String),
    /// What belongs to no option.
    Stray(&'a OsStr),
    /// An option was given a value, by a `=`, and nobody asked for it.
    Mistake(String),
}

/// The words that are left.
pub(crate) struct Words<'a> {
    words: slice::Iter<'a, OsString>,
    /// What is left of a word that began with an option: more letters, or a value if it begins with
    /// a `=`.
    left: &'a [u8],
    /// The option that came last.
    last: String,
    /// Whether a `--` has ended the options.
    ended: bool,
}

impl<'a> Words<'a> {
    pub(crate) fn new(words: &'a [OsString]) -> Self {
        Words { words: words.iter(), left: &[], last: String::new(), ended: false }
    }

    /// What is next, unless it was all.
    pub(crate) fn next(&mut self) -> Option<Word<'a>> {
        match mem::take(&mut self.left) {
            [] => {}
            [b'=', value @ ..] => {
                let (option, value) = (&self.last, quoted(value));
                return Some(Word::Mistake(format!(
                    "unexpected argument for option '{option}': {value}"
                )));
            }
            letters => return Some(self.letter(letters)),
        }
        let mut word = self.words.next()?;
        if word == "--" && !self.ended {
            self.ended = true;
            word = self.words.next()?;
        }
        match word.as_bytes() {
            [b'-', letters @ ..] if !self.ended && !letters.is_empty() => {
                if !letters.starts_with(b"-") {
                    return Some(self.letter(letters));
                }
                let bytes = word.as_bytes();
                let end = memchr(b'=', bytes).unwrap_or(bytes.len());
                let (name, left) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
                Some(self.option(String::from_utf8_lossy(name).into_owned(), left))
            }
            _ => Some(Word::Stray(word)),
        }
    }

    /// The value of the option that came last, whatever it looks like.
    pub(crate) fn value(&mut self) -> Option<&'a OsStr> {
        match mem::take(&mut self.left) {
            [] => self.words.next().map(OsString::as_os_str),
            [b'=', value @ ..] | value => Some(OsStr::from_bytes(value)),
        }
    }

    /// The first of `letters`, be it a `=`.
    fn letter(&mut self, letters: &'a [u8]) -> Word<'a> {
        let mut name = String::from("-");
        let mut len = 0;
        if let Some(chunk) = letters.utf8_chunks().next() {
            let letter = chunk.valid().chars().next();
            len = letter.map_or(chunk.invalid().len(), char::len_utf8);
            name.push(letter.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.option(name, letters.get(len..).unwrap_or_default())
    }

    fn option(&mut self, name: String, left: &'a [u8]) -> Word<'a> {
        self.left = left;
        self.last.clone_from(&name);
        Word::Option(name)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use lexopt::Arg;
    use proptest::prelude::*;

    use super::*;

    /// What lexopt makes of it.
    fn measure<'a>(
        next: Result<Option<Arg<'a>>, lexopt::Error>,
        stray: &'a mut OsString,
    ) -> Option<Word<'a>> {
        Some(match next {
            Ok(arg) => match arg? {
                Arg::Short(letter) => Word::Option(format!("-{letter}")),
                Arg::Long(name) => Word::Option(format!("--{name}")),
                Arg::Value(value) => {
                    *stray = value;
                    Word::Stray(stray)
                }
            },
            Err(lexopt::Error::UnexpectedValue { option, value }) => Word::Mistake(format!(
                "unexpected argument for option '{option}': {}",
                quoted(value.as_bytes())
            )),
            Err(e) => panic!("{e}"),
        })
    }

    fn compare(words: &[OsString], ask: impl Iterator<Item = bool>) {
        let mut ours = Words::new(words);
        let mut theirs = lexopt::Parser::from_args(words);
        for ask in ask {
            let mut stray = OsString::new();
            let next = ours.next();
            assert_eq!(next, measure(theirs.next(), &mut stray), "{words:?}");
            match next {
                None => break,
                Some(Word::Option(_)) if ask => {
                    assert_eq!(ours.value().map(OsStr::to_owned), theirs.value().ok(), "{words:?}");
                }
                _ => {}
            }
        }
        let _ = ours.next();
    }

    #[test]
    fn every_form_is_understood() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for line in [
            "-p80 -p 80 -p=80 -p= -p",
            "--name value --name=value --name= --name=a=b --name",
            "-fp80 -fp=80 -f=x -fx=",
            "-= -=x -a== - -- --",
            "--=x -- -p --name",
            "--- ---x -- --",
            "-é -éx é",
        ] {
            for ask in [true, false] {
                compare(&words(line), std::iter::repeat_n(ask, 50));
            }
        }
        let line = words("-p80 - --home=/ -f=x -- -q");
        let mut words = Words::new(&line);
        assert_eq!(words.next(), Some(Word::Option("-p".into())));
        assert_eq!(words.value(), Some("80".as_ref()));
        assert_eq!(words.next(), Some(Word::Stray("-".as_ref())));
        assert_eq!(words.next(), Some(Word::Option("--home".into())));
        assert_eq!(words.value(), Some("/".as_ref()));
        assert_eq!(words.next(), Some(Word::Option("-f".into())));
        let mistake = "unexpected argument for option '-f': \"x\"";
        assert_eq!(words.next(), Some(Word::Mistake(mistake.into())));
        assert_eq!(words.next(), Some(Word::Stray("-q".as_ref())));
        assert_eq!((words.next(), words.value()), (None, None));
    }

    proptest! {
        #[test]
        fn words_are_taken_apart_as_lexopt_does_it(
            words in prop::collection::vec(
                prop_oneof![
                    "[-=ab\u{e9}]{0,6}".prop_map(String::into_bytes),
                    prop::collection::vec(
                        prop::sample::select(b"--=a\xe9\xc3\xa9\xe2\x82\xf0\x9f\x80".as_slice()),
                        0..8,
                    ),
                ],
                0..6,
            ),
            ask in prop::collection::vec(any::<bool>(), 60),
        ) {
            let words: Vec<_> = words.into_iter().map(OsString::from_vec).collect();
            compare(&words, ask.into_iter());
        }
    }
}
