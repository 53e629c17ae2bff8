//! What the view costs: the same drain with it and without.

use crate::drain::{EDITS, WARM_UP, WORKLOADS, applied, edit_all, wait_for};
use crate::median;
use crate::support::{INFERENCE_SERVICE, Revisor, post};
use devcluster::Options;
use std::io::Write;
use std::time::Instant;

/// Without what jq finds: the same kind with no program.
const NO_VIEW: &str = "kinds:\n- {kind: InferenceService, group: serving.kserve.io, versions: [v1beta1], plural: inferenceservices, \
    select: always, podSpecs: [spec.predictor, spec.transformer], containers: [spec.predictor.model]}\n";
const VIEW_TARGET: f64 = 0.9;

/// What the view costs: the drain with and without it, in turns on one server, since two of them differ by more.
pub(crate) async fn run(rounds: usize, met: &mut bool) {
    let mut config = tempfile::NamedTempFile::new().expect("a file");
    config.write_all(NO_VIEW.as_bytes()).expect("written");
    let path = config.path().display().to_string();
    // Whether statuses are written is another question.
    let on = ["--observe=false"].as_slice();
    let off = ["--observe=false", "--config", path.as_str()];
    let mut all = Vec::new();
    for number in 0..rounds {
        let turns = if number % 2 == 0 {
            [on, &off, &off, on]
        } else {
            [&off, on, on, &off]
        };
        let rates = in_turns(turns).await;
        let mean = |with: bool| {
            let of = turns
                .iter()
                .zip(&rates)
                .filter(|(flags, _)| (flags.len() == 1) == with);
            2.0 / of.map(|(_, rate)| 1.0 / rate).sum::<f64>()
        };
        all.push((mean(true), mean(false)));
        eprintln!(
            "views round {}: {:.0}/s with, {:.0}/s without",
            number + 1,
            mean(true),
            mean(false)
        );
    }
    let of = |pick: fn(&(f64, f64)) -> f64| median(&all.iter().map(pick).collect::<Vec<_>>());
    let ratio = of(|(with, without)| with / without);
    *met &= ratio >= VIEW_TARGET;
    println!("\n| the same drain | Revisions/s |\n|---|---|");
    println!("| with the whole view | {:.0} |", of(|(with, _)| *with));
    println!(
        "| with changes and images only | {:.0} |",
        of(|(_, without)| *without)
    );
    println!("| ratio (target ≥ {VIEW_TARGET}) | {ratio:.2} |");
}

/// Rates of drains on one server, one after the other, each by a Revisor of its own.
async fn in_turns(turns: [&[&str]; 4]) -> Vec<f64> {
    const EACH: usize = EDITS / 2;
    let world = crate::world(Options::minimal()).await;
    let client = world.client().await;
    let namespace = world.namespace("views").await;
    for i in 0..WORKLOADS {
        post(
            &client,
            &INFERENCE_SERVICE.path(&namespace),
            &applied(&format!("w{i}")),
        )
        .await;
    }
    let mut rates = Vec::new();
    for (turn, flags) in turns.iter().enumerate() {
        let revisor = Revisor::start(world.cluster.kubeconfig(), flags);
        // The first finds all workloads new.
        let before = if turn == 0 { WORKLOADS } else { 0 };
        let offset = turn * (EACH + WARM_UP) + 1;
        edit_all(&world, &namespace, offset, WARM_UP).await;
        wait_for(&revisor, before + WARM_UP).await;
        revisor.signal("STOP");
        edit_all(&world, &namespace, offset + WARM_UP, EACH).await;
        let started = Instant::now();
        revisor.signal("CONT");
        wait_for(&revisor, before + WARM_UP + EACH).await;
        #[allow(clippy::cast_precision_loss)]
        let count = EACH as f64;
        rates.push(count / started.elapsed().as_secs_f64());
    }
    let expected = WORKLOADS + turns.len() * (EACH + WARM_UP);
    assert_eq!(
        world
            .assert_recorded(&namespace, &[INFERENCE_SERVICE])
            .await,
        expected
    );
    rates
}
