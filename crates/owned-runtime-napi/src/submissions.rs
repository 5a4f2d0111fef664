//! The way of JavaScript's calls to the runtime. tokio makes a system call for each task that another thread spawns on
//! a current-thread runtime. Here a task of the runtime spawns them, and is woken only once for all that come together.

use std::mem;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use owned_runtime::StartError;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What a call runs.
pub type Submitted = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The submissions of one env. They open with the first call, and again if the runtime was stopped meanwhile.
#[derive(Default)]
pub struct Submissions(Mutex<Option<UnboundedSender<Submitted>>>);

impl Submissions {
    /// The open channel, otherwise a new one on the runtime that `start` returns. What is sent there while the runtime
    /// ends is dropped.
    pub fn open(
        &self,
        start: impl FnOnce() -> Result<Handle, StartError>,
    ) -> Result<UnboundedSender<Submitted>, StartError> {
        if let Some(open) = self.lock().as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let handle = start()?;
        let (sender, calls) = unbounded_channel();
        let before = self.lock().replace(sender.clone());
        // It may drop calls, and dropping them may come back here.
        drop(before);
        handle.spawn(spawn_each(calls));
        Ok(sender)
    }

    pub fn close(&self) {
        let open = mem::take(&mut *self.lock());
        drop(open);
    }

    fn lock(&self) -> MutexGuard<'_, Option<UnboundedSender<Submitted>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn spawn_each(mut calls: UnboundedReceiver<Submitted>) {
    while let Some(call) = calls.recv().await {
        tokio::spawn(call);
    }
}
