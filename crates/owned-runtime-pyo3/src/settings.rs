use std::time::Duration;

use owned_runtime::OwnedRuntime;

/// Settings of a module's runtime, for modules that need others than [`install`](crate::install) uses.
///
/// ```no_run
/// # use owned_runtime_pyo3::Settings;
/// # use pyo3::prelude::*;
/// # use std::time::Duration;
/// #[pymodule]
/// fn my_addon(module: &Bound<'_, PyModule>) -> PyResult<()> {
///     Settings::new().stop_bound(Duration::from_secs(2)).install(module)
/// }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Settings {
    thread_name: Option<String>,
    stop_bound: Option<Duration>,
    drain_bound: Option<Duration>,
    max_blocking_threads: Option<usize>,
    #[cfg(feature = "multi-thread")]
    worker_threads: usize,
}

impl Settings {
    /// The defaults of [`install`](crate::install).
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the runtime's threads; by default they have the module's name. Linux shows the first 15 bytes.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = Some(name.into());
        self
    }

    /// Sets how long the end waits for the runtime's threads; 5 s by default. A bound that passes is reported.
    pub fn stop_bound(mut self, bound: Duration) -> Self {
        self.stop_bound = Some(bound);
        self
    }

    /// Sets how long tasks that hold a [`Stopping`](owned_runtime::Stopping) may continue at the end; not at all by default.
    pub fn drain_bound(mut self, bound: Duration) -> Self {
        self.drain_bound = Some(bound);
        self
    }

    /// Sets how many threads `tokio::task::spawn_blocking` may have; 512 by default.
    pub fn max_blocking_threads(mut self, threads: usize) -> Self {
        self.max_blocking_threads = Some(threads);
        self
    }

    /// Sets how many worker threads poll the tasks, for tasks that compute. By default the runtime's one thread does.
    #[cfg(feature = "multi-thread")]
    pub fn worker_threads(mut self, threads: usize) -> Self {
        self.worker_threads = threads;
        self
    }

    /// How many threads poll the tasks.
    pub(crate) fn threads(&self) -> usize {
        #[cfg(feature = "multi-thread")]
        let threads = self.worker_threads.max(1);
        #[cfg(not(feature = "multi-thread"))]
        let threads = 1;
        threads
    }

    /// Sets this name for the runtime's threads, unless they already have one.
    pub(crate) fn or_named(mut self, name: String) -> Self {
        self.thread_name.get_or_insert(name);
        self
    }

    pub(crate) fn runtime(&self) -> OwnedRuntime {
        let mut runtime = OwnedRuntime::new(self.thread_name.clone().unwrap_or_default());
        #[cfg(feature = "multi-thread")]
        {
            runtime = runtime.with_worker_threads(self.worker_threads);
        }
        if let Some(bound) = self.stop_bound {
            runtime = runtime.with_stop_bound(bound);
        }
        if let Some(bound) = self.drain_bound {
            runtime = runtime.with_drain_bound(bound);
        }
        if let Some(threads) = self.max_blocking_threads {
            runtime = runtime.with_max_blocking_threads(threads);
        }
        runtime
    }
}
