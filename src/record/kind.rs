//! The recorder of one kind: it knows the last state of every workload of it, and decides about the next.

mod ends;
#[cfg(test)]
mod tests;

use ends::{Ended, deletion_time};

use super::Recorder;
use super::decide::{Before, Comparison, Verdict, compare, decide};
use super::draft::Draft;
use super::ledger::Ledger;
use super::managed::{self, ManagedFieldsEntry};
use super::queue::{Item, StatusPatch, Unviewed, Write};
use super::tracked::{Content, Tracked};
use crate::clock;
use crate::history::subtract;
use crate::json::{Document, Value};
use crate::kinds::Kind;
use crate::kinds::select::{Selection, select};
use crate::metrics::kind;
use crate::revision::{Observed, Revision};
use crate::snapshot::{self, Packed};
use crate::view::diff::{Deltas, diff};
use crate::watch::{Lost, Need, Position, Recorded, Sink};
use crate::workload::{Change, Op, ResourceVersion};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::time::Instant;
use uuid::Uuid;

/// Takes the changes of one kind, in order.
pub struct KindRecorder {
    recorder: Recorder,
    kind: Arc<Kind>,
    ledger: Ledger,
    workloads: HashMap<Uuid, Tracked>,
    /// Objects that are there and are not recorded.
    ignored: HashSet<Uuid>,
    /// Workloads that are gone, as far as their Revisions are kept or this process saw them go: what a watch from an
    /// older place shows of them is known.
    ended: HashMap<Uuid, Ended>,
    /// Number of the newest list.
    list: u32,
}

impl Sink for KindRecorder {
    fn listing(&mut self) {
        if self.list == 0 {
            self.take_over();
        }
        self.list = self.list.wrapping_add(1).max(1);
        self.ignored.clear();
    }

    fn need(&mut self, change: &Change) -> Need {
        let listed = change.seen == Observed::List;
        let Some(tracked) = self.workloads.get(&change.uid) else {
            return if listed && self.wants(change) {
                self.origin(change)
            } else {
                Need::Nothing
            };
        };
        let (generation, at) = (tracked.generation, tracked.at);
        if listed && change.generation < generation {
            return self.younger(change);
        }
        let ahead = change.generation - generation;
        let refresh = !tracked.is_current(&change.resource.api_version(), self.list);
        let follows = ahead == 1 && (!refresh || tracked.deselected.is_some());
        if ahead <= 0 || follows {
            return Need::Nothing;
        }
        if ahead > 1 {
            self.not_seen(change, ahead - 1);
        }
        if listed && !self.wants(change) {
            self.deselect(change.uid, generation + 1);
        }
        Need::After {
            generation,
            at,
            refresh,
        }
    }

    fn knows(&self, uid: Uuid, generation: i64) -> bool {
        let gone = || generation == i64::MAX && !self.workloads.contains_key(&uid);
        self.ended
            .get(&uid)
            .is_some_and(|ended| ended.seen || ended.generation >= generation)
            || self.ignored.contains(&uid)
            || self
                .workloads
                .get(&uid)
                .is_some_and(|tracked| tracked.generation >= generation)
            || gone()
    }

    fn wants(&self, change: &Change) -> bool {
        Document::parse(change.raw.get()).is_ok_and(|object| self.selects(object.root()))
    }

    fn contradicts(&self, change: &Change) -> bool {
        self.is_contradicted(change)
    }

    async fn change(&mut self, change: Change) {
        if self
            .ended
            .get(&change.uid)
            .is_some_and(|ended| ended.generation >= change.generation)
        {
            return;
        }
        let known = self
            .workloads
            .get(&change.uid)
            .map(|tracked| tracked.generation);
        if known.is_none_or(|known| change.generation > known) {
            self.consider(&change).await;
        } else if known == Some(change.generation) {
            self.seen_again(&change).await;
        }
        if self.workloads.contains_key(&change.uid) {
            self.recorder.observer.workload(&change);
        }
        if change.op == Op::Deleted {
            let watched = change.seen == Observed::Watch;
            self.ended(
                change.uid,
                change.resource_version,
                deletion_time(&change),
                watched,
            )
            .await;
        }
    }

    async fn lost(&mut self, lost: Lost) {
        let Some(lost) = self.clipped(lost) else {
            return;
        };
        // Another replica may have seen what this one did not.
        let recorded = self.recorder.heads.recorded(lost.uid, &lost.generations);
        for generations in subtract(lost.generations.clone(), &recorded) {
            self.close(Lost {
                generations,
                ..lost.clone()
            })
            .await;
        }
    }

    fn listed(&mut self, there: &HashSet<Uuid>) -> Vec<Recorded> {
        let gone = self
            .workloads
            .iter()
            .filter(|(uid, _)| !there.contains(uid));
        gone.map(|(uid, tracked)| tracked.as_recorded(*uid))
            .collect()
    }

    async fn gone(&mut self, recorded: &Recorded) {
        self.end_unknown(recorded);
        self.ended(recorded.uid, recorded.at, None, false).await;
    }

    fn blind(&mut self, from: ResourceVersion, to: ResourceVersion) {
        self.recorder
            .metrics
            .blind
            .get_or_create(&kind(&self.kind.kind))
            .inc();
        self.ledger.blind(from, to);
        tracing::warn!(
            kind = self.kind.kind, %from, %to,
            "workloads that were made and deleted between these places may have left no trace"
        );
        let note = format!(
            "{} that were made and deleted between resourceVersions {from} and {to} may not be recorded",
            self.kind.plural
        );
        self.recorder.reporter.tell("BlindInterval", note);
    }

    fn rewound(&mut self, last: ResourceVersion, now: ResourceVersion) {
        self.recorder.metrics.rewinds.inc();
        tracing::error!(kind = self.kind.kind, %last, %now, "etcd was restored to an older state; starting over from it");
        let note = format!(
            "etcd went back from resourceVersion {last} to {now}: starting over from what is stored now"
        );
        self.recorder.reporter.tell("EtcdRewound", note);
    }

    fn reached(&mut self, position: Position) {
        self.ledger.reached(position);
    }

    fn heard(&mut self, expected: bool) {
        self.ledger.heard(expected);
    }
}

impl KindRecorder {
    /// A recorder that knows nothing yet.
    pub fn new(recorder: Recorder, kind: Arc<Kind>) -> Self {
        let ledger = Ledger::new(&recorder.metrics, &kind.kind);
        let (workloads, ignored, ended) = (HashMap::new(), HashSet::new(), HashMap::new());
        Self {
            recorder,
            kind,
            ledger,
            workloads,
            ignored,
            ended,
            list: 0,
        }
    }

    /// The book of what is on its way.
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// An object is younger than what is known of it. What this process has seen itself is beyond doubt; what is only
    /// recorded may have come from elsewhere: then the object counts, and what is stored under its name stays.
    fn younger(&mut self, change: &Change) -> Need {
        if self
            .workloads
            .get(&change.uid)
            .is_some_and(|tracked| tracked.seen)
        {
            return Need::Rewound;
        }
        self.workloads.remove(&change.uid);
        self.drifted(change);
        Need::Nothing
    }

    fn selects(&self, object: Value<'_>) -> bool {
        select(&self.recorder.catalogue, &self.kind, object) == Selection::Selected
    }

    /// A generation that was not seen before.
    async fn consider(&mut self, change: &Change) {
        let document = match Document::parse(change.raw.get()) {
            Ok(document) => document,
            Err(error) => return self.undecodable(change, &error.to_string()).await,
        };
        let object = document.root();
        if !self.selects(object) {
            return self.pass_over(change);
        }
        self.ignored.remove(&change.uid);
        self.reselect(change).await;
        match self.decided(change, object) {
            Ok(Some(revision)) => {
                let view = revision.spec.view.clone().zip(self.unviewed(change.uid));
                let viewing =
                    view.map(|(view, unviewed)| self.recorder.extractor.begin(view, unviewed));
                self.push(change, Write::Create(Box::new(revision), viewing))
                    .await;
            }
            Ok(None) => {}
            Err(error) => self.undecodable(change, &error.to_string()).await,
        }
    }

    /// A state of the last known generation: its content may be unknown yet, or look otherwise than before.
    async fn seen_again(&mut self, change: &Change) {
        let list = self.list;
        let Some(tracked) = self.workloads.get_mut(&change.uid) else {
            return;
        };
        tracked.at = tracked.at.max(change.resource_version);
        tracked.seen = true;
        if tracked.deselected.is_none() && tracked.is_current(&change.resource.api_version(), list)
        {
            return;
        }
        let Ok(document) = Document::parse(change.raw.get()) else {
            return;
        };
        let object = document.root();
        if tracked.deselected.is_some() {
            if self.selects(object) {
                self.selected_again(change).await;
            }
            return;
        }
        let Ok(packed) = snapshot::pack(&change.resource, object) else {
            return;
        };
        let content = &tracked.content;
        let comparable = content.generation == change.generation
            && content.is_of(&change.resource.api_version());
        let moved = comparable && content.digest.is_some_and(|digest| digest != packed.digest);
        tracked.content = Content::of(change, &packed, list);
        tracked.fingerprints = managed::fingerprints(&managed::entries(object));
        if moved {
            self.drifted(change);
        }
    }

    /// A workload is selected again in a generation in which it was not: now that counts.
    async fn selected_again(&mut self, change: &Change) {
        if let Some(tracked) = self.workloads.get_mut(&change.uid) {
            tracked.generation -= 1;
        }
        Box::pin(self.consider(change)).await;
    }

    /// Decides, and remembers this state as the one that the next is compared with.
    fn decided(&mut self, change: &Change, object: Value<'_>) -> std::io::Result<Option<Revision>> {
        let packed = snapshot::pack(&change.resource, object)?;
        let entries = managed::entries(object);
        let previous = self.workloads.remove(&change.uid);
        let revision = self.judged(change, object, previous.as_ref(), &packed, &entries)?;
        let fresh = Tracked::new(change, &packed, self.list);
        let mut tracked = match (&revision, previous) {
            (None, Some(previous)) => {
                let patch = self
                    .status(&previous, change.uid)
                    .through(change.generation, change.resource_version);
                self.recorder
                    .quiet
                    .note(change.uid, patch, change.resource_version, &self.ledger);
                Tracked {
                    revision: previous.revision,
                    only_gap: previous.only_gap,
                    ..fresh
                }
            }
            _ => fresh,
        };
        tracked.fingerprints = managed::fingerprints(&entries);
        self.workloads.insert(change.uid, tracked);
        if change.seen == Observed::Repair {
            self.recorder
                .metrics
                .repaired
                .get_or_create(&kind(&self.kind.kind))
                .inc();
        }
        Ok(revision)
    }

    /// The Revision of a new generation, unless it changed nothing.
    fn judged(
        &self,
        change: &Change,
        object: Value<'_>,
        previous: Option<&Tracked>,
        packed: &Packed,
        entries: &[ManagedFieldsEntry<'_>],
    ) -> std::io::Result<Option<Revision>> {
        // What another version of the kind showed cannot be compared.
        let api_version = change.resource.api_version();
        let content = previous
            .map(|previous| &previous.content)
            .filter(|content| content.is_of(&api_version));
        let text = content.and_then(Content::text);
        let old = text.as_deref().and_then(|text| Document::parse(text).ok());
        let old_spec = old.as_ref().and_then(|old| old.root().get("spec"));
        let (comparison, deltas) =
            if content.is_some_and(|content| content.digest == Some(packed.digest)) {
                (Comparison::Same, Deltas::default())
            } else {
                self.compared(old_spec, object.get("spec"), entries)
            };
        let verdict = decide(before(change, previous), comparison);
        if verdict == Verdict::Quiet {
            self.recorder
                .metrics
                .quiet_generations
                .get_or_create(&kind(&self.kind.kind))
                .inc();
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
            encoding: self.recorder.settings.encoding,
            names: &self.recorder.settings.names,
            now: clock::now(),
        };
        draft.revision().map(Some)
    }

    fn compared<'d>(
        &self,
        old: Option<Value<'d>>,
        new: Option<Value<'d>>,
        entries: &[ManagedFieldsEntry<'_>],
    ) -> (Comparison, Deltas<'d>) {
        let (Some(old), Some(new)) = (old, new) else {
            return (Comparison::Unknown, Deltas::default());
        };
        let mut deltas = diff("spec", old, new);
        let comparison = compare(
            &self.kind,
            &mut deltas,
            entries,
            &self.recorder.settings.autoscalers,
        );
        (comparison, deltas)
    }

    /// What the view of the state that was just decided is made from.
    fn unviewed(&self, workload: Uuid) -> Option<Unviewed> {
        self.kind.view.as_ref()?;
        let gzip = self.workloads.get(&workload)?.content.snapshot.clone()?;
        Some(Unviewed {
            kind: self.kind.clone(),
            gzip,
        })
    }

    fn status(&self, tracked: &Tracked, workload: Uuid) -> StatusPatch {
        StatusPatch::new(
            &tracked.namespace,
            &tracked.revision,
            &self.kind.kind,
            workload,
        )
    }

    async fn push(&self, change: &Change, write: Write) {
        let overtaken = self.recorder.quiet.overtaken(change.uid);
        self.hand_in(change.uid, change.resource_version, overtaken, write)
            .await;
    }

    async fn hand_in(
        &self,
        workload: Uuid,
        at: ResourceVersion,
        also: Option<ResourceVersion>,
        write: Write,
    ) {
        let item = Item {
            write,
            workload,
            seen: Instant::now(),
            at,
            also,
            ledger: self.ledger.clone(),
        };
        self.recorder.queue.push(item).await;
    }
}

fn before(change: &Change, previous: Option<&Tracked>) -> Before {
    match previous {
        None => Before::Nothing,
        Some(previous) if previous.only_gap => Before::Nothing,
        Some(previous) => {
            let adjacent = previous.content.generation + 1 == change.generation;
            if adjacent {
                Before::Adjacent
            } else {
                Before::Apart
            }
        }
    }
}
