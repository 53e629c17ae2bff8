//! Decides the statuses of the Revisions of a workload, from all that is known of it. Pure.

use super::super::attribute::{Candidate, PodGroup, generation};
use super::super::phase::{Facts, Lifecycle, Ruling, SETTLED, Standing};
use super::super::pod::Pod;
use super::super::status::{Pools, Surroundings, Urgency, finding, next, patch, urgency};
use super::Subjects;
use super::subject::{Subject, TrackedRevision};
use crate::revision::{Phase, RevisionStatus};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// What the programs of the kind file said.
pub(in super::super) struct Judgement {
    /// Of the newest generation.
    pub(in super::super) ruling: Ruling,
    /// The key of the newest generation's pods.
    pub(in super::super) current: Option<String>,
}

/// A status that is not what it should be.
#[derive(Debug)]
pub(in super::super) struct Decision {
    pub(in super::super) generation: i64,
    pub(in super::super) name: String,
    /// What it should be.
    pub(in super::super) status: RevisionStatus,
    /// The merge patch that makes it so.
    pub(in super::super) patch: Value,
    /// How soon that should be.
    pub(in super::super) urgency: Urgency,
    /// Whether it is of the newest.
    pub(in super::super) newest: bool,
}

/// The pods of each generation, in ascending order of their uids.
type Attribution = BTreeMap<i64, Vec<Uuid>>;

impl Subjects {
    /// The statuses of a workload that are not as they should be.
    pub(in super::super) fn decide(
        &mut self,
        uid: Uuid,
        judgement: &Judgement,
        now: DateTime<Utc>,
    ) -> Vec<Decision> {
        let Self { all, pools, .. } = self;
        all.get_mut(&uid)
            .map(|subject| subject.decide(judgement, pools, now))
            .unwrap_or_default()
    }
}

impl Subject {
    fn decide(
        &mut self,
        judgement: &Judgement,
        pools: &Pools,
        now: DateTime<Utc>,
    ) -> Vec<Decision> {
        let mut by_generation = self.attributed(judgement);
        self.share(&mut by_generation, &judgement.ruling, now);
        for (generation, known) in &mut self.revisions {
            known.has_pods = by_generation.contains_key(generation);
        }
        let Some((&newest, known)) = self.revisions.last_key_value() else {
            return Vec::new();
        };
        let own = self.pods_of(&by_generation, newest);
        let facts = self.facts(known, &own, judgement, now);
        let first = decision(newest, known, &facts, pools);
        let status = first
            .as_ref()
            .map(|decision| &decision.status)
            .or(known.status.as_ref());
        let runs = status.is_some_and(|status| status.phase == Some(Phase::Running));
        let standing = if runs {
            Standing::Replaced
        } else {
            Standing::Superseded
        };
        let mut all: Vec<_> = first.into_iter().collect();
        for (&generation, known) in self.revisions.range(..newest) {
            let own = self.pods_of(&by_generation, generation);
            let facts = Facts {
                standing,
                expected: None,
                ruling: &Ruling::Silent,
                ..self.facts(known, &own, judgement, now)
            };
            all.extend(decision(generation, known, &facts, pools));
        }
        all
    }

    fn facts<'a>(
        &self,
        known: &'a TrackedRevision,
        pods: &'a [&'a Pod],
        judgement: &'a Judgement,
        now: DateTime<Utc>,
    ) -> Facts<'a> {
        let live = self.live.as_ref();
        let lifecycle = match live {
            _ if self.deleted => Lifecycle::Deleted,
            Some(live) if live.deleting => Lifecycle::Deleting,
            _ => Lifecycle::Live,
        };
        let templates = known.templates.as_ref();
        let status = known.status.as_ref();
        Facts {
            standing: Standing::Newest,
            lifecycle,
            pods,
            expected: templates
                .and_then(|templates| templates.expected(live.and_then(|live| live.replicas))),
            ruling: &judgement.ruling,
            trusted: live.is_some_and(|live| live.observed.is_some()),
            changed: known.changed,
            was_ready: status.is_some_and(|status| status.first_ready_time.is_some()),
            before: status.and_then(finding),
            now,
        }
    }

    fn pods_of(&self, attribution: &Attribution, generation: i64) -> Vec<&Pod> {
        attribution
            .get(&generation)
            .into_iter()
            .flatten()
            .filter_map(|uid| self.pods.get(uid))
            .collect()
    }

    /// Pods by the generation that they are of.
    fn attributed(&self, judgement: &Judgement) -> Attribution {
        let newest = self
            .revisions
            .last_key_value()
            .map(|(generation, _)| *generation);
        let candidates: Vec<_> = self
            .revisions
            .iter()
            .map(|(generation, known)| known.candidate(*generation))
            .collect();
        // The status speaks of the workload's generation, and that may be newer than what is recorded of it.
        let current = judgement
            .current
            .as_deref()
            .filter(|_| self.is_recorded(newest));
        let file = &self.kind.pods;
        let mut decided: HashMap<(&str, &str), Option<i64>> = HashMap::new();
        let mut attribution = Attribution::new();
        for (uid, pod) in self.pods_in_order() {
            let component = pod.component(file).unwrap_or_default();
            let decide = || generation(&self.group(pod), &candidates, current);
            let of = match pod.key(file) {
                Some(key) => *decided.entry((component, key)).or_insert_with(decide),
                // Without a key each pod stands for itself.
                None => decide(),
            };
            if let Some(generation) = of {
                attribution.entry(generation).or_default().push(uid);
            }
        }
        attribution
    }

    /// Pods in ascending order of their uids, so that the same pods are always told in the same words.
    fn pods_in_order(&self) -> Vec<(Uuid, &Pod)> {
        let mut pods: Vec<_> = self.pods.iter().map(|(uid, pod)| (*uid, pod)).collect();
        pods.sort_unstable_by_key(|(uid, _)| *uid);
        pods
    }

    fn group<'a>(&'a self, pod: &'a Pod) -> PodGroup<'a> {
        let key = pod.key(&self.kind.pods);
        let born = key.and_then(|_| self.born.get(&self.group_name(pod)));
        PodGroup {
            key,
            component: pod.component(&self.kind.pods),
            born: born.copied().unwrap_or(pod.created),
            hashes: &pod.template.hashes,
        }
    }

    /// Whether the newest Revision is that of the workload as it is now. Generations that changed nothing have none.
    fn is_recorded(&self, newest: Option<i64>) -> bool {
        let now = self.live.as_ref().map(|live| live.generation);
        now.zip(newest).is_some_and(|(now, newest)| now == newest)
    }

    /// A change that brings no pods: the workload is content, and only its predecessor's are there.
    fn share(&self, all: &mut Attribution, ruling: &Ruling, now: DateTime<Utc>) {
        let Some((newest, known)) = self.revisions.last_key_value() else {
            return;
        };
        let content = matches!(
            ruling,
            Ruling::Match {
                phase: Phase::Running,
                ..
            }
        );
        if !content || all.contains_key(newest) || now - known.changed < SETTLED {
            return;
        }
        if let Some((_predecessor, pods)) = all.pop_last() {
            all.insert(*newest, pods);
        }
    }
}

impl TrackedRevision {
    fn candidate(&self, generation: i64) -> Candidate<'_> {
        Candidate {
            generation,
            changed: self.changed,
            hashes: &self.hashes,
            templates: self.templates.as_ref(),
        }
    }
}

/// None when the stored status says it already, or is final.
fn decision(
    generation: i64,
    known: &TrackedRevision,
    facts: &Facts<'_>,
    pools: &Pools,
) -> Option<Decision> {
    let before = known.status.as_ref()?;
    let status = next(
        before,
        facts,
        &Surroundings {
            pools,
            images_unknown: known.images_unknown,
        },
    );
    let patch = patch(before, &status)?;
    let urgency = urgency(before, &status);
    Some(Decision {
        generation,
        name: known.name.clone(),
        status,
        patch,
        urgency,
        newest: facts.is_newest(),
    })
}
