//! Writes: preconditions, generations, subresources, and the immutability of Revisions.

use super::Servers;
use super::answer::{Answer, about, status, status_text};
use super::definition;
use crate::call::Call;
use crate::etcd::{Entry, Key, Kind, Op};
use crate::kinds::{NAMESPACE, REVISION};
use serde_json::{Map, Value, json};
use uuid::Uuid;

impl Servers {
    /// Creates an object, whatever the rules say.
    pub fn create(&mut self, key: &Key, object: Value) -> Entry {
        let uid = self.uid();
        let object = self.created(key, object, uid);
        self.put(key, Op::Created, object)
    }

    /// The object as it would be stored, without a place.
    fn created(&self, key: &Key, mut object: Value, uid: Uuid) -> Value {
        let created = self.now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        object["apiVersion"] = key.kind.api_version().into();
        object["kind"] = key.kind.kind.into();
        let metadata = &mut object["metadata"];
        metadata["name"] = key.name.clone().into();
        if key.kind.namespaced {
            metadata["namespace"] = key.namespace.clone().into();
        }
        metadata["uid"] = uid.to_string().into();
        metadata["creationTimestamp"] = created.into();
        if key.kind.has_status {
            metadata["generation"] = 1.into();
            object.as_object_mut().map(|object| object.remove("status"));
        }
        object
    }

    /// Writes the changed state of an object, with its next generation; nothing when nothing changed.
    pub fn update(&mut self, key: &Key, before: &Entry, mut after: Value) -> Option<Entry> {
        let old = &before.object.value;
        after["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        if key.kind.has_status {
            after["metadata"]["generation"] = old["metadata"]["generation"].clone();
        }
        if after == *old {
            return None;
        }
        if is_next_generation(key.kind, old, &after) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
            after["metadata"]["generation"] = (generation + 1).into();
        }
        // The last finalizer of an object that is being deleted is gone.
        let is_over = after["metadata"].get("deletionTimestamp").is_some() && !is_held(&after);
        let op = if is_over { Op::Deleted } else { Op::Updated };
        Some(self.put(key, op, after))
    }

    /// Deletes an object: at once, or once its finalizers are gone.
    pub fn remove(&mut self, key: &Key, before: &Entry) -> Entry {
        let mut object = before.object.value.clone();
        if !is_held(&object) {
            return self.put(key, Op::Deleted, object);
        }
        let time = self.now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        object["metadata"]["deletionTimestamp"] = time.into();
        if let Some(generation) = object["metadata"]["generation"].as_i64() {
            object["metadata"]["generation"] = (generation + 1).into();
        }
        self.put(key, Op::Updated, object)
    }

    pub(super) fn post(&mut self, call: &Call, kind: &'static Kind, namespace: String) -> Answer {
        let Ok(object) = serde_json::from_slice::<Value>(&call.body) else {
            return status(400, "BadRequest", "the object provided is not JSON");
        };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let key = Key {
            kind,
            name: name.to_owned(),
            namespace,
        };
        if kind.namespaced && !self.has_namespace(&key.namespace) {
            let details = json!({"name": key.namespace, "kind": "namespaces"});
            let message = format!("namespaces \"{}\" not found", key.namespace);
            return Answer::text(404, status_text(404, "NotFound", &message, &details));
        }
        if *kind == REVISION
            && let Some(broken) = definition::misfit(&object)
        {
            return about(422, "Invalid", &key, &format!("is invalid: {broken}"));
        }
        if *kind == REVISION
            && let Some(refused) = self.review(&key, &object)
        {
            return refused;
        }
        if self.etcd.get(&key).is_some() {
            return about(409, "AlreadyExists", &key, "already exists");
        }
        if call.is_dry_run() {
            let object = self.created(&key, object, Uuid::nil());
            return Answer::text(201, object.to_string());
        }
        let entry = self.create(&key, object);
        Answer::object(201, &entry, call.metadata_only)
    }

    fn has_namespace(&self, name: &str) -> bool {
        let key = Key {
            kind: &NAMESPACE,
            namespace: String::new(),
            name: name.to_owned(),
        };
        self.etcd.get(&key).is_some()
    }

    pub(super) fn replace(&mut self, call: &Call, key: &Key) -> Answer {
        let Some(before) = self.etcd.get(key).cloned() else {
            return about(404, "NotFound", key, "not found");
        };
        let Ok(mut object) = serde_json::from_slice::<Value>(&call.body) else {
            return status(400, "BadRequest", "the object provided is not JSON");
        };
        let old = &before.object.value;
        let asked = object["metadata"]["resourceVersion"].as_str();
        if asked.is_none() && key.kind.is_custom {
            let message = "is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update";
            return about(422, "Invalid", key, message);
        }
        if asked.is_some_and(|asked| Some(asked) != old["metadata"]["resourceVersion"].as_str()) {
            let message = "cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again";
            return about(409, "Conflict", key, message);
        }
        for field in ["uid", "creationTimestamp", "name", "namespace"] {
            if let Some(value) = old["metadata"].get(field) {
                object["metadata"][field] = value.clone();
            }
        }
        if let Some(old_status) = old.get("status").filter(|_| key.kind.has_status) {
            object["status"] = old_status.clone();
        }
        self.changed(call, key, &before, object)
    }

    pub(super) fn patch(&mut self, call: &Call, key: &Key, subresource: Option<&str>) -> Answer {
        let Some(before) = self.etcd.get(key).cloned() else {
            return about(404, "NotFound", key, "not found");
        };
        let Ok(patch) = serde_json::from_slice::<Value>(&call.body) else {
            return status(400, "BadRequest", "the patch is not JSON");
        };
        let old = &before.object.value;
        let mut object = old.clone();
        if subresource == Some("status") {
            merge(&mut object["status"], &patch["status"]);
        } else {
            merge(&mut object, &patch);
            if key.kind.has_status {
                object["status"] = old["status"].clone();
            }
        }
        if object["status"].is_null() {
            object.as_object_mut().map(|object| object.remove("status"));
        }
        self.changed(call, key, &before, object)
    }

    fn changed(&mut self, call: &Call, key: &Key, before: &Entry, after: Value) -> Answer {
        if *key.kind == REVISION && !definition::is_allowed(&before.object.value, &after) {
            return about(
                422,
                "Invalid",
                key,
                "is invalid: spec: Invalid value: a Revision is immutable",
            );
        }
        let written = self.update(key, before, after);
        Answer::object(200, written.as_ref().unwrap_or(before), call.metadata_only)
    }

    pub(super) fn delete(&mut self, call: &Call, key: &Key) -> Answer {
        let Some(before) = self.etcd.get(key).cloned() else {
            return about(404, "NotFound", key, "not found");
        };
        let entry = self.remove(key, &before);
        if entry.op == Op::Updated {
            return Answer::object(200, &entry, call.metadata_only);
        }
        let uid = &entry.object.value["metadata"]["uid"];
        let details =
            json!({"name": key.name, "group": key.kind.group, "kind": key.kind.plural, "uid": uid});
        let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
        Answer::text(200, done.to_string())
    }
}

/// Whether an object has a finalizer.
fn is_held(object: &Value) -> bool {
    object["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|finalizers| !finalizers.is_empty())
}

/// Whether a change counts as a new generation.
fn is_next_generation(kind: &Kind, old: &Value, new: &Value) -> bool {
    if !kind.has_status {
        return false;
    }
    let rest = |object: &Value| -> Map<String, Value> {
        let mut rest = object.as_object().cloned().unwrap_or_default();
        rest.remove("metadata");
        rest.remove("status");
        rest
    };
    rest(old) != rest(new)
        || (kind.counts_annotations
            && old["metadata"].get("annotations") != new["metadata"].get("annotations"))
}

/// RFC 7386.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        into.clone_from(patch);
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    if let Some(into) = into.as_object_mut() {
        for (key, value) in patch {
            if value.is_null() {
                into.remove(key);
            } else {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }
}
