//! The sending side of a connection.

use std::borrow::Cow;
use std::io::IoSlice;

use crate::cache::Held;
use crate::io::buffer;
use crate::kept::Kept;
use crate::response::Circumstances;
use crate::{Connection, Error, Result, Status};

/// Content that is copied behind its head.
const SMALL: u64 = 2048;

/// What [`Connection::send`] takes: anything that is bytes, or several such things.
///
/// That is a reference to anything that is `AsRef<[u8]>` (`&str`, `&String`, `&[u8]`, `&Vec<u8>`,
/// a byte string), an array of such references, or a tuple of up to eight things that are
/// `AsRef<[u8]>` themselves.
pub trait Content {
    /// What holds the pieces.
    type Pieces<'a>: AsRef<[&'a [u8]]>
    where
        Self: 'a;

    /// The pieces, in their order.
    fn pieces(&self) -> Self::Pieces<'_>;
}

impl<T: AsRef<[u8]> + ?Sized> Content for &T {
    type Pieces<'a>
        = [&'a [u8]; 1]
    where
        Self: 'a;

    fn pieces(&self) -> Self::Pieces<'_> {
        [(**self).as_ref()]
    }
}

impl<T: AsRef<[u8]> + ?Sized, const N: usize> Content for [&T; N] {
    type Pieces<'a>
        = [&'a [u8]; N]
    where
        Self: 'a;

    fn pieces(&self) -> Self::Pieces<'_> {
        self.each_ref().map(|piece| (**piece).as_ref())
    }
}

impl Content for String {
    type Pieces<'a> = [&'a [u8]; 1];

    fn pieces(&self) -> Self::Pieces<'_> {
        [self.as_bytes()]
    }
}

impl Content for Vec<u8> {
    type Pieces<'a> = [&'a [u8]; 1];

    fn pieces(&self) -> Self::Pieces<'_> {
        [self]
    }
}

impl Content for Cow<'_, str> {
    type Pieces<'a>
        = [&'a [u8]; 1]
    where
        Self: 'a;

    fn pieces(&self) -> Self::Pieces<'_> {
        [self.as_bytes()]
    }
}

macro_rules! tuples {
    ($(($($name:ident $place:tt)*) $n:literal)*) => {
        $(
            impl<$($name: AsRef<[u8]>),*> Content for ($($name,)*) {
                type Pieces<'a> = [&'a [u8]; $n] where Self: 'a;

                fn pieces(&self) -> Self::Pieces<'_> {
                    [$(self.$place.as_ref()),*]
                }
            }
        )*
    };
}

tuples! {
    (A 0 B 1) 2
    (A 0 B 1 C 2) 3
    (A 0 B 1 C 2 D 3) 4
    (A 0 B 1 C 2 D 3 E 4) 5
    (A 0 B 1 C 2 D 3 E 4 F 5) 6
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6) 7
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7) 8
}

impl Connection {
    /// Sets a response header, in place of any of the same name.
    ///
    /// `Content-Length` is a promise: sending more is an error, and sending less closes the
    /// connection. `Connection: close` closes it after the response. How the body is framed is for
    /// the server to say, so `Transfer-Encoding` can only be `chunked` and changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::HeadSent`] once the head is on the wire; [`Error::Invalid`] for a name that is no
    /// token, for CR, LF, NUL or another control character in the value, and for a framing that
    /// cannot be.
    pub fn add_header(&mut self, name: &str, value: &str) -> Result {
        self.response.set_field(name, value.as_bytes(), true)
    }

    /// Adds a response header beside any of the same name, as `Set-Cookie` needs.
    ///
    /// # Errors
    ///
    /// Like [`add_header`](Self::add_header).
    pub fn append_header(&mut self, name: &str, value: &str) -> Result {
        self.response.set_field(name, value.as_bytes(), false)
    }

    /// Likewise, for a value that need not be UTF-8, such as one that is passed on.
    ///
    /// # Errors
    ///
    /// Like [`add_header`](Self::add_header).
    pub fn append_header_bytes(&mut self, name: &str, value: &[u8]) -> Result {
        self.response.set_field(name, value, false)
    }

    /// Sets the response status, which is `200 OK` otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::HeadSent`] once the head is on the wire.
    pub fn set_status(&mut self, status: Status) -> Result {
        self.response.set_status(status, None)
    }

    /// Sets the response status with a reason phrase of one's own.
    ///
    /// # Errors
    ///
    /// [`Error::HeadSent`], and [`Error::Invalid`] for a control character in the phrase.
    pub fn set_status_reason(&mut self, status: Status, reason: &str) -> Result {
        self.response.set_status(status, Some(reason))
    }

    /// Answers with `status` and no content, and closes the connection.
    ///
    /// # Errors
    ///
    /// [`Error::HeadSent`], and those of the connection.
    pub async fn send_error(&mut self, status: Status) -> Result {
        self.set_status(status)?;
        self.error_content(&[]).await
    }

    /// Answers with `status`, a reason phrase (empty for the usual one) and content, and closes the
    /// connection.
    ///
    /// # Errors
    ///
    /// Like [`send_error`](Self::send_error) and [`set_status_reason`](Self::set_status_reason).
    pub async fn send_error_with(
        &mut self,
        status: Status,
        reason: &str,
        content: impl Content,
    ) -> Result {
        self.set_status_reason(status, reason)?;
        let pieces = content.pieces();
        self.error_content(pieces.as_ref()).await
    }

    async fn error_content(&mut self, pieces: &[&[u8]]) -> Result {
        self.keep_alive = false;
        self.failed = false;
        self.gathered.clear();
        // What was said of the content that is not sent; its type may be that of the new one.
        let kind = self.response.field("content-type").map(str::to_owned);
        self.response.drop_content();
        if let Some(kind) = kind.filter(|_| !pieces.is_empty()) {
            self.response.set_field("Content-Type", kind.as_bytes(), true)?;
        }
        self.send_pieces(pieces).await?;
        self.write(&[], true).await
    }

    /// Answers with `status`, and keeps the connection if it can be kept.
    ///
    /// The content is a short page where [`Options::error_pages`](crate::Options::error_pages) asks
    /// for it, and empty otherwise. Headers that were set stay, but for those that describe a
    /// content.
    ///
    /// # Errors
    ///
    /// [`Error::HeadSent`], and those of the connection.
    pub async fn answer(&mut self, status: Status) -> Result {
        self.response.drop_content();
        self.error_page(status).await
    }

    /// Likewise, with what is said of the content so far.
    pub(crate) async fn error_page(&mut self, status: Status) -> Result {
        self.response.set_status(status, None)?;
        self.gathered.clear();
        if status == Status::SERVICE_UNAVAILABLE {
            self.response.set_field("Retry-After", b"1", true)?;
        }
        if self.options.error_pages && status.code() >= 400 {
            self.response.set_field("Content-Type", b"text/html; charset=utf-8", true)?;
            let page = format!("<!DOCTYPE html>\n<title>{status}</title>\n<h1>{status}</h1>\n");
            self.send_pieces(&[page.as_bytes()]).await?;
        }
        self.write(&[], true).await
    }

    /// Sends the client to another location, with a status of 300 to 308.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for any other status, and for a location with control characters.
    pub async fn redirect(&mut self, status: Status, location: &str) -> Result {
        if !(300..=308).contains(&status.code()) {
            return Err(Error::Invalid("a redirect whose status is not 300 to 308"));
        }
        self.add_header("Location", location)?;
        self.answer(status).await
    }

    /// Adds to the response body. What fits is gathered; the rest goes to the wire.
    ///
    /// ```
    /// # use ecohttpd::{Connection, Request, Result};
    /// async fn hello(con: &mut Connection, req: &mut Request) -> Result {
    ///     con.send("<h1>Hello</h1>\n").await?;
    ///     con.send(&format!("<p>{} bytes</p>\n", 12)).await?;
    ///     con.send(("<p>", req.method(), " ", req.path().to_uppercase(), "</p>\n")).await?;
    ///     con.send(["<p>", "several of a kind", "</p>\n"]).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::HeadSent`] if the response is over, [`Error::Invalid`] if that is more than the
    /// Content-Length, [`Error::Timeout`] if the client takes nothing for too long, and those of the
    /// connection.
    pub async fn send(&mut self, content: impl Content) -> Result {
        let pieces = content.pieces();
        self.send_pieces(pieces.as_ref()).await
    }

    pub(crate) async fn send_pieces(&mut self, pieces: &[&[u8]]) -> Result {
        for piece in pieces {
            if self.response.ended {
                return Err(Error::HeadSent);
            }
            if piece.len() <= self.gathered.room() {
                self.gathered.append(piece);
            } else {
                self.write(piece, false).await?;
            }
        }
        Ok(())
    }

    /// Puts everything sent so far on the wire, the head first.
    ///
    /// A response that takes its time, such as server-sent events, calls it after each event.
    ///
    /// # Errors
    ///
    /// Like [`send`](Self::send).
    pub async fn flush(&mut self) -> Result {
        self.write(&[], false).await
    }

    /// Writes the head if it is due, what has been gathered, and `data`, in one go.
    pub(crate) fn write(&mut self, data: &[u8], last: bool) -> impl Future<Output = Result> {
        self.write_before(data, last, false, None)
    }

    /// Likewise; with `more`, what follows at once may share its packets. Where it is all there is to a
    /// response, that can be kept with a file.
    pub(crate) async fn write_before(
        &mut self,
        data: &[u8],
        last: bool,
        more: bool,
        to_keep: Option<&Held>,
    ) -> Result {
        if self.response.ended {
            return if data.is_empty() { Ok(()) } else { Err(Error::HeadSent) };
        }
        let len = self.gathered.raw().len() as u64 + data.len() as u64;
        // Looked at before there is a head, so that there can be another answer.
        self.response.allows(len)?;
        let mut head = self.shared.scratch.take();
        head.clear();
        if !self.response.head_sent {
            self.head(&mut head, last.then_some(len));
        }
        #[cfg(feature = "gzip")]
        if self.deflater.is_some() {
            return Box::pin(self.write_deflated(&head, data, last)).await;
        }
        if let Some(held) = to_keep {
            held.keep(Kept::behind(&head, data, self.shared.dated(0)));
        }
        let secs = self.options.write_timeout;
        let frame = self.response.frame(len, last);
        let shown = |bytes| if frame.silent { &[][..] } else { bytes };
        let (mut gathered, mut data) = (shown(self.gathered.raw()), shown(data));
        // To copy what is small costs less than to have the kernel gather it.
        if !head.is_empty() && frame.before().is_empty() && len <= SMALL {
            for part in [&mut gathered, &mut data].into_iter().filter(|part| !part.is_empty()) {
                head.extend_from_slice(std::mem::take(part));
            }
        }
        let parts = [&head[..], frame.before(), gathered, data, frame.after.as_bytes()];
        self.link.write_all(&mut parts.map(IoSlice::new), more, secs).await?;
        self.response.count(&frame, len);
        self.gathered.clear();
        if head.capacity() <= buffer::SIZE {
            self.shared.scratch.set(head);
        }
        Ok(())
    }

    /// Appends the response head; `length` is that of the body, if it is known by now.
    fn head(&mut self, head: &mut Vec<u8>, length: Option<u64>) {
        #[cfg(feature = "gzip")]
        let coded = self.begin_deflating(length);
        #[cfg(not(feature = "gzip"))]
        let coded = false;
        let can_stay = self.response.begin(length, coded);
        self.keep_alive &= can_stay && !self.must_close(length);
        let (start, options) = (self.shared.start(), &self.options);
        let it = Circumstances {
            start: &start,
            server: &options.server,
            always: &options.headers,
            keep_alive: self.keep_alive,
        };
        let behind = length.filter(|&length| length <= SMALL).unwrap_or(0);
        self.response.head(head, &it, behind as usize);
    }

    /// Whether the connection has to end with a response whose body has that length, if it is known.
    pub(crate) fn must_close(&self, length: Option<u64>) -> bool {
        self.response.closes
            || self.shared.is_draining()
            || self.shared.is_crowded()
            || self.gate.is_closed()
            || self.awaits_continue && self.received.raw().is_empty()
            || length.is_some() && self.leaves_too_much()
    }

    /// Whether a response that is complete leaves more of the request unread than is worth reading.
    fn leaves_too_much(&self) -> bool {
        self.body.left().is_some_and(|left| left > self.options.max_discard)
    }
}
