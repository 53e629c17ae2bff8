//! Snapshots that are made to fill the memory of their readers.

use super::forge;
use super::stage::{SAID, Tenant, served, start};
use crate::settled::{History, until};
use crate::support::{Revisor, get};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use revisor::revision::identity::ContentDigest;
use serde_json::{Value, json};
use std::io::Write;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Half of what a deployment is given.
const RESIDENT: usize = 256 << 20;
/// All that is unpacked.
const LIMIT: usize = 4 << 20;

/// A snapshot with this text, whatever it is; its digest is that of the text of its spec.
fn snapshot(spec: &str, tail: &str) -> (Value, String) {
    let text = format!("{{\"spec\":{spec}}}{tail}");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).expect("memory");
    let data = BASE64_STANDARD.encode(encoder.finish().expect("memory"));
    let digest = ContentDigest::of_canonical_spec(spec.as_bytes()).to_string();
    let snapshot = json!({"encoding": "gzip+base64", "size": text.len(), "data": data});
    (snapshot, digest)
}

/// Of every kind: those that fit into what is unpacked, and one that does not.
fn bombs() -> Vec<(&'static str, String)> {
    let room = LIMIT - 100;
    vec![
        (
            "deep",
            format!("{}{}", "[".repeat(room / 2), "]".repeat(room / 2)),
        ),
        ("wide", format!("[{}0]", "[],".repeat(room / 3))),
        ("numbers", format!("[{}0]", "0,".repeat(room / 2))),
        ("long", format!("\"{}\"", "x".repeat(room))),
        ("keys", {
            let keys = (0..room / 12).map(|i| format!("\"{i:07}\":0"));
            format!("{{{}}}", keys.collect::<Vec<_>>().join(","))
        }),
        ("unpacking", format!("[{}0]", "[],".repeat(63 << 18))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_of_every_kind_leave_memory_and_recording_as_they_are() {
    let world = start();
    let revisor = Revisor::start(world.cluster.kubeconfig(), &[]);
    let history = History::recorded(&world, "bombs").await;
    let victim = History::recorded(&world, "beside").await;
    let tenant = Tenant::of(&world, &history.namespace).await;
    let last = history.edit("w0", 0..1).await;
    history.assert_complete(&last, SAID).await;
    let quiet = lag(&victim, 0).await;
    let model = history.revisions().await.remove(0);
    let ids = store_bombs(&tenant, &model).await;
    let readers = readers(revisor.rest, &ids);
    let busy = lag(&victim, 100).await;
    let mut most = 0;
    let mut asked = 0;
    for reader in readers {
        while !reader.is_finished() {
            most = most.max(revisor.resident());
            std::thread::sleep(Duration::from_millis(20));
        }
        asked += reader.join().expect("no panic");
    }
    println!(
        "{asked} rounds, {} MiB at most, lag {quiet:?} and {busy:?} under bombs",
        most >> 20
    );
    assert!(most < RESIDENT, "{} MiB", most >> 20);
    assert!(
        busy < 6 * quiet.max(Duration::from_secs(1)),
        "{quiet:?}, then {busy:?}"
    );
    assert!(revisor.is_alive(), "{}", revisor.log());
    // One that is too large is not even shown.
    let is_doubted = async || revisor.metric("revisor_revisions_forged", "Content") >= 1.0;
    until(
        SAID,
        "the one that unpacks to more is said to be forged",
        is_doubted,
    )
    .await;
    assert_eq!(served(&revisor, &last.uid).len(), 2);
}

/// Stores each bomb; the ids under which it is asked for.
async fn store_bombs(tenant: &Tenant, model: &Value) -> Vec<String> {
    // Of a workload that is not there: nothing tells that it never was.
    let mut ids = Vec::new();
    for (i, (_, bomb)) in bombs().iter().enumerate() {
        let live = json!({"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {
            "name": "bomb", "uid": uuid::Uuid::from_u128(0xb0 + i as u128)}});
        let mut forged = forge::of(model, &live, 1);
        let (snapshot, digest) = snapshot(bomb, "");
        forged["spec"]["snapshot"] = snapshot;
        forged["spec"]["contentDigest"] = digest.into();
        ids.push(forged["spec"]["id"].as_str().expect("an id").to_owned());
        tenant.store(&forged).await;
    }
    ids
}

/// Eight readers at once, for twenty seconds. Each counts its rounds.
fn readers(port: u16, ids: &[String]) -> Vec<JoinHandle<usize>> {
    (0..8)
        .map(|reader| {
            let ids = ids.to_vec();
            std::thread::spawn(move || {
                let deadline = Instant::now() + Duration::from_secs(20);
                let mut asked = reader;
                while Instant::now() < deadline {
                    let id = &ids[asked % ids.len()];
                    for what in ["snapshot", "diff"] {
                        let _ = get(port, &format!("/api/revisor/v1/revisions/{id}/{what}"));
                    }
                    asked += 1;
                }
                asked - reader
            })
        })
        .collect()
}

/// How long thirty edits take until they are stored.
async fn lag(history: &History, from: usize) -> Duration {
    let started = Instant::now();
    let last = history.edit("w0", from..from + 30).await;
    history.assert_complete(&last, 4 * SAID).await;
    started.elapsed()
}
