//! The timeline of the exit: what happens in the process, event by event, in the file that `QUIESCE_TIMELINE` names.
//! Without that variable, everything here only passes calls on.
//!
//! packages/quiesce/src/timeline/events.ts defines the kinds of events and their fields. "This library" is a path;
//! empty if it isn't known.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use libc::{size_t, ssize_t};
use preload::{Line, Next, call_next, journal, process};

use crate::modules::with_module;
use crate::{channel, state};

static WRITE: Next = Next::new(c"write");
static PTHREAD_EXIT: Next = Next::new(c"pthread_exit");
static EXIT: Next = Next::new(c"exit");
static QUICK_EXIT: Next = Next::new(c"quick_exit");
static CXA_ATEXIT: Next = Next::new(c"__cxa_atexit");
static CXA_FINALIZE: Next = Next::new(c"__cxa_finalize");
static DL_FIND_OBJECT: Next = Next::new(c"_dl_find_object");

const UNKNOWN: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;
static WANTED: AtomicU8 = AtomicU8::new(UNKNOWN);
/// This process's exit has begun.
static EXITING: AtomicBool = AtomicBool::new(false);
static PYTHON_ENDING: AtomicBool = AtomicBool::new(false);

/// Must be called before the program has other threads. Libraries that are loaded earlier register handlers before this
/// one's constructor runs.
fn wanted() -> bool {
    match WANTED.load(Ordering::Relaxed) {
        UNKNOWN => {
            let on = channel::find() == Some(channel::Way::Open) && journal::open();
            WANTED.store(if on { ON } else { OFF }, Ordering::Relaxed);
            if on {
                Program::find();
                for next in [&WRITE, &PTHREAD_EXIT, &CXA_ATEXIT, &CXA_FINALIZE, &DL_FIND_OBJECT] {
                    next.address();
                }
                journal::note_with("start", |line| line.text(Program::path()));
            }
            on
        }
        wanted => wanted == ON,
    }
}

/// Must be called by the library's constructor, once there is a tester.
pub fn install() {
    wanted();
}

/// A thread begins that pthread_create has started. `starter` is an address in the library that called it.
pub fn thread_begins(starter: usize) {
    if journal::is_open() {
        with_library(starter, |library| journal::note_with("begin", |line| line.text(library)));
    }
}

/// The thread ends: its start routine has returned, or it called pthread_exit.
pub fn thread_ends(how: &str) {
    if journal::is_open() {
        look_at_python();
        let mut name = [0_u8; 16];
        // SAFETY: PR_GET_NAME writes at most 16 bytes.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        let length = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        journal::note_with("end", |line| line.field(how).text(&name[..length]));
    }
}

/// This function is about to end the process; "" stands for the end of `main`.
pub fn ends(function: &str) {
    if journal::is_open() {
        look_at_python();
        if EXITING.swap(true, Ordering::Relaxed) && function != "_exit" {
            return;
        }
        journal::note_with("exit", |line| line.field(function));
        tell_tester();
    }
}

/// All exit handlers and destructors have run.
pub fn is_through() {
    ends("");
    journal::note("through");
}

/// Calls of dlclose under way. What runs meanwhile is not a sign of an exit.
static UNLOADING: AtomicUsize = AtomicUsize::new(0);

/// dlclose was called. Returns the time, for `unloaded`. `unloading_ends` must follow.
pub fn unloading_begins() -> u64 {
    UNLOADING.fetch_add(1, Ordering::Relaxed);
    process::monotonic_us()
}

/// dlclose unloaded this library.
pub fn unloaded(library: &[u8], since_us: u64) {
    journal::note_with("unload", |line| line.field(since_us).text(library));
}

/// dlclose has returned.
pub fn unloading_ends() {
    UNLOADING.fetch_sub(1, Ordering::Relaxed);
}

/// The process dies from a signal, in this thread. Async-signal-safe.
pub fn crashes(signal: c_int, thread: &[u8]) {
    journal::note_with("crash", |line| line.field(signal).text(thread));
}

/// Records when the Python interpreter is first seen to finalize. It resets its signal handlers right after it begins
/// to finalize, and the witness sees that. It also sees a thread that Python ends because of that.
pub fn look_at_python() {
    if !journal::is_open() || PYTHON_ENDING.load(Ordering::Relaxed) {
        return;
    }
    if state::python_finalizes() && !PYTHON_ENDING.swap(true, Ordering::Relaxed) {
        journal::note("python");
    }
}

/// From here on the tester samples the threads.
fn tell_tester() {
    // SAFETY: the address of this thread's errno is valid for the thread's life.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    if channel::is_open() {
        channel::send(&Line::new("exiting").field(process::id()).end());
    }
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// Wraps the C library's `write`, with which a program reports that its work is done.
///
/// # Safety
/// Same as for `write`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn write(fd: c_int, data: *const c_void, length: size_t) -> ssize_t {
    let done = length == 5 && fd == channel::fd() && journal::is_open();
    // Recorded before the report is sent, so that the tester's reaction can't come first.
    // SAFETY: the caller's data is as long as it says.
    if done && unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) } == b"done\n" {
        journal::note("done");
        tell_tester();
    }
    call_next!(WRITE(fd: c_int, data: *const c_void, length: size_t) -> ssize_t)
}

/// Wraps the C library's `pthread_exit`. Nothing here has a destructor when the thread unwinds.
///
/// # Safety
/// Same as for `pthread_exit`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn pthread_exit(value: *mut c_void) -> ! {
    thread_ends("pthread_exit");
    state::thread_is_unwound();
    call_next!(PTHREAD_EXIT(value: *mut c_void) -> !)
}

/// Wraps the C library's `exit`.
///
/// # Safety
/// Same as for `exit`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn exit(status: c_int) -> ! {
    state::exits();
    ends("exit");
    call_next!(EXIT(status: c_int) -> !)
}

/// Wraps the C library's `quick_exit`.
///
/// # Safety
/// Same as for `quick_exit`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn quick_exit(status: c_int) -> ! {
    state::exits();
    ends("quick_exit");
    call_next!(QUICK_EXIT(status: c_int) -> !)
}

/// The C library passes the exit status in addition to the argument.
type Handler = unsafe extern "C-unwind" fn(*mut c_void, c_int);

/// Handlers beyond these are run, but not recorded.
const MOST_HANDLERS: usize = 1024;

const FREE: u8 = 0;
const TAKEN: u8 = 1;

/// A registered handler.
struct Registered {
    state: AtomicU8,
    handler: AtomicUsize,
    argument: AtomicUsize,
    /// An address in the library that registered it.
    library: AtomicUsize,
}

static REGISTERED: [Registered; MOST_HANDLERS] = [const {
    Registered {
        state: AtomicU8::new(FREE),
        handler: AtomicUsize::new(0),
        argument: AtomicUsize::new(0),
        library: AtomicUsize::new(0),
    }
}; MOST_HANDLERS];
static NEXT_FREE: AtomicUsize = AtomicUsize::new(0);

/// Wraps the C++ ABI's `__cxa_atexit`, which registers handlers of `atexit` and destructors of static objects. Instead
/// of the handler, it registers one that records when the handler runs, on the same list and for the same library.
///
/// # Safety
/// Same as for `__cxa_atexit`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __cxa_atexit(
    handler: Option<Handler>,
    argument: *mut c_void,
    library: *mut c_void,
) -> c_int {
    let registered = match handler {
        Some(handler) if wanted() && journal::is_open() => register(handler, argument, library),
        _ => None,
    };
    let (handler, argument) = match registered {
        Some(registered) => (Some(run_registered as Handler), std::ptr::from_ref(registered).cast_mut().cast()),
        None => (handler, argument),
    };
    call_next!(CXA_ATEXIT(handler: Option<Handler>, argument: *mut c_void, library: *mut c_void) -> c_int)
}

fn register(handler: Handler, argument: *mut c_void, library: *mut c_void) -> Option<&'static Registered> {
    let from = NEXT_FREE.load(Ordering::Relaxed);
    let (i, found) = (from..from + MOST_HANDLERS).map(|i| i % MOST_HANDLERS).find_map(|i| {
        let one = &REGISTERED[i];
        let free = one.state.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok();
        free.then_some((i, one))
    })?;
    NEXT_FREE.store(i + 1, Ordering::Relaxed);
    let handler = handler as *const () as usize;
    found.handler.store(handler, Ordering::Relaxed);
    found.argument.store(argument as usize, Ordering::Relaxed);
    found.library.store(if library.is_null() { handler } else { library as usize }, Ordering::Relaxed);
    Some(found)
}

unsafe extern "C-unwind" fn run_registered(registered: *mut c_void, status: c_int) {
    // SAFETY: `__cxa_atexit` above passes one of the static ones.
    let registered = unsafe { &*registered.cast::<Registered>() };
    let handler = registered.handler.load(Ordering::Relaxed);
    let argument = registered.argument.load(Ordering::Relaxed) as *mut c_void;
    let library = registered.library.load(Ordering::Relaxed);
    // It runs once. A forked child has its own copy.
    registered.state.store(FREE, Ordering::Release);
    if UNLOADING.load(Ordering::Relaxed) == 0 {
        // When `main` returns, no wrapped function is called.
        ends("");
    }
    note_library("handler", library);
    // SAFETY: it came from `__cxa_atexit`'s caller, and is called as the C library would.
    unsafe {
        let handler = std::mem::transmute::<*const (), Handler>(handler as *const ());
        handler(argument, status);
    }
    note_library("handled", library);
}

/// Wraps the C++ ABI's `__cxa_finalize`, which each library calls when the loader takes it down.
///
/// # Safety
/// Same as for `__cxa_finalize`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __cxa_finalize(library: *mut c_void) {
    if !journal::is_open() {
        return call_next!(CXA_FINALIZE(library: *mut c_void) -> ());
    }
    if UNLOADING.load(Ordering::Relaxed) == 0 {
        ends("");
    }
    note_library("finalize", library as usize);
    call_next!(CXA_FINALIZE(library: *mut c_void) -> ());
    note_library("finalized", library as usize);
}

fn note_library(kind: &str, address: usize) {
    if journal::is_open() {
        look_at_python();
        with_library(address, |library| journal::note_with(kind, |line| line.text(library)));
    }
}

/// The program's own file.
struct Program(UnsafeCell<[u8; 256]>);

// SAFETY: written once, before other threads exist.
unsafe impl Sync for Program {}

static PROGRAM: Program = Program(UnsafeCell::new([0; 256]));
static PROGRAM_LENGTH: AtomicUsize = AtomicUsize::new(0);

impl Program {
    fn find() {
        // SAFETY: see above; `readlink` writes at most as many bytes as it is given, and the path ends with NUL.
        let length = unsafe {
            let buffer = &mut *PROGRAM.0.get();
            libc::readlink(c"/proc/self/exe".as_ptr(), buffer.as_mut_ptr().cast(), buffer.len())
        };
        PROGRAM_LENGTH.store(usize::try_from(length).unwrap_or(0), Ordering::Release);
    }

    fn path() -> &'static [u8] {
        // SAFETY: see above.
        unsafe { &(&*PROGRAM.0.get())[..PROGRAM_LENGTH.load(Ordering::Acquire)] }
    }
}

/// glibc's `struct dl_find_object`, from 2.35 on. Longer than it is on any machine.
#[repr(C)]
struct FoundObject {
    flags: u64,
    start: *mut c_void,
    end: *mut c_void,
    link_map: *const LinkMap,
    rest: [u64; 16],
}

/// The public head of glibc's `struct link_map`.
#[repr(C)]
struct LinkMap {
    base: usize,
    name: *const c_char,
}

/// Calls `found` with the path of the library at an address. Takes no lock, and is async-signal-safe. On glibc before
/// 2.35 it reads /proc/self/maps.
fn with_library(address: usize, found: impl FnOnce(&[u8])) {
    let find = DL_FIND_OBJECT.address();
    if find.is_null() || address == 0 {
        return with_module(address, found);
    }
    let mut object = FoundObject {
        flags: 0,
        start: std::ptr::null_mut(),
        end: std::ptr::null_mut(),
        link_map: std::ptr::null(),
        rest: [0; 16],
    };
    // SAFETY: glibc's function of that name has this type, and writes no more than the structure holds.
    let missing = unsafe {
        let find: extern "C" fn(*mut c_void, *mut FoundObject) -> c_int = std::mem::transmute(find);
        find(address as *mut c_void, &raw mut object)
    };
    if missing != 0 || object.link_map.is_null() {
        return found(b"");
    }
    // SAFETY: the library stays while its code is looked up: the code is about to run, or is running.
    let name = unsafe { (*object.link_map).name };
    // SAFETY: the loader's names end with NUL.
    let name = if name.is_null() { b"" } else { unsafe { CStr::from_ptr(name) }.to_bytes() };
    found(if name.is_empty() { Program::path() } else { name });
}

#[cfg(test)]
mod tests {
    use super::{DL_FIND_OBJECT, Program, with_library};

    #[test]
    fn knows_the_library_at_an_address() {
        Program::find();
        DL_FIND_OBJECT.address();
        let program = std::env::current_exe().map(|path| path.into_os_string().into_encoded_bytes());
        with_library(Program::find as *const () as usize, |path| {
            assert_eq!(Some(path), program.ok().as_deref());
        });
        with_library(libc::getpid as *const () as usize, |path| {
            assert!(path.windows(5).any(|part| part == b"libc."), "{}", String::from_utf8_lossy(path));
        });
        with_library(1, |path| assert_eq!(path, b""));
    }
}
