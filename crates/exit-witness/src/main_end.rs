//! Notices that `main` has returned: from then on the process exits, as if it had called `exit`.

use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use preload::{Next, call_next};

use crate::{state, timeline};

type Main = unsafe extern "C-unwind" fn(c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;

static START: Next = Next::new(c"__libc_start_main");
static MAIN: OnceLock<Main> = OnceLock::new();

/// Wraps the C library's `__libc_start_main`, which the program's first instructions call.
///
/// # Safety
/// Same as for `__libc_start_main`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __libc_start_main(
    main: Main,
    count: c_int,
    arguments: *mut *mut c_char,
    init: *mut c_void,
    fini: *mut c_void,
    loader_fini: *mut c_void,
    stack_end: *mut c_void,
) -> c_int {
    let main = if MAIN.set(main).is_ok() { run_main as Main } else { main };
    call_next!(START(
        main: Main, count: c_int, arguments: *mut *mut c_char,
        init: *mut c_void, fini: *mut c_void, loader_fini: *mut c_void, stack_end: *mut c_void
    ) -> c_int)
}

/// Keeps nothing with a destructor: `pthread_exit` unwinds it.
unsafe extern "C-unwind" fn run_main(
    count: c_int,
    arguments: *mut *mut c_char,
    environment: *mut *mut c_char,
) -> c_int {
    let Some(main) = MAIN.get() else { return libc::EXIT_FAILURE };
    // SAFETY: the program's own, with the arguments that it would get.
    let status = unsafe { main(count, arguments, environment) };
    state::exits();
    // Destructors of thread-local data come before the first exit handler.
    timeline::ends("");
    status
}
