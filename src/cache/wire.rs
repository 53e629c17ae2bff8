//! The JSON of the REST contract: field names, types and which of them are required. Absent values are left out.

pub use crate::revision::Phase;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// One revision of an inference workload.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = Revision)]
pub struct Wire<'a> {
    /// What kind of resource this is.
    pub r#type: &'a str,
    /// Name of the workload.
    pub name: &'a str,
    /// Id of the revision.
    pub id: Uuid,
    /// Uid of the workload.
    pub workload_id: Uuid,
    /// Id of the tenant, from the configuration.
    pub tenant_id: i32,
    /// Id of the cluster.
    pub cluster_id: Uuid,
    /// When the change was made.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: DateTime<Utc>,
    /// What the pods of the revision are doing.
    pub phase: Phase,
    /// Why the revision is in its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase_message: Option<&'a str>,
    /// When the phase last changed.
    #[serde(serialize_with = "maybe_time", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub phase_updated_at: Option<DateTime<Utc>>,
    /// What all pods of the revision ask for together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_requested_resources: Option<Resources>,
    /// What one pod of the main component asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods_requested_resources: Option<Resources>,
    /// How many pods of the main component are asked for, with those that scale together with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_pods: Option<RequestedPods>,
    /// Node pools that are asked for, the preferred one first.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    pub requested_node_pools: &'a [String],
    /// Node pools that pods of the revision run in.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    pub current_node_pools: &'a [String],
    /// What the pods that are bound to a node hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated_resources: Option<AllocatedResources>,
    /// Pods of the revision that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_pods: Option<i32>,
    /// Images of all containers, the main one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub images: Vec<&'a str>,
    /// Environment of the main container. Values that look secret are redacted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub environment_variables: BTreeMap<&'a str, &'a str>,
    /// Command of the main container, as a shell would read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Arguments of the main container, as a shell would read them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    /// Aspects of the revision's state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub conditions: Vec<WireCondition<'a>>,
    /// What Revisor knows beyond the contract.
    pub additional_fields: AdditionalFields<'a>,
    // The following fields, and the end of additionalFields, are rewritten by `render::rewrite_tail`.
    /// Id of the department: a label of the namespace.
    #[schema(min_length = 1)]
    pub department_id: &'a str,
    /// Id of the project: a label of the namespace, or its name.
    pub project_id: &'a str,
    /// When the workload was deleted.
    #[serde(serialize_with = "maybe_time", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, required = false)]
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Requested resources.
#[derive(Serialize, ToSchema, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// How GPUs are asked for: by number or part, or by memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = GpuRequestType, required = false)]
    pub gpu_request_type: Option<&'static str>,
    /// GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Amount>,
    /// Memory of GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory: Option<MemoryAmount>,
    /// CPU cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Amount>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_memory: Option<MemoryAmount>,
    /// Everything else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub extended_resources: Vec<ExtendedResource>,
}

/// How GPUs are asked for.
#[derive(Serialize, ToSchema, Clone, Copy, Debug)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum GpuRequestType {
    Portion,
    Memory,
}

/// A number of devices or cores.
#[derive(Serialize, ToSchema, Debug, PartialEq)]
pub struct Amount {
    /// At most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// At least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<f64>,
}

/// An amount of memory, as a Kubernetes quantity.
#[derive(Serialize, ToSchema, Debug, PartialEq, Eq)]
#[schema(as = Quantity)]
pub struct MemoryAmount {
    /// At most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$")]
    pub limit: Option<String>,
    /// At least.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$")]
    pub request: Option<String>,
}

/// A resource that has no field of its own.
#[derive(Serialize, ToSchema, Debug, PartialEq, Eq)]
pub struct ExtendedResource {
    /// Its name.
    pub resource: String,
    /// How much of it, as a Kubernetes quantity.
    #[schema(pattern = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$")]
    pub quantity: String,
    /// Whether it is taken away from a default. Never here.
    pub exclude: bool,
}

/// How many pods are asked for.
#[derive(Serialize, ToSchema, Debug, PartialEq, Eq)]
pub struct RequestedPods {
    /// A fixed number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i32>,
    /// At least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i32>,
    /// At most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i32>,
    /// Of training workloads; never here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i32>,
    /// Of training workloads; never here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completions: Option<i32>,
}

/// What pods hold.
#[derive(Serialize, ToSchema, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AllocatedResources {
    /// GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<f64>,
    /// Memory of GPUs, as a Kubernetes quantity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$")]
    pub gpu_memory: Option<String>,
    /// CPU cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Memory, as a Kubernetes quantity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$")]
    pub cpu_memory: Option<String>,
    /// Everything else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub extended_resources: Vec<ExtendedResource>,
}

/// One aspect of the state of a revision.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = Condition)]
pub struct WireCondition<'a> {
    /// The aspect.
    pub r#type: &'a str,
    /// True, False or Unknown.
    pub status: &'a str,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    /// In one CamelCase word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// When status last changed.
    #[serde(serialize_with = "maybe_time", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub last_transition_time: Option<DateTime<Utc>>,
}

/// What Revisor knows beyond the contract.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct AdditionalFields<'a> {
    /// metadata.generation of the workload.
    pub generation: i64,
    /// Kind of the workload.
    pub kind: &'a str,
    /// apiVersion of the workload.
    pub api_version: &'a str,
    /// Namespace of the workload.
    pub namespace: &'a str,
    /// The change in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<&'a str>,
    /// The model that is served, as the workload names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a str>,
    /// What changed against the generation before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub changes: Vec<WireChange<'a>>,
    /// The newest older generation that held the same, apart from replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_as: Option<i64>,
    /// The field manager that made the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<&'a str>,
    /// When all of its pods were first ready.
    #[serde(serialize_with = "maybe_time", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub first_ready_time: Option<DateTime<Utc>>,
    /// How long that took since the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_ready_seconds: Option<i64>,
    /// Annotation kubernetes.io/change-cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_cause: Option<&'a str>,
    /// Change, or Baseline for the first sight of a workload.
    pub revision_type: &'static str,
    /// How the revision ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'a str>,
    /// SHA-256 of the workload's spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_digest: Option<&'a str>,
    /// Whether ready pods of this revision exist.
    pub serving: bool,
    // The rest depends on other revisions of the workload.
    /// Whether this is the newest revision of its workload.
    pub latest: bool,
    /// Generations before this one, or after it if it is the newest, that are not recorded.
    #[serde(skip_serializing_if = "<[Missing]>::is_empty")]
    #[schema(value_type = Vec<Missing>, required = false)]
    pub missing: &'a [Missing],
    /// Revisions before this one that were recorded and are not stored any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub removed: Vec<Removed>,
    /// True when the workload had another content in this generation than the Revision that is stored of it, which
    /// somebody else has written. Absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub contested: bool,
}

/// One field that changed. Values that look secret are redacted.
#[derive(Serialize, ToSchema, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schema(as = FieldChange)]
pub struct WireChange<'a> {
    /// The field, with list items named by their name or number.
    pub path: &'a str,
    /// The value before, or of a long text the part that changed; absent when the field was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'a str>,
    /// The value after, in the same way; absent when the field was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<&'a str>,
    /// Whether both mean the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub no_effect: bool,
}

/// Generations that existed and are not recorded.
#[derive(Serialize, ToSchema, Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The first of them.
    pub from: i64,
    /// The last of them.
    pub to: i64,
    /// Why, in one CamelCase word.
    pub reason: String,
}

/// Generations that were recorded and are not stored any more: they were removed by retention or by hand, or their
/// Revision still waits to be stored.
#[derive(Serialize, ToSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The first of them.
    pub from: i64,
    /// The last of them.
    pub to: i64,
}

/// RFC 3339 in UTC with milliseconds, as the contract has it.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

// serde hands over a reference to the field.
#[allow(clippy::ref_option)]
fn maybe_time<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_str(&rfc3339(*time)),
        None => serializer.serialize_none(),
    }
}
