//! A thread that can be joined within a bound, including its thread-local destructors.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

pub(crate) use std::thread::ThreadId;

use crate::panic::catch;
use crate::sync::Deadline;

pub(crate) fn current_id() -> ThreadId {
    std::thread::current().id()
}

pub(crate) struct Thread {
    handle: JoinHandle<()>,
    /// The message of a panic that ended the body.
    panic: Arc<Mutex<Option<String>>>,
}

impl Thread {
    /// Runs `body` on a new thread. `guard` is dropped when [`join_by`](Self::join_by) no longer needs to wait for the
    /// body.
    pub(crate) fn spawn<G: Send + 'static>(
        name: &str,
        guard: G,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let panic = Arc::new(Mutex::new(None));
        let message = panic.clone();
        let body = move || {
            if let Err(text) = catch(body) {
                *message.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
            }
        };
        let handle = Builder::new().name(name.to_owned()).spawn(move || last_steps::run(guard, body))?;
        Ok(Self { handle, panic })
    }

    pub(crate) fn id(&self) -> ThreadId {
        self.handle.thread().id()
    }

    /// Joins the thread. Returns the message of the panic that ended its body, if there was one. If the thread still
    /// exists at the deadline, returns the thread.
    pub(crate) fn join_by(self, deadline: &Deadline) -> Result<Option<String>, Self> {
        let Self { handle, panic } = self;
        match last_steps::join(handle, deadline) {
            Ok(()) => Ok(panic.lock().unwrap_or_else(PoisonError::into_inner).take()),
            Err(handle) => Err(Self { handle, panic }),
        }
    }
}

/// Linux can join a thread within a bound, whatever the thread still does.
#[cfg(all(target_os = "linux", not(owned_runtime_plain_join)))]
mod last_steps {
    use std::os::raw::c_int;
    use std::os::unix::thread::JoinHandleExt;
    use std::ptr;
    use std::thread::JoinHandle;
    use std::time::{Duration, SystemTime};

    use crate::sync::Deadline;

    /// The wait uses the wall clock, which may be set meanwhile. So it is done in parts.
    const PART: Duration = Duration::from_millis(500);

    pub(super) fn run<G>(guard: G, body: impl FnOnce()) {
        body();
        drop(guard);
    }

    pub(super) fn join(handle: JoinHandle<()>, deadline: &Deadline) -> Result<(), JoinHandle<()>> {
        loop {
            let part = deadline.left().map_or(PART, |left| left.min(PART));
            let until = SystemTime::now() + part;
            let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            // SAFETY: all of a timespec's bits may be zero.
            let mut at: libc::timespec = unsafe { std::mem::zeroed() };
            at.tv_sec = until.as_secs() as _;
            at.tv_nsec = until.subsec_nanos() as _;
            // SAFETY: the thread is joinable, as its handle exists, and nobody else joins it, as this code owns the
            // handle.
            let status = unsafe { pthread_timedjoin_np(handle.as_pthread_t() as _, ptr::null_mut(), &at) };
            if status == 0 {
                // It is joined by now, so the handle must not join it again.
                handle.into_pthread_t();
                return Ok(());
            }
            if deadline.has_passed() {
                return Err(handle);
            }
        }
    }

    // In glibc and musl.
    extern "C" {
        fn pthread_timedjoin_np(
            thread: libc::pthread_t,
            value: *mut *mut libc::c_void,
            at: *const libc::timespec,
        ) -> c_int;
    }
}

/// On other systems the guard is the thread's first thread-local value, which is destroyed after all other values of
/// Rust code. What follows is short, unless a C library has its own destructors.
#[cfg(any(not(target_os = "linux"), owned_runtime_plain_join))]
mod last_steps {
    use std::any::Any;
    use std::cell::RefCell;
    use std::thread::JoinHandle;

    use crate::sync::Deadline;

    thread_local! {
        static GUARD: RefCell<Option<Box<dyn Any>>> = RefCell::new(None);
    }

    pub(super) fn run<G: 'static>(guard: G, body: impl FnOnce()) {
        GUARD.with(|slot| *slot.borrow_mut() = Some(Box::new(guard)));
        body();
    }

    pub(super) fn join(handle: JoinHandle<()>, _deadline: &Deadline) -> Result<(), JoinHandle<()>> {
        // The body catches its own panics.
        drop(handle.join());
        Ok(())
    }
}
