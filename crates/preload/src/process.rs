//! Which process and thread this is, and what time, by system calls of our own.

use rustix::time::{ClockId, clock_gettime};

/// This process's id. In the child of a `vfork` it is the child's, though the memory is the parent's.
pub fn id() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// The calling thread's id, which the kernel gives: in the main thread the process's.
pub fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Microseconds of CLOCK_MONOTONIC, which all processes share.
pub fn monotonic_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}
