//! What the tests of owned-runtime-pyo3 call: each function uses one thing of the crate, in order or against its rules.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use owned_runtime_pyo3::{
    CallError, Caller, RuntimeClosed, RuntimeStopped, Settings, StopOverdue, TaskPanicked, block_on, caller,
    error_into_py, future_into_py, spawn, stream_into_py,
};
use pyo3::exceptions::{PyConnectionError, PyStopIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Tasks and streams that are neither over nor dropped.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Live;

impl Live {
    fn new() -> Self {
        LIVE.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

#[pyfunction]
fn live() -> usize {
    LIVE.load(Ordering::SeqCst)
}

#[pyfunction]
fn sleep(py: Python<'_>, seconds: f64) -> PyResult<Bound<'_, PyAny>> {
    let live = Live::new();
    future_into_py(py, async move {
        let _live = live;
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        Ok(())
    })
}

/// Holds the object for a time, and gives it back.
#[pyfunction]
fn hold(py: Python<'_>, object: Py<PyAny>, seconds: f64) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async move {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        Ok(object)
    })
}

/// Holds the object for a time, and drops it on the runtime's thread.
#[pyfunction]
fn hold_and_drop(py: Python<'_>, object: Py<PyAny>, seconds: f64) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async move {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        drop(object);
        Ok(())
    })
}

#[derive(Debug)]
struct Failure {
    message: &'static str,
    source: Option<Box<Failure>>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[pyfunction]
fn fail(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async {
        let root = Failure { message: "no route", source: None };
        let middle = Failure { message: "can't reach the host", source: Some(root.into()) };
        let top = Failure { message: "can't connect", source: Some(middle.into()) };
        Err::<(), _>(error_into_py::<PyConnectionError>(top))
    })
}

/// An exception that a future refuses.
#[pyfunction]
fn fail_with_stop_iteration(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async { Err::<(), _>(PyStopIteration::new_err("no more")) })
}

/// A value that Python can't have.
struct Unspeakable;

impl<'py> IntoPyObject<'py> for Unspeakable {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, _py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Err(PyValueError::new_err("not for Python"))
    }
}

#[pyfunction]
fn unspeakable(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async { Ok(Unspeakable) })
}

#[pyfunction]
#[allow(unreachable_code)]
fn panics(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async {
        panic!("on purpose");
        Ok(())
    })
}

/// Against the rules, but in use: a task that asks for the GIL.
#[pyfunction]
fn attaches(py: Python<'_>, callback: Py<PyAny>) -> PyResult<()> {
    spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_micros(100)).await;
            Python::attach(|py| callback.call0(py).map(drop).unwrap_or_default());
        }
    })?;
    let _ = py;
    Ok(())
}

#[pyfunction]
fn blocking_sleep(py: Python<'_>, seconds: f64) -> PyResult<f64> {
    let live = Live::new();
    block_on(py, async move {
        let _live = live;
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        Ok(seconds)
    })
}

#[pyfunction]
#[allow(unreachable_code)]
fn blocking_panic(py: Python<'_>) -> PyResult<()> {
    block_on(py, async {
        panic!("on purpose");
        Ok(())
    })
}

/// A task that attaches to Python, and blocks there.
#[pyfunction]
fn block_in_task(py: Python<'_>) -> PyResult<String> {
    block_on(py, async {
        let error = Python::attach(|py| block_on(py, async { Ok(()) })).err();
        Ok(error.map(|error| error.to_string()).unwrap_or_default())
    })
}

/// Keeps the runtime's thread for a time.
#[pyfunction]
fn keep_thread(seconds: f64) -> PyResult<()> {
    spawn(async move { std::thread::sleep(Duration::from_secs_f64(seconds)) }).map(drop)
}

/// What tasks and their drops lock.
static LOCK: Mutex<()> = Mutex::new(());

fn hold_lock(time: Duration) {
    let _held = LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    std::thread::sleep(time);
}

/// A task that holds the lock nearly all the time.
#[pyfunction]
fn keep_locking() -> PyResult<()> {
    spawn(async {
        loop {
            hold_lock(Duration::from_millis(2));
            tokio::task::yield_now().await;
        }
    })
    .map(drop)
}

/// A task that holds the lock for a time as it is dropped.
#[pyfunction]
fn lock_at_drop(seconds: f64) -> PyResult<()> {
    struct AtDrop(Duration);
    impl Drop for AtDrop {
        fn drop(&mut self) {
            hold_lock(self.0);
        }
    }
    let at_drop = AtDrop(Duration::from_secs_f64(seconds));
    spawn(async move {
        let _at_drop = at_drop;
        std::future::pending().await
    })
    .map(drop)
}

#[pyfunction]
fn is_locked() -> bool {
    matches!(LOCK.try_lock(), Err(TryLockError::WouldBlock))
}

/// Calls back with 0, 1, …, as fast as it may.
#[pyfunction]
#[pyo3(signature = (callback, count, pause = 0.0))]
fn call_with_numbers(callback: Bound<'_, PyAny>, count: u64, pause: f64) -> PyResult<()> {
    let caller = caller(callback)?;
    let live = Live::new();
    spawn(async move {
        let _live = live;
        for number in 0..count {
            if caller.call((number,)).await.is_err() {
                return;
            }
            if pause > 0.0 {
                tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            }
        }
    })?;
    Ok(())
}

static CALLER: Mutex<Option<Caller>> = Mutex::new(None);

fn kept() -> std::sync::MutexGuard<'static, Option<Caller>> {
    CALLER.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// For `try_call`.
#[pyfunction]
fn keep_caller(callback: Bound<'_, PyAny>) -> PyResult<()> {
    *kept() = Some(caller(callback)?);
    Ok(())
}

#[pyfunction]
fn drop_caller_on_another_thread() {
    let caller = kept().take();
    let dropping = std::thread::spawn(move || drop(caller));
    let _ = dropping.join();
}

#[pyfunction]
fn try_call(text: String) -> &'static str {
    match kept().as_ref().map(|caller| caller.try_call((text, 2))) {
        Some(Ok(())) => "called",
        Some(Err(CallError::Full)) => "full",
        _ => "gone",
    }
}

/// How many items the streams have made.
static MADE: AtomicUsize = AtomicUsize::new(0);

#[pyfunction]
fn made() -> usize {
    MADE.load(Ordering::SeqCst)
}

/// 0, 1, …, each after a pause.
#[pyfunction]
#[pyo3(signature = (end, pause = 0.0))]
fn numbers(py: Python<'_>, end: u64, pause: f64) -> PyResult<Bound<'_, PyAny>> {
    let live = Live::new();
    let numbers = stream::iter(0..end).then(move |number| async move {
        if pause > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
        }
        MADE.fetch_add(1, Ordering::SeqCst);
        Ok(number)
    });
    stream_into_py(
        py,
        numbers.map(move |number: PyResult<u64>| {
            let _live = &live;
            number
        }),
    )
}

/// An error between two numbers, and a tuple.
#[pyfunction]
fn items(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let tuple = PyTuple::new(py, [1, 2])?.into_any().unbind();
    let one = 1i32.into_pyobject(py)?.into_any().unbind();
    stream_into_py(py, stream::iter([Ok(one), Err(PyValueError::new_err("in between")), Ok(tuple)]))
}

#[pyfunction]
fn panicking_stream(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    stream_into_py(
        py,
        stream::iter(0..).map(|number| {
            assert!(number < 1, "on purpose");
            Ok(number)
        }),
    )
}

#[pyfunction]
fn stop(py: Python<'_>) -> PyResult<()> {
    owned_runtime_pyo3::stop(py)
}

#[pyfunction]
fn stop_soon(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    owned_runtime_pyo3::stop_into_py(py)
}

#[pymodule]
fn bridge_addon(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let mut settings = Settings::new();
    if let Ok(bound) = std::env::var("BRIDGE_STOP_BOUND") {
        settings = settings.stop_bound(Duration::from_secs_f64(bound.parse().unwrap_or(5.0)));
    }
    settings.install(module)?;
    module.add("RuntimeStopped", py.get_type::<RuntimeStopped>())?;
    module.add("RuntimeClosed", py.get_type::<RuntimeClosed>())?;
    module.add("StopOverdue", py.get_type::<StopOverdue>())?;
    module.add("TaskPanicked", py.get_type::<TaskPanicked>())?;
    module.add_function(wrap_pyfunction!(owned_runtime_pyo3::close, module)?)?;
    module.add_function(wrap_pyfunction!(owned_runtime_pyo3::running, module)?)?;
    macro_rules! add {
        ($($function:ident)*) => { $(module.add_function(wrap_pyfunction!($function, module)?)?;)* };
    }
    add!(live sleep hold hold_and_drop fail fail_with_stop_iteration unspeakable panics attaches);
    add!(blocking_sleep blocking_panic block_in_task keep_thread);
    add!(keep_locking lock_at_drop is_locked);
    add!(call_with_numbers keep_caller drop_caller_on_another_thread try_call);
    add!(made numbers items panicking_stream stop stop_soon);
    Ok(())
}
