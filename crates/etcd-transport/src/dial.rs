//! Makes one connection: address look-up, TCP or a Unix socket, TLS.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::thread;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use crate::target::{Address, Target};

/// A connection, whatever it goes over.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    Lookup(io::Error),
    Connect(io::Error),
    Tls(io::Error),
    /// The server speaks TLS, and no HTTP/2 on it.
    NoHttp2,
    /// The HTTP/2 connection could not be set up.
    Http2(h2::Error),
    /// The server hung up before its SETTINGS.
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

/// Connects to the target, without a bound of its own.
pub async fn dial(target: &Target) -> Result<Box<dyn Io>, DialError> {
    let plain: Box<dyn Io> = match &target.address {
        Address::Tcp { host, port } => Box::new(tcp(target, host, *port).await?),
        Address::Unix(path) => unix(path).await?,
    };
    let Some((config, name)) = &target.tls else { return Ok(plain) };
    let stream = TlsConnector::from(config.clone()).connect(name.clone(), plain).await.map_err(DialError::Tls)?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(DialError::NoHttp2);
    }
    Ok(Box::new(stream))
}

async fn tcp(target: &Target, host: &str, port: u16) -> Result<TcpStream, DialError> {
    let addresses = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => lookup(host.to_owned(), port).await.map_err(DialError::Lookup)?,
    };
    let stream = TcpStream::connect(addresses.as_slice()).await.map_err(DialError::Connect)?;
    // Neither is worth a connection that works.
    let _ = stream.set_nodelay(true);
    if let Some(idle) = target.tcp_keep_alive {
        let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(idle));
    }
    Ok(stream)
}

#[cfg(unix)]
async fn unix(path: &str) -> Result<Box<dyn Io>, DialError> {
    Ok(Box::new(tokio::net::UnixStream::connect(path).await.map_err(DialError::Connect)?))
}

#[cfg(not(unix))]
async fn unix(_path: &str) -> Result<Box<dyn Io>, DialError> {
    Err(DialError::Connect(io::Error::new(io::ErrorKind::Unsupported, "no Unix sockets on this system")))
}

/// The system's resolver has no way to be cancelled and may take many seconds, for which the end of the runtime must
/// not wait. So it runs on a thread of its own that nobody joins: it calls the C library alone, nothing of the host,
/// and gives its answer to a channel that may be closed by then.
async fn lookup(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let (answer, answered) = oneshot::channel();
    thread::Builder::new().name("quiesce-dns".to_owned()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(|addresses| addresses.collect());
        let _ = answer.send(found);
    })?;
    answered.await.unwrap_or_else(|_| Err(io::Error::other("the look-up ended without an answer")))
}
