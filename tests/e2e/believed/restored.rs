//! etcd is restored from a copy that lacks Revisions of workloads that it has, and its revisions are moved beyond all that
//! were given before, as `etcdutl snapshot restore --bump-revision --mark-compacted` does: no place and no generation goes back.

use super::stage::{BACK, Present};
use crate::settled::{History, lift, limit, until};
use crate::support::{Revisor, World, read};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use devcluster::{Component, Options};
use kube::Client;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;
use tokio::time::sleep;

const API_SERVER: Component = Component::ApiServer(0);
/// More places than a history of this test has.
const BUMP: usize = 3000;

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_a_bumped_restore_has_undone_is_recorded_again() {
    let own = World::start(&Options::minimal());
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let history = History::recorded(&own, "bumped").await;
    limit(&history, 1).await;
    let last = history.edit("w0", 0..3).await;
    let waits = async || revisor.metric("revisor_write_held", "QuotaExceeded") > 0.5;
    until(BACK, "the queue is held", waits).await;
    let copied = place(&history.client).await;
    copy(&own);
    lift(&history).await;
    history.assert_complete(&last, 3 * BACK).await;
    let before = Present::of(&history).await;
    restore(&own, copied).await;
    // The quota is back too.
    lift(&history).await;
    assert_eq!(before.generations(), [1, 2, 3, 4]);
    before.wait_for_head(&history, "Change").await;
    let last = history.edit("w0", 100..103).await;
    // What is neither a head nor stored is removed.
    let is_left_out = |key: &(String, i64)| (2..4).contains(&key.1);
    history.wait(&last, 3 * BACK, is_left_out).await;
    let present = Present::of(&history).await;
    assert_eq!(present.generations(), [1, 4, 5, 6, 7]);
    assert!(present.has_no_gap());
    revisor.assert_nothing_lost();
}

/// The present resourceVersion.
async fn place(client: &Client) -> u64 {
    let list: Value = read(client, "/api/v1/namespaces?limit=1").await;
    let version = list["metadata"]["resourceVersion"].as_str();
    version.and_then(|one| one.parse().ok()).expect("a number")
}

fn stop(own: &World) {
    own.cluster.kill(API_SERVER).expect("killed");
    own.cluster.kill(Component::Etcd).expect("killed");
}

fn run(command: &mut Command) {
    assert!(command.status().expect("a program").success());
}

/// Copies the data of etcd.
fn copy(own: &World) {
    let folder = own.cluster.directory();
    stop(own);
    let [data, copy] = ["etcd", "etcd-copy"].map(|name| folder.join(name));
    run(Command::new("cp").arg("-a").args([&data, &copy]));
    own.cluster.restart(Component::Etcd).expect("etcd");
    own.cluster.restart(API_SERVER).expect("an API server");
}

/// Goes back to the copy, which was made at `copied`, beyond all places that were given before.
async fn restore(own: &World, copied: u64) {
    let folder = own.cluster.directory();
    stop(own);
    let [data, copy] = ["etcd", "etcd-copy"].map(|name| folder.join(name));
    std::fs::remove_dir_all(&data).expect("removed");
    run(Command::new("cp").arg("-a").args([&copy, &data]));
    own.oracle.restored(copied);
    own.cluster.restart(Component::Etcd).expect("etcd");
    // The witness goes on before history is compacted.
    sleep(Duration::from_secs(2)).await;
    let etcd = own.cluster.etcd_endpoint();
    let dummy = json!({"key": BASE64_STANDARD.encode("dummy"), "value": ""});
    let mut revision = String::new();
    for _ in 0..BUMP {
        let answer = ask(&etcd, "put", &dummy);
        let now = answer["header"]["revision"].as_str();
        now.expect("a revision").clone_into(&mut revision);
    }
    ask(&etcd, "compaction", &json!({"revision": revision}));
    own.cluster.restart(API_SERVER).expect("an API server");
}

/// Asks etcd by its HTTP gateway.
fn ask(etcd: &str, method: &str, body: &Value) -> Value {
    let address = etcd.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("etcd");
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "POST /v3/kv/{method} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}
