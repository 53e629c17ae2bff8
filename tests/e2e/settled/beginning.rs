//! Recording that ends in its first seconds: the next process records the edits of that time.

use super::history::History;
use super::stage::{AFTER_A_START, assert_nothing_lost, until};
use crate::oracle::Oracle;
use crate::support::{INFERENCE_SERVICE, Kind, Revisor, World, fixtures, send};
use crate::traffic::{Traffic, create};
use devcluster::Options;
use http::Method;
use kube::Client;
use std::io::Write;
use std::time::Duration;
use tokio::time::sleep;

const LATE: Kind = Kind {
    kind: "Late",
    api: "apis/e2e.example.com/v1",
    plural: "lates",
    registry: "e2e.example.com/lates",
};
const LATE_FILE: &str = "kinds:
- {kind: Late, group: e2e.example.com, versions: [v1], plural: lates, select: always}
";

#[tokio::test(flavor = "multi_thread")]
async fn killed_one_two_and_five_seconds_after_the_very_first_start() {
    let own = World::start(&Options::minimal());
    for seconds in [1, 2, 5] {
        killed_after(&own, Duration::from_secs(seconds)).await;
    }
}

/// Ten workloads are edited all the time, and the first process is killed so soon.
async fn killed_after(own: &World, time: Duration) {
    let history = History::begin(own, "first").await;
    create(&history.client, &history.namespace, 10).await;
    let traffic = Traffic::start(&own.cluster, &history.namespace, 10, 50).await;
    let first = Revisor::launch(own.cluster.kubeconfig(), &[]);
    sleep(time).await;
    drop(first);
    sleep(Duration::from_secs(1)).await;
    let second = Revisor::start(own.cluster.kubeconfig(), &[]);
    sleep(Duration::from_secs(1)).await;
    let edits = traffic.made();
    let last = traffic.stop().await;
    let recorded = history.assert_complete(&last, AFTER_A_START).await;
    assert!(
        edits > 20 && recorded > 10 + edits,
        "{recorded} are recorded of {edits} edits"
    );
    assert_nothing_lost(&second);
    drop(second);
    uninstall(&history.client, &history.namespace).await;
}

/// Deletes the Revisions, their workloads, the checkpoint and the Lease: the next start is a very
/// first one again.
async fn uninstall(client: &Client, namespace: &str) {
    for path in [
        format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions"),
        INFERENCE_SERVICE.path(namespace),
        "/api/v1/namespaces/default/configmaps/revisor-checkpoint".to_owned(),
        "/apis/coordination.k8s.io/v1/namespaces/default/leases/revisor".to_owned(),
    ] {
        let (code, body) = send(client, Method::DELETE, &path, "application/json", "").await;
        assert!(code == 200 || code == 404, "{path}: {code} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_a_second_after_a_kind_was_installed() {
    killed_after_an_installation(async |_| {}).await;
}

/// Killed a second after the first list of a kind that was installed meanwhile.
pub async fn killed_after_the_first_list_of_a_late_kind() {
    let listed = async |revisor: &Revisor| {
        let is_listed = async || revisor.metric("revisor_lists_total", "\"Late\"") > 0.5;
        until(Duration::from_secs(40), "the first list", is_listed).await;
    };
    killed_after_an_installation(listed).await;
}

/// A kind is installed while a process runs, and its workloads are edited. A second after `moment`
/// the process is killed.
async fn killed_after_an_installation(moment: impl AsyncFn(&Revisor)) {
    let own = World::start(&Options::minimal());
    let mut config = tempfile::NamedTempFile::new().expect("a file");
    config.write_all(LATE_FILE.as_bytes()).expect("written");
    let file = config.path().display().to_string();
    let first = Revisor::start(own.cluster.kubeconfig(), &["--config", &file]);
    let definition = fixtures().join("crds/lates.yaml");
    own.define(&std::fs::read_to_string(definition).expect("a fixture"));
    let oracle = Oracle::start(&own.cluster.etcd_endpoint(), &[LATE.registry]);
    let history = History::of(&own, LATE, &oracle, "late").await;
    for name in ["w0", "w1"] {
        history.create(name).await;
        history.edit(name, 0..5).await;
    }
    moment(&first).await;
    history.edit("w0", 10..15).await;
    sleep(Duration::from_secs(1)).await;
    drop(first);
    history.edit("w1", 20..25).await;
    let last = history.edit("w0", 20..25).await;
    let second = Revisor::start(own.cluster.kubeconfig(), &["--config", &file]);
    let recorded = history.assert_complete(&last, AFTER_A_START).await;
    assert_eq!(recorded, 2 * (1 + 5 + 5) + 5);
    assert_nothing_lost(&second);
}
