//! A task of the runtime that another thread may also continue, when that thread has just given it something to do.
//! Then the runtime's thread needn't be woken for it, which takes longer than most of the work.
//!
//! Neither thread waits for the other. A thread that arrives while the future is being polled leaves a note, and the
//! polling thread then polls once more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Nobody is polling.
const IDLE: u8 = 0;
/// Somebody is polling.
const POLLING: u8 = 1;
/// Somebody is polling, and must poll once more.
const AGAIN: u8 = 2;

/// How many rounds one poll makes before it leaves the rest to the task's next poll.
const ROUNDS: usize = 4;

type BoxedFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The future, shared by its task and whoever else continues it.
pub struct SharedTask {
    state: AtomicU8,
    /// `None` once the future has ended. Held only during a poll.
    future: Mutex<Option<BoxedFuture>>,
    task: AtomicWaker,
    left: Box<dyn Fn() + Send + Sync>,
}

impl SharedTask {
    /// `left` is called after each poll of the future, by the thread that polled it. Another thread that it wakes may
    /// already continue the future itself.
    pub fn new(
        future: impl Future<Output = ()> + Send + 'static,
        left: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(IDLE),
            future: Mutex::new(Some(Box::pin(future))),
            task: AtomicWaker::new(),
            left: Box::new(left),
        })
    }

    /// The task itself. When it is dropped because the runtime ends, the future is dropped with it.
    pub fn run(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        Task(self.clone())
    }

    /// Runs `first`, which gives the future something to do and wakes it. Then continues the future here unless it is
    /// being polled. Must be called in the runtime's context.
    pub fn carry_on_after(self: &Arc<Self>, first: impl FnOnce()) {
        let mine = self.enter();
        first();
        if mine {
            let _ = self.poll_here();
        }
    }

    /// Whether the caller must poll now. Otherwise whoever is polling will do so once more.
    fn enter(&self) -> bool {
        self.state.swap(AGAIN, Ordering::AcqRel) == IDLE
    }

    fn poll_here(self: &Arc<Self>) -> Poll<()> {
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        for _ in 0..ROUNDS {
            self.state.store(POLLING, Ordering::Release);
            {
                let mut slot = self.lock();
                if slot.as_mut().is_none_or(|future| has_ended(future, &mut cx)) {
                    *slot = None;
                    drop(slot);
                    self.leave();
                    return Poll::Ready(());
                }
            }
            if self.state.compare_exchange(POLLING, IDLE, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                (self.left)();
                return Poll::Pending;
            }
        }
        self.leave();
        Poll::Pending
    }

    /// Leaves the rest to the task.
    fn leave(&self) {
        self.state.store(IDLE, Ordering::Release);
        self.task.wake();
        (self.left)();
    }

    fn lock(&self) -> MutexGuard<'_, Option<BoxedFuture>> {
        self.future.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A panic, which is a defect, ends the future. It must not unwind into JavaScript's thread.
fn has_ended(future: &mut BoxedFuture, cx: &mut Context<'_>) -> bool {
    catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx).is_ready())).unwrap_or(true)
}

/// Wakes the future. Whoever is polling it makes another round. If nobody is, its task will poll it.
impl Wake for SharedTask {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.compare_exchange(POLLING, AGAIN, Ordering::AcqRel, Ordering::Acquire) == Err(IDLE) {
            self.task.wake();
        }
    }
}

struct Task(Arc<SharedTask>);

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.task.register(cx.waker());
        if self.0.enter() { self.0.poll_here() } else { Poll::Pending }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // Waits for a poll of the other thread, which waits for nobody.
        let future = self.0.lock().take();
        drop(future);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, poll_fn};
    use std::sync::atomic::AtomicU32;
    use std::sync::{OnceLock, Weak};
    use std::thread;
    use std::time::{Duration, Instant};

    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    /// A runtime on its own thread, which ends when the sender is dropped.
    fn running(task: &Arc<SharedTask>) -> (thread::JoinHandle<()>, tokio::sync::oneshot::Sender<()>) {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let task = task.run();
        let thread = thread::spawn(move || {
            let Ok(runtime) = runtime() else { return };
            runtime.spawn(task);
            let _ = runtime.block_on(stopped);
        });
        (thread, stop)
    }

    fn runtime() -> std::io::Result<Runtime> {
        Builder::new_current_thread().build()
    }

    /// Adds up the numbers that it receives, and checks that nobody polls it while it is being polled.
    fn adder() -> (Arc<SharedTask>, UnboundedSender<u32>, Arc<AtomicU32>) {
        let (send, mut receive) = unbounded_channel();
        let sum = Arc::new(AtomicU32::new(0));
        let added = sum.clone();
        let busy = AtomicU8::new(0);
        let future = poll_fn(move |cx| {
            assert_eq!(busy.swap(1, Ordering::SeqCst), 0, "polled twice at once");
            let mut ended = false;
            while let Poll::Ready(number) = receive.poll_recv(cx) {
                match number {
                    Some(number) => _ = added.fetch_add(number, Ordering::SeqCst),
                    None => {
                        ended = true;
                        break;
                    }
                }
            }
            busy.store(0, Ordering::SeqCst);
            if ended { Poll::Ready(()) } else { Poll::Pending }
        });
        (SharedTask::new(future, || ()), send, sum)
    }

    fn wait_for(sum: &AtomicU32, expected: u32) {
        let bound = Instant::now() + Duration::from_secs(20);
        while sum.load(Ordering::SeqCst) != expected {
            assert!(Instant::now() < bound, "a wake-up was lost: {} of {expected}", sum.load(Ordering::SeqCst));
            thread::yield_now();
        }
    }

    #[test]
    fn is_carried_on_by_the_caller() {
        // There is no runtime, so nobody else polls.
        let (task, send, sum) = adder();
        task.carry_on_after(|| send.send(7).unwrap_or_default());
        assert_eq!(sum.load(Ordering::SeqCst), 7);
    }

    #[test]
    fn whoever_is_woken_by_a_poll_can_continue_at_once() {
        let (send, mut receive) = unbounded_channel::<u32>();
        let received = Arc::new(AtomicU32::new(0));
        let counted = received.clone();
        let (again, once_more) = (Arc::new(OnceLock::<Weak<SharedTask>>::new()), AtomicU8::new(0));
        let itself = again.clone();
        let future = poll_fn(move |cx| {
            while let Poll::Ready(Some(number)) = receive.poll_recv(cx) {
                counted.fetch_add(number, Ordering::SeqCst);
            }
            Poll::Pending
        });
        // As JavaScript's thread does that the first poll has woken.
        let task = SharedTask::new(future, move || {
            if once_more.swap(1, Ordering::SeqCst) == 0
                && let Some(task) = itself.get().and_then(Weak::upgrade)
            {
                task.carry_on_after(|| send.send(7).unwrap_or_default());
            }
        });
        assert!(again.set(Arc::downgrade(&task)).is_ok());
        task.carry_on_after(|| ());
        assert_eq!(received.load(Ordering::SeqCst), 7);
    }

    #[test]
    fn no_wake_up_is_lost_between_two_threads() {
        let (task, send, sum) = adder();
        let (thread, stop) = running(&task);
        for round in 1..=20_000 {
            if round % 3 == 0 {
                let _ = send.send(1);
            } else {
                task.carry_on_after(|| send.send(1).unwrap_or_default());
            }
            // One after another in some rounds, and in a burst in others.
            if round % 64 < 32 {
                wait_for(&sum, round);
            }
        }
        wait_for(&sum, 20_000);
        drop(stop);
        assert!(thread.join().is_ok());
    }

    #[test]
    fn ends_with_its_runtime() {
        struct CountsDrops(Arc<AtomicU32>);
        impl Drop for CountsDrops {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let dropped = Arc::new(AtomicU32::new(0));
        let held = CountsDrops(dropped.clone());
        let future = async move {
            let _held = held;
            pending::<()>().await;
        };
        let task = SharedTask::new(future, || ());
        let (thread, stop) = running(&task);
        drop(stop);
        assert!(thread.join().is_ok());
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        task.carry_on_after(|| ());
    }

    #[test]
    fn a_panic_ends_it_and_not_its_caller() {
        let task = SharedTask::new(async { panic!("expected by the test") }, || ());
        task.carry_on_after(|| ());
        task.carry_on_after(|| ());
        assert!(task.lock().is_none());
    }
}
