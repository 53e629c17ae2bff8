//! What differs between two states of a workload without meaning a change: notes of controllers, other words for the
//! same, another order. Pure.

use super::delta::{item_named, key_of, name};
use super::same::same_amount;
use serde_json::{Map, Value};

/// kubectl's copy of the manifest.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Annotations that controllers write into the workload itself, with their kind; `*` for all kinds.
const NOTES: &[(&str, &str)] = &[
    ("*", LAST_APPLIED),
    ("*", "revisor.dev/author"),
    ("Deployment", "deployment.kubernetes.io/revision"),
    ("Rollout", "rollout.argoproj.io/revision"),
    ("Rollout", "rollout.argoproj.io/workload-generation"),
    ("Service", "serving.knative.dev/creator"),
    ("Service", "serving.knative.dev/lastModifier"),
    ("LeaderWorkerSet", "leaderworkerset.sigs.k8s.io/replicas"),
    ("NIMService", "nvidia.com/last-applied-hash"),
    ("RayService", "ray.io/last-applied-configuration"),
];

/// Takes out the notes of controllers, and everything of the metadata that a snapshot does not have.
pub fn remove_notes(object: &mut Value) {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    metadata.retain(|key, _| {
        matches!(
            key.as_str(),
            "name" | "namespace" | "labels" | "annotations"
        )
    });
    let Some(annotations) = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    annotations.retain(|key, _| !is_note(&kind, key));
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

/// Whether an annotation is a note of the kind's own controller.
pub fn is_note(kind: &str, annotation: &str) -> bool {
    let is_known = |(of, key): &(&str, &str)| (*of == "*" || *of == kind) && *key == annotation;
    NOTES.iter().any(is_known)
}

/// Writes the later state in the words and the order of the earlier one where both mean the same. The lists whose order
/// alone differs, by their path.
pub fn align(before: &Value, after: &mut Value) -> Vec<String> {
    let mut aligner = Aligner::default();
    aligner.value("", before, after, false);
    aligner.reordered
}

#[derive(Default)]
struct Aligner {
    reordered: Vec<String>,
}

impl Aligner {
    fn value(&mut self, path: &str, before: &Value, after: &mut Value, is_amount: bool) {
        match (before, after) {
            (Value::Object(old), Value::Object(new)) => self.fields(path, old, new),
            (Value::Array(old), Value::Array(new)) => self.items(path, old, new),
            (old, new) if is_amount && same_amount(old, new) => *new = old.clone(),
            _ => {}
        }
    }

    fn fields(&mut self, path: &str, old: &Map<String, Value>, new: &mut Map<String, Value>) {
        let holds_amounts = [".limits", ".requests"]
            .iter()
            .any(|end| path.ends_with(end));
        new.retain(|key, value| old.contains_key(key) || !is_nothing(value));
        for (key, value) in old {
            match new.get_mut(key) {
                Some(after) => self.value(&below(path, key), value, after, holds_amounts),
                None if is_nothing(value) => {
                    new.insert(key.clone(), value.clone());
                }
                None => {}
            }
        }
    }

    fn items(&mut self, path: &str, old: &[Value], new: &mut [Value]) {
        let key = key_of(old).filter(|key| key_of(new) == Some(*key));
        let Some(key) = key.filter(|_| !old.is_empty()) else {
            for (before, after) in old.iter().zip(new.iter_mut()) {
                self.value(&below(path, "[]"), before, after, false);
            }
            return;
        };
        let mut is_moved = false;
        if old.len() == new.len() && new.iter().all(|it| is_in(old, key, it)) {
            let place = |item: &Value| old.iter().position(|it| name(it, key) == name(item, key));
            is_moved = !new.is_sorted_by_key(place);
            new.sort_by_key(place);
        }
        if is_moved {
            self.reordered.push(path.to_owned());
        }
        for after in new.iter_mut() {
            let wanted = name(after, key).unwrap_or_default().to_owned();
            if let Some(before) = item_named(old, key, &wanted) {
                self.value(&format!("{path}[{wanted}]"), before, after, false);
            }
        }
    }
}

fn is_in(list: &[Value], key: &str, item: &Value) -> bool {
    name(item, key).is_some_and(|name| item_named(list, key, name).is_some())
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Whether a field with this value means the same as no field.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn notes_of_controllers_go_and_those_of_people_stay() {
        let mut object = json!({
            "kind": "Deployment", "status": {}, "spec": {},
            "metadata": {"name": "x", "uid": "u", "managedFields": [], "annotations": {
                LAST_APPLIED: "{}", "deployment.kubernetes.io/revision": "3", "kubernetes.io/change-cause": "why"}},
        });
        remove_notes(&mut object);
        assert_eq!(
            object,
            json!({"kind": "Deployment", "spec": {}, "metadata": {"name": "x", "annotations": {"kubernetes.io/change-cause": "why"}}})
        );
        let mut other = json!({"kind": "StatefulSet", "metadata": {"annotations": {"deployment.kubernetes.io/revision": "3"}}});
        let whole = other.clone();
        remove_notes(&mut other);
        assert_eq!(other, whole);
        let mut bare =
            json!({"kind": "Deployment", "metadata": {"annotations": {LAST_APPLIED: "{}"}}});
        remove_notes(&mut bare);
        assert_eq!(bare["metadata"], json!({}));
    }

    #[test]
    fn other_words_and_another_order_are_no_difference() {
        let before = json!({"spec": {"c": [{"name": "a", "resources": {"requests": {"cpu": "1000m", "nvidia.com/gpu": "1"}}, "args": ["1"]}, {"name": "b"}], "volumes": null}});
        let mut after = json!({"spec": {"c": [{"name": "b"}, {"name": "a", "resources": {"requests": {"cpu": "1", "nvidia.com/gpu": 1}, "limits": {}}, "args": ["2"]}], "nodeSelector": {}}});
        assert_eq!(align(&before, &mut after), ["spec.c"]);
        let mut expected = before.clone();
        expected["spec"]["c"][0]["args"] = json!(["2"]);
        assert_eq!(after, expected);
    }

    #[test]
    fn what_differs_stays_as_it_is() {
        let before = json!({"spec": {"c": [{"name": "a"}, {"name": "b"}], "limits": {"cpu": "1"}, "v": "1000m"}});
        let after = json!({"spec": {"c": [{"name": "b"}, {"name": "x"}], "limits": {"cpu": "2"}, "v": "1", "on": false}});
        let mut aligned = after.clone();
        assert!(align(&before, &mut aligned).is_empty());
        assert_eq!(aligned, after);
    }
}
