//! A tokio runtime with an owner that stops it in time.
//!
//! A native addon that keeps its runtime in a static never stops it: the host (Node, Python, …) tears itself down while
//! the runtime's threads still run and call into it, and the process dies from SIGABRT or SIGSEGV at exit.
//! [`OwnedRuntime`] is the cure: a value that starts its threads when first needed, and that stops them and waits for
//! them before the host continues.
//!
//! ```
//! use owned_runtime::{OwnedRuntime, StartError};
//!
//! let runtime = OwnedRuntime::new("my-addon"); // starts nothing
//! assert!(!runtime.is_running());
//!
//! let answer = runtime.block_on(async { "hello from my-addon" })?;
//! assert_eq!(answer, "hello from my-addon");
//!
//! runtime.stop()?; // drops every task and joins the thread
//! runtime.start()?; // it can start again
//!
//! runtime.close()?; // stops it for good, as the host ends
//! assert!(matches!(runtime.start(), Err(StartError::Closed { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For a Python module on pyo3 use the crate `owned-runtime-pyo3`, for a Node addon on napi-rs `owned-runtime-napi`:
//! they have an `OwnedRuntime` for each interpreter or env, close it on every way to the end, and never let its threads
//! call the host. This crate is for other hosts, and for those who want to do that by hand.
//!
//! # Who closes it
//!
//! It doesn't matter where you keep the value, as long as [`close`](OwnedRuntime::close) is called before what its
//! tasks use goes away. Have one for each instance of the host (a napi env, a Python interpreter), and let every way to
//! the end close it. Each further call does nothing.
//!
//! | host | where to keep it | who calls `close()` |
//! | --- | --- | --- |
//! | Python | a static, since a pyo3 module has no state of its own | `atexit`, with the GIL released |
//! | Node | the env's instance data | the env's cleanup hook, and on the main thread `process.on('exit')` too |
//! | Bun, Deno | the env's instance data | as Node, and libc's `atexit` and `at_quick_exit` for all envs |
//! | a C or C++ program | beside the library's handle | the library's shutdown function |
//!
//! Between two uses [`stop`](OwnedRuntime::stop) also ends the threads, and lets a later use start them again. That is
//! for the last `close()` of the addon's own clients. It is not enough for the host's end: a late caller (a daemon
//! thread, an exit handler that was registered earlier, a destructor) would start it again.
//!
//! By hand for a host that calls a C function before it ends:
//!
//! ```
//! use owned_runtime::OwnedRuntime;
//! use std::sync::OnceLock;
//!
//! fn runtime() -> &'static OwnedRuntime {
//!     static RUNTIME: OnceLock<OwnedRuntime> = OnceLock::new();
//!     RUNTIME.get_or_init(|| OwnedRuntime::new("my-library"))
//! }
//!
//! /// Called by the host, on each way to its end.
//! #[no_mangle]
//! pub extern "C" fn my_library_shutdown() {
//!     if let Err(error) = runtime().close() {
//!         eprintln!("my-library: {error}");
//!     }
//! }
//!
//! /// What the host calls; after the shutdown it gets an error code at once.
//! #[no_mangle]
//! pub extern "C" fn my_library_ping() -> i32 {
//!     runtime().block_on(async { 0 }).unwrap_or(-1)
//! }
//!
//! assert_eq!(my_library_ping(), 0);
//! my_library_shutdown();
//! assert_eq!(my_library_ping(), -1);
//! ```
//!
//! A library that may be initialised again calls `stop` in its shutdown function, or keeps a fresh value for each initialisation.
//! A closed static stays closed even beyond `dlclose` and another `dlopen`: the library is mostly not unloaded, as the threads that
//! have called it still have its thread-local values.
//!
//! # What to hold around a call
//!
//! | call | waits for | so its caller may hold |
//! | --- | --- | --- |
//! | `start`, `spawn`, `stopping`, `is_running`, `is_closed` | nobody | anything, Python's GIL too |
//! | `block_on` | its future | nothing that the future needs; not the GIL |
//! | `stop`, `close`, the drop | the runtime's threads, within the stop bound | nothing that a task, its drop or a thread-local destructor needs; not the GIL |
//!
//! # Rules for tasks
//!
//! The host thread that stops the runtime waits for the runtime's threads. So a task must never wait for the host
//! thread: neither for a lock that the host thread holds, nor for a callback to run. Pass completions through a queue
//! with a wake-up that doesn't block. A task must not block its thread, either. Blocking code belongs in
//! [`spawn_blocking`](tokio::runtime::Handle::spawn_blocking), for which `stop` also waits. A task that wants to end
//! cleanly holds a [`Stopping`].
//!
//! # Threads and drivers
//!
//! It is a current-thread runtime unless `with_worker_threads` (feature `multi-thread`) is called. It has every driver
//! that is compiled in: for sockets, enable tokio's feature `net` in your own manifest.
//!
//! # Fork
//!
//! Threads don't survive `fork()`. In a forked child the value is as if it had never been started, whatever lock was
//! held in the parent, and the child can start it. A closed value stays closed. What the parent's tasks held stays as
//! it is in the child: descriptors are open there until it execs or ends. This needs the C library's `fork()`: a child
//! made by the bare system call must not use it.
//!
//! In a program whose `main` is Rust's, std itself takes a lock in each thread that starts or ends. If that happens in another
//! thread at the moment of the fork, the child's first start waits for that lock forever. So neither start nor stop threads, those of
//! a runtime included, while such a program forks. A host in C, Python or Node doesn't have that lock.
//!
//! Nor does anybody release a lock that a task held at the fork, in the child. `owned-runtime-pyo3` pauses its tasks while Python forks.
//!
//! # Versions
//!
//! Rust 1.63 or newer and tokio 1.24 or newer, on all platforms of std. On Linux the bound also covers the threads'
//! last steps (destructors of thread-local values), elsewhere only those that belong to Rust.

#![deny(missing_docs)]

// The README's example is a test, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod error;
mod lifecycle;
#[cfg(all(test, owned_runtime_loom))]
mod models;
#[doc(hidden)]
pub mod panic;
mod per_process;
#[cfg(not(owned_runtime_loom))]
mod runtime;
#[cfg(not(owned_runtime_loom))]
mod stopping;
mod sync;
#[cfg(not(owned_runtime_loom))]
mod thread;

pub use error::{BlockOnError, StartError, StopError};
#[cfg(not(owned_runtime_loom))]
pub use runtime::OwnedRuntime;
#[cfg(not(owned_runtime_loom))]
pub use stopping::Stopping;
