//! What a pod asks for, as the scheduler and the kubelet count it. Pure; odd shapes count as absent.

use crate::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// Amounts by resource name.
pub(super) type Amounts = BTreeMap<String, Quantity>;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// What is reserved; limits stand for requests that are not given.
    Requests,
    /// What may not be exceeded.
    Limits,
}

/// Containers and sidecars together, or the largest init container; the pod's own resources stand in place of what the
/// containers say (`k8s.io/component-helpers/resource`).
pub(super) fn of_pod(spec: &Value, bound: Bound) -> Amounts {
    let mut all = of_containers(spec, |container| of_container(container, bound));
    for (name, amount) in of_pod_level(spec, bound) {
        all.insert(name, amount);
    }
    for (name, amount) in amounts(&spec["overhead"]) {
        let is_bounded = bound == Bound::Requests || all.contains_key(&name);
        if is_bounded {
            add_one(&mut all, &name, amount);
        }
    }
    all
}

fn of_containers(spec: &Value, of: impl Fn(&Value) -> Amounts) -> Amounts {
    let listed = |list: &str| spec[list].as_array().into_iter().flatten();
    let mut running = Amounts::new();
    for container in listed("containers") {
        add(&mut running, &of(container));
    }
    let mut sidecars = Amounts::new();
    let mut starting = Amounts::new();
    for container in listed("initContainers") {
        let own = of(container);
        if container["restartPolicy"] == "Always" {
            add(&mut sidecars, &own);
            most(&mut starting, &sidecars);
        } else {
            let mut now = sidecars.clone();
            add(&mut now, &own);
            most(&mut starting, &now);
        }
    }
    add(&mut running, &sidecars);
    most(&mut running, &starting);
    running
}

/// The pod's own resources. A limit without a request is one too, unless a container asks for the resource: then the
/// containers together are (`SetDefaults_Pod`).
fn of_pod_level(spec: &Value, bound: Bound) -> Amounts {
    let own = |part: &str| {
        let mut own = amounts(&spec["resources"][part]);
        own.retain(|name, _| is_pod_level(name));
        own
    };
    if bound == Bound::Limits {
        return own("limits");
    }
    let asked = of_containers(spec, |container| of_container(container, Bound::Requests));
    let mut all = own("limits");
    all.retain(|name, _| !asked.contains_key(name));
    all.extend(own("requests"));
    all
}

/// Whether a pod may ask for the resource beside its containers.
fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// What one container asks for.
pub(super) fn of_container(container: &Value, bound: Bound) -> Amounts {
    let mut all = amounts(&container["resources"]["limits"]);
    if bound == Bound::Requests {
        all.extend(amounts(&container["resources"]["requests"]));
    }
    all
}

pub(super) fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        add_one(to, name, *amount);
    }
}

pub(super) fn add_one(to: &mut Amounts, name: &str, amount: Quantity) {
    let sum = to.get(name).copied().unwrap_or_default() + amount;
    to.insert(name.to_owned(), sum);
}

fn most(of: &mut Amounts, and: &Amounts) {
    for (name, amount) in and {
        let largest = of
            .get(name)
            .copied()
            .map_or(*amount, |present| present.max(*amount));
        of.insert(name.clone(), largest);
    }
}

/// A map of quantities; what is none is left out.
fn amounts(map: &Value) -> Amounts {
    let entries = map.as_object().into_iter().flatten();
    entries
        .filter_map(|(name, value)| Some((name.clone(), amount(value)?)))
        .collect()
}

fn amount(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text),
        Value::Number(number) => Quantity::parse(&number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(spec: &Value, bound: Bound) -> String {
        let all = of_pod(spec, bound);
        let all: Vec<_> = all
            .iter()
            .map(|(name, it)| format!("{name}={it}"))
            .collect();
        all.join(",")
    }

    #[test]
    fn a_pods_own_resources_stand_for_those_of_its_containers() {
        let pod = |own: Value| {
            json!({"resources": own, "overhead": {"cpu": "100m", "memory": "1Gi"}, "containers": [
                {"resources": {"requests": {"cpu": "2"}, "limits": {"nvidia.com/gpu": "1"}}},
                {"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}}}]})
        };
        for (own, requests, limits) in [
            (
                json!({"requests": {"cpu": "8", "memory": "64Gi"}, "limits": {"cpu": "16"}}),
                "cpu=8100m,memory=65Gi,nvidia.com/gpu=1",
                "cpu=16100m,nvidia.com/gpu=1",
            ),
            (
                json!({"limits": {"cpu": "16", "memory": "4Gi", "nvidia.com/gpu": "9"}}),
                "cpu=3100m,memory=5Gi,nvidia.com/gpu=1",
                "cpu=16100m,memory=5Gi,nvidia.com/gpu=1",
            ),
            (
                json!(null),
                "cpu=3100m,memory=1Gi,nvidia.com/gpu=1",
                "cpu=3100m,nvidia.com/gpu=1",
            ),
        ] {
            let spec = pod(own);
            assert_eq!(shown(&spec, Bound::Requests), requests, "{spec}");
            assert_eq!(shown(&spec, Bound::Limits), limits, "{spec}");
        }
    }
}
