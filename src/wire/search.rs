//! The search for the end of a head (RFC 9112, 2.2).

use memchr::memchr;

use super::section::Section;

/// Looks for the end of a head that comes in pieces, and at the ends of its lines.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// How far it has come, less the three bytes that may begin the end.
    from: usize,
    /// Where the first line ends, once that is known: before its LF.
    pub(super) line: Option<usize>,
    /// A line ended with LF alone.
    pub(super) bare: bool,
    /// Behind the first line is the section that was known.
    pub(super) known: bool,
}

impl Search {
    /// Whether what was to be known has been compared with what came, and was something else.
    pub(crate) fn is_unknown(&self) -> bool {
        self.line.is_some() && !self.known
    }

    /// Where the head at the start of `buf` ends, if all of it is there. What was there the last time
    /// still is. A section that is `known` from another head is not searched line by line.
    ///
    /// Line ends are taken for what they are meant to be; [`Head::parse`](super::head::Head::parse) is strict.
    pub(crate) fn end(&mut self, buf: &[u8], known: Option<&Section>) -> Option<usize> {
        let mut at = self.from;
        while let Some(ahead) = memchr(b'\n', buf.get(at..)?) {
            at += ahead + 1;
            let line = buf.get(..at - 1)?;
            let stripped = line.strip_suffix(b"\r");
            self.bare |= stripped.is_none();
            if self.line.is_none() {
                self.line = Some(line.len());
                if let Some(known) =
                    known.filter(|known| known.begins(buf.get(at..).unwrap_or(&[])))
                {
                    self.known = true;
                    return Some(at + known.len());
                }
            }
            if stripped.unwrap_or(line).last() == Some(&b'\n') {
                return Some(at);
            }
        }
        self.from = buf.len().saturating_sub(3);
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Wherever the bytes are cut on their way, the head ends at the same place.
        #[test]
        fn any_cut_finds_the_same_end(
            lines in proptest::collection::vec("[ -~]{0,6}", 0..5),
            rest in "[a-z\r\n]{0,8}",
            cuts in proptest::collection::vec(1_usize..9, 0..40),
            lf in any::<bool>(),
        ) {
            let eol = if lf { "\n" } else { "\r\n" };
            let lines: Vec<_> = lines.into_iter().filter(|l| !l.is_empty()).collect();
            let text = format!("G{eol}{}{eol}{rest}", lines.iter().map(|l| format!("{l}{eol}")).collect::<String>());
            let (mut search, mut pieces) = (Search::default(), Search::default());
            let whole = search.end(text.as_bytes(), None);
            let mut have = 0;
            let mut cuts = cuts.into_iter();
            let mut found = None;
            while found.is_none() && have < text.len() {
                have = (have + cuts.next().unwrap_or(3)).min(text.len());
                found = pieces.end(&text.as_bytes()[..have], None);
            }
            prop_assert_eq!(found, whole);
            prop_assert_eq!((search.bare, pieces.bare), (lf, lf));
            prop_assert_eq!((search.line, pieces.line), (text.find('\n'), text.find('\n')));
        }
    }
}
