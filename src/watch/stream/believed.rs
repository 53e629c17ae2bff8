//! What is stored is compared with what this process believes, before it says that something cannot be recorded.

use super::Stream;
use crate::watch::checkpoint::Exception;
use crate::watch::edge::PartialObject;
use crate::watch::exact::{Past, Unserved};
use crate::watch::join::{Behind, ObjectName};
use crate::watch::stored::Stored;
use crate::watch::{Lost, Recorded, Sink};
use crate::workload::{Resource, ResourceVersion, Version};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// Up to where an earlier process had recorded everything: its checkpoint.
#[derive(Clone, Debug)]
pub(super) struct Checkpointed {
    place: ResourceVersion,
    /// The workloads of which it had not.
    excepted: BTreeSet<Uuid>,
}

impl Checkpointed {
    pub(super) fn new(place: ResourceVersion, exceptions: &[Exception]) -> Self {
        let excepted = exceptions.iter().map(|exception| exception.uid).collect();
        Self { place, excepted }
    }
}

impl<S: Sink> Stream<S> {
    /// The last generation of an object that an earlier process had recorded, or had found to change nothing. Those up to
    /// there that are not stored any more were removed since, and are not lost; 0 where that is not known.
    pub(super) async fn accounted(
        &self,
        resource: &Arc<Resource>,
        behind: &Behind,
    ) -> Result<i64, Unserved> {
        let checkpointed = self.checkpointed.as_ref();
        let ours = checkpointed.filter(|one| !one.excepted.contains(&behind.of.uid));
        let Some(Checkpointed { place, .. }) = ours else {
            return Ok(0);
        };
        if behind.to.at <= *place {
            return Ok(behind.to.generation);
        }
        let Past::Was(Some(raw)) = self.exact.object(resource, &behind.of, *place).await? else {
            return Ok(0);
        };
        let version = PartialObject::read(raw.get()).and_then(|object| object.version());
        Ok(version.map_or(0, |version| version.generation))
    }

    /// Generations cannot be had. Those that another replica has recorded meanwhile, or has found to have changed nothing,
    /// are known with that; the others are lost. The present Revisions of the workload say so: the cache may be as far behind
    /// as this watch was.
    pub(super) async fn lose(
        &mut self,
        resource: &Arc<Resource>,
        lost: Lost,
    ) -> Result<(), Unserved> {
        let last = Version {
            generation: *lost.generations.end(),
            at: lost.at,
        };
        if self.outlet.has_seen(lost.uid, last.generation) {
            return Ok(());
        }
        let of = ObjectName {
            namespace: lost.namespace.clone(),
            name: lost.name.clone(),
            uid: lost.uid,
        };
        let stored = self.stored(resource, &of, last.generation).await?;
        let explanation = stored.explain(&lost.generations);
        for generations in explanation.lost {
            let lost = lost.clone();
            let lost = Lost {
                generations,
                ..lost
            };
            self.outlet.lost(lost).await;
        }
        if explanation.reaches_end {
            self.outlet.recorded(&lost, stored.into_head(last)).await;
        }
        Ok(())
    }

    /// The last state of a workload is compacted. Another replica may have seen it.
    pub(super) async fn gone(
        &mut self,
        resource: &Arc<Resource>,
        recorded: Recorded,
    ) -> Result<(), Unserved> {
        let of = ObjectName::from(&recorded);
        let stored = self.stored(resource, &of, i64::MAX).await?;
        if stored.has_ended() {
            let head = stored.into_head(recorded.version);
            self.outlet.ended(&recorded, head).await;
        } else {
            self.outlet.gone(recorded).await;
        }
        Ok(())
    }

    /// The Revisions of a workload, as far as they can be those of its generations up to `last`.
    async fn stored(
        &self,
        resource: &Arc<Resource>,
        of: &ObjectName,
        last: i64,
    ) -> Result<Stored, Unserved> {
        let mut stored = Stored::new(of.uid, last);
        self.exact.stored(of, &mut stored).await;
        if stored.is_ahead()
            && let Past::Was((Some(raw), _)) = self.exact.now(resource, of).await?
            && let Ok(version) = PartialObject::read(raw.get()).and_then(|object| object.version())
        {
            stored.live(version.generation);
        }
        Ok(stored)
    }
}
