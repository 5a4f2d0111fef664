//! Finds the runtime of the calling thread.

use std::cell::RefCell;
use std::sync::Arc;

use napi::{Error, Result};

use crate::env_runtime::EnvRuntime;
use crate::exit_list;

thread_local! {
    static CURRENT: RefCell<Option<Arc<EnvRuntime>>> = const { RefCell::new(None) };
}

impl EnvRuntime {
    /// The runtime of the calling thread, which is JavaScript's own thread or one of the runtime's.
    ///
    /// # Errors
    ///
    /// On any other thread, and where [`install`](fn@crate::install) wasn't called or the env has ended.
    pub fn current() -> Result<Arc<Self>> {
        Self::of_this_thread().or_else(exit_list::of_own_thread).ok_or_else(|| {
            Error::from_reason(
                "this thread has no runtime: call owned_runtime_napi::install in the addon's module_exports, and use it on \
                 JavaScript's thread or in a task",
            )
        })
    }

    /// The runtime of JavaScript's own thread.
    pub(crate) fn of_this_thread() -> Option<Arc<Self>> {
        // The thread may be ending.
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    pub(crate) fn set_of_this_thread(runtime: Option<Arc<Self>>) {
        let _ = CURRENT.try_with(|current| current.replace(runtime));
    }
}
