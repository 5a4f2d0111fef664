//! The way from the runtime's threads to an event loop's thread: a queue, and one byte on a socket that the loop
//! watches.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::interpreter::{lock, AtEnd, Interpreter};

/// Makes a value, or an error, from a task's result. Runs on the event loop's thread.
pub(crate) type Make<T> = Box<dyn for<'py> FnOnce(Python<'py>) -> PyResult<Py<T>> + Send>;

/// Identifies a future. Its address alone would identify another one once it is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FutureId {
    pub(crate) address: usize,
    pub(crate) number: u64,
}

pub(crate) enum Message {
    Settle(FutureId, Make<PyAny>),
    Call(u64, Make<PyTuple>),
    /// The callback won't be called any more.
    Release(u64),
}

/// What the runtime's threads hold of an event loop.
pub(crate) struct Queue {
    pub(crate) interpreter: &'static Interpreter,
    /// `None` once nobody listens.
    messages: Mutex<Option<Vec<Message>>>,
    /// Both ends are here, so that a write never finds the other end closed.
    bell: Bell,
    numbers: AtomicU64,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl Queue {
    pub(crate) fn new(interpreter: &'static Interpreter) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self {
            interpreter,
            messages: Mutex::new(Some(Vec::new())),
            bell: Bell::new()?,
            numbers: AtomicU64::new(0),
        });
        let weak: Weak<Self> = Arc::downgrade(&queue);
        interpreter.silence_at_end(weak);
        Ok(queue)
    }

    /// A number that this queue hasn't used before.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Callable from any thread; never waits. False if nobody listens.
    pub(crate) fn push(&self, message: Message) -> bool {
        let is_first = match &mut *lock(&self.messages) {
            Some(messages) => {
                messages.push(message);
                messages.len() == 1
            }
            None => return false,
        };
        // After the first message the bell stays rung until the loop takes all messages.
        if is_first {
            self.bell.ring();
        }
        true
    }

    /// All messages that arrived since the last call.
    pub(crate) fn take(&self) -> Vec<Message> {
        self.bell.hush();
        lock(&self.messages).as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }
}

impl AtEnd for Queue {
    fn silence(&self) {
        let unheard = lock(&self.messages).take();
        // Not under the lock, as dropping them may run any code.
        drop(unheard);
    }
}

use platform::{descriptor, into_descriptor, pair, Descriptor, Socket};

/// Two sockets. The event loop watches the second one.
pub(crate) struct Bell {
    write: Socket,
    read: Socket,
}

impl Bell {
    fn new() -> io::Result<Self> {
        let (write, read) = pair()?;
        write.set_nonblocking(true)?;
        read.set_nonblocking(true)?;
        Ok(Self { write, read })
    }

    fn ring(&self) {
        // If the socket is full, there is already something to read.
        while let Err(error) = (&self.write).write(&[1]) {
            if error.kind() != ErrorKind::Interrupted {
                break;
            }
        }
    }

    fn hush(&self) {
        let mut bytes = [0; 64];
        loop {
            match (&self.read).read(&mut bytes) {
                Ok(64) => (),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                _ => break,
            }
        }
    }

    /// The descriptor to watch.
    pub(crate) fn descriptor(&self) -> Descriptor {
        descriptor(&self.read)
    }

    /// A separate descriptor for the same socket.
    pub(crate) fn duplicate(&self) -> io::Result<Descriptor> {
        Ok(into_descriptor(self.read.try_clone()?))
    }
}

#[cfg(unix)]
mod platform {
    use std::io;
    use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

    pub(crate) type Socket = std::os::unix::net::UnixStream;
    pub(crate) type Descriptor = RawFd;

    pub(crate) fn descriptor(socket: &Socket) -> Descriptor {
        socket.as_raw_fd()
    }

    pub(crate) fn into_descriptor(socket: Socket) -> Descriptor {
        socket.into_raw_fd()
    }

    pub(crate) fn pair() -> io::Result<(Socket, Socket)> {
        Socket::pair()
    }
}

#[cfg(windows)]
mod platform {
    use std::io;
    use std::net::{Ipv4Addr, TcpListener};
    use std::os::windows::io::{AsRawSocket, IntoRawSocket, RawSocket};

    pub(crate) type Socket = std::net::TcpStream;
    pub(crate) type Descriptor = RawSocket;

    pub(crate) fn descriptor(socket: &Socket) -> Descriptor {
        socket.as_raw_socket()
    }

    pub(crate) fn into_descriptor(socket: Socket) -> Descriptor {
        socket.into_raw_socket()
    }

    /// Over loopback, like Python's own `socket.socketpair`.
    pub(crate) fn pair() -> io::Result<(Socket, Socket)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let write = Socket::connect(listener.local_addr()?)?;
        loop {
            let (read, from) = listener.accept()?;
            // Another process may have connected first.
            if from == write.local_addr()? {
                write.set_nodelay(true)?;
                return Ok((write, read));
            }
        }
    }
}
