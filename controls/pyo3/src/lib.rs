//! A deliberately bad Python module: the control of the shutdown tester. Each function has one of the bugs that
//! native modules are known for. Never do this.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use tokio::runtime::Runtime;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// A static runtime that is never stopped. Its task calls a Python function every 5 ms. When that function releases the
/// GIL, as reading, writing and sleeping do, and needs it again after the interpreter has begun to finalize, the
/// interpreter unwinds the thread, through Rust frames.
#[pyfunction]
fn static_runtime(py: Python<'_>) -> PyResult<()> {
    let sleep: Py<PyAny> = py.import("time")?.getattr("sleep")?.unbind();
    let runtime = Runtime::new().map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    RUNTIME.get_or_init(|| runtime).spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Python::attach(|py| {
                if let Err(error) = sleep.call1(py, (0.0005,)) {
                    error.print(py);
                }
            });
        }
    });
    Ok(())
}

/// A thread that calls into Python a few milliseconds after the interpreter has gone.
#[pyfunction]
fn late_callback() -> PyResult<()> {
    spawn("late-callback", || {
        // SAFETY: may be called at any time.
        while unsafe { ffi::Py_IsInitialized() } != 0 {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(5));
        // SAFETY: none: there is no interpreter any more, which is the bug.
        unsafe {
            let state = ffi::PyGILState_Ensure();
            ffi::PyGILState_Release(state);
        }
    })?;
    Ok(())
}

/// An exit handler joins a thread, and holds the GIL that this thread waits for.
#[pyfunction]
fn hang_at_join(py: Python<'_>) -> PyResult<()> {
    let waiting = spawn("hang-at-join", || {
        thread::sleep(Duration::from_millis(300));
        Python::attach(|_| {});
    })?;
    let join = Joiner { waiting: Some(waiting) };
    py.import("atexit")?.call_method1("register", (Bound::new(py, join)?,))?;
    Ok(())
}

#[pyclass]
struct Joiner {
    waiting: Option<thread::JoinHandle<()>>,
}

#[pymethods]
impl Joiner {
    fn __call__(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            let _ = waiting.join();
        }
    }
}

/// A thread that nothing joins: the exit is clean, and the thread is still there.
#[pyfunction]
fn leaked_thread() -> PyResult<()> {
    spawn("leaked-thread", || {
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    })?;
    Ok(())
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> PyResult<thread::JoinHandle<()>> {
    Ok(thread::Builder::new().name(name.into()).spawn(work)?)
}

#[pymodule]
fn control_pyo3(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(static_runtime, module)?)?;
    module.add_function(wrap_pyfunction!(late_callback, module)?)?;
    module.add_function(wrap_pyfunction!(hang_at_join, module)?)?;
    module.add_function(wrap_pyfunction!(leaked_thread, module)?)
}
