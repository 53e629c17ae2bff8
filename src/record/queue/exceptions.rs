//! Revisions that are refused for long become exceptions of the checkpoint.

use super::super::write::Write;
use super::QueueState;
use super::item::Pending;
use super::lane::LaneKey;

impl QueueState {
    /// The first Revision of a lane has been refused for long: it is an exception of its ledger from now on, unless that
    /// has too many. A Gap is none, as it stands for generations that cannot be read again.
    pub(super) fn except(&mut self, lane: LaneKey) {
        if let Some(first) = self.lanes.items_mut(lane).next()
            && let Some(exception) = first.item.exception()
        {
            let generation = exception.version.generation;
            if first.item.ledger.except(exception) {
                first.item.settle();
                first.item.pending = Pending::Excepted(generation);
            }
        }
        self.follow(lane);
    }

    /// Statuses of a Revision that is an exception: they are found again with it.
    pub(super) fn follow(&mut self, lane: LaneKey) {
        for queued in self.lanes.items_mut(lane) {
            let item = &mut queued.item;
            if let Write::Status(patch) = &item.write
                && matches!(item.pending, Pending::At(..))
                && item
                    .ledger
                    .follow(item.workload, &patch.name, patch.through_version())
            {
                item.settle();
                item.pending = Pending::Nothing;
            }
        }
    }
}
