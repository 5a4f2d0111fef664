//! How long this process has waited for a CPU.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Longer than the kernel's line, which has three numbers of at most 20 digits.
const MOST_BYTES: usize = 80;

/// The waits since this was asked last. Kernels without `CONFIG_SCHED_INFO` don't know them.
pub struct Delays {
    file: Option<File>,
    seen_ns: u64,
}

impl Delays {
    pub fn new() -> Self {
        let mut delays = Self { file: File::open("/proc/self/schedstat").ok(), seen_ns: 0 };
        delays.added_us();
        delays
    }

    /// The waits that were added, in microseconds; 0 if that is unknown.
    pub fn added_us(&mut self) -> u64 {
        let now_ns = self.file.as_ref().and_then(waited_ns).unwrap_or(self.seen_ns);
        let added_ns = now_ns.saturating_sub(self.seen_ns);
        self.seen_ns = now_ns;
        added_ns / 1_000
    }
}

/// The second number of the line: all time that it could have run, and didn't, in nanoseconds.
fn waited_ns(file: &File) -> Option<u64> {
    let mut line = [0; MOST_BYTES];
    let count = file.read_at(&mut line, 0).ok()?;
    str::from_utf8(line.get(..count)?).ok()?.split_whitespace().nth(1)?.parse().ok()
}
