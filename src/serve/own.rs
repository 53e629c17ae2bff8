//! Revisor's own endpoints: workloads, whole histories, snapshots and differences.

use super::answer::{Answer, JSON, prefers};
use super::api::Api;
use super::auth::Caller;
use super::error::{ApiError, shown};
use super::route::Query;
use crate::cache::{Found, Place, Read, wire::rfc3339};
use crate::history::{HistoryError, manifest};
use crate::revision::{Revision, identity};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::request::Parts;
use kube::Api as Resources;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use similar::TextDiff;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

const YAML: &str = "application/yaml";
const YAMLS: &[&str] = &[YAML, "application/x-yaml", "text/yaml"];
const PATCH: &str = "application/json-patch+json";
const TEXT: &str = "text/x-diff";
const TEXTS: &[&str] = &[TEXT, "text/x-patch", "text/plain", YAML, "application/x-yaml", "text/yaml"];
/// What reading one Revision from the API server may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// A workload that has revisions.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = Workload)]
pub struct WorkloadRow {
    /// metadata.uid of the workload.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its kind.
    pub kind: String,
    /// Its apiVersion.
    pub api_version: String,
    /// Whether it is deleted.
    pub deleted: bool,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
    /// How many revisions it has.
    pub revisions: usize,
    /// The phase of the newest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::cache::wire::Phase>)]
    pub phase: Option<&'static str>,
}

/// A page of workloads.
#[derive(Serialize, ToSchema, Debug)]
#[schema(as = WorkloadList)]
pub struct Workloads {
    /// By namespace and name.
    pub workloads: Vec<WorkloadRow>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `GET /api/revisor/v1/workloads`.
pub(super) fn workloads(cache: &dyn Read, query: &Query) -> Result<Answer, ApiError> {
    let after: Option<(String, String, Uuid)> = cursor(query)?;
    let is = |wanted: &Option<String>, given: &str| wanted.as_deref().is_none_or(|wanted| wanted == given);
    let wanted = |place: &Place| {
        is(&query.namespace, &place.namespace)
            && is(&query.kind, &place.kind)
            && is(&query.name, &place.name)
            && after.as_ref().is_none_or(|after| key(place) > (&after.0, &after.1, after.2))
    };
    let mut places = cache.workloads(&wanted);
    places.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    let more = places.len() > query.limit;
    places.truncate(query.limit);
    let next = places.last().filter(|_| more).map(|last| encode(&key(last)));
    let rows = places.iter().filter_map(|place| row(cache, place)).collect();
    Ok(Answer::new(JSON, plain(&Workloads { workloads: rows, cursor: next })))
}

fn key(place: &Place) -> (&str, &str, Uuid) {
    (&place.namespace, &place.name, place.uid)
}

fn row(cache: &dyn Read, place: &Place) -> Option<WorkloadRow> {
    let summary = cache.summary(place.uid)?;
    Some(WorkloadRow {
        id: place.uid,
        name: place.name.clone(),
        namespace: place.namespace.clone(),
        kind: place.kind.clone(),
        api_version: place.api_version.clone(),
        deleted: summary.deleted_at.is_some(),
        deleted_at: summary.deleted_at.map(rfc3339),
        revisions: summary.revisions,
        phase: summary.phase,
    })
}

/// `GET /api/revisor/v1/workloads/{workloadId}/revisions`.
pub(super) fn history(cache: &dyn Read, workload: Uuid, query: &Query) -> Result<Answer, ApiError> {
    let all = cache.history(workload, cursor(query)?);
    let mut all = all.ok_or_else(|| ApiError::NotFound(format!("workload {workload}")))?;
    let more = all.len() > query.limit;
    all.truncate(query.limit);
    let next = all.last().filter(|_| more).map(|last| encode(&(last.generation, last.id)));
    let mut body = b"{\"revisions\":[".to_vec();
    for (i, item) in all.iter().enumerate() {
        body.extend_from_slice(if i > 0 { b"," } else { b"" });
        body.extend_from_slice(&item.json);
    }
    body.push(b']');
    if let Some(next) = next {
        body.extend_from_slice(format!(",\"cursor\":\"{next}\"").as_bytes());
    }
    body.push(b'}');
    Ok(Answer::new(JSON, body))
}

/// `GET /api/revisor/v1/revisions/{id}/snapshot`.
pub(super) async fn snapshot(api: &Api, revision: Uuid, parts: &Parts) -> Result<Answer, ApiError> {
    let workload = workload(api, &found(api, revision)?).await?;
    if prefers(&parts.headers, JSON, YAMLS) {
        Ok(Answer::new(YAML, yaml(&workload)?))
    } else {
        Ok(Answer::new(JSON, plain(&workload)))
    }
}

/// `GET /api/revisor/v1/revisions/{id}/diff?from={id}`.
pub(super) async fn diff(
    api: &Api,
    revision: Uuid,
    query: &Query,
    caller: Option<&Caller>,
    parts: &Parts,
) -> Result<Answer, ApiError> {
    let to = found(api, revision)?;
    let from = query.from.or(to.before);
    let from = from.ok_or_else(|| ApiError::NotFound(format!("a revision before {revision}")))?;
    api.permit_revision(caller, from).await?;
    let from = found(api, from)?;
    let (old, new) = (workload(api, &from).await?, workload(api, &to).await?);
    if !prefers(&parts.headers, PATCH, TEXTS) {
        // Most callers that name a type at all name JSON.
        let media = if prefers(&parts.headers, JSON, &[PATCH]) { PATCH } else { JSON };
        return Ok(Answer::new(media, plain(&json_patch::diff(&old, &new))));
    }
    let (old, new) = (yaml(&old)?, yaml(&new)?);
    let diff = TextDiff::from_lines(&old, &new);
    let header = |found: &Found| format!("{} revision {}", found.place.name, found.generation);
    let text = diff.unified_diff().context_radius(3).header(&header(&from), &header(&to)).to_string();
    Ok(Answer::new(TEXT, text))
}

fn found(api: &Api, id: Uuid) -> Result<Found, ApiError> {
    api.cache.get(id).ok_or_else(|| ApiError::NotFound(format!("revision {id}")))
}

/// The workload as it was, without what looks secret. Snapshots are not kept in memory; the API server has them.
async fn workload(api: &Api, found: &Found) -> Result<Value, ApiError> {
    const UNREACHABLE: ApiError =
        ApiError::Unavailable("the API server cannot be asked for the snapshot now");
    let _place = timeout(DEADLINE, api.fetches.acquire()).await.map_err(|_| UNREACHABLE)?;
    let place = &found.place;
    let revisions: Resources<Revision> = Resources::namespaced(api.client.clone(), &place.namespace);
    let name = identity::name(&place.name, place.uid, found.generation);
    let stored = match timeout(DEADLINE, revisions.get_opt(&name)).await {
        Ok(Ok(stored)) => stored.ok_or_else(|| ApiError::NotFound(format!("revision {name}")))?,
        Ok(Err(error)) => {
            tracing::warn!(%error, name, "a Revision cannot be read");
            return Err(UNREACHABLE);
        }
        Err(_) => return Err(UNREACHABLE),
    };
    let text = manifest(&stored).map_err(|error| match error {
        HistoryError::NoContent(..) => ApiError::NotFound(format!("the snapshot of revision {name}")),
        error => {
            tracing::error!(%error, name, "a snapshot cannot be read");
            ApiError::Internal
        }
    })?;
    let mut workload = serde_json::from_str(&text).map_err(|_| ApiError::Internal)?;
    api.names.object(&mut workload);
    Ok(workload)
}

fn yaml(value: &Value) -> Result<String, ApiError> {
    serde_saphyr::to_string(value).map_err(|_| ApiError::Internal)
}

/// Plain data with text keys always serializes.
fn plain(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

/// Cursors are the place of the last item, in a form that nobody is tempted to make up.
fn encode(place: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(json!(place).to_string())
}

fn cursor<T: DeserializeOwned>(query: &Query) -> Result<Option<T>, ApiError> {
    let Some(text) = &query.cursor else { return Ok(None) };
    let decoded = URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok());
    let expected = "a cursor that an answer held";
    decoded.map(Some).ok_or_else(|| ApiError::BadParameter { name: "cursor", value: shown(text), expected })
}

/// A page of the whole history of a workload. For the description of the API only.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = History)]
pub struct HistoryPage {
    /// Newest first. Gaps have additionalFields.revisionType Gap, and fewer fields.
    pub revisions: Vec<Value>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cursors_come_back_and_others_are_refused(generation: i64, id: u128, other in "\\PC{0,60}") {
            let place = (generation, Uuid::from_u128(id));
            let given = |text: &str| Query { cursor: Some(text.to_owned()), ..Query::default() };
            prop_assert_eq!(cursor::<(i64, Uuid)>(&given(&encode(&place))), Ok(Some(place)));
            if let Err(error) = cursor::<(i64, Uuid)>(&given(&other)) {
                prop_assert_eq!(error.status(), 400);
            }
        }
    }
}
