//! The bounded queue between deciding and writing. When it is full the watch stops reading; nothing is dropped.
//!
//! In: writes, and their fates. Out: the next write. The order of writes ([`Lanes`]) and what holds them ([`Holds`])
//! are plain values; this module adds the lock, the clock, the bound, metrics and the log.

mod evidence;
mod gate;
mod holds;
mod lanes;

pub(crate) use evidence::{Cause, Proof, Scope};
pub(crate) use holds::HoldScope;
use holds::{Hold, Holds};
use lanes::{LaneItem, Lanes, Next};

use super::ledger::Ledger;
pub use super::write::{StatusPatch, Unviewed, Write};
use crate::metrics::{Metrics, ReasonLabels};
use crate::mutant::{self, Mutant};
use crate::workload::ResourceVersion;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// The budget is counted in units of this many bytes.
const UNIT: usize = 1024;
/// The size of a Revision without its snapshot's data, roughly.
const OVERHEAD: usize = 2 * UNIT;

/// One write on its way.
#[derive(Debug)]
pub struct Item {
    /// The write itself.
    pub write: Write,
    /// metadata.uid of its workload.
    pub workload: Uuid,
    /// The time at which its change was seen.
    pub seen: Instant,
    /// The resourceVersion at which its change was seen; it is pending until the write is settled.
    pub at: ResourceVersion,
    /// Another resourceVersion that is settled with it, and pending already.
    pub also: Option<ResourceVersion>,
    /// The ledger in which both are pending.
    pub ledger: Ledger,
}

#[derive(Debug)]
pub(super) struct Queued {
    pub(super) item: Item,
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
    epoch: u64,
}

impl LaneItem for Queued {
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
    inner: Arc<QueueInner>,
}

#[derive(Debug)]
struct QueueInner {
    state: Mutex<QueueState>,
    changed: Notify,
    budget: Arc<Semaphore>,
    units: usize,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct QueueState {
    lanes: Lanes<Queued>,
    holds: Holds,
    closed: bool,
    /// The time at which something last came or was settled.
    used: Option<Instant>,
    /// The number of times that the queue was cleared.
    epoch: u64,
}

impl Queue {
    /// A queue for Revisions of `bytes` bytes together.
    pub fn new(bytes: usize, metrics: &Metrics) -> Self {
        let units = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        let inner = QueueInner {
            state: Mutex::default(),
            changed: Notify::new(),
            budget: Arc::new(Semaphore::new(units)),
            units,
            metrics: metrics.clone(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Adds `item`, after waiting for room. One larger than the whole queue waits until that is empty.
    pub async fn push(&self, item: Item) {
        item.ledger.pending(item.at);
        if mutant::is(Mutant::SettledBeforeStored) {
            item.ledger.done(item.at);
        }
        self.push_pending(item).await;
    }

    /// Adds an item whose resourceVersion is pending already.
    pub(super) async fn push_pending(&self, item: Item) {
        let bytes = item.write.data() + OVERHEAD;
        let wanted = bytes.div_ceil(UNIT).min(self.inner.units);
        let units = u32::try_from(wanted).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let permit = self
            .inner
            .budget
            .clone()
            .acquire_many_owned(units)
            .await
            .ok();
        let mut state = self.inner.state.lock();
        let epoch = state.epoch;
        let now = Instant::now();
        state.lanes.push(
            Queued {
                item,
                bytes,
                permit,
                epoch,
            },
            now,
        );
        state.used = Some(now);
        drop(state);
        self.inner.metrics.queue_length.inc();
        self.inner.metrics.queue_bytes.inc_by(size(bytes));
        self.inner.changed.notify_one();
    }

    /// The next item, when there is one to write; none when the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<Queued> {
        loop {
            let changed = self.inner.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.take()? {
                Next::Item(queued) => return Some(queued),
                Next::Wait(Some(until)) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(until) => {}
                },
                Next::Wait(None) => changed.await,
            }
        }
    }

    /// The next thing to do; none when the queue is closed and empty.
    fn take(&self) -> Option<Next<Queued>> {
        let mut state = self.inner.state.lock();
        if state.closed && state.lanes.len() == 0 {
            return None;
        }
        let next = state.lanes.take(Instant::now());
        if matches!(next, Next::Item(_)) && state.lanes.has_ready() {
            self.inner.changed.notify_one();
        }
        Some(next)
    }

    /// `queued` has arrived, or never will.
    pub(super) fn done(&self, queued: Queued, proof: Proof) {
        let mut state = self.inner.state.lock();
        // The ledger does not wait for a write of another history.
        if queued.epoch == state.epoch {
            queued.item.ledger.done(queued.item.at);
            if let Some(also) = queued.item.also {
                queued.item.ledger.done(also);
            }
        }
        self.settle(&mut state, queued, proof);
    }

    fn settle(&self, state: &mut QueueState, queued: Queued, proof: Proof) {
        let workload = queued.item.workload;
        let namespace = queued.item.write.namespace();
        let now = Instant::now();
        let opened = state.lanes.done(workload, namespace, proof, now);
        state.used = Some(now);
        let idle = state.lanes.len() == 0;
        let over = state.holds.settle(proof, workload, namespace, idle);
        self.tell_over(state, &over);
        self.inner.metrics.queue_length.dec();
        self.inner.metrics.queue_bytes.dec_by(size(queued.bytes));
        drop(queued.permit);
        if opened || state.closed {
            self.inner.changed.notify_waiters();
        }
        self.inner.changed.notify_one();
    }

    /// `queued` comes again later, unless the queue was cleared since it was handed in. Returns the writes that are
    /// held by that, when the hold is new and has to be reported.
    pub(super) fn failed(
        &self,
        queued: Queued,
        cause: Cause,
        reason: &'static str,
        delay: impl Fn(u32) -> Duration,
    ) -> Option<HoldScope> {
        let mut state = self.inner.state.lock();
        if queued.epoch != state.epoch {
            self.settle(&mut state, queued, Proof::Answered);
            return None;
        }
        let workload = queued.item.workload;
        let namespace = queued.item.write.namespace().to_owned();
        let now = Instant::now();
        let failed = state.lanes.failed(queued, cause, now, delay);
        if !cause.passing {
            let over = state.holds.answered();
            self.tell_over(&state, &over);
        }
        let news = HoldScope::of(cause, &failed, workload, &namespace, now)
            .filter(|scope| state.holds.raise(reason, scope, workload, cause.passing));
        if news.is_some() {
            self.set_held(reason, true);
        }
        self.inner.changed.notify_waiters();
        self.inner.changed.notify_one();
        news
    }

    fn tell_over(&self, state: &QueueState, over: &[Hold]) {
        for Hold { reason, scope } in over {
            self.set_held(reason, state.holds.holds(reason));
            tracing::info!(reason, ?scope, "writing Revisions goes on");
        }
    }

    fn set_held(&self, reason: &'static str, held: bool) {
        self.inner
            .metrics
            .held
            .get_or_create(&ReasonLabels { reason })
            .set(held.into());
    }

    /// Drops everything that waits: it was of another history. A write that is on its way is finished, or dropped when
    /// it fails.
    pub fn clear(&self) {
        let mut state = self.inner.state.lock();
        state.epoch += 1;
        let dropped = state.lanes.clear();
        let over = state.holds.clear();
        self.tell_over(&state, &over);
        drop(state);
        for Queued { bytes, .. } in dropped {
            self.inner.metrics.queue_length.dec();
            self.inner.metrics.queue_bytes.dec_by(size(bytes));
        }
    }

    /// The number of items that are waiting or being written.
    pub fn len(&self) -> usize {
        self.inner.state.lock().lanes.len()
    }

    /// Whether nothing is waiting or being written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The time for which nothing has been waiting or being written.
    pub fn quiet(&self) -> Duration {
        let state = self.inner.state.lock();
        let quiet = state.used.map_or(Duration::MAX, |used| used.elapsed());
        if state.lanes.len() == 0 {
            quiet
        } else {
            Duration::ZERO
        }
    }

    /// Nothing more comes; [`Queue::next`] ends when the queue is empty.
    pub fn close(&self) {
        self.inner.state.lock().closed = true;
        self.inner.changed.notify_waiters();
    }
}

fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
