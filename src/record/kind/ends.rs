//! What the history of a workload cannot hold, and its end.

use super::super::gap::gap;
use super::super::queue::Write;
use super::super::tracked::{Content, Tracked};
use super::KindRecorder;
use crate::clock;
use crate::json::Document;
use crate::metrics::{kind, kind_reason};
use crate::revision::Observed;
use crate::watch::{Lost, Need, Reason, Recorded};
use crate::workload::{Change, ResourceVersion};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A workload that is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// The last generation that was seen or recorded, and where.
    pub(super) generation: i64,
    at: ResourceVersion,
    /// Whether this process was watching when it went.
    pub(super) seen: bool,
}

impl KindRecorder {
    /// What an earlier process recorded.
    pub(super) fn take_over(&mut self) {
        for (uid, head) in self
            .recorder
            .heads
            .hand_over(&self.kind.group, &self.kind.kind)
        {
            let deleted = head.deleted;
            let tracked = Tracked::recorded(head);
            if deleted {
                let (generation, at) = (tracked.generation, tracked.at);
                self.ended.insert(
                    uid,
                    Ended {
                        generation,
                        at,
                        seen: false,
                    },
                );
            } else {
                self.workloads.insert(uid, tracked);
            }
        }
    }

    /// What a list shows and nobody knows; or, against all that is recorded, it is not gone.
    pub(super) fn origin(&self, change: &Change) -> Need {
        match self.ended.get(&change.uid) {
            None => Need::Origin,
            Some(ended) if ended.seen => Need::Rewound,
            Some(ended) if ended.generation >= change.generation => Need::Nothing,
            Some(&Ended { generation, at, .. }) => Need::After {
                generation,
                at,
                refresh: false,
            },
        }
    }

    /// What this process has seen itself is beyond doubt. A list shows the present, a watch may show the past.
    pub(super) fn is_contradicted(&self, change: &Change) -> bool {
        let later =
            |at: ResourceVersion| change.seen == Observed::List || change.resource_version > at;
        let younger = |tracked: &Tracked| {
            tracked.seen && change.generation < tracked.generation && later(tracked.at)
        };
        let back = |ended: &Ended| ended.seen && later(ended.at);
        self.workloads.get(&change.uid).is_some_and(younger)
            || self.ended.get(&change.uid).is_some_and(back)
    }

    /// What of it is not known. Once a workload was not selected, everything since then counts as that.
    pub(super) fn clipped(&self, mut lost: Lost) -> Option<Lost> {
        let tracked = self.workloads.get(&lost.uid);
        let (from, to) = lost.generations.into_inner();
        let ended = self
            .ended
            .get(&lost.uid)
            .map_or(0, |ended| ended.generation);
        let from = match tracked.map(|tracked| (tracked.deselected, tracked.generation)) {
            Some((Some(first), _)) => {
                lost.reason = Reason::NotSelected;
                first
            }
            Some((None, known)) => from.max(known + 1),
            None => from.max(ended + 1),
        };
        lost.generations = from..=to;
        let known = tracked.map_or(ended, |tracked| tracked.generation);
        (to > known).then_some(lost)
    }

    /// Writes down generations that cannot be had.
    pub(super) async fn close(&mut self, lost: Lost) {
        let generations = lost.generations.end() - lost.generations.start() + 1;
        let labels = kind_reason(&self.kind.kind, lost.reason.as_str());
        let metrics = &self.recorder.metrics;
        metrics
            .gap_generations
            .get_or_create(&labels)
            .inc_by(generations.unsigned_abs());
        let revision = gap(&self.kind.kind, &lost, clock::now());
        if lost.reason != Reason::NotSelected {
            metrics
                .lost
                .get_or_create(&labels)
                .inc_by(generations.unsigned_abs());
            let (from, to, why) = (
                lost.generations.start(),
                lost.generations.end(),
                lost.reason.explain(),
            );
            let (namespace, name, reason) = (&lost.namespace, &lost.name, lost.reason.as_str());
            tracing::error!(
                kind = self.kind.kind,
                namespace,
                name,
                from,
                to,
                reason,
                "generations cannot be recorded"
            );
            let note = format!("Generations {from} to {to} are not recorded: {why}");
            self.recorder
                .reporter
                .warn(&revision, "GenerationsLost", note);
        }
        let tracked = Tracked {
            namespace: lost.namespace.clone(),
            name: lost.name.clone(),
            generation: *lost.generations.end(),
            at: lost.at,
            seen: true,
            revision: revision.metadata.name.clone().unwrap_or_default(),
            only_gap: self
                .workloads
                .get(&lost.uid)
                .is_none_or(|tracked| tracked.only_gap),
            deselected: None,
            content: Content::default(),
            fingerprints: Vec::new(),
        };
        self.workloads.insert(lost.uid, tracked);
        self.hand_in(
            lost.uid,
            lost.at,
            self.recorder.quiet.overtaken(lost.uid),
            Write::Create(Box::new(revision), None),
        )
        .await;
    }

    /// A workload is gone: its newest Revision says when.
    pub(super) async fn ended(
        &mut self,
        uid: Uuid,
        at: ResourceVersion,
        asked: Option<DateTime<Utc>>,
        seen: bool,
    ) {
        self.ignored.remove(&uid);
        let Some(tracked) = self.workloads.remove(&uid) else {
            return;
        };
        self.ended.insert(
            uid,
            Ended {
                generation: tracked.generation,
                at: at.max(tracked.at),
                seen,
            },
        );
        let mut patch = self.status(&tracked, uid);
        patch.deletion_time = Some(asked.unwrap_or_else(clock::now));
        let quiet = self.recorder.quiet.overtaken(uid);
        if quiet.is_some() {
            patch = patch.through(tracked.generation, tracked.at);
        }
        self.hand_in(uid, at, quiet, Write::Status(patch)).await;
    }

    /// How a workload ended is compacted, and with it the generations that it may have had before.
    pub(super) fn end_unknown(&self, recorded: &Recorded) {
        let Recorded {
            namespace,
            name,
            generation,
            ..
        } = recorded;
        let kind = &self.kind.kind;
        tracing::warn!(
            kind,
            namespace,
            name,
            generation,
            "this workload is gone, and what it was after this generation is compacted"
        );
        let note = format!(
            "{kind} {namespace}/{name} was deleted; whether it was changed after generation {generation} cannot be known: \
             etcd's history was compacted"
        );
        self.recorder.reporter.tell("EndUnknown", note);
    }

    /// An object that is not selected is remembered only if it was recorded before.
    pub(super) fn pass_over(&mut self, change: &Change) {
        let Some(tracked) = self.workloads.get(&change.uid) else {
            self.ignored.insert(change.uid);
            return;
        };
        let first = tracked.generation + 1;
        self.deselect(change.uid, first);
        if let Some(tracked) = self.workloads.get_mut(&change.uid) {
            (tracked.generation, tracked.at) = (change.generation, change.resource_version);
        }
        self.recorder
            .metrics
            .holes
            .get_or_create(&kind_reason(&self.kind.kind, "NotSelected"))
            .inc();
    }

    pub(super) fn deselect(&mut self, uid: Uuid, first: i64) {
        if let Some(tracked) = self.workloads.get_mut(&uid) {
            tracked.deselected.get_or_insert(first);
        }
    }

    /// What happened while a workload was not selected is not recorded, and that is said once it is selected again.
    pub(super) async fn reselect(&mut self, change: &Change) {
        let Some(tracked) = self.workloads.get_mut(&change.uid) else {
            return;
        };
        let Some(from) = tracked.deselected.take() else {
            return;
        };
        tracked.content = Content::default();
        let generations = from..=change.generation - 1;
        if generations.is_empty() {
            return;
        }
        let lost = Lost {
            uid: change.uid,
            namespace: change.namespace.clone(),
            name: change.name.clone(),
            generations,
            reason: Reason::NotSelected,
            at: change.resource_version.before(),
            api_version: change.resource.api_version(),
        };
        self.close(lost).await;
    }

    pub(super) fn not_seen(&self, change: &Change, generations: i64) {
        let labels = kind_reason(&self.kind.kind, "NotSeen");
        self.recorder
            .metrics
            .holes
            .get_or_create(&labels)
            .inc_by(generations.unsigned_abs());
        tracing::debug!(
            kind = self.kind.kind,
            namespace = change.namespace,
            name = change.name,
            generation = change.generation,
            missing = generations,
            "generations were not seen; reading them back"
        );
    }

    /// The content of a generation never moves, unless the kind's definition did.
    pub(super) fn drifted(&self, change: &Change) {
        self.recorder
            .metrics
            .drift
            .get_or_create(&kind(&self.kind.kind))
            .inc();
        tracing::warn!(
            kind = self.kind.kind,
            namespace = change.namespace,
            name = change.name,
            generation = change.generation,
            "the content differs from the recorded one at the same generation; the recorded one stays"
        );
    }

    pub(super) async fn undecodable(&mut self, change: &Change, error: &str) {
        self.recorder
            .metrics
            .undecodable
            .get_or_create(&kind(&self.kind.kind))
            .inc();
        let Change {
            namespace,
            name,
            generation,
            ..
        } = change;
        tracing::error!(
            kind = self.kind.kind,
            namespace,
            name,
            generation,
            error,
            "this generation could not be read"
        );
        let lost = Lost {
            uid: change.uid,
            namespace: namespace.clone(),
            name: name.clone(),
            generations: *generation..=*generation,
            reason: Reason::Undecodable,
            at: change.resource_version,
            api_version: change.resource.api_version(),
        };
        self.close(lost).await;
    }
}

/// When the deletion of a workload that is gone was asked for; none when it went at once.
pub(super) fn deletion_time(gone: &Change) -> Option<DateTime<Utc>> {
    let document = Document::parse(gone.raw.get()).ok()?;
    let time = document
        .root()
        .at(&["metadata", "deletionTimestamp"])?
        .as_str()?;
    DateTime::parse_from_rfc3339(time)
        .ok()
        .map(|time| time.to_utc())
}
