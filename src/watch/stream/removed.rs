//! Heads that were removed: each workload is read after that, and passed on to be recorded again.

use super::Stream;
use super::read_back::SIDE_BY_SIDE;
use crate::mutant::{self, Mutant};
use crate::revision::Observed;
use crate::watch::exact::{Past, Unserved};
use crate::watch::join::ObjectName;
use crate::watch::{Removal, Sink};
use crate::workload::{Op, RemovedHead, Resource, ResourceVersion};
use futures::StreamExt;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// Several Revisions of a workload may be removed one after the other.
const SETTLE: Duration = Duration::from_millis(500);
/// A workload that could not be judged is read again after so long.
const AGAIN: Duration = Duration::from_secs(5);

/// Heads that were removed and are not passed on yet.
pub(super) struct Removals {
    /// Changes when there are others.
    news: watch::Receiver<u64>,
    heads: BTreeMap<Uuid, RemovedHead>,
    /// When they are looked at; none when there are none.
    due: Option<Instant>,
}

impl Removals {
    pub(super) fn new(news: watch::Receiver<u64>) -> Self {
        Self {
            news,
            heads: BTreeMap::new(),
            due: None,
        }
    }

    /// Waits until there may be something to do.
    pub(super) async fn woken(&mut self) {
        let due = self.due;
        tokio::select! {
            biased;
            () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {}
            changed = self.news.changed(), if due.is_none() => {
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
                self.due = Some(Instant::now() + SETTLE);
            }
        }
    }

    /// Whether it is time to look at them. From then on others are news.
    fn is_due(&mut self) -> bool {
        let is_due = self.due.is_some_and(|due| due <= Instant::now());
        if is_due {
            self.due = None;
        }
        is_due
    }

    fn later(&mut self, uid: Uuid, removed: RemovedHead) {
        self.heads.insert(uid, removed);
        self.due = Some(Instant::now() + AGAIN);
    }
}

/// The object as it is now, if it is there, and the place of the answer.
type Present = (Option<Box<RawValue>>, ResourceVersion);

impl<S: Sink> Stream<S> {
    /// Passes on the workloads whose heads were removed, when it is time to.
    pub(super) async fn record_again(&mut self, resource: &Arc<Resource>) -> Result<(), Unserved> {
        if !self.removals.is_due() {
            return Ok(());
        }
        let removed = self.outlet.removed();
        self.removals.heads.extend(removed);
        let heads = std::mem::take(&mut self.removals.heads);
        let live = heads
            .into_iter()
            .filter(|(uid, removed)| self.is_live(*uid, &removed.head.namespace));
        let exact = self.exact.clone();
        let reads = live.map(|(uid, removed)| {
            let exact = exact.clone();
            async move {
                let of = ObjectName {
                    namespace: removed.head.namespace.clone(),
                    name: removed.head.name.clone(),
                    uid,
                };
                (exact.now(resource, &of).await, uid, removed)
            }
        });
        let mut reads =
            futures::stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(SIDE_BY_SIDE);
        while let Some((present, uid, removed)) = reads.next().await {
            if let Past::Was(present) = present? {
                self.again(resource, uid, removed, present).await;
            }
        }
        Ok(())
    }

    /// Whether a workload is there, as far as is known, in a namespace that stays.
    fn is_live(&self, uid: Uuid, namespace: &str) -> bool {
        !self.outlet.known().is_gone(uid) && !self.outlet.is_going(namespace)
    }

    /// Passes on a workload whose head was removed, unless it is not known yet, or known no more, in the state that was
    /// read: then it is read again.
    async fn again(
        &mut self,
        resource: &Arc<Resource>,
        uid: Uuid,
        removed: RemovedHead,
        (raw, at): Present,
    ) {
        let Some(raw) = raw else {
            // Its end is shown by the watch, or the answer was of the past.
            return self.removals.later(uid, removed);
        };
        let change = self
            .edge(resource, Observed::Repair, Op::Modified, raw)
            .await;
        let Some(change) = change else { return };
        let known = self.outlet.known();
        let last = known.last(uid).map_or(0, |last| last.generation);
        let is_shown = last == change.generation && !known.is_postponed(uid);
        if !is_shown && !mutant::is(Mutant::HeadFromMemory) {
            return self.removals.later(uid, removed);
        }
        let older = self.outlet.stored(uid);
        let stored = older.as_ref().map_or(0, |older| older.generation);
        let is_behind = change.generation < removed.head.generation;
        let is_stored =
            stored >= removed.head.generation || is_behind && !mutant::is(Mutant::HeadFromMemory);
        if !is_stored && self.outlet.is_selected(&change) {
            self.outlet
                .removal(Removal {
                    change,
                    removed,
                    older,
                    at,
                })
                .await;
        }
    }
}
