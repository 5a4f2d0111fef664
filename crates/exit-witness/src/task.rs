//! One thread of this process, as the kernel sees it. Nothing here allocates.

use std::mem::MaybeUninit;

use preload::{Line, Reader};

use crate::threads;

/// CPU time that a thread may need for its last instructions: it frees its stack and leaves the kernel.
const LAST_STEPS_NS: i64 = 1_000_000;

/// What `/proc/self/task/<tid>/<file>` has.
pub fn open(tid: i32, file: &str) -> Reader {
    // A path is not a line, but `Line` builds it without allocation.
    let path = Line::new("/proc/self/task/").join(tid).join("/").join(file);
    Reader::open(path.as_bytes())
}

/// Whether the process has no other thread than the calling one, not even one that has ended and still has a number. Returns
/// false also if that isn't known. The threads in /proc take twenty times as long to find.
pub fn is_only_one() -> bool {
    // SAFETY: this flag changes nothing by itself. It is an error in a process with other threads: unshare(2).
    unsafe { libc::unshare(libc::CLONE_THREAD) == 0 }
}

/// Whether only a zombie of the thread is left, as of the first thread after `pthread_exit`.
pub fn has_ended(tid: i32) -> bool {
    matches!(state(tid), None | Some(b'Z' | b'X'))
}

/// Whether the thread ends now, without being told to. A program can't wait for more than the end of a thread's work,
/// as Rust's `std::thread::scope` does, and the thread's last instructions come after that. They need little CPU time,
/// but a busy machine may let them wait.
pub fn ends_by_itself(tid: i32) -> bool {
    let begin = cpu_time_ns(tid);
    loop {
        match state(tid) {
            None | Some(b'Z' | b'X') => return true,
            Some(b'R' | b'D') => {}
            // Threads that end at the same time wait for each other: the C library has a lock for their stacks.
            Some(b'S') if threads::has_returned(tid) => {}
            Some(_) => return false,
        }
        let used = cpu_time_ns(tid).zip(begin).map(|(now, begin)| now - begin);
        if used.is_some_and(|used| used > LAST_STEPS_NS) || !threads::wait_a_moment() {
            return has_ended(tid);
        }
    }
}

/// The state of the thread, as the letter that /proc has for it; `None` if there is no such thread any more.
fn state(tid: i32) -> Option<u8> {
    let mut buffer = [0; 1024];
    let mut reader = open(tid, "stat");
    let line = reader.line(&mut buffer)?;
    // number (name) state ...; the name itself may contain parentheses.
    line.iter().rposition(|&byte| byte == b')').and_then(|at| line.get(at + 2)).copied()
}

/// `None` if the thread has ended.
fn cpu_time_ns(tid: i32) -> Option<i64> {
    // The kernel's number for the CPU-time clock of a thread: CPUCLOCK_PERTHREAD and CPUCLOCK_SCHED in linux/posix-timers.h.
    let clock = (!tid << 3) | 6;
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: `time` is valid for writes. An unknown clock is an error.
    if unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: all zeros is valid, and the call has filled it.
    let time = unsafe { time.assume_init() };
    Some(time.tv_sec * 1_000_000_000 + time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use preload::process;

    use super::{cpu_time_ns, ends_by_itself, has_ended, is_only_one};

    #[test]
    fn knows_threads_that_end_from_those_that_stay() {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let waits = thread::spawn(move || {
            tell.send(process::thread_id()).ok();
            stopped.recv().ok();
        });
        let tid = told.recv().unwrap_or_default();
        assert!(!is_only_one());
        while ends_by_itself(tid) || cpu_time_ns(tid).is_none() {
            assert!(!has_ended(tid));
        }
        drop(stop);
        assert!(waits.join().is_ok());
        while !ends_by_itself(tid) {}
        assert!(cpu_time_ns(tid).is_none());
    }
}
