//! Models of the lifecycle, in which loom tries every interleaving:
//!
//! ```sh
//! RUSTFLAGS="--cfg owned_runtime_loom" cargo test --release -p owned-runtime --lib
//! ```
//!
//! A body waits for its order to end, as a runtime does, or ends by itself. Deadlines pass when a
//! thread of the model says so. A deadlock, a lost wake-up or a leaked worker fails the model.
#![allow(clippy::unwrap_used)]

use std::io;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::Arc;
use loom::{model, thread};

use crate::lifecycle::{Lifecycle, Remote};
use crate::sync::{Condvar, Deadline, Mutex};
use crate::{StartError, StopError};

/// A flag with a wake-up, instead of tokio's Notify.
#[derive(Clone)]
struct Flag(Arc<(Mutex<bool>, Condvar)>);

impl Flag {
    fn new() -> Self {
        Self(Arc::new((Mutex::new(false), Condvar::new())))
    }

    fn set(&self) {
        *self.0 .0.lock().unwrap() = true;
        self.0 .1.notify_all();
    }

    fn wait(&self) {
        let mut set = self.0 .0.lock().unwrap();
        while !*set {
            set = self.0 .1.wait(set).unwrap();
        }
    }
}

impl Remote for Flag {
    fn request_end(&self) {
        self.set();
    }

    fn is_helper_thread(&self) -> bool {
        false
    }
}

/// A lifecycle that knows how many of its bodies are alive.
struct Subject {
    lifecycle: Lifecycle<Flag>,
    alive: Arc<AtomicUsize>,
    started: AtomicUsize,
}

impl Subject {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            lifecycle: Lifecycle::new("model".to_owned()),
            alive: Arc::new(AtomicUsize::new(0)),
            started: AtomicUsize::new(0),
        })
    }

    fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }

    fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    /// Starts a body that runs `work` with its order to end.
    fn start_with(&self, work: impl FnOnce(Flag) + Send + 'static) -> Result<(), StartError> {
        let launch = || -> io::Result<_> {
            let flag = Flag::new();
            let (alive, order) = (self.alive.clone(), flag.clone());
            self.started.fetch_add(1, Ordering::SeqCst);
            alive.fetch_add(1, Ordering::SeqCst);
            let body = move || {
                work(order);
                alive.fetch_sub(1, Ordering::SeqCst);
            };
            Ok((flag, body))
        };
        self.lifecycle.start(launch).map(drop)
    }

    /// Starts a body that ends when asked to.
    fn start(&self) -> Result<(), StartError> {
        self.start_with(|order| order.wait())
    }

    fn stop(&self) -> Result<(), StopError> {
        self.lifecycle.stop(&Deadline::new())
    }

    fn close(&self) -> Result<(), StopError> {
        self.lifecycle.close(&Deadline::new())
    }
}

#[test]
fn one_stop() {
    model(|| {
        let subject = Subject::new();
        subject.start().unwrap();
        subject.stop().unwrap();
        assert_eq!(subject.alive(), 0);
        subject.stop().unwrap();
    });
}

#[test]
fn two_stops_return_once_the_thread_is_gone() {
    model(|| {
        let subject = Subject::new();
        subject.start().unwrap();
        let other = subject.clone();
        let second = thread::spawn(move || {
            other.stop().unwrap();
            assert_eq!(other.alive(), 0);
            assert!(!other.lifecycle.is_running());
        });
        subject.stop().unwrap();
        assert_eq!(subject.alive(), 0);
        second.join().unwrap();
    });
}

#[test]
fn two_starts_make_one_thread() {
    model(|| {
        let subject = Subject::new();
        let other = subject.clone();
        let second = thread::spawn(move || other.start().unwrap());
        subject.start().unwrap();
        second.join().unwrap();
        assert_eq!(subject.started(), 1);
        subject.stop().unwrap();
        assert_eq!(subject.alive(), 0);
    });
}

#[test]
fn a_start_beside_a_stop_finds_the_old_one_or_makes_a_new_one() {
    model(|| {
        let subject = Subject::new();
        subject.start().unwrap();
        let other = subject.clone();
        let stop = thread::spawn(move || other.stop().unwrap());
        subject.start().unwrap();
        stop.join().unwrap();
        // Either the start came first and did nothing, or it made a new one beside the stop.
        let running = subject.lifecycle.is_running();
        assert_eq!((subject.started(), subject.alive()), if running { (2, 1) } else { (1, 0) });
        subject.stop().unwrap();
        assert_eq!(subject.alive(), 0);
    });
}

/// A start waits for nobody: here the body that ends needs what the starting thread holds.
#[test]
fn a_start_beside_a_stop_does_not_wait_for_it() {
    model(|| {
        let subject = Subject::new();
        let gil = Arc::new(Mutex::new(()));
        let wanted = gil.clone();
        let work = move |order: Flag| {
            order.wait();
            drop(wanted.lock().unwrap());
        };
        subject.start_with(work).unwrap();
        let other = subject.clone();
        let stop = thread::spawn(move || other.stop().unwrap());
        let held = gil.lock().unwrap();
        subject.start().unwrap();
        drop(held);
        stop.join().unwrap();
        subject.stop().unwrap();
        assert_eq!(subject.alive(), 0);
    });
}

/// A start beside a close finds the old one, or nothing: never a new one.
#[test]
fn a_start_beside_a_close() {
    model(|| {
        let subject = Subject::new();
        subject.start().unwrap();
        let other = subject.clone();
        let close = thread::spawn(move || {
            other.close().unwrap();
            assert_eq!(other.alive(), 0);
        });
        match subject.start() {
            Ok(()) | Err(StartError::Closed { .. }) => (),
            Err(error) => panic!("{error}"),
        }
        close.join().unwrap();
        assert_eq!((subject.started(), subject.alive()), (1, 0));
        assert!(matches!(subject.start(), Err(StartError::Closed { .. })));
    });
}

#[test]
fn a_close_beside_a_stop() {
    model(|| {
        let subject = Subject::new();
        subject.start().unwrap();
        let other = subject.clone();
        let stop = thread::spawn(move || {
            other.stop().unwrap();
            assert_eq!(other.alive(), 0);
        });
        subject.close().unwrap();
        assert_eq!((subject.started(), subject.alive()), (1, 0));
        stop.join().unwrap();
    });
}

#[test]
fn a_stop_beside_a_body_that_ends_by_itself() {
    model(|| {
        let subject = Subject::new();
        subject.start_with(|_| ()).unwrap();
        let other = subject.clone();
        let second = thread::spawn(move || other.stop().unwrap());
        subject.stop().unwrap();
        assert_eq!(subject.alive(), 0);
        second.join().unwrap();
    });
}

#[test]
fn a_start_beside_a_body_that_ends_by_itself() {
    model(|| {
        let subject = Subject::new();
        subject.start_with(|_| ()).unwrap();
        match subject.start() {
            // Not yet ended.
            Ok(()) => (),
            Err(StartError::Ended { .. }) => assert!(!subject.lifecycle.is_running()),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(subject.started(), 1);
        subject.stop().unwrap();
        subject.start().unwrap();
        assert_eq!((subject.started(), subject.alive()), (2, 1));
        subject.stop().unwrap();
    });
}

#[test]
fn the_body_stops_and_starts_its_own_lifecycle() {
    model(|| {
        let subject = Subject::new();
        let inner = subject.clone();
        let work = move |order: Flag| {
            // Running, or ending by now.
            assert!(matches!(inner.stop(), Err(StopError::OwnThread { .. })));
            inner.start().unwrap();
            order.wait();
        };
        subject.start_with(work).unwrap();
        subject.stop().unwrap();
        assert_eq!((subject.started(), subject.alive()), (1, 0));
    });
}

/// What Drop does on the body's own thread, beside a stop elsewhere.
#[test]
fn the_body_abandons_itself() {
    model(|| {
        let subject = Subject::new();
        let inner = subject.clone();
        let work = move |order: Flag| {
            inner.lifecycle.abandon();
            order.wait();
        };
        subject.start_with(work).unwrap();
        subject.stop().unwrap();
        assert_eq!(subject.alive(), 0);
    });
}

/// The last owner goes while the body still runs, as when Drop gives up.
#[test]
fn the_owner_goes_first() {
    model(|| {
        let subject = Subject::new();
        subject.start().unwrap();
        subject.lifecycle.abandon();
    });
}

/// A stop whose deadline may pass at any moment, then one that waits.
#[test]
fn overdue_then_retry() {
    model(|| {
        let subject = Subject::new();
        subject.start().unwrap();
        let deadline = Deadline::new();
        let (other, clock) = (subject.clone(), deadline.clone());
        let timer = thread::spawn(move || other.lifecycle.expire(&clock));
        match subject.lifecycle.stop(&deadline) {
            Ok(()) => assert_eq!(subject.alive(), 0),
            Err(StopError::Overdue { .. }) => {
                assert!(!subject.lifecycle.is_running());
                match subject.start() {
                    // It has gone meanwhile.
                    Ok(()) => assert_eq!((subject.started(), subject.alive()), (2, 1)),
                    Err(StartError::Overdue { .. }) => assert_eq!(subject.started(), 1),
                    Err(error) => panic!("{error}"),
                }
                subject.stop().unwrap();
            }
            Err(error) => panic!("{error}"),
        }
        timer.join().unwrap();
        assert_eq!(subject.alive(), 0);
        subject.start().unwrap();
        subject.stop().unwrap();
        assert_eq!(subject.alive(), 0);
    });
}

/// One of two stops may give up; the other still succeeds.
#[test]
fn overdue_beside_a_patient_stop() {
    model(|| {
        let subject = Subject::new();
        subject.start().unwrap();
        let hasty = Deadline::new();
        hasty.pass();
        let other = subject.clone();
        let patient = thread::spawn(move || {
            other.stop().unwrap();
            assert_eq!(other.alive(), 0);
        });
        match subject.lifecycle.stop(&hasty) {
            Ok(()) => assert_eq!(subject.alive(), 0),
            Err(StopError::Overdue { .. }) => (),
            Err(error) => panic!("{error}"),
        }
        patient.join().unwrap();
        assert_eq!((subject.started(), subject.alive()), (1, 0));
    });
}
