//! The Python module of pyo3-usual beside it, cured: its runtime never touches Python, and ends before the interpreter.

use std::time::Duration;

use addon_work::Ticks;
use futures_util::stream;
use owned_runtime_pyo3::{block_on, caller, future_into_py, spawn, stream_into_py};
use pyo3::prelude::*;

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
    block_on(py, async move { Ok(addon_work::request(port, payload).await?) })
}

/// An async iterator of the server's ticks.
#[pyfunction]
fn watch(py: Python<'_>, port: u16, every_us: u64) -> PyResult<Bound<'_, PyAny>> {
    let ticks = stream::try_unfold(None, move |ticks: Option<Ticks>| async move {
        let mut ticks = match ticks {
            Some(ticks) => ticks,
            None => Ticks::connect(port, every_us).await?,
        };
        let next = ticks.next().await?;
        Ok::<_, PyErr>(next.map(|tick| (tick, Some(ticks))))
    });
    stream_into_py(py, ticks)
}

/// Calls back from the background for each tick, until the event loop ends.
#[pyfunction]
fn subscribe(port: u16, every_us: u64, callback: Bound<'_, PyAny>) -> PyResult<()> {
    let caller = caller(callback)?;
    spawn(async move {
        let Ok(mut ticks) = Ticks::connect(port, every_us).await else { return };
        while let Ok(Some(tick)) = ticks.next().await {
            if caller.call((tick,)).await.is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

#[pymodule]
fn addon_pyo3_owned(module: &Bound<'_, PyModule>) -> PyResult<()> {
    owned_runtime_pyo3::install(module)?;
    module.add_function(wrap_pyfunction!(sleep, module)?)?;
    module.add_function(wrap_pyfunction!(soon, module)?)?;
    module.add_function(wrap_pyfunction!(request, module)?)?;
    module.add_function(wrap_pyfunction!(request_sync, module)?)?;
    module.add_function(wrap_pyfunction!(watch, module)?)?;
    module.add_function(wrap_pyfunction!(subscribe, module)?)?;
    module.add_function(wrap_pyfunction!(owned_runtime_pyo3::close, module)?)
}
