//! One WATCH: its events, in order, and how it ends.

use super::super::join::{Behind, Until};
use super::super::known::Need;
use super::{Stream, WAITS};
use crate::client::page::has_status;
use crate::json::without_value;
use crate::metrics;
use crate::mutant::{self, Mutant};
use crate::revision::Observed;
use crate::watch::edge::{self, EdgeError, Unordered};
use crate::watch::exact::Unserved;
use crate::watch::{Fact, Sink};
use crate::workload::{Change, Op, Resource, ResourceVersion, Version};
use futures::StreamExt;
use http::Request;
use kube::api::WatchEvent;
use serde_json::value::RawValue;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Below the 75 s that an API server's watch cache reaches back, so that every reconnect can resume. It also makes the
/// server send a bookmark at the end of every watch.
const WATCH_SECONDS: u32 = 50;
/// Events that a watch has missed come at once. A watch of so many seconds that the server ends without having shown
/// any of them shows that there are no more.
const REPLAY_SECONDS: u32 = 5;
/// The server waits this much longer at most.
const GRACE: Duration = Duration::from_secs(5);
const OPEN_DEADLINE: Duration = Duration::from_secs(30);
/// A server that ends every replay early and shows nothing is not waited for longer than that.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a watch ended.
pub(super) enum End {
    /// It can go on where it was.
    Resume,
    /// It has shown everything up to where it was asked to, or shows no more.
    Replayed,
    /// Its history is gone, or an event could not be read: list again.
    Expired,
    /// The kind is not served any more.
    Absent,
}

/// A watch that has to come to an end by itself.
pub(super) struct Replay {
    until: Until,
    /// Since when nothing came.
    quiet: Instant,
}

impl<S: Sink> Stream<S> {
    /// Passes on every event after `last`, and moves it along.
    pub(super) async fn watch(
        &mut self,
        resource: &Arc<Resource>,
        last: &mut ResourceVersion,
    ) -> anyhow::Result<End> {
        self.watch_for(WATCH_SECONDS, resource, last, None).await
    }

    /// Passes on every event after `last`, and moves it along, until the end of the replay or of the watch.
    pub(super) async fn replay(
        &mut self,
        resource: &Arc<Resource>,
        last: &mut ResourceVersion,
        replay: &mut Replay,
    ) -> anyhow::Result<End> {
        self.watch_for(REPLAY_SECONDS, resource, last, Some(replay))
            .await
    }

    async fn watch_for(
        &mut self,
        seconds: u32,
        resource: &Arc<Resource>,
        last: &mut ResourceVersion,
        mut replay: Option<&mut Replay>,
    ) -> anyhow::Result<End> {
        let query = format!(
            "watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={last}"
        );
        let request = Request::get(format!("{}?{query}", resource.path(None))).body(Vec::new())?;
        let opening = self.client.request_events::<Box<RawValue>>(request);
        let answer = timeout(OPEN_DEADLINE, opening).await?;
        let mut events = match answer.map_err(anyhow::Error::from) {
            Ok(events) => std::pin::pin!(events),
            Err(error) if has_status(&error, 410) => return Ok(self.expired().await),
            Err(error) if has_status(&error, 404) => return Ok(End::Absent),
            Err(error) => return Err(error),
        };
        let opened = Instant::now();
        let lasting = Duration::from_secs(seconds.into());
        let mut silent = true;
        while !self.is_reached(replay.as_deref(), *last) {
            if self.catch_up(resource).await.is_err() {
                return Ok(End::Absent);
            }
            let next = tokio::select! {
                biased;
                () = self.woken() => continue,
                next = timeout(lasting + GRACE, events.next()) => next,
            };
            let event = match next {
                Ok(Some(event)) => event,
                Ok(None)
                    if silent && replay.as_ref().is_some_and(|replay| replay.is_over(opened)) =>
                {
                    return Ok(End::Replayed);
                }
                Ok(None) => return Ok(self.ended(opened).await),
                // Silent for longer than it was asked to last: it is dead.
                Err(_) => return Ok(End::Resume),
            };
            let is_news = !matches!(event, Ok(WatchEvent::Bookmark(_)));
            if let Some(end) = self.event(resource, event, last).await? {
                return Ok(end);
            }
            silent &= !is_news;
            if let Some(replay) = replay.as_deref_mut().filter(|_| is_news) {
                replay.quiet = Instant::now();
            }
        }
        Ok(End::Replayed)
    }

    /// Passes on what is due besides events: changes for which there is room now, and workloads whose heads were removed.
    async fn catch_up(&mut self, resource: &Arc<Resource>) -> Result<(), Unserved> {
        if self.outlet.has_postponed() {
            self.resume(resource).await?;
        }
        self.record_again(resource).await
    }

    /// Waits until there may be something due besides events.
    async fn woken(&mut self) {
        let freed = async {
            if self.freed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = freed => {}
            () = self.removals.woken() => {}
        }
    }

    fn is_reached(&self, replay: Option<&Replay>, last: ResourceVersion) -> bool {
        replay.is_some_and(|replay| replay.until.is_reached(last, self.outlet.known()))
    }

    /// Passes on one event, and moves `last` along. Returns how the watch ends, when it does.
    async fn event(
        &mut self,
        resource: &Arc<Resource>,
        event: kube::Result<WatchEvent<Box<RawValue>>>,
        last: &mut ResourceVersion,
    ) -> anyhow::Result<Option<End>> {
        let labels = metrics::kind(&self.kind.kind);
        self.metrics.watch_events.get_or_create(&labels).inc();
        let (op, raw) = match event {
            Ok(WatchEvent::Added(raw)) => (Op::Added, raw),
            Ok(WatchEvent::Modified(raw)) => (Op::Modified, raw),
            Ok(WatchEvent::Deleted(raw)) => (Op::Deleted, raw),
            Ok(WatchEvent::Bookmark(bookmark)) => {
                let at: ResourceVersion = bookmark.metadata.resource_version.parse()?;
                *last = at.max(*last);
                self.moved(*last).await;
                return Ok(None);
            }
            Ok(WatchEvent::Error(status)) if status.code == 410 => {
                return Ok(Some(self.expired().await));
            }
            Ok(WatchEvent::Error(status)) => {
                anyhow::bail!("the API server ended the watch: {status}")
            }
            Err(kube::Error::SerdeError(error)) => return Ok(Some(self.unreadable(&error).await)),
            Err(error) => return Err(error.into()),
        };
        self.failures = 0;
        let change = match edge::change(resource, Observed::Watch, op, raw) {
            Ok(change) => change,
            Err(EdgeError::NoGeneration(object)) => {
                self.pass_by(object, last).await;
                return Ok(None);
            }
            Err(error) => return Ok(Some(self.unreadable(&error).await)),
        };
        let at = change.resource_version;
        if at <= *last {
            self.stale(&change, *last);
        } else if self.pass(resource, change).await.is_err() {
            return Ok(Some(End::Absent));
        } else {
            *last = at;
            self.moved(at).await;
        }
        Ok(None)
    }

    /// Moves `last` along an object that cannot be ordered: a list would show it just as it is.
    async fn pass_by(&mut self, object: Unordered, last: &mut ResourceVersion) {
        let at = object.at;
        self.skip(object).await;
        if at > *last {
            *last = at;
            self.moved(at).await;
        }
    }

    /// Counts an object that cannot be ordered, and passes on that the kind has such objects when it is the first one.
    pub(super) async fn skip(&mut self, object: Unordered) {
        self.count_undecodable();
        let labels = metrics::kind(&self.kind.kind);
        let before = self.metrics.unordered.get_or_create(&labels).set(1);
        if before == 0 {
            let Unordered {
                namespace, name, ..
            } = object;
            self.outlet.tell(Fact::Unordered { namespace, name }).await;
        }
    }

    /// Passes on one change, after the generations that have to be read before it.
    async fn pass(&mut self, resource: &Arc<Resource>, change: Change) -> Result<(), Unserved> {
        if self.outlet.known().contradicts(&change) {
            self.start_over(change.resource_version).await;
        }
        self.outlet.shown(&change).await;
        if self.outlet.waits(&change) {
            let absent_at = self.origin_of(&change);
            self.outlet.postpone(&change, absent_at).await;
            return Ok(());
        }
        if let Some(behind) = self.behind(&change) {
            let history = self.exact.history(resource, &behind).await?;
            self.tell(resource, &behind, history).await?;
        }
        self.outlet.change(change).await;
        Ok(())
    }

    /// The place from which on a workload may have been created whose creation the watch has not shown.
    fn origin_of(&mut self, change: &Change) -> Option<ResourceVersion> {
        let is_lost = self.outlet.need(change) == Need::Origin;
        let origin = self.origin.map(|origin| origin.at);
        origin.filter(|origin| {
            is_lost
                && *origin < change.resource_version
                && !mutant::is(Mutant::PostponedFromFirstShown)
        })
    }

    /// The past that has to be read before `change`, which a watch shows.
    fn behind(&mut self, change: &Change) -> Option<Behind> {
        match (self.outlet.need(change), self.origin) {
            (Need::After { last, refresh }, _) => Some(Behind::new(change, last, refresh, None)),
            (Need::Origin, Some(origin)) if origin.at < change.resource_version => {
                tracing::warn!(
                    namespace = change.namespace,
                    name = change.name,
                    generation = change.generation,
                    "the watch has not shown the creation of this workload; reading it back"
                );
                let nothing = Version {
                    generation: 0,
                    at: origin.at,
                };
                Some(Behind::new(change, nothing, false, None))
            }
            _ => None,
        }
    }

    /// A watch shows what comes after a place, in order; anything else would be taken for news.
    fn stale(&self, change: &Change, last: ResourceVersion) {
        let labels = metrics::kind(&self.kind.kind);
        self.metrics.stale_events.get_or_create(&labels).inc();
        tracing::warn!(
            namespace = change.namespace,
            name = change.name,
            at = %change.resource_version,
            %last,
            "an event that is older than the last one was dropped"
        );
    }

    /// A watch that ends at once, again and again, must not become a busy loop.
    async fn ended(&mut self, opened: Instant) -> End {
        if opened.elapsed() < Duration::from_secs(1) {
            sleep(WAITS.0).await;
        }
        self.failures = 0;
        self.outlet.tell(Fact::Heard { expected: true }).await;
        End::Resume
    }

    async fn expired(&mut self) -> End {
        let labels = metrics::kind(&self.kind.kind);
        self.metrics.watch_expired.get_or_create(&labels).inc();
        tracing::info!("the history of the watch is gone; listing again");
        // It may be gone again at once.
        sleep(WAITS.0).await;
        End::Expired
    }

    async fn unreadable(&mut self, error: &(impl Display + Sync)) -> End {
        self.count_undecodable();
        let error = without_value(error);
        tracing::error!(error, "an event could not be read; listing again");
        sleep(WAITS.0).await;
        End::Expired
    }
}

impl Replay {
    /// A replay that begins now.
    pub(super) fn new(until: Until) -> Self {
        let quiet = Instant::now();
        Self { until, quiet }
    }

    /// Up to where it goes.
    pub(super) fn until(&self) -> &Until {
        &self.until
    }

    /// Whether a watch that was opened then, and has ended without a word, shows that no more comes.
    fn is_over(&self, opened: Instant) -> bool {
        let lasting = Duration::from_secs(REPLAY_SECONDS.into());
        opened.elapsed() + Duration::from_secs(1) >= lasting || self.quiet.elapsed() >= PATIENCE
    }
}
