//! Kinds whose operators are not here: workloads, what they are made of, pods and statuses as those would write them.

use super::{Row, rows};
use crate::support::{Revisor, World, eventually, patch, post, send};
use devcluster::Options;
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A kind, and how a workload of it lives.
struct Script {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    /// What stands between the workload and its pods, from the outside in: group, version, kind, plural, name.
    chain: &'static [(&'static str, &'static str, &'static str, &'static str, &'static str)],
    /// Two specs, and how many pods each makes.
    specs: [Value; 2],
    pods: usize,
    /// Labels of the pods of each.
    labels: [Value; 2],
    /// What the workload's status says once the second one is seen.
    status: Value,
}

fn container(image: &str) -> Value {
    json!([{"name": "main", "image": image, "resources": {"limits": {"nvidia.com/gpu": "1"}}}])
}

fn scripts() -> Vec<Script> {
    let template = |image| json!({"template": {"spec": {"containers": container(image)}}});
    let hash = |label: &str, name: &str, hashes: [&str; 2]| {
        hashes.map(|hash| json!({label: name, "pod-template-hash": hash}))
    };
    vec![
        Script {
            group: "serving.kserve.io", version: "v1beta1", kind: "InferenceService", plural: "inferenceservices",
            chain: &[("apps", "v1", "Deployment", "deployments", "w-predictor"), ("apps", "v1", "ReplicaSet", "replicasets", "w-predictor-a")],
            specs: ["s3://m/1", "s3://m/2"].map(|uri| json!({"predictor": {"minReplicas": 2, "model": {"storageUri": uri, "resources": {"limits": {"nvidia.com/gpu": "1"}}}}})),
            pods: 2,
            labels: hash("serving.kserve.io/inferenceservice", "w", ["a", "b"]),
            status: json!({"conditions": [{"type": "Ready", "status": "True"}]}),
        },
        Script {
            group: "serving.kserve.io", version: "v1alpha2", kind: "LLMInferenceService", plural: "llminferenceservices", chain: &[],
            specs: ["m:1", "m:2"].map(|image| json!({"replicas": 2, "template": {"containers": container(image)}})),
            pods: 2,
            labels: ["a", "b"].map(|hash| json!({"app.kubernetes.io/name": "w", "app.kubernetes.io/part-of": "llminferenceservice", "pod-template-hash": hash})),
            status: json!({"observedGeneration": 2}),
        },
        Script {
            group: "serving.knative.dev", version: "v1", kind: "Service", plural: "services",
            chain: &[("serving.knative.dev", "v1", "Configuration", "configurations", "w"), ("serving.knative.dev", "v1", "Revision", "revisions", "w-00001"),
                ("apps", "v1", "Deployment", "deployments", "w-00001-deployment"), ("apps", "v1", "ReplicaSet", "replicasets", "w-00001-deployment-a")],
            specs: ["m:1", "m:2"].map(template),
            pods: 1,
            labels: ["w-00001", "w-00002"].map(|name| json!({"serving.knative.dev/service": "w", "serving.knative.dev/revision": name})),
            status: json!({"observedGeneration": 2, "latestCreatedRevisionName": "w-00002"}),
        },
        Script {
            group: "leaderworkerset.x-k8s.io", version: "v1", kind: "LeaderWorkerSet", plural: "leaderworkersets",
            chain: &[("apps", "v1", "StatefulSet", "statefulsets", "w")],
            specs: ["m:1", "m:2"].map(|image| json!({"replicas": 1, "leaderWorkerTemplate": {"size": 2, "workerTemplate": {"spec": {"containers": container(image)}}}})),
            pods: 2,
            labels: ["a", "b"].map(|hash| json!({"leaderworkerset.sigs.k8s.io/name": "w", "leaderworkerset.sigs.k8s.io/template-revision-hash": hash})),
            status: json!({"conditions": [{"type": "Available", "status": "True"}]}),
        },
        Script {
            group: "ray.io", version: "v1", kind: "RayService", plural: "rayservices",
            chain: &[("ray.io", "v1", "RayCluster", "rayclusters", "w-1")],
            specs: ["m:1", "m:2"].map(|image| json!({"rayClusterConfig": {"headGroupSpec": {"template": {"spec": {"containers": container(image)}}},
                "workerGroupSpecs": [{"groupName": "g", "replicas": 1, "minReplicas": 1, "maxReplicas": 2, "template": {"spec": {"containers": container(image)}}}]}})),
            pods: 2,
            labels: ["w-1", "w-2"].map(|cluster| json!({"ray.io/is-ray-node": "yes", "ray.io/cluster": cluster})),
            status: json!({"observedGeneration": 2, "activeServiceStatus": {"rayClusterName": "w-1"}, "pendingServiceStatus": {"rayClusterName": "w-2"}}),
        },
        Script {
            group: "apps.nvidia.com", version: "v1alpha1", kind: "NIMService", plural: "nimservices", chain: &[],
            specs: ["1", "2"].map(|tag| json!({"replicas": 2, "image": {"repository": "nim", "tag": tag}, "resources": {"limits": {"nvidia.com/gpu": "1"}}})),
            pods: 2,
            labels: ["a", "b"].map(|hash| json!({"app.kubernetes.io/name": "w", "app.kubernetes.io/part-of": "nim-service", "pod-template-hash": hash})),
            status: json!({"state": "Ready"}),
        },
        Script {
            group: "nvidia.com", version: "v1beta1", kind: "DynamoGraphDeployment", plural: "dynamographdeployments",
            chain: &[("nvidia.com", "v1beta1", "DynamoComponentDeployment", "dynamocomponentdeployments", "w-worker")],
            specs: ["m:1", "m:2"].map(|image| json!({"components": [{"name": "worker", "replicas": 2, "podTemplate": {"spec": {"containers": container(image)}}}]})),
            pods: 2,
            labels: ["a", "b"].map(|hash| json!({"nvidia.com/dynamo-graph-deployment-name": "w", "nvidia.com/dynamo-component": "worker", "nvidia.com/dynamo-worker-hash": hash})),
            status: json!({"observedGeneration": 2, "state": "successful"}),
        },
        Script {
            group: "argoproj.io", version: "v1alpha1", kind: "Rollout", plural: "rollouts",
            chain: &[("apps", "v1", "ReplicaSet", "replicasets", "w-a")],
            specs: ["m:1", "m:2"].map(|image| json!({"replicas": 2, "template": {"spec": {"containers": container(image)}}})),
            pods: 2,
            labels: ["a", "b"].map(|hash| json!({"rollouts-pod-template-hash": hash})),
            status: json!({"observedGeneration": "2", "currentPodHash": "b"}),
        },
        Script {
            group: "run.ai", version: "v2alpha1", kind: "InferenceWorkload", plural: "inferenceworkloads", chain: &[],
            specs: ["m:1", "m:2"].map(|image| json!({"image": {"value": image}, "gpu": {"value": "1"}, "minScale": {"value": 2}, "maxScale": {"value": 3}})),
            pods: 2,
            labels: ["w-00001", "w-00002"].map(|name| json!({"workloadName": "w", "serving.knative.dev/revision": name})),
            status: json!({"phase": "Running"}),
        },
    ]
}

/// A definition of the same group, version, kind and status subresource, without a schema.
fn definition(group: &str, version: &str, kind: &str, plural: &str) -> Value {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()}, "versions": [
            {"name": version, "served": true, "storage": true, "subresources": {"status": {}},
             "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": any, "status": any}}}}]}})
}

struct Stage {
    world: World,
    client: Client,
    revisor: Revisor,
}

impl Stage {
    /// No controllers: nothing happens but what the script says.
    async fn set() -> Self {
        let world = World::start(&Options::minimal());
        let mut seen = vec![
            "apps".to_owned(),
            "inferenceservices.serving.kserve.io".to_owned(),
            "leaderworkersets.leaderworkerset.x-k8s.io".to_owned(),
        ];
        let mut all = String::new();
        for script in scripts() {
            let own = (script.group, script.version, script.kind, script.plural);
            let between = script
                .chain
                .iter()
                .map(|(group, version, kind, plural, _)| (*group, *version, *kind, *plural));
            for (group, version, kind, plural) in between.chain([own]).filter(|(group, ..)| *group != "apps")
            {
                let name = format!("{plural}.{group}");
                if !seen.contains(&name) {
                    all += &format!("---\n{}\n", definition(group, version, kind, plural));
                    seen.push(name);
                }
            }
        }
        world.cluster.apply(&all).expect("definitions");
        world.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=20s"]);
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
        let revisor = Revisor::start(world.cluster.kubeconfig(), &["--log", "info,revisor::observe=debug"]);
        Self { world, client, revisor }
    }

    async fn namespace(&self, script: &Script) -> String {
        let namespace = self.world.namespace(&script.kind.to_lowercase()).await;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        post(&self.client, &format!("/api/v1/namespaces/{namespace}/serviceaccounts"), &account).await;
        namespace
    }

    async fn wait(&self, namespace: &str, what: &str, done: impl Fn(&[Row]) -> bool) -> Vec<Row> {
        let deadline = Instant::now() + Duration::from_secs(45);
        loop {
            let now = rows(&self.client, namespace).await;
            if done(&now) {
                return now;
            }
            assert!(Instant::now() < deadline, "{namespace}: {what}: {now:#?}\n{}", self.revisor.log());
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
        post(&self.client, &format!("/api/v1/namespaces/{namespace}/pods"), &pod).await;
        self.pod_is(namespace, name, ready).await;
    }

    async fn pod_is(&self, namespace: &str, name: &str, ready: bool) {
        let status = json!({"status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": "2026-01-02T03:04:05Z"}]}});
        patch(&self.client, &format!("/api/v1/namespaces/{namespace}/pods/{name}/status"), &status).await;
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
    let mut owner = reference(&format!("{}/{}", script.group, script.version), script.kind, "w", uid);
    for (group, version, kind, plural, name) in script.chain {
        let api_version = format!("{group}/{version}");
        let name = format!("{name}{ending}");
        let labels = json!({"x": name});
        let template =
            json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let spec = if *group == "apps" {
            json!({"selector": {"matchLabels": labels}, "template": template, "serviceName": "s"})
        } else {
            json!({})
        };
        let spec = if *kind == "StatefulSet" { spec } else { without(spec, "serviceName") };
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "ownerReferences": [owner]}, "spec": spec});
        let made =
            post(&stage.client, &format!("/apis/{api_version}/namespaces/{namespace}/{plural}"), &object)
                .await;
        owner = reference(&api_version, kind, &name, &made.uid);
    }
    owner
}

fn without(mut object: Value, field: &str) -> Value {
    object.as_object_mut().expect("an object").remove(field);
    object
}

async fn play(stage: &Stage, script: &Script) {
    let namespace = stage.namespace(script).await;
    let api_version = format!("{}/{}", script.group, script.version);
    let labels = json!({"revisor.dev/record": "true"});
    let object = json!({"apiVersion": api_version, "kind": script.kind, "metadata": {"name": "w", "labels": labels}, "spec": script.specs[0]});
    let collection = format!("/apis/{api_version}/namespaces/{namespace}/{}", script.plural);
    let made = post(&stage.client, &collection, &object).await;
    let owner = chain(stage, &namespace, script, &made.uid, "").await;
    let names = |letter: char| (1..=script.pods).map(move |i| format!("{letter}{i}"));
    for name in names('a') {
        stage.pod(&namespace, &name, &script.labels[0], "m:1", &owner, true).await;
    }
    let pods = i64::try_from(script.pods).expect("few");
    let rows = stage
        .wait(&namespace, "the first runs", |rows| {
            rows.first().is_some_and(|row| row.phase == "Running" && row.ready == pods)
        })
        .await;
    let pools: &[&str] = if script.pods == 1 { &["a100"] } else { &["a100", "default"] };
    assert_eq!(
        (rows[0].pools.as_slice(), rows[0].gpus.as_str()),
        (
            pools.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>().as_slice(),
            script.pods.to_string().as_str()
        )
    );

    // Whole seconds tell a change from the pods before it.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let path = format!("{collection}/w");
    patch(&stage.client, &path, &json!({"spec": script.specs[1]})).await;
    patch(&stage.client, &format!("{path}/status"), &json!({"status": script.status})).await;
    let owner = chain(stage, &namespace, script, &made.uid, "-next").await;
    for name in names('b') {
        stage.pod(&namespace, &name, &script.labels[1], "m:2", &owner, false).await;
    }
    stage
        .wait(&namespace, "the second is not ready, and the first serves", |rows| {
            rows.len() == 2
                && rows[1].phase == "Initializing"
                && rows[1].running == pods
                && rows[0].phase == "Running"
                && rows[0].ready == pods
        })
        .await;
    for name in names('b') {
        stage.pod_is(&namespace, &name, true).await;
    }
    stage
        .wait(&namespace, "the first is replaced", |rows| {
            rows[1].phase == "Running" && rows[0].phase == "Terminating"
        })
        .await;
    for name in names('a') {
        stage.pod_goes(&namespace, &name).await;
    }
    let rows = stage
        .wait(&namespace, "the first is gone", |rows| rows[0].phase == "Stopped" && rows[0].running == 0)
        .await;
    assert_eq!((rows[0].outcome.as_str(), rows[1].outcome.as_str()), ("Succeeded", "Succeeded"));
    if script.kind == "InferenceService" {
        assert_eq!(rows[1].status["images"], json!(["m:2"]), "what the object does not name");
    }

    // Whatever its status says, it is read or it is not; pods are believed first.
    let hostile = json!({"status": {"conditions": {"type": "Ready"}, "message": "x".repeat(50_000), "state": [1], "observedGeneration": null}});
    patch(&stage.client, &format!("{path}/status"), &hostile).await;
    for name in names('b') {
        stage.pod_goes(&namespace, &name).await;
    }
    let rows = stage.wait(&namespace, "nothing can be said", |rows| rows[1].phase == "Unknown").await;
    assert_eq!(rows[1].message, "status.conditions is not a list");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_every_kind_find_their_revision() {
    let stage = Stage::set().await;
    let scripts = scripts();
    futures::future::join_all(scripts.iter().map(|script| play(&stage, script))).await;
    assert!(stage.revisor.is_alive() && !stage.revisor.log().contains("panicked"));
    let reads = stage.revisor.metric("revisor_owner_reads_total", "");
    assert!(reads > 0.0 && reads < 60.0, "each object is read once: {reads}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_a_part_are_those_of_the_whole() {
    let stage = Stage::set().await;
    let all = scripts();
    let nim = all.iter().find(|script| script.kind == "NIMService").expect("a script");
    let namespace = stage.namespace(nim).await;
    let object = json!({"apiVersion": "apps.nvidia.com/v1alpha1", "kind": "NIMService", "metadata": {"name": "w"}, "spec": nim.specs[0]});
    let made = post(
        &stage.client,
        &format!("/apis/apps.nvidia.com/v1alpha1/namespaces/{namespace}/nimservices"),
        &object,
    )
    .await;
    let parts = Script {
        chain: &[
            ("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices", "part"),
            ("apps", "v1", "Deployment", "deployments", "part-predictor"),
            ("apps", "v1", "ReplicaSet", "replicasets", "part-predictor-a"),
        ],
        specs: nim.specs.clone(),
        labels: nim.labels.clone(),
        status: json!({}),
        ..*nim
    };
    let owner = chain(&stage, &namespace, &parts, &made.uid, "").await;
    for name in ["a1", "a2"] {
        let labels = json!({"serving.kserve.io/inferenceservice": "part", "pod-template-hash": "a"});
        stage.pod(&namespace, name, &labels, "nim:1", &owner, true).await;
    }
    stage
        .wait(&namespace, "its pods are found", |rows| {
            rows.len() == 1 && rows[0].phase == "Running" && rows[0].ready == 2
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_takes_over() {
    let Stage { world, client, revisor: first } = Stage::set().await;
    let second = Revisor::start(world.cluster.kubeconfig(), &["--identity", "second"]);
    assert!(
        (first.metric("revisor_leader", "") - 1.0).abs() < 0.1
            && second.metric("revisor_leader", "").abs() < 0.1
    );
    let stage = Stage { world, client, revisor: second };
    let all = scripts();
    let nim = all.iter().find(|script| script.kind == "NIMService").expect("a script");
    let namespace = stage.namespace(nim).await;
    let object = json!({"apiVersion": "apps.nvidia.com/v1alpha1", "kind": "NIMService", "metadata": {"name": "w"}, "spec": nim.specs[0]});
    let made = post(
        &stage.client,
        &format!("/apis/apps.nvidia.com/v1alpha1/namespaces/{namespace}/nimservices"),
        &object,
    )
    .await;
    stage
        .wait(&namespace, "the first says that there are no pods", |rows| {
            rows.len() == 1 && rows[0].phase == "Creating"
        })
        .await;
    assert!(
        stage.revisor.metric("revisor_status_patches_total", "").abs() < 0.1,
        "who follows writes nothing"
    );
    // Told to stop it gives the lease up, so that the other need not wait for it to expire.
    first.signal("TERM");
    assert!(eventually(Duration::from_secs(10), || stage.revisor.metric("revisor_leader", "") > 0.5));
    let owner = reference("apps.nvidia.com/v1alpha1", "NIMService", "w", &made.uid);
    for name in ["a1", "a2"] {
        stage.pod(&namespace, name, &nim.labels[0], "nim:1", &owner, true).await;
    }
    stage
        .wait(&namespace, "the second goes on", |rows| rows[0].phase == "Running" && rows[0].ready == 2)
        .await;
}
