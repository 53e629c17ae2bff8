//! A head that was removed is recorded again, from the workload as it is now.

use super::super::decide::Verdict;
use super::super::draft::Draft;
use super::super::managed;
use super::super::queue::{Item, Pending, Unviewed, Write};
use super::super::tracked::{Content, Predecessor, Tracked};
use super::KindRecorder;
use crate::clock;
use crate::json::Document;
use crate::metrics::kind;
use crate::mutant::{self, Mutant};
use crate::revision::{Previous, Revision};
use crate::snapshot::{self, Packed};
use crate::view::diff::Deltas;
use crate::watch::Removal;
use crate::workload::{Change, RemovedHead};
use tokio::time::Instant;

impl KindRecorder {
    /// The newest Revision of a live workload is gone, and the workload was read after that. The content is never taken
    /// from memory, which may be of a history that a restored etcd has undone.
    pub(super) async fn removed(&mut self, removal: &Removal) {
        let memory = self.workloads.get(&removal.change.uid);
        let memory = memory.and_then(|tracked| tracked.content.text());
        let text = memory.filter(|_| mutant::is(Mutant::HeadFromMemory));
        let text = text.unwrap_or_else(|| removal.change.raw.get().to_owned());
        match self.again(removal, &text) {
            Ok(again) => self.hand_in_again(removal, again).await,
            Err(error) => tracing::error!(
                namespace = removal.change.namespace,
                name = removal.change.name,
                %error,
                "the newest Revision was removed, and the workload cannot be read"
            ),
        }
    }

    /// The Revision under the name of the one that was removed, if the workload still has its content; else of the present
    /// generation.
    fn again(&mut self, removal: &Removal, text: &str) -> anyhow::Result<Again> {
        let Removal {
            change, removed, ..
        } = removal;
        let document = Document::parse(text)?;
        let object = document.root();
        let packed = snapshot::pack(&change.resource, object)?;
        let entries = managed::entries(object);
        let of = generation(change, removed, &packed);
        let verdict = match &removal.older {
            Some(older) if !older.only_gap => Verdict::Change { told: false },
            _ => Verdict::Baseline,
        };
        let draft = Draft {
            kind: &self.kind,
            change: &of,
            object,
            verdict,
            predecessor: None,
            deltas: &Deltas::default(),
            entries: &entries,
            fingerprints: &[],
            packed: &packed,
            encoding: self.recorder.settings.encoding,
            names: &self.recorder.settings.names,
            now: clock::now(),
        };
        let mut revision = draft.revision()?;
        revision.spec.previous = previous(removal, of.generation);
        let tracked = self
            .workloads
            .entry(change.uid)
            .or_insert_with(|| Box::new(Tracked::decided(change, &packed)));
        tracked.revision = revision.metadata.name.clone().unwrap_or_default();
        tracked.only_gap = false;
        tracked.predecessor = Some(Predecessor::of(of.generation, packed.digest));
        tracked.content = Content::of(change, &packed);
        tracked.fingerprints = managed::fingerprints(&entries);
        Ok(Again { revision, packed })
    }

    async fn hand_in_again(&self, removal: &Removal, again: Again) {
        let Removal { change, at, .. } = removal;
        let Again { revision, packed } = again;
        let labels = kind(&self.kind.kind);
        let metrics = &self.recorder.metrics;
        metrics.recorded_again.get_or_create(&labels).inc();
        tracing::info!(
            namespace = change.namespace,
            revision = revision.metadata.name,
            "the newest Revision of a workload was removed; it is recorded again"
        );
        let unviewed = self.kind.view.as_ref().map(|_| Unviewed {
            kind: self.kind.clone(),
            gzip: packed.gzip.clone(),
        });
        let view = revision.spec.view.clone().zip(unviewed);
        let viewing = view.map(|(view, unviewed)| self.recorder.extractor.begin(view, unviewed));
        let is_present = revision.spec.generation == change.generation;
        let pending = if is_present {
            Pending::At(*at, None)
        } else {
            // A restart finds again that it is missing.
            Pending::Nothing
        };
        let item = Item {
            write: Write::Create(Box::new(revision), viewing),
            workload: change.uid,
            origin: self
                .recorder
                .lives
                .origin(&change.namespace, change.created),
            seen: Instant::now(),
            ledger: self.ledger.clone(),
            pending,
        };
        self.recorder.queue.push(item).await;
        if let Some(tracked) = self.workloads.get(&change.uid).filter(|_| !is_present) {
            let through = self
                .status(tracked, change.uid)
                .through(change.generation, change.resource_version);
            self.recorder
                .quiet
                .note(change.uid, through, *at, &self.ledger);
        }
    }
}

/// A head that is recorded again.
struct Again {
    revision: Revision,
    packed: Packed,
}

/// The workload in the generation of the head, if it still has its content; else in the present one.
fn generation(change: &Change, removed: &RemovedHead, packed: &Packed) -> Change {
    let head = &removed.head;
    let is_same = head.digest == Some(packed.digest) && head.generation < change.generation;
    if !is_same {
        return change.clone();
    }
    Change {
        generation: head.generation,
        resource_version: head.resource_version,
        ..change.clone()
    }
}

/// The Revision before the one that is recorded again: what that named, unless it is stored no more and its digest is not
/// known; then none, as others may have been between.
fn previous(removal: &Removal, generation: i64) -> Option<Previous> {
    let named = removal.removed.previous.as_ref()?;
    let older = removal.older.as_ref()?;
    let is_older = removal.removed.head.generation == generation;
    let digest = (older.generation == named.generation)
        .then_some(older.digest)
        .flatten();
    let digest = digest.map_or_else(|| named.digest.clone(), |digest| digest.to_string());
    (is_older && !digest.is_empty()).then_some(Previous {
        generation: named.generation,
        digest,
    })
}
