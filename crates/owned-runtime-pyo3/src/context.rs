use std::sync::Mutex;
use std::thread;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::event_loop::LoopSide;
use crate::exceptions::of_stop;
use crate::future::Settling;
use crate::interpreter::{lock, Entered, Interpreter};

/// Like [`stop`](crate::stop), but as an awaitable: the event loop continues meanwhile.
///
/// For the `__aexit__` or `close` of an addon's last client.
///
/// # Errors
///
/// Those of [`future_into_py`](crate::future_into_py); the awaitable raises what [`stop`](crate::stop) does.
pub fn stop_into_py(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let entered = Interpreter::enter()?;
    stop_without_waiting(py, &entered)
}

fn stop_without_waiting<'py>(py: Python<'py>, entered: &Entered) -> PyResult<Bound<'py, PyAny>> {
    let interpreter = entered.interpreter();
    let side = LoopSide::running(py, interpreter)?;
    let (awaitable, id) = LoopSide::create_future(&side)?;
    let settling = Settling::new(side.get().queue.clone(), id);
    // Not a task, as it would wait for itself. This thread ends after the runtime's thread, and the interpreter's end
    // waits for that.
    thread::Builder::new().name("runtime-stop".into()).spawn(move || {
        let stopped = interpreter.stop();
        settling.settle(Box::new(move |py| stopped.map(|()| py.None()).map_err(of_stop)));
    })?;
    Ok(awaitable)
}

/// A Python function that returns an async context manager: `async with my_addon.running(): ...`. When the last open
/// one ends, the runtime is stopped, without blocking the event loop. It starts again when it is next used.
///
/// It is for programs whose runtime threads must end at a certain place: before a fork, or at a test's end. Add it to
/// the module by `module.add_function(wrap_pyfunction!(owned_runtime_pyo3::running, module)?)`.
///
/// # Errors
///
/// [`RuntimeClosed`](crate::RuntimeClosed), at once, when the interpreter is exiting.
#[pyfunction]
pub fn running(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let interpreter = Interpreter::enter()?.interpreter();
    Bound::new(py, Running { interpreter, is_open: Mutex::new(false) }).map(Bound::into_any)
}

#[pyclass(frozen, module = "owned_runtime")]
struct Running {
    interpreter: &'static Interpreter,
    is_open: Mutex<bool>,
}

#[pymethods]
impl Running {
    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let this = slf.get();
        let entered = this.interpreter.enter_again()?;
        // Before it counts, as an error means that the context was not entered.
        entered.start()?;
        let awaitable = LoopSide::running(slf.py(), entered.interpreter())?.get().settled(slf.as_any())?;
        if std::mem::replace(&mut *lock(&this.is_open), true) {
            return Err(PyRuntimeError::new_err("the context is open already: make one for each `async with`"));
        }
        *lock(&this.interpreter.contexts) += 1;
        Ok(awaitable)
    }

    #[pyo3(signature = (*_raised))]
    fn __aexit__<'py>(&self, py: Python<'py>, _raised: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let is_last = std::mem::replace(&mut *lock(&self.is_open), false) && {
            let mut open = lock(&self.interpreter.contexts);
            *open -= 1;
            *open == 0
        };
        let entered = self.interpreter.enter_again()?;
        if is_last {
            return stop_without_waiting(py, &entered);
        }
        LoopSide::running(py, entered.interpreter())?.get().settled(py.None().bind(py))
    }
}

impl Drop for Running {
    /// A context that was left without its end, for instance because its event loop ended.
    fn drop(&mut self) {
        if *lock(&self.is_open) && self.interpreter.is_current() {
            *lock(&self.interpreter.contexts) -= 1;
        }
    }
}
