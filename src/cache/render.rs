//! A Revision as the JSON of the REST contract. Pure.
//!
//! A new Revision changes fields of its siblings, and a label of the namespace changes fields of all. Those fields are
//! the last ones of the JSON, so that a row is rewritten by replacing its tail; the Revision is not needed.

use super::wire::{
    AdditionalFields, AllocatedResources, Amount, ExtendedResource, MemoryAmount, Missing, Phase,
    Removed, RequestedPods, Resources, Wire, WireChange, WireCondition, rfc3339,
};
use crate::kinds::{GpuResource, Hardware};
use crate::quantity::Quantity;
use crate::revision::{
    Allocated, Condition, Outcome, Pods, Revision, RevisionStatus, RevisionType, View, words,
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use uuid::Uuid;

/// The installation, as the contract identifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Value of `type`.
    pub r#type: String,
    /// Value of `tenantId`.
    pub tenant: i32,
    /// Value of `clusterId`.
    pub cluster: Uuid,
    /// Which resources are accelerators.
    pub hardware: Hardware,
}

/// The values in the JSON of a Revision that depend on its siblings and its namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Siblings<'a> {
    pub(super) latest: bool,
    pub(super) missing: &'a [Missing],
    pub(super) removed: Option<Removed>,
    pub(super) contested: bool,
    pub(super) department: &'a str,
    pub(super) project: &'a str,
    pub(super) deleted_at: Option<DateTime<Utc>>,
}

/// Hash of a body; equal on every replica.
pub type Etag = [u8; 16];

/// The JSON of one Revision.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) json: Vec<u8>,
    pub(super) etag: Etag,
    /// Where the part begins that depends on its siblings.
    pub(super) tail: usize,
}

/// Rewrites the part of a rendered Revision that depends on its siblings, and begins at `at`; none when it is as it was.
pub(super) fn rewrite_tail(json: &[u8], at: usize, siblings: &Siblings<'_>) -> Option<Rendered> {
    let (head, old) = json.split_at_checked(at)?;
    let new = tail(siblings);
    (old != new.as_bytes()).then(|| {
        let json = [head, new.as_bytes()].concat();
        Rendered {
            etag: etag(&[&json]),
            json,
            tail: at,
        }
    })
}

/// Hash of these parts, one after the other.
pub fn etag(parts: &[&[u8]]) -> Etag {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut etag = Etag::default();
    etag.copy_from_slice(&hash.finalize()[..16]);
    etag
}

/// Renders one Revision.
pub(super) fn render(
    revision: &Revision,
    identity: &Identity,
    siblings: &Siblings<'_>,
) -> Rendered {
    // Plain data with text keys always serializes.
    let json = serde_json::to_vec(&wire(revision, identity, siblings)).unwrap_or_default();
    let tail = json.len().saturating_sub(tail(siblings).len());
    Rendered {
        etag: etag(&[&json]),
        json,
        tail,
    }
}

/// The end of what [`render`] writes.
fn tail(siblings: &Siblings<'_>) -> String {
    let mut text = format!("\"latest\":{}", siblings.latest);
    if !siblings.missing.is_empty() {
        push_field(&mut text, ",\"missing\":", siblings.missing);
    }
    if let Some(removed) = siblings.removed {
        push_field(&mut text, ",\"removed\":", &[removed]);
    }
    if siblings.contested {
        text.push_str(",\"contested\":true");
    }
    push_field(&mut text, "},\"departmentId\":", siblings.department);
    push_field(&mut text, ",\"projectId\":", siblings.project);
    if let Some(time) = siblings.deleted_at {
        push_field(&mut text, ",\"deletedAt\":", &rfc3339(time));
    }
    text.push('}');
    text
}

fn push_field<T: Serialize + ?Sized>(text: &mut String, name: &str, value: &T) {
    text.push_str(name);
    // Plain data with text keys always serializes.
    text.push_str(&serde_json::to_string(value).unwrap_or_default());
}

fn wire<'a>(revision: &'a Revision, identity: &'a Identity, siblings: &Siblings<'a>) -> Wire<'a> {
    const NONE: &RevisionStatus = &empty_status();
    let spec = &revision.spec;
    let status = revision.status.as_ref().unwrap_or(NONE);
    let view = spec.view.as_ref();
    Wire {
        r#type: &identity.r#type,
        name: &spec.workload.name,
        id: spec.id,
        workload_id: spec.workload.uid,
        tenant_id: identity.tenant,
        cluster_id: identity.cluster,
        created_at: spec.change_time,
        phase: phase(status),
        phase_message: status.message.as_deref(),
        phase_updated_at: status.phase_time,
        revision_requested_resources: view.and_then(|view| {
            resources(&view.requests_total, &view.limits_total, &identity.hardware)
        }),
        pods_requested_resources: view.and_then(|view| {
            resources(
                &view.requests_per_pod,
                &view.limits_per_pod,
                &identity.hardware,
            )
        }),
        requested_pods: view.and_then(|view| view.pods).map(requested_pods),
        requested_node_pools: view.map_or(&[], |view| view.node_pools.as_slice()),
        current_node_pools: &status.node_pools,
        allocated_resources: allocated(&status.allocated, &identity.hardware),
        running_pods: status.running_pods,
        images: images(revision, status),
        environment_variables: view.map_or_else(BTreeMap::new, |view| {
            view.env
                .iter()
                .filter_map(|variable| variable.split_once('='))
                .collect()
        }),
        command: view.and_then(|view| shell(&view.command)),
        arguments: view.and_then(|view| shell(&view.args)),
        conditions: status.conditions.iter().map(wire_condition).collect(),
        additional_fields: additional_fields(revision, status, siblings),
        department_id: siblings.department,
        project_id: siblings.project,
        deleted_at: siblings.deleted_at,
    }
}

const fn empty_status() -> RevisionStatus {
    RevisionStatus {
        phase: None,
        reason: None,
        message: None,
        phase_time: None,
        outcome: None,
        first_ready_time: None,
        running_pods: None,
        ready_pods: None,
        node_pools: Vec::new(),
        allocated: BTreeMap::new(),
        images: Vec::new(),
        pod_keys: Vec::new(),
        conditions: Vec::new(),
        observed_through: None,
        workload_deletion_time: None,
        workload_end_unknown: false,
    }
}

/// A Revision that nothing has been observed of is in no phase that the contract knows.
fn phase(status: &RevisionStatus) -> Phase {
    status.phase.unwrap_or(Phase::Unknown)
}

/// The phase of a Revision, as the contract knows it.
pub(super) fn phase_of(revision: &Revision) -> Phase {
    revision.status.as_ref().map_or(Phase::Unknown, phase)
}

fn additional_fields<'a>(
    revision: &'a Revision,
    status: &'a RevisionStatus,
    siblings: &Siblings<'a>,
) -> AdditionalFields<'a> {
    let spec = &revision.spec;
    AdditionalFields {
        generation: spec.generation,
        kind: &spec.workload.kind,
        api_version: &spec.workload.api_version,
        namespace: revision.metadata.namespace.as_deref().unwrap_or_default(),
        summary: spec.view.as_ref().map(|view| view.summary.as_str()),
        model: spec
            .view
            .as_ref()
            .map(|view| view.model.as_str())
            .filter(|model| !model.is_empty()),
        changes: changes(spec.view.as_ref()),
        same_as: spec.view.as_ref().and_then(|view| view.same_as),
        via: spec.via.as_ref().map(|via| via.manager.as_str()),
        change_cause: spec.change_cause.as_deref(),
        revision_type: type_name(spec.r#type),
        outcome: status.outcome.map(Outcome::as_str),
        first_ready_time: status.first_ready_time,
        time_to_ready_seconds: status
            .first_ready_time
            .map(|ready| (ready - spec.change_time).num_seconds().max(0)),
        content_digest: spec.content_digest.as_deref(),
        serving: status.ready_pods.is_some_and(|pods| pods > 0),
        latest: siblings.latest,
        missing: siblings.missing,
        removed: siblings.removed.into_iter().collect(),
        contested: siblings.contested,
    }
}

fn changes(view: Option<&View>) -> Vec<WireChange<'_>> {
    let changes = view.into_iter().flat_map(|view| &view.changes);
    let wire = changes.map(|change| WireChange {
        path: &change.path,
        from: change.from.as_deref(),
        to: change.to.as_deref(),
        no_effect: change.no_effect,
    });
    wire.collect()
}

/// As in the custom resource.
pub(super) fn type_name(r#type: RevisionType) -> &'static str {
    match r#type {
        RevisionType::Change => "Change",
        RevisionType::Baseline => "Baseline",
        RevisionType::Gap => "Gap",
    }
}

fn wire_condition(condition: &Condition) -> WireCondition<'_> {
    WireCondition {
        r#type: &condition.r#type,
        status: &condition.status,
        message: condition.message.as_deref(),
        reason: condition.reason.as_deref(),
        last_transition_time: condition.last_transition_time,
    }
}

fn requested_pods(pods: Pods) -> RequestedPods {
    let Pods { number, min, max } = pods;
    RequestedPods {
        number,
        min,
        max,
        parallelism: None,
        completions: None,
    }
}

/// As a shell would read it; none when there is nothing.
fn shell(list: &[String]) -> Option<String> {
    (!list.is_empty()).then(|| words::join(list))
}

/// Resources by what the contract calls them.
#[derive(Default)]
struct Sorted {
    gpu: Option<Quantity>,
    gpu_memory: Option<String>,
    cpu: Option<Quantity>,
    cpu_memory: Option<String>,
    extended: Vec<ExtendedResource>,
}

fn sorted(amounts: &BTreeMap<String, String>, hardware: &Hardware) -> Sorted {
    let mut all = Sorted::default();
    for (name, text) in amounts {
        // Written by Revisor; a status that somebody else wrote may hold anything.
        let Some(amount) = Quantity::parse(text) else {
            continue;
        };
        match (hardware.gpu_resource(name), name.as_str()) {
            (Some(GpuResource::Devices), _) => all.gpu = Some(all.gpu.unwrap_or_default() + amount),
            (Some(GpuResource::Memory), _) => all.gpu_memory = Some(amount.to_string()),
            (None, "cpu") => all.cpu = Some(amount),
            (None, "memory") => all.cpu_memory = Some(amount.to_string()),
            (None, _) => all.extended.push(ExtendedResource {
                resource: name.clone(),
                quantity: amount.to_string(),
                exclude: false,
            }),
        }
    }
    all
}

fn resources(
    requests: &BTreeMap<String, String>,
    limits: &BTreeMap<String, String>,
    hardware: &Hardware,
) -> Option<Resources> {
    let requested = sorted(requests, hardware);
    let limited = sorted(limits, hardware);
    let gpu_request_type = match (&requested.gpu, &requested.gpu_memory) {
        (Some(_), _) => Some("portion"),
        (None, Some(_)) => Some("memory"),
        (None, None) => None,
    };
    let resources = Resources {
        gpu_request_type,
        // The API server demands that limit and request of a device are equal.
        gpu: amount(requested.gpu, requested.gpu),
        gpu_memory: memory(requested.gpu_memory, limited.gpu_memory),
        cpu: amount(requested.cpu, limited.cpu),
        cpu_memory: memory(requested.cpu_memory, limited.cpu_memory),
        extended_resources: requested.extended,
    };
    (resources != Resources::default()).then_some(resources)
}

fn amount(request: Option<Quantity>, limit: Option<Quantity>) -> Option<Amount> {
    let amount = Amount {
        limit: limit.map(Quantity::as_f64),
        request: request.map(Quantity::as_f64),
    };
    (request.is_some() || limit.is_some()).then_some(amount)
}

fn memory(request: Option<String>, limit: Option<String>) -> Option<MemoryAmount> {
    (request.is_some() || limit.is_some()).then_some(MemoryAmount { limit, request })
}

fn allocated(amounts: &Allocated, hardware: &Hardware) -> Option<AllocatedResources> {
    let Sorted {
        gpu,
        gpu_memory,
        cpu,
        cpu_memory,
        extended,
    } = sorted(amounts, hardware);
    let resources = AllocatedResources {
        gpu: gpu.map(Quantity::as_f64),
        gpu_memory,
        cpu: cpu.map(Quantity::as_f64),
        cpu_memory,
        extended_resources: extended,
    };
    (resources != AllocatedResources::default()).then_some(resources)
}

fn images<'a>(revision: &'a Revision, status: &'a RevisionStatus) -> Vec<&'a str> {
    let named = revision.spec.view.iter().flat_map(|view| &view.images);
    let mut seen = HashSet::new();
    let all = named.chain(&status.images).map(String::as_str);
    all.filter(|image| seen.insert(*image)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    pub(crate) fn identity() -> Identity {
        Identity {
            r#type: "runai-revision".into(),
            tenant: 1001,
            cluster: Uuid::from_u128(9),
            hardware: Hardware::default(),
        }
    }

    pub(crate) fn revision(generation: i64) -> Revision {
        use crate::revision::identity::{id, name};
        let uid = Uuid::from_u128(5);
        serde_json::from_value(json!({
            "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
            "metadata": {"name": name("llama", uid, generation), "namespace": "team-a"},
            "spec": {
                "id": id(uid, generation), "type": "Change", "generation": generation,
                "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama", "uid": uid},
                "resourceVersion": "7", "observedVia": "Watch", "changeTime": "2026-01-02T03:04:05Z",
                "changeTimeSource": "ManagedFields", "via": {"manager": "kubectl", "operation": "Update"},
                "contentDigest": format!("sha256:{}", "ab".repeat(32)),
                "snapshot": {"encoding": "json", "size": 2, "data": "{}"},
                "view": {
                    "version": 1, "summary": "image", "changes": [{"path": "spec.a", "to": "1", "noEffect": true}], "images": ["a", "b"], "command": "sh -c", "args": "'a b' c",
                    "env": "HF_TOKEN=[redacted]",
                    "nodePools": "h100", "pods": "1..3", "requestsPerPod": "cpu=1500m,memory=4Gi,nvidia.com/gpu=500m",
                    "requestsTotal": "cpu=3,gpu-memory=4Gi,nvidia.com/mig-1g.5gb=2,rdma/ib=1",
                    "limitsPerPod": "memory=8Gi,nvidia.com/gpu=500m", "limitsTotal": "cpu=6,gpu-memory=4Gi", "model": "org/m", "sameAs": 1,
                },
            },
            "status": {
                "phase": "Napping", "images": ["b", "c"], "nodePools": ["default"], "runningPods": 2, "readyPods": 1, "firstReadyTime": "2026-01-02T03:04:09Z", "phaseTime": "2026-01-02T03:04:06Z",
                "allocated": {"cpu": "250m", "memory": "nonsense", "nvidia.com/gpu": "1"},
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:06Z"}],
            },
        }))
        .expect("a Revision")
    }

    fn siblings<'a>() -> Siblings<'a> {
        Siblings {
            latest: true,
            missing: &[],
            removed: None,
            contested: false,
            department: "default",
            project: "team-a",
            deleted_at: None,
        }
    }

    #[test]
    fn fields_are_those_of_the_contract() {
        let missing = [Missing {
            from: 1,
            to: 2,
            reason: "Compacted".into(),
        }];
        let siblings = Siblings {
            missing: &missing,
            removed: Some(Removed { from: 2, to: 2 }),
            contested: true,
            deleted_at: DateTime::from_timestamp(0, 0),
            ..siblings()
        };
        let value: serde_json::Value =
            serde_json::from_slice(&render(&revision(3), &identity(), &siblings).json)
                .expect("json");
        let additional = json!({
            "generation": 3, "kind": "Deployment", "apiVersion": "apps/v1", "namespace": "team-a", "summary": "image", "model": "org/m", "sameAs": 1,
            "changes": [{"path": "spec.a", "to": "1", "noEffect": true}],
            "via": "kubectl", "revisionType": "Change", "contentDigest": format!("sha256:{}", "ab".repeat(32)),
            "firstReadyTime": "2026-01-02T03:04:09.000Z", "timeToReadySeconds": 4,
            "serving": true, "latest": true, "missing": [{"from": 1, "to": 2, "reason": "Compacted"}],
            "removed": [{"from": 2, "to": 2}],
            "contested": true,
        });
        let expected = json!({
            "type": "runai-revision", "name": "llama", "id": crate::revision::identity::id(Uuid::from_u128(5), 3), "workloadId": Uuid::from_u128(5),
            "tenantId": 1001, "clusterId": Uuid::from_u128(9), "departmentId": "default", "projectId": "team-a",
            "createdAt": "2026-01-02T03:04:05.000Z", "deletedAt": "1970-01-01T00:00:00.000Z",
            "phase": "Unknown", "phaseUpdatedAt": "2026-01-02T03:04:06.000Z", "images": ["a", "b", "c"],
            "command": "sh -c", "arguments": "'a b' c", "environmentVariables": {"HF_TOKEN": "[redacted]"},
            "requestedNodePools": ["h100"], "currentNodePools": ["default"], "requestedPods": {"min": 1, "max": 3}, "runningPods": 2,
            "podsRequestedResources": {
                "gpuRequestType": "portion", "gpu": {"limit": 0.5, "request": 0.5}, "cpu": {"request": 1.5},
                "cpuMemory": {"limit": "8Gi", "request": "4Gi"},
            },
            "revisionRequestedResources": {
                "gpuRequestType": "memory", "gpuMemory": {"limit": "4Gi", "request": "4Gi"}, "cpu": {"limit": 6.0, "request": 3.0},
                "extendedResources": [
                    {"resource": "nvidia.com/mig-1g.5gb", "quantity": "2", "exclude": false},
                    {"resource": "rdma/ib", "quantity": "1", "exclude": false},
                ],
            },
            "allocatedResources": {"cpu": 0.25, "gpu": 1.0},
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:06.000Z"}],
            "additionalFields": additional,
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn what_is_absent_is_left_out() {
        let mut bare = revision(3);
        (bare.spec.view, bare.spec.via, bare.status) = (None, None, None);
        let json = render(&bare, &identity(), &siblings()).json;
        let value: serde_json::Value = serde_json::from_slice(&json).expect("json");
        assert!(!String::from_utf8_lossy(&json).contains("null"));
        assert_eq!(
            value.as_object().expect("an object").len(),
            11,
            "the required fields and additionalFields"
        );
    }

    proptest! {
        #[test]
        fn a_new_tail_is_as_good_as_rendering_anew(
            latest: bool, department in "\\PC{1,8}", project in "\\PC{1,8}", deleted in proptest::option::of(0..4_000_000_000_i64),
            gaps in proptest::collection::vec((1..9_i64, 1..9_i64), 0..3), removed in proptest::option::of(1..9_i64), contested: bool,
        ) {
            let missing: Vec<_> = gaps.into_iter().map(|(from, to)| Missing { from, to, reason: "Ünknown".into() }).collect();
            let deleted_at = deleted.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
            let other = Siblings { latest, missing: &missing, removed: removed.map(|at| Removed { from: at, to: at }), contested, department: &department, project: &project, deleted_at };
            let plain = render(&revision(3), &identity(), &siblings());
            let anew = render(&revision(3), &identity(), &other);
            let spliced = rewrite_tail(&plain.json, plain.tail, &other).unwrap_or(plain);
            prop_assert_eq!((&spliced.json, spliced.etag), (&anew.json, anew.etag));
            prop_assert!(rewrite_tail(&anew.json, anew.tail, &other).is_none());
        }
    }
}
