//! One env's runtime, and which one is the calling thread's.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use napi::{Error, Result};
use owned_runtime::OwnedRuntime;

use crate::exit_list;
use crate::queue::Queue;

thread_local! {
    static CURRENT: RefCell<Option<Arc<EnvRuntime>>> = const { RefCell::new(None) };
}

/// The runtime of one env, and its queue to JavaScript. [`install`](crate::install) makes it.
pub struct EnvRuntime {
    runtime: OwnedRuntime,
    queue: Queue,
    reported: AtomicBool,
    process_ends: AtomicBool,
}

impl EnvRuntime {
    pub(crate) fn new(runtime: OwnedRuntime, queue: Queue) -> Arc<Self> {
        Arc::new(Self { runtime, queue, reported: AtomicBool::new(false), process_ends: AtomicBool::new(false) })
    }

    /// The calling thread's: JavaScript's own thread, or one of the runtime's.
    ///
    /// # Errors
    ///
    /// On any other thread, and where [`install`](crate::install) wasn't called or the env has ended.
    pub fn current() -> Result<Arc<Self>> {
        Self::of_this_thread().or_else(exit_list::of_own_thread).ok_or_else(|| {
            Error::from_reason(
                "this thread has no runtime: call owned_runtime_napi::install in the addon's module_exports, and use it on \
                 JavaScript's thread or in a task",
            )
        })
    }

    /// JavaScript's own thread's.
    pub(crate) fn of_this_thread() -> Option<Arc<Self>> {
        // The thread itself may be ending.
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    pub(crate) fn set_of_this_thread(runtime: Option<Arc<Self>>) {
        let _ = CURRENT.try_with(|current| current.replace(runtime));
    }

    /// The runtime itself, which may be stopped to end its thread between two uses; the next start brings it back.
    pub fn runtime(&self) -> &OwnedRuntime {
        &self.runtime
    }

    /// Whether the env or the process is ending, so that nothing starts any more and nobody is left to hear of it.
    pub fn is_closed(&self) -> bool {
        self.runtime.is_closed()
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// First no more callbacks, then no more threads. The first close waits and reports, those after it find it done.
    pub(crate) fn close(&self) {
        self.queue.close();
        let gave_up = self.reported.load(Ordering::Acquire);
        let closed = if gave_up { self.runtime.close_within(Duration::ZERO) } else { self.runtime.close() };
        let Err(error) = closed else { return };
        if !self.reported.swap(true, Ordering::AcqRel) {
            // Not eprintln, which panics if stderr is closed.
            let _ = writeln!(io::stderr(), "owned-runtime-napi: {error}");
        }
    }

    /// For the end of the process, as [`close_with_process`](Self::close_with_process), which follows, but without waiting.
    #[cfg(unix)]
    pub(crate) fn ask_to_end(&self) {
        // Before the tasks are dropped: that must not reject what JavaScript still waits for.
        self.process_ends.store(true, Ordering::Release);
        self.queue.close();
        // Overdue at once, which that close looks into.
        let _ = self.runtime.close_within(Duration::ZERO);
    }

    /// For the end of the process, while JavaScript may still run on the env's own thread.
    pub(crate) fn close_with_process(&self) {
        self.process_ends.store(true, Ordering::Release);
        self.close();
    }

    /// Whether what is dropped unfinished must not be rejected: JavaScript that still runs would report it.
    #[cfg(feature = "async-fn")]
    pub(crate) fn process_ends(&self) -> bool {
        self.process_ends.load(Ordering::Acquire)
    }
}
