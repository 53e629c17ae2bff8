//! The bounded queue between deciding and writing. When it is full the watch stops reading; nothing is dropped.

mod gate;
mod holds;
mod lanes;

use gate::Streak;
use holds::Holds;
pub(crate) use holds::{Place, Proof};
pub(crate) use lanes::{Cause, Scope};
use lanes::{Failed, Lanes, Next};

use super::ledger::Ledger;
pub use super::write::{StatusPatch, Unviewed, Write};
use crate::metrics::{Metrics, ReasonLabels};
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
/// What passes by itself and does not, for so many attempts or so long, is told like everything that holds writing.
const LASTING: (u32, Duration) = (5, Duration::from_secs(30));

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
    epoch: u64,
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
    holds: Holds,
    closed: bool,
    /// When something last came or was settled.
    used: Option<Instant>,
    /// How often the queue was cleared.
    epoch: u64,
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
        Self {
            shared: Arc::new(shared),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
        let permit = self
            .shared
            .budget
            .clone()
            .acquire_many_owned(units)
            .await
            .ok();
        let mut state = self.state();
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
    pub(super) fn done(&self, queued: Queued, proof: Proof) {
        let mut state = self.state();
        // Of another history, nobody waits for it.
        if queued.epoch == state.epoch {
            queued.item.ledger.done(queued.item.at);
            if let Some(also) = queued.item.also {
                queued.item.ledger.done(also);
            }
        }
        self.settle(&mut state, queued, proof);
    }

    fn settle(&self, state: &mut State, queued: Queued, proof: Proof) {
        let (workload, namespace) = (queued.item.workload, queued.item.write.namespace());
        let now = Instant::now();
        let opened = state.lanes.done(workload, namespace, proof, now);
        state.used = Some(now);
        let over = state
            .holds
            .settle(proof, workload, namespace, state.lanes.len() == 0);
        self.over(state, &over);
        self.shared.metrics.queue_length.dec();
        self.shared.metrics.queue_bytes.dec_by(size(queued.bytes));
        drop(queued.permit);
        if opened || state.closed {
            self.shared.changed.notify_waiters();
        }
        self.shared.changed.notify_one();
    }

    /// `queued` comes again later, unless the queue was cleared since it was handed in. Whom that holds, when it is
    /// news that has to be told.
    pub(super) fn failed(
        &self,
        queued: Queued,
        cause: Cause,
        reason: &'static str,
        delay: impl Fn(u32) -> Duration,
    ) -> Option<Place> {
        let mut state = self.state();
        if queued.epoch != state.epoch {
            self.settle(&mut state, queued, Proof::Answered);
            return None;
        }
        let (workload, namespace) = (
            queued.item.workload,
            queued.item.write.namespace().to_owned(),
        );
        let now = Instant::now();
        let failed = state.lanes.failed(queued, cause, now, delay);
        if !cause.passing {
            let over = state.holds.answered();
            self.over(&state, &over);
        }
        let place = place(cause, &failed, now, workload, namespace);
        let place = place.filter(|_| !state.holds.knows(reason, workload));
        let news = place.filter(|place| state.holds.raise(reason, place.clone(), cause.passing));
        if news.is_some() {
            self.shared
                .metrics
                .held
                .get_or_create(&ReasonLabels { reason })
                .set(1);
        }
        self.shared.changed.notify_waiters();
        self.shared.changed.notify_one();
        news
    }

    /// These hold nobody any more.
    fn over(&self, state: &State, over: &[(&'static str, Place)]) {
        for (reason, place) in over {
            let held = self
                .shared
                .metrics
                .held
                .get_or_create(&ReasonLabels { reason });
            held.set(state.holds.holds(reason).into());
            tracing::info!(reason, ?place, "writing Revisions goes on");
        }
    }

    /// Drops everything that waits: it was of another history. What is being written is written, or dropped when that
    /// fails.
    pub fn clear(&self) {
        let mut state = self.state();
        state.epoch += 1;
        let dropped = state.lanes.clear();
        let over = state.holds.clear();
        self.over(&state, &over);
        drop(state);
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

    /// For how long nothing has been waiting or being written.
    pub fn quiet(&self) -> Duration {
        let state = self.state();
        let quiet = state.used.map_or(Duration::MAX, |used| used.elapsed());
        if state.lanes.len() == 0 {
            quiet
        } else {
            Duration::ZERO
        }
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

/// Whom a failure holds; nobody when it will probably have passed soon.
fn place(
    cause: Cause,
    failed: &Failed,
    now: Instant,
    workload: Uuid,
    namespace: String,
) -> Option<Place> {
    let lasts = |streak: Streak| {
        let long = streak
            .since
            .is_some_and(|since| now.duration_since(since) >= LASTING.1);
        !cause.passing || streak.failures >= LASTING.0 || long
    };
    match failed.scope {
        Scope::All | Scope::Unclear if lasts(failed.gate) => Some(Place::All),
        Scope::Namespace if lasts(failed.lane) => Some(Place::Namespace(namespace)),
        _ if lasts(failed.lane) => Some(Place::Workload(workload)),
        _ => None,
    }
}
