//! A checkpoint while a Revision is held, and one that is deleted, damaged, or of another cluster.

use super::history::History;
use super::quotas::{lift, limit};
use super::stage::{AFTER_A_HOLD, AFTER_A_START, assert_nothing_lost, events, until};
use crate::support::{INFERENCE_SERVICE, Meta, Revisor, World, patch, read, send};
use devcluster::{Component, Options};
use http::Method;
use kube::Client;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

pub const CHECKPOINT: &str = "/api/v1/namespaces/default/configmaps/revisor-checkpoint";
/// Its entry that names the cluster.
const CLUSTER: &str = "cluster";

/// The resourceVersion of the checkpoint.
pub async fn version(client: &Client) -> u64 {
    resource_version(&read(client, CHECKPOINT).await)
}

fn resource_version(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.and_then(|v| v.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_revision_does_not_hold_the_checkpoint() {
    let own = World::start(&Options::minimal());
    let first = Revisor::start(own.cluster.kubeconfig(), &[]);
    let free = History::recorded(&own, "free").await;
    let held = History::begin(&own, "held").await;
    limit(&held, 0).await;
    let waiting = held.create("w0").await;
    // From now on the API server shows no event that is older than its own start.
    let restarted = own.cluster.restart(Component::ApiServer(0));
    restarted.expect("an API server");
    let edited = free.edit("w0", 0..3).await;
    free.assert_complete(&edited, AFTER_A_HOLD).await;
    // The Revision that is held steps aside after half a minute.
    let has_exception = async || {
        let checkpoint = read(&free.client, CHECKPOINT).await;
        checkpoint["data"].to_string().contains("exceptions")
    };
    until(Duration::from_secs(160), "an exception", has_exception).await;
    drop(first);
    let blind = events(&free.client, "default", "BlindInterval").await;
    let last = live_briefly(&free, Duration::from_secs(3)).await;
    let second = Revisor::start(own.cluster.kubeconfig(), &[]);
    let recorded = free.assert_complete(&last, AFTER_A_START).await;
    assert_eq!(recorded, 4 + 3);
    assert!(second.metric("revisor_blind_intervals_total", "").abs() < 0.5);
    let told = events(&free.client, "default", "BlindInterval").await;
    assert_eq!(told.len(), blind.len(), "{told:?}");
    assert_eq!(held.revisions().await.len(), 0, "nothing was held");
    lift(&held).await;
    held.assert_complete(&waiting, AFTER_A_HOLD).await;
    assert_nothing_lost(&second);
}

/// A workload is made, edited twice and deleted, all within `time`, which passes.
async fn live_briefly(history: &History, time: Duration) -> Meta {
    let began = Instant::now();
    history.create("brief").await;
    let last = history.edit("brief", 0..2).await;
    history.delete("brief").await;
    sleep(time.saturating_sub(began.elapsed())).await;
    last
}

/// A way in which a checkpoint is lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Deleted,
    /// The half of each entry is left.
    Damaged,
    /// It is that of another cluster, which is further on.
    Foreign,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_is_deleted_damaged_or_foreign_is_said_to_be_lost_and_nothing_else_is() {
    let own = World::start(&Options::minimal());
    let mut revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let history = History::recorded(&own, "lost").await;
    for (round, loss) in [Loss::Deleted, Loss::Damaged, Loss::Foreign]
        .into_iter()
        .enumerate()
    {
        drop(revisor);
        let last = edited_while_away(&history, round).await;
        lose(&history, loss).await;
        revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
        let recorded = history.assert_complete(&last, AFTER_A_START).await;
        assert_eq!(recorded, 1 + (round + 1) * (3 + 4), "{loss:?}");
        let told = async || is_told(&history.client).await;
        until(Duration::from_secs(20), "an Event CheckpointLost", told).await;
        assert_nothing_lost(&revisor);
    }
}

/// Edits of a workload that is known, and a new one with edits of its own.
pub async fn edited_while_away(history: &History, round: usize) -> Meta {
    let first = 100 * (round + 1);
    history.edit("w0", first..first + 3).await;
    let name = format!("late{round}");
    history.create(&name).await;
    history.edit(&name, 0..3).await
}

/// Whether the ConfigMap has an Event that its content is lost.
pub async fn is_told(client: &Client) -> bool {
    let all = events(client, "default", "CheckpointLost").await;
    all.iter().any(|event| {
        let object = &event["involvedObject"];
        object["kind"] == "ConfigMap" && object["name"] == "revisor-checkpoint"
    })
}

/// Loses the checkpoint, and removes Events of earlier losses.
async fn lose(history: &History, loss: Loss) {
    let client = &history.client;
    let earlier = "/api/v1/namespaces/default/events";
    delete(client, earlier).await;
    let present = read(client, &INFERENCE_SERVICE.path(&history.namespace)).await;
    let present = resource_version(&present);
    let data = match loss {
        Loss::Deleted => return delete(client, CHECKPOINT).await,
        Loss::Damaged => changed(client, halved).await,
        Loss::Foreign => {
            let mut data = changed(client, |text| at(text, present)).await;
            let other = "0f0e0d0c-0b0a-4908-8706-050403020100";
            data.insert(CLUSTER.to_owned(), other.into());
            data
        }
    };
    patch(client, CHECKPOINT, &json!({ "data": data })).await;
}

async fn delete(client: &Client, path: &str) {
    let (code, body) = send(client, Method::DELETE, path, "application/json", "").await;
    assert_eq!(code, 200, "{body}");
}

/// The entries of the kinds, changed.
async fn changed(client: &Client, change: impl Fn(&str) -> String) -> Map<String, Value> {
    let map = read(client, CHECKPOINT).await;
    let entries = map["data"].as_object().expect("entries").iter();
    entries
        .filter(|(key, _)| *key != CLUSTER)
        .map(|(key, text)| (key.clone(), change(text.as_str().expect("text")).into()))
        .collect()
}

fn halved(text: &str) -> String {
    text.chars().take(text.chars().count() / 2).collect()
}

/// The text of an entry with another place.
fn at(text: &str, version: u64) -> String {
    let mark = "\"resourceVersion\":\"";
    let Some((head, tail)) = text.split_once(mark) else {
        return text.to_owned();
    };
    let rest = tail.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{head}{mark}{version}{rest}")
}
