//! The transport of one connection, with its deadlines.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

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
    /// What is on the wire is in the middle of something. So it is for as long as a write lasts; if
    /// it stays so, because that failed or was given up, nothing can be sent any more.
    broken: bool,
}

impl Link {
    pub(crate) fn new(stream: Stream, watch: Watch) -> Self {
        Link { stream, watch, broken: false }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Begins something of which all has to be written. If it is not, nothing can follow.
    pub(crate) fn begin_frame(&mut self) -> Result {
        if self.broken {
            return Err(Error::Closed);
        }
        self.broken = true;
        Ok(())
    }

    /// All of it was written.
    pub(crate) fn end_frame(&mut self) {
        self.broken = false;
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

    /// Polls for the first bytes of a request, until the deadline that was set for this idleness, and holds
    /// no buffer meanwhile. For lack of room the server may end it. Whoever got bytes arms the watch for
    /// something else, which ends the idleness.
    ///
    /// Not async: idle connections are many, and a future would have all of this twice.
    pub(crate) fn poll_idle(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<Result<usize>> {
        let Link { stream, watch, .. } = self;
        if stream.poll_readable(cx).is_ready() {
            let read = stream.poll_read(cx, buffer.spare());
            if let Poll::Ready(read) = read {
                return Poll::Ready(read.map_err(Error::Network).inspect(|&n| buffer.extend(n)));
            }
            buffer.release();
        }
        ready!(watch.poll_idle(cx));
        // A request may have come that nobody has told of yet; then it is answered.
        stream.expect_bytes();
        match stream.poll_read(cx, buffer.spare()) {
            Poll::Ready(Ok(n @ 1..)) => {
                buffer.extend(n);
                Poll::Ready(Ok(n))
            }
            _ => {
                buffer.release();
                Poll::Ready(Err(Error::Timeout))
            }
        }
    }

    /// Writes all of `parts`, as long as some of it leaves every `secs` seconds. With `more`, what
    /// follows at once may share its packets.
    pub(crate) async fn write_all(
        &mut self,
        parts: &mut [IoSlice<'_>],
        more: bool,
        secs: u32,
    ) -> Result {
        self.begin_frame()?;
        self.write_part(parts, more, secs).await?;
        self.end_frame();
        Ok(())
    }

    /// Likewise, in the middle of a frame.
    pub(crate) async fn write_part(
        &mut self,
        mut parts: &mut [IoSlice<'_>],
        more: bool,
        secs: u32,
    ) -> Result {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let stream = &mut self.stream;
            let write = poll_fn(|cx| stream.poll_write(cx, parts, more));
            match self.watch.within(secs, write).await?.map_err(Error::Network)? {
                0 => return Err(Error::Network(io::ErrorKind::WriteZero.into())),
                n => IoSlice::advance_slices(&mut parts, n),
            }
        }
        if !self.stream.is_tls() {
            return Ok(());
        }
        let stream = &mut self.stream;
        let flushed = poll_fn(|cx| stream.poll_flush(cx));
        self.watch.within(secs, flushed).await?.map_err(Error::Network)
    }

    /// Sends some of `file` from page cache to socket, in the middle of a frame.
    pub(crate) async fn send_file(
        &mut self,
        file: &File,
        offset: &mut u64,
        count: u64,
        secs: u32,
    ) -> Result<usize> {
        let stream = &mut self.stream;
        let sent = poll_fn(|cx| stream.poll_send_file(cx, file, offset, count));
        self.watch.within(secs, sent).await?.map_err(Error::Network)
    }

    /// Ends the connection so that the peer gets all that was sent.
    ///
    /// If it may still be sending, to close at once would make its kernel throw away our answer (RFC
    /// 9112, 9.6): then its end is waited for, with `linger`.
    pub(crate) async fn close(&mut self, linger: bool, buffer: &mut Buffer) {
        let stream = &mut self.stream;
        let shut = self.watch.idle(LINGER, 0, poll_fn(|cx| stream.poll_shut_down(cx))).await;
        if shut.is_err() || !linger {
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
        let _ = self.watch.idle(LINGER, 0, drained).await;
    }
}
