//! The status of a Revision: what observing owns of it, and what has to be written when it changes. Pure.

use super::phase::{Facts, Finding, phase};
use super::pod::{Pod, PodState};
use crate::quantity::Quantity;
use crate::revision::limits::{MAX_IMAGES, MAX_KEYS};
use crate::revision::{Condition, Outcome, Phase, RevisionStatus};
use chrono::{DateTime, SubsecRound, Utc};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The pool of a node without a label for it (REST contract).
pub(super) const DEFAULT_POOL: &str = "default";

/// The pool of each node, by name.
pub(super) type Pools = HashMap<Arc<str>, Arc<str>>;

/// The outcome of the change that completes this one: the next Revision, where it makes the same pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Completion {
    /// The next Revision makes other pods, or there is none.
    #[default]
    None,
    /// It is not decided yet.
    Open,
    /// It is decided, and its pods were all ready at this time.
    Ended(Outcome, Option<DateTime<Utc>>),
}

/// What the status is made from beside the facts of the phase.
pub(super) struct Surroundings<'a> {
    /// Pools by node.
    pub(super) pools: &'a Pools,
    /// Whether the object does not name its images.
    pub(super) images_unknown: bool,
    /// The keys of its pods, where they are known to be its own.
    pub(super) keys: Vec<&'a str>,
    /// The change that completes this one.
    pub(super) completion: Completion,
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

/// Whether nothing but pods can change this status, of a Revision that is superseded or whose workload is deleted.
pub(super) fn is_settled(status: &RevisionStatus, deleted: bool) -> bool {
    let over = matches!(status.phase, Some(Phase::Stopped | Phase::Failed));
    let superseded = find(status, "Superseded", "True").is_some();
    let pods = [status.running_pods, status.ready_pods];
    over && status.outcome.is_some()
        && pods.into_iter().all(|pods| pods.unwrap_or(0) == 0)
        && status.node_pools.is_empty()
        && status.allocated.is_empty()
        && (deleted || superseded)
}

/// Whether pods count for it.
pub(super) fn counts_pods(status: &RevisionStatus) -> bool {
    let pods = [status.running_pods, status.ready_pods];
    pods.into_iter().flatten().any(|pods| pods > 0) || !status.allocated.is_empty()
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
        .or_else(|| first_ready(facts, phase))
        .or(match around.completion {
            Completion::Ended(_, ready) => ready,
            _ => None,
        });
    let mut status = RevisionStatus {
        phase: Some(phase),
        phase_time: before
            .phase_time
            .filter(|_| same)
            .or(Some(seconds(facts.now))),
        outcome: outcome(before, facts, phase, first_ready_time.is_some())
            .or_else(|| over(facts, phase, around.completion)),
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
        pod_keys: pod_keys(&before.pod_keys, &around.keys),
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

/// None as long as it is open. Once a Revision is superseded, its outcome stays.
fn outcome(
    before: &RevisionStatus,
    facts: &Facts<'_>,
    phase: Phase,
    was_ready: bool,
) -> Option<Outcome> {
    match phase {
        _ if !facts.is_newest() && before.outcome.is_some() => before.outcome,
        Phase::Failed => Some(Outcome::Failed),
        _ if was_ready => Some(Outcome::Succeeded),
        Phase::Completed => Some(Outcome::Succeeded),
        _ => None,
    }
}

/// The outcome of a Revision without any whose time is over: that of the change that completes it. Pods that come up
/// late may still be a success.
fn over(facts: &Facts<'_>, phase: Phase, completion: Completion) -> Option<Outcome> {
    let deleted = facts.lifecycle == super::phase::Lifecycle::Deleted;
    if phase != Phase::Stopped || (facts.is_newest() && !deleted) {
        return None;
    }
    match completion {
        Completion::Ended(outcome, _) => Some(outcome),
        Completion::Open if !deleted => None,
        _ => Some(Outcome::NeverReady),
    }
}

/// The keys that are stored, and those that are new; the newest ones, where there are many.
fn pod_keys(stored: &[String], keys: &[&str]) -> Vec<String> {
    let new = keys
        .iter()
        .filter(|key| !stored.iter().any(|known| known == *key));
    let mut all: Vec<_> = stored
        .iter()
        .cloned()
        .chain(new.map(|key| (*key).to_owned()))
        .collect();
    all.split_off(all.len().saturating_sub(MAX_KEYS))
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
