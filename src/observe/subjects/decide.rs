//! Decides the statuses of the Revisions of a workload, from all that is known of it. Pure.

use super::super::judge::Judgement;
use super::super::phase::{Facts, Lifecycle, Others, Ruling, SETTLED, Standing};
use super::super::pod::{Pod, PodState};
use super::super::round::{Urgency, urgency};
use super::super::status::{Completion, Pools, Surroundings, finding, next};
use super::Subjects;
use super::attribution::Attribution;
use super::subject::{Subject, TrackedRevision, Unread};
use crate::revision::{Outcome, Phase, RevisionStatus};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeSet;
use uuid::Uuid;

/// A status that is not what it should be.
#[derive(Debug)]
pub(in super::super) struct Decision {
    pub(in super::super) generation: i64,
    pub(in super::super) name: String,
    /// What is stored.
    pub(in super::super) before: RevisionStatus,
    /// What it should be.
    pub(in super::super) status: RevisionStatus,
    /// How soon that should be.
    pub(in super::super) urgency: Urgency,
}

/// A look at one workload.
struct Look<'a> {
    judgement: &'a Judgement,
    attribution: &'a Attribution,
    pools: &'a Pools,
    now: DateTime<Utc>,
}

/// The Revision after another one, as it was decided.
struct Newer<'a> {
    known: &'a TrackedRevision,
    /// None where it is settled and not kept.
    status: Option<RevisionStatus>,
    is_newest: bool,
}

impl Subjects {
    /// The Revisions of a workload that have to be read before its statuses are decided.
    pub(in super::super) fn unread(
        &self,
        uid: Uuid,
        judgement: &Judgement,
        now: DateTime<Utc>,
    ) -> Vec<Unread> {
        let Some(subject) = self.all.get(&uid) else {
            return Vec::new();
        };
        let attribution = subject.attribution(judgement, now);
        let with_pods: BTreeSet<_> = attribution.keys().copied().collect();
        subject.unread(&with_pods)
    }

    /// The statuses of a workload that are not as they should be.
    pub(in super::super) fn decide(
        &mut self,
        uid: Uuid,
        judgement: &Judgement,
        now: DateTime<Utc>,
    ) -> Vec<Decision> {
        let Self { all, pools, .. } = self;
        let Some(subject) = all.get_mut(&uid) else {
            return Vec::new();
        };
        let attribution = subject.attribution(judgement, now);
        for (generation, known) in &mut subject.revisions {
            known.has_pods = attribution.contains_key(generation);
        }
        let decisions = subject.decide(&Look {
            judgement,
            attribution: &attribution,
            pools,
            now,
        });
        subject.settle();
        self.drop_finished(uid);
        decisions
    }
}

impl Subject {
    /// From the newest to the oldest: how a newer one stands matters to the older ones.
    fn decide(&self, look: &Look<'_>) -> Vec<Decision> {
        let mut all = Vec::new();
        let mut newer: Option<Newer<'_>> = None;
        let mut replaced = false;
        for (&generation, known) in self.revisions.iter().rev() {
            let pods = self.pods_of(look.attribution, generation);
            let is_newest = newer.is_none() && self.head.is_none();
            let standing = match (is_newest, self.serves(look, &pods), replaced) {
                (true, ..) => Standing::Newest,
                (_, true, _) => Standing::Serving,
                (_, _, true) => Standing::Replaced,
                _ => Standing::Superseded,
            };
            let completion = completion(known, newer.as_ref());
            let decision = self.decision(generation, known, standing, completion, &pods, look);
            let status = decision
                .as_ref()
                .map(|decision| &decision.status)
                .or(known.status.as_ref());
            replaced |=
                is_newest && status.is_some_and(|status| status.phase == Some(Phase::Running));
            newer = Some(Newer {
                known,
                status: status.cloned(),
                is_newest,
            });
            all.extend(decision);
        }
        all
    }

    /// None when the stored status says it already, or is settled.
    fn decision(
        &self,
        generation: i64,
        known: &TrackedRevision,
        standing: Standing,
        completion: Completion,
        pods: &[&Pod],
        look: &Look<'_>,
    ) -> Option<Decision> {
        let before = known.status.as_ref()?;
        let facts = self.facts(known, before, standing, pods, look);
        let status = next(
            before,
            &facts,
            &Surroundings {
                pools: look.pools,
                images_unknown: known.images_unknown,
                keys: self.keys_of(pods),
                completion,
            },
        );
        (*before != status).then(|| Decision {
            generation,
            name: known.name.clone(),
            urgency: urgency(before, &status),
            before: before.clone(),
            status,
        })
    }

    fn facts<'a>(
        &'a self,
        known: &'a TrackedRevision,
        before: &'a RevisionStatus,
        standing: Standing,
        pods: &'a [&'a Pod],
        look: &'a Look<'_>,
    ) -> Facts<'a> {
        let newest = standing == Standing::Newest;
        let live = self.live.as_ref();
        let templates = known.templates.as_ref().filter(|_| newest);
        Facts {
            standing,
            lifecycle: self.lifecycle(),
            pods,
            expected: templates
                .and_then(|templates| templates.expected(live.and_then(|live| live.replicas))),
            ruling: if newest {
                &look.judgement.ruling
            } else {
                &Ruling::Silent
            },
            words: look.judgement.words.as_ref().filter(|_| newest),
            others: self.others(look),
            deadline: self.deadline(newest),
            trusted: live.is_some_and(|live| live.observed.is_some()),
            changed: known.changed,
            was_ready: before.first_ready_time.is_some(),
            ready_before: before.ready_pods.unwrap_or(0),
            has_failed: before.phase == Some(Phase::Failed)
                || before.outcome == Some(Outcome::Failed),
            before: finding(before),
            now: look.now,
        }
    }

    fn lifecycle(&self) -> Lifecycle {
        match &self.live {
            _ if self.deleted => Lifecycle::Deleted,
            Some(live) if live.deleting => Lifecycle::Deleting,
            _ => Lifecycle::Live,
        }
    }

    /// Only a rollout has a deadline: a workload that is new may wait for what it needs.
    fn deadline(&self, newest: bool) -> Option<TimeDelta> {
        let deadline = self.kind.progress_deadline?;
        (newest && self.revisions.len() > 1)
            .then(|| TimeDelta::from_std(deadline).ok())
            .flatten()
    }

    /// When time alone may change what is decided: what says nothing of its generation is believed after a while, and a
    /// rollout has a deadline. None once the newest Revision has come through or failed.
    pub(in super::super) fn time_tells(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let known = self.revisions.values().next_back()?;
        let status = known.status.as_ref()?;
        if self.deleted || status.first_ready_time.is_some() || status.outcome.is_some() {
            return None;
        }
        let pods = self.pods.values().filter_map(|pod| match pod.state {
            PodState::Ready(since) => Some(since),
            _ => None,
        });
        let progress = pods.fold(known.changed, DateTime::max);
        let deadline = self.deadline(true).map(|deadline| progress + deadline);
        [Some(known.changed + SETTLED), deadline]
            .into_iter()
            .flatten()
            .map(|at| at + TimeDelta::seconds(1))
            .filter(|at| *at > now)
            .min()
    }

    /// The pods that are not of the newest Revision.
    fn others(&self, look: &Look<'_>) -> Others {
        let newest = self.newest();
        let own = newest.and_then(|newest| look.attribution.get(&newest));
        let current = look.judgement.current.as_deref();
        let serves = |pod: &Pod| {
            let key = pod.key(&self.kind.pods);
            let is_ready = matches!(pod.state, PodState::Ready(_)) && !pod.deleting;
            is_ready && key != current && key.is_some_and(|key| look.serving(key))
        };
        Others {
            are_there: self.pods.len() > own.map_or(0, Vec::len),
            serve: current.is_some() && self.pods.values().any(serves),
        }
    }

    /// Whether the workload's status says that some of these pods serve.
    fn serves(&self, look: &Look<'_>, pods: &[&Pod]) -> bool {
        pods.iter().any(|pod| {
            pod.key(&self.kind.pods)
                .is_some_and(|key| look.serving(key))
        })
    }

    fn pods_of(&self, attribution: &Attribution, generation: i64) -> Vec<&Pod> {
        attribution
            .get(&generation)
            .into_iter()
            .flatten()
            .filter_map(|uid| self.pods.get(uid))
            .collect()
    }

    /// The keys of pods that are known to be those of a Revision: not while a generation is still to be recorded, of
    /// which they may be.
    fn keys_of<'a>(&'a self, pods: &[&'a Pod]) -> Vec<&'a str> {
        if !self.is_recorded() {
            return Vec::new();
        }
        let keys: BTreeSet<_> = pods
            .iter()
            .filter_map(|pod| pod.key(&self.kind.pods))
            .collect();
        keys.into_iter().collect()
    }

    /// Whether the newest Revision is that of the workload as it is now. Generations that changed nothing have none.
    pub(super) fn is_recorded(&self) -> bool {
        let now = self.live.as_ref().map(|live| live.generation);
        now.zip(self.newest())
            .is_some_and(|(now, newest)| now <= newest.max(self.through))
    }
}

impl Look<'_> {
    fn serving(&self, key: &str) -> bool {
        self.judgement.serving.iter().any(|serving| serving == key)
    }
}

/// What completes a Revision: the next one, where that makes the same pods. The newest may still recover from a failure.
fn completion(known: &TrackedRevision, newer: Option<&Newer<'_>>) -> Completion {
    let makes_the_same = |newer: &&Newer<'_>| {
        let both = known.templates.as_ref().zip(newer.known.templates.as_ref());
        both.is_some_and(|(own, others)| own.makes_equal_pods(others))
    };
    let Some(newer) = newer.filter(makes_the_same) else {
        return Completion::None;
    };
    let Some(status) = &newer.status else {
        return Completion::None;
    };
    match status.outcome {
        Some(Outcome::Failed) if newer.is_newest => Completion::Open,
        Some(outcome) => Completion::Ended(outcome, status.first_ready_time),
        None => Completion::Open,
    }
}
