use std::sync::Arc;

use tokio::sync::watch;

/// Tells a task that its runtime is about to end, so that it can end cleanly.
///
/// From [`OwnedRuntime::stopping`](crate::OwnedRuntime::stopping). When the runtime is stopped or closed, tasks
/// continue as long as any clone of this lives, but no longer than the [drain
/// bound](crate::OwnedRuntime::with_drain_bound). So hold it until the task's last step is done:
///
/// ```
/// # use std::sync::mpsc;
/// # use std::time::Duration;
/// use owned_runtime::OwnedRuntime;
///
/// let runtime = OwnedRuntime::new("my-addon").with_drain_bound(Duration::from_secs(1));
/// let stopping = runtime.stopping()?;
/// # let (sender, receiver) = mpsc::channel();
/// runtime.spawn(async move {
///     stopping.requested().await;
///     tokio::task::yield_now().await; // say goodbye to the server
/// #   sender.send("goodbye").ok();
///     drop(stopping);
/// })?;
/// runtime.close()?;
/// # assert_eq!(receiver.try_recv()?, "goodbye");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Returns once the runtime has been asked to stop. Cancel-safe.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        while !*receiver.borrow_and_update() {
            if receiver.changed().await.is_err() {
                // The runtime is gone already.
                return;
            }
        }
    }

    /// Whether the runtime has been asked to stop.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

/// The runtime's side.
#[derive(Clone)]
pub(crate) struct Drain(Arc<watch::Sender<bool>>);

impl Drain {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }

    pub(crate) fn signal(&self) -> Stopping {
        Stopping(self.0.subscribe())
    }

    /// Informs every holder, and returns once there are none.
    pub(crate) async fn run(&self) {
        self.0.send_replace(true);
        self.0.closed().await;
    }
}
