//! LIST and WATCH of one kind, for ever.

use super::check::Until;
use super::edge;
use super::exact::{Exact, Unserved};
use super::relist::{Listed, NoList, behind};
use super::{Need, Position, Sink, discover};
use crate::client::backoff::{Waits, backoff};
use crate::client::page::has_status;
use crate::kinds::Kind;
use crate::metrics::{self, Metrics};
use crate::revision::Observed;
use crate::workload::{Change, Op, Resource, ResourceVersion};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use http::Request;
use kube::Client;
use kube::api::WatchEvent;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

/// Below the 75 s that an API server's watch cache reaches back, so that every reconnect can resume. It also makes the
/// server send a bookmark at the end of every watch.
const WATCH_SECONDS: u32 = 50;
/// What a watch has missed comes at once. A watch of so many seconds that the server ends without having shown any of
/// it shows that there is no more.
const REPLAY_SECONDS: u32 = 5;
/// The server waits this much longer at most.
const GRACE: Duration = Duration::from_secs(5);
const OPEN_DEADLINE: Duration = Duration::from_secs(30);
const WAITS: Waits = (Duration::from_millis(200), Duration::from_secs(10));

/// What a stream is made of.
pub struct Parts {
    /// A client without a limit on silence.
    pub watch: Client,
    /// A client for calls that are answered at once.
    pub call: Client,
    /// The kind.
    pub kind: Arc<Kind>,
    /// Where it is counted.
    pub metrics: Metrics,
    /// Turns true when the first list is in, or when there is nothing to list.
    pub ready: watch::Sender<bool>,
    /// Up to where everything was recorded before.
    pub since: Option<Position>,
    /// How often it is checked that nothing was missed.
    pub audit: Duration,
    /// Told when etcd was restored: everything has to start over.
    pub rewound: Arc<Notify>,
}

/// Reads one kind.
pub struct Stream<S> {
    client: Client,
    pub(super) exact: Exact,
    pub(super) kind: Arc<Kind>,
    pub(super) sink: S,
    pub(super) metrics: Metrics,
    ready: watch::Sender<bool>,
    pub(super) since: Option<Position>,
    /// Whether this process has followed the kind before: what is missing now was missed by it.
    pub(super) resumed: bool,
    /// A place that the history had reached at a known time.
    pub(super) clock: Option<Position>,
    pub(super) audit: Duration,
    pub(super) audited: Instant,
    rewound: Arc<Notify>,
    failures: u32,
}

/// Why a watch ended.
pub(super) enum End {
    /// It can go on where it was.
    Resume,
    /// It has shown everything up to where it was asked to.
    Replayed,
    /// Its history is gone, or an event could not be read: list again.
    Relist,
    /// The kind is not served any more.
    Absent,
}

impl<S: Sink> Stream<S> {
    /// A reader that hands what it reads to `sink`.
    pub fn new(parts: Parts, sink: S) -> Self {
        let Parts {
            watch,
            call,
            kind,
            metrics,
            ready,
            since,
            audit,
            rewound,
        } = parts;
        Self {
            client: watch,
            exact: Exact { client: call },
            kind,
            sink,
            metrics,
            ready,
            since,
            resumed: false,
            clock: None,
            audit,
            audited: Instant::now(),
            rewound,
            failures: 0,
        }
    }

    /// Reads until it is dropped.
    pub async fn run(mut self) {
        loop {
            let ready = &self.ready;
            let resource = discover::wait(&self.client, &self.kind, || {
                ready.send_replace(true);
            })
            .await;
            tracing::info!(
                kind = self.kind.kind,
                version = resource.version,
                "watching"
            );
            self.sink.heard(true);
            self.follow(&resource).await;
            self.sink.heard(false);
            tracing::info!(
                kind = self.kind.kind,
                version = resource.version,
                "this version is not served any more"
            );
        }
    }

    /// Lists and watches until the version is gone.
    async fn follow(&mut self, resource: &Arc<Resource>) {
        let mut resumable = true;
        loop {
            let listed = match self.list(resource).await {
                Ok(listed) => listed,
                Err(NoList::Absent) => return,
                Err(NoList::Rewound(now)) => return self.start_over(now).await,
                Err(NoList::Failed(error)) => {
                    self.failed("list", &error).await;
                    continue;
                }
            };
            if self.since.is_some_and(|since| since.at > listed.at) {
                if self.resumed {
                    return self.start_over(listed.at).await;
                }
                self.forget(listed.at);
            }
            self.ready.send_replace(true);
            let Ok(mut at) = self.join(resource, listed, resumable).await else {
                return;
            };
            self.moved(at);
            self.resumed = true;
            if matches!(self.live(resource, &mut at).await, End::Absent) {
                return;
            }
            resumable = false;
        }
    }

    /// Joins the list to what was recorded before: by a watch from there, or else by reading etcd's past.
    async fn join(
        &mut self,
        resource: &Arc<Resource>,
        mut listed: Listed,
        resumable: bool,
    ) -> Result<ResourceVersion, Unserved> {
        let Some(since) = self.since else {
            self.catch_up(resource, &mut listed).await?;
            return Ok(listed.at);
        };
        let mut at = since.at;
        if resumable && listed.is_settled() {
            // Nothing to wait for: whatever came and went meanwhile comes by the watch.
            return Ok(at);
        }
        let mut until = Until::shown(&listed);
        let mut end = if resumable { End::Resume } else { End::Relist };
        while matches!(end, End::Resume) {
            end = match self.watch(resource, &mut at, Some(&mut until)).await {
                Ok(end) => end,
                Err(error) => {
                    self.failed("watch", &error).await;
                    End::Resume
                }
            };
        }
        match end {
            End::Absent => return Err(Unserved),
            End::Replayed | End::Resume => listed.drop_known(&self.sink),
            End::Relist => at = listed.at,
        }
        self.catch_up(resource, &mut listed).await?;
        if matches!(end, End::Relist) {
            self.look_into(resource, since.at, &listed).await?;
        }
        Ok(at)
    }

    /// Watches until the version or the history is gone.
    async fn live(&mut self, resource: &Arc<Resource>, at: &mut ResourceVersion) -> End {
        loop {
            match self.watch(resource, at, None).await {
                Ok(End::Resume | End::Replayed) => {}
                Ok(end) => return end,
                Err(error) => self.failed("watch", &error).await,
            }
            // After a failure too: a restored etcd soon has come further than the old one had.
            self.check(resource, at).await;
        }
    }

    /// Passes on every event after `last`, and moves it along; up to `until`, when that is given.
    pub(super) async fn watch(
        &mut self,
        resource: &Arc<Resource>,
        last: &mut ResourceVersion,
        mut until: Option<&mut Until>,
    ) -> anyhow::Result<End> {
        let seconds = if until.is_some() {
            REPLAY_SECONDS
        } else {
            WATCH_SECONDS
        };
        let query = format!(
            "watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={last}"
        );
        let request = Request::get(format!("{}?{query}", resource.path(None))).body(Vec::new())?;
        let answer = timeout(
            OPEN_DEADLINE,
            self.client.request_events::<Box<RawValue>>(request),
        )
        .await?;
        let events = match answer.map_err(anyhow::Error::from) {
            Ok(events) => events,
            Err(error) if has_status(&error, 410) => return Ok(self.expired().await),
            Err(error) if has_status(&error, 404) => return Ok(End::Absent),
            Err(error) => return Err(error),
        };
        let (mut events, opened) = (std::pin::pin!(events), Instant::now());
        let lasting = Duration::from_secs(seconds.into());
        let mut silent = true;
        while until
            .as_ref()
            .is_none_or(|until| !until.is_reached(*last, &self.sink))
        {
            let event = match timeout(lasting + GRACE, events.next()).await {
                Ok(Some(event)) => event,
                // Nothing more of what was missed comes.
                Ok(None)
                    if silent
                        && until
                            .as_ref()
                            .is_some_and(|until| until.is_over(opened, lasting)) =>
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
            if let Some(until) = until.as_deref_mut().filter(|_| is_news) {
                until.moved();
            }
        }
        Ok(End::Replayed)
    }

    /// Passes on one event, and moves `last` along. Returns how the watch ends, when it does.
    async fn event(
        &mut self,
        resource: &Arc<Resource>,
        event: kube::Result<WatchEvent<Box<RawValue>>>,
        last: &mut ResourceVersion,
    ) -> anyhow::Result<Option<End>> {
        self.metrics
            .watch_events
            .get_or_create(&metrics::kind(&self.kind.kind))
            .inc();
        let (op, raw) = match event {
            Ok(WatchEvent::Added(raw)) => (Op::Added, raw),
            Ok(WatchEvent::Modified(raw)) => (Op::Modified, raw),
            Ok(WatchEvent::Deleted(raw)) => (Op::Deleted, raw),
            Ok(WatchEvent::Bookmark(bookmark)) => {
                *last = bookmark
                    .metadata
                    .resource_version
                    .parse::<ResourceVersion>()?
                    .max(*last);
                self.moved(*last);
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
        let Some(change) = self.edge(resource, Observed::Watch, op, raw) else {
            return Ok(Some(End::Relist));
        };
        let at = change.resource_version;
        if at <= *last {
            self.stale(&change, *last);
        } else if self.pass(resource, change).await.is_err() {
            return Ok(Some(End::Absent));
        } else {
            *last = at;
            self.moved(at);
        }
        Ok(None)
    }

    /// Hands one change to the sink, after what it lacks.
    async fn pass(&mut self, resource: &Arc<Resource>, change: Change) -> Result<(), Unserved> {
        if self.sink.contradicts(&change) {
            self.start_over(change.resource_version).await;
        }
        if let Need::After {
            generation,
            at,
            refresh,
        } = self.sink.need(&change)
        {
            let behind = behind(&change, (generation, at), refresh, None);
            let found = self.exact.history(resource, &behind).await?;
            self.tell(resource, &behind, found).await?;
        }
        self.sink.change(change).await;
        Ok(())
    }

    /// A watch shows what comes after a place, in order; anything else would be taken for news.
    fn stale(&self, change: &Change, last: ResourceVersion) {
        self.metrics
            .stale_events
            .get_or_create(&metrics::kind(&self.kind.kind))
            .inc();
        let Change {
            namespace,
            name,
            resource_version: at,
            ..
        } = change;
        tracing::warn!(kind = self.kind.kind, namespace, name, %at, %last, "an event that is older than the last one was dropped");
    }

    /// Reads what orders and identifies an object. None when it cannot be ordered.
    pub(super) fn edge(
        &self,
        resource: &Arc<Resource>,
        seen: Observed,
        op: Op,
        raw: Box<RawValue>,
    ) -> Option<Change> {
        edge::change(resource, seen, op, raw)
            .inspect_err(|error| {
                self.metrics.undecodable.get_or_create(&metrics::kind(&self.kind.kind)).inc();
                tracing::error!(kind = self.kind.kind, %error, "an object could not be read and is not recorded");
            })
            .ok()
    }

    /// Events may be passed on long after they happened, so only what the API server said of the present dates a place.
    fn moved(&mut self, at: ResourceVersion) {
        let dated = self
            .clock
            .filter(|clock| clock.at <= at)
            .map(|clock| clock.time);
        let before = self.since.map(|since| since.time);
        let time = dated.into_iter().chain(before).max().unwrap_or_default();
        let place = Position { at, time };
        self.since = Some(place);
        self.sink.reached(place);
    }

    /// A consistent read that was asked at `asked` showed the history at `at`.
    pub(super) fn measured(&mut self, at: ResourceVersion, asked: DateTime<Utc>) {
        let reached = |clock: Position| self.since.is_some_and(|since| since.at >= clock.at);
        if self.clock.is_none_or(reached) {
            self.clock = Some(Position { at, time: asked });
        }
    }

    /// A watch that ends at once, again and again, must not become a busy loop.
    async fn ended(&mut self, opened: Instant) -> End {
        if opened.elapsed() < Duration::from_secs(1) {
            sleep(WAITS.0).await;
        }
        self.failures = 0;
        self.sink.heard(true);
        End::Resume
    }

    async fn expired(&mut self) -> End {
        self.metrics
            .watch_expired
            .get_or_create(&metrics::kind(&self.kind.kind))
            .inc();
        tracing::info!(
            kind = self.kind.kind,
            "the history of the watch is gone; listing again"
        );
        // It may be gone again at once.
        sleep(WAITS.0).await;
        End::Relist
    }

    async fn unreadable(&mut self, error: &serde_json::Error) -> End {
        self.metrics
            .undecodable
            .get_or_create(&metrics::kind(&self.kind.kind))
            .inc();
        tracing::error!(kind = self.kind.kind, %error, "an event could not be read; listing again");
        sleep(WAITS.0).await;
        End::Relist
    }

    pub(super) async fn failed(&mut self, what: &'static str, error: &anyhow::Error) {
        self.failures = self.failures.saturating_add(1);
        tracing::warn!(
            kind = self.kind.kind,
            error = format!("{error:#}"),
            failures = self.failures,
            "{what} failed"
        );
        sleep(backoff(WAITS, self.failures)).await;
    }

    /// The checkpoint is of another history than this one.
    fn forget(&mut self, now: ResourceVersion) {
        if let Some(since) = self.since.take() {
            self.sink.rewound(since.at, now);
        }
    }

    /// Everything that was read may be of another history: the process drops it and starts over, this task with it.
    pub(super) async fn start_over(&mut self, now: ResourceVersion) {
        self.forget(now);
        self.rewound.notify_one();
        std::future::pending::<()>().await;
    }
}
