//! A tokio runtime that somebody owns.
//!
//! A native addon that keeps its runtime in a static never stops it: the host (Node, Python, …)
//! tears itself down while the runtime's threads still run and call into it, and the process dies
//! of SIGABRT or SIGSEGV at exit. [`OwnedRuntime`] is the cure: a value that starts its one thread
//! when first needed, and that stops it and waits for it before the host goes on.
//!
//! ```
//! use owned_runtime::OwnedRuntime;
//! use std::sync::mpsc;
//!
//! let runtime = OwnedRuntime::new("my-addon"); // starts nothing
//! assert!(!runtime.is_running());
//!
//! let (sender, receiver) = mpsc::channel();
//! runtime.spawn(async move {
//!     sender.send("hello from my-addon").ok();
//! })?;
//! assert_eq!(receiver.recv()?, "hello from my-addon");
//!
//! runtime.stop()?; // every task is dropped and the thread is joined
//! assert!(!runtime.is_running());
//!
//! runtime.start()?; // it can start again
//! drop(runtime); // which stops it too
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who owns it
//!
//! Keep it where the host keeps what belongs to one of its instances: a napi env's instance data,
//! a pyo3 module's state. Not in a static. Then let every way to the end call
//! [`stop`](OwnedRuntime::stop): the last client's `close()`, the host's exit listener
//! (`process.on('exit')`, `atexit`), and the env's cleanup hook. Each but the first does nothing.
//!
//! # Rules for tasks
//!
//! The host thread that stops the runtime waits for the runtime's thread. So a task must never wait
//! for the host thread: not for a lock which that thread holds (Python's GIL: release it around
//! `stop`), not for a callback to be run. Pass completions through a queue with a wake-up that
//! doesn't block. Nor may a task block its thread; that belongs in
//! [`spawn_blocking`](tokio::runtime::Handle::spawn_blocking), for which `stop` waits too.
//!
//! # Drivers
//!
//! The runtime has every driver that is compiled in: turn on tokio's features `net` and `time` in
//! your own manifest.
//!
//! # Fork
//!
//! Threads don't survive `fork()`. In a forked child the value still believes that it runs, and
//! `stop` waits out its bound for a thread that isn't there. Stop before forking, or have the child
//! `exec`, or `mem::forget` the value in the child and make a new one.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod error;
mod lifecycle;
#[cfg(all(test, owned_runtime_loom))]
mod models;
#[cfg(not(owned_runtime_loom))]
mod runtime;
mod sync;

pub use error::{StartError, StopError};
#[cfg(not(owned_runtime_loom))]
pub use runtime::OwnedRuntime;
