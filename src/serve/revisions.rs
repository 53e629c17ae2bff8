//! `GET /api/v1/workloads/inferences/{workloadId}/revisions`.

use super::admin::Readiness;
use super::error::ApiError;
use crate::cache::Read;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::sync::Arc;
use uuid::Uuid;

/// What the handlers share.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) cache: Arc<dyn Read>,
    pub(super) ready: Readiness,
}

/// The Revisions of one workload, newest first.
pub(super) async fn list(
    State(reader): State<Reader>,
    Path(workload): Path<String>,
) -> Result<Response, ApiError> {
    let Ok(id) = Uuid::try_parse(&workload) else {
        return Err(ApiError::BadParameter("workloadId", workload));
    };
    if !reader.ready.is_ready() {
        return Err(ApiError::NotReady);
    }
    let revisions =
        reader.cache.list(id, false).ok_or_else(|| ApiError::NotFound(format!("workload {id}")))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body(&revisions)).into_response())
}

fn body(revisions: &[(Bytes, crate::cache::Etag)]) -> Vec<u8> {
    let mut body = Vec::with_capacity(revisions.iter().map(|(json, _)| json.len() + 1).sum::<usize>() + 16);
    body.extend_from_slice(b"{\"revisions\":[");
    for (i, (json, _)) in revisions.iter().enumerate() {
        if i > 0 {
            body.push(b',');
        }
        body.extend_from_slice(json);
    }
    body.extend_from_slice(b"]}");
    body
}
