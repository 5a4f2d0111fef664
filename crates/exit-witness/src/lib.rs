//! Preload library of the shutdown tester: a witness inside the process under test.
//!
//! It sends the tester a line for each of these, on the socket that `QUIESCE_DONE_FD` names:
//!
//! - a crash, when the process is about to die from a signal that it doesn't handle. The process then stops itself
//!   (SIGSTOP), so that a debugger sees it as it is, and dies from the same signal once it is continued. If the code or
//!   data that it used was in a library that it had unloaded, the line names that library;
//! - what is left at the very end of its exit, after all exit handlers and destructors: threads with the library
//!   that started them, and sockets;
//! - if a timeline is requested (`QUIESCE_TIMELINE`), that the exit begins. Everything that happens until then goes
//!   into a file.
//!
//! docs/tester.md describes the lines and their fields. A process that inherited `LD_PRELOAD` but not the socket
//! reports only its crash, on a socket that it opens then (`QUIESCE_WITNESS_SOCKET`). Without a tester at the other end
//! the library does nothing.
//!
//! Nothing changes for the program: its own signal handlers come first, it reads back the dispositions that it set, and
//! threads start as they would without the library. Nothing here allocates after start-up, with two exceptions: each
//! new thread gets one block and a stack for the crash handler, and unloading a library allocates.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod channel;
mod crash;
mod exit;
mod helpers;
mod main_end;
mod modules;
mod optional;
mod parent;
mod sandbox;
mod stack;
mod state;
mod task;
mod threads;
mod timeline;

/// The dynamic loader runs this before the program's own constructors.
#[used]
#[unsafe(link_section = ".init_array")]
static INIT: extern "C" fn() = init;

extern "C" fn init() {
    let Some(way) = channel::find() else { return };
    stack::install();
    crash::install();
    parent::install();
    sandbox::install();
    // A process without the tester's socket isn't the one under test, but a child of it.
    let tested = way == channel::Way::Open;
    exit::install(tested);
    if tested {
        timeline::install();
    }
}
