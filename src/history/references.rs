//! The objects that a workload refers to by name, which may be gone when it is rolled back. Pure.

use serde_json::Value;
use std::collections::BTreeSet;

/// An object that a workload needs in its own namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The kind, as people call it.
    pub kind: &'static str,
    /// The name.
    pub name: String,
}

/// Fields of pod specs that hold an object with a name in it.
const BY_OBJECT: &[(&str, &str, &str)] = &[
    ("configMap", "name", "ConfigMap"),
    ("configMapRef", "name", "ConfigMap"),
    ("configMapKeyRef", "name", "ConfigMap"),
    ("secret", "secretName", "Secret"),
    ("secretRef", "name", "Secret"),
    ("secretKeyRef", "name", "Secret"),
    (
        "persistentVolumeClaim",
        "claimName",
        "PersistentVolumeClaim",
    ),
];

/// What a workload refers to: in pod specs wherever they stand, and the runtime of an InferenceService.
pub fn references(object: &Value) -> BTreeSet<Reference> {
    let mut all = BTreeSet::new();
    walk(&object["spec"], &mut all, 0);
    if object["kind"] == "InferenceService"
        && let Some(name) = object
            .pointer("/spec/predictor/model/runtime")
            .and_then(Value::as_str)
    {
        add(&mut all, "ServingRuntime", Some(name));
    }
    all
}

/// Definitions are not nested deeper.
const MAX_DEPTH: usize = 64;

fn walk(value: &Value, all: &mut BTreeSet<Reference>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, all, depth + 1)),
        Value::Object(fields) => {
            for (key, field) in fields {
                for (name, inner, kind) in BY_OBJECT {
                    if key == name && field["optional"] != true {
                        add(all, kind, field[inner].as_str());
                    }
                }
                match key.as_str() {
                    "serviceAccountName" => add(all, "ServiceAccount", field.as_str()),
                    "imagePullSecrets" => {
                        let names = field.as_array().into_iter().flatten();
                        names.for_each(|it| add(all, "Secret", it["name"].as_str()));
                    }
                    // A projected source has its name beside its items.
                    "sources" => {
                        let sources = field.as_array().into_iter().flatten();
                        for secret in sources
                            .map(|it| &it["secret"])
                            .filter(|it| it["optional"] != true)
                        {
                            add(all, "Secret", secret["name"].as_str());
                        }
                    }
                    _ => {}
                }
                walk(field, all, depth + 1);
            }
        }
        _ => {}
    }
}

fn add(all: &mut BTreeSet<Reference>, kind: &'static str, name: Option<&str>) {
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        let name = name.to_owned();
        all.insert(Reference { kind, name });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_place_of_a_pod_spec_that_names_an_object_is_found() {
        let pod = json!({
            "serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
            "volumes": [
                {"configMap": {"name": "cm"}}, {"secret": {"secretName": "s"}}, {"persistentVolumeClaim": {"claimName": "pvc"}},
                {"configMap": {"name": "no", "optional": true}},
                {"projected": {"sources": [{"secret": {"name": "ps"}}, {"configMap": {"name": "pcm"}}]}}],
            "containers": [{
                "env": [{"valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}, {"valueFrom": {"configMapKeyRef": {"name": "env"}}}],
                "envFrom": [{"secretRef": {"name": "all"}}, {"configMapRef": {"name": "maybe", "optional": true}}]}],
        });
        let found =
            references(&json!({"kind": "X", "spec": {"deep": {"template": {"spec": pod}}}}));
        let names: Vec<_> = found
            .iter()
            .map(|it| format!("{}/{}", it.kind, it.name))
            .collect();
        assert_eq!(
            names,
            [
                "ConfigMap/cm",
                "ConfigMap/env",
                "ConfigMap/pcm",
                "PersistentVolumeClaim/pvc",
                "Secret/all",
                "Secret/key",
                "Secret/ps",
                "Secret/pull",
                "Secret/s",
                "ServiceAccount/sa"
            ]
        );
        let service = json!({"kind": "InferenceService", "spec": {"predictor": {"model": {"runtime": "vllm"}}}});
        assert_eq!(
            references(&service).first().map(|it| it.kind),
            Some("ServingRuntime")
        );
    }
}
