//! A request head, as a handler sees it.

use std::borrow::Cow;

use crate::wire::coding::Accepted;
use crate::wire::head::{Framing, Head};
use crate::wire::multipart::Multipart;
use crate::wire::search::Search;
use crate::wire::{field, uri};
use crate::{Error, Result};

/// A request: its head, and how far its form has been read.
///
/// It stands on its own bytes, so a handler can look at it while the
/// [`Connection`](crate::Connection) receives and sends.
#[derive(Debug)]
pub struct Request {
    head: Head,
    /// The path, where it is not what the target says.
    path: Option<String>,
    /// The path as bytes, where `path` could not hold them.
    odd_path: Option<Vec<u8>>,
    climbs: bool,
    hides_slash: bool,
    /// What another target than its own says.
    rewritten: Option<Rewritten>,
    pub(crate) form: Multipart,
}

/// What stands for that part of a request that was rewritten.
#[derive(Debug)]
struct Rewritten {
    query: String,
    as_get: bool,
}

impl Request {
    /// Parses a complete head of at most `most_fields` header fields, the end of which was found by
    /// `search`, in place of one that is over, if there is one.
    pub(crate) fn parse(
        bytes: &[u8],
        search: &Search,
        most_fields: usize,
        over: Option<Box<Self>>,
    ) -> Result<Box<Self>> {
        let mut req = over.unwrap_or_else(Self::room);
        req.head.parse(bytes, search, most_fields)?;
        let mut path = uri::Path::default();
        (req.path, req.odd_path) = match req.head.target.is_normal {
            true => (None, None),
            false => {
                path = uri::path(req.head.target.path.bytes(&req.head.line))?;
                texts(std::mem::take(&mut path.bytes))
            }
        };
        (req.climbs, req.hides_slash) = (path.climbs, path.hides_slash);
        req.rewritten = None;
        req.form = Multipart::default();
        Ok(req)
    }

    /// What one is parsed in.
    fn room() -> Box<Self> {
        Box::new(Request {
            head: Head::default(),
            path: None,
            odd_path: None,
            climbs: false,
            hides_slash: false,
            rewritten: None,
            form: Multipart::default(),
        })
    }

    /// Whether it takes no more memory than most.
    pub(crate) fn is_small(&self) -> bool {
        self.head.is_small() && self.path.is_none() && self.rewritten.is_none()
    }

    /// The method: `GET`, `POST`, …
    pub fn method(&self) -> &str {
        match self.raw_method() {
            "HEAD" => "HEAD",
            _ if self.rewritten.as_ref().is_some_and(|r| r.as_get) => "GET",
            method => method,
        }
    }

    /// The method as it came, whatever the request was rewritten to.
    pub fn raw_method(&self) -> &str {
        self.head.method.text(&self.head.line)
    }

    /// Makes it a request for another target of this server: a path, percent-encoded, and a query
    /// if there is one. [`raw_path`](Self::raw_path) stays as it came.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for what is no such target; the request is
    /// then as it was.
    pub fn rewrite(&mut self, target: &str) -> Result {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if !path.starts_with('/') || !target.bytes().all(|b| matches!(b, b'!'..=b'~')) {
            return Err(Error::Malformed("request target"));
        }
        let path = uri::path(path.as_bytes())?;
        let as_get = self.rewritten.as_ref().is_some_and(|r| r.as_get);
        self.rewritten = Some(Rewritten { query: query.to_owned(), as_get });
        (self.climbs, self.hides_slash) = (path.climbs, path.hides_slash);
        (self.path, self.odd_path) = texts(path.bytes);
        Ok(())
    }

    /// Likewise, and makes it a GET request; HEAD stays what it is.
    ///
    /// # Errors
    ///
    /// Like [`rewrite`](Self::rewrite).
    pub fn rewrite_as_get(&mut self, target: &str) -> Result {
        self.rewrite(target)?;
        if let Some(rewritten) = &mut self.rewritten {
            rewritten.as_get = true;
        }
        Ok(())
    }

    /// The request target as it came, query and all.
    pub fn raw_path(&self) -> &str {
        self.head.raw_target.text(&self.head.line)
    }

    /// The path, percent-decoded and then without `.`, `..` and empty segments.
    ///
    /// Every decision about a request sees these same bytes. What is not UTF-8 in them shows as
    /// U+FFFD, so the text begins with, ends with and equals any given ASCII exactly if the true
    /// path does. It is `*` for `OPTIONS *`, and begins with `/` otherwise.
    pub fn path(&self) -> &str {
        match &self.path {
            Some(path) => path,
            None => self.head.target.path.text(&self.head.line),
        }
    }

    /// The path as the file system knows it.
    pub fn path_bytes(&self) -> &[u8] {
        match (&self.odd_path, &self.path) {
            (Some(path), _) => path,
            (None, Some(path)) => path.as_bytes(),
            (None, None) => self.head.target.path.bytes(&self.head.line),
        }
    }

    /// Whether the path had more `..` than segments before them. What is left names no file then.
    pub fn climbs(&self) -> bool {
        self.climbs
    }

    /// Whether the path had a slash that was encoded as `%2F`. No file can be meant by it, but a
    /// program may know what to do with it.
    pub fn hides_slash(&self) -> bool {
        self.hides_slash
    }

    /// The HTTP version: `(1, 0)` or `(1, 1)`. Later minor versions count as 1.1.
    pub fn version(&self) -> (u8, u8) {
        (self.major_version(), self.minor_version())
    }

    /// The first number of the HTTP version, always 1.
    pub fn major_version(&self) -> u8 {
        1
    }

    /// The second number of the HTTP version, 0 or 1.
    pub fn minor_version(&self) -> u8 {
        self.head.minor
    }

    /// The value of the first header of that name, case aside. Bytes that are not UTF-8 show as
    /// U+FFFD.
    ///
    /// ```
    /// # fn f(req: &ecohttpd::Request) {
    /// let agent = req.header("user-agent").unwrap_or("somebody");
    /// # }
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_all(name).next()
    }

    /// The values of all headers of that name, in the order they came.
    pub fn header_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.head.section.named(name).map(|i| self.head.section.text(i))
    }

    /// The value of the first header of that name, byte for byte.
    pub fn header_bytes(&self, name: &str) -> Option<&[u8]> {
        self.head.section.value(self.head.section.named(name).next()?)
    }

    /// All headers in the order they came, their names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let section = &self.head.section;
        section.names().enumerate().map(|(i, name)| (name, section.text(i)))
    }

    /// Likewise, the values byte for byte.
    pub fn headers_bytes(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.head.section.names().zip(self.head.section.values())
    }

    /// The host the request is for, with its port if it has one: that of the request target where
    /// it is absolute, or else of the Host header.
    pub fn host(&self) -> Option<&str> {
        match self.head.target.authority {
            Some(authority) => Some(authority.text(&self.head.line)),
            None => self.header("host"),
        }
    }

    /// What follows the `?`, as it came.
    pub fn query_string(&self) -> &str {
        if let Some(rewritten) = &self.rewritten {
            return &rewritten.query;
        }
        self.head.target.query.text(&self.head.line)
    }

    /// The query, pair by pair and decoded, `+` being a space. A name without `=` has an empty
    /// value; a repeated name comes again.
    pub fn query(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.query_string().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (uri::unescape_text(name), uri::unescape_text(value))
        })
    }

    /// The first value of that name in the query.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// How long the body is, if the head says so; a chunked one does not.
    pub fn content_length(&self) -> Option<u64> {
        match self.head.framing {
            Framing::Length(n) => Some(n),
            Framing::Chunked => None,
        }
    }

    /// Whether no field can be there by which a file would be sent otherwise than whole.
    pub(crate) fn is_unconditional(&self) -> bool {
        const CONDITIONS: u32 = field::trace(b"if-match")
            | field::trace(b"if-none-match")
            | field::trace(b"if-modified-since")
            | field::trace(b"if-unmodified-since")
            | field::trace(b"if-range")
            | field::trace(b"range");
        !self.head.section.may_have(CONDITIONS)
    }

    /// Whether there may be a field that says in which content codings it wants its answer.
    pub(crate) fn may_want_coding(&self) -> bool {
        self.head.section.may_have(const { field::trace(b"accept-encoding") })
    }

    /// The content codings it wants its answer in.
    pub(crate) fn codings(&self) -> Accepted {
        let mut accepted = Accepted::default();
        self.header_all("accept-encoding").for_each(|value| accepted.add(value));
        accepted
    }

    /// Whether its answer has no content, whatever it was rewritten to.
    pub(crate) fn is_head(&self) -> bool {
        self.head.method.bytes(&self.head.line) == b"HEAD"
    }

    /// Whether it asks for what is there, as GET and HEAD do.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.head.method.bytes(&self.head.line), b"GET" | b"HEAD")
            || matches!(self.method(), "GET" | "HEAD")
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }
}

/// A path as text, and as bytes where text cannot hold it.
fn texts(bytes: Vec<u8>) -> (Option<String>, Option<Vec<u8>>) {
    match String::from_utf8(bytes) {
        Ok(path) => (Some(path), None),
        Err(e) => (Some(String::from_utf8_lossy(e.as_bytes()).into_owned()), Some(e.into_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(raw: &[u8]) -> Box<Request> {
        request_in(None, raw)
    }

    fn request_in(over: Option<Box<Request>>, raw: &[u8]) -> Box<Request> {
        let mut search = Search::default();
        let known = over.as_ref().map(|over| &over.head.section);
        assert_eq!(search.end(raw, known), Some(raw.len()));
        Request::parse(raw, &search, 100, over).unwrap()
    }

    #[test]
    fn nothing_of_a_request_is_lost() {
        let req = request(
            b"POST /a%20b/./c?x=1+2&y&x=%26&=z HTTP/1.1\r\nHost: h:80\r\nX-Odd: a\xffb\r\nCookie: 1\r\ncookie: 2\r\nContent-Length: 7\r\n\r\n",
        );
        assert_eq!((req.method(), req.path(), req.version()), ("POST", "/a b/c", (1, 1)));
        assert_eq!(req.raw_path(), "/a%20b/./c?x=1+2&y&x=%26&=z");
        assert_eq!(req.query_string(), "x=1+2&y&x=%26&=z");
        let query: Vec<_> = req.query().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(query, ["x=1 2", "y=", "x=&", "=z"]);
        assert_eq!(req.query_value("x").as_deref(), Some("1 2"));
        assert_eq!(req.header("X-ODD"), Some("a\u{fffd}b"));
        assert_eq!(req.header_bytes("x-odd"), Some(&b"a\xffb"[..]));
        assert_eq!(req.header_all("Cookie").collect::<Vec<_>>(), ["1", "2"]);
        let names: Vec<_> = req.headers().map(|(n, _)| n).collect();
        let odd = req.headers_bytes().find(|(n, _)| *n == "x-odd");
        assert_eq!(odd, Some(("x-odd", &b"a\xffb"[..])));
        assert_eq!(names, ["host", "x-odd", "cookie", "cookie", "content-length"]);
        assert_eq!((req.host(), req.content_length()), (Some("h:80"), Some(7)));
        assert_eq!(req.header("none"), None);
    }

    #[test]
    fn a_rewritten_request_is_for_its_new_target() {
        let mut req = request(b"POST /old?a=1 HTTP/1.1\r\nHost: h\r\n\r\n");
        req.rewrite("/new%20one/../two?b=2").unwrap();
        assert_eq!((req.method(), req.path(), req.query_string()), ("POST", "/two", "b=2"));
        assert_eq!(req.query_value("b").as_deref(), Some("2"));
        req.rewrite_as_get("/three").unwrap();
        assert_eq!((req.method(), req.path(), req.query_string()), ("GET", "/three", ""));
        assert_eq!((req.raw_method(), req.raw_path()), ("POST", "/old?a=1"));
        for bad in ["", "three", "http://h/x", "/a b", "/a\r\nX: 1", "/%zz", "/%00", "/\u{e9}"] {
            assert!(req.rewrite(bad).is_err(), "{bad:?}");
            assert_eq!(req.path(), "/three", "{bad:?}");
        }
        let mut head = request(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
        head.rewrite_as_get("/x").unwrap();
        assert_eq!(head.method(), "HEAD");
        head.rewrite("/..%2fx").unwrap();
        assert!(head.climbs() && head.hides_slash());
    }

    #[test]
    fn nothing_of_a_request_is_left_in_the_next() {
        let first = b"POST http://a/%ff/..%2f../x?a=1 HTTP/1.1\r\nHost: a\r\nX: \xff\r\nContent-Length: 7\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
        for next in [&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..], b"HEAD /x HTTP/1.0\r\n\r\n", first]
        {
            let mut over = request(first);
            over.rewrite_as_get("/other?b").unwrap();
            let place: *const Request = &*over;
            let req = request_in(Some(over), next);
            assert_eq!(&raw const *req, place, "its memory is used");
            assert_eq!(format!("{req:?}"), format!("{:?}", request(next)));
        }
    }

    #[test]
    fn a_request_somewhat_larger_is_as_small() {
        let with = |fields: usize, length: usize| {
            let value = "x".repeat(length / fields);
            let fields = format!("X: {value}\r\n").repeat(fields);
            format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes()
        };
        let mut req = request(&with(9, 500));
        for (fields, length) in [(10, 600), (12, 700), (15, 800)] {
            req = request_in(Some(req), &with(fields, length));
            assert!(req.is_small(), "{fields} fields of {length} bytes");
        }
        assert!(!request(&with(15, 2000)).is_small() && !request(&with(20, 500)).is_small());
    }

    #[test]
    fn tasks_and_threads_can_share_one() {
        fn is_shared<T: Send + Sync + std::panic::RefUnwindSafe>() {}
        is_shared::<Request>();
    }

    #[test]
    fn odd_paths_keep_their_bytes() {
        let req = request(b"GET http://other/%ff%2e HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!((req.path(), req.path_bytes()), ("/\u{fffd}.", &b"/\xff."[..]));
        assert_eq!(req.host(), Some("other"));
    }
}
