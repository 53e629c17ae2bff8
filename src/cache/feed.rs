//! LIST and WATCH of all Revisions, for ever.
//!
//! Only the present set counts, so kube-rs' own watcher would do, but for three things: the next page is on its way
//! while this one is read, the length of pages follows the size of their objects, and an object that cannot be read is
//! left out instead of keeping everything else from being served. Fields that are not needed here (managedFields above
//! all) are not read at all.

use crate::client::backoff::{Waits, backoff};
use crate::client::page::{Page, has_status, page, uri};
use crate::client::path::segment;
use crate::mutant::{self, Mutant};
use crate::revision::{GROUP, PLURAL, Revision, RevisionSpec, RevisionStatus, VERSION};
use crate::workload::ResourceVersion;
use futures::StreamExt;
use http::Request;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use kube::api::{ObjectMeta, WatchEvent};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// A message of the API server.
#[derive(Debug)]
pub(super) enum Event {
    /// A list begins.
    Listing,
    /// One of the list.
    Listed(Revision),
    /// The list is complete.
    Complete,
    /// Created or changed.
    Put(Revision),
    /// Deleted.
    Gone(Revision),
    /// One that cannot be read.
    Unreadable(serde_json::Error),
    /// The API server answers, and there is nothing new.
    Alive,
    /// It does not answer, or refuses.
    Failed(anyhow::Error),
}

/// The server ends a watch after so long, so that one that is silent for longer is known to be broken.
const WATCH_SECONDS: u32 = 50;
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 5);
const OPEN_DEADLINE: Duration = Duration::from_secs(30);
const ONE_DEADLINE: Duration = Duration::from_secs(10);
const WAITS: Waits = (Duration::from_millis(200), Duration::from_secs(10));
/// A page is in memory as a whole, and the next one with it, so it is to be about so long.
const PAGE_BYTES: usize = 2 << 20;
const FIRST_PAGE: usize = 50;
const LARGEST_PAGE: usize = 500;

/// Why a watch ended.
enum WatchEnd {
    /// The next watch can go on where this one was.
    Resume,
    /// Its history is gone: list again.
    Expired,
}

/// Reports all Revisions and every change to them, until it is dropped.
pub(super) async fn follow(client: &Client, tell: impl Fn(Event)) {
    let mut failures = 0;
    loop {
        let mut at = match list(client, &tell).await {
            Ok(at) => at,
            Err(error) => {
                fail(&tell, &mut failures, error).await;
                continue;
            }
        };
        loop {
            match watch(client, &mut at, &tell).await {
                Ok(WatchEnd::Resume) => failures = 0,
                Ok(WatchEnd::Expired) => {
                    sleep(WAITS.0).await;
                    break;
                }
                Err(error) => fail(&tell, &mut failures, error).await,
            }
        }
    }
}

async fn fail(tell: &impl Fn(Event), failures: &mut u32, error: anyhow::Error) {
    *failures = failures.saturating_add(1);
    tell(Event::Failed(error));
    sleep(backoff(WAITS, *failures)).await;
}

fn collection() -> String {
    format!("/apis/{GROUP}/{VERSION}/{PLURAL}")
}

/// Reports all Revisions; returns the resourceVersion of the list.
async fn list(client: &Client, tell: &impl Fn(Event)) -> anyhow::Result<ResourceVersion> {
    tell(Event::Listing);
    let mut next = fetch(client, FIRST_PAGE, "");
    let mut at = ResourceVersion::default();
    loop {
        let page = match next.await? {
            Err(error) if has_status(&error, 410) && mutant::is(Mutant::ExpiredTokenIgnored) => {
                tell(Event::Complete);
                return Ok(at);
            }
            page => page?,
        };
        at = page.at;
        tell(Event::Alive);
        // Before this one is read.
        let following =
            (!page.token.is_empty()).then(|| fetch(client, next_limit(&page), &page.token));
        for raw in &page.items {
            tell(read(raw).map_or_else(Event::Unreadable, Event::Listed));
        }
        let Some(following) = following else {
            tell(Event::Complete);
            return Ok(at);
        };
        next = following;
    }
}

/// How many objects of the size of these make a page.
fn next_limit(page: &Page) -> usize {
    let bytes: usize = page.items.iter().map(|raw| raw.get().len()).sum();
    let each = (bytes / page.items.len().max(1)).max(1);
    (PAGE_BYTES / each).clamp(1, LARGEST_PAGE)
}

fn fetch(client: &Client, limit: usize, token: &str) -> AbortOnDropHandle<anyhow::Result<Page>> {
    let client = client.clone();
    let uri = uri(&collection(), limit, token);
    AbortOnDropHandle::new(tokio::spawn(async move { page(&client, &uri, None).await }))
}

/// Reports everything after `at`, and moves it along.
async fn watch(
    client: &Client,
    at: &mut ResourceVersion,
    tell: &impl Fn(Event),
) -> anyhow::Result<WatchEnd> {
    let query = format!(
        "watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={at}"
    );
    let request = Request::get(format!("{}?{query}", collection())).body(Vec::new())?;
    let answer = timeout(
        OPEN_DEADLINE,
        client.request_events::<Box<RawValue>>(request),
    )
    .await?;
    let stream = match answer.map_err(anyhow::Error::from) {
        Ok(stream) => stream,
        Err(error) if has_status(&error, 410) => return Ok(WatchEnd::Expired),
        Err(error) => return Err(error),
    };
    tell(Event::Alive);
    let mut events = std::pin::pin!(stream);
    let mut quiet = true;
    while let Ok(event) = timeout(SILENCE, events.next()).await {
        let Some(event) = event else {
            if quiet {
                // A watch that ends at once, again and again, must not become a busy loop.
                sleep(WAITS.0).await;
            }
            tell(Event::Alive);
            return Ok(WatchEnd::Resume);
        };
        quiet = false;
        let (raw, make): (_, fn(Revision) -> Event) = match event? {
            WatchEvent::Added(raw) | WatchEvent::Modified(raw) => (raw, Event::Put),
            WatchEvent::Deleted(raw) => (raw, Event::Gone),
            WatchEvent::Bookmark(bookmark) => {
                *at = bookmark.metadata.resource_version.parse()?;
                tell(Event::Alive);
                continue;
            }
            WatchEvent::Error(status) if status.code == 410 => return Ok(WatchEnd::Expired),
            WatchEvent::Error(status) => anyhow::bail!("the API server ended the watch: {status}"),
        };
        *at = serde_json::from_str::<Versioned>(raw.get())?
            .metadata
            .resource_version
            .parse()?;
        tell(read(&raw).map_or_else(Event::Unreadable, make));
    }
    anyhow::bail!("the watch was silent for {} s", SILENCE.as_secs())
}

/// One Revision as it is stored now; none when it is not there.
pub(super) async fn one(
    client: &Client,
    namespace: &str,
    name: &str,
) -> anyhow::Result<Option<Revision>> {
    let (Some(namespace), Some(name)) = (segment(namespace), segment(name)) else {
        return Ok(None);
    };
    let uri = format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}");
    let request = Request::get(uri).body(Vec::new())?;
    let answer = timeout(ONE_DEADLINE, client.request::<Box<RawValue>>(request)).await?;
    match answer.map_err(anyhow::Error::from) {
        Ok(raw) => Ok(Some(read(&raw)?)),
        Err(error) if has_status(&error, 404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The resourceVersion of an object whose other fields may be unreadable.
#[derive(Deserialize)]
struct Versioned {
    metadata: VersionedMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionedMetadata {
    resource_version: String,
}

/// The fields of a Revision that are read.
#[derive(Deserialize)]
struct RevisionFields {
    metadata: MetadataFields,
    spec: RevisionSpec,
    #[serde(default)]
    status: Option<RevisionStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataFields {
    name: String,
    namespace: String,
    #[serde(default)]
    creation_timestamp: Option<Time>,
}

fn read(raw: &RawValue) -> serde_json::Result<Revision> {
    let fields: RevisionFields = serde_json::from_str(raw.get())?;
    Ok(Revision {
        metadata: ObjectMeta {
            name: Some(fields.metadata.name),
            namespace: Some(fields.metadata.namespace),
            creation_timestamp: fields.metadata.creation_timestamp,
            ..ObjectMeta::default()
        },
        spec: fields.spec,
        status: fields.status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pages_follow_the_size_of_what_is_in_them() {
        let of = |size: usize| {
            let raw = RawValue::from_string(format!("\"{}\"", "x".repeat(size - 2))).expect("JSON");
            next_limit(&Page {
                at: ResourceVersion::default(),
                items: vec![raw; 2],
                token: "t".into(),
            })
        };
        assert_eq!(
            (of(1_000), of(1 << 14), of(1 << 20), of(8 << 20)),
            (500, 128, 2, 1)
        );
        assert_eq!(
            next_limit(&Page {
                at: ResourceVersion::default(),
                items: vec![],
                token: "t".into()
            }),
            500
        );
    }

    #[test]
    fn only_what_is_needed_is_read() {
        let mut whole =
            serde_json::to_value(crate::cache::render::tests::revision(3)).expect("JSON");
        whole["metadata"]["managedFields"] = json!("not what it should be");
        whole["metadata"]["creationTimestamp"] = json!("2026-01-02T03:04:05Z");
        let raw = serde_json::value::to_raw_value(&whole).expect("JSON");
        let read = super::read(&raw).expect("a Revision");
        assert_eq!(
            (&json!(read.metadata.name), read.spec.generation),
            (&whole["metadata"]["name"], 3)
        );
        assert!(read.metadata.creation_timestamp.is_some());
        assert!(super::read(&RawValue::from_string("{}".into()).expect("JSON")).is_err());
    }
}
