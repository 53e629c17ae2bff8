//! The kinds that the simulated API servers serve.

use crate::etcd::Kind;

/// A kind whose objects have neither a status nor a generation.
const PLAIN: Kind = Kind {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    namespaced: true,
    has_status: false,
    is_custom: false,
    counts_annotations: false,
};

pub static NAMESPACE: Kind = Kind {
    kind: "Namespace",
    plural: "namespaces",
    namespaced: false,
    ..PLAIN
};
pub static CONFIG_MAP: Kind = Kind {
    kind: "ConfigMap",
    plural: "configmaps",
    ..PLAIN
};
pub static LEASE: Kind = Kind {
    group: "coordination.k8s.io",
    kind: "Lease",
    plural: "leases",
    ..PLAIN
};
pub static EVENT: Kind = Kind {
    group: "events.k8s.io",
    kind: "Event",
    plural: "events",
    ..PLAIN
};
pub static NODE: Kind = Kind {
    kind: "Node",
    plural: "nodes",
    namespaced: false,
    ..PLAIN
};
pub static POD: Kind = Kind {
    kind: "Pod",
    plural: "pods",
    ..PLAIN
};
pub static REPLICA_SET: Kind = Kind {
    group: "apps",
    kind: "ReplicaSet",
    plural: "replicasets",
    ..PLAIN
};
pub static REVISION: Kind = Kind {
    group: "revisor.dev",
    version: "v1alpha1",
    kind: "Revision",
    plural: "revisions",
    has_status: true,
    is_custom: true,
    ..PLAIN
};
pub static DEPLOYMENT: Kind = Kind {
    group: "apps",
    kind: "Deployment",
    plural: "deployments",
    has_status: true,
    counts_annotations: true,
    ..PLAIN
};
pub static INFERENCE_SERVICE: Kind = Kind {
    group: "serving.kserve.io",
    version: "v1beta1",
    kind: "InferenceService",
    plural: "inferenceservices",
    has_status: true,
    is_custom: true,
    ..PLAIN
};

/// All of them.
pub static KINDS: [&Kind; 10] = [
    &NAMESPACE,
    &CONFIG_MAP,
    &LEASE,
    &EVENT,
    &NODE,
    &POD,
    &REPLICA_SET,
    &REVISION,
    &DEPLOYMENT,
    &INFERENCE_SERVICE,
];

/// Those that are recorded.
pub static WORKLOADS: [&Kind; 2] = [&DEPLOYMENT, &INFERENCE_SERVICE];

/// Whether objects of the kind are workloads.
pub fn is_workload(kind: &Kind) -> bool {
    WORKLOADS.contains(&kind)
}
