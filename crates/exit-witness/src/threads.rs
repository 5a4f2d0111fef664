//! Who started a thread: `pthread_create` notes the address of each thread's start routine.

use std::ffi::c_void;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

use preload::{Next, call_next, process};

use crate::channel;

/// May be unwound by `pthread_exit` and cancellation.
type Start = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;

static CREATE: Next = Next::new(c"pthread_create");

/// Power of two; a thread whose number falls on another's slot takes its place.
const SLOTS: usize = 4096;

struct Slot {
    tid: AtomicI32,
    start: AtomicUsize,
    argument: AtomicUsize,
}

static STARTS: [Slot; SLOTS] =
    [const { Slot { tid: AtomicI32::new(0), start: AtomicUsize::new(0), argument: AtomicUsize::new(0) } }; SLOTS];

/// Threads that were created and have not run yet: the kernel has them, and nobody noted their start.
static UNBORN: AtomicUsize = AtomicUsize::new(0);

static WAITS_LEFT: AtomicU32 = AtomicU32::new(1000);
static WAIT: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// Waits until all threads have noted their start, for about 1 s at most in all: on a busy
/// machine a new thread may have no turn for 100 ms.
pub fn settle() {
    while UNBORN.load(Ordering::Acquire) > 0 && WAITS_LEFT.load(Ordering::Relaxed) > 0 {
        WAITS_LEFT.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the time is valid, and what is left of it isn't asked for.
        unsafe { libc::nanosleep(&raw const WAIT, std::ptr::null_mut()) };
    }
}

fn slot(tid: i32) -> &'static Slot {
    &STARTS[tid as usize & (SLOTS - 1)]
}

/// The start routine of a live thread and its argument, if they were seen.
pub fn start_of(tid: i32) -> Option<(usize, usize)> {
    let slot = slot(tid);
    (slot.tid.load(Ordering::Acquire) == tid)
        .then(|| (slot.start.load(Ordering::Relaxed), slot.argument.load(Ordering::Relaxed)))
}

/// The word at an address; 0 where nothing can be read. The thread whose it is runs on, and may have freed it.
pub fn word_at(address: usize) -> usize {
    let mut word = 0_usize;
    let to = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: size_of::<usize>() };
    let from = libc::iovec { iov_base: address as *mut c_void, iov_len: size_of::<usize>() };
    // SAFETY: `to` is valid for writes, and the kernel checks what it reads from.
    let read = unsafe { libc::process_vm_readv(process::id(), &raw const to, 1, &raw const from, 1, 0) };
    if read == size_of::<usize>() as isize { word } else { 0 }
}

struct Begin {
    start: Start,
    argument: *mut c_void,
}

/// Stands in front of the C library's `pthread_create`.
///
/// # Safety
/// As for `pthread_create`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> i32 {
    if channel::fd() < 0 {
        return call_next!(CREATE(
            thread: *mut libc::pthread_t, attributes: *const libc::pthread_attr_t, start: Start, argument: *mut c_void
        ) -> i32);
    }
    // SAFETY: malloc may be called with any size.
    let begin = unsafe { libc::malloc(size_of::<Begin>()) }.cast::<Begin>();
    if begin.is_null() {
        return libc::EAGAIN;
    }
    // SAFETY: malloc's memory is big enough and aligned for any type of the language.
    unsafe { begin.write(Begin { start, argument }) };
    UNBORN.fetch_add(1, Ordering::Relaxed);
    // `first_frame` frees what it gets; the rest are the caller's arguments.
    let (start, argument) = (first_frame as Start, begin.cast::<c_void>());
    let result = call_next!(CREATE(
        thread: *mut libc::pthread_t, attributes: *const libc::pthread_attr_t, start: Start, argument: *mut c_void
    ) -> i32);
    if result != 0 {
        UNBORN.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: no thread was started, so nobody else has it.
        unsafe { libc::free(begin.cast()) };
    }
    result
}

/// Nothing here has a destructor, so that the forced unwinding of `pthread_exit` passes through.
unsafe extern "C-unwind" fn first_frame(begin: *mut c_void) -> *mut c_void {
    // SAFETY: pthread_create above gives its own block away.
    let Begin { start, argument } = unsafe { begin.cast::<Begin>().read() };
    // SAFETY: it came from malloc and is no longer used.
    unsafe { libc::free(begin) };
    let tid = process::thread_id();
    let slot = slot(tid);
    slot.tid.store(0, Ordering::Relaxed);
    slot.argument.store(argument as usize, Ordering::Relaxed);
    slot.start.store(start as *const () as usize, Ordering::Release);
    slot.tid.store(tid, Ordering::Release);
    UNBORN.fetch_sub(1, Ordering::Release);
    // SAFETY: what the program asked pthread_create for.
    unsafe { start(argument) }
}
