//! Texts that hardly any connection has.

/// A text that is rarely there, and takes one word where it is not instead of two.
#[derive(Debug, Default)]
#[allow(clippy::redundant_allocation, reason = "the inner box is of two words")]
pub(crate) struct Rare(Option<Box<Box<str>>>);

impl Rare {
    pub(crate) fn set(&mut self, text: Option<&str>) {
        self.0 = text.map(|text| Box::new(text.into()));
    }

    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_deref().map(|text| &**text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_and_keeps_what_it_was_given() {
        let mut rare = Rare::default();
        assert_eq!(size_of_val(&rare), size_of::<usize>());
        assert_eq!(rare.get(), None);
        for text in ["a", "", "something longer"] {
            rare.set(Some(text));
            assert_eq!(rare.get(), Some(text));
        }
        rare.set(None);
        assert_eq!(rare.get(), None);
    }
}
