//! The other programs of a cluster, as far as a Deployment needs them: its controller, the scheduler and the kubelet.
//!
//! Every half a second each Deployment is looked at: its ReplicaSet and its pods are made, pods become ready after a
//! while, those of older templates go when the new ones serve, and the objects of a Deployment that is gone are removed.

use crate::etcd::{Entry, Key, Kind};
use crate::kinds::{DEPLOYMENT, NODE, POD, REPLICA_SET};
use crate::server::Servers;
use crate::world::World;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// So often each Deployment is looked at.
const TICK: Duration = Duration::from_millis(500);
/// The nodes, each in a pool of its own.
const NODES: [&str; 2] = ["node-a", "node-b"];

/// The controllers of a history.
pub struct Controllers {
    rng: fastrand::Rng,
    /// When pods that are not ready yet become so.
    ready: BTreeMap<Key, Instant>,
}

/// Works until it is dropped.
pub async fn run(world: Arc<World>, seed: u64) {
    let mut controllers = Controllers {
        rng: fastrand::Rng::with_seed(seed ^ 3),
        ready: BTreeMap::new(),
    };
    world.write(false, make_nodes);
    loop {
        world.write(false, |servers| controllers.look(servers));
        sleep(TICK).await;
    }
}

fn make_nodes(servers: &mut Servers) {
    for (i, name) in NODES.iter().enumerate() {
        let key = Key {
            kind: &NODE,
            namespace: String::new(),
            name: (*name).to_owned(),
        };
        let labels = json!({"cloud.google.com/gke-nodepool": format!("pool-{i}")});
        servers.create(&key, json!({"metadata": {"labels": labels}}));
    }
}

/// Whether a pod is ready, by its own word.
pub fn is_ready(pod: &Value) -> bool {
    pod["status"]["phase"] == "Running"
}

/// The uid of the object that a pod or a ReplicaSet belongs to.
fn owner(object: &Value) -> &str {
    object["metadata"]["ownerReferences"][0]["uid"]
        .as_str()
        .unwrap_or_default()
}

fn uid(entry: &Entry) -> String {
    entry.object.value["metadata"]["uid"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn all(servers: &Servers, kind: &'static Kind) -> Vec<Entry> {
    let now = servers.etcd.revision();
    servers.etcd.range(kind, None, now).cloned().collect()
}

/// The value of `pod-template-hash`.
fn template_hash(deployment: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    deployment["spec"]["template"].to_string().hash(&mut hasher);
    format!("{:08x}", hasher.finish() & 0xffff_ffff)
}

impl Controllers {
    fn look(&mut self, servers: &mut Servers) {
        let deployments = all(servers, &DEPLOYMENT);
        for deployment in &deployments {
            let is_held = deployment.object.value["metadata"].get("deletionTimestamp");
            if is_held.is_none() {
                self.deploy(servers, deployment);
            }
        }
        collect(servers, &DEPLOYMENT, &REPLICA_SET);
        collect(servers, &REPLICA_SET, &POD);
        self.start(servers);
    }

    fn deploy(&mut self, servers: &mut Servers, deployment: &Entry) {
        let object = &deployment.object.value;
        let hash = template_hash(object);
        let key = Key {
            kind: &REPLICA_SET,
            namespace: deployment.key.namespace.clone(),
            name: format!("{}-{hash}", deployment.key.name),
        };
        let set = match servers.etcd.get(&key).cloned() {
            Some(set) => set,
            None => servers.create(&key, owned_by(deployment, &hash)),
        };
        let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
        self.scale(servers, &set, &hash, wanted, &object["spec"]["template"]);
        let pods = pods_of(servers, &set);
        let ready = pods
            .iter()
            .filter(|pod| is_ready(&pod.object.value))
            .count();
        if ready as u64 == wanted {
            remove_older(servers, deployment, &set);
        }
        say(servers, deployment, ready);
    }

    /// Makes the pods that are wanted, and removes those that are not.
    fn scale(
        &mut self,
        servers: &mut Servers,
        set: &Entry,
        hash: &str,
        wanted: u64,
        template: &Value,
    ) {
        for i in 0..wanted {
            let key = pod_key(set, i);
            if servers.etcd.get(&key).is_some() {
                continue;
            }
            let mut pod = owned_by(set, hash);
            pod["spec"] = template["spec"].clone();
            pod["spec"]["nodeName"] = NODES[self.rng.usize(..NODES.len())].into();
            servers.create(&key, pod);
            let after = Duration::from_millis(self.rng.u64(300..6_000));
            self.ready.insert(key, Instant::now() + after);
        }
        for pod in pods_of(servers, set).iter().filter(|pod| {
            let ordinal = pod.key.name.rsplit('-').next();
            ordinal
                .and_then(|i| i.parse::<u64>().ok())
                .is_none_or(|i| i >= wanted)
        }) {
            servers.remove(&pod.key, pod);
        }
    }

    /// Pods whose time has come become ready.
    fn start(&mut self, servers: &mut Servers) {
        let now = Instant::now();
        let is_due = |_: &Key, at: &mut Instant| *at <= now;
        let due: Vec<Key> = self
            .ready
            .extract_if(.., is_due)
            .map(|(key, _)| key)
            .collect();
        for key in due {
            let Some(pod) = servers.etcd.get(&key).cloned() else {
                continue;
            };
            let since = servers.now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
            let mut object = pod.object.value.clone();
            object["status"] = json!({"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": since},
            ]});
            servers.update(&key, &pod, object);
        }
    }
}

fn pod_key(set: &Entry, ordinal: u64) -> Key {
    Key {
        kind: &POD,
        namespace: set.key.namespace.clone(),
        name: format!("{}-{ordinal}", set.key.name),
    }
}

/// An object whose controller is `owner`.
fn owned_by(owner: &Entry, hash: &str) -> Value {
    let reference = json!({
        "apiVersion": owner.key.kind.api_version(), "kind": owner.key.kind.kind, "name": owner.key.name,
        "uid": owner.object.value["metadata"]["uid"], "controller": true,
    });
    json!({"metadata": {"labels": {"pod-template-hash": hash}, "ownerReferences": [reference]}})
}

fn pods_of(servers: &Servers, set: &Entry) -> Vec<Entry> {
    let uid = uid(set);
    let mut pods = all(servers, &POD);
    pods.retain(|pod| owner(&pod.object.value) == uid);
    pods
}

/// The pods of older templates go, now that those of the newest serve.
fn remove_older(servers: &mut Servers, deployment: &Entry, newest: &Entry) {
    let uid = uid(deployment);
    for set in all(servers, &REPLICA_SET) {
        if owner(&set.object.value) == uid && set.key != newest.key {
            for pod in pods_of(servers, &set) {
                servers.remove(&pod.key, &pod);
            }
        }
    }
}

/// The status of a Deployment.
fn say(servers: &mut Servers, deployment: &Entry, ready: usize) {
    let mut object = deployment.object.value.clone();
    let generation = object["metadata"]["generation"].clone();
    object["status"] = json!({"observedGeneration": generation, "readyReplicas": ready});
    servers.update(&deployment.key, deployment, object);
}

/// Removes objects whose owner is gone.
fn collect(servers: &mut Servers, owners: &'static Kind, owned: &'static Kind) {
    let there: Vec<String> = all(servers, owners).iter().map(uid).collect();
    for entry in all(servers, owned) {
        if !there.iter().any(|uid| uid == owner(&entry.object.value)) {
            servers.remove(&entry.key, &entry);
        }
    }
}
