//! The recorder of one kind: it knows the last state of every workload of it, and decides about the next.

use super::decide::{Before, Comparison, Verdict, compare, decide};
use super::draft::Draft;
use super::ledger::Ledger;
use super::managed::{self, Entry, Fingerprint};
use super::queue::Item;
use super::snapshot::{self, Packed, unpack};
use super::view::diff::{Deltas, diff};
use super::{Recorder, Settings};
use crate::json::{Document, Value};
use crate::kinds::Kind;
use crate::kinds::select::{Selection, select};
use crate::metrics::{kind, kind_reason};
use crate::revision::Revision;
use crate::revision::identity::ContentDigest;
use crate::watch::Sink;
use crate::workload::{Change, Head, Op, ResourceVersion};
use chrono::Utc;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;
use uuid::Uuid;

/// Takes the changes of one kind, in order.
pub struct KindRecorder {
    recorder: Recorder,
    kind: Arc<Kind>,
    ledger: Ledger,
    workloads: HashMap<Uuid, Tracked>,
    /// Number of the list that is being read; what the finished list did not name is gone.
    list: u32,
}

/// The last known state of a workload.
struct Tracked {
    generation: i64,
    /// None when the content is not known, as after a time of not being selected.
    digest: Option<ContentDigest>,
    snapshot: Option<Arc<[u8]>>,
    fingerprints: Vec<Fingerprint>,
    list: u32,
}

impl From<Head> for Tracked {
    fn from(head: Head) -> Self {
        let through = head.observed_through.map_or(head.generation, |o| o.generation.max(head.generation));
        let Head { digest, snapshot, .. } = head;
        Self { generation: through, digest, snapshot, fingerprints: Vec::new(), list: 0 }
    }
}

impl Sink for KindRecorder {
    async fn change(&mut self, change: Change) {
        if let Some(revision) = self.consider(&change) {
            let item = Item {
                revision: Box::new(revision),
                workload: change.uid,
                resource_version: change.resource_version,
                seen: Instant::now(),
                ledger: self.ledger.clone(),
            };
            self.recorder.queue.push(item).await;
        }
        if change.op == Op::Deleted {
            self.workloads.remove(&change.uid);
        }
    }

    fn listing(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    fn listed(&mut self) {
        let list = self.list;
        self.workloads.retain(|_, tracked| tracked.list == list);
        self.workloads.shrink_to_fit();
        self.recorder.heads.settled(&self.kind.kind);
    }

    fn reached(&mut self, at: ResourceVersion) {
        self.ledger.reached(at);
    }
}

impl KindRecorder {
    /// A recorder that knows nothing yet.
    pub fn new(recorder: Recorder, kind: Arc<Kind>) -> Self {
        let ledger = Ledger::new(&recorder.metrics, &kind.kind);
        Self { recorder, kind, ledger, workloads: HashMap::new(), list: 0 }
    }

    /// The Revision to write for `change`, if it is one.
    fn consider(&mut self, change: &Change) -> Option<Revision> {
        if let Some(tracked) = self.workloads.get_mut(&change.uid) {
            tracked.list = self.list;
            if tracked.generation >= change.generation {
                return None;
            }
        }
        let document = match Document::parse(change.raw.get()) {
            Ok(document) => document,
            Err(error) => {
                self.undecodable(change, &error.to_string());
                return None;
            }
        };
        let object = document.root();
        if select(&self.recorder.catalogue, &self.kind, object) != Selection::Selected {
            self.deselected(change);
            return None;
        }
        let previous = match self.workloads.remove(&change.uid) {
            Some(tracked) => Some(tracked),
            None => self.recorder.heads.take(change.uid).map(Tracked::from),
        };
        self.decided(change, object, previous).unwrap_or_else(|error| {
            self.undecodable(change, &error.to_string());
            None
        })
    }

    /// Decides, and remembers this state as the one that the next is compared with.
    fn decided(
        &mut self,
        change: &Change,
        object: Value<'_>,
        previous: Option<Tracked>,
    ) -> std::io::Result<Option<Revision>> {
        let packed = snapshot::pack(&change.resource, object)?;
        let entries = managed::entries(object);
        let recorded = previous.as_ref().filter(|known| known.generation >= change.generation);
        let revision = match recorded {
            Some(known) => {
                self.recorded_before(change, known, &packed);
                None
            }
            None => self.judged(change, object, previous.as_ref(), &packed, &entries)?,
        };
        let tracked = Tracked {
            generation: previous.map_or(change.generation, |p| p.generation.max(change.generation)),
            digest: Some(packed.digest),
            snapshot: Some(packed.gzip),
            fingerprints: managed::fingerprints(&entries),
            list: self.list,
        };
        self.workloads.insert(change.uid, tracked);
        Ok(revision)
    }

    /// The Revision of a new generation, unless it changed nothing.
    fn judged(
        &self,
        change: &Change,
        object: Value<'_>,
        previous: Option<&Tracked>,
        packed: &Packed,
        entries: &[Entry<'_>],
    ) -> std::io::Result<Option<Revision>> {
        let text = previous.and_then(Tracked::text);
        let old = text.as_deref().and_then(|text| Document::parse(text).ok());
        let old_spec = old.as_ref().and_then(|old| old.root().get("spec"));
        let (comparison, deltas) = if previous.is_some_and(|p| p.digest == Some(packed.digest)) {
            (Comparison::Same, Deltas::default())
        } else {
            self.compared(old_spec, object.get("spec"), entries)
        };
        let verdict = decide(&self.before(change, previous), comparison);
        if verdict == Verdict::Quiet {
            self.recorder.metrics.quiet.get_or_create(&kind(&self.kind.kind)).inc();
            return Ok(None);
        }
        let draft = Draft {
            kind: &self.kind,
            change,
            object,
            verdict,
            deltas: &deltas,
            entries,
            fingerprints: previous.map_or(&[][..], |p| &p.fingerprints),
            packed,
            encoding: self.settings().encoding,
            now: Utc::now(),
        };
        draft.revision().map(Some)
    }

    fn compared<'d>(
        &self,
        old: Option<Value<'d>>,
        new: Option<Value<'d>>,
        entries: &[Entry<'_>],
    ) -> (Comparison, Deltas<'d>) {
        let (Some(old), Some(new)) = (old, new) else { return (Comparison::Unknown, Deltas::default()) };
        let mut deltas = diff("spec", old, new);
        let comparison = compare(&self.kind, &mut deltas, entries, &self.settings().autoscalers);
        (comparison, deltas)
    }

    fn settings(&self) -> &Settings {
        &self.recorder.settings
    }

    /// What is known of the generation before; a hole is counted.
    fn before(&self, change: &Change, previous: Option<&Tracked>) -> Before {
        let Some(previous) = previous else { return Before::Nothing };
        let missing = previous.generation + 1..=change.generation - 1;
        if missing.is_empty() {
            return Before::Adjacent;
        }
        self.hole(change, change.generation - previous.generation - 1, "NotSeen");
        Before::Hole(missing)
    }

    fn hole(&self, change: &Change, generations: i64, reason: &'static str) {
        let labels = kind_reason(&self.kind.kind, reason);
        self.recorder
            .metrics
            .holes
            .get_or_create(&labels)
            .inc_by(u64::try_from(generations).unwrap_or_default());
        if reason == "NotSeen" {
            tracing::warn!(
                kind = self.kind.kind,
                namespace = change.namespace,
                name = change.name,
                generation = change.generation,
                missing = generations,
                "generations were not seen"
            );
        }
    }

    /// A restart finds what is there. The content of a generation never moves, unless the kind's definition did.
    fn recorded_before(&self, change: &Change, known: &Tracked, packed: &Packed) {
        let moved = known.generation == change.generation
            && known.digest.is_some_and(|digest| digest != packed.digest);
        if moved {
            self.recorder.metrics.drift.get_or_create(&kind(&self.kind.kind)).inc();
            tracing::warn!(
                kind = self.kind.kind,
                namespace = change.namespace,
                name = change.name,
                generation = change.generation,
                "the content differs from the recorded one at the same generation; the recorded one stays"
            );
        }
    }

    /// An object that is not selected is remembered only if it was recorded before.
    fn deselected(&mut self, change: &Change) {
        let Some(tracked) = self.workloads.get_mut(&change.uid) else { return };
        let generations = change.generation - tracked.generation;
        tracked.generation = change.generation;
        (tracked.digest, tracked.snapshot) = (None, None);
        self.hole(change, generations, "NotSelected");
    }

    fn undecodable(&self, change: &Change, error: &str) {
        self.recorder.metrics.undecodable.get_or_create(&kind(&self.kind.kind)).inc();
        tracing::error!(
            kind = self.kind.kind,
            namespace = change.namespace,
            name = change.name,
            generation = change.generation,
            error,
            "this generation could not be read and is not recorded"
        );
    }
}

impl Tracked {
    fn text(&self) -> Option<String> {
        self.snapshot.as_ref().and_then(|gzip| unpack(gzip).ok())
    }
}
