//! JavaScript functions that tasks call.

use std::mem;
use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi::{JsError, sys};
use tokio::sync::oneshot;

use crate::env_runtime::EnvRuntime;
use crate::queue::JobEnv;

/// A JavaScript function that any thread can call. Clones share it.
///
/// It doesn't keep the event loop alive. Once the env is closed, calls do nothing.
///
/// ```no_run
/// use napi::bindgen_prelude::*;
/// use napi_derive::napi;
/// use owned_runtime_napi::{Callback, spawn};
///
/// #[napi]
/// pub fn greet_soon(callback: Function<'_, String, ()>) -> Result<()> {
///     let callback = Callback::new(&callback)?;
///     spawn(async move { callback.call("hello".to_owned()) })?;
///     Ok(())
/// }
/// # fn main() {}
/// ```
pub struct Callback<Args: JsValuesTupleIntoVec, Return = ()> {
    function: Arc<FunctionRef<Args, Return>>,
    env: JobEnv,
    runtime: Arc<EnvRuntime>,
}

impl<Args: JsValuesTupleIntoVec, Return> Clone for Callback<Args, Return> {
    fn clone(&self) -> Self {
        Self { function: self.function.clone(), env: self.env, runtime: self.runtime.clone() }
    }
}

impl<Args, Return> Callback<Args, Return>
where
    Args: JsValuesTupleIntoVec + Send + 'static,
    Return: FromNapiValue + 'static,
{
    /// Makes the callback. Must be called on JavaScript's thread.
    ///
    /// # Errors
    ///
    /// On a different thread, or if the host refuses the reference.
    pub fn new(function: &Function<'_, Args, Return>) -> Result<Self> {
        let runtime = EnvRuntime::current()?;
        let env = JobEnv::new(&Env::from_raw(function.value().env));
        Ok(Self { function: Arc::new(function.create_ref()?), env, runtime })
    }

    /// Calls the function soon. Calls keep their order. It never waits, so a task that calls faster than JavaScript
    /// runs should await [`call_and_wait`](Self::call_and_wait) from time to time. If the function throws, that is an
    /// uncaught exception.
    pub fn call(&self, args: Args) {
        let (function, env) = (self.function.clone(), self.env);
        self.runtime.queue().push(move || {
            let env = env.get();
            let returned = function.borrow_back(&env).and_then(|function| function.call(args));
            if let Err(error) = returned {
                throw_uncaught(&env, error);
            }
        });
    }

    /// Like [`call`](Self::call), and returns what the function returned.
    ///
    /// # Errors
    ///
    /// What the function threw, or an error if the env was closed before the call.
    pub async fn call_and_wait(&self, args: Args) -> Result<Return>
    where
        Return: Send,
    {
        let (function, env) = (self.function.clone(), self.env);
        let (answer, answered) = oneshot::channel();
        self.runtime.queue().push(move || {
            let env = env.get();
            // The caller may have been dropped.
            let _ = answer.send(function.borrow_back(&env).and_then(|function| function.call(args)));
        });
        answered.await.unwrap_or_else(|_| Err(Error::from_reason("the env was closed before the callback was called")))
    }
}

impl<Args: JsValuesTupleIntoVec, Return> Drop for Callback<Args, Return> {
    fn drop(&mut self) {
        // As in the queue: the function is not returned to an env that may be gone.
        if self.runtime.process_ends() {
            mem::forget(self.function.clone());
        }
    }
}

/// Reports it as an uncaught exception.
fn throw_uncaught(env: &Env, error: Error) {
    // SAFETY: a job runs on the env's own thread, within a handle scope.
    unsafe {
        let value = JsError::from(error).into_value(env.raw());
        sys::napi_fatal_exception(env.raw(), value);
    }
}
