//! How fast `revisor reindex` makes views anew, against bare PUTs of the same Revisions on the same server.

use crate::drain::{EDITS, WORKLOADS, applied, edit_all, wait_for};
use crate::support::{Binary, INFERENCE_SERVICE, World, client, post, revisions};
use crate::{floor, median};
use devcluster::Options;
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const TARGET: f64 = 0.7;
/// A run has to take long beside the start of its process.
const CHANGES: usize = EDITS / 2;
/// Every extractor is newer than this one.
const OLD_VERSION: i32 = 1;

/// A run of the command, and the rate of the bare PUTs before it.
struct Round {
    rate: f64,
    floor: f64,
}

/// Measures and prints.
pub(crate) async fn run(rounds: usize, met: &mut bool) {
    let world = crate::world(Options::minimal()).await;
    let namespace = record(&world).await;
    let mut all = Vec::new();
    for number in 0..rounds {
        // The bare PUTs leave views of an older extractor, which the command then makes anew.
        let floor = make_older(&world, &namespace).await;
        let rate = reindex(world.cluster.kubeconfig(), &namespace).await;
        eprintln!(
            "reindex round {}: {rate:.0}/s, floor {floor:.0}/s",
            number + 1
        );
        all.push(Round { rate, floor });
    }
    let middle = |pick: fn(&Round) -> f64| median(&all.iter().map(pick).collect::<Vec<_>>());
    let ratio = middle(|round| round.rate / round.floor);
    *met &= ratio >= TARGET;
    println!(
        "\n| {} Revisions with older views | Revisions/s |\n|---|---|",
        CHANGES + WORKLOADS
    );
    println!(
        "| `revisor reindex`, from its start to its end | {:.0} |",
        middle(|round| round.rate)
    );
    println!(
        "| bare PUTs of the same objects, {} connections | {:.0} |",
        crate::CONNECTIONS,
        middle(|round| round.floor)
    );
    println!("| ratio (target ≥ {TARGET}) | {ratio:.2} |");
}

/// Records changes; Revisor is gone afterwards. Returns the namespace.
async fn record(world: &World) -> String {
    let client = world.client().await;
    let namespace = world.namespace("reindex").await;
    let flags = ["--namespace", &namespace, "--observe=false"];
    let revisor = Binary::present().start(world.cluster.kubeconfig(), &flags);
    for i in 0..WORKLOADS {
        let object = applied(&format!("w{i}"));
        post(&client, &INFERENCE_SERVICE.path(&namespace), &object).await;
    }
    wait_for(&revisor, WORKLOADS).await;
    edit_all(world, &namespace, 0, CHANGES).await;
    wait_for(&revisor, WORKLOADS + CHANGES).await;
    namespace
}

/// Gives every Revision the view of an older extractor; returns how many a second.
async fn make_older(world: &World, namespace: &str) -> f64 {
    let client = client(world.cluster.kubeconfig()).await;
    let mut stored = revisions(&client, namespace).await;
    for revision in &mut stored {
        revision["spec"]["view"]["version"] = json!(OLD_VERSION);
        if let Some(metadata) = revision["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
    }
    floor::replaces(&client, &stored).await
}

/// Runs the command to its end; returns how many Revisions a second it rewrote.
async fn reindex(kubeconfig: &Path, namespace: &str) -> f64 {
    let started = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_revisor"));
    command.arg("reindex").arg("--kubeconfig").arg(kubeconfig);
    command.args(["--namespace", namespace]);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("no panic").expect("the program");
    let took = started.elapsed();
    let said = String::from_utf8_lossy(&output.stdout);
    let count = WORKLOADS + CHANGES;
    let expected = format!("{count} Revisions: {count} rewritten");
    assert!(
        output.status.success() && said.starts_with(&expected),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    count / took.as_secs_f64()
}
