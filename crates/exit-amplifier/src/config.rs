//! How much to delay, and where. The tester sets these environment variables; they are read once, when the library is loaded.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};

use preload::environment;

/// Longest single hold of a background thread.
pub static HOLD_MS: AtomicU64 = AtomicU64::new(150);
/// Longest delay at one step of the exit.
pub static LINGER_MS: AtomicU64 = AtomicU64::new(20);
/// Total of all holds before the exit begins, over all threads. After that there are no more holds.
pub static HOLD_BUDGET_MS: AtomicU64 = AtomicU64::new(2_000);
/// Total of all delays of the exit.
pub static LINGER_BUDGET_MS: AtomicU64 = AtomicU64::new(200);
/// Descriptor on which the program reports that its work is done; -1 for none.
pub static DONE_FD: AtomicI32 = AtomicI32::new(-1);

/// Whether the program's children are amplified as well.
pub static CHILDREN: AtomicBool = AtomicBool::new(true);

/// Upper limit of what can be requested: longer delays hide races rather than show them.
const MOST_MS: u64 = 60_000;

/// Reads the environment, and says whether this process should be amplified.
pub fn read(leads_its_group: bool) -> bool {
    for (name, target) in [
        (c"QUIESCE_AMPLIFY_HOLD_MS", &HOLD_MS),
        (c"QUIESCE_AMPLIFY_LINGER_MS", &LINGER_MS),
        (c"QUIESCE_AMPLIFY_HOLD_BUDGET_MS", &HOLD_BUDGET_MS),
        (c"QUIESCE_AMPLIFY_LINGER_BUDGET_MS", &LINGER_BUDGET_MS),
    ] {
        if let Some(value) = environment::number(name) {
            target.store(value.min(MOST_MS), Relaxed);
        }
    }
    if let Some(fd) = environment::int(c"QUIESCE_DONE_FD") {
        DONE_FD.store(fd, Relaxed);
    }
    let children = environment::text(c"QUIESCE_AMPLIFY_CHILDREN") != Some(b"0");
    CHILDREN.store(children, Relaxed);
    leads_its_group || children
}
