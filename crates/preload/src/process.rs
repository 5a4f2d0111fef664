//! Which process and thread this is, by system calls of our own, and what time it is.

/// This process's id. In the child of a `vfork` it is the child's, though the memory is the parent's.
pub fn id() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// The calling thread's id, which the kernel gives: in the main thread the process's.
pub fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Microseconds of CLOCK_MONOTONIC, which all processes share. The C library has found the kernel's own code for it already;
/// to look for that in memory, as rustix does, is an error under valgrind, which hides it.
pub fn monotonic_us() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for writes. That clock is always there, so the call doesn't fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}
