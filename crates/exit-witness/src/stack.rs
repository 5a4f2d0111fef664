//! A separate stack for the crash handler in each thread: a thread that has run out of stack has none left to run a
//! handler on. A thread that already has such a stack keeps it, and a thread that installs another one uses that.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use preload::sandbox;

/// In bytes. It has room for several of the kernel's frames with all registers of any machine, and for a program's own
/// handler that relies on SA_ONSTACK.
const SIZE: usize = 64 * 1024;

/// Key of the threads' stacks. Its destructor releases a stack when its thread ends, however the thread ends.
static KEY: AtomicU32 = AtomicU32::new(0);
static HAS_KEY: AtomicBool = AtomicBool::new(false);

/// Gives the main thread its stack. Must be called before the program has other threads.
pub fn install() {
    let mut key = 0;
    // SAFETY: `key` is valid for writes, and `give_back` takes what `give` stores.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(give_back)) } != 0 {
        return;
    }
    KEY.store(key, Ordering::Relaxed);
    HAS_KEY.store(true, Ordering::Release);
    give();
}

/// Gives the calling thread its stack, unless it has one. If memory is short, the thread does without.
pub fn give() {
    if !HAS_KEY.load(Ordering::Acquire) || current().ss_flags & libc::SS_DISABLE == 0 {
        return;
    }
    // SAFETY: a new mapping, wherever the kernel likes.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            SIZE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return;
    }
    let stack = libc::stack_t { ss_sp: memory, ss_flags: 0, ss_size: SIZE };
    // SAFETY: the mapping has that length, and stays until `give_back` has taken it out of use.
    unsafe {
        libc::sigaltstack(&raw const stack, std::ptr::null_mut());
        libc::pthread_setspecific(KEY.load(Ordering::Relaxed), memory);
    }
}

/// Other destructors of thread-local data may restore this stack if it was in use when they began. So it is released as
/// late as possible: in the last round of destructors.
unsafe extern "C" fn give_back(memory: *mut c_void) {
    thread_local! {
        static ROUND: std::cell::Cell<u8> = const { std::cell::Cell::new(1) };
    }
    let round = ROUND.get();
    if round < LAST_ROUND {
        ROUND.set(round + 1);
        // SAFETY: the key exists, and the value is its own.
        unsafe { libc::pthread_setspecific(KEY.load(Ordering::Relaxed), memory) };
        return;
    }
    // If something else has taken the stack out of use, as AddressSanitizer does, it has also unmapped it.
    if sandbox::is_entered() || current().ss_sp != memory {
        return;
    }
    let none = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
    // SAFETY: only a stack that is out of use is unmapped. It isn't out of use while a handler runs on it.
    unsafe {
        if libc::sigaltstack(&raw const none, std::ptr::null_mut()) == 0 {
            libc::munmap(memory, SIZE);
        }
    }
}

/// glibc's PTHREAD_DESTRUCTOR_ITERATIONS.
const LAST_ROUND: u8 = 4;

fn current() -> libc::stack_t {
    // SAFETY: all zeros is a valid stack_t, and the call only fills it.
    unsafe {
        let mut now = MaybeUninit::<libc::stack_t>::zeroed().assume_init();
        libc::sigaltstack(std::ptr::null(), &raw mut now);
        now
    }
}

/// Whether a fault at this address means that the stack is exhausted: the address is near the stack pointer, and memory
/// there that the thread may use doesn't fault. Frames are pushed below the pointer, where the red zone is, too; large
/// frames are touched above it. A thread that jumped into its stack, where no code may be, faults at the address of its code.
pub fn is_at_end(fault: usize, stack_pointer: usize, code: usize) -> bool {
    const BELOW: usize = 256;
    const ABOVE: usize = 64 * 1024;
    stack_pointer != 0
        && fault != code
        && (stack_pointer.saturating_sub(BELOW)..stack_pointer.saturating_add(ABOVE)).contains(&fault)
}

#[cfg(test)]
mod tests {
    use super::is_at_end;

    #[test]
    fn knows_the_end_of_a_stack() {
        let pointer = 0x7fff_0000_1000;
        let code = 0x5555_0000_1000;
        for fault in [pointer - 8, pointer, pointer + 4096] {
            assert!(is_at_end(fault, pointer, code), "{fault:#x}");
            assert!(!is_at_end(fault, pointer, fault), "a jump to {fault:#x}");
        }
        for fault in [0, 0x10, pointer - 4096, pointer + 0x20_0000] {
            assert!(!is_at_end(fault, pointer, code), "{fault:#x}");
        }
        assert!(!is_at_end(8, 0, code));
    }
}
