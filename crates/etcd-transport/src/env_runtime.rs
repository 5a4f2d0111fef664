//! The one runtime of a napi env: started with the first open transport, stopped with the last.

use std::sync::{Arc, Mutex, PoisonError};

use owned_runtime::{OwnedRuntime, StartError, StopError};
use tokio::runtime::Handle;

use crate::host::report;

/// Kept as the env's instance data, so that each worker thread has its own.
pub struct EnvRuntime {
    runtime: OwnedRuntime,
    open: Mutex<u32>,
}

impl EnvRuntime {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { runtime: OwnedRuntime::new("quiesce-etcd"), open: Mutex::new(0) })
    }

    /// Starts the runtime unless it runs, and keeps it until the lease ends.
    pub fn lease(self: &Arc<Self>) -> Result<RuntimeLease, StartError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = self.runtime.start()?;
        *open += 1;
        Ok(RuntimeLease { owner: Some(self.clone()), handle })
    }

    /// For the end of the process: stops the runtime, whoever has it. Another thread may do so at the same time.
    #[cfg(unix)]
    pub fn stop_at_exit(&self) -> Result<(), StopError> {
        self.runtime.stop()
    }
}

/// One transport's share in its env's runtime.
pub struct RuntimeLease {
    owner: Option<Arc<EnvRuntime>>,
    handle: Handle,
}

impl RuntimeLease {
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Gives the share back; the last one signals and joins the runtime's thread.
    pub fn end(mut self) -> Result<(), StopError> {
        self.release()
    }

    fn release(&mut self) -> Result<(), StopError> {
        let Some(owner) = self.owner.take() else { return Ok(()) };
        let mut open = owner.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open -= 1;
        if *open == 0 { owner.runtime.stop() } else { Ok(()) }
    }
}

impl Drop for RuntimeLease {
    fn drop(&mut self) {
        report(self.release());
    }
}
