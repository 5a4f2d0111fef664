//! Which threads of Java have ended for their program, though the system still has them.
//!
//! `Thread.join` returns, and the JVM no longer waits for a thread, once it has run its last Java code. Then it leaves
//! the JVM, and waits for a lock that a JVM which ends keeps for good. No program can wait for that.

use std::ffi::{c_int, c_void};

use preload::Reader;

use crate::{task, threads};

/// More of a thread's stack isn't searched: a thread that has left Java has few frames.
const MOST_BYTES: usize = 64 * 1024;
const PART: usize = 4096;
const MOST_RANGES: usize = 16;

/// Whether a thread that HotSpot started has run Java code, and runs none any more: code that HotSpot made, the
/// interpreter's included, is on the unused part of its stack only. A newborn thread is not meant.
pub fn has_left_java(tid: i32) -> bool {
    let (Some(pointer), Some(top), Some(made)) = (stack_pointer(tid), threads::top_of(tid), Code::find()) else {
        return false;
    };
    let Some(used) = top.checked_sub(pointer).filter(|&used| used < MOST_BYTES) else { return false };
    let memory = Memory::open();
    let runs = memory.find(pointer, used, &made);
    let ran = (1..=MOST_BYTES / PART).map(|part| memory.find(pointer.saturating_sub(part * PART), PART, &made));
    runs == Some(false)
        && ran.map_while(|found| found).any(|found| found)
        // Otherwise it moved meanwhile, and what was read means nothing.
        && stack_pointer(tid) == Some(pointer)
}

/// Of a thread that waits in a system call; otherwise `None`.
fn stack_pointer(tid: i32) -> Option<usize> {
    let mut buffer = [0; 256];
    let mut reader = task::open(tid, "syscall");
    pointer_in(std::str::from_utf8(reader.line(&mut buffer)?).ok()?)
}

/// In a line such as `202 0x7f00 0x80 ... 0x7ffd1000 0x7f04`: the last number but one.
fn pointer_in(line: &str) -> Option<usize> {
    let hex = line.rsplit(' ').nth(1)?.strip_prefix("0x")?;
    usize::from_str_radix(hex, 16).ok()
}

/// Where code is that comes from no file.
#[derive(Default)]
struct Code {
    ranges: [(usize, usize); MOST_RANGES],
    count: usize,
}

impl Code {
    /// `None` if there is more than can be kept.
    fn find() -> Option<Self> {
        let mut buffer = [0; 4096];
        let mut reader = Reader::open(c"/proc/self/maps");
        let mut found = Self::default();
        while let Some(line) = reader.line(&mut buffer) {
            let Some(range) = std::str::from_utf8(line).ok().and_then(made_in) else { continue };
            *found.ranges.get_mut(found.count)? = range;
            found.count += 1;
        }
        Some(found)
    }

    fn holds(&self, address: usize) -> bool {
        self.ranges[..self.count].iter().any(|&(from, to)| (from..to).contains(&address))
    }
}

/// The range in a line such as `7f00-7f10 rwxp 00000000 00:00 0`, if it is code without a file.
fn made_in(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    let code = fields.next()?.as_bytes().get(2) == Some(&b'x');
    // The offset, the device and the inode come before the name.
    if !code || fields.nth(3).is_some() {
        return None;
    }
    Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
}

/// The memory of this process, where reading what is not there is an error, and no fault.
struct Memory(c_int);

impl Memory {
    fn open() -> Self {
        // SAFETY: the path is NUL-terminated.
        Self(unsafe { libc::open(c"/proc/self/mem".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) })
    }

    /// Whether a word in these bytes is an address of `code`; `None` if they can't be read.
    fn find(&self, from: usize, bytes: usize, code: &Code) -> Option<bool> {
        let mut buffer = [0_u8; PART];
        for at in (0..bytes).step_by(PART) {
            let part = buffer.get_mut(..PART.min(bytes - at))?;
            let offset = i64::try_from(from.checked_add(at)?).ok()?;
            // SAFETY: the buffer is valid for that many bytes.
            let read = unsafe { libc::pread64(self.0, part.as_mut_ptr().cast::<c_void>(), part.len(), offset) };
            if usize::try_from(read).ok()? != part.len() {
                return None;
            }
            let words = part.as_chunks::<{ size_of::<usize>() }>().0;
            if words.iter().any(|&word| code.holds(usize::from_ne_bytes(word))) {
                return Some(true);
            }
        }
        Some(false)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.0 >= 0 {
            // SAFETY: `open` opened it, and nothing else has it.
            unsafe { libc::close(self.0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, MOST_RANGES, Memory, made_in, pointer_in};

    #[test]
    fn reads_where_a_waiting_thread_is() {
        let line = "202 0x7f9030015078 0x80 0x2 0x0 0x0 0x0 0x7f48b149dbf8 0x7f48dd254482";
        assert_eq!(pointer_in(line), Some(0x7f48_b149_dbf8));
        assert_eq!(pointer_in("-1 0x7ffd1000 0x7f04"), Some(0x7ffd_1000));
        assert_eq!(pointer_in("running"), None);
    }

    #[test]
    fn knows_code_without_a_file() {
        assert_eq!(made_in("7f00-7f10 rwxp 00000000 00:00 0 "), Some((0x7f00, 0x7f10)));
        for other in ["7f00-7f10 rw-p 00000000 00:00 0 ", "7f00-7f10 r-xp 00000000 00:00 0   [vdso]", "nonsense"] {
            assert_eq!(made_in(other), None, "{other}");
        }
    }

    #[test]
    fn finds_addresses_in_memory() {
        let mut code = Code { ranges: [(0, 0); MOST_RANGES], count: 1 };
        code.ranges[0] = (0x1000, 0x2000);
        let memory = Memory::open();
        let words = |address: usize| vec![0, 0x2000, address, 1];
        for (address, found) in [(0x1fff, true), (0xfff, false)] {
            let words = words(address);
            assert_eq!(memory.find(words.as_ptr() as usize, size_of_val(&*words), &code), Some(found));
        }
        assert_eq!(memory.find(8, 8, &code), None);
    }
}
