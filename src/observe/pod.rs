//! A pod as it is kept in memory: at most a kilobyte. In: pods of the API server. Out: a [`Pod`] and its controller.
//! Pure.

mod state;

use crate::kinds::{PodLabel, PodsFile, ViewFile};
use crate::quantity::Quantity;
use crate::redact::Names;
use crate::revision::View;
use crate::view::{complete, requests};
use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
pub(super) use state::{PodState, one_line};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// So many names of nodes and namespaces are shared before it is looked whether they are still needed.
const MAX_SHARED: usize = 10_000;

/// A pod as it is read from the API server.
#[derive(Deserialize, Clone, Debug, kube::Resource)]
#[resource(inherit = "k8s_openapi::api::core::v1::Pod")]
pub(super) struct PodObject {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

/// The part of a pod that pods of one template have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Template {
    /// Resource requests of one pod.
    pub(super) requests: BTreeMap<String, Quantity>,
    /// Image of the main container.
    pub(super) image: Option<String>,
    /// The part that can be compared with the views of Revisions.
    pub(super) hashes: ViewHashes,
}

/// Hashes of the parts of a view that a pod has too; none where one says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ViewHashes([Option<u64>; 5]);

/// A pod.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) namespace: Arc<str>,
    pub(super) created: DateTime<Utc>,
    /// The labels that some kind file names; few, so a list takes less than a map.
    labels: Box<[(Arc<str>, Box<str>)]>,
    pub(super) node: Option<Arc<str>>,
    pub(super) deleting: bool,
    pub(super) state: PodState,
    pub(super) template: Arc<Template>,
}

impl ViewHashes {
    /// The parts of a view.
    pub(super) fn of(view: &View) -> Self {
        Self([
            hash(&view.images, view.images.is_empty()),
            hash(&view.command, view.command.is_empty()),
            hash(&view.args, view.args.is_empty()),
            hash(&view.env, view.env.is_empty()),
            hash(&view.requests_per_pod, view.requests_per_pod.is_empty()),
        ])
    }

    /// The number of parts that are the same: 0 to 5.
    pub(super) fn likeness(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).filter(|(a, b)| a == b).count()
    }
}

fn hash(part: &impl Hash, nothing: bool) -> Option<u64> {
    (!nothing).then(|| hashed(part))
}

/// Of this process only: never stored.
pub(super) fn hashed(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Reduces pods to the part that is of interest.
pub(super) struct Pruner {
    labels: Vec<Arc<str>>,
    file: ViewFile,
    names: Names,
    /// Names that many pods have in common: of nodes and namespaces.
    shared: Mutex<HashSet<Arc<str>>>,
}

impl Pruner {
    /// Keeps the labels that `kinds` name.
    pub(super) fn new(kinds: &[Arc<crate::kinds::Kind>], names: Names) -> Option<Self> {
        let labels: BTreeSet<&str> = kinds
            .iter()
            .flat_map(|kind| label_keys(&kind.pods))
            .collect();
        // Any program will do: a pod is its own component.
        let mut file = kinds.iter().find_map(|kind| kind.view.clone())?;
        file.container = kinds
            .iter()
            .filter_map(|kind| kind.view.as_ref())
            .flat_map(|view| view.container.clone())
            .collect();
        Some(Self {
            labels: labels.into_iter().map(Arc::from).collect(),
            file,
            names,
            shared: Mutex::default(),
        })
    }

    fn share(&self, name: &str) -> Arc<str> {
        let mut shared = self.shared.lock();
        if let Some(known) = shared.get(name) {
            return known.clone();
        }
        // Nodes come and go; what no pod has any more is forgotten.
        if shared.len() >= MAX_SHARED {
            shared.retain(|name| Arc::strong_count(name) > 1);
        }
        let name: Arc<str> = name.into();
        shared.insert(name.clone());
        name
    }

    /// A pod, and its controller.
    pub(super) fn prune(&self, pod: PodObject) -> Option<(Pod, Option<OwnerReference>)> {
        let PodObject {
            metadata,
            spec,
            status,
        } = pod;
        let annotations = metadata.annotations.unwrap_or_default();
        let template = json!({"metadata": {"annotations": annotations}, "spec": spec});
        let mut own = metadata.labels.unwrap_or_default();
        let labels = self
            .labels
            .iter()
            .filter_map(|key| Some((key.clone(), own.remove(&**key)?.into_boxed_str())));
        let controller = metadata
            .owner_references
            .into_iter()
            .flatten()
            .find(|owner| owner.controller == Some(true));
        let node = template["spec"]["nodeName"]
            .as_str()
            .filter(|node| !node.is_empty())
            .map(|node| self.share(node));
        let pod = Pod {
            namespace: self.share(&metadata.namespace?),
            created: metadata
                .creation_timestamp
                .and_then(|time| DateTime::from_timestamp(time.0.as_second(), 0))
                .unwrap_or_default(),
            labels: labels.collect(),
            state: PodState::read(&status, node.is_some(), &self.names),
            node,
            deleting: metadata.deletion_timestamp.is_some(),
            template: Arc::new(self.template(&template)),
        };
        Some((pod, controller))
    }

    fn template(&self, pod: &Value) -> Template {
        let mut view = View::default();
        complete(
            &mut view,
            &self.file,
            &[json!({"name": self.file.main, "pod": pod})],
            &self.names,
        );
        Template {
            requests: requests(pod),
            image: view.images.first().cloned(),
            hashes: ViewHashes::of(&view),
        }
    }
}

/// The labels by which pods of a kind are told apart.
fn label_keys(file: &PodsFile) -> impl Iterator<Item = &str> {
    file.labels
        .iter()
        .map(|(key, _)| key)
        .chain(&file.revision_key)
        .chain(&file.component)
        .map(String::as_str)
}

impl Pod {
    fn label(&self, key: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(name, _)| **name == *key)
            .map(|(_, value)| &**value)
    }

    /// Whether it has the labels that pods of a workload of that name have.
    pub(super) fn is_labelled(&self, file: &PodsFile, name: &str) -> bool {
        file.labels
            .iter()
            .all(|(key, wanted)| match (wanted, self.label(key)) {
                (PodLabel::Name, value) => value == Some(name),
                (PodLabel::Any, value) => value.is_some(),
                (PodLabel::Is(wanted), value) => value == Some(wanted),
            })
    }

    /// The workload's name, where a label says it.
    pub(super) fn workload(&self, file: &PodsFile) -> Option<&str> {
        let (key, _) = file
            .labels
            .iter()
            .find(|(_, label)| *label == PodLabel::Name)?;
        let name = self.label(key)?;
        self.is_labelled(file, name).then_some(name)
    }

    /// The value that tells it from pods of other generations.
    pub(super) fn key(&self, file: &PodsFile) -> Option<&str> {
        file.revision_key.iter().find_map(|key| self.label(key))
    }

    /// The component that it is of.
    pub(super) fn component<'a>(&'a self, file: &'a PodsFile) -> Option<&'a str> {
        let value = file.component.as_ref().and_then(|key| self.label(key))?;
        Some(
            file.component_names
                .get(value)
                .map_or(value, String::as_str),
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::kinds::{Catalogue, Kind};

    pub(crate) fn pruned(pod: Value) -> Pod {
        let catalogue = Catalogue::built_in();
        let pruner = Pruner::new(catalogue.kinds(), Names::default()).expect("kinds");
        pruner
            .prune(serde_json::from_value(pod).expect("a pod"))
            .expect("a namespace")
            .0
    }

    pub(crate) fn kind(name: &str) -> Arc<Kind> {
        Catalogue::built_in()
            .kinds()
            .iter()
            .find(|kind| kind.kind == name)
            .expect("built in")
            .clone()
    }

    #[test]
    fn what_matters_is_kept() {
        let pod = pruned(json!({
            "metadata": {"namespace": "n", "name": "p", "creationTimestamp": "2026-01-02T03:04:05Z",
                "labels": {"pod-template-hash": "abc", "other": "x"}, "annotations": {"gpu-fraction": "0.5"}},
            "spec": {"nodeName": "a100-0", "containers": [{"name": "vllm", "image": "i:1", "args": ["a"], "resources": {"limits": {"cpu": "2"}}}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:09Z"}]},
        }));
        let deployment = kind("Deployment");
        assert_eq!(
            (pod.key(&deployment.pods), pod.node.as_deref()),
            (Some("abc"), Some("a100-0"))
        );
        assert_eq!(pod.label("other"), None);
        assert_eq!(
            pod.state,
            PodState::Ready("2026-01-02T03:04:09Z".parse().expect("a time"))
        );
        let requests: Vec<_> = pod
            .template
            .requests
            .iter()
            .map(|(name, amount)| format!("{name}={amount}"))
            .collect();
        assert_eq!(requests, ["cpu=2", "nvidia.com/gpu=500m"]);
        assert_eq!(pod.template.image.as_deref(), Some("i:1"));
    }

    /// What it takes by itself: its template and the names of nodes, namespaces and labels are shared.
    #[test]
    fn a_pod_takes_less_than_a_kilobyte() {
        let labels = json!({"leaderworkerset.sigs.k8s.io/name": "n".repeat(63), "pod-template-hash": "h".repeat(63),
            "leaderworkerset.sigs.k8s.io/template-revision-hash": "h".repeat(63), "controller-revision-hash": "h".repeat(63)});
        let why = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "message": "x".repeat(5_000)}]});
        let pod = pruned(
            json!({"metadata": {"namespace": "n", "labels": labels}, "spec": {}, "status": why}),
        );
        let each = size_of::<(Arc<str>, Box<str>)>();
        let labels: usize = pod.labels.iter().map(|(_, value)| each + value.len()).sum();
        let PodState::Unscheduled(Some(why)) = &pod.state else {
            panic!("unscheduled")
        };
        let own = size_of::<Pod>() + labels + why.len();
        assert_eq!(pod.labels.len(), 4);
        // A hash map keeps up to twice as many places as it has entries.
        assert!(own + size_of::<Pod>() < 1024, "{own}");
    }

    #[test]
    fn labels_name_the_workload() {
        let labels =
            json!({"app.kubernetes.io/name": "llm", "app.kubernetes.io/part-of": "nim-service"});
        let pod = pruned(json!({"metadata": {"namespace": "n", "labels": labels}, "spec": {}}));
        assert_eq!(pod.workload(&kind("NIMService").pods), Some("llm"));
        assert_eq!(
            pod.workload(&kind("LLMInferenceService").pods),
            None,
            "part of something else"
        );
        assert_eq!(pod.workload(&kind("Deployment").pods), None);
    }

    #[test]
    fn likeness_counts_equal_parts() {
        let view = |image: &str, arg: &str| {
            ViewHashes::of(&View {
                images: vec![image.into()],
                args: vec![arg.into()],
                ..View::default()
            })
        };
        assert_eq!(view("a", "b").likeness(&view("a", "b")), 5);
        assert_eq!(view("a", "b").likeness(&view("a", "c")), 4);
        assert_eq!(ViewHashes::default().likeness(&view("a", "c")), 3);
    }
}
