//! What started a thread. `pthread_create` records the address of each thread's start routine. If that belongs to a
//! runtime that starts threads for others, it also records the code that called the runtime.

use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};

use preload::{Next, call_next, process, sandbox};

use crate::{channel, stack, timeline};

/// `pthread_exit` and cancellation may unwind it.
type Start = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;

/// The same for `thrd_create`.
type C11Start = unsafe extern "C-unwind" fn(*mut c_void) -> c_int;

static CREATE: Next = Next::new(c"pthread_create");
static CREATE_C11: Next = Next::new(c"thrd_create");

/// Power of two; a thread whose number falls on another's slot replaces it.
const SLOTS: usize = 4096;

struct Slot {
    tid: AtomicI32,
    start: AtomicUsize,
    starter: AtomicUsize,
    runs: AtomicUsize,
    top: AtomicUsize,
    returned: AtomicBool,
}

static STARTS: [Slot; SLOTS] = [const {
    Slot {
        tid: AtomicI32::new(0),
        start: AtomicUsize::new(0),
        starter: AtomicUsize::new(0),
        runs: AtomicUsize::new(0),
        top: AtomicUsize::new(0),
        returned: AtomicBool::new(false),
    }
}; SLOTS];

/// Threads that were created and have not run yet: the kernel has them, but their start isn't recorded.
static UNBORN: AtomicUsize = AtomicUsize::new(0);

static WAITS_LEFT: AtomicU32 = AtomicU32::new(1000);
static WAIT: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// Waits until all threads have recorded their start: on a busy machine a new thread may not run for 100 ms.
pub fn settle() {
    while UNBORN.load(Ordering::Acquire) > 0 && wait_a_moment() {}
}

/// Waits for a millisecond. `false` if the exit has already been held up for about 1 s in this way.
pub fn wait_a_moment() -> bool {
    let left = WAITS_LEFT.load(Ordering::Relaxed);
    if left > 0 {
        WAITS_LEFT.store(left - 1, Ordering::Relaxed);
        // SAFETY: the time is valid, and the remaining time isn't requested.
        unsafe { libc::nanosleep(&raw const WAIT, std::ptr::null_mut()) };
    }
    left > 0
}

fn slot(tid: i32) -> &'static Slot {
    &STARTS[tid as usize & (SLOTS - 1)]
}

/// The start routine of a live thread and the code that started it, if they were seen. They are the same, except for a
/// runtime's threads.
pub fn start_of(tid: i32) -> Option<(usize, usize)> {
    let slot = slot(tid);
    (slot.tid.load(Ordering::Acquire) == tid)
        .then(|| (slot.start.load(Ordering::Relaxed), slot.starter.load(Ordering::Relaxed)))
}

/// An address in the code that a live thread was started to run; `None` if that wasn't seen. Async-signal-safe.
pub fn code_of(tid: i32) -> Option<usize> {
    let slot = slot(tid);
    (slot.tid.load(Ordering::Acquire) == tid).then(|| slot.runs.load(Ordering::Relaxed))
}

/// Where the stack of a live thread begins: all that its start routine uses is below. `None` if that wasn't seen.
pub fn top_of(tid: i32) -> Option<usize> {
    let slot = slot(tid);
    (slot.tid.load(Ordering::Acquire) == tid).then(|| slot.top.load(Ordering::Relaxed))
}

/// Whether a thread's start routine has returned: only destructors of thread-local variables may follow.
pub fn has_returned(tid: i32) -> bool {
    let slot = slot(tid);
    slot.tid.load(Ordering::Acquire) == tid && slot.returned.load(Ordering::Relaxed)
}

/// Libraries that start threads for their callers, by the beginning of their file names: C++ runtimes, OpenMP runtimes,
/// allocators that wrap `pthread_create` or clean up in the background, and event loops.
const RUNTIMES: [&[u8]; 13] = [
    b"libstdc++.",
    b"libstdc++-", // as auditwheel names its copy
    b"libc++.",
    b"libc++abi.",
    b"libgomp",
    b"libomp",
    b"libiomp5",
    b"libjemalloc",
    b"libtcmalloc",
    b"libmimalloc",
    b"libuv.",
    b"libuv-",
    b"libtbb",
];

/// Those of them whose threads run the code of the library that called the runtime. The others have pools.
const CARRIERS: [&[u8]; 6] = [b"libstdc++.", b"libstdc++-", b"libc++.", b"libc++abi.", b"libuv.", b"libuv-"];

/// The tester's own libraries, which also wrap `pthread_create`.
const TESTER: [&[u8]; 2] = [b"exit-witness.", b"exit-amplifier."];

fn is_runtime(library: &[u8]) -> bool {
    is_of(library, &RUNTIMES)
}

fn is_of(library: &[u8], names: &[&[u8]]) -> bool {
    let file = library.rsplit(|&byte| byte == b'/').next().unwrap_or(library);
    names.iter().any(|start| file.starts_with(start))
}

/// The file of the library that contains an address, according to the loader; empty if there is none. Only for threads
/// that may wait for the loader, as threads that start others may.
fn library_of(address: usize) -> &'static [u8] {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: any address may be looked up, and `info` is valid for writes.
    let found = unsafe { libc::dladdr(address as *const c_void, info.as_mut_ptr()) } != 0;
    // SAFETY: all zeros is a valid Dl_info, and dladdr has filled it if it found something.
    let name = unsafe { info.assume_init() }.dli_fname;
    if !found || name.is_null() {
        return b"";
    }
    // SAFETY: the name is NUL-terminated, and lives as long as the library: the caller uses it only now.
    unsafe { CStr::from_ptr(name) }.to_bytes()
}

#[repr(C)]
struct UnwindContext {
    _opaque: [u8; 0],
}

type Visit = extern "C" fn(*mut UnwindContext, *mut c_void) -> c_int;

unsafe extern "C" {
    // From libgcc_s, which Rust's runtime needs anyway.
    fn _Unwind_Backtrace(visit: Visit, data: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut UnwindContext) -> usize;
}

const GO_ON: c_int = 0;
const END: c_int = 4;
const MOST_FRAMES: u32 = 24;

struct Search {
    found: usize,
    frames: u32,
}

/// The code that starts a thread with this start routine of a runtime: the innermost caller of `pthread_create` outside a
/// runtime. This searches the stack, and few threads start that way.
fn starter_of(start: usize) -> usize {
    let mut search = Search { found: start, frames: 0 };
    // SAFETY: `visit` gets the search, which outlives the call.
    unsafe { _Unwind_Backtrace(visit, (&raw mut search).cast()) };
    search.found
}

extern "C" fn visit(context: *mut UnwindContext, search: *mut c_void) -> c_int {
    // SAFETY: `starter_of` gives its search.
    let search = unsafe { &mut *search.cast::<Search>() };
    search.frames += 1;
    // SAFETY: the unwinder gives a valid context.
    let address = unsafe { _Unwind_GetIP(context) }.saturating_sub(1);
    let library = library_of(address);
    if library.is_empty() || is_of(library, &TESTER) || is_runtime(library) {
        return if search.frames < MOST_FRAMES { GO_ON } else { END };
    }
    search.found = address;
    END
}

struct Begin {
    /// A [`Start`] or a [`C11Start`].
    start: usize,
    argument: *mut c_void,
    starter: usize,
    /// An address in the code that the thread will run.
    runs: usize,
}

/// What the first frame of a new thread gets; null without memory.
fn prepare(start: usize, argument: *mut c_void) -> *mut Begin {
    let library = library_of(start);
    let starter = if is_runtime(library) { starter_of(start) } else { start };
    let runs = if is_of(library, &CARRIERS) { starter } else { start };
    // SAFETY: malloc may be called with any size.
    let begin = unsafe { libc::malloc(size_of::<Begin>()) }.cast::<Begin>();
    if !begin.is_null() {
        // SAFETY: malloc's memory is big enough and aligned for any type of the language.
        unsafe { begin.write(Begin { start, argument, starter, runs }) };
        UNBORN.fetch_add(1, Ordering::Relaxed);
    }
    begin
}

/// # Safety
/// No thread was started with this block of [`prepare`].
unsafe fn forget(begin: *mut Begin) {
    UNBORN.fetch_sub(1, Ordering::Relaxed);
    // SAFETY: it came from malloc, and nothing else has it.
    unsafe { libc::free(begin.cast()) };
}

/// Wraps the C library's `pthread_create`.
///
/// # Safety
/// Same as for `pthread_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> i32 {
    if channel::fd() < 0 || sandbox::is_entered() {
        return call_next!(CREATE(
            thread: *mut libc::pthread_t, attributes: *const libc::pthread_attr_t, start: Start, argument: *mut c_void
        ) -> i32);
    }
    let begin = prepare(start as *const () as usize, argument);
    if begin.is_null() {
        return libc::EAGAIN;
    }
    // `first_frame` frees what it gets; the rest are the caller's arguments.
    let (start, argument) = (first_frame as Start, begin.cast::<c_void>());
    let result = call_next!(CREATE(
        thread: *mut libc::pthread_t, attributes: *const libc::pthread_attr_t, start: Start, argument: *mut c_void
    ) -> i32);
    if result != 0 {
        // SAFETY: the C library has started no thread.
        unsafe { forget(begin) };
    }
    result
}

/// Wraps C11's function, which the C library carries out without its own `pthread_create` symbol.
///
/// # Safety
/// Same as for `thrd_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn thrd_create(thread: *mut libc::pthread_t, start: C11Start, argument: *mut c_void) -> c_int {
    const NO_MEMORY: c_int = 3;
    if channel::fd() < 0 || sandbox::is_entered() {
        return call_next!(CREATE_C11(
            thread: *mut libc::pthread_t, start: C11Start, argument: *mut c_void
        ) -> c_int);
    }
    let begin = prepare(start as *const () as usize, argument);
    if begin.is_null() {
        return NO_MEMORY;
    }
    let (start, argument) = (first_frame_of_c11 as C11Start, begin.cast::<c_void>());
    let result = call_next!(CREATE_C11(
        thread: *mut libc::pthread_t, start: C11Start, argument: *mut c_void
    ) -> c_int);
    if result != 0 {
        // SAFETY: the C library has started no thread.
        unsafe { forget(begin) };
    }
    result
}

/// Keeps nothing with a destructor, so that the forced unwinding of `pthread_exit` passes through.
unsafe extern "C-unwind" fn first_frame(begin: *mut c_void) -> *mut c_void {
    // SAFETY: pthread_create above passes its own block.
    let (start, argument) = unsafe { begun(begin, (&raw const begin).addr()) };
    // SAFETY: the program passed this to pthread_create.
    let result = unsafe { std::mem::transmute::<usize, Start>(start)(argument) };
    ended();
    result
}

/// The same for C11.
unsafe extern "C-unwind" fn first_frame_of_c11(begin: *mut c_void) -> c_int {
    // SAFETY: thrd_create above passes its own block.
    let (start, argument) = unsafe { begun(begin, (&raw const begin).addr()) };
    // SAFETY: the program passed this to thrd_create.
    let result = unsafe { std::mem::transmute::<usize, C11Start>(start)(argument) };
    ended();
    result
}

/// Records that the calling thread's start routine has returned.
fn ended() {
    if !sandbox::is_entered() {
        record_return();
    }
    timeline::thread_ends("returned");
}

/// Records the calling thread, whose stack begins at `top`, and returns what it should run.
///
/// # Safety
/// `begin` is a block of [`prepare`], which is freed.
unsafe fn begun(begin: *mut c_void, top: usize) -> (usize, *mut c_void) {
    // SAFETY: as the caller promises.
    let Begin { start, argument, starter, runs } = unsafe { begin.cast::<Begin>().read() };
    // SAFETY: it came from malloc and is no longer used.
    unsafe { libc::free(begin) };
    let restricted = sandbox::is_entered();
    if !restricted {
        record(start, starter, runs, top);
    }
    UNBORN.fetch_sub(1, Ordering::Release);
    timeline::thread_begins(starter);
    if !restricted {
        stack::give();
    }
    (start, argument)
}

/// Keeps what started the calling thread.
fn record(start: usize, starter: usize, runs: usize, top: usize) {
    let tid = process::thread_id();
    let slot = slot(tid);
    slot.tid.store(0, Ordering::Relaxed);
    slot.starter.store(starter, Ordering::Relaxed);
    slot.runs.store(runs, Ordering::Relaxed);
    slot.top.store(top, Ordering::Relaxed);
    slot.returned.store(false, Ordering::Relaxed);
    slot.start.store(start, Ordering::Release);
    slot.tid.store(tid, Ordering::Release);
}

fn record_return() {
    let tid = process::thread_id();
    let slot = slot(tid);
    if slot.tid.load(Ordering::Relaxed) == tid {
        slot.returned.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{CARRIERS, forget, is_of, is_runtime, library_of, prepare};

    #[test]
    fn knows_runtimes_by_their_files() {
        for runtime in ["/usr/lib/libstdc++.so.6", "/x/libgomp-a34b3233.so.1", "libuv.so.1", "/x/libc++.so.1"] {
            assert!(is_runtime(runtime.as_bytes()), "{runtime}");
        }
        assert!(is_of(b"/usr/lib/libstdc++.so.6", &CARRIERS) && !is_of(b"/usr/lib/libgomp.so.1", &CARRIERS));
        for other in ["/usr/lib/libc.so.6", "/x/libuvloop.so", "/libgomp/addon.so", ""] {
            assert!(!is_runtime(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn starts_threads_itself() {
        let address = starts_threads_itself as *const () as usize;
        assert!(!library_of(address).is_empty());
        assert_eq!(library_of(1), b"");
        let begin = prepare(address, std::ptr::null_mut());
        assert!(!begin.is_null());
        // SAFETY: it has just been made, and nothing else uses it.
        let (starter, runs) = unsafe { ((*begin).starter, (*begin).runs) };
        assert_eq!((starter, runs), (address, address));
        // SAFETY: no thread was started with it.
        unsafe { forget(begin) };
    }
}
