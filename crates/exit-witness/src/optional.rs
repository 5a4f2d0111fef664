//! Functions that a program has or hasn't. The loader looks for them when it loads this library. `dlsym` allocates a message
//! about each one that it doesn't find, which takes as long as everything else at the start.

use std::arch::global_asm;
use std::ffi::c_void;

global_asm!(
    ".weak Py_IsFinalizing",
    ".weak _Py_IsFinalizing",
    ".pushsection .data.rel.ro.quiesce_optional, \"aw\"",
    ".balign 8",
    ".globl quiesce_optional",
    ".hidden quiesce_optional",
    "quiesce_optional:",
    ".quad Py_IsFinalizing",
    ".quad _Py_IsFinalizing",
    ".popsection",
);

/// In the order above.
#[repr(C)]
struct Optional {
    python_ends: [*mut c_void; 2],
}

unsafe extern "C" {
    #[link_name = "quiesce_optional"]
    static OPTIONAL: Optional;
}

/// The interpreter's function that says whether it is finalizing: its name since Python 3.13, or else the earlier one.
/// Null if the program wasn't linked with an interpreter.
pub fn python_ends() -> *mut c_void {
    // SAFETY: as laid out above, and nothing writes to it once the library is loaded.
    let [current, earlier] = unsafe { OPTIONAL.python_ends };
    if current.is_null() { earlier } else { current }
}
