//! Objects that come to be selected for recording, or cease to be, by the word of a list.

use super::Known;
use crate::workload::ResourceVersion;
use uuid::Uuid;

impl Known {
    /// A list shows an object. One that is not recorded, and was written since it was shown last, may be selected now: a
    /// label moves no generation.
    pub fn notice(&mut self, uid: Uuid, at: ResourceVersion) {
        if self.ignored.get(&uid).is_some_and(|shown| *shown < at) {
            self.ignored.remove(&uid);
        }
    }

    /// A list shows a later generation of a workload in which it is not selected: what lies between, as far as it
    /// cannot be read, counts as not selected.
    pub fn deselect(&mut self, uid: Uuid) {
        if let Some(workload) = self.workloads.get_mut(&uid) {
            workload
                .unselected
                .get_or_insert(workload.last.generation + 1);
        }
    }
}
