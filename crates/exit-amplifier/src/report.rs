//! Reports to the tester which processes were amplified, in lines appended to the file that `QUIESCE_AMPLIFY_REPORT`
//! names. It is a file and not a descriptor, because a program may close descriptors that it doesn't know and reuse
//! their numbers.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use preload::{Line, process};
use rustix::fs::{Mode, OFlags};

use crate::{hold, linger};

const LONGEST_PATH: usize = 4096;

struct Path(UnsafeCell<[u8; LONGEST_PATH]>);

// SAFETY: written once by the library's constructor, before `LENGTH` is published and before other threads exist.
unsafe impl Sync for Path {}

static PATH: Path = Path(UnsafeCell::new([0; LONGEST_PATH]));
static LENGTH: AtomicUsize = AtomicUsize::new(0);
static ENDED: AtomicBool = AtomicBool::new(false);

/// Sets the path of the report. A path that is too long is ignored. Only the constructor may call this.
pub fn set_path(path: &[u8]) {
    if path.is_empty() || path.len() > LONGEST_PATH {
        return;
    }
    // SAFETY: see `Path`: nothing reads it while `LENGTH` is 0.
    unsafe { (&mut *PATH.0.get())[..path.len()].copy_from_slice(path) };
    LENGTH.store(path.len(), Ordering::Release);
}

/// `loaded <pid>`: the library is active in this process.
pub fn loaded() {
    append(Line::new("loaded ").join(process::id()));
}

/// `ended <pid> <holds> <held us> <lingers> <lingered us>`: the process is about to end. Sent only once.
pub fn ended() {
    if ENDED.swap(true, Ordering::SeqCst) {
        return;
    }
    let ((holds, held), (lingers, lingered)) = (hold::totals(), linger::totals());
    let pid = process::id();
    append(Line::new("ended ").join(format_args!("{pid} {holds} {held} {lingers} {lingered}")));
}

/// Called in the child of a `fork`.
pub fn restart() {
    ENDED.store(false, Ordering::SeqCst);
    loaded();
}

fn append(line: Line) {
    let length = LENGTH.load(Ordering::Acquire);
    if length == 0 {
        return;
    }
    // SAFETY: see `Path`: it is no longer written once `LENGTH` is set.
    let path = unsafe { &(&*PATH.0.get())[..length] };
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) {
        // Short lines are appended whole. If a line can't be written, the tester has to do without it.
        let _ = rustix::io::write(&file, line.end().as_bytes());
    }
}
