//! What `kubectl revisor history` costs on a long history of long specs, against the bare paged LIST of the same
//! Revisions.

use crate::median;
use crate::support::{Binary, INFERENCE_SERVICE, World, client, patch, post};
use devcluster::Options;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Instant;

/// Times as long as the bare LIST.
const TARGET: f64 = 1.5;
/// Revisions.
const CHANGES: usize = 1000;
/// Variables; each is two lines of YAML.
const VARIABLES: usize = 240;

/// Measures and prints.
pub(crate) async fn run(rounds: usize, met: &mut bool) {
    let world = crate::world(Options::minimal()).await;
    let namespace = record(&world).await;
    // The first of each is left out: caches fill.
    let mut ratios = Vec::new();
    let mut bare = Vec::new();
    for number in 0..=rounds.max(5) {
        let list = list(&world, &namespace).await;
        let history = history(&world, &namespace);
        if number > 0 {
            ratios.push(history / list);
            bare.push(list);
        }
    }
    let ratio = median(&ratios);
    *met &= ratio <= TARGET;
    println!(
        "history   {CHANGES} revisions of 500 lines: {ratio:.2} times the bare paged LIST of {:.0} ms (at most {TARGET})",
        median(&bare) * 1000.0
    );
}

/// A workload with a long spec and many Revisions.
async fn record(world: &World) -> String {
    let client = client(world.cluster.kubeconfig()).await;
    let revisor = Binary::present().start(world.cluster.kubeconfig(), &[]);
    let namespace = world.namespace("history").await;
    let mut object = INFERENCE_SERVICE.example();
    let variable = |at: usize| json!({"name": format!("VARIABLE_{at}"), "value": format!("value {at} of the model server")});
    let env: Vec<Value> = (0..VARIABLES).map(variable).collect();
    object["spec"]["predictor"]["model"]["env"] = env.into();
    post(&client, &INFERENCE_SERVICE.path(&namespace), &object).await;
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(&namespace));
    let mut last = None;
    for number in 1..CHANGES {
        let edit = json!({"spec": {"predictor": {"maxReplicas": number + 10}}});
        last = Some(patch(&client, &path, &edit).await);
    }
    revisor.wait_recorded(INFERENCE_SERVICE, last.expect("edits").version());
    namespace
}

/// Seconds that reading all pages takes, unread.
async fn list(world: &World, namespace: &str) -> f64 {
    let client = client(world.cluster.kubeconfig()).await;
    let started = Instant::now();
    let mut token = String::new();
    loop {
        let path = format!(
            "/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions?limit=500&continue={token}"
        );
        let request = http::Request::get(path)
            .body(Vec::new())
            .expect("a request");
        let text = client.request_text(request).await.expect("a page");
        let found = text
            .rsplit_once("\"continue\":\"")
            .and_then(|(_, rest)| rest.split_once('"'));
        match found {
            Some((next, _)) if !next.is_empty() => next.clone_into(&mut token),
            _ => return started.elapsed().as_secs_f64(),
        }
    }
}

/// Seconds that the command takes.
fn history(world: &World, namespace: &str) -> f64 {
    let started = Instant::now();
    let out = Command::new(env!("CARGO_BIN_EXE_kubectl-revisor"))
        .args(["history", "isvc/llama-70b", "-n", namespace, "--kubeconfig"])
        .arg(world.cluster.kubeconfig())
        .output()
        .expect("the plugin");
    let seconds = started.elapsed().as_secs_f64();
    let lines = out.stdout.split(|byte| *byte == b'\n').count();
    assert!(
        out.status.success() && lines > CHANGES,
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    seconds
}
