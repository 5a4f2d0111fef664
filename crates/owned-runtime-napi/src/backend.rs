//! napi's async runtime: each future runs on the runtime of the env that made the call.

use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use napi::bindgen_prelude::*;
use tokio::runtime::{EnterGuard, Handle};
use tokio::sync::mpsc::error::SendError;

use crate::env_runtime::{EnvRuntime, start_error};

/// For [`register!`](crate::register!).
pub fn register() {
    register_async_runtime(Backend);
}

struct Backend;

/// The value that was handed over, or the error with which napi rejects it.
type Handed<T> = std::result::Result<(), AsyncRuntimeRejection<T>>;

// SAFETY: an env's runtime is joined by its cleanup hook, before napi's own hook, so no code of the image runs after
// the last one.
unsafe impl AsyncRuntime for Backend {
    fn spawn(&self, task: AsyncRuntimeTask) -> Handed<AsyncRuntimeTask> {
        let open = EnvRuntime::current().and_then(|runtime| Ok((runtime.submissions()?, runtime)));
        match open {
            Ok((Some(submissions), runtime)) => {
                let call = Box::pin(Accepted { task: ManuallyDrop::new(task), runtime: runtime.clone() });
                if let Err(SendError(call)) = submissions.send(call)
                    && runtime.ends()
                {
                    mem::forget(call);
                }
            }
            // Dropping it would reject the promise.
            Ok((None, _)) => mem::forget(task),
            Err(error) => return Err(AsyncRuntimeRejection::new(task, error)),
        }
        Ok(())
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) -> Handed<Box<dyn FnOnce() + Send + 'static>> {
        match EnvRuntime::current().and_then(|runtime| runtime.start()) {
            Ok(Some(handle)) => drop(handle.spawn_blocking(work)),
            Ok(None) => mem::forget(work),
            Err(error) => return Err(AsyncRuntimeRejection::new(work, error)),
        }
        Ok(())
    }

    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) -> Result<()> {
        let runtime = EnvRuntime::current()?;
        let handle = runtime.runtime().start().map_err(|error| start_error(&error))?;
        let stopping = runtime.runtime().stopping().map_err(|error| start_error(&error))?;
        handle.block_on(async {
            tokio::select! {
                () = future => Ok(()),
                () = stopping.requested() => Err(Error::from_reason("the runtime was closed before the future had ended")),
            }
        })
    }

    fn enter(&self) -> Result<Box<dyn AsyncRuntimeGuard + '_>> {
        let runtime = EnvRuntime::current()?;
        let handle = match runtime.start() {
            Ok(Some(handle)) => Box::new(handle),
            Err(error) if !runtime.is_closed() => return Err(error),
            Ok(None) | Err(_) => return Ok(Box::new(())),
        };
        // SAFETY: the guard borrows the handle, which stays where it is, in its own box, until the guard is dropped.
        let guard = unsafe { mem::transmute::<EnterGuard<'_>, EnterGuard<'static>>(handle.enter()) };
        Ok(Box::new(Entered { _guard: guard, _handle: handle }))
    }

    /// Each env's runtime is closed by its own cleanup hook.
    fn shutdown(&self) -> Result<()> {
        Ok(())
    }
}

/// Fields are dropped in their order: the guard before the handle that it borrows.
struct Entered {
    _guard: EnterGuard<'static>,
    _handle: Box<Handle>,
}

impl AsyncRuntimeGuard for Entered {}

/// A call in flight. napi rejects the promise of a dropped call. That must not happen while the process ends and
/// JavaScript still runs. In an env that ends, nobody is left to handle the rejection.
struct Accepted {
    task: ManuallyDrop<AsyncRuntimeTask>,
    runtime: Arc<EnvRuntime>,
}

impl Future for Accepted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut *self.task).poll(cx)
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        if self.runtime.process_ends() {
            return;
        }
        // SAFETY: it is dropped here and nowhere else.
        unsafe { ManuallyDrop::drop(&mut self.task) };
    }
}
