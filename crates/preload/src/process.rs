//! Which process and thread this is, by system calls of our own.

/// This process's id. In the child of a `vfork` it is the child's, though the memory is the parent's.
pub fn id() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// The calling thread's id, which the kernel gives: in the main thread the process's.
pub fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}
