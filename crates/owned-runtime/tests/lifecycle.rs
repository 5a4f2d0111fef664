//! The lifecycle on real threads and a real tokio.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::future::{pending, Future};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use owned_runtime::{BlockOnError, OwnedRuntime, StartError, StopError};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything here takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(60);
/// Shorter than what is meant to pass it.
const SHORT: Duration = Duration::from_millis(50);

/// A runtime that nothing but a deadlock makes overdue.
fn runtime(name: &str) -> OwnedRuntime {
    OwnedRuntime::new(name).with_stop_bound(LONG)
}

/// Counts its drops.
struct DropCount(Arc<AtomicUsize>);

impl Drop for DropCount {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Calls a function when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// Runs a future on the runtime and waits for its value.
fn on<T: Send + 'static>(runtime: &OwnedRuntime, work: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    runtime
        .spawn(async move {
            let value = work.await;
            sender.send(value).unwrap();
        })
        .unwrap();
    receiver.recv_timeout(LONG).expect("the task ends")
}

/// The thread that polls the tasks: another one after each start.
fn thread_of(runtime: &OwnedRuntime) -> thread::ThreadId {
    on(runtime, async { thread::current().id() })
}

/// Spawns a task that keeps a value until it is dropped.
fn keep(runtime: &OwnedRuntime, value: impl Send + 'static) {
    runtime
        .spawn(async move {
            let _value = value;
            pending::<()>().await;
        })
        .unwrap();
}

/// Waits for a condition that must come about by itself.
fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "in vain");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Blocks the runtime's thread until the returned sender is dropped.
fn block(runtime: &OwnedRuntime) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel();
    runtime
        .spawn(async move {
            entered.send(()).unwrap();
            held.recv().ok();
        })
        .unwrap();
    has_entered.recv_timeout(LONG).unwrap();
    release
}

/// Stops a runtime whose bound is short and whose thread has been let go.
fn stop_again(runtime: &OwnedRuntime) {
    let start = Instant::now();
    while let Err(error) = runtime.stop() {
        assert!(matches!(error, StopError::Overdue { .. }), "{error}");
        assert!(start.elapsed() < LONG, "{error}");
    }
}

/// How many threads of this process bear the name. Linux' list may lack some while others end.
#[cfg(target_os = "linux")]
fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let comm = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    tasks.filter_map(|task| comm(task.ok()?)).filter(|comm| comm.trim_end() == name).count()
}

/// A joined thread leaves /proc a moment after the join.
#[cfg(target_os = "linux")]
fn assert_no_thread_named(name: &str) {
    let start = Instant::now();
    while threads_named(name) > 0 {
        assert!(start.elapsed() < Duration::from_secs(5), "thread {name} is still there");
        thread::yield_now();
    }
}

const CHILD: &str = "OWNED_RUNTIME_TEST_CHILD";

/// Runs one test of this file in a process of its own, where `is_child` is true.
fn child(test: &str) -> Output {
    let mut command = Command::new("sh");
    // Few descriptors, for the test that uses them up.
    command.args(["-c", "ulimit -n 64; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, "1").output().unwrap()
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

fn stderr(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn can_be_shared() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<OwnedRuntime>();
    fn error<T: std::error::Error + Send + Sync + 'static>() {}
    error::<StartError>();
    error::<StopError>();
    error::<BlockOnError>();
}

#[test]
#[cfg(target_os = "linux")]
fn starts_lazily_and_stop_joins() {
    let name = "lazy";
    let runtime = runtime(name);
    assert!(!runtime.is_running());
    assert_eq!(threads_named(name), 0);

    runtime.start().unwrap();
    assert!(runtime.is_running());
    // A thread names itself, so a task has to have run.
    let seen = on(&runtime, async { thread::current().name().map(str::to_owned) });
    assert_eq!(seen.as_deref(), Some(name));
    wait_until(|| threads_named(name) == 1);

    runtime.stop().unwrap();
    assert!(!runtime.is_running());
    assert_no_thread_named(name);
}

#[test]
#[cfg(target_os = "linux")]
fn the_blocking_pool_bears_the_name_and_is_joined() {
    let name = "pool-name";
    let runtime = runtime(name);
    let handle = runtime.start().unwrap();
    on(&runtime, async move { handle.spawn_blocking(|| ()).await.unwrap() });
    wait_until(|| threads_named(name) == 2);
    runtime.stop().unwrap();
    assert_no_thread_named(name);
}

#[test]
fn a_name_with_nul_is_cleaned() {
    let runtime = runtime("a\0b\0");
    assert_eq!(on(&runtime, async { thread::current().name().map(str::to_owned) }).as_deref(), Some("ab"));
}

#[test]
fn is_idempotent() {
    let runtime = runtime("idempotent");
    runtime.stop().unwrap();
    let first = thread_of(&runtime);
    assert_eq!(thread_of(&runtime), first);
    runtime.stop().unwrap();
    runtime.stop().unwrap();
    assert_ne!(thread_of(&runtime), first);
}

#[test]
fn has_timers_and_sockets() {
    let runtime = runtime("drivers");
    let received = on(&runtime, async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            stream.writable().await.unwrap();
            assert_eq!(stream.try_write(b"quiet").unwrap(), 5);
        });
        let mut received = String::new();
        TcpStream::connect(address).await.unwrap().read_to_string(&mut received).await.unwrap();
        received
    });
    assert_eq!(received, "quiet");
}

#[test]
fn restarts_a_thousand_times() {
    let runtime = runtime("restart");
    let descriptors = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let before = descriptors();
    for round in 0..1000 {
        assert_eq!(on(&runtime, async move { round }), round);
        runtime.stop().unwrap();
    }
    // Other tests open some meanwhile.
    assert!(descriptors() < before + 500, "leaks descriptors");
}

#[test]
fn many_threads_stop_at_once() {
    for _ in 0..50 {
        let runtime = runtime("stop-at-once");
        let drops = Arc::new(AtomicUsize::new(0));
        let guard = DropCount(drops.clone());
        keep(&runtime, guard);
        let barrier = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    runtime.stop().unwrap();
                    assert_eq!(drops.load(Ordering::SeqCst), 1);
                    assert!(!runtime.is_running());
                });
            }
        });
    }
}

#[test]
fn stop_drops_every_task() {
    let runtime = runtime("drops");
    let handle = runtime.start().unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let entered = Arc::new(Barrier::new(2));
    for index in 0..100 {
        let (guard, inner) = (DropCount(drops.clone()), DropCount(drops.clone()));
        let entered = (index == 99).then(|| entered.clone());
        handle.spawn(async move {
            let _guard = guard;
            tokio::spawn(async move {
                let _inner = inner;
                tokio::time::sleep(LONG).await;
            });
            if let Some(entered) = entered {
                entered.wait();
            }
            pending::<()>().await;
        });
    }
    entered.wait();
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    runtime.stop().unwrap();
    assert_eq!(drops.load(Ordering::SeqCst), 200);
    // What comes too late is dropped too.
    let late = DropCount(drops.clone());
    handle.spawn(async move { drop(late) });
    assert_eq!(drops.load(Ordering::SeqCst), 201);
}

#[test]
fn own_threads_get_an_error() {
    let runtime = Arc::new(runtime("own-thread"));
    let inner = Arc::downgrade(&runtime);
    let stop = move || inner.upgrade().unwrap().stop();
    let expected = Err(StopError::OwnThread { thread: "own-thread".to_owned() });

    let in_task = stop.clone();
    assert_eq!(on(&runtime, async move { in_task() }), expected);
    assert_eq!(on(&runtime, async move { tokio::task::spawn_blocking(stop).await.unwrap() }), expected);

    assert!(runtime.is_running());
    assert_eq!(on(&runtime, async { 1 }), 1);
    runtime.stop().unwrap();
}

#[test]
fn a_thread_that_merely_entered_the_runtime_may_stop_it() {
    let runtime = runtime("entered");
    let handle = runtime.start().unwrap();
    let _entered = handle.enter();
    runtime.stop().unwrap();
}

#[test]
fn works_inside_another_runtime() {
    let outer = tokio::runtime::Builder::new_current_thread().build().unwrap();
    outer.block_on(async {
        let runtime = runtime("inner");
        assert_eq!(on(&runtime, async { 1 }), 1);
        runtime.stop().unwrap();
        runtime.start().unwrap();
    });
}

#[test]
fn own_threads_get_the_handle_while_it_stops() {
    let runtime = Arc::new(runtime("start-in-stop"));
    let (sender, receiver) = mpsc::channel();
    let inner = Arc::downgrade(&runtime);
    let drops = Arc::new(AtomicUsize::new(0));
    let dropped = drops.clone();
    let guard = OnDrop(move || {
        let runtime = inner.upgrade().unwrap();
        let late = DropCount(dropped.clone());
        let spawned = runtime.spawn(async move { drop(late) });
        sender.send((runtime.start().map(drop), spawned)).unwrap();
    });
    keep(&runtime, guard);
    runtime.close().unwrap();
    let (started, spawned) = receiver.recv().unwrap();
    started.unwrap();
    spawned.unwrap();
    // It was spawned on the runtime that ended, and dropped with it.
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert!(!runtime.is_running());
}

/// So that a trait whose spawn can't fail can sit on it.
#[test]
fn tasks_may_spawn_beside_a_stop() {
    for round in 0..50 {
        let runtime = Arc::new(runtime("own-spawn"));
        let errors = Arc::new(AtomicUsize::new(0));
        for _ in 0..20 {
            let (inner, errors) = (Arc::downgrade(&runtime), errors.clone());
            runtime
                .spawn(async move {
                    while let Some(runtime) = inner.upgrade() {
                        if runtime.spawn(async {}).is_err() {
                            errors.fetch_add(1, Ordering::SeqCst);
                        }
                        drop(runtime);
                        tokio::task::yield_now().await;
                    }
                })
                .unwrap();
        }
        thread::sleep(Duration::from_millis(1));
        if round % 2 == 0 { runtime.stop() } else { runtime.close() }.unwrap();
        assert_eq!(errors.load(Ordering::SeqCst), 0);
    }
}

/// A start waits for nobody: its caller may hold what the stop needs, as a daemon thread holds Python's GIL.
#[test]
fn a_start_does_not_wait_for_the_stop_under_way() {
    let runtime = runtime("gil");
    let gil = Arc::new(Mutex::new(()));
    let (entered, has_entered) = mpsc::channel();
    let held = gil.lock().unwrap();
    let wanted = gil.clone();
    let first = thread_of(&runtime);
    runtime
        .spawn(async move {
            entered.send(()).unwrap();
            drop(wanted.lock().unwrap());
        })
        .unwrap();
    has_entered.recv_timeout(LONG).unwrap();
    thread::scope(|scope| {
        let stop = scope.spawn(|| runtime.stop().unwrap());
        wait_until(|| !runtime.is_running());
        assert_ne!(thread_of(&runtime), first);
        assert!(!stop.is_finished());
        drop(held);
    });
    assert!(runtime.is_running());
    runtime.stop().unwrap();
}

#[test]
fn a_start_beside_a_close_gets_an_error_at_once() {
    let runtime = runtime("gil");
    let gil = Arc::new(Mutex::new(()));
    let (entered, has_entered) = mpsc::channel();
    let held = gil.lock().unwrap();
    let wanted = gil.clone();
    runtime
        .spawn(async move {
            entered.send(()).unwrap();
            drop(wanted.lock().unwrap());
        })
        .unwrap();
    has_entered.recv_timeout(LONG).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| runtime.close().unwrap());
        wait_until(|| !runtime.is_running());
        assert!(matches!(runtime.spawn(async {}), Err(StartError::Closed { .. })));
        drop(held);
    });
}

#[test]
fn closed_for_good() {
    let runtime = Arc::new(runtime("closed"));
    let busy = runtime.clone();
    let daemon = thread::spawn(move || {
        let mut spawned = 0;
        loop {
            match busy.spawn(pending()) {
                Ok(()) => spawned += 1,
                Err(StartError::Closed { .. }) => return spawned,
                Err(error) => panic!("{error}"),
            }
        }
    });
    thread::sleep(SHORT);
    assert!(!runtime.is_closed());
    runtime.close().unwrap();
    assert!(runtime.is_closed() && !runtime.is_running());
    assert!(daemon.join().unwrap() > 0);
    let error = runtime.start().unwrap_err();
    assert!(matches!(error, StartError::Closed { .. }));
    assert_eq!(error.to_string(), "runtime thread `closed` was closed for good: nothing can be started on it any more");
    runtime.stop().unwrap();
    runtime.close().unwrap();
    assert!(matches!(runtime.start(), Err(StartError::Closed { .. })));
}

#[test]
fn closed_before_it_ever_started() {
    let runtime = runtime("never");
    runtime.close().unwrap();
    assert!(matches!(runtime.spawn(async {}), Err(StartError::Closed { .. })));
}

#[test]
fn closed_also_when_overdue() {
    let runtime = runtime("close-overdue");
    let release = block(&runtime);
    let start = Instant::now();
    let error = runtime.close_within(SHORT).unwrap_err();
    assert!(start.elapsed() >= SHORT);
    assert!(matches!(error, StopError::Overdue { bound: SHORT, .. }), "{error}");
    assert!(matches!(runtime.start(), Err(StartError::Closed { .. })));
    drop(release);
    runtime.close().unwrap();
}

#[test]
fn a_close_on_an_own_thread_holds() {
    let runtime = Arc::new(runtime("close-inside"));
    let inner = Arc::downgrade(&runtime);
    let closed = on(&runtime, async move { inner.upgrade().unwrap().close() });
    assert!(matches!(closed, Err(StopError::OwnThread { .. })));
    assert!(runtime.is_closed() && runtime.is_running());
    runtime.stop().unwrap();
    assert!(matches!(runtime.start(), Err(StartError::Closed { .. })));
}

#[test]
fn a_bound_for_one_call() {
    let runtime = runtime("one-call");
    let release = block(&runtime);
    assert!(matches!(runtime.stop_within(SHORT), Err(StopError::Overdue { bound: SHORT, .. })));
    drop(release);
    runtime.stop().unwrap();
}

/// Waits in its destructor until it is released. It doesn't wait by a channel, which needs the thread's local values in Rust 1.63.
struct Slow(Arc<AtomicBool>);

impl Drop for Slow {
    fn drop(&mut self) {
        while !self.0.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

thread_local! {
    static SLOW: std::cell::RefCell<Option<Slow>> = const { std::cell::RefCell::new(None) };
}

/// Thread-local destructors run after the body, and are of the thread's end all the same.
#[test]
fn the_bound_covers_thread_local_destructors() {
    let runtime = runtime("tls");
    let released = Arc::new(AtomicBool::new(false));
    let slow = Slow(released.clone());
    on(&runtime, async { SLOW.with(|slot| *slot.borrow_mut() = Some(slow)) });
    let error = runtime.stop_within(SHORT).unwrap_err();
    assert!(matches!(error, StopError::Overdue { .. }), "{error}");
    assert!(matches!(runtime.start(), Err(StartError::Overdue { .. })));
    released.store(true, Ordering::Relaxed);
    stop_again(&runtime);
    assert_eq!(on(&runtime, async { 1 }), 1);
    runtime.stop().unwrap();
}

/// A C library's, which Rust knows nothing about. Where there is no bounded join, these are not covered.
#[test]
#[cfg(all(target_os = "linux", not(owned_runtime_plain_join)))]
fn the_bound_covers_destructors_of_c() {
    unsafe extern "C" fn slow(held: *mut libc::c_void) {
        // SAFETY: the value of the key is this box, whose only user is here.
        drop(unsafe { Box::from_raw(held.cast::<Slow>()) });
    }
    let runtime = runtime("tls-c");
    let released = Arc::new(AtomicBool::new(false));
    let held = Slow(released.clone());
    on(&runtime, async {
        let mut key = 0;
        let slow_one = Box::into_raw(Box::new(held));
        // SAFETY: the key is written before it is used, and its destructor takes this value.
        unsafe {
            assert_eq!(libc::pthread_key_create(&mut key, Some(slow)), 0);
            assert_eq!(libc::pthread_setspecific(key, slow_one.cast()), 0);
        }
    });
    assert!(matches!(runtime.stop_within(SHORT), Err(StopError::Overdue { .. })));
    released.store(true, Ordering::Relaxed);
    stop_again(&runtime);
}

/// Once the thread that was overdue has gone, nobody need stop again.
#[test]
fn starts_again_once_what_was_overdue_has_gone() {
    let runtime = runtime("overdue-gone");
    let release = block(&runtime);
    runtime.stop_within(SHORT).unwrap_err();
    assert!(matches!(runtime.start(), Err(StartError::Overdue { bound: SHORT, .. })));
    drop(release);
    wait_until(|| runtime.start().is_ok());
    assert_eq!(on(&runtime, async { 1 }), 1);
    runtime.stop().unwrap();
}

#[test]
#[cfg(unix)]
fn a_forked_child_begins_anew() {
    if !is_child() {
        assert_eq!(stderr(&child("a_forked_child_begins_anew")), "");
        return;
    }
    let runtime = Arc::new(runtime("fork"));
    for _ in 0..2 {
        let runtime = runtime.clone();
        thread::spawn(move || loop {
            runtime.start().unwrap(); // holds the lock most of the time
        });
    }
    for _ in 0..100 {
        let code = in_forked_child(|| {
            assert!(!runtime.is_running());
            assert_eq!(on(&runtime, async { 1 }), 1);
            // A child's child, too.
            let code = in_forked_child(|| {
                assert!(!runtime.is_running());
                assert_eq!(on(&runtime, async { 2 }), 2);
                runtime.stop().unwrap();
            });
            assert_eq!(code, 0);
            assert_eq!(on(&runtime, async { 3 }), 3);
            runtime.stop().unwrap();
            runtime.close().unwrap();
        });
        assert_eq!(code, 0);
    }
    std::process::exit(0);
}

#[test]
#[cfg(unix)]
fn a_forked_child_of_a_closed_one_is_closed() {
    if !is_child() {
        assert_eq!(stderr(&child("a_forked_child_of_a_closed_one_is_closed")), "");
        return;
    }
    let runtime = runtime("fork-closed");
    on(&runtime, async {});
    runtime.close().unwrap();
    let code = in_forked_child(|| assert!(matches!(runtime.start(), Err(StartError::Closed { .. }))));
    assert_eq!(code, 0);
}

/// What the parent made is dropped in the child: its thread is not waited for.
#[test]
#[cfg(unix)]
fn a_drop_in_a_forked_child_waits_for_nothing() {
    if !is_child() {
        assert_eq!(stderr(&child("a_drop_in_a_forked_child_waits_for_nothing")), "");
        return;
    }
    let mut runtime = Some(runtime("fork-drop"));
    runtime.as_ref().unwrap().start().unwrap();
    assert_eq!(in_forked_child(|| drop(runtime.take())), 0);
    runtime.unwrap().stop().unwrap();
}

/// The status with which a forked child ends that does `work`; a signal's number if it died from one.
#[cfg(unix)]
fn in_forked_child(work: impl FnOnce()) -> i32 {
    // SAFETY: the child does `work` and leaves by _exit.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: a child that hangs is ended.
        unsafe { libc::alarm(30) };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // SAFETY: ends this process.
        unsafe { libc::_exit(i32::from(result.is_err())) };
    }
    let mut status = 0;
    // SAFETY: waits for the child that was made here.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        libc::WTERMSIG(status)
    }
}

#[test]
fn block_on_gives_the_value() {
    let runtime = runtime("block-on");
    assert_eq!(runtime.block_on(async { 1 }).unwrap(), 1);
    let slept = runtime.block_on(async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        thread::current().name().map(str::to_owned)
    });
    assert_eq!(slept.unwrap().as_deref(), Some("block-on"));
}

/// tokio's own panics there, or waits for ever.
#[test]
fn block_on_ends_with_the_runtime() {
    type Work = fn(mpsc::Sender<()>) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
    let works: [Work; 4] = [
        |entered| {
            Box::pin(async move {
                drop(entered);
                tokio::time::sleep(LONG).await
            })
        },
        |entered| {
            Box::pin(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                drop(entered);
                drop(listener.accept().await);
            })
        },
        |entered| {
            Box::pin(async move {
                drop(entered);
                drop(tokio::spawn(pending::<()>()).await)
            })
        },
        |entered| {
            Box::pin(async move {
                let (_sender, mut receiver) = tokio::sync::mpsc::channel::<()>(1);
                drop(entered);
                receiver.recv().await;
            })
        },
    ];
    for work in works {
        let runtime = runtime("block-on-stop");
        let (entered, has_entered) = mpsc::channel();
        thread::scope(|scope| {
            let blocked = scope.spawn(|| runtime.block_on(work(entered)));
            has_entered.recv_timeout(LONG).unwrap_err();
            runtime.stop().unwrap();
            let error = blocked.join().unwrap().unwrap_err();
            assert!(matches!(error, BlockOnError::Stopped { .. }), "{error}");
        });
    }
}

#[test]
fn block_on_reports_what_went_wrong() {
    let runtime = Arc::new(runtime("block-on-error"));
    let error = runtime.block_on(async { panic!("meant to") }).unwrap_err();
    assert_eq!(error.to_string(), "the future panicked on runtime thread `block-on-error`: meant to");
    let inner = Arc::downgrade(&runtime);
    let error = on(&runtime, async move { inner.upgrade().unwrap().block_on(async {}) }).unwrap_err();
    assert!(matches!(error, BlockOnError::OwnThread { .. }), "{error}");
    runtime.close().unwrap();
    let error = runtime.block_on(async {}).unwrap_err();
    assert!(matches!(error, BlockOnError::Start(StartError::Closed { .. })), "{error}");
}

#[test]
fn tasks_may_drain() {
    let runtime = runtime("drain").with_drain_bound(LONG);
    let stopping = runtime.stopping().unwrap();
    assert!(!stopping.is_requested());
    let said_goodbye = Arc::new(AtomicBool::new(false));
    let set = said_goodbye.clone();
    runtime
        .spawn(async move {
            stopping.requested().await;
            tokio::time::sleep(SHORT).await;
            assert!(stopping.is_requested());
            set.store(true, Ordering::SeqCst);
        })
        .unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let guard = DropCount(drops.clone());
    keep(&runtime, guard);
    runtime.stop().unwrap();
    assert!(said_goodbye.load(Ordering::SeqCst));
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn the_drain_is_bounded() {
    for bound in [Duration::ZERO, SHORT] {
        let runtime = runtime("drain-bound").with_drain_bound(bound);
        let stopping = runtime.stopping().unwrap();
        let held = stopping.clone();
        runtime
            .spawn(async move {
                stopping.requested().await;
                pending::<()>().await;
            })
            .unwrap();
        let start = Instant::now();
        runtime.stop().unwrap();
        assert!(start.elapsed() >= bound && start.elapsed() < LONG / 2);
        assert!(held.is_requested());
    }
}

#[test]
#[cfg(all(feature = "multi-thread", target_os = "linux"))]
fn workers_share_the_work_and_are_joined() {
    let name = "workers";
    let runtime = Arc::new(runtime(name).with_worker_threads(2));
    // Both tasks wait for each other, blocking their threads.
    let barrier = Arc::new(Barrier::new(2));
    let other = barrier.clone();
    let inner = Arc::downgrade(&runtime);
    runtime
        .spawn(async move {
            other.wait();
        })
        .unwrap();
    let stopped = on(&runtime, async move {
        tokio::task::block_in_place(|| barrier.wait());
        let runtime = inner.upgrade().unwrap();
        runtime.spawn(async {}).unwrap();
        runtime.stop()
    });
    assert!(matches!(stopped, Err(StopError::OwnThread { .. })));
    wait_until(|| threads_named(name) >= 3);
    runtime.stop().unwrap();
    assert_no_thread_named(name);
    assert_eq!(on(&runtime, async { 1 }), 1);
    runtime.close().unwrap();
    assert_no_thread_named(name);
}

#[test]
fn the_blocking_pool_can_be_small() {
    let runtime = runtime("small-pool").with_max_blocking_threads(0);
    let handle = runtime.start().unwrap();
    let at_once = Arc::new(AtomicUsize::new(0));
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let at_once = at_once.clone();
            handle.spawn_blocking(move || {
                assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0);
                thread::yield_now();
                at_once.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    on(&runtime, async move {
        for call in calls {
            call.await.unwrap();
        }
    });
}

#[test]
fn an_overdue_stop_can_be_tried_again() {
    let runtime = OwnedRuntime::new("overdue").with_stop_bound(SHORT);
    let release = block(&runtime);

    for _ in 0..2 {
        let start = Instant::now();
        let error = runtime.stop().unwrap_err();
        assert!(start.elapsed() >= SHORT);
        assert_eq!(error, StopError::Overdue { thread: "overdue".to_owned(), bound: SHORT });
        assert_eq!(
            error.to_string(),
            "runtime thread `overdue` has not ended within 50ms of being asked to stop: \
             a task or a blocking call holds it, and it may still call into the host"
        );
        assert!(!runtime.is_running());
        let error = runtime.start().unwrap_err();
        assert!(matches!(error, StartError::Overdue { .. }), "{error}");
        let error = runtime.spawn(async {}).unwrap_err();
        assert!(matches!(error, StartError::Overdue { .. }), "{error}");
    }

    drop(release);
    stop_again(&runtime);
    assert_eq!(on(&runtime, async { 1 }), 1);
    stop_again(&runtime);
}

#[test]
fn stop_waits_for_the_blocking_pool() {
    let runtime = runtime("pool");
    let handle = runtime.start().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let (entered, has_entered) = mpsc::channel();
    let set = done.clone();
    handle.spawn_blocking(move || {
        entered.send(()).unwrap();
        thread::sleep(SHORT);
        set.store(true, Ordering::SeqCst);
    });
    has_entered.recv_timeout(LONG).unwrap();
    runtime.stop().unwrap();
    assert!(done.load(Ordering::SeqCst));
}

#[test]
fn a_blocking_call_that_waits_for_a_task_ends_with_it() {
    let runtime = runtime("pool-on-task");
    let handle = runtime.start().unwrap();
    let (sender, receiver) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel();
    handle.spawn(async move {
        let _sender = sender;
        pending::<()>().await;
    });
    handle.spawn_blocking(move || {
        entered.send(()).unwrap();
        receiver.recv().unwrap_err();
    });
    has_entered.recv_timeout(LONG).unwrap();
    runtime.stop().unwrap();
}

#[test]
fn a_blocking_call_past_the_bound_is_overdue() {
    let runtime = OwnedRuntime::new("pool-overdue").with_stop_bound(SHORT);
    let handle = runtime.start().unwrap();
    let (release, held) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel();
    handle.spawn_blocking(move || {
        entered.send(()).unwrap();
        held.recv().ok();
    });
    has_entered.recv_timeout(LONG).unwrap();
    assert!(matches!(runtime.stop(), Err(StopError::Overdue { .. })));
    drop(release);
    stop_again(&runtime);
}

#[test]
fn a_bound_of_zero_only_looks() {
    let runtime = OwnedRuntime::new("zero").with_stop_bound(Duration::ZERO);
    runtime.start().unwrap();
    stop_again(&runtime);
    assert!(!runtime.is_running());
}

#[test]
fn an_endless_bound_is_allowed() {
    let runtime = OwnedRuntime::new("endless").with_stop_bound(Duration::MAX);
    assert_eq!(on(&runtime, async { 1 }), 1);
    runtime.stop().unwrap();
}

#[test]
fn a_panicking_task_ends_alone() {
    let runtime = runtime("panics");
    runtime.spawn(async { panic!("meant to") }).unwrap();
    assert_eq!(on(&runtime, async { 1 }), 1);
    assert!(runtime.is_running());
    // One that panics as it is dropped, too.
    let guard = OnDrop(|| panic!("meant to, in a drop"));
    on(&runtime, async move {
        tokio::spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
    });
    runtime.stop().unwrap();
    assert_eq!(on(&runtime, async { 2 }), 2);
}

#[test]
fn stops_fast() {
    let runtime = runtime("latency");
    let mut times = Vec::new();
    for _ in 0..21 {
        on(&runtime, async {
            tokio::spawn(tokio::time::sleep(LONG));
        });
        let start = Instant::now();
        runtime.stop().unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    // A quarter of them: on a busy machine the others may wait for a CPU.
    assert!(times[5] < Duration::from_millis(50), "{times:?}");
}

#[test]
fn many_runtimes_at_once() {
    let runtimes: Vec<_> = (0..50).map(|index| runtime(&format!("many-{index}"))).collect();
    for (index, runtime) in runtimes.iter().enumerate() {
        assert_eq!(on(runtime, async move { index }), index);
    }
    runtimes[0].stop().unwrap();
    assert!(runtimes[1..].iter().all(OwnedRuntime::is_running));
    thread::scope(|scope| {
        for runtime in &runtimes {
            scope.spawn(|| runtime.stop().unwrap());
        }
    });
}

#[test]
fn starts_stops_and_spawns_from_everywhere() {
    let runtime = runtime("hammer");
    let (made, dropped) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let guard = DropCount(dropped.clone());
                    made.fetch_add(1, Ordering::SeqCst);
                    keep(&runtime, guard);
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    runtime.stop().unwrap();
                }
            });
        }
    });
    runtime.stop().unwrap();
    assert_eq!(dropped.load(Ordering::SeqCst), made.load(Ordering::SeqCst));
}

#[test]
fn drop_stops_silently() {
    if !is_child() {
        assert_eq!(stderr(&child("drop_stops_silently")), "");
        return;
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let guard = DropCount(drops.clone());
    let runtime = runtime("drop");
    on(&runtime, async {
        tokio::spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
    });
    drop(runtime);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn an_overdue_drop_is_reported() {
    if !is_child() {
        let expected = "owned-runtime: runtime thread `drop-overdue` has not ended within 50ms of being asked to stop";
        let said = stderr(&child("an_overdue_drop_is_reported"));
        assert!(said.starts_with(expected) && said.lines().count() == 1, "{said}");
        return;
    }
    let runtime = OwnedRuntime::new("drop-overdue").with_stop_bound(SHORT);
    let release = block(&runtime);
    drop(runtime);
    drop(release);
}

#[test]
#[cfg(target_os = "linux")]
fn a_drop_on_an_own_thread_is_reported_and_ends_it() {
    if !is_child() {
        let said = stderr(&child("a_drop_on_an_own_thread_is_reported_and_ends_it"));
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        for (line, name) in lines.iter().zip(["drop-in-task", "drop-in-pool"]) {
            assert_eq!(
                *line,
                format!(
                    "owned-runtime: runtime thread `{name}` can't be stopped from one of its own threads, which \
                     would wait for itself (dropped there: asked to end, but nobody waits for it)"
                )
            );
        }
        return;
    }
    for name in ["drop-in-task", "drop-in-pool"] {
        let runtime = runtime(name);
        let handle = runtime.start().unwrap();
        let (alive, end) = mpsc::channel::<()>();
        handle.spawn(async move {
            let _alive = alive;
            pending::<()>().await;
        });
        if name == "drop-in-task" {
            handle.spawn(async move { drop(runtime) });
        } else {
            handle.spawn_blocking(move || drop(runtime));
        }
        assert_eq!(end.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
        assert_no_thread_named(name);
    }
}

/// Without descriptors a start fails, says so, and leaves the runtime as it was.
#[test]
#[cfg(target_os = "linux")]
fn a_system_without_descriptors_is_an_error() {
    if !is_child() {
        assert_eq!(stderr(&child("a_system_without_descriptors_is_an_error")), "");
        return;
    }
    let runtime = runtime("descriptors");
    let mut hoard = Vec::new();
    let refusal = loop {
        match std::fs::File::open("/dev/null") {
            Ok(file) => hoard.push(file),
            Err(refusal) => break refusal,
        }
    };
    match runtime.start() {
        Err(StartError::System { thread, source }) => {
            assert_eq!(thread, "descriptors");
            assert_eq!(source.raw_os_error(), refusal.raw_os_error());
        }
        other => panic!("{other:?}"),
    }
    assert!(!runtime.is_running());
    runtime.stop().unwrap();
    drop(hoard);
    assert_eq!(on(&runtime, async { 1 }), 1);
}
