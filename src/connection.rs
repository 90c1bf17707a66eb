//! One client, from its first byte to its last.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::accept::Gate;
use crate::io::buffer::Buffer;
use crate::io::clock::Watch;
use crate::io::socket::NOWHERE;
use crate::io::stream::Stream;
use crate::link::Link;
use crate::peer::Peer;
use crate::rare::Rare;
use crate::response::Response;
use crate::shared::Place;
use crate::wire::body::Body;
use crate::wire::head;
use crate::wire::search::Search;
use crate::{Error, Options, Request, Result, Status, Timer};

/// Seconds for which a new connection is not made to go for a newer one, though it has not asked for
/// anything yet.
pub(crate) const FRESH: u32 = 1;

/// One client, and the response to its current request.
///
/// What is sent is gathered in a buffer of 8 KiB. If the whole response fits, it leaves in one piece
/// with its exact Content-Length when the handler returns; otherwise it is chunked, or ended by the
/// connection's end for HTTP/1.0.
#[derive(Debug)]
pub struct Connection {
    pub(crate) link: Link,
    pub(crate) received: Buffer,
    /// Received content lent out by the last event, to be consumed at the next.
    pub(crate) lent: u16,
    pub(crate) body: Body,
    /// Content of the request body so far.
    pub(crate) body_read: u64,
    pub(crate) body_timeout: u32,
    /// The client waits for a 100 (Continue) before it sends the body.
    pub(crate) awaits_continue: bool,
    pub(crate) response: Response,
    /// Response content not on the wire yet.
    pub(crate) gathered: Buffer,
    #[cfg(feature = "gzip")]
    pub(crate) deflater: Option<Box<crate::gzip::Deflater>>,
    #[cfg(feature = "gzip")]
    pub(crate) takes_gzip: bool,
    pub(crate) keep_alive: bool,
    /// The client will send no other request.
    client_closes: bool,
    /// What has been received does not end where a request would begin.
    pub(crate) out_of_step: bool,
    /// A file that was to be sent was not what it should be, and nothing took its place.
    pub(crate) failed: bool,
    /// It has sent something that was to be a request.
    has_asked: bool,
    /// Who the client is, for the log.
    pub(crate) user: Rare,
    peer: Peer,
    /// Asked of the system once, if at all.
    local: OnceCell<Box<SocketAddr>>,
    /// Where it came in.
    pub(crate) gate: Rc<Gate>,
    /// Those that count for the current request.
    pub(crate) options: Rc<Options>,
    /// Its place, given up after all else of it.
    pub(crate) shared: Place,
}

impl Connection {
    pub(crate) fn new(stream: Stream, peer: SocketAddr, gate: Rc<Gate>, shared: Place) -> Self {
        let options = shared.options();
        Connection {
            link: Link::new(stream, Watch::new(shared.clock.clone())),
            received: Buffer::default(),
            lent: 0,
            body: Body::none(),
            body_read: 0,
            body_timeout: options.body_timeout,
            awaits_continue: false,
            response: Response::new(false, false),
            gathered: Buffer::default(),
            #[cfg(feature = "gzip")]
            deflater: None,
            #[cfg(feature = "gzip")]
            takes_gzip: false,
            keep_alive: false,
            client_closes: false,
            out_of_step: false,
            failed: false,
            has_asked: false,
            user: Rare::default(),
            peer: peer.into(),
            local: OnceCell::new(),
            gate,
            options,
            shared,
        }
    }

    /// The client's address; `0.0.0.0:0` at the other end of a Unix socket.
    pub fn remote_addr(&self) -> SocketAddr {
        self.peer.into()
    }

    /// The address the client connected to.
    pub fn local_addr(&self) -> SocketAddr {
        **self.local.get_or_init(|| self.link.stream.local_addr().unwrap_or(NOWHERE).into())
    }

    /// Whether this is HTTPS.
    pub fn is_tls(&self) -> bool {
        self.link.stream.is_tls()
    }

    /// The name the client asked the TLS session for (Server Name Indication).
    pub fn server_name(&self) -> Option<&str> {
        self.link.stream.server_name()
    }

    /// The status of the response, as it is set so far.
    pub fn status(&self) -> Status {
        self.response.status
    }

    /// Says who the client of this request is, for [`Access::user`](crate::Access::user).
    pub fn set_user(&mut self, user: &str) {
        self.user.set(Some(user));
    }

    /// A deadline for what a handler waits for beside this connection.
    pub fn timer(&self) -> Timer {
        Timer(Watch::new(self.shared.clock.clone()))
    }

    /// Waits until the client has ended its side of the connection.
    ///
    /// That may mean that it is gone, and nobody wants the answer any more; or only that it will
    /// send nothing more, as RFC 9112 lets it.
    pub async fn hung_up(&self) {
        poll_fn(|cx| self.link.stream.poll_ended(cx)).await;
    }

    /// The options of the server; while a request is under way, those that it began with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Sets how long the first byte of a request is to be waited for, and for how much of that this
    /// connection is spared; false if it is there.
    pub(crate) fn begin_idle(&mut self) -> Result<bool> {
        self.received.release();
        if !self.received.raw().is_empty() {
            return Ok(false);
        }
        if self.shared.is_draining() {
            return Err(Error::Closed);
        }
        self.options = self.shared.options();
        let options = &self.options;
        // The first request may be on its way still.
        let (secs, grace) = match self.has_asked {
            false => (options.head_timeout, FRESH),
            true => (options.http_keepalive, 0),
        };
        self.link.watch.arm_idle(secs, grace);
        self.shared.told_idle();
        Ok(true)
    }

    /// Polls for it: how much came.
    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        self.link.poll_idle(cx, &mut self.received)
    }

    /// Receives and parses a request head, all of it before one deadline.
    pub(crate) async fn read_head(&mut self) -> Result<Box<Request>> {
        self.has_asked = true;
        self.response = Response::new(false, false);
        self.keep_alive = false;
        self.client_closes = false;
        self.out_of_step = true;
        self.failed = false;
        self.user.set(None);
        self.options = self.shared.options();
        let options = &self.options;
        let most = options.max_head.min(crate::io::buffer::SIZE);
        self.link.watch.arm(options.head_timeout);
        let (mut search, mut checked) = (Search::default(), false);
        let (end, over) = loop {
            while let n @ 1.. = head::blank(self.received.raw()) {
                self.received.drop_raw(n);
            }
            let raw = self.received.raw();
            if raw.starts_with(b"HEAD ") {
                // Whatever is wrong with it, its answer has no content.
                self.response = Response::new(true, false);
            }
            if head::is_hopeless(raw) && raw != b"\r" {
                return Err(Error::Malformed("request line"));
            }
            // Nothing is waited for until it is back or parsed in, so that it is what the search knows.
            let over = self.shared.over.take();
            match search.end(raw, over.as_ref().map(|over| &over.head().section)) {
                Some(end) if end <= most => break (end, over),
                // One that was compared and is another goes: the time that takes would tell, guess by
                // guess, what somebody else had sent.
                None if raw.len() < most => {
                    self.shared.over.set(over.filter(|_| !search.is_unknown()));
                }
                _ => return Err(head_too_large(raw.get(..most).unwrap_or(raw))),
            }
            // Only of a head that comes in pieces; one that is there is parsed once.
            if !checked {
                head::check_line(raw)?;
                checked = raw.contains(&b'\n');
            }
            if self.link.receive(&mut self.received).await? == 0 {
                return Err(Error::Closed);
            }
        };
        // They may be others by now, and the handler is to find those that count when it begins.
        self.options = self.shared.options();
        let raw = self.received.raw().get(..end).unwrap_or(&[]);
        let req = Request::parse(raw, &search, self.options.max_headers, over)?;
        self.response = Response::new(req.is_head(), req.minor_version() == 0);
        self.received.drop_raw(end);
        self.body = Body::new(req.head().framing);
        self.body_read = 0;
        self.body_timeout = self.options.body_timeout;
        self.lent = 0;
        self.out_of_step = false;
        if req.content_length().is_some_and(|n| n > self.options.max_body) {
            return Err(Error::TooLarge("request body"));
        }
        self.client_closes = !req.head().keep_alive;
        self.keep_alive = req.head().keep_alive && self.options.http_keepalive > 0;
        self.awaits_continue = req.head().expects_continue && !self.body.is_over();
        #[cfg(feature = "gzip")]
        {
            self.takes_gzip = self.options.gzip && crate::gzip::is_wanted(&req);
        }
        Ok(req)
    }

    /// Ends the response; whether another request may follow.
    pub(crate) async fn finish(&mut self) -> Result<bool> {
        if self.link.is_broken() {
            return Err(Error::Closed);
        }
        if self.failed && !self.response.head_sent {
            return Err(Error::Status(Status::INTERNAL_SERVER_ERROR, "file cut short"));
        }
        if !self.response.ended {
            self.write(&[], true).await?;
        }
        if self.response.fell_short() {
            self.link.set_broken();
            return Err(Error::Invalid("less than the Content-Length"));
        }
        if !self.keep_alive || self.discard().await.is_err() {
            return Ok(false);
        }
        Ok(true)
    }

    /// Answers an error, if that is still possible.
    pub(crate) async fn fail(&mut self, e: Error) -> Result<bool> {
        match e.status().filter(|_| !self.response.head_sent && !self.link.is_broken()) {
            Some(status) => {
                self.response.reset();
                self.gathered.clear();
                self.keep_alive = false;
                self.answer(status).await?;
                Ok(false)
            }
            None => Err(e),
        }
    }

    /// Whether the client may still be sending, be it what nobody will read or its next request: it
    /// knows of the end only if it asked for it.
    fn may_send(&self) -> bool {
        let unread = self.out_of_step || !self.body.is_over() || !self.received.raw().is_empty();
        unread || (self.has_asked && !self.client_closes)
    }

    /// What ends here has not come to its end. The framing says so, but for a body that lasts until
    /// the connection ends.
    pub(crate) fn abort(&self) {
        if self.response.ends_with_connection() {
            self.link.stream.set_reset();
        }
    }

    /// Ends the connection in good order.
    pub(crate) async fn close(&mut self) {
        let linger = self.may_send();
        self.gathered.clear();
        self.link.close(linger, &mut self.received).await;
    }

    /// Ends the connection while nothing is under way, for lack of time or room.
    pub(crate) async fn end_idle(&mut self) {
        self.link.close(false, &mut self.received).await;
    }
}

/// A request line that does not fit has a status of its own.
fn head_too_large(raw: &[u8]) -> Error {
    if raw.contains(&b'\n') {
        Error::Status(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, "header section")
    } else {
        Error::Status(Status::URI_TOO_LONG, "request line")
    }
}
