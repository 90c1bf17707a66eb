//! Sockets, and other descriptors, that wait for the reactor instead of blocking.

use std::cell::Cell;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{cmp, fmt};

use futures_io::{AsyncRead, AsyncWrite};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, acceptfrom_with, getsockname,
    recv, send, sendmsg, shutdown, sockopt,
};
use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

use super::file;
use super::reactor::{Reactor, Way};
use super::sys;

/// Calls made in a row before other tasks get their turn.
const TURNS: u8 = 32;

/// The address of a peer that has none, at the other end of a Unix socket.
pub(crate) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A descriptor the reactor watches.
pub(crate) struct Socket {
    fd: OwnedFd,
    key: usize,
    turns: Cell<u8>,
    reactor: Rc<Reactor>,
}

impl Socket {
    fn new(reactor: &Rc<Reactor>, fd: OwnedFd, ready: EventFlags) -> io::Result<Self> {
        let key = reactor.add(&fd, ready)?;
        Ok(Socket { fd, key, turns: Cell::new(0), reactor: reactor.clone() })
    }

    /// Watches a descriptor that is non-blocking already.
    pub(crate) fn adopt(reactor: &Rc<Reactor>, fd: OwnedFd) -> io::Result<Self> {
        Socket::new(reactor, fd, EventFlags::empty())
    }

    /// The next connection.
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Socket, SocketAddr)>> {
        let mut accepted = None;
        // Only EAGAIN proves that nobody waits, so the readiness is kept, as it has to be when
        // there is no descriptor left: nobody would tell of the backlog again.
        ready!(self.poll_op(cx, Way::Read, 0, &mut |_| {
            let error = |e| Errno::from_io_error(&e).unwrap_or(Errno::CONNABORTED);
            accepted = Some(self.accept_now().map_err(error)?);
            Ok(0)
        }))?;
        Poll::Ready(accepted.ok_or_else(|| io::ErrorKind::ConnectionAborted.into()))
    }

    /// A connection that is there already, whatever was heard of it.
    pub(crate) fn accept_now(&self) -> io::Result<(Socket, SocketAddr)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (fd, peer) = acceptfrom_with(&self.fd, flags)?;
        let peer = peer.and_then(|peer| peer.try_into().ok()).unwrap_or(NOWHERE);
        // It can be written to; whether there is something to read, the kernel will say.
        Ok((Socket::new(&self.reactor, fd, EventFlags::OUT)?, peer))
    }

    /// The address at this end.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(getsockname(&self.fd)?.try_into().unwrap_or(NOWHERE))
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reactor.poll_ready(self.key, Way::Read, cx)
    }

    /// Receives some bytes; by the call for sockets, which is less work than the one for all files.
    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_op(cx, Way::Read, buf.len(), &mut |fd| {
            recv(fd, &mut *buf, RecvFlags::empty()).map(|(n, _)| n)
        })
    }

    /// Reads what is there, whatever was heard of it.
    pub(crate) fn read_now(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(&self.fd, &mut *buf) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.reactor.blocked(self.key, Way::Read);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                done => return Ok(done?),
            }
        }
    }

    /// Writes some of `bytes` to what need not be a socket.
    pub(crate) fn poll_write_bytes(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_op(cx, Way::Write, bytes.len(), &mut |fd| rustix::io::write(fd, bytes))
    }

    /// Ready when the peer has ended its side, though there may be something to read before that.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reactor.poll_ready(self.key, Way::End, cx)
    }

    /// Reads from what need not be a socket.
    pub(crate) async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| {
            self.poll_op(cx, Way::Read, buf.len(), &mut |fd| rustix::io::read(fd, &mut *buf))
        })
        .await
    }

    /// Sends some of `parts`. With `more`, the kernel may hold it back for what comes next.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
        more: bool,
    ) -> Poll<io::Result<usize>> {
        let full = parts.iter().map(|part| part.len()).sum();
        let flags = if more { SendFlags::MORE } else { SendFlags::empty() } | SendFlags::NOSIGNAL;
        self.poll_op(cx, Way::Write, full, &mut |fd| match parts {
            // One part is less work for the kernel.
            [part, ..] if part.len() == full => send(fd, part, flags),
            _ => sendmsg(fd, parts, &mut SendAncillaryBuffer::default(), flags),
        })
    }

    /// Sends some of `file` from `offset` on.
    pub(crate) fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: &File,
        offset: &mut u64,
        count: u64,
    ) -> Poll<io::Result<usize>> {
        let count = cmp::min(count, file::BITE) as usize;
        // It may fall short for the file's sake too, so only EAGAIN proves the socket full.
        self.poll_op(cx, Way::Write, 0, &mut |fd| {
            rustix::fs::sendfile(fd, file, Some(&mut *offset), count)
        })
    }

    /// Makes the next read ask the kernel, whatever was heard of it.
    pub(crate) fn expect_bytes(&self) {
        self.reactor.believe(self.key, EventFlags::IN);
    }

    /// Lets everybody else go first.
    #[cfg(feature = "gzip")]
    pub(crate) async fn pause(&self) {
        let mut paused = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut paused, true) {
                return Poll::Ready(());
            }
            self.reactor.park(cx);
            Poll::Pending
        })
        .await;
    }

    /// Makes the kernel reset the connection when it is closed, instead of ending it in order.
    pub(crate) fn set_reset(&self) {
        let _ = sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO));
    }

    /// Tells the peer that nothing more will come.
    pub(crate) fn shut_down(&self) {
        let _ = shutdown(&self.fd, Shutdown::Write);
    }

    /// Does `op` once that seems possible. A result below `full` exhausts the readiness.
    fn poll_op(
        &self,
        cx: &mut Context<'_>,
        way: Way,
        full: usize,
        op: &mut dyn FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.reactor.poll_ready(self.key, way, cx).is_pending() {
                self.turns.set(0);
                return Poll::Pending;
            }
            if self.turns.get() == TURNS {
                self.turns.set(0);
                self.reactor.park(cx);
                return Poll::Pending;
            }
            self.turns.set(self.turns.get() + 1);
            match op(self.fd.as_fd()) {
                Ok(n) => {
                    if n < full {
                        self.reactor.short(self.key, way);
                    }
                    return Poll::Ready(Ok(n));
                }
                Err(Errno::AGAIN) => self.reactor.blocked(self.key, way),
                Err(Errno::INTR) => {}
                Err(e) => return Poll::Ready(Err(e.into())),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reactor.remove(self.key);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket").field(&self.fd).finish()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_recv(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, &[IoSlice::new(buf)], false)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, parts, false)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down();
        Poll::Ready(Ok(()))
    }
}

/// Something that ticks once a second, while it is set to.
#[derive(Debug)]
pub(crate) struct Ticker(Socket);

impl Ticker {
    pub(crate) fn new(reactor: &Rc<Reactor>) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Ticker(Socket::adopt(reactor, fd)?))
    }

    /// Starts or stops it.
    pub(crate) fn set(&self, on: bool) -> io::Result<()> {
        sys::set_interval(self.0.fd.as_fd(), on.into())
    }

    /// Waits for a tick. It has to be read, or it would not be heard of again.
    pub(crate) async fn tick(&self) -> io::Result<()> {
        self.0.read(&mut [0; 8]).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::task::{Wake, Waker};

    use rustix::time::Timespec;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn pair(reactor: &Rc<Reactor>) -> (Socket, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Socket::new(reactor, ours.into(), EventFlags::OUT).unwrap(), theirs)
    }

    fn turn(reactor: &Reactor) -> usize {
        reactor.turn(Some(&Timespec::default()), || ())
    }

    #[test]
    fn the_last_to_ask_is_woken() {
        let reactor = Reactor::current().unwrap();
        let (ours, mut theirs) = pair(&reactor);
        turn(&reactor); // tells that it can be written to
        let counts: [Arc<Count>; 2] = Default::default();
        for count in &counts {
            let waker = Waker::from(count.clone());
            assert!(ours.poll_readable(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(turn(&reactor), 0);
        theirs.write_all(b"x").unwrap();
        assert_eq!(turn(&reactor), 1);
        assert_eq!(counts.map(|count| count.0.load(SeqCst)), [0, 1]);
    }

    #[test]
    fn a_closed_socket_is_heard_no_more() {
        let reactor = Reactor::current().unwrap();
        let (first, mut theirs) = pair(&reactor);
        let _open_elsewhere = first.fd.try_clone().unwrap();
        let key = first.key;
        drop(first);
        let (second, _theirs) = pair(&reactor);
        assert_eq!(second.key, key);
        turn(&reactor);
        theirs.write_all(b"x").unwrap();
        assert_eq!(turn(&reactor), 1);
        assert!(second.poll_readable(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    #[test]
    fn a_short_read_exhausts_and_an_end_does_not() {
        let reactor = Reactor::current().unwrap();
        let (ours, mut theirs) = pair(&reactor);
        let cx = &mut Context::from_waker(Waker::noop());
        theirs.write_all(b"xyz").unwrap();
        turn(&reactor);
        assert!(matches!(ours.poll_recv(cx, &mut [0; 2]), Poll::Ready(Ok(2))));
        assert!(ours.poll_readable(cx).is_ready());
        assert!(matches!(ours.poll_recv(cx, &mut [0; 2]), Poll::Ready(Ok(1))));
        assert!(ours.poll_readable(cx).is_pending());
        theirs.write_all(b"z").unwrap();
        drop(theirs);
        turn(&reactor);
        assert!(matches!(ours.poll_recv(cx, &mut [0; 2]), Poll::Ready(Ok(1))));
        assert!(matches!(ours.poll_recv(cx, &mut [0; 2]), Poll::Ready(Ok(0))));
    }

    #[test]
    fn busy_sockets_take_turns() {
        let reactor = Reactor::current().unwrap();
        let (ours, mut theirs) = pair(&reactor);
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let cx = &mut Context::from_waker(&waker);
        theirs.write_all(&[0; 200]).unwrap();
        turn(&reactor);
        for _ in 0..TURNS {
            assert!(matches!(ours.poll_recv(cx, &mut [0; 1]), Poll::Ready(Ok(1))));
        }
        assert!(ours.poll_recv(cx, &mut [0; 1]).is_pending());
        assert_eq!(count.0.load(SeqCst), 0, "it waits for a round of news");
        turn(&reactor);
        assert_eq!(count.0.load(SeqCst), 1, "and goes on after it");
        assert!(matches!(ours.poll_recv(cx, &mut [0; 1]), Poll::Ready(Ok(1))));
    }
}
