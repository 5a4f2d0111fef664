//! Questions to the kernel, by system calls of our own: libc's would set `errno`, may be cancellation points, and
//! some of them are what this library stands in front of.

use core::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, Timespec};

pub fn id() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

pub fn in_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

pub fn leads_its_group() -> bool {
    rustix::process::getpgrp() == rustix::process::getpid()
}

/// Monotonic, in microseconds.
pub fn now_us() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

/// Sleeps at most that long: a signal may end it early, and its handler has run then.
pub fn sleep(duration: Duration) {
    let request = Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: duration.subsec_nanos().into() };
    let _ = rustix::thread::nanosleep(&request);
}

/// The kernel's letter for the main thread's state (`R` running, `S` sleeping, …), where it can be had.
pub fn main_thread_state() -> Option<u8> {
    // /proc/self/task/<pid>/stat, without allocating.
    let mut path = [0u8; 40];
    let before = b"/proc/self/task/";
    let mut length = before.len();
    path[..length].copy_from_slice(before);
    length += write_decimal(id().unsigned_abs().into(), &mut path[length..]);
    let after = b"/stat";
    path[length..length + after.len()].copy_from_slice(after);
    length += after.len();
    let file = rustix::fs::open(&path[..length], OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = [0u8; 128];
    let read = rustix::io::read(&file, &mut text[..]).ok()?;
    state_in(&text[..read])
}

/// The letter after the last `)`: the name before it may hold anything.
fn state_in(stat: &[u8]) -> Option<u8> {
    let end_of_name = stat.iter().rposition(|&byte| byte == b')')?;
    stat.get(end_of_name + 2).copied()
}

/// Writes a number in decimal at the beginning of `target`, and returns its length. Needs up to 20 bytes.
pub fn write_decimal(mut number: u64, target: &mut [u8]) -> usize {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let length = digits.len() - start;
    target[..length].copy_from_slice(&digits[start..]);
    length
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
        // The test harness's main thread waits for its tests, which run in others.
        let seen = (0..100).any(|_| {
            sleep(Duration::from_millis(1));
            main_thread_state() == Some(b'S')
        });
        assert!(seen);
    }

    #[test]
    fn writes_decimals() {
        let mut text = [0u8; 20];
        for number in [0, 7, 10, 4_194_304, u64::MAX] {
            let length = write_decimal(number, &mut text);
            assert_eq!(core::str::from_utf8(&text[..length]), Ok(number.to_string().as_str()));
        }
    }
}
