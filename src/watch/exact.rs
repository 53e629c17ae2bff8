//! Reads of etcd's past: LIST at an exact resourceVersion. The API server answers them from etcd itself, so they reach
//! back to the last compaction (five to ten minutes by default), whatever its watch cache still knows (KEP-2340,
//! apiserver's `resourceVersionMatch=Exact`).

use super::edge::PartialObject;
use super::join::ObjectName;
use super::stored::Stored;
use super::walk::State;
use crate::client::backoff::{Waits, backoff};
use crate::client::page::{Page, has_status, page, uri};
use crate::client::path::segment;
use crate::json::without_value;
use crate::revision::{GROUP, PLURAL, VERSION};
use crate::workload::{Resource, ResourceVersion};
use kube::Client;
use serde_json::value::RawValue;
use std::fmt::Display;
use std::time::Duration;
use tokio::time::sleep;

const PAGE: usize = 500;
/// Revisions are read whole, with their snapshots.
const STORED: usize = 50;
const WAITS: Waits = (Duration::from_millis(100), Duration::from_secs(5));
/// Metadata is all that tells objects apart; the API server leaves the rest out.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// An answer that says something about one object is believed after so many; that takes about half a minute.
const TRIES: u32 = 12;
/// No object has this name: reading it shows whether anything can be read.
const NOBODY: &str = "revisor-asks-whether-this-place-can-be-read";

/// The words for a place to which the history has not come yet: those of the API server (504, cause
/// `ResourceVersionTooLarge`), and of etcd, which older ones such as 1.33 pass on (500).
const FUTURE: [&str; 2] = [
    "Too large resource version",
    "required revision is a future revision",
];

/// Reads the past of one kind.
#[derive(Clone)]
pub(super) struct Exact {
    pub(super) client: Client,
}

/// One answer.
#[derive(Debug)]
pub(super) enum Past<T> {
    /// It was so.
    Was(T),
    /// The history up to there is compacted.
    Compacted,
    /// It is there, and the API server cannot read it.
    Unreadable,
}

/// The kind is not served in this version any more: what is missing has to be read in another one.
#[derive(Debug, thiserror::Error)]
#[error("this version is not served any more")]
pub(super) struct Unserved;

/// An answer, unless the kind is not served in this version any more.
pub(super) type PastResult<T> = Result<Past<T>, Unserved>;

/// The meaning of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadFailure {
    Compacted,
    Unserved,
    /// The API server will not answer this.
    Refused,
    /// The API server could not answer this; maybe it cannot answer anything now.
    Failed,
    /// Nothing: it passes by itself, or an operator has to repair something.
    Passing,
}

impl Exact {
    /// The object as it was at `at`; none when it was not there, or another of that name was.
    pub(super) async fn object(
        &self,
        resource: &Resource,
        of: &ObjectName,
        at: ResourceVersion,
    ) -> PastResult<Option<Box<RawValue>>> {
        let past = self.named(resource, of, &exactly(at)).await?;
        Ok(match past {
            Past::Was((object, _)) => Past::Was(object),
            Past::Compacted => Past::Compacted,
            Past::Unreadable => Past::Unreadable,
        })
    }

    /// The object as it is now, if it is there, and the place of that answer. The present is never compacted: an API server
    /// that says so is asked again.
    pub(super) async fn now(
        &self,
        resource: &Resource,
        of: &ObjectName,
    ) -> PastResult<(Option<Box<RawValue>>, ResourceVersion)> {
        loop {
            match self.named(resource, of, "").await? {
                Past::Compacted => sleep(WAITS.0).await,
                past => return Ok(past),
            }
        }
    }

    /// The object of that name and uid, and the place of the answer; with the namespace in the path the API server
    /// reads a single key.
    async fn named(
        &self,
        resource: &Resource,
        of: &ObjectName,
        place: &str,
    ) -> PastResult<(Option<Box<RawValue>>, ResourceVersion)> {
        // The name may come from a stored Revision, which anybody may have written.
        let Some(name) = segment(&of.name) else {
            return Ok(Past::Was((None, self.place(resource).await?)));
        };
        let uri = |name: &dyn Display| {
            format!(
                "{}?fieldSelector=metadata.name%3D{name}{place}",
                resource.path(Some(&of.namespace))
            )
        };
        let ours = |raw: &RawValue| {
            PartialObject::read(raw.get()).is_ok_and(|head| head.metadata.uid == of.uid)
        };
        Ok(
            match self.persist(&uri(&name), None, &uri(&NOBODY)).await? {
                Past::Was(page) => {
                    Past::Was((page.items.into_iter().find(|raw| ours(raw)), page.at))
                }
                Past::Compacted => Past::Compacted,
                Past::Unreadable => Past::Unreadable,
            },
        )
    }

    /// The present place.
    pub(super) async fn place(&self, resource: &Resource) -> Result<ResourceVersion, Unserved> {
        let uri = |place: &str| {
            let collection = resource.path(Some("default"));
            format!("{collection}?fieldSelector=metadata.name%3D{NOBODY}{place}")
        };
        loop {
            if let Past::Was(page) = self.persist(&uri(""), Some(METADATA), &uri("")).await? {
                return Ok(page.at);
            }
        }
    }

    /// Whether a place can still be read.
    pub(super) async fn is_readable(
        &self,
        resource: &Resource,
        at: ResourceVersion,
    ) -> Result<bool, Unserved> {
        let nobody = nobody(resource, at);
        let past = self.persist(&nobody, Some(METADATA), &nobody).await?;
        Ok(matches!(past, Past::Was(_)))
    }

    /// Whether the API server says that the history has not come to `at` yet. The name makes it ask etcd instead of its
    /// cache, which may be behind.
    pub(super) async fn is_future(&self, resource: &Resource, at: ResourceVersion) -> bool {
        let answer = page(&self.client, &nobody(resource, at), Some(METADATA)).await;
        let error = answer.err();
        error.is_some_and(|error| {
            matches!(
                error.downcast_ref(),
                Some(kube::Error::Api(status)) if FUTURE.iter().any(|words| status.message.contains(words))
            )
        })
    }

    /// Metadata of all objects as they were at `at`.
    pub(super) async fn all(
        &self,
        resource: &Resource,
        at: ResourceVersion,
    ) -> PastResult<Vec<Box<RawValue>>> {
        let mut items = Vec::new();
        let mut next = format!("{}?limit={PAGE}{}", resource.path(None), exactly(at));
        let nobody = nobody(resource, at);
        loop {
            let page = match self.persist(&next, Some(METADATA), &nobody).await? {
                Past::Was(page) => page,
                Past::Compacted => return Ok(Past::Compacted),
                Past::Unreadable => return Ok(Past::Unreadable),
            };
            items.extend(page.items);
            if page.token.is_empty() {
                return Ok(Past::Was(items));
            }
            next = uri(&resource.path(None), PAGE, &page.token);
        }
    }

    /// One page of the present, by a consistent read: with resourceVersion 0 a stale API server would answer with the
    /// past. `metadata` leaves everything else out.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub(super) async fn present(
        &self,
        resource: &Resource,
        limit: usize,
        token: &str,
        metadata: bool,
    ) -> anyhow::Result<Page> {
        let uri = uri(&resource.path(None), limit, token);
        page(&self.client, &uri, metadata.then_some(METADATA)).await
    }

    /// Adds everything that is stored of a workload now. Asks until there is an answer, unless the definition of Revisions
    /// is not there.
    pub(super) async fn stored(&self, of: &ObjectName, stored: &mut Stored) {
        if segment(&of.namespace).is_none() {
            return;
        }
        let namespace = &of.namespace;
        let collection = format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}");
        let selector = format!("&fieldSelector=spec.workload.uid%3D{}", of.uid);
        let mut token = String::new();
        let mut failures = 0;
        loop {
            let uri = uri(&collection, STORED, &token) + &selector;
            match page(&self.client, &uri, None).await {
                Ok(page) => {
                    let revisions = page.items.iter();
                    revisions
                        .filter_map(|raw| serde_json::from_str(raw.get()).ok())
                        .for_each(|revision| stored.add(&revision));
                    token = page.token;
                    if token.is_empty() {
                        return;
                    }
                }
                Err(error) if has_status(&error, 404) || has_status(&error, 400) => return,
                Err(error) => {
                    // The place of a token may be compacted: what was added before counts all the same.
                    token.clear();
                    failures += 1;
                    tracing::warn!(
                        error = without_value(&format!("{error:#}")),
                        failures,
                        "the Revisions of a workload could not be read; trying again"
                    );
                    sleep(backoff(WAITS, failures)).await;
                }
            }
        }
    }

    /// Asks until there is an answer: most failures say nothing about the past. `nobody` is a question about nothing
    /// at the same place: while that fails too, it is not the object's fault.
    async fn persist(&self, uri: &str, accept: Option<&str>, nobody: &str) -> PastResult<Page> {
        let mut failures = 0_u32;
        let mut telling = 0;
        loop {
            let error = match page(&self.client, uri, accept).await {
                Ok(page) => return Ok(Past::Was(page)),
                Err(error) => error,
            };
            failures = failures.saturating_add(1);
            match failure(&error) {
                ReadFailure::Compacted => return Ok(Past::Compacted),
                ReadFailure::Unserved => return Err(Unserved),
                ReadFailure::Refused => telling += 1,
                ReadFailure::Failed if page(&self.client, nobody, accept).await.is_ok() => {
                    telling += 1;
                }
                ReadFailure::Failed | ReadFailure::Passing => telling = 0,
            }
            if telling >= TRIES {
                tracing::error!(
                    error = without_value(&format!("{error:#}")),
                    failures,
                    "the past cannot be read; giving up"
                );
                return Ok(Past::Unreadable);
            }
            if failures.is_power_of_two() {
                tracing::warn!(
                    error = without_value(&format!("{error:#}")),
                    failures,
                    "the past could not be read; trying again"
                );
            }
            sleep(backoff(WAITS, failures)).await;
        }
    }
}

/// A question about nothing, at a place: the API server reads a single key.
fn nobody(resource: &Resource, at: ResourceVersion) -> String {
    let collection = resource.path(Some("default"));
    format!(
        "{collection}?fieldSelector=metadata.name%3D{NOBODY}{}",
        exactly(at)
    )
}

fn exactly(at: ResourceVersion) -> String {
    format!("&resourceVersion={at}&resourceVersionMatch=Exact")
}

/// 401, 403, 429 and 503 are retried without limit.
fn failure(error: &anyhow::Error) -> ReadFailure {
    let Some(error) = error.downcast_ref::<kube::Error>() else {
        let garbled =
            error.is::<serde_json::Error>() || error.is::<crate::workload::BadResourceVersion>();
        return if garbled {
            ReadFailure::Failed
        } else {
            ReadFailure::Passing
        };
    };
    let kube::Error::Api(status) = error else {
        return ReadFailure::Passing;
    };
    // Its definition's webhook is down, which passes, and has nothing to do with what is stored.
    if status.message.contains("conversion webhook") {
        return ReadFailure::Passing;
    }
    match status.code {
        410 => ReadFailure::Compacted,
        404 => ReadFailure::Unserved,
        401 | 403 | 408 | 429 | 503 => ReadFailure::Passing,
        400..=499 => ReadFailure::Refused,
        500.. => ReadFailure::Failed,
        _ => ReadFailure::Passing,
    }
}

/// What a walk needs of an answer.
pub(super) fn state(past: &Past<Option<Box<RawValue>>>) -> State {
    match past {
        Past::Compacted => State::Compacted,
        Past::Unreadable => State::Unreadable,
        Past::Was(None) => State::Absent,
        Past::Was(Some(raw)) => {
            match PartialObject::read(raw.get()).and_then(|object| object.version()) {
                Ok(version) => State::Present(version),
                Err(_) => State::Unreadable,
            }
        }
    }
}
