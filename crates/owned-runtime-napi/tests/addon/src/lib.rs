//! What the tests of owned-runtime-napi call.

use std::env;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::{Stream, stream};
use napi::bindgen_prelude::*;
use napi_derive::napi;
use owned_runtime_napi::{AsyncIter, Callback, EnvRuntime, OwnedRuntime};

owned_runtime_napi::install!(runtime());

/// The stop bound, in milliseconds, where it isn't the usual one.
const BOUND: &str = "OWNED_RUNTIME_NAPI_TEST_BOUND";

fn runtime() -> OwnedRuntime {
    let runtime = OwnedRuntime::new("napi-test");
    match env::var(BOUND).ok().and_then(|bound| bound.parse().ok()) {
        Some(bound) => runtime.with_stop_bound(Duration::from_millis(bound)),
        None => runtime,
    }
}

#[napi]
pub async fn soon(number: u32) -> u32 {
    number
}

#[napi]
pub async fn sleep(ms: u32) {
    tokio::time::sleep(Duration::from_millis(ms.into())).await;
}

#[napi]
pub async fn fail() -> Result<()> {
    Err(Error::from_reason("as the test wishes"))
}

/// As `soon`, by way of the env's queue.
#[napi]
pub fn later(env: &Env, number: u32) -> Result<PromiseRaw<'_, u32>> {
    owned_runtime_napi::promise(env, async move { Ok(number) })
}

#[napi]
pub fn panic_later(env: &Env) -> Result<PromiseRaw<'_, ()>> {
    owned_runtime_napi::promise(env, async { panic!("as the test wishes") })
}

/// As `sleep`, by way of the env's queue.
#[napi]
pub fn sleep_later(env: &Env, ms: u32) -> Result<PromiseRaw<'_, ()>> {
    owned_runtime_napi::promise(env, async move {
        tokio::time::sleep(Duration::from_millis(ms.into())).await;
        Ok(())
    })
}

/// Ends the runtime's thread. The next call starts one again.
#[napi]
pub fn stop() -> Result<()> {
    EnvRuntime::current()?.runtime().stop().map_err(|error| Error::from_reason(error.to_string()))
}

/// Closes the runtime for good, before the env ends.
#[napi]
pub fn close() -> Result<()> {
    EnvRuntime::current()?.runtime().close().map_err(|error| Error::from_reason(error.to_string()))
}

/// How many of the streams below there are, in all envs.
static STREAMS: AtomicU32 = AtomicU32::new(0);

struct Counted;

impl Counted {
    fn new() -> Self {
        STREAMS.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        STREAMS.fetch_sub(1, Ordering::SeqCst);
    }
}

#[napi]
pub fn streams() -> u32 {
    STREAMS.load(Ordering::SeqCst)
}

/// 1, 2, 3 and so on to `last`, after which comes an error.
#[napi(ts_return_type = "AsyncIterableIterator<number>")]
pub fn ticks(every_us: u32, last: u32) -> AsyncIter<u32> {
    AsyncIter::new(count(every_us, last))
}

fn count(every_us: u32, last: u32) -> impl Stream<Item = Result<u32>> + Send {
    stream::try_unfold((Counted::new(), 0), move |(counted, before)| async move {
        tokio::time::sleep(Duration::from_micros(every_us.into())).await;
        if before == last {
            return Err(Error::from_reason("after the last"));
        }
        Ok(Some((before + 1, (counted, before + 1))))
    })
}

/// Calls back again and again.
#[napi]
pub fn subscribe(every_us: u32, callback: Function<'_, u32, ()>) -> Result<()> {
    let callback = Callback::new(&callback)?;
    owned_runtime_napi::spawn(async move {
        for number in 1.. {
            tokio::time::sleep(Duration::from_micros(every_us.into())).await;
            callback.call(number);
        }
    })?;
    Ok(())
}

/// Calls back once, from a task that has ended by the time of the call.
#[napi]
pub fn call_once(callback: Function<'_, u32, ()>) -> Result<()> {
    let callback = Callback::new(&callback)?;
    owned_runtime_napi::spawn(async move { callback.call(1) })?;
    Ok(())
}

/// Resolves with what the callback returns.
#[napi]
pub fn ask<'env>(env: &'env Env, callback: Function<'env, u32, u32>, number: u32) -> Result<PromiseRaw<'env, u32>> {
    let callback = Callback::new(&callback)?;
    owned_runtime_napi::promise(env, async move { callback.call_and_wait(number).await })
}

/// How many tasks have blocked their thread, in all envs.
static BLOCKED: AtomicU32 = AtomicU32::new(0);

/// A defect: a task that blocks its thread.
#[napi]
pub fn block(ms: u32) -> Result<()> {
    owned_runtime_napi::spawn(async move {
        BLOCKED.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(ms.into()));
    })?;
    Ok(())
}

#[napi]
pub fn blocked() -> u32 {
    BLOCKED.load(Ordering::SeqCst)
}
