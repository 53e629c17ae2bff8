//! The one-way door from the watch to its sink: whatever is news leaves as a [`Fact`], and becomes known.

use super::known::{Known, Need, Sight};
use super::{Fact, Heads, Lost, News, Recorded, Sink};
use crate::json::{Document, ParseError};
use crate::kinds::select::{Selection, select};
use crate::kinds::{Catalogue, Kind};
use crate::metrics::{Metrics, kind, kind_reason};
use crate::revision::Observed;
use crate::workload::Change;
use std::sync::Arc;

/// The state of one kind, in front of the sink that takes its facts.
pub struct Outlet<S> {
    catalogue: Arc<Catalogue>,
    kind: Arc<Kind>,
    heads: Arc<dyn Heads>,
    metrics: Metrics,
    known: Known,
    sink: S,
}

impl<S: Sink> Outlet<S> {
    /// A door behind which nothing is known. `heads` is asked once, at the first list.
    pub fn new(
        catalogue: Arc<Catalogue>,
        kind: Arc<Kind>,
        heads: Arc<dyn Heads>,
        metrics: Metrics,
        sink: S,
    ) -> Self {
        Self {
            catalogue,
            kind,
            heads,
            metrics,
            known: Known::default(),
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

    /// A list begins.
    pub async fn listing(&mut self) {
        let heads = if self.known.is_empty() {
            self.heads.hand_over(&self.kind.group, &self.kind.kind)
        } else {
            Vec::new()
        };
        self.known.listing(&heads);
        self.sink.take(Fact::Listing(heads)).await;
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

    /// Whether an object is selected for recording as it is now.
    pub fn is_selected(&self, change: &Change) -> bool {
        self.selects(change).unwrap_or(false)
    }

    fn selects(&self, change: &Change) -> Result<bool, ParseError> {
        let document = Document::parse(change.raw.get())?;
        Ok(select(&self.catalogue, &self.kind, document.root()) == Selection::Selected)
    }

    /// Passes on one change, unless it is of an object that is not recorded or known to be gone.
    pub async fn change(&mut self, change: Change) {
        let news = match self.known.sight(&change) {
            Sight::Ended => return,
            Sight::New => self.first_sight(&change).await,
            Sight::Unselected if self.is_selected(&change) => self.selected(&change).await,
            sight => self.seen_again(&change, sight),
        };
        self.known.end_with(&change);
        if let Some(news) = news {
            self.sink.take(Fact::Change(change, news)).await;
        }
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

    /// A workload is gone, and its last state with it.
    pub async fn gone(&mut self, recorded: Recorded) {
        self.known.end(recorded.uid, recorded.version.at, false);
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
