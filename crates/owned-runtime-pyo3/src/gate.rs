//! Which threads are inside this crate's functions with Python available, so that the interpreter's end can wait for
//! them.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Up to Python 3.13, a daemon thread that requests the GIL while the interpreter finalizes is unwound by force. Rust
/// frames on its stack turn that into an abort. So the end waits until no thread has frames of this crate that hold or
/// want the GIL, and lets none in afterwards.
///
/// It uses one atomic and no lock, as it must also work in a forked child.
#[derive(Debug)]
pub(crate) struct Gate(AtomicUsize);

const SHUT: usize = 1 << (usize::BITS - 1);

thread_local! {
    /// How many times this thread is inside.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

impl Gate {
    pub(crate) const fn new(shut: bool) -> Self {
        Self(AtomicUsize::new(if shut { SHUT } else { 0 }))
    }

    /// `None` once the gate is shut.
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        if self.0.fetch_add(1, Ordering::SeqCst) & SHUT != 0 {
            self.0.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Some(Inside(self))
    }

    pub(crate) fn shut(&self) {
        self.0.fetch_or(SHUT, Ordering::SeqCst);
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.0.load(Ordering::SeqCst) & SHUT != 0
    }

    /// Waits until no other thread is inside. Must be called without the GIL. False when the bound has passed.
    pub(crate) fn wait_for_others(&self, bound: Duration) -> bool {
        let own = DEPTH.with(Cell::get);
        let begin = Instant::now();
        while self.0.load(Ordering::SeqCst) & !SHUT > own {
            if begin.elapsed() >= bound {
                return false;
            }
            thread::sleep(Duration::from_micros(200));
        }
        true
    }
}

/// Leaves when it is dropped.
#[derive(Debug)]
pub(crate) struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
        self.0 .0.fetch_sub(1, Ordering::SeqCst);
    }
}
