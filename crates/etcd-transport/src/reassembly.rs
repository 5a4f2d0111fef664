//! gRPC's framing of messages: a byte that says whether it is compressed, four of length, the message. Here they are put
//! together again from the chunks that HTTP/2 brings. Fuzzed, by itself: crates/etcd-transport/fuzz.

use std::{iter, mem};

use bytes::{Buf, Bytes};

pub const PREFIX: usize = 5;
/// The longest message that is taken, as with Go's clientv3.
pub const MOST_LENGTH: u32 = i32::MAX as u32;

/// Why what came holds no message.
#[derive(Debug, PartialEq, Eq)]
pub enum FramingError {
    Compressed,
    /// A message of that many bytes was announced.
    TooLarge(u32),
}

/// One message, in the pieces that it came in.
#[derive(Debug, Default)]
pub struct Message {
    /// All of it, for most.
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

/// What came from a stream and was not taken yet.
#[derive(Default)]
pub struct Reassembly {
    /// What came last.
    chunk: Bytes,
    /// What came before it and belongs to no complete message.
    begun: Begun,
}

enum Begun {
    /// So many bytes of the next message's prefix.
    Prefix([u8; PREFIX], usize),
    /// A message that will have so many bytes.
    Message(Message, usize),
}

impl Default for Begun {
    fn default() -> Self {
        Self::Prefix([0; PREFIX], 0)
    }
}

impl Reassembly {
    /// Whether all that came was taken.
    pub fn is_empty(&self) -> bool {
        self.chunk.is_empty() && matches!(self.begun, Begun::Prefix(_, 0))
    }

    /// Takes what came next on the stream, once there is no message to be taken of what came before.
    pub fn put(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "there is something to be taken");
        self.chunk = chunk;
    }

    /// The next message, once all of it is there.
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
