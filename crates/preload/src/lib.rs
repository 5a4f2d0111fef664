//! The common part of the tester's preload libraries (`LD_PRELOAD`, Linux), exit-witness and exit-amplifier.
//!
//! All of it may run inside arbitrary programs, in signal handlers and between `vfork` and `exec`. So it does no
//! allocation, takes no lock, and calls no libc function that sets `errno` or is a cancellation point. How a library
//! uses it is up to the library.

#![cfg(target_os = "linux")]
#![deny(missing_docs)]

pub mod environment;
pub mod journal;
mod line;
mod next;
pub mod process;
mod reader;
pub mod sandbox;

pub use line::Line;
pub use next::Next;
pub use reader::Reader;
