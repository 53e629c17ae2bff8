//! LIST and WATCH of one kind, for ever: does the I/O that [`Join`] asks for, and passes on what it shows.

mod audit;
mod begin;
mod believed;
mod events;
mod list;
mod read_back;
mod removed;
mod resume;

use super::checkpoint::{Exception, Start, Unusable};
use super::edge::{self, EdgeError};
use super::exact::{Exact, Unserved};
use super::join::{Join, JoinStep, Lineage, Listed, Until};
use super::{Dates, Fact, Heads, Outlet, Position, Room, Sink, discover};
use crate::client::backoff::{Waits, backoff};
use crate::json::without_value;
use crate::kinds::{Catalogue, Kind};
use crate::metrics::{self, Metrics};
use crate::revision::Observed;
use crate::workload::{Change, Op, Resource, ResourceVersion};
use believed::Checkpointed;
use chrono::TimeDelta;
use events::{End, Replay};
use kube::Client;
use list::NoList;
use removed::Removals;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tracing::Instrument;

const WAITS: Waits = (Duration::from_millis(200), Duration::from_secs(10));
/// A list that is answered from the past is of a time not longer ago than that: so much older is the place that it
/// shows taken to be.
pub const STALENESS: TimeDelta = TimeDelta::seconds(60);

/// The dependencies of a [`Stream`].
pub struct StreamDeps {
    /// A client without a limit on silence.
    pub watch: Client,
    /// A client for calls that are answered at once.
    pub call: Client,
    /// Every kind that is recorded: parts of them are not selected.
    pub catalogue: Arc<Catalogue>,
    /// The kind.
    pub kind: Arc<Kind>,
    /// The newest Revisions.
    pub heads: Arc<dyn Heads>,
    /// Where reading is counted.
    pub metrics: Metrics,
    /// Turns true when the first list is in, or when there is nothing to list.
    pub ready: watch::Sender<bool>,
    /// Where there is no room for changes.
    pub room: Room,
    /// How often the watch is compared with a list.
    pub audit: Duration,
    /// Notified when etcd was restored: everything has to start over.
    pub rewound: Arc<Notify>,
}

/// The outcome of a replay.
enum Replayed {
    /// It has shown everything, or shows no more.
    Shown,
    /// The history that it would show is gone.
    Expired,
}

/// Reads one kind.
pub struct Stream<S> {
    client: Client,
    exact: Exact,
    kind: Arc<Kind>,
    outlet: Outlet<S>,
    metrics: Metrics,
    ready: watch::Sender<bool>,
    dates: Dates,
    /// Why there was no place to go on from; none once recording has begun.
    unusable: Option<Unusable>,
    /// Whether workloads of the kind were recorded before recording began anew.
    was_recorded: bool,
    /// Generations that an earlier process could not store.
    exceptions: Vec<Exception>,
    /// Up to where an earlier process had recorded everything, until the first list is joined.
    checkpointed: Option<Checkpointed>,
    /// Changes when there is room again.
    freed: watch::Receiver<BTreeSet<String>>,
    /// Heads that were removed.
    removals: Removals,
    /// The newest list, and a time before which it cannot have been.
    newest_list: Option<Position>,
    /// The place after which the watch has shown everything: whatever was created since, it should have shown.
    origin: Option<Position>,
    /// Whether this process has followed the kind before: what is missing now was missed by it.
    resumed: bool,
    audit: Duration,
    audited: Instant,
    rewound: Arc<Notify>,
    failures: u32,
}

impl<S: Sink> Stream<S> {
    /// A reader that begins at `start` and passes what it reads on to `sink`.
    pub fn new(deps: StreamDeps, start: Start, sink: S) -> Self {
        let StreamDeps {
            watch,
            call,
            catalogue,
            kind,
            heads,
            metrics,
            ready,
            room,
            audit,
            rewound,
        } = deps;
        let (since, exceptions, unusable) = match start {
            Start::Resume(entry) => (Some(entry.position), entry.exceptions, None),
            Start::Begin(unusable) => (None, Vec::new(), Some(unusable)),
        };
        let checkpointed = since.map(|since| Checkpointed::new(since.at, &exceptions));
        let freed = room.subscribe();
        let removals = Removals::new(heads.removals());
        Self {
            client: watch,
            exact: Exact { client: call },
            outlet: Outlet::new(catalogue, kind.clone(), heads, metrics.clone(), room, sink),
            kind,
            metrics,
            ready,
            dates: Dates::new(since),
            unusable,
            was_recorded: false,
            exceptions,
            checkpointed,
            freed,
            removals,
            newest_list: None,
            origin: None,
            resumed: false,
            audit,
            audited: Instant::now(),
            rewound,
            failures: 0,
        }
    }

    /// Reads until it is dropped.
    pub async fn run(self) {
        let span = tracing::info_span!("watch", kind = self.kind.kind);
        // On the heap: the whole path of a change is in this one future.
        Box::pin(self.read().instrument(span)).await;
    }

    async fn read(mut self) {
        loop {
            let ready = &self.ready;
            let resource = discover::wait(&self.client, &self.kind, || {
                ready.send_replace(true);
            })
            .await;
            tracing::info!(kind = resource.kind, version = resource.version, "watching");
            self.heard(true).await;
            self.follow(&resource).await;
            self.heard(false).await;
            tracing::info!(
                kind = resource.kind,
                version = resource.version,
                "this version is not served any more"
            );
            // Discovery may say for a while that it is.
            sleep(WAITS.0).await;
        }
    }

    /// Lists and watches until the version is gone.
    async fn follow(&mut self, resource: &Arc<Resource>) {
        let mut resumable = true;
        loop {
            if self.begin(resource).await.is_err() {
                return;
            }
            let listed = match self.list(resource).await {
                Ok(listed) => listed,
                Err(NoList::Absent) => return,
                Err(NoList::Rewound(now)) => return self.start_over(now).await,
                Err(NoList::Failed(error)) => {
                    self.failed("list", &error).await;
                    continue;
                }
            };
            match Lineage::of(self.since(), listed.at(), self.resumed) {
                Lineage::Follows => {}
                Lineage::Foreign => self.forget(listed.at()).await,
                Lineage::Restored => return self.start_over(listed.at()).await,
            }
            // Where recording begins, a restart before everything is read back begins anew: there is no place yet.
            self.ready.send_replace(self.unusable.is_none());
            let Ok(mut at) = self.join(resource, listed, resumable).await else {
                return;
            };
            self.begun().await;
            self.moved(at).await;
            self.ready.send_replace(true);
            self.resumed = true;
            if matches!(self.live(resource, &mut at).await, End::Absent) {
                return;
            }
            resumable = false;
        }
    }

    /// Joins the list to what was recorded before. Returns from where the watch goes on.
    async fn join(
        &mut self,
        resource: &Arc<Resource>,
        listed: Listed,
        resumable: bool,
    ) -> Result<ResourceVersion, Unserved> {
        let since = self.since();
        self.origin = self.dates.since().or(self.newest_list);
        let mut at = since.unwrap_or_default();
        let mut join = match since.filter(|_| self.unusable.is_some()) {
            Some(begin) => Join::begin(listed, begin, self.miss_checkpoint().await),
            None => Join::start(listed, since, resumable),
        };
        loop {
            match join.step() {
                JoinStep::Replay(until) => {
                    match self.replay_at_start(resource, &mut at, until).await? {
                        Replayed::Shown => join.replayed(at, self.outlet.known()),
                        Replayed::Expired => join.expired(self.outlet.known()),
                    }
                }
                JoinStep::ReadBack { behind, gone, by } => {
                    self.read_back(resource, behind, gone, by).await?;
                }
                JoinStep::Sample(place) => self.sample(resource, &mut join, place).await?,
                JoinStep::Blind { from, to } => {
                    // Up to where everything was recorded before is not known without a checkpoint.
                    let is_lost = self.unusable.is_some();
                    let from = if is_lost {
                        ResourceVersion::FIRST
                    } else {
                        from
                    };
                    self.outlet.tell(Fact::Blind { from, to }).await;
                }
                JoinStep::Joined(at) => {
                    // The watch goes on from the list.
                    if let Some(list) = self.newest_list.filter(|list| list.at == at) {
                        self.origin = Some(list);
                    }
                    return Ok(at);
                }
            }
        }
    }

    /// Everything since the beginning was passed on, if recording has begun.
    async fn begun(&mut self) {
        self.unusable = None;
        self.checkpointed = None;
        self.was_recorded = false;
        self.outlet.has_begun();
        self.outlet.tell(Fact::Joined).await;
    }

    /// Watches until everything up to there was shown, whatever fails meanwhile.
    async fn replay_at_start(
        &mut self,
        resource: &Arc<Resource>,
        at: &mut ResourceVersion,
        until: Until,
    ) -> Result<Replayed, Unserved> {
        let mut replay = Replay::new(until);
        loop {
            match self.replay(resource, at, &mut replay).await {
                Ok(End::Absent) => return Err(Unserved),
                Ok(End::Expired) => return Ok(Replayed::Expired),
                Ok(End::Replayed) => return Ok(Replayed::Shown),
                Ok(End::Resume) => {}
                Err(error) => self.failed("watch", &error).await,
            }
        }
    }

    /// Watches until the version or the history is gone.
    async fn live(&mut self, resource: &Arc<Resource>, at: &mut ResourceVersion) -> End {
        loop {
            match self.watch(resource, at).await {
                Ok(End::Resume | End::Replayed) => {}
                Ok(end) => return end,
                Err(error) => self.failed("watch", &error).await,
            }
            // After a failure too: a restored etcd soon has come further than the old one had.
            self.check(resource, at).await;
        }
    }

    /// Up to where every change was passed on.
    fn since(&self) -> Option<ResourceVersion> {
        self.dates.since().map(|since| since.at)
    }

    /// Reads the fields that order and identify an object. None when it cannot be ordered.
    async fn edge(
        &mut self,
        resource: &Arc<Resource>,
        seen: Observed,
        op: Op,
        raw: Box<RawValue>,
    ) -> Option<Change> {
        match edge::change(resource, seen, op, raw) {
            Ok(change) => return Some(change),
            Err(EdgeError::NoGeneration(object)) => self.skip(object).await,
            Err(error) => {
                self.count_undecodable();
                let error = without_value(&error);
                tracing::error!(error, "an object could not be read and is not recorded");
            }
        }
        None
    }

    fn count_undecodable(&self) {
        let labels = metrics::kind(&self.kind.kind);
        self.metrics.undecodable.get_or_create(&labels).inc();
    }

    /// Every change up to `at` was passed on.
    async fn moved(&mut self, at: ResourceVersion) {
        let position = self.dates.moved(at);
        self.outlet.tell(Fact::Reached(position)).await;
    }

    async fn heard(&mut self, expected: bool) {
        self.outlet.tell(Fact::Heard { expected }).await;
    }

    async fn failed(&mut self, what: &'static str, error: &anyhow::Error) {
        self.failures = self.failures.saturating_add(1);
        tracing::warn!(
            error = without_value(&format!("{error:#}")),
            failures = self.failures,
            "{what} failed"
        );
        sleep(backoff(WAITS, self.failures)).await;
    }

    /// The position is of another history than the present one.
    async fn forget(&mut self, now: ResourceVersion) {
        self.checkpointed = None;
        if let Some(last) = self.dates.forget() {
            self.outlet.tell(Fact::Rewound { last, now }).await;
        }
    }

    /// Everything that was read may be of another history: the process drops it and starts over, this task with it.
    async fn start_over(&mut self, now: ResourceVersion) {
        self.forget(now).await;
        self.rewound.notify_one();
        std::future::pending::<()>().await;
    }
}
