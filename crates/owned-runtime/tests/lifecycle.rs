//! The lifecycle on real threads and a real tokio.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::future::pending;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use owned_runtime::{OwnedRuntime, StartError, StopError};
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
    runtime.spawn(async move { sender.send(work.await).unwrap() }).unwrap();
    receiver.recv_timeout(LONG).expect("the task ends")
}

/// Waits for a condition that must come about by itself.
fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "in vain");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Stops a runtime whose bound is short and whose thread has been let go.
fn stop_again(runtime: &OwnedRuntime) {
    let start = Instant::now();
    while let Err(error) = runtime.stop() {
        assert!(matches!(error, StopError::Overdue { .. }), "{error}");
        assert!(start.elapsed() < LONG, "{error}");
    }
}

/// How many threads of this process bear the name.
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
    assert_eq!(threads_named(name), 1);

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
    assert_eq!(threads_named(name), 2);
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
    let first = runtime.start().unwrap();
    assert_eq!(runtime.start().unwrap().id(), first.id());
    runtime.stop().unwrap();
    runtime.stop().unwrap();
    assert_ne!(runtime.start().unwrap().id(), first.id());
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
        runtime
            .spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            })
            .unwrap();
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
fn a_task_that_starts_it_again_while_it_stops_gets_an_error() {
    let runtime = Arc::new(runtime("start-in-stop"));
    let (sender, receiver) = mpsc::channel();
    let inner = Arc::downgrade(&runtime);
    let guard = OnDrop(move || sender.send(inner.upgrade().unwrap().start().map(drop)).unwrap());
    runtime
        .spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        })
        .unwrap();
    runtime.stop().unwrap();
    assert!(matches!(receiver.recv().unwrap(), Err(StartError::OwnThread { .. })));
}

#[test]
fn a_start_follows_the_stop_under_way() {
    let runtime = runtime("follow");
    let first = runtime.start().unwrap().id();
    let (stopping, is_stopping) = mpsc::channel();
    let guard = OnDrop(move || {
        stopping.send(()).unwrap();
        thread::sleep(SHORT);
    });
    runtime
        .spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        })
        .unwrap();
    thread::scope(|scope| {
        scope.spawn(|| runtime.stop().unwrap());
        is_stopping.recv_timeout(LONG).unwrap();
        assert!(!runtime.is_running());
        assert_ne!(runtime.start().unwrap().id(), first);
    });
    assert!(runtime.is_running());
}

#[test]
fn an_overdue_stop_can_be_tried_again() {
    let runtime = OwnedRuntime::new("overdue").with_stop_bound(SHORT);
    let (release, held) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel();
    runtime
        .spawn(async move {
            entered.send(()).unwrap();
            held.recv().ok(); // blocks the thread
        })
        .unwrap();
    has_entered.recv_timeout(LONG).unwrap();

    for _ in 0..2 {
        let start = Instant::now();
        let error = runtime.stop().unwrap_err();
        assert!(start.elapsed() >= SHORT);
        assert_eq!(error, StopError::Overdue { thread: "overdue".to_owned(), bound: SHORT });
        assert_eq!(
            error.to_string(),
            "runtime thread `overdue` has not ended within 50ms of being told to stop: \
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
fn a_start_gives_up_on_an_overdue_stop() {
    let runtime = OwnedRuntime::new("start-overdue").with_stop_bound(SHORT);
    let (release, held) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel();
    runtime
        .spawn(async move {
            entered.send(()).unwrap();
            held.recv().ok();
        })
        .unwrap();
    has_entered.recv_timeout(LONG).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| runtime.stop().unwrap_err());
        wait_until(|| !runtime.is_running());
        let error = runtime.start().unwrap_err();
        assert!(matches!(error, StartError::Overdue { .. }), "{error}");
    });
    drop(release);
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
    assert!(times[10] < Duration::from_millis(50), "{times:?}");
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
                    runtime
                        .spawn(async move {
                            let _guard = guard;
                            pending::<()>().await;
                        })
                        .unwrap();
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
        let expected = "owned-runtime: runtime thread `drop-overdue` has not ended within 50ms of being told to stop";
        let said = stderr(&child("an_overdue_drop_is_reported"));
        assert!(said.starts_with(expected) && said.lines().count() == 1, "{said}");
        return;
    }
    let runtime = OwnedRuntime::new("drop-overdue").with_stop_bound(SHORT);
    let (release, held) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel();
    runtime
        .spawn(async move {
            entered.send(()).unwrap();
            held.recv().ok();
        })
        .unwrap();
    has_entered.recv_timeout(LONG).unwrap();
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
                     would wait for itself (dropped there: told to end, but nobody waits for it)"
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
