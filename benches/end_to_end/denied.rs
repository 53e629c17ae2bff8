//! How late one namespace is while a policy denies the Revisions of another, against the same without the policy.

use crate::drain::applied;
use crate::lag::{self, Lag};
use crate::median;
use crate::support::{Binary, INFERENCE_SERVICE, Revisor, World, post};
use devcluster::Options;
use serde_json::{Value, json};
use std::time::Duration;

/// Workloads whose Revisions are denied.
const DENIED: usize = 100;
/// Edits a second in the namespace that nothing denies.
const RATE: f64 = 30.0;
/// The most that p90 may grow.
const TARGET: f64 = 2.0;
/// Workloads that are made, one after the other, until one is denied.
const PROBES: usize = 60;
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1";

/// Measures and prints.
pub(crate) async fn run(rounds: usize, met: &mut bool) {
    let mut all = Vec::new();
    for number in 0..rounds {
        let [before, meanwhile] = round().await;
        eprintln!(
            "denied, round {}: p90 {:.1} ms before, {:.1} ms meanwhile",
            number + 1,
            before.p90,
            meanwhile.p90
        );
        all.push([before, meanwhile]);
    }
    let middle = |which: usize, pick: fn(&Lag) -> f64| {
        median(
            &all.iter()
                .map(|round| pick(&round[which]))
                .collect::<Vec<_>>(),
        )
    };
    let ratio = median(
        &all.iter()
            .map(|[before, meanwhile]| meanwhile.p90 / before.p90)
            .collect::<Vec<_>>(),
    );
    println!("\n| lag at {RATE} edits a second | p50 / p90 / p99 |\n|---|---|");
    for (which, when) in [
        "nothing is denied",
        "100 workloads of another namespace are denied",
    ]
    .iter()
    .enumerate()
    {
        println!(
            "| {when} | {:.1} / {:.1} / {:.1} ms |",
            middle(which, |lag| lag.p50),
            middle(which, |lag| lag.p90),
            middle(which, |lag| lag.p99)
        );
    }
    println!("| ratio of p90 (target ≤ {TARGET}) | {ratio:.2} |");
    *met &= ratio <= TARGET;
}

/// Without a denial and with one, on a control plane of its own.
async fn round() -> [Lag; 2] {
    let world = crate::world(Options::minimal()).await;
    let revisor = Binary::present().start(world.cluster.kubeconfig(), &[]);
    let before = lag::apart(&world, RATE).await;
    deny(&world, &revisor).await;
    let meanwhile = lag::apart(&world, RATE).await;
    [before, meanwhile]
}

/// Workloads whose Revisions a policy denies, until writing is held.
async fn deny(world: &World, revisor: &Revisor) {
    let client = world.client().await;
    let namespace = world.namespace("denied").await;
    post(
        &client,
        &format!("{POLICIES}/validatingadmissionpolicies"),
        &policy(),
    )
    .await;
    let bindings = format!("{POLICIES}/validatingadmissionpolicybindings");
    post(&client, &bindings, &binding(&namespace)).await;
    let create = async |name: String| {
        post(
            &client,
            &INFERENCE_SERVICE.path(&namespace),
            &applied(&name),
        )
        .await;
    };
    // A policy counts some time after it was made.
    let mut probes = 0;
    while revisor.metric("revisor_write_held", "") < 0.5 {
        assert!(probes < PROBES, "nothing is denied:\n{}", revisor.log());
        create(format!("probe{probes}")).await;
        probes += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for i in 0..DENIED {
        create(format!("w{i}")).await;
    }
}

fn policy() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "denied"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["revisor.dev"], "apiVersions": ["*"],
                "operations": ["CREATE"], "resources": ["revisions"],
            }]},
            "validations": [{"expression": "false", "message": "no Revisions here", "reason": "Forbidden"}],
        },
    })
}

fn binding(namespace: &str) -> Value {
    let labels = json!({"kubernetes.io/metadata.name": namespace});
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "denied"},
        "spec": {
            "policyName": "denied", "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": labels}},
        },
    })
}
