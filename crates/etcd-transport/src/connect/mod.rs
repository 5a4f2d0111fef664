//! From a transport's options to one connection.

pub mod dial;
pub mod target;
pub mod tls;
