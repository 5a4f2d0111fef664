//! The framing of what crosses the boundary: commands from JavaScript, completions to it.
//!
//! All integers are little-endian. A batch is a sequence of frames with nothing between them. A long message crosses
//! separately. The other half of this format is packages/etcd/src/transport/frames.ts.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::reassembly::Message;

/// Identifies a call while it is in flight. JavaScript chooses it.
pub type CallId = u32;

/// How to make a call.
#[derive(Debug)]
pub struct CallStart {
    pub id: CallId,
    pub timeout: Option<Duration>,
    pub method: PathAndQuery,
    pub headers: HeaderMap,
}

/// One frame from JavaScript. Messages are framed for gRPC.
#[derive(Debug)]
pub enum Command {
    Unary(CallStart, Bytes),
    OpenStream(CallStart),
    Send(CallId, Bytes),
    CloseSend(CallId),
    /// The reader has taken messages, and returns their credit.
    Credit(CallId, u32),
    /// The messages of the stream may wait this long, so that the reader gets many at once.
    Gather(CallId, Duration),
    Cancel(CallId),
    /// A call that can't be made: its method or metadata is malformed.
    Refuse(CallId, String),
}

const UNARY: u8 = 1;
const OPEN_STREAM: u8 = 2;
const SEND: u8 = 3;
const CLOSE_SEND: u8 = 4;
const CREDIT: u8 = 5;
const CANCEL: u8 = 6;
const GATHER: u8 = 7;

/// A batch that doesn't follow the format. This is a defect of the caller, not of its input.
#[derive(Debug, PartialEq, Eq)]
pub struct MalformedBatch;

impl fmt::Display for MalformedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed batch of commands: the addon and its JavaScript differ in version")
    }
}

impl std::error::Error for MalformedBatch {}

/// Reads the commands of one batch. Messages are slices of the batch, not copies.
pub struct Commands {
    batch: Bytes,
    /// One message for each length that is encoded as [`BY_ITSELF`], in the order of the commands.
    long: VecDeque<Bytes>,
}

impl Commands {
    pub fn new(batch: Bytes, long: VecDeque<Bytes>) -> Self {
        Self { batch, long }
    }

    fn bytes(&mut self, length: usize) -> Result<Bytes, MalformedBatch> {
        if length > self.batch.len() {
            return Err(MalformedBatch);
        }
        Ok(self.batch.split_to(length))
    }

    fn u8(&mut self) -> Result<u8, MalformedBatch> {
        self.batch.try_get_u8().map_err(|_| MalformedBatch)
    }

    fn u16(&mut self) -> Result<usize, MalformedBatch> {
        self.batch.try_get_u16_le().map(usize::from).map_err(|_| MalformedBatch)
    }

    fn u32(&mut self) -> Result<u32, MalformedBatch> {
        self.batch.try_get_u32_le().map_err(|_| MalformedBatch)
    }

    fn length(&mut self) -> Result<usize, MalformedBatch> {
        usize::try_from(self.u32()?).map_err(|_| MalformedBatch)
    }

    fn message(&mut self) -> Result<Bytes, MalformedBatch> {
        match self.u32()? {
            BY_ITSELF => self.long.pop_front().ok_or(MalformedBatch),
            length => self.bytes(usize::try_from(length).map_err(|_| MalformedBatch)?),
        }
    }

    fn command(&mut self) -> Result<Command, MalformedBatch> {
        let op = self.u8()?;
        let id = self.u32()?;
        Ok(match op {
            UNARY | OPEN_STREAM => {
                let start = self.call_start(id)?;
                let message = self.message()?;
                match start {
                    Err(reason) => Command::Refuse(id, reason),
                    Ok(start) if op == UNARY => Command::Unary(start, message),
                    Ok(start) => Command::OpenStream(start),
                }
            }
            SEND => Command::Send(id, self.message()?),
            CLOSE_SEND => Command::CloseSend(id),
            CREDIT => Command::Credit(id, self.u32()?),
            CANCEL => Command::Cancel(id),
            GATHER => Command::Gather(id, Duration::from_millis(self.u32()?.into())),
            _ => return Err(MalformedBatch),
        })
    }

    fn call_start(&mut self, id: CallId) -> Result<Result<CallStart, String>, MalformedBatch> {
        let timeout_ms = self.u32()?;
        let length = self.u16()?;
        let method = self.bytes(length)?;
        let mut headers = HeaderMap::new();
        let mut refused = None;
        for _ in 0..self.u16()? {
            let length = self.u16()?;
            let name = self.bytes(length)?;
            let length = self.length()?;
            let value = self.bytes(length)?;
            match (HeaderName::from_bytes(&name), HeaderValue::from_maybe_shared(value)) {
                (Ok(name), Ok(value)) => {
                    if headers.try_append(name, value).is_err() {
                        refused = Some("too much metadata".to_owned());
                    }
                }
                _ => {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    refused = Some(format!("malformed metadata: {name}"));
                }
            }
        }
        let method = match PathAndQuery::from_maybe_shared(method) {
            Ok(method) => method,
            Err(error) => return Ok(Err(format!("malformed method: {error}"))),
        };
        Ok(match refused {
            Some(reason) => Err(reason),
            None => Ok(CallStart {
                id,
                timeout: (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms.into())),
                method,
                headers,
            }),
        })
    }
}

impl Iterator for Commands {
    type Item = Result<Command, MalformedBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.batch.is_empty() {
            return None;
        }
        let command = self.command();
        if command.is_err() {
            self.batch.clear();
        }
        Some(command)
    }
}

const UNARY_OK: u8 = 1;
const HEADERS: u8 = 2;
const MESSAGE: u8 = 3;
const SENT: u8 = 4;
const END: u8 = 5;
const BROKEN: u8 = 6;

/// How a call ended, other than with a unary answer.
#[derive(Debug, PartialEq, Eq)]
pub struct CallEnd {
    /// gRPC status code; 0 for a stream that ended well.
    pub code: u8,
    pub details: String,
    /// False when the request certainly never left this process.
    pub sent: bool,
}

/// What goes up to JavaScript: frames, and the messages that are too long for them.
#[derive(Default)]
pub struct Frames {
    pub bytes: Vec<u8>,
    /// One message for each length that is encoded as [`BY_ITSELF`], in the order of the frames.
    pub long: VecDeque<Message>,
}

impl Frames {
    /// The number of bytes held.
    pub fn held(&self) -> usize {
        self.bytes.len() + self.long.iter().map(Message::len).sum::<usize>()
    }
}

/// From this many bytes on, a message is copied straight into a JavaScript buffer.
const LONG: usize = 32 * 1024;
/// A length that no message has. It marks a message that is not in the frames.
const BY_ITSELF: u32 = u32::MAX;

/// The answer to a unary call.
pub fn put_unary_ok(out: &mut Frames, id: CallId, headers: &HeaderMap, trailers: &HeaderMap, message: Message) {
    put_op(&mut out.bytes, UNARY_OK, id);
    put_metadata(&mut out.bytes, headers);
    put_metadata(&mut out.bytes, trailers);
    put_payload(out, message);
}

/// The response headers of a stream.
pub fn put_headers(out: &mut Frames, id: CallId, headers: &HeaderMap) {
    put_op(&mut out.bytes, HEADERS, id);
    put_metadata(&mut out.bytes, headers);
}

/// One message of a stream.
pub fn put_message(out: &mut Frames, id: CallId, message: Message) {
    put_op(&mut out.bytes, MESSAGE, id);
    put_payload(out, message);
}

/// The connection took one message of a stream.
pub fn put_sent(out: &mut Frames, id: CallId) {
    put_op(&mut out.bytes, SENT, id);
}

/// The last frame of a call, unless that is [`put_unary_ok`].
pub fn put_end(out: &mut Frames, id: CallId, end: &CallEnd, trailers: &HeaderMap) {
    let out = &mut out.bytes;
    put_op(out, END, id);
    out.push(end.code);
    out.push(end.sent.into());
    put_bytes(out, end.details.as_bytes());
    put_metadata(out, trailers);
}

/// All calls are over, because a batch could not be read.
pub fn put_broken(out: &mut Frames, details: &str) {
    put_op(&mut out.bytes, BROKEN, 0);
    put_bytes(&mut out.bytes, details.as_bytes());
}

fn put_payload(out: &mut Frames, message: Message) {
    if message.len() >= LONG {
        put_u32(&mut out.bytes, BY_ITSELF);
        put_len(&mut out.bytes, message.len());
        out.long.push_back(message);
        return;
    }
    put_len(&mut out.bytes, message.len());
    for piece in message.pieces() {
        out.bytes.extend_from_slice(piece);
    }
}

fn put_op(out: &mut Vec<u8>, op: u8, id: CallId) {
    out.push(op);
    out.extend_from_slice(&id.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    // HTTP/2 and protobuf messages both stay below 2 GiB, so the length always fits.
    put_u32(out, len as u32);
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_metadata(out: &mut Vec<u8>, metadata: &HeaderMap) {
    // The status and the framing's own headers are encoded in separate fields.
    let shown = |name: &HeaderName| !matches!(name.as_str(), "content-type" | "grpc-status" | "grpc-message");
    let count =
        metadata.keys().filter(|name| shown(name)).map(|name| metadata.get_all(name).iter().count()).sum::<usize>();
    out.extend_from_slice(&(count as u16).to_le_bytes());
    for (name, value) in metadata.iter().filter(|(name, _)| shown(name)) {
        put_bytes(out, name.as_str().as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn unary(id: u32, method: &str, metadata: &[(&str, &str)], message: &[u8]) -> Vec<u8> {
        let mut out = vec![UNARY];
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(&250u32.to_le_bytes());
        out.extend_from_slice(&(method.len() as u16).to_le_bytes());
        out.extend_from_slice(method.as_bytes());
        out.extend_from_slice(&(metadata.len() as u16).to_le_bytes());
        for (name, value) in metadata {
            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
            out.extend_from_slice(name.as_bytes());
            put_bytes(&mut out, value.as_bytes());
        }
        put_bytes(&mut out, message);
        out
    }

    #[test]
    fn reads_back_to_back_commands() {
        let mut batch = unary(7, "/p.S/M", &[("token", "abc")], b"hello");
        batch.push(CREDIT);
        batch.extend_from_slice(&8u32.to_le_bytes());
        batch.extend_from_slice(&16u32.to_le_bytes());
        batch.push(GATHER);
        batch.extend_from_slice(&8u32.to_le_bytes());
        batch.extend_from_slice(&20u32.to_le_bytes());
        let mut commands = Commands::new(batch.into(), VecDeque::new());
        let Some(Ok(Command::Unary(start, message))) = commands.next() else { panic!("not a unary call") };
        assert_eq!((start.id, start.method.as_str(), &message[..]), (7, "/p.S/M", &b"hello"[..]));
        assert_eq!(start.timeout, Some(Duration::from_millis(250)));
        assert_eq!(start.headers["token"], "abc");
        assert!(matches!(commands.next(), Some(Ok(Command::Credit(8, 16)))));
        assert!(matches!(commands.next(), Some(Ok(Command::Gather(8, time))) if time == Duration::from_millis(20)));
        assert!(commands.next().is_none());
    }

    #[test]
    fn refuses_one_call_and_reads_on() {
        let mut batch = unary(1, "/p.S/M", &[("bad name", "x")], b"");
        batch.extend(unary(2, "/p.S/M", &[], b""));
        let mut commands = Commands::new(batch.into(), VecDeque::new());
        assert!(matches!(commands.next(), Some(Ok(Command::Refuse(1, _)))));
        assert!(matches!(commands.next(), Some(Ok(Command::Unary(..)))));
    }

    #[test]
    fn no_prefix_and_no_flipped_byte_of_a_batch_panics() {
        let batch = unary(1, "/p.S/M", &[("token", "abc"), ("other", "d")], b"hello");
        for end in 1..batch.len() {
            let commands: Vec<_> = Commands::new(Bytes::copy_from_slice(&batch[..end]), VecDeque::new()).collect();
            assert_eq!(commands.last().unwrap().as_ref().unwrap_err(), &MalformedBatch);
        }
        for index in 0..batch.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = batch.clone();
                bad[index] ^= flip;
                let _ = Commands::new(bad.into(), VecDeque::new()).collect::<Vec<_>>();
            }
        }
    }

    #[test]
    fn hides_the_framing_headers_and_keeps_repeated_ones() {
        let mut metadata = HeaderMap::new();
        metadata.insert("grpc-status", HeaderValue::from_static("0"));
        metadata.append("a", HeaderValue::from_static("1"));
        metadata.append("a", HeaderValue::from_static("2"));
        let mut out = Vec::new();
        put_metadata(&mut out, &metadata);
        assert_eq!(out, *b"\x02\x00\x01\x00\x00\x00a\x01\x00\x00\x001\x01\x00\x00\x00a\x01\x00\x00\x002");
    }
}
