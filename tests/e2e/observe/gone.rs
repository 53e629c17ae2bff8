//! What went takes no memory: workloads, pods and namespaces that came and went.

use super::rows;
use crate::support::{LEADER_WORKER_SET, Revisor, World, patch, post, send};
use devcluster::Options;
use http::Method;
use kube::Client;
use serde_json::json;
use std::time::{Duration, Instant};

/// So many namespaces at a time.
const BATCH: usize = 20;
const BATCHES: usize = 10;
/// A status as large as those of operators with many parts.
const STATUS: usize = 40_000;

struct Stage {
    world: World,
    client: Client,
    revisor: Revisor,
}

impl Stage {
    /// A namespace with two workloads that run, one pod each.
    async fn come(&self) -> String {
        let namespace = self.world.namespace("gone").await;
        let account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        post(&self.client, &path, &account).await;
        for name in ["a", "b"] {
            self.workload(&namespace, name).await;
        }
        namespace
    }

    async fn workload(&self, namespace: &str, name: &str) {
        let collection = LEADER_WORKER_SET.path(namespace);
        let template = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
        let workload = json!({"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "metadata": {"name": name},
            "spec": {"replicas": 1, "leaderWorkerTemplate": {"size": 1, "workerTemplate": template}}});
        post(&self.client, &collection, &workload).await;
        let available =
            json!({"type": "Available", "status": "True", "message": "x".repeat(STATUS)});
        let status = json!({"status": {"conditions": [available]}});
        let path = format!("{collection}/{name}/status");
        patch(&self.client, &path, &status).await;
        let labels = json!({"leaderworkerset.sigs.k8s.io/name": name,
            "leaderworkerset.sigs.k8s.io/template-revision-hash": "h"});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
            "spec": {"nodeName": "n1", "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}]}});
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        post(&self.client, &pods, &pod).await;
        let ready = json!({"type": "Ready", "status": "True"});
        let status = json!({"status": {"phase": "Running", "conditions": [ready]}});
        patch(&self.client, &format!("{pods}/{name}/status"), &status).await;
    }

    async fn wait_until_running(&self, namespace: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let rows = rows(&self.client, namespace).await;
            if rows.len() == 2 && rows.iter().all(|row| row.phase == "Running") {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{namespace}: {rows:#?}\n{}",
                self.revisor.log()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// As a namespace goes: custom resources at once, pods after a while.
    async fn go(&self, namespace: &str) {
        let revisions = format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions");
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        for collection in [LEADER_WORKER_SET.path(namespace), revisions, pods] {
            let path = format!("{collection}?gracePeriodSeconds=0");
            let (code, body) =
                send(&self.client, Method::DELETE, &path, "application/json", "").await;
            assert_eq!(code, 200, "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_namespaces_that_went_is_given_back() {
    let world = World::start(&Options::minimal());
    let client = world.client().await;
    let revisor = Revisor::start(world.cluster.kubeconfig(), &[]);
    let stage = Stage {
        world,
        client,
        revisor,
    };
    let mut resident = Vec::new();
    for _ in 0..BATCHES {
        let coming = (0..BATCH).map(|_| stage.come());
        let namespaces = futures::future::join_all(coming).await;
        for namespace in &namespaces {
            stage.wait_until_running(namespace).await;
        }
        futures::future::join_all(namespaces.iter().map(|namespace| stage.go(namespace))).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        resident.push(stage.revisor.resident());
    }
    let (first, last) = (resident[0], resident[BATCHES - 1]);
    assert!(last * 10 <= first * 12, "{resident:?}");
    let left = stage.revisor.metric("revisor_observed_pods", "");
    assert!(left < 0.5, "{left} pods are left");
}
