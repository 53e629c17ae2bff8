//! History that etcd has forgotten: Gaps say exactly what, and the newest states are recorded all the same.

use super::{API_SERVER, create_named};
use crate::oracle::compaction;
use crate::support::{
    INFERENCE_SERVICE, Meta, Revisor, World, edit, gaps, patch, recorded, revisions,
};
use crate::traffic::{Traffic, create, path, uri};
use devcluster::Options;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compacted_becomes_gaps_with_exact_ranges() {
    let options = Options {
        compaction_interval: Some(Duration::from_secs(20)),
        ..Options::minimal()
    };
    let own = World::start(&options);
    let client = own.client().await;
    let namespace = own.namespace("compact").await;
    create(&client, &namespace, 3).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let traffic = Traffic::start(&own.cluster, &namespace, 2, 10).await;
    sleep(Duration::from_secs(12)).await;
    drop(revisor);
    sleep(Duration::from_secs(45)).await;
    // Made while nobody looks: its first generations are lost too.
    create_named(&client, &namespace, "late").await;
    edit(&client, &path(&namespace, "late"), 10, uri).await;
    sleep(Duration::from_secs(45)).await;
    // The API server's own window must be gone too.
    own.cluster.restart(API_SERVER).expect("an API server");
    edit(&client, &path(&namespace, "late"), 3, |i| uri(100 + i)).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let last = traffic.stop().await;
    own.wait_recorded(&revisor, INFERENCE_SERVICE, &last);
    let (recorded, lost) = own
        .assert_recorded_or_gap(&namespace, INFERENCE_SERVICE)
        .await;
    assert_only_the_forgotten_is_lost(&own, &namespace).await;
    assert_gaps_are_told(&own, &revisor, &namespace, lost).await;
    assert!(
        recorded > 100 && lost > 200,
        "{recorded} recorded, {lost} lost"
    );
    // A second restart finds nothing new.
    drop(revisor);
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let last = patch(&client, &path(&namespace, "w2"), &uri(1)).await;
    own.wait_recorded(&revisor, INFERENCE_SERVICE, &last);
    assert_eq!(
        own.assert_recorded_or_gap(&namespace, INFERENCE_SERVICE)
            .await,
        (recorded + 1, lost)
    );
}

/// The Gaps say why they are there, and so do the metric, kubectl and an event.
async fn assert_gaps_are_told(own: &World, revisor: &Revisor, namespace: &str, lost: usize) {
    let counted = revisor.metric("revisor_generations_lost_total", "RecorderAway");
    assert!(
        (counted - f64::from(u32::try_from(lost).expect("small"))).abs() < 0.5,
        "{counted} of {lost}"
    );
    let all = revisions(&own.client().await, namespace).await;
    let gaps: Vec<_> = all.iter().filter(|r| r["spec"]["type"] == "Gap").collect();
    assert_eq!(
        gaps.len(),
        3,
        "one for each workload that was edited: {gaps:?}"
    );
    assert!(
        gaps.iter()
            .all(|gap| gap["spec"]["gap"]["reason"] == "RecorderAway"),
        "{gaps:?}"
    );
    let shown = own.kubectl(&["-n", namespace, "get", "revisions"]);
    assert!(shown.contains("not recorded (RecorderAway)"), "{shown}");
    let events = own.kubectl(&["-n", namespace, "get", "events"]);
    assert!(events.contains("GenerationsLost"), "{events}");
}

/// No Gap holds a generation that etcd still knew when it was read back.
async fn assert_only_the_forgotten_is_lost(own: &World, namespace: &str) {
    let first_known = compaction(&own.cluster.etcd_endpoint());
    let superseded = own.oracle.superseded(INFERENCE_SERVICE.registry, namespace);
    for key in gaps(&own.client().await, namespace).await {
        let until =
            superseded[&key].unwrap_or_else(|| panic!("{key:?} is the newest, and in a Gap"));
        assert!(
            until <= first_known,
            "{key:?} was there until {until}, etcd knows {first_known}"
        );
    }
}

/// Waits until etcd has forgotten everything up to and with a revision but its last state.
async fn compacted_beyond(own: &World, revision: u64) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while compaction(&own.cluster.etcd_endpoint()) <= revision {
        assert!(Instant::now() < deadline, "etcd was not compacted");
        sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_states_are_recorded_though_they_are_older_than_the_compaction() {
    let options = Options {
        compaction_interval: Some(Duration::from_secs(20)),
        ..Options::minimal()
    };
    let own = World::start(&options);
    let client = own.client().await;
    let namespace = own.namespace("newest").await;
    create(&client, &namespace, 2).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let seen = edit(&client, &path(&namespace, "w0"), 3, uri).await;
    revisor.wait_recorded(INFERENCE_SERVICE, seen.version());
    sleep(Duration::from_secs(11)).await;
    drop(revisor);
    let edited = edit(&client, &path(&namespace, "w0"), 5, |i| uri(100 + i)).await;
    create_named(&client, &namespace, "late").await;
    let late = edit(&client, &path(&namespace, "late"), 4, |i| uri(200 + i)).await;
    compacted_beyond(&own, late.version()).await;
    own.cluster.restart(API_SERVER).expect("an API server");
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    revisor.wait_recorded(INFERENCE_SERVICE, late.version());
    let recorded = recorded(&client, &namespace).await;
    for newest in [&edited, &late] {
        let key = (newest.uid.clone(), newest.generation);
        assert!(
            recorded.contains_key(&key),
            "the newest state of {} is not recorded",
            newest.name
        );
    }
    let all = |meta: &Meta, from: i64| {
        (from..meta.generation)
            .map(|generation| (meta.uid.clone(), generation))
            .collect::<Vec<_>>()
    };
    let expected: BTreeSet<_> = all(&edited, seen.generation + 1)
        .into_iter()
        .chain(all(&late, 1))
        .collect();
    assert_eq!(gaps(&client, &namespace).await, expected);
    own.assert_recorded_or_gap(&namespace, INFERENCE_SERVICE)
        .await;
}
