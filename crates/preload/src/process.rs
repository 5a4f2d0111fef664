//! The ids of this process and thread, from direct system calls, and the time.

/// This process's id. In the child of a `vfork` it is the child's, although the memory is the parent's.
pub fn id() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// The calling thread's id, from the kernel. In the main thread it is the process's id.
pub fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Microseconds of CLOCK_MONOTONIC, which all processes share. The C library has already located the kernel's own code
/// for it. Searching memory for that code, as rustix does, is an error under valgrind, which hides it.
pub fn monotonic_us() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for writes. That clock always exists, so the call doesn't fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}
