//! A Rust stream as a JavaScript async iterator.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;
use napi::bindgen_prelude::*;
use napi::{Env, JsValue, sys};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::panic::catch;
use crate::promise::Deferred;
use crate::spawn::spawn;

/// A stream that JavaScript reads with `for await`. Return it from a `#[napi]` function, with the right type beside it:
///
/// ```no_run
/// use futures_core::Stream;
/// use napi::bindgen_prelude::*;
/// use napi_derive::napi;
/// use owned_runtime_napi::AsyncIter;
///
/// # fn lines() -> impl Stream<Item = Result<String>> + Send + 'static { Empty }
/// # struct Empty;
/// # impl Stream for Empty {
/// #     type Item = Result<String>;
/// #     fn poll_next(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<Self::Item>> {
/// #         std::task::Poll::Ready(None)
/// #     }
/// # }
/// #[napi(ts_return_type = "AsyncIterableIterator<string>")]
/// pub fn read_lines() -> AsyncIter<String> {
///     AsyncIter::new(lines())
/// }
/// # fn main() {}
/// ```
///
/// The stream is polled on the env's runtime, and only while JavaScript waits for an item: that is the backpressure. It is dropped
/// there at its end, at its first error, which JavaScript gets as a rejection, when the loop is left (`return()`), when the
/// iterator is collected as garbage, and when the env ends. If the runtime is stopped meanwhile, it is dropped, too: calls under
/// way and later ones are rejected.
pub struct AsyncIter<T> {
    stream: Items<T>,
}

type Items<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

impl<T: ToNapiValue + Send + 'static> AsyncIter<T> {
    /// Makes the iterator from a stream. Nothing is polled before the iterator reaches JavaScript.
    pub fn new(stream: impl Stream<Item = Result<T>> + Send + 'static) -> Self {
        Self { stream: Box::pin(stream) }
    }
}

impl<T: ToNapiValue + Send + 'static> ToNapiValue for AsyncIter<T> {
    unsafe fn to_napi_value(raw: sys::napi_env, iter: Self) -> Result<sys::napi_value> {
        let env = Env::from_raw(raw);
        let (requests, received) = unbounded_channel();
        spawn(serve(iter.stream, received))?;
        let mut iterator = Object::new(&env)?;
        iterator.set_named_property("next", method(&env, "next", requests.clone(), Request::Next)?)?;
        iterator.set_named_property("return", method(&env, "return", requests, Request::Return)?)?;
        let symbol: Function<'_, (), Unknown<'_>> = env.get_global()?.get_named_property("Symbol")?;
        let key: Unknown<'_> = symbol.get_named_property("asyncIterator")?;
        let itself =
            env.create_function_from_closure::<(), Unknown<'_>, _>("[Symbol.asyncIterator]", |call| call.this())?;
        iterator.set_property(key, itself)?;
        Ok(iterator.raw())
    }
}

/// JavaScript's requests.
enum Request<T: 'static> {
    Next(Deferred<Step<T>>),
    Return(Deferred<Step<T>>),
}

type Method<'env, T> = Function<'env, (), PromiseRaw<'env, Step<T>>>;

/// A method that sends a request and returns its promise.
fn method<'env, T: ToNapiValue + Send + 'static>(
    env: &'env Env,
    name: &str,
    requests: UnboundedSender<Request<T>>,
    request: fn(Deferred<Step<T>>) -> Request<T>,
) -> Result<Method<'env, T>> {
    env.create_function_from_closure(name, move |call| {
        let (deferred, promise) = Deferred::new(call.env)?;
        // It fails once the runtime was stopped, which ends the stream. The promise is rejected then.
        let _ = requests.send(request(deferred));
        Ok(PromiseRaw::new(call.env.raw(), promise.raw()))
    })
}

/// The task that owns the stream, until nobody can request more.
async fn serve<T: ToNapiValue + Send + 'static>(stream: Items<T>, mut requests: UnboundedReceiver<Request<T>>) {
    let mut stream = Some(stream);
    let mut waiting = VecDeque::new();
    let mut asked = true;
    while asked || !waiting.is_empty() {
        tokio::select! {
            biased;
            request = requests.recv(), if asked => match request {
                Some(Request::Next(deferred)) => waiting.push_back(deferred),
                Some(Request::Return(deferred)) => {
                    stream = None;
                    waiting.push_back(deferred);
                }
                None => asked = false,
            },
            item = next(&mut stream), if !waiting.is_empty() => {
                if !matches!(item, Some(Ok(_))) {
                    stream = None;
                }
                if let Some(deferred) = waiting.pop_front() {
                    deferred.settle(item.transpose().map(Step));
                }
            }
        }
    }
}

/// The stream's next item. A panic becomes an error.
async fn next<T>(stream: &mut Option<Items<T>>) -> Option<Result<T>> {
    let stream = stream.as_mut()?;
    match poll_fn(|cx| match catch(|| stream.as_mut().poll_next(cx)) {
        Ok(poll) => poll.map(Ok),
        Err(error) => std::task::Poll::Ready(Err(error)),
    })
    .await
    {
        Ok(item) => item,
        Err(error) => Some(Err(error)),
    }
}

/// An iterator's result: `{ value, done }`.
struct Step<T>(Option<T>);

impl<T: ToNapiValue> ToNapiValue for Step<T> {
    unsafe fn to_napi_value(raw: sys::napi_env, step: Self) -> Result<sys::napi_value> {
        let env = Env::from_raw(raw);
        let mut result = Object::new(&env)?;
        result.set_named_property("done", step.0.is_none())?;
        result.set_named_property("value", step.0)?;
        Ok(result.raw())
    }
}
