//! What a pod template says: containers, environment, resources, node pools. Pure; odd shapes count as absent.

use super::resources::{self, Amounts, Bound};
use crate::kinds::select::GPU_FRACTIONS;
use crate::kinds::{GPU_MEMORY, Hardware, Shape};
use crate::quantity::Quantity;
use crate::redact::Names;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;

/// All that is read of a pod template.
pub(super) const SHAPE: Shape = Shape::Fields(&[
    (
        "metadata",
        Shape::Fields(&[("annotations", Shape::Whole), ("labels", Shape::Whole)]),
    ),
    (
        "spec",
        Shape::Fields(&[
            ("containers", CONTAINER),
            ("initContainers", CONTAINER),
            ("nodeSelector", Shape::Whole),
            ("affinity", Shape::Fields(&[("nodeAffinity", Shape::Whole)])),
            ("overhead", Shape::Whole),
            ("resources", Shape::Whole),
            ("resourceClaims", Shape::Whole),
            (
                "volumes",
                Shape::Fields(&[("image", Shape::Fields(&[("reference", Shape::Whole)]))]),
            ),
        ]),
    ),
]);

const CONTAINER: Shape = Shape::Fields(&[
    ("name", Shape::Whole),
    ("image", Shape::Whole),
    ("command", Shape::Whole),
    ("args", Shape::Whole),
    ("env", Shape::Whole),
    ("envFrom", Shape::Whole),
    ("resources", Shape::Whole),
    ("restartPolicy", Shape::Whole),
]);

/// Annotation with an ordered, space-separated list of pools.
const POOLS: &str = "kai.scheduler/node-pools";
/// What a fraction of a GPU is counted as.
const GPU: &str = "nvidia.com/gpu";

/// A pod template: metadata and spec.
#[derive(Clone, Copy)]
pub(super) struct PodTemplate<'a> {
    template: &'a Value,
    hardware: &'a Hardware,
}

impl<'a> PodTemplate<'a> {
    pub(super) fn new(template: &'a Value, hardware: &'a Hardware) -> Self {
        Self { template, hardware }
    }

    fn spec(self) -> &'a Value {
        &self.template["spec"]
    }

    fn annotation(self, key: &str) -> Option<&'a str> {
        self.template["metadata"]["annotations"][key].as_str()
    }

    fn listed(self, list: &str) -> impl Iterator<Item = &'a Value> {
        let items = self.spec()[list].as_array().into_iter().flatten();
        items.filter(|item| item.is_object())
    }

    /// All containers, the main one first: that of one of `names`, else the one that kubectl is told to take, else the
    /// first that asks for an accelerator.
    pub(super) fn containers(self, names: &[String]) -> Vec<&'a Value> {
        let mut all: Vec<_> = self.listed("containers").collect();
        let default = self.annotation("kubectl.kubernetes.io/default-container");
        let mut wanted = names.iter().map(String::as_str).chain(default);
        let named =
            wanted.find_map(|name| all.iter().position(|container| container["name"] == name));
        let shared = self.annotation("gpu-fraction-container-name");
        let accelerated = |container: &&Value| {
            shared.is_some_and(|name| container["name"] == name) || self.is_accelerated(container)
        };
        let main = named.or_else(|| all.iter().position(accelerated));
        if let Some(main) = main {
            all[..=main].rotate_right(1);
        }
        all
    }

    pub(super) fn init_containers(self) -> impl Iterator<Item = &'a Value> {
        self.listed("initContainers")
    }

    /// Images that are mounted as volumes.
    pub(super) fn image_volumes(self) -> impl Iterator<Item = &'a str> {
        self.listed("volumes")
            .filter_map(|volume| volume["image"]["reference"].as_str())
    }

    /// Whether it asks for accelerators: by resource, by claim or by annotation.
    pub(super) fn has_accelerators(self) -> bool {
        self.listed("containers")
            .any(|container| self.is_accelerated(container))
            || has_items(&self.spec()["resourceClaims"])
            || GPU_FRACTIONS
                .iter()
                .any(|key| self.annotation(key).is_some())
    }

    fn is_accelerated(self, container: &Value) -> bool {
        let asks = resources::of_container(container, Bound::Requests);
        let mut asks = asks.iter();
        asks.any(|(name, amount)| !amount.is_zero() && self.hardware.is_accelerator(name))
            || has_items(&container["resources"]["claims"])
    }

    /// The claims by which it asks for devices (dynamic resource allocation): how many those are stands elsewhere. Each
    /// by the name of its template, of itself, or the one that it has in the pod.
    pub(super) fn claims(self) -> Vec<&'a str> {
        let mut named: Vec<(&str, &str)> = Vec::new();
        for claim in self.listed("resourceClaims") {
            let own = claim["name"].as_str().unwrap_or_default();
            let elsewhere = ["resourceClaimTemplateName", "resourceClaimName"]
                .iter()
                .find_map(|field| claim[*field].as_str());
            named.push((own, elsewhere.unwrap_or(own)));
        }
        for container in self.listed("containers") {
            let claims = container["resources"]["claims"].as_array();
            for claim in claims.into_iter().flatten() {
                let own = claim["name"].as_str().unwrap_or_default();
                if !named.iter().any(|(name, _)| *name == own) {
                    named.push((own, own));
                }
            }
        }
        let mut names: Vec<_> = named.into_iter().map(|(_, name)| name).collect();
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(*name));
        names
    }

    /// What the scheduler reserves for one pod.
    pub(super) fn requests(self) -> Amounts {
        self.amounts(Bound::Requests)
    }

    /// What one pod may not exceed.
    pub(super) fn limits(self) -> Amounts {
        self.amounts(Bound::Limits)
    }

    fn amounts(self, bound: Bound) -> Amounts {
        let mut all = resources::of_pod(self.spec(), bound);
        self.fractions(&mut all);
        all.retain(|_, amount| !amount.is_zero());
        all
    }

    /// Parts of GPUs are asked for by annotation (KAI scheduler, Run:ai).
    fn fractions(self, amounts: &mut Amounts) {
        let devices = self
            .annotation("gpu-fraction-num-devices")
            .and_then(|n| n.trim().parse::<i64>().ok())
            .unwrap_or(1);
        if let Some(fraction) = self.annotation("gpu-fraction").and_then(Quantity::parse) {
            amounts.insert(GPU.to_owned(), fraction * devices);
        }
        if let Some(memory) = self.annotation("gpu-memory") {
            let amount = memory
                .trim()
                .parse::<i64>()
                .ok()
                .map(Quantity::mebibytes)
                .or_else(|| Quantity::parse(memory));
            if let Some(amount) = amount {
                amounts.insert(GPU_MEMORY.to_owned(), amount * devices);
            }
        }
    }

    /// Node pools by annotation, else required affinity, else selector, else label.
    pub(super) fn node_pools(self) -> Vec<String> {
        if let Some(listed) = self.annotation(POOLS) {
            return listed.split_whitespace().map(str::to_owned).collect();
        }
        let required = &self.spec()["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let terms = required["nodeSelectorTerms"].as_array();
        let named = terms
            .into_iter()
            .flatten()
            .filter_map(|term| term["matchExpressions"].as_array())
            .flatten()
            .filter(|expression| self.names_pools(expression))
            .filter_map(|expression| expression["values"].as_array())
            .flatten()
            .filter_map(Value::as_str)
            .filter(|pool| !pool.is_empty());
        let mut pools = Vec::new();
        for pool in named {
            if !pools.iter().any(|known| known == pool) {
                pools.push(pool.to_owned());
            }
        }
        if pools.is_empty() {
            let selected = self.labelled(&self.spec()["nodeSelector"]);
            let labelled = || self.labelled(&self.template["metadata"]["labels"]);
            pools.extend(selected.or_else(labelled));
        }
        pools
    }

    fn labelled(self, labels: &Value) -> Option<String> {
        let keys = self.hardware.node_pool_labels.iter();
        let mut pools = keys.filter_map(|key| labels[key.as_str()].as_str());
        pools.find(|pool| !pool.is_empty()).map(str::to_owned)
    }

    /// Whether a node selector's expression asks for node pools.
    fn names_pools(self, expression: &Value) -> bool {
        let key = expression["key"].as_str();
        let is_pool = |key: &str| {
            self.hardware
                .node_pool_labels
                .iter()
                .any(|label| label == key)
        };
        expression["operator"] == "In" && key.is_some_and(is_pool)
    }
}

fn has_items(list: &Value) -> bool {
    list.as_array().is_some_and(|items| !items.is_empty())
}

/// One environment variable, fit to be seen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variable<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
}

/// The path of a part of a container, as the configuration has it.
pub(super) fn path<'a>(container: &'a Value, part: &[&'a str]) -> Vec<&'a str> {
    let name = container["name"].as_str().unwrap_or_default();
    [&["containers", name], part].concat()
}

/// The environment of a container; of a name that comes twice the last counts, as in the kubelet. Values from
/// elsewhere are shown as where they are, never as what they are.
pub(super) fn environment<'a>(container: &'a Value, names: &Names) -> Vec<Variable<'a>> {
    let mut all: Vec<Variable<'a>> = Vec::new();
    let mut seen = HashSet::new();
    for variable in container["env"].as_array().into_iter().flatten().rev() {
        let Some(name) = variable["name"].as_str().filter(|name| seen.insert(*name)) else {
            continue;
        };
        let is_plain = names.is_plain_path(&path(container, &["env", name, "value"]));
        let value = match (&variable["value"], &variable["valueFrom"]) {
            (_, Value::Object(_)) => reference(&variable["valueFrom"]).into(),
            (Value::String(text), _) if is_plain => text.into(),
            (Value::String(text), _) => names.value(name, text),
            (Value::Null, _) => "".into(),
            (other, _) => names.value(name, &other.to_string()).into_owned().into(),
        };
        all.push(Variable {
            name: name.into(),
            value,
        });
    }
    for source in container["envFrom"].as_array().into_iter().flatten().rev() {
        let prefix = source["prefix"].as_str().unwrap_or_default();
        for (field, kind) in [("secretRef", "secret"), ("configMapRef", "configmap")] {
            if let Some(name) = source[field]["name"].as_str() {
                all.push(Variable {
                    name: format!("{prefix}*").into(),
                    value: format!("from {kind} {name}").into(),
                });
            }
        }
    }
    all.reverse();
    all
}

fn reference(from: &Value) -> String {
    for (field, kind) in [("secretKeyRef", "secret"), ("configMapKeyRef", "configmap")] {
        let key = &from[field];
        if key.is_object() {
            return format!("from {kind} {}/{}", text(&key["name"]), text(&key["key"]));
        }
    }
    if from["fieldRef"].is_object() {
        return format!("from field {}", text(&from["fieldRef"]["fieldPath"]));
    }
    if from["resourceFieldRef"].is_object() {
        let resource = text(&from["resourceFieldRef"]["resource"]);
        return format!("from resource {resource}");
    }
    "from elsewhere".to_owned()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(template: &Value) -> Vec<(String, String)> {
        PodTemplate::new(template, &Hardware::default())
            .requests()
            .into_iter()
            .map(|(name, amount)| (name, amount.to_string()))
            .collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected
            .iter()
            .map(|(name, amount)| ((*name).to_owned(), (*amount).to_owned()))
            .collect()
    }

    #[test]
    fn requests_are_what_the_scheduler_reserves() {
        let limits_only = json!({"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": 4, "cpu": "2"}}}]}});
        assert_eq!(
            shown(&limits_only),
            pairs(&[("cpu", "2"), ("nvidia.com/gpu", "4")])
        );
        let mixed = json!({"spec": {"overhead": {"cpu": "100m"},
            "initContainers": [
                {"resources": {"requests": {"cpu": "500m"}}, "restartPolicy": "Always"},
                {"resources": {"requests": {"cpu": "4", "memory": "1Gi"}}}],
            "containers": [
                {"resources": {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"cpu": "9"}}},
                {"resources": {"requests": {"memory": "0.25Gi", "x": "?"}, "limits": {"nvidia.com/mig-1g.5gb": "1"}}}]}});
        let expected = pairs(&[
            ("cpu", "4600m"),
            ("memory", "1Gi"),
            ("nvidia.com/mig-1g.5gb", "1"),
        ]);
        assert_eq!(shown(&mixed), expected);
    }

    #[test]
    fn parts_of_gpus_come_from_annotations() {
        let part = |annotations: Value| shown(&json!({"metadata": {"annotations": annotations}}));
        assert_eq!(
            part(json!({"gpu-fraction": "0.5"})),
            pairs(&[("nvidia.com/gpu", "500m")])
        );
        assert_eq!(
            part(json!({"gpu-fraction": "0.25", "gpu-fraction-num-devices": "2"})),
            pairs(&[("nvidia.com/gpu", "500m")])
        );
        assert_eq!(
            part(json!({"gpu-memory": "4096"})),
            pairs(&[("gpu-memory", "4Gi")])
        );
        assert_eq!(part(json!({"gpu-fraction": "half"})), pairs(&[]));
    }

    #[test]
    fn node_pools_have_an_order_of_sources() {
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kai.scheduler/node-pool", "operator": "In", "values": ["h100", "a100", "h100"]},
                                  {"key": "kai.scheduler/node-pool", "operator": "NotIn", "values": ["t4"]}]}]}}});
        let selector = json!({"runai/node-pool": "l40"});
        let pools =
            |template: Value| PodTemplate::new(&template, &Hardware::default()).node_pools();
        assert_eq!(
            pools(
                json!({"metadata": {"annotations": {"kai.scheduler/node-pools": "a  b"}}, "spec": {"affinity": affinity}})
            ),
            ["a", "b"]
        );
        assert_eq!(
            pools(json!({"spec": {"affinity": affinity, "nodeSelector": selector}})),
            ["h100", "a100"]
        );
        assert_eq!(pools(json!({"spec": {"nodeSelector": selector}})), ["l40"]);
        assert!(pools(json!({"spec": "x"})).is_empty());
    }

    #[test]
    fn environments_show_where_values_come_from() {
        let container = json!({"envFrom": [{"prefix": "P_", "secretRef": {"name": "s"}}, {"configMapRef": {"name": "c"}}],
            "env": [{"name": "A", "value": "1"}, {"name": "HF_TOKEN", "value": "hf_x"},
                {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "A", "value": "2"}, {"name": "E"}, {"value": "x"}, 3, {"name": "NUM", "value": 7}]});
        let all = environment(&container, &Names::default());
        let all: Vec<_> = all.iter().map(|v| (&*v.name, &*v.value)).collect();
        assert_eq!(
            all,
            [
                ("P_*", "from secret s"),
                ("*", "from configmap c"),
                ("HF_TOKEN", "[redacted]"),
                ("K", "from secret s/k"),
                ("N", "from field spec.nodeName"),
                ("A", "2"),
                ("E", ""),
                ("NUM", "7"),
            ]
        );
    }
}
