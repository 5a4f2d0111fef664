//! The primitives of the lifecycle: std's, or loom's when the models are built.

#[cfg(not(owned_runtime_loom))]
pub(crate) use real::*;
#[cfg(not(owned_runtime_loom))]
mod real {
    pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(crate) use std::thread;

    use std::sync::PoisonError;
    use std::time::{Duration, Instant};

    /// The end of one bounded wait.
    pub(crate) struct Deadline {
        pub(crate) bound: Duration,
        /// None: so far away that the clock can't say it.
        at: Option<Instant>,
    }

    impl Deadline {
        pub(crate) fn after(bound: Duration) -> Self {
            Self { bound, at: Instant::now().checked_add(bound) }
        }

        pub(crate) fn has_passed(&self) -> bool {
            self.at.is_some_and(|at| at <= Instant::now())
        }

        /// Waits for a notification or the deadline. May wake up for no reason.
        pub(crate) fn wait<'a, T>(&self, changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            match self.at {
                None => changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
                }
            }
        }
    }
}

#[cfg(owned_runtime_loom)]
pub(crate) use model::*;
#[cfg(owned_runtime_loom)]
mod model {
    pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(crate) use loom::thread;

    use loom::sync::atomic::{AtomicBool, Ordering};
    use std::sync::PoisonError;
    use std::time::Duration;

    /// A deadline that passes when a thread of the model says so, since loom has no clock. As loom
    /// tries every moment for that, both branches of each bounded wait are explored.
    #[derive(Clone)]
    pub(crate) struct Deadline {
        pub(crate) bound: Duration,
        passed: Arc<AtomicBool>,
    }

    impl Deadline {
        /// Passes never, unless [`pass`](Self::pass) is called.
        pub(crate) fn new() -> Self {
            Self { bound: Duration::from_secs(5), passed: Arc::new(AtomicBool::new(false)) }
        }

        /// To be called with the lock held that the waiters wait with; notify them afterwards.
        pub(crate) fn pass(&self) {
            self.passed.store(true, Ordering::Relaxed);
        }

        pub(crate) fn has_passed(&self) -> bool {
            self.passed.load(Ordering::Relaxed)
        }

        pub(crate) fn wait<'a, T>(&self, changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
        }
    }
}
