//! The queue from the runtime's thread to JavaScript: frames pile up, and one wake-up drains them all.

use std::collections::VecDeque;
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

/// A batch that has so many bytes takes no more frames. JavaScript handles one batch in one go, so this bounds how long
/// its event loop is kept and how many decoded answers it holds at once. `batchBytes` in
/// packages/etcd/src/transport/native.ts.
const BATCH_BYTES: usize = 128 * 1024;

struct State {
    /// All but the last hold [`BATCH_BYTES`] or more.
    batches: VecDeque<Batch>,
    /// An allocation to be used again.
    spare: Vec<u8>,
    /// `None` once closed.
    wake: Option<Box<dyn Wake>>,
    silent: bool,
}

/// What one drain takes.
#[derive(Default)]
pub struct Batch {
    pub frames: Vec<u8>,
    /// Calls whose last frame is among `frames`.
    pub ended: u32,
}

impl Completions {
    pub fn new(wake: Box<dyn Wake>) -> Self {
        let state = State { batches: VecDeque::new(), spare: Vec::new(), wake: Some(wake), silent: false };
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
        // A queue that already holds frames has a wake-up or a further drain under way.
        if state.batches.is_empty() {
            self.due.notify_one();
        }
        if state.batches.back().is_none_or(|batch| batch.frames.len() >= BATCH_BYTES) {
            let frames = mem::take(&mut state.spare);
            state.batches.push_back(Batch { frames, ended: 0 });
        }
        if let Some(batch) = state.batches.back_mut() {
            put(&mut batch.frames);
            batch.ended += ended;
        }
    }

    /// Ends when there is something to wake JavaScript for.
    pub async fn due(&self) {
        self.due.notified().await;
    }

    /// Wakes JavaScript, if there is anything for it.
    pub fn wake(&self) {
        let state = self.lock();
        if let Some(wake) = &state.wake
            && !state.batches.is_empty()
            && !state.silent
        {
            wake.wake();
        }
    }

    /// Takes the first batch. If it holds [`BATCH_BYTES`] or more there may be others, for which nobody is woken: drain
    /// again.
    pub fn drain(&self) -> Batch {
        self.lock().batches.pop_front().unwrap_or_default()
    }

    /// Gives an allocation back for further frames.
    pub fn reuse(&self, mut frames: Vec<u8>) {
        frames.clear();
        self.lock().spare = frames;
    }

    /// Drops what is queued and the wake-up. To be called on the JavaScript thread. Idempotent.
    pub fn close(&self) {
        let mut state = self.lock();
        state.batches.clear();
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
        let drained = completions.drain();
        assert_eq!((drained.frames, drained.ended), (vec![1, 2], 1));
        completions.push(|frames| frames.push(3));
        assert!(is_due(&completions));
    }

    #[test]
    fn batches_are_bounded_and_in_order() {
        let completions = Completions::new(Box::new(Count(Arc::default())));
        completions.push(|frames| frames.resize(BATCH_BYTES - 1, 1));
        completions.push_last(|frames| frames.extend([1, 1]));
        completions.push_last(|frames| frames.push(2));
        let first = completions.drain();
        assert_eq!((first.frames.len(), first.ended), (BATCH_BYTES + 1, 1));
        completions.reuse(first.frames);
        completions.push_last(|frames| frames.push(3));
        let second = completions.drain();
        assert_eq!((second.frames, second.ended), (vec![2, 3], 2));
        assert!(completions.drain().frames.is_empty());
    }

    #[test]
    fn wakes_nobody_for_nothing() {
        let woken = Arc::new(AtomicU32::new(0));
        let completions = Completions::new(Box::new(Count(woken.clone())));
        completions.push(|frames| frames.push(1));
        completions.drain();
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
        assert!(completions.drain().frames.is_empty());
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
        assert_eq!(completions.drain().frames, vec![1]);
    }
}
