//! Rollbacks while others write the workload all the time.

use super::stage::{Stage, stage};
use crate::support::{LEADER_WORKER_SET, patch, post, read, revisions, send, snapshot};
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

async fn two_states(stage: &Stage, namespace: &str) -> String {
    let client = stage.client().await;
    let mut group = LEADER_WORKER_SET.example();
    group["spec"]["replicas"] = json!(1);
    post(&client, &LEADER_WORKER_SET.path(namespace), &group).await;
    let path = format!("{}/deepseek-r1", LEADER_WORKER_SET.path(namespace));
    patch(
        &client,
        &path,
        &json!({"spec": {"leaderWorkerTemplate": {"size": 4}}}),
    )
    .await;
    stage.recorded(LEADER_WORKER_SET, &path).await;
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_status_writer_at_full_speed_every_rollback_goes_through() {
    let stage = stage();
    let namespace = stage.world.namespace("status-writer").await;
    let path = two_states(stage, &namespace).await;
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let writer = {
        let client = stage.client().await;
        let uri = format!("{path}/status?fieldManager=status");
        let stop = stop.clone();
        let written = written.clone();
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = written.fetch_add(1, Ordering::Relaxed);
                let body = json!({"status": {"replicas": number}}).to_string();
                send(
                    &client,
                    Method::PATCH,
                    &uri,
                    "application/merge-patch+json",
                    &body,
                )
                .await;
            }
        })
    };
    for round in 0..30 {
        let before = written.load(Ordering::Relaxed);
        let number = if round % 2 == 0 { "1" } else { "2" };
        let stage_of = stage;
        let namespace = namespace.clone();
        let ran = tokio::task::spawn_blocking(move || {
            stage_of.plugin(
                &namespace,
                &["rollback", "lws/deepseek-r1", number, "--yes"],
            )
        });
        let ran = ran.await.expect("no panic");
        assert!(
            ran.code == 0 && ran.out.contains("rolled back to revision"),
            "round {round}: {ran:?}"
        );
        assert!(
            written.load(Ordering::Relaxed) > before,
            "the status is written meanwhile"
        );
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.expect("no panic");
}

/// The size that a Revision has.
fn size(revision: &Value) -> i64 {
    let object: Value = serde_json::from_str(&snapshot(revision).expect("content")).expect("JSON");
    object["spec"]["leaderWorkerTemplate"]["size"]
        .as_i64()
        .expect("a size")
}

#[tokio::test(flavor = "multi_thread")]
async fn under_an_editor_no_rollback_overwrites_an_edit_that_it_did_not_show() {
    let stage = stage();
    let namespace = stage.world.namespace("editor").await;
    let path = two_states(stage, &namespace).await;
    let stop = Arc::new(AtomicBool::new(false));
    let editor = {
        let client = stage.client().await;
        let stop = stop.clone();
        let path = path.clone();
        tokio::spawn(async move {
            for size in 100.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                patch(
                    &client,
                    &path,
                    &json!({"spec": {"leaderWorkerTemplate": {"size": size}}}),
                )
                .await;
                tokio::time::sleep(std::time::Duration::from_millis(15)).await;
            }
        })
    };
    let mut shown = Vec::new();
    let mut refused = 0;
    for _ in 0..15 {
        let namespace = namespace.clone();
        let run = move || stage.plugin(&namespace, &["rollback", "lws/deepseek-r1", "1", "--yes"]);
        let ran = tokio::task::spawn_blocking(run).await.expect("no panic");
        if ran.code == 0 {
            let removed = ran
                .out
                .lines()
                .find_map(|line| line.strip_prefix("-    size: "));
            shown.push(
                removed
                    .expect("the size that was live")
                    .parse::<i64>()
                    .expect("a number"),
            );
        } else {
            let words = "was edited meanwhile by e2e";
            assert!(ran.err.contains(words), "{ran:?}");
            refused += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    editor.await.expect("no panic");
    assert!(refused > 0, "the editor is fast enough to come in between");
    stage.recorded(LEADER_WORKER_SET, &path).await;
    let client = stage.client().await;
    let all = revisions(&client, &namespace).await;
    let generation = |it: &Value| it["spec"]["generation"].as_i64().expect("a number");
    let at = |wanted: i64| {
        all.iter()
            .find(|it| generation(it) == wanted)
            .expect("recorded")
    };
    let rolled_back = all
        .iter()
        .filter(|it| it["spec"]["via"]["manager"] == "kubectl-revisor");
    let replaced: Vec<_> = rolled_back.map(|it| size(at(generation(it) - 1))).collect();
    let mut expected = shown.clone();
    expected.sort_unstable();
    let mut replaced_sorted = replaced.clone();
    replaced_sorted.sort_unstable();
    assert_eq!(
        replaced_sorted, expected,
        "what a rollback replaced is what it showed"
    );
    assert!(read(&client, &path).await["spec"].is_object());
}
