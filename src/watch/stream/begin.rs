//! The beginning: where recording starts when there is no place to go on from, and the generations that an earlier
//! process could not store.
//!
//! The beginning is the oldest place that can still be read. Objects that are another generation now than they were
//! there, or are gone, are read back; so whatever happened in the minutes before the start is recorded, also what a
//! process that was killed before its first checkpoint had seen.

use super::super::exact::Past;
use super::super::join::{Behind, ObjectName};
use super::super::repair::Shown;
use super::{STALENESS, Stream, WAITS};
use crate::clock;
use crate::mutant::{self, Mutant};
use crate::revision::Observed;
use crate::watch::checkpoint::{Exception, Unusable};
use crate::watch::exact::Unserved;
use crate::watch::{Dates, Fact, Lost, Position, Reason, Recorded, Sink};
use crate::workload::{Change, Op, Resource, ResourceVersion, Version};
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::time::sleep;

/// Compaction may be faster than the search for the oldest place so many times.
const TRIES: u32 = 5;
/// The oldest readable place is found to this fraction of the history that can be read.
const PRECISION: u128 = 100;

impl<S: Sink> Stream<S> {
    /// Looks for the beginning, if there is no place to go on from. The next list is compared with it.
    pub(super) async fn begin(&mut self, resource: &Arc<Resource>) -> Result<(), Unserved> {
        let has_place = self.dates.since().is_some();
        if self.unusable.is_none() || has_place || mutant::is(Mutant::NoBeginning) {
            return Ok(());
        }
        for _ in 0..TRIES {
            let at = self.oldest(resource).await?;
            if let Past::Was(objects) = self.exact.all(resource, at).await? {
                self.begin_at(resource, at, objects).await;
                return Ok(());
            }
            sleep(WAITS.0).await;
        }
        // The past cannot be read at all.
        let time = clock::now() - STALENESS;
        let at = self.exact.place(resource).await?;
        self.dates = Dates::new(Some(Position { at, time }));
        Ok(())
    }

    /// The oldest place that can be read, roughly.
    async fn oldest(&self, resource: &Resource) -> Result<ResourceVersion, Unserved> {
        let now = self.exact.place(resource).await?;
        let mut oldest = now;
        let mut gone = ResourceVersion::default();
        while gone.distance(oldest) > 1 + oldest.distance(now) / PRECISION {
            let at = gone.middle(oldest);
            if self.exact.is_readable(resource, at).await? {
                oldest = at;
            } else {
                gone = at;
            }
        }
        Ok(oldest)
    }

    async fn begin_at(
        &mut self,
        resource: &Arc<Resource>,
        at: ResourceVersion,
        objects: Vec<Box<RawValue>>,
    ) {
        let there = self.edges(resource, objects).await;
        // All that is known of the time of that place is that these were created before it.
        let newest = there.iter().filter_map(|change| change.created).max();
        let time = newest.map(|time| time - STALENESS).unwrap_or_default();
        tracing::info!(%at, objects = there.len(), "recording begins");
        let position = Position { at, time };
        self.dates = Dates::new(Some(position));
        self.outlet
            .begin(there.iter().map(|change| Recorded::at(change, at)));
    }

    /// The list after the beginning is in. A place to go on from is missed if one was there, or if workloads were recorded
    /// before.
    pub(super) async fn miss_checkpoint(&mut self) -> bool {
        let is_missed = |unusable: &Unusable| *unusable != Unusable::Absent || self.was_recorded;
        let Some(unusable) = self.unusable.filter(is_missed) else {
            return false;
        };
        self.outlet.tell(Fact::CheckpointLost(unusable)).await;
        true
    }

    /// Reads back the generations that an earlier process could not store and that are not seen again, unless they are of
    /// another history than the list at `now`.
    pub(super) async fn restore(
        &mut self,
        resource: &Arc<Resource>,
        now: ResourceVersion,
    ) -> Result<(), Unserved> {
        if self.since().is_some_and(|since| since > now) {
            self.exceptions.clear();
        }
        while let Some(exception) = self.exceptions.first().cloned() {
            if self.is_seen_again(&exception) {
                tracing::debug!(?exception, "an exception of the checkpoint is seen again");
            } else if self.outlet.known().is_unknown(exception.uid) {
                self.since_it_was_absent(resource, &exception).await?;
            } else {
                let found = self.excepted(resource, &exception).await?;
                self.outlet.excepted(exception, found).await;
            }
            self.exceptions.remove(0);
        }
        Ok(())
    }

    /// Reads back an exception of a workload of which nothing is recorded, with the generations before it, of which the
    /// earlier process may have seen none.
    async fn since_it_was_absent(
        &mut self,
        resource: &Arc<Resource>,
        exception: &Exception,
    ) -> Result<(), Unserved> {
        let Exception { version, first, .. } = *exception;
        let behind = Behind {
            of: exception.into(),
            from: Version {
                generation: 0,
                at: first.before(),
            },
            refresh: false,
            to: version,
            listed: Some(version.at),
            created: None,
            shown: version.generation,
        };
        let history = self.exact.history(resource, &behind).await?;
        self.tell(resource, &behind, history).await
    }

    /// Whether the list, or the watch after it, shows an exception again. The list leads to all generations after the
    /// last known one of a workload, and each is compared with the one before, which the earlier process may not have
    /// done. The watch shows those after the place to go on from, unless a later one is recorded.
    fn is_seen_again(&self, exception: &Exception) -> bool {
        let Exception { uid, version, .. } = exception;
        let known = self.outlet.known();
        let last = known.last(*uid).map(|last| last.generation);
        let is_listed = last.is_some_and(|last| last < version.generation)
            && !mutant::is(Mutant::ExceptionsUncompared);
        let is_later = self.since().is_some_and(|since| version.at > since);
        is_listed || is_later && !known.knows(*uid, version.generation)
    }

    async fn excepted(
        &mut self,
        resource: &Arc<Resource>,
        exception: &Exception,
    ) -> Result<Result<Change, Lost>, Unserved> {
        let of = ObjectName::from(exception);
        let version = exception.version;
        let shown = self
            .exact
            .shown(resource, &of, version.generation, version.at)
            .await?;
        let reason = match shown {
            Shown::Found(raw) => match self
                .edge(resource, Observed::Repair, Op::Modified, raw)
                .await
            {
                Some(change) => return Ok(Ok(change)),
                None => Reason::Undecodable,
            },
            Shown::Unreadable => Reason::Undecodable,
            Shown::Passed(_) | Shown::Compacted => Reason::RecorderAway,
        };
        Ok(Err(Lost {
            uid: of.uid,
            namespace: of.namespace,
            name: of.name,
            generations: version.generation..=version.generation,
            reason,
            from: version.at,
            at: version.at,
            api_version: resource.api_version(),
        }))
    }
}
