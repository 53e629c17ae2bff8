//! The phase of one Revision (section "Phases" of the REST contract). Pure.
//!
//! Pods come first. The workload's own status says what they cannot: that it is stopped, that there is nothing to come,
//! that a rollout was given up or is paused. What is superseded is Running as long as it serves, then Terminating, then
//! Stopped; a failure stays.

use super::pod::{Pod, PodState};
use crate::revision::Phase;
use chrono::{DateTime, TimeDelta, Utc};

/// How far a workload is with its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifecycle {
    /// It is there.
    Live,
    /// Its deletion was asked for.
    Deleting,
    /// It is gone.
    Deleted,
}

/// What the workload's status says of its newest generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// Nothing that a rule of its kind file knows.
    Silent,
    /// A rule matched.
    Match {
        /// Its phase.
        phase: Phase,
        /// In one CamelCase word.
        reason: Option<String>,
        /// For people.
        message: Option<String>,
        /// Since when, where it says that.
        since: Option<DateTime<Utc>>,
    },
    /// It cannot be read, and why.
    Unreadable(String),
}

/// Where a Revision stands among those of its workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the newest.
    Newest,
    /// There is a newer one, and none of those was ready yet.
    Superseded,
    /// A newer one runs.
    Replaced,
}

/// What is known of a Revision.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    /// Where it stands.
    pub(super) standing: Standing,
    /// How far the workload is.
    pub(super) lifecycle: Lifecycle,
    /// Its pods.
    pub(super) pods: &'a [&'a Pod],
    /// How many it should have; none when any number is right.
    pub(super) expected: Option<i64>,
    /// What the workload's status says; of the newest only.
    pub(super) ruling: &'a Ruling,
    /// Whether the status is known to speak of this generation.
    pub(super) trusted: bool,
    /// When the change was made.
    pub(super) changed: DateTime<Utc>,
    /// Whether all of its pods were ready once.
    pub(super) was_ready: bool,
    /// Its phase, reason and message up to now.
    pub(super) before: Option<Finding>,
    /// What the clock says.
    pub(super) now: DateTime<Utc>,
}

impl Facts<'_> {
    /// Whether it is the newest of its workload.
    pub(super) fn is_newest(&self) -> bool {
        self.standing == Standing::Newest
    }
}

/// A phase, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The phase.
    pub(super) phase: Phase,
    /// In one CamelCase word.
    pub(super) reason: Option<String>,
    /// For people.
    pub(super) message: Option<String>,
}

/// What says nothing of which generation it speaks is believed after so long.
pub(super) const SETTLED: TimeDelta = TimeDelta::seconds(30);

impl Finding {
    pub(super) fn new(phase: Phase, reason: &str) -> Self {
        Self {
            phase,
            reason: Some(reason.to_owned()),
            message: None,
        }
    }

    fn because(self, message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            ..self
        }
    }
}

/// The phase of a Revision.
pub(super) fn phase(facts: &Facts<'_>) -> Finding {
    let pods = Counts::of(facts.pods);
    if !facts.is_newest() || facts.lifecycle == Lifecycle::Deleted {
        return ended(facts, &pods);
    }
    if facts.lifecycle == Lifecycle::Deleting {
        return Finding::new(Phase::Deleting, "WorkloadDeleting");
    }
    let stopped = facts.expected == Some(0);
    let found = from_pods(facts, &pods);
    match (found, ruling(facts)) {
        (Some(found), _) if found.phase == Phase::Failed => found,
        (
            Some(_),
            Some(Finding {
                phase: Phase::Stopped | Phase::Stopping,
                reason,
                message,
            }),
        ) => Finding {
            phase: Phase::Stopping,
            reason,
            message,
        },
        (Some(_), Some(ruled)) if ruled.phase == Phase::Failed => ruled,
        (Some(_), None) if stopped => Finding::new(Phase::Stopping, "ScaledToZero"),
        (Some(found), Some(ruled)) if overrules(ruled.phase, found.phase) => ruled,
        (Some(found), _) => found,
        (None, Some(ruled)) => ruled,
        (None, None) => without_pods(facts, stopped),
    }
}

/// A rollout that is paused is not on its way; one that runs with troubles does not just run.
fn overrules(ruled: Phase, found: Phase) -> bool {
    match ruled {
        Phase::Updating => found != Phase::Running,
        Phase::Degraded => found == Phase::Running,
        _ => false,
    }
}

fn without_pods(facts: &Facts<'_>, stopped: bool) -> Finding {
    match facts.ruling {
        Ruling::Unreadable(why) => {
            Finding::new(Phase::Unknown, "StatusUnreadable").because(why.clone())
        }
        _ if stopped => Finding::new(Phase::Stopped, "ScaledToZero"),
        _ => Finding::new(Phase::Creating, "NoPods").because("no pods yet"),
    }
}

/// What the workload's status says, unless that may be of the generation before.
fn ruling(facts: &Facts<'_>) -> Option<Finding> {
    let Ruling::Match {
        phase,
        reason,
        message,
        since,
    } = facts.ruling
    else {
        return None;
    };
    let believed = facts.trusted
        || since.is_some_and(|since| since >= facts.changed)
        || (since.is_none() || *phase != Phase::Failed) && facts.now - facts.changed >= SETTLED;
    // What its user does needs no generation.
    let by_user = matches!(phase, Phase::Stopped | Phase::Stopping);
    let reason = reason
        .clone()
        .or_else(|| by_user.then(|| "StoppedByUser".to_owned()));
    let reason = reason.unwrap_or_else(|| format!("Workload{phase}"));
    (believed || by_user).then(|| Finding {
        phase: *phase,
        reason: Some(reason),
        message: message.clone(),
    })
}

/// Superseded, or its workload is gone.
fn ended(facts: &Facts<'_>, pods: &Counts<'_>) -> Finding {
    if let Some(failed) = facts
        .before
        .as_ref()
        .filter(|before| before.phase == Phase::Failed)
    {
        return failed.clone();
    }
    let deleted = facts.lifecycle == Lifecycle::Deleted;
    let reason = if deleted && facts.is_newest() {
        "WorkloadDeleted"
    } else {
        "Superseded"
    };
    match (pods.present, pods.ready) {
        (0, _) => Finding::new(Phase::Stopped, reason),
        (_, 1..) if !deleted && facts.standing != Standing::Replaced => {
            Finding::new(Phase::Running, "ServesUntilReplaced").because(format!(
                "{} pods serve until its successor is ready",
                pods.ready
            ))
        }
        (present, _) => {
            Finding::new(Phase::Terminating, reason).because(format!("{present} pods are going"))
        }
    }
}

/// Pods by how far they are.
#[derive(Default)]
struct Counts<'a> {
    /// All that are not over.
    present: i64,
    /// Those of them that stay.
    staying: i64,
    ready: i64,
    scheduled: i64,
    succeeded: usize,
    failing: Option<&'a str>,
    unscheduled: Option<&'a str>,
    over: Option<&'a str>,
}

impl<'a> Counts<'a> {
    fn of(pods: &[&'a Pod]) -> Self {
        let mut counts = Self::default();
        for pod in pods {
            counts.present += i64::from(!pod.state.is_over());
            match &pod.state {
                PodState::Succeeded => counts.succeeded += 1,
                PodState::Ended(why) => counts.over = counts.over.or(Some(why)),
                _ if pod.deleting => {}
                PodState::Unscheduled(why) => {
                    counts.staying += 1;
                    counts.unscheduled = counts.unscheduled.or(why.as_deref());
                }
                state => {
                    counts.staying += 1;
                    counts.scheduled += 1;
                    match state {
                        PodState::Ready(_) => counts.ready += 1,
                        PodState::Failing { why, .. } => {
                            counts.failing = counts.failing.or(Some(why));
                        }
                        _ => {}
                    }
                }
            }
        }
        counts
    }
}

/// The phase that the pods tell; none when there are none that tell any.
fn from_pods(facts: &Facts<'_>, pods: &Counts<'_>) -> Option<Finding> {
    if pods.staying == 0 {
        return pods.ended();
    }
    let wanted = facts.expected.unwrap_or(0).max(1);
    let complete = match facts.expected {
        Some(_) => pods.ready >= wanted,
        None => pods.ready == pods.staying,
    };
    let serves = pods.ready > 0;
    if complete && serves {
        let message = format!("{}/{wanted} pods ready", pods.ready);
        return Some(Finding::new(Phase::Running, "PodsReady").because(message));
    }
    let found = pods.failed().unwrap_or_else(|| pods.on_their_way(wanted));
    // A Revision that serves, and whose pods fail or were all ready before, serves with less than it should.
    let is_degraded = serves && (facts.was_ready || pods.failing.is_some());
    let phase = if is_degraded {
        Phase::Degraded
    } else {
        found.phase
    };
    Some(Finding { phase, ..found })
}

impl Counts<'_> {
    /// The finding where all pods have ended.
    fn ended(&self) -> Option<Finding> {
        match self.over {
            Some(why) => Some(Finding::new(Phase::Failed, "PodsFailed").because(why)),
            None if self.succeeded > 0 => Some(Finding::new(Phase::Completed, "PodsSucceeded")),
            None => None,
        }
    }

    /// The finding where a pod fails.
    fn failed(&self) -> Option<Finding> {
        let why = self.failing?;
        Some(Finding::new(Phase::Failed, "ContainersFailing").because(why))
    }

    /// The finding where pods are missing, not scheduled or not ready.
    fn on_their_way(&self, wanted: i64) -> Finding {
        let all = wanted.max(self.staying);
        if self.scheduled < self.staying {
            let why = self
                .unscheduled
                .map_or_else(|| "waiting for the scheduler".to_owned(), scheduling);
            return Finding::new(Phase::Pending, "Unscheduled")
                .because(format!("{}/{all} pods scheduled: {why}", self.scheduled));
        }
        if self.staying < wanted {
            return Finding::new(Phase::Pending, "PodsMissing")
                .because(format!("{}/{wanted} pods made", self.staying));
        }
        Finding::new(Phase::Initializing, "PodsNotReady")
            .because(format!("{}/{all} pods ready", self.ready))
    }
}

/// The scheduler's message in the words that say what to do: what is insufficient, or its first sentence.
fn scheduling(message: &str) -> String {
    let mut lacking: Vec<&str> = Vec::new();
    for (at, word) in message.match_indices("Insufficient ") {
        let rest = &message[at + word.len()..];
        let end = rest.find([',', ' ']).unwrap_or(rest.len());
        let name = rest[..end].trim_end_matches('.');
        if !lacking.contains(&name) {
            lacking.push(name);
        }
    }
    if lacking.is_empty() {
        let end = message.find(". ").unwrap_or(message.len());
        return message[..end].to_owned();
    }
    format!("insufficient {}", lacking.join(", "))
}

#[cfg(test)]
#[path = "phase_tests.rs"]
mod tests;
