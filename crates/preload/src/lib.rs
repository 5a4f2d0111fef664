//! What the tester's preload libraries (`LD_PRELOAD`, Linux), exit-witness and exit-amplifier, share.
//!
//! All of it may run inside arbitrary programs, in signal handlers and between `vfork` and `exec`. So: no allocation, no
//! lock, no libc call that sets `errno` or is a cancellation point. What a library does with it is its own.

#![cfg(target_os = "linux")]
#![deny(missing_docs)]

pub mod environment;
pub mod journal;
mod line;
mod next;
pub mod process;
mod reader;

pub use line::Line;
pub use next::Next;
pub use reader::Reader;
