//! A batch from JavaScript with any content.
#![no_main]

use std::collections::VecDeque;

use bytes::Bytes;
use frames::{Command, Commands};

// Included by its source, as linking the addon needs the host's napi functions.
#[allow(dead_code)]
#[path = "../../src/frames.rs"]
mod frames;
#[allow(dead_code)]
#[path = "../../src/reassembly.rs"]
mod reassembly;

/// A message that is not in the commands.
const LONG: Bytes = Bytes::from_static(&[7; 100]);

libfuzzer_sys::fuzz_target!(|batch: &[u8]| {
    let commands: Vec<_> = Commands::new(Bytes::copy_from_slice(batch), VecDeque::from([LONG; 2])).collect();
    // Each command has at least five bytes, and nothing is read after a malformed one.
    assert!(commands.len() <= batch.len() / 5 + 1);
    assert!(commands.iter().rev().skip(1).all(Result::is_ok));
    let held: usize = commands
        .iter()
        .map(|command| match command {
            Ok(Command::Unary(_, message) | Command::Send(_, message)) => message.len(),
            _ => 0,
        })
        .sum();
    assert!(held <= batch.len() + 2 * LONG.len(), "messages longer than their batch");
});
