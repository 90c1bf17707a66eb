//! The receiving side of a connection: request bodies, in place.

use std::io::IoSlice;

use crate::wire::body::{Piece, TrailerLimits};
use crate::{Connection, Error, Result};

impl Connection {
    /// Some more of the request body, in place in the receive buffer; empty when there is no more.
    ///
    /// Of a chunked body it is the content. Each piece has at most 8192 bytes, and is gone with the
    /// next call.
    ///
    /// ```
    /// # use ecohttpd::{Connection, Result};
    /// async fn count(con: &mut Connection) -> Result<u64> {
    ///     let mut n = 0;
    ///     loop {
    ///         match con.read_body().await? {
    ///             [] => return Ok(n),
    ///             piece => n += piece.len() as u64,
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the client hung up, [`Error::Timeout`] if it was silent for too long,
    /// [`Error::Malformed`] and [`Error::TooLarge`] for what they say. The body ends there.
    pub async fn read_body(&mut self) -> Result<&[u8]> {
        self.settle();
        if self.received.content().is_empty() {
            self.receive().await?;
        }
        self.lent = self.received.content().len() as u16;
        Ok(self.received.content())
    }

    /// Fills `buf` from the request body and says how much that was: less than all of it only where
    /// the body ends.
    ///
    /// # Errors
    ///
    /// Like [`read_body`](Self::read_body).
    pub async fn read_body_into(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.settle();
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            if self.received.content().is_empty() {
                self.receive().await?;
            }
            let content = self.received.content();
            let n = content.len().min(rest.len());
            match (rest.get_mut(..n), content.get(..n)) {
                (Some(to), Some(from)) if n > 0 => to.copy_from_slice(from),
                _ => break,
            }
            self.received.consume(n);
            done += n;
        }
        Ok(done)
    }

    /// The rest of the request body, whole.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if it has more than `limit` bytes, which is answered with 413, and those
    /// of [`read_body`](Self::read_body).
    pub async fn read_body_to_end(&mut self, limit: usize) -> Result<Vec<u8>> {
        self.settle();
        let too_large = |n: u64| n > limit as u64;
        let have = self.received.content().len() as u64;
        if self.body.left().is_some_and(|left| too_large(left.saturating_add(have))) {
            return Err(Error::TooLarge("request body"));
        }
        let mut all = Vec::new();
        loop {
            match self.read_body().await? {
                [] => return Ok(all),
                piece if too_large((all.len() + piece.len()) as u64) => {
                    return Err(Error::TooLarge("request body"));
                }
                piece => all.extend_from_slice(piece),
            }
        }
    }

    /// Sets how long the client of this request may be silent in the middle of its body, in
    /// seconds. It is [`Options::body_timeout`](crate::Options::body_timeout) otherwise.
    pub fn set_body_timeout(&mut self, secs: u32) {
        self.body_timeout = secs;
    }

    /// Reads the rest of the request body and drops it. What a handler leaves unread is dropped by
    /// itself.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if there is more than
    /// [`Options::max_discard`](crate::Options::max_discard), [`Error::Timeout`] if it does not all
    /// come within the body's timeout, and those of [`read_body`](Self::read_body).
    pub async fn discard_body(&mut self) -> Result {
        self.discard().await
    }

    pub(crate) async fn discard(&mut self) -> Result {
        const TOO_LARGE: Error = Error::TooLarge("unread request body");
        self.settle();
        let most = self.options.max_discard;
        if self.body.left().is_some_and(|left| left > most) {
            return Err(TOO_LARGE);
        }
        if self.body.is_over() && self.received.content().is_empty() {
            return Ok(());
        }
        self.link.watch.arm(self.body_timeout);
        let mut dropped = 0;
        loop {
            self.decode()?;
            let n = self.received.content().len();
            dropped += n as u64;
            self.received.consume(n);
            if dropped > most {
                return Err(TOO_LARGE);
            }
            if self.body.is_over() {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// Consumes what the last event lent.
    pub(crate) fn settle(&mut self) {
        let lent = std::mem::take(&mut self.lent);
        self.received.consume(lent.into());
    }

    /// Receives until there is more content than before, or the body is over.
    pub(crate) async fn receive(&mut self) -> Result {
        let before = self.received.content().len();
        loop {
            self.decode()?;
            if self.received.content().len() > before || self.body.is_over() {
                return Ok(());
            }
            self.link.watch.arm(self.body_timeout);
            self.fill().await?;
        }
    }

    /// Makes content of what is raw, as far as it goes.
    fn decode(&mut self) -> Result {
        let options = &self.options;
        let limits = TrailerLimits {
            bytes: options.max_head.try_into().unwrap_or(u32::MAX),
            fields: options.max_headers.try_into().unwrap_or(u32::MAX),
        };
        loop {
            let piece = self.body.next(self.received.raw(), limits);
            match piece.inspect_err(|_| self.out_of_step = true)? {
                Piece::More | Piece::End => return Ok(()),
                Piece::Framing(n) => self.received.drop_raw(n),
                Piece::Data(n) => {
                    self.awaits_continue = false; // it has not waited
                    self.received.take_raw(n);
                    self.body_read = self.body_read.saturating_add(n as u64);
                    if self.body_read > options.max_body {
                        return Err(Error::TooLarge("request body"));
                    }
                }
            }
        }
    }

    /// Receives some more of the body, before the deadline that was set.
    async fn fill(&mut self) -> Result {
        if self.awaits_continue {
            // Some send the body at once all the same.
            if self.received.raw().is_empty() && !self.response.head_sent {
                let mut interim = [IoSlice::new(b"HTTP/1.1 100 Continue\r\n\r\n")];
                let secs = self.options.write_timeout;
                self.link.write_all(&mut interim, false, secs).await?;
                self.link.watch.arm(self.body_timeout);
            }
            self.awaits_continue = false;
        }
        if self.received.spare().is_empty() {
            return Err(Error::TooLarge("line of a form"));
        }
        match self.link.receive(&mut self.received).await {
            Ok(0) => Err(Error::Truncated),
            Ok(_) => Ok(()),
            Err(e) => Err(e),
        }
        .inspect_err(|_| self.out_of_step = true)
    }
}
