//! The event loops that the bridge serves. Each has one side, which is made when the first call comes from that loop.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use crate::event_loop::LoopSide;
use crate::interpreter::{lock, Interpreter};
use crate::queue::Queue;
use crate::watch::watch;

impl LoopSide {
    /// The side of the running loop.
    pub(crate) fn running<'py>(py: Python<'py>, interpreter: &'static Interpreter) -> PyResult<Bound<'py, Self>> {
        static GET_RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let event_loop = GET_RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()?;
        let key = event_loop.as_ptr() as usize;
        let found = lock(&interpreter.sides).get(&key).map(|weak| weak.clone_ref(py));
        if let Some(side) = found.and_then(|weak| upgrade(weak.bind(py))) {
            if side.get().event_loop(py).is(&event_loop) && !side.get().has_ended() {
                return Ok(side);
            }
        }
        add(event_loop, key, interpreter)
    }
}

fn add<'py>(
    event_loop: Bound<'py, PyAny>,
    key: usize,
    interpreter: &'static Interpreter,
) -> PyResult<Bound<'py, LoopSide>> {
    let py = event_loop.py();
    end_closed_loops(py, interpreter)?;
    let queue = Queue::new(interpreter)?;
    let side = Bound::new(py, LoopSide::new(&event_loop, queue))?;
    watch(&event_loop, &side)?;
    let weak = PyWeakrefReference::new(&side)?.unbind();
    let old = lock(&interpreter.sides).insert(key, weak);
    drop(old);
    Ok(side)
}

fn upgrade<'py>(weak: &Bound<'py, PyWeakrefReference>) -> Option<Bound<'py, LoopSide>> {
    weak.upgrade().and_then(|side| side.cast_into::<LoopSide>().ok())
}

/// For loops whose end went unnoticed: they don't drop their watcher when they close.
fn end_closed_loops(py: Python<'_>, interpreter: &Interpreter) -> PyResult<()> {
    let all: Vec<_> = lock(&interpreter.sides).iter().map(|(key, weak)| (*key, weak.clone_ref(py))).collect();
    for (key, weak) in all {
        let side = upgrade(weak.bind(py));
        let is_over = match &side {
            Some(side) => side.get().event_loop(py).call_method0(intern!(py, "is_closed"))?.is_truthy()?,
            None => true,
        };
        if is_over {
            let mut sides = lock(&interpreter.sides);
            let removed = sides.get(&key).is_some_and(|now| now.is(&weak)).then(|| sides.remove(&key));
            drop(sides);
            drop(removed);
            if let Some(side) = side {
                side.get().end();
            }
        }
    }
    Ok(())
}
