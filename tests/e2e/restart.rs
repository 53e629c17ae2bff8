//! Starting again, two at once, ending in order, and kinds and API servers that come and go.

use crate::faults::{role, service_account};
use crate::support::{
    DEPLOYMENT, INFERENCE_SERVICE, Revisor, World, edit, eventually, patch, post, read, revisions,
    world,
};
use devcluster::{Component, Options};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

fn uri(i: usize) -> Value {
    json!({"spec": {"predictor": {"model": {"storageUri": format!("s3://m/{i}")}}}})
}

fn versions(all: &[Value]) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    all.iter()
        .map(|r| {
            (
                text(&r["metadata"]["name"]),
                text(&r["metadata"]["resourceVersion"]),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_writes_nothing_that_is_there_and_goes_on_where_it_was() {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("again").await;
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(&namespace));
    let first = Revisor::start(own.cluster.kubeconfig(), &[]);
    post(
        &client,
        &INFERENCE_SERVICE.path(&namespace),
        &INFERENCE_SERVICE.example(),
    )
    .await;
    let deployment = post(&client, &DEPLOYMENT.path(&namespace), &DEPLOYMENT.example()).await;
    let last = edit(&client, &path, 30, uri).await;
    first.wait_recorded(INFERENCE_SERVICE, last.version());
    first.wait_recorded(DEPLOYMENT, deployment.version());
    drop(first);
    let before = versions(&revisions(&client, &namespace).await);
    assert_eq!(before.len(), 32);

    let second = Revisor::start(own.cluster.kubeconfig(), &[]);
    assert_eq!(versions(&revisions(&client, &namespace).await), before);
    for metric in [
        "revisor_revisions_recorded_total",
        "revisor_revisions_present_total",
        "revisor_revisions_drift_total",
    ] {
        assert!(
            second.metric(metric, "").abs() < 0.5,
            "{metric}: a restart asks nothing and writes nothing"
        );
    }
    // The first edit after a restart is compared with the stored snapshot, and knows what changed.
    let last = patch(&client, &path, &uri(1000)).await;
    second.wait_recorded(INFERENCE_SERVICE, last.version());
    let all = revisions(&client, &namespace).await;
    let newest = all
        .iter()
        .find(|r| r["spec"]["generation"] == last.generation)
        .expect("recorded");
    assert_eq!(newest["spec"]["view"]["changes"][0]["to"], "s3://m/1000");
    assert!(second.metric("revisor_generation_holes_total", "").abs() < 0.5);
    own.oracle
        .wait_for(INFERENCE_SERVICE.registry, &last.uid, last.generation);
    own.assert_recorded(&namespace, &[INFERENCE_SERVICE, DEPLOYMENT])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_write_one_set() {
    two_at_once(100).await;
}

/// Two processes record the same creation and `edits` edits.
pub async fn two_at_once(edits: usize) {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("two").await;
    let both = [
        Revisor::start(own.cluster.kubeconfig(), &[]),
        Revisor::start(own.cluster.kubeconfig(), &[]),
    ];
    post(
        &client,
        &INFERENCE_SERVICE.path(&namespace),
        &INFERENCE_SERVICE.example(),
    )
    .await;
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(&namespace));
    let last = edit(&client, &path, edits, uri).await;
    own.oracle
        .wait_for(INFERENCE_SERVICE.registry, &last.uid, last.generation);
    let total = |metric: &str| {
        both.iter()
            .map(|r| r.metric(metric, "InferenceService"))
            .sum::<f64>()
    };
    for revisor in &both {
        revisor.wait_recorded(INFERENCE_SERVICE, last.version());
    }
    assert_eq!(
        own.assert_recorded(&namespace, &[INFERENCE_SERVICE]).await,
        edits + 1
    );
    let all = f64::from(u32::try_from(edits + 1).expect("small"));
    assert!((total("revisor_revisions_recorded_total") - all).abs() < 0.5);
    assert!((total("revisor_revisions_present_total") - all).abs() < 0.5);
    assert!(total("revisor_revisions_drift_total").abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_writes_what_is_waiting() {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("term").await;
    let kubeconfig = service_account(&own);
    let mut revisor = Revisor::start(&kubeconfig, &["--writers=1", "--drain-seconds=60"]);
    post(
        &client,
        &INFERENCE_SERVICE.path(&namespace),
        &INFERENCE_SERVICE.example(),
    )
    .await;
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(&namespace));
    own.cluster.apply(&role(false)).expect("a role");
    // The API server's own view of roles lags a little.
    let held = || revisor.metric("revisor_write_held", "Forbidden") > 0.5;
    for i in 0..100 {
        patch(&client, &path, &uri(1000 + i)).await;
        if eventually(Duration::from_millis(200), held) {
            break;
        }
    }
    assert!(held(), "{}", revisor.log());
    let last = edit(&client, &path, 100, uri).await;
    let waiting = || revisor.metric("revisor_queue_length", "");
    assert!(
        eventually(Duration::from_secs(20), || waiting() > 99.5),
        "{} are waiting",
        waiting()
    );
    revisor.signal("TERM");
    assert!(
        !eventually(Duration::from_secs(2), || !revisor.is_alive()),
        "it did not wait:\n{}",
        revisor.log()
    );
    assert!(waiting() > 99.5, "{} are waiting", waiting());
    own.cluster.apply(&role(true)).expect("a role");
    assert!(
        eventually(Duration::from_secs(40), || !revisor.is_alive()),
        "still running:\n{}",
        revisor.log()
    );
    assert_eq!(revisor.exit_code(), 0);
    assert!(
        revisor.log().contains("everything is written"),
        "{}",
        revisor.log()
    );
    own.oracle
        .wait_for(INFERENCE_SERVICE.registry, &last.uid, last.generation);
    assert!(own.assert_recorded(&namespace, &[INFERENCE_SERVICE]).await > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("twice").await;
    post(
        &client,
        &INFERENCE_SERVICE.path(&namespace),
        &INFERENCE_SERVICE.example(),
    )
    .await;
    // Without the definition nothing can be written; the rest of the edits waits.
    let mut stuck = Revisor::start(own.cluster.kubeconfig(), &["--drain-seconds=60"]);
    own.kubectl(&["delete", "crd", "revisions.revisor.dev"]);
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(&namespace));
    let held = || stuck.metric("revisor_write_held", "CustomResourceDefinitionMissing") > 0.5;
    // The API server goes on serving a deleted definition for a moment.
    for i in 0..20 {
        patch(&client, &path, &uri(1000 + i)).await;
        if eventually(Duration::from_secs(1), held) {
            break;
        }
    }
    assert!(held(), "{}", stuck.log());
    stuck.signal("TERM");
    assert!(
        !eventually(Duration::from_secs(2), || !stuck.is_alive()),
        "it did not wait"
    );
    stuck.signal("TERM");
    assert!(
        eventually(Duration::from_secs(5), || !stuck.is_alive()),
        "the second signal did not end it"
    );
    assert_eq!(stuck.exit_code(), 130);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_installed_later_is_picked_up() {
    let mut config = tempfile::NamedTempFile::new().expect("a file");
    let kind = "kinds:\n- {kind: Late, group: e2e.example.com, versions: [v2, v1], plural: lates, select: always}\n";
    config.write_all(kind.as_bytes()).expect("written");
    let file = config.path().display().to_string();
    let revisor = Revisor::start(world().cluster.kubeconfig(), &["--config", &file]);
    let client = world().client().await;
    let namespace = world().namespace("late").await;
    world().define(include_str!("../fixtures/crds/lates.yaml"));
    let watching = || {
        revisor.log().contains("watching kind=\"Late\"")
            || revisor.metric("revisor_lists_total", "Late") > 0.5
    };
    assert!(
        eventually(Duration::from_secs(10), watching),
        "{}",
        revisor.log()
    );
    let object = json!({"apiVersion": "e2e.example.com/v1", "kind": "Late", "metadata": {"name": "l"}, "spec": {"a": 1}});
    let path = format!("/apis/e2e.example.com/v1/namespaces/{namespace}/lates");
    let created = post(&client, &path, &object).await;
    let through = || revisor.metric("revisor_recorded_resource_version", "Late");
    #[allow(clippy::cast_precision_loss)]
    let reached = || through() >= created.version() as f64;
    assert!(
        eventually(Duration::from_secs(20), reached),
        "{}",
        revisor.log()
    );
    assert_eq!(revisions(&client, &namespace).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_restarts_loses_nothing_that_comes_after() {
    let own = World::start(&Options::minimal());
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let namespace = own.namespace("server").await;
    let client = own.client().await;
    post(
        &client,
        &INFERENCE_SERVICE.path(&namespace),
        &INFERENCE_SERVICE.example(),
    )
    .await;
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(&namespace));
    let last = edit(&client, &path, 20, uri).await;
    revisor.wait_recorded(INFERENCE_SERVICE, last.version());
    let lists = revisor.metric("revisor_lists_total", "InferenceService");
    own.cluster
        .restart(Component::ApiServer(0))
        .expect("restarted");
    let back = || revisor.metric("revisor_lists_total", "InferenceService") > lists;
    assert!(
        eventually(Duration::from_secs(60), back),
        "the watch did not come back:\n{}",
        revisor.log()
    );
    let client = own.client().await;
    let live = read(&client, &path).await;
    assert_eq!(live["metadata"]["generation"], last.generation);
    let last = edit(&client, &path, 20, |i| uri(i + 100)).await;
    own.wait_recorded(&revisor, INFERENCE_SERVICE, &last);
    assert_eq!(
        own.assert_recorded(&namespace, &[INFERENCE_SERVICE]).await,
        41
    );
    assert!(revisor.is_alive());
}
