//! A small etcd client for Python, with the part of etcd-client-py's API that the programs of scenarios/python use.
//!
//! It makes its calls with the same crate as etcd-client-py, but on owned-runtime-pyo3. Any difference at exit comes
//! from the runtime.

mod client;
mod communicator;
mod condvar;
mod watch;

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(etcd_client, ClientError, PyException, "A call failed: the server refused it, or can't be reached.");

fn client_error(error: etcd_client::Error) -> PyErr {
    ClientError::new_err(error.to_string())
}

#[pymodule]
#[pyo3(name = "etcd_client")]
fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
    owned_runtime_pyo3::install(module)?;
    module.add("ClientError", module.py().get_type::<ClientError>())?;
    module.add_class::<client::Client>()?;
    module.add_class::<communicator::Communicator>()?;
    module.add_class::<condvar::CondVar>()?;
    module.add_class::<watch::WatchEvent>()
}
