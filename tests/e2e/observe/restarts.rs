//! Restarts while pods serve: whatever statuses said before, they say after, and nothing is written for that.

use super::life::template;
use super::{Row, rows};
use crate::settled::proxy::Proxy;
use crate::support::{DEPLOYMENT, Kind, Revisor, STATEFUL_SET, World, patch, post, read, send};
use devcluster::Options;
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const FLAGS: &[&str] = &["--log", "info,revisor::observe=debug"];
/// Numbers are right within so long after the last change.
const REST: Duration = Duration::from_secs(15);

struct Stage {
    world: World,
    client: Client,
    /// Between Revisor and the API server.
    proxy: Proxy,
    revisor: Revisor,
}

/// A workload with two pods in a namespace of its own.
struct Workload {
    namespace: String,
    path: String,
}

impl Stage {
    async fn set() -> Self {
        let world = World::start(&Options {
            go_max_procs: None,
            ..Options::full()
        });
        let client = world.client().await;
        let proxy = Proxy::start(&world, world.cluster.kubeconfig()).await;
        let revisor = Revisor::start(proxy.kubeconfig(), FLAGS);
        Self {
            world,
            client,
            proxy,
            revisor,
        }
    }

    async fn workload(&self, kind: Kind, purpose: &str) -> Workload {
        let namespace = self.world.namespace(purpose).await;
        let mut object = kind.example();
        object["metadata"]["name"] = "w".into();
        object["spec"]["replicas"] = 2.into();
        let labels = object["spec"]["template"]["metadata"]["labels"].clone();
        object["spec"]["template"] = template("vllm:1", "a100", 1, "ready")["template"].clone();
        object["spec"]["template"]["metadata"]["labels"] = labels;
        if kind.kind == "StatefulSet" {
            object["spec"]["podManagementPolicy"] = "Parallel".into();
            object["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
        }
        post(&self.client, &kind.path(&namespace), &object).await;
        let path = format!("{}/w", kind.path(&namespace));
        let workload = Workload { namespace, path };
        self.wait(&workload, "the first pods run", |rows| runs(&rows[0], 2))
            .await;
        workload
    }

    async fn edit(&self, workload: &Workload, spec: Value) {
        patch(&self.client, &workload.path, &json!({"spec": spec})).await;
    }

    async fn wait(&self, workload: &Workload, what: &str, done: impl Fn(&[Row]) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let now = rows(&self.client, &workload.namespace).await;
            if !now.is_empty() && done(&now) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{}: {what}: {now:#?}\n{}",
                workload.namespace,
                self.revisor.log()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The Revisions of all workloads, once nothing has changed for a while.
    async fn at_rest(&self, all: &[Workload]) -> Vec<Vec<Row>> {
        let deadline = Instant::now() + Duration::from_secs(90);
        let mut last = self.all_rows(all).await;
        let mut since = Instant::now();
        while since.elapsed() < REST + Duration::from_secs(2) {
            assert!(Instant::now() < deadline, "statuses do not rest");
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.all_rows(all).await;
            if now != last {
                last = now;
                since = Instant::now();
            }
        }
        last
    }

    async fn all_rows(&self, all: &[Workload]) -> Vec<Vec<Row>> {
        let mut found = Vec::new();
        for workload in all {
            found.push(rows(&self.client, &workload.namespace).await);
        }
        found
    }

    /// Pods that run and are not going.
    async fn pods(&self, workload: &Workload) -> i64 {
        let path = format!("/api/v1/namespaces/{}/pods", workload.namespace);
        let list = read(&self.client, &path).await;
        let all = list["items"].as_array().expect("pods");
        let there = all.iter().filter(|pod| {
            pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
        });
        i64::try_from(there.count()).expect("few")
    }

    async fn sums_add_up(&self, all: &[Workload]) {
        for workload in all {
            let counted: i64 = rows(&self.client, &workload.namespace)
                .await
                .iter()
                .map(|row| row.running)
                .sum();
            assert_eq!(counted, self.pods(workload).await, "{}", workload.namespace);
        }
    }

    /// Ends Revisor and starts it again.
    fn restart(&mut self, signal: &str) {
        self.revisor.signal(signal);
        self.revisor.exit_code();
        self.revisor = Revisor::start(self.proxy.kubeconfig(), FLAGS);
    }

    async fn scaled(&self) -> Workload {
        let workload = self.workload(DEPLOYMENT, "scaled").await;
        self.edit(&workload, json!({"replicas": 3})).await;
        self.wait(&workload, "it is scaled", |rows| {
            rows.len() == 2 && runs(&rows[1], 3)
        })
        .await;
        workload
    }

    async fn rolled_back(&self) -> Workload {
        let workload = self.workload(DEPLOYMENT, "back").await;
        self.edit(&workload, template("vllm:2", "a100", 1, "ready"))
            .await;
        self.wait(&workload, "the second runs", |rows| {
            rows.len() == 2 && runs(&rows[1], 2)
        })
        .await;
        self.edit(&workload, template("vllm:1", "a100", 1, "ready"))
            .await;
        self.wait(&workload, "the first content runs again", |rows| {
            rows.len() == 3 && runs(&rows[2], 2) && rows[..2].iter().all(is_stopped)
        })
        .await;
        workload
    }

    async fn stuck(&self) -> Workload {
        let workload = self.workload(DEPLOYMENT, "stuck").await;
        self.edit(&workload, template("vllm:2", "a100", 9, "ready"))
            .await;
        self.wait(&workload, "the first serves while it waits", |rows| {
            rows.len() == 2 && rows[1].phase == "Pending" && serves(&rows[0])
        })
        .await;
        workload
    }

    async fn failed_and_back(&self) -> Workload {
        let workload = self.workload(DEPLOYMENT, "failed").await;
        self.edit(&workload, template("vllm:2", "a100", 1, "crash"))
            .await;
        self.wait(&workload, "it fails", |rows| {
            rows.len() == 2 && rows[1].phase == "Failed"
        })
        .await;
        self.edit(&workload, template("vllm:1", "a100", 1, "ready"))
            .await;
        self.wait(&workload, "the failed one holds nothing", |rows| {
            let nothing = |row: &Row| row.running == 0 && row.gpus == "0" && row.pools.is_empty();
            rows.len() == 3 && runs(&rows[2], 2) && rows[1].phase == "Failed" && nothing(&rows[1])
        })
        .await;
        workload
    }

    async fn paused(&self) -> Workload {
        let workload = self.workload(DEPLOYMENT, "paused").await;
        self.edit(&workload, json!({"paused": true})).await;
        self.edit(&workload, template("vllm:2", "a100", 1, "ready"))
            .await;
        self.wait(&workload, "it is paused", |rows| {
            rows.len() == 3 && rows[2].phase == "Updating" && rows.iter().any(serves)
        })
        .await;
        self.edit(&workload, json!({"paused": null})).await;
        self.wait(&workload, "the change is completed by the next", |rows| {
            rows.len() == 4
                && runs(&rows[3], 2)
                && rows[2].phase == "Stopped"
                && rows[2].outcome == "Succeeded"
        })
        .await;
        workload
    }

    async fn on_delete(&self) -> Workload {
        let workload = self.workload(STATEFUL_SET, "ondelete").await;
        self.edit(&workload, template("vllm:2", "a100", 1, "ready"))
            .await;
        self.wait(&workload, "it waits for its pods to be deleted", |rows| {
            rows.len() == 2
                && (rows[1].phase.as_str(), rows[1].reason.as_str()) == ("Updating", "OnDelete")
                && serves(&rows[0])
        })
        .await;
        workload
    }

    async fn deleted_in_mid_rollout(&self) -> Workload {
        let workload = self.workload(DEPLOYMENT, "deleted").await;
        self.edit(&workload, template("vllm:2", "a100", 9, "ready"))
            .await;
        self.wait(&workload, "it waits for GPUs", |rows| {
            rows.len() == 2 && rows[1].phase == "Pending"
        })
        .await;
        let (code, body) = send(
            &self.client,
            Method::DELETE,
            &workload.path,
            "application/json",
            "",
        )
        .await;
        assert_eq!(code, 200, "{body}");
        self.wait(&workload, "all is over", |rows| rows.iter().all(is_stopped))
            .await;
        workload
    }
}

fn runs(row: &Row, pods: i64) -> bool {
    row.phase == "Running" && row.running == pods && row.ready == pods
}

fn serves(row: &Row) -> bool {
    row.phase == "Running" && row.reason == "ServesUntilReplaced" && row.ready == 2
}

fn is_stopped(row: &Row) -> bool {
    row.phase == "Stopped" && row.running == 0 && row.gpus == "0"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_writes_no_status_while_pods_serve() {
    let mut stage = Stage::set().await;
    let (scaled, back, stuck, failed, paused, on_delete, deleted) = tokio::join!(
        stage.scaled(),
        stage.rolled_back(),
        stage.stuck(),
        stage.failed_and_back(),
        stage.paused(),
        stage.on_delete(),
        stage.deleted_in_mid_rollout(),
    );
    let all = [scaled, back, stuck, failed, paused, on_delete, deleted];
    let before = stage.at_rest(&all).await;
    stage.sums_add_up(&all).await;
    // Lists that come late are waited for.
    for (signal, late) in [("TERM", 0), ("KILL", 0), ("KILL", 8)] {
        stage.proxy.set_late(late);
        stage.restart(signal);
        tokio::time::sleep(REST + Duration::from_secs(2 * late)).await;
        let after = stage.all_rows(&all).await;
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before, after, "after {signal}, lists {late} s late");
        }
        let patches = stage.revisor.metric("revisor_status_patches_total", "");
        assert!(patches < 0.5, "{patches} patches\n{}", stage.revisor.log());
    }
    stage.proxy.set_late(0);
    // What comes after a restart is followed.
    stage.edit(&all[0], json!({"replicas": 1})).await;
    stage
        .wait(&all[0], "it is scaled again", |rows| {
            rows.len() == 3 && runs(&rows[2], 1) && is_stopped(&rows[1])
        })
        .await;
}
