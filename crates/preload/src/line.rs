use std::fmt::{self, Write};

const CAPACITY: usize = 512;

/// A line for the tester, or another short text, built without allocation. Text that doesn't fit is cut off.
pub struct Line {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl Line {
    /// A line that begins with these words.
    pub fn new(start: &str) -> Self {
        let mut line = Self { bytes: [0; CAPACITY], length: 0 };
        line.push(start.as_bytes());
        line
    }

    /// Appends a field, after a tab: a number, an address or the like.
    pub fn field(mut self, value: impl fmt::Display) -> Self {
        self.push(b"\t");
        self.join(value)
    }

    /// Appends a field of arbitrary bytes. Those that would end a field or line become `?`.
    pub fn text(mut self, value: &[u8]) -> Self {
        self.push(b"\t");
        let start = self.length;
        self.push(value);
        for byte in &mut self.bytes[start..self.length] {
            if byte.is_ascii_control() {
                *byte = b'?';
            }
        }
        self
    }

    /// Appends to the last field.
    pub fn join(mut self, value: impl fmt::Display) -> Self {
        // Writing to the buffer never fails.
        let _ = write!(self, "{value}");
        self
    }

    /// Ends the line with a newline, for which there is always room.
    pub fn end(mut self) -> Self {
        self.length = self.length.min(CAPACITY - 1);
        self.push(b"\n");
        self
    }

    /// The text so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(CAPACITY - self.length);
        self.bytes[self.length..self.length + fits].copy_from_slice(&bytes[..fits]);
        self.length += fits;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, Line};

    #[test]
    fn parts_fields_by_tabs_and_keeps_texts_within_theirs() {
        let line = Line::new("thread").field(7).text(b"a\tb\nc").join('!').end();
        assert_eq!(line.as_bytes(), b"thread\t7\ta?b?c!\n");
        for number in [0, 7, 10, 4_194_304, u64::MAX] {
            assert_eq!(Line::new("").join(number).as_bytes(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn cuts_what_does_not_fit_and_ends_all_the_same() {
        let line = Line::new("socket").text(&[b'x'; 2 * CAPACITY]).end();
        assert_eq!(line.as_bytes().len(), CAPACITY);
        assert!(line.as_bytes().ends_with(b"x\n"));
    }
}
