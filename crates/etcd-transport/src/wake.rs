//! The call of JavaScript from another thread. It is napi's thread-safe function without data: napi-rs's own boxes
//! something for each call, and what is on its way when an env ends is never given back.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, PoisonError, RwLock};

use napi::bindgen_prelude::*;
use napi::{check_status, sys};

use crate::completions::Wake;

/// A call of JavaScript's `wake` from any thread.
pub struct WakeUp(Arc<WakeFunction>);

impl WakeUp {
    pub fn new(env: Env, wake: Function<'_, (), ()>) -> Result<Self> {
        Ok(Self(Arc::new(WakeFunction::new(env, &wake)?)))
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

/// Keeps the event loop alive while calls are in flight, as an open socket would.
pub struct EventLoopHold {
    wake: Arc<WakeFunction>,
    held: Cell<bool>,
}

impl EventLoopHold {
    pub fn set(&self, env: Env, held: bool) -> Result<()> {
        if self.held.replace(held) == held { Ok(()) } else { self.wake.set_referenced(env, held) }
    }
}

/// Owns one thread-safe function.
struct WakeFunction {
    raw: sys::napi_threadsafe_function,
    alive: Arc<Alive>,
}

/// False once the env has taken the function away, after which it must not be touched.
type Alive = RwLock<bool>;

// SAFETY: `raw` may be called and released from any thread, and is not touched once `alive` says that it is gone.
unsafe impl Send for WakeFunction {}
// SAFETY: as above.
unsafe impl Sync for WakeFunction {}

impl WakeFunction {
    /// Doesn't keep the event loop alive at first.
    fn new(env: Env, wake: &Function<'_, (), ()>) -> Result<Self> {
        let alive = Arc::new(RwLock::new(true));
        let name = env.create_string("quiesce-etcd wake")?;
        let finalizer = Arc::into_raw(alive.clone()).cast_mut().cast();
        let mut raw = ptr::null_mut();
        // SAFETY: all values belong to the calling env. The finalizer gets a counted reference of its own. Without a
        // function of ours in between, napi calls `wake` itself.
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
            // SAFETY: there is no function, so its reference is still ours.
            drop(unsafe { Arc::from_raw(finalizer.cast::<Alive>().cast_const()) });
        }
        check_status!(status)?;
        let function = Self { raw, alive };
        function.set_referenced(env, false)?;
        Ok(function)
    }

    fn call(&self) {
        self.while_alive(|raw| {
            // SAFETY: it is alive. The call fails only while the env is going, when nobody is there to be woken.
            unsafe {
                sys::napi_call_threadsafe_function(raw, ptr::null_mut(), sys::ThreadsafeFunctionCallMode::nonblocking)
            };
        });
    }

    /// To be called on the env's own thread.
    fn set_referenced(&self, env: Env, referenced: bool) -> Result<()> {
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
            // SAFETY: it is alive, and this gives back the one use that it was made with.
            unsafe { sys::napi_release_threadsafe_function(raw, sys::ThreadsafeFunctionReleaseMode::release) };
        });
    }
}

/// The function is gone: released, or taken away with its env.
unsafe extern "C" fn gone(_env: sys::napi_env, alive: *mut c_void, _hint: *mut c_void) {
    // SAFETY: the reference that was made for this finalizer, which runs once.
    let alive = unsafe { Arc::from_raw(alive.cast::<Alive>().cast_const()) };
    *alive.write().unwrap_or_else(PoisonError::into_inner) = false;
}
