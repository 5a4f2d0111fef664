//! One line for the tester, put together without allocation.

use std::fmt::{self, Write};

const CAPACITY: usize = 512;

/// Fields parted by tabs, ended by a newline. What doesn't fit is cut off.
pub struct Line {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl Line {
    /// A line whose first field is `kind`.
    pub fn new(kind: &str) -> Self {
        let mut line = Self { bytes: [0; CAPACITY], length: 0 };
        line.push(kind.as_bytes());
        line
    }

    /// Appends a number, an address or the like.
    pub fn field(mut self, value: impl fmt::Display) -> Self {
        self.push(b"\t");
        self.join(value)
    }

    /// Appends bytes of which nothing is known; those that would end a field or line become `?`.
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

    /// Ends the line.
    pub fn end(mut self) -> Self {
        self.length = self.length.min(CAPACITY - 1);
        self.push(b"\n");
        self
    }

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
