//! Carries out commands as gRPC calls, each a task on the runtime, and tells what became of them.

use std::collections::{BTreeSet, HashMap};
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use tonic::Code;

use crate::channel::{CallOf, Channel, Sent};
use crate::completions::Completions;
use crate::frames::{
    CallEnd, CallId, CallStart, Command, Commands, put_broken, put_end, put_headers, put_message, put_sent,
    put_unary_ok,
};
use crate::message::{Messages, ReadError, frame};
use crate::status::{self, ended};

/// Messages of a stream that may wait for its reader before the server is held back.
/// The JavaScript side gives credit back in halves of it.
pub const STREAM_WINDOW: usize = 16;

/// Runs the commands of one transport until its sender is dropped; then ends all its calls.
///
/// It also keeps the calls' deadlines, with one timer for all: tokio's cost a call more, and the first of them wakes the
/// thread that makes it. And it passes wake-ups on: being in line behind the calls whose answers came in one read, it
/// wakes JavaScript once for all of them.
pub async fn serve(channel: Arc<Channel>, mut batches: UnboundedReceiver<Bytes>, completions: Arc<Completions>) {
    let calls = Arc::new(Calls { live: Mutex::default(), channel, completions });
    let _end = EndOnDrop(calls.clone());
    let alarm = sleep_until(Instant::now());
    tokio::pin!(alarm);
    let mut set = false;
    loop {
        tokio::select! {
            biased;
            batch = batches.recv() => match batch {
                Some(batch) => calls.execute_all(batch),
                None => return,
            },
            () = calls.completions.due() => calls.completions.wake(),
            () = &mut alarm, if set => {
                set = false;
                calls.expire(Instant::now());
            }
        }
        // A deadline that is met doesn't move the alarm: it goes off for nothing, and is set anew.
        if let Some(first) = calls.live().first_deadline()
            && !(set && alarm.deadline() <= first)
        {
            alarm.as_mut().reset(first);
            set = true;
        }
    }
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

    /// Ends a call whose deadline has passed, and gives the time that it had.
    fn overdue(&mut self, now: Instant) -> Option<(CallId, Duration)> {
        let (at, id) = *self.deadlines.first()?;
        if at > now {
            return None;
        }
        self.deadlines.pop_first();
        let call = self.calls.remove(&id)?;
        call.task.abort();
        Some((id, call.deadline?.timeout))
    }

    fn first_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}

struct StreamEnds {
    /// `None` once half-closed.
    outbound: Option<UnboundedSender<Bytes>>,
    credit: Arc<Semaphore>,
}

struct EndOnDrop(Arc<Calls>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.channel.close();
        self.0.drop_all();
    }
}

/// Ends a call whose task died of a panic, which is a defect: its caller would wait for ever. A call that has ended in
/// order, or was cancelled, is no longer in `live`.
struct TellIfUnfinished<'a> {
    id: CallId,
    calls: &'a Calls,
}

impl Drop for TellIfUnfinished<'_> {
    fn drop(&mut self) {
        if self.calls.live().remove(self.id).is_some() {
            let end = ended(Code::Internal, "the call's task in the native transport failed", true);
            self.calls.tell_end(self.id, &end, &HeaderMap::new());
        }
    }
}

/// A call's ending: its last frame, whichever kind that is.
enum Outcome {
    Answered { headers: HeaderMap, trailers: HeaderMap, message: Bytes },
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

    fn execute_all(self: &Arc<Self>, batch: Bytes) {
        for command in Commands::new(batch) {
            match command {
                Ok(command) => self.execute(command),
                Err(error) => {
                    // Which calls' frames were lost, JavaScript alone can tell: it ends all that it knows of.
                    self.drop_all();
                    self.completions.push(|out| put_broken(out, &error.to_string()));
                }
            }
        }
    }

    fn execute(self: &Arc<Self>, command: Command) {
        match command {
            Command::Unary(start, message) => {
                let id = start.id;
                let deadline = start.timeout.map(Deadline::after);
                let task = self.spawn(id, unary(self.channel.clone(), start, message));
                self.live().insert(id, LiveCall { task, deadline, stream: None });
            }
            Command::OpenStream(start) => {
                let id = start.id;
                let (outbound, inbox) = unbounded_channel();
                let credit = Arc::new(Semaphore::new(STREAM_WINDOW));
                let deadline = start.timeout.map(Deadline::after);
                let call = StreamCall { id, credit: credit.clone(), completions: self.completions.clone() };
                let task = self.spawn(id, call.run(self.channel.clone(), start, inbox));
                let stream = Some(StreamEnds { outbound: Some(outbound), credit });
                self.live().insert(id, LiveCall { task, deadline, stream });
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
                let call = self.live().remove(id);
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
        if let Some(LiveCall { stream: Some(stream), .. }) = self.live().calls.get_mut(&id) {
            f(stream);
        }
    }

    /// Runs a call to its end. The runtime has one thread, so a task can't end before it is in `live`.
    fn spawn<F>(self: &Arc<Self>, id: CallId, call: F) -> AbortHandle
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let calls = self.clone();
        let task = tokio::spawn(async move {
            let unfinished = TellIfUnfinished { id, calls: &calls };
            let outcome = call.await;
            calls.live().remove(id);
            drop(unfinished);
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

    /// Ends the calls whose deadline has passed.
    fn expire(&self, now: Instant) {
        while let Some((id, timeout)) = self.live().overdue(now) {
            let details = format!("no answer within {} ms", timeout.as_millis());
            self.tell_end(id, &ended(Code::DeadlineExceeded, details, true), &HeaderMap::new());
        }
    }

    /// Ends all calls without a word.
    fn drop_all(&self) {
        // Taken out first, so that a task which is dropped here finds nothing and the lock free.
        let live = self.live().remove_all();
        for (_, call) in live {
            call.task.abort();
        }
    }
}

/// A call of one message each way. Its deadline stays here: when it passes, the call is dropped, and the reset of its
/// stream tells the server. To send it as `grpc-timeout` too has the server keep a timer for each call, at 5 to 7 % of
/// all throughput.
async fn unary(channel: Arc<Channel>, start: CallStart, message: Bytes) -> Outcome {
    let mut sent = match channel.send(start.method, start.headers).await {
        Ok(sent) => sent,
        Err(error) => return Outcome::failed(status::not_sent(&error)),
    };
    // Message and end go in one frame, which spares both sides work.
    if let Err(error) = sent.body.send_data(frame(&message), true) {
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

/// Why a response has not one message at most.
enum OnlyMessage {
    Unreadable(ReadError),
    Second,
}

/// The message of a unary response, if it has one. Reads on to the trailers.
async fn only_message(messages: &mut Messages) -> Result<Option<Bytes>, OnlyMessage> {
    let first = messages.next().await.map_err(OnlyMessage::Unreadable)?;
    if first.is_some() && messages.next().await.map_err(OnlyMessage::Unreadable)?.is_some() {
        return Err(OnlyMessage::Second);
    }
    Ok(first)
}

/// Headers and body of a response, unless they are a failure.
async fn answer(response: h2::client::ResponseFuture, call: &CallOf) -> Result<(HeaderMap, Messages), Outcome> {
    let response = response.await.map_err(|error| Outcome::failed(status::broken(&error, &call.0)))?;
    call.0.heard();
    let (head, body) = response.into_parts();
    if let Some(end) = status::of_head(head.status, &head.headers) {
        return Err(Outcome::Ended { end, trailers: head.headers });
    }
    if body.is_end_stream() && status::is_told(&head.headers) {
        return Ok((HeaderMap::new(), Messages::new(body, Some(head.headers))));
    }
    Ok((head.headers, Messages::new(body, None)))
}

/// Trailers of a response whose messages were read, unless they are a failure.
async fn end(mut messages: Messages, call: &CallOf) -> Result<HeaderMap, Outcome> {
    match messages.trailers().await {
        Err(error) => Err(Outcome::failed(status::unreadable(&error, &call.0))),
        Ok(trailers) => match status::of_trailers(&trailers) {
            Some(end) => Err(Outcome::Ended { end, trailers }),
            None => Ok(trailers),
        },
    }
}

/// A call of any number of messages each way.
struct StreamCall {
    id: CallId,
    credit: Arc<Semaphore>,
    completions: Arc<Completions>,
}

impl StreamCall {
    async fn run(self, channel: Arc<Channel>, start: CallStart, inbox: UnboundedReceiver<Bytes>) -> Outcome {
        let mut headers = start.headers;
        if let Some(timeout) = start.timeout {
            headers.insert("grpc-timeout", status::timeout_value(timeout));
        }
        let Sent { response, body, call } = match channel.send(start.method, headers).await {
            Ok(sent) => sent,
            Err(error) => return Outcome::failed(status::not_sent(&error)),
        };
        let reading = self.read(response, &call);
        tokio::pin!(reading);
        tokio::select! {
            outcome = &mut reading => outcome,
            // What stops the sending shows in the reading, too; but not before it, to a reader that takes nothing. What
            // is still to be read has come by now, so that HTTP/2's window bounds it.
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
            // While the reader gives no credit nothing is read, and HTTP/2 holds the server back.
            if let Ok(permit) = self.credit.acquire().await {
                permit.forget();
            }
            match messages.next().await {
                Ok(Some(message)) => {
                    call.0.heard();
                    self.completions.push(|out| put_message(out, self.id, &message));
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

    /// Sends what JavaScript hands down, as fast as HTTP/2 has room. `sent` tells of each message that has gone, and
    /// that is what JavaScript's `send` waits for. Ends when no more can be sent, as the stream or its connection is gone.
    async fn write(&self, mut body: SendStream<Bytes>, mut inbox: UnboundedReceiver<Bytes>) {
        loop {
            let message = tokio::select! {
                biased;
                message = inbox.recv() => message,
                _ = poll_fn(|cx| body.poll_reset(cx)) => return,
            };
            let Some(message) = message else { break };
            let mut rest = frame(&message);
            while !rest.is_empty() {
                body.reserve_capacity(rest.len());
                let Some(Ok(room)) = poll_fn(|cx| body.poll_capacity(cx)).await else { return };
                let part = rest.split_to(room.min(rest.len()));
                if body.send_data(part, false).is_err() {
                    return;
                }
            }
            self.completions.push(|out| put_sent(out, self.id));
        }
        let _ = body.send_data(Bytes::new(), true);
        // Not dropped before the call is over.
        let _: Result<Reason, h2::Error> = poll_fn(|cx| body.poll_reset(cx)).await;
    }
}
