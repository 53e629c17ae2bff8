//! Rollouts that succeed, hang, crash and are taken back, of Deployments and StatefulSets.

use super::{Row, observed, wait};
use crate::support::{DEPLOYMENT, Kind, STATEFUL_SET, get, patch, post, send};
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use std::time::Duration;

struct Workload {
    kind: Kind,
    client: Client,
    namespace: String,
    path: String,
    uid: String,
    seen: Vec<Vec<Row>>,
}

/// What a template asks for: image, pool, GPUs of a pod, and what becomes of its pods.
pub(super) fn template(image: &str, pool: &str, gpus: u32, fate: &str) -> Value {
    json!({"template": {
        "metadata": {"annotations": {"devcluster.revisor.dev/pod": fate}},
        "spec": {"nodeSelector": {"kai.scheduler/node-pool": pool}, "terminationGracePeriodSeconds": 1, "containers": [
            {"name": "vllm", "image": image, "resources": {"limits": {"nvidia.com/gpu": gpus.to_string()}, "requests": {"cpu": "1"}}}]},
    }})
}

impl Workload {
    /// Two pods with a GPU each, in the pool a100.
    async fn start(kind: Kind, purpose: &str) -> Self {
        let (world, _) = observed();
        let client = world.client().await;
        let namespace = world.namespace(purpose).await;
        let mut object = kind.example();
        object["metadata"]["name"] = "w".into();
        object["spec"]["replicas"] = 2.into();
        let labels = object["spec"]["template"]["metadata"]["labels"].clone();
        object["spec"]["template"] = template("vllm:1", "a100", 1, "ready")["template"].clone();
        object["spec"]["template"]["metadata"]["labels"] = labels;
        if kind.kind == "StatefulSet" {
            object["spec"]["podManagementPolicy"] = "Parallel".into();
        }
        let made = post(&client, &kind.path(&namespace), &object).await;
        let path = format!("{}/w", kind.path(&namespace));
        let mut workload = Self {
            kind,
            client,
            namespace,
            path,
            uid: made.uid,
            seen: Vec::new(),
        };
        let rows = workload
            .wait("the first two pods run", |rows| running(&rows[0], 2))
            .await;
        assert_eq!(
            (rows[0].pools.as_slice(), rows[0].gpus.as_str()),
            (["a100".to_owned()].as_slice(), "2")
        );
        assert_eq!(rows[0].outcome, "Succeeded");
        workload
    }

    async fn edit(&self, spec: Value) {
        patch(&self.client, &self.path, &json!({"spec": spec})).await;
    }

    async fn wait(&mut self, what: &str, done: impl Fn(&[Row]) -> bool) -> Vec<Row> {
        let what = format!("{} {what}", self.kind.kind);
        wait(
            &self.client,
            &self.namespace,
            &mut self.seen,
            &what,
            |rows| !rows.is_empty() && done(rows),
        )
        .await
    }

    /// Every phase that a Revision had, in order.
    fn phases(&self, generation: i64) -> Vec<String> {
        let of = |rows: &Vec<Row>| {
            rows.iter()
                .find(|row| row.generation == generation)
                .map(|row| row.phase.clone())
        };
        let mut all: Vec<_> = self
            .seen
            .iter()
            .filter_map(of)
            .filter(|phase| !phase.is_empty())
            .collect();
        all.dedup();
        all
    }

    async fn delete_pods(&self) {
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let (code, body) = send(&self.client, Method::DELETE, &path, "application/json", "").await;
        assert_eq!(code, 200, "{body}");
    }
}

fn running(row: &Row, pods: i64) -> bool {
    row.phase == "Running" && row.running == pods && row.ready == pods
}

fn over(row: &Row, outcome: &str) -> bool {
    row.phase == "Stopped"
        && row.reason == "Superseded"
        && row.outcome == outcome
        && row.running == 0
}

async fn rolls_from_one_pool_to_the_other(kind: Kind) {
    let mut workload = Workload::start(kind, "roll").await;
    workload.edit(template("vllm:2", "h100", 2, "ready")).await;
    let rows = workload
        .wait("the second revision runs and the first is gone", |rows| {
            rows.len() == 2 && running(&rows[1], 2) && over(&rows[0], "Succeeded")
        })
        .await;
    assert_eq!(
        (rows[1].pools.as_slice(), rows[1].gpus.as_str()),
        (["h100".to_owned()].as_slice(), "4")
    );
    assert_eq!((rows[0].pools.len(), rows[0].gpus.as_str()), (0, "0"));
    let first: Vec<_> = workload.phases(1);
    let after: Vec<_> = first
        .iter()
        .skip_while(|phase| *phase != "Running")
        .map(String::as_str)
        .collect();
    assert!(
        matches!(
            after[..],
            ["Running", "Stopped"] | ["Running", "Terminating", "Stopped"]
        ),
        "{first:?}"
    );
    let second = workload.phases(2);
    assert_eq!(second.last().map(String::as_str), Some("Running"));
    assert!(
        !second[..second.len() - 1].contains(&"Running".to_owned()),
        "{second:?}"
    );
    let both = |rows: &&Vec<Row>| {
        rows.len() == 2
            && rows[0].phase == "Running"
            && rows[0].ready > 0
            && rows[1].phase != "Running"
    };
    assert!(
        workload.seen.iter().any(|rows| both(&rows)),
        "the first serves while the second comes"
    );
    assert_times(&rows);
    assert_rest(&workload.uid, 2);
}

/// Times and conditions as Kubernetes has them.
fn assert_times(rows: &[Row]) {
    for row in rows {
        let status = &row.status;
        assert!(
            status["firstReadyTime"].is_string() && status["phaseTime"].is_string(),
            "{status}"
        );
        let condition = |name: &str| {
            let all = status["conditions"].as_array().expect("conditions");
            all.iter()
                .find(|condition| condition["type"] == name)
                .expect("the condition")
                .clone()
        };
        let newest = usize::try_from(row.generation) == Ok(rows.len());
        assert_eq!(
            condition("Ready")["status"],
            if newest { "True" } else { "False" }
        );
        assert_eq!(
            condition("Superseded")["status"],
            if newest { "False" } else { "True" }
        );
        assert_eq!(condition("Progressing")["status"], "False");
        assert!(condition("Ready")["lastTransitionTime"].is_string());
    }
}

fn assert_rest(uid: &str, newest: i64) {
    let (_, revisor) = observed();
    let list = || -> Option<Value> {
        let (_, body) = get(
            revisor.rest,
            &format!("/api/v1/workloads/inferences/{uid}/revisions"),
        )?;
        let list: Value = serde_json::from_str(&body).ok()?;
        (list["revisions"][0]["phase"] == "Running" && list["revisions"][1]["phase"] == "Stopped")
            .then_some(list)
    };
    assert!(crate::support::eventually(Duration::from_secs(10), || {
        list().is_some()
    }));
    let list = list().expect("a list");
    let new = &list["revisions"][0];
    assert_eq!(new["additionalFields"]["generation"], newest);
    assert_eq!(
        (&new["runningPods"], &new["currentNodePools"]),
        (&json!(2), &json!(["h100"]))
    );
    assert_eq!(
        (
            &new["allocatedResources"]["gpu"],
            &new["allocatedResources"]["cpu"]
        ),
        (&json!(4.0), &json!(2.0))
    );
    assert_eq!(
        (
            &new["additionalFields"]["serving"],
            &new["additionalFields"]["outcome"]
        ),
        (&json!(true), &json!("Succeeded"))
    );
    assert!(
        new["additionalFields"]["timeToReadySeconds"].is_number(),
        "{new}"
    );
    assert_eq!(list["revisions"][1]["additionalFields"]["serving"], false);
}

async fn cannot_be_scheduled_and_is_taken_back(kind: Kind) {
    let mut workload = Workload::start(kind, "hang").await;
    workload.edit(template("vllm:2", "a100", 9, "ready")).await;
    let rows = workload
        .wait("it says what is missing", |rows| {
            rows.len() == 2 && rows[1].message.contains("insufficient nvidia.com/gpu")
        })
        .await;
    assert_eq!(
        (rows[1].phase.as_str(), rows[1].outcome.as_str()),
        ("Pending", "")
    );
    assert!(
        rows[1].message.contains("pods scheduled: "),
        "{}",
        rows[1].message
    );
    assert!(
        rows[0].phase == "Running" && rows[0].ready > 0,
        "the first serves: {rows:#?}"
    );
    workload.edit(template("vllm:1", "a100", 1, "ready")).await;
    if kind.kind == "StatefulSet" {
        // Its controller does not replace a pod that never was ready (kubernetes/kubernetes#67250).
        tokio::time::sleep(Duration::from_secs(2)).await;
        workload.delete_pods().await;
    }
    let rows = workload
        .wait("the first content runs again", |rows| {
            rows.len() == 3
                && running(&rows[2], 2)
                && over(&rows[0], "Succeeded")
                && over(&rows[1], "NeverReady")
        })
        .await;
    assert_eq!(rows[2].gpus, "2");
}

async fn crashes_and_stays_failed(kind: Kind) {
    let mut workload = Workload::start(kind, "crash").await;
    workload.edit(template("vllm:2", "a100", 1, "crash")).await;
    let rows = workload
        .wait("it fails", |rows| {
            rows.len() == 2 && rows[1].phase == "Failed"
        })
        .await;
    assert_eq!(
        (rows[1].outcome.as_str(), rows[0].phase.as_str()),
        ("Failed", "Running")
    );
    assert!(rows[0].ready > 0, "the first serves");
    assert!(
        rows[1]
            .message
            .contains("container vllm: CrashLoopBackOff: exit code 1, 3 restarts"),
        "{}",
        rows[1].message
    );
    workload.edit(template("vllm:1", "a100", 1, "ready")).await;
    if kind.kind == "StatefulSet" {
        tokio::time::sleep(Duration::from_secs(2)).await;
        workload.delete_pods().await;
    }
    let failed = |row: &Row| row.phase == "Failed" && row.outcome == "Failed" && row.running == 0;
    let done = |rows: &[Row]| {
        rows.len() == 3 && running(&rows[2], 2) && failed(&rows[1]) && over(&rows[0], "Succeeded")
    };
    workload
        .wait(
            "the first content runs again, and the second is still failed",
            done,
        )
        .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    workload.wait("it stays so", done).await;
    assert_eq!(
        workload.phases(2).last().map(String::as_str),
        Some("Failed")
    );
}

async fn scales_to_zero_and_back_and_is_deleted(kind: Kind) {
    let mut workload = Workload::start(kind, "zero").await;
    workload.edit(json!({"replicas": 0})).await;
    workload
        .wait("it is stopped", |rows| {
            rows.len() == 2
                && rows[1].phase == "Stopped"
                && rows[1].reason == "ScaledToZero"
                && rows[1].running == 0
        })
        .await;
    workload.edit(json!({"replicas": 2})).await;
    workload
        .wait("it runs again", |rows| {
            rows.len() == 3 && running(&rows[2], 2) && over(&rows[0], "Succeeded")
        })
        .await;
    let (code, body) = send(
        &workload.client,
        Method::DELETE,
        &workload.path,
        "application/json",
        "",
    )
    .await;
    assert_eq!(code, 200, "{body}");
    if kind.kind == "StatefulSet" {
        workload.delete_pods().await;
    }
    let rows = workload
        .wait("it is deleted", |rows| {
            rows[2].phase == "Stopped"
                && rows[2].reason == "WorkloadDeleted"
                && rows[2].running == 0
        })
        .await;
    assert_eq!(rows[2].outcome, "Succeeded");
    assert!(
        rows[2].status["workloadDeletionTime"].is_string(),
        "what recording owns is kept"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_rolls_from_one_pool_to_the_other() {
    rolls_from_one_pool_to_the_other(DEPLOYMENT).await;
    let (world, _) = observed();
    let printed = world.kubectl(&["get", "revisions", "-A", "-o", "wide"]);
    assert!(printed.contains("Running   2"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_rolls_from_one_pool_to_the_other() {
    rolls_from_one_pool_to_the_other(STATEFUL_SET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_cannot_be_scheduled_is_taken_back() {
    cannot_be_scheduled_and_is_taken_back(DEPLOYMENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_that_cannot_be_scheduled_is_taken_back() {
    cannot_be_scheduled_and_is_taken_back(STATEFUL_SET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_crashes_and_stays_failed() {
    crashes_and_stays_failed(DEPLOYMENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_crashes_and_stays_failed() {
    crashes_and_stays_failed(STATEFUL_SET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_scales_to_zero_and_back_and_is_deleted() {
    scales_to_zero_and_back_and_is_deleted(DEPLOYMENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_scales_to_zero_and_back_and_is_deleted() {
    scales_to_zero_and_back_and_is_deleted(STATEFUL_SET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_is_given_up_fails_while_the_old_one_serves() {
    let mut workload = Workload::start(DEPLOYMENT, "deadline").await;
    workload.edit(json!({"progressDeadlineSeconds": 3})).await;
    workload
        .wait("the deadline is set", |rows| {
            rows.len() == 2 && running(&rows[1], 2)
        })
        .await;
    workload
        .edit(template("vllm:2", "a100", 1, "never-ready"))
        .await;
    let rows = workload
        .wait("it is given up", |rows| {
            rows.len() == 3 && rows[2].phase == "Failed"
        })
        .await;
    assert_eq!(
        (rows[2].reason.as_str(), rows[2].outcome.as_str()),
        ("ProgressDeadlineExceeded", "Failed")
    );
    assert!(
        rows[1].phase == "Running" && rows[1].ready == 2,
        "{rows:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_thirty_quick_edits_only_the_last_runs() {
    quick_rollouts(30).await;
}

/// So many edits as fast as they go: the last one runs, and all others are over.
pub async fn quick_rollouts(edits: usize) {
    let mut workload = Workload::start(DEPLOYMENT, "quick").await;
    for i in 0..edits {
        workload
            .edit(template(&format!("vllm:{}", i + 2), "a100", 1, "ready"))
            .await;
    }
    let rows = workload
        .wait("the last runs and all others are over", |rows| {
            rows.len() == edits + 1
                && running(&rows[edits], 2)
                && rows[..edits]
                    .iter()
                    .all(|row| row.phase == "Stopped" && row.running == 0)
        })
        .await;
    assert_eq!(rows[0].outcome, "Succeeded");
    assert!(
        rows[1..edits]
            .iter()
            .all(|row| row.outcome == "NeverReady" || row.outcome == "Succeeded")
    );
}
