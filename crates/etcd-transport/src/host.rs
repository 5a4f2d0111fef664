//! A transport's part on its env's runtime, until JavaScript closes it. The env's end closes the runtime itself
//! (owned-runtime-napi). Then the transport's part there is dropped, and nothing is called back.

use std::cell::RefCell;
use std::sync::Arc;

use owned_runtime::StopError;
use owned_runtime_napi::EnvRuntime;
use tokio::sync::mpsc::UnboundedSender;

use crate::completions::Completions;
use crate::frames::Commands;
use crate::lease::{RuntimeLease, report};
use crate::shared_task::SharedTask;

/// A transport's side of its runtime, until it is closed.
pub struct OpenTransport {
    side: RefCell<Option<RuntimeSide>>,
    runtime: Arc<EnvRuntime>,
    completions: Arc<Completions>,
}

/// What a transport has on its runtime.
pub struct RuntimeSide {
    pub lease: RuntimeLease,
    pub submit: UnboundedSender<Commands>,
    pub service: Arc<SharedTask>,
}

impl OpenTransport {
    /// Has no side where the env or the process is ending.
    pub fn new(runtime: Arc<EnvRuntime>, side: Option<RuntimeSide>, completions: Arc<Completions>) -> Self {
        Self { side: RefCell::new(side), runtime, completions }
    }

    /// Passes commands to the service, and carries them out on this thread if `here` is set. False once closed. Where
    /// the env or the process is ending, the commands are dropped and their calls stay unsettled: nobody is left to
    /// receive their results.
    pub fn submit(&self, commands: Commands, here: bool) -> bool {
        self.send(commands, here) || self.runtime.is_closed()
    }

    fn send(&self, commands: Commands, here: bool) -> bool {
        let side = self.side.borrow();
        let Some(RuntimeSide { lease, submit, service }) = &*side else { return false };
        if !here {
            return submit.send(commands).is_ok();
        }
        let _context = lease.handle().enter();
        let mut sent = false;
        service.carry_on_after(|| sent = submit.send(commands).is_ok());
        sent
    }

    pub fn completions(&self) -> &Completions {
        &self.completions
    }

    /// First stops the callbacks, then the thread. Idempotent. An error means that the runtime's thread outlived its
    /// bound.
    pub fn close(&self) -> Result<(), StopError> {
        self.completions.close();
        let Some(RuntimeSide { lease, submit, service }) = self.side.take() else { return Ok(()) };
        drop(submit);
        drop(service);
        lease.end()
    }
}

impl Drop for OpenTransport {
    fn drop(&mut self) {
        report(self.close());
    }
}
