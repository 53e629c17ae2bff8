//! Tells the controller which workloads to look at, and when. In: the workloads that changed, came or went, as
//! `subjects` keeps them. Out: references for the controller's queue, and the workloads for its store.

use super::super::ObserverState;
use futures::StreamExt;
use futures::channel::mpsc;
use futures::stream::BoxStream;
use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use uuid::Uuid;

/// Changes of a workload within this time are written together.
const TOGETHER: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// A workload as the controller knows it: only by name, which is its uid.
#[derive(Clone, Debug, Deserialize)]
pub(in super::super) struct WorkloadKey {
    pub(super) metadata: ObjectMeta,
}

impl Resource for WorkloadKey {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Workload".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        crate::revision::GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        crate::revision::VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "workloads".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl WorkloadKey {
    fn new(uid: Uuid) -> Self {
        Self {
            metadata: ObjectMeta {
                name: Some(uid.to_string()),
                ..ObjectMeta::default()
            },
        }
    }
}

pub(super) type Moves = mpsc::UnboundedSender<Result<watcher::Event<WorkloadKey>, watcher::Error>>;

/// The workloads that something happened to, each once it has had time for more to happen.
pub(super) fn due(
    shared: Arc<ObserverState>,
    moves: Moves,
) -> BoxStream<'static, ObjectRef<WorkloadKey>> {
    let schedule = Schedule::new(shared, moves);
    futures::stream::unfold(schedule, async |mut schedule| {
        let due = schedule.next().await;
        Some((futures::stream::iter(due), schedule))
    })
    .flatten()
    .boxed()
}

struct Schedule {
    ticks: Interval,
    shared: Arc<ObserverState>,
    moves: Moves,
    /// Workloads that something happened to, and when they are due.
    waiting: BTreeMap<Uuid, Instant>,
}

impl Schedule {
    fn new(shared: Arc<ObserverState>, moves: Moves) -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticks,
            shared,
            moves,
            waiting: BTreeMap::new(),
        }
    }

    /// Waits for the next tick; the workloads that are due at it, in ascending order of their uids.
    async fn next(&mut self) -> Vec<ObjectRef<WorkloadKey>> {
        let now = self.ticks.tick().await;
        self.take(now);
        self.waiting
            .extract_if(.., |_, at| *at <= now)
            .map(|(uid, _)| ObjectRef::from_obj(&WorkloadKey::new(uid)))
            .collect()
    }

    /// Takes what happened since the last tick.
    fn take(&mut self, now: Instant) {
        let mut subjects = self.shared.subjects.lock();
        for (uid, came) in subjects.moved.drain(..) {
            let workload = WorkloadKey::new(uid);
            let event = if came {
                watcher::Event::Apply(workload)
            } else {
                watcher::Event::Delete(workload)
            };
            // The receiver ends with the controller, and this schedule with it.
            let _ = self.moves.unbounded_send(Ok(event));
        }
        for uid in subjects.take_dirty() {
            self.waiting.entry(uid).or_insert(now + TOGETHER);
        }
    }
}
