//! The messages of a call: outgoing messages with their frame, and the messages of a response's body.

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use http::HeaderMap;

use crate::reassembly::{FramingError, Message, PREFIX, Reassembly};

/// A message in the form that goes onto a stream; `None` if it is longer than gRPC can encode.
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
    /// The stream ended in a message.
    Truncated,
}

/// Reads messages from a response's body.
pub struct Messages {
    body: RecvStream,
    read: Reassembly,
    /// The trailers of a response that has nothing else.
    trailers: Option<HeaderMap>,
}

impl Messages {
    /// The messages of a body. In a response without a body, the head is also the trailers.
    pub fn new(body: RecvStream, trailers: Option<HeaderMap>) -> Self {
        Self { body, read: Reassembly::default(), trailers }
    }

    /// The next message; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Message>, ReadError> {
        loop {
            if let Some(message) = self.read.take().map_err(ReadError::Framing)? {
                return Ok(Some(message));
            }
            match self.body.data().await {
                Some(Ok(chunk)) => {
                    // At most one message is held here, and the next is read only after the last was taken.
                    let _ = self.body.flow_control().release_capacity(chunk.len());
                    self.read.put(chunk);
                }
                Some(Err(error)) => return Err(ReadError::Http2(error)),
                None if self.read.is_empty() => return Ok(None),
                None => return Err(ReadError::Truncated),
            }
        }
    }

    /// The trailers, once `next` has returned `None`. Before that, h2 would wait for them forever.
    pub async fn trailers(&mut self) -> Result<HeaderMap, ReadError> {
        if let Some(trailers) = self.trailers.take() {
            return Ok(trailers);
        }
        self.body.trailers().await.map(Option::unwrap_or_default).map_err(ReadError::Http2)
    }
}
