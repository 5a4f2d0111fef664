//! Two threads write one number, and nothing orders them.

use std::cell::UnsafeCell;
use std::thread;

struct Unordered(UnsafeCell<u32>);

// SAFETY: there is none. That is what this program is for.
unsafe impl Sync for Unordered {}

static NUMBER: Unordered = Unordered(UnsafeCell::new(0));

fn count() {
    for _ in 0..1000 {
        // SAFETY: none, as above.
        unsafe { NUMBER.0.get().write_volatile(NUMBER.0.get().read_volatile() + 1) };
    }
}

fn main() {
    let other = thread::spawn(count);
    count();
    let _ = other.join();
}
