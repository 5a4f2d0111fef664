//! Answers to the server's PINGs, which wait for company while little is sent.
//!
//! Go's gRPC sends a PING with the first data that it receives after the last PING was answered. It learns from that how
//! much it may let the client send at once. So each small request makes the server send a packet, and its answer makes
//! it read one: with one call after another that takes a tenth of a call's time, and more CPU time than this client has
//! for the call. With little on its way to the server, what it learns is of no use.

use std::io::{self, IoSlice};
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// After this time an answer leaves with the next write, whatever that is.
const SOON: Duration = Duration::from_millis(10);

/// After this time it leaves without another write. Nobody waits that short a time for the answer to a PING.
const LATEST: Duration = Duration::from_millis(50);

/// With so many bytes written since the last answer, the server should learn how much it may let this client send.
const MUCH: usize = 32 * 1024;

/// For this long after that, each PING is answered at once.
const BUSY: Duration = Duration::from_secs(1);

/// A frame with 8 bytes, of the type PING, with the flag ACK, of no stream.
const HEAD: [u8; 9] = [0, 0, 8, 6, 1, 0, 0, 0, 0];
const PONG_BYTES: usize = HEAD.len() + 8;

/// A connection below HTTP/2.
pub struct LatePongs<S> {
    stream: S,
    /// The answer that waits. Only the bytes from `written` on are left of it.
    pong: [u8; PONG_BYTES],
    written: usize,
    since: Instant,
    alarm: Pin<Box<Sleep>>,
    alarm_set: bool,
    /// Bytes written since the last answer.
    sent: usize,
    busy_until: Instant,
}

impl<S: AsyncWrite + Unpin> LatePongs<S> {
    /// Must be called in the runtime's context.
    pub fn new(stream: S) -> Self {
        let now = Instant::now();
        Self {
            stream,
            pong: [0; PONG_BYTES],
            written: PONG_BYTES,
            since: now,
            alarm: Box::pin(sleep_until(now)),
            alarm_set: false,
            sent: 0,
            busy_until: now,
        }
    }

    fn waits(&self) -> bool {
        self.written < PONG_BYTES
    }

    fn is_due(&self) -> bool {
        // Half of a frame can't wait.
        self.waits() && (self.written > 0 || self.sent >= MUCH || self.since.elapsed() >= SOON)
    }

    fn hold(&mut self, pong: &[u8; PONG_BYTES], cx: &mut Context<'_>) {
        self.pong = *pong;
        self.written = 0;
        self.since = Instant::now();
        if !self.alarm_set {
            self.alarm.as_mut().reset(self.since + LATEST);
            self.alarm_set = true;
            // The alarm wakes whoever polls now. Its time can't have come.
            let _ = self.alarm.as_mut().poll(cx);
        }
    }

    /// Writes an answer that nothing was written after for too long. The alarm isn't moved for each answer.
    fn ring(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.alarm_set && self.alarm.as_mut().poll(cx).is_ready() {
            self.alarm_set = self.waits() && self.since.elapsed() < LATEST;
            if self.alarm_set {
                self.alarm.as_mut().reset(self.since + LATEST);
            } else if let Poll::Ready(written) = self.poll_write_pong(cx) {
                written?;
            }
        }
        Ok(())
    }

    fn poll_write_pong(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.waits() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pong[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
            self.sent = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes the answer, and then what fits of these in the same packet. Returns how much of them.
    fn poll_write_together(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let pong = &self.pong[self.written..];
        let pong_bytes = pong.len();
        let all: Vec<_> = iter::once(pong).chain(slices.iter().map(|slice| &**slice)).map(IoSlice::new).collect();
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &all))?;
        self.written += count.min(pong_bytes);
        self.sent = 0;
        Poll::Ready(Ok(count.saturating_sub(pong_bytes)))
    }

    fn has_sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= MUCH {
            self.busy_until = Instant::now() + BUSY;
        }
    }
}

/// The answer to a PING, if the write is nothing else.
fn pong_of(slices: &[IoSlice<'_>]) -> Option<[u8; PONG_BYTES]> {
    let [only] = slices else { return None };
    let pong = <[u8; PONG_BYTES]>::try_from(&**only).ok()?;
    pong.starts_with(&HEAD).then_some(pong)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for LatePongs<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.ring(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LatePongs<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let pong = pong_of(slices);
        if let Some(pong) = pong
            && !self.waits()
            && Instant::now() >= self.busy_until
        {
            self.hold(&pong, cx);
            return Poll::Ready(Ok(PONG_BYTES));
        }
        while self.is_due() {
            let count = ready!(self.poll_write_together(cx, slices))?;
            if count > 0 {
                self.has_sent(count);
                return Poll::Ready(Ok(count));
            }
        }
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        if pong.is_some() {
            self.sent = 0;
        } else {
            self.has_sent(count);
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_pong(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{sleep, timeout};

    use super::*;

    const PONG: [u8; PONG_BYTES] = [0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

    /// Time passes only while everything waits.
    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async { timeout(Duration::from_secs(20), test).await.unwrap() })
    }

    fn connected() -> (LatePongs<DuplexStream>, DuplexStream) {
        let (here, there) = duplex(1 << 20);
        (LatePongs::new(here), there)
    }

    /// What has arrived.
    async fn arrived(there: &mut DuplexStream) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        let count = timeout(Duration::from_millis(1), there.read(&mut bytes)).await.map_or(0, Result::unwrap);
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn leaves_with_the_first_write_after_a_while() {
        run(async {
            let (mut here, mut there) = connected();
            here.write_all(&PONG).await.unwrap();
            here.write_all(b"first").await.unwrap();
            assert_eq!(arrived(&mut there).await, b"first");
            sleep(SOON).await;
            assert!(arrived(&mut there).await.is_empty());
            here.write_all(b"second").await.unwrap();
            assert_eq!(arrived(&mut there).await, [&PONG, b"second".as_slice()].concat());
        });
    }

    #[test]
    fn leaves_alone_in_the_end() {
        run(async {
            let (mut here, mut there) = connected();
            // In the second round the alarm is set already, for an answer that has left.
            for _ in 0..2 {
                here.write_all(&PONG).await.unwrap();
                sleep(SOON).await;
                here.write_all(b"request").await.unwrap();
                here.write_all(&PONG).await.unwrap();
                assert_eq!(arrived(&mut there).await, [&PONG, b"request".as_slice()].concat());
                assert!(timeout(2 * LATEST, here.read_u8()).await.is_err());
                assert_eq!(arrived(&mut there).await, PONG);
            }
        });
    }

    #[test]
    fn an_answer_beside_one_that_waits_is_written() {
        run(async {
            let (mut here, mut there) = connected();
            here.write_all(&PONG).await.unwrap();
            here.write_all(&PONG).await.unwrap();
            assert_eq!(arrived(&mut there).await, PONG);
        });
    }

    #[test]
    fn with_much_to_send_it_leaves_at_once() {
        run(async {
            let (mut here, mut there) = connected();
            here.write_all(&PONG).await.unwrap();
            let much = vec![7; MUCH];
            here.write_all(&much).await.unwrap();
            here.write_all(b"more").await.unwrap();
            assert_eq!(arrived(&mut there).await, [&much, PONG.as_slice(), b"more"].concat());
            here.write_all(&PONG).await.unwrap();
            assert_eq!(arrived(&mut there).await, PONG);
            sleep(BUSY).await;
            here.write_all(&PONG).await.unwrap();
            assert!(arrived(&mut there).await.is_empty());
        });
    }

    #[test]
    fn only_answers_to_pings_wait() {
        run(async {
            let (mut here, mut there) = connected();
            let mut ping = PONG;
            ping[4] = 0;
            for frame in [&ping[..], &PONG[..16], &[PONG, PONG].concat()] {
                here.write_all(frame).await.unwrap();
                assert_eq!(arrived(&mut there).await, frame);
            }
        });
    }

    #[test]
    fn is_written_whole_where_there_is_no_room() {
        run(async {
            let (here, mut there) = duplex(5);
            let mut here = LatePongs::new(here);
            here.write_all(&PONG).await.unwrap();
            sleep(SOON).await;
            let writing = tokio::spawn(async move {
                here.write_all(b"a long request").await.unwrap();
                here
            });
            let mut bytes = [0; PONG_BYTES + 14];
            there.read_exact(&mut bytes).await.unwrap();
            assert_eq!(bytes.as_slice(), [&PONG, b"a long request".as_slice()].concat());
            let mut here = writing.await.unwrap();
            here.write_all(&PONG).await.unwrap();
            let ending = tokio::spawn(async move { here.shutdown().await });
            there.read_exact(&mut bytes[..PONG_BYTES]).await.unwrap();
            assert_eq!(bytes[..PONG_BYTES], PONG);
            ending.await.unwrap().unwrap();
        });
    }
}
