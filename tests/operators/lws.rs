//! LeaderWorkerSet: groups of a leader and its workers.

use crate::scene::Scene;
use crate::stage::{Stage, is_asked_for, port};
use crate::support::Kind;
use crate::way_back::WayBack;
use crate::webhooks;
use devcluster::Operator;
use serde_json::{Value, json};

const COLLECTION: &str =
    "/apis/leaderworkerset.x-k8s.io/v1/namespaces/{namespace}/leaderworkersets";

const LEADER_WORKER_SET: Kind = Kind {
    kind: "LeaderWorkerSet",
    api: "apis/leaderworkerset.x-k8s.io/v1",
    plural: "leaderworkersets",
    registry: "",
};

/// The kubelets of the cluster cannot pull it. A container that crashes would have its group made anew for ever.
const NO_SUCH_IMAGE: &str = "registry.k8s.io/pause:no-such-tag";

async fn stage() -> Stage {
    let definitions = ["config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml"];
    let mut stage = Stage::set(Operator::Lws, &definitions).await;
    let (webhook, health) = (port(), port());
    let folder = stage.folder("lws");
    stage.certificates(&folder);
    let config = folder.join("config.json");
    let text = json!({
        "apiVersion": "config.lws.x-k8s.io/v1alpha1", "kind": "Configuration",
        "leaderElection": {"leaderElect": false}, "internalCertManagement": {"enable": false},
        "webhook": {"host": "127.0.0.1", "port": webhook, "certDir": folder},
        "metrics": {"bindAddress": "0"}, "health": {"healthProbeBindAddress": format!("127.0.0.1:{health}")},
    });
    std::fs::write(&config, text.to_string()).expect("a configuration");
    let kubeconfig = stage.cluster.kubeconfig().display().to_string();
    let arguments = ["--kubeconfig", &kubeconfig, "--config"].map(str::to_owned);
    let arguments = [arguments.to_vec(), vec![config.display().to_string()]].concat();
    stage.run(&arguments, &[("GOMAXPROCS".to_owned(), "1".to_owned())]);
    stage.wait_for_port(webhook);
    webhooks::apply(&stage, "config/webhook/manifests.yaml", webhook);
    stage
}

/// Groups of two pods with a GPU each.
fn groups(name: &str, image: &str, replicas: i64) -> Value {
    json!({"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "metadata": {"name": name},
        "spec": {"replicas": replicas, "leaderWorkerTemplate": template(image)}})
}

fn template(image: &str) -> Value {
    json!({"size": 2, "workerTemplate": {
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [
            {"name": "vllm", "image": image, "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}}})
}

fn image(image: &str) -> Value {
    json!({"spec": {"leaderWorkerTemplate": template(image)}})
}

fn partition(partition: i64) -> Value {
    json!({"spec": {"rolloutStrategy": {"type": "RollingUpdate", "rollingUpdateConfiguration": {"partition": partition, "maxUnavailable": 1, "maxSurge": 0}}}})
}

/// Rolled, failed, taken back, scaled to zero and back, deleted while it rolls, and made again.
async fn life(stage: &mut Stage) {
    let workload = groups("life", "vllm:1", 2);
    let mut scene = Scene::begin(stage, COLLECTION, &workload, 7).await;
    scene.until("both groups run", |rows| rows[0].runs(4)).await;
    scene.edit("another image", image("vllm:2")).await;
    scene
        .until("it is rolled", |rows| {
            rows.len() == 2 && rows[1].runs(4) && rows[0].is_over()
        })
        .await;
    scene
        .edit("an image that is not there", image(NO_SUCH_IMAGE))
        .await;
    scene
        .until("it fails while the other group serves", |rows| {
            rows.len() == 3 && rows[2].phase == "Failed" && rows[1].phase == "Running"
        })
        .await;
    scene.edit("back", image("vllm:2")).await;
    scene
        .until("the failed one holds nothing", |rows| {
            rows.len() == 4 && rows[3].runs(4) && rows[2].phase == "Failed" && rows[2].is_over()
        })
        .await;
    scene.edit("zero", json!({"spec": {"replicas": 0}})).await;
    let rows = scene
        .until("it is stopped", |rows| {
            rows.len() == 5 && rows[4].phase == "Stopped" && rows[4].is_over()
        })
        .await;
    assert_eq!(rows[4].reason, "ScaledToZero");
    scene
        .edit("up again", json!({"spec": {"replicas": 2}}))
        .await;
    scene
        .until("it runs again", |rows| rows.len() == 6 && rows[5].runs(4))
        .await;
    scene.edit("a last image", image("vllm:3")).await;
    scene.delete().await;
    scene
        .until("all is over", |rows| {
            rows.len() == 7 && rows.iter().all(super::scene::Row::is_over)
        })
        .await;
    scene.create(&workload).await;
    scene
        .until(
            "the new one runs, and nothing of the old one does",
            |rows| {
                rows.len() == 8
                    && rows[7].runs(4)
                    && rows[..7].iter().all(super::scene::Row::is_over)
            },
        )
        .await;
}

/// A partition keeps a group of the older template; the next change completes the rollout.
async fn partitioned(stage: &mut Stage) {
    let mut scene = Scene::begin(stage, COLLECTION, &groups("part", "vllm:1", 2), 2).await;
    scene.until("both groups run", |rows| rows[0].runs(4)).await;
    let mut half = image("vllm:2");
    half["spec"]["rolloutStrategy"] = partition(1)["spec"]["rolloutStrategy"].clone();
    scene.edit("half of it", half).await;
    scene
        .until("one group of each runs", |rows| {
            let paused = rows.len() == 2 && rows[1].phase == "Updating" && rows[1].ready == 2;
            paused && rows[0].phase == "Running" && rows[0].ready == 2
        })
        .await;
    scene.edit("all of it", partition(0)).await;
    scene
        .until("the change is completed by the next", |rows| {
            rows.len() == 3
                && rows[2].runs(4)
                && rows[1].outcome == "Succeeded"
                && rows[0].is_over()
        })
        .await;
}

async fn quick(stage: &mut Stage) {
    let scene = Scene::begin(stage, COLLECTION, &groups("quick", "vllm:0", 0), 1).await;
    scene
        .edit_quickly(|number| image(&format!("vllm:{number}")))
        .await;
}

async fn way_back(stage: &mut Stage) {
    WayBack {
        kind: LEADER_WORKER_SET,
        file: &|number| groups("back", &format!("vllm:{number}"), 1),
    }
    .run(stage)
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_worker_sets() {
    if is_asked_for(Operator::Lws) {
        let mut stage = stage().await;
        life(&mut stage).await;
        partitioned(&mut stage).await;
        quick(&mut stage).await;
        way_back(&mut stage).await;
    }
}
