//! The name of the next generation is taken before Revisor needs it.

use super::forge;
use super::stage::{SAID, Tenant, served, start, two, until_served};
use crate::settled::{History, events, until};
use crate::support::get;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_held_said_and_stored_when_it_is_free() {
    let world = start();
    let replicas = two(&world);
    let history = History::recorded(&world, "taken").await;
    let other = History::recorded(&world, "other").await;
    let tenant = Tenant::of(&world, &history.namespace).await;
    let model = history.revisions().await.remove(0);
    let innocent = forge::with_content(forge::generation(&model, 2), &json!({"innocent": true}));
    let taken = tenant.store(&innocent).await;
    let last = history.edit("w0", 0..4).await;
    let is_taken = |key: &(String, i64)| key.1 == 2;
    history.wait(&last, 2 * SAID, is_taken).await;
    for replica in &replicas {
        until_served(replica, &last.uid, &[5, 4, 3, 2, 1]).await;
        let shown = async || {
            let all = served(replica, &last.uid);
            let contested = |one: &Value| one["additionalFields"]["contested"] == true;
            all.iter()
                .map(contested)
                .eq([false, false, false, true, false])
        };
        until(SAID, "generation 2 is shown as contested", shown).await;
        // A write of the same workload ends the hold until the next attempt.
        let is_told = async || {
            let (_, status) = get(replica.admin, "/status").expect("an answer");
            replica.metric("revisor_write_held", "Contested") > 0.5
                && status.contains("\"Contested\"")
        };
        until(SAID, "it is held", is_told).await;
        assert!(replica.metric("revisor_revisions_contested_total", "") > 0.5);
    }
    let said = events(&history.client, &history.namespace, "RevisionContested").await;
    assert!(!said.is_empty());
    // Nobody else waits.
    let elsewhere = other.edit("w0", 0..3).await;
    other.assert_complete(&elsewhere, SAID).await;
    // It is still so after a restart of both.
    drop(replicas);
    let replicas = two(&world);
    for replica in &replicas {
        let is_held = async || replica.metric("revisor_write_held", "Contested") > 0.5;
        until(SAID, "it is held after a restart", is_held).await;
    }
    world.kubectl(&["-n", &history.namespace, "delete", "revision", &taken]);
    history.assert_complete(&last, SAID).await;
    for replica in &replicas {
        let is_over = async || {
            let all = served(replica, &last.uid);
            replica.metric("revisor_write_held", "Contested") < 0.5
                && all
                    .iter()
                    .all(|one| one["additionalFields"].get("contested").is_none())
        };
        until(SAID, "it is over", is_over).await;
        replica.assert_nothing_lost();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_not_taken_by_a_content_that_only_its_digest_names() {
    let world = start();
    let replicas = two(&world);
    let history = History::recorded(&world, "guessed").await;
    let tenant = Tenant::of(&world, &history.namespace).await;
    let last = history.edit("w0", 0..1).await;
    history.assert_complete(&last, SAID).await;
    let all = history.revisions().await;
    // The digest of what comes next is known: the edit is taken back.
    let mut forged = forge::generation(&all[0], 3);
    forged["spec"]["snapshot"] = all[1]["spec"]["snapshot"].clone();
    let taken = tenant.store(&forged).await;
    crate::support::patch(
        &history.client,
        &history.path("w0"),
        &json!({"spec": first_spec(&all[0])}),
    )
    .await;
    for replica in &replicas {
        let is_held = async || replica.metric("revisor_write_held", "Contested") > 0.5;
        until(SAID, "it is contested", is_held).await;
    }
    world.kubectl(&["-n", &history.namespace, "delete", "revision", &taken]);
    let is_stored = async || {
        let all = history.revisions().await;
        all.iter().any(|one| one["spec"]["generation"] == 3)
    };
    until(SAID, "generation 3 is stored", is_stored).await;
}

fn first_spec(revision: &Value) -> Value {
    let text = crate::support::snapshot(revision).expect("a snapshot");
    let object: Value = serde_json::from_str(&text).expect("JSON");
    object["spec"].clone()
}
