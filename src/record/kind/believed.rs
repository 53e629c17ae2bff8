//! What is stored, where it differs from what this process has recorded.

use super::super::tracked::Tracked;
use super::KindRecorder;
use crate::workload::{Head, Version};
use uuid::Uuid;

impl KindRecorder {
    /// Another replica has recorded, or compared, every generation of a workload up to `through`. Its newest Revision up to
    /// there is the one that the next state is compared with, if it is newer than what this process knows.
    pub(super) fn recorded(&mut self, uid: Uuid, head: Option<Head>, through: Version) {
        // Whatever waited to be said of earlier generations is said by that Revision.
        let overtaken = head
            .as_ref()
            .and_then(|_| self.recorder.quiet.overtaken(uid));
        if let Some(first) = overtaken {
            self.ledger.done(first);
        }
        if head.as_ref().is_some_and(|head| head.deleted) {
            self.workloads.remove(&uid);
            return;
        }
        let known = self.workloads.get(&uid).map(|one| one.content.generation);
        let is_newer = |head: &Head| known.is_none_or(|known| known < head.generation);
        if let Some(head) = head.filter(is_newer) {
            let mut tracked = Tracked::recorded(head);
            tracked.saw(through);
            self.workloads.insert(uid, Box::new(tracked));
        } else if let Some(tracked) = self.workloads.get_mut(&uid) {
            tracked.saw(through);
        }
    }
}
