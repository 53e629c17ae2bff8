//! LIST and WATCH of one kind, for ever.

use super::edge;
use super::exact::Exact;
use super::relist::{Listed, NoList, behind};
use super::{Need, Place, Sink, discover};
use crate::client::backoff::{Waits, backoff};
use crate::client::page::is;
use crate::kinds::Kind;
use crate::metrics::{self, Metrics};
use crate::revision::Observed;
use crate::workload::{Change, Op, Resource, ResourceVersion};
use chrono::Utc;
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
/// A watch that is silent for longer than it was asked to last is dead.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 5);
/// What a watch has missed comes at once; after this silence there is no more of it.
const REPLAY_SILENCE: Duration = Duration::from_secs(2);
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
    pub since: Option<Place>,
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
    pub(super) since: Option<Place>,
    /// Whether this process has followed the kind before: what is missing now was missed by it.
    pub(super) resumed: bool,
    audit: Duration,
    audited: Instant,
    rewound: Arc<Notify>,
    failures: u32,
}

/// Why a watch ended.
enum End {
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
        let Parts { watch, call, kind, metrics, ready, since, audit, rewound } = parts;
        Self {
            client: watch,
            exact: Exact { client: call },
            kind,
            sink,
            metrics,
            ready,
            since,
            resumed: false,
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
            tracing::info!(kind = self.kind.kind, version = resource.version, "watching");
            self.follow(&resource).await;
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
            let Some(mut at) = self.join(resource, listed, resumable).await else { return };
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
    ) -> Option<ResourceVersion> {
        let Some(since) = self.since else {
            self.catch_up(resource, &mut listed).await;
            return Some(listed.at);
        };
        let mut at = since.at;
        if resumable && listed.is_settled() {
            // Nothing to wait for: whatever came and went meanwhile comes by the watch.
            return Some(at);
        }
        let mut end = if resumable { End::Resume } else { End::Relist };
        while matches!(end, End::Resume) {
            end = match self.watch(resource, &mut at, Some(listed.at)).await {
                Ok(end) => end,
                Err(error) => {
                    self.failed("watch", &error).await;
                    End::Resume
                }
            };
        }
        match end {
            End::Absent => return None,
            End::Replayed | End::Resume => listed.drop_known(&self.sink),
            End::Relist => at = listed.at,
        }
        self.catch_up(resource, &mut listed).await;
        if matches!(end, End::Relist) {
            self.look_into(resource, since.at, &listed).await;
        }
        Some(at)
    }

    /// Watches until the version or the history is gone.
    async fn live(&mut self, resource: &Arc<Resource>, at: &mut ResourceVersion) -> End {
        loop {
            match self.watch(resource, at, None).await {
                Ok(End::Resume | End::Replayed) => self.check(resource, at).await,
                Ok(end) => return end,
                Err(error) => self.failed("watch", &error).await,
            }
        }
    }

    /// Between two watches: is this still the same history, and was really everything seen?
    async fn check(&mut self, resource: &Arc<Resource>, at: &mut ResourceVersion) {
        if let Ok(page) = self.exact.present(resource, 1, "", true).await
            && page.at < *at
        {
            return self.start_over(page.at).await;
        }
        if self.audited.elapsed() < self.audit {
            return;
        }
        self.audited = Instant::now();
        match self.audit(resource, at).await {
            Ok(()) | Err(NoList::Absent) => {}
            Err(NoList::Rewound(now)) => self.start_over(now).await,
            Err(NoList::Failed(error)) => self.failed("audit", &error).await,
        }
    }

    /// Compares what is there with what was seen, and reads back what was not.
    async fn audit(&mut self, resource: &Arc<Resource>, at: &mut ResourceVersion) -> Result<(), NoList> {
        let mut listed = self.suspects(resource).await?;
        // Most suspects are just on their way.
        while !listed.is_settled() && *at < listed.at {
            match self.watch(resource, at, Some(listed.at)).await.map_err(NoList::Failed)? {
                End::Resume => {}
                End::Replayed => break,
                End::Relist | End::Absent => return Ok(()),
            }
        }
        listed.drop_known(&self.sink);
        if !listed.is_settled() {
            let missed = listed.behind.len() + listed.gone.len();
            tracing::error!(kind = self.kind.kind, missed, "the watch has lost events; reading them back");
            let counter = self.metrics.audit_repairs.get_or_create(&metrics::kind(&self.kind.kind)).clone();
            counter.inc_by(missed as u64);
            self.catch_up(resource, &mut listed).await;
        }
        Ok(())
    }

    /// Passes on every event after `last`, and moves it along; up to `until`, when that is given.
    async fn watch(
        &mut self,
        resource: &Arc<Resource>,
        last: &mut ResourceVersion,
        until: Option<ResourceVersion>,
    ) -> anyhow::Result<End> {
        let query = format!(
            "watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={last}"
        );
        let request = Request::get(format!("{}?{query}", resource.path(None))).body(Vec::new())?;
        let opened = Instant::now();
        let answer = timeout(OPEN_DEADLINE, self.client.request_events::<Box<RawValue>>(request)).await?;
        let events = match answer.map_err(anyhow::Error::from) {
            Ok(events) => events,
            Err(error) if is(&error, 410) => return Ok(self.expired()),
            Err(error) if is(&error, 404) => return Ok(End::Absent),
            Err(error) => return Err(error),
        };
        let mut events = std::pin::pin!(events);
        let counter = self.metrics.watch_events.get_or_create(&metrics::kind(&self.kind.kind)).clone();
        let mut silent = true;
        let silence = if until.is_some() { REPLAY_SILENCE } else { SILENCE };
        while until.is_none_or(|until| *last < until) {
            let event = match timeout(silence, events.next()).await {
                Ok(Some(event)) => event,
                // Nothing more of what was missed comes.
                Ok(None) if until.is_some() && silent => return Ok(End::Replayed),
                Ok(None) => return Ok(self.ended(opened).await),
                Err(_) if until.is_some() => return Ok(End::Replayed),
                Err(_) => return Ok(End::Resume),
            };
            counter.inc();
            silent = false;
            let (op, raw) = match event {
                Ok(WatchEvent::Added(raw)) => (Op::Added, raw),
                Ok(WatchEvent::Modified(raw)) => (Op::Modified, raw),
                Ok(WatchEvent::Deleted(raw)) => (Op::Deleted, raw),
                Ok(WatchEvent::Bookmark(bookmark)) => {
                    *last = bookmark.metadata.resource_version.parse()?;
                    self.moved(*last);
                    continue;
                }
                Ok(WatchEvent::Error(status)) if status.code == 410 => return Ok(self.expired()),
                Ok(WatchEvent::Error(status)) => anyhow::bail!("the API server ended the watch: {status}"),
                Err(kube::Error::SerdeError(error)) => return Ok(self.unreadable(&error).await),
                Err(error) => return Err(error.into()),
            };
            self.failures = 0;
            let Some(change) = self.edge(resource, Observed::Watch, op, raw) else {
                return Ok(End::Relist);
            };
            *last = change.resource_version;
            self.pass(resource, change).await;
            self.moved(*last);
        }
        Ok(End::Replayed)
    }

    /// Hands one change to the sink, after what it lacks.
    async fn pass(&mut self, resource: &Arc<Resource>, change: Change) {
        if let Need::After { generation, at, refresh } = self.sink.need(&change) {
            let behind = behind(&change, (generation, at), refresh, false);
            let found = self.exact.history(resource, &behind).await;
            self.tell(resource, &behind, found).await;
        }
        self.sink.change(change).await;
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

    fn moved(&mut self, at: ResourceVersion) {
        self.since = Some(Place { at, time: Utc::now() });
        self.sink.reached(at);
    }

    /// A watch that ends at once, again and again, must not become a busy loop.
    async fn ended(&mut self, opened: Instant) -> End {
        if opened.elapsed() < Duration::from_secs(1) {
            sleep(WAITS.0).await;
        }
        self.failures = 0;
        End::Resume
    }

    fn expired(&mut self) -> End {
        self.metrics.watch_expired.get_or_create(&metrics::kind(&self.kind.kind)).inc();
        tracing::info!(kind = self.kind.kind, "the history of the watch is gone; listing again");
        End::Relist
    }

    async fn unreadable(&mut self, error: &serde_json::Error) -> End {
        self.metrics.undecodable.get_or_create(&metrics::kind(&self.kind.kind)).inc();
        tracing::error!(kind = self.kind.kind, %error, "an event could not be read; listing again");
        sleep(WAITS.0).await;
        End::Relist
    }

    async fn failed(&mut self, what: &'static str, error: &anyhow::Error) {
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
    async fn start_over(&mut self, now: ResourceVersion) {
        self.forget(now);
        self.rewound.notify_one();
        std::future::pending::<()>().await;
    }
}
