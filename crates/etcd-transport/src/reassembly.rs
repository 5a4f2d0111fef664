//! gRPC's framing of messages: a byte that says whether the message is compressed, four bytes of length, the message.
//! This module reassembles messages from the chunks that HTTP/2 delivers. It is fuzzed separately:
//! crates/etcd-transport/fuzz.

use std::{iter, mem};

use bytes::{Buf, Bytes};

pub const PREFIX: usize = 5;
/// The longest message that is accepted, as in Go's clientv3.
pub const MOST_LENGTH: u32 = i32::MAX as u32;

/// Why the received bytes hold no message.
#[derive(Debug, PartialEq, Eq)]
pub enum FramingError {
    Compressed,
    /// The server announced a message of this many bytes.
    TooLarge(u32),
}

/// One message, in the pieces in which it arrived.
#[derive(Debug, Default)]
pub struct Message {
    /// For most messages, the whole message.
    first: Bytes,
    rest: Vec<Bytes>,
    len: usize,
}

impl Message {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        iter::once(&self.first).chain(&self.rest).map(AsRef::as_ref)
    }

    fn push(&mut self, piece: Bytes) {
        self.len += piece.len();
        if self.first.is_empty() {
            self.first = piece;
        } else if !piece.is_empty() {
            self.rest.push(piece);
        }
    }
}

impl From<Bytes> for Message {
    fn from(whole: Bytes) -> Self {
        Self { len: whole.len(), first: whole, rest: Vec::new() }
    }
}

/// The bytes that were received from a stream and not taken yet.
#[derive(Default)]
pub struct Reassembly {
    /// The chunk that arrived last.
    chunk: Bytes,
    /// The bytes before it that belong to an incomplete message.
    begun: Begun,
}

enum Begun {
    /// This many bytes of the next message's prefix.
    Prefix([u8; PREFIX], usize),
    /// A message that will have this many bytes.
    Message(Message, usize),
}

impl Default for Begun {
    fn default() -> Self {
        Self::Prefix([0; PREFIX], 0)
    }
}

impl Reassembly {
    /// Whether everything that was received was taken.
    pub fn is_empty(&self) -> bool {
        self.chunk.is_empty() && matches!(self.begun, Begun::Prefix(_, 0))
    }

    /// Adds the next chunk of the stream. Call it only when no complete message is left to take.
    pub fn put(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "there is something to be taken");
        self.chunk = chunk;
    }

    /// The next message, once it is complete.
    pub fn take(&mut self) -> Result<Option<Message>, FramingError> {
        loop {
            match &mut self.begun {
                Begun::Prefix(prefix, have) => {
                    let part = self.chunk.len().min(PREFIX - *have);
                    self.chunk.copy_to_slice(&mut prefix[*have..*have + part]);
                    *have += part;
                    if *have < PREFIX {
                        return Ok(None);
                    }
                    self.begun = Begun::Message(Message::default(), length(*prefix)?);
                }
                Begun::Message(message, length) => {
                    let missing = *length - message.len;
                    message.push(self.chunk.split_to(missing.min(self.chunk.len())));
                    if message.len < *length {
                        return Ok(None);
                    }
                    let message = mem::take(message);
                    self.begun = Begun::default();
                    return Ok(Some(message));
                }
            }
        }
    }
}

fn length([compressed, a, b, c, d]: [u8; PREFIX]) -> Result<usize, FramingError> {
    if compressed != 0 {
        return Err(FramingError::Compressed);
    }
    match u32::from_be_bytes([a, b, c, d]) {
        length if length > MOST_LENGTH => Err(FramingError::TooLarge(length)),
        length => Ok(length as usize),
    }
}
