//! The last known state of every object of one kind, and what follows from it for the next. Pure.
//!
//! In: heads of recorded workloads, changes, generations that are lost, workloads that are gone. Out: what has to be
//! read before a change can be passed on ([`Need`]), and how a change relates to what is known ([`Sight`]). A plain
//! value: two of them that have seen the same are equal.

mod selection;
mod waiting;

pub use waiting::Postponed;

use super::{Lost, Reason, Recorded};
use crate::mutant::{self, Mutant};
use crate::revision::Observed;
use crate::workload::{Change, Head, Op, ResourceVersion, Version};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// All that is known of the objects of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Known {
    workloads: BTreeMap<Uuid, KnownWorkload>,
    /// Objects that exist and are not recorded, and where each was shown last.
    ignored: BTreeMap<Uuid, ResourceVersion>,
    /// Workloads that are gone, as far as their Revisions are kept or this process saw them go: a watch from an older
    /// place may still show them.
    ended: BTreeMap<Uuid, Ended>,
    /// Objects at the place where recording begins, until they are passed on.
    begun: BTreeMap<Uuid, Recorded>,
    /// Objects whose changes wait for room, with the last known state of each.
    postponed: BTreeMap<Uuid, Postponed>,
    /// The number of the newest list; 0 before the first.
    list: u32,
}

/// A workload that exists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct KnownWorkload {
    namespace: String,
    name: String,
    /// The last generation that was seen, whatever became of it, and the last place where it was seen.
    last: Version,
    /// Whether this process has seen it; otherwise an earlier one recorded it.
    seen: bool,
    /// The newest list when the content of that generation was passed on; 0 when it was not. A definition may have
    /// changed before a list, and with it the content of every generation.
    content: u32,
    /// The first of the generations in which the workload was not selected, up to the last.
    unselected: Option<i64>,
}

/// A workload that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ended {
    /// The last generation that was seen or recorded, and where.
    last: Version,
    /// Whether this process was watching when it went.
    seen: bool,
}

/// The reads that a change needs before it can be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// Every generation after the last known one.
    After {
        /// The last known generation.
        last: Version,
        /// Whether its content has to be read again: it is not known, or as another version of the kind showed it.
        refresh: bool,
    },
    /// Everything since the object was created, if that was after the last position.
    Origin,
    /// Nothing can be believed: the object is younger now than it was before.
    Rewound,
}

/// How a change relates to the last known state of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sight {
    /// The object is gone since, and so is this generation.
    Ended,
    /// A generation that was not seen before.
    New,
    /// The last known generation, whose content has to be passed on again.
    Content,
    /// The last known generation, in which the workload was not selected.
    Unselected,
    /// Neither generation nor content is news.
    Nothing,
}

impl Known {
    /// A list begins: what is recorded is taken over, and every content may be shown anew.
    pub fn listing(&mut self, heads: &[(Uuid, Head)]) {
        for (uid, head) in heads {
            self.take_over(*uid, head);
        }
        self.list = self.list.wrapping_add(1).max(1);
        self.ignored.clear();
    }

    /// Whether no list has begun yet.
    pub fn is_empty(&self) -> bool {
        self.list == 0
    }

    fn take_over(&mut self, uid: Uuid, head: &Head) {
        let last = head.last();
        if head.deleted {
            let seen = false;
            self.ended.insert(uid, Ended { last, seen });
            return;
        }
        let workload = KnownWorkload {
            namespace: head.namespace.clone(),
            name: head.name.clone(),
            last,
            seen: false,
            content: 0,
            unselected: None,
        };
        self.workloads.insert(uid, workload);
    }

    /// The reads that `change` needs before it can be passed on. `is_selected` is called only for an object that is not
    /// known, and that is there already according to a list, or to a watch that has not shown its creation.
    pub fn need(&self, change: &Change, is_selected: impl FnOnce() -> bool) -> Need {
        let listed = change.seen == Observed::List;
        let Some(workload) = self.workloads.get(&change.uid) else {
            let is_lost = change.op != Op::Added
                && !self.ignored.contains_key(&change.uid)
                && !mutant::is(Mutant::LostCreationIgnored);
            let is_there = listed || is_lost;
            return if is_there && is_selected() {
                self.origin(change)
            } else {
                Need::Nothing
            };
        };
        let ahead = change.generation - workload.last.generation;
        if listed && ahead < 0 && workload.seen {
            return Need::Rewound;
        }
        let refresh = workload.content != self.list;
        let follows = ahead == 1 && (!refresh || workload.unselected.is_some());
        if ahead <= 0 || follows || mutant::is(Mutant::HoleTakenForQuiet) {
            return Need::Nothing;
        }
        let last = workload.last;
        Need::After { last, refresh }
    }

    /// An object that a list shows and that is not known; or that exists, against all that is recorded.
    fn origin(&self, change: &Change) -> Need {
        match self.ended.get(&change.uid) {
            None => self.beginning(change),
            Some(ended) if ended.seen => Need::Rewound,
            Some(ended) if ended.last.generation >= change.generation => Need::Nothing,
            Some(&Ended { last, .. }) => Need::After {
                last,
                refresh: false,
            },
        }
    }

    /// Whether an object is known in this or a later generation, or is not recorded, or is known to be gone; or its
    /// changes wait.
    pub fn knows(&self, uid: Uuid, generation: i64) -> bool {
        let is_over = |ended: &Ended| ended.seen || ended.last.generation >= generation;
        let is_known = |workload: &KnownWorkload| workload.last.generation >= generation;
        self.ended.get(&uid).is_some_and(is_over)
            || self.ignored.contains_key(&uid)
            || self.is_postponed(uid)
            || self.workloads.get(&uid).is_some_and(is_known)
    }

    /// Whether nothing is known of an object: neither that it exists, nor that it did.
    pub fn is_unknown(&self, uid: Uuid) -> bool {
        self.is_gone(uid) && !self.ended.contains_key(&uid) && !self.ignored.contains_key(&uid)
    }

    /// The last known generation of a workload that exists.
    pub fn last(&self, uid: Uuid) -> Option<Version> {
        self.workloads.get(&uid).map(|workload| workload.last)
    }

    /// Whether no workload of that uid exists, as far as is known.
    pub fn is_gone(&self, uid: Uuid) -> bool {
        !self.workloads.contains_key(&uid)
    }

    /// Whether `change` cannot follow what was seen before: it is younger, and was written later. A list shows the
    /// present, a watch may show the past. What this process has seen itself is beyond doubt.
    pub fn contradicts(&self, change: &Change) -> bool {
        let is_later = |at| change.seen == Observed::List || change.resource_version > at;
        let is_younger = |workload: &KnownWorkload| {
            workload.seen
                && change.generation < workload.last.generation
                && is_later(workload.last.at)
        };
        let is_back = |ended: &Ended| ended.seen && is_later(ended.last.at);
        self.workloads.get(&change.uid).is_some_and(is_younger)
            || self.ended.get(&change.uid).is_some_and(is_back)
    }

    /// The newest place at which any object is known to have been.
    pub fn newest(&self) -> ResourceVersion {
        let present = self.workloads.values().map(|workload| workload.last.at);
        let ended = self.ended.values().map(|ended| ended.last.at);
        present.chain(ended).max().unwrap_or_default()
    }

    /// The workloads that are known and not among those that exist.
    pub fn missing(&self, there: &BTreeSet<Uuid>) -> Vec<Recorded> {
        let is_missing = |uid: &Uuid| !there.contains(uid) && !self.is_postponed(*uid);
        let known = self.workloads.iter().filter(|(uid, _)| is_missing(uid));
        let recorded = known.map(|(uid, workload)| workload.recorded(*uid));
        let is_new =
            |uid: &Uuid| !self.workloads.contains_key(uid) && !self.ended.contains_key(uid);
        let begun = self
            .begun
            .iter()
            .filter(|(uid, _)| is_missing(uid) && is_new(uid));
        recorded
            .chain(begun.map(|(_, recorded)| recorded.clone()))
            .collect()
    }

    /// How `change` relates to what is known.
    pub fn sight(&self, change: &Change) -> Sight {
        let ended = self.ended.get(&change.uid);
        if ended.is_some_and(|ended| ended.last.generation >= change.generation) {
            return Sight::Ended;
        }
        let Some(workload) = self.workloads.get(&change.uid) else {
            return Sight::New;
        };
        let last = workload.last.generation;
        // A Revision that this process has not seen made may have come from elsewhere; then the object counts.
        let is_foreign = change.seen == Observed::List && !workload.seen;
        if change.generation > last || (change.generation < last && is_foreign) {
            return Sight::New;
        }
        if change.generation < last {
            return Sight::Nothing;
        }
        if workload.unselected.is_some_and(|first| first <= last) {
            Sight::Unselected
        } else if workload.content == self.list {
            Sight::Nothing
        } else {
            Sight::Content
        }
    }

    /// `change` is passed on, in a generation in which the object is selected. Returns the generations before it in
    /// which it was not.
    pub fn select(&mut self, change: &Change) -> Option<Lost> {
        self.ignored.remove(&change.uid);
        let fresh = KnownWorkload {
            namespace: change.namespace.clone(),
            name: change.name.clone(),
            last: change.version(),
            seen: true,
            content: self.list,
            unselected: None,
        };
        let before = self.workloads.insert(change.uid, fresh)?;
        let generations = before.unselected?..=change.generation - 1;
        (!generations.is_empty()).then(|| Lost {
            uid: change.uid,
            namespace: change.namespace.clone(),
            name: change.name.clone(),
            generations,
            reason: Reason::NotSelected,
            from: change.resource_version.before(),
            at: change.resource_version.before(),
            api_version: change.resource.api_version(),
        })
    }

    /// `change` shows a generation in which the object is not selected. Returns whether it is recorded at all.
    pub fn pass_over(&mut self, change: &Change) -> bool {
        let Some(workload) = self.workloads.get_mut(&change.uid) else {
            self.ignored.insert(change.uid, change.resource_version);
            return false;
        };
        workload
            .unselected
            .get_or_insert(workload.last.generation + 1);
        workload.last = change.version();
        workload.content = 0;
        true
    }

    /// `change` shows the last known generation, or an older one, again. Returns whether it is recorded at all.
    pub fn see_again(&mut self, change: &Change, sight: Sight) -> bool {
        let Some(workload) = self.workloads.get_mut(&change.uid) else {
            return false;
        };
        if change.generation == workload.last.generation {
            workload.last.at = workload.last.at.max(change.resource_version);
            workload.seen = true;
        }
        if sight == Sight::Content {
            workload.content = self.list;
        }
        true
    }

    /// Generations cannot be had. Returns those of them that were not known, unless all were. Once a workload was not
    /// selected, everything since then counts as that.
    pub fn lose(&mut self, mut lost: Lost) -> Option<Lost> {
        let workload = self.workloads.get(&lost.uid);
        let known = self.seen_last(lost.uid);
        let (from, to) = lost.generations.into_inner();
        if to <= known {
            return None;
        }
        let unselected = workload.and_then(|workload| workload.unselected);
        if unselected.is_some() {
            lost.reason = Reason::NotSelected;
        }
        let first = if mutant::is(Mutant::GapOverKnown) {
            known.max(1)
        } else {
            from.max(known + 1)
        };
        lost.generations = unselected.unwrap_or(first)..=to;
        self.close(&lost);
        Some(lost)
    }

    /// The last known generation of a workload that exists, or existed; 0 where none is.
    pub fn seen_last(&self, uid: Uuid) -> i64 {
        let ended = || self.ended.get(&uid).map(|ended| ended.last);
        let last = self.last(uid).or_else(ended);
        last.map_or(0, |last| last.generation)
    }

    /// The generations of `lost` count as seen.
    pub fn close(&mut self, lost: &Lost) {
        let workload = KnownWorkload {
            namespace: lost.namespace.clone(),
            name: lost.name.clone(),
            last: Version {
                generation: *lost.generations.end(),
                at: lost.at,
            },
            seen: true,
            content: 0,
            unselected: None,
        };
        self.workloads.insert(lost.uid, workload);
    }

    /// An object is gone. `seen` when this process was watching.
    pub fn end(&mut self, uid: Uuid, at: ResourceVersion, seen: bool) {
        self.ignored.remove(&uid);
        if let Some(workload) = self.workloads.remove(&uid) {
            let last = Version {
                at: workload.last.at.max(at),
                ..workload.last
            };
            self.ended.insert(uid, Ended { last, seen });
        }
    }

    /// The end that `change` shows, if it is one.
    pub fn end_with(&mut self, change: &Change) {
        if change.op == Op::Deleted {
            let watched = change.seen == Observed::Watch;
            self.end(change.uid, change.resource_version, watched);
        }
    }
}

impl KnownWorkload {
    fn recorded(&self, uid: Uuid) -> Recorded {
        Recorded {
            uid,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            version: self.last,
        }
    }
}

#[cfg(test)]
mod tests;
