//! What ties a transport to its napi env: the runtime that it shares, and the cleanup hook that closes it when the env
//! goes. All happens on the env's own thread.

use std::cell::RefCell;
use std::ffi::c_void;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi::{check_status, sys};
use owned_runtime::StopError;
use tokio::sync::mpsc::UnboundedSender;

use crate::completions::Completions;
use crate::env_runtime::RuntimeLease;
use crate::frames::Commands;
use crate::process_exit::Listing;
use crate::shared_task::SharedTask;

/// A transport's side of its runtime, until it is closed: by JavaScript or by the env's end.
pub struct OpenTransport {
    shared: Rc<Shared>,
    env: sys::napi_env,
}

struct Shared {
    runtime: RefCell<Option<RuntimeSide>>,
    completions: Arc<Completions>,
}

/// What a transport has on its runtime.
pub struct RuntimeSide {
    pub lease: RuntimeLease,
    pub submit: UnboundedSender<Commands>,
    pub service: Arc<SharedTask>,
    /// Until the lease has ended.
    pub listing: Listing,
}

impl OpenTransport {
    /// Registers the env's cleanup hook. To be called after the wake-up call was made: hooks run last in, first
    /// out, so ours runs before Node takes the wake-up call away.
    pub fn register(env: Env, runtime: RuntimeSide, completions: Arc<Completions>) -> Result<Self> {
        let shared = Rc::new(Shared { runtime: RefCell::new(Some(runtime)), completions });
        let hook = Rc::into_raw(shared.clone()).cast_mut().cast();
        // SAFETY: the hook's argument is a counted reference of its own, given back by the hook or by its removal.
        let status = unsafe { sys::napi_add_env_cleanup_hook(env.raw(), Some(close_with_env), hook) };
        if status != sys::Status::napi_ok {
            // SAFETY: the hook was not registered, so its reference is still ours.
            drop(unsafe { Rc::from_raw(hook.cast::<Shared>().cast_const()) });
        }
        check_status!(status)?;
        Ok(Self { shared, env: env.raw() })
    }

    /// Hands commands to the service, and carries them out on this thread if `here`. False once closed.
    pub fn submit(&self, commands: Commands, here: bool) -> bool {
        let runtime = self.shared.runtime.borrow();
        let Some(RuntimeSide { lease, submit, service, .. }) = &*runtime else { return false };
        if !here {
            return submit.send(commands).is_ok();
        }
        let _context = lease.handle().enter();
        let mut sent = false;
        service.carry_on_after(|| sent = submit.send(commands).is_ok());
        sent
    }

    pub fn completions(&self) -> &Completions {
        &self.shared.completions
    }

    /// Idempotent. An error means that the runtime's thread outlived its bound.
    pub fn close(&self) -> std::result::Result<(), StopError> {
        let Some(runtime) = self.shared.runtime.take() else { return Ok(()) };
        let hook = Rc::as_ptr(&self.shared).cast_mut().cast();
        // SAFETY: the runtime's side was still there, so the hook has neither run nor been removed, and the env
        // lives: it runs our hook before it goes.
        let status = unsafe { sys::napi_remove_env_cleanup_hook(self.env, Some(close_with_env), hook) };
        if status == sys::Status::napi_ok {
            // SAFETY: the hook is gone, so nobody else gives back the reference it held.
            unsafe { Rc::decrement_strong_count(Rc::as_ptr(&self.shared)) };
        }
        self.shared.close(runtime)
    }
}

impl Drop for OpenTransport {
    fn drop(&mut self) {
        report(self.close());
    }
}

impl Shared {
    fn close(&self, runtime: RuntimeSide) -> std::result::Result<(), StopError> {
        // First no more callbacks, then no more thread.
        let RuntimeSide { lease, submit, service, listing } = runtime;
        self.completions.close();
        drop(submit);
        drop(service);
        let ended = lease.end();
        drop(listing);
        ended
    }
}

/// The env is going: its natural end, or a worker's termination.
extern "C" fn close_with_env(shared: *mut c_void) {
    // SAFETY: the reference that `register` made for this hook, which runs at most once.
    let shared = unsafe { Rc::from_raw(shared.cast::<Shared>().cast_const()) };
    if let Some(runtime) = shared.runtime.take() {
        report(shared.close(runtime));
    }
}

/// Where there is no caller to take the error, it is said loudly.
pub fn report(closed: std::result::Result<(), StopError>) {
    if let Err(error) = closed {
        // Not eprintln, which panics if stderr is closed.
        let _ = writeln!(io::stderr(), "@quiesce/etcd: {error}");
    }
}
