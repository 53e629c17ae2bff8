//! The status of a Revision: what observing owns of it, and what has to be written when it changes. Pure.

use super::phase::{Facts, Finding, phase};
use super::pod::{Pod, PodState};
use crate::quantity::Quantity;
use crate::revision::{Condition, Outcome, Phase, RevisionStatus};
use crate::view::MAX_IMAGES;
use chrono::{DateTime, SubsecRound, Utc};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The pool of a node without a label for it (REST contract).
pub(super) const DEFAULT_POOL: &str = "default";

/// The pool of each node, by name.
pub(super) type Pools = HashMap<Arc<str>, Arc<str>>;

/// What the status is made from beside the facts of the phase.
pub(super) struct Surroundings<'a> {
    /// Pools by node.
    pub(super) pools: &'a Pools,
    /// Whether the object does not name its images.
    pub(super) images_unknown: bool,
}

/// The fields of `status` that observing owns; those of recording stay empty.
pub(super) fn own(status: &RevisionStatus) -> RevisionStatus {
    RevisionStatus {
        observed_through: None,
        workload_deletion_time: None,
        workload_end_unknown: false,
        ..status.clone()
    }
}

/// The phase in a stored status.
pub(super) fn finding(status: &RevisionStatus) -> Option<Finding> {
    Some(Finding {
        phase: status.phase?,
        reason: status.reason.clone(),
        message: status.message.clone(),
    })
}

/// Whether nothing can change this status any more, of a Revision that is superseded or whose workload is deleted.
pub(super) fn is_final(status: &RevisionStatus, deleted: bool) -> bool {
    let over = matches!(status.phase, Some(Phase::Stopped | Phase::Failed));
    let superseded = find(status, "Superseded", "True").is_some();
    over && status.outcome.is_some()
        && status.running_pods.unwrap_or(0) == 0
        && (deleted || superseded)
}

/// The status that follows.
pub(super) fn next(
    before: &RevisionStatus,
    facts: &Facts<'_>,
    around: &Surroundings<'_>,
) -> RevisionStatus {
    let Finding {
        phase,
        reason,
        message,
    } = phase(facts);
    let pods = Held::by(facts.pods, around.pools);
    let same = before.phase == Some(phase);
    let first_ready_time = before
        .first_ready_time
        .or_else(|| first_ready(facts, phase));
    let mut status = RevisionStatus {
        phase: Some(phase),
        phase_time: before
            .phase_time
            .filter(|_| same)
            .or(Some(seconds(facts.now))),
        outcome: outcome(facts, phase, first_ready_time.is_some()),
        first_ready_time,
        running_pods: Some(pods.running),
        ready_pods: Some(pods.ready),
        node_pools: pods.pools.iter().map(ToString::to_string).collect(),
        allocated: pods
            .allocated
            .iter()
            .map(|(name, amount)| ((*name).to_owned(), amount.to_string()))
            .collect(),
        images: if pods.images.is_empty() || !around.images_unknown {
            before.images.clone()
        } else {
            pods.images
        },
        conditions: conditions(before, facts, phase, reason.as_deref(), message.as_deref()),
        reason,
        message,
        observed_through: None,
        workload_deletion_time: None,
        workload_end_unknown: false,
    };
    status.fit();
    status
}

fn seconds(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(0)
}

/// When its last pod became ready; pods that it shares may have been ready before.
fn first_ready(facts: &Facts<'_>, phase: Phase) -> Option<DateTime<Utc>> {
    if phase != Phase::Running || !facts.is_newest() {
        return None;
    }
    let since = facts.pods.iter().filter_map(|pod| match pod.state {
        PodState::Ready(since) => Some(since),
        _ => None,
    });
    Some(
        since
            .max()
            .map_or(seconds(facts.now), |since| since.max(facts.changed)),
    )
}

/// None as long as it is open.
fn outcome(facts: &Facts<'_>, phase: Phase, was_ready: bool) -> Option<Outcome> {
    let over = !facts.is_newest() || facts.lifecycle == super::phase::Lifecycle::Deleted;
    match phase {
        Phase::Failed => Some(Outcome::Failed),
        _ if was_ready => Some(Outcome::Succeeded),
        Phase::Completed => Some(Outcome::Succeeded),
        // Pods that come up late may still be a success.
        _ if over && phase == Phase::Stopped => Some(Outcome::NeverReady),
        _ => None,
    }
}

fn conditions(
    before: &RevisionStatus,
    facts: &Facts<'_>,
    phase: Phase,
    reason: Option<&str>,
    message: Option<&str>,
) -> Vec<Condition> {
    let reason = reason.unwrap_or(phase.as_str());
    let superseded = !facts.is_newest();
    let standing = if superseded {
        "NewerRevision"
    } else {
        "Newest"
    };
    [
        condition("Ready", ready(phase), reason, message),
        condition("Progressing", truth(is_progressing(phase)), reason, None),
        condition("Superseded", truth(superseded), standing, None),
    ]
    .map(|condition| Condition {
        last_transition_time: find(before, &condition.r#type, &condition.status)
            .and_then(|known| known.last_transition_time)
            .or(Some(seconds(facts.now))),
        ..condition
    })
    .into()
}

/// The condition of that type and value in a stored status.
fn find<'a>(status: &'a RevisionStatus, r#type: &str, value: &str) -> Option<&'a Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.r#type == r#type && condition.status == value)
}

fn condition(r#type: &str, status: &str, reason: &str, message: Option<&str>) -> Condition {
    Condition {
        r#type: r#type.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: message.map(str::to_owned),
        last_transition_time: None,
    }
}

fn ready(phase: Phase) -> &'static str {
    match phase {
        Phase::Unknown => "Unknown",
        _ => truth(matches!(phase, Phase::Running | Phase::Completed)),
    }
}

fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

fn is_progressing(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Creating | Phase::Pending | Phase::Initializing | Phase::Resuming | Phase::Updating
    )
}

/// Resources that pods hold.
#[derive(Default)]
struct Held<'a> {
    running: i32,
    ready: i32,
    pools: BTreeSet<&'a str>,
    allocated: BTreeMap<&'a str, Quantity>,
    images: Vec<String>,
}

impl<'a> Held<'a> {
    fn by(pods: &[&'a Pod], pools: &'a Pools) -> Self {
        let mut held = Self::default();
        for pod in pods.iter().filter(|pod| !pod.state.is_over()) {
            held.add(pod, pools);
        }
        held.images.sort();
        held
    }

    fn add(&mut self, pod: &'a Pod, pools: &'a Pools) {
        let counts = !pod.deleting;
        self.running += i32::from(counts && pod.state.is_running());
        self.ready += i32::from(counts && matches!(pod.state, PodState::Ready(_)));
        if let Some(image) = &pod.template.image
            && self.images.len() < MAX_IMAGES
            && !self.images.contains(image)
        {
            self.images.push(image.clone());
        }
        let Some(node) = &pod.node else { return };
        self.pools
            .insert(pools.get(node).map_or(DEFAULT_POOL, |pool| pool));
        for (name, amount) in &pod.template.requests {
            let sum = self.allocated.entry(name).or_default();
            *sum = *sum + *amount;
        }
    }
}

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
        )
    );
    match before.phase == after.phase {
        _ if before.phase.is_none() => Urgency::Now,
        false if passes => Urgency::IfItLasts,
        true if before.outcome == after.outcome
            && before.first_ready_time == after.first_ready_time =>
        {
            Urgency::Whenever
        }
        _ => Urgency::Now,
    }
}

/// The JSON merge patch (RFC 7386) of `status` from one to the other; none when they are equal.
pub(super) fn patch(before: &RevisionStatus, after: &RevisionStatus) -> Option<Value> {
    let changed = merge(&value(before), &value(after))?;
    Some(json!({ "status": changed }))
}

fn value(status: &RevisionStatus) -> Value {
    // Plain data with text keys always serializes.
    serde_json::to_value(status).unwrap_or_default()
}

fn merge(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let mut patch = Map::new();
    for (key, value) in new {
        let changed = old
            .get(key)
            .map_or_else(|| Some(value.clone()), |old| merge(old, value));
        patch.extend(changed.map(|changed| (key.clone(), changed)));
    }
    patch.extend(
        old.keys()
            .filter(|key| !new.contains_key(*key))
            .map(|key| (key.clone(), Value::Null)),
    );
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
