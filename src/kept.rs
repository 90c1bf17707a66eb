//! Small files that are asked for again: their bytes, behind the head that they are usually sent with.
//!
//! Head and content lie one after the other, so that they leave as they are, in one call and without a
//! copy. The head is made anew when its Date is over, which is once a second at most.

use std::io::IoSlice;
use std::rc::Rc;

use crate::cache::Held;
use crate::find::{OpenFile, is_only_form};
use crate::{Connection, Request, Result, Status};

/// The bytes of a file, and once they were sent the head before them.
#[derive(Debug)]
pub(crate) struct Kept {
    bytes: Vec<u8>,
    /// Where the content begins.
    content: usize,
    /// What its Date tells, in seconds since 1970.
    date: u64,
}

/// References to what nobody is sending: the file's, and that of whoever is about to.
const FREE: usize = 2;

impl Kept {
    /// Those of a file that have no head yet.
    pub(crate) fn new(content: Vec<u8>) -> Kept {
        Kept { bytes: content, content: 0, date: 0 }
    }

    /// Those behind a head that has that Date.
    pub(crate) fn behind(head: &[u8], content: &[u8], date: u64) -> Kept {
        Kept { bytes: [head, content].concat(), content: head.len(), date }
    }

    pub(crate) fn content(&self) -> &[u8] {
        self.bytes.get(self.content..).unwrap_or(&[])
    }

    /// Whether there is a head before them, with that Date.
    fn is_headed(&self, date: u64) -> bool {
        self.content > 0 && self.date == date
    }
}

impl Connection {
    /// The bytes of a small file that has just been served as `req` has it served.
    pub(crate) fn at_hand(&self, req: &Request, file: &OpenFile) -> Option<Rc<Kept>> {
        let kept = file.held.kept()?;
        let is_bare = self.response.status == Status::OK
            && self.response.is_bare()
            && self.gathered.raw().is_empty();
        let is_whole = is_bare && !file.is_packed() && req.is_unconditional();
        (is_whole && file.held.fields.get().is_some() && is_only_form(self, req, file))
            .then_some(kept)
    }

    /// Sends them, with the fields that they had then.
    pub(crate) async fn send_kept(&mut self, held: &Held, kept: Rc<Kept>) -> Result {
        let (length, secs) = (kept.content().len() as u64, self.options.write_timeout);
        let is_usual = self.has_usual_head(length);
        if is_usual && kept.is_headed(self.shared.dated(0)) {
            self.response.set_over();
            self.link.write_all(&mut [IoSlice::new(&kept.bytes)], false, secs).await?;
            self.response.sent = length;
            return Ok(());
        }
        if let Some(fields) = held.fields.get() {
            self.response.set_fields(fields);
        }
        self.response.set_length(length);
        // As long as somebody is sending them, others are not put in their place: those who read slowly
        // would hold as many copies as there are seconds.
        let is_free = Rc::strong_count(&kept) == FREE;
        let to_keep = (is_usual && is_free).then_some(held);
        // On the heap, so that this is small, which is what most requests wait in.
        Box::pin(self.write_before(kept.content(), true, false, to_keep)).await
    }

    /// Whether the head of a response of that length has nothing of this request in it.
    fn has_usual_head(&self, length: u64) -> bool {
        self.keep_alive
            && self.response.is_usual()
            && !self.must_close(Some(length))
            // What began by other options has their fields.
            && self.shared.is_current(&self.options)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};
    use std::time::Duration;

    use smol::future::or;
    use smol::unblock;

    use super::*;
    use crate::cache::At;
    use crate::{Options, Server, block_on};

    const REQUEST: &[u8] = b"GET /f.bin HTTP/1.1\r\nHost: h\r\n\r\n";

    fn ask(addr: SocketAddr) {
        let mut stream = TcpStream::connect(addr).unwrap();
        for _ in 0..4 {
            stream.write_all(REQUEST).unwrap();
            let (mut answer, mut buf) = (Vec::new(), [0; 4096]);
            while !answer.ends_with(b"end") {
                let n = stream.read(&mut buf).unwrap();
                assert!(n > 0);
                answer.extend_from_slice(&buf[..n]);
            }
        }
    }

    /// Asks until the server has more to send than sockets hold, and so reads no more either.
    fn stall(addr: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let requests = REQUEST.repeat(1000);
        loop {
            match stream.write(&requests) {
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return stream;
                }
                Err(e) => panic!("{e}"),
            }
        }
    }

    /// Or they would hold as many copies as there are seconds.
    #[test]
    fn those_who_stall_hold_one_copy_together() {
        let dir = std::env::temp_dir().join(format!("ecohttpd-kept-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("f.bin");
        std::fs::write(&path, format!("{}end", "x".repeat(8000))).unwrap();
        std::thread::sleep(Duration::from_millis(3100));
        let options = Options { docroot: dir.clone(), ..Options::default() };
        let server = Server::new(options).bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let (shared, addr) = (server.shared.clone(), server.local_addrs().unwrap()[0]);
        let kept = || {
            let now = shared.clock.beats();
            shared.cache.find(At::of(&path), false, true, now).unwrap().kept().unwrap()
        };
        let handler = async |con: &mut Connection, req: &mut Request| con.serve_file(req).await;
        let test = async {
            unblock(move || ask(addr)).await;
            let mut stalled = Vec::new();
            // One may have stalled in the moment in which others were put in their place.
            let first = loop {
                stalled.push(unblock(move || stall(addr)).await);
                let first = kept();
                if Rc::strong_count(&first) > FREE {
                    break first;
                }
            };
            for _ in 0..3 {
                smol::Timer::after(Duration::from_millis(700)).await;
                unblock(move || ask(addr)).await;
                assert!(Rc::ptr_eq(&kept(), &first), "others are put in its place");
            }
            drop((first, stalled));
            let mut dates = vec![kept().date];
            for _ in 0..3 {
                smol::Timer::after(Duration::from_millis(700)).await;
                unblock(move || ask(addr)).await;
                dates.push(kept().date);
            }
            assert!(dates.last() > dates.first(), "and nobody else afterwards: {dates:?}");
            Ok(())
        };
        block_on(or(server.serve(handler), test)).unwrap();
        let _ = std::fs::remove_dir_all(&dir);
    }
}
