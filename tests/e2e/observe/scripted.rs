//! Kinds whose operators are not here: workloads, what they are made of, pods and statuses as those would write them.

mod messages;
mod script;
mod traffic;

use super::{Row, rows};
use crate::support::{Revisor, World, eventually, patch, post, send};
use devcluster::Options;
use http::Method;
use kube::Client;
use script::{IMAGES, container, script};
pub(crate) use script::{Script, definitions, scripts};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

struct Stage {
    world: World,
    client: Client,
    revisor: Revisor,
}

impl Stage {
    /// No controllers: nothing happens but what the script says.
    async fn set() -> Self {
        let world = World::start(&Options::minimal());
        world.define(&definitions());
        let client = world.client().await;
        for (node, pool) in [("n1", Some("a100")), ("n2", None)] {
            let labels = pool.map_or(json!({}), |pool| json!({"kai.scheduler/node-pool": pool}));
            post(
                &client,
                "/api/v1/nodes",
                &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": labels}}),
            )
            .await;
        }
        let revisor = Revisor::start(
            world.cluster.kubeconfig(),
            &["--log", "info,revisor::observe=debug"],
        );
        Self {
            world,
            client,
            revisor,
        }
    }

    async fn namespace(&self, script: &Script) -> String {
        let namespace = self.world.namespace(&script.kind.to_lowercase()).await;
        let account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        post(
            &self.client,
            &format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
            &account,
        )
        .await;
        namespace
    }

    async fn wait(&self, namespace: &str, what: &str, done: impl Fn(&[Row]) -> bool) -> Vec<Row> {
        let deadline = Instant::now() + Duration::from_secs(45);
        loop {
            let now = rows(&self.client, namespace).await;
            if done(&now) {
                return now;
            }
            assert!(
                Instant::now() < deadline,
                "{namespace}: {what}: {now:#?}\n{}",
                self.revisor.log()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A pod as its controller and the scheduler would have it; ready or not.
    async fn pod(
        &self,
        namespace: &str,
        name: &str,
        labels: &Value,
        image: &str,
        owner: &Value,
        ready: bool,
    ) {
        let node = if name.ends_with('1') { "n1" } else { "n2" };
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
            "spec": {"nodeName": node, "automountServiceAccountToken": false, "containers": container(image)}});
        post(
            &self.client,
            &format!("/api/v1/namespaces/{namespace}/pods"),
            &pod,
        )
        .await;
        self.pod_is(namespace, name, ready).await;
    }

    async fn pod_is(&self, namespace: &str, name: &str, ready: bool) {
        let status = json!({"status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": "2026-01-02T03:04:05Z"}]}});
        patch(
            &self.client,
            &format!("/api/v1/namespaces/{namespace}/pods/{name}/status"),
            &status,
        )
        .await;
    }

    async fn pod_goes(&self, namespace: &str, name: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}?gracePeriodSeconds=0");
        let (code, body) = send(&self.client, Method::DELETE, &path, "application/json", "").await;
        assert_eq!(code, 200, "{body}");
    }
}

fn reference(api_version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true})
}

/// What stands between the workload and its pods; the last of it owns the pods.
async fn chain(stage: &Stage, namespace: &str, script: &Script, uid: &str, ending: &str) -> Value {
    let mut owner = reference(&script.api_version, &script.kind, "w", uid);
    for [api_version, kind, plural, name] in &script.chain {
        let name = format!("{name}{ending}");
        let labels = json!({"x": name});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let spec =
            json!({"selector": {"matchLabels": labels}, "template": template, "serviceName": "s"});
        let spec = if kind == "StatefulSet" {
            spec
        } else {
            without(spec, "serviceName")
        };
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "ownerReferences": [owner]}, "spec": spec});
        let made = post(
            &stage.client,
            &format!("/apis/{api_version}/namespaces/{namespace}/{plural}"),
            &object,
        )
        .await;
        owner = reference(api_version, kind, &name, &made.uid);
    }
    owner
}

fn without(mut object: Value, field: &str) -> Value {
    object.as_object_mut().expect("an object").remove(field);
    object
}

/// A workload with what it is made of, in a namespace of its own.
struct Played<'a> {
    stage: &'a Stage,
    script: &'a Script,
    namespace: String,
    path: String,
    uid: String,
}

impl Played<'_> {
    fn pods(&self) -> i64 {
        i64::try_from(self.script.pods).expect("few")
    }

    fn names(&self, letter: char) -> impl Iterator<Item = String> + use<> {
        (1..=self.script.pods).map(move |i| format!("{letter}{i}"))
    }

    /// Makes the pods of one content of the workload, ready or not.
    async fn make_pods(&self, letter: char, which: usize, ending: &str, ready: bool) {
        let owner = chain(self.stage, &self.namespace, self.script, &self.uid, ending).await;
        let labels = self.script.labels(which);
        for name in self.names(letter) {
            self.stage
                .pod(
                    &self.namespace,
                    &name,
                    &labels,
                    IMAGES[which],
                    &owner,
                    ready,
                )
                .await;
        }
    }

    /// What its operator writes.
    async fn status(&self, status: &Value) {
        let status = json!({"status": status});
        let path = format!("{}/status", self.path);
        patch(&self.stage.client, &path, &status).await;
    }

    async fn wait(&self, what: &str, done: impl Fn(&[Row]) -> bool) -> Vec<Row> {
        self.stage.wait(&self.namespace, what, done).await
    }

    async fn first_runs(&self) {
        self.make_pods('a', 0, "", true).await;
        let first = |rows: &[Row]| {
            rows.first()
                .is_some_and(|row| row.phase == "Running" && row.ready == self.pods())
        };
        let rows = self.wait("the first runs", first).await;
        let pools: &[&str] = if self.script.pods == 1 {
            &["a100"]
        } else {
            &["a100", "default"]
        };
        assert!(
            rows[0].pools == pools && rows[0].gpus == self.script.pods.to_string(),
            "{rows:?}"
        );
    }

    async fn second_comes_while_the_first_serves(&self) {
        // Whole seconds tell a change from the pods before it.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let client = &self.stage.client;
        let spec = json!({"spec": self.script.spec(1)});
        patch(client, &self.path, &spec).await;
        self.status(&self.script.status).await;
        self.make_pods('b', 1, "-next", false).await;
        let pods = self.pods();
        let serves = |rows: &[Row]| {
            let new = |row: &Row| row.phase == "Initializing" && row.running == pods;
            rows.len() == 2 && new(&rows[1]) && rows[0].phase == "Running" && rows[0].ready == pods
        };
        self.wait("the second is not ready, and the first serves", serves)
            .await;
    }

    async fn first_is_replaced_and_gone(&self) {
        for name in self.names('b') {
            self.stage.pod_is(&self.namespace, &name, true).await;
        }
        if !self.script.switched.is_null() {
            self.status(&self.script.switched).await;
        }
        let replaced = |rows: &[Row]| rows[1].phase == "Running" && rows[0].phase == "Terminating";
        self.wait("the first is replaced", replaced).await;
        for name in self.names('a') {
            self.stage.pod_goes(&self.namespace, &name).await;
        }
        let over = |rows: &[Row]| rows[0].phase == "Stopped" && rows[0].running == 0;
        let rows = self.wait("the first is gone", over).await;
        assert_eq!(
            (rows[0].outcome.as_str(), rows[1].outcome.as_str()),
            ("Succeeded", "Succeeded")
        );
        if self.script.kind == "InferenceService" {
            assert_eq!(
                rows[1].status["images"],
                json!(["m:2"]),
                "what the object does not name"
            );
        }
    }
}

impl<'a> Played<'a> {
    async fn begin(stage: &'a Stage, script: &'a Script) -> Self {
        let namespace = stage.namespace(script).await;
        let collection = script.path(&namespace);
        let made = post(&stage.client, &collection, &script.object()).await;
        Self {
            stage,
            script,
            namespace,
            path: format!("{collection}/w"),
            uid: made.uid,
        }
    }
}

async fn play(stage: &Stage, script: &Script) {
    let played = Played::begin(stage, script).await;
    played.first_runs().await;
    played.second_comes_while_the_first_serves().await;
    played.first_is_replaced_and_gone().await;
    turns_hostile(stage, &played.namespace, &played.path, played.names('b')).await;
}

/// Whatever its status says, it is read or it is not; pods are believed first.
async fn turns_hostile(
    stage: &Stage,
    namespace: &str,
    path: &str,
    pods: impl Iterator<Item = String>,
) {
    let status = json!({"conditions": {"type": "Ready"}, "message": "x".repeat(50_000), "state": [1], "observedGeneration": null});
    patch(
        &stage.client,
        &format!("{path}/status"),
        &json!({"status": status}),
    )
    .await;
    for name in pods {
        stage.pod_goes(namespace, &name).await;
    }
    let rows = stage
        .wait(namespace, "nothing can be said", |rows| {
            rows[1].phase == "Unknown"
        })
        .await;
    assert_eq!(rows[1].message, "status.conditions is not a list");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_every_kind_find_their_revision() {
    let stage = Stage::set().await;
    let scripts = scripts();
    futures::future::join_all(scripts.iter().map(|script| play(&stage, script))).await;
    assert!(stage.revisor.is_alive() && !stage.revisor.log().contains("panicked"));
    let reads = stage.revisor.metric("revisor_owner_reads_total", "");
    assert!(
        reads > 0.0 && reads < 60.0,
        "each object is read once: {reads}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_a_part_are_those_of_the_whole() {
    let stage = Stage::set().await;
    let nim = script("NIMService");
    let namespace = stage.namespace(&nim).await;
    let made = post(&stage.client, &nim.path(&namespace), &nim.object()).await;
    let between = script("InferenceService");
    let part = [
        between.api_version,
        between.kind,
        between.plural,
        "part".to_owned(),
    ];
    let parts = Script {
        chain: [vec![part], between.chain].concat(),
        ..nim
    };
    let owner = chain(&stage, &namespace, &parts, &made.uid, "").await;
    for name in ["a1", "a2"] {
        let labels =
            json!({"serving.kserve.io/inferenceservice": "part", "pod-template-hash": "a"});
        stage
            .pod(&namespace, name, &labels, "nim:1", &owner, true)
            .await;
    }
    let found = |rows: &[Row]| rows.len() == 1 && rows[0].phase == "Running" && rows[0].ready == 2;
    stage.wait(&namespace, "its pods are found", found).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_takes_over() {
    let Stage {
        world,
        client,
        revisor: first,
    } = Stage::set().await;
    let second = Revisor::start(world.cluster.kubeconfig(), &["--identity", "second"]);
    let leads = |revisor: &Revisor| revisor.metric("revisor_leader", "") > 0.5;
    assert!(leads(&first) && !leads(&second));
    let stage = Stage {
        world,
        client,
        revisor: second,
    };
    let nim = script("NIMService");
    let namespace = stage.namespace(&nim).await;
    let made = post(&stage.client, &nim.path(&namespace), &nim.object()).await;
    let waits = |rows: &[Row]| rows.len() == 1 && rows[0].phase == "Creating";
    stage
        .wait(&namespace, "the first says that there are no pods", waits)
        .await;
    let follower = &stage.revisor;
    assert!(
        follower.metric("revisor_status_patches_total", "") < 0.5,
        "who follows writes nothing"
    );
    assert!(
        follower.metric("revisor_observed_pods", "") < 0.5,
        "and watches no pods"
    );
    // Told to stop it gives the lease up, so that the other need not wait for it to expire.
    first.signal("TERM");
    assert!(eventually(Duration::from_secs(10), || leads(
        &stage.revisor
    )));
    let owner = reference(&nim.api_version, &nim.kind, "w", &made.uid);
    for name in ["a1", "a2"] {
        stage
            .pod(&namespace, name, &nim.labels(0), "nim:1", &owner, true)
            .await;
    }
    let goes_on = |rows: &[Row]| rows[0].phase == "Running" && rows[0].ready == 2;
    stage.wait(&namespace, "the second goes on", goes_on).await;
    // Who was killed takes its own lease back at once.
    stage.revisor.signal("KILL");
    let third = Revisor::start(stage.world.cluster.kubeconfig(), &["--identity", "second"]);
    assert!(eventually(Duration::from_secs(5), || leads(&third)));
}
