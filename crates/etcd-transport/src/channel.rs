//! One HTTP/2 connection to one server. It is made when a call needs it, kept alive, and made again after it broke.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{PingPong, SendStream};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use tokio::sync::watch;

use crate::connect::dial::{DialError, Direct, Io, dial};
use crate::connect::pongs::LatePongs;
use crate::connect::target::{InvalidOptions, KeepAlive, Target};
use crate::connect::tls::Tls;

/// How many bytes a server may send on one stream before they are read.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// The largest possible window, so that streams that aren't read hold back only themselves.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;

/// The limit for a response's headers, and for its trailers. It is more than any server sends, and less than the
/// framing to JavaScript can encode.
const MOST_HEADER_BYTES: u32 = 1 << 20;
/// The number of streams that a server allows before it has reported one. No server can report this number.
const UNSAID: usize = usize::MAX - 1;

/// The connection that all calls of a transport share.
pub struct Channel {
    target: Target,
    direct: Direct,
    state: Mutex<State>,
}

struct State {
    link: Link,
    /// Drivers that make and drive a connection, and wait to be run.
    begun: Vec<Driver>,
    closed: bool,
}

/// What HTTP/2 writes to and reads from.
type Stream = LatePongs<Box<dyn Io>>;

/// Makes a connection and moves its bytes until it ends.
pub type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Link {
    /// Nothing is connected.
    Idle,
    Connecting(watch::Receiver<Option<Arc<DialError>>>),
    Open(Open),
}

/// An open connection, in the view of a call.
#[derive(Clone)]
struct Open {
    requests: SendRequest<Bytes>,
    health: Arc<Health>,
}

/// What keepalive and calls report to each other about a connection.
pub struct Health {
    since: Instant,
    calls: AtomicUsize,
    /// When the server last sent something to a call: microseconds after `since`.
    heard: AtomicU64,
    /// Why the connection was given up, where this side decided that.
    given_up: Mutex<Option<String>>,
}

impl Default for Health {
    fn default() -> Self {
        Self { since: Instant::now(), calls: AtomicUsize::new(0), heard: AtomicU64::new(0), given_up: Mutex::new(None) }
    }
}

impl Health {
    /// Something has arrived from the server.
    pub fn heard(&self) {
        // In half a million years, a number that is too large becomes a smaller one.
        self.heard.store(self.since.elapsed().as_micros() as u64, Ordering::Relaxed);
    }

    fn last_heard(&self) -> Instant {
        self.since + Duration::from_micros(self.heard.load(Ordering::Relaxed))
    }

    pub fn given_up(&self) -> Option<String> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn give_up(&self, why: String) {
        *self.given_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

/// Counts a call for as long as it lives.
pub struct CallOf(pub Arc<Health>);

impl CallOf {
    fn new(health: Arc<Health>) -> Self {
        health.calls.fetch_add(1, Ordering::Relaxed);
        Self(health)
    }
}

impl Drop for CallOf {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request whose head is on its way.
pub struct Sent {
    pub response: ResponseFuture,
    pub body: SendStream<Bytes>,
    pub call: CallOf,
}

/// Why a request could not be started. In either case nothing was sent.
pub enum NotSent {
    NoConnection(Arc<DialError>),
    Broken(h2::Error),
}

impl Channel {
    /// `direct` may read the connections' sockets.
    pub fn new(target: Target, direct: Direct) -> Arc<Self> {
        let state = State { link: Link::Idle, begun: Vec::new(), closed: false };
        Arc::new(Self { target, direct, state: Mutex::new(state) })
    }

    /// Makes no more connections. Existing connections end with their drivers.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.link = Link::Idle;
        state.begun.clear();
    }

    /// Retires the open connection, so that new calls get another one. Calls on it continue, and it ends with the last
    /// of them.
    pub fn renew(&self) {
        let mut state = self.state();
        if matches!(state.link, Link::Open(_)) {
            state.link = Link::Idle;
        }
    }

    /// The drivers that were begun since the last call of this function. They must be run so that the calls make
    /// progress.
    pub fn begun(&self) -> Vec<Driver> {
        mem::take(&mut self.state().begun)
    }

    /// Sends the head of a request, over the existing connection or a new one.
    pub async fn send(self: &Arc<Self>, method: PathAndQuery, headers: HeaderMap) -> Result<Sent, NotSent> {
        let (mut requests, health) = self.ready().await?;
        let (response, body) = requests.send_request(self.request(method, headers), false).map_err(NotSent::Broken)?;
        Ok(Sent { response, body, call: CallOf::new(health) })
    }

    /// A connection that accepts a request now. An unused connection may have ended, which is noticed only here. Then a
    /// new one is tried once.
    async fn ready(self: &Arc<Self>) -> Result<(SendRequest<Bytes>, Arc<Health>), NotSent> {
        let Open { requests, health } = self.open().await?;
        if let Ok(requests) = requests.ready().await {
            return Ok((requests, health));
        }
        self.leave(&health);
        let Open { requests, health } = self.open().await?;
        Ok((requests.ready().await.map_err(NotSent::Broken)?, health))
    }

    fn request(&self, method: PathAndQuery, mut headers: HeaderMap) -> Request<()> {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("quiesce-etcd/", env!("CARGO_PKG_VERSION"))));
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.target.scheme.clone());
        uri.authority = Some(self.target.authority.clone());
        uri.path_and_query = Some(method);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        // The parts are complete, so this can't fail. If it did, the server would refuse the request.
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *request.headers_mut() = headers;
        request
    }

    /// The open connection. While it is being made, all waiting calls share one attempt, and its failure.
    async fn open(self: &Arc<Self>) -> Result<Open, NotSent> {
        loop {
            let mut attempt = {
                let mut state = self.state();
                if state.closed {
                    return Err(no_attempt());
                }
                match &state.link {
                    Link::Open(open) => return Ok(open.clone()),
                    Link::Connecting(attempt) => attempt.clone(),
                    Link::Idle => self.connect(&mut state),
                }
            };
            if attempt.changed().await.is_err() {
                // The attempt was aborted, or died. The next call makes another one.
                let mut state = self.state();
                if matches!(&state.link, Link::Connecting(current) if current.same_channel(&attempt)) {
                    state.link = Link::Idle;
                }
                return Err(no_attempt());
            }
            // An attempt that ended without a failure has left its connection in the state.
            if let Some(error) = &*attempt.borrow() {
                return Err(NotSent::NoConnection(error.clone()));
            }
        }
    }

    fn connect(self: &Arc<Self>, state: &mut State) -> watch::Receiver<Option<Arc<DialError>>> {
        let (report, attempt) = watch::channel(None);
        state.link = Link::Connecting(attempt.clone());
        let channel = self.clone();
        state.begun.push(Box::pin(async move {
            let health = Arc::new(Health::default());
            match channel.dial().await {
                Err(error) => {
                    channel.state().link = Link::Idle;
                    let _ = report.send(Some(Arc::new(error)));
                }
                Ok((requests, connection)) => {
                    channel.state().link = Link::Open(Open { requests, health: health.clone() });
                    let _ = report.send(None);
                    drive(connection, channel.target.keep_alive, &health).await;
                    channel.leave(&health);
                }
            }
        }));
        attempt
    }

    async fn dial(&self) -> Result<(SendRequest<Bytes>, Connection<Stream, Bytes>), DialError> {
        let bound = self.target.connect_timeout;
        let connecting = async {
            let io = LatePongs::new(dial(&self.target, &self.direct).await?);
            let (requests, mut connection) = h2::client::Builder::new()
                .enable_push(false)
                .initial_max_send_streams(UNSAID)
                .max_header_list_size(MOST_HEADER_BYTES)
                .initial_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                // h2 counts the frames that were on their way when their call was cancelled: those of a call that it has
                // forgotten, and small ones of others. It would close the connection after 1,024, or some millions. That
                // protects servers from clients; here it would end the calls of others.
                .max_local_error_reset_streams(None)
                .data_frame_budget(usize::MAX)
                .handshake(io)
                .await
                .map_err(DialError::Http2)?;
            greeting(&mut connection).await?;
            Ok((requests, connection))
        };
        match tokio::time::timeout(bound, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(DialError::TimedOut(bound)),
        }
    }

    /// Sets other TLS options, for later connections.
    pub fn set_tls(&self, tls: Tls) -> Result<(), InvalidOptions> {
        self.target.set_tls(tls)
    }

    /// Whether there is a connection, or one is being made.
    pub fn is_connected(&self) -> bool {
        !matches!(self.state().link, Link::Idle)
    }

    /// No new calls are made on this connection.
    fn leave(&self, health: &Arc<Health>) {
        let mut state = self.state();
        if matches!(&state.link, Link::Open(open) if Arc::ptr_eq(&open.health, health)) {
            state.link = Link::Idle;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the server's SETTINGS, which a server sends first. A server that sends none may be frozen, or speak
/// something else. Then it is useful to know that nothing was sent.
async fn greeting(connection: &mut Connection<Stream, Bytes>) -> Result<(), DialError> {
    poll_fn(|cx| match Pin::new(&mut *connection).poll(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Err(DialError::HungUp)),
        Poll::Ready(Err(error)) => Poll::Ready(Err(DialError::Http2(error))),
        Poll::Pending if connection.max_concurrent_send_streams() == UNSAID => Poll::Pending,
        Poll::Pending => Poll::Ready(Ok(())),
    })
    .await
}

fn no_attempt() -> NotSent {
    NotSent::NoConnection(Arc::new(DialError::Connect(std::io::ErrorKind::NotConnected.into())))
}

/// Moves the connection's bytes until it ends. Each call learns the reason for the end through its own stream.
async fn drive(mut connection: Connection<Stream, Bytes>, keep_alive: Option<KeepAlive>, health: &Health) {
    let pings = connection.ping_pong();
    let (Some(keep_alive), Some(pings)) = (keep_alive, pings) else {
        let _ = connection.await;
        return;
    };
    tokio::select! {
        _ = &mut connection => {}
        why = ping(pings, keep_alive, health) => health.give_up(why),
    }
}

/// Pings a silent server. Ends, with the reason, when the server has not answered in time.
async fn ping(mut pings: PingPong, keep_alive: KeepAlive, health: &Health) -> String {
    let mut quiet_since = Instant::now();
    loop {
        tokio::time::sleep_until((quiet_since + keep_alive.interval).into()).await;
        let heard = health.last_heard();
        if heard > quiet_since {
            quiet_since = heard;
            continue;
        }
        if health.calls.load(Ordering::Relaxed) == 0 && !keep_alive.while_idle {
            quiet_since = Instant::now();
            continue;
        }
        match tokio::time::timeout(keep_alive.timeout, pings.ping(h2::Ping::opaque())).await {
            Ok(Ok(_)) => quiet_since = Instant::now(),
            // The connection has ended by itself, and its driver has ended with it.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => return no_answer(keep_alive.timeout),
        }
    }
}

fn no_answer(timeout: Duration) -> String {
    format!("keepalive: no answer to a PING within {} ms", timeout.as_millis())
}
