//! The three endpoints of the contract.

use super::answer::{Answer, JSON};
use super::error::ApiError;
use super::route::Query;
use crate::cache::{RevisionLister, Scope, ServedList};
use uuid::Uuid;

/// `GET /api/v1/workloads/inferences/{workloadId}/revisions`.
pub(super) fn list(
    cache: &dyn RevisionLister,
    scope: &Scope,
    workload: Uuid,
    query: &Query,
) -> Result<Answer, ApiError> {
    let found = cache.list(scope, workload, query.deleted.unwrap_or_default());
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
pub(super) fn count(
    cache: &dyn RevisionLister,
    scope: &Scope,
    workload: Uuid,
    query: &Query,
) -> Result<Answer, ApiError> {
    let count = match (
        cache.count(scope, workload, query.deleted.unwrap_or_default()),
        scope,
    ) {
        (Some(count), _) => count,
        // The contract has a count for workloads that are not known.
        (None, Scope::All) => 0,
        (None, Scope::Namespace(_)) => {
            return Err(ApiError::NotFound(format!("workload {workload}")));
        }
    };
    Ok(Answer::new(JSON, format!("{{\"count\":{count}}}")))
}

/// `GET /api/v1/workloads/inferences/revisions/{revisionId}`.
pub(super) fn get(
    cache: &dyn RevisionLister,
    scope: &Scope,
    revision: Uuid,
) -> Result<Answer, ApiError> {
    let found = cache
        .get(scope, revision)
        .ok_or_else(|| ApiError::NotFound(format!("revision {revision}")))?;
    Ok(Answer {
        media: JSON,
        body: found.json.into(),
        etag: found.etag,
        redacted: None,
    })
}
