//! Lines of files and fields of lines: what stands between bytes of one kind.

use memchr::memchr;

/// The parts of a text, of which there is one at least.
pub(crate) struct Parts<'a> {
    rest: Option<&'a [u8]>,
    end: u8,
}

/// Those between every two bytes that are `end`.
pub(crate) fn parts(text: &[u8], end: u8) -> Parts<'_> {
    Parts { rest: Some(text), end }
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    #[inline(never)] // one for all, where LLVM would take several
    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest?;
        let Some(at) = memchr(self.end, text) else {
            self.rest = None;
            return Some(text);
        };
        self.rest = text.get(at + 1..);
        text.get(..at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_are_those_of_std(text in "[a:]{0,9}") {
            let text = text.as_bytes();
            let measure: Vec<_> = text.split(|b| *b == b':').collect();
            prop_assert_eq!(parts(text, b':').collect::<Vec<_>>(), measure);
        }
    }
}
