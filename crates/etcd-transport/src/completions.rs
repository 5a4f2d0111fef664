//! The queue from the runtime's thread to JavaScript. Frames accumulate, and one wake-up drains them all.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::frames::Frames;

/// Asks the JavaScript thread to drain. It must not block, and must not wait for that thread.
pub trait Wake: Send {
    fn wake(&self);
}

/// Frames that wait for JavaScript, and the way to wake it, for whoever serves the queue: [`Completions::wake_if_due`].
///
/// A closed queue keeps nothing and wakes nobody. So after [`Completions::close`] has returned, no callback into the
/// host can begin.
///
/// JavaScript's thread may drain while the other thread is still waking it. It then waits for no lock of this queue.
pub struct Completions {
    state: Mutex<State>,
    /// `None` once closed. Held during a wake-up, and never together with `state`.
    wake: Mutex<Option<Box<dyn Wake>>>,
}

/// A batch with more bytes than this takes no more frames. JavaScript copies a batch in one go.
const BATCH_BYTES: usize = 128 * 1024;

struct State {
    /// All except the last are full.
    batches: VecDeque<Batch>,
    /// An allocation for reuse.
    spare: Vec<u8>,
    closed: bool,
    /// Whether JavaScript still has to be woken for queued frames.
    due: bool,
    /// If set, all queued frames may wait until this time before JavaScript is woken.
    gathering: Option<Instant>,
}

/// The result of one drain.
#[derive(Default)]
pub struct Batch {
    /// The first byte says whether another batch waits, for which there is no wake-up. The frames follow.
    pub frames: Frames,
    /// The number of calls whose last frame is in this batch.
    pub ended: u32,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.frames.held() > BATCH_BYTES
    }
}

impl Completions {
    pub fn new(wake: Box<dyn Wake>) -> Self {
        let batches = VecDeque::new();
        let state = State { batches, spare: Vec::new(), closed: false, due: false, gathering: None };
        Self { state: Mutex::new(state), wake: Mutex::new(Some(wake)) }
    }

    /// Appends a frame that is not its call's last.
    pub fn push(&self, put: impl FnOnce(&mut Frames)) {
        self.append(put, 0, Duration::ZERO);
    }

    /// Appends a frame that may wait this long: see [`Completions::gathered_until`].
    pub fn push_within(&self, wait: Duration, put: impl FnOnce(&mut Frames)) {
        self.append(put, 0, wait);
    }

    /// Appends the last frame of a call.
    pub fn push_last(&self, put: impl FnOnce(&mut Frames)) {
        self.append(put, 1, Duration::ZERO);
    }

    fn append(&self, put: impl FnOnce(&mut Frames), ended: u32, wait: Duration) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        // If the queue already holds frames, a wake-up or a further drain is under way, unless all of them may wait.
        if state.batches.is_empty() || state.gathering.is_some() {
            if wait.is_zero() {
                state.due = true;
                state.gathering = None;
            } else if !state.due {
                let until = Instant::now() + wait;
                state.gathering = Some(state.gathering.map_or(until, |earlier| earlier.min(until)));
            }
        }
        if state.batches.back().is_none_or(Batch::is_full) {
            let mut bytes = mem::take(&mut state.spare);
            bytes.push(0);
            let frames = Frames { bytes, ..Frames::default() };
            state.batches.push_back(Batch { frames, ended: 0 });
        }
        if let Some(batch) = state.batches.back_mut() {
            put(&mut batch.frames);
            batch.ended += ended;
        }
    }

    /// When JavaScript must be woken for frames that may wait. [`Completions::end_gathering`] does that. `None` if
    /// there are none.
    pub fn gathered_until(&self) -> Option<Instant> {
        self.lock().gathering
    }

    /// Frames that may wait until `now` wait no longer.
    pub fn end_gathering(&self, now: Instant) {
        let mut state = self.lock();
        if state.gathering.is_some_and(|until| until <= now) {
            state.gathering = None;
            state.due = true;
        }
    }

    /// Wakes JavaScript if there is something new for it.
    pub fn wake_if_due(&self) {
        let mut state = self.lock();
        let due = mem::take(&mut state.due) && !state.batches.is_empty();
        drop(state);
        if due && let Some(wake) = &*lock(&self.wake) {
            wake.wake();
        }
    }

    /// Takes the first batch.
    pub fn drain(&self) -> Batch {
        let mut state = self.lock();
        state.gathering = None;
        let mut batch = state.batches.pop_front().unwrap_or_default();
        if let Some(more) = batch.frames.bytes.first_mut() {
            *more = u8::from(!state.batches.is_empty());
        }
        batch
    }

    /// Returns an allocation for further frames.
    pub fn reuse(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        self.lock().spare = bytes;
    }

    /// Drops the queued frames and the wake-up. Must be called on the JavaScript thread. Idempotent.
    pub fn close(&self) {
        let mut state = self.lock();
        state.batches.clear();
        state.gathering = None;
        state.closed = true;
        drop(state);
        *lock(&self.wake) = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        completions.push(|frames| frames.bytes.push(1));
        completions.push_last(|frames| frames.bytes.push(2));
        completions.wake_if_due();
        completions.push_last(|frames| frames.bytes.push(3));
        completions.wake_if_due();
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        let drained = completions.drain();
        assert_eq!((drained.frames.bytes, drained.ended), (vec![0, 1, 2, 3], 2));
        completions.push(|frames| frames.bytes.push(4));
        completions.wake_if_due();
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_may_wait_wakes_nobody_until_its_time_or_something_else_comes() {
        let woken = Arc::new(AtomicU32::new(0));
        let completions = Completions::new(Box::new(Count(woken.clone())));
        let wait = Duration::from_secs(60);
        let begun = Instant::now();
        completions.push_within(wait, |frames| frames.bytes.push(1));
        completions.push_within(wait, |frames| frames.bytes.push(2));
        completions.end_gathering(begun);
        completions.wake_if_due();
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        assert!(completions.gathered_until().is_some_and(|until| until <= Instant::now() + wait));
        completions.end_gathering(Instant::now() + wait);
        completions.wake_if_due();
        assert_eq!((woken.load(Ordering::Relaxed), completions.gathered_until()), (1, None));
        assert_eq!(completions.drain().frames.bytes, vec![0, 1, 2]);

        completions.push_within(wait, |frames| frames.bytes.push(3));
        completions.push_last(|frames| frames.bytes.push(4));
        completions.wake_if_due();
        assert_eq!((woken.load(Ordering::Relaxed), completions.gathered_until()), (2, None));
        // A wake-up is under way, so nothing waits.
        completions.push_within(wait, |frames| frames.bytes.push(5));
        assert_eq!(completions.gathered_until(), None);
        assert_eq!(completions.drain().frames.bytes, vec![0, 3, 4, 5]);
    }

    #[test]
    fn batches_are_bounded_in_bytes_and_in_order() {
        let completions = Completions::new(Box::new(Count(Arc::default())));
        completions.push(|frames| frames.bytes.resize(BATCH_BYTES - 1, 1));
        completions.push_last(|frames| frames.bytes.extend([1, 1]));
        completions.push_last(|frames| frames.bytes.push(2));
        let first = completions.drain();
        assert_eq!((first.frames.bytes.len(), first.frames.bytes[0], first.ended), (BATCH_BYTES + 1, 1, 1));
        completions.reuse(first.frames.bytes);
        completions.push_last(|frames| frames.bytes.push(3));
        let second = completions.drain();
        assert_eq!((second.frames.bytes, second.ended), (vec![0, 2, 3], 2));
        assert!(completions.drain().frames.bytes.is_empty());
    }

    #[test]
    fn wakes_nobody_for_nothing() {
        let woken = Arc::new(AtomicU32::new(0));
        let completions = Completions::new(Box::new(Count(woken.clone())));
        completions.push(|frames| frames.bytes.push(1));
        completions.drain();
        completions.wake_if_due();
        assert_eq!(woken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn is_silent_once_closed() {
        let woken = Arc::new(AtomicU32::new(0));
        let completions = Completions::new(Box::new(Count(woken.clone())));
        completions.push(|frames| frames.bytes.push(1));
        completions.close();
        completions.push_last(|frames| frames.bytes.push(1));
        completions.wake_if_due();
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        assert!(completions.drain().frames.bytes.is_empty());
    }
}
