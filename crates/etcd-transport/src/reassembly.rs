//! gRPC's framing of messages: a byte that says whether it is compressed, four of length, the message. Here they are put
//! together again from the chunks that HTTP/2 brings. Fuzzed, by itself: crates/etcd-transport/fuzz.

use bytes::{Buf, BufMut, Bytes, BytesMut};

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

/// What came of a stream and was not taken yet.
#[derive(Default)]
pub struct Reassembly {
    /// What came and belongs to no complete message yet.
    pending: BytesMut,
    /// The only chunk so far, kept as it came: most answers are one message in one chunk.
    chunk: Bytes,
}

impl Reassembly {
    /// Whether all that came was taken.
    pub fn is_empty(&self) -> bool {
        self.chunk.is_empty() && self.pending.is_empty()
    }

    /// Takes what came next on the stream.
    pub fn put(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() && self.pending.is_empty() {
            self.chunk = chunk;
            return;
        }
        if self.pending.is_empty() {
            self.pending.put_slice(&std::mem::take(&mut self.chunk));
        }
        self.pending.put_slice(&chunk);
        // Room for the whole message, rather than by doubling; but no more at once than a liar could make us hold.
        if let Some([_, a, b, c, d]) = self.pending.first_chunk::<PREFIX>() {
            let whole = PREFIX + u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            self.pending.reserve(whole.saturating_sub(self.pending.len()).min(MOST_RESERVED));
        }
    }

    /// The next message, once all of it is there.
    pub fn take(&mut self) -> Result<Option<Bytes>, FramingError> {
        let held: &[u8] = if self.chunk.is_empty() { &self.pending } else { &self.chunk };
        let Some((prefix, rest)) = held.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let [compressed, a, b, c, d] = *prefix;
        if compressed != 0 {
            return Err(FramingError::Compressed);
        }
        let length = u32::from_be_bytes([a, b, c, d]);
        if length > MOST_LENGTH {
            return Err(FramingError::TooLarge(length));
        }
        let length = length as usize;
        if rest.len() < length {
            return Ok(None);
        }
        Ok(Some(if self.chunk.is_empty() {
            self.pending.advance(PREFIX);
            self.pending.split_to(length).freeze()
        } else {
            self.chunk.advance(PREFIX);
            self.chunk.split_to(length)
        }))
    }
}
