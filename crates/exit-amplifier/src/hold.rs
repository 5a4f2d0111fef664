//! Holds background threads that have just woken another thread, were just woken, or end.
//!
//! A hold lasts while the main thread has something to run, as if the scheduler preferred that thread. It ends when
//!
//! - the main thread sleeps and keeps sleeping (it may wait for the held thread);
//! - the exit has reached the step that was drawn for this hold;
//! - the bound passes.
//!
//! If the main thread sleeps already, there is no hold, so a program that waits for its background threads loses little
//! time.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

use preload::journal;
use preload::process::monotonic_us;

use crate::config;
use crate::process::{in_main_thread, main_thread_state, sleep};
use crate::random;
use crate::state::{self, Phase};

const SAMPLE: Duration = Duration::from_micros(250);
/// After sleeping this long, the main thread is taken to sleep for good: handing over a lock takes less.
const ASLEEP_US: u64 = 2_000;

static HOLDS: AtomicU64 = AtomicU64::new(0);
static HELD_US: AtomicU64 = AtomicU64::new(0);
/// The part of `HELD_US` that counts against the budget: before the program reported that it is done.
static SPENT_US: AtomicU64 = AtomicU64::new(0);

/// How many holds there were, and their total length in microseconds.
pub fn totals() -> (u64, u64) {
    (HOLDS.load(Relaxed), HELD_US.load(Relaxed))
}

/// Called in the child of a `fork`.
pub fn restart() {
    for counter in [&HOLDS, &HELD_US, &SPENT_US] {
        counter.store(0, Relaxed);
    }
}

/// Holds the calling thread, unless it is the main one.
pub fn hold() {
    if !state::active() || state::at_least(Phase::Exiting) || in_main_thread() {
        return;
    }
    let done = state::at_least(Phase::Done);
    if !done && SPENT_US.load(Relaxed) >= config::HOLD_BUDGET_MS.load(Relaxed) * 1_000 {
        return;
    }
    let start = monotonic_us();
    let held = wait(start);
    let took = monotonic_us().saturating_sub(start);
    if !done {
        SPENT_US.fetch_add(took, Relaxed);
    }
    if held {
        journal::note("held");
        HOLDS.fetch_add(1, Relaxed);
        HELD_US.fetch_add(took, Relaxed);
    }
}

/// Returns false if there was no reason to hold the thread.
fn wait(start: u64) -> bool {
    if !matches!(main_thread_state(), Some(b'R' | b'D')) {
        return false;
    }
    journal::note("hold");
    let deadline = start + config::HOLD_MS.load(Relaxed) * 1_000;
    // Mostly when the exit begins, sometimes later in it.
    let until = match random::below(4) {
        0 => Phase::HandlersRun,
        _ => Phase::Exiting,
    };
    let mut asleep_since = None;
    loop {
        sleep(SAMPLE);
        let now = monotonic_us();
        if now >= deadline || state::at_least(until) {
            return true;
        }
        match main_thread_state() {
            Some(b'R' | b'D') => asleep_since = None,
            // During the exit, its sleep is this library's linger.
            _ if state::at_least(Phase::Exiting) => {}
            Some(b'S') => {
                if now - *asleep_since.get_or_insert(now) >= ASLEEP_US {
                    return true;
                }
            }
            // It is stopped by a debugger, or gone: there is no point in waiting for it.
            _ => return true,
        }
    }
}
