//! The body of a response with any content, cut by HTTP/2 at any place: reading it in pieces gives the same result as
//! reading it whole.
#![no_main]

use bytes::Bytes;
use reassembly::{FramingError, MOST_LENGTH, Reassembly};

#[allow(dead_code)]
#[path = "../../src/reassembly.rs"]
mod reassembly;

/// The straightforward way, for the whole body.
fn expected(mut body: &[u8]) -> (Vec<&[u8]>, Option<FramingError>) {
    let mut messages = Vec::new();
    while let Some((&[compressed, a, b, c, d], rest)) = body.split_first_chunk() {
        let length = u32::from_be_bytes([a, b, c, d]);
        if compressed != 0 {
            return (messages, Some(FramingError::Compressed));
        }
        if length > MOST_LENGTH {
            return (messages, Some(FramingError::TooLarge(length)));
        }
        let Some((message, after)) = rest.split_at_checked(length as usize) else { break };
        messages.push(message);
        body = after;
    }
    (messages, None)
}

// The input: how many cuts there are, the length of each piece, the body.
libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&cuts, rest)) = input.split_first() else { return };
    let (cuts, body) = rest.split_at(rest.len().min(cuts.into()));
    let mut reassembly = Reassembly::default();
    let mut messages = Vec::new();
    let mut failure = None;
    let mut at = 0;
    let mut cuts = cuts.iter().copied();
    'all: while at < body.len() {
        // Cut as the input says, and then the rest as a whole.
        let length = cuts.next().map_or(usize::MAX, usize::from);
        let to = at.saturating_add(length.max(1)).min(body.len());
        reassembly.put(Bytes::copy_from_slice(&body[at..to]));
        at = to;
        loop {
            match reassembly.take() {
                Ok(Some(message)) => messages.push(message.pieces().collect::<Vec<_>>().concat()),
                Ok(None) => break,
                Err(error) => {
                    failure = Some(error);
                    break 'all;
                }
            }
        }
    }
    let (whole, wrong) = expected(body);
    assert_eq!((messages, failure), (whole.iter().map(|part| part.to_vec()).collect(), wrong));
});
