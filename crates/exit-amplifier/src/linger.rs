//! The exiting thread waits at each step of the exit, while the other threads continue.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

use preload::journal;
use preload::process::monotonic_us;

use crate::config;
use crate::process::sleep;
use crate::random;
use crate::state;

static LINGERS: AtomicU64 = AtomicU64::new(0);
static LINGERED_US: AtomicU64 = AtomicU64::new(0);

/// How many delays there were, and their total length in microseconds.
pub fn totals() -> (u64, u64) {
    (LINGERS.load(Relaxed), LINGERED_US.load(Relaxed))
}

/// Called in the child of a `fork`.
pub fn restart() {
    LINGERS.store(0, Relaxed);
    LINGERED_US.store(0, Relaxed);
}

/// Delays the calling thread by half the configured time or more, at the steps that each exit has.
pub fn linger() {
    let budget = config::LINGER_BUDGET_MS.load(Relaxed) * 1_000;
    delay(config::LINGER_MS.load(Relaxed) * 1_000, budget);
}

/// Delays by a quarter of that, from half of the budget, at steps of which there may be dozens. So some of the budget
/// is left for the others.
pub fn linger_briefly() {
    let budget = config::LINGER_BUDGET_MS.load(Relaxed) * 1_000;
    delay(config::LINGER_MS.load(Relaxed) * 1_000 / 4, budget / 2);
}

fn delay(most: u64, budget: u64) {
    if !state::active() {
        return;
    }
    let left = budget.saturating_sub(LINGERED_US.load(Relaxed));
    let wanted = (most / 2 + random::below(most / 2 + 1)).min(left);
    if wanted == 0 {
        return;
    }
    journal::note("linger");
    let start = monotonic_us();
    let deadline = start + wanted;
    // A signal may end a sleep early.
    let mut now = start;
    while now < deadline {
        sleep(Duration::from_micros(deadline - now));
        now = monotonic_us();
    }
    journal::note("lingered");
    LINGERS.fetch_add(1, Relaxed);
    LINGERED_US.fetch_add(now - start, Relaxed);
}
