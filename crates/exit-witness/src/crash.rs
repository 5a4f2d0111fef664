//! A crash: the process is about to die from a signal whose disposition is the default one.
//!
//! The witness's handler replaces that default. `sigaction` and `signal` hide it: a program that sets or reads SIG_DFL
//! gets what it expects. A program that sets its own handler has that. If it later goes back to SIG_DFL to die, it ends
//! here.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

use preload::{Line, Next, call_next, process};

use crate::state::Sender;
use crate::{channel, parent, stack, state, threads, timeline};

pub mod unloaded;

const FATAL: [c_int; 7] =
    [libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS];

static SIGACTION: Next = Next::new(c"sigaction");
static INSTALLED: AtomicBool = AtomicBool::new(false);
/// The process and number of the thread that is dying. A child that was forked meanwhile inherits the value, but is
/// another process.
static DYING: AtomicU64 = AtomicU64::new(0);

/// A program's handler that the kernel removes when it is called (SA_RESETHAND), and its flags.
struct OneShot {
    handler: AtomicUsize,
    flags: AtomicI32,
}

/// In the order of `FATAL`.
static ONE_SHOTS: [OneShot; FATAL.len()] =
    [const { OneShot { handler: AtomicUsize::new(0), flags: AtomicI32::new(0) } }; FATAL.len()];

fn one_shot(signal: c_int) -> Option<&'static OneShot> {
    ONE_SHOTS.get(FATAL.iter().position(|&fatal| fatal == signal)?)
}

/// Calls a program's handler that was removed for this call. The program sees the default disposition from now on, and
/// that is the witness's. Async-signal-safe.
unsafe extern "C" fn call_once(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(own) = one_shot(signal) else { return };
    if INSTALLED.load(Ordering::Relaxed) {
        let ours = ours();
        // SAFETY: `ours` is a complete action with a handler of the right signature.
        unsafe { real(signal, &raw const ours, std::ptr::null_mut()) };
    }
    type Handler = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    // SAFETY: `sigaction` below stored the program's handler before it installed this function. One that takes the
    // signal alone ignores the other arguments.
    unsafe {
        let handler = std::mem::transmute::<usize, Handler>(own.handler.load(Ordering::Acquire));
        handler(signal, info, context);
    }
}

/// Replaces the default disposition of every fatal signal.
pub fn install() {
    INSTALLED.store(true, Ordering::Relaxed);
    for signal in FATAL {
        // SAFETY: all zeros is a valid sigaction, and it is SIG_DFL.
        let mut now = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
        // SAFETY: `now` is valid for writes.
        let known = unsafe { real(signal, std::ptr::null(), &raw mut now) };
        if known == 0 && now.sa_sigaction == libc::SIG_DFL {
            let ours = ours();
            // SAFETY: `ours` is a complete action with a handler of the right signature.
            unsafe { real(signal, &raw const ours, std::ptr::null_mut()) };
        }
    }
}

/// Gives every fatal signal its default disposition back where the program hasn't set one.
pub fn uninstall() {
    if !INSTALLED.swap(false, Ordering::Relaxed) {
        return;
    }
    let ours = ours();
    for signal in FATAL {
        // SAFETY: all zeros is a valid sigaction, and it is SIG_DFL; `now` is valid for writes.
        unsafe {
            let default = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
            let mut now = default;
            if real(signal, std::ptr::null(), &raw mut now) == 0 && now.sa_sigaction == ours.sa_sigaction {
                real(signal, &raw const default, std::ptr::null_mut());
            }
        }
    }
}

/// Wraps the C library's `sigaction`.
///
/// # Safety
/// Same as for `sigaction`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaction(
    signal: c_int,
    action: *const libc::sigaction,
    previous: *mut libc::sigaction,
) -> c_int {
    // Python resets its signal handlers when it ends.
    timeline::look_at_python();
    let Some(own) = one_shot(signal).filter(|_| INSTALLED.load(Ordering::Relaxed)) else {
        // SAFETY: the caller's arguments, unchanged.
        return unsafe { real(signal, action, previous) };
    };
    let once = call_once as *const () as usize;
    let (handler, flags) = (own.handler.load(Ordering::Acquire), own.flags.load(Ordering::Relaxed));
    let ours = ours();
    // SAFETY: the caller gives a readable action, or null.
    let to_default = !action.is_null() && unsafe { (*action).sa_sigaction } == libc::SIG_DFL;
    // SAFETY: as above.
    let removed = !action.is_null() && unsafe { (*action).sa_flags } & libc::SA_RESETHAND != 0;
    let mut action = if to_default { &raw const ours } else { action };
    // SAFETY: as above.
    let mut wrapper = if removed && !to_default { unsafe { *action } } else { ours };
    if removed && !to_default && wrapper.sa_sigaction != libc::SIG_IGN {
        own.flags.store(wrapper.sa_flags, Ordering::Relaxed);
        own.handler.store(wrapper.sa_sigaction, Ordering::Release);
        wrapper.sa_sigaction = once;
        wrapper.sa_flags |= libc::SA_SIGINFO;
        action = &raw const wrapper;
    }
    // SAFETY: `action` is the caller's or ours, `previous` the caller's.
    let result = unsafe { real(signal, action, previous) };
    if result == 0 && !previous.is_null() {
        // SAFETY: the C library has filled it.
        let previous = unsafe { &mut *previous };
        if previous.sa_sigaction == ours.sa_sigaction {
            // SAFETY: all zeros is a valid sigaction, and it is SIG_DFL.
            *previous = unsafe { MaybeUninit::zeroed().assume_init() };
        } else if previous.sa_sigaction == once {
            previous.sa_sigaction = handler;
            previous.sa_flags = flags;
        }
    }
    result
}

/// Wraps the C library's `signal`.
///
/// # Safety
/// Same as for `signal`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn signal(signal: c_int, handler: libc::sighandler_t) -> libc::sighandler_t {
    // SAFETY: all zeros is a valid sigaction.
    let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: as above.
    let mut previous = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    // SAFETY: both are valid, the handler is the caller's.
    if unsafe { sigaction(signal, &raw const action, &raw mut previous) } != 0 {
        return libc::SIG_ERR;
    }
    previous.sa_sigaction
}

fn ours() -> libc::sigaction {
    // SAFETY: all zeros is a valid sigaction.
    let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    action.sa_sigaction = handle as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    action
}

/// # Safety
/// Same as for `sigaction`.
unsafe fn real(signal: c_int, action: *const libc::sigaction, previous: *mut libc::sigaction) -> c_int {
    call_next!(SIGACTION(
        signal: c_int, action: *const libc::sigaction, previous: *mut libc::sigaction
    ) -> c_int)
}

/// The address of the instruction that interrupted code ran or was about to run, and the stack pointer; 0 if they
/// aren't known.
///
/// # Safety
/// The context must be that of a signal handler.
unsafe fn registers(context: *mut c_void) -> (usize, usize) {
    // SAFETY: as said.
    let context = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    return (context.gregs[libc::REG_RIP as usize] as usize, context.gregs[libc::REG_RSP as usize] as usize);
    #[cfg(target_arch = "aarch64")]
    return (context.pc as usize, context.sp as usize);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = context;
        (0, 0)
    }
}

/// The address that couldn't be read or written; 0 if the signal isn't about an address.
///
/// # Safety
/// The information must be that of a signal handler.
unsafe fn data(signal: c_int, info: *mut libc::siginfo_t) -> usize {
    // A signal that a process sent has no address.
    // SAFETY: as said, and these signals have one.
    unsafe {
        if (signal == libc::SIGSEGV || signal == libc::SIGBUS) && (*info).si_code > 0 {
            (*info).si_addr() as usize
        } else {
            0
        }
    }
}

/// The sender of the signal; `None` if the kernel raised it because of what the thread did.
///
/// # Safety
/// The information must be that of a signal handler.
unsafe fn sender(info: *mut libc::siginfo_t) -> Option<Sender> {
    // SAFETY: as said.
    let (code, pid) = unsafe { ((*info).si_code, (*info).si_pid()) };
    match code {
        libc::SI_USER | libc::SI_TKILL | libc::SI_QUEUE if pid == process::id() => Some(Sender::ThisProcess),
        libc::SI_USER | libc::SI_TKILL | libc::SI_QUEUE => Some(Sender::Another),
        _ => None,
    }
}

fn this_thread() -> u64 {
    u64::from(process::id().cast_unsigned()) << 32 | u64::from(process::thread_id().cast_unsigned())
}

/// Whether the thread in `DYING` belongs to this process.
fn is_own(thread: u64) -> bool {
    thread >> 32 == u64::from(process::id().cast_unsigned())
}

/// Must be called by a thread that is about to end the process. If another thread is dying, the process must die from
/// that: without the witness, no crash waits for a debugger, so the other thread would have been first.
pub fn wait_if_dying() {
    let dying = DYING.load(Ordering::Acquire);
    if dying != 0 && is_own(dying) && dying != this_thread() {
        wait_for_the_end();
    }
}

fn wait_for_the_end() -> ! {
    loop {
        // SAFETY: waits for a signal, nothing more.
        unsafe { libc::pause() };
    }
}

/// Async-signal-safe throughout.
unsafe extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let this = this_thread();
    let before = DYING.fetch_update(Ordering::AcqRel, Ordering::Acquire, |dying| (!is_own(dying)).then_some(this));
    if before.is_err_and(|dying| dying != this) {
        // Another thread is already dying and ends the process.
        wait_for_the_end();
    }
    let (pid, tid) = (process::id(), process::thread_id());
    if before.is_ok() && channel::reach() {
        let mut name = [0_u8; 16];
        // SAFETY: PR_GET_NAME writes at most 16 bytes; the others take numbers. Under Yama the tester's debugger needs
        // the permission, and a stopped process must not outlive a tester that was killed.
        unsafe {
            libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr());
            libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY);
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        }
        let length = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        timeline::crashes(signal, &name[..length]);
        // SAFETY: the kernel gives both to a handler that was installed with SA_SIGINFO.
        let ((code, pointer), data) = unsafe { (registers(context), data(signal, info)) };
        let line = Line::new("crash").field(pid).field(tid).field(signal).text(&name[..length]);
        // SAFETY: as above.
        let sender = unsafe { sender(info) };
        let out_of_stack = data != 0 && stack::is_at_end(data, pointer, code);
        let line = state::words(line.text(b""), out_of_stack, sender);
        let mut path = unloaded::path();
        // What is below the innermost code may be gone, too.
        let runs = threads::code_of(tid).unwrap_or(0);
        let found = [code, data, runs].into_iter().find_map(|address| {
            let length = unloaded::library_at(address, &mut path);
            (length > 0).then_some((address, length))
        });
        channel::send(&match found {
            Some((address, length)) => line.field(format_args!("{address:x}")).text(&path[..length]).end(),
            None => line.end(),
        });
        // SAFETY: the number comes from the kernel. The mark is never sent.
        unsafe {
            to_default(signal);
            let mark = ours();
            real(parent::MARK, &raw const mark, std::ptr::null_mut());
        }
        // Sent to this very thread, it stops the process before the next instruction here. The tester sends the signal
        // again before it continues the process, so that no thread runs before the signal is taken. If this code goes
        // on, something else has continued the process: `timeout`, for example, does so after each signal that it sends.
        for _ in 0..STOPS {
            // SAFETY: numbers only.
            unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, libc::SIGSTOP) };
            if pid == FIRST {
                wait_for_the_testers_stop();
                break;
            }
        }
    }
    // With the default disposition and the signal let through, the process dies in tgkill. Only the first process of a
    // PID namespace doesn't: it continues here as if it had no handler. Then a fault happens again, and kills it.
    // SAFETY: as above.
    unsafe {
        to_default(signal);
        libc::syscall(libc::SYS_tgkill, pid, tid, signal);
    }
}

/// How often the process stops again. A tracer that swallows the signal, such as strace, doesn't let it stop at all.
const STOPS: u32 = 16;

/// The first process of a PID namespace. What it and its descendants send to it is ignored unless it has a handler.
const FIRST: i32 = 1;
static STOP_POLL: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 2_000_000 };
const STOP_POLLS: u32 = 1_000;
/// A sleep that takes this much longer was interrupted by a stop.
const STOPPED_US: u64 = 50_000;

/// The tester, which is outside the namespace, stops the process instead.
fn wait_for_the_testers_stop() {
    for _ in 0..STOP_POLLS {
        let before = process::monotonic_us();
        // SAFETY: the time is valid, and the remaining time isn't requested.
        unsafe { libc::nanosleep(&raw const STOP_POLL, std::ptr::null_mut()) };
        if process::monotonic_us() - before > STOPPED_US {
            return;
        }
    }
}

/// Lets a signal end the process, also when it is sent from this thread.
///
/// # Safety
/// The signal must be one of the system's.
unsafe fn to_default(signal: c_int) {
    // SAFETY: all zeros is SIG_DFL; the set is initialised before it is used.
    unsafe {
        let default = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        // Drops the same signal if it was sent again meanwhile, as `timeout` does: it would end the process at once.
        let ignored = libc::sigaction { sa_sigaction: libc::SIG_IGN, ..default };
        real(signal, &raw const ignored, std::ptr::null_mut());
        real(signal, &raw const default, std::ptr::null_mut());
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}
