//! A Python module as authors write it today: on the static runtime of pyo3-async-runtimes.

use std::sync::Arc;
use std::time::Duration;

use addon_work::Ticks;
use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3_async_runtimes::tokio::{future_into_py, get_runtime};
use tokio::sync::{Mutex, mpsc};

/// An awaitable that is over after a time.
#[pyfunction]
fn sleep(py: Python<'_>, secs: f64) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async move {
        tokio::time::sleep(Duration::from_secs_f64(secs)).await;
        Ok(())
    })
}

/// An awaitable that is over as soon as the runtime has a turn.
#[pyfunction]
fn soon(py: Python<'_>, number: u32) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async move { Ok(number) })
}

/// An awaitable of the server's answer.
#[pyfunction]
fn request(py: Python<'_>, port: u16, payload: Vec<u8>) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async move { Ok(addon_work::request(port, payload).await?) })
}

/// The same, which its caller waits for.
#[pyfunction]
fn request_sync(py: Python<'_>, port: u16, payload: Vec<u8>) -> PyResult<Vec<u8>> {
    py.detach(|| Ok(get_runtime().block_on(addon_work::request(port, payload))?))
}

/// An async iterator, fed by a background task.
#[pyclass]
struct Watch {
    ticks: Arc<Mutex<mpsc::Receiver<String>>>,
}

#[pyfunction]
fn watch(port: u16, every_us: u64) -> Watch {
    let (sender, receiver) = mpsc::channel(64);
    get_runtime().spawn(async move {
        let Ok(mut ticks) = Ticks::connect(port, every_us).await else { return };
        while let Ok(Some(tick)) = ticks.next().await {
            if sender.send(tick).await.is_err() {
                return;
            }
        }
    });
    Watch { ticks: Arc::new(Mutex::new(receiver)) }
}

#[pymethods]
impl Watch {
    fn __aiter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let ticks = self.ticks.clone();
        future_into_py(
            py,
            async move { ticks.lock().await.recv().await.ok_or_else(|| PyStopAsyncIteration::new_err(())) },
        )
    }
}

/// Calls back from the background for each tick.
#[pyfunction]
fn subscribe(port: u16, every_us: u64, callback: Py<PyAny>) {
    get_runtime().spawn(async move {
        let Ok(mut ticks) = Ticks::connect(port, every_us).await else { return };
        while let Ok(Some(tick)) = ticks.next().await {
            Python::attach(|py| {
                if let Err(error) = callback.call1(py, (tick,)) {
                    error.print(py);
                }
            });
        }
    });
}

#[pymodule]
fn addon_pyo3_usual(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Watch>()?;
    module.add_function(wrap_pyfunction!(sleep, module)?)?;
    module.add_function(wrap_pyfunction!(soon, module)?)?;
    module.add_function(wrap_pyfunction!(request, module)?)?;
    module.add_function(wrap_pyfunction!(request_sync, module)?)?;
    module.add_function(wrap_pyfunction!(watch, module)?)?;
    module.add_function(wrap_pyfunction!(subscribe, module)?)
}
