//! Makes a plan that fails smaller, as long as it breaks the same promise.

use crate::oracle::Promise;
use crate::plan::Plan;
use crate::pool;

/// The smallest plan that was found. `tried` hears of each attempt.
pub fn shrink(mut plan: Plan, promise: Promise, mut tried: impl FnMut(&Plan)) -> Plan {
    loop {
        let before = size(&plan);
        for replicas in 1..plan.replicas {
            let mut smaller = plan.clone();
            smaller.replicas = replicas;
            for injection in &mut smaller.injections {
                injection.replica = injection.replica.min(replicas - 1);
            }
            plan = if breaks(&smaller, promise) {
                smaller
            } else {
                plan
            };
        }
        plan = without(plan, promise, |plan| &mut plan.injections);
        tried(&plan);
        plan = without(plan, promise, |plan| &mut plan.changes);
        tried(&plan);
        if size(&plan) == before {
            return plan;
        }
    }
}

fn size(plan: &Plan) -> usize {
    plan.replicas + plan.injections.len() + plan.changes.len()
}

fn breaks(plan: &Plan, promise: Promise) -> bool {
    let outcome = pool::one(plan);
    outcome
        .violations
        .iter()
        .any(|violation| violation.promise == promise)
}

/// Leaves out ever smaller parts of a list.
fn without<T: Clone>(
    mut plan: Plan,
    promise: Promise,
    list: impl Fn(&mut Plan) -> &mut Vec<T>,
) -> Plan {
    let mut part = list(&mut plan).len().div_ceil(2);
    while part > 0 {
        let mut from = 0;
        while from < list(&mut plan).len() {
            let mut smaller = plan.clone();
            let to = (from + part).min(list(&mut smaller).len());
            list(&mut smaller).drain(from..to);
            if breaks(&smaller, promise) {
                plan = smaller;
            } else {
                from += part;
            }
        }
        part = if part == 1 { 0 } else { part.div_ceil(2) };
    }
    plan
}
