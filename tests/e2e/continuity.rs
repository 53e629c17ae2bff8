//! Revisor goes away, or the API server and etcd do: nothing is lost, or what is lost is said.

use crate::oracle::compaction;
use crate::support::{
    INFERENCE_SERVICE, Revisor, World, edit, eventually, patch, post, read, revisions,
};
use crate::traffic::{Traffic, create, path, status, uri};
use devcluster::{Component, Options};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const API_SERVER: Component = Component::ApiServer(0);

/// Waits until everything up to an edit is recorded, and compares with what etcd stored.
async fn assert_complete(
    world: &World,
    revisor: &Revisor,
    namespace: &str,
    last: &crate::support::Meta,
) -> usize {
    world.wait_recorded(revisor, INFERENCE_SERVICE, last);
    for metric in [
        "revisor_generations_lost_total",
        "revisor_revisions_drift_total",
    ] {
        assert!(
            revisor.metric(metric, "").abs() < 0.5,
            "{metric}:\n{}",
            revisor.log()
        );
    }
    let recorded = world.assert_recorded(namespace, &[INFERENCE_SERVICE]).await;
    assert!(
        crate::support::gaps(&world.client().await, namespace)
            .await
            .is_empty()
    );
    recorded
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_every_two_seconds_under_load() {
    killed_under_load(Duration::from_secs(30), 1000).await;
}

/// Killed every two seconds for so long; more than `least` edits are recorded.
pub async fn killed_under_load(time: Duration, least: usize) {
    let own = World::start(&Options::minimal());
    let namespace = own.namespace("kill").await;
    create(&own.client().await, &namespace, 5).await;
    // What was there before Revisor came begins where it is.
    let first = Revisor::start(own.cluster.kubeconfig(), &[]);
    let seen = patch(&own.client().await, &path(&namespace, "w0"), &uri(0)).await;
    first.wait_recorded(INFERENCE_SERVICE, seen.version());
    drop(first);
    let traffic = Traffic::start(&own.cluster, &namespace, 5, 100).await;
    let client = own.client().await;
    let started = Instant::now();
    let mut lives = 0;
    while started.elapsed() < time {
        let revisor = Revisor::launch(own.cluster.kubeconfig(), &[]);
        sleep(Duration::from_millis(1700)).await;
        // The last that it sees is the end of a workload.
        lives += 1;
        live_and_go(&client, &namespace, "brief", lives).await;
        sleep(Duration::from_millis(200)).await;
        drop(revisor);
    }
    let edits = traffic.made();
    let last = traffic.stop().await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let recorded = assert_complete(&own, &revisor, &namespace, &last).await;
    assert!(recorded > least, "{recorded} of {edits} edits");
}

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

#[tokio::test(flavor = "multi_thread")]
async fn edits_on_both_sides_of_a_restart_of_the_api_server_while_away() {
    away_over_a_restart(30).await;
}

/// Two workloads are edited `edits` times each before and after a restart of the API server, while nobody looks.
pub async fn away_over_a_restart(edits: usize) {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("away").await;
    create(&client, &namespace, 2).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let last = edit(&client, &path(&namespace, "w0"), 10, uri).await;
    revisor.wait_recorded(INFERENCE_SERVICE, last.version());
    drop(revisor);
    for name in ["w0", "w1"] {
        edit(&client, &path(&namespace, name), edits, |i| uri(100 + i)).await;
        status(&client, &path(&namespace, name), 1).await;
    }
    own.cluster.restart(API_SERVER).expect("an API server");
    for name in ["w1", "w0"] {
        let after = |i| uri(100_000 + i);
        edit(&client, &path(&namespace, name), edits, after).await;
    }
    let last = patch(&client, &path(&namespace, "w1"), &uri(300_000)).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    assert_eq!(
        assert_complete(&own, &revisor, &namespace, &last).await,
        2 + 10 + 4 * edits + 1
    );
    let least = f64::from(u32::try_from(2 * edits).expect("small"));
    assert!(revisor.metric("revisor_generations_repaired_total", "InferenceService") > least);
    // What is read back knows what changed, as if it had been seen.
    let all = revisions(&client, &namespace).await;
    let told =
        |r: &&Value| r["spec"]["type"] == "Change" && r["spec"]["view"]["changes"].is_array();
    assert_eq!(all.iter().filter(told).count(), 10 + 4 * edits + 1);
    assert!(all.iter().any(|r| r["spec"]["observedVia"] == "Repair"));
}

#[tokio::test(flavor = "multi_thread")]
async fn away_for_one_minute_and_for_three() {
    away_for(&[60, 200], 600).await;
}

/// Away for so many seconds each time, under three edits a second; more than `least` are recorded.
pub async fn away_for(absences: &[u64], least: usize) {
    let own = World::start(&Options::minimal());
    let namespace = own.namespace("long").await;
    create(&own.client().await, &namespace, 3).await;
    let mut revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let seen = patch(&own.client().await, &path(&namespace, "w0"), &uri(0)).await;
    revisor.wait_recorded(INFERENCE_SERVICE, seen.version());
    let traffic = Traffic::start(&own.cluster, &namespace, 3, 3).await;
    for away in absences {
        sleep(Duration::from_secs(15)).await;
        drop(revisor);
        sleep(Duration::from_secs(*away)).await;
        revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    }
    let last = traffic.stop().await;
    assert!(assert_complete(&own, &revisor, &namespace, &last).await > least);
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_and_the_api_server_restart_during_edits() {
    restarts_during_edits(1).await;
}

/// The API server, etcd and the API server restart in turn, so many times, under fifty edits a second.
pub async fn restarts_during_edits(times: usize) {
    let own = World::start(&Options::minimal());
    let namespace = own.namespace("restarts").await;
    create(&own.client().await, &namespace, 3).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let traffic = Traffic::start(&own.cluster, &namespace, 3, 50).await;
    let turn = [API_SERVER, Component::Etcd, API_SERVER];
    for component in turn.repeat(times) {
        sleep(Duration::from_secs(4)).await;
        own.cluster.restart(component).expect("a restart");
    }
    sleep(Duration::from_secs(4)).await;
    let last = traffic.stop().await;
    assert!(assert_complete(&own, &revisor, &namespace, &last).await > 300 * times);
    assert!(revisor.metric("revisor_watch_expired_total", "InferenceService") > 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_freezes_in_the_midst_of_edits_loses_nothing() {
    freezes(1).await;
}

/// The API server freezes for four seconds and for fourteen, so many times, under a hundred edits a second.
pub async fn freezes(times: usize) {
    let own = World::start(&Options::minimal());
    let namespace = own.namespace("frozen").await;
    create(&own.client().await, &namespace, 5).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let traffic = Traffic::start(&own.cluster, &namespace, 5, 100).await;
    // Shorter than every deadline, then longer than that of a create: it accepts connections and never answers.
    for frozen in [4, 14].repeat(times) {
        sleep(Duration::from_secs(3)).await;
        // Revisor finds events that were sent before, and writes what nobody answers.
        revisor.signal("STOP");
        sleep(Duration::from_secs(1)).await;
        own.cluster.freeze(API_SERVER).expect("frozen");
        revisor.signal("CONT");
        sleep(Duration::from_secs(frozen)).await;
        own.cluster.thaw(API_SERVER).expect("thawed");
    }
    sleep(Duration::from_secs(3)).await;
    let last = traffic.stop().await;
    assert!(assert_complete(&own, &revisor, &namespace, &last).await > 200 * times);
    assert!(
        revisor.metric("revisor_write_retries_total", "Network") > 0.5,
        "no create met its deadline"
    );
    assert!(
        revisor.metric("revisor_write_held", "").abs() < 0.5,
        "{}",
        revisor.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compacted_becomes_gaps_with_exact_ranges() {
    let options = Options {
        compaction_interval: Some(Duration::from_secs(20)),
        ..Options::minimal()
    };
    let own = World::start(&options);
    let client = own.client().await;
    let namespace = own.namespace("compact").await;
    create(&client, &namespace, 3).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let traffic = Traffic::start(&own.cluster, &namespace, 2, 10).await;
    sleep(Duration::from_secs(12)).await;
    drop(revisor);
    sleep(Duration::from_secs(45)).await;
    // Made while nobody looks: its first generations are lost too.
    create_named(&client, &namespace, "late").await;
    edit(&client, &path(&namespace, "late"), 10, uri).await;
    sleep(Duration::from_secs(45)).await;
    // The API server's own window must be gone too.
    own.cluster.restart(API_SERVER).expect("an API server");
    edit(&client, &path(&namespace, "late"), 3, |i| uri(100 + i)).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let last = traffic.stop().await;
    own.wait_recorded(&revisor, INFERENCE_SERVICE, &last);
    let (recorded, lost) = own
        .assert_recorded_or_gap(&namespace, INFERENCE_SERVICE)
        .await;
    assert_only_the_forgotten_is_lost(&own, &namespace).await;
    assert_gaps_are_told(&own, &revisor, &namespace, lost).await;
    assert!(
        recorded > 100 && lost > 200,
        "{recorded} recorded, {lost} lost"
    );
    // A second restart finds nothing new.
    drop(revisor);
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let last = patch(&client, &path(&namespace, "w2"), &uri(1)).await;
    own.wait_recorded(&revisor, INFERENCE_SERVICE, &last);
    assert_eq!(
        own.assert_recorded_or_gap(&namespace, INFERENCE_SERVICE)
            .await,
        (recorded + 1, lost)
    );
}

/// The Gaps say why they are there, and so do the metric, kubectl and an event.
async fn assert_gaps_are_told(own: &World, revisor: &Revisor, namespace: &str, lost: usize) {
    let counted = revisor.metric("revisor_generations_lost_total", "RecorderAway");
    assert!(
        (counted - f64::from(u32::try_from(lost).expect("small"))).abs() < 0.5,
        "{counted} of {lost}"
    );
    let all = revisions(&own.client().await, namespace).await;
    let gaps: Vec<_> = all.iter().filter(|r| r["spec"]["type"] == "Gap").collect();
    assert_eq!(
        gaps.len(),
        3,
        "one for each workload that was edited: {gaps:?}"
    );
    assert!(
        gaps.iter()
            .all(|gap| gap["spec"]["gap"]["reason"] == "RecorderAway"),
        "{gaps:?}"
    );
    let shown = own.kubectl(&["-n", namespace, "get", "revisions"]);
    assert!(shown.contains("not recorded (RecorderAway)"), "{shown}");
    let events = own.kubectl(&["-n", namespace, "get", "events"]);
    assert!(events.contains("GenerationsLost"), "{events}");
}

/// No Gap holds a generation that etcd still knew when it was read back.
async fn assert_only_the_forgotten_is_lost(own: &World, namespace: &str) {
    let first_known = compaction(&own.cluster.etcd_endpoint());
    let superseded = own.oracle.superseded(INFERENCE_SERVICE.registry, namespace);
    for key in crate::support::gaps(&own.client().await, namespace).await {
        let until =
            superseded[&key].unwrap_or_else(|| panic!("{key:?} is the newest, and in a Gap"));
        assert!(
            until <= first_known,
            "{key:?} was there until {until}, etcd knows {first_known}"
        );
    }
}

/// Waits until etcd has forgotten everything up to and with a revision but its last state.
async fn compacted_beyond(own: &World, revision: u64) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while compaction(&own.cluster.etcd_endpoint()) <= revision {
        assert!(Instant::now() < deadline, "etcd was not compacted");
        sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_states_are_recorded_though_they_are_older_than_the_compaction() {
    let options = Options {
        compaction_interval: Some(Duration::from_secs(20)),
        ..Options::minimal()
    };
    let own = World::start(&options);
    let client = own.client().await;
    let namespace = own.namespace("newest").await;
    create(&client, &namespace, 2).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let seen = edit(&client, &path(&namespace, "w0"), 3, uri).await;
    revisor.wait_recorded(INFERENCE_SERVICE, seen.version());
    sleep(Duration::from_secs(11)).await;
    drop(revisor);
    let edited = edit(&client, &path(&namespace, "w0"), 5, |i| uri(100 + i)).await;
    create_named(&client, &namespace, "late").await;
    let late = edit(&client, &path(&namespace, "late"), 4, |i| uri(200 + i)).await;
    compacted_beyond(&own, late.version()).await;
    own.cluster.restart(API_SERVER).expect("an API server");
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    revisor.wait_recorded(INFERENCE_SERVICE, late.version());
    let recorded = crate::support::recorded(&client, &namespace).await;
    for newest in [&edited, &late] {
        let key = (newest.uid.clone(), newest.generation);
        assert!(
            recorded.contains_key(&key),
            "the newest state of {} is not recorded",
            newest.name
        );
    }
    let all = |meta: &crate::support::Meta, from: i64| {
        (from..meta.generation)
            .map(|generation| (meta.uid.clone(), generation))
            .collect::<Vec<_>>()
    };
    let expected: BTreeSet<_> = all(&edited, seen.generation + 1)
        .into_iter()
        .chain(all(&late, 1))
        .collect();
    assert_eq!(crate::support::gaps(&client, &namespace).await, expected);
    own.assert_recorded_or_gap(&namespace, INFERENCE_SERVICE)
        .await;
}

async fn create_named(client: &kube::Client, namespace: &str, name: &str) {
    let mut object = INFERENCE_SERVICE.example();
    object["metadata"]["name"] = name.into();
    post(client, &INFERENCE_SERVICE.path(namespace), &object).await;
}

/// A workload of four generations whose deletion waits: its generation moves once more, its spec does not.
async fn live_and_go(client: &kube::Client, namespace: &str, name: &str, seed: usize) {
    let at = path(namespace, name);
    create_named(client, namespace, name).await;
    edit(client, &at, 3, |n| uri(seed * 10 + n)).await;
    patch(
        client,
        &at,
        &json!({"metadata": {"finalizers": ["e2e.example.com/hold"]}}),
    )
    .await;
    release(client, &at).await;
}

/// The end of a workload that waits for its finalizers.
async fn release(client: &kube::Client, path: &str) {
    let foreground = json!({"propagationPolicy": "Foreground"}).to_string();
    crate::support::send(
        client,
        Method::DELETE,
        path,
        "application/json",
        &foreground,
    )
    .await;
    patch(client, path, &json!({"metadata": {"finalizers": null}})).await;
}

async fn delete(client: &kube::Client, path: &str) {
    let (code, body) =
        crate::support::send(client, Method::DELETE, path, "application/json", "").await;
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
