//! Asks the kernel by direct system calls: libc's functions would set `errno`, may be cancellation points, and are
//! partly wrapped by this library.

use core::time::Duration;

use preload::process::{id, thread_id};
use preload::{Line, Reader};
use rustix::time::Timespec;

pub fn in_main_thread() -> bool {
    thread_id() == id()
}

pub fn leads_its_group() -> bool {
    rustix::process::getpgrp() == rustix::process::getpid()
}

/// Sleeps at most this long. A signal may end the sleep early; its handler has run then.
pub fn sleep(duration: Duration) {
    let request = Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: duration.subsec_nanos().into() };
    let _ = rustix::thread::nanosleep(&request);
}

/// The kernel's letter for the main thread's state (`R` running, `S` sleeping, …), if it is available.
pub fn main_thread_state() -> Option<u8> {
    let path = Line::new("/proc/self/task/").join(id()).join("/stat");
    let mut buffer = [0u8; 1024];
    Reader::open(path.as_bytes()).line(&mut buffer).and_then(state_in)
}

/// The letter after the last `)`: the name before it may contain anything.
fn state_in(stat: &[u8]) -> Option<u8> {
    let end_of_name = stat.iter().rposition(|&byte| byte == b')')?;
    stat.get(end_of_name + 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_state_behind_any_name() {
        assert_eq!(state_in(b"12 (a) R 1 2"), Some(b'R'));
        assert_eq!(state_in(b"12 (odd) name) (x) S 1 2"), Some(b'S'));
        assert_eq!(state_in(b"12 (a"), None);
        assert_eq!(state_in(b"12 (a)"), None);
    }

    #[test]
    fn the_main_thread_waits_for_the_test_that_asks() {
        // The test harness's main thread waits for its tests, which run in other threads.
        let seen = (0..100).any(|_| {
            sleep(Duration::from_millis(1));
            main_thread_state() == Some(b'S')
        });
        assert!(seen);
    }
}
