//! Quotas that let no more Revisions into a namespace: statuses and recording go on elsewhere.

use super::history::History;
use super::stage::{AFTER_A_HOLD, UNHELD, assert_nothing_lost, stage, until};
use crate::support::{DEPLOYMENT, Revisor, World, patch, post, revisions, send};
use crate::traffic::noise;
use devcluster::Options;
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const COUNT: &str = "count/revisions.revisor.dev";
/// Deployments that roll while a quota holds another namespace.
const ROLLING: usize = 40;
/// Four times the ten seconds within which each of their statuses arrives.
const STATUSES: Duration = Duration::from_secs(40);

/// Lets so many Revisions into a namespace. The status of the quota is written here too: its
/// controller learns of new definitions only twice a minute.
pub async fn limit(history: &History, revisions: usize) {
    let quotas = format!("/api/v1/namespaces/{}/resourcequotas", history.namespace);
    let hard = json!({COUNT: revisions.to_string()});
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
        "spec": {"hard": hard},
    });
    post(&history.client, &quotas, &quota).await;
    let used = json!({COUNT: history.revisions().await.len().to_string()});
    let status = json!({"status": {"hard": hard, "used": used}});
    patch(&history.client, &format!("{quotas}/q/status"), &status).await;
    // The API server enforces it when its own watch has shown it.
    sleep(Duration::from_secs(1)).await;
}

/// Lifts the quota of a namespace.
pub async fn lift(history: &History) {
    let path = format!("/api/v1/namespaces/{}/resourcequotas/q", history.namespace);
    let (code, body) = send(
        &history.client,
        Method::DELETE,
        &path,
        "application/json",
        "",
    )
    .await;
    assert_eq!(code, 200, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_arrive_while_a_quota_holds_another_namespace() {
    statuses_beside_a_quota(Duration::from_secs(15)).await;
}

/// A quota is exceeded for `time`. Deployments elsewhere roll at its beginning and at its end.
pub async fn statuses_beside_a_quota(time: Duration) {
    let (world, revisor) = stage();
    let full = History::recorded(world, "full").await;
    limit(&full, 2).await;
    let last = full.edit("w0", 0..10).await;
    let began = Instant::now();
    let rolling = world.namespace("rolling").await;
    for number in 0..ROLLING {
        let server = server(&format!("d{number}"));
        post(&full.client, &DEPLOYMENT.path(&rolling), &server).await;
    }
    wait_statuses(&full.client, &rolling, "vllm:1").await;
    sleep(time.saturating_sub(began.elapsed())).await;
    for number in 0..ROLLING {
        let path = format!("{}/d{number}", DEPLOYMENT.path(&rolling));
        let rolled = json!({"spec": {"template": template("vllm:2")}});
        patch(&full.client, &path, &rolled).await;
    }
    wait_statuses(&full.client, &rolling, "vllm:2").await;
    assert!(full.revisions().await.len() <= 2, "the quota held nothing");
    lift(&full).await;
    assert_eq!(full.assert_complete(&last, AFTER_A_HOLD).await, 11);
    assert_nothing_lost(revisor);
}

/// A Deployment that is recorded for its label, with one pod that becomes ready.
fn server(name: &str) -> Value {
    let mut template = template("vllm:1");
    template["metadata"] = json!({"labels": {"app": name}});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "labels": {"revisor.dev/record": "true"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    })
}

fn template(image: &str) -> Value {
    json!({"spec": {"terminationGracePeriodSeconds": 1, "containers": [
        {"name": "vllm", "image": image, "resources": {"requests": {"cpu": "100m"}}},
    ]}})
}

/// Waits until the Revision with this image has a phase, of every Deployment.
async fn wait_statuses(client: &Client, namespace: &str, image: &str) {
    let has_status = |r: &&Value| {
        r["spec"]["view"]["images"] == json!([image]) && r["status"]["phase"].is_string()
    };
    let all = async || {
        let stored = revisions(client, namespace).await;
        stored.iter().filter(has_status).count() == ROLLING
    };
    let wanted = format!("{ROLLING} statuses of {image}");
    until(STATUSES, &wanted, all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_namespace_takes_no_more_than_its_share_of_the_queue() {
    let own = World::start(&Options::minimal());
    let revisor = Revisor::start(own.cluster.kubeconfig(), &["--queue-bytes=1MiB"]);
    let full = History::recorded(&own, "full").await;
    limit(&full, 1).await;
    let mut last = None;
    for number in 0..40 {
        let blob = json!({"spec": {"blob": noise(number, 60_000)}});
        last = Some(patch(&full.client, &full.path("w0"), &blob).await);
    }
    let last = last.expect("edits");
    let free = History::begin(&own, "free").await;
    let created = free.create("w0").await;
    free.assert_complete(&created, UNHELD).await;
    let edited = free.edit("w0", 0..5).await;
    assert_eq!(free.assert_complete(&edited, UNHELD).await, 6);
    assert_eq!(full.revisions().await.len(), 1, "the quota held nothing");
    lift(&full).await;
    assert_eq!(full.assert_complete(&last, AFTER_A_HOLD).await, 41);
    assert_nothing_lost(&revisor);
}
