//! Edits in the background that go on through faults of the API server.

use crate::support::{INFERENCE_SERVICE, Meta, client, patch, post, send};
use devcluster::Cluster;
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// An edit of an InferenceService.
pub fn uri(i: usize) -> Value {
    json!({"spec": {"predictor": {"model": {"storageUri": format!("s3://m/{i}")}}}})
}

/// Text that does not compress well.
pub fn noise(seed: usize, length: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut letter = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Printable ASCII without what is written in several characters.
        let symbols: &[u8] =
            b" !#$%'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~";
        char::from(symbols[usize::try_from((state >> 33) % symbols.len() as u64).expect("small")])
    };
    (0..length).map(|_| letter()).collect()
}

/// The path of an InferenceService.
pub fn path(namespace: &str, name: &str) -> String {
    format!("{}/{name}", INFERENCE_SERVICE.path(namespace))
}

/// Makes InferenceServices `w0`, `w1` …
pub async fn create(client: &kube::Client, namespace: &str, count: usize) {
    for i in 0..count {
        let mut object = INFERENCE_SERVICE.example();
        object["metadata"]["name"] = format!("w{i}").into();
        post(client, &INFERENCE_SERVICE.path(namespace), &object).await;
    }
}

/// Edits `w0`, `w1` … in turn.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    task: JoinHandle<()>,
    client: kube::Client,
    namespace: String,
}

impl Traffic {
    /// Starts `per_second` edits over `workloads` of a namespace, at most one at a time for each connection.
    pub async fn start(
        cluster: &Cluster,
        namespace: &str,
        workloads: usize,
        per_second: u32,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let made = Arc::new(AtomicUsize::new(0));
        let connection = client(cluster.kubeconfig()).await;
        let task = tokio::spawn(run(
            connection.clone(),
            namespace.to_owned(),
            workloads,
            per_second,
            stop.clone(),
            made.clone(),
        ));
        Self {
            stop,
            made,
            task,
            client: connection,
            namespace: namespace.to_owned(),
        }
    }

    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Ends it with one edit that surely arrived.
    pub async fn stop(self) -> Meta {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no panic");
        patch(&self.client, &path(&self.namespace, "w0"), &uri(usize::MAX)).await
    }
}

async fn run(
    client: kube::Client,
    namespace: String,
    workloads: usize,
    per_second: u32,
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
) {
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for i in 0.. {
        ticks.tick().await;
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let uri = uri(i).to_string();
        let path = path(&namespace, &format!("w{}", i % workloads));
        // An edit whose answer is lost may have been made or not: etcd knows.
        let edit = send_quietly(&client, &path, &uri);
        if tokio::time::timeout(Duration::from_secs(5), edit).await == Ok(true) {
            made.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn send_quietly(client: &kube::Client, path: &str, body: &str) -> bool {
    let request = http::Request::builder()
        .method(Method::PATCH)
        .uri(format!("{path}?fieldManager=e2e"))
        .header("content-type", "application/merge-patch+json")
        .body(kube::client::Body::from(body.to_owned().into_bytes()))
        .expect("a request");
    client
        .send(request)
        .await
        .is_ok_and(|answer| answer.status().is_success())
}

/// A write of status, which moves no generation.
pub async fn status(client: &kube::Client, path: &str, i: usize) {
    let body = json!({"status": {"observed": i}}).to_string();
    let (code, body) = send(
        client,
        Method::PATCH,
        &format!("{path}/status"),
        "application/merge-patch+json",
        &body,
    )
    .await;
    assert_eq!(code, 200, "{body}");
}
