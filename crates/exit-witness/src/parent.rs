//! What the parent of a dying process sees. The witness stops that process (`crash.rs`), and a parent that also waits
//! for stopped children, as shells with job control do, must not see that stop: without the witness there is none.
//!
//! A parent that traces the process, or that looks at the signal SIGCHLD, does see it.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

use libc::{id_t, idtype_t, pid_t, rusage, siginfo_t};
use preload::{Line, Next, Reader, call_next, sandbox};

static WAITPID: Next = Next::new(c"waitpid");
static WAIT3: Next = Next::new(c"wait3");
static WAIT4: Next = Next::new(c"wait4");
static WAITID: Next = Next::new(c"waitid");

/// A process has a handler for this signal if it stops for the tester. Nothing sends the signal, so programs have none.
pub const MARK: c_int = libc::SIGSTKFLT;

/// Options of a wait. A stop for the tester causes both kinds of report.
const HALTS: c_int = libc::WUNTRACED | libc::WCONTINUED;

/// Looks up the functions, so that no signal handler has to do that.
pub fn install() {
    for next in [&WAITPID, &WAIT3, &WAIT4, &WAITID] {
        next.address();
    }
}

/// Waits until there is something that isn't the tester's, and passes on the status of that.
fn skip(status: *mut c_int, options: c_int, mut wait: impl FnMut(*mut c_int) -> pid_t) -> pid_t {
    if options & HALTS == 0 {
        return wait(status);
    }
    let mut seen = 0;
    loop {
        let found = wait(&raw mut seen);
        let halted = libc::WIFCONTINUED(seen) || libc::WIFSTOPPED(seen) && libc::WSTOPSIG(seen) == libc::SIGSTOP;
        if found > 0 && halted && is_the_testers(found) {
            continue;
        }
        if found > 0 && !status.is_null() {
            // SAFETY: the caller's pointer, which the C library would have written to.
            unsafe { *status = seen };
        }
        return found;
    }
}

/// Whether a child that was stopped or continued was so for the tester. It may have died since, but hasn't been waited
/// for.
fn is_the_testers(child: pid_t) -> bool {
    if sandbox::is_entered() {
        return false;
    }
    // A path is not a line, but `Line` builds it without allocation.
    let path = Line::new("/proc/").join(child).join("/status");
    let mut reader = Reader::open(path.as_bytes());
    let mut buffer = [0; 128];
    while let Some(line) = reader.line(&mut buffer) {
        let value = |name: &[u8]| line.strip_prefix(name).map(<[u8]>::trim_ascii);
        if value(b"TracerPid:").is_some_and(|tracer| tracer != b"0") {
            return false;
        }
        if let Some(caught) = value(b"SigCgt:") {
            let mask = std::str::from_utf8(caught).ok().and_then(|mask| u64::from_str_radix(mask, 16).ok());
            return mask.is_some_and(|mask| mask & (1 << (MARK - 1)) != 0);
        }
    }
    false
}

/// Wraps the C library's `waitpid`.
///
/// # Safety
/// Same as for `waitpid`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t {
    skip(status, options, |status| call_next!(WAITPID(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t))
}

/// Wraps the C library's `wait3`.
///
/// # Safety
/// Same as for `wait3`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn wait3(status: *mut c_int, options: c_int, used: *mut rusage) -> pid_t {
    skip(status, options, |status| call_next!(WAIT3(status: *mut c_int, options: c_int, used: *mut rusage) -> pid_t))
}

/// Wraps the C library's `wait4`.
///
/// # Safety
/// Same as for `wait4`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn wait4(pid: pid_t, status: *mut c_int, options: c_int, used: *mut rusage) -> pid_t {
    skip(
        status,
        options,
        |status| call_next!(WAIT4(pid: pid_t, status: *mut c_int, options: c_int, used: *mut rusage) -> pid_t),
    )
}

/// Wraps the C library's `waitid`.
///
/// # Safety
/// Same as for `waitid`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn waitid(kind: idtype_t, id: id_t, info: *mut siginfo_t, options: c_int) -> c_int {
    if options & HALTS == 0 || info.is_null() {
        return real_waitid(kind, id, info, options);
    }
    loop {
        let result = real_waitid(kind, id, info, options);
        // SAFETY: the C library has filled it. Without a child, it is unchanged or zero.
        let (code, signal, child) = unsafe { ((*info).si_code, (*info).si_status(), (*info).si_pid()) };
        let halted = code == libc::CLD_CONTINUED || code == libc::CLD_STOPPED && signal == libc::SIGSTOP;
        if result != 0 || child == 0 || !halted || !is_the_testers(child) {
            return result;
        }
        if options & libc::WNOWAIT != 0 {
            // The report is still there, and must be taken.
            let mut taken = MaybeUninit::<siginfo_t>::zeroed();
            real_waitid(libc::P_PID, child.cast_unsigned(), taken.as_mut_ptr(), HALTS | libc::WNOHANG);
        }
        // SAFETY: the caller's pointer is valid for writes. A call that finds no child may leave it as it is.
        unsafe { info.cast::<c_void>().write_bytes(0, size_of::<siginfo_t>()) };
    }
}

fn real_waitid(kind: idtype_t, id: id_t, info: *mut siginfo_t, options: c_int) -> c_int {
    call_next!(WAITID(kind: idtype_t, id: id_t, info: *mut siginfo_t, options: c_int) -> c_int)
}
