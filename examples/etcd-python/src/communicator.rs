use owned_runtime_pyo3::future_into_py;
use pyo3::prelude::*;

use crate::client_error;
use crate::condvar::CondVar;
use crate::watch;

/// A connection's calls.
#[pyclass(frozen, module = "etcd_client")]
pub struct Communicator {
    client: etcd_client::Client,
}

impl Communicator {
    pub fn new(client: etcd_client::Client) -> Self {
        Self { client }
    }
}

#[pymethods]
impl Communicator {
    /// An awaitable of the key's value; of None if there is no such key.
    fn get<'py>(&self, py: Python<'py>, key: Vec<u8>) -> PyResult<Bound<'py, PyAny>> {
        let mut client = self.client.clone();
        future_into_py(py, async move {
            let answer = client.get(key, None).await.map_err(client_error)?;
            Ok(answer.kvs().first().map(|kv| kv.value().to_vec()))
        })
    }

    /// An awaitable that completes when the value is stored.
    fn put<'py>(&self, py: Python<'py>, key: Vec<u8>, value: Vec<u8>) -> PyResult<Bound<'py, PyAny>> {
        let mut client = self.client.clone();
        future_into_py(py, async move { client.put(key, value, None).await.map(drop).map_err(client_error) })
    }

    /// An awaitable that completes when the key is deleted.
    fn delete<'py>(&self, py: Python<'py>, key: Vec<u8>) -> PyResult<Bound<'py, PyAny>> {
        let mut client = self.client.clone();
        future_into_py(py, async move { client.delete(key, None).await.map(drop).map_err(client_error) })
    }

    /// An async iterator of the key's events. The first `__anext__` makes the watch; `ready_event` is set once etcd has it.
    #[pyo3(signature = (key, *, once=false, ready_event=None))]
    fn watch<'py>(
        &self,
        py: Python<'py>,
        key: Vec<u8>,
        once: bool,
        ready_event: Option<Bound<'py, CondVar>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ready = ready_event.map(|event| event.get().clone());
        watch::events(py, self.client.clone(), key, once, ready)
    }
}
