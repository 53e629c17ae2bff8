//! The three endpoints of the contract.

use super::answer::{Answer, JSON};
use super::error::ApiError;
use super::payload::Payload;
use super::route::Query;
use crate::cache::{Etag, Read, etag};
use bytes::Bytes;
use uuid::Uuid;

/// `GET /api/v1/workloads/inferences/{workloadId}/revisions`.
pub(super) fn list(cache: &dyn Read, workload: Uuid, query: &Query) -> Result<Answer, ApiError> {
    let rows = cache.list(workload, query.deleted);
    let rows = rows.ok_or_else(|| ApiError::NotFound(format!("workload {workload}")))?;
    let tags: Vec<&[u8]> = rows.iter().map(|(_, tag)| tag.as_slice()).collect();
    Ok(Answer { media: JSON, etag: etag(&tags), body: listed(rows) })
}

/// `{"revisions":[…]}`.
fn listed(rows: Vec<(Bytes, Etag)>) -> Payload {
    const COMMA: Bytes = Bytes::from_static(b",");
    let mut separator = Bytes::new();
    let rows = rows.into_iter().flat_map(|(row, _)| [std::mem::replace(&mut separator, COMMA), row]);
    let all = [Bytes::from_static(b"{\"revisions\":[")].into_iter().chain(rows);
    all.chain([Bytes::from_static(b"]}")]).collect()
}

/// `GET /api/v1/workloads/inferences/{workloadId}/revisions/count`.
pub(super) fn count(cache: &dyn Read, workload: Uuid, query: &Query) -> Answer {
    Answer::new(JSON, format!("{{\"count\":{}}}", cache.count(workload, query.deleted)))
}

/// `GET /api/v1/workloads/inferences/revisions/{revisionId}`.
pub(super) fn get(cache: &dyn Read, revision: Uuid) -> Result<Answer, ApiError> {
    let found = cache.get(revision).ok_or_else(|| ApiError::NotFound(format!("revision {revision}")))?;
    Ok(Answer { media: JSON, body: found.json.into(), etag: found.etag })
}
