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
    /// An earlier stop passed its bound, and the thread that it waited for is still there. Once that
    /// thread has gone, the runtime can start again.
    Overdue {
        /// The runtime's thread name.
        thread: String,
        /// The bound that passed.
        bound: Duration,
    },
    /// The thread ended by itself, which takes a panic outside every task. Call
    /// [`stop`](crate::OwnedRuntime::stop), which reports the panic's message; then the runtime can
    /// start again.
    Ended {
        /// The runtime's thread name.
        thread: String,
    },
    /// [`close`](crate::OwnedRuntime::close) was called: nothing starts any more.
    Closed {
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
                "can't start runtime thread `{thread}`: the one before it has not ended within {bound:?} of being asked to stop, and still runs"
            ),
            Self::Ended { thread } => {
                write!(f, "runtime thread `{thread}` ended by itself; stop it to learn why, then start it again")
            }
            Self::Closed { thread } => {
                write!(f, "runtime thread `{thread}` was closed for good: nothing can be started on it any more")
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
    /// The thread was asked to stop and has not ended within the bound: a task blocks it, or a
    /// blocking call continues. It still runs. A later `stop` waits again.
    Overdue {
        /// The runtime's thread name.
        thread: String,
        /// The bound that passed.
        bound: Duration,
    },
    /// The caller is one of the runtime's own threads and would wait for itself. Nothing was
    /// stopped (but a [`close`](crate::OwnedRuntime::close) holds: nothing starts any more).
    OwnThread {
        /// The runtime's thread name.
        thread: String,
    },
    /// The thread is gone, but it ended by a panic outside every task. Reported once.
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
                "runtime thread `{thread}` has not ended within {bound:?} of being asked to stop: a task or a blocking call holds it, and it may still call into the host"
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

/// Why [`block_on`](crate::OwnedRuntime::block_on) gave no value.
#[derive(Debug)]
#[non_exhaustive]
pub enum BlockOnError {
    /// The runtime could not be started. The future was dropped and did not run.
    Start(StartError),
    /// The runtime was stopped or closed before the future had ended. The future was dropped.
    Stopped {
        /// The runtime's thread name.
        thread: String,
    },
    /// The future panicked.
    Panicked {
        /// The runtime's thread name.
        thread: String,
        /// The panic's message.
        message: String,
    },
    /// The caller is one of the runtime's own threads, which would wait for itself. The future was
    /// dropped and did not run. A task awaits the future instead; a blocking call may use
    /// [`Handle::block_on`](tokio::runtime::Handle::block_on).
    OwnThread {
        /// The runtime's thread name.
        thread: String,
    },
}

impl From<StartError> for BlockOnError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl fmt::Display for BlockOnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Stopped { thread } => {
                write!(f, "runtime thread `{thread}` was stopped before the future had ended")
            }
            Self::Panicked { thread, message } => {
                write!(f, "the future panicked on runtime thread `{thread}`: {message}")
            }
            Self::OwnThread { thread } => write!(
                f,
                "one of runtime thread `{thread}`'s own threads can't block on it, since it would wait for itself; await the future instead"
            ),
        }
    }
}

impl Error for BlockOnError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Start(error) => error.source(),
            _ => None,
        }
    }
}
