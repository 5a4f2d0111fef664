use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;

use crate::lifecycle::{Lifecycle, Remote};
use crate::sync::Deadline;
use crate::{StartError, StopError};

const DEFAULT_STOP_BOUND: Duration = Duration::from_secs(5);

/// A current-thread tokio runtime on one named thread, which ends when its owner says so.
///
/// Nothing runs before the first [`start`](Self::start) or [`spawn`](Self::spawn), and nothing is
/// left after [`stop`](Self::stop) or the drop. All methods can be called from any thread; share
/// the value by reference or in an `Arc`. See the [crate documentation](crate) for where to keep it
/// and what tasks must not do.
pub struct OwnedRuntime {
    lifecycle: Lifecycle<TokioRemote>,
    stop_bound: Duration,
}

impl OwnedRuntime {
    /// Makes a runtime whose threads will bear this name; starts nothing.
    ///
    /// Linux shows the first 15 bytes of a thread's name. NUL bytes are left out.
    pub fn new(thread_name: impl Into<String>) -> Self {
        let name = thread_name.into().replace('\0', "");
        Self { lifecycle: Lifecycle::new(name), stop_bound: DEFAULT_STOP_BOUND }
    }

    /// Sets how long [`stop`](Self::stop) waits for the thread to end; 5 s unless set.
    #[must_use]
    pub fn with_stop_bound(mut self, bound: Duration) -> Self {
        self.stop_bound = bound;
        self
    }

    /// Starts the runtime unless it runs, and returns a handle to it.
    ///
    /// While a stop is under way, waits for its end (for as long as the stop bound), and then
    /// starts afresh. So a returned handle is never one of a runtime that had been told to stop
    /// before the call.
    ///
    /// Don't keep the handle longer than the runtime runs: a task spawned after the stop is dropped
    /// at once, and a timer made then panics.
    pub fn start(&self) -> Result<Handle, StartError> {
        let name = self.lifecycle.name();
        let remote = self.lifecycle.start(&self.deadline(), || TokioRemote::launch(name))?;
        Ok(remote.handle)
    }

    /// Spawns a task, after starting the runtime if need be.
    ///
    /// A task that panics ends alone. A stop drops the task wherever it waits.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Result<(), StartError> {
        self.start()?.spawn(task);
        Ok(())
    }

    /// Ends the runtime and returns once its thread is gone.
    ///
    /// Tells the thread to end, which drops every task, waits for calls on the blocking pool, and
    /// ends; then joins it. Does nothing if nothing runs. Several threads may stop at once: all
    /// return after the thread is gone. A start from another thread may follow at once, so that the
    /// runtime runs again by the time this returns.
    ///
    /// # Errors
    ///
    /// - [`StopError::Overdue`] if the thread doesn't end within the bound. It keeps the order to
    ///   end, and this method can be called again to wait again. Until one such call succeeds, the
    ///   runtime doesn't start again.
    /// - [`StopError::OwnThread`] if called by a task or on the runtime's blocking pool. Nothing
    ///   was stopped.
    /// - [`StopError::Panicked`] if the thread is gone, but through a panic outside every task.
    pub fn stop(&self) -> Result<(), StopError> {
        self.lifecycle.stop(&self.deadline())
    }

    /// Whether the runtime has been started and neither told to stop nor ended by itself.
    pub fn is_running(&self) -> bool {
        self.lifecycle.is_running()
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.stop_bound)
    }
}

/// Stops the runtime. What [`stop`](OwnedRuntime::stop) would return as an error is written to
/// stderr; on one of the runtime's own threads, it is told to end and nobody waits for it.
impl Drop for OwnedRuntime {
    fn drop(&mut self) {
        let Err(error) = self.stop() else { return };
        let fate = if matches!(error, StopError::OwnThread { .. }) {
            self.lifecycle.abandon();
            " (dropped there: told to end, but nobody waits for it)"
        } else {
            ""
        };
        // Not eprintln, which panics if stderr is closed.
        let _ = writeln!(io::stderr(), "owned-runtime: {error}{fate}");
    }
}

impl fmt::Debug for OwnedRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedRuntime")
            .field("thread_name", &self.lifecycle.name())
            .field("is_running", &self.is_running())
            .field("stop_bound", &self.stop_bound)
            .finish()
    }
}

#[derive(Clone)]
struct TokioRemote {
    handle: Handle,
    shutdown: Arc<Notify>,
    pool: Pool,
}

impl TokioRemote {
    fn launch(name: &str) -> io::Result<(Self, impl FnOnce() + Send + 'static)> {
        let pool = Pool::default();
        let (starting, stopping) = (pool.clone(), pool.clone());
        let runtime = Builder::new_current_thread()
            .enable_all()
            .thread_name(name)
            .on_thread_start(move || {
                starting.lock().insert(thread::current().id());
            })
            .on_thread_stop(move || {
                stopping.lock().remove(&thread::current().id());
            })
            .build()?;
        let handle = runtime.handle().clone();
        let shutdown = Arc::new(Notify::new());
        let unstarted = Unstarted(Some(runtime));
        let signal = shutdown.clone();
        let body = move || {
            let Some(runtime) = unstarted.into_inner() else { return };
            runtime.block_on(signal.notified());
            // Drops the tasks first and waits for the blocking pool then, so that calls which wait
            // for a task end. (shutdown_timeout has it the other way round, and leaves threads
            // behind.) The bound is the waiting stop's.
            drop(runtime);
        };
        Ok((Self { handle, shutdown, pool }, body))
    }
}

impl Remote for TokioRemote {
    fn tell_to_end(&self) {
        self.shutdown.notify_one();
    }

    fn is_helper_thread(&self) -> bool {
        self.pool.lock().contains(&thread::current().id())
    }
}

/// The threads of the blocking pool.
#[derive(Clone, Default)]
struct Pool(Arc<Mutex<HashSet<ThreadId>>>);

impl Pool {
    fn lock(&self) -> MutexGuard<'_, HashSet<ThreadId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A runtime that its thread has not taken yet. If the thread can't be had, it is dropped by the
/// caller of start, perhaps inside another runtime, where a plain drop would panic.
struct Unstarted(Option<Runtime>);

impl Unstarted {
    fn into_inner(mut self) -> Option<Runtime> {
        self.0.take()
    }
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_gets_no_thread_may_be_dropped_inside_another_runtime() {
        let outer = Builder::new_current_thread().build().unwrap();
        outer.block_on(async {
            let (_remote, body) = TokioRemote::launch("unstarted").unwrap();
            drop(body);
        });
    }
}
