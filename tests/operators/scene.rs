//! One workload, from its creation to its end.

use crate::stage::Stage;
use crate::support::{patch, post, read, revisions, send};
use http::Method;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Statuses are right within so long; four times what is aimed at.
const DEADLINE: Duration = Duration::from_secs(90);

/// Edits without a pause.
const QUICK: usize = 200;

pub struct Scene<'a> {
    pub stage: &'a mut Stage,
    pub namespace: String,
    collection: String,
    path: String,
    steps: u64,
    restart_at: Option<u64>,
    what: String,
}

/// The status of one Revision, in short.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub phase: String,
    pub reason: String,
    pub message: String,
    pub outcome: String,
    pub running: i64,
    pub ready: i64,
    pub gpus: i64,
}

impl Row {
    fn of(revision: &Value) -> Self {
        let status = &revision["status"];
        let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        let gpus = status["allocated"]["nvidia.com/gpu"].as_str();
        Self {
            phase: text("phase"),
            reason: text("reason"),
            message: text("message"),
            outcome: text("outcome"),
            running: status["runningPods"].as_i64().unwrap_or_default(),
            ready: status["readyPods"].as_i64().unwrap_or_default(),
            gpus: gpus.and_then(|gpus| gpus.parse().ok()).unwrap_or_default(),
        }
    }

    pub fn runs(&self, pods: i64) -> bool {
        self.phase == "Running" && self.running == pods && self.ready == pods
    }

    /// Whether nothing is left of it.
    pub fn is_over(&self) -> bool {
        let phase = self.phase == "Stopped" || self.phase == "Failed";
        phase && self.running == 0 && self.gpus == 0
    }
}

impl<'a> Scene<'a> {
    /// Makes a workload. `steps` is the number of edits that follow.
    pub async fn begin(
        stage: &'a mut Stage,
        collection: &str,
        workload: &Value,
        steps: u64,
    ) -> Self {
        let name = workload["metadata"]["name"].as_str().expect("a name");
        let namespace = stage.namespace(name).await;
        let collection = collection.replace("{namespace}", &namespace);
        let restart_at = draw(name, steps);
        post(&stage.client, &collection, workload).await;
        let path = format!("{collection}/{name}");
        Self {
            stage,
            namespace,
            collection,
            path,
            steps: 0,
            restart_at,
            what: "create".to_owned(),
        }
    }

    /// The next edit: a merge patch of the workload.
    pub async fn edit(&mut self, what: &str, change: Value) {
        patch(&self.stage.client, &self.path, &change).await;
        self.step(what);
    }

    /// A merge patch of its status, where its user does that.
    pub async fn edit_status(&mut self, what: &str, change: Value) {
        let path = format!("{}/status", self.path);
        patch(&self.stage.client, &path, &change).await;
        self.step(what);
    }

    /// Deletes it.
    pub async fn delete(&mut self) {
        let client = &self.stage.client;
        let (code, body) = send(client, Method::DELETE, &self.path, "application/json", "").await;
        assert_eq!(code, 200, "{body}");
        self.step("delete");
    }

    /// Makes it again.
    pub async fn create(&mut self, workload: &Value) {
        post(&self.stage.client, &self.collection, workload).await;
        self.step("create again");
    }

    /// Two hundred edits as quick as they are answered: each is a Revision, and there are no others. It ends with the
    /// deletion of the workload.
    pub async fn edit_quickly(mut self, change: impl Fn(usize) -> Value) {
        for number in 1..=QUICK {
            patch(&self.stage.client, &self.path, &change(number)).await;
        }
        self.step("quick edits");
        let deadline = Instant::now() + DEADLINE;
        let wanted: Vec<_> = (1..=QUICK as i64 + 1).collect();
        loop {
            let all = revisions(&self.stage.client, &self.namespace).await;
            let generation = |it: &Value| it["spec"]["generation"].as_i64();
            let mut found: Vec<_> = all.iter().filter_map(generation).collect();
            found.sort_unstable();
            if found == wanted {
                break;
            }
            assert!(Instant::now() < deadline, "{}: {found:?}", self.namespace);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.delete().await;
    }

    fn step(&mut self, what: &str) {
        self.steps += 1;
        what.clone_into(&mut self.what);
        let always = std::env::var("RESTARTS").is_ok_and(|when| when == "all");
        if always || self.restart_at == Some(self.steps) {
            eprintln!("{}: restart at step {}, {what}", self.namespace, self.steps);
            self.stage.restart(if self.steps.is_multiple_of(2) {
                "TERM"
            } else {
                "KILL"
            });
        }
    }

    /// Its Revisions, oldest first. Where a workload was made again, those of the earlier one come first.
    pub async fn rows(&self) -> Vec<Row> {
        let mut all = revisions(&self.stage.client, &self.namespace).await;
        all.sort_by_key(|revision| {
            let made = revision["spec"]["changeTime"].as_str().map(str::to_owned);
            (made, revision["spec"]["generation"].as_i64())
        });
        all.iter().map(Row::of).collect()
    }

    /// Waits until the newest Revisions are like this, and the sums over all are those of the pods.
    pub async fn until(&self, what: &str, done: impl Fn(&[Row]) -> bool) -> Vec<Row> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let rows = self.rows().await;
            let (counted, there) = (sums(&rows), self.pods().await);
            if !rows.is_empty() && done(&rows) && counted == there {
                return rows;
            }
            assert!(
                Instant::now() < deadline,
                "{} after {}: {what}: {rows:#?}; pods and GPUs: {counted:?} counted, {there:?} there\n{}\n{}",
                self.namespace,
                self.what,
                self.workload_or_nothing().await,
                self.stage.logs()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn workload_or_nothing(&self) -> String {
        let client = &self.stage.client;
        send(client, Method::GET, &self.path, "application/json", "")
            .await
            .1
    }

    /// Pods that run, and the GPUs of those that are bound to a node.
    async fn pods(&self) -> (i64, i64) {
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let list = read(&self.stage.client, &path).await;
        let mut sums = (0, 0);
        for pod in list["items"].as_array().expect("pods") {
            let phase = pod["status"]["phase"].as_str().unwrap_or_default();
            if phase == "Succeeded" || phase == "Failed" {
                continue;
            }
            let stays = pod["metadata"]["deletionTimestamp"].is_null();
            sums.0 += i64::from(stays && phase == "Running");
            if pod["spec"]["nodeName"].is_string() {
                sums.1 += gpus(pod);
            }
        }
        sums
    }
}

/// GPUs of all containers.
fn gpus(pod: &Value) -> i64 {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    containers
        .filter_map(|container| {
            let limit = &container["resources"]["limits"]["nvidia.com/gpu"];
            limit.as_str()?.parse::<i64>().ok()
        })
        .sum()
}

fn sums(rows: &[Row]) -> (i64, i64) {
    let running = rows.iter().map(|row| row.running).sum();
    (running, rows.iter().map(|row| row.gpus).sum())
}

/// The step after which Revisor is started again: `SEED` draws it, else the name of the scene.
fn draw(name: &str, steps: u64) -> Option<u64> {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let lot = name.bytes().map(u64::from).sum::<u64>() + seed.unwrap_or(0_u64);
    (steps > 0).then(|| 1 + lot % steps)
}
