//! A batch from JavaScript, whatever is in it.
#![no_main]

use bytes::Bytes;
use frames::{Command, Commands};

// By its source: the addon needs the host's napi functions to link.
#[allow(dead_code)]
#[path = "../../src/frames.rs"]
mod frames;

libfuzzer_sys::fuzz_target!(|batch: &[u8]| {
    let commands: Vec<_> = Commands::new(Bytes::copy_from_slice(batch)).collect();
    // Each has five bytes at least, and nothing is read behind one that is malformed.
    assert!(commands.len() <= batch.len() / 5 + 1);
    assert!(commands.iter().rev().skip(1).all(Result::is_ok));
    let held: usize = commands
        .iter()
        .map(|command| match command {
            Ok(Command::Unary(_, message) | Command::Send(_, message)) => message.len(),
            _ => 0,
        })
        .sum();
    assert!(held <= batch.len(), "messages longer than their batch");
});
