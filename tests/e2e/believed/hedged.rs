//! Several replicas: one of them writes, and another one soon after when that does not.

use super::stage::BACK;
use crate::settled::{History, limit, until};
use crate::support::{INFERENCE_SERVICE, Meta, Revisor, World, post, read, send};
use devcluster::Options;
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
/// Four times the five seconds within which another replica writes.
const TAKEN_OVER: Duration = Duration::from_secs(20);

/// How many creates of Revisions the API server has answered so far.
async fn creates(client: &Client) -> f64 {
    let (code, text) = send(client, Method::GET, "/metrics", "text/plain", "").await;
    assert_eq!(code, 200);
    let is_create = |line: &&str| {
        line.starts_with("apiserver_request_total{")
            && line.contains("resource=\"revisions\"")
            && line.contains("verb=\"POST\"")
            && line.contains("dry_run=\"\"")
    };
    let samples = text.lines().filter(is_create);
    let values = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.sum()
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).expect("small"))
}

/// Waits until one of the replicas holds the Lease.
async fn wait_for_holder(client: &Client) {
    let is_held = async || {
        let path = format!("{LEASES}/revisor");
        let (code, body) = send(client, Method::GET, &path, "application/json", "").await;
        let lease: Value = serde_json::from_str(&body).unwrap_or_default();
        code == 200 && lease["spec"]["holderIdentity"].as_str() != Some("")
    };
    until(BACK, "a holder of the Lease", is_held).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_send_one_create_for_each_revision() {
    let own = World::start(&Options::minimal());
    let both = [(); 2].map(|()| Revisor::start(own.cluster.kubeconfig(), &[]));
    let history = History::recorded(&own, "shared").await;
    wait_for_holder(&history.client).await;
    let before = creates(&history.client).await;
    history.edit("w0", 0..50).await;
    history.create("w1").await;
    let last = history.edit("w1", 0..50).await;
    let recorded = history.assert_complete(&last, BACK).await;
    for revisor in &both {
        own.wait_recorded(revisor, INFERENCE_SERVICE, &last);
        revisor.assert_nothing_lost();
    }
    let sent = creates(&history.client).await - before;
    let stored = count(recorded - 1);
    assert!(sent <= stored * 1.1, "{sent} creates of {stored} Revisions");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_writes_soon_after_the_holder_was_killed() {
    let own = World::start(&Options::minimal());
    let holder = Revisor::start(own.cluster.kubeconfig(), &[]);
    let history = History::recorded(&own, "killed").await;
    wait_for_holder(&history.client).await;
    let other = Revisor::start(own.cluster.kubeconfig(), &[]);
    holder.signal("KILL");
    let began = Instant::now();
    let last = history.edit("w0", 0..1).await;
    history.assert_complete(&last, TAKEN_OVER).await;
    println!("stored {:?} after the kill", began.elapsed());
    other.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_record_while_the_lease_is_held_by_something_else() {
    let own = World::start(&Options::minimal());
    let history = History::begin(&own, "foreign").await;
    let client = history.client.clone();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "revisor"},
        "spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 3600, "leaseTransitions": 1},
    });
    post(&client, LEASES, &lease).await;
    let both = [(); 2].map(|()| Revisor::start(own.cluster.kubeconfig(), &[]));
    let created = history.create("w0").await;
    // Four times the twenty seconds within which each is recorded.
    let within = Duration::from_secs(80);
    history.assert_complete(&created, within).await;
    for number in 0..3 {
        let began = Instant::now();
        let last = history.edit("w0", 10 * number..10 * number + 4).await;
        history.assert_complete(&last, within).await;
        println!("recorded {:?} after the last of 4 edits", began.elapsed());
    }
    let held = read(&client, &format!("{LEASES}/revisor")).await;
    assert_eq!(held["spec"]["holderIdentity"], "somebody");
    both.iter().for_each(Revisor::assert_nothing_lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_just_fits_is_not_used_up_by_repetitions() {
    let own = World::start(&Options {
        controller_manager: true,
        ..Options::minimal()
    });
    let mut both = [(); 2].map(|()| Revisor::start(own.cluster.kubeconfig(), &[]));
    let history = History::recorded(&own, "tight").await;
    wait_for_holder(&history.client).await;
    limit(&history, 1 + 30 + 10).await;
    let last = history.edit("w0", 0..30).await;
    history.assert_complete(&last, BACK).await;
    // A restart finds what is stored.
    both[1] = Revisor::start(own.cluster.kubeconfig(), &[]);
    let last = history.edit("w0", 100..110).await;
    history.assert_complete(&last, BACK).await;
    for revisor in &both {
        let refused = revisor.metric("revisor_write_retries_total", "QuotaExceeded");
        assert!(refused < 0.5, "{}", revisor.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_of_which_one_is_killed_again_and_again_make_one_set() {
    killed_and_frozen(Duration::from_secs(30)).await;
}

/// Three replicas under edits for so long. One after the other is killed every two seconds and started again, and in between
/// one does not run for five.
pub async fn killed_and_frozen(time: Duration) {
    let own = World::start(&Options::minimal());
    let start = || Some(Revisor::launch(own.cluster.kubeconfig(), &[]));
    let mut replicas = [start(), start(), start()];
    let history = History::recorded(&own, "three").await;
    history.create("w1").await;
    let began = Instant::now();
    let mut last: Option<Meta> = None;
    let mut round = 0;
    while began.elapsed() < time {
        let victim = round % 3;
        replicas[victim] = None;
        if round % 4 == 1 {
            let frozen = replicas[(victim + 1) % 3].as_ref().expect("it runs");
            frozen.signal("STOP");
        }
        let until = Instant::now() + Duration::from_secs(2);
        let mut number = 10_000 * (round + 1);
        while Instant::now() < until {
            last = Some(
                history
                    .edit(["w0", "w1"][number % 2], number..number + 1)
                    .await,
            );
            number += 1;
            sleep(Duration::from_millis(10)).await;
        }
        if round % 4 == 3 {
            let all = replicas.iter().flatten();
            all.for_each(|revisor| revisor.signal("CONT"));
        }
        replicas[victim] = start();
        round += 1;
    }
    let all = replicas.iter().flatten();
    all.for_each(|revisor| revisor.signal("CONT"));
    let last = last.expect("edits");
    let recorded = history.assert_complete(&last, 2 * BACK).await;
    println!("{recorded} generations, {round} kills");
}
