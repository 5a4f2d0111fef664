//! Promises that are settled through the env's queue.

use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi::{Env, JsError, check_status, sys};
use owned_runtime::panic::CatchPanic;

use crate::env_runtime::EnvRuntime;
use crate::panic::panicked;
use crate::queue::JobEnv;

/// Runs a future on the env's runtime and returns a promise of its value. It is like `env.spawn_future`, but needs no
/// thread-safe function for each promise.
///
/// The promise keeps the event loop alive until it is settled. A panic rejects it. Once the env is closed, it stays
/// unsettled.
///
/// # Errors
///
/// On a thread other than JavaScript's, or if the system refuses the runtime's thread.
pub fn promise<'env, T, F>(env: &'env Env, future: F) -> Result<PromiseRaw<'env, T>>
where
    T: ToNapiValue + Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let (deferred, promise) = Deferred::new(env)?;
    if let Some(submissions) = deferred.runtime.submissions()? {
        let call = Box::pin(async move {
            let outcome = CatchPanic::new(future).await;
            deferred.settle(outcome.unwrap_or_else(|message| Err(panicked(&message))));
        });
        // It fails if the env is being closed. The promise then stays unsettled.
        let _ = submissions.send(call);
    }
    Ok(promise)
}

/// The other end of a promise, for any thread. If it is dropped, the promise stays unsettled.
pub struct Deferred<T> {
    runtime: Arc<EnvRuntime>,
    raw: RawDeferred,
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
        Ok((Self { runtime, raw, _value: PhantomData }, PromiseRaw::new(env.raw(), promise)))
    }

    pub fn settle(self, outcome: Result<T>) {
        let Self { runtime, raw, .. } = self;
        let queue = runtime.clone();
        queue.queue().push(move || {
            runtime.queue().let_go(raw.env.get());
            raw.settle(outcome);
        });
    }
}

impl RawDeferred {
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
