use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::sync::{mpsc, Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;

use crate::lifecycle::{Lifecycle, Remote};
use crate::panic::{catch, CatchPanic};
use crate::stopping::{Drain, Stopping};
use crate::sync::Deadline;
use crate::{BlockOnError, StartError, StopError};

const DEFAULT_STOP_BOUND: Duration = Duration::from_secs(5);

/// A tokio runtime on named threads that ends when its owner stops it.
///
/// Nothing runs before the first [`start`](Self::start) or [`spawn`](Self::spawn), and nothing is
/// left after [`stop`](Self::stop), [`close`](Self::close) or the drop. All methods can be called
/// from any thread; share the value by reference, in an `Arc` or in a static. See the [crate
/// documentation](crate) for who closes it and what tasks must not do.
///
/// Unless [`with_worker_threads`](Self::with_worker_threads) is called it is a current-thread
/// runtime: one thread, which suits an addon whose tasks wait for sockets and timers.
pub struct OwnedRuntime {
    lifecycle: Lifecycle<TokioRemote>,
    config: Config,
}

#[derive(Clone, Debug)]
struct Config {
    worker_threads: usize,
    max_blocking_threads: Option<usize>,
    stop_bound: Duration,
    drain_bound: Duration,
}

impl OwnedRuntime {
    /// Makes a runtime whose threads will have this name. It starts nothing.
    ///
    /// Linux shows the first 15 bytes of a thread's name. NUL bytes are left out.
    pub fn new(thread_name: impl Into<String>) -> Self {
        let name = thread_name.into().replace('\0', "");
        let config = Config {
            worker_threads: 0,
            max_blocking_threads: None,
            stop_bound: DEFAULT_STOP_BOUND,
            drain_bound: Duration::ZERO,
        };
        Self { lifecycle: Lifecycle::new(name), config }
    }

    /// Sets how many worker threads poll the tasks, for tasks that compute. With 0, the default, the
    /// runtime's one thread does.
    #[cfg(feature = "multi-thread")]
    #[must_use]
    pub fn with_worker_threads(mut self, threads: usize) -> Self {
        self.config.worker_threads = threads;
        self
    }

    /// Sets how many threads [`spawn_blocking`](tokio::runtime::Handle::spawn_blocking) may have, at least 1. The
    /// default is tokio's, 512.
    #[must_use]
    pub fn with_max_blocking_threads(mut self, threads: usize) -> Self {
        self.config.max_blocking_threads = Some(threads.max(1));
        self
    }

    /// Sets how long [`stop`](Self::stop) and [`close`](Self::close) wait for the threads to end. The default is 5 s.
    /// It includes the drain bound.
    #[must_use]
    pub fn with_stop_bound(mut self, bound: Duration) -> Self {
        self.config.stop_bound = bound;
        self
    }

    /// How long [`stop`](Self::stop) and [`close`](Self::close) wait.
    pub fn stop_bound(&self) -> Duration {
        self.config.stop_bound
    }

    /// Sets how long tasks that hold [`stopping`](Self::stopping) may continue once a stop has begun. By default they
    /// don't. Keep it well below the stop bound.
    #[must_use]
    pub fn with_drain_bound(mut self, bound: Duration) -> Self {
        self.config.drain_bound = bound;
        self
    }

    /// Starts the runtime unless it already runs, and returns a handle to it.
    ///
    /// It never waits for a stop: while one is under way, a new thread starts. So it may be called with any lock held,
    /// including Python's GIL. The handle never belongs to a runtime that had been asked to stop before the call, with
    /// one exception: on the runtime's own threads it is always their own runtime's, and what is spawned on it after
    /// the stop is dropped.
    ///
    /// Don't keep the handle longer than the runtime runs: a task spawned after the stop is dropped
    /// at once, and a timer made then panics.
    ///
    /// # Errors
    ///
    /// - [`StartError::Closed`] after [`close`](Self::close), at once and forever.
    /// - [`StartError::Overdue`] while a thread still runs that an earlier stop could not join within its bound.
    /// - [`StartError::System`] if the system refuses the thread.
    /// - [`StartError::Ended`] if the thread ended by a panic outside every task.
    pub fn start(&self) -> Result<Handle, StartError> {
        Ok(self.remote()?.handle)
    }

    /// Spawns a task, and starts the runtime first if necessary. Never waits.
    ///
    /// A task that panics ends only itself. A stop drops the task wherever it waits. For a task's value or to abort it,
    /// use [`start`](Self::start) and the handle's own `spawn`.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start). The task is dropped then.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Result<(), StartError> {
        self.start()?.spawn(task);
        Ok(())
    }

    /// Runs a future as a task of the runtime, which it starts if necessary, and waits for its value on the calling
    /// thread.
    ///
    /// It returns an error when the runtime is stopped or closed meanwhile, where a [`Handle::block_on`] would panic or
    /// wait forever. It waits for as long as the future takes, so hold nothing that the future needs, and release
    /// Python's GIL around it.
    ///
    /// # Errors
    ///
    /// - [`BlockOnError::Start`] with the error of [`start`](Self::start).
    /// - [`BlockOnError::Stopped`] if the runtime stopped first, [`BlockOnError::Panicked`] if the future panicked.
    /// - [`BlockOnError::OwnThread`] if called by a task or on the runtime's blocking pool.
    pub fn block_on<F>(&self, future: F) -> Result<F::Output, BlockOnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let thread = || self.lifecycle.name().to_owned();
        if self.lifecycle.is_own_thread() {
            return Err(BlockOnError::OwnThread { thread: thread() });
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        self.spawn(async move {
            // Only its receiver's thread can be gone.
            let _ = sender.send(CatchPanic::new(future).await);
        })?;
        match receiver.recv() {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(message)) => Err(BlockOnError::Panicked { thread: thread(), message }),
            Err(mpsc::RecvError) => Err(BlockOnError::Stopped { thread: thread() }),
        }
    }

    /// Returns the running runtime's signal for tasks that want to end cleanly, and starts the runtime if necessary. It
    /// has an effect only together with [`with_drain_bound`](Self::with_drain_bound).
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start).
    pub fn stopping(&self) -> Result<Stopping, StartError> {
        Ok(self.remote()?.drain.signal())
    }

    /// Ends the runtime and returns once its threads are gone, including their thread-local destructors. It can start
    /// again.
    ///
    /// Asks the thread to end, which lets the holders of [`stopping`](Self::stopping) continue for the drain bound,
    /// drops every task, waits for calls on the blocking pool, and ends; then joins it. Does nothing if nothing runs.
    /// Several threads may stop at once: all return after the thread is gone. A start from another thread may follow at
    /// once, so that the runtime is running again by the time this returns.
    ///
    /// It waits, so hold nothing that the runtime's threads may need to end: no lock that a task takes, and not
    /// Python's GIL if any task, its drop or a thread-local destructor asks for it.
    ///
    /// # Errors
    ///
    /// - [`StopError::Overdue`] if a thread isn't gone within the bound. It keeps the order to end, and this method can
    ///   be called again to wait again. While that thread is there, the runtime doesn't start again.
    /// - [`StopError::OwnThread`] if called by a task or on the runtime's blocking pool. Nothing was stopped.
    /// - [`StopError::Panicked`] if the thread is gone, but because of a panic outside every task.
    pub fn stop(&self) -> Result<(), StopError> {
        self.stop_within(self.config.stop_bound)
    }

    /// Like [`stop`](Self::stop), with a bound for this call.
    ///
    /// # Errors
    ///
    /// Those of [`stop`](Self::stop).
    pub fn stop_within(&self, bound: Duration) -> Result<(), StopError> {
        self.lifecycle.stop(&Deadline::after(bound))
    }

    /// Stops the runtime for good, as its host ends.
    ///
    /// From the moment of the call, even while it waits, every start fails at once with [`StartError::Closed`], whoever
    /// calls late: daemon threads, exit handlers, destructors. It may be called again, from each way in which the host
    /// can end. What [`stop`](Self::stop) says about locks is true here, too.
    ///
    /// # Errors
    ///
    /// Those of [`stop`](Self::stop); it is closed anyway, and a further call waits again.
    pub fn close(&self) -> Result<(), StopError> {
        self.close_within(self.config.stop_bound)
    }

    /// Like [`close`](Self::close), with a bound for this call.
    ///
    /// # Errors
    ///
    /// Those of [`close`](Self::close).
    pub fn close_within(&self, bound: Duration) -> Result<(), StopError> {
        self.lifecycle.close(&Deadline::after(bound))
    }

    /// Whether the runtime has been started and neither asked to stop nor ended by itself.
    pub fn is_running(&self) -> bool {
        self.lifecycle.is_running()
    }

    /// Whether [`close`](Self::close) has been called, here or, before a fork, in the parent process.
    pub fn is_closed(&self) -> bool {
        self.lifecycle.is_closed()
    }

    /// Whether the caller is one of the runtime's own threads, for which a stop waits: a task or a call on
    /// the blocking pool.
    pub fn is_own_thread(&self) -> bool {
        self.lifecycle.is_own_thread()
    }

    fn remote(&self) -> Result<TokioRemote, StartError> {
        self.lifecycle.start(|| TokioRemote::launch(self.lifecycle.name(), &self.config))
    }
}

/// Stops the runtime. An error of [`stop`](OwnedRuntime::stop) is written to stderr. On one of the runtime's own
/// threads, the runtime is only asked to end, and nobody waits for it.
///
/// It waits for the whole bound again where an earlier stop was overdue. An owner that has waited long enough leaves the value
/// in place, by [`mem::forget`](std::mem::forget).
impl Drop for OwnedRuntime {
    fn drop(&mut self) {
        let error = match self.stop() {
            Ok(()) => return,
            Err(error) => error,
        };
        let fate = if matches!(error, StopError::OwnThread { .. }) {
            self.lifecycle.abandon();
            " (dropped there: asked to end, but nobody waits for it)"
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
            .field("is_closed", &self.is_closed())
            .field("config", &self.config)
            .finish()
    }
}

#[derive(Clone)]
struct TokioRemote {
    handle: Handle,
    shutdown: Arc<Notify>,
    drain: Drain,
    helpers: ThreadSet,
}

impl TokioRemote {
    fn launch(name: &str, config: &Config) -> io::Result<(Self, impl FnOnce() + Send + 'static)> {
        let helpers = ThreadSet::default();
        let runtime = config.build(name, &helpers)?;
        let handle = runtime.handle().clone();
        let (shutdown, drain) = (Arc::new(Notify::new()), Drain::new());
        let remote = Self { handle, shutdown: shutdown.clone(), drain: drain.clone(), helpers };
        let unstarted = Unstarted(Some(runtime));
        let drain_bound = config.drain_bound;
        let body = move || {
            let runtime = match unstarted.into_inner() {
                Some(runtime) => runtime,
                None => return,
            };
            runtime.block_on(async {
                shutdown.notified().await;
                // With a bound of zero the holders are still informed.
                let _ = tokio::time::timeout(drain_bound, drain.run()).await;
            });
            // First drops the tasks, and then waits for the blocking pool, so that calls that wait for a task end.
            // (shutdown_timeout has the reverse order, and leaves threads behind.) The bound is that of the waiting
            // stop.
            drop(runtime);
        };
        Ok((remote, body))
    }
}

impl Remote for TokioRemote {
    fn request_end(&self) {
        self.shutdown.notify_one();
    }

    fn is_helper_thread(&self) -> bool {
        self.helpers.lock().contains(&thread::current().id())
    }
}

impl Config {
    fn build(&self, name: &str, helpers: &ThreadSet) -> io::Result<Runtime> {
        let (starting, stopping) = (helpers.clone(), helpers.clone());
        let mut builder = match self.worker_threads {
            0 => Builder::new_current_thread(),
            #[cfg(feature = "multi-thread")]
            threads => {
                let mut builder = Builder::new_multi_thread();
                builder.worker_threads(threads);
                builder
            }
            #[cfg(not(feature = "multi-thread"))]
            _ => Builder::new_current_thread(),
        };
        builder
            .enable_all()
            .thread_name(name)
            .on_thread_start(move || {
                starting.lock().insert(thread::current().id());
            })
            .on_thread_stop(move || {
                stopping.lock().remove(&thread::current().id());
            });
        if let Some(threads) = self.max_blocking_threads {
            builder.max_blocking_threads(threads);
        }
        // tokio panics where the system refuses the thread of a worker.
        catch(|| builder.build()).unwrap_or_else(|message| Err(io::Error::new(io::ErrorKind::Other, message)))
    }
}

/// The runtime's threads except the first: workers and the blocking pool.
#[derive(Clone, Default)]
struct ThreadSet(Arc<Mutex<HashSet<ThreadId>>>);

impl ThreadSet {
    fn lock(&self) -> MutexGuard<'_, HashSet<ThreadId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A runtime that its thread has not taken yet. If the thread can't be started, the caller of start drops it, perhaps
/// inside another runtime, where a plain drop would panic.
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
            let config = OwnedRuntime::new("unstarted").config.clone();
            let (_remote, body) = TokioRemote::launch("unstarted", &config).unwrap();
            drop(body);
        });
    }
}
