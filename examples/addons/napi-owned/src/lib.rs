//! napi-usual, cured: each env has a runtime of its own, which ends before the env's objects do.

use std::sync::Arc;
use std::time::Duration;

use addon_work::Ticks;
use futures_util::{Stream, TryFutureExt, stream};
use napi::bindgen_prelude::*;
use napi_derive::napi;
use owned_runtime_napi::{AsyncIter, Callback, OwnedRuntime, spawn};
use tokio::sync::{Mutex, mpsc};

owned_runtime_napi::install!(OwnedRuntime::new("napi-owned"));

/// Resolves after a time.
#[napi]
pub async fn sleep(ms: u32) {
    tokio::time::sleep(Duration::from_millis(ms.into())).await;
}

/// Resolves as soon as the runtime has a turn.
#[napi]
pub async fn soon(number: u32) -> u32 {
    number
}

/// Resolves with the server's answer.
#[napi]
pub async fn request(port: u16, payload: Buffer) -> Result<Buffer> {
    Ok(addon_work::request(port, payload.to_vec()).await?.into())
}

/// Ticks, fed by a background task.
#[napi]
pub struct Watch {
    ticks: Arc<Mutex<mpsc::Receiver<String>>>,
}

#[napi]
pub fn watch(port: u16, every_us: u32) -> Result<Watch> {
    let (sender, receiver) = mpsc::channel(64);
    spawn(async move {
        let Ok(mut ticks) = Ticks::connect(port, every_us.into()).await else { return };
        while let Ok(Some(tick)) = ticks.next().await {
            if sender.send(tick).await.is_err() {
                return;
            }
        }
    })?;
    Ok(Watch { ticks: Arc::new(Mutex::new(receiver)) })
}

#[napi]
impl Watch {
    /// The next tick, by a future that borrows this object.
    #[napi]
    pub async fn next(&self) -> Option<String> {
        self.ticks.lock().await.recv().await
    }

    /// The same by a future that borrows nothing.
    #[napi(ts_return_type = "Promise<string | null>")]
    pub fn next_cloned<'env>(&self, env: &'env Env) -> Result<PromiseRaw<'env, Option<String>>> {
        let ticks = self.ticks.clone();
        env.spawn_future(async move { Ok(ticks.lock().await.recv().await) })
    }
}

/// Calls back from the background for each tick.
#[napi]
pub fn subscribe(port: u16, every_us: u32, callback: Function<'_, String, ()>) -> Result<()> {
    let callback = Callback::new(&callback)?;
    spawn(async move {
        let Ok(mut ticks) = Ticks::connect(port, every_us.into()).await else { return };
        while let Ok(Some(tick)) = ticks.next().await {
            callback.call(tick);
        }
    })?;
    Ok(())
}

/// The ticks as an async iterator, which a slow reader holds back.
#[napi(ts_return_type = "AsyncIterableIterator<string>")]
pub fn ticks(port: u16, every_us: u32) -> AsyncIter<String> {
    let connected = async move { Ok(Ticks::connect(port, every_us.into()).await?) };
    AsyncIter::new(connected.map_ok(each_tick).try_flatten_stream())
}

fn each_tick(ticks: Ticks) -> impl Stream<Item = Result<String>> + Send {
    stream::try_unfold(ticks, |mut ticks| async move { Ok(ticks.next().await?.map(|tick| (tick, ticks))) })
}

/// A defect, to see it reported: a task that blocks its thread, for which the runtime's end waits.
#[napi]
pub fn block(ms: u32) -> Result<()> {
    spawn(async move { std::thread::sleep(Duration::from_millis(ms.into())) })?;
    Ok(())
}
