//! Threads that the C library or a sanitizer's runtime (ThreadSanitizer) has for itself, and that no program can end. glibc
//! has them for `timer_create` and `mq_notify` with `SIGEV_THREAD`, for `aio_read` and for `getaddrinfo_a`.

use crate::task;

/// Signals that no thread can block or that glibc keeps for itself, and SIGSYS, which a sanitizer leaves open on some
/// systems: 9, 19, 31, 32, 33.
const LEFT_OPEN: u64 = 1 << 8 | 1 << 18 | 1 << 30 | 1 << 31 | 1 << 32;

/// Whether a thread whose start nobody saw is such a helper: it blocks all signals, to leave them to the program. The thread
/// in which `SIGEV_THREAD` calls a function of the program looks the same.
pub fn is_helper(tid: i32) -> bool {
    blocked(tid).is_some_and(|signals| signals | LEFT_OPEN == u64::MAX)
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
