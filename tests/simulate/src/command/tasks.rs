//! The tasks that take many histories: mutants, kills, coverage, and the histories that are kept.

use super::Workers;
use crate::fault::{Fault, STOOD};
use crate::fidelity;
use crate::oracle::Promise;
use crate::plan::{KillAt, Plan};
use crate::pool;
use anyhow::{Context, ensure};
use clap::Args;
use revisor::mutant::Mutant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct MutantArgs {
    /// The most histories for each
    #[arg(long, default_value_t = 2000)]
    runs: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this one, by name
    #[arg(long)]
    only: Option<String>,
    #[command(flatten)]
    workers: Workers,
}

/// Looks for each mutant until a history breaks a promise.
pub fn mutants(args: &MutantArgs) -> bool {
    let mut all_caught = true;
    let chosen = |mutant: &Mutant| {
        args.only
            .as_ref()
            .is_none_or(|only| format!("{mutant:?}") == *only)
    };
    for mutant in Mutant::ALL.into_iter().filter(chosen) {
        let mut tried = 0;
        let mut caught = None;
        let seeds = args.seed..args.seed + args.runs;
        let plans = seeds.map(|seed| Plan::of(seed, aimed_at(mutant)).with(mutant));
        pool::run(plans, args.workers.count(), |plan, outcome| {
            tried += 1;
            let violation = outcome.violations.into_iter().next();
            caught = violation
                .map(|violation| (plan.seed, violation))
                .filter(|_| is_innocent(plan));
            caught.is_none()
        });
        all_caught &= caught.is_some();
        if let Some((seed, violation)) = caught {
            println!(
                "{mutant:?}: {tried} histories, seed {seed}, {:?}: {}",
                violation.promise, violation.text
            );
        } else {
            println!("{mutant:?}: NOT CAUGHT in {tried} histories");
        }
    }
    all_caught
}

/// Whether a history breaks no promise without its defect.
fn is_innocent(plan: Plan) -> bool {
    let mutant = None;
    pool::one(&Plan { mutant, ..plan }).violations.is_empty()
}

/// The faults among which a mutant is looked for.
fn aimed_at(mutant: Mutant) -> &'static [Fault] {
    match mutant {
        Mutant::ConflictTakenForEqual => &[Fault::RevisionForged],
        Mutant::FoundTakenForLast => &[
            Fault::CompactionAtRead,
            Fault::Outage,
            Fault::ServerRestarts,
        ],
        Mutant::PassedTakenForLost => &[
            Fault::CompactionAtRead,
            Fault::EventsLate,
            Fault::Outage,
            Fault::ServerRestarts,
        ],
        Mutant::DenialDropped => &[Fault::Denied, Fault::DeniedObject],
        Mutant::ExceptionsForgotten | Mutant::PassedUnwritten => {
            &[Fault::DeniedObject, Fault::Kill]
        }
        Mutant::ExceptionsDropped => &[
            Fault::Denied,
            Fault::DeniedObject,
            Fault::QuotaExceeded,
            Fault::Kill,
        ],
        Mutant::PostponedEndAtLastWrite => &[
            Fault::Denied,
            Fault::QuotaExceeded,
            Fault::CreateHangs,
            Fault::Compaction,
        ],
        Mutant::ExceptionsPending => &[
            Fault::Denied,
            Fault::DeniedObject,
            Fault::Kill,
            Fault::KillAfterCreate,
        ],
        Mutant::PostponedFromFirstShown => &[Fault::QuotaExceeded, Fault::EventLost],
        Mutant::ExceptionsUncompared => &[Fault::QuotaExceeded, Fault::Kill],
        Mutant::QuietClaimBelieved => &[Fault::ForgedClaim, Fault::Kill],
        Mutant::ForgedHeadBelieved => &[Fault::ForgedGeneration, Fault::Kill],
        Mutant::NoBeginning => &[Fault::FirstStart],
        Mutant::HeadFromMemory => &[Fault::EtcdRestoredBumped],
        Mutant::RemovedHeadBelieved => &[Fault::RevisionDeleted],
        _ => STOOD,
    }
}

#[derive(Args)]
pub struct KillArgs {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of histories
    #[arg(long, default_value_t = 3)]
    histories: u64,
    #[command(flatten)]
    workers: Workers,
}

/// Kills a replica before and after each request of a few histories.
pub fn kills(args: &KillArgs) -> bool {
    let mut kills = 0_u64;
    let mut failed = 0_u64;
    for seed in args.seed..args.seed + args.histories {
        let plan = Plan::of(seed, STOOD);
        let requests = pool::one(&plan).requests;
        let plans = (1..=requests).flat_map(|request| {
            [false, true].map(|after| Plan {
                kill: Some(KillAt { request, after }),
                ..plan.clone()
            })
        });
        pool::run(plans, args.workers.count(), |plan, outcome| {
            kills += 1;
            for violation in outcome.violations.iter().take(1) {
                failed += 1;
                println!(
                    "seed {seed}, {:?}: {:?}: {}",
                    plan.kill, violation.promise, violation.text
                );
            }
            true
        });
    }
    println!("{kills} kills, {failed} broke a promise");
    failed == 0
}

#[derive(Args)]
pub struct CoverageArgs {
    /// The number of histories
    #[arg(long, default_value_t = 200)]
    runs: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    workers: Workers,
}

#[derive(Default)]
struct Covered {
    planned: u32,
    struck: u32,
    changed: u32,
}

/// Shows how often each kind of fault struck, and how often it changed what the replicas asked for.
pub fn coverage(args: &CoverageArgs) -> bool {
    let mut table: BTreeMap<Fault, Covered> = BTreeMap::new();
    for seed in args.seed..args.seed + args.runs {
        let plan = Plan::of(seed, STOOD);
        let whole = pool::one(&plan);
        for (fault, times) in &whole.struck {
            table.entry(*fault).or_default().struck += times;
        }
        let without = (0..plan.injections.len()).map(|i| {
            let mut less = plan.clone();
            less.injections.remove(i);
            less
        });
        let mut faults = plan.injections.iter().map(|injection| injection.fault);
        pool::run(without, args.workers.count(), |_, outcome| {
            if let Some(fault) = faults.next() {
                let covered = table.entry(fault).or_default();
                covered.planned += 1;
                covered.changed += u32::from(outcome.asked != whole.asked);
            }
            true
        });
    }
    println!("| fault | planned | struck | changed what was asked for |\n|---|---|---|---|");
    for (fault, covered) in &table {
        println!(
            "| {fault:?} | {} | {} | {} |",
            covered.planned, covered.struck, covered.changed
        );
    }
    table.values().all(|covered| covered.changed > 0)
}

/// A history that is kept, because it found a defect.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The defect that it found.
    about: String,
    /// The promise that the defect breaks.
    promise: Promise,
    /// The history, with the defect.
    plan: Plan,
}

#[derive(Args)]
pub struct CheckArgs {
    /// The folder of the histories
    folder: PathBuf,
}

/// Checks that each history that is kept breaks its promise with its defect, and none without it.
pub fn check(args: &CheckArgs) -> anyhow::Result<bool> {
    let mut files: Vec<_> = std::fs::read_dir(&args.folder)
        .with_context(|| args.folder.display().to_string())?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    ensure!(!files.is_empty(), "{}: no histories", args.folder.display());
    let mut holds = true;
    for file in files {
        holds &= check_one(&file).with_context(|| file.display().to_string())?;
    }
    Ok(holds)
}

fn check_one(file: &Path) -> anyhow::Result<bool> {
    let kept: Kept = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    ensure!(
        kept.plan.mutant()?.is_some(),
        "plan.mutant: a defect is missing"
    );
    let without = pool::one(&Plan {
        mutant: None,
        ..kept.plan.clone()
    });
    let with = pool::one(&kept.plan);
    let is_found = with
        .violations
        .iter()
        .any(|violation| violation.promise == kept.promise);
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    println!(
        "{name}: {}found with the defect, {:?} without it",
        if is_found { "" } else { "NOT " },
        without.violations
    );
    Ok(is_found && without.violations.is_empty())
}

/// The history as it is kept.
pub fn keep(plan: &Plan, promise: Promise, text: &str) -> anyhow::Result<String> {
    let kept = Kept {
        about: text.to_owned(),
        promise,
        plan: plan.clone(),
    };
    Ok(serde_json::to_string_pretty(&kept)?)
}

#[derive(Args)]
pub struct CompareArgs {
    /// How to reach the real API server, as an administrator; the definitions have to be there
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The number of conversations
    #[arg(long, default_value_t = 1000)]
    sequences: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Compares the simulated API server with a real one.
pub fn compare(args: &CompareArgs) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let comparing = fidelity::compare(&args.kubeconfig, args.seed, args.sequences);
    let differences = runtime.block_on(comparing)?;
    for difference in &differences {
        println!("{difference}");
    }
    println!(
        "{} conversations, {} differences",
        args.sequences,
        differences.len()
    );
    Ok(differences.is_empty())
}
