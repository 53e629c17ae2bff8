//! Workloads that come and go, some under the same name, while Revisor looks and while it does not.

use super::{API_SERVER, assert_complete, create_named, live_and_go, release};
use crate::support::{INFERENCE_SERVICE, Revisor, World, edit, eventually, patch, revisions, send};
use crate::traffic::{create, path, uri};
use devcluster::Options;
use http::Method;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_before_a_crash_is_no_new_beginning() {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("crash").await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    create(&client, &namespace, 1).await;
    create_named(&client, &namespace, "old").await;
    let at = path(&namespace, "old");
    edit(&client, &at, 3, uri).await;
    let held = patch(
        &client,
        &at,
        &json!({"metadata": {"finalizers": ["e2e.example.com/hold"]}}),
    )
    .await;
    // The checkpoint is younger than its last change, and older than its end.
    #[allow(clippy::cast_precision_loss)]
    let behind = held.version() as f64;
    let saved =
        || revisor.metric("revisor_checkpoint_resource_version", "InferenceService") >= behind;
    assert!(
        eventually(Duration::from_secs(70), saved),
        "{}",
        revisor.log()
    );
    sleep(Duration::from_millis(500)).await;
    release(&client, &at).await;
    let deadline = Instant::now() + Duration::from_secs(8);
    while !deletion_times(&client, &namespace, "old")
        .await
        .iter()
        .any(|(_, deleted)| *deleted)
    {
        assert!(Instant::now() < deadline, "{}", revisor.log());
        sleep(Duration::from_millis(20)).await;
    }
    drop(revisor);
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let last = patch(&client, &path(&namespace, "w0"), &uri(1)).await;
    assert_eq!(
        assert_complete(&own, &revisor, &namespace, &last).await,
        4 + 2
    );
}

async fn delete(client: &kube::Client, path: &str) {
    let (code, body) = send(client, Method::DELETE, path, "application/json", "").await;
    assert_eq!(code, 200, "{body}");
}

/// The deletion times that a workload's Revisions show: the newest Revision's, if it has one.
async fn deletion_times(client: &kube::Client, namespace: &str, name: &str) -> Vec<(i64, bool)> {
    let all = revisions(client, namespace).await;
    let of = all.iter().filter(|r| r["spec"]["workload"]["name"] == name);
    of.map(|r| {
        (
            r["spec"]["generation"].as_i64().unwrap_or(0),
            r["status"]["workloadDeletionTime"].is_string(),
        )
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_that_come_and_go_while_away() {
    come_and_go(30).await;
}

/// Workloads begin, are edited `edits` times, and end while nobody looks, once over a restart of the API server.
pub async fn come_and_go(edits: usize) {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("gone").await;
    create(&client, &namespace, 2).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let last = edit(&client, &path(&namespace, "w0"), 3, uri).await;
    revisor.wait_recorded(INFERENCE_SERVICE, last.version());
    let newest = i64::try_from(edits + 1).expect("small");
    for restart in [false, true] {
        revisor.signal("STOP");
        let old = if restart { "w1" } else { "w0" };
        let brief = format!("brief-{restart}");
        edit(&client, &path(&namespace, old), 5, |i| uri(50 + i)).await;
        delete(&client, &path(&namespace, old)).await;
        create_named(&client, &namespace, &brief).await;
        edit(&client, &path(&namespace, &brief), edits, |i| uri(70 + i)).await;
        delete(&client, &path(&namespace, &brief)).await;
        create_named(&client, &namespace, old).await;
        if restart {
            own.cluster.restart(API_SERVER).expect("an API server");
        }
        let last = edit(&client, &path(&namespace, old), 2, |i| uri(90 + i)).await;
        revisor.signal("CONT");
        own.wait_recorded(&revisor, INFERENCE_SERVICE, &last);
        own.assert_recorded(&namespace, &[INFERENCE_SERVICE]).await;
        let marked = || async {
            let times = deletion_times(&client, &namespace, &brief).await;
            times.len() == edits + 1
                && times
                    .iter()
                    .all(|(generation, deleted)| *deleted == (*generation == newest))
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !marked().await {
            assert!(
                Instant::now() < deadline,
                "{:?}",
                deletion_times(&client, &namespace, &brief).await
            );
            sleep(Duration::from_millis(100)).await;
        }
        let times = deletion_times(&client, &namespace, old).await;
        assert_eq!(
            times.iter().filter(|(_, deleted)| *deleted).count(),
            1,
            "the first of that name: {times:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_lives_of_one_name() {
    lives_of_one_name(200).await;
}

/// A workload is made, edited and deleted `count` times under the same name.
pub async fn lives_of_one_name(count: usize) {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("lives").await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    for i in 0..count {
        if i % 4 == 0 {
            live_and_go(&client, &namespace, "w", i).await;
        } else {
            create_named(&client, &namespace, "w").await;
            edit(&client, &path(&namespace, "w"), 3, |n| uri(i * 10 + n)).await;
            delete(&client, &path(&namespace, "w")).await;
        }
    }
    create(&client, &namespace, 1).await;
    let last = patch(&client, &path(&namespace, "w0"), &uri(1)).await;
    assert_eq!(
        assert_complete(&own, &revisor, &namespace, &last).await,
        count * 4 + 2
    );
    let deleted = || {
        let shown = own.kubectl(&[
            "-n",
            &namespace,
            "get",
            "revisions",
            "-o",
            "jsonpath={range .items[*]}{.status.workloadDeletionTime}{\"\\n\"}{end}",
        ]);
        shown.lines().filter(|line| !line.is_empty()).count() == count
    };
    assert!(
        eventually(Duration::from_secs(20), deleted),
        "{}",
        revisor.log()
    );
}
