//! The people and programs that change workloads.

use crate::etcd::{Entry, Key, Kind};
use crate::kinds::{DEPLOYMENT, WORKLOADS};
use crate::plan::Change;
use crate::server::Servers;
use serde_json::{Value, json};

pub const NAMESPACES: [&str; 2] = ["models", "team-ü"];

/// A workload's place: whatever has this name there.
#[derive(Clone, Debug)]
struct Slot {
    key: Key,
    /// The specs before, oldest first.
    specs: Vec<Value>,
}

impl Slot {
    /// The spec before the last, unless that is `present`.
    fn before_last(&self, present: &Value) -> Option<&Value> {
        let before = self.specs.iter().rev().nth(1)?;
        (before != present).then_some(before)
    }
}

/// Changes workloads.
pub struct Editor {
    slots: Vec<Slot>,
    rng: fastrand::Rng,
    edits: u64,
}

impl Editor {
    pub fn new(seed: u64, slots: usize) -> Self {
        let slots = (0..slots)
            .map(|i| Slot {
                key: Key {
                    kind: WORKLOADS[i % WORKLOADS.len()],
                    namespace: NAMESPACES[i / 2 % NAMESPACES.len()].to_owned(),
                    name: format!("w{i}"),
                },
                specs: Vec::new(),
            })
            .collect();
        Self {
            slots,
            rng: fastrand::Rng::with_seed(seed ^ 1),
            edits: 0,
        }
    }

    /// Whether an autoscaler can scale the workload of a slot now.
    pub fn is_scalable(&self, servers: &Servers, slot: usize) -> bool {
        let key = &self.slots[slot].key;
        *key.kind == DEPLOYMENT && servers.etcd.get(key).is_some()
    }

    /// Changes the workload of a slot; creates it where it is not there. Returns the key of one that is being deleted
    /// and waits for its finalizer.
    pub fn change(&mut self, servers: &mut Servers, slot: usize, change: Change) -> Option<Key> {
        self.edits += 1;
        let key = self.slots[slot].key.clone();
        let Some(before) = servers.etcd.get(&key).cloned() else {
            self.create(servers, slot);
            return None;
        };
        // What is being deleted is left alone.
        if before.object.value["metadata"]
            .get("deletionTimestamp")
            .is_some()
        {
            return None;
        }
        let mut after = before.object.value.clone();
        match change {
            Change::Deleted => {
                servers.remove(&key, &before);
                return None;
            }
            Change::Replaced => {
                servers.remove(&key, &before);
                self.create(servers, slot);
                return None;
            }
            Change::DeletedSlowly => {
                hold(servers, &key, &before);
                return Some(key);
            }
            Change::Annotation => {
                after["metadata"]["annotations"]["note"] = self.edits.to_string().into();
            }
            Change::Status => after["status"] = json!({"observed": self.edits}),
            Change::Autoscaled if *key.kind == DEPLOYMENT => {
                let replicas = self.rng.u32(2..9);
                // The same number again would write nothing.
                let is_same = after["spec"]["replicas"] == replicas;
                after["spec"]["replicas"] = if is_same { 9 } else { replicas }.into();
                after["metadata"]["managedFields"] =
                    managed(servers, "kube-controller-manager", Some("scale"));
            }
            // The same spec by another manager would be a change of managedFields alone.
            Change::Back if self.slots[slot].before_last(&after["spec"]).is_some() => {
                let back = self.slots[slot].before_last(&after["spec"]).cloned();
                after["spec"] = back.unwrap_or_default();
                after["metadata"]["managedFields"] = managed(servers, "kubectl", None);
            }
            Change::Spec | Change::Autoscaled | Change::Back => {
                after["spec"] = self.spec(key.kind);
                after["metadata"]["managedFields"] = managed(servers, "kubectl", None);
            }
        }
        self.slots[slot].specs.push(after["spec"].clone());
        servers.update(&key, &before, after);
        None
    }

    /// The finalizer of a workload goes, and the workload with it.
    pub fn release(servers: &mut Servers, key: &Key) -> Option<Entry> {
        let before = servers.etcd.get(key).cloned()?;
        let is_held = before.object.value["metadata"]
            .get("deletionTimestamp")
            .is_some();
        if !is_held {
            return None;
        }
        let mut object = before.object.value.clone();
        object["metadata"].as_object_mut()?.remove("finalizers");
        servers.update(key, &before, object)
    }

    fn create(&mut self, servers: &mut Servers, slot: usize) {
        let key = self.slots[slot].key.clone();
        let spec = self.spec(key.kind);
        self.slots[slot].specs = vec![spec.clone()];
        let object = json!({
            "metadata": {
                "labels": {"llm-d.ai/inference-serving": "true"},
                "annotations": {"note": "0"},
                "managedFields": managed(servers, "kubectl", None),
            },
            "spec": spec,
        });
        servers.create(&key, object);
    }

    /// A spec that no other is equal to.
    fn spec(&mut self, kind: &Kind) -> Value {
        let tag = format!("r/llm:{}-ä", self.edits);
        let container =
            json!({"name": "main", "image": tag, "args": ["--seed", self.rng.u32(..).to_string()]});
        if *kind == DEPLOYMENT {
            json!({"replicas": 2, "template": {"spec": {"containers": [container]}}})
        } else {
            json!({"predictor": {"minReplicas": 1, "model": {"storageUri": tag}, "containers": [container]}})
        }
    }
}

/// Deletes a workload that waits for a finalizer.
fn hold(servers: &mut Servers, key: &Key, before: &Entry) {
    let mut object = before.object.value.clone();
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    if let Some(held) = servers.update(key, before, object) {
        servers.remove(key, &held);
    }
}

/// One manager that owns the whole spec, or, through a subresource, the replicas.
fn managed(servers: &Servers, manager: &str, subresource: Option<&str>) -> Value {
    let now = servers.now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut entry = json!({
        "manager": manager, "operation": "Update", "time": now,
        "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}},
    });
    if let Some(subresource) = subresource {
        entry["subresource"] = subresource.into();
    } else {
        let container = json!({"k:{\"name\":\"main\"}": {".": {}, "f:image": {}, "f:args": {}}});
        entry["fieldsV1"]["f:spec"]["f:template"] = json!({"f:spec": {"f:containers": container}});
    }
    json!([entry])
}
