use std::any::TypeId;
use std::future::Future;
use std::sync::Arc;

use owned_runtime::panic::CatchPanic;
use pyo3::prelude::*;
use pyo3::IntoPyObjectExt;

use crate::event_loop::LoopSide;
use crate::exceptions::panicked;
use crate::interpreter::Interpreter;
use crate::queue::{FutureId, Make, Message, Queue};

/// Runs a future as a task of the module's runtime, and returns an `asyncio.Future` of the running event loop for it.
///
/// The Rust future is dropped when the `asyncio.Future` is cancelled or the event loop ends. A panic raises
/// [`TaskPanicked`](crate::TaskPanicked); the end of the runtime raises [`RuntimeStopped`](crate::RuntimeStopped).
///
/// It has the shape of `pyo3_async_runtimes::tokio::future_into_py`:
///
/// ```no_run
/// # use owned_runtime_pyo3::future_into_py;
/// # use pyo3::prelude::*;
/// # use std::time::Duration;
/// #[pyfunction]
/// fn sleep(py: Python<'_>, seconds: f64) -> PyResult<Bound<'_, PyAny>> {
///     future_into_py(py, async move {
///         tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
///         Ok(())
///     })
/// }
/// ```
///
/// # Errors
///
/// `RuntimeError` if no event loop runs on this thread, or the module isn't installed;
/// [`RuntimeClosed`](crate::RuntimeClosed), at once, when the interpreter is exiting.
pub fn future_into_py<T>(
    py: Python<'_>,
    future: impl Future<Output = PyResult<T>> + Send + 'static,
) -> PyResult<Bound<'_, PyAny>>
where
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    let entered = Interpreter::enter()?;
    let handle = entered.start()?;
    let side = LoopSide::running(py, entered.interpreter())?;
    let (awaitable, id) = LoopSide::create_future(&side)?;
    let settling = Settling::new(side.get().queue.clone(), id);
    let task = handle.spawn(async move {
        let result = CatchPanic::new(future).await.unwrap_or_else(|message| Err(panicked(message)));
        settling.settle(Box::new(move |py| to_python(result?, py)));
    });
    side.get().set_task(id, task.abort_handle());
    Ok(awaitable)
}

/// Converts a value like pyo3 converts the result of a function: `()` is None, and not an empty tuple as in arguments.
pub(crate) fn to_python<T>(value: T, py: Python<'_>) -> PyResult<Py<PyAny>>
where
    T: for<'py> IntoPyObject<'py> + 'static,
{
    if TypeId::of::<T>() == TypeId::of::<()>() {
        Ok(py.None())
    } else {
        value.into_py_any(py)
    }
}

/// Settles a future. If it is dropped before that, the future gets an error.
pub(crate) struct Settling {
    queue: Arc<Queue>,
    id: FutureId,
    is_due: bool,
}

impl Settling {
    pub(crate) fn new(queue: Arc<Queue>, id: FutureId) -> Self {
        Self { queue, id, is_due: true }
    }

    pub(crate) fn settle(mut self, make: Make<PyAny>) {
        self.is_due = false;
        self.queue.push(Message::Settle(self.id, make));
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if self.is_due {
            let error = self.queue.interpreter.stopped();
            self.queue.push(Message::Settle(self.id, Box::new(move |_| Err(error))));
        }
    }
}
