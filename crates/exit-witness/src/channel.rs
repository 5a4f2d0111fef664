//! The way to the tester: the socket that `QUIESCE_DONE_FD` names.

use std::sync::atomic::{AtomicI32, Ordering};

use preload::{Line, environment};

/// -1 while there is no tester.
static FD: AtomicI32 = AtomicI32::new(-1);
static TESTER: AtomicI32 = AtomicI32::new(-1);

/// Finds the tester. False when this process doesn't run under one that wants a witness.
pub fn open() -> bool {
    let (Some(fd), Some(tester)) = (environment::int(c"QUIESCE_DONE_FD"), environment::int(c"QUIESCE_WITNESS")) else {
        return false;
    };
    TESTER.store(tester, Ordering::Relaxed);
    FD.store(fd, Ordering::Relaxed);
    let open = is_open();
    if open {
        // Where Yama restricts debuggers, those that the tester starts may look at this process.
        // SAFETY: takes numbers only, and fails harmlessly where there is no Yama.
        unsafe { libc::prctl(libc::PR_SET_PTRACER, TESTER.load(Ordering::Relaxed) as libc::c_ulong) };
    }
    open
}

/// Whether the descriptor still leads to the tester. The program may have closed it and got its number again for
/// a file of its own, and nothing must be written to that: only the tester's socket was made by the tester.
/// Async-signal-safe.
pub fn is_open() -> bool {
    let fd = FD.load(Ordering::Relaxed);
    if fd < 0 {
        return false;
    }
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `peer` and `length` are valid for writes, and `length` is the size of `peer`.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut peer).cast(), &raw mut length) };
    result == 0 && peer.pid == TESTER.load(Ordering::Relaxed)
}

/// The descriptor of the tester's socket.
pub fn fd() -> i32 {
    FD.load(Ordering::Relaxed)
}

/// Sends one line. Gives up instead of waiting if the tester doesn't read. Async-signal-safe.
pub fn send(line: &Line) {
    let bytes = line.as_bytes();
    // SAFETY: the pointer and the length are those of a live slice.
    unsafe {
        libc::send(fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
    }
}
