//! metadata.managedFields after a rollback: fields that it brought back go to the manager that applies the workload, so
//! that its next apply can remove them again. Pure.
//!
//! Fields that the rollback changed stay its own: they are what a next server-side apply conflicts with, so that nothing
//! is undone silently.

use super::delta::{Step, changes};
use serde_json::{Map, Value};

/// The field manager of the plugin.
pub const MANAGER: &str = "kubectl-revisor";

/// What can be handed back.
#[derive(Clone, Debug, PartialEq)]
pub enum HandBack {
    /// Nobody applies the workload, or the rollback brought nothing back.
    Nothing,
    /// The new managedFields, and the manager that gets the fields.
    Fields(Value, String),
    /// Several managers apply the workload, and it is not known whose the fields were.
    Unclear(Vec<String>),
}

/// The managedFields of `after`, the answer to the rollback, with the fields that `before` did not have handed back.
pub fn hand_back(before: &Value, after: &Value) -> HandBack {
    let Some(entries) = after
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
    else {
        return HandBack::Nothing;
    };
    let Some(own) = entries.iter().position(is_own) else {
        return HandBack::Nothing;
    };
    let (moved, kept) = split(&entries[own]["fieldsV1"], Some(before));
    if moved.is_empty() {
        return HandBack::Nothing;
    }
    let target = match target(entries, &entries[own]["apiVersion"]) {
        Ok(Some(target)) => target,
        Ok(None) => return HandBack::Nothing,
        Err(managers) => return HandBack::Unclear(managers),
    };
    let manager = entries[target]["manager"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut entries = entries.clone();
    if let Some(fields) = entries[target]["fieldsV1"].as_object_mut() {
        unite(fields, moved);
    }
    if kept.is_empty() {
        entries.remove(own);
    } else {
        entries[own]["fieldsV1"] = Value::Object(kept);
    }
    HandBack::Fields(Value::Array(entries), manager)
}

/// The managers of a field, with their subresources.
pub fn owners(object: &Value, path: &[Step]) -> Vec<String> {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let owns = |entry: &&Value| {
        let mut fields = &entry["fieldsV1"];
        path.iter()
            .all(|step| match fields.get(path_element(step)) {
                Some(below) => {
                    fields = below;
                    true
                }
                None => false,
            })
    };
    let named = |entry: &Value| {
        let manager = entry["manager"].as_str().unwrap_or_default();
        match entry["subresource"].as_str() {
            Some(sub) if !sub.is_empty() => format!("{manager} (/{sub})"),
            _ => manager.to_owned(),
        }
    };
    entries
        .into_iter()
        .flatten()
        .filter(owns)
        .map(named)
        .collect()
}

/// The name of a step in fieldsV1.
fn path_element(step: &Step) -> String {
    match step {
        Step::Key(key) => format!("f:{key}"),
        Step::Item(key, name) => format!("k:{}", serde_json::json!({ *key: name })),
    }
}

/// The manager that made one state of an object from another: the owner of a changed field, else the newest writer.
pub fn writer_since(before: &Value, now: &Value) -> Option<String> {
    let all = changes(&before["spec"], &now["spec"]);
    let owner = all.iter().find_map(|change| {
        let mut path = vec![Step::Key("spec".to_owned())];
        path.extend(change.path.iter().cloned());
        owners(now, &path).pop()
    });
    owner.or_else(|| last_writer(now))
}

/// The manager of the newest entry for the workload itself.
fn last_writer(object: &Value) -> Option<String> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    let newest = entries
        .iter()
        .filter(|entry| entry["subresource"] != "status")
        .max_by_key(|entry| entry["time"].as_str().unwrap_or_default())?;
    newest["manager"].as_str().map(str::to_owned)
}

fn is_own(entry: &Value) -> bool {
    entry["manager"] == MANAGER && entry["operation"] == "Update" && is_plain(entry)
}

fn is_plain(entry: &Value) -> bool {
    entry["subresource"].as_str().unwrap_or_default().is_empty()
}

/// The entry that gets the fields: the one of server-side apply, else the one of client-side apply.
fn target(entries: &[Value], version: &Value) -> Result<Option<usize>, Vec<String>> {
    let fits = |entry: &Value| is_plain(entry) && entry["apiVersion"] == *version;
    let applies: Vec<_> = (0..entries.len())
        .filter(|at| entries[*at]["operation"] == "Apply" && fits(&entries[*at]))
        .collect();
    match applies.as_slice() {
        [one] => Ok(Some(*one)),
        [] => Ok(entries.iter().position(|entry| {
            entry["manager"] == "kubectl-client-side-apply"
                && entry["operation"] == "Update"
                && fits(entry)
        })),
        several => {
            let kubectl = several
                .iter()
                .find(|at| entries[**at]["manager"] == "kubectl");
            let name = |at: &usize| {
                entries[*at]["manager"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            kubectl
                .map(|at| Some(*at))
                .ok_or_else(|| several.iter().map(name).collect())
        }
    }
}

/// Fields that `before` did not have, and the others.
fn split(fields: &Value, before: Option<&Value>) -> (Map<String, Value>, Map<String, Value>) {
    let mut moved = Map::new();
    let mut kept = Map::new();
    for (key, below) in fields.as_object().into_iter().flatten() {
        if key == "." {
            kept.insert(key.clone(), below.clone());
            continue;
        }
        let Some(value) = before.and_then(|before| element(before, key)) else {
            moved.insert(key.clone(), below.clone());
            continue;
        };
        let (more, rest) = split(below, Some(value));
        if !more.is_empty() {
            moved.insert(key.clone(), Value::Object(more));
        }
        let is_leaf = below.as_object().is_none_or(Map::is_empty);
        if is_leaf || !rest.is_empty() {
            kept.insert(key.clone(), Value::Object(rest));
        }
    }
    (moved, kept)
}

/// The part of a value that a path element of fieldsV1 names.
fn element<'v>(value: &'v Value, element: &str) -> Option<&'v Value> {
    let (kind, name) = element.split_once(':')?;
    match kind {
        "f" => value.get(name),
        "i" => value.get(name.parse::<usize>().ok()?),
        "v" => {
            let wanted: Value = serde_json::from_str(name).ok()?;
            value.as_array()?.iter().find(|item| **item == wanted)
        }
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(name).ok()?;
            let is_meant =
                |item: &&Value| keys.iter().all(|(key, value)| item.get(key) == Some(value));
            value.as_array()?.iter().find(is_meant)
        }
        _ => None,
    }
}

fn unite(into: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(there)), Value::Object(value)) => unite(there, value),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsV1": fields})
    }

    fn before() -> Value {
        json!({"metadata": {"annotations": {"c": "1"}}, "spec": {"c": [{"name": "m", "image": "2", "ports": [80]}]}})
    }

    fn rolled_back() -> Value {
        let env = json!({".": {}, "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}});
        json!({
            "f:metadata": {"f:annotations": {"f:c": {}}},
            "f:spec": {"f:c": {
                "k:{\"name\":\"m\"}": {"f:image": {}, "f:env": env, "f:ports": {"v:80": {}, "v:81": {}}},
                "k:{\"name\":\"old\"}": {".": {}, "f:name": {}},
            }},
        })
    }

    #[test]
    fn fields_that_came_back_go_to_the_applier_and_changed_ones_stay() {
        let applied = json!({"f:spec": {"f:c": {"k:{\"name\":\"m\"}": {"f:name": {}}}}});
        let after = json!({"metadata": {"managedFields": [
            entry("kubectl", "Apply", &applied), entry(MANAGER, "Update", &rolled_back())]}});
        let HandBack::Fields(entries, manager) = hand_back(&before(), &after) else {
            panic!("fields");
        };
        assert_eq!(manager, "kubectl");
        let m = |at: usize| entries[at]["fieldsV1"]["f:spec"]["f:c"]["k:{\"name\":\"m\"}"].clone();
        let keys = |value: &Value| {
            value
                .as_object()
                .expect("fields")
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(&m(0)), ["f:env", "f:name", "f:ports"]);
        assert_eq!(keys(&m(0)["f:ports"]), ["v:81"]);
        assert_eq!(m(1), json!({"f:image": {}, "f:ports": {"v:80": {}}}));
        assert!(
            entries[0]["fieldsV1"]["f:spec"]["f:c"]
                .get("k:{\"name\":\"old\"}")
                .is_some()
        );
        assert_eq!(
            entries[1]["fieldsV1"]["f:metadata"],
            rolled_back()["f:metadata"]
        );
    }

    #[test]
    fn the_receiver_has_to_be_clear() {
        let own = || entry(MANAGER, "Update", &json!({"f:spec": {"f:new": {}}}));
        let hand = |others: Vec<Value>| {
            let all: Vec<_> = others.into_iter().chain([own()]).collect();
            hand_back(&before(), &json!({"metadata": {"managedFields": all}}))
        };
        let other = |manager: &str, operation: &str| entry(manager, operation, &json!({}));
        assert_eq!(hand(vec![]), HandBack::Nothing);
        assert_eq!(
            hand(vec![other("a", "Apply"), other("b", "Apply")]),
            HandBack::Unclear(vec!["a".to_owned(), "b".to_owned()])
        );
        for clear in [
            vec![other("a", "Apply"), other("kubectl", "Apply")],
            vec![other("kubectl-client-side-apply", "Update")],
        ] {
            let HandBack::Fields(entries, _) = hand(clear.clone()) else {
                panic!("{clear:?}");
            };
            let own = entries
                .as_array()
                .expect("entries")
                .iter()
                .any(|entry| entry["manager"] == MANAGER);
            assert!(!own, "an entry without fields goes");
        }
        let old = json!({"metadata": {"managedFields": [own()]}, "spec": {"new": 1}});
        assert_eq!(hand_back(&old, &old), HandBack::Nothing);
    }

    #[test]
    fn owners_of_replicas_and_the_last_writer_are_named() {
        let object = json!({"metadata": {"managedFields": [
            {"manager": "kubectl", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:x": {}}}},
            {"manager": "hpa", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "kcm", "operation": "Update", "subresource": "status", "time": "2026-01-02T00:00:00Z", "fieldsV1": {}}]}});
        let path = ["spec", "replicas"].map(|key| Step::Key(key.to_owned()));
        assert_eq!(owners(&object, &path), ["hpa (/scale)"]);
        assert_eq!(last_writer(&object).as_deref(), Some("kubectl"));
        let named = |image: &str| {
            let mut named = object.clone();
            named["spec"] = json!({"c": [{"name": "m", "image": image}], "replicas": 1});
            let owned = json!({"f:spec": {"f:c": {"k:{\"name\":\"m\"}": {"f:image": {}}}}});
            named["metadata"]["managedFields"] = json!([
                {"manager": "first", "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": {}},
                {"manager": "editor", "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": owned},
                {"manager": "later", "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": {}}]);
            named
        };
        assert_eq!(
            writer_since(&named("1"), &named("2")).as_deref(),
            Some("editor")
        );
    }
}
