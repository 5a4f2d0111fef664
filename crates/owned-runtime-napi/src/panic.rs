//! A panic in async Rust becomes a JavaScript error.

use napi::{Error, Result};

/// Calls it, and turns a panic into an error with the panic's message.
pub fn catch<T>(f: impl FnOnce() -> T) -> Result<T> {
    owned_runtime::panic::catch(f).map_err(|message| panicked(&message))
}

/// The error of a panic.
pub fn panicked(message: &str) -> Error {
    Error::from_reason(format!("panic in async Rust: {message}"))
}
