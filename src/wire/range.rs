//! Byte ranges (RFC 9110, 14).

use super::field;

/// More ranges than this are no download and no player: they are ignored, and all is sent.
const MOST: usize = 16;

/// A range of a representation: `start` and how many bytes from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl Part {
    /// One past its last byte.
    fn end(self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

/// What a Range field asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// All of it: the field is of another unit, malformed or unreasonable.
    Whole,
    /// Nothing that is there.
    Unsatisfiable,
    /// These parts, in the order asked for; overlapping ones are made one.
    Parts(Vec<Part>),
}

/// What `value` asks for of a representation of `size` bytes.
pub(crate) fn parse(value: &str, size: u64) -> Ranges {
    let Some((unit, set)) = value.split_once('=') else {
        return Ranges::Whole;
    };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Ranges::Whole;
    }
    let mut parts = Vec::new();
    let mut asked = 0;
    for spec in field::list(set) {
        asked += 1;
        match one(spec, size) {
            _ if asked > MOST => return Ranges::Whole,
            None => return Ranges::Whole,
            Some(part) => add(&mut parts, part),
        }
    }
    match (asked, parts.is_empty()) {
        (0, _) => Ranges::Whole,
        (_, true) => Ranges::Unsatisfiable,
        _ => Ranges::Parts(parts),
    }
}

/// One range, of no bytes where it cannot be satisfied; nothing where it is malformed.
fn one(spec: &str, size: u64) -> Option<Part> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let len = position(last)?.min(size);
        return Some(Part { start: size - len, len });
    }
    let first = position(first)?;
    let last = if last.is_empty() { u64::MAX } else { position(last)? };
    if last < first {
        return None;
    }
    let end = last.saturating_add(1).min(size);
    let start = first.min(end);
    Some(Part { start, len: end - start })
}

/// A number; one that is too large for us is larger than any file.
fn position(digits: &str) -> Option<u64> {
    let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    all.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Adds a part, joined with those it overlaps or touches.
fn add(parts: &mut Vec<Part>, mut new: Part) {
    if new.len == 0 {
        return;
    }
    let mut place = parts.len();
    let mut i = 0;
    while let Some(old) = parts.get(i).copied() {
        if old.start <= new.end() && new.start <= old.end() {
            let start = old.start.min(new.start);
            new = Part { start, len: old.end().max(new.end()) - start };
            parts.remove(i);
            place = place.min(i);
            i = 0; // having grown, it may touch one that was passed
        } else {
            i += 1;
        }
    }
    parts.insert(place.min(parts.len()), new);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(value: &str, size: u64) -> Vec<(u64, u64)> {
        match parse(value, size) {
            Ranges::Parts(parts) => parts.iter().map(|p| (p.start, p.len)).collect(),
            other => panic!("{value}: {other:?}"),
        }
    }

    #[test]
    fn single_ranges() {
        for (value, part) in [
            ("bytes=0-99", (0, 100)),
            ("bytes=-100", (924, 100)),
            ("bytes=1000-", (1000, 24)),
            ("bytes=0-0", (0, 1)),
            ("bytes=1000-999999", (1000, 24)),
            ("bytes=-5000", (0, 1024)),
            ("bytes=1000-99999999999999999999999", (1000, 24)),
            ("BYTES=0-9", (0, 10)),
            ("bytes= 0-9 ,", (0, 10)),
        ] {
            assert_eq!(parts(value, 1024), [part], "{value}");
        }
        assert_eq!(parts("bytes=4294967296-4294967297", 5 << 30), [(4_294_967_296, 2)]);
    }

    #[test]
    fn several_ranges_keep_their_order_and_never_overlap() {
        assert_eq!(parts("bytes=0-9,100-109", 1024), [(0, 10), (100, 10)]);
        assert_eq!(parts("bytes=100-109,0-9", 1024), [(100, 10), (0, 10)]);
        assert_eq!(parts("bytes=0-99,50-149,0-0", 1024), [(0, 150)]);
        assert_eq!(parts("bytes=0-9,20-29,10-19", 1024), [(0, 30)]);
        assert_eq!(parts("bytes=0-9,5000-", 1024), [(0, 10)]);
    }

    #[test]
    fn others_are_ignored_or_unsatisfiable() {
        for value in [
            "lines=0-9",
            "bytes=abc",
            "bytes=9-5",
            "bytes=",
            "bytes 0-9",
            "bytes=0-9x",
            "bytes=--5",
            "bytes=-",
            "bytes=0-9,x",
            "bytes=+1-2",
            "bytes=,",
            "bytes=1-2-3",
        ] {
            assert_eq!(parse(value, 1024), Ranges::Whole, "{value}");
        }
        for value in ["bytes=1024-", "bytes=5000-6000", "bytes=-0"] {
            assert_eq!(parse(value, 1024), Ranges::Unsatisfiable, "{value}");
        }
        assert_eq!(parse("bytes=0-", 0), Ranges::Unsatisfiable);
        let many: Vec<_> = (0..17).map(|i| format!("{}-{}", i * 10, i * 10)).collect();
        assert_eq!(parse(&format!("bytes={}", many.join(",")), 1024), Ranges::Whole);
        assert_eq!(parts(&format!("bytes={}", many[..16].join(",")), 1024).len(), 16);
    }

    proptest! {
        #[test]
        fn never_more_than_there_is(value in "bytes=([0-9]{0,4}-[0-9]{0,4},?){0,8}", size in 0_u64..2000) {
            if let Ranges::Parts(parts) = parse(&value, size) {
                prop_assert!(parts.iter().all(|p| p.len > 0 && p.end() <= size));
                prop_assert!(parts.iter().map(|p| p.len).sum::<u64>() <= size);
            }
        }
    }
}
