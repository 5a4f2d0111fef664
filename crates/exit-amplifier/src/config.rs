//! What the environment asks for. Read once, when the library is loaded; the tester sets these variables.

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};

/// Longest single hold of a background thread.
pub static HOLD_MS: AtomicU64 = AtomicU64::new(150);
/// Longest delay at one step of the exit.
pub static LINGER_MS: AtomicU64 = AtomicU64::new(20);
/// All holds before the exit begins, in all threads together, after which there are none.
pub static HOLD_BUDGET_MS: AtomicU64 = AtomicU64::new(2_000);
/// All delays of the exit together.
pub static LINGER_BUDGET_MS: AtomicU64 = AtomicU64::new(200);
/// Descriptor on which the program says that its work is done; -1 for none.
pub static DONE_FD: AtomicI32 = AtomicI32::new(-1);

/// Whether the children of the program are amplified as well.
pub static CHILDREN: AtomicBool = AtomicBool::new(true);

/// The bound of what can be asked for: beyond it delays hide races rather than show them.
const MOST_MS: u64 = 60_000;

/// Reads the environment and says whether this process shall be amplified.
pub fn read(leads_its_group: bool) -> bool {
    for (name, target) in [
        (c"QUIESCE_AMPLIFY_HOLD_MS", &HOLD_MS),
        (c"QUIESCE_AMPLIFY_LINGER_MS", &LINGER_MS),
        (c"QUIESCE_AMPLIFY_HOLD_BUDGET_MS", &HOLD_BUDGET_MS),
        (c"QUIESCE_AMPLIFY_LINGER_BUDGET_MS", &LINGER_BUDGET_MS),
    ] {
        if let Some(value) = variable(name).and_then(parse) {
            target.store(value.min(MOST_MS), Relaxed);
        }
    }
    if let Some(seed) = variable(c"QUIESCE_AMPLIFY_SEED").and_then(parse) {
        crate::random::seed(seed);
    }
    if let Some(fd) = variable(c"QUIESCE_DONE_FD").and_then(parse).and_then(|fd| i32::try_from(fd).ok()) {
        DONE_FD.store(fd, Relaxed);
    }
    if let Some(path) = variable(c"QUIESCE_AMPLIFY_REPORT") {
        crate::report::set_path(path);
    }
    let children = variable(c"QUIESCE_AMPLIFY_CHILDREN") != Some(b"0");
    CHILDREN.store(children, Relaxed);
    leads_its_group || children
}

fn variable(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: `name` ends with NUL, and this runs in the library's constructor, before other threads exist.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: `getenv` gives NULL or a string that ends with NUL. It is copied or parsed before the constructor ends.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_bytes())
}

fn parse(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, &digit| {
        digit.is_ascii_digit().then_some(())?;
        sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn takes_decimal_numbers_only() {
        assert_eq!(parse(b"0"), Some(0));
        assert_eq!(parse(b"18446744073709551615"), Some(u64::MAX));
        for wrong in [&b""[..], b"-1", b"1ms", b"18446744073709551616", b" 1"] {
            assert_eq!(parse(wrong), None);
        }
    }
}
