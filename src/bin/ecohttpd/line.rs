//! A line that is put together without an allocation, as a handler of signals has to.

/// It is cut where it is full.
pub(crate) struct Line {
    text: [u8; 128],
    len: usize,
}

impl Line {
    pub(crate) fn new() -> Line {
        Line { text: [0; 128], len: 0 }
    }

    pub(crate) fn text(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(place) = self.text.get_mut(self.len) {
                *place = *byte;
                self.len += 1;
            }
        }
    }

    pub(crate) fn number(&mut self, mut number: usize, base: usize) {
        let mut digits = [0_u8; 20];
        let mut from = digits.len();
        loop {
            from -= 1;
            let digit = (number % base) as u8;
            if let Some(place) = digits.get_mut(from) {
                *place = if digit < 10 { b'0' + digit } else { b'a' - 10 + digit };
            }
            number /= base;
            if number == 0 || from == 0 {
                break;
            }
        }
        self.push(digits.get(from..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_there_is_room_for() {
        let mut line = Line::new();
        line.push(b"11 at 0x");
        line.number(0x00ab_cdef, 16);
        line.push(b", ");
        line.number(0, 10);
        assert_eq!(line.text(), b"11 at 0xabcdef, 0");
        line.push(&[b'x'; 200]);
        line.number(usize::MAX, 10);
        assert_eq!(line.text().len(), 128);
    }
}
