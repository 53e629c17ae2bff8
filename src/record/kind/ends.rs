//! Generations that the history of a workload cannot hold, and its end.

use super::super::gap::gap;
use super::super::queue::Write;
use super::super::tracked::Tracked;
use super::KindRecorder;
use crate::clock;
use crate::history::subtract;
use crate::json::Document;
use crate::kinds::GroupKind;
use crate::metrics::{kind, kind_reason};
use crate::mutant::{self, Mutant};
use crate::revision::Revision;
use crate::view::normal::NewestSame;
use crate::watch::checkpoint::Unusable;
use crate::watch::{Lost, Reason, Recorded};
use crate::workload::{Change, ResourceVersion};
use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::ObjectReference;
use uuid::Uuid;

/// The end of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The last state of the workload was seen. `asked`: when its deletion was asked for; none when it went at once.
    Seen { asked: Option<DateTime<Utc>> },
    /// The last state is compacted.
    Unknown,
}

impl KindRecorder {
    /// Generations cannot be had. Another replica may have seen some that this one did not: then its Revisions, which
    /// are not known here, are the ones before the next.
    pub(super) async fn lost(&mut self, lost: Lost) {
        if let Some(tracked) = self.workloads.get_mut(&lost.uid) {
            tracked.predecessor = None;
        }
        let recorded = self.recorder.archive.recorded(lost.uid, &lost.generations);
        for generations in subtract(lost.generations.clone(), &recorded) {
            let lost = lost.clone();
            self.close(Lost {
                generations,
                ..lost
            })
            .await;
        }
    }

    /// A workload is gone, and its last state with it.
    pub(super) async fn gone(&mut self, recorded: &Recorded) {
        if !self.workloads.contains_key(&recorded.uid) {
            // Nothing of it was ever recorded: it was there where recording began, and whether it was selected is lost.
            return;
        }
        self.end_unknown(recorded);
        self.ended(recorded.uid, recorded.version.at, End::Unknown)
            .await;
    }

    pub(super) fn blind(&self, from: ResourceVersion, to: ResourceVersion) {
        let labels = kind(&self.kind.kind);
        self.recorder.metrics.blind.get_or_create(&labels).inc();
        self.ledger.blind(from, to);
        tracing::warn!(
            %from, %to,
            "workloads that were made and deleted between these places may have left no trace"
        );
        let note = format!(
            "{} that were made and deleted between resourceVersions {from} and {to} may not be recorded",
            self.kind.plural
        );
        self.recorder.reporter.tell("BlindInterval", note);
    }

    /// Objects of the kind have no generation.
    pub(super) fn unordered(&self, namespace: &str, name: &str) {
        tracing::error!(
            namespace,
            name,
            "objects of this kind have no metadata.generation and cannot be recorded"
        );
        let note = unordered_note(&self.kind.group_kind(), namespace, name);
        self.recorder.reporter.tell("KindNotRecordable", note);
    }

    /// Workloads of this kind are recorded, and there is no place to go on from.
    pub(super) fn checkpoint_lost(&self, why: Unusable) {
        self.recorder.metrics.checkpoints_lost.inc();
        let kind = &self.kind.kind;
        let why = why.explain();
        tracing::error!(
            kind,
            "the checkpoint of this kind {why}; recording begins anew where etcd's history begins"
        );
        let note = format!(
            "The checkpoint of {kind} {why}: recording begins anew where etcd's history begins; workloads that were \
             made and deleted before may not be recorded"
        );
        self.recorder.reporter.tell("CheckpointLost", note);
    }

    pub(super) fn rewound(&self, last: ResourceVersion, now: ResourceVersion) {
        self.recorder.metrics.rewinds.inc();
        tracing::error!(%last, %now, "etcd was restored to an older state; starting over from it");
        let note = format!(
            "etcd went back from resourceVersion {last} to {now}: starting over from what is stored now"
        );
        self.recorder.reporter.tell("EtcdRewound", note);
    }

    /// Writes down generations that cannot be had.
    async fn close(&mut self, lost: Lost) {
        let revision = gap(&self.kind.kind, &lost, clock::now());
        self.count_lost(&lost);
        if lost.reason != Reason::NotSelected {
            self.report_lost(&lost, &revision);
        }
        let before = self.workloads.remove(&lost.uid);
        let only_gap = before.as_ref().is_none_or(|tracked| tracked.only_gap);
        let name = revision.metadata.name.clone().unwrap_or_default();
        let created = before.as_ref().and_then(|tracked| tracked.created);
        let same = before.map_or_else(NewestSame::default, |before| before.same);
        let tracked = Tracked {
            created,
            same,
            ..Tracked::closed(&lost, name, only_gap)
        };
        self.workloads.insert(lost.uid, Box::new(tracked));
        let quiet = self.recorder.quiet.overtaken(lost.uid);
        let write = Write::Create(Box::new(revision), None);
        self.hand_in(lost.uid, lost.from, quiet, write).await;
    }

    pub(super) fn count_lost(&self, lost: &Lost) {
        let generations = lost.generations.end() - lost.generations.start() + 1;
        let labels = kind_reason(&self.kind.kind, lost.reason.as_str());
        let metrics = &self.recorder.metrics;
        let gaps = metrics.gap_generations.get_or_create(&labels);
        gaps.inc_by(generations.unsigned_abs());
        if lost.reason != Reason::NotSelected {
            let lost = metrics.lost.get_or_create(&labels);
            lost.inc_by(generations.unsigned_abs());
        }
    }

    pub(super) fn report_lost(&self, lost: &Lost, revision: &Revision) {
        let from = lost.generations.start();
        let to = lost.generations.end();
        tracing::error!(
            namespace = lost.namespace,
            name = lost.name,
            from,
            to,
            reason = lost.reason.as_str(),
            "generations cannot be recorded"
        );
        let why = lost.reason.explain();
        let note = format!("Generations {from} to {to} are not recorded: {why}");
        self.recorder
            .reporter
            .warn(revision, "GenerationsLost", note);
    }

    /// A workload is gone: its newest Revision says when.
    pub(super) async fn ended(&mut self, uid: Uuid, at: ResourceVersion, end: End) {
        let Some(tracked) = self.workloads.remove(&uid) else {
            return;
        };
        let mut patch = self.status(&tracked, uid);
        let asked = match end {
            End::Seen { asked } => asked,
            End::Unknown => None,
        };
        patch.deletion_time = Some(asked.unwrap_or_else(clock::now));
        // With the end, in one write: a restart in between would take the end for a seen one.
        patch.end_unknown = end == End::Unknown && !mutant::is(Mutant::EndTakenForSeen);
        let quiet = self.recorder.quiet.overtaken(uid);
        if quiet.is_some() {
            patch = patch.through(tracked.last.generation, tracked.last.at);
        }
        self.hand_in(uid, at, quiet, Write::Status(patch)).await;
    }

    /// The end of a workload is compacted, and with it the generations that it may have had before.
    fn end_unknown(&self, recorded: &Recorded) {
        let Recorded {
            namespace,
            name,
            version,
            ..
        } = recorded;
        let kind = &self.kind.kind;
        let generation = version.generation;
        tracing::warn!(
            namespace,
            name,
            generation,
            "this workload is gone, and what it was after this generation is compacted"
        );
        let note = format!(
            "{kind} {namespace}/{name} was deleted; whether it was changed after generation {generation} cannot be known: \
             etcd's history was compacted"
        );
        let tracked = self.workloads.get(&recorded.uid);
        let workload = ObjectReference {
            api_version: tracked.and_then(|tracked| tracked.content.api_version()),
            kind: Some(kind.clone()),
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            uid: Some(recorded.uid.to_string()),
            ..ObjectReference::default()
        };
        self.recorder.reporter.warn_of(workload, "EndUnknown", note);
    }

    /// The content of a generation never moves, unless the kind's definition did.
    pub(super) fn drifted(&self, change: &Change) {
        self.recorder
            .metrics
            .drift
            .get_or_create(&kind(&self.kind.kind))
            .inc();
        tracing::warn!(
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
        tracing::error!(
            namespace = change.namespace,
            name = change.name,
            generation = change.generation,
            error,
            "this generation could not be read"
        );
        self.close(Lost::undecodable(change)).await;
    }
}

impl End {
    /// The end that the last state of a workload shows.
    pub(super) fn seen(gone: &Change) -> Self {
        let asked = deletion_time(gone);
        Self::Seen { asked }
    }
}

fn unordered_note(kind: &GroupKind, namespace: &str, name: &str) -> String {
    format!(
        "Objects of {kind}, such as {namespace}/{name}, have no metadata.generation: their changes cannot be told apart, \
         and are not recorded"
    )
}

fn deletion_time(gone: &Change) -> Option<DateTime<Utc>> {
    let document = Document::parse(gone.raw.get()).ok()?;
    let time = document
        .root()
        .at(&["metadata", "deletionTimestamp"])?
        .as_str()?;
    DateTime::parse_from_rfc3339(time)
        .ok()
        .map(|time| time.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_cannot_be_recorded_is_named_with_the_reason() {
        let kind = GroupKind {
            kind: "Thing".to_owned(),
            group: "a.b".to_owned(),
        };
        assert_eq!(
            unordered_note(&kind, "n", "x"),
            "Objects of Thing.a.b, such as n/x, have no metadata.generation: their changes cannot be told apart, and are not recorded"
        );
    }
}
