//! Revisor goes away, or the API server and etcd do: nothing is lost, or what is lost is said.

mod backup;
mod compaction;
mod lives;

use crate::support::{INFERENCE_SERVICE, Meta, Revisor, World, edit, gaps, patch, post, revisions};
use crate::traffic::{Traffic, create, path, status, uri};
pub use backup::goes_back_to_a_copy;
use devcluster::{Component, Options};
use http::Method;
pub use lives::{come_and_go, lives_of_one_name};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const API_SERVER: Component = Component::ApiServer(0);

/// Waits until everything up to an edit is recorded, and compares with what etcd stored.
async fn assert_complete(world: &World, revisor: &Revisor, namespace: &str, last: &Meta) -> usize {
    world.wait_recorded(revisor, INFERENCE_SERVICE, last);
    revisor.assert_nothing_lost();
    let recorded = world.assert_recorded(namespace, &[INFERENCE_SERVICE]).await;
    assert!(gaps(&world.client().await, namespace).await.is_empty());
    recorded
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_every_two_seconds_under_load() {
    // A quarter of 100 a second.
    killed_under_load(Duration::from_secs(30), 750).await;
}

/// Waits until the checkpoint has a place for the kind of the traffic.
async fn wait_for_checkpoint(world: &World) {
    let client = world.client().await;
    let path = "/api/v1/namespaces/default/configmaps/revisor-checkpoint";
    let limit = Instant::now() + Duration::from_secs(60);
    let key = "InferenceService.serving.kserve.io";
    let is_there = async || {
        let (_, body) =
            crate::support::send(&client, Method::GET, path, "application/json", "").await;
        let map: Value = serde_json::from_str(&body).expect("JSON");
        map["data"][key].is_string()
    };
    while !is_there().await {
        assert!(Instant::now() < limit, "no checkpoint");
        sleep(Duration::from_millis(500)).await;
    }
}

/// Killed every two seconds for so long; more than `least` edits are recorded.
pub async fn killed_under_load(time: Duration, least: usize) {
    let own = World::start(&Options::minimal());
    let namespace = own.namespace("kill").await;
    create(&own.client().await, &namespace, 5).await;
    // What was there before Revisor came begins where it is.
    // A container that is started again keeps the name of its pod, and with it the Lease.
    let pod = ["--identity", "revisor-0"];
    let first = Revisor::start(own.cluster.kubeconfig(), &pod);
    let seen = patch(&own.client().await, &path(&namespace, "w0"), &uri(0)).await;
    first.wait_recorded(INFERENCE_SERVICE, seen.version());
    // Before it, a workload that comes and goes between two starts is not known to anything.
    wait_for_checkpoint(&own).await;
    drop(first);
    let traffic = Traffic::start(&own.cluster, &namespace, 5, 100).await;
    let client = own.client().await;
    let started = Instant::now();
    let mut lives = 0;
    while started.elapsed() < time {
        let revisor = Revisor::launch(own.cluster.kubeconfig(), &pod);
        sleep(Duration::from_millis(1700)).await;
        // The last that it sees is the end of a workload.
        lives += 1;
        live_and_go(&client, &namespace, "brief", lives).await;
        sleep(Duration::from_millis(200)).await;
        drop(revisor);
    }
    let edits = traffic.made();
    let last = traffic.stop().await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let recorded = assert_complete(&own, &revisor, &namespace, &last).await;
    assert!(recorded > least, "{recorded} of {edits} edits");
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_on_both_sides_of_a_restart_of_the_api_server_while_away() {
    away_over_a_restart(30).await;
}

/// Two workloads are edited `edits` times each before and after a restart of the API server, while nobody looks.
pub async fn away_over_a_restart(edits: usize) {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("away").await;
    create(&client, &namespace, 2).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let last = edit(&client, &path(&namespace, "w0"), 10, uri).await;
    revisor.wait_recorded(INFERENCE_SERVICE, last.version());
    drop(revisor);
    for name in ["w0", "w1"] {
        edit(&client, &path(&namespace, name), edits, |i| uri(100 + i)).await;
        status(&client, &path(&namespace, name), 1).await;
    }
    own.cluster.restart(API_SERVER).expect("an API server");
    for name in ["w1", "w0"] {
        let after = |i| uri(100_000 + i);
        edit(&client, &path(&namespace, name), edits, after).await;
    }
    let last = patch(&client, &path(&namespace, "w1"), &uri(300_000)).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    assert_eq!(
        assert_complete(&own, &revisor, &namespace, &last).await,
        2 + 10 + 4 * edits + 1
    );
    let least = f64::from(u32::try_from(2 * edits).expect("small"));
    assert!(revisor.metric("revisor_generations_repaired_total", "InferenceService") > least);
    // What is read back knows what changed, as if it had been seen.
    let all = revisions(&client, &namespace).await;
    let told =
        |r: &&Value| r["spec"]["type"] == "Change" && r["spec"]["view"]["changes"].is_array();
    assert_eq!(all.iter().filter(told).count(), 10 + 4 * edits + 1);
    assert!(all.iter().any(|r| r["spec"]["observedVia"] == "Repair"));
}

#[tokio::test(flavor = "multi_thread")]
async fn away_for_one_minute_and_for_three() {
    away_for(&[60, 200], 600).await;
}

/// Away for so many seconds each time, under three edits a second; more than `least` are recorded.
pub async fn away_for(absences: &[u64], least: usize) {
    let own = World::start(&Options::minimal());
    let namespace = own.namespace("long").await;
    create(&own.client().await, &namespace, 3).await;
    let mut revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let seen = patch(&own.client().await, &path(&namespace, "w0"), &uri(0)).await;
    revisor.wait_recorded(INFERENCE_SERVICE, seen.version());
    let traffic = Traffic::start(&own.cluster, &namespace, 3, 3).await;
    for away in absences {
        sleep(Duration::from_secs(15)).await;
        drop(revisor);
        sleep(Duration::from_secs(*away)).await;
        revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    }
    let last = traffic.stop().await;
    assert!(assert_complete(&own, &revisor, &namespace, &last).await > least);
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_and_the_api_server_restart_during_edits() {
    restarts_during_edits(1).await;
}

/// The API server, etcd and the API server restart in turn, so many times, under fifty edits a second.
pub async fn restarts_during_edits(times: usize) {
    let own = World::start(&Options::minimal());
    let namespace = own.namespace("restarts").await;
    create(&own.client().await, &namespace, 3).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let traffic = Traffic::start(&own.cluster, &namespace, 3, 50).await;
    let turn = [API_SERVER, Component::Etcd, API_SERVER];
    for component in turn.repeat(times) {
        sleep(Duration::from_secs(4)).await;
        own.cluster.restart(component).expect("a restart");
    }
    sleep(Duration::from_secs(4)).await;
    let last = traffic.stop().await;
    assert!(assert_complete(&own, &revisor, &namespace, &last).await > 300 * times);
    assert!(revisor.metric("revisor_watch_expired_total", "InferenceService") > 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_freezes_in_the_midst_of_edits_loses_nothing() {
    freezes(1).await;
}

/// The API server freezes for four seconds and for thirty-eight, so many times, under a hundred edits a second.
pub async fn freezes(times: usize) {
    let own = World::start(&Options::minimal());
    let namespace = own.namespace("frozen").await;
    create(&own.client().await, &namespace, 5).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let traffic = Traffic::start(&own.cluster, &namespace, 5, 100).await;
    // Shorter than every deadline, then longer than that of a create: it accepts connections and never answers.
    for frozen in [4, 38].repeat(times) {
        sleep(Duration::from_secs(3)).await;
        // Revisor finds events that were sent before, and writes what nobody answers.
        revisor.signal("STOP");
        sleep(Duration::from_secs(1)).await;
        own.cluster.freeze(API_SERVER).expect("frozen");
        revisor.signal("CONT");
        sleep(Duration::from_secs(frozen)).await;
        own.cluster.thaw(API_SERVER).expect("thawed");
    }
    sleep(Duration::from_secs(3)).await;
    let last = traffic.stop().await;
    assert!(assert_complete(&own, &revisor, &namespace, &last).await > 200 * times);
    assert!(
        revisor.metric("revisor_write_retries_total", "Timeout") > 0.5,
        "no create met its deadline"
    );
    assert!(
        revisor.metric("revisor_write_held", "").abs() < 0.5,
        "{}",
        revisor.log()
    );
}

async fn create_named(client: &kube::Client, namespace: &str, name: &str) {
    let mut object = INFERENCE_SERVICE.example();
    object["metadata"]["name"] = name.into();
    post(client, &INFERENCE_SERVICE.path(namespace), &object).await;
}

/// A workload of four generations whose deletion waits: its generation moves once more, its spec does not.
async fn live_and_go(client: &kube::Client, namespace: &str, name: &str, seed: usize) {
    let at = path(namespace, name);
    create_named(client, namespace, name).await;
    edit(client, &at, 3, |n| uri(seed * 10 + n)).await;
    patch(
        client,
        &at,
        &json!({"metadata": {"finalizers": ["e2e.example.com/hold"]}}),
    )
    .await;
    release(client, &at).await;
}

/// The end of a workload that waits for its finalizers.
async fn release(client: &kube::Client, path: &str) {
    let foreground = json!({"propagationPolicy": "Foreground"}).to_string();
    crate::support::send(
        client,
        Method::DELETE,
        path,
        "application/json",
        &foreground,
    )
    .await;
    patch(client, path, &json!({"metadata": {"finalizers": null}})).await;
}
