use std::fmt;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tokio::sync::{Semaphore, TryAcquireError};

use crate::event_loop::LoopSide;
use crate::interpreter::Interpreter;
use crate::queue::{Message, Queue};

/// How many calls may wait for the event loop.
const ROOM: usize = 64;

/// Makes a Python function callable from tasks. Each call runs on the thread of the running event loop, in the context
/// (`contextvars`) that is current now.
///
/// ```no_run
/// # use owned_runtime_pyo3::{caller, spawn};
/// # use pyo3::prelude::*;
/// # async fn next_tick() -> Option<String> { None }
/// /// Calls back for each tick, until the event loop ends.
/// #[pyfunction]
/// fn subscribe(callback: Bound<'_, PyAny>) -> PyResult<()> {
///     let caller = caller(callback)?;
///     spawn(async move {
///         while let Some(tick) = next_tick().await {
///             if caller.call((tick,)).await.is_err() {
///                 return;
///             }
///         }
///     })?;
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// `RuntimeError` if no event loop runs on this thread, or the module isn't installed;
/// [`RuntimeClosed`](crate::RuntimeClosed), at once, when the interpreter is exiting.
pub fn caller(callable: Bound<'_, PyAny>) -> PyResult<Caller> {
    let entered = Interpreter::enter()?;
    entered.must_be_open()?;
    let side = LoopSide::running(callable.py(), entered.interpreter())?;
    let room = Arc::new(Semaphore::new(ROOM));
    let number = side.get().add_callback(callable, room.clone())?;
    Ok(Caller(Arc::new(Callback { queue: side.get().queue.clone(), number, room })))
}

/// A Python function that tasks call on its event loop's thread. [`caller`] makes it. Clones call the same function.
///
/// It holds no Python object, so it may be dropped on any thread: the function is released on the event loop's thread.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Callback>);

#[derive(Debug)]
struct Callback {
    queue: Arc<Queue>,
    number: u64,
    room: Arc<Semaphore>,
}

impl Drop for Callback {
    fn drop(&mut self) {
        self.queue.push(Message::Release(self.number));
    }
}

impl Caller {
    /// Passes a call to the event loop, which makes it with `call_soon`. If 64 calls of this function already wait, it
    /// waits for room. So a task that calls faster than Python runs is held back.
    ///
    /// What the function returns is dropped, and what it raises goes to the event loop's exception handler.
    ///
    /// # Errors
    ///
    /// [`CallError::Gone`] when the event loop is over.
    pub async fn call<A>(&self, arguments: A) -> Result<(), CallError>
    where
        A: for<'py> IntoPyObject<'py, Target = PyTuple> + Send + 'static,
    {
        let permit = self.0.room.acquire().await.map_err(|_| CallError::Gone)?;
        permit.forget();
        self.push(arguments)
    }

    /// Like [`call`](Self::call), but never waits: for code that isn't async.
    ///
    /// # Errors
    ///
    /// [`CallError::Full`] if 64 calls already wait, [`CallError::Gone`] when the event loop is over.
    pub fn try_call<A>(&self, arguments: A) -> Result<(), CallError>
    where
        A: for<'py> IntoPyObject<'py, Target = PyTuple> + Send + 'static,
    {
        let permit = self.0.room.try_acquire().map_err(|error| match error {
            TryAcquireError::Closed => CallError::Gone,
            TryAcquireError::NoPermits => CallError::Full,
        })?;
        permit.forget();
        self.push(arguments)
    }

    fn push<A>(&self, arguments: A) -> Result<(), CallError>
    where
        A: for<'py> IntoPyObject<'py, Target = PyTuple> + Send + 'static,
    {
        let make = move |py: Python<'_>| {
            let arguments = arguments.into_pyobject(py).map_err(Into::into)?;
            Ok(pyo3::BoundObject::into_bound(arguments).unbind())
        };
        if self.0.queue.push(Message::Call(self.0.number, Box::new(make))) {
            Ok(())
        } else {
            Err(CallError::Gone)
        }
    }
}

/// Why a call was not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The event loop is over, or the interpreter is exiting: no further call will be made.
    Gone,
    /// There is no room: too many calls already wait.
    Full,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the function's event loop is over: end the task",
            Self::Full => {
                "64 calls of the function wait for its event loop already: call it again later, or await `call`"
            }
        })
    }
}

impl std::error::Error for CallError {}
