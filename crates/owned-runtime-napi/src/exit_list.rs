//! The end of a process whose host doesn't end the envs of its workers. When the main thread calls `process.exit()`,
//! Bun and Deno give the workers neither an `exit` event nor their cleanup hooks. The C library's exit handlers are the
//! last place to end their runtimes. In other hosts none is left by then.
//!
//! The list owns nothing. On Windows a library's exit handlers run when all other threads are dead, so there is nothing
//! to do.

use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::Instant;

use crate::env_runtime::EnvRuntime;

static ALL: Mutex<List> = Mutex::new(List { runtimes: Vec::new(), process_ends: false });
static AT_EXIT: Once = Once::new();

struct List {
    runtimes: Vec<Weak<EnvRuntime>>,
    process_ends: bool,
}

fn lock() -> MutexGuard<'static, List> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lists a runtime. A runtime that comes after the end has begun is closed at once.
pub fn add(runtime: &Arc<EnvRuntime>) {
    AT_EXIT.call_once(register);
    let mut list = lock();
    list.runtimes.retain(|listed| listed.strong_count() > 0);
    list.runtimes.push(Arc::downgrade(runtime));
    let late = list.process_ends;
    drop(list);
    if late {
        runtime.close_with_process(Instant::now());
    }
}

/// The runtime that the calling thread belongs to.
pub fn of_own_thread() -> Option<Arc<EnvRuntime>> {
    let all: Vec<_> = lock().runtimes.iter().filter_map(Weak::upgrade).collect();
    all.into_iter().find(|listed| listed.runtime().is_own_thread())
}

#[cfg(unix)]
fn register() {
    // SAFETY: the handler takes no argument, doesn't unwind, and is this library's own: the C library runs it before it
    // unloads the library. If there is no room for it, the process ends as it would without it.
    unsafe { libc::atexit(end_all) };
    #[cfg(target_os = "linux")]
    // SAFETY: as above. This is the list of `quick_exit`, which Bun uses to end.
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
    let mut left: Vec<_> = {
        let mut list = lock();
        list.process_ends = true;
        list.runtimes.iter().filter_map(Weak::upgrade).collect()
    };
    // First stops the callbacks, then the threads. All threads are asked to end before the first is waited for, and
    // their bounds begin together. The envs' own threads may do the same at the same time.
    let asked = Instant::now();
    left.retain(|runtime| runtime.ask_to_end());
    for runtime in &left {
        runtime.close_with_process(asked);
    }
}
