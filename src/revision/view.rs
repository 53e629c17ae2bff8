//! The view of a Revision, as the CustomResourceDefinition has it. Docstrings are its descriptions.

use super::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What people and the REST API see of a Revision. Values that look secret are redacted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Version of the extractor that made this view.
    pub version: i32,
    /// The change in a few words.
    pub summary: String,
    /// What changed against the generation before; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    /// Images of all containers that the workload names, the main one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Command of the main container, as a shell would read it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "words::line")]
    #[schemars(with = "String")]
    pub command: Vec<String>,
    /// Arguments of the main container, as a shell would read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "words::line")]
    #[schemars(with = "String")]
    pub args: Vec<String>,
    /// Environment of the main container, each line one NAME=value as a shell would read it: the value is redacted when it looks secret, or a text that says where it comes from.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "words::lines")]
    #[schemars(with = "String")]
    pub env: Vec<String>,
    /// Node pools that the workload asks for, the preferred one first, with spaces between.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "words::line")]
    #[schemars(with = "String")]
    pub node_pools: Vec<String>,
    /// How many pods the main component asks for, with those that scale together with it: a number, or MIN..MAX.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "words::range"
    )]
    #[schemars(with = "String")]
    pub pods: Option<Pods>,
    /// Resource requests of one pod of the main component: cpu=8,memory=128Gi,nvidia.com/gpu=4.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        with = "words::quantities"
    )]
    #[schemars(with = "String")]
    pub requests_per_pod: BTreeMap<String, String>,
    /// Resource requests of all pods, in the same notation.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        with = "words::quantities"
    )]
    #[schemars(with = "String")]
    pub requests_total: BTreeMap<String, String>,
    /// Resource limits of one pod of the main component, in the same notation: those of its containers that have one.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        with = "words::quantities"
    )]
    #[schemars(with = "String")]
    pub limits_per_pod: BTreeMap<String, String>,
    /// Resource limits of all pods, in the same notation.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        with = "words::quantities"
    )]
    #[schemars(with = "String")]
    pub limits_total: BTreeMap<String, String>,
    /// The model that is served, as the workload names it: a URI, a repository or a path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Parts of the view that the workload does not name itself, for example images, with spaces between.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "words::line")]
    #[schemars(with = "String")]
    pub unresolved: Vec<String>,
    /// SHA-256 of the content in its normal form: without replicas, without what means nothing, with quantities in one notation. Revisions with the same one hold the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub normal_digest: String,
    /// The newest older generation with the same normalDigest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<i64>,
    /// True when something was left out to keep the view small.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// One difference against the generation before.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// The field, with list items named by their name or number: spec.template.spec.containers[vllm].image.
    pub path: String,
    /// The value before, or of a long text the part that changed, in at most 120 characters. Absent when the field was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The value after, in the same way. Absent when the field was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// True when both mean the same: other words for one value, or a default that is written out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_effect: bool,
}

/// How many pods a workload asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Pods {
    /// Fixed number.
    pub number: Option<i32>,
    /// At least so many.
    pub min: Option<i32>,
    /// At most so many.
    pub max: Option<i32>,
}
