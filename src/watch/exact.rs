//! Reads of etcd's past: LIST at an exact resourceVersion. The API server answers them from etcd itself, so they reach
//! back to the last compaction (five to ten minutes by default), whatever its watch cache still knows (KEP-2340,
//! apiserver's `resourceVersionMatch=Exact`).

use super::edge::Head;
use super::walk::State;
use crate::workload::{Resource, ResourceVersion};
use http::{Request, header};
use kube::Client;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(30);
const PAGE: u32 = 500;
/// First wait after a failure, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Metadata is all that tells objects apart; the API server leaves the rest out.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// Reads the past of one kind.
#[derive(Clone)]
pub(super) struct Exact {
    pub(super) client: Client,
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: Uuid,
}

/// One answer.
pub(super) enum Past<T> {
    /// It was so.
    Was(T),
    /// The history up to there is compacted.
    Compacted,
}

#[derive(Deserialize)]
struct List<'a> {
    metadata: Meta,
    /// An empty list of metadata has null here.
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    resource_version: String,
    #[serde(default, rename = "continue")]
    token: String,
}

/// A page of objects, and how to get the next.
pub(super) struct Page {
    pub(super) at: ResourceVersion,
    pub(super) items: Vec<Box<RawValue>>,
    pub(super) token: String,
}

impl Exact {
    /// The object as it was at `at`; none when it was not there, or another of that name was.
    pub(super) async fn object(
        &self,
        resource: &Resource,
        of: &Name,
        at: ResourceVersion,
    ) -> Past<Option<Box<RawValue>>> {
        // With the namespace in the path the API server reads a single key.
        let path = resource.path(Some(&of.namespace));
        let uri = format!(
            "{path}?fieldSelector=metadata.name%3D{}&resourceVersion={at}&resourceVersionMatch=Exact",
            of.name
        );
        let Past::Was(page) = self.persist(&uri, None).await else { return Past::Compacted };
        let ours = |raw: &RawValue| Head::read(raw.get()).is_ok_and(|head| head.metadata.uid == of.uid);
        Past::Was(page.items.into_iter().find(|raw| ours(raw)))
    }

    /// Metadata of all objects as they were at `at`.
    pub(super) async fn all(&self, resource: &Resource, at: ResourceVersion) -> Past<Vec<Box<RawValue>>> {
        let mut items = Vec::new();
        let mut uri =
            format!("{}?limit={PAGE}&resourceVersion={at}&resourceVersionMatch=Exact", resource.path(None));
        loop {
            let Past::Was(page) = self.persist(&uri, Some(METADATA)).await else { return Past::Compacted };
            items.extend(page.items);
            if page.token.is_empty() {
                return Past::Was(items);
            }
            uri = format!("{}?limit={PAGE}&continue={}", resource.path(None), page.token);
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
        limit: u32,
        token: &str,
        metadata: bool,
    ) -> anyhow::Result<Page> {
        let next = if token.is_empty() { String::new() } else { format!("&continue={token}") };
        let uri = format!("{}?limit={limit}{next}", resource.path(None));
        self.page(&uri, metadata.then_some(METADATA)).await
    }

    /// Asks until there is an answer: a failure says nothing about the past.
    async fn persist(&self, uri: &str, accept: Option<&str>) -> Past<Page> {
        let mut failures: u32 = 0;
        loop {
            let error = match self.page(uri, accept).await {
                Ok(page) => return Past::Was(page),
                Err(error) => error,
            };
            if is(&error, 410) {
                return Past::Compacted;
            }
            failures = failures.saturating_add(1);
            if failures.is_power_of_two() {
                tracing::warn!(
                    error = format!("{error:#}"),
                    failures,
                    "the past could not be read; trying again"
                );
            }
            let wait = BACKOFF.0.saturating_mul(1 << (failures - 1).min(16)).min(BACKOFF.1);
            sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
    }

    async fn page(&self, uri: &str, accept: Option<&str>) -> anyhow::Result<Page> {
        let mut request = Request::get(uri);
        if let Some(accept) = accept {
            request = request.header(header::ACCEPT, accept);
        }
        let text = timeout(DEADLINE, self.client.request_text(request.body(Vec::new())?)).await??;
        let list: List<'_> = serde_json::from_str(&text)?;
        Ok(Page {
            at: list.metadata.resource_version.parse()?,
            items: list.items.into_iter().flatten().map(ToOwned::to_owned).collect(),
            token: list.metadata.token,
        })
    }
}

/// Whether the API server answered with this status.
pub(super) fn is(error: &anyhow::Error, code: u16) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if status.code == code)
}

/// What a walk needs of an answer.
pub(super) fn state(past: &Past<Option<Box<RawValue>>>) -> State {
    match past {
        Past::Compacted => State::Compacted,
        Past::Was(None) => State::Absent,
        Past::Was(Some(raw)) => match Head::read(raw.get()).and_then(|head| head.state()) {
            Ok((generation, written)) => State::Version { generation, written },
            Err(_) => State::Unreadable,
        },
    }
}
