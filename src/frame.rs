//! What is put around the bytes of a body.

/// What goes before and behind some bytes of the body.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    before: [u8; 18],
    before_len: usize,
    pub(crate) after: &'static str,
    /// The bytes themselves stay here.
    pub(crate) silent: bool,
}

impl Frame {
    pub(crate) fn before(&self) -> &[u8] {
        self.before.get(..self.before_len).unwrap_or(&[])
    }

    /// The line that begins a chunk.
    pub(crate) fn chunk(&mut self, len: u64) {
        let digits = (u64::BITS - len.leading_zeros()).div_ceil(4).max(1) as usize;
        for (i, place) in self.before.iter_mut().take(digits).enumerate() {
            let nibble = (len >> (4 * (digits - 1 - i)) & 15) as u8;
            *place = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        let end = self.before.get_mut(digits..digits + 2);
        if let Some(end) = end {
            end.copy_from_slice(b"\r\n");
        }
        self.before_len = digits + 2;
    }
}
