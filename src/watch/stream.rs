//! LIST and WATCH of one kind, for ever.

use super::edge;
use super::{Sink, discover};
use crate::kinds::Kind;
use crate::metrics::{self, Metrics};
use crate::revision::Observed;
use crate::workload::{Op, Resource, ResourceVersion};
use futures::StreamExt;
use http::Request;
use kube::Client;
use kube::api::WatchEvent;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// Below the 75 s that an API server's watch cache reaches back, so that every reconnect can resume. It also makes the
/// server send a bookmark at the end of every watch.
const WATCH_SECONDS: u32 = 50;
/// A watch that is silent for longer than it was asked to last is dead.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 5);
const LIST_DEADLINE: Duration = Duration::from_secs(30);
const PAGE: u32 = 500;
/// First wait after a failure, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Reads one kind.
pub struct Stream<S> {
    client: Client,
    kind: Arc<Kind>,
    sink: S,
    metrics: Metrics,
    ready: watch::Sender<bool>,
    failures: u32,
}

/// Why a watch ended.
enum End {
    /// It can go on where it was.
    Resume,
    /// Its history is gone, or an event could not be read: list again.
    Relist,
    /// The kind is not served any more.
    Absent,
}

#[derive(Deserialize)]
struct Page<'a> {
    metadata: PageMetadata,
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    resource_version: String,
    #[serde(default, rename = "continue")]
    token: String,
}

impl<S: Sink> Stream<S> {
    /// A reader of `kind`. `ready` turns true when the first list is in, or when there is nothing to list.
    pub fn new(
        client: Client,
        kind: Arc<Kind>,
        sink: S,
        metrics: &Metrics,
        ready: watch::Sender<bool>,
    ) -> Self {
        Self { client, kind, sink, metrics: metrics.clone(), ready, failures: 0 }
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
        let mut at = None;
        loop {
            let from = match at {
                Some(from) => from,
                None => match self.list(resource).await {
                    Ok(Some(listed)) => listed,
                    Ok(None) => return,
                    Err(error) => {
                        self.failed("list", &error).await;
                        continue;
                    }
                },
            };
            let mut last = from;
            at = match self.watch(resource, &mut last).await {
                Ok(End::Resume) => Some(last),
                Ok(End::Relist) => None,
                Ok(End::Absent) => return,
                Err(error) => {
                    self.failed("watch", &error).await;
                    Some(last)
                }
            };
        }
    }

    async fn failed(&mut self, what: &'static str, error: &anyhow::Error) {
        self.failures = self.failures.saturating_add(1);
        let (first, longest) = BACKOFF;
        let wait = first.saturating_mul(1 << (self.failures - 1).min(16)).min(longest);
        tracing::warn!(
            kind = self.kind.kind,
            error = format!("{error:#}"),
            failures = self.failures,
            "{what} failed"
        );
        sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    }

    /// Passes on every object there is. None when the version is not served.
    async fn list(&mut self, resource: &Arc<Resource>) -> anyhow::Result<Option<ResourceVersion>> {
        let labels = metrics::kind(&self.kind.kind);
        self.metrics.lists.get_or_create(&labels).inc();
        self.sink.listing();
        let mut token = String::new();
        loop {
            // No resourceVersion: a consistent read. With 0 a stale API server would answer with the past.
            let uri = format!("{}?limit={PAGE}{}", resource.path(None), continued(&token));
            let text =
                match timeout(LIST_DEADLINE, self.client.request_text(Request::get(uri).body(Vec::new())?))
                    .await?
                {
                    Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
                    other => other?,
                };
            let page: Page<'_> = serde_json::from_str(&text)?;
            for item in page.items {
                self.pass(resource, Observed::List, Op::Added, item.to_owned()).await;
            }
            token = page.metadata.token;
            if token.is_empty() {
                let at = page.metadata.resource_version.parse()?;
                self.sink.listed();
                self.sink.reached(at);
                self.ready.send_replace(true);
                return Ok(Some(at));
            }
        }
    }

    /// Passes on every event after `last`, and moves it along.
    async fn watch(&mut self, resource: &Arc<Resource>, last: &mut ResourceVersion) -> anyhow::Result<End> {
        let query = format!(
            "watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={last}"
        );
        let request = Request::get(format!("{}?{query}", resource.path(None))).body(Vec::new())?;
        let opened = Instant::now();
        let events =
            match timeout(LIST_DEADLINE, self.client.request_events::<Box<RawValue>>(request)).await? {
                Ok(events) => events,
                Err(kube::Error::Api(status)) if status.code == 410 => return Ok(self.expired()),
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(End::Absent),
                Err(error) => return Err(error.into()),
            };
        let mut events = std::pin::pin!(events);
        let counter = self.metrics.watch_events.get_or_create(&metrics::kind(&self.kind.kind)).clone();
        loop {
            let Ok(Some(event)) = timeout(SILENCE, events.next()).await else {
                return Ok(self.ended(opened).await);
            };
            counter.inc();
            let (op, raw) = match event {
                Ok(WatchEvent::Added(raw)) => (Op::Added, raw),
                Ok(WatchEvent::Modified(raw)) => (Op::Modified, raw),
                Ok(WatchEvent::Deleted(raw)) => (Op::Deleted, raw),
                Ok(WatchEvent::Bookmark(bookmark)) => {
                    *last = bookmark.metadata.resource_version.parse()?;
                    self.sink.reached(*last);
                    continue;
                }
                Ok(WatchEvent::Error(status)) if status.code == 410 => return Ok(self.expired()),
                Ok(WatchEvent::Error(status)) => anyhow::bail!("the API server ended the watch: {status}"),
                Err(kube::Error::SerdeError(error)) => return Ok(self.unreadable(&error)),
                Err(error) => return Err(error.into()),
            };
            self.failures = 0;
            let Some(at) = self.pass(resource, Observed::Watch, op, raw).await else {
                return Ok(End::Relist);
            };
            *last = at;
            self.sink.reached(at);
        }
    }

    /// Hands one object to the sink. None when it cannot be ordered.
    async fn pass(
        &mut self,
        resource: &Arc<Resource>,
        seen: Observed,
        op: Op,
        raw: Box<RawValue>,
    ) -> Option<ResourceVersion> {
        match edge::change(resource, seen, op, raw) {
            Ok(change) => {
                let at = change.resource_version;
                self.sink.change(change).await;
                Some(at)
            }
            Err(error) => {
                self.metrics.undecodable.get_or_create(&metrics::kind(&self.kind.kind)).inc();
                tracing::error!(kind = self.kind.kind, %error, "an object could not be read and is not recorded");
                None
            }
        }
    }

    /// A watch that ends at once, again and again, must not become a busy loop.
    async fn ended(&mut self, opened: Instant) -> End {
        if opened.elapsed() < Duration::from_secs(1) {
            sleep(BACKOFF.0).await;
        }
        self.failures = 0;
        End::Resume
    }

    fn expired(&mut self) -> End {
        self.metrics.watch_expired.get_or_create(&metrics::kind(&self.kind.kind)).inc();
        tracing::info!(kind = self.kind.kind, "the history of the watch is gone; listing again");
        End::Relist
    }

    fn unreadable(&mut self, error: &serde_json::Error) -> End {
        self.metrics.undecodable.get_or_create(&metrics::kind(&self.kind.kind)).inc();
        tracing::error!(kind = self.kind.kind, %error, "an event could not be read; listing again");
        End::Relist
    }
}

fn continued(token: &str) -> String {
    if token.is_empty() { String::new() } else { format!("&continue={token}") }
}
