use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_core::Stream;
use owned_runtime::panic::CatchPanic;
use pyo3::exceptions::{PyRuntimeError, PyStopAsyncIteration, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;
use tokio::sync::Semaphore;

use crate::event_loop::LoopSide;
use crate::exceptions::panicked;
use crate::future::to_python;
use crate::interpreter::{lock, Entered, Interpreter};
use crate::queue::{FutureId, Make, Message, Queue};

/// How many items are read ahead.
const AHEAD: usize = 16;

/// Makes a Python async iterator of a stream, for `async for`.
///
/// The stream is polled by a task of the module's runtime from the first `__anext__` on, up to 16 items ahead of
/// Python: a slow loop holds it back. An item that is `Err` is raised, and the iteration may continue after it. Cancelling
/// an `__anext__` loses no item. The stream is dropped when the iterator is (or by its `aclose()`), at the end of the
/// event loop that iterates it, and at the end of the runtime.
///
/// ```no_run
/// # use futures_core::Stream;
/// # use owned_runtime_pyo3::stream_into_py;
/// # use pyo3::prelude::*;
/// # fn ticks() -> impl Stream<Item = PyResult<u64>> + Send + 'static { futures_util::stream::empty() }
/// #[pyfunction]
/// fn watch(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
///     stream_into_py(py, ticks())
/// }
/// ```
///
/// # Errors
///
/// Those of [`future_into_py`](crate::future_into_py); an event loop is needed by the iteration only.
pub fn stream_into_py<'py, T>(
    py: Python<'py>,
    stream: impl Stream<Item = PyResult<T>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>>
where
    T: for<'a> IntoPyObject<'a> + Send + 'static,
{
    let entered = Interpreter::enter()?;
    entered.must_be_open()?;
    let ahead = Arc::new(Ahead { state: Mutex::default(), room: Semaphore::new(AHEAD) });
    let pump: Pump = Box::new(|ending| Box::pin(pump(Box::pin(stream), ending)));
    let interpreter = entered.interpreter();
    Bound::new(py, AsyncIterator { interpreter, ahead, stage: Mutex::new(Stage::Waiting(pump)) }).map(Bound::into_any)
}

type Pump = Box<dyn FnOnce(Ending) -> Pin<Box<dyn std::future::Future<Output = ()> + Send>> + Send>;

/// The state that the task and Python share.
struct Ahead {
    state: Mutex<State>,
    room: Semaphore,
}

#[derive(Default)]
struct State {
    items: VecDeque<Make<PyAny>>,
    has_ended: bool,
    /// The futures of those who wait for an item. The next item settles all of them, and they then look for it.
    waiting: Vec<FutureId>,
}

impl Ahead {
    fn add(&self, queue: &Queue, item: Option<Make<PyAny>>) {
        let waiting = {
            let mut state = lock(&self.state);
            match item {
                // Nobody takes the item any more.
                Some(_) if state.has_ended => (),
                Some(item) => state.items.push_back(item),
                None => state.has_ended = true,
            }
            std::mem::take(&mut state.waiting)
        };
        for id in waiting {
            queue.push(Message::Settle(id, Box::new(|py| Ok(py.None()))));
        }
    }

    fn take(&self) -> Taken {
        let mut state = lock(&self.state);
        match state.items.pop_front() {
            Some(item) => Taken::Item(item),
            None if state.has_ended => Taken::End,
            None => Taken::Nothing,
        }
    }
}

enum Taken {
    Item(Make<PyAny>),
    End,
    Nothing,
}

async fn pump<T>(mut stream: Pin<Box<impl Stream<Item = PyResult<T>>>>, mut ending: Ending)
where
    T: for<'a> IntoPyObject<'a> + Send + 'static,
{
    while let Ok(permit) = ending.ahead.room.acquire().await {
        permit.forget();
        match CatchPanic::new(poll_fn(|cx| stream.as_mut().poll_next(cx))).await {
            Ok(Some(item)) => ending.add(Some(Box::new(move |py| to_python(item?, py)))),
            Ok(None) => break,
            Err(message) => {
                ending.add(Some(Box::new(move |_| Err(panicked(message)))));
                break;
            }
        }
    }
    ending.is_stopped = false;
}

/// The end of the task is the end of the iteration, whatever ends it. It is made before the task, as the task may be
/// aborted before it is polled.
struct Ending {
    ahead: Arc<Ahead>,
    queue: Arc<Queue>,
    is_stopped: bool,
}

impl Ending {
    fn add(&self, item: Option<Make<PyAny>>) {
        self.ahead.add(&self.queue, item);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.is_stopped {
            let error = self.queue.interpreter.stopped();
            self.add(Some(Box::new(move |_| Err(error))));
        }
        self.add(None);
    }
}

#[pyclass(frozen, module = "owned_runtime")]
struct AsyncIterator {
    interpreter: &'static Interpreter,
    ahead: Arc<Ahead>,
    stage: Mutex<Stage>,
}

enum Stage {
    /// Nobody has iterated yet.
    Waiting(Pump),
    /// On an event loop, where the task has this number.
    Running(Py<PyWeakrefReference>, u64),
    Ended,
}

impl AsyncIterator {
    /// The side of the event loop that iterates. That is the first loop that did.
    fn side<'py>(&self, py: Python<'py>, entered: &Entered) -> PyResult<Bound<'py, LoopSide>> {
        let side = LoopSide::running(py, entered.interpreter())?;
        let of = match &*lock(&self.stage) {
            Stage::Running(of, _) => Some(of.clone_ref(py)),
            Stage::Ended => return Ok(side),
            Stage::Waiting(_) => None,
        };
        if let Some(of) = of {
            let same = of.call0(py)?.is(&side);
            return same
                .then_some(side)
                .ok_or_else(|| PyRuntimeError::new_err("the iterator belongs to another event loop"));
        }
        let handle = entered.start()?;
        let number = side.get().queue.number();
        let running = Stage::Running(PyWeakrefReference::new(&side)?.unbind(), number);
        let Stage::Waiting(pump) = std::mem::replace(&mut *lock(&self.stage), running) else {
            return Ok(side);
        };
        let ending = Ending { ahead: self.ahead.clone(), queue: side.get().queue.clone(), is_stopped: true };
        let task = handle.spawn(pump(ending));
        side.get().adopt(number, task.abort_handle());
        Ok(side)
    }

    /// The next item, or a future to await before this is called again.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Next<'py>> {
        let entered = self.interpreter.enter_again()?;
        let side = self.side(py, &entered)?;
        loop {
            match self.ahead.take() {
                Taken::Item(item) => {
                    self.ahead.room.add_permits(1);
                    return item(py).map(|item| Next::Item(item.into_bound(py)));
                }
                Taken::End => return Ok(Next::End),
                Taken::Nothing => (),
            }
            let (future, id) = LoopSide::create_future(&side)?;
            let mut state = lock(&self.ahead.state);
            if state.items.is_empty() && !state.has_ended {
                state.waiting.push(id);
                return Ok(Next::Wait(future));
            }
            drop(state);
            // The item has arrived meanwhile.
            future.call_method0(intern!(py, "cancel"))?;
        }
    }

    fn end(&self, py: Python<'_>) {
        if !self.interpreter.is_current() {
            return;
        }
        // First of all, so that the task's end adds no error.
        let items = {
            let mut state = lock(&self.ahead.state);
            state.has_ended = true;
            std::mem::take(&mut state.items)
        };
        drop(items);
        let stage = std::mem::replace(&mut *lock(&self.stage), Stage::Ended);
        if let Stage::Running(side, number) = stage {
            let side = side.call0(py).ok().and_then(|side| side.into_bound(py).cast_into::<LoopSide>().ok());
            if let Some(side) = side {
                side.get().abort(number);
            }
        }
    }
}

enum Next<'py> {
    Item(Bound<'py, PyAny>),
    End,
    Wait(Bound<'py, PyAny>),
}

#[pymethods]
impl AsyncIterator {
    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(slf: Bound<'_, Self>) -> Awaiting {
        Awaiting { iterator: slf.unbind(), waiting: Mutex::default() }
    }

    /// Drops the stream. Waiting calls end the iteration.
    fn aclose<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let entered = self.interpreter.enter_again()?;
        let side = LoopSide::running(py, entered.interpreter())?;
        self.end(py);
        side.get().settled(py.None().bind(py))
    }
}

impl Drop for AsyncIterator {
    fn drop(&mut self) {
        if self.interpreter.is_current() {
            Python::attach(|py| {
                // An exception may be on its way past the frame that had the iterator, and calls would lose it.
                let raised = PyErr::take(py);
                self.end(py);
                if let Some(raised) = raised {
                    raised.restore(py);
                }
            });
        }
    }
}

/// The result of `__anext__`. It takes the item only when it is resumed, so a cancelled one loses no item.
#[pyclass(frozen, module = "owned_runtime")]
struct Awaiting {
    iterator: Py<AsyncIterator>,
    /// The iterator of the awaited future.
    waiting: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl Awaiting {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let waited = lock(&self.waiting).take();
        if let Some(waited) = waited {
            // Not settled yet, or cancelled. The future tells which.
            match waited.call_method0(py, intern!(py, "__next__")) {
                Ok(future) => {
                    *lock(&self.waiting) = Some(waited);
                    return Ok(future.into_bound(py));
                }
                Err(error) if error.is_instance_of::<PyStopIteration>(py) => (),
                Err(error) => return Err(error),
            }
        }
        match self.iterator.get().next(py)? {
            Next::Item(item) => Err(PyStopIteration::new_err((item.unbind(),))),
            Next::End => Err(PyStopAsyncIteration::new_err(())),
            Next::Wait(future) => {
                let waiting = future.call_method0(intern!(py, "__await__"))?;
                let yielded = waiting.call_method0(intern!(py, "__next__"))?;
                *lock(&self.waiting) = Some(waiting.unbind());
                Ok(yielded)
            }
        }
    }
}
