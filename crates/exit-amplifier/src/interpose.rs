//! The functions that this library interposes before libc's, and its constructor and destructor.
//!
//! Each calls the function that it wraps with the same arguments and returns its result. All are `C-unwind` and keep
//! nothing with a destructor across that call: a cancelled thread unwinds through them.

use core::cell::Cell;
use core::ffi::{c_int, c_long, c_ulong, c_void};
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use libc::{
    epoll_event, iovec, msghdr, nfds_t, pollfd, pthread_t, sigset_t, size_t, sockaddr, socklen_t, ssize_t, timespec,
};
use preload::{Next, call_next, environment, journal, sandbox};

use crate::hold::hold;
use crate::linger::{linger, linger_briefly};
use crate::state::{self, Phase};
use crate::{config, process, random, report};

macro_rules! next {
    ($($static:ident $name:literal;)*) => {
        $(static $static: Next = Next::new($name);)*
        const ALL: &[&Next] = &[$(&$static),*];
    };
}

next! {
    WRITE c"write";
    WRITEV c"writev";
    SEND c"send";
    SENDTO c"sendto";
    SENDMSG c"sendmsg";
    EVENTFD_WRITE c"eventfd_write";
    SEM_POST c"sem_post";
    SYSCALL c"syscall";
    PRCTL c"prctl";
    EPOLL_WAIT c"epoll_wait";
    EPOLL_PWAIT c"epoll_pwait";
    POLL c"poll";
    PPOLL c"ppoll";
    NANOSLEEP c"nanosleep";
    CLOCK_NANOSLEEP c"clock_nanosleep";
    PTHREAD_EXIT c"pthread_exit";
    PTHREAD_JOIN c"pthread_join";
    CXA_THREAD_ATEXIT c"__cxa_thread_atexit_impl";
    DLCLOSE c"dlclose";
    CXA_ATEXIT c"__cxa_atexit";
    EXIT c"exit";
    UNDERSCORE_EXIT c"_exit";
    C99_EXIT c"_Exit";
    QUICK_EXIT c"quick_exit";
}

/// Defines a function after which background threads are held.
macro_rules! held_after {
    ($($next:ident $name:ident ( $($argument:ident : $type:ty),* ) -> $result:ty;)*) => {
        $(
            /// # Safety
            /// Same as for libc's function of this name.
            #[unsafe(no_mangle)]
            pub unsafe extern "C-unwind" fn $name($($argument: $type),*) -> $result {
                let result = call_next!($next($($argument: $type),*) -> $result);
                hold();
                result
            }
        )*
    };
}

held_after! {
    // They may have woken a thread.
    WRITEV writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t;
    SEND send(fd: c_int, data: *const c_void, length: size_t, flags: c_int) -> ssize_t;
    SENDTO sendto(fd: c_int, data: *const c_void, length: size_t, flags: c_int, to: *const sockaddr, size: socklen_t) -> ssize_t;
    SENDMSG sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t;
    EVENTFD_WRITE eventfd_write(fd: c_int, value: u64) -> c_int;
    SEM_POST sem_post(semaphore: *mut libc::sem_t) -> c_int;
    // They may have been woken.
    EPOLL_WAIT epoll_wait(fd: c_int, events: *mut epoll_event, most: c_int, timeout: c_int) -> c_int;
    EPOLL_PWAIT epoll_pwait(fd: c_int, events: *mut epoll_event, most: c_int, timeout: c_int, mask: *const sigset_t) -> c_int;
    POLL poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int;
    PPOLL ppoll(fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t) -> c_int;
    NANOSLEEP nanosleep(request: *const timespec, left: *mut timespec) -> c_int;
    CLOCK_NANOSLEEP clock_nanosleep(clock: c_int, flags: c_int, request: *const timespec, left: *mut timespec) -> c_int;
}

/// Holds the thread, and notices when the program reports that its work is done.
///
/// # Safety
/// Same as for libc's `write`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn write(fd: c_int, data: *const c_void, length: size_t) -> ssize_t {
    let result = call_next!(WRITE(fd: c_int, data: *const c_void, length: size_t) -> ssize_t);
    if fd == config::DONE_FD.load(Ordering::Relaxed) && result == 5 && length == 5 && state::active() {
        // SAFETY: the kernel has just read these bytes.
        if unsafe { core::slice::from_raw_parts(data.cast::<u8>(), length) } == b"done\n" {
            state::advance(Phase::Done);
        }
    }
    hold();
    result
}

/// Rust's locks, channels and parked threads make futex calls this way.
///
/// # Safety
/// Same as for libc's `syscall`. That function is variadic; its arguments are passed the same way, and those that the
/// caller didn't give are passed on unread.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    if number == libc::SYS_exit_group {
        end();
    } else if number == libc::SYS_seccomp {
        leave_alone(libc::PR_SET_SECCOMP);
    }
    let result = call_next!(SYSCALL(
        number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long
    ) -> c_long);
    if number == libc::SYS_futex {
        hold();
    }
    result
}

/// Nothing is delayed any more once the program restricts its own system calls.
///
/// # Safety
/// Same as for libc's `prctl`, which is variadic, as `syscall` is.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int {
    leave_alone(option);
    call_next!(PRCTL(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int)
}

/// A delay is a system call, which may be forbidden then.
fn leave_alone(option: c_int) {
    if state::active() && sandbox::enters(option) {
        report::ended();
        state::deactivate();
    }
}

/// A thread is held before it unwinds.
///
/// # Safety
/// Same as for libc's `pthread_exit`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn pthread_exit(value: *mut c_void) -> ! {
    hold();
    call_next!(PTHREAD_EXIT(value: *mut c_void) -> !)
}

thread_local! {
    static HELD_AT_ITS_END: Cell<bool> = const { Cell::new(false) };
}

/// A thread that has thread-local values with destructors, as C++ and Rust threads do, is held at its end, before the
/// destructor that was registered first.
///
/// # Safety
/// Same as for the C++ ABI's `__cxa_thread_atexit_impl`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __cxa_thread_atexit_impl(
    destructor: Option<Handler>,
    value: *mut c_void,
    library: *mut c_void,
) -> c_int {
    let result = call_next!(CXA_THREAD_ATEXIT(
        destructor: Option<Handler>, value: *mut c_void, library: *mut c_void
    ) -> c_int);
    if state::active() && !process::in_main_thread() && !HELD_AT_ITS_END.replace(true) {
        // Bound to this library, which is never closed.
        let (destructor, value, library) = (Some(at_thread_end as Handler), ptr::null_mut(), own_handle());
        call_next!(CXA_THREAD_ATEXIT(
            destructor: Option<Handler>, value: *mut c_void, library: *mut c_void
        ) -> c_int);
    }
    result
}

unsafe extern "C-unwind" fn at_thread_end(_: *mut c_void) {
    hold();
}

/// Identifies this library to libc: any address in the library will do.
fn own_handle() -> *mut c_void {
    (&raw const DELAYED_HANDLERS).cast_mut().cast()
}

/// The joining thread continues a little later than the joined thread's end.
///
/// # Safety
/// Same as for libc's `pthread_join`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn pthread_join(thread: pthread_t, value: *mut *mut c_void) -> c_int {
    let result = call_next!(PTHREAD_JOIN(thread: pthread_t, value: *mut *mut c_void) -> c_int);
    if state::at_least(Phase::Done) {
        linger_briefly();
    }
    result
}

/// Delays before and after a library's destructors.
///
/// # Safety
/// Same as for libc's `dlclose`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn dlclose(handle: *mut c_void) -> c_int {
    let in_exit = state::at_least(Phase::Done);
    if in_exit {
        linger_briefly();
    }
    let result = call_next!(DLCLOSE(handle: *mut c_void) -> c_int);
    if in_exit {
        linger_briefly();
    }
    result
}

/// Handlers beyond these get no delay of their own.
const MOST_DELAYED_HANDLERS: u32 = 64;
static DELAYED_HANDLERS: AtomicU32 = AtomicU32::new(0);

type Handler = unsafe extern "C-unwind" fn(*mut c_void);

/// Registers one of this library's handlers. It is bound to no library, so it stays when one is closed.
fn at_exit(handler: Handler) {
    let (handler, argument, library) = (Some(handler), ptr::null_mut(), ptr::null_mut());
    call_next!(CXA_ATEXIT(handler: Option<Handler>, argument: *mut c_void, library: *mut c_void) -> c_int);
}

/// Registers a delay on top of each handler. Handlers run last in, first out, so the delay comes right before that
/// handler. The topmost delay is the very beginning of the exit, even if `main` returns. Static destructors of C++ and
/// Rust, and `atexit`, call this function.
///
/// # Safety
/// Same as for the C++ ABI's `__cxa_atexit`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __cxa_atexit(
    handler: Option<Handler>,
    argument: *mut c_void,
    library: *mut c_void,
) -> c_int {
    let result = call_next!(CXA_ATEXIT(handler: Option<Handler>, argument: *mut c_void, library: *mut c_void) -> c_int);
    if state::active() && DELAYED_HANDLERS.fetch_add(1, Ordering::Relaxed) < MOST_DELAYED_HANDLERS {
        at_exit(before_handler);
    }
    result
}

unsafe extern "C-unwind" fn before_handler(_: *mut c_void) {
    if !state::active() {
        return;
    }
    if state::at_least(Phase::Exiting) {
        linger_briefly();
    } else {
        state::advance(Phase::Exiting);
        linger();
    }
}

/// Registered before all others, so it runs after them.
unsafe extern "C-unwind" fn after_handlers(_: *mut c_void) {
    if state::active() {
        state::advance(Phase::Exiting);
        linger();
        state::advance(Phase::HandlersRun);
        linger();
        report::ended();
    }
}

/// # Safety
/// Same as for libc's `exit`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn exit(status: c_int) -> ! {
    if state::active() {
        state::advance(Phase::Exiting);
        linger();
    }
    call_next!(EXIT(status: c_int) -> !)
}

/// # Safety
/// Same as for libc's `_exit`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn _exit(status: c_int) -> ! {
    end();
    call_next!(UNDERSCORE_EXIT(status: c_int) -> !)
}

/// # Safety
/// Same as for libc's `_Exit`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn _Exit(status: c_int) -> ! {
    end();
    call_next!(C99_EXIT(status: c_int) -> !)
}

/// # Safety
/// Same as for libc's `quick_exit`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn quick_exit(status: c_int) -> ! {
    end();
    call_next!(QUICK_EXIT(status: c_int) -> !)
}

/// The process ends at once, without handlers.
fn end() {
    if state::active() {
        state::advance(Phase::Ending);
        linger();
        report::ended();
    }
}

extern "C" fn constructor() {
    // So that no signal handler has to look it up.
    for next in ALL {
        next.address();
    }
    let amplified = config::read(process::leads_its_group());
    if !amplified {
        return;
    }
    if let Some(seed) = environment::number(c"QUIESCE_AMPLIFY_SEED") {
        random::seed(seed);
    }
    if let Some(path) = environment::text(c"QUIESCE_AMPLIFY_REPORT") {
        report::set_path(path);
    }
    journal::open();
    sandbox::install();
    at_exit(after_handlers);
    // SAFETY: a plain registration with a function that stays loaded: a preloaded library is never closed.
    unsafe { libc::pthread_atfork(None, None, Some(in_forked_child)) };
    state::activate();
    report::loaded();
}

/// Destructors of the program and of most libraries have run.
extern "C" fn destructor() {
    end();
}

extern "C" fn in_forked_child() {
    if !config::CHILDREN.load(Ordering::Relaxed) || sandbox::is_entered() {
        return state::deactivate();
    }
    crate::hold::restart();
    crate::linger::restart();
    state::restart();
    report::restart();
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

#[used]
#[unsafe(link_section = ".fini_array")]
static DESTRUCTOR: extern "C" fn() = destructor;
