//! Calls JavaScript from another thread, and keeps its event loop alive.

use std::cell::Cell;
use std::sync::Arc;

use napi::bindgen_prelude::*;
use owned_runtime_napi::WakeFunction;

use crate::completions::Wake;

/// Calls JavaScript's `wake` from any thread.
pub struct WakeUp(Arc<WakeFunction>);

impl WakeUp {
    pub fn new(env: Env, wake: Function<'_, (), ()>) -> Result<Self> {
        Ok(Self(Arc::new(WakeFunction::new(env, &wake, "quiesce-etcd wake")?)))
    }

    pub fn hold(&self) -> EventLoopHold {
        EventLoopHold { wake: self.0.clone(), held: Cell::new(false) }
    }
}

impl Wake for WakeUp {
    fn wake(&self) {
        self.0.call();
    }
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
