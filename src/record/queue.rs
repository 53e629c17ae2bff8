//! The bounded queue between deciding and writing. When it is full the watch stops reading; nothing is dropped.
//!
//! In: writes, and their fates. Out: the next write. The order of writes ([`Lanes`]), what holds them ([`Holds`]) and
//! their shares of the bound ([`Budget`]) are plain values; this module adds the lock, the clock, metrics and the log.

mod budget;
pub mod evidence;
mod exceptions;
mod gate;
mod hedge;
pub mod holds;
mod item;
mod lane;
pub mod lanes;
mod peers;
mod spaces;

use budget::Budget;
pub(crate) use evidence::{Cause, Proof, Scope};
use hedge::Hedge;
pub(crate) use holds::HoldScope;
use holds::{Hold, Holds};
pub(in crate::record) use item::Queued;
pub use item::{Item, Pending};
use lanes::{Given, Lanes, Next};
pub use peers::Peers;

pub use super::write::{StatusPatch, Unviewed, Write};
use crate::clock;
use crate::metrics::{Metrics, ReasonLabels};
use crate::mutant::{self, Mutant};
use crate::watch::Room;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// The size of a Revision without its snapshot's data, roughly.
const OVERHEAD: usize = 2 << 10;

/// Writing that is held, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The reason, one CamelCase word.
    pub reason: &'static str,
    /// The namespace that is held; none: all of them, or one workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// metadata.uid of the workload that is held; none: more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Uuid>,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// The queue. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Queue {
    inner: Arc<QueueInner>,
}

#[derive(Debug)]
struct QueueInner {
    state: Mutex<QueueState>,
    /// An item may be there to be written.
    changed: Notify,
    /// There may be room for an item.
    freed: Notify,
    room: Room,
    /// How it is known what other replicas write; this one writes everything at once without it.
    peers: OnceLock<Peers>,
    metrics: Metrics,
}

#[derive(Debug)]
struct QueueState {
    lanes: Lanes<Queued>,
    /// Writes that another replica is expected to carry out.
    hedge: Hedge<Queued>,
    /// When those were last looked at.
    looked: Option<Instant>,
    holds: Holds,
    budget: Budget,
    closed: bool,
    /// The time at which something last came or was settled.
    used: Option<Instant>,
    /// The number of times that the queue was cleared.
    epoch: u64,
}

impl Queue {
    /// A queue for Revisions of `bytes` bytes together, of which `share` of one namespace are written at the same time.
    /// `room` says for which namespaces it takes nothing more in.
    pub fn new(bytes: usize, share: usize, room: Room, metrics: &Metrics) -> Self {
        let state = QueueState {
            lanes: Lanes::new(share),
            hedge: Hedge::default(),
            looked: None,
            holds: Holds::default(),
            budget: Budget::new(bytes),
            closed: false,
            used: None,
            epoch: 0,
        };
        let inner = QueueInner {
            state: Mutex::new(state),
            changed: Notify::new(),
            freed: Notify::new(),
            room,
            peers: OnceLock::new(),
            metrics: metrics.clone(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Adds `item`, after waiting for room. One larger than the whole queue waits until that is empty.
    pub async fn push(&self, item: Item) {
        if let Pending::At(at, _) = item.pending {
            item.ledger.pending(at);
            if mutant::is(Mutant::SettledBeforeStored) {
                item.ledger.done(at);
            }
        }
        self.push_pending(item).await;
    }

    /// Adds an item that is pending already.
    pub(super) async fn push_pending(&self, item: Item) {
        let bytes = item.write.data() + OVERHEAD;
        let mut item = Some(item);
        loop {
            let freed = self.inner.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.admit(&mut item, bytes) {
                return;
            }
            freed.await;
        }
    }

    /// Takes the item in if there is room for it.
    fn admit(&self, waiting: &mut Option<Item>, bytes: usize) -> bool {
        let mut state = self.inner.state.lock();
        let namespace = waiting.as_ref().map_or("", |item| item.write.namespace());
        let is_held = state.lanes.is_held(namespace);
        if !state.budget.admits(namespace, bytes, is_held) {
            return false;
        }
        let Some(item) = waiting.take() else {
            return true;
        };
        let now = Instant::now();
        let epoch = state.epoch;
        state.budget.take(item.write.namespace(), bytes);
        let queued = Queued {
            item,
            bytes,
            epoch,
            repeats: self.repeats(),
        };
        if self.writes_at_once() {
            self.release(&mut state, now);
            state.enter(queued, now);
        } else {
            state.hedge.push(queued, now);
        }
        state.used = Some(now);
        self.show_room(&mut state);
        drop(state);
        self.inner.metrics.queue_length.inc();
        self.inner.metrics.queue_bytes.inc_by(size(bytes));
        self.inner.changed.notify_one();
        true
    }

    /// Tells for which namespaces there is no room now, and those that wait for it.
    fn show_room(&self, state: &mut QueueState) {
        let held = state.lanes.held();
        self.inner.room.set(state.budget.full(held).clone());
        self.inner.freed.notify_waiters();
    }

    /// The next item, when there is one to write; none when the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<Given<Queued>> {
        loop {
            let changed = self.inner.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.take()? {
                Next::Item(given) => return Some(given),
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
        if state.closed && state.lanes.is_empty() && state.hedge.is_empty() {
            return None;
        }
        let now = Instant::now();
        self.release(&mut state, now);
        let mut next = state.lanes.take(now);
        if let Next::Wait(until) = &mut next
            && !state.hedge.is_empty()
        {
            let look = now + peers::LOOK;
            *until = Some(until.map_or(look, |until| until.min(look)));
        }
        if matches!(next, Next::Item(_)) && state.lanes.has_ready() {
            self.inner.changed.notify_one();
        }
        Some(next)
    }

    /// A write has arrived, or never will.
    pub(super) fn done(&self, given: Given<Queued>, proof: Proof) {
        let mut state = self.inner.state.lock();
        // The ledger does not wait for a write of another history.
        if given.item.epoch == state.epoch {
            given.item.item.settle();
        }
        self.settle(&mut state, given, proof);
    }

    fn settle(&self, state: &mut QueueState, given: Given<Queued>, proof: Proof) {
        let Given { lane, item: queued } = given;
        let workload = queued.item.workload;
        let namespace = queued.item.write.namespace();
        let now = Instant::now();
        let opened = state.lanes.done(lane, namespace, proof, now);
        state.used = Some(now);
        let idle = state.lanes.is_empty();
        let over = state.holds.settle(proof, workload, namespace, idle);
        self.tell_over(state, &over);
        state.budget.give_back(namespace, queued.bytes);
        self.show_room(state);
        self.inner.metrics.queue_length.dec();
        self.inner.metrics.queue_bytes.dec_by(size(queued.bytes));
        if opened || state.closed {
            self.inner.changed.notify_waiters();
        }
        self.inner.changed.notify_one();
    }

    /// A write comes again later, unless the queue was cleared since it was handed in. Returns the writes that are held
    /// by that, when the hold is new and has to be reported.
    pub(super) fn failed(
        &self,
        mut given: Given<Queued>,
        cause: Cause,
        reason: &'static str,
        delay: impl Fn(u32) -> Duration,
    ) -> Option<HoldScope> {
        let mut state = self.inner.state.lock();
        if given.item.epoch != state.epoch {
            self.settle(&mut state, given, Proof::Answered);
            return None;
        }
        self.weigh(&mut state, &mut given.item);
        let workload = given.item.item.workload;
        let namespace = given.item.item.write.namespace().to_owned();
        let lane = given.lane;
        let now = Instant::now();
        let failed = state.lanes.failed(given, cause, now, delay);
        if failed.refused {
            state.except(failed.aside.unwrap_or(lane));
        }
        if !cause.passing {
            let over = state.holds.answered();
            self.tell_over(&state, &over);
        }
        let raise = |scope: &HoldScope| {
            state
                .holds
                .raise(reason, scope, workload, cause.passing, now)
        };
        let news = HoldScope::of(cause, &failed, workload, &namespace, now).filter(raise);
        if news.is_some() {
            self.set_held(reason, true);
        }
        self.show_room(&mut state);
        self.inner.changed.notify_waiters();
        self.inner.changed.notify_one();
        news
    }

    /// A view that was still to be made counted as large as it may become; from the first attempt on its size is known.
    fn weigh(&self, state: &mut QueueState, queued: &mut Queued) {
        let bytes = queued.item.write.data() + OVERHEAD;
        let namespace = queued.item.write.namespace();
        state.budget.give_back(namespace, queued.bytes);
        state.budget.take(namespace, bytes);
        self.inner
            .metrics
            .queue_bytes
            .inc_by(size(bytes) - size(queued.bytes));
        queued.bytes = bytes;
    }

    fn tell_over(&self, state: &QueueState, over: &[Hold]) {
        for Hold { reason, scope } in over {
            self.set_held(reason, state.holds.holds(reason));
            tracing::info!(reason, ?scope, "writing Revisions goes on");
        }
    }

    fn set_held(&self, reason: &'static str, held: bool) {
        let labels = ReasonLabels { reason };
        self.inner
            .metrics
            .held
            .get_or_create(&labels)
            .set(held.into());
    }

    /// Drops everything that waits: it was of another history. A write that is on its way is finished, or dropped when
    /// it fails.
    pub fn clear(&self) {
        let mut state = self.inner.state.lock();
        state.epoch += 1;
        let mut dropped = state.lanes.clear();
        dropped.extend(state.hedge.clear());
        let over = state.holds.clear();
        self.tell_over(&state, &over);
        for Queued { item, bytes, .. } in dropped {
            state.budget.give_back(item.write.namespace(), bytes);
            self.inner.metrics.queue_length.dec();
            self.inner.metrics.queue_bytes.dec_by(size(bytes));
        }
        self.show_room(&mut state);
    }

    /// All that is held at the moment.
    pub fn held(&self) -> Vec<Held> {
        let state = self.inner.state.lock();
        let now = clock::now();
        let held = |(hold, since): (&Hold, Instant)| {
            let (namespace, workload) = match &hold.scope {
                HoldScope::All => (None, None),
                HoldScope::Namespace(name) => (Some(name.clone()), None),
                HoldScope::Workload(uid) => (None, Some(*uid)),
            };
            let lasting = TimeDelta::from_std(since.elapsed()).unwrap_or_default();
            Held {
                reason: hold.reason,
                namespace,
                workload,
                since: now - lasting,
            }
        };
        state.holds.present().map(held).collect()
    }

    /// The number of items that are waiting or being written.
    pub fn len(&self) -> usize {
        let state = self.inner.state.lock();
        state.lanes.len() + state.hedge.len()
    }

    /// Whether nothing is waiting or being written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The time for which nothing has been written or could have been; writes that are held do not count.
    pub fn quiet(&self) -> Duration {
        let state = self.inner.state.lock();
        let quiet = state.used.map_or(Duration::MAX, |used| used.elapsed());
        if state.lanes.is_moving() {
            Duration::ZERO
        } else {
            quiet
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
