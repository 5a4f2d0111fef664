use std::future::Future;
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use owned_runtime::panic::CatchPanic;
use pyo3::prelude::*;
use tokio::task::AbortHandle;

use crate::exceptions::panicked;
use crate::gate::Inside;
use crate::interpreter::Interpreter;

/// How often a wait checks for signals. The value itself wakes it at once.
const SIGNALS_EVERY: Duration = Duration::from_millis(50);

/// Spawns a task on the module's runtime, and returns a handle that aborts it. The task ends with the runtime at the
/// latest.
///
/// # Errors
///
/// [`RuntimeClosed`](crate::RuntimeClosed), at once, when the interpreter is exiting.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> PyResult<AbortHandle> {
    Ok(Interpreter::enter()?.start()?.spawn(future).abort_handle())
}

/// Runs a future as a task of the module's runtime, and waits for its value without the GIL.
///
/// Signals are handled meanwhile: Ctrl-C drops the future and raises `KeyboardInterrupt`. The end of the runtime raises
/// [`RuntimeStopped`](crate::RuntimeStopped). When the interpreter exits, a daemon thread that waits here stays there:
/// it could no longer run Python.
///
/// # Errors
///
/// Those that [`future_into_py`](crate::future_into_py) raises, and those that the future returns.
pub fn block_on<T: Send + 'static>(
    py: Python<'_>,
    future: impl Future<Output = PyResult<T>> + Send + 'static,
) -> PyResult<T> {
    let entered = Interpreter::enter()?;
    let interpreter = entered.interpreter();
    if interpreter.is_own_thread() {
        return Err(crate::exceptions::own_thread());
    }
    let (sender, mut receiver) = sync_channel(1);
    let task = entered.start()?.spawn(async move {
        // The receiver may have been interrupted.
        let _ = sender.send(CatchPanic::new(future).await);
    });
    let _task = AbortAtDrop(task.abort_handle());
    drop(entered);
    loop {
        let (result, _inside) = py.detach(|| wait(&mut receiver, interpreter));
        match result {
            Ok(Ok(result)) => return result,
            Ok(Err(message)) => return Err(panicked(message)),
            Err(RecvTimeoutError::Disconnected) => return Err(interpreter.stopped()),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
        }
    }
}

/// Must be called without the GIL. With its result, the GIL may be requested again.
fn wait<T>(
    receiver: &mut Receiver<T>,
    interpreter: &'static Interpreter,
) -> (Result<T, RecvTimeoutError>, Inside<'static>) {
    let result = receiver.recv_timeout(SIGNALS_EVERY);
    match interpreter.gate.enter() {
        Some(inside) => (result, inside),
        // The interpreter is exiting: requesting the GIL would unwind this thread by force.
        None => loop {
            thread::park();
        },
    }
}

struct AbortAtDrop(AbortHandle);

impl Drop for AbortAtDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
