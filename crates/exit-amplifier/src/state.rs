//! How far the process has come. The phase only advances.

use core::sync::atomic::{AtomicI32, AtomicU8, Ordering::SeqCst};

use preload::process;

/// The phases, in the order in which a process goes through them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Phase {
    Running = 0,
    /// It reported that its work is done.
    Done = 1,
    /// `exit` was called, or `main` has returned.
    Exiting = 2,
    /// All other exit handlers have run.
    HandlersRun = 3,
    /// Destructors of libraries run, or `_exit` was called: the process will be gone at any moment.
    Ending = 4,
}

static PHASE: AtomicU8 = AtomicU8::new(Phase::Running as u8);
/// The process in which this library is active; 0 for none. A child between `vfork` and `exec` shares its parent's
/// memory, and must neither be delayed nor change the phase. Its process id tells it apart.
static ACTIVE_IN: AtomicI32 = AtomicI32::new(0);

pub fn activate() {
    ACTIVE_IN.store(process::id(), SeqCst);
}

pub fn active() -> bool {
    let active_in = ACTIVE_IN.load(SeqCst);
    active_in != 0 && active_in == process::id()
}

/// Called in the child of a `fork`, which starts from the first phase.
pub fn restart() {
    PHASE.store(Phase::Running as u8, SeqCst);
    activate();
}

/// Called in the child of a `fork` that must not be amplified.
pub fn deactivate() {
    ACTIVE_IN.store(0, SeqCst);
}

pub fn phase() -> u8 {
    PHASE.load(SeqCst)
}

pub fn at_least(phase: Phase) -> bool {
    self::phase() >= phase as u8
}

/// Advances to `phase`, never back.
pub fn advance(phase: Phase) {
    PHASE.fetch_max(phase as u8, SeqCst);
}
