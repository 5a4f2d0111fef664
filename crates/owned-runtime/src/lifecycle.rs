//! The life of one thread at a time: idle, running, stopping, perhaps overdue, idle again.
//!
//! No tokio here, so that loom can try every interleaving (models.rs).

use std::any::Any;
use std::io;
use std::sync::PoisonError;

use crate::sync::{Arc, Condvar, Deadline, Mutex, MutexGuard, thread};
use crate::{StartError, StopError};

/// The owner's side of a running body.
pub(crate) trait Remote: Clone {
    /// Tells the body to end. Called under the lifecycle's lock: must not block or call back.
    fn tell_to_end(&self);

    /// Whether the caller runs on a thread, other than the body's, that the body waits for before
    /// it ends.
    fn is_helper_thread(&self) -> bool;
}

pub(crate) struct Lifecycle<R> {
    name: String,
    shared: Arc<Shared<R>>,
}

struct Shared<R> {
    /// None: idle.
    worker: Mutex<Option<Worker<R>>>,
    /// Notified at each change of `worker`.
    changed: Condvar,
}

struct Worker<R> {
    remote: R,
    phase: Phase,
    /// The body has ended, and the thread is about to.
    ended: bool,
    /// Also tells this worker from a later one.
    id: thread::ThreadId,
    /// None: a stop is joining it.
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Told to end; somebody waits.
    Stopping,
    /// Told to end; the last wait was in vain.
    Overdue,
}

impl<R> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, Option<Worker<R>>> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Remote> Worker<R> {
    fn is_own_thread(&self) -> bool {
        thread::current().id() == self.id || self.remote.is_helper_thread()
    }
}

impl<R: Remote + Send + 'static> Lifecycle<R> {
    pub(crate) fn new(name: String) -> Self {
        let shared = Shared { worker: Mutex::new(None), changed: Condvar::new() };
        Self { name, shared: Arc::new(shared) }
    }

    #[cfg(not(owned_runtime_loom))]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_running(&self) -> bool {
        let worker = self.shared.lock();
        worker.as_ref().is_some_and(|worker| worker.phase == Phase::Running && !worker.ended)
    }

    /// Runs what `launch` makes on a new thread, unless one runs already. Waits for a stop that is
    /// under way.
    pub(crate) fn start<B>(
        &self,
        deadline: &Deadline,
        launch: impl FnOnce() -> io::Result<(R, B)>,
    ) -> Result<R, StartError>
    where
        B: FnOnce() + Send + 'static,
    {
        let thread = || self.name.clone();
        let mut guard = self.shared.lock();
        while let Some(worker) = &*guard {
            match worker.phase {
                Phase::Running if worker.ended => {
                    return Err(StartError::Ended { thread: thread() });
                }
                Phase::Running => return Ok(worker.remote.clone()),
                Phase::Stopping if worker.is_own_thread() => {
                    return Err(StartError::OwnThread { thread: thread() });
                }
                Phase::Stopping if !deadline.has_passed() => {
                    guard = deadline.wait(&self.shared.changed, guard);
                }
                Phase::Stopping | Phase::Overdue => {
                    return Err(StartError::Overdue { thread: thread(), bound: deadline.bound });
                }
            }
        }

        // The body may find its worker missing only if it is never stored, so spawn under the lock.
        let system = |source| StartError::System { thread: thread(), source };
        let (remote, body) = launch().map_err(system)?;
        let shared = self.shared.clone();
        let handle = thread::Builder::new()
            .name(self.name.clone())
            .spawn(move || {
                let _at_end = MarkEnded(shared);
                body();
            })
            .map_err(system)?;
        *guard = Some(Worker {
            remote: remote.clone(),
            phase: Phase::Running,
            ended: false,
            id: handle.thread().id(),
            thread: Some(handle),
        });
        Ok(remote)
    }

    /// Ends the thread and returns once it is gone, whoever joins it.
    pub(crate) fn stop(&self, deadline: &Deadline) -> Result<(), StopError> {
        let mut guard = self.shared.lock();
        let Some(worker) = &mut *guard else { return Ok(()) };
        if worker.is_own_thread() {
            return Err(StopError::OwnThread { thread: self.name.clone() });
        }
        let id = worker.id;
        worker.remote.tell_to_end();
        worker.phase = Phase::Stopping;

        loop {
            let Some(worker) = guard.as_mut().filter(|worker| worker.id == id) else {
                return Ok(());
            };
            if worker.ended
                && let Some(thread) = worker.thread.take()
            {
                drop(guard);
                return self.join(thread);
            }
            if deadline.has_passed() {
                worker.phase = Phase::Overdue;
                self.shared.changed.notify_all();
                let bound = deadline.bound;
                return Err(StopError::Overdue { thread: self.name.clone(), bound });
            }
            guard = deadline.wait(&self.shared.changed, guard);
        }
    }

    /// Tells the thread to end and lets it go unjoined.
    pub(crate) fn abandon(&self) {
        if let Some(worker) = &mut *self.shared.lock() {
            worker.remote.tell_to_end();
            worker.phase = Phase::Stopping;
        }
    }

    /// Lets a model's deadline pass.
    #[cfg(owned_runtime_loom)]
    pub(crate) fn expire(&self, deadline: &Deadline) {
        let _guard = self.shared.lock();
        deadline.pass();
        self.shared.changed.notify_all();
    }

    fn join(&self, thread: thread::JoinHandle<()>) -> Result<(), StopError> {
        let result = thread.join();
        let gone = self.shared.lock().take();
        self.shared.changed.notify_all();
        drop(gone);
        result.map_err(|payload| StopError::Panicked { thread: self.name.clone(), message: panic_message(&*payload) })
    }
}

/// Marks the worker as ended when its body is through, by return or by panic.
struct MarkEnded<R>(Arc<Shared<R>>);

impl<R> Drop for MarkEnded<R> {
    fn drop(&mut self) {
        if let Some(worker) = &mut *self.0.lock() {
            worker.ended = true;
        }
        self.0.changed.notify_all();
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

#[cfg(all(test, not(owned_runtime_loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::panic::panic_any;
    use std::time::Duration;

    use super::*;

    /// For bodies that end by themselves.
    #[derive(Clone, Debug)]
    struct Nothing;

    impl Remote for Nothing {
        fn tell_to_end(&self) {}

        fn is_helper_thread(&self) -> bool {
            false
        }
    }

    fn deadline() -> Deadline {
        Deadline::after(Duration::from_secs(60))
    }

    #[test]
    fn a_panic_of_the_body_is_told_once() {
        let lifecycle = Lifecycle::new("body".to_owned());
        let bodies: [(fn(), &str); 3] = [
            (|| panic!("meant to"), "meant to"),
            (|| panic!("meant to, {}", 2), "meant to, 2"),
            (|| panic_any(3), "no message"),
        ];
        for (body, said) in bodies {
            lifecycle.start(&deadline(), || Ok((Nothing, body))).unwrap();
            while lifecycle.is_running() {
                thread::yield_now();
            }
            let error = lifecycle.start(&deadline(), || Ok((Nothing, || ()))).unwrap_err();
            assert!(matches!(error, StartError::Ended { .. }), "{error}");
            let (thread, message) = ("body".to_owned(), said.to_owned());
            assert_eq!(lifecycle.stop(&deadline()), Err(StopError::Panicked { thread, message }));
            assert_eq!(lifecycle.stop(&deadline()), Ok(()));
        }
    }

    #[test]
    fn a_launch_that_fails_changes_nothing() {
        let lifecycle = Lifecycle::new("launch".to_owned());
        let launch = || Err::<(_, fn()), _>(io::Error::other("no"));
        let error = lifecycle.start(&deadline(), launch).unwrap_err();
        assert_eq!(error.to_string(), "can't start runtime thread `launch`: no");
        assert!(!lifecycle.is_running());
        lifecycle.start(&deadline(), || Ok((Nothing, || ()))).unwrap();
        lifecycle.stop(&deadline()).unwrap();
    }
}
