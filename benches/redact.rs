//! Whether the time that the judge of secrets takes grows as the length of the text does, also for texts that are made to
//! be slow.

#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks measure real time"
)]

#[path = "../src/redact/linear/units.rs"]
mod units;

use revisor::redact::Names;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SHORT: usize = 100_000;
const LONG: usize = 10 * SHORT;
/// A text that is ten times as long takes at most so many times as long.
const TARGET: f64 = 20.0;
const TRIES: usize = 5;
/// The slowest are shown.
const SHOWN: usize = 10;

struct Row {
    unit: &'static str,
    short: Duration,
    long: Duration,
}

impl Row {
    /// Other programs can only make it slower, and disturb the longer text more: where that misses the target it is
    /// measured again.
    fn measure(unit: &'static str) -> Self {
        let [short, long] = [SHORT, LONG].map(|length| unit.repeat(length / unit.len()));
        let mut row = Self {
            unit,
            short: time(&short, TRIES),
            long: time(&long, 1),
        };
        for _ in 1..TRIES {
            if row.ratio() <= TARGET {
                break;
            }
            row.long = row.long.min(time(&long, 1));
        }
        eprintln!("{unit:?}: {:.1?}, {:.1?}", row.short, row.long);
        row
    }

    fn ratio(&self) -> f64 {
        self.long.as_secs_f64() / self.short.as_secs_f64()
    }
}

fn time(text: &str, times: usize) -> Duration {
    let names = Names::default();
    let once = |_| {
        let started = Instant::now();
        black_box(names.text(black_box(text)));
        started.elapsed()
    };
    (0..times).map(once).min().unwrap_or_default()
}

fn main() -> ExitCode {
    let mut rows: Vec<_> = units::UNITS.iter().copied().map(Row::measure).collect();
    rows.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()));
    let most = rows.first().map_or(0.0, Row::ratio);
    println!("| repeated | 100 KB | 1 MB | times as long |\n|---|---|---|---|");
    for row in rows.iter().take(SHOWN) {
        let Row { unit, short, long } = row;
        println!(
            "| `{unit:?}` | {short:.1?} | {long:.1?} | {:.1} |",
            row.ratio()
        );
    }
    println!(
        "the most of {} texts (target ≤ {TARGET}): {most:.1}",
        rows.len()
    );
    if most <= TARGET {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
