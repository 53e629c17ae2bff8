//! Long forms of scenarios: the same code as the short ones, with other sizes. `make test-long` runs them one by one.
//!
//! `tests/long.sh` reads the name, the minutes on two cores and the description of each from the attributes below.

use crate::observe::life;
use crate::serve::docs;
use crate::settled::{beginning, first_release, quotas, webhooks};
use crate::support::KINDS;
use crate::{continuity, definitions, faults, memory, record, restart, storms};
use std::time::Duration;

/// No scenario takes as long.
const LIMIT: Duration = Duration::from_secs(15 * 60);

async fn within_limit(scenario: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(LIMIT, scenario).await;
    assert!(ended.is_ok(), "it did not end within {LIMIT:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 2 min: 2,000 edits of one object of each kind, as fast as they go"]
async fn edits_of_every_kind() {
    within_limit(async {
        for kind in KINDS {
            record::create_and_edit(kind, 2_000).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 3 min: 100 workloads of every kind, edited 200 times each over 8 connections"]
async fn many_workloads() {
    within_limit(record::many_workloads(100, 200)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 4 min: killed every two seconds for three minutes, under 100 edits a second"]
async fn kills() {
    within_limit(continuity::killed_under_load(
        Duration::from_secs(180),
        6_000,
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 2 min: 6,000 edits on both sides of a restart of the API server while Revisor is away"]
async fn edits_while_away() {
    within_limit(continuity::away_over_a_restart(1_500)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 6 min: away for one minute and for four, under three edits a second"]
async fn absences() {
    within_limit(continuity::away_for(&[60, 240], 600)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 3 min: eight times the API server, etcd and the API server restart, under 50 edits a second"]
async fn restarts() {
    within_limit(continuity::restarts_during_edits(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 3 min: the API server freezes six times, for up to 38 seconds, under 100 edits a second"]
async fn freezes() {
    within_limit(continuity::freezes(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 2 min: 2,000 lives of one name, one after the other"]
async fn lives() {
    within_limit(continuity::lives_of_one_name(2_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 1 min: workloads of 500 edits come and go while Revisor is away"]
async fn come_and_go() {
    within_limit(continuity::come_and_go(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 1 min: etcd goes back to a copy, 3,000 edits behind, and 300 others follow"]
async fn rewind() {
    within_limit(continuity::goes_back_to_a_copy(3_000, 300)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 2 min: a definition changes five times, each time among 500 edits"]
async fn definitions_change() {
    within_limit(definitions::changes_under_load(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 2 min: 15,000 writes of an autoscaler are no Revision and no Gap"]
async fn autoscaler() {
    within_limit(storms::autoscaler_writes(15_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 2 min: an object too large to be stored twice among 8,000 edits"]
async fn large_object() {
    within_limit(storms::too_large_among(8_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 5 min: two minutes of 50 KB edits while nothing can be written: memory stays bounded"]
async fn bounded_memory() {
    within_limit(memory::stays_bounded(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 1 min: 600 edits of 50 KB through a queue of 1 MiB that cannot be written for a while"]
async fn full_queue() {
    within_limit(faults::full_queue(600)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 1 min: two processes record the same 3,000 edits"]
async fn two_recorders() {
    within_limit(restart::two_at_once(3_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 2 min: of 150 quick rollouts only the last runs"]
async fn quick_rollouts() {
    within_limit(life::quick_rollouts(150)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 3 min: a fuzzer that knows openapi.json makes 500 examples of each endpoint"]
async fn fuzzed_api() {
    within_limit(docs::fuzzed(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 2 min: a quota is exceeded for a minute while 40 Deployments roll elsewhere"]
async fn quota_one_minute() {
    within_limit(quotas::statuses_beside_a_quota(Duration::from_secs(60))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 12 min: the same for ten minutes, beyond a compaction of etcd"]
async fn quota_ten_minutes() {
    within_limit(quotas::statuses_beside_a_quota(Duration::from_secs(600))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 4 min: webhooks refuse for a minute, and one hangs for 30 seconds at a time"]
async fn hanging_webhook() {
    within_limit(webhooks::refused_for(30, Duration::from_secs(60))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 1 min: killed a second after the first list of a kind that was installed late"]
async fn late_kind() {
    within_limit(beginning::killed_after_the_first_list_of_a_late_kind()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 2 min: upgrade from the first release, downgrade, upgrade again, and both at once, under edits"]
async fn first_release() {
    within_limit(first_release::up_and_down()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: 8 min: the core of the end-to-end tests on Kubernetes 1.33.5"]
async fn older_kubernetes() {
    let out = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args([
            "record::",
            "continuity::",
            "quiet::",
            "crd::",
            "serve::contract",
            "installed::",
        ])
        .env("DEVCLUSTER_KUBERNETES", "v1.33.5")
        .status();
    assert!(out.expect("the tests").success());
}
