//! A Revision as the JSON of the REST contract. Pure.

use crate::revision::{Revision, RevisionStatus, RevisionType};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use std::collections::HashSet;
use uuid::Uuid;

/// What the contract wants to know of the installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Value of `type`.
    pub r#type: String,
    /// Value of `tenantId`.
    pub tenant: i32,
    /// Value of `clusterId`.
    pub cluster: Uuid,
}

/// The phases that the contract knows.
const PHASES: &[&str] = &[
    "Creating",
    "Initializing",
    "Resuming",
    "Pending",
    "Deleting",
    "Running",
    "Updating",
    "Stopped",
    "Stopping",
    "Degraded",
    "Failed",
    "Completed",
    "Terminating",
    "Unknown",
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    r#type: &'a str,
    name: &'a str,
    id: Uuid,
    workload_id: Uuid,
    tenant_id: i32,
    cluster_id: Uuid,
    department_id: &'a str,
    project_id: &'a str,
    created_at: String,
    phase: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase_updated_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'a str>,
    additional_fields: AdditionalFields<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdditionalFields<'a> {
    generation: i64,
    kind: &'a str,
    api_version: &'a str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change_cause: Option<&'a str>,
    revision_type: RevisionType,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_digest: Option<&'a str>,
}

/// Renders one Revision.
pub(super) fn render(revision: &Revision, identity: &Identity) -> Bytes {
    let spec = &revision.spec;
    let none = RevisionStatus::default();
    let status = revision.status.as_ref().unwrap_or(&none);
    let namespace = revision.metadata.namespace.as_deref().unwrap_or_default();
    let wire = Wire {
        r#type: &identity.r#type,
        name: &spec.workload.name,
        id: spec.id,
        workload_id: spec.workload.uid,
        tenant_id: identity.tenant,
        cluster_id: identity.cluster,
        department_id: "default",
        project_id: namespace,
        created_at: time(spec.change_time),
        phase: status.phase.as_deref().filter(|phase| PHASES.contains(phase)).unwrap_or("Unknown"),
        phase_message: status.message.as_deref(),
        phase_updated_at: status.phase_time.map(time),
        images: images(revision, status),
        additional_fields: additional_fields(revision, status, namespace),
    };
    // Plain data with text keys always serializes.
    serde_json::to_vec(&wire).map(Bytes::from).unwrap_or_default()
}

fn additional_fields<'a>(
    revision: &'a Revision,
    status: &'a RevisionStatus,
    namespace: &'a str,
) -> AdditionalFields<'a> {
    let spec = &revision.spec;
    AdditionalFields {
        generation: spec.generation,
        kind: &spec.workload.kind,
        api_version: &spec.workload.api_version,
        namespace,
        summary: spec.view.as_ref().map(|view| view.summary.as_str()),
        via: spec.via.as_ref().map(|via| via.manager.as_str()),
        change_cause: spec.change_cause.as_deref(),
        revision_type: spec.r#type,
        outcome: status.outcome.as_deref(),
        content_digest: spec.content_digest.as_deref(),
    }
}

fn images<'a>(revision: &'a Revision, status: &'a RevisionStatus) -> Vec<&'a str> {
    let named = revision.spec.view.iter().flat_map(|view| &view.images);
    let mut seen = HashSet::new();
    let all = named.chain(&status.images).map(String::as_str);
    all.filter(|image| seen.insert(*image)).collect()
}

/// RFC 3339 in UTC with milliseconds, as the contract has it.
fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn identity() -> Identity {
        Identity { r#type: "runai-revision".into(), tenant: 1001, cluster: Uuid::from_u128(9) }
    }

    pub(crate) fn revision(generation: i64) -> Revision {
        let uid = Uuid::from_u128(5);
        serde_json::from_value(json!({
            "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
            "metadata": {"name": "x", "namespace": "team-a"},
            "spec": {
                "id": Uuid::from_u128(u128::try_from(generation).expect("positive")), "type": "Change", "generation": generation,
                "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama", "uid": uid},
                "resourceVersion": "7", "observedVia": "Watch", "changeTime": "2026-01-02T03:04:05Z",
                "changeTimeSource": "ManagedFields", "via": {"manager": "kubectl", "operation": "Update"},
                "contentDigest": format!("sha256:{}", "ab".repeat(32)),
                "snapshot": {"encoding": "json", "size": 2, "data": "{}"},
                "view": {"version": 1, "summary": "image", "images": ["a", "b"]},
            },
            "status": {"phase": "Napping", "images": ["b", "c"]},
        }))
        .expect("a Revision")
    }

    #[test]
    fn fields_are_those_of_the_contract() {
        let value: serde_json::Value =
            serde_json::from_slice(&render(&revision(3), &identity())).expect("json");
        let expected = json!({
            "type": "runai-revision", "name": "llama", "id": Uuid::from_u128(3), "workloadId": Uuid::from_u128(5),
            "tenantId": 1001, "clusterId": Uuid::from_u128(9), "departmentId": "default", "projectId": "team-a",
            "createdAt": "2026-01-02T03:04:05.000Z", "phase": "Unknown", "images": ["a", "b", "c"],
            "additionalFields": {
                "generation": 3, "kind": "Deployment", "apiVersion": "apps/v1", "namespace": "team-a", "summary": "image",
                "via": "kubectl", "revisionType": "Change", "contentDigest": format!("sha256:{}", "ab".repeat(32)),
            },
        });
        assert_eq!(value, expected);
    }
}
