//! What happens in a process, event by event, in a file that the tester shares with the process. Nothing waits for a
//! reader, and what was written stays, whenever the process dies.
//!
//! The tester makes the file. It begins with a 64-bit counter of all events. A ring of slots follows. Each slot has the
//! number of its event (from 1 on; 0 while it is being written) and the event's text: microseconds of CLOCK_MONOTONIC,
//! process, thread, kind, and the kind's own fields, separated by tabs, with a newline at the end.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use rustix::fs::{Mode, OFlags};

use crate::{Line, environment, process, sandbox};

const SLOT: usize = 256;
const HEADER: usize = SLOT;
const TEXT: usize = SLOT - size_of::<u64>();

static BASE: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static SLOTS: AtomicUsize = AtomicUsize::new(0);
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Opens the file that `QUIESCE_TIMELINE` names. Returns false if there is none. May be called only by a library's
/// constructor, or before the program has other threads.
pub fn open() -> bool {
    let Some(path) = environment::text(c"QUIESCE_TIMELINE") else { return false };
    let Ok(file) = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) else { return false };
    let size = rustix::fs::fstat(&file).map_or(0, |stat| usize::try_from(stat.st_size).unwrap_or(0));
    if size < HEADER + SLOT {
        return false;
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, as long as the file; it stays when the descriptor is closed.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), size, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    if base == libc::MAP_FAILED {
        return false;
    }
    SLOTS.store((size - HEADER) / SLOT, Ordering::Relaxed);
    OWNER.store(process::id(), Ordering::Relaxed);
    BASE.store(base.cast(), Ordering::Release);
    true
}

/// Whether events of this process are recorded. Those of a child that was forked without exec are not, and none once
/// the process restricts its own system calls.
pub fn is_open() -> bool {
    !BASE.load(Ordering::Acquire).is_null() && !sandbox::is_entered() && process::id() == OWNER.load(Ordering::Relaxed)
}

/// Records that something happens now in the calling thread. Async-signal-safe.
pub fn note(kind: &str) {
    note_with(kind, |line| line);
}

/// The same, with the event's own fields. They are built only if the event is recorded.
pub fn note_with(kind: &str, fields: impl FnOnce(Line) -> Line) {
    if !is_open() {
        return;
    }
    let base = BASE.load(Ordering::Acquire);
    let line = Line::new("").join(process::monotonic_us()).field(process::id()).field(process::thread_id()).field(kind);
    let line = fields(line).end();
    let bytes = line.as_bytes();
    let length = bytes.len().min(TEXT);
    // SAFETY: the mapping is never removed, begins at a page, and is long enough for the header and all slots. Both
    // words are aligned in it, and everything else that uses them does so atomically. If two threads write one slot at
    // a time, because a whole round of events has overtaken one of them, the reader makes what it can of the text.
    unsafe {
        let next = AtomicU64::from_ptr(base.cast());
        let number = next.fetch_add(1, Ordering::Relaxed);
        let slot = base.add(HEADER + (number as usize % SLOTS.load(Ordering::Relaxed)) * SLOT);
        let mark = AtomicU64::from_ptr(slot.cast());
        mark.store(0, Ordering::Relaxed);
        let text = slot.add(size_of::<u64>());
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), text, length);
        *text.add(length - 1) = b'\n';
        mark.store(number + 1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER, SLOT, is_open, note_with, open};

    #[test]
    fn keeps_the_last_events_in_the_file_that_the_tester_made() {
        assert!(!open() && !is_open());
        let path = std::env::temp_dir().join(format!("preload-journal-{}", std::process::id()));
        assert!(std::fs::write(&path, vec![0; HEADER + 2 * SLOT]).is_ok());
        // SAFETY: no other test of this crate reads the environment.
        unsafe { std::env::set_var("QUIESCE_TIMELINE", &path) };
        assert!(open() && is_open());
        for i in 0..3 {
            note_with("test", |line| line.field(i).text(&[b'x'; 400]));
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(std::fs::remove_file(&path).is_ok());
        let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]));
        assert_eq!([word(0), word(HEADER), word(HEADER + SLOT)], [3, 3, 2]);
        let text = String::from_utf8_lossy(&bytes[HEADER + 8..HEADER + SLOT]);
        let fields: Vec<_> = text.split('\t').collect();
        assert_eq!(fields[1], std::process::id().to_string());
        assert_eq!(fields[3..5], ["test", "2"]);
        assert!(text.ends_with("x\n"));
    }
}
