//! Argo Rollouts: canaries, and blue and green.

use crate::scene::{Row, Scene};
use crate::stage::{Stage, is_asked_for, port};
use crate::support::{Kind, post};
use crate::way_back::WayBack;
use devcluster::Operator;
use serde_json::{Value, json};

const COLLECTION: &str = "/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts";

const ROLLOUT: Kind = Kind {
    kind: "Rollout",
    api: "apis/argoproj.io/v1alpha1",
    plural: "rollouts",
    registry: "",
};

async fn stage() -> Stage {
    let definitions = [
        "analysis-run-crd",
        "analysis-template-crd",
        "cluster-analysis-template-crd",
        "experiment-crd",
        "rollout-crd",
    ];
    let definitions = definitions.map(|name| format!("manifests/crds/{name}.yaml"));
    let definitions: Vec<_> = definitions.iter().map(String::as_str).collect();
    let mut stage = Stage::set(Operator::ArgoRollouts, &definitions).await;
    let (metrics, health) = (port(), port());
    let kubeconfig = stage.cluster.kubeconfig().display().to_string();
    let arguments = [
        "--kubeconfig",
        &kubeconfig,
        "--leader-elect=false",
        "--loglevel",
        "warn",
        "--metricsPort",
        &metrics.to_string(),
        "--healthzPort",
        &health.to_string(),
    ]
    .map(str::to_owned);
    stage.run(&arguments, &[("GOMAXPROCS".to_owned(), "1".to_owned())]);
    stage.wait_for_port(health);
    stage
}

fn rollout(name: &str, replicas: i64, strategy: &Value) -> Value {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}}, "strategy": strategy,
        "template": template(name, "vllm:1")}})
}

fn template(name: &str, image: &str) -> Value {
    let fate = if image.ends_with("crash") {
        "crash"
    } else {
        "ready"
    };
    json!({"metadata": {"labels": {"app": name}, "annotations": {"devcluster.revisor.dev/pod": fate}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [
            {"name": "vllm", "image": image, "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}})
}

fn image(name: &str, image: &str) -> Value {
    json!({"spec": {"template": template(name, image)}})
}

/// A quarter, then all of it; given up after a crash; scaled to zero.
async fn canary(stage: &mut Stage) {
    let strategy = json!({"canary": {"steps": [{"setWeight": 25}, {"pause": {}}]}});
    let workload = rollout("canary", 4, &strategy);
    let mut scene = Scene::begin(stage, COLLECTION, &workload, 5).await;
    scene.until("four pods run", |rows| rows[0].runs(4)).await;
    scene.edit("another image", image("canary", "vllm:2")).await;
    scene
        .until("a quarter is new, and the stable ones serve", |rows| {
            let paused = rows.len() == 2 && rows[1].phase == "Updating" && rows[1].ready == 1;
            paused && rows[0].phase == "Running" && rows[0].ready == 3
        })
        .await;
    scene
        .edit_status("promote", json!({"status": {"pauseConditions": null}}))
        .await;
    scene
        .until("all are new", |rows| {
            rows.len() == 2 && rows[1].runs(4) && rows[0].is_over()
        })
        .await;
    scene
        .edit("one that crashes", image("canary", "vllm:crash"))
        .await;
    scene
        .until("it fails while the stable ones serve", |rows| {
            rows.len() == 3 && rows[2].phase == "Failed" && rows[1].phase == "Running"
        })
        .await;
    scene
        .edit_status("abort", json!({"status": {"abort": true}}))
        .await;
    let rows = scene
        .until("the stable ones run", |rows| {
            rows[2].phase == "Failed" && rows[2].running == 0 && rows[1].ready == 4
        })
        .await;
    assert!(
        rows[2].message.contains("CrashLoopBackOff"),
        "the cause is kept: {}",
        rows[2].message
    );
    scene
        .edit(
            "zero",
            json!({"spec": {"replicas": 0, "template": template("canary", "vllm:2")}}),
        )
        .await;
    scene
        .until("it is stopped", |rows| {
            let newest = rows.last().expect("one");
            newest.phase == "Stopped" && rows.iter().all(Row::is_over)
        })
        .await;
}

/// The preview waits beside the active pods until it is promoted.
async fn blue_green(stage: &mut Stage) {
    let strategy = json!({"blueGreen": {"activeService": "active", "previewService": "preview",
        "autoPromotionEnabled": false, "scaleDownDelaySeconds": 3}});
    let namespace_of = |scene: &Scene<'_>| scene.namespace.clone();
    let mut scene = Scene::begin(stage, COLLECTION, &rollout("green", 2, &strategy), 2).await;
    let namespace = namespace_of(&scene);
    for name in ["active", "preview"] {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": "green"}, "ports": [{"port": 80}]}});
        let path = format!("/api/v1/namespaces/{namespace}/services");
        post(&scene.stage.client, &path, &service).await;
    }
    scene.until("two pods run", |rows| rows[0].runs(2)).await;
    scene.edit("another image", image("green", "vllm:2")).await;
    scene
        .until("the active ones serve, whatever is previewed", |rows| {
            let previewed = rows.len() == 2 && rows[1].phase == "Updating" && rows[1].ready == 2;
            previewed && rows[0].runs(2) && rows[1].outcome.is_empty()
        })
        .await;
    scene
        .edit_status("promote", json!({"status": {"pauseConditions": null}}))
        .await;
    scene
        .until("the new ones are active", |rows| {
            rows[1].runs(2) && rows[1].outcome == "Succeeded" && rows[0].is_over()
        })
        .await;
}

async fn quick(stage: &mut Stage) {
    let strategy = json!({"canary": {}});
    let scene = Scene::begin(stage, COLLECTION, &rollout("quick", 0, &strategy), 1).await;
    scene
        .edit_quickly(|number| image("quick", &format!("vllm:{}", number + 1)))
        .await;
}

async fn way_back(stage: &mut Stage) {
    WayBack {
        kind: ROLLOUT,
        file: &|number| {
            let strategy = json!({"canary": {}});
            let mut file = rollout("back", 1, &strategy);
            file["spec"]["template"] = template("back", &format!("vllm:{number}"));
            file
        },
    }
    .run(stage)
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rollouts() {
    if is_asked_for(Operator::ArgoRollouts) {
        let mut stage = stage().await;
        canary(&mut stage).await;
        blue_green(&mut stage).await;
        quick(&mut stage).await;
        way_back(&mut stage).await;
    }
}
