//! The Rust types that the CustomResourceDefinition is generated from. Their docstrings are its descriptions.

use super::schema::rules;
use super::view::View;
use super::{Outcome, Phase};
use chrono::{DateTime, Utc};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

// Repeating an attribute is how kube's derive takes a list.
#[allow(clippy::duplicated_attributes)]
/// What a Revision records. Immutable, except `view`, and except that its content can be expunged.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "revisor.dev",
    version = "v1alpha1",
    kind = "Revision",
    plural = "revisions",
    singular = "revision",
    shortname = "irev",
    category = "revisor",
    namespaced,
    status = "RevisionStatus",
    derive = "PartialEq",
    doc = "One recorded generation of one inference workload: what it was, what changed, and what became of it.",
    selectable = ".spec.id",
    selectable = ".spec.type",
    selectable = ".spec.workload.name",
    selectable = ".spec.workload.uid",
    selectable = ".spec.workload.kind",
    printcolumn(name = "Workload", type_ = "string", json_path = ".spec.workload.name"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.workload.kind"),
    printcolumn(name = "Rev", type_ = "integer", json_path = ".spec.generation"),
    printcolumn(name = "Change", type_ = "string", json_path = ".spec.view.summary"),
    printcolumn(name = "Via", type_ = "string", json_path = ".spec.via.manager"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Pods", type_ = "integer", json_path = ".status.runningPods"),
    printcolumn(name = "Age", type_ = "date", json_path = ".spec.changeTime"),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".spec.view.images[0]",
        priority = 1
    ),
    printcolumn(
        name = "Pod-Image",
        type_ = "string",
        json_path = ".status.images[0]",
        priority = 1
    ),
    printcolumn(
        name = "Model",
        type_ = "string",
        json_path = ".spec.view.model",
        priority = 1
    ),
    printcolumn(
        name = "Outcome",
        type_ = "string",
        json_path = ".status.outcome",
        priority = 1
    )
)]
#[x_kube(validation = rules::immutable())]
#[x_kube(validation = rules::snapshot_stays())]
#[x_kube(validation = rules::expunged_stays())]
#[x_kube(validation = rules::expunged_is_empty())]
#[x_kube(validation = rules::gap_is_a_gap())]
#[x_kube(validation = rules::gap_is_empty())]
#[x_kube(validation = rules::gap_is_in_order())]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
#[serde(rename_all = "camelCase")]
pub struct RevisionSpec {
    /// Id of this Revision in the REST API: a UUIDv5 of the workload's uid and the generation.
    pub id: Uuid,
    /// Change: the workload changed. Baseline: the first sight of the workload, what came before is unknown. Gap: generations that were not seen.
    pub r#type: RevisionType,
    /// The workload that this is a Revision of.
    pub workload: Workload,
    /// metadata.generation of the workload.
    pub generation: i64,
    /// metadata.resourceVersion of the workload in the event that was recorded.
    pub resource_version: String,
    /// How the generation was seen: in a watch event, in a list, or read back afterwards.
    pub observed_via: Observed,
    /// When the change was made, in whole seconds where managedFields told it.
    pub change_time: DateTime<Utc>,
    /// Where changeTime comes from.
    pub change_time_source: TimeSource,
    /// Through which field manager the change was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// Annotation kubernetes.io/change-cause of the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_cause: Option<String>,
    /// The delivery tool that owns the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// SHA-256 of "v1\n" and the canonical JSON of the workload's spec; without a spec, of "v1\nfields\n" and its other fields. Absent in a Gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_digest: Option<String>,
    /// The newest Revision of the workload when this one was decided, Gaps aside. Absent in a Baseline, in a Gap, where generations between the two were lost or not selected, and in Revisions of the first release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// The generations that a Gap stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// The workload as it was. Absent in a Gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
    /// Set when snapshot.data was taken out on purpose. changeCause and source may go with it; nothing else does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expunged: Option<Expunged>,
    /// What people and the REST API see. The one part of spec that may be rewritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<View>,
}

/// Why a Revision exists.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevisionType {
    /// The workload's spec changed.
    Change,
    /// First sight of the workload; what came before this generation is unknown.
    Baseline,
    /// Generations that existed and could not be recorded.
    Gap,
}

/// How a generation came to Revisor's eyes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// A watch event.
    Watch,
    /// An item of a list.
    List,
    /// Read back from etcd's history.
    Repair,
}

/// Where a change time comes from.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// The managedFields entry that owns a changed field.
    ManagedFields,
    /// The clock of Revisor when it saw the change.
    Observed,
}

/// A workload, by every name it has.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// The apiVersion in which the workload was read.
    pub api_version: String,
    /// The kind of the workload.
    pub kind: String,
    /// metadata.name of the workload.
    pub name: String,
    /// metadata.uid of the workload; a workload that was deleted and made anew has another.
    pub uid: Uuid,
}

impl Workload {
    /// The API group of its kind; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }
}

/// The field manager that made a change. A manager is a program, not a person.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Default)]
pub struct Via {
    /// Name of the manager.
    pub manager: String,
    /// Apply or Update.
    pub operation: String,
    /// The subresource that was written, for example scale.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// The delivery tool that owns a workload.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// ArgoCD, Flux or Helm.
    pub tool: String,
    /// The tool's name for what it delivers.
    pub name: String,
}

/// The Revision before another one of the same workload.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its generation.
    pub generation: i64,
    /// Its contentDigest.
    pub digest: String,
}

/// Generations that existed and could not be recorded.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first of them.
    pub from: i64,
    /// The last of them.
    pub to: i64,
    /// Why, in one CamelCase word.
    pub reason: String,
}

/// The workload as it was: apiVersion, kind, name, namespace, labels, annotations and spec (without one, every other
/// field but status), as canonical JSON.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How data is encoded.
    pub encoding: SnapshotEncoding,
    /// Length of the JSON in bytes.
    pub size: i64,
    /// The JSON, encoded. Absent when it is larger than the API server stores, or expunged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// True when data is left out because it is larger than the API server stores.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oversize: bool,
}

/// The content of a Revision was taken out.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Expunged {
    /// The user who did it, by its own words.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

/// How a snapshot's data is encoded.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SnapshotEncoding {
    /// `base64 -d | gunzip` reads it.
    #[default]
    #[serde(rename = "gzip+base64")]
    GzipBase64,
    /// Plain JSON.
    #[serde(rename = "json")]
    Json,
}

/// Resources that pods hold, as quantities by resource name.
pub type Allocated = BTreeMap<String, String>;

/// What became of a Revision.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
#[serde(rename_all = "camelCase")]
pub struct RevisionStatus {
    /// The phase of the pods of this Revision, for example Running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub phase: Option<Phase>,
    /// Why it is in this phase, in one CamelCase word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it is in this phase, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the phase last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase_time: Option<DateTime<Utc>>,
    /// How it ended: Succeeded, Failed or NeverReady.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub outcome: Option<Outcome>,
    /// When all of its pods were first ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ready_time: Option<DateTime<Utc>>,
    /// Pods of this Revision that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_pods: Option<i32>,
    /// Those of them that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_pods: Option<i32>,
    /// Node pools that its pods run in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_pools: Vec<String>,
    /// Resource requests of its pods that are bound to a node, as quantities.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub allocated: Allocated,
    /// Images that only its pods name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Values of the labels by which its pods are known again, for example of pod-template-hash.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pod_keys: Vec<String>,
    /// Ready, Progressing and Superseded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Up to where the workload was seen to have no further change. On the newest Revision only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_through: Option<ObservedThrough>,
    /// When the workload was deleted. On the newest Revision only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_deletion_time: Option<DateTime<Utc>>,
    /// Whether the workload may have been changed after observedThrough and before it was deleted: its end had been
    /// compacted when Revisor looked for it. On the newest Revision only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub workload_end_unknown: bool,
}

/// One aspect of the state of a Revision.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The aspect.
    pub r#type: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, in one CamelCase word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<DateTime<Utc>>,
}

/// A place in the history of a workload.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ObservedThrough {
    /// metadata.generation there.
    pub generation: i64,
    /// metadata.resourceVersion there.
    pub resource_version: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn phase_and_outcome_are_stored_as_strings() {
        let stored = json!({"phase": "Running", "outcome": "NeverReady", "runningPods": 2});
        let status: RevisionStatus = serde_json::from_value(stored.clone()).expect("a status");
        assert_eq!(
            (status.phase, status.outcome),
            (Some(Phase::Running), Some(Outcome::NeverReady))
        );
        assert_eq!(serde_json::to_value(&status).expect("json"), stored);
    }

    #[test]
    fn a_status_of_a_later_version_is_read() {
        let stored = json!({"phase": "Napping", "outcome": "RolledBack", "readyPods": 1});
        let status: RevisionStatus = serde_json::from_value(stored).expect("a status");
        assert_eq!(
            (status.phase, status.outcome, status.ready_pods),
            (Some(Phase::Unknown), Some(Outcome::Unknown), Some(1))
        );
        let null = json!({"phase": null, "outcome": null});
        let status: RevisionStatus = serde_json::from_value(null).expect("a status");
        assert_eq!(status, RevisionStatus::default());
    }
}
