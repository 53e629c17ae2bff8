//! The command line.

mod tasks;

use crate::fault::{Fault, STOOD};
use crate::history::{self, Outcome};
use crate::os;
use crate::plan::Plan;
use crate::{pool, shrink};
use clap::{Args, Parser, Subcommand};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Progress is told after so many histories.
const PROGRESS: u64 = 20;

/// Runs Revisor in a simulated world
#[derive(Parser)]
#[command(name = "simulate")]
pub struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Carry out histories, one for each seed, until one breaks a promise
    Run(RunArgs),
    /// Carry out one history and print its timeline
    Show(ShowArgs),
    /// Make a history that breaks a promise smaller, and print it as it is kept
    Shrink(ShowArgs),
    /// Look for each defect that can be switched on, until a history breaks a promise
    Mutants(tasks::MutantArgs),
    /// Kill a replica before and after each request of a few histories
    Kills(tasks::KillArgs),
    /// Show how often each fault struck, and how often it changed anything
    Coverage(tasks::CoverageArgs),
    /// Check the histories that are kept: each finds its defect
    Check(tasks::CheckArgs),
    /// Compare the simulated API server with a real one
    Compare(tasks::CompareArgs),
}

/// Processes at the same time.
#[derive(Args)]
struct Workers {
    /// Processes at the same time; as many as there are processors without it
    #[arg(long)]
    jobs: Option<usize>,
}

impl Workers {
    fn count(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.unwrap_or_else(processors)
    }
}

#[derive(Args)]
struct RunArgs {
    /// The number of histories
    #[arg(long, default_value_t = 1000)]
    runs: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    workers: Workers,
    /// Only these faults, by name
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Fault>,
    /// Go on after a history that breaks a promise
    #[arg(long)]
    keep_going: bool,
    /// Carry out each history twice, and compare the traces
    #[arg(long)]
    twice: bool,
}

#[derive(Args)]
struct ShowArgs {
    /// The seed of the history
    #[arg(long, required_unless_present = "plan")]
    seed: Option<u64>,
    /// A plan as JSON, instead of one that a seed makes
    #[arg(long)]
    plan: Option<PathBuf>,
    /// Only these faults, by name
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Fault>,
    /// With this defect, by name
    #[arg(long)]
    mutant: Option<String>,
    /// The log of Revisor: a level, or directives
    #[arg(long, default_value = "off")]
    log: String,
}

impl ShowArgs {
    fn plan(&self) -> anyhow::Result<Plan> {
        let plan = match &self.plan {
            Some(file) => serde_json::from_str(&std::fs::read_to_string(file)?)?,
            None => Plan::of(self.seed.unwrap_or_default(), faults(&self.faults)),
        };
        let mutant = self.mutant.clone().or(plan.mutant);
        let plan = Plan { mutant, ..plan };
        plan.mutant()?;
        Ok(plan)
    }
}

fn faults(named: &[Fault]) -> &[Fault] {
    if named.is_empty() { STOOD } else { named }
}

/// Does what the command line says.
pub fn run(command: Command) -> ExitCode {
    let done = match command.task {
        Task::Run(args) => Ok(run_all(&args)),
        Task::Show(args) => show(&args),
        Task::Shrink(args) => smaller(&args),
        Task::Mutants(args) => Ok(tasks::mutants(&args)),
        Task::Kills(args) => Ok(tasks::kills(&args)),
        Task::Coverage(args) => Ok(tasks::coverage(&args)),
        Task::Check(args) => tasks::check(&args),
        Task::Compare(args) => tasks::compare(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("simulate: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Sums over histories.
#[derive(Default)]
struct Sums {
    histories: u64,
    failed: u64,
    simulated_seconds: u64,
    requests: u64,
    changes: usize,
    revisions: usize,
    gaps: usize,
    struck: BTreeMap<Fault, u32>,
}

impl Sums {
    fn add(&mut self, outcome: &Outcome) {
        self.histories += 1;
        self.failed += u64::from(!outcome.violations.is_empty());
        self.simulated_seconds += outcome.simulated_seconds;
        self.requests += outcome.requests;
        self.changes += outcome.changes;
        self.revisions += outcome.revisions;
        self.gaps += outcome.gaps;
        for (fault, times) in &outcome.struck {
            *self.struck.entry(*fault).or_default() += times;
        }
    }

    /// On a terminal, so that a long run can be followed.
    fn tell_progress(&self) {
        if self.histories.is_multiple_of(PROGRESS) && std::io::stderr().is_terminal() {
            eprint!(
                "\r{} histories, {} broke a promise ",
                self.histories, self.failed
            );
        }
    }

    fn print(&self, seconds: f64, jobs: usize) {
        let [histories, simulated, requests] =
            [self.histories, self.simulated_seconds, self.requests].map(float);
        println!(
            "{} histories, {} broke a promise; {} changes, {} Revisions, {} Gaps, {} faults",
            self.histories,
            self.failed,
            self.changes,
            self.revisions,
            self.gaps,
            self.struck.values().sum::<u32>(),
        );
        println!(
            "{seconds:.0} s on {jobs} processors: {:.1} histories per second and processor, {:.0} simulated seconds per second, {:.0} requests each",
            histories / seconds / float(jobs as u64),
            simulated / seconds,
            requests / histories,
        );
        for (fault, times) in &self.struck {
            println!("  {fault:?} {times}");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count, to be shown")]
fn float(count: u64) -> f64 {
    count as f64
}

fn run_all(args: &RunArgs) -> bool {
    let jobs = args.workers.count();
    let faults = faults(&args.faults);
    let plans = (args.seed..args.seed + args.runs).map(|seed| Plan::of(seed, faults));
    let started = started();
    let mut sums = Sums::default();
    let mut differ = 0;
    let mut before = None;
    let each = if args.twice { 2 } else { 1 };
    let plans = plans.flat_map(|plan| std::iter::repeat_n(plan, each));
    pool::run(plans, jobs, |plan, outcome| {
        sums.add(&outcome);
        sums.tell_progress();
        if let Some(violation) = outcome.violations.first() {
            println!(
                "seed {}: {:?}: {}",
                plan.seed, violation.promise, violation.text
            );
        }
        if args.twice {
            match before.take() {
                Some(digest) if digest != outcome.digest => {
                    println!("seed {}: two traces", plan.seed);
                    differ += 1;
                }
                Some(_) => {}
                None => before = Some(outcome.digest),
            }
        }
        args.keep_going || outcome.violations.is_empty()
    });
    sums.print(started.elapsed().as_secs_f64(), jobs);
    sums.failed == 0 && differ == 0
}

#[expect(
    clippy::disallowed_methods,
    reason = "real time, for the speed of the simulator"
)]
fn started() -> Instant {
    Instant::now()
}

fn show(args: &ShowArgs) -> anyhow::Result<bool> {
    let plan = args.plan()?;
    crate::replica::config();
    tracing_subscriber::fmt()
        .with_env_filter(&args.log)
        .without_time()
        .with_ansi(false)
        .init();
    let shown = os::on_a_thread(move || history::run(&plan, true));
    let outcome = shown.unwrap_or_else(history::panicked);
    for violation in &outcome.violations {
        println!("{:?}: {}", violation.promise, violation.text);
    }
    println!("digest {:016x}", outcome.digest);
    Ok(outcome.violations.is_empty())
}

fn smaller(args: &ShowArgs) -> anyhow::Result<bool> {
    let plan = args.plan()?;
    let outcome = pool::one(&plan);
    let Some(violation) = outcome.violations.first() else {
        println!("it breaks no promise");
        return Ok(true);
    };
    eprintln!("{:?}: {}", violation.promise, violation.text);
    let plan = shrink::shrink(plan, violation.promise, |plan| {
        eprintln!(
            "{} changes, {} faults",
            plan.changes.len(),
            plan.injections.len()
        );
    });
    println!(
        "{}",
        tasks::keep(&plan, violation.promise, &violation.text)?
    );
    Ok(false)
}
