//! The bytes of files on their way: from the page cache to the socket, or by way of a buffer.

use std::fs::File;
use std::io::{self, IoSlice};
use std::path::Path;

use crate::cache::Held;
#[cfg(feature = "gzip")]
use crate::find::Transfer;
use crate::find::open_regular;
use crate::io::buffer::Buffer;
use crate::io::file;
use crate::wire::range::Part;
use crate::{Connection, Error, Result};

impl Connection {
    /// Sends a file as part of the response body: `count` bytes from `offset` on, or what there is.
    ///
    /// Like other content it is chunked, unless everything is small or a handler has set the
    /// Content-Length; on a plain connection it goes from page cache to socket by `sendfile(2)`.
    ///
    /// ```
    /// # use ecohttpd::{Connection, Result};
    /// async fn logs(con: &mut Connection) -> Result {
    ///     con.add_header("Content-Type", "text/plain")?;
    ///     con.send_file("/tmp/log.old", None, 0).await?;
    ///     con.send_file("/tmp/log", 1 << 20, 0).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read or is no regular file. If it turns out shorter than
    /// it was at first, the connection is closed, since its length is out by then.
    pub async fn send_file(
        &mut self,
        path: impl AsRef<Path>,
        count: impl Into<Option<u64>>,
        offset: u64,
    ) -> Result {
        self.send_file_at(path.as_ref(), count.into(), offset).await
    }

    async fn send_file_at(&mut self, path: &Path, count: Option<u64>, start: u64) -> Result {
        let opened = open_regular(self, path).await?;
        let rest = opened.size().saturating_sub(start);
        let len = count.map_or(rest, |count| count.min(rest));
        Box::pin(self.send_stretch(&opened.held, Part { start, len })).await
    }

    /// Sends a stretch of a file.
    pub(crate) async fn send_stretch(&mut self, held: &Held, part: Part) -> Result {
        if self.response.ended {
            return Err(Error::HeadSent);
        }
        if self.response.head_only() && self.response.has_length() {
            return Ok(());
        }
        // What is said of a file whose bytes are kept is of those, whatever has become of it.
        if let Some(kept) = held.kept() {
            return self.send_pieces(&[stretch(kept.content(), part)]).await;
        }
        let file = &held.file;
        let Part { start: mut offset, mut len } = part;
        // Small enough to leave together with the head: one call, one packet.
        if len <= self.gathered.room() as u64 {
            while let n @ 1.. = len {
                let spare = self.gathered.spare();
                let room = spare.get_mut(..n as usize).unwrap_or(&mut []);
                match file::read(file, room, offset).await? {
                    0 => return Err(self.cut_short()),
                    n => {
                        self.gathered.extend(n);
                        offset += n as u64;
                        len -= n as u64;
                    }
                }
            }
            return Ok(());
        }
        // What nothing follows would wait for it.
        let more = !self.response.is_silent();
        self.write_before(&[], false, more, None).await?;
        if self.is_deflating() {
            return self.send_read(held, Part { start: offset, len }).await;
        }
        let secs = self.options.write_timeout;
        self.response.allows(len).inspect_err(|_| self.link.set_broken())?;
        let frame = self.response.frame(len, false);
        if frame.silent {
            return Ok(());
        }
        // Once the frame is announced, all of it has to come, and nothing can take its place.
        self.link.begin_frame()?;
        self.link.write_part(&mut [IoSlice::new(frame.before())], true, secs).await?;
        match self.is_tls() {
            #[cfg(feature = "tls")]
            true => self.encrypt(file, offset, len).await?,
            _ => self.splice(file, offset, len).await?,
        }
        self.link.write_part(&mut [IoSlice::new(frame.after.as_bytes())], false, secs).await?;
        self.link.end_frame();
        Ok(())
    }

    /// From page cache to socket.
    async fn splice(&mut self, file: &File, mut offset: u64, mut left: u64) -> Result {
        let secs = self.options.write_timeout;
        let mut ready = 0;
        while left > 0 {
            if ready == 0 {
                file::prepare(file, offset, left).await?;
                ready = left.min(file::AHEAD);
            }
            match self.link.send_file(file, &mut offset, ready, secs).await? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                n => {
                    self.response.sent = self.response.sent.saturating_add(n as u64);
                    ready = ready.saturating_sub(n as u64);
                    left = left.saturating_sub(n as u64);
                }
            }
        }
        Ok(())
    }

    /// By way of a buffer, where it has to be encrypted.
    #[cfg(feature = "tls")]
    async fn encrypt(&mut self, file: &File, mut offset: u64, mut left: u64) -> Result {
        let secs = self.options.write_timeout;
        // Together they fill a record.
        let mut blocks = [Buffer::default(), Buffer::default()];
        while left > 0 {
            let mut n = 0;
            for block in &mut blocks {
                block.clear();
                n += read_block(file, block, offset + n, left - n).await? as u64;
            }
            if n == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            (offset, left) = (offset + n, left - n);
            let parts = &mut blocks.each_ref().map(|block| IoSlice::new(block.raw()));
            self.link.write_part(parts, false, secs).await?;
            self.response.sent = self.response.sent.saturating_add(n);
        }
        Ok(())
    }

    /// By way of what everything else goes by, where it is to be changed on its way.
    async fn send_read(&mut self, held: &Held, part: Part) -> Result {
        let Part { start: mut offset, len: mut left } = part;
        let mut block = Buffer::default();
        while left > 0 {
            let n = read_block(&held.file, &mut block, offset, left).await?;
            if n == 0 {
                return Err(self.cut_short());
            }
            self.send_pieces(&[block.raw()]).await?;
            block.drop_raw(n);
            offset += n as u64;
            left -= n as u64;
        }
        Ok(())
    }

    #[cfg(feature = "gzip")]
    pub(crate) async fn send_transformed(&mut self, held: &Held, transfer: Transfer) -> Result {
        if self.response.head_only() {
            // Its length is not known, and to find out is not worth it.
            return self.write(&[], false).await;
        }
        if transfer == Transfer::Inflate {
            return self.send_inflated(held).await;
        }
        if let Some(kept) = held.kept() {
            return self.send_pieces(&[kept.content()]).await;
        }
        let len = held.file.metadata()?.len();
        self.send_read(held, Part { start: 0, len }).await
    }

    #[cfg(feature = "gzip")]
    async fn send_inflated(&mut self, held: &Held) -> Result {
        let mut inflater = crate::gzip::Inflater::take(&self.shared)?;
        let mut block = Buffer::default();
        let mut plain = Buffer::default();
        let mut offset = 0;
        loop {
            let step = inflater.step(block.raw(), plain.spare());
            let (taken, made) = step.inspect_err(|_| drop(self.cut_short()))?;
            plain.extend(made);
            self.send_pieces(&[plain.raw()]).await?;
            plain.drop_raw(made);
            block.drop_raw(taken);
            if (taken, made) != (0, 0) {
                continue;
            }
            let read = match held.kept() {
                Some(kept) => {
                    block.append(stretch(kept.content(), Part { start: offset, len: u64::MAX }))
                }
                None => read_block(&held.file, &mut block, offset, u64::MAX).await?,
            };
            match read {
                0 if inflater.is_whole() => return Ok(()),
                0 => return Err(self.cut_short()),
                n => offset += n as u64,
            }
        }
    }

    /// The file ends before its time. If the client has had some of it, nothing may follow that
    /// would make it look whole.
    fn cut_short(&mut self) -> Error {
        if self.response.head_sent {
            self.link.set_broken();
        } else {
            self.gathered.clear();
            self.failed = true;
        }
        io::Error::from(io::ErrorKind::UnexpectedEof).into()
    }

    fn is_deflating(&self) -> bool {
        #[cfg(feature = "gzip")]
        return self.deflater.is_some();
        #[cfg(not(feature = "gzip"))]
        false
    }
}

/// Reads some more of a file into a buffer, at most `left` bytes.
async fn read_block(file: &File, block: &mut Buffer, offset: u64, left: u64) -> io::Result<usize> {
    let spare = block.spare();
    let most = left.min(spare.len() as u64) as usize;
    let n = file::read(file, spare.get_mut(..most).unwrap_or(&mut []), offset).await?;
    block.extend(n);
    Ok(n)
}

/// What there is of a stretch.
fn stretch(content: &[u8], part: Part) -> &[u8] {
    let size = content.len() as u64;
    let start = part.start.min(size);
    let end = start.saturating_add(part.len).min(size);
    content.get(start as usize..end as usize).unwrap_or(&[])
}
