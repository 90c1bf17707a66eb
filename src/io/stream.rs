//! One end of a connection, plain or under TLS.
//!
//! An enum and not a type parameter: the protocol code above is compiled once.

use std::fs::File;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

#[cfg(feature = "tls")]
use {
    futures_io::{AsyncRead, AsyncWrite},
    std::pin::Pin,
};

use super::socket::Socket;

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Socket),
    #[cfg(feature = "tls")]
    Tls(Box<futures_rustls::server::TlsStream<Socket>>),
}

impl Stream {
    fn socket(&self) -> &Socket {
        match self {
            Stream::Plain(s) => s,
            #[cfg(feature = "tls")]
            Stream::Tls(s) => s.get_ref().0,
        }
    }

    /// Makes the next read ask the kernel, whatever was heard of it.
    pub(crate) fn expect_bytes(&self) {
        self.socket().expect_bytes();
    }

    /// Lets everybody else go first.
    #[cfg(feature = "gzip")]
    pub(crate) async fn pause(&self) {
        self.socket().pause().await;
    }

    /// Makes the end of the connection look like the accident it is.
    pub(crate) fn set_reset(&self) {
        self.socket().set_reset();
    }

    /// Ready when the peer has ended its side of the connection.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket().poll_ended(cx)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket().local_addr()
    }

    /// Whether the bytes are encrypted, so that a file cannot go from page cache to socket.
    pub(crate) fn is_tls(&self) -> bool {
        !matches!(self, Stream::Plain(_))
    }

    /// The name the client asked the TLS session for.
    pub(crate) fn server_name(&self) -> Option<&str> {
        match self {
            Stream::Plain(_) => None,
            #[cfg(feature = "tls")]
            Stream::Tls(s) => s.get_ref().1.server_name(),
        }
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(s) => s.poll_recv(cx, buf),
            #[cfg(feature = "tls")]
            Stream::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }

    /// Ready when there may be something to read, which needs no buffer to find out.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Stream::Plain(s) => s.poll_readable(cx),
            #[cfg(feature = "tls")]
            Stream::Tls(s) => match s.get_ref() {
                // Decrypted bytes may wait in the session, of which the socket knows nothing.
                (socket, session) if session.wants_read() => socket.poll_readable(cx),
                _ => Poll::Ready(()),
            },
        }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
        more: bool,
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(s) => s.poll_send(cx, parts, more),
            #[cfg(feature = "tls")]
            Stream::Tls(s) => Pin::new(s).poll_write_vectored(cx, parts),
        }
    }

    /// Waits for what TLS has encrypted but the socket did not take yet.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(_) => {
                let _ = cx;
                Poll::Ready(Ok(()))
            }
            #[cfg(feature = "tls")]
            Stream::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    /// Sends some of `file` from page cache to socket; only where nothing has to be encrypted.
    pub(crate) fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &File,
        offset: &mut u64,
        count: u64,
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(s) => s.poll_send_file(cx, file, offset, count),
            #[cfg(feature = "tls")]
            Stream::Tls(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Tells the peer that nothing more will come; under TLS with a close_notify first.
    pub(crate) fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Stream::Plain(s) => {
                let _ = cx;
                s.shut_down();
                Poll::Ready(())
            }
            #[cfg(feature = "tls")]
            Stream::Tls(s) => Pin::new(s).poll_close(cx).map(|_| ()),
        }
    }
}
