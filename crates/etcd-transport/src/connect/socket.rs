//! The bytes of a connection whose answers JavaScript's thread may read itself ([`crate::direct`]).

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::direct::{DirectReads, Reading};

/// A connection that the server has closed is an error, not a signal. Elsewhere the socket itself has this option.
const NO_SIGNAL: i32 = if cfg!(target_os = "linux") { libc::MSG_NOSIGNAL } else { 0 };

/// A connection's socket, shared with who waits for it on JavaScript's thread.
pub struct SharedSocket(Socket);

impl SharedSocket {
    fn read(&self, into: &mut ReadBuf<'_>) -> io::Result<usize> {
        // SAFETY: what is initialized isn't made uninitialized.
        let count = self.0.recv(unsafe { into.unfilled_mut() })?;
        // SAFETY: so many bytes were written there.
        unsafe { into.assume_init(count) };
        into.advance(count);
        Ok(count)
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send_vectored_with_flags(slices, NO_SIGNAL)
    }
}

impl AsRawFd for SharedSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A connected socket. Mostly the runtime waits for it. While it is lent to JavaScript's thread, it isn't registered with
/// the runtime, whose thread would be woken as well.
pub struct DirectSocket {
    socket: Arc<SharedSocket>,
    /// `None` while it is lent.
    registered: Option<AsyncFd<Arc<SharedSocket>>>,
    direct: Arc<DirectReads>,
}

impl DirectSocket {
    /// The socket must be non-blocking. Must be called in the runtime's context.
    pub fn new(socket: Socket, direct: Arc<DirectReads>) -> io::Result<Self> {
        let socket = Arc::new(SharedSocket(socket));
        let registered = Some(register(&socket)?);
        Ok(Self { socket, registered, direct })
    }

    /// The runtime waits for it from now on.
    fn registered(&mut self) -> io::Result<&AsyncFd<Arc<SharedSocket>>> {
        match &mut self.registered {
            Some(registered) => Ok(registered),
            lent => {
                self.direct.take_back(&self.socket);
                Ok(lent.insert(register(&self.socket)?))
            }
        }
    }

    /// Reads as long as the socket is lent. `None` if it no longer is.
    fn read_lent(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Option<Poll<io::Result<()>>> {
        loop {
            match self.direct.poll(&self.socket, cx) {
                Reading::Returned => return None,
                Reading::Later => return Some(Poll::Pending),
                Reading::Now => match self.socket.read(into) {
                    Ok(count) => {
                        self.direct.has_read(&self.socket, count, count == 0 || into.remaining() == 0);
                        return Some(Poll::Ready(Ok(())));
                    }
                    Err(error) if is_pending(&error) => self.direct.has_read(&self.socket, 0, false),
                    Err(error) => return Some(Poll::Ready(Err(error))),
                },
            }
        }
    }
}

/// Must be called in the runtime's context.
fn register(socket: &Arc<SharedSocket>) -> io::Result<AsyncFd<Arc<SharedSocket>>> {
    // SAFETY: the socket owns its file descriptor, which stays open and the same as long as this reference exists.
    Ok(unsafe { AsyncFd::register(socket.clone()) }?)
}

fn is_pending(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl AsyncRead for DirectSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.registered.is_some() && self.direct.lend(&self.socket) {
            self.registered = None;
        }
        if self.registered.is_none()
            && let Some(read) = self.read_lent(cx, into)
        {
            return read;
        }
        let registered = self.registered()?;
        loop {
            let mut ready = ready!(registered.poll_read_ready(cx))?;
            let room = into.remaining();
            match ready.try_io(|registered| registered.get_ref().read(into)) {
                Ok(Ok(count)) => {
                    // After a short read the kernel reports what arrives, as tokio's own streams know.
                    if (1..room).contains(&count) {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if is_pending(&error) => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for DirectSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.registered.is_none() {
            match self.socket.write(slices) {
                Err(error) if is_pending(&error) => {}
                written => return Poll::Ready(written),
            }
        }
        // Only the runtime waits until there is room.
        let registered = self.registered()?;
        loop {
            let mut ready = ready!(registered.poll_write_ready(cx))?;
            match ready.try_io(|registered| registered.get_ref().write(slices)) {
                Ok(Err(error)) if is_pending(&error) => {}
                Ok(written) => return Poll::Ready(written),
                Err(_would_block) => {}
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.socket.0.shutdown(Shutdown::Write) {
            // The other end has closed the connection.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            shut => shut,
        })
    }
}

impl Drop for DirectSocket {
    fn drop(&mut self) {
        self.registered = None;
        self.direct.take_back(&self.socket);
        if Arc::strong_count(&self.socket) > 1 {
            // JavaScript's thread still holds it. This ends the connection nevertheless, and wakes that thread.
            let _ = self.socket.0.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};
    use std::time::{Duration, Instant};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// More than enough calls for JavaScript's thread to take the socket.
    const CALLS: usize = 10;

    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.unwrap() })
    }

    /// For tests that never wait, in which no time passes.
    fn run_without_time<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(test)
    }

    /// A connection's socket, what decides who waits for it, and the other end.
    fn connected() -> (DirectSocket, Arc<DirectReads>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        here.set_nonblocking(true).unwrap();
        let there = listener.accept().unwrap().0;
        there.set_nodelay(true).unwrap();
        let direct = Arc::new(DirectReads::default());
        (DirectSocket::new(here.into(), direct.clone()).unwrap(), direct, there)
    }

    /// A connection whose socket JavaScript's thread waits for.
    async fn lent() -> (DirectSocket, Arc<DirectReads>, TcpStream, Arc<SharedSocket>) {
        let (mut socket, direct, there) = connected();
        let watched = take(&mut socket, &direct).await.unwrap();
        (socket, direct, there, watched)
    }

    /// What JavaScript's thread does for some calls, until it gets the socket.
    async fn take(socket: &mut DirectSocket, direct: &DirectReads) -> Option<Arc<SharedSocket>> {
        for _ in 0..CALLS {
            direct.want(true);
            assert!(read_now(socket).await.is_none());
            if let Some(watched) = direct.begun() {
                return Some(watched);
            }
        }
        None
    }

    /// What one poll reads.
    async fn read_now(socket: &mut DirectSocket) -> Option<Vec<u8>> {
        let mut bytes = [0; 1024];
        poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = Pin::new(&mut *socket).poll_read(cx, &mut buffer).map(Result::unwrap);
            Poll::Ready(read.is_ready().then(|| buffer.filled().to_vec()))
        })
        .await
    }

    #[test]
    fn is_lent_after_several_calls_and_read_when_it_is_readable() {
        run_without_time(async {
            let (mut socket, direct, mut there) = connected();
            direct.want(true);
            assert!(read_now(&mut socket).await.is_none());
            assert!(direct.begun().is_none(), "lent for a single call");
            let watched = take(&mut socket, &direct).await.unwrap();
            assert!(direct.begun().is_none(), "it waits already");
            there.write_all(b"answer").unwrap();
            // It isn't looked for before JavaScript's thread says so.
            tokio::task::yield_now().await;
            assert!(read_now(&mut socket).await.is_none());
            assert!(direct.readable(&watched));
            assert_eq!(read_now(&mut socket).await.unwrap(), b"answer");
            assert!(read_now(&mut socket).await.is_none());
        });
    }

    #[test]
    fn is_not_lent_while_nobody_looks() {
        run_without_time(async {
            let (mut socket, direct, _there) = connected();
            for _ in 0..CALLS {
                direct.want(true);
                assert!(direct.begun().is_none());
            }
            assert!(read_now(&mut socket).await.is_none());
            assert!(socket.registered.is_some());
        });
    }

    #[test]
    fn its_readers_waker_is_woken() {
        struct Counter(AtomicU32);
        impl Wake for Counter {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        run_without_time(async {
            let (mut socket, direct, _there, watched) = lent().await;
            let woken = Arc::new(Counter(AtomicU32::new(0)));
            let waker = Waker::from(woken.clone());
            let mut bytes = [0; 8];
            let mut poll = || {
                let mut buffer = ReadBuf::new(&mut bytes);
                Pin::new(&mut socket).poll_read(&mut Context::from_waker(&waker), &mut buffer).is_pending()
            };
            assert!(poll());
            assert!(direct.readable(&watched));
            assert_eq!(woken.0.load(Ordering::Relaxed), 1);
            assert!(poll());
            direct.want(false);
            assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        });
    }

    #[test]
    fn the_runtime_reads_when_the_other_thread_is_busy() {
        run(async {
            let (mut socket, direct, mut there, watched) = lent().await;
            there.write_all(b"answer").unwrap();
            let begun = Instant::now();
            let mut bytes = [0; 6];
            socket.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"answer");
            assert!(begun.elapsed() < Duration::from_secs(5));
            assert!(!direct.readable(&watched), "both wait for it");
        });
    }

    #[test]
    fn stays_lent_while_it_is_read() {
        run(async {
            let (mut socket, direct, mut there, watched) = lent().await;
            let mut since = Instant::now();
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                there.write_all(b"a").unwrap();
                let still = direct.readable(&watched);
                assert_eq!(socket.read_u8().await.unwrap(), b'a');
                if since.elapsed() > Duration::from_millis(80) {
                    // The machine is too busy to tell.
                    return;
                }
                assert!(still, "taken back");
                since = Instant::now();
            }
        });
    }

    #[test]
    fn the_runtime_reads_when_many_calls_are_in_flight() {
        run(async {
            let (mut socket, direct, mut there, watched) = lent().await;
            direct.want(false);
            there.write_all(b"a").unwrap();
            assert_eq!(socket.read_u8().await.unwrap(), b'a');
            assert!(!direct.readable(&watched));
            assert!(direct.begun().is_none());
            // Several calls later it is lent again.
            assert!(take(&mut socket, &direct).await.is_some());
        });
    }

    #[test]
    fn the_runtime_reads_the_rest_of_what_is_much() {
        run(async {
            const MUCH: usize = 1 << 20;
            const PART: usize = 4096;
            let (mut socket, direct, mut there, watched) = lent().await;
            let writer = std::thread::spawn(move || there.write_all(&vec![7; MUCH]).map(|()| there));
            let mut bytes = vec![0; MUCH];
            let mut read = 0;
            while read <= MUCH / 2 {
                let _ = direct.readable(&watched);
                // A part of what may be read for one wake-up.
                for _ in 0..16 {
                    match tokio::time::timeout(Duration::ZERO, socket.read(&mut bytes[read..][..PART])).await {
                        Ok(count) => read += count.unwrap(),
                        Err(_) => break,
                    }
                }
            }
            assert!(direct.readable(&watched), "taken back although it was woken for each part");
            while read < MUCH {
                let end = MUCH.min(read + PART);
                read += socket.read(&mut bytes[read..end]).await.unwrap();
            }
            assert!(!direct.readable(&watched), "half a MiB was read for one wake-up");
            assert!(bytes.iter().all(|&byte| byte == 7));
            writer.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_full_socket_is_written_by_the_runtime() {
        run(async {
            const MUCH: usize = 64 << 20;
            let (mut socket, _direct, mut there, _watched) = lent().await;
            let reader = std::thread::spawn(move || {
                let mut rest = vec![0; MUCH];
                there.read_exact(&mut rest).map(|()| there)
            });
            socket.write_all(&vec![7; MUCH]).await.unwrap();
            assert!(reader.join().unwrap().is_ok());
        });
    }

    #[test]
    fn its_end_is_the_connections_end() {
        run_without_time(async {
            let (socket, direct, mut there, watched) = lent().await;
            there.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            drop(socket);
            assert_eq!(there.read(&mut [0; 8]).unwrap(), 0);
            assert!(!direct.readable(&watched));
        });
    }

    #[test]
    fn the_other_ends_end_is_read() {
        run(async {
            let (mut socket, direct, there, watched) = lent().await;
            drop(there);
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(direct.readable(&watched));
            assert_eq!(read_now(&mut socket).await.unwrap(), b"");
        });
    }

    #[test]
    fn only_one_connection_lends_its_socket() {
        run(async {
            let (_lent, direct, _there, watched) = lent().await;
            let (mut other, _, mut other_end) = connected();
            other.direct = direct.clone();
            direct.want(true);
            other_end.write_all(b"a").unwrap();
            assert_eq!(other.read_u8().await.unwrap(), b'a');
            assert!(direct.begun().is_none());
            drop(other);
            assert!(direct.readable(&watched));
        });
    }
}
