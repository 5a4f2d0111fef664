//! What the tester tells a preload library in environment variables.
//!
//! Only the library's constructor may read them: later the program may have threads that change the environment.

use std::ffi::CStr;

/// A variable's value; `None` if it isn't set.
pub fn text(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: `name` ends with NUL, and by this module's rule no other thread changes the environment.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: `getenv` returns NULL or a NUL-terminated string. It is copied or parsed before the constructor ends.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_bytes())
}

/// A variable that is a number; `None` if it isn't set, or isn't a number.
pub fn number(name: &CStr) -> Option<u64> {
    text(name).and_then(parse)
}

/// The same for a number that the system has as `int`: a descriptor or a process id.
pub fn int(name: &CStr) -> Option<i32> {
    number(name).and_then(|number| i32::try_from(number).ok())
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
