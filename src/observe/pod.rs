//! What is kept of a pod: at most a kilobyte. Pure.

use crate::kinds::{PodLabel, PodsFile, ViewFile};
use crate::quantity::Quantity;
use crate::revision::View;
use crate::text::cut;
use crate::view::redact::Names;
use crate::view::{complete, requests};
use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Messages are cut to so many characters.
const MAX_MESSAGE: usize = 200;

/// So many names of nodes and namespaces are shared before it is looked whether they are still needed.
const MAX_SHARED: usize = 10_000;

/// Containers wait for one of these reasons when something has to be done about it.
const FAILURES: &[&str] = &[
    "CrashLoopBackOff",
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "ImageInspectError",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
    "PreCreateHookError",
    "PostStartHookError",
];

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

/// What pods of one template have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Template {
    /// What one of them asks for.
    pub(super) requests: BTreeMap<String, Quantity>,
    /// Image of the main container.
    pub(super) image: Option<String>,
    /// What can be compared with the views of Revisions.
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

/// How far a pod has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PodState {
    /// No node yet, and why.
    Unscheduled(Option<Box<str>>),
    /// On a node, not ready.
    Starting { running: bool },
    /// Something has to be done, and what.
    Failing { running: bool, why: Box<str> },
    /// All containers are ready, since when.
    Ready(DateTime<Utc>),
    /// Ended without an error.
    Succeeded,
    /// Ended with an error, or was evicted.
    Ended(Box<str>),
}

impl PodState {
    /// Whether its containers run.
    pub(super) fn is_running(&self) -> bool {
        matches!(
            self,
            Self::Ready(_) | Self::Starting { running: true } | Self::Failing { running: true, .. }
        )
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Ended(_))
    }
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

    /// How many parts are the same.
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

/// What of pods is of interest.
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
        let mut labels: Vec<Arc<str>> = Vec::new();
        for PodsFile {
            labels: own,
            revision_key,
            component,
            ..
        } in kinds.iter().map(|kind| &kind.pods)
        {
            let keys = own
                .iter()
                .map(|(key, _)| key)
                .chain(revision_key)
                .chain(component);
            labels.extend(keys.map(|key| Arc::from(key.as_str())));
        }
        labels.sort();
        labels.dedup();
        // Any program will do: a pod is its own component.
        let mut file = kinds.iter().find_map(|kind| kind.view.clone())?;
        file.container = kinds
            .iter()
            .filter_map(|kind| kind.view.as_ref())
            .flat_map(|view| view.container.clone())
            .collect();
        Some(Self {
            labels,
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

    /// A pod, and who controls it.
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
            state: state(&status, node.is_some()),
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

impl Pod {
    fn label(&self, key: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(name, _)| **name == *key)
            .map(|(_, value)| &**value)
    }

    /// Whether it has the labels that pods of a workload of that name have.
    pub(super) fn is_labelled(&self, file: &PodsFile, name: &str) -> bool {
        let matches = |(key, label): &(String, PodLabel)| {
            let value = self.label(key);
            match label {
                PodLabel::Name => value == Some(name),
                PodLabel::Any => value.is_some(),
                PodLabel::Is(wanted) => value == Some(wanted),
            }
        };
        file.labels.iter().all(matches)
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

    /// What tells it from pods of other generations.
    pub(super) fn key(&self, file: &PodsFile) -> Option<&str> {
        file.revision_key.iter().find_map(|key| self.label(key))
    }

    /// Which component it is of.
    pub(super) fn component(&self, file: &PodsFile) -> Option<&str> {
        file.component.as_ref().and_then(|key| self.label(key))
    }
}

fn state(status: &Value, scheduled: bool) -> PodState {
    let text = |value: &Value| value.as_str().map(one_line);
    let condition = |name: &str| {
        let all = status["conditions"].as_array().into_iter().flatten();
        all.into_iter().find(|condition| condition["type"] == name)
    };
    let phase = status["phase"].as_str().unwrap_or_default();
    if phase == "Succeeded" {
        return PodState::Succeeded;
    }
    if phase == "Failed" {
        let why = text(&status["message"]).or_else(|| text(&status["reason"]));
        return PodState::Ended(
            why.or_else(|| crash(status))
                .unwrap_or_else(|| "it failed".into()),
        );
    }
    if !scheduled {
        return PodState::Unscheduled(
            condition("PodScheduled").and_then(|condition| text(&condition["message"])),
        );
    }
    if let Some(ready) = condition("Ready").filter(|condition| condition["status"] == "True") {
        let since = ready["lastTransitionTime"]
            .as_str()
            .and_then(|time| time.parse().ok());
        return PodState::Ready(since.unwrap_or_default());
    }
    let running = phase == "Running";
    crash(status).map_or(PodState::Starting { running }, |why| PodState::Failing {
        running,
        why,
    })
}

/// What is wrong with the first container that cannot go on by itself.
fn crash(status: &Value) -> Option<Box<str>> {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let all = lists
        .iter()
        .filter_map(|list| status[*list].as_array())
        .flatten();
    all.into_iter().find_map(|container| {
        let name = container["name"].as_str().unwrap_or("?");
        let waiting = &container["state"]["waiting"];
        let reason = waiting["reason"].as_str().unwrap_or_default();
        let ended = [
            &container["state"]["terminated"],
            &container["lastState"]["terminated"],
        ];
        let code = ended
            .iter()
            .find_map(|ended| ended["exitCode"].as_i64())
            .filter(|code| *code != 0);
        let restarts = container["restartCount"].as_i64().unwrap_or_default();
        if FAILURES.contains(&reason) {
            let detail = match (code, waiting["message"].as_str()) {
                (Some(code), _) => format!("exit code {code}, {restarts} restarts"),
                (None, Some(message)) => message.to_owned(),
                (None, None) => return Some(format!("container {name}: {reason}").into()),
            };
            return Some(one_line(&format!("container {name}: {reason}: {detail}")));
        }
        // Between two crashes it runs; that is no recovery until it is ready.
        let crashed = container["ready"] != true && (restarts > 0 || ended[0].is_object());
        let code = code.filter(|_| crashed)?;
        Some(format!("container {name}: exit code {code}, {restarts} restarts").into())
    })
}

/// A message on one line, in at most [`MAX_MESSAGE`] characters.
pub(super) fn one_line(text: &str) -> Box<str> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&line, MAX_MESSAGE).into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::kinds::{Catalogue, Kind};
    use proptest::prelude::*;

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

    fn with(status: &Value) -> PodState {
        pruned(json!({"metadata": {"namespace": "n"}, "spec": {"nodeName": "a"}, "status": status}))
            .state
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
    fn states_are_told_apart() {
        let waiting = |reason: &str, message: Value| json!({"phase": "Pending", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": reason, "message": message}}}]});
        let failing = |running, why: &str| PodState::Failing {
            running,
            why: why.into(),
        };
        for (status, expected) in [
            (
                json!({"phase": "Pending"}),
                PodState::Starting { running: false },
            ),
            (
                json!({"phase": "Running"}),
                PodState::Starting { running: true },
            ),
            (json!({"phase": "Succeeded"}), PodState::Succeeded),
            (
                json!({"phase": "Failed", "reason": "Evicted", "message": "node was low on memory"}),
                PodState::Ended("node was low on memory".into()),
            ),
            (
                json!({"phase": "Failed"}),
                PodState::Ended("it failed".into()),
            ),
            (
                waiting("ContainerCreating", json!(null)),
                PodState::Starting { running: false },
            ),
            (
                waiting("ImagePullBackOff", json!("Back-off\n pulling \"x\"")),
                failing(
                    false,
                    "container c: ImagePullBackOff: Back-off pulling \"x\"",
                ),
            ),
            (
                waiting("InvalidImageName", json!(null)),
                failing(false, "container c: InvalidImageName"),
            ),
            (
                json!({"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}}]}),
                failing(
                    true,
                    "container c: CrashLoopBackOff: exit code 1, 3 restarts",
                ),
            ),
            (
                json!({"phase": "Running", "containerStatuses": [{"name": "c", "ready": false, "restartCount": 1, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 137}}}]}),
                failing(true, "container c: exit code 137, 1 restarts"),
            ),
            (json!("text"), PodState::Starting { running: false }),
            (
                json!({"conditions": {"type": "Ready"}, "containerStatuses": "x", "phase": 3}),
                PodState::Starting { running: false },
            ),
        ] {
            assert_eq!(with(&status), expected, "{status}");
        }
        let why = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.";
        let pending = json!({"metadata": {"namespace": "n"}, "spec": {}, "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": why}]}});
        assert_eq!(
            pruned(pending).state,
            PodState::Unscheduled(Some(why.into()))
        );
    }

    #[test]
    fn messages_are_cut() {
        let PodState::Ended(why) =
            with(&json!({"phase": "Failed", "message": "é".repeat(100_000)}))
        else {
            panic!("failed")
        };
        assert_eq!(why.chars().count(), MAX_MESSAGE);
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

    proptest! {
        #[test]
        fn any_status_is_a_state(text in "[\\[\\]{}\",:a-z0-9]{0,60}") {
            if let Ok(status) = serde_json::from_str(&text) {
                let _ = state(&status, true);
            }
        }
    }
}
