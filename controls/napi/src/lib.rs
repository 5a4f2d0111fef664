//! A deliberately bad Node addon: the control of the shutdown tester. Each function has one of the bugs that native
//! addons are known for. Never do this.

use std::ffi::c_void;
use std::hint::black_box;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::thread;
use std::time::Duration;

use napi::{Env, Error, Result, check_status, sys};
use napi_derive::napi;
use tokio::runtime::Runtime;

/// What a C++ library would keep in a static variable and free in its destructor.
static TABLE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
const TABLE_BYTES: usize = 4096;
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// A static runtime that is never stopped. Its task works every 5 ms on data that a static destructor frees.
#[napi]
pub fn static_runtime() -> Result<()> {
    // SAFETY: a new private mapping of its own; and a plain registration of a function.
    let table = unsafe {
        libc::atexit(free_table);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(ptr::null_mut(), TABLE_BYTES, access, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    if table == libc::MAP_FAILED {
        return Err(Error::from_reason("mmap failed"));
    }
    TABLE.store(table.cast(), Ordering::SeqCst);
    let runtime = Runtime::new().map_err(|error| Error::from_reason(error.to_string()))?;
    RUNTIME.get_or_init(|| runtime).spawn(async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            // SAFETY: none: this is the bug. Once the process exits, the table is gone.
            unsafe { TABLE.load(Ordering::SeqCst).write_volatile(1) };
        }
    });
    Ok(())
}

extern "C" fn free_table() {
    // SAFETY: none: the runtime still uses it, which is the bug.
    unsafe { libc::munmap(TABLE.load(Ordering::SeqCst).cast(), TABLE_BYTES) };
}

static TORN_DOWN: AtomicBool = AtomicBool::new(false);

/// A thread that calls Node-API with its env, a few milliseconds after the env has gone.
#[napi]
pub fn late_callback(env: Env) -> Result<()> {
    let raw = env.raw() as usize;
    // SAFETY: the env is the calling one, and the hook needs no data.
    check_status!(unsafe { sys::napi_add_env_cleanup_hook(env.raw(), Some(torn_down), ptr::null_mut()) })?;
    thread::Builder::new().name("late-callback".into()).spawn(move || {
        while !TORN_DOWN.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(10));
        let mut object = ptr::null_mut();
        // SAFETY: none: neither the thread nor the time allows it, which is the bug.
        unsafe { sys::napi_create_object(raw as sys::napi_env, &mut object) };
    })?;
    Ok(())
}

extern "C" fn torn_down(_: *mut c_void) {
    TORN_DOWN.store(true, Ordering::SeqCst);
}

/// At the env's end, a thread is joined that waits for a message that nothing sends any more.
#[napi]
pub fn hang_at_join(env: Env) -> Result<()> {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let waiting = thread::Builder::new().name("hang-at-join".into()).spawn(move || {
        let _ = receive.recv();
    })?;
    let both = Box::into_raw(Box::new((send, waiting)));
    // SAFETY: the env is the calling one, and the hook takes ownership of the box.
    check_status!(unsafe { sys::napi_add_env_cleanup_hook(env.raw(), Some(join), both.cast()) })
}

type Waiting = (std::sync::mpsc::Sender<()>, thread::JoinHandle<()>);

extern "C" fn join(both: *mut c_void) {
    // SAFETY: made by `hang_at_join` for this hook, which runs once.
    let (_send, waiting) = *unsafe { Box::from_raw(both.cast::<Waiting>()) };
    let _ = waiting.join();
}

/// A thread that nothing joins: the exit is clean, and the thread is still there.
#[napi]
pub fn leaked_thread() -> Result<()> {
    thread::Builder::new().name("leaked-thread".into()).spawn(|| {
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    })?;
    Ok(())
}

/// Reads memory that it has freed, which usually goes unnoticed: for valgrind and AddressSanitizer.
#[napi]
pub fn use_after_free() -> u32 {
    let four = black_box(Box::new([7u32; 4]));
    let first = four.as_ptr();
    drop(four);
    // SAFETY: none: the box is gone, which is the bug.
    unsafe { black_box(first).read_volatile() }
}

/// Loses memory for good: for the leak checks of valgrind and AddressSanitizer.
#[napi]
pub fn lose_memory() {
    // More than one, as a register or the stack may still hold the last.
    for _ in 0..16 {
        Box::leak(black_box(vec![7u8; 1000].into_boxed_slice()));
    }
}
