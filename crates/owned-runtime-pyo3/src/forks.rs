//! Keeps tasks off the runtime's threads while the process forks.
//!
//! A forked child has a copy of each lock that another thread holds at that moment, and nobody there releases it. One of these locks
//! is that of pyo3's list of references that were dropped without the GIL: the child needs it in `os.fork()` itself.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// How long a fork waits for tasks to leave the threads. It takes that long only if a task blocks its thread.
const PAUSE_BOUND: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Forks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified at each change of `state`.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The thread that forks. Others wait for their turn, as two pauses would share the threads of a multi-thread runtime.
    forking: Option<ThreadId>,
    /// Distinguishes a pause from an earlier one, whose tasks may come late.
    pause: u64,
    /// How many threads the pause still waits for.
    awaited: usize,
    /// How many threads it holds.
    held: usize,
    /// How many stops wait for the runtime's threads, which drop their tasks meanwhile.
    stops: usize,
}

impl State {
    fn is_quiet(&self) -> bool {
        // A thread that is held can't end, so there is no stop to wait for.
        self.awaited == 0 && (self.held > 0 || self.stops == 0)
    }
}

impl Forks {
    /// Runs a stop of the runtime. A fork meanwhile waits for it.
    pub(crate) fn stopping<T>(&self, stop: impl FnOnce() -> T) -> T {
        self.0.lock().stops += 1;
        let stopped = stop();
        self.0.change(|state| state.stops -= 1);
        stopped
    }

    /// Whether a stop is under way.
    pub(crate) fn is_stopping(&self) -> bool {
        self.0.lock().stops > 0
    }

    /// Returns once no task is being polled or dropped on the runtime's `threads`, or once the bound has passed. They stay so until
    /// [`resume`](Self::resume) on this thread. Must be called without the GIL, which a task may wait for against the rules.
    pub(crate) fn pause(&self, runtime: Option<Handle>, threads: usize) {
        let deadline = Instant::now() + PAUSE_BOUND;
        let mut state = self.0.wait(deadline, self.0.lock(), |state| state.forking.is_none());
        if state.forking.is_some() {
            return;
        }
        state.forking = Some(thread::current().id());
        state.pause += 1;
        state.held = 0;
        state.awaited = if runtime.is_some() { threads } else { 0 };
        let pause = state.pause;
        drop(state);
        if let Some(runtime) = runtime {
            for _ in 0..threads {
                let awaited = Awaited { shared: self.0.clone(), pause, held: 0 };
                runtime.spawn(async move { awaited.hold() });
            }
        }
        drop(self.0.wait(deadline, self.0.lock(), State::is_quiet));
    }

    /// Lets the tasks continue that this thread has paused.
    pub(crate) fn resume(&self) {
        self.0.change(|state| {
            if state.forking == Some(thread::current().id()) {
                state.forking = None;
            }
        });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait<'a>(
        &self,
        deadline: Instant,
        mut state: MutexGuard<'a, State>,
        until: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        while !until(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }
}

/// A thread that a pause waits for. A runtime that ends drops it instead.
struct Awaited {
    shared: Arc<Shared>,
    pause: u64,
    /// How many threads it holds once it is dropped.
    held: usize,
}

impl Awaited {
    /// Blocks this thread until the pause is over.
    fn hold(mut self) {
        let (shared, pause) = (self.shared.clone(), self.pause);
        self.held = 1;
        drop(self);
        let mut state = shared.lock();
        while state.forking.is_some() && state.pause == pause {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.shared.change(|state| {
            if state.pause == self.pause {
                state.awaited -= 1;
                state.held += self.held;
            }
        });
    }
}
