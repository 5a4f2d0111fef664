//! The primitives of the lifecycle: std's, or loom's when the models are built.

#[cfg(not(owned_runtime_loom))]
pub(crate) use real::*;
#[cfg(not(owned_runtime_loom))]
mod real {
    pub(crate) use crate::thread::{current_id, Thread, ThreadId};
    pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};

    use std::sync::PoisonError;
    use std::time::{Duration, Instant};

    /// The end of one bounded wait.
    pub(crate) struct Deadline {
        pub(crate) bound: Duration,
        /// `None`: so far away that the clock can't represent it.
        at: Option<Instant>,
    }

    impl Deadline {
        pub(crate) fn after(bound: Duration) -> Self {
            Self { bound, at: Instant::now().checked_add(bound) }
        }

        /// A deadline that has passed from the start.
        pub(crate) fn now() -> Self {
            Self::after(Duration::ZERO)
        }

        pub(crate) fn has_passed(&self) -> bool {
            matches!(self.at, Some(at) if at <= Instant::now())
        }

        /// `None`: forever.
        pub(crate) fn left(&self) -> Option<Duration> {
            self.at.map(|at| at.saturating_duration_since(Instant::now()))
        }

        /// Waits for a notification or the deadline. May wake up for no reason.
        pub(crate) fn wait<'a, T>(&self, changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            match self.left() {
                None => changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
                Some(left) => changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0,
            }
        }
    }
}

#[cfg(owned_runtime_loom)]
pub(crate) use model::*;
#[cfg(owned_runtime_loom)]
mod model {
    pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(crate) use loom::thread::ThreadId;

    use loom::sync::atomic::{AtomicBool, Ordering};
    use loom::thread;
    use std::io;
    use std::sync::PoisonError;
    use std::time::Duration;

    pub(crate) fn current_id() -> ThreadId {
        thread::current().id()
    }

    /// Like the real one, but without a bound on its last steps, since loom's threads have none after their body.
    pub(crate) struct Thread(thread::JoinHandle<()>);

    impl Thread {
        pub(crate) fn spawn<G: Send + 'static>(
            name: &str,
            guard: G,
            body: impl FnOnce() + Send + 'static,
        ) -> io::Result<Self> {
            let body = move || {
                let _at_end = guard;
                body();
            };
            thread::Builder::new().name(name.to_owned()).spawn(body).map(Self)
        }

        pub(crate) fn id(&self) -> ThreadId {
            self.0.thread().id()
        }

        pub(crate) fn join_by(self, _deadline: &Deadline) -> Result<Option<String>, Self> {
            // A panic has failed the model already.
            drop(self.0.join());
            Ok(None)
        }
    }

    /// A deadline that passes when a thread of the model says so, since loom has no clock. As loom
    /// tries every moment for that, both branches of each bounded wait are explored.
    #[derive(Clone)]
    pub(crate) struct Deadline {
        pub(crate) bound: Duration,
        passed: Arc<AtomicBool>,
    }

    impl Deadline {
        /// Never passes, unless [`pass`](Self::pass) is called.
        pub(crate) fn new() -> Self {
            Self { bound: Duration::from_secs(5), passed: Arc::new(AtomicBool::new(false)) }
        }

        pub(crate) fn now() -> Self {
            let deadline = Self::new();
            deadline.pass();
            deadline
        }

        /// Must be called with the lock held that the waiters wait with. Notify them afterwards.
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
