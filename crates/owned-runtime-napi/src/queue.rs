//! Jobs that wait for JavaScript's thread. They accumulate, and one wake-up runs them all.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::Env;
use napi::bindgen_prelude::*;

use crate::panic::catch;
use crate::wake::WakeFunction;

/// The rest waits for the event loop's next turn.
const JOBS_A_TURN: usize = 1000;

type Job = Box<dyn FnOnce() + Send>;

/// The queue of one env. It keeps the event loop alive while promises wait.
pub struct Queue {
    jobs: Arc<Jobs>,
    waiting: AtomicUsize,
}

struct Jobs {
    state: Mutex<State>,
}

struct State {
    queued: VecDeque<Job>,
    /// `None` before it is made, and once it is closed.
    wake: Option<Arc<WakeFunction>>,
}

impl Queue {
    /// Must be called on JavaScript's thread.
    pub fn new(env: &Env) -> Result<Self> {
        let jobs = Arc::new(Jobs { state: Mutex::new(State { queued: VecDeque::new(), wake: None }) });
        let drained = jobs.clone();
        let drain = env.create_function_from_closure::<(), (), _>("drain", move |_| {
            drained.run();
            Ok(())
        })?;
        let wake = WakeFunction::new(*env, &drain, "owned-runtime-napi")?;
        jobs.lock().wake = Some(Arc::new(wake));
        Ok(Self { jobs, waiting: AtomicUsize::new(0) })
    }

    /// Lets JavaScript's thread run a job soon. Callable from any thread; never waits. Once the queue is closed, the
    /// job is dropped here.
    pub fn push(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = self.jobs.lock();
        let Some(wake) = state.wake.clone() else { return };
        let first = state.queued.is_empty();
        state.queued.push_back(Box::new(job));
        drop(state);
        // If the queue already holds jobs, a wake-up is under way.
        if first {
            wake.call();
        }
    }

    /// One more promise waits. Must be called on JavaScript's thread.
    pub fn hold(&self, env: Env) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            self.set_referenced(env, true);
        }
    }

    /// One promise less. Must be called on JavaScript's thread.
    pub fn let_go(&self, env: Env) {
        if self.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.set_referenced(env, false);
        }
    }

    fn set_referenced(&self, env: Env, referenced: bool) {
        let wake = self.jobs.lock().wake.clone();
        // It fails only as the env ends, when there is no event loop to keep alive.
        let _ = wake.map(|wake| wake.set_referenced(env, referenced));
    }

    /// Drops the queued jobs, after which nothing runs. Callable from any thread; idempotent.
    pub fn close(&self) {
        let mut state = self.jobs.lock();
        let dropped = (mem::take(&mut state.queued), state.wake.take());
        // Dropping them may push, and must find the lock free.
        drop(state);
        drop(dropped);
    }

    /// Like [`close`](Self::close), but keeps the queued jobs. The last drop of a function runs napi code that uses
    /// thread-locals, and libc destroys those of the exiting thread before it runs the handlers of `atexit`.
    pub fn abandon(&self) {
        let mut state = self.jobs.lock();
        mem::forget((mem::take(&mut state.queued), state.wake.take()));
    }
}

impl Jobs {
    fn run(&self) {
        for _ in 0..JOBS_A_TURN {
            let Some(job) = self.lock().queued.pop_front() else { return };
            // A panic, which is a defect of a conversion, must not unwind into the host.
            let _ = catch(job);
        }
        let state = self.lock();
        let wake = if state.queued.is_empty() { None } else { state.wake.clone() };
        drop(state);
        if let Some(wake) = wake {
            wake.call();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An env that travels with a job. The job runs on the env's own thread and before the env ends.
#[derive(Clone, Copy)]
pub struct JobEnv(sys::napi_env);

// SAFETY: only jobs use it, on the env's own thread.
unsafe impl Send for JobEnv {}
// SAFETY: as above.
unsafe impl Sync for JobEnv {}

impl JobEnv {
    pub fn new(env: &Env) -> Self {
        Self(env.raw())
    }

    /// The env of a running job.
    pub fn get(self) -> Env {
        Env::from_raw(self.0)
    }
}
