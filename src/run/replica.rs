//! The tasks of a replica: how they are watched over, and in which order they end.

use super::deps::Deps;
use super::tasks::Tasks;
use super::{definition, reading};
use crate::record::writer::Writer;
use crate::watch::checkpoint::Checkpoint;
use anyhow::bail;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// So many namespaces may have all their writes held up before those of others wait.
const SLOW_NAMESPACES: u32 = 4;

/// A replica that runs: its tasks by when they end. Dropping it ends all of them.
pub(super) struct Replica {
    pub(super) deps: Deps,
    /// End at once when the replica stops.
    pub(super) reading: Tasks,
    /// Written a last time when everything else is.
    pub(super) checkpoint: Option<Arc<Checkpoint>>,
    /// End when the queue is empty.
    pub(super) writing: Tasks,
    /// End when the requests that are under way have their answers.
    pub(super) answering: Tasks,
    /// End last, so that a process that drains can still be asked how it is.
    pub(super) serving: Tasks,
}

impl Replica {
    /// Nothing runs yet.
    pub(super) fn new(deps: Deps) -> Self {
        Self {
            deps,
            reading: Tasks::default(),
            checkpoint: None,
            writing: Tasks::default(),
            answering: Tasks::default(),
            serving: Tasks::default(),
        }
    }

    /// Waits until the definition of Revisions takes what this version writes. False when the replica is to stop before.
    pub(super) async fn is_let_write(&self) -> bool {
        let deps = &self.deps;
        let current =
            definition::wait_until_current(&deps.clients.call, &deps.namespace, &deps.ready);
        deps.stop.run_until_cancelled(current).await.is_some()
    }

    /// Starts the writers: so many for a namespace, and room for several namespaces that are slow at the same time.
    pub(super) fn write(&mut self, writers: u16) {
        let deps = &self.deps;
        let writer = Writer::new(
            deps.clients.create.clone(),
            deps.queue.clone(),
            deps.recorder.reporter.clone(),
            &deps.metrics,
        )
        .hiding(&deps.recorder.settings.names)
        .knowing(&deps.recorder.lives)
        .telling(deps.recorder.archive.clone());
        for _ in 0..u32::from(writers) * SLOW_NAMESPACES {
            self.writing.spawn("writer", writer.clone().run());
        }
    }

    /// Waits until the replica is to stop. A task that ends before is a defect, and ends the process.
    pub(super) async fn supervise(&mut self) -> anyhow::Result<()> {
        let stop = self.deps.stop.clone();
        let rewound = self.deps.rewound.clone();
        loop {
            tokio::select! {
                // In this order: when the replica is to stop, tasks end as they should.
                biased;
                () = stop.cancelled() => return Ok(()),
                () = rewound.notified() => self.start_over().await,
                Some(ended) = self.reading.ended() => bail!("a task ended: {ended:?}"),
                Some(ended) = self.writing.ended() => bail!("a task ended: {ended:?}"),
                Some(ended) = self.answering.ended() => bail!("a task ended: {ended:?}"),
                Some(ended) = self.serving.ended() => bail!("a task ended: {ended:?}"),
            }
        }
    }

    /// etcd was restored: what is in memory, and what waits to be written, is of another history.
    async fn start_over(&mut self) {
        // First of all, so that no caller is answered that there is nothing.
        self.deps.ready.reset();
        self.deps.filled.reset();
        self.reading.shutdown().await;
        self.deps.queue.clear();
        self.deps.quiet.clear();
        self.deps.cache.clear();
        self.deps.recorder.observer.clear();
        reading::start(self);
    }

    /// Ends everything in order: writes what is waiting, for at most `drain`, then the checkpoint.
    pub(super) async fn finish(mut self, drain: Duration) -> anyhow::Result<()> {
        // Changes that are read and not yet handed over are read again at the next start.
        self.reading.shutdown().await;
        let drained = timeout(drain, self.drain()).await;
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint.save().await;
        }
        // The port gives requests that are under way a while for their answers and then ends by itself.
        self.answering.all_ended().await;
        let left = self.deps.queue.len();
        if drained.is_err() || left > 0 {
            bail!("{left} Revisions were not written in {} s", drain.as_secs());
        }
        tracing::info!("stopped; everything is written");
        Ok(())
    }

    async fn drain(&mut self) {
        self.deps.quiet.flush().await;
        self.deps.queue.close();
        self.writing.all_ended().await;
    }
}
