//! Async Rust for a napi-rs addon. `#[napi] async fn` stays as it is, but each env (the main thread's, each worker's) has a
//! runtime of its own, which ends before the env's objects do.
//!
//! napi's own runtime belongs to nobody: its threads poll futures that borrow objects which Node is taking away, and a
//! worker's futures continue after its end. So a program that exits or terminates a worker dies now and then. Here the cure is
//! one line:
//!
//! ```no_run
//! use napi::bindgen_prelude::*;
//! use napi_derive::napi;
//! use owned_runtime_napi::OwnedRuntime;
//!
//! owned_runtime_napi::install!(OwnedRuntime::new("my-addon"));
//!
//! #[napi]
//! pub async fn answer() -> u32 {
//!     42
//! }
//! # fn main() {}
//! ```
//!
//! In the addon's manifest, leave out napi's features `tokio_rt` and `async`. Then `napi::bindgen_prelude::spawn`,
//! which uses napi's own runtime, is gone, and [`spawn`] replaces it. `env.spawn_future` goes to the env's runtime,
//! too.
//!
//! # What ends the runtime
//!
//! | way to the end | what closes it |
//! | --- | --- |
//! | the env's natural end, `worker.terminate()` | the env's cleanup hook |
//! | `process.exit()` | `process.on('exit')`, since Node runs no cleanup hooks on the main thread then |
//! | a host that ends its workers with the process (Bun, Deno) | libc's `atexit` and `at_quick_exit`, for all envs |
//!
//! A close drops all tasks and waits for the runtime's threads, 5 s at most unless
//! [`with_stop_bound`](OwnedRuntime::with_stop_bound) says otherwise; if they don't end by then, that is reported on stderr. Where
//! the env ends naturally, both Node's `exit` event and the cleanup hook close it: threads that don't end are waited for twice
//! then, as the env takes away what they use. From then on nothing is settled and nothing is called back. A call that is made
//! later (by an exit listener, or by a worker whose process is ending) stays unsettled, too: it neither rejects nor throws. The
//! task of an async fn that is called then is kept until the process ends, since napi rejects the promise of a task that is dropped.
//!
//! The bounds of all envs pass together at the end of the process, where the host leaves them to libc's handlers.
//!
//! # An addon with a `module_exports` of its own
//!
//! napi has room for one. Call [`install()`] in it, and [`register!`] beside it:
//!
//! ```no_run
//! use napi::Env;
//! use napi::bindgen_prelude::*;
//! use napi_derive::napi;
//! use owned_runtime_napi::OwnedRuntime;
//!
//! owned_runtime_napi::register!();
//!
//! #[napi(module_exports)]
//! pub fn exports(_exports: Object<'_>, env: Env) -> Result<()> {
//!     owned_runtime_napi::install(&env, OwnedRuntime::new("my-addon"))
//! }
//! # fn main() {}
//! ```
//!
//! # What there is
//!
//! - [`spawn`]: a background task, which ends with the env.
//! - [`promise`]: a future as a promise, cheaper than `env.spawn_future`.
//! - [`Callback`]: a JavaScript function that tasks can call.
//! - [`AsyncIter`]: a stream for JavaScript's `for await`.
//! - [`block_on`]: waits on JavaScript's thread.
//!
//! Callbacks, promises and streams of an env share one queue and one thread-safe function. What comes together is handed over in
//! one turn of the event loop, up to 1,000 at once; microtasks run after all of them.
//!
//! # Features
//!
//! - `async-fn`, on by default: `#[napi] async fn` and `env.spawn_future` run on the env's runtime, by napi's `async-runtime`. Without
//!   it an addon has neither, and uses [`promise`].
//! - `multi-thread`: `OwnedRuntime::with_worker_threads`.
//!
//! # Versions
//!
//! napi 3.16 and napi-derive 3.7 or newer, Rust 1.88 or newer (napi's own bound), Node-API 5.

#![deny(missing_docs)]

// The README's example is a test, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(feature = "async-fn")]
mod backend;
mod callback;
mod current;
mod env_runtime;
mod exit_list;
mod install;
mod panic;
mod promise;
mod queue;
mod spawn;
mod stream;
mod submissions;
mod wake;

pub use callback::Callback;
pub use env_runtime::EnvRuntime;
pub use install::install;
pub use owned_runtime::OwnedRuntime;
pub use promise::promise;
pub use spawn::{Task, block_on, spawn};
pub use stream::AsyncIter;
pub use wake::WakeFunction;

#[doc(hidden)]
#[cfg(feature = "async-fn")]
pub use backend::register as __register;

/// All that an addon needs: [`register!`], and a `#[napi(module_exports)]` that gives each env its [`OwnedRuntime`].
///
/// The expression is evaluated for each env. The addon depends on `napi` and `napi-derive` by these names.
#[macro_export]
macro_rules! install {
    ($runtime:expr) => {
        $crate::register!();

        #[::napi_derive::napi(module_exports)]
        pub fn __owned_runtime_napi_install(
            _exports: ::napi::bindgen_prelude::Object,
            env: ::napi::Env,
        ) -> ::napi::Result<()> {
            $crate::install(&env, $runtime)
        }
    };
}

/// Makes every `#[napi] async fn` of this addon run on its env's runtime. Use it once in the addon, beside
/// [`install!`]. Without the feature `async-fn` it does nothing.
#[cfg(feature = "async-fn")]
#[macro_export]
macro_rules! register {
    () => {
        #[::napi_derive::module_init]
        fn __owned_runtime_napi_register() {
            $crate::__register();
        }
    };
}

/// Without the feature `async-fn` it does nothing.
///
/// ```no_run
/// use owned_runtime_napi::OwnedRuntime;
///
/// owned_runtime_napi::install!(OwnedRuntime::new("my-addon"));
/// # fn main() {}
/// ```
#[cfg(not(feature = "async-fn"))]
#[macro_export]
macro_rules! register {
    () => {};
}
