//! The judges' knowledge of a lost checkpoint: what it leaves unknown need not be stored.

use super::Oracle;
use crate::etcd::Revision;
use crate::truth::{Life, uid};
use serde_json::Value;
use uuid::Uuid;

impl Oracle {
    /// A create of a process that is gone is carried out.
    pub fn comes_late(&mut self, body: &[u8]) {
        let object: Value = serde_json::from_slice(body).unwrap_or_default();
        let workload = uid(&object["spec"]["workload"]["uid"]);
        self.checkpoints.late.extend(workload);
    }

    /// Whether a generation lies in the blind interval of a lost checkpoint, before the first Revision of its workload.
    /// Where nothing of the kind was recorded, a start without a checkpoint cannot be told from the first one.
    pub(super) fn is_before_loss(&self, workload: Uuid, life: &Life, generation: i64) -> bool {
        let state = life.states.get(&generation);
        let ended = state.and_then(|state| Some((state.from, state.until?)));
        let is_unseen = |(from, until): (Revision, Revision)| {
            let lost = self.checkpoints.lost_before_beginning_after(life, until);
            self.said.is_blind(life, from, until)
                || lost.is_some_and(|lost| !self.is_recorded_before(&life.group_kind, lost))
        };
        self.checkpoints.was_lost(life)
            && self.stored.last_before(workload, generation).is_none()
            && ended.is_some_and(is_unseen)
    }

    /// Whether anything of a kind was recorded before a place.
    fn is_recorded_before(&self, kind: &str, place: Revision) -> bool {
        let lives = self.truth.lives.iter();
        let mut of_kind = lives.filter(|(_, life)| life.group_kind == kind);
        of_kind.any(|(workload, _)| self.stored.has_any_before(*workload, place))
    }
}
