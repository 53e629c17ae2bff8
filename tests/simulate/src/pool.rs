//! Histories side by side, each in a process of its own.

use crate::history::{self, Outcome};
use crate::os::{self, Child};
use crate::plan::Plan;
use std::collections::VecDeque;

/// Carries out plans in their order, `cores` of them at a time, and gives each outcome to `done`; that returns whether
/// to go on.
pub fn run(
    plans: impl Iterator<Item = Plan>,
    cores: usize,
    mut done: impl FnMut(Plan, Outcome) -> bool,
) {
    crate::replica::config();
    let mut running: VecDeque<(Plan, Child)> = VecDeque::new();
    let mut plans = plans.peekable();
    while plans.peek().is_some() || !running.is_empty() {
        while running.len() < cores
            && let Some(plan) = plans.next()
        {
            let child = start(plan.clone());
            running.push_back((plan, child));
        }
        if let Some((plan, child)) = running.pop_front()
            && !done(plan, outcome(child))
        {
            return;
        }
    }
}

/// Carries out one plan in a process of its own.
pub fn one(plan: &Plan) -> Outcome {
    crate::replica::config();
    outcome(start(plan.clone()))
}

fn start(plan: Plan) -> Child {
    os::fork(move || serde_json::to_vec(&history::run(&plan, false)).unwrap_or_default())
}

fn outcome(child: Child) -> Outcome {
    child
        .wait()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_else(history::panicked)
}
