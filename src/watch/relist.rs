//! What is there now, what of it is not recorded, and bringing that up to date.

use super::exact::{Name, Past, Unserved};
use super::repair::{Behind, Found, FoundState};
use super::stream::Stream;
use super::walk::Hole;
use super::{Lost, Need, Reason, Recorded, Sink};
use crate::client::page::has_status;
use crate::clock;
use crate::metrics;
use crate::revision::Observed;
use crate::workload::{Change, Op, Resource, ResourceVersion};
use chrono::TimeDelta;
use futures::StreamExt;
use std::collections::HashSet;
use std::sync::Arc;
use uuid::Uuid;

/// A page is in memory as a whole, several times over.
const PAGE: usize = 200;
/// So many objects are read back at the same time.
const SIDE_BY_SIDE: usize = 16;
/// How often an interval is sampled for objects that came and went in it.
const SAMPLES: u128 = 8;
/// So many objects are looked at in all samples together, roughly.
const SAMPLED_OBJECTS: u128 = 16_000;
/// Times of creation have whole seconds, and are of another clock.
const SKEW: TimeDelta = TimeDelta::seconds(5);

/// A list, and what follows from it.
pub(super) struct Listed {
    pub(super) at: ResourceVersion,
    /// Objects that moved since they were last known.
    pub(super) behind: Vec<Behind>,
    /// Workloads that are gone.
    pub(super) gone: Vec<Recorded>,
    /// Every object that is there.
    uids: HashSet<Uuid>,
}

impl Listed {
    fn empty() -> Self {
        let (behind, gone, uids) = (Vec::new(), Vec::new(), HashSet::new());
        Self {
            at: ResourceVersion::default(),
            behind,
            gone,
            uids,
        }
    }

    /// Leaves out what a watch has shown meanwhile.
    pub(super) fn drop_known(&mut self, sink: &impl Sink) {
        self.behind
            .retain(|behind| !sink.knows(behind.of.uid, behind.to.0));
        self.gone
            .retain(|recorded| !sink.knows(recorded.uid, i64::MAX));
    }

    pub(super) fn is_settled(&self) -> bool {
        self.behind.is_empty() && self.gone.is_empty()
    }
}

/// Why there is no list.
pub(super) enum NoList {
    /// The kind is not served any more.
    Absent,
    /// etcd was restored.
    Rewound(ResourceVersion),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for NoList {
    fn from(error: anyhow::Error) -> Self {
        if has_status(&error, 404) {
            Self::Absent
        } else {
            Self::Failed(error)
        }
    }
}

impl From<Unserved> for NoList {
    fn from(_: Unserved) -> Self {
        Self::Absent
    }
}

impl<S: Sink> Stream<S> {
    /// Reads what is there. What is known or can be decided is passed on; the rest is returned.
    pub(super) async fn list(&mut self, resource: &Arc<Resource>) -> Result<Listed, NoList> {
        self.metrics
            .lists
            .get_or_create(&metrics::kind(&self.kind.kind))
            .inc();
        self.sink.listing();
        let mut listed = Listed::empty();
        let (mut token, asked) = (String::new(), clock::now());
        loop {
            let page = self.exact.present(resource, PAGE, &token, false).await?;
            self.sink.heard(true);
            for raw in page.items {
                if let Some(change) = self.edge(resource, Observed::List, Op::Added, raw) {
                    listed.uids.insert(change.uid);
                    self.place(change, page.at, &mut listed).await?;
                }
            }
            token = page.token;
            if token.is_empty() {
                listed.at = page.at;
                self.measured(page.at, asked);
                listed.gone = self.sink.listed(&listed.uids);
                return Ok(listed);
            }
        }
    }

    /// What is there that was not seen, as a list of metadata tells.
    pub(super) async fn suspects(&mut self, resource: &Arc<Resource>) -> Result<Listed, NoList> {
        let mut listed = Listed::empty();
        let mut token = String::new();
        loop {
            let page = self.exact.present(resource, PAGE, &token, true).await?;
            for raw in page.items {
                let Some(change) = self.edge(resource, Observed::List, Op::Added, raw) else {
                    continue;
                };
                listed.uids.insert(change.uid);
                if self.sink.contradicts(&change) {
                    return Err(NoList::Rewound(change.resource_version));
                }
                if !self.sink.knows(change.uid, change.generation) {
                    self.suspect(resource, &change, page.at, &mut listed)
                        .await?;
                }
            }
            token = page.token;
            if token.is_empty() {
                listed.at = page.at;
                listed.gone = self.sink.listed(&listed.uids);
                return Ok(listed);
            }
        }
    }

    /// Metadata does not tell whether an object is selected, so it is read whole, as the list at `at` showed it.
    async fn suspect(
        &mut self,
        resource: &Arc<Resource>,
        change: &Change,
        at: ResourceVersion,
        listed: &mut Listed,
    ) -> Result<(), NoList> {
        let raw = match self
            .exact
            .shown(resource, &name_of(change), change.generation, at)
            .await?
        {
            Past::Was(raw) => raw,
            // It went on: that comes by the watch, or is for the next audit.
            Past::Compacted => return Ok(()),
            Past::Unreadable => {
                self.metrics
                    .undecodable
                    .get_or_create(&metrics::kind(&self.kind.kind))
                    .inc();
                return Ok(());
            }
        };
        let Some(whole) = self.edge(resource, Observed::List, Op::Added, raw) else {
            return Ok(());
        };
        match self.sink.need(&whole) {
            Need::After {
                generation,
                at: from,
                refresh,
            } => {
                listed
                    .behind
                    .push(behind(&whole, (generation, from), refresh, Some(at)));
            }
            Need::Origin => listed.behind.extend(
                self.since
                    .map(|_| behind(&whole, (0, ResourceVersion::default()), false, Some(at))),
            ),
            Need::Nothing => {}
            Need::Rewound => return Err(NoList::Rewound(change.resource_version)),
        }
        Ok(())
    }

    /// Passes on an object of a list at `at`, or notes what has to be read first: the object is read again then.
    async fn place(
        &mut self,
        change: Change,
        at: ResourceVersion,
        listed: &mut Listed,
    ) -> Result<(), NoList> {
        match (self.sink.need(&change), self.since) {
            (Need::Rewound, _) => return Err(NoList::Rewound(change.resource_version)),
            (
                Need::After {
                    generation,
                    at: from,
                    refresh,
                },
                _,
            ) => {
                listed
                    .behind
                    .push(behind(&change, (generation, from), refresh, Some(at)));
            }
            (Need::Origin, Some(since)) if since.at < change.resource_version => {
                listed
                    .behind
                    .push(behind(&change, (0, since.at), false, Some(at)));
            }
            (Need::Nothing | Need::Origin, _) => self.sink.change(change).await,
        }
        Ok(())
    }

    /// Reads everything that was missed from etcd's past.
    pub(super) async fn catch_up(
        &mut self,
        resource: &Arc<Resource>,
        listed: &mut Listed,
    ) -> Result<(), Unserved> {
        let at = listed.at;
        let (behind, gone) = (
            std::mem::take(&mut listed.behind),
            std::mem::take(&mut listed.gone),
        );
        if behind.len() + gone.len() > 1 {
            tracing::info!(
                kind = self.kind.kind,
                behind = behind.len(),
                gone = gone.len(),
                "reading back what was missed"
            );
        }
        let exact = self.exact.clone();
        let read = |behind: Behind| {
            let (exact, resource) = (exact.clone(), resource.clone());
            async move { (exact.history(&resource, &behind).await, behind) }
        };
        let mut histories = futures::stream::iter(behind)
            .map(read)
            .buffer_unordered(SIDE_BY_SIDE);
        while let Some((found, behind)) = histories.next().await {
            self.tell(resource, &behind, found?).await?;
        }
        let last = |recorded: Recorded| {
            let (exact, resource) = (exact.clone(), resource.clone());
            async move {
                let of = name(&recorded);
                (
                    exact.last_state(&resource, &of, recorded.at, at).await,
                    recorded,
                )
            }
        };
        let mut ends = futures::stream::iter(gone)
            .map(last)
            .buffer_unordered(SIDE_BY_SIDE);
        while let Some((last, recorded)) = ends.next().await {
            match last? {
                Some(last) => {
                    self.ended_before(resource, (recorded.generation, recorded.at), last)
                        .await?;
                }
                None => self.sink.gone(&recorded).await,
            }
        }
        Ok(())
    }

    /// A workload that is gone: its history up to its last state, and that.
    async fn ended_before(
        &mut self,
        resource: &Arc<Resource>,
        from: (i64, ResourceVersion),
        last: Change,
    ) -> Result<(), Unserved> {
        let behind = behind(&last, from, true, None);
        let found = self.exact.history(resource, &behind).await?;
        self.tell(resource, &behind, found).await?;
        self.sink.change(last).await;
        Ok(())
    }

    /// Passes on what was found, and says what was not, from the oldest to the youngest.
    pub(super) async fn tell(
        &mut self,
        resource: &Arc<Resource>,
        behind: &Behind,
        found: Found,
    ) -> Result<(), Unserved> {
        let Found { states, lost, .. } = found;
        let mut lost = lost.into_iter().peekable();
        for (generation, state) in states {
            while let Some(hole) = lost.next_if(|hole| *hole.generations.end() < generation) {
                self.say_lost(resource, behind, hole, state.at.min(behind.to.1).before())
                    .await;
            }
            self.pass_on(resource, behind, generation, state).await?;
        }
        for hole in lost {
            let whole = *hole.generations.end() == behind.to.0;
            let at = if whole {
                behind.to.1
            } else {
                behind.to.1.before()
            };
            self.say_lost(resource, behind, hole, at).await;
        }
        self.sink.heard(true);
        Ok(())
    }

    async fn pass_on(
        &mut self,
        resource: &Arc<Resource>,
        behind: &Behind,
        generation: i64,
        state: FoundState,
    ) -> Result<(), Unserved> {
        let at = state.at.min(behind.to.1);
        let past = self
            .exact
            .change(resource, &behind.of, generation, state)
            .await?;
        let unreadable = matches!(past, Past::Unreadable);
        if let Past::Was(change) = past {
            self.sink.change(change).await;
        } else if generation > behind.from.0 {
            // It was there a moment ago.
            let hole = Hole {
                generations: generation..=generation,
                unreadable,
            };
            self.say_lost(resource, behind, hole, at).await;
        }
        Ok(())
    }

    async fn say_lost(
        &mut self,
        resource: &Arc<Resource>,
        behind: &Behind,
        hole: Hole,
        at: ResourceVersion,
    ) {
        let Hole {
            generations,
            unreadable,
        } = hole;
        // The newest state of a workload is ours whenever it was made.
        if !self.is_ours(behind) && *generations.end() < behind.to.0 {
            return;
        }
        let reason = match (unreadable, self.resumed) {
            (true, _) => Reason::Undecodable,
            (false, true) => Reason::Compacted,
            (false, false) => Reason::RecorderAway,
        };
        let Name {
            namespace,
            name,
            uid,
        } = behind.of.clone();
        let api_version = resource.api_version();
        self.sink
            .lost(Lost {
                uid,
                namespace,
                name,
                generations,
                reason,
                at,
                api_version,
            })
            .await;
    }

    /// Generations before the first sight of a workload count as lost only if it was made while it should have been
    /// seen; what was there before Revisor knew the kind is just unknown.
    fn is_ours(&self, behind: &Behind) -> bool {
        let since = self.since.map(|since| since.time);
        behind.from.0 > 0
            || behind
                .created
                .zip(since)
                .is_some_and(|(created, since)| created + SKEW >= since)
    }

    /// Looks for objects that came and went between two places. What lived at none of the samples leaves no trace, so
    /// unless every place was looked at, the interval is told.
    pub(super) async fn look_into(
        &mut self,
        resource: &Arc<Resource>,
        from: ResourceVersion,
        listed: &Listed,
    ) -> Result<(), Unserved> {
        let distance = from.distance(listed.at);
        let affordable = (SAMPLED_OBJECTS / listed.uids.len().max(1) as u128).clamp(1, SAMPLES);
        let samples = affordable.min(distance);
        let (mut seen, mut blind) = (HashSet::new(), distance > samples);
        for i in 1..=samples {
            let at = from.after(distance * i / (samples + 1));
            let Past::Was(objects) = self.exact.all(resource, at).await? else {
                blind = true;
                continue;
            };
            for raw in objects {
                let Some(change) = self.edge(resource, Observed::Repair, Op::Modified, raw) else {
                    continue;
                };
                let known = listed.uids.contains(&change.uid)
                    || self.sink.knows(change.uid, change.generation);
                if !known && seen.insert(change.uid) {
                    self.passed_by(resource, from, at, listed.at, &change)
                        .await?;
                }
            }
        }
        if blind {
            self.sink.blind(from, listed.at);
        }
        Ok(())
    }

    /// An object that came after `from`, was there at `at`, and went before `to`.
    async fn passed_by(
        &mut self,
        resource: &Arc<Resource>,
        from: ResourceVersion,
        at: ResourceVersion,
        to: ResourceVersion,
        change: &Change,
    ) -> Result<(), Unserved> {
        match self
            .exact
            .last_state(resource, &name_of(change), at, to)
            .await?
        {
            // Most of what comes and goes is none of ours; nothing of that is lost.
            Some(last) if self.sink.wants(&last) => {
                self.ended_before(resource, (0, from), last).await
            }
            _ => Ok(()),
        }
    }
}

fn name(recorded: &Recorded) -> Name {
    Name {
        namespace: recorded.namespace.clone(),
        name: recorded.name.clone(),
        uid: recorded.uid,
    }
}

fn name_of(change: &Change) -> Name {
    Name {
        namespace: change.namespace.clone(),
        name: change.name.clone(),
        uid: change.uid,
    }
}

/// What has to be read so that `change` can be passed on; with the list that showed it, `change` as well.
pub(super) fn behind(
    change: &Change,
    from: (i64, ResourceVersion),
    refresh: bool,
    listed: Option<ResourceVersion>,
) -> Behind {
    let to = (change.generation, change.resource_version);
    Behind {
        of: name_of(change),
        from,
        refresh,
        to,
        listed,
        created: change.created,
    }
}
