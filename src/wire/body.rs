//! Where a request body ends, and the chunked coding in between (RFC 9112, 6 and 7).

use super::head::Framing;
use super::{is_tchar, is_value_byte};
use crate::{Error, Result, Status};

/// Chunk extensions mean nothing to us; this many bytes of them are borne with in one body.
const MOST_EXTENSION: u32 = 8192;

/// The state of a request body that is being received.
#[derive(Debug)]
pub(crate) struct Body {
    state: State,
    /// Bytes of extensions so far, then of trailers.
    overhead: u32,
    trailers: u32,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Nothing can be said before more arrives; there was nothing to look at.
    More,
    /// So many bytes of framing, to be dropped.
    Framing(usize),
    /// So many bytes of content.
    Data(usize),
    /// The body is over, and nothing was looked at.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Content of a known length: all of it, or what is left of a chunk.
    Length(u64),
    Size {
        value: u64,
        digits: u8,
    },
    SizeSpace {
        value: u64,
    },
    Extension {
        value: u64,
    },
    SizeLf {
        value: u64,
    },
    Chunk(u64),
    DataCr,
    DataLf,
    /// At the start of a line of the trailer section.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    End,
}

/// The limits of a head, which hold for trailers too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrailerLimits {
    pub(crate) bytes: u32,
    pub(crate) fields: u32,
}

impl Body {
    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(n) => State::Length(n),
            Framing::Chunked => State::Size { value: 0, digits: 0 },
        };
        Body { state, overhead: 0, trailers: 0 }
    }

    /// No body at all.
    pub(crate) fn none() -> Self {
        Body::new(Framing::Length(0))
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::End | State::Length(0))
    }

    /// Content still to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(n) => Some(n),
            State::End => Some(0),
            _ => None,
        }
    }

    /// Says what `raw` begins with and takes it as consumed.
    pub(crate) fn next(&mut self, raw: &[u8], limits: TrailerLimits) -> Result<Piece> {
        if self.is_over() {
            return Ok(Piece::End);
        }
        if raw.is_empty() {
            return Ok(Piece::More);
        }
        match self.state {
            State::Length(left) => {
                let n = raw.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.state = State::Length(left - n as u64);
                return Ok(Piece::Data(n));
            }
            State::Chunk(left) => {
                let n = raw.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - n as u64;
                self.state = if left > 0 { State::Chunk(left) } else { State::DataCr };
                return Ok(Piece::Data(n));
            }
            _ => {}
        }
        let mut used = 0;
        for &b in raw {
            used += 1;
            self.state = self.framing(b, limits)?;
            if matches!(self.state, State::Chunk(_) | State::End) {
                break;
            }
        }
        Ok(Piece::Framing(used))
    }

    /// One byte of what is around the chunks.
    fn framing(&mut self, b: u8, limits: TrailerLimits) -> Result<State> {
        const SIZE: Error = Error::Malformed("chunk size");
        const TRAILER: Error = Error::Malformed("trailer field");
        Ok(match (self.state, b) {
            (State::Size { digits: 1.., value }, b'\r') => State::SizeLf { value },
            (State::Size { digits: 1.., value }, b';') => State::Extension { value },
            (State::Size { digits: 1.., value }, b' ' | b'\t') => {
                self.extension()?;
                State::SizeSpace { value }
            }
            (State::Size { value, digits }, b) => {
                let digit = char::from(b).to_digit(16).filter(|_| digits < 16).ok_or(SIZE)?;
                let value = value << 4 | u64::from(digit);
                if value > i64::MAX as u64 {
                    return Err(SIZE);
                }
                State::Size { value, digits: digits + 1 }
            }
            (State::SizeSpace { value }, b';') => State::Extension { value },
            (State::SizeSpace { value }, b' ' | b'\t') => {
                self.extension()?;
                State::SizeSpace { value }
            }
            (State::Extension { value }, b'\r') => State::SizeLf { value },
            (State::Extension { value }, b) if is_value_byte(b) => {
                self.extension()?;
                State::Extension { value }
            }
            (State::SizeLf { value: 0 }, b'\n') => {
                self.overhead = 0;
                State::Trailer
            }
            (State::SizeLf { value }, b'\n') => State::Chunk(value),
            (State::SizeSpace { .. } | State::Extension { .. } | State::SizeLf { .. }, _) => {
                return Err(SIZE);
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { value: 0, digits: 0 },
            (State::DataCr | State::DataLf, _) => {
                return Err(Error::Malformed("end of a chunk"));
            }
            (State::Trailer, b'\r') => State::LastLf,
            (State::LastLf, b'\n') => State::End,
            (State::Trailer, b) if is_tchar(b) => {
                self.trailers += 1;
                self.trailer(limits)?;
                State::TrailerName
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerName, b) if is_tchar(b) => {
                self.trailer(limits)?;
                State::TrailerName
            }
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, b) if is_value_byte(b) => {
                self.trailer(limits)?;
                State::TrailerValue
            }
            (State::TrailerLf, b'\n') => State::Trailer,
            (
                State::Trailer
                | State::LastLf
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLf,
                _,
            ) => return Err(TRAILER),
            (state @ (State::Length(_) | State::Chunk(_) | State::End), _) => state,
        })
    }

    fn extension(&mut self) -> Result {
        self.overhead += 1;
        if self.overhead > MOST_EXTENSION {
            Err(Error::TooLarge("chunk extensions"))
        } else {
            Ok(())
        }
    }

    fn trailer(&mut self, limits: TrailerLimits) -> Result {
        self.overhead += 1;
        if self.overhead > limits.bytes || self.trailers > limits.fields {
            return Err(Error::Status(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, "trailer section"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: TrailerLimits = TrailerLimits { bytes: 100, fields: 3 };

    /// Decodes `raw` as it arrives in pieces of `cuts`; gives content and what follows the body.
    fn decode(raw: &[u8], mut cuts: impl Iterator<Item = usize>) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut body = Body::new(Framing::Chunked);
        let (mut start, mut end, mut content) = (0, 0, Vec::new());
        loop {
            match body.next(&raw[start..end], LIMITS)? {
                Piece::More if end == raw.len() => return Err(Error::Truncated),
                Piece::More => end = (end + cuts.next().unwrap_or(1).max(1)).min(raw.len()),
                Piece::Framing(n) => start += n,
                Piece::Data(n) => {
                    content.extend_from_slice(&raw[start..start + n]);
                    start += n;
                }
                Piece::End => return Ok((content, raw[start..].to_vec())),
            }
        }
    }

    fn whole(raw: &str) -> Option<(String, String)> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        decode(raw.as_bytes(), std::iter::once(raw.len())).ok().map(|(a, b)| (text(a), text(b)))
    }

    #[test]
    fn chunks_are_decoded() {
        for raw in [
            "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
            "5;a=b\r\nhello\r\n6;x\r\n world\r\n0;end\r\n\r\n",
            "5 ;a=\"q;,x\"\r\nhello\r\n6\r\n world\r\n000\r\n\r\n",
            "00005\r\nhello\r\n006\r\n world\r\n0\r\nX-T: 1\r\nY:\r\n\r\n",
            "B\r\nhello world\r\n0\r\n\r\n",
        ] {
            let got = whole(&format!("{raw}GET /")).unwrap();
            assert_eq!(got, ("hello world".into(), "GET /".into()), "{raw:?}");
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        for raw in [
            "g\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "-5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            "\r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "5 x\r\nhello\r\n",
            "5_\r\nhello\r\n",
            "FFFFFFFFFFFFFFFFF\r\nhello\r\n",
            "8000000000000000\r\nhello\r\n",
            "10000000000000005\r\nhello\r\n",
            "5\r\nhelloX\r\n",
            "5\r\nhello\rX",
            "5\r\nhello\n",
            "5\nhello\n",
            "5;\n\r\nhello\r\n",
            "5;\u{1}\r\nhello\r\n",
            "5\r\rhello\r\n",
            "0\r\nX T: 1\r\n\r\n",
            "0\r\n: 1\r\n\r\n",
            "0\r\n fold\r\n\r\n",
            "0\r\nX: a\rb\r\n\r\n",
            "0\r\nX: a\nb\r\n\r\n",
            "0\r\n\n",
            "0\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            // What follows would complete them if they were taken for something else.
            let text = format!("{raw}0\r\n\r\n");
            assert!(whole(&text).is_none(), "{raw:?}");
        }
    }

    #[test]
    fn overhead_is_limited() {
        let ok = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(8000));
        assert!(whole(&ok).is_some());
        let many = "1;eeeeeeeeeeeeeee\r\nx\r\n".repeat(600) + "0\r\n\r\n";
        assert!(whole(&many).is_none(), "extensions in small doses");
        assert!(whole(&format!("0\r\nX: {}\r\n\r\n", "t".repeat(120))).is_none());
        assert!(whole("0\r\nA:\r\nB:\r\nC:\r\n\r\n").is_some());
        assert!(whole("0\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n").is_none());
    }

    #[test]
    fn a_length_is_kept_to() {
        let mut body = Body::new(Framing::Length(5_000_000_000));
        assert_eq!(body.next(b"abc", LIMITS).unwrap(), Piece::Data(3));
        assert_eq!(body.left(), Some(4_999_999_997));
        let mut body = Body::new(Framing::Length(2));
        assert_eq!(body.next(b"", LIMITS).unwrap(), Piece::More);
        assert_eq!(body.next(b"abc", LIMITS).unwrap(), Piece::Data(2));
        assert_eq!(body.next(b"c", LIMITS).unwrap(), Piece::End);
        assert!(body.is_over() && Body::none().is_over());
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_content(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..6),
            extension in "(;[a-z]{1,4}(=[a-z]{1,3})?)?",
            trailer in "(X-T: [a-z ]{0,9}\r\n)?",
            cuts in proptest::collection::vec(1_usize..12, 0..60),
        ) {
            let mut raw = Vec::new();
            for chunk in &chunks {
                raw.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
                raw.extend_from_slice(chunk);
                raw.extend_from_slice(b"\r\n");
            }
            raw.extend_from_slice(format!("0\r\n{trailer}\r\nGET /next").as_bytes());
            let (content, rest) = decode(&raw, cuts.into_iter()).unwrap();
            prop_assert_eq!(content, chunks.concat());
            prop_assert_eq!(rest, b"GET /next".to_vec());
        }

        /// Whatever the bytes are, cutting them elsewhere makes no difference.
        #[test]
        fn any_cut_gives_the_same_verdict(
            raw in "([0-9a-f;]|\r\n|\r|\n| |x|0\r\n\r\n|X:){0,40}",
            cuts in proptest::collection::vec(1_usize..7, 0..60),
        ) {
            let whole = decode(raw.as_bytes(), std::iter::once(raw.len()));
            let cut = decode(raw.as_bytes(), cuts.into_iter());
            match (whole, cut) {
                (Ok(a), Ok(b)) => prop_assert_eq!(a, b),
                (Err(a), Err(b)) => prop_assert_eq!(a.to_string(), b.to_string()),
                (a, b) => prop_assert!(false, "{:?} {:?}", a, b),
            }
        }
    }
}
