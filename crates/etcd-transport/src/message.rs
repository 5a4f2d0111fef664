//! gRPC's framing of messages: a byte that says whether it is compressed, four of length, the message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::RecvStream;
use http::HeaderMap;

const PREFIX: usize = 5;
/// The longest message that is taken, as with Go's clientv3.
pub const MOST_LENGTH: u32 = i32::MAX as u32;
/// Bytes made ready for a message before they came.
const MOST_RESERVED: usize = 4 * 1024 * 1024;

/// A message as it goes onto a stream.
pub fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    // The framing across the boundary allows no longer ones.
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

/// What went wrong on a stream of messages.
#[derive(Debug)]
pub enum ReadError {
    Http2(h2::Error),
    Compressed,
    /// A message of that many bytes was announced.
    TooLarge(u32),
    /// The stream ended within a message.
    Truncated,
}

/// Takes messages from a response's body.
pub struct Messages {
    body: RecvStream,
    /// What came and belongs to no complete message yet.
    pending: BytesMut,
    /// The only chunk so far, kept as it came: most answers are one message in one chunk.
    chunk: Bytes,
    /// Of a response that is trailers alone.
    trailers: Option<HeaderMap>,
}

impl Messages {
    /// Those of a body, unless the response has none: then its head was its trailers.
    pub fn new(body: RecvStream, trailers: Option<HeaderMap>) -> Self {
        Self { body, pending: BytesMut::new(), chunk: Bytes::new(), trailers }
    }

    /// The next message, `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match self.body.data().await {
                Some(Ok(chunk)) => {
                    // It is held here, at most one message long, and the next is read when the last was taken.
                    let _ = self.body.flow_control().release_capacity(chunk.len());
                    self.put(chunk);
                }
                Some(Err(error)) => return Err(ReadError::Http2(error)),
                None if self.chunk.is_empty() && self.pending.is_empty() => return Ok(None),
                None => return Err(ReadError::Truncated),
            }
        }
    }

    /// The trailers, once `next` has returned `None`: before, h2 would wait for them without end.
    pub async fn trailers(&mut self) -> Result<HeaderMap, ReadError> {
        if let Some(trailers) = self.trailers.take() {
            return Ok(trailers);
        }
        self.body.trailers().await.map(Option::unwrap_or_default).map_err(ReadError::Http2)
    }

    fn put(&mut self, chunk: Bytes) {
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

    fn take(&mut self) -> Result<Option<Bytes>, ReadError> {
        let held: &[u8] = if self.chunk.is_empty() { &self.pending } else { &self.chunk };
        let Some((prefix, rest)) = held.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let [compressed, a, b, c, d] = *prefix;
        if compressed != 0 {
            return Err(ReadError::Compressed);
        }
        let length = u32::from_be_bytes([a, b, c, d]);
        if length > MOST_LENGTH {
            return Err(ReadError::TooLarge(length));
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
