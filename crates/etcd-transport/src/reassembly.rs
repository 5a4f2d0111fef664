//! gRPC's framing of messages: a byte that says whether it is compressed, four of length, the message. Here they are put
//! together again from the chunks that HTTP/2 brings. Fuzzed, by itself: crates/etcd-transport/fuzz.

use bytes::{Buf, Bytes};

pub const PREFIX: usize = 5;
/// The longest message that is taken, as with Go's clientv3.
pub const MOST_LENGTH: u32 = i32::MAX as u32;
/// Bytes made ready for a message before they came.
const MOST_RESERVED: usize = 4 * 1024 * 1024;

/// Why what came holds no message.
#[derive(Debug, PartialEq, Eq)]
pub enum FramingError {
    Compressed,
    /// A message of that many bytes was announced.
    TooLarge(u32),
}

/// One message, as it came.
#[derive(Debug)]
pub enum Message {
    /// All of it in one chunk, of which it is a part.
    Part(Bytes),
    /// In several chunks: copied together, into an allocation of its own.
    Whole(Vec<u8>),
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Part(bytes) => bytes,
            Self::Whole(bytes) => bytes,
        }
    }
}

/// What came of a stream and was not taken yet.
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
    /// A message of so many bytes.
    Message(Vec<u8>, usize),
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
                    let length = length(*prefix)?;
                    self.begun = Begun::default();
                    // Most answers are one message in one chunk.
                    if length <= self.chunk.len() {
                        return Ok(Some(Message::Part(self.chunk.split_to(length))));
                    }
                    self.begun = Begun::Message(Vec::with_capacity(length.min(MOST_RESERVED)), length);
                }
                Begun::Message(message, length) => {
                    let missing = *length - message.len();
                    let part = self.chunk.split_to(missing.min(self.chunk.len()));
                    if message.capacity() - message.len() < part.len() {
                        // Not more at once than a liar could make us hold.
                        message.reserve_exact(missing.min(message.len().max(MOST_RESERVED)));
                    }
                    message.extend_from_slice(&part);
                    if message.len() < *length {
                        return Ok(None);
                    }
                    let message = std::mem::take(message);
                    self.begun = Begun::default();
                    return Ok(Some(Message::Whole(message)));
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
