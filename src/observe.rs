//! The status of every Revision: its phase, its pods, where they run, what they hold, and how it ended.
//!
//! In: what `cache` hears of Revisions, the newest state of each workload from `record`, and, for who leads, pods and
//! nodes. Out: JSON merge patches of `/status` that name its own fields only. Level-triggered, so this stage, unlike
//! `record`, is a kube-rs `Controller` ([`writer`]). Best effort: it may merge, wait and skip, and recording never
//! waits for it.
//!
//! Every replica hears of Revisions and workloads, so that each can take over at once; only the leader writes.

mod attribute;
mod judge;
mod live;
mod owners;
mod phase;
mod pod;
mod round;
mod status;
mod subjects;
mod watch;
mod writer;

use crate::kinds::runner::Runner;
use crate::kinds::{GroupKind, Kind};
use crate::metrics::Metrics;
use crate::record::queue::Queue;
use crate::redact::Names;
use crate::revision::Revision;
use crate::workload::{Change, Op};
use kube::Client;
use owners::Owners;
use parking_lot::Mutex;
use pod::Pruner;
use std::collections::BTreeMap;
use std::sync::Arc;
use subjects::{Subjects, Written};
use tokio::sync::{Notify, watch as channel};
use uuid::Uuid;

/// What observing is told. Cloning shares it. Telling costs the teller next to nothing.
#[derive(Clone, Default)]
pub struct Observer {
    /// None where nothing is observed.
    shared: Option<Arc<ObserverState>>,
}

struct ObserverState {
    subjects: Mutex<Subjects>,
    /// The newest state of workloads that were written since it was last looked at.
    written: Mutex<BTreeMap<Uuid, Written>>,
    /// Kinds all of whose workloads were passed on before what is written now.
    joined: Mutex<Vec<GroupKind>>,
    news: Notify,
}

/// The dependencies of observing.
pub struct ObserverDeps {
    /// For watches.
    pub watch: Client,
    /// For everything else.
    pub call: Client,
    /// The kinds that are recorded.
    pub kinds: Vec<Arc<Kind>>,
    /// Runs their programs.
    pub runner: Runner,
    /// Names that hold secrets.
    pub names: Names,
    /// Changes that wait here to be recorded go first.
    pub queue: Queue,
    /// Whether this process leads.
    pub leads: channel::Receiver<bool>,
    /// Counters and gauges.
    pub metrics: Metrics,
}

impl Observer {
    /// Observes workloads of `kinds`.
    pub fn new(kinds: &[Arc<Kind>]) -> Self {
        let subjects = Mutex::new(Subjects::new(kinds));
        Self {
            shared: Some(Arc::new(ObserverState {
                subjects,
                written: Mutex::default(),
                joined: Mutex::default(),
                news: Notify::new(),
            })),
        }
    }

    /// Takes whatever it is told and does nothing.
    pub fn none() -> Self {
        Self::default()
    }

    fn with(&self, tell: impl FnOnce(&mut Subjects)) {
        if let Some(shared) = &self.shared {
            tell(&mut shared.subjects.lock());
        }
    }

    /// Forgets everything: it was of another history.
    pub fn clear(&self) {
        if let Some(shared) = &self.shared {
            shared.subjects.lock().clear();
            shared.written.lock().clear();
            shared.joined.lock().clear();
        }
    }

    /// A Revision came or changed.
    pub fn revision(&self, revision: &Revision) {
        self.with(|subjects| subjects.put(revision));
    }

    /// A Revision was deleted.
    pub fn forget(&self, revision: &Revision) {
        if revision.spec.gap.is_none() {
            self.forget_generation(revision.spec.workload.uid, revision.spec.generation);
        }
    }

    /// The Revision of a generation is none of its workload.
    pub fn forget_generation(&self, workload: Uuid, generation: i64) {
        self.with(|subjects| subjects.remove(workload, generation));
    }

    /// A list of Revisions begins: what it does not name by its end is gone.
    pub fn listing(&self) {
        self.with(Subjects::listing);
    }

    /// The list is complete.
    pub fn listed(&self) {
        self.with(Subjects::listed);
    }

    /// A recorded workload was written. Only its newest state counts: what nobody has looked at yet is replaced.
    pub fn workload(&self, change: &Change) {
        if let Some(shared) = &self.shared {
            let written = Written {
                group: change.resource.group.clone(),
                kind: change.resource.kind.clone(),
                gone: change.op == Op::Deleted,
                raw: change.raw.clone(),
            };
            shared.written.lock().insert(change.uid, written);
            shared.news.notify_one();
        }
    }

    /// Whether the API server serves a kind.
    pub fn serves(&self, kind: &Kind, is_served: bool) {
        self.with(|subjects| subjects.serves(&kind.group, &kind.kind, is_served));
    }

    /// A kind was listed, or is not served.
    pub fn tried(&self, kind: &Kind) {
        self.with(|subjects| subjects.tried(&kind.group, &kind.kind));
    }

    /// All workloads of a kind that a list has shown were passed on.
    pub fn joined(&self, kind: &Kind) {
        if let Some(shared) = &self.shared {
            shared.joined.lock().push(kind.group_kind());
            shared.news.notify_one();
        }
    }

    /// Observes until it is dropped.
    pub async fn run(self, deps: ObserverDeps) {
        let Some(shared) = self.shared else {
            return std::future::pending().await;
        };
        let reading = read_workloads(&shared);
        tokio::select! {
            () = reading => {}
            () = lead(&shared, deps) => {}
        }
    }
}

/// Keeps the newest state of each workload.
async fn read_workloads(shared: &ObserverState) {
    loop {
        shared.news.notified().await;
        // In this order: what was passed on before is among what is written.
        let joined = std::mem::take(&mut *shared.joined.lock());
        let written = std::mem::take(&mut *shared.written.lock());
        for (uid, written) in written {
            shared.subjects.lock().live(uid, &written);
            // Parsing whole objects must not keep others from running.
            tokio::task::yield_now().await;
        }
        let mut subjects = shared.subjects.lock();
        for GroupKind { kind, group } in joined {
            subjects.joined(&group, &kind);
        }
    }
}

/// Watches pods and nodes and writes, as long as this process leads.
async fn lead(shared: &Arc<ObserverState>, mut deps: ObserverDeps) {
    let Some(pruner) = Pruner::new(&deps.kinds, deps.names.clone()) else {
        return std::future::pending().await;
    };
    let owners = Owners::new(deps.call.clone(), &deps.kinds, &deps.metrics);
    let watches = watch::selectors(&deps.kinds);
    let kinds: Vec<_> = watches.values().cloned().collect();
    loop {
        if deps.leads.wait_for(|leads| *leads).await.is_err() {
            return std::future::pending().await;
        }
        shared.subjects.lock().lead(&kinds);
        deps.metrics.leader.set(1);
        tokio::select! {
            () = watch::run(shared, &deps, &watches, &pruner, &owners) => {}
            () = writer::run(shared.clone(), &deps) => {}
            () = deposed(deps.leads.clone()) => {}
        }
        deps.metrics.leader.set(0);
        shared.subjects.lock().follow();
    }
}

/// Returns when this process does not lead any more; never where there is no election.
async fn deposed(mut leads: channel::Receiver<bool>) {
    if leads.wait_for(|leads| !*leads).await.is_err() {
        std::future::pending::<()>().await;
    }
}
