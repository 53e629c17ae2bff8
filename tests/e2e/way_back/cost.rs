//! What `history` costs on a long history; `make bench` has the exact figure.

use super::stage::stage;
use crate::support::{INFERENCE_SERVICE, patch, post};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Four times what the benchmark allows, and twice that: the plugin is built for tests, without optimization, and takes 5 to
/// 8 times as long as the list.
const SLACK: f64 = 2.0 * 4.0 * 1.5;
const CHANGES: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_costs_about_as_much_as_its_list() {
    let stage = stage();
    let client = stage.client().await;
    let namespace = stage.world.namespace("cost").await;
    let mut object = INFERENCE_SERVICE.example();
    let env: Vec<Value> = (0..240)
        .map(|at| json!({"name": format!("VARIABLE_{at}"), "value": "of the model server"}))
        .collect();
    object["spec"]["predictor"]["model"]["env"] = env.into();
    post(&client, &INFERENCE_SERVICE.path(&namespace), &object).await;
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(&namespace));
    for number in 1..CHANGES {
        patch(
            &client,
            &path,
            &json!({"spec": {"predictor": {"maxReplicas": number + 10}}}),
        )
        .await;
    }
    stage.recorded(INFERENCE_SERVICE, &path).await;
    let mut best = f64::MAX;
    for _ in 0..4 {
        let list = list(&client, &namespace).await;
        let started = Instant::now();
        let table = stage
            .plugin(&namespace, &["history", "isvc/llama-70b"])
            .ok();
        assert_eq!(table.lines().count(), CHANGES + 1);
        best = best.min(started.elapsed().as_secs_f64() / list.as_secs_f64());
    }
    assert!(best < SLACK, "{best} times the bare list");
}

/// The time of the bare paged list of the same Revisions.
async fn list(client: &kube::Client, namespace: &str) -> Duration {
    let started = Instant::now();
    let path = format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions?limit=500");
    let request = http::Request::get(path)
        .body(Vec::new())
        .expect("a request");
    client.request_text(request).await.expect("a page");
    started.elapsed()
}
