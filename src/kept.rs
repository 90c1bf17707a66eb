//! Small files that are asked for again: their bytes, behind the head that they are usually sent with.
//!
//! Head and content lie one after the other, so that they leave as they are, in one call and without a
//! copy. The head is made anew when its Date is over, which is once a second at most.

use std::io::IoSlice;
use std::rc::Rc;

use crate::cache::Held;
use crate::find::{OpenFile, is_only_form};
use crate::{Connection, Request, Result, Status};

/// The bytes of a file, and from its second answer on the head before them.
#[derive(Debug)]
pub(crate) struct Kept {
    bytes: Vec<u8>,
    /// Where the content begins.
    content: usize,
    /// The beat of the clock at which the head was made.
    beats: u32,
}

impl Kept {
    /// Those of a file that have no head yet.
    pub(crate) fn new(content: Vec<u8>) -> Kept {
        Kept { bytes: content, content: 0, beats: 0 }
    }

    pub(crate) fn content(&self) -> &[u8] {
        self.bytes.get(self.content..).unwrap_or(&[])
    }

    /// Whether there is a head before them, with the Date of this beat.
    fn is_headed(&self, beats: u32) -> bool {
        self.content > 0 && self.beats == beats
    }

    /// Likewise, behind `head`.
    pub(crate) fn behind(head: &[u8], content: &[u8], beats: u32) -> Kept {
        Kept { bytes: [head, content].concat(), content: head.len(), beats }
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
        if is_usual && kept.is_headed(self.shared.clock.beats()) {
            self.response.set_over();
            self.link.write_all(&mut [IoSlice::new(&kept.bytes)], false, secs).await?;
            self.response.sent = length;
            return Ok(());
        }
        if let Some(fields) = held.fields.get() {
            self.response.set_fields(fields);
        }
        self.response.set_length(length);
        let to_keep = is_usual.then_some(held);
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
