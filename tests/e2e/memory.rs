//! More than memory holds: what is waiting is bounded, and everything is recorded in the end.

use crate::support::{INFERENCE_SERVICE, Meta, Revisor, World, eventually, patch};
use crate::traffic::{create, noise, path};
use devcluster::Options;
use serde_json::{Value, json};
use std::cell::Cell;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Bytes that may wait to be written.
const QUEUE: u64 = 8 << 20;
/// What a cached Revision may take: 1.5 times its JSON, and 256 bytes.
const CACHED: u64 = 3 << 10;
/// Edits in a minute, at least: together six times as large as what may wait.
const EDITS: usize = 1000;

/// Resident memory in bytes.
fn resident(revisor: &Revisor) -> u64 {
    let out = Command::new("ps")
        .args(["-o", "rss=", "-p", &revisor.pid.to_string()])
        .output()
        .expect("ps");
    String::from_utf8_lossy(&out.stdout)
        .trim()
        .parse::<u64>()
        .expect("a number")
        * 1024
}

fn blob(i: usize) -> Value {
    json!({"spec": {"blob": noise(i, 50_000)}})
}

/// As many edits of 50 KB as four connections can make in that time: the last, their number, and the most memory.
async fn edit_for(
    time: Duration,
    world: &World,
    namespace: &str,
    revisor: &Revisor,
) -> (Meta, usize, u64) {
    let started = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4_usize {
        let client = world.client().await;
        let namespace = namespace.to_owned();
        writers.spawn(async move {
            let mut last = None;
            let mut i = writer;
            while started.elapsed() < time {
                last = Some(
                    patch(
                        &client,
                        &path(&namespace, &format!("w{}", i % 20)),
                        &blob(i + 100),
                    )
                    .await,
                );
                i += 4;
                // Some two thousand in a minute: an unoptimised build takes a tenth of a second for each later.
                sleep(Duration::from_millis(100)).await;
            }
            (last, i / 4)
        });
    }
    let mut newest = None;
    let mut edits = 0;
    let mut most = 0;
    while !writers.is_empty() {
        while let Some(done) = writers.try_join_next() {
            let (last, made) = done.expect("no panic");
            edits += made;
            newest = newest.into_iter().chain(last).max_by_key(Meta::version);
        }
        most = most.max(resident(revisor));
        sleep(Duration::from_millis(200)).await;
    }
    (newest.expect("edits"), edits, most)
}

async fn warm_up(client: &kube::Client, namespace: &str, revisor: &Revisor) {
    let mut last = None;
    for i in 0..60 {
        last = Some(patch(client, &path(namespace, &format!("w{}", i % 20)), &blob(i)).await);
    }
    revisor.wait_recorded(INFERENCE_SERVICE, last.expect("edits").version());
}

/// The most memory until everything up to `last` is recorded.
fn catch_up(revisor: &Revisor, last: &Meta, limit: Duration) -> u64 {
    let most = Cell::new(0);
    let done = || {
        most.set(most.get().max(resident(revisor)));
        revisor.metric("revisor_recorded_resource_version", "InferenceService")
            >= f64::from(u32::try_from(last.version()).expect("small"))
    };
    assert!(eventually(limit, done), "{}", revisor.log());
    most.get()
}

/// What may be taken, in bytes.
struct Bounds {
    before: u64,
    edits: usize,
}

impl Bounds {
    fn assert(&self, when: &str, most: u64, bound: u64) {
        let [before, most, bound] = [self.before, most, bound].map(|bytes| bytes >> 20);
        let edits = self.edits;
        eprintln!(
            "{edits} edits: {before} MiB before, {most} MiB at most {when}, {bound} MiB allowed"
        );
        assert!(most <= bound, "{most} MiB {when}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_bounded_while_nothing_can_be_written() {
    stays_bounded(1).await;
}

/// Nothing can be written for so many minutes, while 50 KB are edited again and again.
pub async fn stays_bounded(minutes: u64) {
    let own = World::start(&Options {
        go_max_procs: None,
        quota_backend_bytes: (minutes > 1).then_some(8 << 30),
        // The API server would compact every five minutes what is still to be read, and make Gaps of it.
        compaction_interval: Some(Duration::from_secs(3600 * minutes)),
        ..Options::minimal()
    });
    let client = own.client().await;
    let namespace = own.namespace("memory").await;
    let kubeconfig = crate::faults::service_account(&own);
    create(&client, &namespace, 20).await;
    let revisor = Revisor::start(&kubeconfig, &["--queue-bytes=8MiB"]);
    warm_up(&client, &namespace, &revisor).await;
    let before = resident(&revisor);
    own.cluster
        .apply(&crate::faults::role(false))
        .expect("a role");
    let time = Duration::from_secs(60 * minutes);
    let (newest, edits, most) = edit_for(time, &own, &namespace, &revisor).await;
    let bounds = Bounds { before, edits };
    bounds.assert("while nothing is written", most, (before + QUEUE) * 5 / 4);
    let least = EDITS * usize::try_from(minutes).expect("few");
    assert!(edits >= least, "{edits} edits");
    assert!(
        revisor.metric("revisor_write_held", "Forbidden") > 0.5,
        "{}",
        revisor.log()
    );
    own.cluster
        .apply(&crate::faults::role(true))
        .expect("a role");
    own.oracle
        .wait_for(INFERENCE_SERVICE.registry, &newest.uid, newest.generation);
    let most = catch_up(&revisor, &newest, Duration::from_secs(1200 * minutes));
    // What is recorded is served, so there is more to keep in the end, for each Revision what one may take.
    let recorded = own.assert_recorded(&namespace, &[INFERENCE_SERVICE]).await;
    let after = resident(&revisor);
    bounds.assert(
        "when it has caught up",
        after,
        before + u64::try_from(recorded).expect("few") * CACHED,
    );
    bounds.assert("while it catches up", most, after + QUEUE * 5 / 4);
}
