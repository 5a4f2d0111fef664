//! From a transport's options to one connection.

pub mod dial;
pub mod pongs;
#[cfg(unix)]
pub mod socket;
pub mod target;
pub mod tls;
