//! The queue from the runtime's thread to JavaScript: frames pile up, and one wake-up drains them all.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Asks the JavaScript thread to drain. It must not block, and must not wait for that thread.
pub trait Wake: Send {
    fn wake(&self);
}

/// Frames that wait for JavaScript, and the way to tell it so, for whoever serves it: [`Completions::wake`] when
/// [`Completions::due`].
///
/// Once closed it keeps nothing and wakes nobody, so that after [`Completions::close`] has returned no
/// callback into the host can begin.
pub struct Completions {
    state: Mutex<State>,
    due: Notify,
}

struct State {
    frames: Vec<u8>,
    /// Calls whose last frame is among `frames`.
    ended: u32,
    /// `None` once closed.
    wake: Option<Box<dyn Wake>>,
    silent: bool,
}

/// What one drain took.
pub struct Drained {
    pub frames: Vec<u8>,
    pub ended: u32,
}

impl Completions {
    pub fn new(wake: Box<dyn Wake>) -> Self {
        let state = State { frames: Vec::new(), ended: 0, wake: Some(wake), silent: false };
        Self { state: Mutex::new(state), due: Notify::new() }
    }

    /// Appends a frame that is not its call's last.
    pub fn push(&self, put: impl FnOnce(&mut Vec<u8>)) {
        self.append(put, 0);
    }

    /// Appends the last frame of a call.
    pub fn push_last(&self, put: impl FnOnce(&mut Vec<u8>)) {
        self.append(put, 1);
    }

    fn append(&self, put: impl FnOnce(&mut Vec<u8>), ended: u32) {
        let mut state = self.lock();
        if state.wake.is_none() || state.silent {
            return;
        }
        // A queue that already holds frames has a wake-up under way.
        if state.frames.is_empty() {
            self.due.notify_one();
        }
        put(&mut state.frames);
        state.ended += ended;
    }

    /// Ends when there is something to wake JavaScript for.
    pub async fn due(&self) {
        self.due.notified().await;
    }

    /// Wakes JavaScript, if there is anything for it.
    pub fn wake(&self) {
        let state = self.lock();
        if let Some(wake) = &state.wake
            && !state.frames.is_empty()
            && !state.silent
        {
            wake.wake();
        }
    }

    /// Takes all frames; `empty` becomes the new queue, so that its allocation is used again.
    pub fn drain(&self, mut empty: Vec<u8>) -> Drained {
        empty.clear();
        let mut state = self.lock();
        Drained { frames: mem::replace(&mut state.frames, empty), ended: mem::take(&mut state.ended) }
    }

    /// Drops what is queued and the wake-up. To be called on the JavaScript thread. Idempotent.
    pub fn close(&self) {
        let mut state = self.lock();
        state.frames = Vec::new();
        state.ended = 0;
        state.wake = None;
    }

    /// Keeps nothing and wakes nobody from here on, as if closed; but the wake-up is left to its JavaScript thread.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub fn silence(&self) {
        self.lock().silent = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Waker};

    struct Count(Arc<AtomicU32>);

    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a wake-up has fallen due since the last look.
    fn is_due(completions: &Completions) -> bool {
        let mut due = pin!(completions.due());
        due.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn is_due_once_for_what_one_drain_takes() {
        let woken = Arc::new(AtomicU32::new(0));
        let completions = Completions::new(Box::new(Count(woken.clone())));
        completions.push(|frames| frames.push(1));
        completions.push_last(|frames| frames.push(2));
        assert!(is_due(&completions));
        assert!(!is_due(&completions));
        completions.wake();
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        let drained = completions.drain(Vec::new());
        assert_eq!((drained.frames, drained.ended), (vec![1, 2], 1));
        completions.push(|frames| frames.push(3));
        assert!(is_due(&completions));
    }

    #[test]
    fn wakes_nobody_for_nothing() {
        let woken = Arc::new(AtomicU32::new(0));
        let completions = Completions::new(Box::new(Count(woken.clone())));
        completions.push(|frames| frames.push(1));
        completions.drain(Vec::new());
        completions.wake();
        assert_eq!(woken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn is_silent_once_closed() {
        let woken = Arc::new(AtomicU32::new(0));
        let completions = Completions::new(Box::new(Count(woken.clone())));
        completions.push(|frames| frames.push(1));
        completions.close();
        completions.push_last(|frames| frames.push(1));
        completions.wake();
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        assert!(completions.drain(Vec::new()).frames.is_empty());
    }

    #[test]
    fn is_silent_once_silenced() {
        let woken = Arc::new(AtomicU32::new(0));
        let completions = Completions::new(Box::new(Count(woken.clone())));
        completions.push(|frames| frames.push(1));
        completions.silence();
        completions.push_last(|frames| frames.push(2));
        completions.wake();
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        assert_eq!(completions.drain(Vec::new()).frames, vec![1]);
    }
}
