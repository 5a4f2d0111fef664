//! Makes one connection: address look-up, TCP or a Unix socket, TLS.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice};
use std::iter;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
#[cfg(unix)]
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::{TlsConnector, rustls};

#[cfg(unix)]
use crate::connect::socket::DirectSocket;
use crate::connect::target::{Address, Target};
#[cfg(unix)]
use crate::direct::DirectReads;

/// How long one address is tried alone: RFC 8305's Connection Attempt Delay.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connection, over any kind of stream.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Who else may read a connection's socket.
#[cfg(unix)]
pub type Direct = Option<Arc<DirectReads>>;
#[cfg(not(unix))]
pub type Direct = ();

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    Lookup(io::Error),
    Connect(io::Error),
    Tls(io::Error),
    /// The server speaks TLS, but offers no HTTP/2 on it.
    NoHttp2,
    /// The HTTP/2 connection could not be set up.
    Http2(h2::Error),
    /// The server closed the connection before it sent its SETTINGS.
    HungUp,
    TimedOut(std::time::Duration),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup(error) => write!(f, "dns error: {error}"),
            Self::Connect(error) => write!(f, "connect error: {error}"),
            Self::Tls(error) => write!(f, "TLS handshake: {error}"),
            Self::NoHttp2 => f.write_str("the server's TLS offers no HTTP/2"),
            Self::Http2(error) => write!(f, "HTTP/2 handshake: {error}"),
            Self::HungUp => f.write_str("HTTP/2 handshake: the server closed the connection"),
            Self::TimedOut(bound) => write!(f, "connect timeout: no connection within {} ms", bound.as_millis()),
        }
    }
}

impl Error for DialError {}

/// Connects to the target, without a time limit. `direct` may read the connection's socket.
pub async fn dial(target: &Target, direct: &Direct) -> Result<Box<dyn Io>, DialError> {
    let plain: Box<dyn Io> = match &target.address {
        Address::Tcp { host, port } => readable_by(direct, tcp(target, host, *port).await?, TcpStream::into_std)?,
        Address::Unix(path) => unix(path, direct).await?,
    };
    let Some(secured) = target.tls() else { return Ok(plain) };
    let Some((config, name)) = secured else {
        return Err(DialError::Tls(io::Error::other("no TLS options were given yet")));
    };
    let stream = TlsConnector::from(config).connect(name, plain).await.map_err(DialError::Tls)?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(DialError::NoHttp2);
    }
    Ok(Box::new(LastWords { stream, failed: None }))
}

/// TLS whose failed writes report what the server has sent. A server that refuses the client's certificate reports that
/// after the handshake and hangs up. A write may fail because of that before the alert is read.
struct LastWords<S> {
    stream: S,
    /// How a write has failed. What arrived before that is still to be read. The runtime may not have noticed it yet.
    failed: Option<io::Error>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> LastWords<S> {
    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.failed.is_none() {
            match write(Pin::new(&mut self.stream), cx) {
                Poll::Ready(Err(error)) => self.failed = Some(error),
                written => return written,
            }
        }
        Poll::Ready(Err(ready!(self.last_words(cx))))
    }

    fn last_words(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mut bytes = [0; 1024];
        let said = loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                // The connection has failed, and nobody will read these bytes.
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) => break None,
                Err(error) => break is_alert(&error).then_some(error),
            }
        };
        let failed = self.failed.take();
        Poll::Ready(said.or(failed).unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))
    }
}

fn is_alert(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::AlertReceived(_)))
}

impl<S: AsyncRead + Unpin> AsyncRead for LastWords<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LastWords<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

async fn tcp(target: &Target, host: &str, port: u16) -> Result<TcpStream, DialError> {
    let addresses = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => lookup(host.to_owned(), port).await.map_err(DialError::Lookup)?,
    };
    let stream = connect_any(addresses).await.map_err(DialError::Connect)?;
    // A failure of either option is not a reason to give up a working connection.
    let _ = stream.set_nodelay(true);
    if let Some(idle) = target.tcp_keep_alive {
        let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(idle));
    }
    Ok(stream)
}

/// Connects to the first of a host's addresses that answers. The next address is tried when one fails, and in parallel
/// when one takes long. So an address that swallows packets doesn't use up the time of the others (RFC 8305; Go's
/// dialer does this between IPv6 and IPv4). The error is the first one that occurred.
async fn connect_any(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = families_in_turn(addresses).into_iter();
    // Not separate tasks: the runtime's end would cancel them before the transport, and the transport would report
    // that.
    let mut attempts = FuturesUnordered::new();
    let mut failure = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(TcpStream::connect(address));
        }
        tokio::select! {
            attempt = attempts.next() => match attempt {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => { failure.get_or_insert(error); }
                None => return Err(failure.unwrap_or_else(|| io::Error::other("the host has no address"))),
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if waiting.len() > 0 => {}
        }
    }
}

/// IPv6 and IPv4 alternately, beginning with the resolver's first choice.
fn families_in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut others = others.into_iter();
    let mut turns: Vec<_> =
        preferred.into_iter().flat_map(|address| iter::once(address).chain(others.next())).collect();
    turns.extend(others);
    turns
}

#[cfg(unix)]
async fn unix(path: &str, direct: &Direct) -> Result<Box<dyn Io>, DialError> {
    use tokio::net::UnixStream;
    let stream = UnixStream::connect(path).await.map_err(DialError::Connect)?;
    readable_by(direct, stream, UnixStream::into_std)
}

/// The stream, which JavaScript's thread may read where it can.
#[cfg(unix)]
fn readable_by<S: Io + 'static, Std: Into<socket2::Socket>>(
    direct: &Direct,
    stream: S,
    into_std: impl FnOnce(S) -> io::Result<Std>,
) -> Result<Box<dyn Io>, DialError> {
    let Some(direct) = direct else { return Ok(Box::new(stream)) };
    let socket = into_std(stream).and_then(|stream| DirectSocket::new(stream.into(), direct.clone()));
    Ok(Box::new(socket.map_err(DialError::Connect)?))
}

#[cfg(not(unix))]
fn readable_by<S: Io + 'static, Std>(
    (): &Direct,
    stream: S,
    _into_std: impl FnOnce(S) -> io::Result<Std>,
) -> Result<Box<dyn Io>, DialError> {
    Ok(Box::new(stream))
}

#[cfg(not(unix))]
async fn unix(_path: &str, (): &Direct) -> Result<Box<dyn Io>, DialError> {
    Err(DialError::Connect(io::Error::new(io::ErrorKind::Unsupported, "no Unix sockets on this system")))
}

/// The system's resolver can't be cancelled and may take many seconds, and the end of the runtime must not wait for it.
/// So it runs on a separate thread that nobody joins. The thread calls only the C library, and nothing of the host. It
/// sends its answer to a channel that may be closed by then.
async fn lookup(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let (answer, answered) = oneshot::channel();
    thread::Builder::new().name("quiesce-dns".to_owned()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(|addresses| addresses.collect());
        let _ = answer.send(found);
    })?;
    answered.await.unwrap_or_else(|_| Err(io::Error::other("the look-up ended without an answer")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), test).await.unwrap() })
    }

    fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn refusing() -> SocketAddr {
        listening().1
    }

    /// A server whose queue of connections is full. Linux drops further connections, as a firewall would.
    #[cfg(target_os = "linux")]
    fn silent() -> (socket2::Socket, SocketAddr, Vec<socket2::Socket>) {
        use socket2::{Domain, Socket, Type};
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let fill = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address);
            socket
        };
        let filling = (0..8).map(|_| fill()).collect();
        (listener, address.as_socket().unwrap(), filling)
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_address_that_swallows_packets_does_not_hold_up_the_next() {
        let (_listener, silent, _filling) = silent();
        let (_other, works) = listening();
        run(async {
            let alone = tokio::time::timeout(Duration::from_millis(500), connect_any(vec![silent])).await;
            assert!(alone.is_err(), "it answers: {alone:?}");
            assert_eq!(connect_any(vec![silent, works]).await.unwrap().peer_addr().unwrap(), works);
        });
    }

    #[test]
    fn the_next_address_is_tried_when_one_refuses_and_the_first_error_is_reported() {
        let (_listener, works) = listening();
        run(async {
            let stream = connect_any(vec![refusing(), refusing(), works]).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), works);
            let error = connect_any(vec![refusing(), refusing()]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            assert!(connect_any(Vec::new()).await.is_err());
        });
    }

    #[test]
    fn families_take_turns() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let [a, b, c, d] = ["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1"].map(address);
        assert_eq!(families_in_turn(vec![a, b, c, d]), [a, d, b, c]);
        assert_eq!(families_in_turn(vec![d, a, b]), [d, a, b]);
    }
}
