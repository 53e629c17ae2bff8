//! The bounded queue between deciding and writing. When it is full the watch stops reading; nothing is dropped.

mod lanes;

pub(crate) use lanes::Scope;
use lanes::{Lanes, Next};

use super::ledger::Ledger;
pub use super::write::{StatusPatch, Unviewed, Write};
use crate::metrics::Metrics;
use crate::workload::ResourceVersion;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// The budget is counted in units of this many bytes.
const UNIT: usize = 1024;
/// What a Revision takes beside its snapshot's data, roughly.
const OVERHEAD: usize = 2 * UNIT;

/// One write on its way.
#[derive(Debug)]
pub struct Item {
    /// What is written.
    pub write: Write,
    /// metadata.uid of its workload.
    pub workload: Uuid,
    /// When it was seen.
    pub seen: Instant,
    /// Where it was seen.
    pub at: ResourceVersion,
    /// Another place that is settled with it, and pending already.
    pub also: Option<ResourceVersion>,
    /// Told when it has arrived.
    pub ledger: Ledger,
}

#[derive(Debug)]
pub(super) struct Queued {
    pub(super) item: Item,
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl lanes::Item for Queued {
    fn workload(&self) -> Uuid {
        self.item.workload
    }

    fn namespace(&self) -> &str {
        self.item.write.namespace()
    }
}

/// The queue. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    budget: Arc<Semaphore>,
    units: usize,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct State {
    lanes: Lanes<Queued>,
    closed: bool,
}

impl Queue {
    /// A queue for Revisions of `bytes` bytes together.
    pub fn new(bytes: usize, metrics: &Metrics) -> Self {
        let units = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        let shared = Shared {
            state: Mutex::default(),
            changed: Notify::new(),
            budget: Arc::new(Semaphore::new(units)),
            units,
            metrics: metrics.clone(),
        };
        Self { shared: Arc::new(shared) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `item`, after waiting for room. One larger than the whole queue waits until that is empty.
    pub async fn push(&self, item: Item) {
        item.ledger.pending(item.at);
        self.push_pending(item).await;
    }

    /// Adds an item whose place is pending already.
    pub(super) async fn push_pending(&self, item: Item) {
        let bytes = item.write.data() + OVERHEAD;
        let units = bytes.div_ceil(UNIT).min(self.shared.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let permit = self.shared.budget.clone().acquire_many_owned(units).await.ok();
        self.state().lanes.push(Queued { item, bytes, permit });
        self.shared.metrics.queue_length.inc();
        self.shared.metrics.queue_bytes.inc_by(size(bytes));
        self.shared.changed.notify_one();
    }

    /// The next item, when there is one to write; none when the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<Queued> {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let until = {
                let mut state = self.state();
                if state.closed && state.lanes.len() == 0 {
                    return None;
                }
                match state.lanes.take(Instant::now()) {
                    Next::Item(queued) => {
                        if state.lanes.has_ready() {
                            self.shared.changed.notify_one();
                        }
                        return Some(queued);
                    }
                    Next::Wait(until) => until,
                }
            };
            match until {
                Some(until) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(until) => {}
                },
                None => changed.await,
            }
        }
    }

    /// `queued` has arrived, or never will.
    pub(super) fn done(&self, queued: Queued) {
        let Queued { item, bytes, permit } = queued;
        item.ledger.done(item.at);
        if let Some(also) = item.also {
            item.ledger.done(also);
        }
        drop(permit);
        self.shared.metrics.queue_length.dec();
        self.shared.metrics.queue_bytes.dec_by(size(bytes));
        let mut state = self.state();
        let opened = state.lanes.done(item.workload);
        if opened || state.closed {
            self.shared.changed.notify_waiters();
        }
        self.shared.changed.notify_one();
    }

    /// `queued` comes again later.
    pub(super) fn failed(&self, queued: Queued, scope: Scope, delay: impl Fn(u32) -> Duration) {
        self.state().lanes.failed(queued, scope, Instant::now(), delay);
        self.shared.changed.notify_waiters();
        self.shared.changed.notify_one();
    }

    /// Drops everything that waits: it was of another history. What is being written is written.
    pub fn clear(&self) {
        let dropped = self.state().lanes.clear();
        for Queued { bytes, .. } in dropped {
            self.shared.metrics.queue_length.dec();
            self.shared.metrics.queue_bytes.dec_by(size(bytes));
        }
    }

    /// How many are waiting or being written.
    pub fn len(&self) -> usize {
        self.state().lanes.len()
    }

    /// Whether nothing is waiting or being written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nothing more comes; [`Queue::next`] ends when what is there has been written.
    pub fn close(&self) {
        self.state().closed = true;
        self.shared.changed.notify_waiters();
    }
}

fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
