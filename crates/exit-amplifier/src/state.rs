//! How far the process is. It only goes forward.

use core::sync::atomic::{AtomicI32, AtomicU8, Ordering::SeqCst};

use preload::process;

/// In the order in which a process goes through them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Phase {
    Running = 0,
    /// It said that its work is done.
    Done = 1,
    /// `exit` was called, or `main` has returned.
    Exiting = 2,
    /// All other exit handlers have run.
    HandlersRun = 3,
    /// Destructors of libraries run, or `_exit` was called: it will be gone at any moment.
    Ending = 4,
}

static PHASE: AtomicU8 = AtomicU8::new(Phase::Running as u8);
/// The process this library is active in; 0 for none. A child between `vfork` and `exec` shares our memory, and
/// must neither be delayed nor change the phase: its process id shows which it is.
static ACTIVE_IN: AtomicI32 = AtomicI32::new(0);

pub fn activate() {
    ACTIVE_IN.store(process::id(), SeqCst);
}

pub fn active() -> bool {
    let active_in = ACTIVE_IN.load(SeqCst);
    active_in != 0 && active_in == process::id()
}

/// In the child of a `fork`: it begins its own life.
pub fn restart() {
    PHASE.store(Phase::Running as u8, SeqCst);
    activate();
}

/// In the child of a `fork` that must not be amplified.
pub fn deactivate() {
    ACTIVE_IN.store(0, SeqCst);
}

pub fn phase() -> u8 {
    PHASE.load(SeqCst)
}

pub fn at_least(phase: Phase) -> bool {
    self::phase() >= phase as u8
}

/// Goes forward to `phase`, never back.
pub fn advance(phase: Phase) {
    PHASE.fetch_max(phase as u8, SeqCst);
}
