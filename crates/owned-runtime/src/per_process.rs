//! A value that a forked child makes again.
//!
//! After `fork()` the child has none of the parent's other threads, and any lock that they held is held forever. So the
//! child must not touch what the parent made. Reading the value takes no lock.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

pub(crate) struct PerProcess<T> {
    /// Never null. An entry of an earlier process is never freed.
    entry: AtomicPtr<Entry<T>>,
}

struct Entry<T> {
    fork: u64,
    value: T,
}

// SAFETY: the entry is owned, and is given out only as a shared reference.
unsafe impl<T: Send + Sync> Send for PerProcess<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for PerProcess<T> {}

impl<T> PerProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        fork::watch();
        Self { entry: AtomicPtr::new(Entry::allocate(value)) }
    }

    /// The value of this process. In a forked child, the first call makes it from the parent's value.
    pub(crate) fn get(&self, renew: impl Fn(&T) -> T) -> &T {
        let found = self.entry.load(Ordering::Acquire);
        // SAFETY: an entry that was published lives as long as `self` (see `drop`).
        let entry = unsafe { &*found };
        if entry.fork == fork::count() {
            return &entry.value;
        }
        let fresh = Entry::allocate(renew(&entry.value));
        match self.entry.compare_exchange(found, fresh, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: as above.
            Ok(_) => unsafe { &(*fresh).value },
            Err(other) => {
                // SAFETY: made here, and never published.
                drop(unsafe { Box::from_raw(fresh) });
                // SAFETY: another thread of this process published it; as above.
                unsafe { &(*other).value }
            }
        }
    }
}

impl<T> Entry<T> {
    fn allocate(value: T) -> *mut Self {
        Box::into_raw(Box::new(Self { fork: fork::count(), value }))
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let entry = *self.entry.get_mut();
        // SAFETY: it was published, and is not freed yet.
        if unsafe { (*entry).fork } == fork::count() {
            // SAFETY: nobody else has a reference, since `self` is being dropped. It came from `Box::into_raw`.
            drop(unsafe { Box::from_raw(entry) });
        }
        *self.entry.get_mut() = ptr::null_mut();
    }
}

/// How many forks led to this process. (A process id would also do, but it needs a system call each time, and may be
/// reused.)
#[cfg(all(unix, not(owned_runtime_loom)))]
mod fork {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    static COUNT: AtomicU64 = AtomicU64::new(0);
    static WATCHED: AtomicBool = AtomicBool::new(false);

    pub(super) fn count() -> u64 {
        COUNT.load(Ordering::Acquire)
    }

    /// Not a `Once`: a fork at the same time would leave it locked in the child. Two threads may both register the
    /// handler. It then counts twice, which does no harm.
    pub(super) fn watch() {
        if WATCHED.load(Ordering::Acquire) {
            return;
        }
        // SAFETY: the handler only adds to an atomic, which is allowed in a forked child. The C library forgets it when
        // it unloads this library.
        let refused = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        // Out of memory. The next call tries again.
        WATCHED.store(refused == 0, Ordering::Release);
    }

    unsafe extern "C" fn in_child() {
        COUNT.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(any(not(unix), owned_runtime_loom))]
mod fork {
    pub(super) fn count() -> u64 {
        0
    }

    pub(super) fn watch() {}
}
