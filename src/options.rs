//! What a server can be told.

use std::path::PathBuf;

use crate::io::{buffer, listen};

/// How a server behaves.
///
/// Plain data: say what differs and end with `..Options::default()`. The first two groups have the
/// names of lua-eco's `eco.http.server`, `eco.socket` and `eco.ssl`. Times are in seconds, of which
/// a server keeps count by one tick a second, so each may take up to a second longer.
///
/// ```
/// use ecohttpd::Options;
///
/// let options = Options { docroot: "/www".into(), http_keepalive: 20, ..Options::default() };
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// Where [`serve_file`](crate::Connection::serve_file) looks. Default: `.`
    pub docroot: PathBuf,
    /// The file that stands for a directory. Default: `index.html`
    pub index: String,
    /// How long an idle connection is kept; 0 turns keep-alive off. Default: 30
    pub http_keepalive: u32,
    /// Serves a file that is there only as `.gz` to everyone, inflated where it has to be, and
    /// deflates compressible responses on their way to clients that take gzip. One response at a
    /// time is deflated, which takes 0.4 MB; others meanwhile go as they are. Files that have a
    /// precompressed sibling need none of it. Takes the feature `gzip`. Default: false
    pub gzip: bool,
    /// The certificate, or chain of them, in PEM or DER: [`listen`](crate::listen) then speaks
    /// HTTPS; a [`Server`](crate::Server) takes a [`Tls`](crate::Tls) instead. Takes the feature `tls`.
    /// Default: none
    pub cert: Option<PathBuf>,
    /// The key of `cert`, in PEM or DER. Default: none
    pub key: Option<PathBuf>,
    /// Asks clients for a certificate that one of those in this file signed. Default: none
    pub ca: Option<PathBuf>,
    /// With `ca`, a client may come without a certificate. Default: false
    pub insecure: bool,

    /// Where no address is given, listen on `[::]`, which is IPv4 too unless `ipv6_v6only`, and not
    /// on `0.0.0.0`. Default: false
    pub ipv6: bool,
    /// An IPv6 listener takes no IPv4 connections (`IPV6_V6ONLY`). Default: false
    pub ipv6_v6only: bool,
    /// Connections the kernel keeps for us to accept. Default: 128
    pub backlog: u32,
    /// Listen where connections of an earlier run linger (`SO_REUSEADDR`). Default: true
    pub reuseaddr: bool,
    /// Share the address with other processes (`SO_REUSEPORT`). Default: false
    pub reuseport: bool,
    /// Listen on this network device only (`SO_BINDTODEVICE`). Default: none
    pub device: Option<String>,
    /// The mark of outgoing packets (`SO_MARK`). Default: none
    pub mark: Option<u32>,
    /// Send at once (`TCP_NODELAY`). Default: true
    pub tcp_nodelay: bool,
    /// Probe idle connections (`SO_KEEPALIVE`). Default: false
    pub keepalive: bool,
    /// Seconds before the first probe (`TCP_KEEPIDLE`). Default: the system's
    pub tcp_keepidle: Option<u32>,
    /// Probes before giving up (`TCP_KEEPCNT`). Default: the system's
    pub tcp_keepcnt: Option<u32>,
    /// Seconds between probes (`TCP_KEEPINTVL`). Default: the system's
    pub tcp_keepintvl: Option<u32>,
    /// Pending Fast Open requests (`TCP_FASTOPEN`). Default: none, which is off
    pub tcp_fastopen: Option<u32>,
    /// Listen at addresses that no interface has yet (`IP_FREEBIND`). Default: false
    pub freebind: bool,

    /// The Server field; empty for none. Default: `ecohttpd`
    pub server: String,
    /// Fields of every response, also of those the server itself makes, unless the response has
    /// one of that name. Default: none
    pub headers: Vec<(String, String)>,
    /// Bytes of small files, of at most 8 KiB each, that are kept for a second or two for whoever asks
    /// for them again. They are then looked at once a second, so that a change may be seen up to a
    /// second late, and one through a memory mapping, which need not show, up to ten; with 0 they are
    /// looked at and read for every request. The heads that they are sent with, eight at most, come to it.
    /// Default: 32768
    pub file_cache: usize,
    /// Serve no file that a symbolic link leads to from inside the docroot to outside of it.
    /// Default: false, as uhttpd without `-S`
    pub no_symlinks: bool,
    /// Errors that the server itself answers carry a short HTML page; otherwise, as in lua-eco,
    /// they are empty. Default: false
    pub error_pages: bool,

    /// Connections served at once. When there are no more, whoever has been idle for longest makes
    /// room for the next one; where nobody is idle, the next one waits. Never more than there are
    /// descriptors for, with a file each (`RLIMIT_NOFILE`). Default: 100
    pub max_connections: usize,
    /// Time for a whole request head, and for a TLS handshake. Default: 20
    pub head_timeout: u32,
    /// Time without a byte of a request body. Default: 30
    pub body_timeout: u32,
    /// Time without progress of a response. Default: 30
    pub write_timeout: u32,
    /// Time that [`Handle::drain`](crate::Handle::drain) gives to what is under way; 0 for all the
    /// time it takes. Default: 30
    pub drain_timeout: u32,
    /// Bytes of a request head, at most 8192, which is the size of a buffer. Also of a trailer
    /// section. Default: 8192
    pub max_head: usize,
    /// Fields of a request head, at most 128. Also of a trailer section. Default: 100
    pub max_headers: usize,
    /// Bytes of a request body. Default: no limit, since bodies are not kept
    pub max_body: u64,
    /// Bytes of an unread request body that are read and dropped to keep a connection; with more
    /// to come it is closed. Default: 1 MiB
    pub max_discard: u64,
    /// Parts of a form. Default: 256
    pub max_form_parts: u32,
    /// Bytes of the headers of one part of a form, at most 8192. Default: 4096
    pub max_part_head: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            docroot: ".".into(),
            index: "index.html".into(),
            http_keepalive: 30,
            gzip: false,
            cert: None,
            key: None,
            ca: None,
            insecure: false,
            ipv6: false,
            ipv6_v6only: false,
            backlog: 128,
            reuseaddr: true,
            reuseport: false,
            device: None,
            mark: None,
            tcp_nodelay: true,
            keepalive: false,
            tcp_keepidle: None,
            tcp_keepcnt: None,
            tcp_keepintvl: None,
            tcp_fastopen: None,
            freebind: false,
            server: "ecohttpd".into(),
            headers: Vec::new(),
            file_cache: 1 << 15,
            no_symlinks: false,
            error_pages: false,
            max_connections: 100,
            head_timeout: 20,
            body_timeout: 30,
            write_timeout: 30,
            drain_timeout: 30,
            max_head: buffer::SIZE,
            max_headers: 100,
            max_body: u64::MAX,
            max_discard: 1 << 20,
            max_form_parts: 256,
            max_part_head: 4096,
        }
    }
}

impl Options {
    /// What of it listening sockets are set up by.
    pub(crate) fn setup(&self) -> listen::Setup<'_> {
        listen::Setup {
            v6only: self.ipv6_v6only,
            backlog: self.backlog,
            reuseaddr: self.reuseaddr,
            reuseport: self.reuseport,
            device: self.device.as_deref(),
            mark: self.mark,
            nodelay: self.tcp_nodelay,
            keepalive: self.keepalive,
            keepidle: self.tcp_keepidle,
            keepcnt: self.tcp_keepcnt,
            keepintvl: self.tcp_keepintvl,
            fastopen: self.tcp_fastopen,
            freebind: self.freebind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_lua_eco() {
        let options = Options::default();
        assert_eq!(options.docroot, PathBuf::from("."));
        assert_eq!(options.index, "index.html");
        assert_eq!(options.http_keepalive, 30);
        assert!(!options.gzip && options.cert.is_none() && options.key.is_none());
        assert!(options.tcp_nodelay);
    }
}
