//! Rollbacks while others write the workload all the time.

use super::stage::{Stage, stage};
use crate::support::{LEADER_WORKER_SET, patch, post, revisions, send, snapshot};
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

/// Edits the size all the time, until it is told to stop.
async fn edit(client: kube::Client, path: String, stop: Arc<AtomicBool>) {
    for size in 100.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let edit = json!({"spec": {"leaderWorkerTemplate": {"size": size}}});
        patch(&client, &path, &edit).await;
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
    }
}

/// The size that a rollback showed as the live one.
fn shown(out: &str) -> i64 {
    let removed = out
        .lines()
        .find_map(|line| line.strip_prefix("-    size: "));
    removed
        .expect("the size that was live")
        .parse()
        .expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn under_an_editor_no_rollback_overwrites_an_edit_that_it_did_not_show() {
    let stage = stage();
    let namespace = stage.world.namespace("editor").await;
    let path = two_states(stage, &namespace).await;
    let stop = Arc::new(AtomicBool::new(false));
    let editor = tokio::spawn(edit(stage.client().await, path.clone(), stop.clone()));
    let mut overwritten = Vec::new();
    let mut refused = 0;
    for _ in 0..15 {
        let namespace = namespace.clone();
        let run = move || stage.plugin(&namespace, &["rollback", "lws/deepseek-r1", "1", "--yes"]);
        let ran = tokio::task::spawn_blocking(run).await.expect("no panic");
        if ran.code == 0 {
            overwritten.push(shown(&ran.out));
        } else {
            assert!(ran.err.contains("was edited meanwhile by e2e"), "{ran:?}");
            refused += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    editor.await.expect("no panic");
    assert!(refused > 0, "the editor is fast enough to come in between");
    stage.recorded(LEADER_WORKER_SET, &path).await;
    let all = revisions(&stage.client().await, &namespace).await;
    let generation = |it: &Value| it["spec"]["generation"].as_i64().expect("a number");
    let at = |wanted: i64| {
        all.iter()
            .find(|it| generation(it) == wanted)
            .expect("recorded")
    };
    let by_plugin = |it: &&Value| it["spec"]["via"]["manager"] == "kubectl-revisor";
    let rollbacks = all.iter().filter(by_plugin);
    let mut replaced: Vec<_> = rollbacks.map(|it| size(at(generation(it) - 1))).collect();
    replaced.sort_unstable();
    overwritten.sort_unstable();
    assert_eq!(
        replaced, overwritten,
        "what a rollback replaced is what it showed"
    );
}
