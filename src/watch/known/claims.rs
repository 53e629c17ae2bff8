//! What others have stored of an object, and how far it is believed.

use super::Known;
use crate::workload::{Change, Head, ResourceVersion};
use uuid::Uuid;

impl Known {
    /// The Revisions that were taken over of an object are not all believed: `head` is the newest that is. False when this
    /// process has seen the object itself, which counts more.
    pub fn correct(&mut self, uid: Uuid, head: Option<&Head>) -> bool {
        let is_there = self.workloads.get(&uid).map(|workload| workload.seen);
        let is_over = self.ended.get(&uid).map(|ended| ended.seen);
        if is_there.or(is_over) == Some(true) {
            return false;
        }
        self.workloads.remove(&uid);
        self.ended.remove(&uid);
        if let Some(head) = head {
            self.take_over(uid, head);
        }
        true
    }

    /// A list shows an object that an earlier process recorded. Where it was not written since `since`, up to which everything
    /// was settled, a claim that nothing changed up to this generation is true. One of a later generation is forged.
    pub fn weigh(&mut self, change: &Change, since: Option<ResourceVersion>) {
        let Some(workload) = self.workloads.get_mut(&change.uid) else {
            return;
        };
        if workload.seen || workload.claimed <= workload.last.generation {
            return;
        }
        if workload.claimed > change.generation {
            workload.claimed = 0;
        } else if since.is_some_and(|since| change.resource_version <= since)
            && workload.claimed == change.generation
        {
            workload.last = change.version();
        }
    }

    /// Up to which generation it is claimed of an object that nothing changed.
    pub(super) fn claimed(&self, uid: Uuid) -> i64 {
        self.workloads
            .get(&uid)
            .map_or(0, |workload| workload.claimed)
    }
}
