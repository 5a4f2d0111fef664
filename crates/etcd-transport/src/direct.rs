//! Answers that JavaScript's thread reads itself.
//!
//! While few calls are in flight, JavaScript's event loop waits for the connection's socket in place of the runtime. An
//! answer then wakes one thread instead of two. Whoever polls the connection reads the socket; this only decides who
//! waits for it. The runtime waits again when many calls are in flight, when much arrives at once, and when JavaScript's
//! thread has read nothing for a while: it may be busy, and keepalive must not depend on it.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::connect::socket::SharedSocket;

/// Without a read on JavaScript's thread for this long, the runtime waits for the socket again.
const PATIENCE: Duration = Duration::from_millis(100);

/// JavaScript's thread takes a socket when it has wanted to so often in a row.
const SEVERAL: u32 = 8;

/// More bytes than this for one wake-up are left to the runtime's thread. JavaScript's event loop must not stall.
const MOST_AT_ONCE: usize = 256 * 1024;

/// How a connection that has lent its socket reads it.
pub enum Reading {
    /// There may be something to read.
    Now,
    /// JavaScript's thread will poll when there is something to read.
    Later,
    /// The runtime must wait for it from now on.
    Returned,
}

/// Which socket of a transport JavaScript's thread waits for, if any.
#[derive(Default)]
pub struct DirectReads(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whether JavaScript's thread wants to wait for a socket.
    wanted: bool,
    /// How often in a row it has wanted to.
    times: u32,
    /// Whether it looks for a socket now. Nobody waits for a socket that is lent when it doesn't.
    looks: bool,
    lent: Option<Lent>,
}

/// A socket for which JavaScript's thread waits.
struct Lent {
    socket: Arc<SharedSocket>,
    /// Whether JavaScript's thread has begun to wait.
    begun: bool,
    readable: bool,
    /// Bytes read since JavaScript's thread was woken.
    at_once: usize,
    /// Whether something was read since the last look at the time.
    read: bool,
    impatience: Pin<Box<Sleep>>,
    /// Of the connection, which waits for something to read.
    waker: Option<Waker>,
}

/// For JavaScript's thread.
impl DirectReads {
    /// Says before each call whether this thread wants to read the answer. [`begun`](Self::begun) follows.
    pub fn want(&self, wanted: bool) {
        let mut state = self.lock();
        state.wanted = wanted;
        state.looks = wanted;
        state.times = if wanted { state.times.saturating_add(1) } else { 0 };
        if !wanted && let Some(waker) = state.lent.as_mut().and_then(|lent| lent.waker.take()) {
            drop(state);
            waker.wake();
        }
    }

    /// The socket that this thread must wait for from now on, if it doesn't yet.
    pub fn begun(&self) -> Option<Arc<SharedSocket>> {
        let mut state = self.lock();
        state.looks = false;
        let lent = state.lent.as_mut().filter(|lent| !lent.begun)?;
        lent.begun = true;
        Some(lent.socket.clone())
    }

    /// The socket can be read, so the connection must be polled. False if this thread must no longer wait for it.
    pub fn readable(&self, socket: &Arc<SharedSocket>) -> bool {
        let mut state = self.lock();
        let Some(lent) = state.of(socket) else { return false };
        lent.readable = true;
        lent.at_once = 0;
        let waker = lent.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

/// For connections.
impl DirectReads {
    /// Lends a socket. True if JavaScript's thread takes it. It then waits for it.
    pub fn lend(&self, socket: &Arc<SharedSocket>) -> bool {
        let mut state = self.lock();
        if !state.looks || state.times < SEVERAL || state.lent.is_some() {
            return false;
        }
        state.lent = Some(Lent {
            socket: socket.clone(),
            begun: false,
            readable: false,
            at_once: 0,
            read: false,
            impatience: Box::pin(sleep(PATIENCE)),
            waker: None,
        });
        true
    }

    /// How to read a socket that is lent.
    pub fn poll(&self, socket: &Arc<SharedSocket>, cx: &mut Context<'_>) -> Reading {
        let mut state = self.lock();
        let wanted = state.wanted;
        let Some(lent) = state.of(socket).filter(|_| wanted) else { return Reading::Returned };
        if lent.at_once <= MOST_AT_ONCE {
            if lent.readable {
                return Reading::Now;
            }
            if lent.waits(cx) {
                return Reading::Later;
            }
        }
        state.times = 0;
        Reading::Returned
    }

    /// So many bytes were read, and there may be more.
    pub fn has_read(&self, socket: &Arc<SharedSocket>, bytes: usize, more: bool) {
        if let Some(lent) = self.lock().of(socket) {
            lent.read = true;
            lent.at_once += bytes;
            lent.readable = more;
        }
    }

    /// Takes a socket back: JavaScript's thread must no longer wait for it. The connection must be polled to read on.
    pub fn take_back(&self, socket: &Arc<SharedSocket>) {
        let mut state = self.lock();
        if state.of(socket).is_none() {
            return;
        }
        let lent = state.lent.take();
        drop(state);
        if let Some(waker) = lent.and_then(|lent| lent.waker) {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of(&mut self, socket: &Arc<SharedSocket>) -> Option<&mut Lent> {
        self.lent.as_mut().filter(|lent| Arc::ptr_eq(&lent.socket, socket))
    }
}

impl Lent {
    /// Whether the connection waits on. False if it has waited for too long.
    fn waits(&mut self, cx: &mut Context<'_>) -> bool {
        while self.impatience.as_mut().poll(cx).is_ready() {
            if !mem::take(&mut self.read) {
                return false;
            }
            self.impatience.as_mut().reset(Instant::now() + PATIENCE);
        }
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        true
    }
}
