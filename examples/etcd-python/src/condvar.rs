use owned_runtime_pyo3::future_into_py;
use pyo3::prelude::*;
use tokio::sync::watch;

/// A flag that is set once, and can be awaited.
#[pyclass(frozen, module = "etcd_client")]
#[derive(Clone)]
pub struct CondVar {
    flag: watch::Sender<bool>,
}

impl CondVar {
    pub fn set(&self) {
        self.flag.send_replace(true);
    }
}

#[pymethods]
impl CondVar {
    #[new]
    fn new() -> Self {
        Self { flag: watch::Sender::new(false) }
    }

    /// An awaitable that completes once the flag is set.
    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // The sender is kept, so only the flag ends the wait.
        let flag = self.flag.clone();
        future_into_py(py, async move {
            let _ = flag.subscribe().wait_for(|set| *set).await;
            Ok(())
        })
    }

    /// Sets the flag. Awaitable, as etcd-client-py's is.
    fn notify_waiters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.set();
        future_into_py(py, async { Ok(()) })
    }
}
