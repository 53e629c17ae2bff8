//! The recorder of one kind: it knows the last state of every workload of it, and decides about the next.

mod believed;
mod ends;
mod excepted;
mod removed;
#[cfg(test)]
mod tests;

use ends::End;

use super::Recorder;
use super::decide::{Before, Comparison, Verdict, compare, decide};
use super::draft::Draft;
use super::ledger::Ledger;
use super::lives::Origin;
use super::managed::{self, ManagedFieldsEntry};
use super::queue::{Item, Pending, StatusPatch, Unviewed, Write};
use super::tracked::{Content, Tracked};
use crate::clock;
use crate::json::{Document, Value};
use crate::kinds::Kind;
use crate::metrics::kind;
use crate::mutant::{self, Mutant};
use crate::observe::Observer;
use crate::revision::{Observed, Revision};
use crate::snapshot::{self, Packed};
use crate::view::diff::{self, Deltas};
use crate::view::normal::NewestSame;
use crate::watch::{Fact, News, Sink};
use crate::workload::{Change, Head, Op, ResourceVersion};
use std::collections::HashMap;
use std::mem::take;
use std::sync::Arc;
use tokio::time::Instant;
use uuid::Uuid;

/// Takes the facts of one kind, in order.
pub struct KindRecorder {
    recorder: Recorder,
    kind: Arc<Kind>,
    ledger: Ledger,
    /// Boxed, because a map is half empty on average.
    workloads: HashMap<Uuid, Box<Tracked>>,
}

impl Sink for KindRecorder {
    async fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Listing(heads) => self.take_over(heads),
            Fact::Corrected(uid, head) => self.correct(uid, head.map(|head| *head)),
            Fact::Change(change, news) => self.change(&change, news).await,
            Fact::Lost(lost) => self.lost(lost).await,
            Fact::Removed(removal) => self.removed(&removal).await,
            Fact::Recorded { uid, head, through } => self.recorded(uid, head, through),
            Fact::Gone(recorded) => self.gone(&recorded).await,
            Fact::Blind { from, to } => self.blind(from, to),
            Fact::Unordered { namespace, name } => self.unordered(&namespace, &name),
            Fact::CheckpointLost(why) => self.checkpoint_lost(why),
            Fact::Excepted(exception, found) => self.excepted(exception, found).await,
            Fact::Postponed(exception) => self.postponed(exception),
            Fact::Resumed(exception) => self.resumed(&exception),
            Fact::Rewound { last, now } => self.rewound(last, now),
            Fact::Joined => {
                self.ledger.joined();
                self.recorder.observer.joined(&self.kind);
            }
            Fact::Reached(position) => self.ledger.reached(position),
            Fact::Heard { expected } => {
                self.ledger.heard(expected);
                self.recorder.observer.serves(&self.kind, expected);
            }
        }
    }
}

impl KindRecorder {
    /// A recorder that knows nothing yet.
    pub fn new(recorder: Recorder, kind: Arc<Kind>) -> Self {
        let ledger = Ledger::new(&recorder.metrics, &kind.kind);
        Self {
            recorder,
            kind,
            ledger,
            workloads: HashMap::new(),
        }
    }

    /// Is told of every workload.
    pub fn observer(&self) -> Observer {
        self.recorder.observer.clone()
    }

    /// The book of what is on its way.
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// The workloads that an earlier process recorded.
    fn take_over(&mut self, heads: Vec<(Uuid, Head)>) {
        let there = heads.into_iter().filter(|(_, head)| !head.deleted);
        self.workloads
            .extend(there.map(|(uid, head)| (uid, Box::new(Tracked::recorded(head)))));
    }

    /// The head that was taken over is not believed any more.
    fn correct(&mut self, uid: Uuid, head: Option<Head>) {
        self.workloads.remove(&uid);
        self.take_over(head.into_iter().map(|head| (uid, head)).collect());
    }

    async fn change(&mut self, change: &Change, news: News) {
        match news {
            News::Generation => self.consider(change).await,
            News::Content => self.refresh(change),
            News::Unselected => self.forget_content(change.uid),
            News::Nothing => {}
        }
        if let Some(tracked) = self.workloads.get_mut(&change.uid) {
            tracked.saw(change.version());
            tracked.created = change.created.or(tracked.created);
            if change.seen == Observed::List {
                tracked.weigh(change.generation);
            }
            self.recorder.observer.workload(change);
        }
        if change.op == Op::Deleted {
            self.ended(change.uid, change.resource_version, End::seen(change))
                .await;
        }
    }

    /// A generation that was not seen before.
    async fn consider(&mut self, change: &Change) {
        self.forget_younger(change);
        let document = match Document::parse(change.raw.get()) {
            Ok(document) => document,
            Err(error) => return self.undecodable(change, &error.to_string()).await,
        };
        match self.decided(change, document.root()) {
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

    /// An object that is younger than its Revisions, which another process recorded: the object counts, and whatever is
    /// stored under its name stays.
    fn forget_younger(&mut self, change: &Change) {
        let recorded = self.workloads.get(&change.uid);
        if recorded.is_some_and(|tracked| change.generation < tracked.last.generation) {
            self.workloads.remove(&change.uid);
            self.drifted(change);
        }
    }

    /// A state of the last known generation: its content may be unknown yet, or look otherwise than before.
    fn refresh(&mut self, change: &Change) {
        let Some(tracked) = self.workloads.get_mut(&change.uid) else {
            return;
        };
        let Ok(document) = Document::parse(change.raw.get()) else {
            return;
        };
        let object = document.root();
        let Ok(packed) = snapshot::pack(&change.resource, object) else {
            return;
        };
        let content = &tracked.content;
        let is_comparable = content.generation == change.generation
            && content.is_of(&change.resource.api_version());
        let moved = is_comparable && content.digest.is_some_and(|digest| digest != packed.digest);
        tracked.content = Content::of(change, &packed);
        tracked.fingerprints = managed::fingerprints(&managed::entries(object));
        if moved {
            self.drifted(change);
        }
    }

    /// Generations in which a workload was not selected lie between its content and the next one.
    fn forget_content(&mut self, workload: Uuid) {
        if let Some(tracked) = self.workloads.get_mut(&workload) {
            tracked.content = Content::default();
            tracked.predecessor = None;
        }
    }

    /// Decides, and remembers this state as the one that the next is compared with.
    fn decided(&mut self, change: &Change, object: Value<'_>) -> std::io::Result<Option<Revision>> {
        let packed = snapshot::pack(&change.resource, object)?;
        let entries = managed::entries(object);
        let mut previous = self.workloads.remove(&change.uid);
        let mut revision = self.judged(change, object, previous.as_deref(), &packed, &entries)?;
        let mut same = previous
            .as_mut()
            .map_or_else(NewestSame::default, |previous| take(&mut previous.same));
        if let Some(view) = revision.as_mut().and_then(|it| it.spec.view.as_mut()) {
            view.same_as = same.note(change.generation, view);
        }
        let fresh = Tracked::decided(change, &packed);
        let mut tracked = match (&revision, previous) {
            (None, Some(previous)) => {
                self.note_quiet(&previous, change);
                Tracked {
                    claimed: previous.claimed,
                    revision: previous.revision,
                    only_gap: previous.only_gap,
                    predecessor: previous.predecessor,
                    ..fresh
                }
            }
            _ => fresh,
        };
        tracked.fingerprints = managed::fingerprints(&entries);
        tracked.same = same;
        self.workloads.insert(change.uid, Box::new(tracked));
        if change.seen == Observed::Repair {
            self.recorder
                .metrics
                .repaired
                .get_or_create(&kind(&self.kind.kind))
                .inc();
        }
        Ok(revision)
    }

    /// A generation changed nothing: its workload's newest Revision says so, if it does not yet.
    fn note_quiet(&self, tracked: &Tracked, change: &Change) {
        let (generation, at) = (change.generation, change.resource_version);
        if generation > tracked.claimed || mutant::is(Mutant::ObservedBackwards) {
            let patch = self.status(tracked, change.uid).through(generation, at);
            let quiet = &self.recorder.quiet;
            quiet.note(change.uid, patch, at, &self.ledger);
        }
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
        let (comparison, deltas) =
            if content.is_some_and(|content| content.digest == Some(packed.digest)) {
                (Comparison::Same, Deltas::default())
            } else {
                self.compared(old.as_ref().map(Document::root), object, entries)
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
            predecessor: previous.and_then(|previous| previous.predecessor),
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
        new: Value<'d>,
        entries: &[ManagedFieldsEntry<'_>],
    ) -> (Comparison, Deltas<'d>) {
        let Some(old) = old else {
            return (Comparison::Unknown, Deltas::default());
        };
        let mut deltas = diff::objects(old, new);
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
        let also = match self.recorder.quiet.overtaken(change.uid) {
            Some(overtaken) => Some(overtaken),
            None => self.creation(change),
        };
        self.hand_in(change.uid, change.resource_version, also, write)
            .await;
    }

    /// The earliest place at which an object may have been created, where that was not seen. It is pending: after a
    /// restart from a later place the object would count as older than recording.
    fn creation(&self, change: &Change) -> Option<ResourceVersion> {
        let creation = change.absent_at?.after(1);
        self.ledger.pending(creation);
        Some(creation)
    }

    async fn hand_in(
        &self,
        workload: Uuid,
        at: ResourceVersion,
        also: Option<ResourceVersion>,
        write: Write,
    ) {
        let pending = self.pending(&write, workload, at, also);
        let origin = self.origin(workload, write.namespace());
        let item = Item {
            write,
            workload,
            origin,
            seen: Instant::now(),
            ledger: self.ledger.clone(),
            pending,
        };
        self.recorder.queue.push(item).await;
    }

    /// The namespace for which a Revision of a workload is made.
    fn origin(&self, workload: Uuid, namespace: &str) -> Origin {
        let tracked = self.workloads.get(&workload);
        let created = tracked.and_then(|tracked| tracked.created);
        self.recorder.lives.origin(namespace, created)
    }

    /// The entries of a write in the ledger. A generation that is an exception stays one: that stands for the place
    /// `also` too.
    fn pending(
        &self,
        write: &Write,
        workload: Uuid,
        at: ResourceVersion,
        also: Option<ResourceVersion>,
    ) -> Pending {
        let generation = write.generation();
        let is_exception = |generation: &i64| self.ledger.writes(workload, *generation);
        let Some(generation) = generation.filter(is_exception) else {
            return Pending::At(at, also);
        };
        if let Some(also) = also {
            self.ledger.done(also);
        }
        Pending::Excepted(generation)
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
