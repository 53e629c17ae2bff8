//! Generations that changed nothing, on their way into the status of the Revision before them.
//!
//! A restart must not mistake them for generations that were not seen. An autoscaler makes hundreds of them, so they are
//! written some seconds later and only the last one; the checkpoint waits for that.

use super::ledger::Ledger;
use super::lives::Origin;
use super::queue::{Item, Pending, Queue, StatusPatch, Write};
use crate::mutant::{self, Mutant};
use crate::revision::ObservedThrough;
use crate::workload::ResourceVersion;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const DEBOUNCE: Duration = Duration::from_secs(5);

/// The quiet generations of all kinds. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Quiet {
    /// By workload, so that patches that are due together are handed in in one order.
    waiting: Arc<Mutex<BTreeMap<Uuid, Waiting>>>,
    queue: Queue,
}

#[derive(Debug)]
struct Waiting {
    patch: StatusPatch,
    /// The resourceVersion at which the first of them was seen.
    first: ResourceVersion,
    due: Instant,
    ledger: Ledger,
}

impl Quiet {
    /// None yet; they will go into `queue`.
    pub fn new(queue: Queue) -> Self {
        Self {
            waiting: Arc::default(),
            queue,
        }
    }

    /// A generation changed nothing; `patch` says so of its workload's newest Revision.
    pub(super) fn note(
        &self,
        workload: Uuid,
        patch: StatusPatch,
        at: ResourceVersion,
        ledger: &Ledger,
    ) {
        let mut all = self.waiting.lock();
        if let Some(waiting) = all.get_mut(&workload) {
            waiting.patch = patch;
            return;
        }
        if !mutant::is(Mutant::ObservedNotAwaited) {
            ledger.pending(at);
        }
        let due = Instant::now() + DEBOUNCE;
        all.insert(
            workload,
            Waiting {
                patch,
                first: at,
                due,
                ledger: ledger.clone(),
            },
        );
    }

    /// A later Revision makes the quiet generations before it unimportant. Returns the resourceVersion at which the
    /// first was seen, which is still pending.
    pub(super) fn overtaken(&self, workload: Uuid) -> Option<ResourceVersion> {
        self.waiting
            .lock()
            .remove(&workload)
            .map(|waiting| waiting.first)
    }

    /// Hands in what is due, for ever.
    pub async fn run(self) {
        loop {
            sleep(DEBOUNCE / 10).await;
            self.hand_in(Instant::now()).await;
        }
    }

    /// Hands in everything, before the end.
    pub async fn flush(&self) {
        self.hand_in(Instant::now() + DEBOUNCE).await;
    }

    /// Forgets everything: it was of another history.
    pub fn clear(&self) {
        self.waiting.lock().clear();
    }

    async fn hand_in(&self, now: Instant) {
        let due: Vec<_> = self
            .waiting
            .lock()
            .extract_if(.., |_, waiting| waiting.due <= now)
            .collect();
        for (workload, waiting) in due {
            self.queue.push_pending(waiting.into_item(workload)).await;
        }
    }
}

impl Waiting {
    /// The write. It is pending from before, so that the checkpoint never passes it.
    fn into_item(self, workload: Uuid) -> Item {
        Item {
            write: Write::Status(self.patch),
            workload,
            origin: Origin::default(),
            seen: Instant::now(),
            ledger: self.ledger,
            pending: Pending::At(self.first, None),
        }
    }
}

impl StatusPatch {
    /// Says that everything up to a generation changed nothing.
    pub(super) fn through(mut self, generation: i64, at: ResourceVersion) -> Self {
        let back = i64::from(mutant::is(Mutant::ObservedBackwards)) * 2 * (generation % 2);
        let generation = generation - back;
        self.observed_through = Some(ObservedThrough {
            generation,
            resource_version: at.to_string(),
        });
        self
    }
}
