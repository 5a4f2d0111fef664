//! Notices that the program restricts its own system calls (seccomp), which may kill it for any other one. From then on
//! a preload library must make no system call of its own.
//!
//! The restriction can't be queried, as that is a system call, too. A program without privileges first gives up gaining
//! some (`PR_SET_NO_NEW_PRIVS`), and libseccomp does so in any case. That is taken for the beginning of a restriction.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::process;

static ENTERED: AtomicBool = AtomicBool::new(false);
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Must be called by the library's constructor.
pub fn install() {
    own();
    // SAFETY: a plain registration with a function that stays loaded: a preloaded library is never closed.
    unsafe { libc::pthread_atfork(None, None, Some(own)) };
}

extern "C" fn own() {
    if !is_entered() {
        OWNER.store(process::id(), Ordering::Relaxed);
    }
}

/// Whether the process restricts itself.
pub fn is_entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// Whether a call of `prctl` with this option restricts the process. Then `is_entered` holds from now on. Not in the
/// child of a `vfork`, whose memory is its parent's. Async-signal-safe.
pub fn enters(option: c_int) -> bool {
    let restricts = matches!(option, libc::PR_SET_NO_NEW_PRIVS | libc::PR_SET_SECCOMP);
    // The second call finds the process restricted already.
    if restricts && !is_entered() && process::id() == OWNER.load(Ordering::Relaxed) {
        ENTERED.store(true, Ordering::Relaxed);
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{enters, install, is_entered};

    #[test]
    fn is_entered_once() {
        assert!(!enters(libc::PR_SET_NO_NEW_PRIVS), "without a constructor");
        install();
        assert!(!enters(libc::PR_SET_NAME) && !is_entered());
        assert!(enters(libc::PR_SET_NO_NEW_PRIVS) && is_entered());
        assert!(!enters(libc::PR_SET_SECCOMP) && is_entered());
    }
}
