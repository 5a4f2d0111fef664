//! The background thread of a sanitizer's runtime, such as ThreadSanitizer's. It runs until the process has gone, and no
//! program can end it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::task;

static PRESENT: AtomicBool = AtomicBool::new(false);

/// Signals that no thread can block or that glibc keeps for itself, and SIGSYS, which the runtime leaves open on some
/// systems: 9, 19, 31, 32, 33.
const LEFT_OPEN: u64 = 1 << 8 | 1 << 18 | 1 << 30 | 1 << 31 | 1 << 32;

/// Must be called by the library's constructor: at exit, a stuck thread may hold the loader's lock.
pub fn install() {
    // Every sanitizer's runtime exports it, also one that is linked into the program.
    let name = c"__sanitizer_report_error_summary";
    // SAFETY: the name is NUL-terminated.
    PRESENT.store(!unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }.is_null(), Ordering::Relaxed);
}

/// Whether a thread whose start nobody saw is the runtime's own: it blocks all signals, to leave them to the program.
pub fn owns(tid: i32) -> bool {
    PRESENT.load(Ordering::Relaxed) && blocked(tid).is_some_and(|signals| signals | LEFT_OPEN == u64::MAX)
}

fn blocked(tid: i32) -> Option<u64> {
    let mut buffer = [0; 512];
    let mut reader = task::open(tid, "status");
    while let Some(line) = reader.line(&mut buffer) {
        if let Some(mask) = line.strip_prefix(b"SigBlk:\t") {
            return u64::from_str_radix(std::str::from_utf8(mask).ok()?, 16).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use preload::process;

    use super::blocked;

    #[test]
    fn reads_the_signals_that_a_thread_blocks() {
        assert!(blocked(process::thread_id()).is_some_and(|signals| signals != u64::MAX));
        assert_eq!(blocked(0), None);
    }
}
