use owned_runtime_pyo3::future_into_py;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::client_error;
use crate::communicator::Communicator;

/// Where etcd is. `async with Client(["http://127.0.0.1:2379"]).connect() as etcd:` connects.
#[pyclass(frozen, module = "etcd_client")]
#[derive(Clone)]
pub struct Client {
    endpoints: Vec<String>,
}

#[pymethods]
impl Client {
    #[new]
    fn new(endpoints: Vec<String>) -> Self {
        Self { endpoints }
    }

    /// For `async with`.
    fn connect(&self) -> Self {
        self.clone()
    }

    fn __aenter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let endpoints = self.endpoints.clone();
        future_into_py(py, async move {
            let client = etcd_client::Client::connect(endpoints, None).await.map_err(client_error)?;
            Ok(Communicator::new(client))
        })
    }

    /// Nothing needs to be closed: the connection ends with the last object that uses it, and the runtime with the
    /// interpreter.
    #[pyo3(signature = (*_exception))]
    fn __aexit__<'py>(&self, py: Python<'py>, _exception: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        future_into_py(py, async { Ok(()) })
    }
}
