//! Calls JavaScript from another thread, with napi's thread-safe function without data. napi-rs's own version allocates
//! a box for each call, and calls on their way when an env ends are never freed.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, PoisonError, RwLock};

use napi::bindgen_prelude::*;
use napi::{Env, JsValue, check_status, sys};

/// A JavaScript function without arguments that any thread can call. It is a thread-safe function without data, which
/// needs no allocation for each call and leaves nothing behind when an env ends.
pub struct WakeFunction {
    raw: sys::napi_threadsafe_function,
    alive: Arc<Alive>,
}

/// False once the env has taken the function away. After that it must not be touched.
type Alive = RwLock<bool>;

// SAFETY: `raw` may be called and released from any thread, and is not touched once `alive` says that it is gone.
unsafe impl Send for WakeFunction {}
// SAFETY: as above.
unsafe impl Sync for WakeFunction {}

impl WakeFunction {
    /// Must be called on the env's own thread. At first it doesn't keep the event loop alive. Async hooks show `name`.
    ///
    /// # Errors
    ///
    /// If the host refuses it.
    pub fn new(env: Env, wake: &Function<'_, (), ()>, name: &str) -> Result<Self> {
        let alive = Arc::new(RwLock::new(true));
        let name = env.create_string(name)?;
        let finalizer = Arc::into_raw(alive.clone()).cast_mut().cast();
        let mut raw = ptr::null_mut();
        // SAFETY: all values belong to the calling env. The finalizer gets its own counted reference. Without a Rust
        // function in between, napi calls `wake` itself.
        let status = unsafe {
            sys::napi_create_threadsafe_function(
                env.raw(),
                wake.raw(),
                ptr::null_mut(),
                name.raw(),
                0,
                1,
                finalizer,
                Some(gone),
                ptr::null_mut(),
                None,
                &mut raw,
            )
        };
        if status != sys::Status::napi_ok {
            // SAFETY: there is no function, so its reference still belongs to this code.
            drop(unsafe { Arc::from_raw(finalizer.cast::<Alive>().cast_const()) });
        }
        check_status!(status)?;
        let function = Self { raw, alive };
        function.set_referenced(env, false)?;
        Ok(function)
    }

    /// Requests a call. Never blocks; calls that come together may become one. Does nothing once the env has ended.
    pub fn call(&self) {
        self.while_alive(|raw| {
            // SAFETY: it is alive. The call fails only while the env is ending, when there is nobody to wake.
            unsafe {
                sys::napi_call_threadsafe_function(raw, ptr::null_mut(), sys::ThreadsafeFunctionCallMode::nonblocking)
            };
        });
    }

    /// Sets whether it keeps the event loop alive. Must be called on the env's own thread.
    ///
    /// # Errors
    ///
    /// If the host refuses.
    pub fn set_referenced(&self, env: Env, referenced: bool) -> Result<()> {
        let mut status = sys::Status::napi_ok;
        self.while_alive(|raw| {
            // SAFETY: it is alive, and `env` is the calling env, to which it belongs.
            status = unsafe {
                if referenced {
                    sys::napi_ref_threadsafe_function(env.raw(), raw)
                } else {
                    sys::napi_unref_threadsafe_function(env.raw(), raw)
                }
            };
        });
        check_status!(status)
    }

    fn while_alive(&self, f: impl FnOnce(sys::napi_threadsafe_function)) {
        let alive = self.alive.read().unwrap_or_else(PoisonError::into_inner);
        if *alive {
            f(self.raw);
        }
    }
}

impl Drop for WakeFunction {
    fn drop(&mut self) {
        self.while_alive(|raw| {
            // SAFETY: it is alive, and this returns the one use that it was made with.
            unsafe { sys::napi_release_threadsafe_function(raw, sys::ThreadsafeFunctionReleaseMode::release) };
        });
    }
}

/// The function is gone: it was released, or taken away with its env.
unsafe extern "C" fn gone(_env: sys::napi_env, alive: *mut c_void, _hint: *mut c_void) {
    // SAFETY: the reference that was made for this finalizer, which runs once.
    let alive = unsafe { Arc::from_raw(alive.cast::<Alive>().cast_const()) };
    *alive.write().unwrap_or_else(PoisonError::into_inner) = false;
}
