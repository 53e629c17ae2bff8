//! Attributes the pods of a workload to its Revisions. Pure.

use super::super::attribute::{Candidate, PodGroup, generation};
use super::super::judge::Judgement;
use super::super::phase::{Ruling, SETTLED};
use super::super::pod::Pod;
use super::subject::{Subject, TrackedRevision};
use crate::revision::Phase;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// The pods of each generation, in ascending order of their uids.
pub(super) type Attribution = BTreeMap<i64, Vec<Uuid>>;

impl Subject {
    /// Pods by the generation that they count for.
    pub(super) fn attribution(&self, judgement: &Judgement, now: DateTime<Utc>) -> Attribution {
        let mut all = self.attributed(judgement);
        self.share(&mut all, &judgement.ruling, now);
        all
    }

    /// Pods by the generation that they are of.
    fn attributed(&self, judgement: &Judgement) -> Attribution {
        let candidates: Vec<_> = self
            .revisions
            .iter()
            .map(|(generation, known)| known.candidate(*generation))
            .collect();
        // The status speaks of the workload's generation, and that may be newer than what is recorded of it.
        let current = judgement.current.as_deref().filter(|_| self.is_recorded());
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

    /// A change that brings no pods of a component: the workload is content with that of a predecessor, which looks like
    /// those that it asks for.
    fn share(&self, all: &mut Attribution, ruling: &Ruling, now: DateTime<Utc>) {
        let Some((&newest, known)) = self.revisions.last_key_value() else {
            return;
        };
        let is_content = matches!(
            ruling,
            Ruling::Match {
                phase: Phase::Running,
                ..
            }
        );
        if !is_content || now - known.changed < SETTLED {
            return;
        }
        let mut covered: BTreeSet<&str> = self.components(all.get(&newest)).collect();
        let mut shared: Vec<Uuid> = Vec::new();
        for (&generation, uids) in all.range_mut(..newest).rev() {
            let older = &self.revisions.get(&generation);
            let taken = |uid: &mut Uuid| {
                let is_shared = |pod: &Pod| {
                    let component = pod.component(&self.kind.pods).unwrap_or_default();
                    let looks_alike = older.is_some_and(|older| known.is_as_like(older, pod));
                    !covered.contains(component) && looks_alike && known.has(component)
                };
                self.pods.get(uid).is_some_and(is_shared)
            };
            let own: Vec<Uuid> = uids.extract_if(.., taken).collect();
            covered.extend(self.components(Some(&own)));
            shared.extend(own);
        }
        all.retain(|_, uids| !uids.is_empty());
        if !shared.is_empty() {
            let own = all.entry(newest).or_default();
            own.extend(shared);
            own.sort_unstable();
        }
    }

    /// The components of pods; one without a name where they have none.
    fn components<'a>(&'a self, uids: Option<&Vec<Uuid>>) -> impl Iterator<Item = &'a str> {
        let pods = uids
            .into_iter()
            .flatten()
            .filter_map(|uid| self.pods.get(uid));
        pods.map(|pod| pod.component(&self.kind.pods).unwrap_or_default())
    }
}

impl TrackedRevision {
    fn candidate(&self, generation: i64) -> Candidate<'_> {
        Candidate {
            generation,
            changed: self.changed,
            hashes: &self.hashes,
            templates: self.templates.as_ref(),
            keys: &self.keys,
        }
    }

    /// Whether a pod looks as much like this Revision as like an older one.
    fn is_as_like(&self, older: &Self, pod: &Pod) -> bool {
        let hashes = &pod.template.hashes;
        self.hashes.likeness(hashes) >= older.hashes.likeness(hashes)
    }

    /// Whether it may have pods of a component.
    fn has(&self, component: &str) -> bool {
        let templates = self.templates.as_ref();
        component.is_empty() || templates.is_none_or(|templates| templates.has(component))
    }
}
