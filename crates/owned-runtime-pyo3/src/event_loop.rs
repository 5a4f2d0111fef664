//! An event loop's side of the bridge. All of it runs on the loop's thread, with Python available.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, TryLockError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::interpreter::{lock, AtEnd};
use crate::queue::{FutureId, Message, Queue};

/// A loop's part of the bridge: the futures that tasks will settle, and the callbacks that tasks call.
///
/// It is also the done callback of its futures. A future that is done while it waits for its task was cancelled.
#[pyclass(frozen, weakref, module = "owned_runtime")]
pub(crate) struct LoopSide {
    pub(crate) queue: Arc<Queue>,
    event_loop: Py<PyAny>,
    owned: Mutex<Owned>,
}

#[derive(Default)]
struct Owned {
    /// Whether the loop is over.
    has_ended: bool,
    futures: HashMap<usize, Pending>,
    callbacks: HashMap<u64, Callback>,
    tasks: HashMap<u64, AbortHandle>,
}

struct Pending {
    number: u64,
    future: Py<PyAny>,
    /// `None` where the task isn't one of this loop.
    task: Option<AbortHandle>,
}

struct Callback {
    callable: Py<PyAny>,
    context: Py<PyAny>,
    room: Arc<Semaphore>,
}

impl LoopSide {
    pub(crate) fn new(event_loop: &Bound<'_, PyAny>, queue: Arc<Queue>) -> Self {
        Self { queue, event_loop: event_loop.clone().unbind(), owned: Mutex::default() }
    }

    pub(crate) fn event_loop<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.event_loop.bind(py)
    }

    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.owned).has_ended
    }

    /// A future of this loop that a message will settle. Cancelling it aborts the task that is set for it.
    pub(crate) fn create_future<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, FutureId)> {
        let py = slf.py();
        let side = slf.get();
        let future = side.event_loop.bind(py).call_method0(intern!(py, "create_future"))?;
        future.call_method1(intern!(py, "add_done_callback"), (slf,))?;
        let id = FutureId { address: future.as_ptr() as usize, number: side.queue.number() };
        let pending = Pending { number: id.number, future: future.clone().unbind(), task: None };
        lock(&side.owned).futures.insert(id.address, pending);
        Ok((future, id))
    }

    /// A future of this loop that already has its value.
    pub(crate) fn settled<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        let future = self.event_loop.bind(py).call_method0(intern!(py, "create_future"))?;
        future.call_method1(intern!(py, "set_result"), (value,))?;
        Ok(future)
    }

    /// Sets the task that the future waits for.
    pub(crate) fn set_task(&self, id: FutureId, task: AbortHandle) {
        let mut owned = lock(&self.owned);
        if let Some(pending) = owned.futures.get_mut(&id.address).filter(|pending| pending.number == id.number) {
            pending.task = Some(task);
        }
    }

    /// Adopts a task, which ends with this loop at the latest.
    pub(crate) fn adopt(&self, number: u64, task: AbortHandle) {
        let mut owned = lock(&self.owned);
        if owned.has_ended {
            task.abort();
        } else {
            owned.tasks.insert(number, task);
        }
    }

    /// Aborts an adopted task.
    pub(crate) fn abort(&self, number: u64) {
        let task = lock(&self.owned).tasks.remove(&number);
        if let Some(task) = task {
            task.abort();
        }
    }

    /// A function that messages call by this number, in the context that is current now.
    pub(crate) fn add_callback(&self, callable: Bound<'_, PyAny>, room: Arc<Semaphore>) -> PyResult<u64> {
        static COPY_CONTEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let context = COPY_CONTEXT.import(callable.py(), "contextvars", "copy_context")?.call0()?.unbind();
        let number = self.queue.number();
        let callback = Callback { callable: callable.unbind(), context, room };
        lock(&self.owned).callbacks.insert(number, callback);
        Ok(number)
    }

    /// Handles everything that has arrived from the runtime.
    pub(crate) fn drain(&self, py: Python<'_>) {
        let Some(_inside) = self.queue.interpreter.gate.enter() else { return };
        for message in self.queue.take() {
            let (result, of) = match message {
                Message::Settle(id, make) => {
                    let Some(pending) = self.take_future(id) else { continue };
                    let future = pending.future.into_bound(py);
                    (settle(&future, make(py)), future)
                }
                Message::Call(number, arguments) => {
                    let Some((callable, context)) = self.callback(py, number) else { continue };
                    let result = arguments(py)
                        .and_then(|arguments| self.call_soon(&callable, &arguments.into_bound(py), context));
                    (result, callable)
                }
                Message::Release(number) => {
                    let released = lock(&self.owned).callbacks.remove(&number);
                    drop(released);
                    continue;
                }
            };
            if let Err(error) = result {
                error.write_unraisable(py, Some(&of));
            }
        }
    }

    fn take_future(&self, id: FutureId) -> Option<Pending> {
        let mut owned = lock(&self.owned);
        let found = owned.futures.get(&id.address).is_some_and(|pending| pending.number == id.number);
        found.then(|| owned.futures.remove(&id.address)).flatten()
    }

    fn callback<'py>(&self, py: Python<'py>, number: u64) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let owned = lock(&self.owned);
        let callback = owned.callbacks.get(&number)?;
        callback.room.add_permits(1);
        Some((callback.callable.bind(py).clone(), callback.context.bind(py).clone()))
    }

    /// Through the loop, so that the callback's errors go where other callbacks' errors go, and so that it runs without
    /// a Rust frame below it.
    fn call_soon<'py>(
        &self,
        callable: &Bound<'py, PyAny>,
        arguments: &Bound<'py, PyTuple>,
        context: Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = callable.py();
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "context"), context)?;
        let mut all = vec![callable.clone()];
        all.extend(arguments.iter());
        let call_soon = self.event_loop.bind(py).getattr(intern!(py, "call_soon"))?;
        call_soon.call(PyTuple::new(py, all)?, Some(&keywords)).map(drop)
    }

    /// The loop is over, and so are its tasks.
    pub(crate) fn end(&self) {
        if !self.queue.interpreter.is_current() {
            // In a forked child the tasks are the parent's, and their runtime's locks may be held forever.
            let left = std::mem::take(&mut *lock(&self.owned));
            std::mem::forget(left);
            return;
        }
        self.queue.silence();
        let ended = std::mem::replace(&mut *lock(&self.owned), Owned { has_ended: true, ..Owned::default() });
        for pending in ended.futures.values() {
            if let Some(task) = &pending.task {
                task.abort();
            }
        }
        for task in ended.tasks.values() {
            task.abort();
        }
        for callback in ended.callbacks.values() {
            callback.room.close();
        }
    }
}

#[pymethods]
impl LoopSide {
    fn __call__(&self, future: &Bound<'_, PyAny>) {
        let cancelled = lock(&self.owned).futures.remove(&(future.as_ptr() as usize));
        if let Some(task) = cancelled.as_ref().and_then(|pending| pending.task.as_ref()) {
            if self.queue.interpreter.is_current() {
                task.abort();
            }
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        let owned = match self.owned.try_lock() {
            Ok(owned) => owned,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // The value is in use, so there is nothing to collect.
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        for pending in owned.futures.values() {
            visit.call(&pending.future)?;
        }
        for callback in owned.callbacks.values() {
            visit.call(&callback.callable)?;
            visit.call(&callback.context)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        self.end();
    }
}

impl Drop for LoopSide {
    fn drop(&mut self) {
        self.end();
    }
}

fn settle(future: &Bound<'_, PyAny>, result: PyResult<Py<PyAny>>) -> PyResult<()> {
    let py = future.py();
    // The future was cancelled, and its done callback is yet to come.
    if future.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    let error = match result {
        Ok(value) => return future.call_method1(intern!(py, "set_result"), (value,)).map(drop),
        Err(error) => error,
    };
    let set_exception = future.getattr(intern!(py, "set_exception"))?;
    let Err(refused) = set_exception.call1((error.clone_ref(py),)) else { return Ok(()) };
    // A future accepts no StopIteration. Its waiter must not wait forever.
    let instead = PyRuntimeError::new_err(format!("a future can't have this exception: {refused}"));
    instead.set_cause(py, Some(error));
    set_exception.call1((instead,)).map(drop)
}
