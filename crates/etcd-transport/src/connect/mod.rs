//! From a transport's options to one connection.

pub mod dial;
#[cfg(unix)]
pub mod socket;
pub mod target;
pub mod tls;
