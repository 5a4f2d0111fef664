//! Background tasks, and waiting for one.

use napi::{Error, Result};
use owned_runtime::BlockOnError;
use tokio::task::AbortHandle;

use crate::env_runtime::EnvRuntime;

/// A background task. It continues when this handle is dropped.
#[derive(Debug)]
pub struct Task(Option<AbortHandle>);

impl Task {
    /// Soon drops the task, wherever it waits.
    pub fn abort(&self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }

    /// Whether it has ended: it finished, was aborted, or its runtime was closed.
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(AbortHandle::is_finished)
    }
}

/// Spawns a task on the calling env's runtime, from JavaScript's thread or another task. Never waits.
///
/// It ends with the env at the latest. Then it is dropped, wherever it waits. It doesn't keep the event loop alive.
/// Once the env is closed, the task is dropped at once. That is not an error, since nobody is left to handle one.
///
/// # Errors
///
/// On any other thread, if the system refuses the runtime's thread, or if the addon has closed the runtime.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<Task> {
    let handle = EnvRuntime::current()?.start()?;
    Ok(Task(handle.map(|handle| handle.spawn(task).abort_handle())))
}

/// Runs a future as a task of the calling env's runtime and waits for its value on JavaScript's thread, which does
/// nothing else meanwhile. Use it only for something short, such as initialization. A future that waits for JavaScript
/// would wait forever.
///
/// # Errors
///
/// If the runtime is or gets closed, if the future panics, and on the runtime's own threads, where the future should be
/// awaited.
pub fn block_on<F>(future: F) -> Result<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    EnvRuntime::current()?
        .runtime()
        .block_on(future)
        .map_err(|error: BlockOnError| Error::from_reason(error.to_string()))
}
