//! `make bench`: speed on a real control plane, as ratios against a floor that is measured in the same run.
//!
//! Prints tables and exits with 1 when a target is missed. Each figure is the median of interleaved rounds, and each
//! ratio that of the two sides of one round, so that whatever else the machine does meets both.

#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks measure real time"
)]

#[path = "../../tests/e2e/oracle.rs"]
#[allow(dead_code)]
mod oracle;
#[path = "../../tests/e2e/support.rs"]
#[allow(dead_code)]
mod support;
#[path = "../../tests/e2e/serve/people.rs"]
#[allow(dead_code)]
mod people;

mod compare;
mod denied;
mod drain;
mod floor;
mod history;
mod kept;
mod lag;
mod load;
mod observe;
mod outage;
mod reindex;
mod serve;
mod views;

use devcluster::Options;
use std::path::PathBuf;
use std::process::ExitCode;
use support::{Binary, World};

/// Rounds of everything; REVISOR_BENCH_ROUNDS changes it for a quick look.
const ROUNDS: usize = 5;
/// Writers of the product and of the floor.
const CONNECTIONS: usize = 16;

#[tokio::main]
async fn main() -> ExitCode {
    if let Ok(setting) = std::env::var(serve::STATIC) {
        serve::serve_static(&setting).await;
        return ExitCode::SUCCESS;
    }
    let rounds = number("REVISOR_BENCH_ROUNDS").unwrap_or(ROUNDS);
    let only = std::env::var("REVISOR_BENCH").unwrap_or_default();
    if let Some(base) = program("REVISOR_BENCH_BASE") {
        let head = program("REVISOR_BENCH_HEAD").unwrap_or_else(Binary::present);
        return compare::run(base, head, rounds, &only).await;
    }
    let met = measure(rounds, &only).await;
    println!(
        "{}",
        if met {
            "every target is met"
        } else {
            "a target is MISSED"
        }
    );
    if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Measures and prints; whether every target is met.
async fn measure(rounds: usize, only: &str) -> bool {
    let mut met = true;
    let wants = |part: &str| only.is_empty() || only == part;
    if wants("serve") {
        load::check();
    }
    if wants("drain") || wants("lag") {
        let capacity = drain::run(rounds, only == "lag", &mut met).await;
        if wants("lag") {
            lag::run(rounds, capacity, &mut met).await;
        }
    }
    if wants("denied") {
        denied::run(rounds, &mut met).await;
    }
    if wants("views") {
        views::run(rounds, &mut met).await;
    }
    if wants("reindex") {
        reindex::run(rounds, &mut met).await;
    }
    if wants("history") {
        history::run(rounds, &mut met).await;
    }
    if wants("serve") {
        let most = number("REVISOR_BENCH_REVISIONS").unwrap_or(100_000);
        let sizes: Vec<_> = [10_000, 100_000]
            .into_iter()
            .filter(|size| *size <= most)
            .collect();
        serve::run(&sizes, rounds, &mut met).await;
    }
    if wants("observe") {
        observe::run(rounds, &mut met).await;
    }
    if wants("pods") {
        observe::memory(&mut met).await;
    }
    if wants("outage") {
        let most = number("REVISOR_BENCH_WORKLOADS").unwrap_or(10_000);
        let sizes: Vec<_> = [1_000, 10_000]
            .into_iter()
            .filter(|size| *size <= most)
            .collect();
        outage::run(&sizes, &mut met).await;
    }
    if wants("kept") {
        kept::run(&mut met).await;
    }
    met
}

/// The program whose path is in a variable of the environment.
fn program(name: &str) -> Option<Binary> {
    let path = std::env::var_os(name)?;
    Some(PathBuf::from(path).into())
}

/// What a variable of the environment says.
fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// A control plane of its own.
async fn world(options: Options) -> World {
    tokio::task::spawn_blocking(move || World::start(&options))
        .await
        .expect("a cluster")
}

/// The value in the middle.
fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

fn percentile(values: &[f64], p: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let at = ((sorted.len().saturating_sub(1)) as f64 * p).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
