//! Kinds that Revisor reads, recorded or between pods and workloads, as definitions without schemas; and a pod below an
//! object of each of them.

use crate::support::post;
use kube::Client;
use revisor::kinds::Catalogue;
use serde_json::{Value, json};

/// Kinds between pods and workloads: group, version, kind, plural.
const BETWEEN: [(&str, &str, &str, &str); 6] = [
    ("serving.knative.dev", "v1", "Revision", "revisions"),
    (
        "serving.knative.dev",
        "v1",
        "Configuration",
        "configurations",
    ),
    (
        "nvidia.com",
        "v1alpha1",
        "DynamoComponentDeployment",
        "dynamocomponentdeployments",
    ),
    ("grove.io", "v1alpha1", "PodClique", "podcliques"),
    (
        "grove.io",
        "v1alpha1",
        "PodCliqueScalingGroup",
        "podcliquescalinggroups",
    ),
    ("grove.io", "v1alpha1", "PodCliqueSet", "podcliquesets"),
];

/// A kind as the API server has it.
pub struct Defined {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
}

impl Defined {
    /// The path of its objects in a namespace.
    pub fn path(&self, namespace: &str) -> String {
        let Self {
            group,
            version,
            plural,
            ..
        } = self;
        format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}")
    }

    fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    fn definition(&self) -> Value {
        let singular = self.kind.to_lowercase();
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{}.{}", self.plural, self.group)},
            "spec": {
                "group": self.group,
                "names": {"kind": self.kind, "plural": self.plural, "singular": singular},
                "scope": "Namespaced",
                "versions": [{
                    "name": self.version, "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                }],
            },
        })
    }
}

/// All kinds that no API server has by itself.
pub fn kinds() -> Vec<Defined> {
    let catalogue = Catalogue::built_in();
    let recorded = catalogue
        .kinds()
        .iter()
        .filter(|kind| kind.group != "apps")
        .map(|kind| Defined {
            group: kind.group.clone(),
            version: kind.versions[0].clone(),
            kind: kind.kind.clone(),
            plural: kind.plural.clone(),
        });
    let between = BETWEEN.map(|(group, version, kind, plural)| Defined {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    });
    recorded.chain(between).collect()
}

/// Their definitions.
pub fn definitions() -> String {
    let all: Vec<_> = kinds().iter().map(Defined::definition).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string()
}

/// Makes an object of each kind that is not recorded, and a pod whose controller it is.
pub async fn pods_below_all(client: &Client, namespace: &str) {
    for kind in kinds() {
        let name = kind.kind.to_lowercase();
        let object = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.kind,
            "metadata": {"name": name, "labels": {"revisor.dev/record": "false"}},
            "spec": {},
        });
        let made = post(client, &kind.path(namespace), &object).await;
        let owner = owner(&kind.api_version(), &kind.kind, &made.name, &made.uid);
        post(client, &pods(namespace), &pod(&name, &owner)).await;
    }
    let leader = post(client, &pods(namespace), &pod("leader", &json!([]))).await;
    let owner = owner("v1", "Pod", &leader.name, &leader.uid);
    post(client, &pods(namespace), &pod("worker", &owner)).await;
    // None of these is recorded, so that their pods lead to nothing.
    for (kind, plural) in [
        ("StatefulSet", "statefulsets"),
        ("Deployment", "deployments"),
        ("DaemonSet", "daemonsets"),
    ] {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/{plural}");
        post(client, &path, &unrecorded(kind)).await;
    }
}

fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

fn owner(api_version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true}])
}

fn pod(name: &str, owners: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"pod-template-hash": "x"}, "ownerReferences": owners},
        "spec": {"containers": [{"name": "main", "image": "x"}]},
    })
}

fn unrecorded(kind: &str) -> Value {
    let labels = json!({"app": kind, "pod-template-hash": "x"});
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": kind.to_lowercase()},
        "spec": {
            "selector": {"matchLabels": {"app": kind}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "x"}]},
            },
        },
    });
    // One for each node otherwise.
    if kind != "DaemonSet" {
        object["spec"]["replicas"] = json!(1);
    }
    object
}
