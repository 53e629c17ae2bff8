//! `make bench BASE=REF`: the program of a commit and the present one, in turns.
//!
//! In: two programs. Out: of every figure the ranges of both beside each other, and whether the present one is worse
//! in one of them. Both are measured in every round, and the one that begins changes from round to round, so that
//! whatever else the machine does meets both. Each has a control plane of its own: a process without a checkpoint
//! records everything that etcd's history still holds, also of an earlier turn.

use crate::drain::Drained;
use crate::lag::{LOADS, Lag};
use crate::outage::Row;
use crate::support::{Binary, World};
use crate::{drain, lag, median, number, outage};
use devcluster::Options;
use std::fmt;
use std::process::ExitCode;
use std::time::Instant;

const PARTS: [&str; 3] = ["drain", "lag", "outage"];
/// Workloads of an outage; REVISOR_BENCH_WORKLOADS changes it.
const WORKLOADS: usize = 1_000;
/// With fewer rounds a range is hardly one.
const FEW: usize = 3;
/// When nothing could be measured.
const NOT_COMPARED: u8 = 2;

/// Measures both programs and prints; fails when `head` is worse in a figure and the ranges do not overlap.
pub(crate) async fn run(base: Binary, head: Binary, rounds: usize, only: &str) -> ExitCode {
    if !(only.is_empty() || PARTS.contains(&only)) {
        eprintln!(
            "REVISOR_BENCH={only} is not measured for two programs; these are: {}",
            PARTS.join(", ")
        );
        return ExitCode::from(NOT_COMPARED);
    }
    if rounds == 0 {
        eprintln!("REVISOR_BENCH_ROUNDS=0 measures nothing");
        return ExitCode::from(NOT_COMPARED);
    }
    let turns = Turns {
        programs: [base, head],
        rounds,
    };
    let mut figures = Vec::new();
    for part in PARTS
        .into_iter()
        .filter(|part| only.is_empty() || only == *part)
    {
        figures.extend(turns.part(part).await);
    }
    report(&figures, rounds)
}

struct Turns {
    /// The one to compare with, and the present one.
    programs: [Binary; 2],
    rounds: usize,
}

impl Turns {
    /// Measures one part.
    async fn part(&self, part: &str) -> Vec<Figure> {
        match part {
            "drain" => {
                self.take(part, async |world, binary| {
                    drained(&drain::once(world, binary).await)
                })
                .await
            }
            "lag" => {
                // The same loads for both.
                let world = crate::world(Options::minimal()).await;
                let capacity = drain::once(&world, &self.programs[0]).await.capacity();
                let rates = LOADS.map(|load| load * capacity);
                self.take(part, async |world, binary| {
                    late(&lag::of_program(world, binary, &rates).await, &rates)
                })
                .await
            }
            _ => {
                let size = number("REVISOR_BENCH_WORKLOADS").unwrap_or(WORKLOADS);
                self.take(part, async |world, binary| {
                    away(&outage::of_program(world, binary, size).await, size)
                })
                .await
            }
        }
    }

    /// Both programs in every round; the values of each figure.
    async fn take(
        &self,
        part: &str,
        measure: impl AsyncFn(&World, &Binary) -> Vec<Value>,
    ) -> Vec<Figure> {
        let mut figures: Vec<Figure> = Vec::new();
        for round in 0..self.rounds {
            for which in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let name = ["base", "head"][which];
                eprintln!("{part}, round {} of {}: {name} …", round + 1, self.rounds);
                let started = Instant::now();
                let world = crate::world(Options::minimal()).await;
                let values = measure(&world, &self.programs[which]).await;
                let texts: Vec<_> = values.iter().map(ToString::to_string).collect();
                let seconds = started.elapsed().as_secs();
                eprintln!(
                    "{part}, round {} of {}: {name}: {} ({seconds} s)",
                    round + 1,
                    self.rounds,
                    texts.join(", ")
                );
                for (i, value) in values.into_iter().enumerate() {
                    if figures.len() == i {
                        figures.push(Figure::new(&value));
                    }
                    figures[i].values[which].push(value.value);
                }
            }
        }
        figures
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Better {
    More,
    Less,
}

/// One figure of one turn.
struct Value {
    name: String,
    unit: &'static str,
    better: Better,
    value: f64,
}

impl Value {
    fn new(name: impl Into<String>, unit: &'static str, better: Better, value: f64) -> Self {
        Self {
            name: name.into(),
            unit,
            better,
            value,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, shown(self.value), self.unit)
    }
}

fn drained(drained: &Drained) -> Vec<Value> {
    vec![
        Value::new("drain", "Revisions/s", Better::More, drained.rate),
        Value::new("drain", "ms of CPU per Revision", Better::Less, drained.cpu),
    ]
}

fn late(lags: &[Lag], rates: &[f64]) -> Vec<Value> {
    let of = |((lag, load), rate): ((&Lag, f64), &f64)| {
        let at = format!("lag at {:.0} % ({rate:.0}/s)", load * 100.0);
        [
            Value::new(format!("{at}, p50"), "ms", Better::Less, lag.p50),
            Value::new(format!("{at}, p99"), "ms", Better::Less, lag.p99),
        ]
    };
    lags.iter().zip(LOADS).zip(rates).flat_map(of).collect()
}

fn away(row: &Row, size: usize) -> Vec<Value> {
    vec![
        Value::new(
            format!("start to caught up, {size} workloads"),
            "s",
            Better::Less,
            row.warm,
        ),
        Value::new(
            "the same, and the API server restarted",
            "s",
            Better::Less,
            row.cold,
        ),
        Value::new(
            "resident memory, idle",
            "MiB",
            Better::Less,
            row.idle / 1024.0,
        ),
        Value::new(
            "resident memory per workload",
            "KiB",
            Better::Less,
            row.per_workload(),
        ),
    ]
}

/// One figure of both programs.
struct Figure {
    name: String,
    unit: &'static str,
    better: Better,
    /// Of the base, and of the present one.
    values: [Vec<f64>; 2],
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Verdict {
    Overlap,
    Better,
    Worse,
}

impl Figure {
    fn new(first: &Value) -> Self {
        Self {
            name: first.name.clone(),
            unit: first.unit,
            better: first.better,
            values: [Vec::new(), Vec::new()],
        }
    }

    fn verdict(&self) -> Verdict {
        let [base, head] = self.values.each_ref().map(|values| range(values));
        let (lower, higher) = match self.better {
            Better::More => (Verdict::Worse, Verdict::Better),
            Better::Less => (Verdict::Better, Verdict::Worse),
        };
        if head.1 < base.0 {
            lower
        } else if head.0 > base.1 {
            higher
        } else {
            Verdict::Overlap
        }
    }
}

/// The least and the most.
fn range(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (least, most)
}

/// Three digits that count.
fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn report(figures: &[Figure], rounds: usize) -> ExitCode {
    println!(
        "\n| {rounds} rounds: least – median – most | base | head | ranges |\n|---|---|---|---|"
    );
    for figure in figures {
        let [base, head] = figure.values.each_ref().map(|values| {
            let (least, most) = range(values);
            format!(
                "{} – {} – {}",
                shown(least),
                shown(median(values)),
                shown(most)
            )
        });
        let verdict = match figure.verdict() {
            Verdict::Overlap => "overlap",
            Verdict::Better => "apart: head is better",
            Verdict::Worse => "apart: **head is worse**",
        };
        println!(
            "| {}, {} | {base} | {head} | {verdict} |",
            figure.name, figure.unit
        );
    }
    if rounds < FEW {
        println!("\nRanges of {rounds} rounds say little: from {FEW} on they mean something.");
    }
    let worse: Vec<_> = figures
        .iter()
        .filter(|figure| figure.verdict() == Verdict::Worse)
        .collect();
    if worse.is_empty() {
        println!("\nhead is not worse than base in any figure");
        return ExitCode::SUCCESS;
    }
    let worse: Vec<_> = worse
        .iter()
        .map(|figure| format!("{} ({})", figure.name, figure.unit))
        .collect();
    println!(
        "\nhead is WORSE than base, without overlap: {}",
        worse.join("; ")
    );
    ExitCode::FAILURE
}
