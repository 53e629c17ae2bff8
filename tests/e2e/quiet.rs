//! What is a change and what is not.

use crate::support::{
    DEPLOYMENT, LEADER_WORKER_SET, Meta, edit, eventually, patch, post, read, revisions, revisor,
    world,
};
use kube::Client;
use serde_json::{Value, json};
use std::time::Duration;

async fn deployment(client: &Client, namespace: &str) -> String {
    post(client, &DEPLOYMENT.path(namespace), &DEPLOYMENT.example()).await;
    format!("{}/llama-8b", DEPLOYMENT.path(namespace))
}

async fn current(client: &Client, path: &str) -> Meta {
    serde_json::from_value(read(client, path).await["metadata"].clone()).expect("metadata")
}

/// Everything is recorded, up to `last` at least.
async fn assert_recorded_through(namespace: &str, last: &Meta) {
    world()
        .oracle
        .wait_for(DEPLOYMENT.registry, &last.uid, last.generation);
    world().assert_recorded(namespace, &[DEPLOYMENT]).await;
}

fn summaries(all: &[Value]) -> Vec<String> {
    let summary = |r: &Value| {
        r["spec"]["view"]["summary"]
            .as_str()
            .expect("a summary")
            .to_owned()
    };
    all.iter().map(summary).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_and_restart_by_hand_are_one_change_each() {
    let client = world().client().await;
    revisor();
    let namespace = world().namespace("hand").await;
    let path = deployment(&client, &namespace).await;
    world().kubectl(&[
        "-n",
        &namespace,
        "scale",
        "deployment/llama-8b",
        "--replicas=3",
    ]);
    world().kubectl(&[
        "-n",
        &namespace,
        "rollout",
        "restart",
        "deployment/llama-8b",
    ]);
    let last = current(&client, &path).await;
    revisor().wait_recorded(DEPLOYMENT, last.version());
    let all = revisions(&client, &namespace).await;
    assert_eq!(summaries(&all), ["created", "replicas 1→3", "restarted"]);
    assert_eq!(
        all[1]["spec"]["via"],
        json!({"manager": "kubectl", "operation": "Update", "subresource": "scale"})
    );
    assert_recorded_through(&namespace, &last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_autoscaler_makes_no_revision() {
    let client = world().client().await;
    revisor();
    let namespace = world().namespace("hpa").await;
    let path = deployment(&client, &namespace).await;
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"minReplicas": 4, "maxReplicas": 9, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama-8b"}},
    });
    post(
        &client,
        &format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"),
        &autoscaler,
    )
    .await;
    let kubectl = || {
        world().kubectl(&[
            "-n",
            &namespace,
            "get",
            "deployment/llama-8b",
            "-o",
            "jsonpath={.spec.replicas}",
        ])
    };
    assert!(
        eventually(Duration::from_secs(60), || kubectl() == "4"),
        "the autoscaler did nothing"
    );
    let scaled = current(&client, &path).await;
    assert!(scaled.generation > 1);
    revisor().wait_recorded(DEPLOYMENT, scaled.version());
    assert_eq!(
        summaries(&revisions(&client, &namespace).await),
        ["created"]
    );
    // The recorder is not asleep: a real edit does appear, compared with what the autoscaler left.
    let edited = patch(
        &client,
        &path,
        &json!({"spec": {"template": {"spec": {"priorityClassName": ""}}, "paused": true}}),
    )
    .await;
    revisor().wait_recorded(DEPLOYMENT, edited.version());
    assert_eq!(
        summaries(&revisions(&client, &namespace).await),
        ["created", "+paused"]
    );
    assert_recorded_through(&namespace, &edited).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn annotations_move_a_deployments_generation_and_make_no_revision() {
    let client = world().client().await;
    revisor();
    let namespace = world().namespace("notes").await;
    let path = deployment(&client, &namespace).await;
    let before = current(&client, &path).await.generation;
    let noted = edit(
        &client,
        &path,
        20,
        |i| json!({"metadata": {"annotations": {"note": format!("{i}")}}}),
    )
    .await;
    assert_eq!(
        noted.generation,
        before + 20,
        "annotations move the generation of a Deployment"
    );
    revisor().wait_recorded(DEPLOYMENT, noted.version());
    assert_eq!(
        summaries(&revisions(&client, &namespace).await),
        ["created"]
    );
    let edited = patch(&client, &path, &json!({"spec": {"minReadySeconds": 5}})).await;
    revisor().wait_recorded(DEPLOYMENT, edited.version());
    let all = revisions(&client, &namespace).await;
    assert_eq!(summaries(&all), ["created", "+minReadySeconds"]);
    assert_eq!(all[1]["spec"]["generation"], edited.generation);
    assert_recorded_through(&namespace, &edited).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_selected_is_not_recorded_until_it_is() {
    let client = world().client().await;
    revisor();
    let namespace = world().namespace("select").await;
    let mut plain = DEPLOYMENT.example();
    plain["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({});
    post(&client, &DEPLOYMENT.path(&namespace), &plain).await;
    let path = format!("{}/llama-8b", DEPLOYMENT.path(&namespace));
    let edited = patch(&client, &path, &json!({"spec": {"minReadySeconds": 5}})).await;
    let mut refused = LEADER_WORKER_SET.example();
    refused["metadata"]["labels"]["revisor.dev/record"] = "false".into();
    let refused = post(&client, &LEADER_WORKER_SET.path(&namespace), &refused).await;
    revisor().wait_recorded(DEPLOYMENT, edited.version());
    revisor().wait_recorded(LEADER_WORKER_SET, refused.version());
    assert_eq!(revisions(&client, &namespace).await.len(), 0);
    let labelled = patch(
        &client,
        &path,
        &json!({"metadata": {"labels": {"revisor.dev/record": "true"}}}),
    )
    .await;
    revisor().wait_recorded(DEPLOYMENT, labelled.version());
    assert_eq!(
        summaries(&revisions(&client, &namespace).await),
        ["first seen at generation 2"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_namespace_that_refuses_only_what_asks_for_it_is_recorded() {
    let client = world().client().await;
    revisor();
    let namespace = world().namespace("refuses").await;
    world().kubectl(&["label", "namespace", &namespace, "revisor.dev/record=false"]);
    // Nothing shows that the label was seen.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let path = deployment(&client, &namespace).await;
    let edited = patch(&client, &path, &json!({"spec": {"minReadySeconds": 5}})).await;
    revisor().wait_recorded(DEPLOYMENT, edited.version());
    assert_eq!(revisions(&client, &namespace).await.len(), 0);
    let labelled = patch(
        &client,
        &path,
        &json!({"metadata": {"labels": {"revisor.dev/record": "true"}}}),
    )
    .await;
    revisor().wait_recorded(DEPLOYMENT, labelled.version());
    assert_eq!(
        summaries(&revisions(&client, &namespace).await),
        [format!("first seen at generation {}", labelled.generation)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_recorded_workload_is_not_recorded() {
    let client = world().client().await;
    revisor();
    let namespace = world().namespace("parts").await;
    let owner = post(
        &client,
        &LEADER_WORKER_SET.path(&namespace),
        &LEADER_WORKER_SET.example(),
    )
    .await;
    let mut part = DEPLOYMENT.example();
    part["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": owner.name, "uid": owner.uid, "controller": true,
    }]);
    let part = post(&client, &DEPLOYMENT.path(&namespace), &part).await;
    revisor().wait_recorded(DEPLOYMENT, part.version());
    revisor().wait_recorded(LEADER_WORKER_SET, owner.version());
    let all = revisions(&client, &namespace).await;
    assert_eq!(
        all.iter()
            .map(|r| &r["spec"]["workload"]["kind"])
            .collect::<Vec<_>>(),
        ["LeaderWorkerSet"]
    );
}
