//! What the tester requests on standard input, and the answers on standard output: frames, each a length of 32 bits and
//! that many bytes. A frame begins with its kind and the number that the tester gave the program or path. Numbers are
//! little-endian. packages/quiesce/src/process/spawner.ts is the other side.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Version of the frames. The tester passes it as the only argument.
pub const VERSION: &str = "3";

/// The tester's requests.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// Start a program.
    Start(Start),
    /// Stop reading one of a program's streams.
    Close { id: u32, stream: u8 },
    /// Remove a file or directory, once the tester is gone.
    Remember { id: u32, path: PathBuf },
    /// Leave that to the tester again.
    Forget { id: u32 },
    /// Nothing is left of a program that has ended: start the next of its sequence.
    Over { id: u32 },
    /// Start none of a sequence's programs that wait.
    Cancel { sequence: u32 },
}

/// A program to start.
#[derive(Debug, PartialEq)]
pub struct Start {
    pub id: u32,
    /// Programs with the same number run one after another; those with 0 run at once.
    pub sequence: u32,
    /// How many of its streams are read: standard output, standard error, descriptor 3.
    pub streams: u8,
    pub cwd: OsString,
    /// Name of an abstract socket, through which what the program starts can also write to its descriptor 3; empty for
    /// none.
    pub socket: OsString,
    /// The program, and its arguments.
    pub words: Vec<OsString>,
    /// The whole environment, as `NAME=value`.
    pub env: Vec<OsString>,
}

const START: u8 = 0;
const CLOSE: u8 = 1;
const REMEMBER: u8 = 2;
const FORGET: u8 = 3;
const OVER: u8 = 4;
const CANCEL: u8 = 5;

/// Removes the next complete request from the front of what has been read. `None` if it isn't complete.
pub fn next_request(input: &mut Vec<u8>) -> Option<Result<Request, Malformed>> {
    let length = usize::try_from(u32::from_le_bytes(*input.first_chunk()?)).ok()?;
    let frame = input.get(4..4 + length)?;
    let request = decode(frame);
    input.drain(..4 + length);
    Some(request.ok_or(Malformed))
}

/// A request that no tester of this version makes.
#[derive(Debug, PartialEq)]
pub struct Malformed;

fn decode(frame: &[u8]) -> Option<Request> {
    let (&kind, rest) = frame.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    let id = u32::from_le_bytes(*id);
    match kind {
        CLOSE => Some(Request::Close { id, stream: *rest.first()? }),
        REMEMBER => {
            let path = PathBuf::from(OsString::from_vec(rest.to_vec()));
            path.is_absolute().then_some(Request::Remember { id, path })
        }
        FORGET => Some(Request::Forget { id }),
        OVER => Some(Request::Over { id }),
        CANCEL => Some(Request::Cancel { sequence: id }),
        START => {
            let (sequence, rest) = rest.split_first_chunk()?;
            let sequence = u32::from_le_bytes(*sequence);
            let (&streams, rest) = rest.split_first()?;
            let (words, rest) = rest.split_first_chunk()?;
            let count = usize::try_from(u32::from_le_bytes(*words)).ok()?;
            // Each text ends with NUL, so no text can contain one.
            let mut texts =
                rest.strip_suffix(&[0])?.split(|&byte| byte == 0).map(|text| OsString::from_vec(text.to_vec()));
            let (cwd, socket) = (texts.next()?, texts.next()?);
            let words: Vec<_> = texts.by_ref().take(count).collect();
            (words.len() == count && count > 0)
                .then(|| Request::Start(Start { id, sequence, streams, cwd, socket, words, env: texts.collect() }))
        }
        _ => None,
    }
}

/// The answers to the tester.
pub enum Reply<'a> {
    /// The program runs as this process.
    Started(u32),
    /// The system can't start the program, for this reason (`errno`). `ECANCELED` if it was not to start any more.
    Failed(i32),
    /// The program wrote to one of its streams.
    Data(u8, &'a [u8]),
    /// Nothing can write to that stream any more. Sent after the program itself has ended.
    End(u8),
    /// How the program ended, and what is known about the rest.
    Ended(Ending, Rest),
}

/// How a program ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited.
    Exited(u32),
    /// A signal ended it.
    Signalled(u32),
}

/// What is known when a program has ended.
#[derive(Clone, Copy)]
pub struct Rest {
    /// Nothing that it started is left.
    pub alone: bool,
    /// The next of its sequence starts without an [`Over`](Request::Over).
    pub passed: bool,
}

/// Appends an answer about the program `id` to the output. `us` is the time of what it reports, in microseconds of
/// CLOCK_MONOTONIC.
pub fn push_reply(output: &mut Vec<u8>, id: u32, us: u64, reply: &Reply<'_>) {
    let flags = |rest: &Rest| [u8::from(rest.alone) | u8::from(rest.passed) << 1];
    let (kind, number, flags, bytes): (u8, [u8; 4], Option<[u8; 1]>, &[u8]) = match reply {
        Reply::Started(pid) => (0, pid.to_le_bytes(), None, &[]),
        Reply::Failed(errno) => (1, errno.to_le_bytes(), None, &[]),
        Reply::Data(stream, bytes) => (2, u32::from(*stream).to_le_bytes(), None, bytes),
        Reply::End(stream) => (3, u32::from(*stream).to_le_bytes(), None, &[]),
        Reply::Ended(Ending::Exited(code), rest) => (4, code.to_le_bytes(), Some(flags(rest)), &[]),
        Reply::Ended(Ending::Signalled(signal), rest) => (5, signal.to_le_bytes(), Some(flags(rest)), &[]),
    };
    let flags = flags.as_ref().map_or(&[][..], |flags| flags);
    // Each read is far smaller than 4 GiB.
    let length = (17 + flags.len() + bytes.len()) as u32;
    output.extend_from_slice(&length.to_le_bytes());
    output.push(kind);
    output.extend_from_slice(&id.to_le_bytes());
    output.extend_from_slice(&number);
    output.extend_from_slice(&us.to_le_bytes());
    output.extend_from_slice(flags);
    output.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::{Malformed, Request, Start, next_request};

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_le_bytes()[..], body].concat()
    }

    #[test]
    fn takes_whole_requests_only() {
        let whole = frame(b"\0\x07\0\0\0\x09\0\0\0\x03\x02\0\0\0/tmp\0at\0echo\0a b\0A=1\0B=\0");
        let mut input = Vec::new();
        for &byte in &whole {
            assert_eq!(next_request(&mut input), None);
            input.push(byte);
        }
        input.extend(frame(b"\x01\x07\0\0\0\x02"));
        input.extend(frame(b"\x02\x08\0\0\0/tmp/a b"));
        input.extend(frame(b"\x03\x08\0\0\0"));
        input.extend(frame(b"\x04\x07\0\0\0"));
        input.extend(frame(b"\x05\x09\0\0\0"));
        let start = Start {
            id: 7,
            sequence: 9,
            streams: 3,
            cwd: "/tmp".into(),
            socket: "at".into(),
            words: vec!["echo".into(), "a b".into()],
            env: vec!["A=1".into(), "B=".into()],
        };
        assert_eq!(next_request(&mut input), Some(Ok(Request::Start(start))));
        assert_eq!(next_request(&mut input), Some(Ok(Request::Close { id: 7, stream: 2 })));
        assert_eq!(next_request(&mut input), Some(Ok(Request::Remember { id: 8, path: "/tmp/a b".into() })));
        assert_eq!(next_request(&mut input), Some(Ok(Request::Forget { id: 8 })));
        assert_eq!(next_request(&mut input), Some(Ok(Request::Over { id: 7 })));
        assert_eq!(next_request(&mut input), Some(Ok(Request::Cancel { sequence: 9 })));
        assert!(input.is_empty());
    }

    #[test]
    fn refuses_what_no_tester_sends() {
        for wrong in [
            &b""[..],
            b"\x09\0\0\0\0\0",
            b"\0\0\0\0\0\0\0\0\0\0\x01\0\0\0/\0\0",
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0/\0\0",
            b"\x01\0\0\0\0",
            b"\x02\0\0\0\0",
            b"\x02\0\0\0\0relative",
        ] {
            assert_eq!(next_request(&mut frame(wrong)), Some(Err(Malformed)), "{wrong:?}");
        }
    }
}
