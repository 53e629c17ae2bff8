//! Tasks that end at the same time.

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

/// Tasks that end at the same time, at the latest when this is dropped.
#[derive(Default)]
pub(super) struct Tasks(JoinSet<&'static str>);

impl Tasks {
    /// Starts `task`. `name` tells it apart where a task that ended is reported.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.0.spawn(async move {
            task.await;
            name
        });
    }

    /// The next one that ends; none when there is none left.
    pub(super) async fn ended(&mut self) -> Option<Result<&'static str, JoinError>> {
        self.0.join_next().await
    }

    /// Waits until all have ended by themselves.
    pub(super) async fn all_ended(&mut self) {
        while self.ended().await.is_some() {}
    }

    /// Ends all of them at once.
    pub(super) async fn shutdown(&mut self) {
        self.0.shutdown().await;
    }
}

/// Waits until a flag is raised, or its sender is gone.
pub(super) async fn raised(mut flag: watch::Receiver<bool>) {
    let _ = flag.wait_for(|raised| *raised).await;
}
