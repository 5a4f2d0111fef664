//! Makes an event loop watch a queue's bell.

use pyo3::exceptions::{PyNotImplementedError, PyStopIteration};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::event_loop::LoopSide;

/// Uses `add_reader`, which asyncio's selector loops and uvloop have. Windows' Proactor loop doesn't have it, so a
/// transport reads the socket there.
pub(crate) fn watch<'py>(event_loop: &Bound<'py, PyAny>, side: &Bound<'py, LoopSide>) -> PyResult<()> {
    let py = event_loop.py();
    let watcher = Bound::new(py, Watcher { side: Some(side.clone().unbind()) })?;
    // In an empty context, as the loop would keep the current one for as long as it watches.
    let context = py.import("contextvars")?.getattr("Context")?.call0()?;
    let add_reader = event_loop.getattr("add_reader")?;
    let descriptor = side.get().queue.bell().descriptor();
    match context.call_method1("run", (add_reader, descriptor, &watcher)) {
        Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => read(event_loop, side, &watcher),
        result => result.map(drop),
    }
}

/// Uses a transport whose protocol is the watcher. A task would not do: programs cancel all tasks at their end and may
/// still await something after that.
fn read<'py>(
    event_loop: &Bound<'py, PyAny>,
    side: &Bound<'py, LoopSide>,
    watcher: &Bound<'py, Watcher>,
) -> PyResult<()> {
    let py = event_loop.py();
    let socket = py.import("socket")?;
    let keywords = PyDict::new(py);
    keywords.set_item("fileno", side.get().queue.bell().duplicate()?)?;
    let socket = socket.getattr("socket")?.call((), Some(&keywords))?;
    socket.call_method1("setblocking", (false,))?;
    let keywords = PyDict::new(py);
    keywords.set_item("sock", socket)?;
    let protocol_factory = Bound::new(py, Factory { watcher: watcher.clone().unbind() })?;
    let connecting = event_loop.call_method("create_connection", (protocol_factory,), Some(&keywords))?;
    Bound::new(py, Step { coroutine: connecting.unbind() })?.call0().map(drop)
}

/// The object that the loop keeps. When it is dropped, the loop has ended.
#[pyclass(frozen, module = "owned_runtime")]
struct Watcher {
    /// `None` after the garbage collector has cleared it.
    side: Option<Py<LoopSide>>,
}

#[pymethods]
impl Watcher {
    /// Called when there is something to read.
    fn __call__(&self, py: Python<'_>) {
        if let Some(side) = &self.side {
            side.get().drain(py);
        }
    }

    /// Called as a protocol, when something was read.
    fn data_received(&self, py: Python<'_>, _data: &Bound<'_, PyAny>) {
        self.__call__(py);
    }

    fn connection_made(&self, _transport: &Bound<'_, PyAny>) {}

    fn eof_received(&self) {}

    fn connection_lost(&self, _error: &Bound<'_, PyAny>) {}

    fn pause_writing(&self) {}

    fn resume_writing(&self) {}

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.side)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(side) = &self.side {
            side.get().end();
        }
    }
}

/// The factory of the transport's protocol.
#[pyclass(frozen, module = "owned_runtime")]
struct Factory {
    watcher: Py<Watcher>,
}

#[pymethods]
impl Factory {
    fn __call__(&self, py: Python<'_>) -> Py<Watcher> {
        self.watcher.clone_ref(py)
    }
}

/// Runs a coroutine without a task.
#[pyclass(frozen, module = "owned_runtime")]
struct Step {
    coroutine: Py<PyAny>,
}

#[pymethods]
impl Step {
    #[pyo3(signature = (*_done))]
    fn __call__(slf: &Bound<'_, Self>, _done: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        match slf.get().coroutine.bind(py).call_method1(intern!(py, "send"), (py.None(),)) {
            Ok(future) => {
                // As a task does, so that it may be awaited again.
                future.setattr(intern!(py, "_asyncio_future_blocking"), false)?;
                future.call_method1(intern!(py, "add_done_callback"), (slf,)).map(drop)
            }
            Err(error) if error.is_instance_of::<PyStopIteration>(py) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
