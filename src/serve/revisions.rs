//! The three endpoints of the contract.

use super::answer::{Answer, JSON};
use super::error::ApiError;
use super::route::Query;
use crate::cache::{Etag, Read, etag};
use bytes::Bytes;
use uuid::Uuid;

/// `GET /api/v1/workloads/inferences/{workloadId}/revisions`.
pub(super) fn list(cache: &dyn Read, workload: Uuid, query: &Query) -> Result<Answer, ApiError> {
    let rows = cache.list(workload, query.deleted);
    let rows = rows.ok_or_else(|| ApiError::NotFound(format!("workload {workload}")))?;
    let tags: Vec<&[u8]> = rows.iter().map(|(_, tag)| tag.as_slice()).collect();
    Ok(Answer { media: JSON, etag: etag(&tags), body: joined(&rows) })
}

fn joined(rows: &[(Bytes, Etag)]) -> Bytes {
    let mut body = Vec::with_capacity(rows.iter().map(|(json, _)| json.len() + 1).sum::<usize>() + 16);
    body.extend_from_slice(b"{\"revisions\":[");
    for (i, (json, _)) in rows.iter().enumerate() {
        if i > 0 {
            body.push(b',');
        }
        body.extend_from_slice(json);
    }
    body.extend_from_slice(b"]}");
    body.into()
}

/// `GET /api/v1/workloads/inferences/{workloadId}/revisions/count`.
pub(super) fn count(cache: &dyn Read, workload: Uuid, query: &Query) -> Answer {
    Answer::new(JSON, format!("{{\"count\":{}}}", cache.count(workload, query.deleted)))
}

/// `GET /api/v1/workloads/inferences/revisions/{revisionId}`.
pub(super) fn get(cache: &dyn Read, revision: Uuid) -> Result<Answer, ApiError> {
    let found = cache.get(revision).ok_or_else(|| ApiError::NotFound(format!("revision {revision}")))?;
    Ok(Answer { media: JSON, body: found.json, etag: found.etag })
}
