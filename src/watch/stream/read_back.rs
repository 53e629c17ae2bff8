//! Reads what was missed from etcd's past, and passes it on from the oldest to the youngest.

use super::super::exact::Past;
use super::super::join::{Behind, Join, ObjectName};
use super::super::repair::{FoundState, LastState, ObjectPast, Piece};
use super::super::walk::Hole;
use super::Stream;
use crate::revision::Observed;
use crate::watch::exact::Unserved;
use crate::watch::{Lost, Reason, Recorded, Sink};
use crate::workload::{Change, Op, Resource, ResourceVersion, Version};
use futures::StreamExt;
use serde_json::value::RawValue;
use std::sync::Arc;

/// So many objects are read back at the same time.
pub(super) const SIDE_BY_SIDE: usize = 16;

impl<S: Sink> Stream<S> {
    /// Reads the history of objects that moved, and the ends of workloads that are gone since before `by`.
    pub(super) async fn read_back(
        &mut self,
        resource: &Arc<Resource>,
        behind: Vec<Behind>,
        gone: Vec<Recorded>,
        by: ResourceVersion,
    ) -> Result<(), Unserved> {
        if behind.len() + gone.len() > 1 {
            tracing::info!(
                behind = behind.len(),
                gone = gone.len(),
                "reading back what was missed"
            );
        }
        let exact = self.exact.clone();
        let histories = behind.into_iter().map(|behind| {
            let exact = exact.clone();
            async move { (exact.history(resource, &behind).await, behind) }
        });
        let mut histories = futures::stream::iter(histories).buffer_unordered(SIDE_BY_SIDE);
        while let Some((history, behind)) = histories.next().await {
            self.tell(resource, &behind, history?).await?;
        }
        let ends = gone.into_iter().map(|recorded| {
            let exact = exact.clone();
            async move {
                let name = ObjectName::from(&recorded);
                let last = exact.last_state(resource, &name, recorded.version.at, by);
                (last.await, recorded)
            }
        });
        let mut ends = futures::stream::iter(ends).buffer_unordered(SIDE_BY_SIDE);
        while let Some((last, recorded)) = ends.next().await {
            match last? {
                LastState::Last(last) | LastState::Earlier(last) => {
                    let behind = Behind::new(&last, recorded.version, true, None);
                    self.ended_before(resource, behind, last, by).await?;
                }
                LastState::Compacted => self.gone(resource, recorded).await?,
            }
        }
        Ok(())
    }

    /// A workload that is gone at `by`: its history up to the last state that was found, and that.
    pub(super) async fn ended_before(
        &mut self,
        resource: &Arc<Resource>,
        behind: Behind,
        last: Change,
        by: ResourceVersion,
    ) -> Result<(), Unserved> {
        let history = self.exact.history(resource, &behind).await?;
        self.tell(resource, &behind, history).await?;
        let recorded = Recorded::of(&last);
        let is_end_known = last.op == Op::Deleted;
        self.outlet.change(last).await;
        if !self.outlet.ends_later(recorded.uid, by) && !is_end_known {
            self.gone(resource, recorded).await?;
        }
        Ok(())
    }

    /// Passes on the states that were found, and the generations that were not, from the oldest to the youngest.
    pub(super) async fn tell(
        &mut self,
        resource: &Arc<Resource>,
        behind: &Behind,
        history: ObjectPast,
    ) -> Result<(), Unserved> {
        for piece in history.pieces(behind) {
            match piece {
                Piece::Hole(hole, at) => self.lost(resource, behind, hole, at).await?,
                Piece::State(generation, state) => {
                    self.found(resource, behind, generation, state).await?;
                }
            }
        }
        self.heard(true).await;
        Ok(())
    }

    async fn found(
        &mut self,
        resource: &Arc<Resource>,
        behind: &Behind,
        generation: i64,
        state: FoundState,
    ) -> Result<(), Unserved> {
        let at = state.at.min(behind.to.at);
        let change = self.exact.change(resource, &behind.of, generation, state);
        let unreadable = match change.await? {
            Past::Was(change) => {
                let absent_at = (behind.from.generation == 0).then_some(behind.from.at);
                self.outlet
                    .change(Change {
                        absent_at,
                        ..change
                    })
                    .await;
                return Ok(());
            }
            past => matches!(past, Past::Unreadable),
        };
        if generation > behind.from.generation {
            // It was there a moment ago.
            let generations = generation..=generation;
            let hole = Hole {
                generations,
                unreadable,
            };
            self.lost(resource, behind, hole, at).await?;
        }
        Ok(())
    }

    async fn lost(
        &mut self,
        resource: &Arc<Resource>,
        behind: &Behind,
        hole: Hole,
        at: ResourceVersion,
    ) -> Result<(), Unserved> {
        let (from, to) = hole.generations.into_inner();
        let first = behind.first_of_ours(self.origin.map(|origin| origin.time));
        if to < first {
            return Ok(());
        }
        let first = first.max(self.accounted(resource, behind).await? + 1);
        if to < first {
            return Ok(());
        }
        let reason = match (hole.unreadable, self.resumed) {
            (true, _) => Reason::Undecodable,
            (false, true) => Reason::Compacted,
            (false, false) => Reason::RecorderAway,
        };
        let ObjectName {
            namespace,
            name,
            uid,
        } = behind.of.clone();
        let lost = Lost {
            uid,
            namespace,
            name,
            generations: from.max(first)..=to,
            reason,
            from: behind.from.at.after(1).min(at),
            at,
            api_version: resource.api_version(),
        };
        self.lose(resource, lost).await
    }

    /// The states of objects of the past.
    pub(super) async fn edges(
        &mut self,
        resource: &Arc<Resource>,
        objects: Vec<Box<RawValue>>,
    ) -> Vec<Change> {
        let mut changes = Vec::with_capacity(objects.len());
        for raw in objects {
            changes.extend(
                self.edge(resource, Observed::Repair, Op::Modified, raw)
                    .await,
            );
        }
        changes
    }

    /// Looks at everything that was there at one place for objects that came after the position and are gone.
    pub(super) async fn sample(
        &mut self,
        resource: &Arc<Resource>,
        join: &mut Join,
        place: ResourceVersion,
    ) -> Result<(), Unserved> {
        let Past::Was(objects) = self.exact.all(resource, place).await? else {
            join.sampled(None, self.outlet.known());
            return Ok(());
        };
        let changes = self.edges(resource, objects).await;
        let seen: Vec<_> = changes
            .iter()
            .map(|change| (change.uid, change.generation))
            .collect();
        let passed_by = join.sampled(Some(&seen), self.outlet.known());
        for change in changes
            .iter()
            .filter(|change| passed_by.contains(&change.uid))
        {
            let interval = join.interval();
            if !self.passed_by(resource, interval, place, change).await? {
                join.lost_sight();
            }
        }
        Ok(())
    }

    /// An object that came within the interval, was there at `at`, and went. False when it cannot be read any more.
    async fn passed_by(
        &mut self,
        resource: &Arc<Resource>,
        (from, to): (ResourceVersion, ResourceVersion),
        at: ResourceVersion,
        change: &Change,
    ) -> Result<bool, Unserved> {
        let name = ObjectName::of(change);
        let last = self.exact.last_state(resource, &name, at, to).await?;
        let (LastState::Last(last) | LastState::Earlier(last)) = last else {
            return Ok(false);
        };
        // Most of what comes and goes is not selected; nothing of that is lost.
        if self.outlet.is_selected(&last) {
            let origin = Version {
                generation: 0,
                at: from,
            };
            let behind = Behind::new(&last, origin, true, None);
            self.ended_before(resource, behind, last, to).await?;
        }
        Ok(true)
    }
}
