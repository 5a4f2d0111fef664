//! Preload library of the shutdown tester: a witness inside the process under test.
//!
//! It reports to the tester, on the socket that `QUIESCE_DONE_FD` names, one line each:
//!
//! - a crash, when the process is about to die from a signal that it doesn't handle. The process stops itself
//!   (SIGSTOP) then, so that a debugger sees it as it is, and dies from the same signal once it is continued. Where
//!   what it ran or used was in a library that it had unloaded, it says in which;
//! - what is left at the very end of its exit, after all exit handlers and destructors: threads with the library
//!   that started them, and sockets;
//! - where a timeline is wanted (`QUIESCE_TIMELINE`), what happens until then, in a file, and here when the exit begins.
//!
//! Lines and their fields are described in docs/tester.md. A process that inherited `LD_PRELOAD` and not the
//! socket reports only its crash, on a socket that it makes then (`QUIESCE_WITNESS_SOCKET`). Without a tester at the other end the
//! library does nothing.
//!
//! To the program nothing changes: its own signal handlers come first, dispositions read as it set them, and
//! threads start as they would. Nothing here allocates after start-up, except for one block and a stack for the crash
//! handler for each new thread, and where a library is unloaded.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod channel;
mod crash;
mod exit;
mod modules;
mod stack;
mod state;
mod threads;
mod timeline;
mod unloaded;

/// Run by the dynamic loader before the program's own constructors.
#[used]
#[unsafe(link_section = ".init_array")]
static INIT: extern "C" fn() = init;

extern "C" fn init() {
    let Some(way) = channel::find() else { return };
    state::install();
    stack::install();
    crash::install();
    // A process that doesn't have the tester's socket isn't the one under test, but a child of it.
    let tested = way == channel::Way::Open;
    exit::install(tested);
    if tested {
        timeline::install();
    }
}
