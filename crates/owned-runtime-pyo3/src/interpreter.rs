//! The interpreter's part of this crate: one runtime, the event loops that it serves, and the ways to its end.
//!
//! It is kept in a static, because a pyo3 module has no state of its own. So only one interpreter of a process can use it:
//! [`install`] refuses a second one, which Python up to 3.11 would let load the module. The crate is linked into each extension
//! module separately, so each module has its own static.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use owned_runtime::{OwnedRuntime, StopError};
use pyo3::exceptions::{PyImportError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyWeakrefReference};
use tokio::runtime::Handle;

use crate::exceptions::{closed, not_installed, of_start, of_stop, StopOverdue};
use crate::forks::Forks;
use crate::gate::{Gate, Inside};
use crate::Settings;

/// Null until installed. In a forked child it is replaced and never freed, as the locks of the old one may be held
/// forever.
static CURRENT: AtomicPtr<Interpreter> = AtomicPtr::new(ptr::null_mut());

/// How long the interpreter's end waits for other threads to leave this crate's functions. These functions wait only
/// for the GIL. So it takes that long only if Python code does that runs while a value is converted.
const LEAVE_BOUND: Duration = Duration::from_secs(5);

/// Things that must stop calling at the interpreter's end, before its threads are joined.
pub(crate) trait AtEnd: fmt::Debug + Send + Sync {
    /// From now on nobody listens. May be called more than once.
    fn silence(&self);
}

#[derive(Debug)]
pub(crate) struct Interpreter {
    settings: Settings,
    /// The `sys` of the interpreter that has loaded the module. Each interpreter has its own. The reference is never given
    /// back, so that no other `sys` gets its address.
    sys: usize,
    runtime: OwnedRuntime,
    forks: Forks,
    pub(crate) gate: Gate,
    /// The sides of the event loops, by the loop's address. A live weak reference keeps its loop alive.
    pub(crate) sides: Mutex<HashMap<usize, Py<PyWeakrefReference>>>,
    at_end: Mutex<Vec<Weak<dyn AtEnd>>>,
    /// How many contexts of `running()` are open.
    pub(crate) contexts: Mutex<usize>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Interpreter {
    fn new(settings: Settings, sys: usize, is_closed: bool) -> &'static Self {
        let runtime = settings.runtime();
        Box::leak(Box::new(Self {
            settings,
            sys,
            runtime,
            forks: Forks::default(),
            gate: Gate::new(is_closed),
            sides: Mutex::default(),
            at_end: Mutex::default(),
            contexts: Mutex::default(),
        }))
    }

    fn installed() -> Option<&'static Self> {
        // SAFETY: what is published is never freed.
        unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
    }

    /// For code that uses Python. Until the guard is dropped, the interpreter's end waits.
    ///
    /// Returns an error where no module is installed, and once the interpreter is exiting.
    pub(crate) fn enter() -> PyResult<Entered> {
        let interpreter = Self::installed().ok_or_else(not_installed)?;
        let inside = interpreter.gate.enter().ok_or_else(closed)?;
        Ok(Entered { interpreter, _inside: inside })
    }

    /// Like `enter`, for an object that was made earlier.
    pub(crate) fn enter_again(&'static self) -> PyResult<Entered> {
        let entered = Self::enter()?;
        if self.is_current() {
            Ok(entered)
        } else {
            Err(PyRuntimeError::new_err(
                "this object belongs to the parent process, which made it before the fork: make a new one",
            ))
        }
    }

    /// An error for an interpreter other than the one that has loaded the module.
    fn must_be_of(&self, sys: usize) -> PyResult<()> {
        if self.sys == sys {
            return Ok(());
        }
        Err(PyImportError::new_err(
            "the module was loaded by another interpreter of this process: its runtime belongs to that one",
        ))
    }

    /// False in a forked child, for an object that was made before the fork.
    pub(crate) fn is_current(&self) -> bool {
        ptr::eq(CURRENT.load(Ordering::Acquire), self)
    }

    /// The runtime's handle, or an error once it is closed. Never waits.
    pub(crate) fn start(&self) -> PyResult<Handle> {
        self.runtime.start().map_err(of_start)
    }

    /// For code that starts nothing yet.
    pub(crate) fn must_be_open(&self) -> PyResult<()> {
        if self.runtime.is_closed() {
            Err(closed())
        } else {
            Ok(())
        }
    }

    pub(crate) fn stop(&self) -> Result<(), StopError> {
        self.forks.stopping(|| self.runtime.stop())
    }

    fn close(&self) -> Result<(), StopError> {
        self.forks.stopping(|| self.runtime.close())
    }

    /// Until the fork is over, no task is polled or dropped on the runtime's threads.
    fn pause(&self, py: Python<'_>) {
        // A task that forks, against the rules, can't wait for itself.
        if self.is_own_thread() {
            return;
        }
        let runtime = if self.runtime.is_running() { self.runtime.start().ok() } else { None };
        if runtime.is_some() || self.forks.is_stopping() {
            py.detach(|| self.forks.pause(runtime, self.settings.threads()));
        }
    }

    pub(crate) fn is_own_thread(&self) -> bool {
        self.runtime.is_own_thread()
    }

    pub(crate) fn stopped(&self) -> PyErr {
        if self.runtime.is_closed() {
            closed()
        } else {
            crate::RuntimeStopped::new_err("the module's runtime was stopped while the call was under way")
        }
    }

    pub(crate) fn silence_at_end(&self, what: Weak<dyn AtEnd>) {
        let mut all = lock(&self.at_end);
        all.retain(|one| one.strong_count() > 0);
        all.push(what);
    }

    /// For the interpreter's exit, when nobody is left to handle a result.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        self.gate.shut();
        let all = std::mem::take(&mut *lock(&self.at_end));
        for one in all.iter().filter_map(Weak::upgrade) {
            one.silence();
        }
        // A subinterpreter that ends with the process. Once its thread has released the GIL, it never gets it again. Nor does
        // any other thread, so there is none to wait for. The runtime's threads need no GIL.
        if py.import("sys")?.call_method0("is_finalizing")?.is_truthy()? {
            return self.close().map_err(of_stop);
        }
        let (closed, all_left) = py.detach(|| (self.close(), self.gate.wait_for_others(LEAVE_BOUND)));
        closed.map_err(of_stop)?;
        if all_left {
            return Ok(());
        }
        Err(StopOverdue::new_err(format!("a thread is still inside the module after {LEAVE_BOUND:?}")))
    }
}

/// An interpreter that isn't ending yet.
#[derive(Debug)]
pub(crate) struct Entered {
    interpreter: &'static Interpreter,
    _inside: Inside<'static>,
}

impl Entered {
    /// Enters without its guard.
    pub(crate) fn interpreter(&self) -> &'static Interpreter {
        self.interpreter
    }
}

impl Deref for Entered {
    type Target = Interpreter;

    fn deref(&self) -> &Interpreter {
        self.interpreter
    }
}

impl Settings {
    /// Like [`install`](crate::install), with these settings.
    ///
    /// # Errors
    ///
    /// Those of [`install`](crate::install).
    pub fn install(self, module: &Bound<'_, PyModule>) -> PyResult<()> {
        install(module.py(), self.or_named(module.name()?.to_string()))
    }
}

fn install(py: Python<'_>, settings: Settings) -> PyResult<()> {
    let sys = py.import("sys")?;
    let own = sys.as_ptr() as usize;
    if let Some(interpreter) = Interpreter::installed() {
        return interpreter.must_be_of(own);
    }
    let fresh = Interpreter::new(settings, own, false);
    if CURRENT
        .compare_exchange(
            ptr::null_mut(),
            (fresh as *const Interpreter).cast_mut(),
            Ordering::AcqRel,
            Ordering::Acquire,
        )
        .is_err()
    {
        return Interpreter::installed().map_or(Ok(()), |interpreter| interpreter.must_be_of(own));
    }
    std::mem::forget(sys);
    py.import("atexit")?.call_method1("register", (wrap_pyfunction!(at_exit, py)?,))?;
    let os = py.import("os")?;
    if os.hasattr("register_at_fork")? {
        let handlers = PyDict::new(py);
        handlers.set_item("before", wrap_pyfunction!(before_fork, py)?)?;
        handlers.set_item("after_in_parent", wrap_pyfunction!(after_fork_in_parent, py)?)?;
        handlers.set_item("after_in_child", wrap_pyfunction!(after_fork_in_child, py)?)?;
        os.call_method("register_at_fork", (), Some(&handlers))?;
    }
    Ok(())
}

#[pyfunction]
fn at_exit(py: Python<'_>) -> PyResult<()> {
    Interpreter::installed().map_or(Ok(()), |interpreter| interpreter.end(py))
}

#[pyfunction]
fn before_fork(py: Python<'_>) {
    // Otherwise the interpreter is exiting, which may not be waited for.
    if let Ok(entered) = Interpreter::enter() {
        entered.pause(py);
    }
}

#[pyfunction]
fn after_fork_in_parent() {
    if let Some(interpreter) = Interpreter::installed() {
        interpreter.forks.resume();
    }
}

/// The old state is left as it is: its threads don't exist here, and its locks may be held.
#[pyfunction]
fn after_fork_in_child() {
    let Some(old) = Interpreter::installed() else { return };
    let fresh = Interpreter::new(old.settings.clone(), old.sys, old.gate.is_shut());
    if old.runtime.is_closed() {
        // Nothing is running, so this neither waits nor fails.
        let _ = fresh.runtime.close();
    }
    CURRENT.store((fresh as *const Interpreter).cast_mut(), Ordering::Release);
}

/// Ends the module's runtime; it starts again when it is next used.
///
/// Drops its tasks and waits, without the GIL, until its threads are gone. Calls under way end with
/// [`RuntimeStopped`](crate::RuntimeStopped). It is for the close of an addon's last client. The interpreter's exit
/// needs no such call.
///
/// # Errors
///
/// [`StopOverdue`](crate::StopOverdue) if a thread isn't gone within the stop bound.
pub fn stop(py: Python<'_>) -> PyResult<()> {
    let Some(interpreter) = Interpreter::installed() else { return Ok(()) };
    py.detach(|| interpreter.stop()).map_err(of_stop)
}

/// Ends the module's runtime for good. The interpreter's exit does the same automatically.
///
/// Calls under way end with [`RuntimeClosed`](crate::RuntimeClosed), and so does each later one, at once. May be called
/// again. It is a Python function, too: `module.add_function(wrap_pyfunction!(owned_runtime_pyo3::close, module)?)`.
///
/// # Errors
///
/// [`StopOverdue`](crate::StopOverdue) if a thread isn't gone within the stop bound; it is closed anyway.
#[pyfunction]
pub fn close(py: Python<'_>) -> PyResult<()> {
    let Some(interpreter) = Interpreter::installed() else { return Ok(()) };
    py.detach(|| interpreter.close()).map_err(of_stop)
}
