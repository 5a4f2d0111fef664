//! The messages of a call: those that go out, framed, and those of a response's body.

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use http::HeaderMap;

use crate::reassembly::{FramingError, Message, PREFIX, Reassembly};

/// A message as it goes onto a stream, unless it is longer than gRPC can state.
pub fn frame(message: &[u8]) -> Option<Bytes> {
    let length = u32::try_from(message.len()).ok()?;
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(length);
    frame.put_slice(message);
    Some(frame.freeze())
}

/// What went wrong on a stream of messages.
#[derive(Debug)]
pub enum ReadError {
    Http2(h2::Error),
    Framing(FramingError),
    /// The stream ended within a message.
    Truncated,
}

/// Takes messages from a response's body.
pub struct Messages {
    body: RecvStream,
    read: Reassembly,
    /// Of a response that is trailers alone.
    trailers: Option<HeaderMap>,
}

impl Messages {
    /// Those of a body, unless the response has none: then its head was its trailers.
    pub fn new(body: RecvStream, trailers: Option<HeaderMap>) -> Self {
        Self { body, read: Reassembly::default(), trailers }
    }

    /// The next message, `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Message>, ReadError> {
        loop {
            if let Some(message) = self.read.take().map_err(ReadError::Framing)? {
                return Ok(Some(message));
            }
            match self.body.data().await {
                Some(Ok(chunk)) => {
                    // It is held here, at most one message long, and the next is read when the last was taken.
                    let _ = self.body.flow_control().release_capacity(chunk.len());
                    self.read.put(chunk);
                }
                Some(Err(error)) => return Err(ReadError::Http2(error)),
                None if self.read.is_empty() => return Ok(None),
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
}
