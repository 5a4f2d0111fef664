//! Promises that are settled through the env's queue.

use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi::{Env, JsError, check_status, sys};
use owned_runtime::panic::CatchPanic;

#[cfg(doc)]
use crate::OwnedRuntime;
use crate::env_runtime::EnvRuntime;
use crate::panic::panicked;
use crate::queue::JobEnv;

/// Runs a future on the env's runtime and returns a promise of its value. It is like `env.spawn_future`, but needs no
/// thread-safe function for each promise.
///
/// The promise keeps the event loop alive until it is settled. A panic rejects it, and so does a
/// [stop](OwnedRuntime::stop) of the runtime. Once the env is closed, it stays unsettled.
///
/// # Errors
///
/// On a thread other than JavaScript's, if the system refuses the runtime's thread, or if the addon has closed the runtime.
pub fn promise<'env, T, F>(env: &'env Env, future: F) -> Result<PromiseRaw<'env, T>>
where
    T: ToNapiValue + Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    // First, as a promise that nobody gets must not be rejected.
    let submissions = EnvRuntime::current()?.submissions()?;
    let (deferred, promise) = Deferred::new(env)?;
    if let Some(submissions) = submissions {
        let call = Box::pin(async move {
            let outcome = CatchPanic::new(future).await;
            deferred.settle(outcome.unwrap_or_else(|message| Err(panicked(&message))));
        });
        // It fails if the runtime ends at this moment. The call is dropped then.
        let _ = submissions.send(call);
    }
    Ok(promise)
}

/// The other end of a promise, for any thread. If it is dropped, the promise is rejected: its runtime was stopped. Once the
/// env is closed, the promise stays unsettled.
pub struct Deferred<T> {
    runtime: Arc<EnvRuntime>,
    /// `None` once it is settled.
    raw: Option<RawDeferred>,
    _value: PhantomData<fn(T)>,
}

struct RawDeferred {
    env: JobEnv,
    deferred: sys::napi_deferred,
}

// SAFETY: only jobs use it, on the env's own thread.
unsafe impl Send for RawDeferred {}

impl<T: ToNapiValue + Send + 'static> Deferred<T> {
    pub fn new(env: &Env) -> Result<(Self, PromiseRaw<'_, T>)> {
        let runtime = EnvRuntime::current()?;
        let (mut deferred, mut promise) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the env is the calling one, and both values are written before they are read.
        check_status!(unsafe { sys::napi_create_promise(env.raw(), &mut deferred, &mut promise) })?;
        runtime.queue().hold(*env);
        let raw = RawDeferred { env: JobEnv::new(env), deferred };
        Ok((Self { runtime, raw: Some(raw), _value: PhantomData }, PromiseRaw::new(env.raw(), promise)))
    }

    pub fn settle(mut self, outcome: Result<T>) {
        if let Some(raw) = self.raw.take() {
            raw.settle_soon(&self.runtime, outcome);
        }
    }
}

impl<T> Drop for Deferred<T> {
    fn drop(&mut self) {
        if let Some(raw) = self.raw.take() {
            let error = Error::from_reason("the runtime was stopped before the call had ended");
            raw.settle_soon::<()>(&self.runtime, Err(error));
        }
    }
}

impl RawDeferred {
    /// By a job, which is dropped if the env is closed.
    fn settle_soon<T: ToNapiValue + Send + 'static>(self, runtime: &Arc<EnvRuntime>, outcome: Result<T>) {
        let holder = runtime.clone();
        runtime.queue().push(move || {
            holder.queue().let_go(self.env.get());
            self.settle(outcome);
        });
    }

    fn settle<T: ToNapiValue>(self, outcome: Result<T>) {
        let env = self.env.get().raw();
        // SAFETY: a job runs on the env's own thread, within a handle scope, and the deferred is used only this once.
        unsafe {
            match outcome.and_then(|value| T::to_napi_value(env, value)) {
                Ok(value) => sys::napi_resolve_deferred(env, self.deferred, value),
                Err(error) => sys::napi_reject_deferred(env, self.deferred, JsError::from(error).into_value(env)),
            };
        }
    }
}
