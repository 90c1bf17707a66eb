//! The gzip coding (RFC 1952): responses deflated, and files inflated, as they stream.

use std::io::IoSlice;
use std::rc::Rc;

use miniz_oxide::deflate::core::CompressorOxide;
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};

use crate::find::Transfer;
use crate::io::buffer::Buffer;
use crate::shared::Shared;
use crate::wire::coding::{Accepted, Coding};
use crate::wire::field;
use crate::wire::mime::{self, Kind};
use crate::{Connection, Error, Request, Result, Status};

/// A smaller response gains nothing.
const LEAST: u64 = 256;

/// Fast, and most of what can be gained.
const LEVEL: u8 = 3;

/// Files inflated at once; each takes 43 KB, and more is answered with 503.
const MOST_INFLATED: u8 = 4;

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Whether the client takes gzip, and rather than nothing.
pub(crate) fn is_wanted(req: &Request) -> bool {
    let mut accepted = Accepted::default();
    req.header_all("accept-encoding").for_each(|value| accepted.add(value));
    accepted.prefers(Coding::Gzip)
}

/// Whether a file is compressed on its way. Ranges are of what is stored, so then it is not.
pub(crate) fn transfer(
    con: &Connection,
    req: &Request,
    kind: Kind,
    accepted: Accepted,
    size: u64,
) -> Transfer {
    let wanted = con.options.gzip && kind.compressible && accepted.prefers(Coding::Gzip);
    match wanted && size >= LEAST && req.header("range").is_none() && !con.shared.deflating.get() {
        true => Transfer::Deflate,
        false => Transfer::Plain,
    }
}

/// CRC-32, four bits at a time: the table fits in a cache line.
#[derive(Clone, Copy, Debug)]
struct Crc(u32);

impl Crc {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut i = 0;
        while i < 16 {
            let (mut crc, mut bit) = (i as u32, 0);
            while bit < 4 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
                bit += 1;
            }
            #[allow(clippy::indexing_slicing, reason = "in a constant")]
            {
                table[i] = crc;
            }
            i += 1;
        }
        table
    };

    fn new() -> Self {
        Crc(!0)
    }

    fn add(&mut self, bytes: &[u8]) {
        let entry = |i: u32| Self::TABLE.get((i & 15) as usize).copied().unwrap_or(0);
        for &b in bytes {
            self.0 = entry(self.0 ^ u32::from(b)) ^ self.0 >> 4;
            self.0 = entry(self.0 ^ u32::from(b) >> 4) ^ self.0 >> 4;
        }
    }

    fn value(self) -> u32 {
        !self.0
    }
}

/// The one compressor a server has, while a response uses it.
pub(crate) struct Deflater {
    state: CompressorOxide,
    crc: Crc,
    len: u32,
    out: Buffer,
    shared: Rc<Shared>,
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deflater")
    }
}

impl Deflater {
    /// The compressor, unless somebody has it.
    fn take(shared: &Rc<Shared>) -> Option<Box<Deflater>> {
        if shared.deflating.replace(true) {
            return None;
        }
        let mut state = CompressorOxide::default();
        state.set_format_and_level(DataFormat::Raw, LEVEL);
        let mut out = Buffer::default();
        out.append(&HEADER);
        Some(Box::new(Deflater { state, crc: Crc::new(), len: 0, out, shared: shared.clone() }))
    }

    /// Takes some of `input` and says how much; whether it is through with the flush.
    fn push(&mut self, input: &[u8], flush: MZFlush) -> (usize, bool) {
        let spare = self.out.spare();
        let room = spare.len();
        let result = deflate(&mut self.state, input, spare, flush);
        self.out.extend(result.bytes_written);
        let taken = input.get(..result.bytes_consumed).unwrap_or(&[]);
        self.crc.add(taken);
        self.len = self.len.wrapping_add(taken.len() as u32);
        let ended = result.status == Ok(MZStatus::StreamEnd);
        (taken.len(), ended || (flush != MZFlush::Finish && result.bytes_written < room))
    }
}

impl Drop for Deflater {
    fn drop(&mut self) {
        self.shared.deflating.set(false);
    }
}

impl Connection {
    /// Decides whether the response is deflated from here on, and says so in its head.
    pub(crate) fn begin_deflating(&mut self, length: Option<u64>) -> bool {
        let response = &self.response;
        if !self.options.gzip || response.status.bodiless() {
            return false;
        }
        let kind = response.field("content-type").unwrap_or("");
        let strong = response.field("etag").is_some_and(|tag| !tag.starts_with("W/"));
        if !mime::is_compressible(kind)
            || strong
            || response.status == Status::PARTIAL_CONTENT
            || response.has("content-encoding")
            || response.fields("cache-control").any(|v| field::has_token(v, "no-transform"))
        {
            return false;
        }
        let varies = |v: &str| field::has_token(v, "accept-encoding") || v == "*";
        if !response.fields("vary").any(varies) {
            let _ = self.response.set_field("Vary", b"Accept-Encoding", false);
        }
        let small = self.response.length().or(length).is_some_and(|n| n < LEAST);
        if small || !self.takes_gzip {
            return false;
        }
        if !self.response.head_only() {
            self.deflater = Deflater::take(&self.shared);
            if self.deflater.is_none() {
                return false;
            }
        }
        let _ = self.response.set_field("Content-Encoding", b"gzip", true);
        true
    }

    /// What [`write`](Connection::write) does where there is a deflater.
    pub(crate) async fn write_deflated(&mut self, head: &[u8], data: &[u8], last: bool) -> Result {
        self.link.begin_frame()?;
        let gathered = std::mem::take(&mut self.gathered);
        let flush = match (last, data.is_empty()) {
            (true, _) => MZFlush::Finish,
            (false, true) => MZFlush::Sync,
            (false, false) => MZFlush::None,
        };
        let mut head = head;
        let inputs = [(gathered.raw(), MZFlush::None), (data, MZFlush::None), (&[][..], flush)];
        for (mut input, flush) in inputs {
            loop {
                let Some(deflater) = &mut self.deflater else {
                    return Ok(());
                };
                if input.is_empty() && flush == MZFlush::None {
                    break;
                }
                let (taken, through) = deflater.push(input, flush);
                input = input.get(taken..).unwrap_or(&[]);
                if deflater.out.room() == 0 {
                    self.emit_deflated(std::mem::take(&mut head), false).await?;
                } else if input.is_empty() && through {
                    break;
                }
                self.link.stream.pause().await;
            }
        }
        if last {
            let mut trailer = [0; 8];
            if let Some(deflater) = &self.deflater {
                let (crc, len) = (deflater.crc.value().to_le_bytes(), deflater.len.to_le_bytes());
                trailer = [crc[0], crc[1], crc[2], crc[3], len[0], len[1], len[2], len[3]];
            }
            if self.deflater.as_ref().is_some_and(|d| d.out.room() < trailer.len()) {
                self.emit_deflated(std::mem::take(&mut head), false).await?;
            }
            if let Some(deflater) = &mut self.deflater {
                deflater.out.append(&trailer);
            }
        }
        if last || flush == MZFlush::Sync {
            self.emit_deflated(head, last).await?;
        } else if !head.is_empty() {
            self.emit_deflated(head, false).await?;
        }
        if last {
            self.deflater = None;
        }
        self.link.end_frame();
        Ok(())
    }

    async fn emit_deflated(&mut self, head: &[u8], last: bool) -> Result {
        let Some(deflater) = &mut self.deflater else {
            return Ok(());
        };
        let secs = self.options.write_timeout;
        let out = deflater.out.raw();
        let len = out.len() as u64;
        let frame = self.response.frame(len, last);
        let shown = if frame.silent { &[][..] } else { out };
        let mut parts = [head, frame.before(), shown, frame.after.as_bytes()].map(IoSlice::new);
        self.link.write_part(&mut parts, false, secs).await?;
        self.response.count(&frame, len);
        deflater.out.clear();
        Ok(())
    }
}

/// A file being inflated.
pub(crate) struct Inflater {
    state: Box<InflateState>,
    crc: Crc,
    len: u32,
    stage: Stage,
    shared: Rc<Shared>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Data,
    Trailer,
    /// At the end of a member, which may be that of the file.
    Between,
}

const DAMAGED: Error = Error::Status(Status::INTERNAL_SERVER_ERROR, "a damaged .gz file");

impl Inflater {
    /// One of the few inflaters there may be.
    pub(crate) fn take(shared: &Rc<Shared>) -> Result<Inflater> {
        if shared.inflating.get() >= MOST_INFLATED {
            return Err(Error::Status(Status::SERVICE_UNAVAILABLE, "too many files inflated"));
        }
        shared.inflating.set(shared.inflating.get() + 1);
        Ok(Inflater {
            state: InflateState::new_boxed(DataFormat::Raw),
            crc: Crc::new(),
            len: 0,
            stage: Stage::Header,
            shared: shared.clone(),
        })
    }

    /// Whether the file may end here.
    pub(crate) fn is_whole(&self) -> bool {
        self.stage == Stage::Between
    }

    /// Inflates some of `input` into `out`, and says how much was taken and made. Nothing taken and
    /// nothing made means that more has to be there.
    pub(crate) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize)> {
        match self.stage {
            Stage::Between if input.is_empty() => Ok((0, 0)),
            // Padding, as tapes have it.
            Stage::Between if input.first() == Some(&0) => Ok((1, 0)),
            Stage::Between | Stage::Header => match header_len(input)? {
                None => Ok((0, 0)),
                Some(len) => {
                    self.state.reset(DataFormat::Raw);
                    (self.crc, self.len, self.stage) = (Crc::new(), 0, Stage::Data);
                    Ok((len, 0))
                }
            },
            Stage::Data => {
                let result = inflate(&mut self.state, input, out, MZFlush::None);
                match result.status {
                    Ok(MZStatus::StreamEnd) => self.stage = Stage::Trailer,
                    Ok(_) | Err(miniz_oxide::MZError::Buf) => {}
                    Err(_) => return Err(DAMAGED),
                }
                let made = out.get(..result.bytes_written).unwrap_or(&[]);
                self.crc.add(made);
                self.len = self.len.wrapping_add(made.len() as u32);
                Ok((result.bytes_consumed, made.len()))
            }
            Stage::Trailer => {
                let Some((&[a, b, c, d, e, f, g, h], _)) = input.split_first_chunk() else {
                    return Ok((0, 0));
                };
                let (crc, len) =
                    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
                if crc != self.crc.value() || len != self.len {
                    return Err(DAMAGED);
                }
                self.stage = Stage::Between;
                Ok((8, 0))
            }
        }
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        self.shared.inflating.set(self.shared.inflating.get() - 1);
    }
}

/// The length of the gzip header at the start of `bytes`, if all of it is there.
fn header_len(bytes: &[u8]) -> Result<Option<usize>> {
    let &[id1, id2, method, flags, ..] = bytes else {
        return Ok(None);
    };
    if (id1, id2, method) != (0x1f, 0x8b, 8) || flags & 0xe0 != 0 {
        return Err(DAMAGED);
    }
    let mut at = 10;
    if flags & 4 != 0 {
        let Some(&[low, high]) = bytes.get(at..at + 2).and_then(|b| b.first_chunk()) else {
            return Ok(None);
        };
        at += 2 + usize::from(u16::from_le_bytes([low, high]));
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            let rest = bytes.get(at..).unwrap_or(&[]);
            match rest.iter().position(|&b| b == 0) {
                Some(end) => at += end + 1,
                None => return Ok(None),
            }
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    Ok((at <= bytes.len()).then_some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_that_of_gzip() {
        let mut crc = Crc::new();
        crc.add(b"12345");
        crc.add(b"6789");
        assert_eq!(crc.value(), 0xcbf4_3926);
        assert_eq!(Crc::new().value(), 0);
    }

    #[test]
    fn headers_of_all_kinds() {
        let plain = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 9];
        assert_eq!(header_len(&plain).unwrap(), Some(10));
        assert_eq!(header_len(&plain[..9]).unwrap(), None);
        let mut full = vec![0x1f, 0x8b, 8, 4 | 8 | 16 | 2, 0, 0, 0, 0, 0, 3];
        full.extend_from_slice(b"\x03\0xyzname\0comment\0cc");
        for n in 0..full.len() {
            assert_eq!(header_len(&full[..n]).unwrap(), None, "{n}");
        }
        assert_eq!(header_len(&full).unwrap(), Some(full.len()));
        assert!(header_len(b"PK\x03\x04").is_err());
        assert!(header_len(&[0x1f, 0x8b, 8, 0x20]).is_err());
    }
}
