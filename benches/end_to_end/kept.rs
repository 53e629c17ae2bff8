//! What is kept of 201 quick edits of one object: by Revisor, by a level-triggered controller, by Kubernetes itself.

use crate::outage::{count, items};
use crate::support::{
    DEPLOYMENT, INFERENCE_SERVICE, Revisor, STATEFUL_SET, World, edit, patch, post,
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

/// Measures and prints.
pub(crate) async fn run(met: &mut bool) {
    let options = Options {
        controller_manager: true,
        ..Options::minimal()
    };
    let world = tokio::task::spawn_blocking(move || World::start(&options))
        .await
        .expect("a cluster");
    let client = world.client().await;
    let namespace = world.namespace("kept").await;
    let revisor = Revisor::start(world.cluster.kubeconfig(), &[]);
    let controller = tokio::spawn(controller(client.clone(), namespace.clone()));
    for kind in [INFERENCE_SERVICE, STATEFUL_SET, DEPLOYMENT] {
        post(&client, &kind.path(&namespace), &kind.example()).await;
    }
    let uri =
        |i: usize| json!({"spec": {"predictor": {"model": {"storageUri": format!("s3://m/{i}")}}}});
    let touch = |i: usize| json!({"spec": {"template": {"metadata": {"annotations": {"touched": i.to_string()}}}}});
    let name = |kind: crate::support::Kind| {
        kind.example()["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned()
    };
    let path = |kind: crate::support::Kind| format!("{}/{}", kind.path(&namespace), name(kind));
    edit(&client, &path(INFERENCE_SERVICE), EDITS, uri).await;
    edit(&client, &path(STATEFUL_SET), EDITS, touch).await;
    let last = edit(&client, &path(DEPLOYMENT), EDITS, touch).await;
    for kind in [INFERENCE_SERVICE, STATEFUL_SET, DEPLOYMENT] {
        revisor.wait_recorded(
            kind,
            if kind.kind == "Deployment" {
                last.version()
            } else {
                1
            },
        );
        patch(
            &client,
            &path(kind),
            &json!({"metadata": {"labels": {"done": "yes"}}}),
        )
        .await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    controller.abort();
    let revisions = items(
        &client,
        &format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions"),
    )
    .await;
    let of = |kind: &str| {
        revisions
            .iter()
            .filter(|r: &&Value| r["spec"]["workload"]["kind"] == kind)
            .count()
    };
    let maps = items(
        &client,
        &format!("/api/v1/namespaces/{namespace}/configmaps"),
    )
    .await;
    let reconciled = maps
        .iter()
        .filter(|m| {
            m["metadata"]["name"]
                .as_str()
                .is_some_and(|n| n.starts_with("seen-"))
        })
        .count();
    let controller_revisions = count(
        &client,
        &format!("/apis/apps/v1/namespaces/{namespace}/controllerrevisions"),
    )
    .await;
    let replica_sets = count(
        &client,
        &format!("/apis/apps/v1/namespaces/{namespace}/replicasets"),
    )
    .await;
    println!(
        "\n| one creation and {EDITS} edits as fast as one connection sends them | kept |\n|---|---|"
    );
    for (kind, kept) in
        ["InferenceService", "StatefulSet", "Deployment"].map(|kind| (kind, of(kind)))
    {
        println!("| Revisor, {kind} | {kept} |");
        *met &= kept == EDITS + 1;
    }
    println!(
        "| a kube-rs `Controller` that creates one object per reconcile, InferenceService | {reconciled} |"
    );
    println!("| ControllerRevisions of the StatefulSet | {controller_revisions} |");
    println!("| ReplicaSets of the Deployment | {replica_sets} |");
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
