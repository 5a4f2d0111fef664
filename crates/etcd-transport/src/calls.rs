//! Carries out commands as gRPC calls, each a task on the runtime, and tells what became of them.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::Streaming;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tower_service::Service;

use crate::codec::BytesCodec;
use crate::completions::Completions;
use crate::frames::{
    CallEnd, CallId, CallStart, Command, Commands, put_end, put_headers, put_message, put_sent, put_unary_ok,
};
use crate::status::{ended, failure};

/// Messages of a stream that may wait for its reader before the server is held back.
/// The JavaScript side gives credit back in halves of it.
pub const STREAM_WINDOW: usize = 16;

/// Runs the commands of one transport until its sender is dropped; then ends all its calls.
pub async fn serve(channel: Channel, mut batches: UnboundedReceiver<Bytes>, completions: Arc<Completions>) {
    let calls = Arc::new(Calls { live: Mutex::new(HashMap::new()), completions });
    let _end = AbortOnDrop(calls.clone());
    while let Some(batch) = batches.recv().await {
        for command in Commands::new(batch) {
            match command {
                Ok(command) => calls.execute(&channel, command),
                Err(error) => {
                    // Calls whose frames were lost would wait for ever: end all of them.
                    calls.end_all(&ended(Code::Internal, error.to_string(), true));
                }
            }
        }
    }
}

struct Calls {
    live: Mutex<HashMap<CallId, LiveCall>>,
    completions: Arc<Completions>,
}

struct LiveCall {
    task: AbortHandle,
    stream: Option<StreamEnds>,
}

struct StreamEnds {
    /// `None` once half-closed.
    outbound: Option<UnboundedSender<Bytes>>,
    credit: Arc<Semaphore>,
}

struct AbortOnDrop(Arc<Calls>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        for (_, call) in self.0.live().drain() {
            call.task.abort();
        }
    }
}

/// A call's ending: its last frame, whichever kind that is.
enum Outcome {
    Answered { headers: HeaderMap, trailers: HeaderMap, message: Bytes },
    Ended { end: CallEnd, trailers: HeaderMap },
}

impl Outcome {
    fn failed(status: Status) -> Self {
        let end = failure(&status);
        Self::Ended { end, trailers: status.metadata().clone().into_headers() }
    }
}

impl Calls {
    fn live(&self) -> MutexGuard<'_, HashMap<CallId, LiveCall>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn execute(self: &Arc<Self>, channel: &Channel, command: Command) {
        match command {
            Command::Unary(start, message) => {
                let id = start.id;
                let task = self.spawn(id, start.timeout, unary(channel.clone(), start, message));
                self.live().insert(id, LiveCall { task, stream: None });
            }
            Command::OpenStream(start) => {
                let id = start.id;
                let (outbound, inbox) = unbounded_channel();
                let credit = Arc::new(Semaphore::new(STREAM_WINDOW));
                let requests = Requests { id, inbox, completions: self.completions.clone() };
                let timeout = start.timeout;
                let body = stream(client(channel), start, requests, credit.clone(), self.completions.clone());
                let task = self.spawn(id, timeout, body);
                self.live()
                    .insert(id, LiveCall { task, stream: Some(StreamEnds { outbound: Some(outbound), credit }) });
            }
            // Commands to a call that has just ended are normal: its last frame is on its way.
            Command::Send(id, message) => self.with_stream(id, |stream| {
                if let Some(outbound) = &stream.outbound {
                    // Fails once the call has ended, of which its last frame tells.
                    let _ = outbound.send(message);
                }
            }),
            Command::CloseSend(id) => self.with_stream(id, |stream| stream.outbound = None),
            Command::Credit(id, messages) => {
                self.with_stream(id, |stream| stream.credit.add_permits(messages as usize))
            }
            Command::Cancel(id) => {
                let call = self.live().remove(&id);
                if let Some(call) = call {
                    call.task.abort();
                    self.tell_end(id, &ended(Code::Cancelled, "cancelled by the caller", true), &HeaderMap::new());
                }
            }
            Command::Refuse(id, reason) => {
                self.tell_end(id, &ended(Code::InvalidArgument, reason, false), &HeaderMap::new());
            }
        }
    }

    fn with_stream(&self, id: CallId, f: impl FnOnce(&mut StreamEnds)) {
        if let Some(LiveCall { stream: Some(stream), .. }) = self.live().get_mut(&id) {
            f(stream);
        }
    }

    /// Runs a call to its end. The runtime has one thread, so a task can't end before it is in `live`.
    fn spawn<F>(self: &Arc<Self>, id: CallId, timeout: Option<Duration>, call: F) -> AbortHandle
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let calls = self.clone();
        let task = tokio::spawn(async move {
            let outcome = match timeout {
                None => call.await,
                Some(timeout) => tokio::time::timeout(timeout, call).await.unwrap_or_else(|_| Outcome::Ended {
                    end: ended(Code::DeadlineExceeded, format!("no answer within {} ms", timeout.as_millis()), true),
                    trailers: HeaderMap::new(),
                }),
            };
            calls.live().remove(&id);
            match outcome {
                Outcome::Ended { end, trailers } => calls.tell_end(id, &end, &trailers),
                Outcome::Answered { headers, trailers, message } => {
                    calls.completions.push_last(|out| put_unary_ok(out, id, &headers, &trailers, &message));
                }
            }
        });
        task.abort_handle()
    }

    fn tell_end(&self, id: CallId, end: &CallEnd, trailers: &HeaderMap) {
        self.completions.push_last(|out| put_end(out, id, end, trailers));
    }

    fn end_all(&self, end: &CallEnd) {
        let live: Vec<_> = self.live().drain().collect();
        for (id, call) in live {
            call.task.abort();
            self.tell_end(id, end, &HeaderMap::new());
        }
    }
}

fn client(channel: &Channel) -> Grpc<Channel> {
    // As in Go's client, the limit on what a server may send is the server's.
    Grpc::new(channel.clone()).max_decoding_message_size(usize::MAX)
}

fn request<T>(start: &mut CallStart, message: T) -> Request<T> {
    let mut request = Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(std::mem::take(&mut start.headers));
    if let Some(timeout) = start.timeout {
        request.set_timeout(timeout);
    }
    request
}

/// A gRPC call of one message each way. Made without tonic's `Grpc`, which sends the end of the request as a frame
/// of its own and keeps a stream's buffers: here message and end are one frame, which spares both sides work.
/// The deadline stays here: when it passes, the call is dropped, and the reset of its stream tells the server.
/// To send it as `grpc-timeout` too has the server keep a timer for each call, at 5 to 7 % of all throughput.
async fn unary(mut channel: Channel, start: CallStart, message: Bytes) -> Outcome {
    if let Err(error) = poll_fn(|cx| Service::poll_ready(&mut channel, cx)).await {
        return Outcome::failed(Status::from_error(error.into()));
    }
    let response = match channel.call(unary_request(start, &message)).await {
        Ok(response) => response,
        Err(error) => return Outcome::failed(Status::from_error(error.into())),
    };
    let (head, body) = response.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers)
        && status.code() != Code::Ok
    {
        return Outcome::failed(status);
    }
    // As in Go's client, the limit on what a server may send is the server's.
    let mut body = Streaming::new_response(BytesCodec, body, head.status, None, Some(usize::MAX));
    let message = match body.message().await {
        Ok(Some(message)) => message,
        Ok(None) => return Outcome::failed(Status::internal("the server sent no message")),
        Err(status) => return Outcome::failed(status),
    };
    match body.trailers().await {
        Ok(trailers) => {
            Outcome::Answered { headers: head.headers, trailers: trailers.unwrap_or_default().into_headers(), message }
        }
        Err(status) => Outcome::failed(status),
    }
}

fn unary_request(start: CallStart, message: &[u8]) -> http::Request<Body> {
    // gRPC's framing: not compressed, then the length.
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    let mut request = http::Request::new(Body::new(Full::new(frame.freeze())));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from(start.method);
    let headers = request.headers_mut();
    *headers = start.headers;
    headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request
}

async fn stream(
    mut client: Grpc<Channel>,
    mut start: CallStart,
    requests: Requests,
    credit: Arc<Semaphore>,
    completions: Arc<Completions>,
) -> Outcome {
    let id = start.id;
    if let Err(error) = client.ready().await {
        return Outcome::failed(Status::from_error(error.into()));
    }
    let request = request(&mut start, requests);
    let response = match client.streaming(request, start.method, BytesCodec).await {
        Ok(response) => response,
        Err(status) => return Outcome::failed(status),
    };
    let (headers, mut body, _) = response.into_parts();
    completions.push(|out| put_headers(out, id, headers.as_ref()));
    loop {
        // While the reader gives no credit nothing is read, and HTTP/2 holds the server back.
        if let Ok(permit) = credit.acquire().await {
            permit.forget();
        }
        match body.message().await {
            Ok(Some(message)) => completions.push(|out| put_message(out, id, &message)),
            Ok(None) => break,
            Err(status) => return Outcome::failed(status),
        }
    }
    match body.trailers().await {
        Ok(trailers) => {
            Outcome::Ended { end: ended(Code::Ok, "", true), trailers: trailers.unwrap_or_default().into_headers() }
        }
        Err(status) => Outcome::failed(status),
    }
}

/// The messages of a stream on their way out. HTTP/2 asks for the next one when it has room, and that is
/// what JavaScript's `send` waits for.
struct Requests {
    id: CallId,
    inbox: UnboundedReceiver<Bytes>,
    completions: Arc<Completions>,
}

impl Stream for Requests {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let next = self.inbox.poll_recv(cx);
        if let Poll::Ready(Some(_)) = next {
            self.completions.push(|out| put_sent(out, self.id));
        }
        next
    }
}
