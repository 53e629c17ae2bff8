//! Pods by how far they are, and the phase that they tell. Pure.

use super::super::pod::{Pod, PodState};
use super::Finding;
use crate::revision::Phase;

/// The reason of a failure: containers that cannot go on.
pub(super) const CONTAINERS_FAILING: &str = "ContainersFailing";
/// The reason of a failure: pods that have ended.
pub(super) const PODS_FAILED: &str = "PodsFailed";

/// Pods by how far they are.
#[derive(Default)]
pub(super) struct Counts<'a> {
    /// All that are not over.
    pub(super) present: i64,
    /// Those of them that stay.
    pub(super) staying: i64,
    pub(super) ready: i64,
    scheduled: i64,
    succeeded: usize,
    failing: Option<&'a str>,
    unscheduled: Option<&'a str>,
    over: Option<&'a str>,
}

impl<'a> Counts<'a> {
    pub(super) fn of(pods: &[&'a Pod]) -> Self {
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

impl Counts<'_> {
    /// The finding where all pods have ended.
    pub(super) fn ended(&self) -> Option<Finding> {
        match self.over {
            Some(why) => Some(Finding::new(Phase::Failed, PODS_FAILED).because(why)),
            None if self.succeeded > 0 => Some(Finding::new(Phase::Completed, "PodsSucceeded")),
            None => None,
        }
    }

    /// The finding where as many pods are ready as should be; others that fail are said.
    pub(super) fn complete(&self, wanted: i64) -> Finding {
        let mut message = format!("{}/{wanted} pods ready", self.ready);
        if let Some(why) = self.failing {
            message.push_str("; another one fails: ");
            message.push_str(why);
        }
        Finding::new(Phase::Running, "PodsReady").because(message)
    }

    /// The finding where a pod fails.
    pub(super) fn failed(&self) -> Option<Finding> {
        let why = self.failing?;
        Some(Finding::new(Phase::Failed, CONTAINERS_FAILING).because(why))
    }

    /// The finding where pods are missing, not scheduled or not ready.
    pub(super) fn on_their_way(&self, wanted: i64) -> Finding {
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
mod tests {
    use super::*;

    #[test]
    fn the_schedulers_words_are_cut_to_what_to_do() {
        for (message, expected) in [
            (
                "0/4 nodes are available: 4 Insufficient nvidia.com/gpu. preemption: x",
                "insufficient nvidia.com/gpu",
            ),
            (
                "0/4 nodes are available: 1 Insufficient cpu, 3 Insufficient memory, 1 Insufficient cpu.",
                "insufficient cpu, memory",
            ),
            (
                "0/4 nodes are available: 4 node(s) didn't match Pod's node affinity/selector. preemption: 0/4",
                "0/4 nodes are available: 4 node(s) didn't match Pod's node affinity/selector",
            ),
            ("", ""),
        ] {
            assert_eq!(scheduling(message), expected);
        }
    }
}
