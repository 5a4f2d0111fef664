//! The runtime of one env.

use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use napi::{Error, Result};
use owned_runtime::{OwnedRuntime, StartError, StopError};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use crate::queue::Queue;
use crate::submissions::{Submissions, Submitted};

/// The runtime of one env, and its queue to JavaScript. [`install`](fn@crate::install) makes it.
pub struct EnvRuntime {
    runtime: OwnedRuntime,
    queue: Queue,
    submissions: Submissions,
    /// Whether a close has waited for its threads until its bound passed.
    overdue: Mutex<bool>,
    /// Whether the env or the process is ending. An addon may close the runtime before that.
    ends: AtomicBool,
    process_ends: AtomicBool,
}

impl EnvRuntime {
    pub(crate) fn new(runtime: OwnedRuntime, queue: Queue) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            queue,
            submissions: Submissions::default(),
            overdue: Mutex::new(false),
            ends: AtomicBool::new(false),
            process_ends: AtomicBool::new(false),
        })
    }

    /// The runtime itself. It may be stopped between two uses, to end its thread. The next start brings it back. A stop rejects
    /// the promises of calls that are under way, and ends streams.
    ///
    /// The env's end closes it. If the addon closes it before that, each later call is rejected or throws.
    pub fn runtime(&self) -> &OwnedRuntime {
        &self.runtime
    }

    /// Whether nothing starts any more: the env or the process is ending, or the addon closed the runtime.
    pub fn is_closed(&self) -> bool {
        self.runtime.is_closed()
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// First stops the callbacks, then the threads. Waits for the whole bound, whatever an earlier close found: the
    /// caller is about to free what they use.
    pub(crate) fn close(self: &Arc<Self>) {
        self.close_within(self.runtime.stop_bound());
    }

    /// For the end of the process, while JavaScript may still run on the env's own thread. It is the first part of
    /// [`close_with_process`](Self::close_with_process), without the wait. If it returns true, that must follow.
    #[cfg(unix)]
    pub(crate) fn ask_to_end(&self) -> bool {
        // Before the tasks are dropped, which must not reject what JavaScript still waits for.
        self.process_ends.store(true, Ordering::Release);
        self.left_after(Duration::ZERO).is_some()
    }

    /// For the end of the process. The bound begins with `asked`. Where it has passed once, it isn't waited for again.
    pub(crate) fn close_with_process(self: &Arc<Self>, asked: Instant) {
        self.process_ends.store(true, Ordering::Release);
        let bound =
            if *self.overdue() { Duration::ZERO } else { self.runtime.stop_bound().saturating_sub(asked.elapsed()) };
        self.close_within(bound);
    }

    fn close_within(self: &Arc<Self>, bound: Duration) {
        let Some(thread) = self.left_after(bound) else { return };
        // Held until the message is written: the process may end as soon as another thread finds the runtime overdue.
        let mut overdue = self.overdue();
        if mem::replace(&mut overdue, true) {
            return;
        }
        // The message has the given bound. What was left of it when this wait began says nothing.
        report(&StopError::Overdue { thread, bound: self.runtime.stop_bound() });
        // Dropping it would wait once more.
        mem::forget(self.clone());
    }

    fn overdue(&self) -> MutexGuard<'_, bool> {
        self.overdue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes it, and returns the name of its threads if they still exist by then. Other errors are reported.
    fn left_after(&self, bound: Duration) -> Option<String> {
        self.ends.store(true, Ordering::Release);
        if self.process_ends() {
            self.queue.abandon();
        } else {
            self.queue.close();
        }
        self.submissions.close();
        match self.runtime.close_within(bound) {
            Ok(()) => None,
            Err(StopError::Overdue { thread, .. }) => Some(thread),
            Err(error) => {
                report(&error);
                None
            }
        }
    }

    /// The handle of the runtime, which is started unless it is running. `None` once the env ends.
    ///
    /// # Errors
    ///
    /// If the runtime can't start.
    pub(crate) fn start(&self) -> Result<Option<Handle>> {
        self.unless_ended(self.runtime.start())
    }

    /// The way for calls to the runtime, which is started unless it is running. `None` once the env ends.
    ///
    /// # Errors
    ///
    /// If the runtime can't start.
    pub(crate) fn submissions(&self) -> Result<Option<UnboundedSender<Submitted>>> {
        self.unless_ended(self.submissions.open(|| self.runtime.start()))
    }

    fn unless_ended<T>(&self, started: std::result::Result<T, StartError>) -> Result<Option<T>> {
        match started {
            Ok(started) => Ok(Some(started)),
            Err(_) if self.ends() => Ok(None),
            Err(error) => Err(start_error(&error)),
        }
    }

    /// Whether the env or the process is ending. Nobody is left to handle a result then.
    pub(crate) fn ends(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }

    /// Whether something that is dropped unfinished must not be rejected, as JavaScript that still runs would report
    /// that, and must not run napi's code.
    pub(crate) fn process_ends(&self) -> bool {
        self.process_ends.load(Ordering::Acquire)
    }
}

pub(crate) fn start_error(error: &StartError) -> Error {
    Error::from_reason(error.to_string())
}

fn report(error: &StopError) {
    // In one piece. Not eprintln, which panics if stderr is closed.
    let _ = io::stderr().write_all(format!("owned-runtime-napi: {error}\n").as_bytes());
}
