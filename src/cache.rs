//! Every Revision there is, in memory: fed by its own watch, read by `serve`, asked by `record` at the start.
//!
//! In: LIST and WATCH of Revisions, and of the labels of namespaces. Out: [`Head`](crate::workload::Head)s for `record`, rendered JSON for
//! `serve`, which knows the cache as a [`RevisionLister`] only. Level-triggered: only the present set counts. Each
//! Revision is rendered once, when it comes; the part of its JSON that depends on its siblings is replaced when they
//! change. Anybody may have stored a Revision: those that contradict what the watches show are not served, are no heads,
//! and are said to be forged.

mod age;
mod believe;
mod claims;
mod feed;
mod forged;
mod index;
mod namespaces;
mod ownership;
mod removed;
mod render;
mod rows;
mod suspects;
pub mod wire;
mod workload;

pub use forged::count_forged;
pub use namespaces::ProjectLabels;
#[cfg(test)]
pub(crate) use render::tests::revision as fixture;
pub use render::{Etag, Identity, etag};

use crate::client::page::has_status;
use crate::json::without_value;
use crate::metrics::{self, Metrics};
use crate::observe::Observer;
use crate::record::Archive;
use crate::record::lives::{Life, Lives};
use crate::record::queue::StatusPatch;
use crate::redact::Names;
use crate::revision::identity::ContentDigest;
use crate::revision::{Phase, Revision, identity};
use age::{Age, Shown};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use claims::LiveWorkloads;
use feed::Event;
use index::Index;
use kube::Client;
use namespaces::Project;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

/// Names a workload by every name that it has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkloadRef {
    /// metadata.namespace; of all workloads in it the same piece of memory.
    pub namespace: Arc<str>,
    /// metadata.name.
    pub name: String,
    /// metadata.uid.
    pub uid: Uuid,
    /// The apiVersion in which it was first recorded.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
}

impl WorkloadRef {
    /// The API group of its kind; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }
}

/// JSON in one piece or more.
pub type Pieces = SmallVec<[Bytes; 1]>;

/// The Revisions of a workload as they are served, newest first.
#[derive(Clone, Debug)]
pub struct ServedList {
    /// `{"revisions":[…]}`, as the contract has it.
    pub pieces: Pieces,
    /// Of all of them together.
    pub etag: Etag,
}

/// One Revision as it is served.
#[derive(Clone, Debug)]
pub struct ServedRevision {
    /// Its workload.
    pub workload: Arc<WorkloadRef>,
    /// metadata.generation of the workload.
    pub generation: i64,
    /// Id of the next older one.
    pub before: Option<Uuid>,
    /// As the contract has it.
    pub json: Bytes,
    /// Of its JSON.
    pub etag: Etag,
    /// Whether it is stored under the long form of its name.
    pub has_long_name: bool,
}

impl ServedRevision {
    /// The name under which it is stored.
    pub fn name(&self) -> String {
        let WorkloadRef { name, uid, .. } = &*self.workload;
        if self.has_long_name {
            identity::long_name(name, *uid, self.generation)
        } else {
            identity::name(name, *uid, self.generation)
        }
    }
}

/// A Revision or a Gap in the whole history of a workload.
#[derive(Clone, Debug)]
pub struct HistoryItem {
    /// The generation; of a Gap the last one.
    pub generation: i64,
    /// Its id.
    pub id: Uuid,
    /// When the change was made, or the generations of a Gap were given up.
    pub changed: DateTime<Utc>,
    /// As the contract has it; of a Gap what it has of that.
    pub json: Bytes,
}

/// A workload in a few numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
    /// How many Revisions there are, Gaps aside.
    pub revisions: usize,
    /// The phase of the newest.
    pub phase: Option<Phase>,
    /// When the newest of them was made.
    pub changed: Option<DateTime<Utc>>,
}

/// How to find a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The one with this metadata.uid.
    Workload(Uuid),
    /// The one that has the Revision with this id.
    Revision(Uuid),
}

/// Reads of the cache, as `serve` needs them.
pub trait RevisionLister: Send + Sync {
    /// The names of a workload; none when it is not known.
    fn workload(&self, of: Of) -> Option<Arc<WorkloadRef>>;
    /// The namespace of a workload. Every request needs it, so it costs less than the whole [`WorkloadRef`].
    fn namespace(&self, of: Of) -> Option<Arc<str>>;
    /// The Revisions of a workload that is deleted, or is not; none when the workload is not known within the scope.
    fn list(&self, scope: &Scope, workload: Uuid, deleted: bool) -> Option<ServedList>;
    /// How many [`RevisionLister::list`] gives.
    fn count(&self, scope: &Scope, workload: Uuid, deleted: bool) -> Option<usize>;
    /// One Revision by its id, within the scope.
    fn get(&self, scope: &Scope, revision: Uuid) -> Option<ServedRevision>;
    /// All workloads that are `wanted`, in no order.
    fn workloads(&self, wanted: &dyn Fn(&WorkloadRef) -> bool) -> Vec<Arc<WorkloadRef>>;
    /// A workload in a few numbers; none when it is not known within the scope.
    fn summary(&self, scope: &Scope, workload: Uuid) -> Option<Summary>;
    /// Everything of a workload that is older than `before`, newest first, Gaps included; none when it is not known
    /// within the scope.
    fn history(
        &self,
        scope: &Scope,
        workload: Uuid,
        before: Option<(i64, Uuid)>,
    ) -> Option<Vec<HistoryItem>>;
}

/// The namespaces whose Revisions a caller may read. A read is bound to it, so that the right and the content are of the
/// same namespace, also when a history moves to another one in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// One.
    Namespace(Arc<str>),
}

impl Scope {
    fn admits(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(own) => &**own == namespace,
        }
    }
}

/// The list that is coming in, and how old is what is served meanwhile.
struct Fill {
    fresh: Option<Index>,
    age: Age,
}

/// The cache. Cloning shares it.
#[derive(Clone)]
pub struct Cache {
    index: Arc<RwLock<Index>>,
    /// Locked after the index, where both are.
    live: Arc<RwLock<LiveWorkloads>>,
    /// Suspects turned out to be genuine, and have to be read again.
    reread: Arc<Notify>,
    identity: Arc<Identity>,
    /// Hears of everything that comes and goes.
    observer: Observer,
    /// By these the texts of Revisions are judged that an older Revisor stored.
    names: Arc<Names>,
    /// The namespaces that there are.
    lives: Lives,
    /// When the last new Revision was shown.
    shown: Arc<Mutex<Shown>>,
    /// Counts how often heads were found to be removed.
    removals: watch::Sender<u64>,
    metrics: Metrics,
}

impl Cache {
    /// An empty cache.
    pub fn new(
        identity: Identity,
        observer: Observer,
        names: Arc<Names>,
        metrics: &Metrics,
    ) -> Self {
        Self {
            index: Arc::default(),
            live: Arc::default(),
            reread: Arc::default(),
            identity: Arc::new(identity),
            observer,
            names,
            lives: Lives::default(),
            shown: Arc::default(),
            removals: watch::Sender::new(0),
            metrics: metrics.clone(),
        }
    }

    /// The namespaces that there are, as far as they are followed.
    pub fn lives(&self) -> Lives {
        self.lives.clone()
    }

    /// Follows all Revisions until it is dropped. `ready` turns true when the first list is in.
    pub async fn run(self, client: Client, ready: watch::Sender<bool>) {
        let fill = Mutex::new(Fill {
            fresh: None,
            age: Age::new(Instant::now()),
        });
        let following = feed::follow(&client, |event| self.take(event, &mut fill.lock(), &ready));
        tokio::select! {
            () = following => {}
            () = self.report_age(&fill) => {}
            () = self.reread(&client, &fill) => {}
        }
    }

    /// Keeps the metric of the age up to date, until it is dropped.
    async fn report_age(&self, fill: &Mutex<Fill>) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = ticks.tick().await;
            let age = fill.lock().age.at(now);
            self.metrics.served_age.set(age.as_secs_f64());
        }
    }

    /// Takes one event. The index that is served is replaced only when a list is complete.
    fn take(&self, event: Event, fill: &mut Fill, ready: &watch::Sender<bool>) {
        if !matches!(event, Event::Listing) {
            let is_good = !matches!(event, Event::Failed(_));
            fill.age.note(is_good, Instant::now());
            self.shown.lock().note(is_good, Instant::now());
        }
        match event {
            Event::Listing => {
                self.observer.listing();
                fill.fresh = Some(self.update(|index| index.successor()));
            }
            Event::Listed(revision) => {
                let fresh = fill.fresh.get_or_insert_default();
                let put = self.put(fresh, &revision);
                self.observe(put, &revision);
            }
            Event::Complete => {
                self.observer.listed();
                let fresh = fill.fresh.take().unwrap_or_default();
                self.replace(fresh);
                ready.send_replace(true);
            }
            Event::Put(revision) => {
                let (put, is_new) = self.update(|index| {
                    let before = index.len();
                    let put = self.put(index, &revision);
                    (put, index.len() > before)
                });
                if is_new {
                    self.shown.lock().new_revision(Instant::now());
                }
                self.observe(put, &revision);
            }
            Event::Gone(revision) => {
                if self.update(|index| index.remove(&revision)) {
                    self.observer.forget(&revision);
                }
                self.tell_removed();
            }
            Event::Unreadable(error) => {
                self.metrics
                    .undecodable
                    .get_or_create(&metrics::kind("Revision"))
                    .inc();
                let error = without_value(&error);
                tracing::error!(error, "a Revision cannot be read and is not served");
            }
            Event::Failed(error) => explain(&error),
            Event::Alive => {}
        }
    }

    /// Wakes those who record a head again that was removed.
    fn tell_removed(&self) {
        if self.read().has_removed_heads() {
            self.removals.send_modify(|times| *times += 1);
        }
    }

    /// Follows the labels of namespaces until it is dropped. `ready` turns true when they are known.
    pub async fn follow_namespaces(
        self,
        client: Client,
        labels: ProjectLabels,
        ready: watch::Sender<bool>,
    ) {
        let update = |namespace: &str, project: Option<Project>, life: Option<Life>| {
            self.lives.set(namespace, life);
            self.update(|index| index.project(namespace, project));
        };
        namespaces::follow(client, &labels, update, ready).await;
    }

    /// Forgets everything: it was of another history.
    pub fn clear(&self) {
        self.update(|index| {
            *index = Index::default();
            *self.live.write() = LiveWorkloads::default();
        });
    }

    fn update<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        let mut index = self.index.write();
        let result = change(&mut index);
        let count = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.metrics.cached.set(count(index.len()));
        self.metrics.removed.set(count(index.removed()));
        result
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read()
    }

    /// The index, when it has a history of this workload, and that is within the scope.
    fn within(&self, scope: &Scope, of: Of) -> Option<RwLockReadGuard<'_, Index>> {
        let index = self.read();
        let is_within = scope.admits(&index.namespace(of)?);
        is_within.then_some(index)
    }
}

impl Archive for Cache {
    fn holds(&self, revision: &Revision) -> bool {
        self.read().holds(revision)
    }

    fn says(&self, patch: &StatusPatch) -> bool {
        self.read().says(patch)
    }

    fn quiet(&self) -> Option<Duration> {
        self.shown.lock().quiet(Instant::now())
    }

    fn recorded(&self, workload: Uuid, generations: &RangeInclusive<i64>) -> BTreeSet<i64> {
        self.read().recorded(workload, generations)
    }

    fn digest(&self, workload: Uuid, generation: i64) -> Option<ContentDigest> {
        self.read().digest(workload, generation)
    }

    fn contest(&self, workload: Uuid, generation: i64, is_contested: bool) {
        self.update(|index| index.contest(workload, generation, is_contested));
    }
}

impl RevisionLister for Cache {
    fn workload(&self, of: Of) -> Option<Arc<WorkloadRef>> {
        self.read().workload(of)
    }

    fn namespace(&self, of: Of) -> Option<Arc<str>> {
        self.read().namespace(of)
    }

    fn list(&self, scope: &Scope, workload: Uuid, deleted: bool) -> Option<ServedList> {
        self.within(scope, Of::Workload(workload))?
            .list(workload, deleted)
    }

    fn count(&self, scope: &Scope, workload: Uuid, deleted: bool) -> Option<usize> {
        let index = self.within(scope, Of::Workload(workload))?;
        Some(index.count(workload, deleted))
    }

    fn get(&self, scope: &Scope, revision: Uuid) -> Option<ServedRevision> {
        self.within(scope, Of::Revision(revision))?.get(revision)
    }

    fn workloads(&self, wanted: &dyn Fn(&WorkloadRef) -> bool) -> Vec<Arc<WorkloadRef>> {
        self.read().workloads(wanted)
    }

    fn summary(&self, scope: &Scope, workload: Uuid) -> Option<Summary> {
        self.within(scope, Of::Workload(workload))?
            .summary(workload)
    }

    fn history(
        &self,
        scope: &Scope,
        workload: Uuid,
        before: Option<(i64, Uuid)>,
    ) -> Option<Vec<HistoryItem>> {
        self.within(scope, Of::Workload(workload))?
            .history(workload, before)
    }
}

/// The most likely mistake of an installation gets its remedy.
fn explain(error: &anyhow::Error) {
    if has_status(error, 404) {
        tracing::error!(
            "the CustomResourceDefinition revisions.revisor.dev is not installed: `revisor crds | kubectl apply -f -`"
        );
    } else {
        let error = without_value(&format!("{error:#}"));
        tracing::warn!(error, "reading Revisions failed");
    }
}
