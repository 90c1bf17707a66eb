//! `multipart/form-data`, parsed in place and a window at a time (RFC 7578; RFC 2046, 5.1).
//!
//! The parser owns no data: it is shown the bytes received so far and says what the first of them
//! are. Everything it reports are spans of that window.

use memchr::memchr;

use super::param::param;
use super::{Span, is_token, is_value_byte};
use crate::{Error, Result, Status};

/// White space behind a boundary that is still taken for padding.
const MOST_PADDING: usize = 128;

/// Where a form is in its parsing.
#[derive(Debug, Default)]
pub(crate) struct Multipart {
    /// `\r\n--boundary`; empty until the form has begun.
    delimiter: Vec<u8>,
    state: State,
    parts: u32,
    /// Bytes of the preamble, then of the headers of each part.
    overhead: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    Preamble,
    Headers,
    Body,
    End,
}

/// How much of a form is borne with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) parts: u32,
    /// Bytes of the headers of one part.
    pub(crate) part_head: usize,
}

/// What the window begins with. `used` bytes of it are done with after this step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing can be said before more arrives, though `used` bytes can go.
    More {
        used: usize,
    },
    Header {
        name: Span,
        value: Span,
        used: usize,
    },
    Body {
        data: Span,
        last: bool,
        used: usize,
    },
    End,
}

/// A delimiter in a window.
enum Found {
    /// At this place, and so many bytes long with what follows it in its line.
    At(usize, usize, State),
    /// It may begin here; what follows is not there yet.
    Maybe(usize),
    No,
}

/// What follows a boundary in its line.
enum Line {
    /// `--`, or the end of the line after white space a gateway may have put there: so many bytes.
    Delimiter(usize, State),
    /// Not enough is there to tell.
    Undecided,
    /// Anything else: it only begins like a delimiter.
    Content,
}

impl Line {
    fn of(rest: &[u8]) -> Line {
        if rest.starts_with(b"--") {
            return Line::Delimiter(2, State::End);
        }
        let padding = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        match rest.get(padding..).unwrap_or(&[]) {
            _ if padding > MOST_PADDING => Line::Content,
            [b'\r', b'\n', ..] => Line::Delimiter(padding + 2, State::Headers),
            [] | [b'\r'] => Line::Undecided,
            [b'-'] if padding == 0 => Line::Undecided,
            _ => Line::Content,
        }
    }
}

impl Multipart {
    pub(crate) fn begun(&self) -> bool {
        !self.delimiter.is_empty()
    }

    /// Takes the boundary from the Content-Type of the request.
    pub(crate) fn begin(&mut self, content_type: &str) -> Result {
        let kind = content_type.split(';').next().unwrap_or("").trim_ascii();
        if !kind.eq_ignore_ascii_case("multipart/form-data") {
            return Err(Error::Status(
                Status::UNSUPPORTED_MEDIA_TYPE,
                "the content type is not multipart/form-data",
            ));
        }
        let boundary = param(content_type, "boundary").unwrap_or_default();
        let legal = |b: u8| b == b' ' || b.is_ascii_graphic();
        if !(1..=70).contains(&boundary.len())
            || !boundary.bytes().all(legal)
            || boundary.ends_with(' ')
        {
            return Err(Error::Malformed("form boundary"));
        }
        self.delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        Ok(())
    }

    pub(crate) fn step(&mut self, window: &[u8], limits: Limits) -> Result<Step> {
        match self.state {
            State::Start => self.start(window, limits),
            State::Preamble => self.preamble(window, limits),
            State::Headers => self.header(window, limits),
            State::Body => Ok(self.body(window)),
            State::End => Ok(Step::End),
        }
    }

    /// The first delimiter has no line end before it where there is no preamble.
    fn start(&mut self, window: &[u8], limits: Limits) -> Result<Step> {
        let first = self.delimiter.get(2..).unwrap_or(&[]);
        let Some(rest) = window.strip_prefix(first) else {
            if first.starts_with(window) {
                return Ok(Step::More { used: 0 });
            }
            self.state = State::Preamble;
            return self.preamble(window, limits);
        };
        match Line::of(rest) {
            Line::Delimiter(len, state) => {
                let used = first.len() + len;
                self.enter(state);
                Ok(Step::More { used })
            }
            Line::Undecided => Ok(Step::More { used: 0 }),
            Line::Content => Err(Error::Malformed("form delimiter")),
        }
    }

    fn preamble(&mut self, window: &[u8], limits: Limits) -> Result<Step> {
        let used = match self.find(window) {
            Found::At(at, len, state) => {
                self.spend(at, limits, "form preamble")?;
                self.enter(state);
                return Ok(Step::More { used: at + len });
            }
            Found::Maybe(at) => at,
            Found::No => window.len(),
        };
        self.spend(used, limits, "form preamble")?;
        Ok(Step::More { used })
    }

    fn header(&mut self, window: &[u8], limits: Limits) -> Result<Step> {
        const BAD: Error = Error::Malformed("part header");
        if self.parts > limits.parts {
            return Err(Error::TooLarge("number of form parts"));
        }
        let Some(end) = memchr(b'\n', window) else {
            return match self.overhead + window.len() > limits.part_head {
                true => Err(Error::TooLarge("part header")),
                false => Ok(Step::More { used: 0 }),
            };
        };
        let used = end + 1;
        self.spend(used, limits, "part header")?;
        let line = window.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(BAD)?;
        if line.is_empty() {
            self.state = State::Body;
            return Ok(Step::More { used });
        }
        let colon = memchr(b':', line).ok_or(BAD)?;
        let (name, value) = line.split_at_checked(colon).ok_or(BAD)?;
        let value = value.get(1..).unwrap_or(&[]).trim_ascii();
        let text = std::str::from_utf8(value).is_ok() && value.iter().all(|&b| is_value_byte(b));
        if !is_token(name) || !text {
            return Err(BAD);
        }
        Ok(Step::Header { name: Span::of(window, name), value: Span::of(window, value), used })
    }

    fn body(&mut self, window: &[u8]) -> Step {
        match self.find(window) {
            Found::At(at, len, state) => {
                self.enter(state);
                Step::Body { data: Span::new(0, at), last: true, used: at + len }
            }
            Found::Maybe(0) => Step::More { used: 0 },
            Found::No if window.is_empty() => Step::More { used: 0 },
            Found::Maybe(at) => Step::Body { data: Span::new(0, at), last: false, used: at },
            Found::No => {
                let all = window.len();
                Step::Body { data: Span::new(0, all), last: false, used: all }
            }
        }
    }

    /// Looks for `\r\n--boundary` and what makes it a delimiter.
    fn find(&self, window: &[u8]) -> Found {
        let mut at = 0;
        while let Some(cr) = window.get(at..).and_then(|rest| memchr(b'\r', rest)) {
            at += cr;
            let tail = window.get(at..).unwrap_or(&[]);
            match tail.strip_prefix(&self.delimiter[..]) {
                Some(rest) => match Line::of(rest) {
                    Line::Delimiter(len, state) => {
                        return Found::At(at, self.delimiter.len() + len, state);
                    }
                    Line::Undecided => return Found::Maybe(at),
                    Line::Content => {}
                },
                None if self.delimiter.starts_with(tail) => return Found::Maybe(at),
                None => {}
            }
            at += 1;
        }
        Found::No
    }

    fn enter(&mut self, state: State) {
        self.overhead = 0;
        self.state = state;
        if state == State::Headers {
            self.parts += 1;
        }
    }

    fn spend(&mut self, bytes: usize, limits: Limits, what: &'static str) -> Result {
        self.overhead += bytes;
        if self.overhead > limits.part_head { Err(Error::TooLarge(what)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { parts: 10, part_head: 200 };

    type Part = (Vec<(String, String)>, Vec<u8>);

    /// Feeds `form` in windows that grow by `cuts` and returns headers and content of each part.
    fn parse(form: &[u8], kind: &str, mut cuts: impl Iterator<Item = usize>) -> Result<Vec<Part>> {
        let mut m = Multipart::default();
        m.begin(kind)?;
        let (mut start, mut end, mut parts) = (0, 0, Vec::<Part>::new());
        let (mut open, mut fresh) = (false, true);
        loop {
            let window = &form[start..end];
            match m.step(window, LIMITS)? {
                Step::More { used: 0 } if end == form.len() => return Err(Error::Truncated),
                Step::More { used: 0 } => end = (end + cuts.next().unwrap_or(1)).min(form.len()),
                Step::More { used } => {
                    start += used;
                    if m.state == State::Body && !open {
                        if std::mem::take(&mut fresh) {
                            parts.push(Part::default());
                        }
                        open = true;
                    }
                }
                Step::Header { name, value, used } => {
                    if std::mem::take(&mut fresh) {
                        parts.push(Part::default());
                    }
                    let field = (name.text(window).into(), value.text(window).into());
                    parts.last_mut().unwrap().0.push(field);
                    start += used;
                }
                Step::Body { data, last, used } => {
                    if let Some(part) = parts.last_mut() {
                        part.1.extend_from_slice(data.bytes(window));
                    }
                    start += used;
                    if last {
                        (open, fresh) = (false, true);
                    }
                }
                Step::End => return Ok(parts),
            }
        }
    }

    fn whole(form: &[u8]) -> Result<Vec<Part>> {
        parse(form, "multipart/form-data; boundary=XX", std::iter::once(form.len()))
    }

    fn part(value: &str, content: &[u8]) -> Part {
        (vec![("A".into(), value.into())], content.to_vec())
    }

    #[test]
    fn parts_are_told_apart() {
        let two =
            vec![part("one", b"\r\n--X\r\n\r--XX-\r\r\n\r\n--XXY\r\n--XX z"), part("two", b"")];
        for form in [
            &b"--XX\r\nA: one\r\n\r\n\r\n--X\r\n\r--XX-\r\r\n\r\n--XXY\r\n--XX z\r\n--XX\r\nA: two\r\n\r\n\r\n--XX--\r\n"[..],
            b"pre\r\namble\r\n--XX\r\nA:one\r\n\r\n\r\n--X\r\n\r--XX-\r\r\n\r\n--XXY\r\n--XX z\r\n--XX \t \r\nA:  two \r\n\r\n\r\n--XX--",
            b"\r\n--XX\t\r\nA: one\r\n\r\n\r\n--X\r\n\r--XX-\r\r\n\r\n--XXY\r\n--XX z\r\n--XX\r\nA: two\r\n\r\n\r\n--XX-- \r\nepilogue",
        ] {
            assert_eq!(whole(form).unwrap(), two, "{}", form.escape_ascii());
            for by in 1..form.len() {
                let cut = parse(form, "multipart/form-data; boundary=XX", std::iter::repeat(by));
                assert_eq!(cut.unwrap(), two, "in steps of {by}");
            }
        }
        assert_eq!(whole(b"--XX--\r\n").unwrap(), []);
        assert_eq!(whole(b"--XX\r\n\r\nx\r\n--XX--").unwrap(), [(vec![], b"x".to_vec())]);
    }

    #[test]
    fn what_is_no_form_is_an_error() {
        for form in [
            &b""[..],
            b"--XX",
            b"--XX\r\n",
            b"--XX\r\nA: b\r\n",
            b"--XX\r\nA: b\r\n\r\n",
            b"--XX\r\nA: b\r\n\r\nx",
            b"--XX\r\nA: b\r\n\r\nx\r\n--X",
            b"--XX\r\nA: b\r\n\r\nx\r\n--XX",
            b"--XX\r\nA: b\r\n\r\nx\r\n--XX-",
            b"--XX\r\nA: b\r\n\r\nx\r\n--XX\r\n",
            b"no form at all",
            b"--XXjunk\r\n\r\nx\r\n--XX--",
            b"--XX \rjunk",
            b"--XX\r\nA: b\r\n\r\nx\r\n--XX ",
            b"--XX\r\nA: b\r\n\r\nx\r\n--XX \t\r",
            b"--XX\r\nA b: c\r\n\r\nx\r\n--XX--",
            b"--XX\r\nA : c\r\n\r\nx\r\n--XX--",
            b"--XX\r\nA: b\nB: c\r\n\r\nx\r\n--XX--",
            b"--XX\r\nA: b\r\n c\r\n\r\nx\r\n--XX--",
            b"--XX\r\nno colon\r\n\r\nx\r\n--XX--",
            b"--XX\r\nA: \xff\r\n\r\nx\r\n--XX--",
            b"--XX\r\nA: a\0b\r\n\r\nx\r\n--XX--",
        ] {
            assert!(whole(form).is_err(), "{}", form.escape_ascii());
        }
    }

    #[test]
    fn limits_hold() {
        let large = |e: Result<Vec<Part>>| matches!(e, Err(Error::TooLarge(_)));
        let parts = |n| [b"--XX\r\n\r\n\r\n".repeat(n), b"--XX--".to_vec()].concat();
        assert_eq!(whole(&parts(10)).unwrap().len(), 10);
        assert!(large(whole(&parts(11))));
        let head = |n| [b"--XX\r\nA: ".to_vec(), vec![b'a'; n], b"\r\n\r\n\r\n--XX--".to_vec()];
        assert!(whole(&head(190).concat()).is_ok());
        assert!(large(whole(&head(200).concat())));
        let preamble = [vec![b'p'; 300], b"\r\n--XX--".to_vec()].concat();
        assert!(large(whole(&preamble)));
    }

    #[test]
    fn a_line_is_padded_so_far_and_no_further() {
        let form =
            |n| [b"--XX\r\n\r\nx\r\n--XX".to_vec(), vec![b' '; n], b"\r\n\r\ny\r\n--XX--".to_vec()];
        for by in [1, 7, 400] {
            let parts = |n| {
                let cuts = std::iter::repeat(by);
                parse(&form(n).concat(), "multipart/form-data; boundary=XX", cuts).unwrap().len()
            };
            assert_eq!((parts(MOST_PADDING), parts(MOST_PADDING + 1)), (2, 1), "{by}");
        }
    }

    #[test]
    fn boundaries() {
        let begin = |kind: &str| Multipart::default().begin(kind).is_ok();
        assert!(begin("Multipart/Form-Data; charset=x; Boundary=\"a b:c\""));
        assert!(begin(&format!("multipart/form-data; boundary={}", "b".repeat(70))));
        assert!(!begin(&format!("multipart/form-data; boundary={}", "b".repeat(71))));
        assert!(!begin("multipart/form-data; boundary=\"\""));
        assert!(!begin("multipart/form-data; boundary=\"a \""));
        assert!(!begin("multipart/form-data; boundary=\"\u{e4}\""));
        assert!(!begin("multipart/form-data"));
        assert!(!begin("multipart/mixed; boundary=a"));
        assert!(!begin(""));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_parts(
            contents in proptest::collection::vec("(\r|\n|-|X|--XX|\r\n--XX|\r\n--X|a| ){0,12}", 1..5),
            preamble in "(p{0,5}\r\n)?",
            padding in "[ \t]{0,3}",
            cuts in proptest::collection::vec(1_usize..9, 0..99),
        ) {
            // A content may not hold what would be a delimiter.
            let contents: Vec<_> = contents
                .into_iter()
                .map(|c| (c + "z").replace("\r\n--XX\r\n", "").replace("\r\n--XX-", "").replace("\r\n--XX ", ""))
                .map(|c| if c.contains("\r\n--XX\r") || c.contains("\r\n--XX-") || c.contains("\r\n--XX ") { String::new() } else { c })
                .collect();
            let mut form = preamble;
            for (i, content) in contents.iter().enumerate() {
                form += &format!("--XX{padding}\r\nA: {i}\r\n\r\n{content}\r\n");
            }
            form += "--XX--\r\n";
            let kind = "multipart/form-data; boundary=XX";
            let expected: Vec<_> = contents.iter().enumerate().map(|(i, c)| part(&i.to_string(), c.as_bytes())).collect();
            prop_assert_eq!(whole(form.as_bytes()).unwrap(), expected.clone());
            prop_assert_eq!(parse(form.as_bytes(), kind, cuts.into_iter()).unwrap(), expected);
        }

        #[test]
        fn any_split_gives_the_same_verdict(
            form in "(--XX|\r\n|\r|\n|-|A: b|x| |XX){0,24}",
            cuts in proptest::collection::vec(1_usize..7, 0..80),
        ) {
            let cut = parse(form.as_bytes(), "multipart/form-data; boundary=XX", cuts.into_iter());
            match (whole(form.as_bytes()), cut) {
                (Ok(a), Ok(b)) => prop_assert_eq!(a, b),
                (Err(a), Err(b)) => prop_assert_eq!(a.to_string(), b.to_string()),
                (a, b) => prop_assert!(false, "{:?} {:?}", a, b),
            }
        }
    }
}
