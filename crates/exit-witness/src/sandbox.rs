//! Keeps out of a process that restricts its own system calls: from then on the process is as if the witness weren't
//! there.

use std::ffi::{c_int, c_ulong};

use preload::{Next, call_next, sandbox};

use crate::crash;

static PRCTL: Next = Next::new(c"prctl");

/// Must be called by the library's constructor.
pub fn install() {
    PRCTL.address();
    sandbox::install();
}

/// Wraps the C library's `prctl`.
///
/// # Safety
/// Same as for `prctl`. That function is variadic; its arguments are passed the same way, and those that the caller
/// didn't give are passed on unread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int {
    if sandbox::enters(option) {
        crash::uninstall();
    }
    call_next!(PRCTL(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int)
}
