//! Autoscalers that never rest, an etcd that is full, an object that is too large.

use crate::support::{
    DEPLOYMENT, INFERENCE_SERVICE, Meta, Revisor, World, edit, eventually, patch, post, read,
    revisions, send,
};
use crate::traffic::{create, noise, path, uri};
use devcluster::{Component, Options};
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_writes_of_an_autoscaler_and_a_restart_are_no_gap() {
    autoscaler_writes(1000).await;
}

/// An autoscaler writes `count` times, Revisor and the API server restart, and one person edits.
pub async fn autoscaler_writes(count: usize) {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("scale").await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let deployment = format!("{}/llama-8b", DEPLOYMENT.path(&namespace));
    post(&client, &DEPLOYMENT.path(&namespace), &DEPLOYMENT.example()).await;
    let scale = format!("{deployment}/scale?fieldManager=kube-controller-manager");
    let scaled = |i: usize| json!({"spec": {"replicas": 2 + i % 50}}).to_string();
    for i in 0..count {
        let (code, body) = send(
            &client,
            Method::PATCH,
            &scale,
            "application/merge-patch+json",
            &scaled(i),
        )
        .await;
        assert_eq!(code, 200, "{body}");
    }
    let present: Meta =
        serde_json::from_value(read(&client, &deployment).await["metadata"].clone())
            .expect("metadata");
    let least = i64::try_from(count * 9 / 10).expect("small");
    assert!(present.generation > least, "{}", present.generation);
    revisor.wait_recorded(DEPLOYMENT, present.version());
    let all = revisions(&client, &namespace).await;
    assert_eq!(all.len(), 1);
    assert_eq!(
        all[0]["status"]["observedThrough"]["generation"],
        present.generation
    );
    drop(revisor);
    own.cluster
        .restart(Component::ApiServer(0))
        .expect("an API server");
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let image = json!({"spec": {"template": {"metadata": {"annotations": {"touched": "yes"}}}}});
    let last = patch(&client, &deployment, &image).await;
    own.wait_recorded(&revisor, DEPLOYMENT, &last);
    let all = revisions(&client, &namespace).await;
    assert_eq!(all.len(), 2, "{all:?}");
    let changes = all[1]["spec"]["view"]["changes"]
        .as_array()
        .expect("changes");
    assert_eq!(
        changes.len(),
        1,
        "the autoscaler's work is none of it: {changes:?}"
    );
    own.assert_recorded(&namespace, &[DEPLOYMENT]).await;
    for metric in [
        "revisor_generations_lost_total",
        "revisor_gap_generations_total",
        "revisor_generation_holes_total",
    ] {
        assert!(revisor.metric(metric, "").abs() < 0.5, "{metric}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_a_workload_was_not_selected_is_named_and_not_lost() {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("selected").await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let deployment = format!("{}/llama-8b", DEPLOYMENT.path(&namespace));
    post(&client, &DEPLOYMENT.path(&namespace), &DEPLOYMENT.example()).await;
    let label = |value: &str| json!({"metadata": {"labels": {"revisor.dev/record": value}}});
    let touch = |i: usize| json!({"spec": {"template": {"metadata": {"annotations": {"touched": i.to_string()}}}}});
    edit(&client, &deployment, 2, touch).await;
    patch(&client, &deployment, &label("false")).await;
    edit(&client, &deployment, 3, |i| touch(10 + i)).await;
    patch(&client, &deployment, &label("true")).await;
    let last = edit(&client, &deployment, 2, |i| touch(20 + i)).await;
    revisor.wait_recorded(DEPLOYMENT, last.version());
    let all = revisions(&client, &namespace).await;
    let gaps: Vec<_> = all.iter().filter(|r| r["spec"]["type"] == "Gap").collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    // Selected again in generation 6, which is recorded as it was then.
    assert_eq!(
        gaps[0]["spec"]["gap"],
        json!({"from": 4, "to": 5, "reason": "NotSelected"})
    );
    let generations: Vec<_> = all
        .iter()
        .filter_map(|r| r["spec"]["generation"].as_i64())
        .collect();
    assert_eq!(generations.len(), 7, "{generations:?}");
    assert!(revisor.metric("revisor_generations_lost_total", "").abs() < 0.5);
    assert!((revisor.metric("revisor_gap_generations_total", "NotSelected") - 2.0).abs() < 0.5);
}

/// POST to etcd's HTTP gateway.
fn etcd(world: &World, path: &str, body: &Value) -> String {
    let address = world
        .cluster
        .etcd_endpoint()
        .trim_start_matches("http://")
        .to_owned();
    let mut stream = TcpStream::connect(address).expect("etcd");
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains(" 200 "), "{path}: {answer}");
    answer
}

/// Creates large ConfigMaps until etcd takes no more.
async fn fill(client: &kube::Client, maps: &str) {
    let mut full = false;
    for i in 0..40 {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("filler-{i}")}, "data": {"x": "x".repeat(1_000_000)}});
        let (code, body) = send(
            client,
            Method::POST,
            maps,
            "application/json",
            &map.to_string(),
        )
        .await;
        full = code == 500 && body.contains("database space exceeded");
        if full {
            break;
        }
    }
    assert!(full, "etcd did not fill up");
}

/// What was deleted makes room again, and etcd's alarm ends.
fn give_back(own: &World) {
    let header = etcd(own, "/v3/kv/range", &json!({"key": "YQ=="}));
    let revision: String = header
        .split("\"revision\":\"")
        .nth(1)
        .and_then(|t| t.split('"').next())
        .expect("a revision")
        .to_owned();
    etcd(
        own,
        "/v3/kv/compaction",
        &json!({"revision": revision, "physical": true}),
    );
    etcd(own, "/v3/maintenance/defragment", &json!({}));
    let alarms = etcd(own, "/v3/maintenance/alarm", &json!({"action": "GET"}));
    let member = alarms
        .split("\"memberID\":\"")
        .nth(1)
        .and_then(|t| t.split('"').next())
        .expect("an alarm")
        .to_owned();
    let disarm = json!({"action": "DEACTIVATE", "memberID": member, "alarm": "NOSPACE"});
    etcd(own, "/v3/maintenance/alarm", &disarm);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_etcd_holds_recording_and_loses_nothing() {
    let own = World::start(&Options {
        quota_backend_bytes: Some(24 << 20),
        ..Options::minimal()
    });
    let client = own.client().await;
    let namespace = own.namespace("full").await;
    create(&client, &namespace, 2).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let last = edit(&client, &path(&namespace, "w0"), 5, uri).await;
    revisor.wait_recorded(INFERENCE_SERVICE, last.version());
    revisor.signal("STOP");
    let last = edit(&client, &path(&namespace, "w0"), 40, |i| uri(100 + i)).await;
    let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
    fill(&client, &maps).await;
    revisor.signal("CONT");
    let held = || revisor.metric("revisor_write_held", "EtcdFull") > 0.5;
    assert!(
        eventually(Duration::from_secs(20), held),
        "{}",
        revisor.log()
    );
    assert!(
        revisor.metric("revisor_checkpoint_resource_version", "InferenceService")
            < revisor.metric("revisor_watch_resource_version", "InferenceService")
    );
    let (code, _) = send(&client, Method::DELETE, &maps, "application/json", "").await;
    assert_eq!(code, 200);
    give_back(&own);
    own.wait_recorded(&revisor, INFERENCE_SERVICE, &last);
    assert_eq!(
        own.assert_recorded(&namespace, &[INFERENCE_SERVICE]).await,
        2 + 45
    );
    assert!(!held() && revisor.metric("revisor_generations_lost_total", "").abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_too_large_to_be_stored_twice_among_a_thousand_edits() {
    too_large_among(1000).await;
}

/// One object grows too large to be stored twice, in the midst of `count` edits of ten.
pub async fn too_large_among(count: usize) {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("large").await;
    create(&client, &namespace, 10).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let mut large = None;
    let mut last = None;
    for i in 0..count {
        if i == count / 2 {
            let blob = json!({"spec": {"blob": noise(1, 1_520_000)}});
            large = Some(patch(&client, &path(&namespace, "w3"), &blob).await);
        }
        // The large one gets no other edit: each would be as large.
        let name = format!("w{}", if i % 10 == 3 { 4 } else { i % 10 });
        last = Some(patch(&client, &path(&namespace, &name), &uri(i)).await);
    }
    let large = large.expect("an edit");
    let last = last.expect("an edit");
    own.wait_recorded(&revisor, INFERENCE_SERVICE, &last);
    let all = revisions(&client, &namespace).await;
    assert_eq!(all.len(), 10 + count + 1);
    let without: Vec<_> = all
        .iter()
        .filter(|r| r["spec"]["snapshot"]["oversize"] == true)
        .collect();
    assert_eq!(without.len(), 1);
    assert_eq!(
        (
            without[0]["spec"]["generation"].as_i64(),
            without[0]["spec"]["workload"]["name"].as_str()
        ),
        (Some(large.generation), Some("w3"))
    );
    // The contents of all others are what etcd stored; of the large one that is known by its digest.
    let key = (large.uid, large.generation);
    assert_eq!(
        own.assert_recorded_but(&namespace, &[INFERENCE_SERVICE], &key)
            .await,
        10 + count
    );
    let stored = own.oracle.expected(INFERENCE_SERVICE.registry, &namespace)[&key].value();
    let digest = Sha256::digest(format!("v1\n{stored}"));
    let hex = digest
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    assert_eq!(without[0]["spec"]["contentDigest"], format!("sha256:{hex}"));
}
