//! Reads of etcd's past: LIST at an exact resourceVersion. The API server answers them from etcd itself, so they reach
//! back to the last compaction (five to ten minutes by default), whatever its watch cache still knows (KEP-2340,
//! apiserver's `resourceVersionMatch=Exact`).

use super::edge::Head;
use super::walk::State;
use crate::client::backoff::{Waits, backoff};
use crate::client::page::{Page, is, page, uri};
use crate::workload::{Resource, ResourceVersion};
use kube::Client;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::time::sleep;
use uuid::Uuid;

const PAGE: usize = 500;
const WAITS: Waits = (Duration::from_millis(100), Duration::from_secs(5));
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
        let mut next =
            format!("{}?limit={PAGE}&resourceVersion={at}&resourceVersionMatch=Exact", resource.path(None));
        loop {
            let Past::Was(page) = self.persist(&next, Some(METADATA)).await else { return Past::Compacted };
            items.extend(page.items);
            if page.token.is_empty() {
                return Past::Was(items);
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

    /// Asks until there is an answer: a failure says nothing about the past.
    async fn persist(&self, uri: &str, accept: Option<&str>) -> Past<Page> {
        let mut failures: u32 = 0;
        loop {
            let error = match page(&self.client, uri, accept).await {
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
            sleep(backoff(WAITS, failures)).await;
        }
    }
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
