//! etcd goes back to a copy of its data: a history that was recorded never was.

use super::{API_SERVER, assert_complete};
use crate::support::{INFERENCE_SERVICE, Revisor, World, edit, eventually, patch, read};
use crate::traffic::{create, path, uri};
use devcluster::{Component, Options};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The resourceVersion of a collection.
async fn version(client: &kube::Client, collection: &str) -> u64 {
    let list = read(client, &format!("{collection}?limit=1")).await;
    let version = list["metadata"]["resourceVersion"].as_str();
    version.and_then(|v| v.parse().ok()).expect("a number")
}

/// Does something with the data of etcd and the place of its copy while neither etcd nor the API server runs.
fn while_down(own: &World, work: impl FnOnce(&Path, &Path)) {
    own.cluster.kill(API_SERVER).expect("killed");
    own.cluster.kill(Component::Etcd).expect("killed");
    let folder = own.cluster.directory();
    work(&folder.join("etcd"), &folder.join("etcd-copy"));
    own.cluster.restart(Component::Etcd).expect("etcd");
    own.cluster.restart(API_SERVER).expect("an API server");
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.expect("cp").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_goes_back_to_a_copy() {
    goes_back_to_a_copy(300, 20).await;
}

/// etcd loses a history of `lost` edits, and then there are `after` others.
pub async fn goes_back_to_a_copy(lost: usize, after: usize) {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("rewind").await;
    create(&client, &namespace, 2).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let last = edit(&client, &path(&namespace, "w0"), 10, uri).await;
    assert_complete(&own, &revisor, &namespace, &last).await;
    let copied = version(&client, &INFERENCE_SERVICE.path(&namespace)).await;
    while_down(&own, copy_folder);
    // A history that will never have been.
    let last = edit(&client, &path(&namespace, "w0"), lost, |i| uri(100 + i)).await;
    assert_complete(&own, &revisor, &namespace, &last).await;
    while_down(&own, |data, copy| {
        std::fs::remove_dir_all(data).expect("removed");
        copy_folder(copy, data);
        own.oracle.restored(copied);
    });
    let last = edit(
        &client,
        &path(&namespace, "w0"),
        after,
        |i| uri(900_000 + i),
    )
    .await;
    own.oracle
        .wait_for(INFERENCE_SERVICE.registry, &last.uid, last.generation);
    let found = || revisor.metric("revisor_etcd_rewinds_total", "") > 0.5;
    assert!(
        eventually(Duration::from_secs(60), found),
        "{}",
        revisor.log()
    );
    let last = patch(&client, &path(&namespace, "w1"), &uri(1)).await;
    own.oracle
        .wait_for(INFERENCE_SERVICE.registry, &last.uid, last.generation);
    let recorded = || {
        own.kubectl(&["-n", &namespace, "get", "revisions"])
            .lines()
            .count()
            == 1 + 2 + 10 + after + 1
    };
    assert!(
        eventually(Duration::from_secs(30), recorded),
        "{}",
        revisor.log()
    );
    own.assert_recorded(&namespace, &[INFERENCE_SERVICE]).await;
    let events = || own.kubectl(&["get", "events"]).contains("EtcdRewound");
    assert!(
        eventually(Duration::from_secs(10), events),
        "{}",
        revisor.log()
    );
}
