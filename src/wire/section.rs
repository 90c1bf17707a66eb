//! The header section: all header fields of a request, and what they say about it (RFC 9112, 5).

use std::sync::OnceLock;

use super::head::{Framing, stand_on};
use super::{Span, field, number, uri};
use crate::{Error, Result, Status};

/// The most header fields there is room to parse, whatever the limit is set to.
pub(crate) const MOST_FIELDS: usize = 128;

/// As many as most requests have, for which less room is made first.
pub(crate) const FEW_FIELDS: usize = 16;

/// A parsed header section, standing on its own copy of the bytes.
///
/// A client sends the same one with many of its requests. What was found out about it counts for the next
/// request with the same bytes, whoever sent that: nothing else goes into it.
#[derive(Debug, Default)]
pub(crate) struct Section {
    /// The section as it came, with the empty line that ends it; no bytes where none was parsed yet.
    bytes: Vec<u8>,
    /// The same with the names in lower case, made when they are first asked for.
    lowered: OnceLock<Box<[u8]>>,
    /// The name and the value of each.
    fields: Vec<(Span, Span)>,
    /// What stands for the values that are no UTF-8, by their place.
    odd: Vec<(usize, String)>,
    /// The [`field::trace`] of every field.
    traces: u32,
    /// What they say about the message.
    seen: Seen,
}

impl Section {
    /// Parses `lines`, a complete section of at most `most` fields whose lines end with CRLF, in place of what
    /// this was; lines that cannot be parsed leave it without any. `None` is for those that it has already.
    pub(crate) fn parse(&mut self, lines: Option<&[u8]>, most: usize) -> Result {
        const TOO_MANY: Error =
            Error::Status(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, "too many header fields");
        let most = most.min(MOST_FIELDS);
        if let Some(lines) = lines {
            let mut few = [httparse::EMPTY_HEADER; FEW_FIELDS];
            let few = few.get_mut(..most.min(FEW_FIELDS)).unwrap_or(&mut []);
            self.bytes.clear();
            if !self.look(lines, few)?
                && !self.look(lines, &mut vec![httparse::EMPTY_HEADER; most])?
            {
                return Err(TOO_MANY);
            }
            self.lowered.take();
            stand_on(&mut self.bytes, lines);
            self.odd = if lines.is_ascii() { Vec::new() } else { self.odd_values() };
        } else if self.fields.len() > most {
            return Err(TOO_MANY);
        }
        Ok(())
    }

    /// Looks at each of the fields; whether there is `room` for all of them.
    fn look<'a>(&mut self, lines: &'a [u8], room: &mut [httparse::Header<'a>]) -> Result<bool> {
        let fields = match httparse::parse_headers(lines, room) {
            Ok(httparse::Status::Complete((used, fields))) if used == lines.len() => fields,
            Err(httparse::Error::TooManyHeaders) => return Ok(false),
            _ => return Err(Error::Malformed("header field")),
        };
        self.seen = Seen::default();
        self.traces = 0;
        self.fields.clear();
        self.fields.reserve_exact(fields.len());
        for field in fields {
            // The parser takes nothing but tokens for names.
            let (name, value) = (field.name.as_bytes(), field.value.trim_ascii_end());
            self.seen.field(field.name, value)?;
            self.traces |= field::trace(name);
            self.fields.push((Span::of(lines, name), Span::of(lines, value)));
        }
        Ok(true)
    }

    /// Whether `buf` begins with just this section.
    pub(crate) fn begins(&self, buf: &[u8]) -> bool {
        !self.bytes.is_empty() && buf.starts_with(&self.bytes)
    }

    /// How many bytes it has, the empty line that ends it among them.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it takes no more memory than one of that many bytes and fields, all of ASCII.
    pub(crate) fn is_within(&self, bytes: usize, fields: usize) -> bool {
        self.bytes.capacity() <= bytes && self.fields.capacity() <= fields && self.odd.is_empty()
    }

    /// The places of the fields of that name, case aside.
    pub(crate) fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = usize> + use<'a> {
        // Only of a name that may be there a copy is made.
        let absent = !self.may_have(field::trace(name.as_bytes()));
        let name = if absent { Box::default() } else { Box::<[u8]>::from(name.as_bytes()) };
        let is = move |n: &Span| n.bytes(&self.bytes).eq_ignore_ascii_case(&name);
        let fields = if absent { &[][..] } else { &self.fields[..] };
        fields.iter().enumerate().filter(move |(_, (n, _))| is(n)).map(|(i, _)| i)
    }

    /// Whether a field may be there of those whose [`field::trace`] is in `traces`.
    pub(crate) fn may_have(&self, traces: u32) -> bool {
        self.traces & traces != 0
    }

    /// The names in the order they came, in lower case.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let lowered = self.lowered.get_or_init(|| {
            let mut bytes = Box::from(&self.bytes[..]);
            for name in self.fields.iter().map(|(name, _)| name.range()) {
                <[u8]>::get_mut(&mut bytes, name).unwrap_or_default().make_ascii_lowercase();
            }
            bytes
        });
        self.fields.iter().map(|(name, _)| name.text(lowered))
    }

    /// The values in the order they came.
    pub(crate) fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().map(|(_, value)| value.bytes(&self.bytes))
    }

    /// The value of the field at that place.
    pub(crate) fn value(&self, i: usize) -> Option<&[u8]> {
        self.fields.get(i).map(|(_, value)| value.bytes(&self.bytes))
    }

    /// The value of the field at that place as text, in which bytes that are not UTF-8 show as U+FFFD.
    pub(crate) fn text(&self, i: usize) -> &str {
        match self.odd.iter().find(|(at, _)| *at == i) {
            Some((_, text)) => text,
            None => self.fields.get(i).map_or("", |(_, value)| value.text(&self.bytes)),
        }
    }

    fn odd_values(&self) -> Vec<(usize, String)> {
        let odd =
            self.values().enumerate().filter(|(_, value)| std::str::from_utf8(value).is_err());
        odd.map(|(i, value)| (i, String::from_utf8_lossy(value).into_owned())).collect()
    }

    /// How the body of a request of that minor version is delimited, and whether another may follow.
    pub(crate) fn framing(&self, minor: u8) -> Result<(Framing, bool)> {
        self.seen.framing(minor)
    }

    /// Whether the client waits for 100 (Continue), if the version has that.
    pub(crate) fn expects_continue(&self) -> bool {
        self.seen.expects_continue
    }
}

/// What the fields say about the message as a whole.
#[derive(Debug, Default)]
struct Seen {
    hosts: u8,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Seen {
    fn field(&mut self, name: &str, value: &[u8]) -> Result {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("content-length") {
            // Even two equal ones: somebody before us may have added one of them.
            let length = number(value).filter(|_| self.length.is_none());
            self.length = Some(length.ok_or(Error::Malformed("content-length"))?);
        } else if is("transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Error::Malformed("transfer-encoding"));
            }
            self.chunked = true;
        } else if is("host") {
            self.hosts = self.hosts.saturating_add(1);
            if self.hosts > 1 || !uri::is_host(value) {
                return Err(Error::Malformed("host"));
            }
        } else if is("connection") {
            let value = std::str::from_utf8(value).unwrap_or("");
            for option in field::list(value) {
                self.close |= option.eq_ignore_ascii_case("close");
                self.keep_alive |= option.eq_ignore_ascii_case("keep-alive");
            }
        } else if is("expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Error::Status(Status::EXPECTATION_FAILED, "expectation"));
            }
            self.expects_continue = true;
        }
        Ok(())
    }

    fn framing(&self, minor: u8) -> Result<(Framing, bool)> {
        if minor > 0 && self.hosts == 0 {
            return Err(Error::Malformed("host: there is none"));
        }
        let framing = match (self.length, self.chunked) {
            (Some(_), true) => return Err(Error::Malformed("body framing: two at once")),
            (None, true) if minor == 0 => return Err(Error::Malformed("transfer-encoding")),
            (None, true) => Framing::Chunked,
            (length, false) => Framing::Length(length.unwrap_or(0)),
        };
        Ok((framing, !self.close && (minor > 0 || self.keep_alive)))
    }
}
