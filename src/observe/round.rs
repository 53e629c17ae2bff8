//! Which statuses of a workload are written now, and which later. Pure.
//!
//! All statuses of a workload that differ are written in one round, from one look: those that count fewer pods first. So
//! the sum over its Revisions is never above what there was at a look, and equals it after the round. A round begins when a
//! phase is to be written, else a while after numbers began to differ. A phase that a rollout only passes through is not
//! written before it has lasted; its numbers are.

use super::status::patch;
use super::subjects::Decision;
use crate::quantity::Quantity;
use crate::revision::{Phase, RevisionStatus};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Phases that rollouts pass through are written when they last so long.
const LASTS: Duration = Duration::from_secs(5);
/// Messages and numbers alone wait for so long: they are right within 15 seconds.
const NUMBERS: Duration = Duration::from_secs(12);

/// How soon a change of status should be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Somebody may wait for it.
    Now,
    /// When it lasts: rollouts pass through such phases.
    IfItLasts,
    /// Only messages and numbers differ.
    Whenever,
}

/// How soon the step from one status to the other should be written.
pub(super) fn urgency(before: &RevisionStatus, after: &RevisionStatus) -> Urgency {
    let passes = matches!(
        after.phase,
        Some(
            Phase::Creating
                | Phase::Pending
                | Phase::Initializing
                | Phase::Resuming
                | Phase::Terminating
                | Phase::Stopping
                | Phase::Degraded
        )
    );
    let settled =
        before.outcome == after.outcome && before.first_ready_time == after.first_ready_time;
    // Pods whose readiness comes and goes.
    let recovers =
        before.phase == Some(Phase::Degraded) && after.phase == Some(Phase::Running) && settled;
    match before.phase == after.phase {
        false if passes || recovers => Urgency::IfItLasts,
        true if settled => Urgency::Whenever,
        _ => Urgency::Now,
    }
}

/// Only what pods hold changes: the phase is not to be written yet. None where no phase is stored either.
pub(super) fn numbers(before: &RevisionStatus, after: &RevisionStatus) -> Option<RevisionStatus> {
    before.phase.is_some().then(|| RevisionStatus {
        running_pods: after.running_pods,
        ready_pods: after.ready_pods,
        node_pools: after.node_pools.clone(),
        allocated: after.allocated.clone(),
        images: after.images.clone(),
        pod_keys: after.pod_keys.clone(),
        ..before.clone()
    })
}

/// Whether a step makes the numbers smaller, leaves them, or makes them larger.
fn growth(before: &RevisionStatus, after: &RevisionStatus) -> Ordering {
    let pods = |status: &RevisionStatus| status.running_pods.unwrap_or(0);
    let amount = |status: &RevisionStatus, name: &str| {
        let held = status.allocated.get(name);
        held.and_then(|held| Quantity::parse(held))
            .unwrap_or_default()
    };
    let names = before.allocated.keys().chain(after.allocated.keys());
    let step = |name: &String| amount(after, name).cmp(&amount(before, name));
    names
        .map(step)
        .fold(pods(after).cmp(&pods(before)), Ordering::then)
}

/// A status that is written now.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) generation: i64,
    pub(super) name: String,
    /// What it will be.
    pub(super) status: RevisionStatus,
    /// The merge patch that makes it so.
    pub(super) patch: Value,
}

/// What is to be done about a workload.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In this order.
    pub(super) writes: Vec<Write>,
    /// When to look again, where something waits.
    pub(super) again: Option<Duration>,
}

/// The differences of all workloads that wait.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    waiting: HashMap<Uuid, Waiting>,
}

/// The differences of one workload.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    /// Phases that are not written yet, and since when they last, by generation.
    passing: BTreeMap<i64, (Option<Phase>, Instant)>,
}

impl Rounds {
    /// What to write of a workload whose statuses differ like this.
    pub(super) fn plan(&mut self, uid: Uuid, decisions: Vec<Decision>, now: Instant) -> Plan {
        if decisions.is_empty() {
            self.waiting.remove(&uid);
            return Plan::default();
        }
        let waiting = self.waiting.entry(uid).or_insert_with(|| Waiting {
            since: now,
            passing: BTreeMap::new(),
        });
        waiting.keep_passing(&decisions, now);
        let begins = now.duration_since(waiting.since) >= NUMBERS
            || decisions
                .iter()
                .any(|decision| waiting.is_due(decision, now));
        let again = waiting.again(begins, now);
        if !begins {
            return Plan {
                writes: Vec::new(),
                again,
            };
        }
        let mut writes: Vec<_> = decisions
            .into_iter()
            .filter_map(|decision| {
                let is_due =
                    decision.urgency == Urgency::Whenever || waiting.is_due(&decision, now);
                write(decision, is_due)
            })
            .collect();
        writes.sort_by_key(|(growth, write)| (*growth, write.generation));
        waiting.since = now;
        Plan {
            writes: writes.into_iter().map(|(_, write)| write).collect(),
            again,
        }
    }

    /// Forgets workloads that are not there any more.
    pub(super) fn retain(&mut self, is_there: impl Fn(Uuid) -> bool) {
        self.waiting.retain(|uid, _| is_there(*uid));
    }

    /// The number of workloads of which something waits.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl Waiting {
    /// Notes the phases that are passed through, and forgets those that were.
    fn keep_passing(&mut self, decisions: &[Decision], now: Instant) {
        let held = decisions
            .iter()
            .filter(|decision| decision.urgency == Urgency::IfItLasts);
        self.passing = held
            .map(
                |Decision {
                     generation, status, ..
                 }| {
                    let known = self.passing.get(generation).copied();
                    let passing = known.filter(|(phase, _)| *phase == status.phase);
                    (*generation, passing.unwrap_or((status.phase, now)))
                },
            )
            .collect();
    }

    /// Whether the phase of a decision is to be written now.
    fn is_due(&self, decision: &Decision, now: Instant) -> bool {
        match decision.urgency {
            Urgency::Now => true,
            Urgency::Whenever => false,
            Urgency::IfItLasts => self
                .passing
                .get(&decision.generation)
                .is_some_and(|(_, since)| now.duration_since(*since) >= LASTS),
        }
    }

    /// The time until something that waits is due; after a round, only phases wait.
    fn again(&self, begins: bool, now: Instant) -> Option<Duration> {
        let phases = self
            .passing
            .values()
            .map(|(_, since)| LASTS.saturating_sub(now.duration_since(*since)))
            .filter(|left| !left.is_zero());
        let numbers = NUMBERS.saturating_sub(now.duration_since(self.since));
        phases.chain((!begins).then_some(numbers)).min()
    }
}

/// The write of a decision, and whether that makes numbers larger; of its numbers only, where the phase has to wait.
fn write(decision: Decision, is_due: bool) -> Option<(Ordering, Write)> {
    let Decision {
        generation,
        name,
        before,
        status,
        ..
    } = decision;
    let status = if is_due {
        status
    } else {
        numbers(&before, &status)?
    };
    let patch = patch(&before, &status)?;
    let write = Write {
        generation,
        name,
        status,
        patch,
    };
    Some((growth(&before, &write.status), write))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(phase: Option<Phase>, pods: i32) -> RevisionStatus {
        RevisionStatus {
            phase,
            running_pods: Some(pods),
            ..RevisionStatus::default()
        }
    }

    fn decision(generation: i64, before: RevisionStatus, after: RevisionStatus) -> Decision {
        Decision {
            generation,
            name: generation.to_string(),
            urgency: urgency(&before, &after),
            before,
            status: after,
        }
    }

    /// Generation, phase and pods of each write.
    fn written(plan: &Plan) -> Vec<(i64, Option<Phase>, i32)> {
        let short = |write: &Write| {
            let status = &write.status;
            (
                write.generation,
                status.phase,
                status.running_pods.unwrap_or(-1),
            )
        };
        plan.writes.iter().map(short).collect()
    }

    const UID: Uuid = Uuid::from_u128(1);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn what_settles_is_written_at_once_and_what_passes_is_not() {
        use Phase::{Creating, Degraded, Failed, Initializing, Pending, Running, Terminating};
        for (before, phase, pods, expected) in [
            (status(None, 0), Creating, 0, Urgency::IfItLasts),
            (status(None, 0), Running, 0, Urgency::Now),
            (status(Some(Creating), 0), Pending, 1, Urgency::IfItLasts),
            (status(Some(Running), 2), Terminating, 2, Urgency::IfItLasts),
            (status(Some(Running), 2), Degraded, 2, Urgency::IfItLasts),
            (status(Some(Degraded), 2), Running, 2, Urgency::IfItLasts),
            (status(Some(Initializing), 2), Running, 2, Urgency::Now),
            (status(Some(Initializing), 2), Failed, 2, Urgency::Now),
            (
                status(Some(Initializing), 2),
                Initializing,
                3,
                Urgency::Whenever,
            ),
        ] {
            let after = status(Some(phase), pods);
            assert_eq!(urgency(&before, &after), expected, "{before:?} {after:?}");
        }
        let ready = RevisionStatus {
            first_ready_time: Some(chrono::DateTime::UNIX_EPOCH),
            ..status(Some(Running), 2)
        };
        assert_eq!(urgency(&status(Some(Running), 2), &ready), Urgency::Now);
    }

    #[test]
    fn a_phase_takes_all_numbers_with_it_and_fewer_pods_come_first() {
        let mut rounds = Rounds::default();
        let decisions = vec![
            decision(3, status(None, 0), status(Some(Phase::Creating), 0)),
            decision(
                2,
                status(Some(Phase::Pending), 0),
                status(Some(Phase::Running), 2),
            ),
            decision(
                1,
                status(Some(Phase::Running), 2),
                status(Some(Phase::Terminating), 1),
            ),
        ];
        let plan = rounds.plan(UID, decisions, Instant::now());
        assert_eq!(
            written(&plan),
            [(1, Some(Phase::Running), 1), (2, Some(Phase::Running), 2)],
            "of what only passes the numbers, and nothing of what has no phase yet"
        );
        assert_eq!(plan.again, Some(LASTS));
        assert!(
            rounds
                .plan(UID, Vec::new(), Instant::now())
                .writes
                .is_empty()
        );
        assert_eq!(rounds.len(), 0);
    }

    #[test]
    fn numbers_alone_wait_for_their_round() {
        let mut rounds = Rounds::default();
        let start = Instant::now();
        let one = || {
            vec![decision(
                1,
                status(Some(Phase::Running), 2),
                status(Some(Phase::Running), 3),
            )]
        };
        let first = rounds.plan(UID, one(), start);
        assert_eq!((first.writes.len(), first.again), (0, Some(NUMBERS)));
        let early = rounds.plan(UID, one(), after(start, 11));
        assert_eq!(
            (early.writes.len(), early.again),
            (0, Some(Duration::from_secs(1)))
        );
        let due = rounds.plan(UID, one(), after(start, 12));
        assert_eq!((due.writes.len(), due.again), (1, None));
    }

    #[test]
    fn a_phase_that_flaps_is_not_written() {
        let mut rounds = Rounds::default();
        let start = Instant::now();
        let degraded = || {
            vec![decision(
                1,
                status(Some(Phase::Running), 2),
                status(Some(Phase::Degraded), 2),
            )]
        };
        for second in [0, 4, 9] {
            assert!(
                rounds
                    .plan(UID, degraded(), after(start, second))
                    .writes
                    .is_empty()
            );
            assert!(
                rounds
                    .plan(UID, Vec::new(), after(start, second + 3))
                    .writes
                    .is_empty()
            );
        }
        assert!(
            rounds
                .plan(UID, degraded(), after(start, 20))
                .writes
                .is_empty()
        );
        assert_eq!(
            written(&rounds.plan(UID, degraded(), after(start, 25))),
            [(1, Some(Phase::Degraded), 2)]
        );
    }

    #[test]
    fn what_went_is_forgotten() {
        let mut rounds = Rounds::default();
        rounds.plan(
            UID,
            vec![decision(
                1,
                status(None, 0),
                status(Some(Phase::Creating), 0),
            )],
            Instant::now(),
        );
        rounds.retain(|uid| uid != UID);
        assert_eq!(rounds.len(), 0);
    }
}
