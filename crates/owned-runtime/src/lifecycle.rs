//! The life of a runtime: idle, running, ending, and running again while an earlier one still ends, until it is closed
//! for good.
//!
//! There is no tokio here, so that loom can try every interleaving (models.rs).

use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::PoisonError;
use std::time::Duration;

use crate::per_process::PerProcess;
use crate::sync::{current_id, Arc, Condvar, Deadline, Mutex, MutexGuard, Thread, ThreadId};
use crate::{StartError, StopError};

/// The owner's side of a running body.
pub(crate) trait Remote: Clone {
    /// Asks the body to end. Called under the lifecycle's lock: must not block or call back.
    fn request_end(&self);

    /// Whether the caller runs on a thread, other than the body's, that the body waits for before
    /// it ends.
    fn is_helper_thread(&self) -> bool;
}

pub(crate) struct Lifecycle<R> {
    name: String,
    shared: PerProcess<Arc<Shared<R>>>,
}

struct Shared<R> {
    state: Mutex<State<R>>,
    /// Notified at each change of `state`.
    changed: Condvar,
    /// Whether nothing starts any more. It changes under the lock, but a forked child reads it without the lock.
    closed: AtomicBool,
}

struct State<R> {
    current: Option<Worker<R>>,
    /// The worker was asked to end, and is not joined yet.
    ending: Vec<Worker<R>>,
}

struct Worker<R> {
    remote: R,
    /// Also distinguishes this worker from a later one.
    id: ThreadId,
    /// The body has ended, and the thread is about to.
    ended: bool,
    /// The bound of a stop, once it has passed.
    overdue: Option<Duration>,
    /// `None` while a stop is joining it.
    thread: Option<Thread>,
}

impl<R> Shared<R> {
    fn new(closed: bool) -> Arc<Self> {
        let state = State { current: None, ending: Vec::new() };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new(), closed: AtomicBool::new(closed) })
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

impl<R> State<R> {
    fn workers(&mut self) -> impl Iterator<Item = &mut Worker<R>> {
        self.current.iter_mut().chain(&mut self.ending)
    }

    fn worker(&mut self, id: ThreadId) -> Option<&mut Worker<R>> {
        self.workers().find(|worker| worker.id == id)
    }
}

impl<R: Remote> State<R> {
    /// The worker that the caller's thread belongs to.
    fn own_worker(&mut self) -> Option<&mut Worker<R>> {
        let id = current_id();
        self.workers().find(|worker| worker.id == id || worker.remote.is_helper_thread())
    }

    fn end_current(&mut self) {
        if let Some(worker) = self.current.take() {
            worker.remote.request_end();
            self.ending.push(worker);
        }
    }

    /// Removes overdue workers that are gone by now. Returns the bound of one that still exists.
    fn overdue(&mut self, gone: &mut Vec<Worker<R>>) -> Option<Duration> {
        let mut bound = None;
        for mut worker in mem::take(&mut self.ending) {
            let thread = if worker.overdue.is_some() && worker.ended { worker.thread.take() } else { None };
            match thread.map(|thread| thread.join_by(&Deadline::now())) {
                Some(Ok(_)) => {
                    gone.push(worker);
                    continue;
                }
                Some(Err(thread)) => worker.thread = Some(thread),
                None => (),
            }
            bound = bound.or(worker.overdue);
            self.ending.push(worker);
        }
        bound
    }
}

// The models use only a part of it.
#[cfg_attr(owned_runtime_loom, allow(dead_code))]
impl<R: Remote + Send + 'static> Lifecycle<R> {
    pub(crate) fn new(name: String) -> Self {
        Self { name, shared: PerProcess::new(Shared::new(false)) }
    }

    fn shared(&self) -> &Arc<Shared<R>> {
        self.shared.get(|parent| Shared::new(parent.is_closed()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(&self.shared().lock().current, Some(worker) if !worker.ended)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared().is_closed()
    }

    /// Whether the caller's thread is the body's or one that the body waits for.
    pub(crate) fn is_own_thread(&self) -> bool {
        self.shared().lock().own_worker().is_some()
    }

    /// Runs what `launch` makes on a new thread, unless one is already running. Waits for nobody.
    pub(crate) fn start<B>(&self, launch: impl FnOnce() -> io::Result<(R, B)>) -> Result<R, StartError>
    where
        B: FnOnce() + Send + 'static,
    {
        let shared = self.shared();
        // Dropped after the lock is released.
        let mut gone = Vec::new();
        let mut state = shared.lock();
        if let Some(worker) = state.own_worker() {
            return Ok(worker.remote.clone());
        }
        let thread = || self.name.clone();
        if shared.is_closed() {
            return Err(StartError::Closed { thread: thread() });
        }
        match &state.current {
            Some(worker) if worker.ended => return Err(StartError::Ended { thread: thread() }),
            Some(worker) => return Ok(worker.remote.clone()),
            None => (),
        }
        if let Some(bound) = state.overdue(&mut gone) {
            return Err(StartError::Overdue { thread: thread(), bound });
        }

        let system = |source| StartError::System { thread: thread(), source };
        let (remote, body) = launch().map_err(system)?;
        // The end of the new thread finds the worker stored, since it waits for the lock.
        let thread = Thread::spawn(&self.name, MarkEnded(shared.clone()), body).map_err(system)?;
        let id = thread.id();
        let worker = Worker { remote: remote.clone(), id, ended: false, overdue: None, thread: Some(thread) };
        state.current = Some(worker);
        drop(state);
        Ok(remote)
    }

    /// Ends the thread. Returns once it is gone, even if another call joins it, together with all threads that other
    /// stops wait for.
    pub(crate) fn stop(&self, deadline: &Deadline) -> Result<(), StopError> {
        self.end(deadline, false)
    }

    /// Like stop, but permanently.
    pub(crate) fn close(&self, deadline: &Deadline) -> Result<(), StopError> {
        self.end(deadline, true)
    }

    fn end(&self, deadline: &Deadline, for_good: bool) -> Result<(), StopError> {
        let shared = self.shared();
        let mut state = shared.lock();
        if for_good {
            shared.closed.store(true, Ordering::Relaxed);
        }
        if state.own_worker().is_some() {
            return Err(StopError::OwnThread { thread: self.name.clone() });
        }
        state.end_current();
        let awaited: Vec<_> = state.ending.iter().map(|worker| worker.id).collect();
        let mut panicked = None;

        loop {
            let mut left = state.ending.iter_mut().filter(|worker| awaited.contains(&worker.id)).peekable();
            if left.peek().is_none() {
                break;
            }
            let ready = left.find(|worker| worker.ended && worker.thread.is_some());
            if let Some((id, thread)) = ready.and_then(|worker| Some((worker.id, worker.thread.take()?))) {
                drop(state);
                let joined = thread.join_by(deadline);
                state = shared.lock();
                match joined {
                    Ok(message) => {
                        panicked = panicked.or(message);
                        let at = state.ending.iter().position(|worker| worker.id == id);
                        let gone = at.map(|at| state.ending.swap_remove(at));
                        shared.changed.notify_all();
                        drop(state);
                        drop(gone);
                        state = shared.lock();
                        continue;
                    }
                    Err(thread) => {
                        if let Some(worker) = state.worker(id) {
                            worker.thread = Some(thread);
                        }
                        shared.changed.notify_all();
                    }
                }
            }
            if deadline.has_passed() {
                for worker in state.ending.iter_mut().filter(|worker| awaited.contains(&worker.id)) {
                    worker.overdue = Some(deadline.bound);
                }
                return Err(StopError::Overdue { thread: self.name.clone(), bound: deadline.bound });
            }
            state = deadline.wait(&shared.changed, state);
        }
        match panicked {
            Some(message) => Err(StopError::Panicked { thread: self.name.clone(), message }),
            None => Ok(()),
        }
    }

    /// Asks the thread to end, and doesn't join it.
    pub(crate) fn abandon(&self) {
        self.shared().lock().end_current();
    }

    /// Lets a model's deadline pass.
    #[cfg(owned_runtime_loom)]
    pub(crate) fn expire(&self, deadline: &Deadline) {
        let shared = self.shared();
        let _guard = shared.lock();
        deadline.pass();
        shared.changed.notify_all();
    }
}

/// Marks the worker as ended when its body ends, by return or by panic.
struct MarkEnded<R>(Arc<Shared<R>>);

impl<R> Drop for MarkEnded<R> {
    fn drop(&mut self) {
        let id = current_id();
        if let Some(worker) = self.0.lock().worker(id) {
            worker.ended = true;
        }
        self.0.changed.notify_all();
    }
}

#[cfg(all(test, not(owned_runtime_loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::panic::panic_any;
    use std::thread;

    use super::*;

    /// For bodies that end by themselves.
    #[derive(Clone, Debug)]
    struct Nothing;

    impl Remote for Nothing {
        fn request_end(&self) {}

        fn is_helper_thread(&self) -> bool {
            false
        }
    }

    fn deadline() -> Deadline {
        Deadline::after(Duration::from_secs(60))
    }

    #[test]
    fn a_panic_of_the_body_is_reported_once() {
        let lifecycle = Lifecycle::new("body".to_owned());
        let bodies: [(fn(), &str); 3] = [
            (|| panic!("meant to"), "meant to"),
            (|| panic!("meant to, {}", 2), "meant to, 2"),
            (|| panic_any(3), "no message"),
        ];
        for (body, said) in bodies {
            lifecycle.start(|| Ok((Nothing, body))).unwrap();
            while lifecycle.is_running() {
                thread::yield_now();
            }
            let error = lifecycle.start(|| Ok((Nothing, || ()))).unwrap_err();
            assert!(matches!(error, StartError::Ended { .. }), "{error}");
            let (thread, message) = ("body".to_owned(), said.to_owned());
            assert_eq!(lifecycle.stop(&deadline()), Err(StopError::Panicked { thread, message }));
            assert_eq!(lifecycle.stop(&deadline()), Ok(()));
        }
    }

    #[test]
    fn a_launch_that_fails_changes_nothing() {
        let lifecycle = Lifecycle::new("launch".to_owned());
        let launch = || Err::<(_, fn()), _>(io::ErrorKind::OutOfMemory.into());
        let error = lifecycle.start(launch).unwrap_err();
        assert_eq!(error.to_string(), "can't start runtime thread `launch`: out of memory");
        assert!(!lifecycle.is_running());
        lifecycle.start(|| Ok((Nothing, || ()))).unwrap();
        lifecycle.stop(&deadline()).unwrap();
    }
}
