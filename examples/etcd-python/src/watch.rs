use etcd_client::Event;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use owned_runtime_pyo3::stream_into_py;
use pyo3::prelude::*;

use crate::client_error;
use crate::condvar::CondVar;

/// What happened to a key.
#[pyclass(frozen, get_all, module = "etcd_client")]
pub struct WatchEvent {
    key: Vec<u8>,
    /// Empty if the key was deleted.
    value: Vec<u8>,
}

impl From<&Event> for WatchEvent {
    fn from(event: &Event) -> Self {
        let (key, value) = event.kv().map(|kv| (kv.key().to_vec(), kv.value().to_vec())).unwrap_or_default();
        Self { key, value }
    }
}

/// The events of a key as an async iterator.
pub fn events(
    py: Python<'_>,
    mut client: etcd_client::Client,
    key: Vec<u8>,
    once: bool,
    ready: Option<CondVar>,
) -> PyResult<Bound<'_, PyAny>> {
    let start = async move {
        let (watcher, answers) = client.watch(key, None).await.map_err(client_error)?;
        if let Some(ready) = ready {
            ready.set();
        }
        // The watch ends with its watcher.
        let events = answers.map_err(client_error).map_ok(move |answer| {
            let _keep = &watcher;
            let events: Vec<_> = answer.events().iter().map(|event| Ok(WatchEvent::from(event))).collect();
            stream::iter(events)
        });
        Ok::<_, PyErr>(events.try_flatten())
    };
    stream_into_py(py, stream::once(start).try_flatten().take(if once { 1 } else { usize::MAX }))
}
