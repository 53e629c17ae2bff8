//! The one-way door from the watch to its sink: whatever is news leaves as a [`Fact`], and becomes known.

use super::checkpoint::Exception;
use super::join::Listed;
use super::known::{Known, Need, Postponed, Sight};
use super::{Fact, Heads, Lost, News, Recorded, Removal, Room, Sink};
use crate::json::{Document, ParseError};
use crate::kinds::select::{Selection, select};
use crate::kinds::{Catalogue, Kind};
use crate::metrics::{Metrics, kind, kind_reason};
use crate::revision::Observed;
use crate::workload::{Change, Head, Op, RemovedHead, ResourceVersion, Version};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// The state of one kind, in front of the sink that takes its facts.
pub struct Outlet<S> {
    catalogue: Arc<Catalogue>,
    kind: Arc<Kind>,
    heads: Arc<dyn Heads>,
    metrics: Metrics,
    known: Known,
    room: Room,
    /// Objects whose postponed changes are passed on at the moment.
    resuming: BTreeSet<Uuid>,
    sink: S,
}

impl<S: Sink> Outlet<S> {
    /// A door behind which nothing is known. `heads` is asked once, at the first list.
    pub fn new(
        catalogue: Arc<Catalogue>,
        kind: Arc<Kind>,
        heads: Arc<dyn Heads>,
        metrics: Metrics,
        room: Room,
        sink: S,
    ) -> Self {
        Self {
            catalogue,
            kind,
            heads,
            metrics,
            known: Known::default(),
            room,
            resuming: BTreeSet::new(),
            sink,
        }
    }

    /// The last known state of every object.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Passes on a fact that says nothing of a single object.
    pub async fn tell(&mut self, fact: Fact) {
        self.sink.take(fact).await;
    }

    /// A list begins. Returns whether workloads are recorded that were taken over with that.
    pub async fn listing(&mut self) -> bool {
        let heads = if self.known.is_empty() {
            self.heads.hand_over(&self.kind.group, &self.kind.kind)
        } else {
            Vec::new()
        };
        self.known.listing(&heads);
        let is_recorded = !heads.is_empty();
        self.sink.take(Fact::Listing(heads)).await;
        is_recorded
    }

    /// An object is shown, before anything is decided about it: what others have stored of it may not be believed.
    pub async fn shown(&mut self, change: &Change) {
        let correction = self.heads.shown(change);
        if change.op == Op::Deleted {
            self.heads.over(change.uid, true);
        }
        let Some(correction) = correction else { return };
        let head = correction.head;
        if self.known.correct(change.uid, head.as_ref()) {
            let fact = Fact::Corrected(change.uid, head.map(Box::new));
            self.sink.take(fact).await;
        }
    }

    /// The reads that `change` needs before it can be passed on. Generations that the watch has not shown are counted.
    pub fn need(&mut self, change: &Change) -> Need {
        let need = self.known.need(change, || self.is_selected(change));
        let Need::After { last, .. } = need else {
            return need;
        };
        if self.known.is_gone(change.uid) {
            return need;
        }
        self.not_seen(change, change.generation - last.generation - 1);
        if change.seen == Observed::List && !self.is_selected(change) {
            self.known.deselect(change.uid);
        }
        need
    }

    /// A list shows an object, which may have become one to record since it was shown last.
    pub fn notice(&mut self, change: &Change) {
        self.known.notice(change.uid, change.resource_version);
    }

    /// Weighs what is claimed of an object that a list shows: see [`Known::weigh`].
    pub fn weigh(&mut self, change: &Change, since: Option<ResourceVersion>) {
        self.known.weigh(change, since);
    }

    /// Whether an object is selected for recording as it is now.
    pub fn is_selected(&self, change: &Change) -> bool {
        self.selects(change).unwrap_or(false)
    }

    fn selects(&self, change: &Change) -> Result<bool, ParseError> {
        let document = Document::parse(change.raw.get())?;
        let is_refused = |namespace: &str| self.heads.is_refused(namespace);
        let selection = select(&self.catalogue, &self.kind, document.root(), is_refused);
        Ok(selection == Selection::Selected)
    }

    /// Passes on one change, unless it is of an object that is not recorded or known to be gone.
    pub async fn change(&mut self, change: Change) {
        if self.waits(&change) {
            return self.postpone(&change, change.absent_at).await;
        }
        let news = match self.known.sight(&change) {
            Sight::Ended => return,
            Sight::New => self.first_sight(&change).await,
            Sight::Unselected if self.is_selected(&change) => self.selected(&change).await,
            sight => self.seen_again(&change, sight),
        };
        self.known.end_with(&change);
        self.heads.had(change.uid, change.generation);
        if let Some(news) = news {
            self.sink.take(Fact::Change(change, news)).await;
        }
    }

    /// Whether a change waits, because those before it do or because there is no room for changes of its namespace.
    pub fn waits(&self, change: &Change) -> bool {
        let is_resuming = self.resuming.contains(&change.uid);
        let is_behind = self.known.is_postponed(change.uid) && !is_resuming;
        is_behind || self.lacks_room(change)
    }

    /// Keeps the name of an object instead of a change that waits. `absent_at` is a place at which an object that was not
    /// known was not there yet.
    pub async fn postpone(&mut self, change: &Change, absent_at: Option<ResourceVersion>) {
        self.resuming.remove(&change.uid);
        if let Some(postponed) = self.known.postpone(change, absent_at) {
            self.sink.take(Fact::Postponed(postponed)).await;
        }
    }

    /// Whether a change needs room, and there is none.
    fn lacks_room(&self, change: &Change) -> bool {
        !self.room.has_room(&change.namespace)
            && self.known.sight(change) == Sight::New
            && (!self.known.is_gone(change.uid) || self.is_selected(change))
    }

    /// So many of the objects whose postponed changes can be passed on now. They are, until [`Outlet::resumed`].
    pub fn resume(&mut self, number: usize) -> Vec<(Uuid, Postponed)> {
        let has_room = |namespace: &str| self.room.has_room(namespace);
        let next = self.known.next_postponed(number, has_room);
        self.resuming = next.iter().map(|(uid, _)| *uid).collect();
        next
    }

    /// An object is gone at `at`. True when its changes wait: its end comes after them.
    pub fn ends_later(&mut self, uid: Uuid, at: ResourceVersion) -> bool {
        !self.resuming.contains(&uid) && self.known.postpone_end(uid, at)
    }

    /// Objects whose changes wait and that are not in this list are gone.
    pub fn ends_by_list(&mut self, listed: &Listed) {
        self.known.postpone_ends(listed.there(), listed.at());
    }

    /// The postponed changes of an object were read back. They wait again if there was no room for all of them.
    pub async fn resumed(&mut self, uid: Uuid, postponed: &Postponed) {
        if self.resuming.remove(&uid) {
            self.known.resume(uid);
            self.sink
                .take(Fact::Resumed(postponed.exception(uid)))
                .await;
        }
    }

    /// A generation that an earlier process could not store was read back, or is lost.
    pub async fn excepted(&mut self, exception: Exception, found: Result<Change, Lost>) {
        self.known.restore(found.as_ref(), exception.through);
        self.sink.take(Fact::Excepted(exception, found)).await;
    }

    /// Whether changes of any object wait.
    pub fn has_postponed(&self) -> bool {
        self.known.has_postponed()
    }

    /// Recording begins at a place where these objects were there.
    pub fn begin(&mut self, there: impl IntoIterator<Item = Recorded>) {
        self.known.begin(there);
    }

    /// Everything since the beginning was passed on.
    pub fn has_begun(&mut self) {
        self.known.has_begun();
    }

    /// A generation that was not seen before.
    async fn first_sight(&mut self, change: &Change) -> Option<News> {
        match self.selects(change) {
            Ok(true) => self.selected(change).await,
            Ok(false) => {
                let is_recorded = self.known.pass_over(change);
                if is_recorded {
                    self.count_holes("NotSelected", 1);
                }
                is_recorded.then_some(News::Unselected)
            }
            Err(error) => {
                self.undecodable(change, &error).await;
                Some(News::Nothing)
            }
        }
    }

    async fn selected(&mut self, change: &Change) -> Option<News> {
        if let Some(lost) = self.known.select(change) {
            self.sink.take(Fact::Lost(lost)).await;
        }
        Some(News::Generation)
    }

    fn seen_again(&mut self, change: &Change, sight: Sight) -> Option<News> {
        let is_recorded = self.known.see_again(change, sight);
        let news = if sight == Sight::Content {
            News::Content
        } else {
            News::Nothing
        };
        is_recorded.then_some(news)
    }

    /// Passes on those generations that were not known.
    pub async fn lost(&mut self, lost: Lost) {
        if let Some(lost) = self.known.lose(lost) {
            self.sink.take(Fact::Lost(lost)).await;
        }
    }

    /// The heads that were removed since this was last called.
    pub fn removed(&self) -> Vec<(Uuid, RemovedHead)> {
        self.heads.removed(&self.kind.group, &self.kind.kind)
    }

    /// Whether a namespace is being deleted: nothing can be recorded there any more.
    pub fn is_going(&self, namespace: &str) -> bool {
        self.heads.is_going(namespace)
    }

    /// The newest Revision of a workload now.
    pub fn stored(&self, uid: Uuid) -> Option<Head> {
        self.heads.stored(uid)
    }

    /// The head of a live workload was removed.
    pub async fn removal(&mut self, removal: Removal) {
        self.sink.take(Fact::Removed(Box::new(removal))).await;
    }

    /// Whether generations up to that one were seen before: then none of them is lost.
    pub fn has_seen(&self, uid: Uuid, generation: i64) -> bool {
        self.known.seen_last(uid) >= generation
    }

    /// Another replica has recorded, or compared, generations that cannot be had here, up to the last one.
    pub async fn recorded(&mut self, lost: &Lost, head: Option<Head>) {
        self.known.close(lost);
        let uid = lost.uid;
        let through = Version {
            generation: *lost.generations.end(),
            at: lost.at,
        };
        let fact = Fact::Recorded { uid, head, through };
        self.sink.take(fact).await;
    }

    /// Another replica has seen the last state of a workload, and recorded its end.
    pub async fn ended(&mut self, recorded: &Recorded, head: Option<Head>) {
        let Recorded { uid, version, .. } = *recorded;
        self.known.end(uid, version.at, false);
        let head = head.map(|head| Head {
            deleted: true,
            ..head
        });
        let fact = Fact::Recorded {
            uid,
            head,
            through: version,
        };
        self.sink.take(fact).await;
    }

    /// A workload is gone, and its last state with it.
    pub async fn gone(&mut self, recorded: Recorded) {
        self.known.end(recorded.uid, recorded.version.at, false);
        self.heads.over(recorded.uid, false);
        self.sink.take(Fact::Gone(recorded)).await;
    }

    async fn undecodable(&mut self, change: &Change, error: &ParseError) {
        self.metrics
            .undecodable
            .get_or_create(&kind(&self.kind.kind))
            .inc();
        tracing::error!(
            namespace = change.namespace,
            name = change.name,
            generation = change.generation,
            error = error.to_string(),
            "this generation could not be read"
        );
        let lost = Lost::undecodable(change);
        self.known.close(&lost);
        self.sink.take(Fact::Lost(lost)).await;
    }

    fn not_seen(&self, change: &Change, generations: i64) {
        if generations < 1 {
            return;
        }
        self.count_holes("NotSeen", generations);
        tracing::debug!(
            namespace = change.namespace,
            name = change.name,
            generation = change.generation,
            missing = generations,
            "generations were not seen; reading them back"
        );
    }

    fn count_holes(&self, reason: &'static str, generations: i64) {
        let labels = kind_reason(&self.kind.kind, reason);
        let holes = self.metrics.holes.get_or_create(&labels);
        holes.inc_by(generations.unsigned_abs());
    }
}
