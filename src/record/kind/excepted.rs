//! Generations that an earlier process could not store, and changes for which there is no room yet.

use super::super::decide::Verdict;
use super::super::draft::Draft;
use super::super::gap::gap;
use super::super::managed;
use super::super::queue::{Item, Pending, Write};
use super::super::tracked::Tracked;
use super::KindRecorder;
use crate::clock;
use crate::json::Document;
use crate::revision::Revision;
use crate::snapshot;
use crate::view::diff::Deltas;
use crate::watch::Lost;
use crate::watch::checkpoint::Exception;
use crate::workload::{Change, Version};
use tokio::time::Instant;
use uuid::Uuid;

impl KindRecorder {
    /// A change is not passed on before there is room for it. Until then it is an exception of the checkpoint, or holds
    /// its place.
    pub(super) fn postponed(&self, exception: Exception) {
        let at = exception.first;
        if !self.ledger.postpone(exception) {
            self.ledger.pending(at);
        }
    }

    /// The postponed changes of a workload were passed on: each is pending by itself, or an exception by itself.
    pub(super) fn resumed(&self, exception: &Exception) {
        let Exception { uid, first, .. } = *exception;
        if !self.ledger.resume(uid, exception.version.generation) {
            self.ledger.done(first);
        }
    }

    /// A generation that an earlier process decided to record, and that may have been stored since.
    pub(super) async fn excepted(&mut self, exception: Exception, found: Result<Change, Lost>) {
        let Exception {
            uid,
            version,
            through,
            ..
        } = exception;
        let generations = version.generation..=version.generation;
        let recorded = self.recorder.archive.recorded(uid, &generations);
        if recorded.is_empty() || self.is_stored_otherwise(&found) {
            let revision = self.late(found);
            self.hand_in_late(version.generation, revision).await;
        } else {
            self.ledger.settle(uid, version.generation);
        }
        if let Some(through) = through {
            self.quiet_through(&exception, through);
        }
    }

    /// Whether the Revision that is stored of a generation has another content than that had: it was written by somebody
    /// else, and the writer finds that out again.
    fn is_stored_otherwise(&self, found: &Result<Change, Lost>) -> bool {
        let Ok(change) = found else { return false };
        let archive = &self.recorder.archive;
        let stored = archive.digest(change.uid, change.generation);
        stored.is_some_and(|stored| {
            let document = Document::parse(change.raw.get());
            let packed = document
                .ok()
                .and_then(|document| snapshot::pack(&change.resource, document.root()).ok());
            packed.is_some_and(|packed| packed.digest != stored)
        })
    }

    async fn hand_in_late(&self, generation: i64, revision: Revision) {
        let view = revision.spec.view.clone();
        let uid = revision.spec.workload.uid;
        let viewing = view
            .zip(
                self.unviewed(uid)
                    .filter(|_| self.is_newest(uid, generation)),
            )
            .map(|(view, unviewed)| self.recorder.extractor.begin(view, unviewed));
        self.ledger.writes(uid, generation);
        let namespace = revision.metadata.namespace.as_deref().unwrap_or_default();
        let origin = self.origin(uid, namespace);
        let item = Item {
            write: Write::Create(Box::new(revision), viewing),
            workload: uid,
            origin,
            seen: Instant::now(),
            ledger: self.ledger.clone(),
            pending: Pending::Excepted(generation),
        };
        self.recorder.queue.push(item).await;
    }

    /// Whether that generation of a workload is the last known one.
    fn is_newest(&self, uid: Uuid, generation: i64) -> bool {
        let tracked = self.workloads.get(&uid);
        tracked.is_some_and(|tracked| tracked.last.generation == generation)
    }

    /// The Revision of such a generation; of later ones, what is known stays.
    fn late(&mut self, found: Result<Change, Lost>) -> Revision {
        match found {
            Ok(change) => match self.late_change(&change) {
                Ok(revision) => revision,
                Err(error) => {
                    tracing::error!(
                        namespace = change.namespace,
                        name = change.name,
                        generation = change.generation,
                        %error,
                        "this generation could not be read"
                    );
                    self.late_gap(&Lost::undecodable(&change))
                }
            },
            Err(lost) => self.late_gap(&lost),
        }
    }

    fn late_change(&mut self, change: &Change) -> anyhow::Result<Revision> {
        let document = Document::parse(change.raw.get())?;
        let object = document.root();
        let packed = snapshot::pack(&change.resource, object)?;
        let entries = managed::entries(object);
        let before = self.workloads.get(&change.uid);
        let verdict = match before {
            Some(tracked) if !tracked.only_gap => Verdict::Change { told: false },
            _ => Verdict::Baseline,
        };
        let predecessor = before
            .and_then(|tracked| tracked.predecessor)
            .and_then(|predecessor| predecessor.older_than(change.generation));
        let is_newest = before.is_none_or(|tracked| tracked.last.generation < change.generation);
        let draft = Draft {
            kind: &self.kind,
            change,
            object,
            verdict,
            predecessor,
            deltas: &Deltas::default(),
            entries: &entries,
            fingerprints: &[],
            packed: &packed,
            encoding: self.recorder.settings.encoding,
            names: &self.recorder.settings.names,
            now: clock::now(),
        };
        let revision = draft.revision()?;
        if is_newest {
            let mut tracked = Tracked::decided(change, &packed);
            tracked.fingerprints = managed::fingerprints(&entries);
            self.workloads.insert(change.uid, Box::new(tracked));
        }
        Ok(revision)
    }

    fn late_gap(&mut self, lost: &Lost) -> Revision {
        let revision = gap(&self.kind.kind, lost, clock::now());
        self.count_lost(lost);
        self.report_lost(lost, &revision);
        let before = self.workloads.get(&lost.uid);
        if before.is_none_or(|tracked| tracked.last.generation < *lost.generations.end()) {
            let only_gap = before.is_none_or(|tracked| tracked.only_gap);
            let name = revision.metadata.name.clone().unwrap_or_default();
            let tracked = Tracked::closed(lost, name, only_gap);
            self.workloads.insert(lost.uid, Box::new(tracked));
        }
        revision
    }

    /// Later generations changed nothing; the Revision does not say so yet.
    fn quiet_through(&mut self, exception: &Exception, through: Version) {
        let Some(tracked) = self.workloads.get_mut(&exception.uid) else {
            return;
        };
        if tracked.last.generation.max(tracked.claimed) >= through.generation {
            return;
        }
        tracked.saw(through);
        let tracked = self.workloads.get(&exception.uid);
        let patch = tracked.map(|tracked| {
            self.status(tracked, exception.uid)
                .through(through.generation, through.at)
        });
        if let Some(patch) = patch {
            self.recorder
                .quiet
                .note(exception.uid, patch, through.at, &self.ledger);
        }
    }
}
