//! The transports' shares in the runtime of their env. The runtime is started with the first open transport and stopped
//! with the last. All of that happens on the env's own thread.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::Arc;

use owned_runtime::{StartError, StopError};
use owned_runtime_napi::EnvRuntime;
use tokio::runtime::Handle;

thread_local! {
    static OPEN: Cell<u32> = const { Cell::new(0) };
}

/// One transport's share in its env's runtime.
pub struct RuntimeLease {
    runtime: Arc<EnvRuntime>,
    handle: Handle,
    ended: bool,
}

impl RuntimeLease {
    /// Starts the runtime unless it is running, and keeps it until the lease ends.
    pub fn new(runtime: Arc<EnvRuntime>) -> Result<Self, StartError> {
        let handle = runtime.runtime().start()?;
        OPEN.set(OPEN.get() + 1);
        Ok(Self { runtime, handle, ended: false })
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Returns the share. The last one signals and joins the runtime's thread.
    pub fn end(mut self) -> Result<(), StopError> {
        self.release()
    }

    fn release(&mut self) -> Result<(), StopError> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        // On a thread that is ending, only the env itself stops the runtime.
        let last = OPEN.try_with(|open| open.replace(open.get().saturating_sub(1)) == 1);
        if last == Ok(true) { self.runtime.runtime().stop() } else { Ok(()) }
    }
}

impl Drop for RuntimeLease {
    fn drop(&mut self) {
        report(self.release());
    }
}

/// Writes an error to standard error, where no caller can take it.
pub fn report(closed: Result<(), StopError>) {
    if let Err(error) = closed {
        // Not eprintln, which panics if stderr is closed.
        let _ = writeln!(io::stderr(), "@quiesce/etcd: {error}");
    }
}
