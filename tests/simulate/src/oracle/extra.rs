//! Judges Revisions of generations that changed nothing.

use super::{Oracle, Promise, checkpoint};
use crate::etcd::Etcd;
use crate::truth::Life;
use uuid::Uuid;

impl Oracle {
    /// A generation that changed nothing is recorded only where the one before it is not known. Of several replicas, one
    /// that was cut off may have to begin where another has compared. Nor can an exception be compared any more when a later
    /// generation is recorded.
    pub(super) fn is_extra(
        &self,
        workload: Uuid,
        life: &Life,
        generation: i64,
        is_baseline: bool,
        etcd: &Etcd,
    ) -> bool {
        let Some(state) = life.states.get(&generation) else {
            return false;
        };
        let after_hole = (generation == life.since)
            || self.stored.is_lost(workload, generation - 1)
            || self.said.ends.contains_key(&workload)
            || self.is_oldest(workload, life, generation, etcd)
            || self.replicas > 1 && is_baseline
            || self.stored.was_removed(workload)
            || self.stored.is_passed(workload, generation)
            || self.checkpoints.is_behind_loss(workload, life);
        state.quiet && !after_hole
    }

    /// Whether a generation is the oldest that could be read when recording began. Of a workload that came and went
    /// before the first list, any may be the first that is seen.
    fn is_oldest(&self, workload: Uuid, life: &Life, generation: i64, etcd: &Etcd) -> bool {
        let before = life.states.get(&(generation - 1));
        let is_first = before.is_none_or(|before| !before.is_readable(checkpoint::oldest(etcd)));
        let begins = self.stored.last_before(workload, generation).is_none()
            && self.checkpoints.begins_within(life);
        (is_first || self.checkpoints.is_passing(life)) && begins
    }

    /// Judges the Revisions of generations that changed nothing, after everything else has come.
    pub fn judge_suspects(&mut self) {
        for (workload, generation, text) in std::mem::take(&mut self.suspects) {
            if !self.stored.is_lost(workload, generation - 1) {
                self.violated(Promise::NoneExtra, text);
            }
        }
    }
}
