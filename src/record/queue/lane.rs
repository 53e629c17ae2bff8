//! A lane: writes that are carried out one after the other. Pure.

use super::gate::Streak;
use std::collections::VecDeque;
use uuid::Uuid;

/// The name of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LaneKey {
    /// The writes of a workload, in their order.
    Workload(Uuid),
    /// Statuses of a workload of which one could not be written: Revisions pass them.
    Statuses(Uuid),
    /// A Revision of a workload that was refused for too long, and the statuses of that Revision. Later ones pass it.
    Refused(Uuid, u64),
}

impl LaneKey {
    /// metadata.uid of the workload.
    pub fn workload(self) -> Uuid {
        match self {
            Self::Workload(uid) | Self::Statuses(uid) | Self::Refused(uid, _) => uid,
        }
    }
}

/// The properties of an item that decide about its order.
pub trait LaneItem {
    /// metadata.uid of its workload.
    fn workload(&self) -> Uuid;
    /// The namespace of its Revision.
    fn namespace(&self) -> &str;
    /// The name of its Revision.
    fn revision(&self) -> &str;
    /// Whether it creates that Revision; otherwise it writes into its status.
    fn creates(&self) -> bool;
    /// Whether later Revisions of its workload may be stored before it.
    fn may_be_passed(&self) -> bool;
}

/// An item that was given out, and the lane to which it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Given<T> {
    /// The lane, which waits for it.
    pub lane: LaneKey,
    /// The item.
    pub item: T,
}

/// The items of one lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane<T> {
    pub(super) items: VecDeque<T>,
    /// Whether an item of it was given out.
    pub(super) busy: bool,
    /// Failures in a row of its first item.
    pub(super) streak: Streak,
    /// The name of the Revision that has stepped aside into this lane.
    pub(super) refused: Option<String>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            busy: false,
            streak: Streak::default(),
            refused: None,
        }
    }
}

impl<T: LaneItem> Lane<T> {
    /// Takes out the first item, and its failures with it.
    pub(super) fn split_first(&mut self) -> Self {
        Self {
            items: self.items.pop_front().into_iter().collect(),
            streak: std::mem::take(&mut self.streak),
            ..Self::default()
        }
    }

    /// Takes out the first item, which creates a Revision, and the statuses of that: they cannot be written before it.
    pub(super) fn split_off(&mut self) -> Self {
        let mut aside = self.split_first();
        aside.refused = aside.items.front().map(|first| first.revision().to_owned());
        let is_of_it =
            |item: &T| !item.creates() && aside.refused.as_deref() == Some(item.revision());
        let (of_it, others): (Vec<T>, Vec<T>) = std::mem::take(&mut self.items)
            .into_iter()
            .partition(is_of_it);
        self.items = others.into();
        aside.items.extend(of_it);
        aside
    }
}
