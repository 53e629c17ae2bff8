//! What is kept of 201 quick edits of one object: by Revisor, by a level-triggered controller, by Kubernetes itself.

use crate::outage::{count, items};
use crate::support::{
    DEPLOYMENT, INFERENCE_SERVICE, Kind, Revisor, STATEFUL_SET, edit, patch, post,
};
use devcluster::Options;
use futures::StreamExt;
use kube::api::{DynamicObject, ObjectMeta, PostParams};
use kube::runtime::controller::Action;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const EDITS: usize = 200;

const RECORDED: [Kind; 3] = [INFERENCE_SERVICE, STATEFUL_SET, DEPLOYMENT];

/// Measures and prints.
pub(crate) async fn run(met: &mut bool) {
    let options = Options {
        controller_manager: true,
        ..Options::minimal()
    };
    let world = crate::world(options).await;
    let client = world.client().await;
    let namespace = world.namespace("kept").await;
    let revisor = Revisor::start(world.cluster.kubeconfig(), &[]);
    let controller = tokio::spawn(controller(client.clone(), namespace.clone()));
    edit_quickly(&client, &namespace, &revisor).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    controller.abort();
    println!(
        "\n| one creation and {EDITS} edits as fast as one connection sends them | kept |\n|---|---|"
    );
    let path = format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions");
    let revisions = items(&client, &path).await;
    for kind in RECORDED.map(|kind| kind.kind) {
        let of = |r: &&Value| r["spec"]["workload"]["kind"] == kind;
        let kept = revisions.iter().filter(of).count();
        println!("| Revisor, {kind} | {kept} |");
        *met &= kept == EDITS + 1;
    }
    print_others(&client, &namespace).await;
}

/// Makes a workload of each kind and edits it; then each gets a label, so that all that is kept of it is written.
async fn edit_quickly(client: &Client, namespace: &str, revisor: &Revisor) {
    let uri =
        |i: usize| json!({"spec": {"predictor": {"model": {"storageUri": format!("s3://m/{i}")}}}});
    let touch = |i: usize| json!({"spec": {"template": {"metadata": {"annotations": {"touched": i.to_string()}}}}});
    let path = |kind: Kind| {
        let name = kind.example()["metadata"]["name"].clone();
        format!(
            "{}/{}",
            kind.path(namespace),
            name.as_str().expect("a name")
        )
    };
    for kind in RECORDED {
        post(client, &kind.path(namespace), &kind.example()).await;
    }
    edit(client, &path(INFERENCE_SERVICE), EDITS, uri).await;
    edit(client, &path(STATEFUL_SET), EDITS, touch).await;
    let last = edit(client, &path(DEPLOYMENT), EDITS, touch).await;
    for kind in RECORDED {
        let version = if kind.kind == "Deployment" {
            last.version()
        } else {
            1
        };
        revisor.wait_recorded(kind, version);
        let label = json!({"metadata": {"labels": {"done": "yes"}}});
        patch(client, &path(kind), &label).await;
    }
}

/// What a controller and Kubernetes itself keep.
async fn print_others(client: &Client, namespace: &str) {
    let maps = items(
        client,
        &format!("/api/v1/namespaces/{namespace}/configmaps"),
    )
    .await;
    let seen = |map: &&Value| {
        let name = map["metadata"]["name"].as_str();
        name.is_some_and(|name| name.starts_with("seen-"))
    };
    let reconciled = maps.iter().filter(seen).count();
    println!(
        "| a kube-rs `Controller` that creates one object per reconcile, InferenceService | {reconciled} |"
    );
    for (title, plural) in [
        (
            "ControllerRevisions of the StatefulSet",
            "controllerrevisions",
        ),
        ("ReplicaSets of the Deployment", "replicasets"),
    ] {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/{plural}");
        println!("| {title} | {} |", count(client, &path).await);
    }
}

/// The way controllers are usually written: whatever is there when it comes to look is kept.
async fn controller(client: Client, namespace: String) {
    let resource = kube::core::ApiResource {
        group: "serving.kserve.io".into(),
        version: "v1beta1".into(),
        api_version: "serving.kserve.io/v1beta1".into(),
        kind: "InferenceService".into(),
        plural: "inferenceservices".into(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(client, &namespace);
    let reconcile = |object: Arc<DynamicObject>,
                     maps: Arc<Api<k8s_openapi::api::core::v1::ConfigMap>>| async move {
        let generation = object.metadata.generation.unwrap_or_default();
        let name = format!("seen-{}-{generation}", object.name_any());
        let map = k8s_openapi::api::core::v1::ConfigMap {
            metadata: ObjectMeta {
                name: Some(name),
                ..ObjectMeta::default()
            },
            ..k8s_openapi::api::core::v1::ConfigMap::default()
        };
        match maps.create(&PostParams::default(), &map).await {
            Ok(_) => Ok(Action::await_change()),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Action::await_change()),
            Err(error) => Err(error),
        }
    };
    let failed = |_: Arc<DynamicObject>, _: &kube::Error, _: Arc<Api<_>>| {
        Action::requeue(Duration::from_millis(100))
    };
    Controller::new_with(api, watcher::Config::default(), resource)
        .run(reconcile, failed, Arc::new(maps))
        .for_each(|_| async {})
        .await;
}
