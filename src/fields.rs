//! The fields of a response: which can be sent, and how they go to the wire.

use crate::wire::{field, is_token, is_value_byte};
use crate::{Error, Result};

/// What the fields of a file's response take.
const ROOM: usize = 224;

/// Fields that were set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    /// `name: value` and a line end for each.
    lines: Vec<u8>,
    /// The [`field::trace`] of every field that was ever set.
    traces: u32,
}

impl Fields {
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        self.traces |= field::trace(name.as_bytes());
        if self.lines.is_empty() {
            self.lines.reserve(ROOM);
        }
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.lines.extend_from_slice(part);
        }
    }

    /// Removes all fields of a name.
    pub(crate) fn remove(&mut self, name: &str) {
        let mut kept = Vec::with_capacity(self.lines.len());
        for line in self.lines.split_inclusive(|&b| b == b'\n') {
            if !is_named(line, name) {
                kept.extend_from_slice(line);
            }
        }
        self.lines = kept;
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        // Said beforehand, since most are not there.
        self.traces & field::trace(name.as_bytes()) != 0 && self.values(name).next().is_some()
    }

    /// The values of all fields of a name.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let absent = self.traces & field::trace(name.as_bytes()) == 0;
        let lines = if absent { &[][..] } else { &self.lines[..] };
        let lines = lines.split(|&b| b == b'\n').filter(move |line| is_named(line, name));
        lines.filter_map(|line| {
            let value = line.get(name.len() + 1..)?;
            std::str::from_utf8(value).ok().map(str::trim)
        })
    }

    /// All of them, each with its line end.
    pub(crate) fn lines(&self) -> &[u8] {
        &self.lines
    }
}

/// Whether a field can be sent.
pub(crate) fn check_field(name: &str, value: &[u8]) -> Result {
    if !is_token(name.as_bytes()) {
        return Err(Error::Invalid("a header name that is no token"));
    }
    if !value.iter().copied().all(is_value_byte) {
        return Err(Error::Invalid("a control character in a header value"));
    }
    Ok(())
}

/// Whether a field says how the message is framed.
pub(crate) fn is_framing(name: &str) -> bool {
    ["content-length", "transfer-encoding", "connection"]
        .iter()
        .any(|framing| name.eq_ignore_ascii_case(framing))
}

pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().take_while(|b| blank(b)).count();
    let value = value.get(start..).unwrap_or(&[]);
    let end = value.len() - value.iter().rev().take_while(|b| blank(b)).count();
    value.get(..end).unwrap_or(&[])
}

fn is_named(line: &[u8], name: &str) -> bool {
    let (head, rest) = line.split_at_checked(name.len()).unwrap_or((&[], &[]));
    rest.first() == Some(&b':') && head.eq_ignore_ascii_case(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_names() {
        let mut fields = Fields::default();
        fields.add("X-A", b"1");
        fields.add("x-ab", b"2");
        fields.add("x-a", b"3");
        assert_eq!(fields.values("X-a").collect::<Vec<_>>(), ["1", "3"]);
        assert_eq!(fields.values("x-").count(), 0);
        fields.remove("x-A");
        assert_eq!(fields.lines(), b"x-ab: 2\r\n");
        assert_eq!(fields.values("x-a").count(), 0);
    }
}
