#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod blocking;
mod caller;
mod context;
mod event_loop;
mod exceptions;
mod forks;
mod future;
mod gate;
mod interpreter;
mod loops;
mod queue;
mod settings;
mod stream;
mod watch;

use pyo3::prelude::*;

pub use blocking::{block_on, spawn};
pub use caller::{caller, CallError, Caller};
pub use context::{running, stop_into_py};
pub use exceptions::{error_into_py, RuntimeClosed, RuntimeStopped, StopOverdue, TaskPanicked};
pub use future::future_into_py;
pub use interpreter::{close, stop};
pub use settings::Settings;
pub use stream::stream_into_py;

/// Gives a module its runtime. Call it in the `#[pymodule]` function. It starts nothing.
///
/// # Errors
///
/// `ImportError` if another interpreter of the process has loaded the module; what Python's `atexit` and `os` raise.
pub fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    Settings::new().install(module)
}
