//! Calls JavaScript from another thread, and keeps its event loop alive.

use std::cell::Cell;
use std::sync::Arc;

use napi::bindgen_prelude::*;
use owned_runtime_napi::WakeFunction;

use crate::completions::Wake;

/// Calls JavaScript's `wake` from any thread.
pub struct WakeUp(Arc<WakeFunction>);

impl WakeUp {
    pub fn new(env: Env, wake: &Function<'_, (), ()>) -> Result<Self> {
        Ok(Self(Arc::new(WakeFunction::new(env, wake, "quiesce-etcd wake")?)))
    }

    pub fn hold(&self) -> EventLoopHold {
        EventLoopHold { wake: self.0.clone(), held: Cell::new(false) }
    }
}

impl Wake for WakeUp {
    fn wake(&self) {
        let noted = DIRECT.try_with(|woken| woken.get().is_some() && woken.replace(Some(true)).is_some());
        if noted != Ok(true) {
            self.0.call();
        }
    }
}

thread_local! {
    /// Within [`is_woken_by`], whether it was woken.
    static DIRECT: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Whether that wakes JavaScript on this thread, which is its own. The caller must then call its `wake`.
#[cfg(unix)]
pub fn is_woken_by(poll: impl FnOnce()) -> bool {
    DIRECT.set(Some(false));
    poll();
    DIRECT.take() == Some(true)
}

/// Keeps the event loop alive while calls are in flight, like an open socket.
pub struct EventLoopHold {
    wake: Arc<WakeFunction>,
    held: Cell<bool>,
}

impl EventLoopHold {
    pub fn set(&self, env: Env, held: bool) -> Result<()> {
        if self.held.replace(held) == held { Ok(()) } else { self.wake.set_referenced(env, held) }
    }
}
