//! The three endpoints of the contract.

use super::answer::{Answer, JSON};
use super::error::ApiError;
use super::route::Query;
use crate::cache::{RevisionLister, ServedList};
use uuid::Uuid;

/// `GET /api/v1/workloads/inferences/{workloadId}/revisions`.
pub(super) fn list(
    cache: &dyn RevisionLister,
    workload: Uuid,
    query: &Query,
) -> Result<Answer, ApiError> {
    let found = cache.list(workload, query.deleted);
    let ServedList { pieces, etag } =
        found.ok_or_else(|| ApiError::NotFound(format!("workload {workload}")))?;
    Ok(Answer {
        media: JSON,
        etag,
        body: pieces.into_iter().collect(),
        redacted: None,
    })
}

/// `GET /api/v1/workloads/inferences/{workloadId}/revisions/count`.
pub(super) fn count(cache: &dyn RevisionLister, workload: Uuid, query: &Query) -> Answer {
    Answer::new(
        JSON,
        format!("{{\"count\":{}}}", cache.count(workload, query.deleted)),
    )
}

/// `GET /api/v1/workloads/inferences/revisions/{revisionId}`.
pub(super) fn get(cache: &dyn RevisionLister, revision: Uuid) -> Result<Answer, ApiError> {
    let found = cache
        .get(revision)
        .ok_or_else(|| ApiError::NotFound(format!("revision {revision}")))?;
    Ok(Answer {
        media: JSON,
        body: found.json.into(),
        etag: found.etag,
        redacted: None,
    })
}
