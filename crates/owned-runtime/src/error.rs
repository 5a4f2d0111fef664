use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

/// Why [`start`](crate::OwnedRuntime::start) or [`spawn`](crate::OwnedRuntime::spawn) failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The system refused the thread, or the descriptors of the I/O driver.
    System {
        /// The runtime's thread name.
        thread: String,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier stop passed its bound, or the stop under way didn't end within it: the old thread
    /// still runs. Once [`stop`](crate::OwnedRuntime::stop) succeeds, the runtime can start again.
    Overdue {
        /// The runtime's thread name.
        thread: String,
        /// The bound that passed.
        bound: Duration,
    },
    /// The thread ended by itself, which takes a panic outside every task. Call
    /// [`stop`](crate::OwnedRuntime::stop), which tells the panic's message; then the runtime can
    /// start again.
    Ended {
        /// The runtime's thread name.
        thread: String,
    },
    /// The runtime is stopping, and the caller is one of its own threads, for which the stop waits.
    OwnThread {
        /// The runtime's thread name.
        thread: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { thread, source } => {
                write!(f, "can't start runtime thread `{thread}`: {source}")
            }
            Self::Overdue { thread, bound } => write!(
                f,
                "can't start runtime thread `{thread}`: the one before it has not ended within {bound:?} of being told to stop; stop it again first"
            ),
            Self::Ended { thread } => {
                write!(f, "runtime thread `{thread}` ended by itself; stop it to learn why, then start it again")
            }
            Self::OwnThread { thread } => {
                write!(f, "can't start runtime thread `{thread}` from one of its own threads while it is stopping")
            }
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why [`stop`](crate::OwnedRuntime::stop) failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopError {
    /// The thread was told to stop and has not ended within the bound: a task blocks it, or a
    /// blocking call goes on. It still runs. A later `stop` waits again.
    Overdue {
        /// The runtime's thread name.
        thread: String,
        /// The bound that passed.
        bound: Duration,
    },
    /// The caller is one of the runtime's own threads and would wait for itself. Nothing was
    /// stopped.
    OwnThread {
        /// The runtime's thread name.
        thread: String,
    },
    /// The thread is gone, but it ended by a panic outside every task. Told once.
    Panicked {
        /// The runtime's thread name.
        thread: String,
        /// The panic's message.
        message: String,
    },
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overdue { thread, bound } => write!(
                f,
                "runtime thread `{thread}` has not ended within {bound:?} of being told to stop: a task or a blocking call holds it, and it may still call into the host"
            ),
            Self::OwnThread { thread } => write!(
                f,
                "runtime thread `{thread}` can't be stopped from one of its own threads, which would wait for itself"
            ),
            Self::Panicked { thread, message } => {
                write!(f, "runtime thread `{thread}` panicked: {message}")
            }
        }
    }
}

impl Error for StopError {}
