//! How Python code sees failures: typed exceptions, and Rust errors with their causes.

use std::error::Error;

use owned_runtime::{StartError, StopError};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyRuntimeError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::PyType;
use pyo3::{PyErrArguments, PyTypeInfo};

create_exception!(
    owned_runtime,
    RuntimeStopped,
    PyRuntimeError,
    "The module's runtime was stopped while the call was under way."
);
create_exception!(
    owned_runtime,
    RuntimeClosed,
    RuntimeStopped,
    "The module's runtime is closed for good, as it is when the interpreter exits: nothing new can be started."
);
create_exception!(
    owned_runtime,
    StopOverdue,
    PyTimeoutError,
    "A thread of the module's runtime has not ended within its bound: a task or a blocking call holds it."
);
create_exception!(owned_runtime, TaskPanicked, PyRuntimeError, "A task of the module's runtime panicked.");

pub(crate) fn closed() -> PyErr {
    RuntimeClosed::new_err(
        "the module's runtime is closed: nothing new can be started, as the interpreter is exiting or close was called",
    )
}

pub(crate) fn not_installed() -> PyErr {
    PyRuntimeError::new_err(
        "the module has no runtime: call owned_runtime_pyo3::install(module) in its #[pymodule] function",
    )
}

pub(crate) fn panicked(message: String) -> PyErr {
    TaskPanicked::new_err(format!("the task panicked: {message}"))
}

pub(crate) fn own_thread() -> PyErr {
    PyRuntimeError::new_err("one of the module's runtime's own threads can't block on it, as it would wait for itself: await the future instead")
}

pub(crate) fn of_start(error: StartError) -> PyErr {
    match error {
        StartError::Closed { .. } => closed(),
        StartError::Overdue { .. } => StopOverdue::new_err(error.to_string()),
        error => error_into_py::<PyRuntimeError>(error),
    }
}

pub(crate) fn of_stop(error: StopError) -> PyErr {
    match error {
        StopError::Overdue { .. } => StopOverdue::new_err(error.to_string()),
        StopError::Panicked { .. } => TaskPanicked::new_err(error.to_string()),
        error => PyRuntimeError::new_err(error.to_string()),
    }
}

/// Makes a Python exception of type `T` from a Rust error. Its message is the error's. Its `__cause__` is the error's
/// [source](Error::source), as an `Exception`, and so on down the chain.
///
/// It needs no Python: the exception is made when the error reaches Python. So it can be called in a task.
///
/// ```no_run
/// # use owned_runtime_pyo3::{error_into_py, future_into_py};
/// # use pyo3::{exceptions::PyConnectionError, prelude::*};
/// # async fn connect() -> Result<(), std::io::Error> { Ok(()) }
/// #[pyfunction]
/// fn ping(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
///     future_into_py(py, async { connect().await.map_err(error_into_py::<PyConnectionError>) })
/// }
/// ```
pub fn error_into_py<T: PyTypeInfo>(error: impl Error) -> PyErr {
    let mut messages = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        messages.push(error.to_string());
        source = error.source();
    }
    PyErr::new::<T, _>(Chain { messages, make: T::type_object })
}

/// An exception that is made with its causes. Python accepts a value that is an instance of the exception's type as the
/// exception itself.
struct Chain {
    messages: Vec<String>,
    make: for<'py> fn(Python<'py>) -> Bound<'py, PyType>,
}

impl Chain {
    fn exception<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut cause = None;
        for (depth, message) in self.messages.iter().enumerate().rev() {
            let of = if depth == 0 { (self.make)(py) } else { py.get_type::<PyException>() };
            let exception = of.call1((message,))?;
            if let Some(cause) = cause {
                exception.setattr("__cause__", cause)?;
            }
            cause = Some(exception);
        }
        cause.ok_or_else(|| PyRuntimeError::new_err("an error without a message"))
    }
}

impl PyErrArguments for Chain {
    fn arguments(self, py: Python<'_>) -> Py<PyAny> {
        // A type that can't be made from a message. Its error is the argument.
        match self.exception(py) {
            Ok(exception) => exception.unbind(),
            Err(error) => error.into_value(py).into_any(),
        }
    }
}
