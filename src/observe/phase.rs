//! The phase of one Revision (section "Phases" of the REST contract). Pure.
//!
//! Pods come first. The workload's own status says what they cannot: that it is stopped, that there is nothing to come,
//! that a rollout was given up or is paused. What is superseded is Running as long as it serves, then Terminating, then
//! Stopped; a failure stays while it has no ready pods.

mod counts;
mod facts;

use crate::revision::Phase;
use chrono::{DateTime, TimeDelta, Utc};
use counts::Counts;
pub(super) use facts::{Facts, Lifecycle, Others, Ruling, Standing, Words};

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
    let ruled = ruling(facts);
    let found = match from_pods(facts, &pods) {
        Some(found) => with_pods(facts, found, ruled),
        None => still_going(without_pods(facts, ruled), &pods),
    };
    with_cause(facts, overdue(facts, found))
}

fn with_pods(facts: &Facts<'_>, found: Finding, ruled: Option<Finding>) -> Finding {
    let stopped = facts.expected == Some(0);
    match ruled {
        _ if found.phase == Phase::Failed => found,
        Some(ruled) if matches!(ruled.phase, Phase::Stopped | Phase::Stopping) => Finding {
            phase: Phase::Stopping,
            ..ruled
        },
        _ if stopped => Finding::new(Phase::Stopping, "ScaledToZero"),
        Some(ruled) if ruled.phase == Phase::Failed => ruled,
        Some(ruled) if overrules(facts, ruled.phase, found.phase) => ruled,
        _ => found,
    }
}

/// A rollout that is paused is not on its way, nor through while others serve; one that runs with troubles does not
/// just run.
fn overrules(facts: &Facts<'_>, ruled: Phase, found: Phase) -> bool {
    match ruled {
        Phase::Updating => found != Phase::Running || facts.others.serve,
        Phase::Degraded => found == Phase::Running,
        _ => false,
    }
}

fn without_pods(facts: &Facts<'_>, ruled: Option<Finding>) -> Finding {
    let by_user = |ruled: &Finding| matches!(ruled.phase, Phase::Stopped | Phase::Stopping);
    let stopped = facts.expected == Some(0);
    match (ruled, facts.ruling) {
        (Some(ruled), _) if by_user(&ruled) => ruled,
        (_, Ruling::Unreadable(why)) => {
            Finding::new(Phase::Unknown, "StatusUnreadable").because(why.clone())
        }
        _ if stopped => Finding::new(Phase::Stopped, "ScaledToZero"),
        (Some(ruled), _) if ruled.phase != Phase::Running || !facts.is_said_of_others() => ruled,
        _ => no_pods(facts),
    }
}

/// What is stopped and still has pods that are going is stopping: they hold what they held.
fn still_going(found: Finding, pods: &Counts<'_>) -> Finding {
    let is_going = found.phase == Phase::Stopped && pods.present > 0;
    Finding {
        phase: if is_going {
            Phase::Stopping
        } else {
            found.phase
        },
        ..found
    }
}

/// There are no pods, and there should be some.
fn no_pods(facts: &Facts<'_>) -> Finding {
    let missing = facts.expected.filter(|_| facts.was_ready);
    let phase = match missing {
        Some(_) if facts.resumes() => Phase::Resuming,
        Some(_) => Phase::Degraded,
        None => Phase::Creating,
    };
    match facts.words.filter(|words| believed(facts, words.since)) {
        Some(words) => Finding {
            phase,
            reason: Some(words.reason.clone()),
            message: words.message.clone(),
        },
        None => Finding::new(phase, "NoPods").because(missing.map_or_else(
            || "no pods yet".to_owned(),
            |pods| format!("0/{pods} pods made"),
        )),
    }
}

/// A rollout that makes no progress for too long has failed.
fn overdue(facts: &Facts<'_>, found: Finding) -> Finding {
    let is_under_way = matches!(
        found.phase,
        Phase::Creating | Phase::Pending | Phase::Initializing
    );
    let waited = facts.now - facts.progressed();
    match facts.deadline {
        Some(deadline) if is_under_way && !facts.was_ready && waited >= deadline => {
            let minutes = deadline.num_minutes();
            let told = found.message.unwrap_or_else(|| "not ready".to_owned());
            Finding::new(Phase::Failed, "ProgressDeadlineExceeded")
                .because(format!("{told}; no progress for {minutes} minutes"))
        }
        _ => found,
    }
}

/// Stands between the cause of a failure and what came of it.
const AFTERWARDS: &str = " (afterwards: ";

/// A rollout that was given up says so, and nothing of why: what its pods said before is the cause.
fn with_cause(facts: &Facts<'_>, found: Finding) -> Finding {
    let is_cause = |before: &&Finding| {
        before.phase == Phase::Failed && before.reason.as_deref().is_some_and(is_of_pods)
    };
    let Some(before) = facts.before.as_ref().filter(is_cause) else {
        return found;
    };
    if found.phase != Phase::Failed || found.reason.as_deref().is_some_and(is_of_pods) {
        return found;
    }
    let told = before.message.as_deref().unwrap_or_default();
    let cause = told.split(AFTERWARDS).next().unwrap_or_default();
    let then = found.message.or(found.reason).unwrap_or_default();
    Finding {
        message: Some(format!("{cause}{AFTERWARDS}{then})")),
        ..before.clone()
    }
}

/// Whether pods have given this reason for a failure.
fn is_of_pods(reason: &str) -> bool {
    [counts::CONTAINERS_FAILING, counts::PODS_FAILED].contains(&reason)
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
    let settled = facts.now - facts.changed >= SETTLED;
    let believed =
        believed(facts, *since) || settled && (since.is_none() || *phase != Phase::Failed);
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

/// Whether what is said since then is of this generation.
fn believed(facts: &Facts<'_>, since: Option<DateTime<Utc>>) -> bool {
    facts.trusted || since.is_some_and(|since| since >= facts.changed)
}

/// Superseded, or its workload is gone.
fn ended(facts: &Facts<'_>, pods: &Counts<'_>) -> Finding {
    let deleted = facts.lifecycle == Lifecycle::Deleted;
    if facts.has_failed && (deleted || pods.ready == 0) {
        return failed_before(facts);
    }
    let reason = if deleted && facts.is_newest() {
        "WorkloadDeleted"
    } else {
        "Superseded"
    };
    match (pods.present, pods.ready) {
        (0, _) => Finding::new(Phase::Stopped, reason),
        (_, ready @ 1..) if !deleted && facts.standing == Standing::Serving => {
            Finding::new(Phase::Running, "ServesTraffic").because(format!("{ready} pods serve"))
        }
        (_, ready @ 1..) if !deleted && facts.standing != Standing::Replaced => {
            Finding::new(Phase::Running, "ServesUntilReplaced")
                .because(format!("{ready} pods serve until its successor is ready"))
        }
        (present, _) => {
            Finding::new(Phase::Terminating, reason).because(format!("{present} pods are going"))
        }
    }
}

/// A failure stays.
fn failed_before(facts: &Facts<'_>) -> Finding {
    let before = facts.before.as_ref();
    before
        .filter(|before| before.phase == Phase::Failed)
        .cloned()
        .unwrap_or_else(|| {
            Finding::new(Phase::Failed, "FailedBefore").because("it had failed before its end")
        })
}

/// The phase that the pods tell; none when there are none that tell any.
fn from_pods(facts: &Facts<'_>, pods: &Counts<'_>) -> Option<Finding> {
    if pods.staying == 0 {
        return pods.ended().map(|found| replaced(facts, found));
    }
    let wanted = facts.expected.unwrap_or(0).max(1);
    let complete = match facts.expected {
        Some(_) => pods.ready >= wanted,
        None => pods.ready == pods.staying,
    };
    if complete && pods.ready > 0 {
        return Some(pods.complete(wanted));
    }
    let found = pods.failed().unwrap_or_else(|| pods.on_their_way(wanted));
    Some(Finding {
        phase: incomplete(facts, pods, found.phase),
        ..found
    })
}

/// What is wrong where pods are missing or not ready. A Revision that serves and whose pods fail, or that had more pods
/// ready before, serves with less than it should.
fn incomplete(facts: &Facts<'_>, pods: &Counts<'_>, found: Phase) -> Phase {
    let serves = pods.ready > 0;
    match found {
        Phase::Failed if serves => Phase::Degraded,
        Phase::Failed => Phase::Failed,
        _ if facts.resumes() => Phase::Resuming,
        _ if facts.was_ready && serves || facts.has_lost_pods() => Phase::Degraded,
        found => found,
    }
}

/// Pods that were lost are made again: that is a failure only where none was ready before.
fn replaced(facts: &Facts<'_>, found: Finding) -> Finding {
    let is_lost = found.phase == Phase::Failed && facts.was_ready && !facts.has_failed;
    Finding {
        phase: if is_lost {
            Phase::Degraded
        } else {
            found.phase
        },
        ..found
    }
}

#[cfg(test)]
#[path = "phase_tests.rs"]
mod tests;
