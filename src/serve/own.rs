//! Revisor's own lists: workloads, and whole histories.

use super::answer::{Answer, JSON};
use super::api::Api;
use super::auth::Caller;
use super::error::{ApiError, shown};
use super::route::Query;
use crate::cache::{RevisionLister, Scope, WorkloadRef, wire::rfc3339};
use crate::revision::Phase;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// A page with the second check asks for so many rights at most; the next page goes on.
const MAX_REVIEWS: usize = 64;

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
    pub phase: Option<Phase>,
    /// When the newest of them was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<String>,
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

/// A namespace with workloads that have revisions.
#[derive(Serialize, ToSchema, Debug)]
#[schema(as = Namespace)]
pub struct NamespaceRow {
    /// Its name.
    pub name: String,
    /// How many workloads in it have revisions.
    pub workloads: usize,
}

/// A page of namespaces.
#[derive(Serialize, ToSchema, Debug)]
#[schema(as = NamespaceList)]
pub struct Namespaces {
    /// Those whose revisions the caller may list, by name.
    pub namespaces: Vec<NamespaceRow>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `GET /api/revisor/v1/namespaces`.
pub(super) async fn namespaces(
    api: &Api,
    query: &Query,
    caller: Option<&Caller>,
) -> Result<Answer, ApiError> {
    let after: Option<String> = cursor(query)?;
    let mut all: BTreeMap<String, usize> = BTreeMap::new();
    for workload in api.cache.workloads(&|_| true) {
        let namespace = &*workload.namespace;
        if after.as_deref().is_none_or(|after| namespace > after) {
            *all.entry(namespace.to_owned()).or_default() += 1;
        }
    }
    let may_read_all = api.may_read(caller, "").await?;
    let mut page = Namespaces {
        namespaces: Vec::new(),
        cursor: None,
    };
    let mut last: Option<String> = None;
    for (reviewed, (name, workloads)) in all.into_iter().enumerate() {
        let is_full = page.namespaces.len() == query.limit;
        if is_full || (!may_read_all && reviewed == MAX_REVIEWS) {
            page.cursor = last.map(|last| encode(&last));
            break;
        }
        if may_read_all || api.may_read(caller, &name).await? {
            page.namespaces.push(NamespaceRow {
                name: name.clone(),
                workloads,
            });
        }
        last = Some(name);
    }
    Ok(Answer::new(JSON, plain(&page)))
}

/// `GET /api/revisor/v1/workloads`.
pub(super) async fn workloads(
    api: &Api,
    query: &Query,
    caller: Option<&Caller>,
) -> Result<Answer, ApiError> {
    let cache = &*api.cache;
    let after: Option<(String, String, Uuid)> = cursor(query)?;
    let mut selected = cache.workloads(&|workload| {
        accepts(query.namespace.as_deref(), &workload.namespace)
            && query
                .kind
                .as_deref()
                .is_none_or(|kind| is_of(workload, kind))
            && accepts(query.name.as_deref(), &workload.name)
            && after
                .as_ref()
                .is_none_or(|after| key(workload) > (&after.0, &after.1, after.2))
    });
    if query.looks_inside() {
        selected.retain(|workload| is_wanted(cache, workload, query));
    }
    selected.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    let (visible, next) = page(api, caller, &selected, query.limit).await?;
    let rows = visible
        .into_iter()
        .filter_map(|workload| row(cache, workload))
        .collect();
    Ok(Answer::new(
        JSON,
        plain(&Workloads {
            workloads: rows,
            cursor: next,
        }),
    ))
}

/// Whether a workload is of a kind: `Kind`, or `Kind.group`.
fn is_of(workload: &WorkloadRef, kind: &str) -> bool {
    match kind.split_once('.') {
        Some((kind, group)) => workload.kind == kind && workload.group() == group,
        None => workload.kind == kind,
    }
}

/// Whether what became of a workload is wanted.
fn is_wanted(cache: &dyn RevisionLister, workload: &WorkloadRef, query: &Query) -> bool {
    let scope = Scope::Namespace(workload.namespace.clone());
    let Some(summary) = cache.summary(&scope, workload.uid) else {
        return false;
    };
    query
        .deleted
        .is_none_or(|deleted| summary.deleted_at.is_some() == deleted)
        && query.phase.is_none_or(|phase| summary.phase == Some(phase))
        && query.is_within(summary.changed)
}

/// Whether a filter of the query accepts a value; a filter that is not set accepts every value.
fn accepts(filter: Option<&str>, value: &str) -> bool {
    filter.is_none_or(|filter| filter == value)
}

/// The first `limit` that the caller may see, and where the next page begins.
async fn page<'a>(
    api: &Api,
    caller: Option<&Caller>,
    workloads: &'a [Arc<WorkloadRef>],
    limit: usize,
) -> Result<(Vec<&'a WorkloadRef>, Option<String>), ApiError> {
    let mut visible = Vec::new();
    let mut reviewed = HashMap::new();
    let mut last = None;
    let most = if api.options.check_workload {
        MAX_REVIEWS
    } else {
        usize::MAX
    };
    for workload in workloads {
        let kind = (
            &*workload.namespace,
            workload.group(),
            workload.kind.as_str(),
        );
        let known = reviewed.get(&kind).copied();
        if visible.len() == limit || (known.is_none() && reviewed.len() == most) {
            return Ok((visible, last.map(|last| encode(&key(last)))));
        }
        let may = match known {
            Some(may) => may,
            None => api.may_list(caller, workload).await?,
        };
        reviewed.insert(kind, may);
        visible.extend(may.then_some(&**workload));
        last = Some(&**workload);
    }
    Ok((visible, None))
}

fn key(workload: &WorkloadRef) -> (&str, &str, Uuid) {
    (&workload.namespace, &workload.name, workload.uid)
}

fn row(cache: &dyn RevisionLister, workload: &WorkloadRef) -> Option<WorkloadRow> {
    let scope = Scope::Namespace(workload.namespace.clone());
    let summary = cache.summary(&scope, workload.uid)?;
    Some(WorkloadRow {
        id: workload.uid,
        name: workload.name.clone(),
        namespace: workload.namespace.to_string(),
        kind: workload.kind.clone(),
        api_version: workload.api_version.clone(),
        deleted: summary.deleted_at.is_some(),
        deleted_at: summary.deleted_at.map(rfc3339),
        revisions: summary.revisions,
        phase: summary.phase,
        changed_at: summary.changed.map(rfc3339),
    })
}

/// `GET /api/revisor/v1/workloads/{workloadId}/revisions`.
pub(super) fn history(
    cache: &dyn RevisionLister,
    scope: &Scope,
    workload: Uuid,
    query: &Query,
) -> Result<Answer, ApiError> {
    let mut all = cache
        .history(scope, workload, cursor(query)?)
        .ok_or_else(|| ApiError::NotFound(format!("workload {workload}")))?;
    all.retain(|item| query.is_within(Some(item.changed)));
    let more = all.len() > query.limit;
    all.truncate(query.limit);
    let next = all
        .last()
        .filter(|_| more)
        .map(|last| encode(&(last.generation, last.id)));
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

/// Plain data with text keys always serializes.
fn plain(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .unwrap_or_default()
}

/// A cursor is the position of the last item, encoded so that clients do not construct one.
fn encode(position: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(json!(position).to_string())
}

fn cursor<T: DeserializeOwned>(query: &Query) -> Result<Option<T>, ApiError> {
    let Some(text) = &query.cursor else {
        return Ok(None);
    };
    let decoded = URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok());
    let expected = "a cursor that an answer held";
    decoded.map(Some).ok_or_else(|| ApiError::BadParameter {
        name: "cursor",
        value: shown(text),
        expected,
    })
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
            let position = (generation, Uuid::from_u128(id));
            let given = |text: &str| Query { cursor: Some(text.to_owned()), ..Query::default() };
            prop_assert_eq!(cursor::<(i64, Uuid)>(&given(&encode(&position))), Ok(Some(position)));
            if let Err(error) = cursor::<(i64, Uuid)>(&given(&other)) {
                prop_assert_eq!(error.status(), 400);
            }
        }
    }
}
