//! The queue from the runtime's thread to JavaScript: frames pile up, and one wake-up drains them all.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Asks the JavaScript thread to drain. It must not block, and must not wait for that thread.
pub trait Wake: Send {
    fn wake(&self);
}

/// Frames that wait for JavaScript, and the way to tell it so.
///
/// Once closed it keeps nothing and wakes nobody, so that after [`Completions::close`] has returned no
/// callback into the host can begin.
pub struct Completions {
    state: Mutex<State>,
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
        Self { state: Mutex::new(State { frames: Vec::new(), ended: 0, wake: Some(wake), silent: false }) }
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
        let Some(wake) = &state.wake else { return };
        if state.silent {
            return;
        }
        // A queue that already holds frames has a wake-up under way.
        if state.frames.is_empty() {
            wake.wake();
        }
        put(&mut state.frames);
        state.ended += ended;
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Count(Arc<AtomicU32>);

    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn wakes_once_for_what_one_drain_takes() {
        let woken = Arc::new(AtomicU32::new(0));
        let completions = Completions::new(Box::new(Count(woken.clone())));
        completions.push(|frames| frames.push(1));
        completions.push_last(|frames| frames.push(2));
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        let drained = completions.drain(Vec::new());
        assert_eq!((drained.frames, drained.ended), (vec![1, 2], 1));
        completions.push(|frames| frames.push(3));
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn is_silent_once_closed() {
        let woken = Arc::new(AtomicU32::new(0));
        let completions = Completions::new(Box::new(Count(woken.clone())));
        completions.close();
        completions.push_last(|frames| frames.push(1));
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        assert!(completions.drain(Vec::new()).frames.is_empty());
    }

    #[test]
    fn is_silent_once_silenced() {
        let woken = Arc::new(AtomicU32::new(0));
        let completions = Completions::new(Box::new(Count(woken.clone())));
        completions.silence();
        completions.push_last(|frames| frames.push(1));
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        assert!(completions.drain(Vec::new()).frames.is_empty());
    }
}
