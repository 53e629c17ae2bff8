//! Every quick edit becomes a Revision.

use crate::support::{
    DEPLOYMENT, INFERENCE_SERVICE, KINDS, Kind, LEADER_WORKER_SET, Meta, STATEFUL_SET, edit,
    eventually, get, patch, post, read, revisions, revisor, snapshot, world,
};
use kube::Client;
use serde_json::{Value, json};
use std::time::Duration;

/// An edit that every kind takes.
fn change(kind: Kind, i: usize) -> Value {
    match kind.kind {
        "InferenceService" => {
            json!({"spec": {"predictor": {"model": {"storageUri": format!("s3://models/llama/{i}")}}}})
        }
        "LeaderWorkerSet" => json!({"spec": {"leaderWorkerTemplate": {"size": i + 3}}}),
        _ => {
            json!({"spec": {"template": {"metadata": {"annotations": {"edit": format!("number {i}")}}}}})
        }
    }
}

async fn create(client: &Client, kind: Kind, namespace: &str, name: &str) -> Meta {
    let mut object = kind.example();
    object["metadata"]["name"] = name.into();
    post(client, &kind.path(namespace), &object).await
}

fn settle(kind: Kind, last: &Meta) {
    world().wait_recorded(revisor(), kind, last);
}

/// A workload of a kind, and so many edits as fast as one connection sends them.
pub async fn create_and_edit(kind: Kind, edits: usize) {
    let client = world().client().await;
    revisor();
    let namespace = world().namespace("quick").await;
    create(&client, kind, &namespace, "w").await;
    let last = edit(
        &client,
        &format!("{}/w", kind.path(&namespace)),
        edits,
        |i| change(kind, i),
    )
    .await;
    settle(kind, &last);
    assert_eq!(
        world().assert_recorded(&namespace, &[kind]).await,
        edits + 1
    );
    world().oracle.forget(&namespace);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_and_200_edits_are_201_revisions() {
    create_and_edit(DEPLOYMENT, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_and_200_edits_are_201_revisions() {
    create_and_edit(STATEFUL_SET, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inference_service_and_200_edits_are_201_revisions() {
    create_and_edit(INFERENCE_SERVICE, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_worker_set_and_200_edits_are_201_revisions() {
    create_and_edit(LEADER_WORKER_SET, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_workloads_edited_100_times_over_8_connections() {
    many_workloads(20, 100).await;
}

/// So many workloads of every kind, each edited so many times, over eight connections.
pub async fn many_workloads(workloads: usize, edits: usize) {
    revisor();
    let namespace = world().namespace("many").await;
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0..8_usize {
        let namespace = namespace.clone();
        tasks.spawn(async move {
            let client = world().client().await;
            let mut last = Vec::new();
            for number in (connection..workloads).step_by(8) {
                let kind = KINDS[number % 4];
                let name = format!("w{number}");
                create(&client, kind, &namespace, &name).await;
                let path = format!("{}/{name}", kind.path(&namespace));
                last.push((kind, edit(&client, &path, edits, |i| change(kind, i)).await));
            }
            last
        });
    }
    for (kind, last) in tasks.join_all().await.into_iter().flatten() {
        settle(kind, &last);
    }
    assert_eq!(
        world().assert_recorded(&namespace, &KINDS).await,
        workloads * (edits + 1)
    );
    world().oracle.forget(&namespace);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_again_is_a_change_each_time() {
    let client = world().client().await;
    revisor();
    let namespace = world().namespace("back").await;
    create(&client, INFERENCE_SERVICE, &namespace, "w").await;
    let path = format!("{}/w", INFERENCE_SERVICE.path(&namespace));
    let last = edit(&client, &path, 100, |i| change(INFERENCE_SERVICE, i % 2)).await;
    settle(INFERENCE_SERVICE, &last);
    assert_eq!(
        world()
            .assert_recorded(&namespace, &[INFERENCE_SERVICE])
            .await,
        101
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_says_what_changed_through_what_and_hides_secrets() {
    let client = world().client().await;
    revisor();
    let namespace = world().namespace("view").await;
    create(&client, DEPLOYMENT, &namespace, "w").await;
    let path = format!("{}/w", DEPLOYMENT.path(&namespace));
    let mut container = DEPLOYMENT.example()["spec"]["template"]["spec"]["containers"][0].clone();
    container["image"] = "vllm/vllm-openai:v0.12.0".into();
    container["env"][0]["value"] = "hf_zyxwvutsrqponmlkjihgfedcba".into();
    container["env"][1]["value"] = "8192".into();
    let last = patch(
        &client,
        &path,
        &json!({"spec": {"template": {"spec": {"containers": [container]}}}}),
    )
    .await;
    settle(DEPLOYMENT, &last);

    let all = revisions(&client, &namespace).await;
    assert_first(&all[0]);
    assert_second(&all[1]["spec"], &last);
}

fn assert_first(first: &Value) {
    assert_eq!(first["spec"]["type"], "Baseline");
    assert_eq!(first["spec"]["view"]["summary"], "created");
    let labels = first["metadata"]["labels"]
        .as_object()
        .expect("labels")
        .keys()
        .collect::<Vec<_>>();
    assert_eq!(
        labels,
        ["revisor.dev/workload-kind", "revisor.dev/workload-uid"],
        "labels of the workload stay with it"
    );
    assert!(
        first["metadata"].get("ownerReferences").is_none(),
        "history outlives its workload"
    );
}

fn assert_second(second: &Value, last: &Meta) {
    assert_eq!(
        (&second["type"], &second["generation"]),
        (&json!("Change"), &json!(2))
    );
    assert_eq!(
        second["via"],
        json!({"manager": "e2e", "operation": "Update"})
    );
    assert_eq!(second["changeTimeSource"], "ManagedFields");
    assert_eq!(second["resourceVersion"], last.resource_version.as_str());
    assert_eq!(
        second["view"]["summary"],
        "env HF_TOKEN, env MAX_TOKENS 4096→8192, image v0.11.0→v0.12.0"
    );
    assert_eq!(
        second["view"]["images"],
        json!(["vllm/vllm-openai:v0.12.0"])
    );
    let base = "spec.template.spec.containers[vllm]";
    let expected = json!([
        {"path": format!("{base}.env[HF_TOKEN].value"), "from": "[redacted]", "to": "[redacted, changed]"},
        {"path": format!("{base}.env[MAX_TOKENS].value"), "from": "4096", "to": "8192"},
        {"path": format!("{base}.image"), "from": "vllm/vllm-openai:v0.11.0", "to": "vllm/vllm-openai:v0.12.0"},
    ]);
    assert_eq!(second["view"]["changes"], expected);
    assert!(
        !second["view"].to_string().contains("hf_"),
        "a secret is in the view"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_snapshot_is_what_its_user_wrote() {
    let client = world().client().await;
    revisor();
    let namespace = world().namespace("snapshot").await;
    let created = create(&client, DEPLOYMENT, &namespace, "w").await;
    settle(DEPLOYMENT, &created);
    let all = revisions(&client, &namespace).await;
    let snapshot: Value = serde_json::from_str(&snapshot(&all[0]).expect("data")).expect("JSON");
    let live = read(&client, &format!("{}/w", DEPLOYMENT.path(&namespace))).await;
    assert_eq!(snapshot["spec"], live["spec"]);
    let metadata = json!({"name": "w", "namespace": namespace, "labels": {"app": "llama-8b", "team": "search"}});
    assert_eq!(snapshot["metadata"], metadata);
    assert_eq!(
        (&snapshot["apiVersion"], &snapshot["kind"]),
        (&json!("apps/v1"), &json!("Deployment"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_api_lists_newest_first() {
    let client = world().client().await;
    let revisor = revisor();
    let namespace = world().namespace("rest").await;
    let created = create(&client, INFERENCE_SERVICE, &namespace, "w").await;
    let path = format!("{}/w", INFERENCE_SERVICE.path(&namespace));
    edit(&client, &path, 2, |i| change(INFERENCE_SERVICE, i)).await;
    let url = format!(
        "/api/v1/workloads/inferences/{}/revisions?",
        created.uid.to_uppercase()
    );
    let generations = || {
        let (_, body) = get(revisor.rest, &url)?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        let list = answer["revisions"].as_array()?.clone();
        Some(
            list.iter()
                .map(|r| {
                    r["additionalFields"]["generation"]
                        .as_i64()
                        .expect("a number")
                })
                .collect::<Vec<_>>(),
        )
    };
    assert!(
        eventually(Duration::from_secs(20), || generations()
            == Some(vec![3, 2, 1])),
        "{:?}",
        generations()
    );
    for (path, status, text) in [
        (
            "/api/v1/workloads/inferences/nonsense/revisions",
            400,
            "workloadId: \\\"nonsense\\\"",
        ),
        (
            "/api/v1/workloads/inferences/00000000-0000-0000-0000-000000000001/revisions",
            404,
            "\"code\":404",
        ),
        ("/nothing", 404, "\"code\":404"),
    ] {
        let (code, body) = get(revisor.rest, path).expect("an answer");
        assert!(
            code == status && body.contains(text),
            "{path}: {code} {body}"
        );
    }
}
