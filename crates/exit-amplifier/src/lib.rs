//! A preload library (`LD_PRELOAD`, Linux) that makes an exit race likely without making a correct program fail.
//!
//! It only ever delays. The scheduler could have caused every delay by itself, so a program that fails under it has a
//! race; a program without a race is slower and otherwise the same. There are two kinds of delay:
//!
//! - **Hold** (`hold.rs`): a thread other than the main one that has just woken another thread, or was woken, waits
//!   until the main thread has nothing left to run, or the process's exit has begun, or a limit passes. So work that
//!   background threads "mostly finish in time" is still unfinished when the exit begins.
//! - **Linger** (`linger.rs`): the thread that exits waits a little at each step of the exit. So background threads
//!   work in a process that is half torn down.
//!
//! All code here runs inside arbitrary programs, in signal handlers and between `vfork` and `exec`. So it does no
//! allocation, takes no lock, and calls no libc function that sets `errno` or is a cancellation point; its state is in
//! atomics.

#![cfg(target_os = "linux")]
// The tests are in a separate program, in which libc isn't interposed.
#![cfg_attr(test, allow(dead_code))]

mod config;
mod hold;
#[cfg(not(test))]
mod interpose;
mod linger;
mod process;
mod random;
mod report;
mod state;
