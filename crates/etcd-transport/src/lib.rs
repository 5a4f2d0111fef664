//! The native half of `@quiesce/etcd`'s transport: gRPC calls of raw message bytes for one napi env.
//!
//! JavaScript passes the commands of one turn of its event loop in one call ([`NativeTransport::submit`]), and takes
//! everything that has completed in one wake-up ([`NativeTransport::drain`]). The runtime's thread never waits for
//! JavaScript's thread.

mod calls;
mod channel;
mod code;
mod completions;
mod connect;
#[cfg(unix)]
mod direct;
pub mod frames;
mod host;
mod lease;
mod message;
mod reassembly;
mod shared_task;
mod status;
#[cfg(unix)]
mod uv;
mod wake;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use napi::bindgen_prelude::*;
use napi_derive::napi;
use owned_runtime::{OwnedRuntime, StartError};
use owned_runtime_napi::EnvRuntime;
use tokio::sync::mpsc::unbounded_channel;

use crate::calls::Service;
use crate::channel::Channel;
use crate::completions::Completions;
use crate::connect::dial::Direct;
use crate::connect::target::{KeepAlive, Options, Target};
use crate::connect::tls::Tls;
#[cfg(unix)]
use crate::direct::DirectReads;
use crate::frames::{Commands, Frames};
use crate::host::{OpenTransport, RuntimeSide};
use crate::lease::RuntimeLease;
use crate::reassembly::Message;
use crate::shared_task::SharedTask;
#[cfg(unix)]
use crate::uv::DirectReader;
use crate::wake::{EventLoopHold, WakeUp};

/// A drained queue with more bytes than this is returned to the allocator.
const KEPT_QUEUE: usize = 1 << 20;

/// With fewer calls in flight, the latency of a call matters. JavaScript's thread sends it itself, and reads its answer
/// ([`direct`]). With more calls, the runtime's thread is awake anyway, and saves JavaScript's thread that work.
const FEW: u32 = 16;

/// See `TlsOptions` in packages/etcd/src/transport/transport.ts.
#[napi(object)]
pub struct NativeTls {
    pub ca: Option<Uint8Array>,
    pub cert: Option<Uint8Array>,
    pub key: Option<Uint8Array>,
    pub server_name: Option<String>,
    pub skip_verification: bool,
}

impl From<NativeTls> for Tls {
    fn from(tls: NativeTls) -> Self {
        Self {
            ca: tls.ca.map(|pem| pem.to_vec()),
            identity: tls.cert.zip(tls.key).map(|(cert, key)| (cert.to_vec(), key.to_vec())),
            server_name: tls.server_name,
            skip_verification: tls.skip_verification,
        }
    }
}

/// See `TransportOptions` in packages/etcd/src/transport/transport.ts; all fields are filled in there.
#[napi(object)]
pub struct NativeOptions {
    pub endpoint: String,
    /// If absent, `setTls` gives them before the first connection.
    pub tls: Option<NativeTls>,
    pub keep_alive_interval_ms: Option<u32>,
    pub keep_alive_timeout_ms: u32,
    pub keep_alive_while_idle: bool,
    pub tcp_keep_alive_ms: u32,
    pub connect_timeout_ms: u32,
    /// Whether the host's event loop is libuv's.
    pub libuv: bool,
}

impl From<NativeOptions> for Options {
    fn from(options: NativeOptions) -> Self {
        let millis = |ms: u32| Duration::from_millis(ms.into());
        Self {
            endpoint: options.endpoint,
            tls: options.tls.map(Tls::from),
            keep_alive: options.keep_alive_interval_ms.map(|interval| KeepAlive {
                interval: millis(interval),
                timeout: millis(options.keep_alive_timeout_ms),
                while_idle: options.keep_alive_while_idle,
            }),
            tcp_keep_alive: (options.tcp_keep_alive_ms > 0).then(|| millis(options.tcp_keep_alive_ms)),
            connect_timeout: millis(options.connect_timeout_ms),
        }
    }
}

#[napi(module_exports)]
pub fn register(_exports: Object, env: Env) -> Result<()> {
    owned_runtime_napi::install(&env, OwnedRuntime::new("quiesce-etcd"))
}

/// One connection to one server, and the calls on it.
#[napi]
pub struct NativeTransport {
    open: OpenTransport,
    channel: Arc<Channel>,
    /// Set until the transport is closed, where this env's event loop can read answers.
    #[cfg(unix)]
    reader: Option<DirectReader>,
    /// Set until the transport is closed. napi keeps JavaScript's `wake` as long as this exists, and that keeps the
    /// transport.
    hold: Option<EventLoopHold>,
    in_flight: u32,
    referenced: bool,
    /// Long messages of the batch that was drained last, which are not in its frames.
    long: VecDeque<Message>,
    /// Long messages of the batch that will be submitted next, which are not in its commands.
    given: VecDeque<Bytes>,
}

#[napi]
impl NativeTransport {
    /// Starts the env's runtime unless it is running. Connects when the first call is made. Calls `wake` when there is
    /// something to drain.
    #[napi(constructor)]
    pub fn new(env: Env, options: NativeOptions, wake: Function<'_, (), ()>) -> Result<Self> {
        #[cfg(unix)]
        let direct = options.libuv.then(Arc::<DirectReads>::default);
        #[cfg(not(unix))]
        let direct = ();
        let target = Target::new(options.into()).map_err(|error| Error::new(Status::InvalidArg, error.to_string()))?;
        let runtime = EnvRuntime::current()?;
        let wake_up = WakeUp::new(env, &wake)?;
        let hold = wake_up.hold();
        let completions = Arc::new(Completions::new(Box::new(wake_up)));
        let channel = Channel::new(target, Direct::clone(&direct));
        let side = match RuntimeLease::new(runtime.clone()) {
            Ok(lease) => Some(serve(lease, channel.clone(), &completions)),
            // The calls stay unsettled.
            Err(StartError::Closed { .. }) => None,
            Err(error) => return Err(Error::from_reason(error.to_string())),
        };
        #[cfg(unix)]
        let reader = match (direct, &side) {
            (Some(direct), Some(side)) => {
                DirectReader::new(env, &wake, direct, side.service.clone(), side.lease.handle().clone())?
            }
            _ => None,
        };
        let open = OpenTransport::new(runtime, side, completions);
        Ok(Self {
            open,
            channel,
            #[cfg(unix)]
            reader,
            hold: Some(hold),
            in_flight: 0,
            referenced: true,
            long: VecDeque::new(),
            given: VecDeque::new(),
        })
    }

    /// Passes the first `length` bytes of a batch, which opens `opened` calls. False once closed.
    #[napi]
    pub fn submit(&mut self, env: Env, batch: &[u8], length: u32, opened: u32) -> Result<bool> {
        let batch = batch
            .get(..length as usize)
            .ok_or_else(|| Error::new(Status::InvalidArg, "the batch is shorter than its length"))?;
        let here = self.in_flight < FEW;
        let commands = Commands::new(Bytes::copy_from_slice(batch), mem::take(&mut self.given));
        #[cfg(unix)]
        if let Some(reader) = &self.reader
            && opened > 0
        {
            reader.want(self.in_flight + opened <= FEW);
        }
        if !self.open.submit(commands, here) {
            return Ok(false);
        }
        #[cfg(unix)]
        if let Some(reader) = &self.reader {
            reader.follow();
        }
        self.count(env, self.in_flight + opened)?;
        Ok(true)
    }

    /// Passes a message that is too long for the batch that will be submitted next.
    #[napi]
    pub fn give_long(&mut self, message: &[u8]) -> Result<()> {
        let framed = message::frame(message)
            .ok_or_else(|| Error::new(Status::InvalidArg, "a message can't be longer than 4 GiB"))?;
        self.given.push_back(framed);
        Ok(())
    }

    /// A batch of what has completed since the last drain; see [`completions::Batch`].
    #[napi]
    pub fn drain<'env>(&mut self, env: &'env Env) -> Result<BufferSlice<'env>> {
        let drained = self.open.completions().drain();
        self.count(*env, self.in_flight.saturating_sub(drained.ended))?;
        let Frames { bytes, long } = drained.frames;
        self.long = long;
        let frames = BufferSlice::copy_from(env, &bytes)?;
        if bytes.capacity() <= KEPT_QUEUE {
            self.open.completions().reuse(bytes);
        }
        Ok(frames)
    }

    /// Copies the next long message of the batch that was drained last into a buffer of the message's length.
    ///
    /// The buffer is JavaScript's. An external buffer over Rust's memory would save this copy. But if this client or
    /// its user marks such a buffer as untransferable, Node 24 and 26 abort at the env's end
    /// (scenarios/host-bugs/untransferable-external-buffer.mjs).
    #[napi]
    pub fn take_long(&mut self, mut into: Uint8Array) -> Result<()> {
        let message = self.long.pop_front().ok_or_else(|| Error::from_reason("the batch has no more long messages"))?;
        // SAFETY: this is JavaScript's thread, and nobody else knows the buffer yet.
        let mut rest = unsafe { into.as_mut() };
        if rest.len() != message.len() {
            return Err(Error::new(Status::InvalidArg, "the buffer is not of the message's length"));
        }
        for piece in message.pieces() {
            let (part, after) = rest.split_at_mut(piece.len());
            part.copy_from_slice(piece);
            rest = after;
        }
        Ok(())
    }

    /// Whether calls in flight keep the event loop alive. Initially they do.
    #[napi]
    pub fn set_referenced(&mut self, env: Env, referenced: bool) -> Result<()> {
        self.referenced = referenced;
        self.count(env, self.in_flight)
    }

    /// Retires the connection: new calls get another one. Calls in flight continue.
    #[napi]
    pub fn renew(&self) {
        self.channel.renew();
    }

    /// Sets other TLS options, for later connections.
    #[napi]
    pub fn set_tls(&self, tls: NativeTls) -> Result<()> {
        self.channel.set_tls(tls.into()).map_err(|error| Error::new(Status::InvalidArg, error.to_string()))
    }

    /// Whether there is a connection, or one is being made. If so, the next call makes none.
    #[napi]
    pub fn is_connected(&self) -> bool {
        self.channel.is_connected()
    }

    /// Ends all calls and the connection. The env's last transport joins the runtime's thread. After it returns,
    /// JavaScript is no longer called back. Idempotent.
    #[napi]
    pub fn close(&mut self, env: Env) -> Result<()> {
        self.count(env, 0)?;
        self.hold = None;
        #[cfg(unix)]
        drop(self.reader.take());
        self.long.clear();
        self.given.clear();
        self.open.close().map_err(|error| Error::from_reason(error.to_string()))
    }

    fn count(&mut self, env: Env, in_flight: u32) -> Result<()> {
        self.in_flight = in_flight;
        let held = self.referenced && in_flight > 0;
        self.hold.as_ref().map_or(Ok(()), |hold| hold.set(env, held))
    }
}

/// Starts a transport's work on its runtime.
fn serve(lease: RuntimeLease, channel: Arc<Channel>, completions: &Arc<Completions>) -> RuntimeSide {
    let (submit, batches) = unbounded_channel();
    let service = {
        let _context = lease.handle().enter();
        let woken = completions.clone();
        SharedTask::new(Service::new(channel, batches, completions.clone()), move || woken.wake_if_due())
    };
    lease.handle().spawn(service.run());
    RuntimeSide { lease, submit, service }
}
