//! Carries out commands as gRPC calls, each a task on the runtime, and reports their outcome.

use std::collections::{BTreeSet, HashMap};
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use h2::{Reason, SendStream};
use http::HeaderMap;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::channel::{CallOf, Channel, Sent};
use crate::code::Code;
use crate::completions::Completions;
use crate::frames::{
    CallEnd, CallId, CallStart, Command, Commands, put_broken, put_end, put_headers, put_message, put_sent,
    put_unary_ok,
};
use crate::message::{Messages, ReadError};
use crate::reassembly::Message;
use crate::status::{self, ended};

/// The credit of a stream: what may wait for its reader before the server is held back. The JavaScript side returns it
/// in halves of this number. A short message takes one, a longer one several ([`credit_of`]). So hundreds of events cross
/// together, and of long messages only a few wait.
const STREAM_WINDOW: usize = 256;

/// A message takes one credit for each part of this many bytes, and one more.
const CREDIT_BYTES: usize = 4096;

/// The most credit that one message takes. It's less than half of the window, so that it is there once the reader has
/// taken all messages.
const MOST_CREDIT: usize = 64;

/// The credit that a message takes; `creditOf` in packages/etcd/src/transport/native/native.ts.
fn credit_of(bytes: usize) -> usize {
    (1 + bytes / CREDIT_BYTES).min(MOST_CREDIT)
}

/// Runs the commands of one transport until their sender is dropped. Then it ends all its calls.
///
/// All the work for the calls is one future, including the connection's part. So whoever polls it takes a call from the
/// command to the socket in one go ([`crate::shared_task`]). The service also keeps the calls' deadlines, with one
/// timer for all, as a timer of tokio for each call would cost more. Whoever has polled it wakes JavaScript, once for all
/// calls whose answers arrived in one read.
pub struct Service {
    commands: UnboundedReceiver<Commands>,
    calls: Arc<Calls>,
    running: FuturesUnordered<Running>,
    alarm: Pin<Box<Sleep>>,
    alarm_set: bool,
}

/// A call or a connection. A panic in it is caught.
type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Service {
    /// Must be called in the runtime's context.
    pub fn new(channel: Arc<Channel>, commands: UnboundedReceiver<Commands>, completions: Arc<Completions>) -> Self {
        Self {
            commands,
            calls: Arc::new(Calls { live: Mutex::default(), channel, completions }),
            running: FuturesUnordered::new(),
            alarm: Box::pin(sleep_until(Instant::now())),
            alarm_set: false,
        }
    }

    /// Polls calls and connections until none can make progress.
    fn run(&mut self, cx: &mut Context<'_>) {
        loop {
            while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
            let begun = self.calls.channel.begun();
            if begun.is_empty() {
                return;
            }
            self.running.extend(begun.into_iter().map(guarded));
        }
    }

    fn ring(&mut self, cx: &mut Context<'_>) {
        // The alarm is late by up to 1 ms. By then the server may have answered that it has waited for as long.
        self.calls.expire(Instant::now());
        while self.alarm_set && self.alarm.as_mut().poll(cx).is_ready() {
            self.alarm_set = false;
            let now = Instant::now();
            self.calls.expire(now);
            self.calls.completions.end_gathering(now);
            self.set_alarm();
        }
    }

    /// A deadline that is met doesn't move the alarm. The alarm then goes off without effect, and is set again.
    fn set_alarm(&mut self) {
        let deadline = self.calls.live().first_deadline();
        if let Some(first) = deadline.into_iter().chain(self.calls.completions.gathered_until()).min()
            && !(self.alarm_set && self.alarm.deadline() <= first)
        {
            self.alarm.as_mut().reset(first);
            self.alarm_set = true;
        }
    }
}

impl Future for Service {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let service = self.get_mut();
        loop {
            match service.commands.poll_recv(cx) {
                Poll::Ready(Some(batch)) => service.execute_all(batch),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        service.set_alarm();
        service.ring(cx);
        service.run(cx);
        if service.calls.completions.gathered_until().is_some() {
            service.set_alarm();
            service.ring(cx);
        }
        Poll::Pending
    }
}

impl Service {
    fn execute_all(&mut self, commands: Commands) {
        for command in commands {
            match command {
                Ok(command) => self.execute(command),
                Err(error) => {
                    // Only JavaScript knows which calls' frames were lost, so it ends all of its calls.
                    self.calls.drop_all();
                    self.calls.completions.push(|out| put_broken(out, &error.to_string()));
                }
            }
        }
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Unary(start, message) => {
                let id = start.id;
                let deadline = start.timeout.map(Deadline::after);
                let sent = Arc::new(AtomicBool::new(false));
                let task = self.spawn(id, unary(self.calls.channel.clone(), start, message, sent.clone()));
                self.calls.live().insert(id, LiveCall { task, deadline, sent, stream: None });
            }
            Command::OpenStream(start) => {
                let id = start.id;
                let (outbound, inbox) = unbounded_channel();
                let credit = Arc::new(Semaphore::new(STREAM_WINDOW));
                let deadline = start.timeout.map(Deadline::after);
                let gather = Arc::new(Gather::default());
                let completions = self.calls.completions.clone();
                let call = StreamCall { id, credit: credit.clone(), gather: gather.clone(), completions };
                let sent = Arc::new(AtomicBool::new(false));
                let task = self.spawn(id, call.run(self.calls.channel.clone(), start, inbox, sent.clone()));
                let stream = Some(StreamEnds { outbound: Some(outbound), credit, gather });
                self.calls.live().insert(id, LiveCall { task, deadline, sent, stream });
            }
            // Commands to a call that has just ended are normal, as its last frame may be on its way.
            Command::Send(id, message) => self.calls.with_stream(id, |stream| {
                if let Some(outbound) = &stream.outbound {
                    // Fails once the call has ended. The call's last frame reports that.
                    let _ = outbound.send(message);
                }
            }),
            Command::CloseSend(id) => self.calls.with_stream(id, |stream| stream.outbound = None),
            Command::Credit(id, credit) => {
                self.calls.with_stream(id, |stream| stream.credit.add_permits(credit as usize))
            }
            Command::Gather(id, wait) => self.calls.with_stream(id, |stream| stream.gather.set(wait)),
            Command::Cancel(id) => {
                let call = self.calls.live().remove(id);
                if let Some(call) = call {
                    call.task.abort();
                    self.calls.report_end(
                        id,
                        &ended(Code::Cancelled, "cancelled by the caller", true),
                        &HeaderMap::new(),
                    );
                }
            }
            Command::Refuse(id, reason) => {
                self.calls.report_end(id, &ended(Code::InvalidArgument, reason, false), &HeaderMap::new());
            }
        }
    }

    /// Begins a call. It makes progress when the service is polled. By then it is in `live`.
    fn spawn(&mut self, id: CallId, call: impl Future<Output = Outcome> + Send + 'static) -> AbortHandle {
        let calls = self.calls.clone();
        let (call, handle) = abortable(async move {
            let unfinished = ReportIfUnfinished { id, calls: &calls };
            let outcome = call.await;
            let deadline = calls.live().remove(id).and_then(|call| call.deadline);
            drop(unfinished);
            match outcome {
                Outcome::Ended { end, trailers } => match deadline {
                    // The server has the deadline of a stream, too, and may end it before the alarm does.
                    Some(deadline) if end.code != Code::Ok as u8 && deadline.at <= Instant::now() => {
                        calls.report_end(id, &deadline.passed(end.sent), &HeaderMap::new());
                    }
                    _ => calls.report_end(id, &end, &trailers),
                },
                Outcome::Answered { headers, trailers, message } => {
                    calls.completions.push_last(|out| put_unary_ok(out, id, &headers, &trailers, message));
                }
            }
        });
        self.running.push(guarded(call.map(drop)));
        handle
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.calls.channel.close();
        self.calls.drop_all();
    }
}

/// A panic, which is a defect, ends only the future in which it happens.
fn guarded(future: impl Future<Output = ()> + Send + 'static) -> Running {
    Box::pin(AssertUnwindSafe(future).catch_unwind().map(drop))
}

struct Calls {
    live: Mutex<Live>,
    channel: Arc<Channel>,
    completions: Arc<Completions>,
}

/// The calls in flight.
#[derive(Default)]
struct Live {
    calls: HashMap<CallId, LiveCall>,
    deadlines: BTreeSet<(Instant, CallId)>,
}

struct LiveCall {
    task: AbortHandle,
    deadline: Option<Deadline>,
    /// Whether the request was given to a connection. Before that it waits for one.
    sent: Arc<AtomicBool>,
    stream: Option<StreamEnds>,
}

struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Deadline {
    fn after(timeout: Duration) -> Self {
        Self { at: Instant::now() + timeout, timeout }
    }

    fn passed(&self, sent: bool) -> CallEnd {
        ended(Code::DeadlineExceeded, format!("no answer within {} ms", self.timeout.as_millis()), sent)
    }
}

impl Live {
    fn insert(&mut self, id: CallId, call: LiveCall) {
        if let Some(deadline) = &call.deadline {
            self.deadlines.insert((deadline.at, id));
        }
        self.calls.insert(id, call);
    }

    fn remove(&mut self, id: CallId) -> Option<LiveCall> {
        let call = self.calls.remove(&id)?;
        if let Some(deadline) = &call.deadline {
            self.deadlines.remove(&(deadline.at, id));
        }
        Some(call)
    }

    fn remove_all(&mut self) -> Vec<(CallId, LiveCall)> {
        self.deadlines.clear();
        self.calls.drain().collect()
    }

    /// Ends a call whose deadline has passed.
    fn overdue(&mut self, now: Instant) -> Option<(CallId, CallEnd)> {
        let (at, id) = *self.deadlines.first()?;
        if at > now {
            return None;
        }
        self.deadlines.pop_first();
        let call = self.calls.remove(&id)?;
        call.task.abort();
        Some((id, call.deadline?.passed(call.sent.load(Ordering::Relaxed))))
    }

    fn first_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}

struct StreamEnds {
    /// `None` once half-closed.
    outbound: Option<UnboundedSender<Bytes>>,
    credit: Arc<Semaphore>,
    gather: Arc<Gather>,
}

/// How long the messages of a stream may wait for more.
#[derive(Default)]
struct Gather {
    millis: AtomicU64,
}

impl Gather {
    fn set(&self, wait: Duration) {
        // A batch encodes the time in 32 bits.
        self.millis.store(u64::try_from(wait.as_millis()).unwrap_or(0), Ordering::Relaxed);
    }

    fn wait(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

/// Reports a call whose task died from a panic, which is a defect. Otherwise its caller would wait forever. A call that
/// has ended normally, or was cancelled, is no longer in `live`.
struct ReportIfUnfinished<'a> {
    id: CallId,
    calls: &'a Calls,
}

impl Drop for ReportIfUnfinished<'_> {
    fn drop(&mut self) {
        if self.calls.live().remove(self.id).is_some() {
            let end = ended(Code::Internal, "the call's task in the native transport failed", true);
            self.calls.report_end(self.id, &end, &HeaderMap::new());
        }
    }
}

/// The last frame of a call, of any kind.
enum Outcome {
    Answered { headers: HeaderMap, trailers: HeaderMap, message: Message },
    Ended { end: CallEnd, trailers: HeaderMap },
}

impl Outcome {
    fn failed(end: CallEnd) -> Self {
        Self::Ended { end, trailers: HeaderMap::new() }
    }
}

impl Calls {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_stream(&self, id: CallId, f: impl FnOnce(&mut StreamEnds)) {
        if let Some(LiveCall { stream: Some(stream), .. }) = self.live().calls.get_mut(&id) {
            f(stream);
        }
    }

    fn report_end(&self, id: CallId, end: &CallEnd, trailers: &HeaderMap) {
        self.completions.push_last(|out| put_end(out, id, end, trailers));
    }

    /// Ends the calls whose deadline has passed.
    fn expire(&self, now: Instant) {
        while let Some((id, end)) = self.live().overdue(now) {
            self.report_end(id, &end, &HeaderMap::new());
        }
    }

    /// Ends all calls without reporting it.
    fn drop_all(&self) {
        // Taken out first, so that a task that is dropped here finds nothing, and finds the lock free.
        let live = self.live().remove_all();
        for (_, call) in live {
            call.task.abort();
        }
    }
}

/// A call with one message each way. Its deadline stays here. When it passes, the call is dropped, and the reset of its
/// stream notifies the server. If the deadline were also sent as `grpc-timeout`, the server would keep a timer for each
/// call. That costs 5 to 7 % of the throughput.
async fn unary(channel: Arc<Channel>, start: CallStart, message: Bytes, is_sent: Arc<AtomicBool>) -> Outcome {
    let mut sent = match channel.send(start.method, start.headers).await {
        Ok(sent) => sent,
        Err(error) => return Outcome::failed(status::not_sent(&error)),
    };
    is_sent.store(true, Ordering::Relaxed);
    // The message and the end go in one frame, which saves both sides work.
    if let Err(error) = sent.body.send_data(message, true) {
        return Outcome::failed(status::broken(&error, &sent.call.0));
    }
    let Sent { response, call, .. } = sent;
    let (headers, mut messages) = match answer(response, &call).await {
        Ok(answer) => answer,
        Err(outcome) => return outcome,
    };
    let message = match only_message(&mut messages).await {
        Ok(message) => message,
        Err(OnlyMessage::Unreadable(error)) => return Outcome::failed(status::unreadable(&error, &call.0)),
        Err(OnlyMessage::Second) => {
            return Outcome::failed(ended(Code::Internal, "the server sent more than one message", true));
        }
    };
    match end(messages, &call).await {
        Err(outcome) => outcome,
        Ok(trailers) => match message {
            Some(message) => Outcome::Answered { headers, trailers, message },
            None => Outcome::failed(ended(Code::Internal, "the server sent no message", true)),
        },
    }
}

/// Why a response doesn't have at most one message.
enum OnlyMessage {
    Unreadable(ReadError),
    Second,
}

/// The message of a unary response, if it has one. Reads up to the trailers.
async fn only_message(messages: &mut Messages) -> Result<Option<Message>, OnlyMessage> {
    let first = messages.next().await.map_err(OnlyMessage::Unreadable)?;
    if first.is_some() && messages.next().await.map_err(OnlyMessage::Unreadable)?.is_some() {
        return Err(OnlyMessage::Second);
    }
    Ok(first)
}

/// The headers and body of a response, unless they report a failure.
async fn answer(response: h2::client::ResponseFuture, call: &CallOf) -> Result<(HeaderMap, Messages), Outcome> {
    let response = response.await.map_err(|error| Outcome::failed(status::broken(&error, &call.0)))?;
    call.0.heard();
    let (head, body) = response.into_parts();
    if let Some(end) = status::of_head(head.status, &head.headers) {
        return Err(Outcome::Ended { end, trailers: head.headers });
    }
    if body.is_end_stream() && status::is_stated(&head.headers) {
        return Ok((HeaderMap::new(), Messages::new(body, Some(head.headers))));
    }
    Ok((head.headers, Messages::new(body, None)))
}

/// The trailers of a response whose messages were read, unless they report a failure.
async fn end(mut messages: Messages, call: &CallOf) -> Result<HeaderMap, Outcome> {
    match messages.trailers().await {
        Err(error) => Err(Outcome::failed(status::unreadable(&error, &call.0))),
        Ok(trailers) => match status::of_trailers(&trailers) {
            Some(end) => Err(Outcome::Ended { end, trailers }),
            None => Ok(trailers),
        },
    }
}

/// A call with any number of messages each way.
struct StreamCall {
    id: CallId,
    credit: Arc<Semaphore>,
    gather: Arc<Gather>,
    completions: Arc<Completions>,
}

impl StreamCall {
    async fn run(
        self,
        channel: Arc<Channel>,
        start: CallStart,
        inbox: UnboundedReceiver<Bytes>,
        is_sent: Arc<AtomicBool>,
    ) -> Outcome {
        let mut headers = start.headers;
        if let Some(timeout) = start.timeout {
            headers.insert("grpc-timeout", status::timeout_value(timeout));
        }
        let Sent { response, body, call } = match channel.send(start.method, headers).await {
            Ok(sent) => sent,
            Err(error) => return Outcome::failed(status::not_sent(&error)),
        };
        is_sent.store(true, Ordering::Relaxed);
        let reading = self.read(response, &call);
        tokio::pin!(reading);
        tokio::select! {
            outcome = &mut reading => outcome,
            // What stopped the sending also ends the reading, but not while the reader takes no messages. So it gets
            // credit. What is still to be read has arrived by now, and HTTP/2's window bounds it.
            () = self.write(body, inbox) => {
                self.credit.add_permits(Semaphore::MAX_PERMITS / 2);
                reading.await
            }
        }
    }

    async fn read(&self, response: h2::client::ResponseFuture, call: &CallOf) -> Outcome {
        let (headers, mut messages) = match answer(response, call).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        self.completions.push(|out| put_headers(out, self.id, &headers));
        loop {
            match messages.next().await {
                Ok(Some(message)) => {
                    call.0.heard();
                    // Until the reader returns enough credit, nothing more is read, and HTTP/2 holds the server back.
                    let credit = u32::try_from(credit_of(message.len())).unwrap_or(u32::MAX);
                    if let Ok(permits) = self.credit.acquire_many(credit).await {
                        permits.forget();
                    }
                    // The reader may return credit only after it has received this message.
                    let full = self.credit.available_permits() < MOST_CREDIT;
                    let wait = if full { Duration::ZERO } else { self.gather.wait() };
                    self.completions.push_within(wait, |out| put_message(out, self.id, message));
                }
                Ok(None) => break,
                Err(error) => return Outcome::failed(status::unreadable(&error, &call.0)),
            }
        }
        match end(messages, call).await {
            Ok(trailers) => Outcome::Ended { end: ended(Code::Ok, "", true), trailers },
            Err(outcome) => outcome,
        }
    }

    /// Sends JavaScript's messages as fast as HTTP/2 has room. `sent` reports each message that was sent; JavaScript's
    /// `send` waits for that. Ends when no more can be sent because the stream or its connection is gone.
    async fn write(&self, mut body: SendStream<Bytes>, mut inbox: UnboundedReceiver<Bytes>) {
        loop {
            let message = tokio::select! {
                biased;
                message = inbox.recv() => message,
                _ = poll_fn(|cx| body.poll_reset(cx)) => return,
            };
            let Some(mut rest) = message else { break };
            while !rest.is_empty() {
                body.reserve_capacity(rest.len());
                let Some(Ok(room)) = poll_fn(|cx| body.poll_capacity(cx)).await else { return };
                let part = rest.split_to(room.min(rest.len()));
                if body.send_data(part, false).is_err() {
                    return;
                }
            }
            self.completions.push_within(self.gather.wait(), |out| put_sent(out, self.id));
        }
        let _ = body.send_data(Bytes::new(), true);
        // The body must not be dropped before the call is over.
        let _: Result<Reason, h2::Error> = poll_fn(|cx| body.poll_reset(cx)).await;
    }
}
