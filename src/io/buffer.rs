//! Fixed buffers, lent by the thread to connections that are doing something.

use std::cell::RefCell;

/// The size of every buffer.
pub(crate) const SIZE: usize = 8192;

/// Buffers kept for the next connection; those a burst needed beyond that go back to the system.
const KEPT: usize = 8;

type Block = Box<[u8; SIZE]>;

thread_local! {
    /// The buffers not in use at the moment.
    static FREE: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

fn take() -> Block {
    // At the end of a thread there may be none any more.
    let kept = FREE.try_with(|free| free.borrow_mut().pop()).ok().flatten();
    kept.unwrap_or_else(|| {
        // By way of a vector: a boxed array would be made on the stack first.
        vec![0; SIZE].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([0; SIZE]))
    })
}

fn give(block: Block) {
    let _ = FREE.try_with(|free| {
        let mut free = free.borrow_mut();
        if free.len() < KEPT {
            free.push(block);
        }
    });
}

/// A window on bytes that come and go. Holds no memory while there are none.
///
/// What has arrived is *raw*; the part that has been found to be *content* lies before it, with
/// a gap between them where framing was:
///
/// ```text
/// | consumed | content | gap | raw | spare |
///            start  ready    raw  end
/// ```
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    block: Option<Block>,
    start: u16,
    ready: u16,
    raw: u16,
    end: u16,
}

impl Buffer {
    fn slice(&self, from: u16, to: u16) -> &[u8] {
        let block = self.block.as_deref();
        block.and_then(|block| block.get(from.into()..to.into())).unwrap_or(&[])
    }

    /// The bytes found to be content.
    pub(crate) fn content(&self) -> &[u8] {
        self.slice(self.start, self.ready)
    }

    /// The bytes not looked at yet.
    pub(crate) fn raw(&self) -> &[u8] {
        self.slice(self.raw, self.end)
    }

    /// Some of the content, to be changed in place.
    pub(crate) fn content_mut(&mut self, span: std::ops::Range<usize>) -> &mut [u8] {
        let (start, ready) = (self.start.into(), self.ready.into());
        let content = self.block.as_deref_mut().and_then(|block| block.get_mut(start..ready));
        content.and_then(|content| content.get_mut(span)).unwrap_or(&mut [])
    }

    /// Forgets the first `n` bytes of the content.
    pub(crate) fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.content().len());
        self.start = self.ready.min(self.start.saturating_add(n as u16));
    }

    /// Forgets the first `n` bytes that are raw.
    pub(crate) fn drop_raw(&mut self, n: usize) {
        debug_assert!(n <= self.raw().len());
        self.raw = self.end.min(self.raw.saturating_add(n as u16));
        if self.start == self.ready {
            self.start = self.raw;
            self.ready = self.raw;
        }
    }

    /// Makes the first `n` raw bytes content.
    pub(crate) fn take_raw(&mut self, n: usize) {
        debug_assert!(n <= self.raw().len());
        let to = self.end.min(self.raw.saturating_add(n as u16));
        if self.start == self.ready {
            self.start = self.raw;
            self.ready = to;
        } else if self.ready == self.raw {
            self.ready = to;
        } else if let Some(block) = &mut self.block {
            block.copy_within(usize::from(self.raw)..to.into(), self.ready.into());
            self.ready += to - self.raw;
        }
        self.raw = to;
    }

    /// The room behind everything, after moving everything to the front.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        let block = self.block.get_or_insert_with(take);
        if self.start > 0 {
            block.copy_within(usize::from(self.start)..self.ready.into(), 0);
            self.ready -= self.start;
            self.start = 0;
        }
        if self.raw > self.ready {
            block.copy_within(usize::from(self.raw)..self.end.into(), self.ready.into());
            self.end -= self.raw - self.ready;
            self.raw = self.ready;
        }
        block.get_mut(self.end.into()..).unwrap_or(&mut [])
    }

    /// The first `n` bytes of the room are filled.
    pub(crate) fn extend(&mut self, n: usize) {
        debug_assert!(usize::from(self.end) + n <= SIZE);
        self.end = self.end.saturating_add(n as u16).min(SIZE as u16);
    }

    /// Appends as much of `bytes` as there is room for, and says how much that was.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare();
        let n = bytes.len().min(spare.len());
        if let (Some(to), Some(from)) = (spare.get_mut(..n), bytes.get(..n)) {
            to.copy_from_slice(from);
        }
        self.extend(n);
        n
    }

    /// How much could be appended.
    pub(crate) fn room(&self) -> usize {
        SIZE - self.content().len() - self.raw().len()
    }

    /// Forgets everything and gives the memory back.
    pub(crate) fn clear(&mut self) {
        (self.start, self.ready, self.raw, self.end) = (0, 0, 0, 0);
        if let Some(block) = self.block.take() {
            give(block);
        }
    }

    /// Gives the memory back if nothing is in it.
    pub(crate) fn release(&mut self) {
        if self.content().is_empty() && self.raw().is_empty() {
            self.clear();
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_comes_from_the_pool_and_returns() {
        let free = || FREE.with_borrow(Vec::len);
        let mut many: Vec<_> = (0..20).map(|_| Buffer::default()).collect();
        many.iter_mut().for_each(|buffer| assert_eq!(buffer.append(b"x"), 1));
        assert_eq!(free(), 0);
        many.clear();
        assert_eq!(free(), KEPT);
        let mut one = Buffer::default();
        assert_eq!(one.append(&[7; SIZE + 1]), SIZE);
        assert_eq!((one.room(), one.raw().len()), (0, SIZE));
        one.release();
        assert_eq!(one.raw().len(), SIZE, "it is not empty");
        one.drop_raw(SIZE);
        one.release();
        assert_eq!(free(), KEPT);
    }

    proptest! {
        /// Content and raw bytes are what a pair of queues would hold.
        #[test]
        fn like_two_queues(ops in proptest::collection::vec((0_u8..5, 0_usize..4000), 0..60)) {
            let mut buffer = Buffer::default();
            let (mut content, mut raw) = (Vec::new(), Vec::new());
            let mut next = 0_u8;
            for (op, n) in ops {
                match op {
                    0 => {
                        let bytes: Vec<u8> = (0..n).map(|_| { next = next.wrapping_add(1); next }).collect();
                        let took = buffer.append(&bytes);
                        prop_assert!(took == n || buffer.room() == 0);
                        raw.extend_from_slice(&bytes[..took]);
                    }
                    1 => {
                        let n = n.min(raw.len());
                        buffer.drop_raw(n);
                        raw.drain(..n);
                    }
                    2 => {
                        let n = n.min(raw.len());
                        buffer.take_raw(n);
                        content.extend(raw.drain(..n));
                    }
                    3 => {
                        let n = n.min(content.len());
                        buffer.consume(n);
                        content.drain(..n);
                    }
                    _ => buffer.release(),
                }
                prop_assert_eq!(buffer.content(), &content[..]);
                prop_assert_eq!(buffer.raw(), &raw[..]);
            }
        }
    }
}
