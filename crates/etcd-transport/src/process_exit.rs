//! The end of a process whose host doesn't end the envs of its workers: when the main thread calls `process.exit()`, Deno
//! and Bun give its workers neither an `exit` event nor their cleanup hooks, and a worker that was terminated may still be
//! about to run its own. The C library's exit handlers are the last place to end their runtimes. Elsewhere none is left by
//! then.
//!
//! What is open is listed for the whole process, as nobody else knows of all envs. The list owns nothing. On Windows a
//! library's exit handlers run when all other threads are dead, so there is nothing to do.

#![cfg_attr(not(unix), allow(dead_code))]

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};

use crate::completions::Completions;
use crate::env_runtime::EnvRuntime;
#[cfg(unix)]
use crate::host::report;

static OPEN: Mutex<Open> = Mutex::new(Open { transports: Vec::new(), exiting: false });
static AT_EXIT: Once = Once::new();

struct Open {
    transports: Vec<Listed>,
    exiting: bool,
}

#[derive(Clone)]
struct Listed {
    completions: Weak<Completions>,
    runtime: Weak<EnvRuntime>,
}

/// The process is exiting, and nothing begins any more.
#[derive(Debug)]
pub struct Exiting;

impl fmt::Display for Exiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process is exiting; no more connections can be made")
    }
}

/// Keeps a transport on the list.
pub struct Listing(Weak<Completions>);

/// Lists a transport until the returned value is dropped.
pub fn list(completions: &Arc<Completions>, runtime: &Arc<EnvRuntime>) -> Result<Listing, Exiting> {
    AT_EXIT.call_once(register);
    let mut open = lock();
    if open.exiting {
        return Err(Exiting);
    }
    let completions = Arc::downgrade(completions);
    open.transports.push(Listed { completions: completions.clone(), runtime: Arc::downgrade(runtime) });
    Ok(Listing(completions))
}

impl Drop for Listing {
    fn drop(&mut self) {
        lock().transports.retain(|listed| !listed.completions.ptr_eq(&self.0));
    }
}

fn lock() -> MutexGuard<'static, Open> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
fn register() {
    // SAFETY: the handler takes no argument, doesn't unwind, and is this library's own: the C library runs it before it
    // unloads the library. Where there is no room for it the process ends as it would without.
    unsafe { libc::atexit(end_all) };
    #[cfg(target_os = "linux")]
    // SAFETY: as above. This is the other list, of `quick_exit`, by which Bun ends.
    unsafe {
        at_quick_exit(end_all);
    };
}

#[cfg(target_os = "linux")]
unsafe extern "C" {
    fn at_quick_exit(handler: extern "C" fn()) -> libc::c_int;
}

#[cfg(not(unix))]
fn register() {}

#[cfg(unix)]
extern "C" fn end_all() {
    let left = {
        let mut open = lock();
        open.exiting = true;
        open.transports.clone()
    };
    // First no more callbacks, then no more threads. The envs' own threads may do the same at the same time.
    for listed in &left {
        if let Some(completions) = listed.completions.upgrade() {
            completions.silence();
        }
    }
    for listed in &left {
        if let Some(runtime) = listed.runtime.upgrade() {
            report(runtime.stop_at_exit());
        }
    }
}
