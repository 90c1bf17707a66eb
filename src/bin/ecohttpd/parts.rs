//! Lines of files and fields of lines: what stands between bytes of one kind.

use memchr::memchr;

/// What stands before the first `end` in `text`, and what behind it, if it is there.
#[inline(never)] // one for all, where LLVM would take several
pub(crate) fn cut(text: &[u8], end: u8) -> (&[u8], Option<&[u8]>) {
    match memchr(end, text) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

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

    fn next(&mut self) -> Option<&'a [u8]> {
        let part;
        (part, self.rest) = cut(self.rest?, self.end);
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_are_those_of_std(text in "[a:]{0,9}") {
            let bytes = text.as_bytes();
            let measure: Vec<_> = bytes.split(|b| *b == b':').collect();
            prop_assert_eq!(parts(bytes, b':').collect::<Vec<_>>(), measure);
            let measure = text.split_once(':').map(|(a, b)| (a.as_bytes(), Some(b.as_bytes())));
            prop_assert_eq!(cut(bytes, b':'), measure.unwrap_or((bytes, None)));
        }
    }
}
