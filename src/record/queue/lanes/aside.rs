//! Writes that others pass: a Revision that was refused for long, and a status that could not be written.

use super::super::lane::{LaneItem, LaneKey};
use super::Lanes;

impl<T: LaneItem> Lanes<T> {
    /// The lane of the Revision into whose status `item` writes, if that has stepped aside.
    pub(super) fn refused(&self, item: &T) -> Option<LaneKey> {
        let of = item.workload();
        let aside = LaneKey::Refused(of, 0)..=LaneKey::Refused(of, u64::MAX);
        let mut lanes = self.lanes.range(aside).filter(|_| !item.creates());
        let its = lanes.find(|(_, lane)| lane.refused.as_deref() == Some(item.revision()))?;
        Some(*its.0)
    }

    /// Statuses at the front of a workload go behind the one that could not be written.
    pub(super) fn pass_statuses(&mut self, key: LaneKey) {
        let LaneKey::Workload(workload) = key else {
            return;
        };
        let statuses = LaneKey::Statuses(workload);
        if !self.lanes.contains_key(&statuses) {
            return;
        }
        while let Some(lane) = self.lanes.get_mut(&key)
            && let Some(status) = lane.items.pop_front_if(|first| !first.creates())
        {
            self.lane(statuses).items.push_back(status);
        }
    }

    /// The first Revision of a lane gets a lane of its own, whose key is returned.
    pub(super) fn step_aside(&mut self, key: LaneKey) -> LaneKey {
        self.aside += 1;
        let refused = LaneKey::Refused(key.workload(), self.aside);
        let Some(lane) = self.lanes.get_mut(&key) else {
            return key;
        };
        let aside = lane.split_off();
        self.go_on(key);
        self.lanes.insert(refused, aside);
        refused
    }

    /// A status that could not be written gets out of the way of Revisions. Returns the key of its lane.
    pub(super) fn pass_by(&mut self, key: LaneKey, creates: bool) -> LaneKey {
        let LaneKey::Workload(workload) = key else {
            return key;
        };
        if creates {
            return key;
        }
        let Some(lane) = self.lanes.get_mut(&key) else {
            return key;
        };
        let aside = lane.split_first();
        self.go_on(key);
        let statuses = LaneKey::Statuses(workload);
        self.lanes.insert(statuses, aside);
        statuses
    }

    /// A lane whose first item was taken out goes on with the next.
    pub(super) fn go_on(&mut self, key: LaneKey) {
        if self
            .lanes
            .get(&key)
            .is_some_and(|lane| lane.items.is_empty())
        {
            self.lanes.remove(&key);
        } else {
            self.ready.push_back(key);
        }
    }
}
