//! KServe in its Standard mode: InferenceServices made of Deployments.

use crate::scene::{Row, Scene};
use crate::stage::{Stage, is_asked_for, port};
use crate::support::INFERENCE_SERVICE;
use crate::way_back::WayBack;
use crate::webhooks;
use devcluster::Operator;
use serde_json::{Value, json};

const COLLECTION: &str = "/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices";

async fn stage() -> Stage {
    let definitions = [
        "clusterservingruntimes",
        "clusterstoragecontainers",
        "inferencegraphs",
        "inferenceservices",
        "localmodelcaches",
        "localmodelnodegroups",
        "localmodelnodes",
        "servingruntimes",
        "trainedmodels",
    ];
    let definitions =
        definitions.map(|name| format!("config/crd/full/serving.kserve.io_{name}.yaml"));
    let definitions: Vec<_> = definitions.iter().map(String::as_str).collect();
    let mut stage = Stage::set(Operator::KServe, &definitions).await;
    stage.kubectl(&["create", "namespace", "kserve"]);
    configure(&stage);
    let (webhook, health) = (port(), port());
    let folder = stage.folder("kserve");
    stage.certificates(&folder.join("k8s-webhook-server/serving-certs"));
    let kubeconfig = stage.cluster.kubeconfig().display().to_string();
    let arguments = [
        "--webhook-port",
        &webhook.to_string(),
        "--metrics-addr",
        "0",
        "--health-probe-addr",
        &format!("127.0.0.1:{health}"),
        "--zap-log-level=error",
    ]
    .map(str::to_owned);
    let environment = [
        ("KUBECONFIG", kubeconfig),
        ("TMPDIR", folder.display().to_string()),
        ("POD_NAMESPACE", "kserve".to_owned()),
        ("GOMAXPROCS", "1".to_owned()),
    ];
    stage.run(
        &arguments,
        &environment.map(|(name, value)| (name.to_owned(), value)),
    );
    stage.wait_for_port(webhook);
    webhooks::apply(&stage, "config/webhook/manifests.yaml", webhook);
    stage
}

/// Its own configuration, with Deployments in place of Knative's Services.
fn configure(stage: &Stage) {
    let path = stage
        .files
        .manifests
        .join("config/configmap/inferenceservice.yaml");
    let text = std::fs::read_to_string(path).expect("a configuration");
    let mut configuration: Value = serde_saphyr::from_str(&text).expect("YAML");
    let data = configuration["data"].as_object_mut().expect("data");
    data.remove("_example");
    let mode = json!({"defaultDeploymentMode": "Standard"});
    data.insert("deploy".to_owned(), mode.to_string().into());
    stage
        .cluster
        .apply(&configuration.to_string())
        .expect("a configuration");
}

fn service(name: &str) -> Value {
    json!({"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": name},
        "spec": {"predictor": predictor("vllm:1")}})
}

fn predictor(image: &str) -> Value {
    let fate = if image.ends_with("crash") {
        "crash"
    } else {
        "ready"
    };
    json!({"minReplicas": 2, "annotations": {"devcluster.revisor.dev/pod": fate}, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "kserve-container", "image": image, "resources": {"limits": {"nvidia.com/gpu": "1"}}}]})
}

/// A part of its own; it needs no GPU.
fn transformer(image: &str) -> Value {
    json!({"minReplicas": 1, "terminationGracePeriodSeconds": 1, "containers": [{"name": "kserve-container", "image": image}]})
}

/// Rolled, failed, taken back, stopped by its user and started again, deleted.
async fn life(stage: &mut Stage) {
    let mut scene = Scene::begin(stage, COLLECTION, &service("life"), 6).await;
    scene.until("both pods run", |rows| rows[0].runs(2)).await;
    let image = |image| json!({"spec": {"predictor": predictor(image)}});
    scene.edit("another image", image("vllm:2")).await;
    scene
        .until("it is rolled", |rows| {
            rows.len() == 2 && rows[1].runs(2) && rows[0].is_over()
        })
        .await;
    scene
        .edit("an image that crashes", image("vllm:crash"))
        .await;
    scene
        .until("it fails while the others serve", |rows| {
            rows.len() == 3 && rows[2].phase == "Failed" && rows[1].phase == "Running"
        })
        .await;
    scene.edit("back", image("vllm:2")).await;
    scene
        .until("the failed one holds nothing", |rows| {
            rows.len() == 4 && rows[3].runs(2) && rows[2].phase == "Failed" && rows[2].is_over()
        })
        .await;
    let stop = |value| json!({"metadata": {"annotations": {"serving.kserve.io/stop": value}}});
    scene.edit("stop", stop(json!("true"))).await;
    scene
        .until("it is stopped", |rows| {
            rows[3].phase == "Stopped" && rows.iter().all(Row::is_over)
        })
        .await;
    scene.edit("start", stop(Value::Null)).await;
    scene
        .until("it runs again", |rows| rows.len() == 4 && rows[3].runs(2))
        .await;
    scene.delete().await;
    scene
        .until("all is over", |rows| rows.iter().all(Row::is_over))
        .await;
}

/// One part changes, the other one's pods stay.
async fn parts(stage: &mut Stage) {
    let mut workload = service("parts");
    workload["spec"]["transformer"] = transformer("transform:1");
    let mut scene = Scene::begin(stage, COLLECTION, &workload, 1).await;
    scene.until("three pods run", |rows| rows[0].runs(3)).await;
    scene
        .edit(
            "another predictor",
            json!({"spec": {"predictor": predictor("vllm:2")}}),
        )
        .await;
    scene
        .until("the transformer counts for the newest", |rows| {
            rows.len() == 2 && rows[1].runs(3) && rows[0].is_over()
        })
        .await;
}

async fn quick(stage: &mut Stage) {
    let mut workload = service("quick");
    workload["metadata"]["annotations"] = json!({"serving.kserve.io/stop": "true"});
    let scene = Scene::begin(stage, COLLECTION, &workload, 1).await;
    scene
        .edit_quickly(
            |number| json!({"spec": {"predictor": predictor(&format!("vllm:{}", number + 1))}}),
        )
        .await;
}

async fn way_back(stage: &mut Stage) {
    WayBack {
        kind: INFERENCE_SERVICE,
        file: &|number| {
            let mut file = service("back");
            file["spec"]["predictor"] = predictor(&format!("vllm:{number}"));
            file
        },
    }
    .run(stage)
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inference_services() {
    if is_asked_for(Operator::KServe) {
        let mut stage = stage().await;
        life(&mut stage).await;
        parts(&mut stage).await;
        quick(&mut stage).await;
        way_back(&mut stage).await;
    }
}
