//! The transport of one connection, with its deadlines.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Poll, ready};

use crate::io::buffer::Buffer;
use crate::io::clock::Watch;
use crate::io::stream::Stream;
use crate::{Error, Result};

/// How long a connection that is being closed may go on sending what nobody wants, in seconds.
const LINGER: u32 = 5;

/// And how much.
const LINGER_BYTES: usize = 64 << 20;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: Stream,
    pub(crate) watch: Watch,
    /// Something was cut off in the middle, so that nothing can be sent any more.
    broken: bool,
}

impl Link {
    pub(crate) fn new(stream: Stream, watch: Watch) -> Self {
        Link { stream, watch, broken: false }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Nothing more can be sent: what is on the wire is not what was announced.
    pub(crate) fn set_broken(&mut self) {
        self.broken = true;
    }

    /// Receives something before the deadline that was set; nothing at the end.
    pub(crate) async fn receive(&mut self, buffer: &mut Buffer) -> Result<usize> {
        let (stream, spare) = (&mut self.stream, buffer.spare());
        let read = self.watch.until(poll_fn(|cx| stream.poll_read(cx, spare))).await?;
        let n = read.or_else(|e| match e.kind() {
            // TLS that ends without a close_notify
            io::ErrorKind::UnexpectedEof => Ok(0),
            _ => Err(Error::Network(e)),
        })?;
        buffer.extend(n);
        Ok(n)
    }

    /// Waits for the first bytes of a request, up to `secs`, holding no buffer meanwhile. The
    /// server may end this wait for lack of room.
    pub(crate) async fn idle(&mut self, buffer: &mut Buffer, secs: u32) -> Result<usize> {
        let stream = &mut self.stream;
        let first = poll_fn(|cx| {
            ready!(stream.poll_readable(cx));
            let read = stream.poll_read(cx, buffer.spare());
            match &read {
                Poll::Ready(Ok(n)) => buffer.extend(*n),
                _ => buffer.release(),
            }
            read
        });
        self.watch.idle(secs, first).await?.map_err(Error::Network)
    }

    /// Writes all of `parts`, as long as some of it leaves every `secs` seconds. With `more`, what
    /// follows at once may share its packets.
    pub(crate) async fn write_all(
        &mut self,
        mut parts: &mut [IoSlice<'_>],
        more: bool,
        secs: u32,
    ) -> Result {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let stream = &mut self.stream;
            let write = poll_fn(|cx| stream.poll_write(cx, parts, more));
            let n = self.watch.within(secs, write).await;
            match self.sent(n)? {
                0 => return self.sent(Ok(Err(io::ErrorKind::WriteZero.into()))),
                n => IoSlice::advance_slices(&mut parts, n),
            }
        }
        let stream = &mut self.stream;
        let flushed = self.watch.within(secs, poll_fn(|cx| stream.poll_flush(cx))).await;
        self.sent(flushed)
    }

    /// Sends some of `file` from page cache to socket.
    pub(crate) async fn send_file(
        &mut self,
        file: &File,
        offset: &mut u64,
        count: u64,
        secs: u32,
    ) -> Result<usize> {
        let stream = &mut self.stream;
        let sent = poll_fn(|cx| stream.poll_send_file(cx, file, offset, count));
        let sent = self.watch.within(secs, sent).await;
        self.sent(sent)
    }

    fn sent<T>(&mut self, result: Result<io::Result<T>>) -> Result<T> {
        let result = result.and_then(|result| result.map_err(Error::Network));
        self.broken |= result.is_err();
        result
    }

    /// Ends the connection so that the peer gets all that was sent.
    ///
    /// With `unread`, it may still be sending: to close at once would make its kernel throw away
    /// our answer (RFC 9112, 9.6).
    pub(crate) async fn close(&mut self, unread: bool, buffer: &mut Buffer) {
        let stream = &mut self.stream;
        let shut = self.watch.idle(LINGER, poll_fn(|cx| stream.poll_shut_down(cx))).await;
        if shut.is_err() || !unread {
            return;
        }
        let mut left = LINGER_BYTES;
        let drained = poll_fn(|cx| {
            loop {
                buffer.clear();
                match ready!(stream.poll_read(cx, buffer.spare())) {
                    Ok(n) if n > 0 && n < left => left -= n,
                    _ => return Poll::Ready(()),
                }
            }
        });
        let _ = self.watch.idle(LINGER, drained).await;
    }
}
