//! A response: its head, and how its body is framed. Knows no socket.

use std::rc::Rc;

use crate::fields::{Fields, check_field, trim};
use crate::frame::Frame;
use crate::rare::Rare;
use crate::wire::status::Status;
use crate::wire::{MOST_DIGITS, is_value_byte, number, push_number, write_number};
use crate::{Error, Result};

/// The status line of most responses.
pub(crate) const USUAL: &str = "HTTP/1.1 200 OK\r\n";

/// What the rest of a head takes.
const HEAD: usize = 160;

/// The response to one request, as far as it has come.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: Status,
    reason: Rare,
    /// None, where none was set.
    fields: Option<Rc<Fields>>,
    pub(crate) head_sent: bool,
    pub(crate) ended: bool,
    /// Before there is a head: how long the handler says that the body is, if it has said so.
    framing: Framing,
    head_only: bool,
    http10: bool,
    /// Whether the handler wants the connection closed.
    pub(crate) closes: bool,
    /// Bytes of content sent.
    pub(crate) sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    Chunked,
    /// The end of the connection ends the body.
    Close,
    /// There is none.
    None,
}

/// What of the head is not the handler's.
#[derive(Debug)]
pub(crate) struct Circumstances<'a> {
    /// The usual status line, and that of the date.
    pub(crate) start: &'a str,
    pub(crate) server: &'a str,
    /// Fields of every response that does not have them itself.
    pub(crate) always: &'a [(String, String)],
    pub(crate) keep_alive: bool,
}

impl Response {
    pub(crate) fn new(head_only: bool, http10: bool) -> Self {
        Response {
            status: Status::OK,
            reason: Rare::default(),
            fields: None,
            head_sent: false,
            ended: false,
            framing: Framing::None,
            head_only,
            http10,
            closes: false,
            sent: 0,
        }
    }

    /// Whether content is counted but not sent.
    pub(crate) fn head_only(&self) -> bool {
        self.head_only
    }

    fn open(&self) -> Result {
        if self.head_sent { Err(Error::HeadSent) } else { Ok(()) }
    }

    pub(crate) fn set_status(&mut self, status: Status, reason: Option<&str>) -> Result {
        self.open()?;
        if reason.is_some_and(|text| !text.bytes().all(is_value_byte)) {
            return Err(Error::Invalid("a control character in a reason phrase"));
        }
        self.status = status;
        self.reason.set(reason.filter(|text| !text.is_empty()));
        Ok(())
    }

    /// Sets a field, in place of those of its name or beside them.
    pub(crate) fn set_field(&mut self, name: &str, value: &[u8], replace: bool) -> Result {
        self.open()?;
        check_field(name, value)?;
        let value = trim(value);
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("content-length") {
            let n = number(value);
            self.set_length(n.ok_or(Error::Invalid("a Content-Length that is no number"))?);
            return Ok(());
        }
        if is("transfer-encoding") {
            // How the body is framed is for us to say; this is what it says by itself.
            return match value.eq_ignore_ascii_case(b"chunked") {
                true => Ok(()),
                false => Err(Error::Invalid("a Transfer-Encoding other than chunked")),
            };
        }
        if is("connection") {
            if value.eq_ignore_ascii_case(b"close") {
                self.closes = true;
            } else if !value.eq_ignore_ascii_case(b"keep-alive") {
                return Err(Error::Invalid("a Connection field other than close or keep-alive"));
            }
            return Ok(());
        }
        self.put(name, value, replace);
        Ok(())
    }

    /// Likewise, for a field of the server's own, which can be sent and is not about framing.
    pub(crate) fn put(&mut self, name: &str, value: &[u8], replace: bool) {
        if replace {
            self.remove_field(name);
        }
        Rc::make_mut(self.fields.get_or_insert_default()).add(name, value);
    }

    /// Whether no field was set.
    pub(crate) fn is_bare(&self) -> bool {
        self.fields.is_none()
    }

    /// Whether nothing is known of it yet by which its head would differ from most, but for its fields.
    pub(crate) fn is_usual(&self) -> bool {
        !self.head_only && !self.http10 && !self.head_sent && self.reason.get().is_none()
    }

    /// All of it leaves at once, as somebody else has put it together.
    pub(crate) fn set_over(&mut self) {
        self.head_sent = true;
        self.ended = true;
        self.framing = Framing::Length(0);
    }

    /// The fields that were set.
    pub(crate) fn fields_set(&self) -> Option<&Rc<Fields>> {
        self.fields.as_ref()
    }

    /// Has these fields, where none was set.
    pub(crate) fn set_fields(&mut self, fields: &Rc<Fields>) {
        self.fields = Some(fields.clone());
    }

    pub(crate) fn remove_field(&mut self, name: &str) {
        if !self.has(name) {
            return;
        }
        if let Some(fields) = &mut self.fields {
            Rc::make_mut(fields).remove(name);
        }
    }

    /// The value of a field that was set.
    pub(crate) fn field<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.fields(name).next()
    }

    /// The values of all fields of a name.
    pub(crate) fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().flat_map(move |fields| fields.values(name))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.as_deref().is_some_and(|fields| fields.has(name))
    }

    pub(crate) fn set_length(&mut self, length: u64) {
        if !self.head_sent {
            self.framing = Framing::Length(length);
        }
    }

    pub(crate) fn has_length(&self) -> bool {
        matches!(self.framing, Framing::Length(_))
    }

    /// What the body will be long, as far as that was said.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            _ => None,
        }
    }

    /// Forgets what described a content that will not be sent.
    pub(crate) fn drop_content(&mut self) {
        if !self.head_sent {
            self.framing = Framing::None;
        }
        for name in [
            "content-type",
            "content-encoding",
            "content-range",
            "content-disposition",
            "etag",
            "last-modified",
            "cache-control",
            "expires",
            "accept-ranges",
        ] {
            self.remove_field(name);
        }
    }

    /// Forgets everything a handler said.
    pub(crate) fn reset(&mut self) {
        *self = Response::new(self.head_only, self.http10);
    }

    fn has_no_body(&self) -> bool {
        self.status.bodiless() || self.status == Status::RESET_CONTENT
    }

    /// Whether its head is all that is sent, whatever else there is.
    pub(crate) fn is_silent(&self) -> bool {
        self.head_only || self.has_no_body()
    }

    /// Decides how the body is framed; whether the connection can be kept with that.
    pub(crate) fn begin(&mut self, length: Option<u64>, coded: bool) -> bool {
        self.framing = match self.length().or(length).filter(|_| !coded) {
            _ if self.has_no_body() => Framing::None,
            Some(n) => Framing::Length(n),
            None if self.http10 => Framing::Close,
            None => Framing::Chunked,
        };
        self.head_sent = true;
        // After a final 1xx somebody else's protocol would begin.
        self.framing != Framing::Close && self.status.code() >= 200
    }

    /// Appends the head as it goes to the wire; [`begin`](Self::begin) comes first.
    /// There is room behind it for so many bytes.
    pub(crate) fn head(&self, head: &mut Vec<u8>, it: &Circumstances<'_>, behind: usize) {
        let fields = self.fields.as_deref().map_or(&[][..], Fields::lines);
        head.reserve(HEAD + fields.len() + behind);
        let line = |head: &mut Vec<u8>, name: &str, value: &str| {
            for part in [name, value, "\r\n"] {
                head.extend_from_slice(part.as_bytes());
            }
        };
        let always = |name: &str| it.always.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let is_dated = self.has("date") || always("date");
        match self.reason.get() {
            // By far the most of them.
            None if self.status == Status::OK && !is_dated => {
                head.extend_from_slice(it.start.as_bytes());
            }
            reason => {
                head.extend_from_slice(b"HTTP/1.1 ");
                push_number(head, self.status.code().into());
                line(head, " ", reason.unwrap_or(self.status.reason()));
                if !is_dated {
                    let date = it.start.strip_prefix(USUAL).unwrap_or(it.start);
                    head.extend_from_slice(date.as_bytes());
                }
            }
        }
        if !it.server.is_empty() && !self.has("server") && !always("server") {
            line(head, "Server: ", it.server);
        }
        match (it.keep_alive, self.http10) {
            (false, _) => line(head, "Connection: ", "close"),
            (true, true) => line(head, "Connection: ", "keep-alive"),
            (true, false) => {}
        }
        for (name, value) in it.always.iter().filter(|(name, _)| !self.has(name)) {
            head.extend_from_slice(name.as_bytes());
            line(head, ": ", value);
        }
        head.extend_from_slice(fields);
        match self.framing {
            Framing::Length(n) => push_length(head, n),
            Framing::Chunked => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n"),
            // It has no content, and says so.
            Framing::None if self.status == Status::RESET_CONTENT => push_length(head, 0),
            Framing::Close | Framing::None => head.extend_from_slice(b"\r\n"),
        }
    }

    /// Whether the next `len` bytes of the body can be sent.
    ///
    /// # Errors
    ///
    /// If they are more than the Content-Length says; they must not get onto the wire.
    pub(crate) fn allows(&self, len: u64) -> Result {
        match self.framing {
            Framing::Length(left) if len > left => {
                Err(Error::Invalid("more than the Content-Length"))
            }
            _ => Ok(()),
        }
    }

    /// What to put around the next `len` bytes of the body, `last` if it ends with them.
    pub(crate) fn frame(&mut self, len: u64, last: bool) -> Frame {
        let mut frame = Frame::default();
        frame.silent = self.head_only || self.framing == Framing::None;
        self.ended |= last;
        if let Framing::Length(left) = &mut self.framing {
            *left = left.saturating_sub(len);
        }
        if frame.silent {
            return frame;
        }
        if self.framing == Framing::Chunked {
            if len > 0 {
                frame.chunk(len);
            }
            frame.after = match (len > 0, last) {
                (true, true) => "\r\n0\r\n\r\n",
                (true, false) => "\r\n",
                (false, true) => "0\r\n\r\n",
                (false, false) => "",
            };
        }
        frame
    }

    /// Counts `len` bytes of content that have been sent.
    pub(crate) fn count(&mut self, frame: &Frame, len: u64) {
        if !frame.silent {
            self.sent = self.sent.saturating_add(len);
        }
    }

    /// Whether a client would take the end of the connection for that of the body.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.head_sent && self.framing == Framing::Close
    }

    /// Whether the response ended before its Content-Length did: only closing tells the client.
    pub(crate) fn fell_short(&self) -> bool {
        self.ended && !self.head_only && matches!(self.framing, Framing::Length(1..))
    }
}

/// Appends the last field of a head, and its end: put together here, since each addition to a head costs
/// more than its few bytes.
fn push_length(head: &mut Vec<u8>, length: u64) {
    const NAME: &[u8] = b"Content-Length: ";
    const END: &[u8] = b"\r\n\r\n";
    let mut line = [0; NAME.len() + MOST_DIGITS + END.len()];
    let (number, end) = line.split_at_mut(NAME.len() + MOST_DIGITS);
    end.copy_from_slice(END);
    let at = write_number(number, length).saturating_sub(NAME.len());
    if let Some(name) = line.get_mut(at..at + NAME.len()) {
        name.copy_from_slice(NAME);
    }
    head.extend_from_slice(line.get(at..).unwrap_or(&[]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(response: &Response, it: &Circumstances<'_>) -> String {
        let mut head = Vec::new();
        response.head(&mut head, it, 0);
        String::from_utf8(head).unwrap()
    }

    fn head(response: &mut Response, length: Option<u64>) -> String {
        let keep_alive = response.begin(length, false);
        let start = "HTTP/1.1 200 OK\r\nDate: now\r\n";
        let it = Circumstances { start, server: "", always: &[], keep_alive };
        written(response, &it)
    }

    #[test]
    fn fields_of_every_response_come_once() {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let always = [field("Server", "mine"), field("date", "then"), field("X-A", "1")];
        let it = Circumstances { start: "-", server: "ours", always: &always, keep_alive: true };
        let mut r = Response::new(false, false);
        r.set_field("x-a", b"2", true).unwrap();
        r.begin(Some(0), false);
        let head = written(&r, &it);
        assert_eq!(
            head,
            "HTTP/1.1 200 OK\r\nServer: mine\r\ndate: then\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn fields_are_replaced_or_appended() {
        let mut r = Response::new(false, false);
        r.set_field("X-A", b"1", true).unwrap();
        r.set_field("x-a", b" 2 ", true).unwrap();
        r.set_field("Set-Cookie", b"a", false).unwrap();
        r.set_field("Set-Cookie", b"b", false).unwrap();
        r.set_field("Server", b"mine", true).unwrap();
        assert_eq!(r.field("X-a"), Some("2"));
        assert_eq!(r.field("x"), None);
        assert_eq!(
            head(&mut r, Some(5)),
            "HTTP/1.1 200 OK\r\nDate: now\r\nx-a: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nServer: mine\r\nContent-Length: 5\r\n\r\n"
        );
        assert!(matches!(r.set_field("X-B", b"3", true), Err(Error::HeadSent)));
        assert!(matches!(r.set_status(Status::OK, None), Err(Error::HeadSent)));
    }

    #[test]
    fn nothing_can_be_slipped_in() {
        let mut r = Response::new(false, false);
        for (name, value) in [
            ("a\r\nb", "x"),
            ("", "x"),
            ("a b", "x"),
            ("a:", "x"),
            ("a", "x\r\ny: z"),
            ("a", "x\ny"),
            ("a", "x\ry"),
            ("a", "x\0"),
            ("a", "x\u{1b}"),
            ("a", "x\u{7f}"),
            ("content-length", "5 "),
            ("content-length", "-1"),
            ("transfer-encoding", "gzip"),
            ("connection", "upgrade"),
        ] {
            let result = r.set_field(name, value.as_bytes(), true);
            let fine = value == "5 "; // white space around a value is none of it
            assert_eq!(result.is_ok(), fine, "{name:?} {value:?}");
        }
        assert!(r.set_status(Status::OK, Some("a\r\nb")).is_err());
        r.set_status(Status::OK, Some("Fine")).unwrap();
        assert!(head(&mut r, None).starts_with("HTTP/1.1 200 Fine\r\n"));
    }

    #[test]
    fn framing_follows_what_is_known() {
        let framing = |http10, length, status| {
            let mut r = Response::new(false, http10);
            r.set_status(status, None).unwrap();
            let kept = r.begin(length, false);
            (r.framing, kept)
        };
        assert_eq!(framing(false, Some(3), Status::OK), (Framing::Length(3), true));
        assert_eq!(framing(false, None, Status::OK), (Framing::Chunked, true));
        assert_eq!(framing(true, None, Status::OK), (Framing::Close, false));
        assert_eq!(framing(true, Some(3), Status::OK), (Framing::Length(3), true));
        assert_eq!(framing(false, None, Status::NO_CONTENT), (Framing::None, true));
        assert_eq!(framing(false, Some(0), Status::NOT_MODIFIED), (Framing::None, true));
        assert_eq!(framing(false, None, Status::SWITCHING_PROTOCOLS), (Framing::None, false));
    }

    fn framed(r: &mut Response, len: u64, last: bool) -> (String, &'static str) {
        let frame = r.frame(len, last);
        (String::from_utf8(frame.before().to_vec()).unwrap(), frame.after)
    }

    #[test]
    fn chunks_say_how_long_they_are() {
        let mut r = Response::new(false, false);
        r.begin(None, false);
        assert_eq!(framed(&mut r, 0, false), ("".into(), ""));
        assert_eq!(framed(&mut r, 1, false), ("1\r\n".into(), "\r\n"));
        assert_eq!(framed(&mut r, 0xabc, false), ("abc\r\n".into(), "\r\n"));
        assert_eq!(framed(&mut r, u64::MAX >> 4, false), ("fffffffffffffff\r\n".into(), "\r\n"));
        assert_eq!(framed(&mut r, 16, true), ("10\r\n".into(), "\r\n0\r\n\r\n"));
        let mut r = Response::new(false, false);
        r.begin(None, false);
        assert_eq!(framed(&mut r, 0, true), ("".into(), "0\r\n\r\n"));
    }

    #[test]
    fn a_length_is_kept_or_seen_to_be_broken() {
        let mut r = Response::new(false, false);
        r.set_field("Content-Length", b"5", true).unwrap();
        assert!(r.allows(6).is_err() && r.allows(5).is_ok());
        r.begin(Some(3), false);
        assert_eq!(framed(&mut r, 3, false), ("".into(), ""));
        assert!(r.allows(3).is_err() && r.allows(2).is_ok());
        r.frame(0, true);
        assert!(r.fell_short());
        let mut r = Response::new(true, false);
        r.set_length(5);
        r.begin(Some(0), false);
        assert!(r.frame(0, true).silent && !r.fell_short());
    }
}
