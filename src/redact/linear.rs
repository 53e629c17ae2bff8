//! The time that a text takes grows as its length does, also for texts that are made to be slow.

mod units;

use super::*;
use crate::clock;
use std::time::Duration;

// An unoptimised build is too slow for longer ones; `benches/redact.rs` reads up to 1 MB.
const SHORT: usize = 500;
const LONG: usize = 10 * SHORT;
/// A text that is ten times as long takes at most so many times as long.
const TARGET: u32 = 20;
/// Other programs run on the machine that the tests run on.
const SLACK: u32 = 4;
/// They may take all of it for a while.
const TRIES: usize = 4;
/// A shorter time cannot be measured.
const LEAST: Duration = Duration::from_millis(2);

fn time(text: &str) -> Duration {
    let names = Names::default();
    let once = || {
        let started = clock::monotonic();
        assert!(!names.text(text).is_empty());
        started.elapsed()
    };
    (0..2).map(|_| once()).min().unwrap_or_default()
}

#[test]
fn ten_times_the_text_takes_about_ten_times_as_long() {
    for unit in units::UNITS {
        let mut seen = Vec::new();
        let is_linear = (0..TRIES).any(|_| {
            let [short, long] = [SHORT, LONG].map(|length| time(&unit.repeat(length / unit.len())));
            seen.push((short, long));
            long <= short.max(LEAST) * TARGET * SLACK
        });
        assert!(is_linear, "{unit:?}: {seen:?}");
    }
}
