//! Objects that are brought up to date later: those that were there where recording began, those of which an earlier
//! process could not store a generation, and those whose changes wait for room.

use super::{Known, Need};
use crate::mutant::{self, Mutant};
use crate::revision::Observed;
use crate::watch::checkpoint::Exception;
use crate::watch::{Lost, Recorded};
use crate::workload::{Change, Op, ResourceVersion, Version};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use uuid::Uuid;

/// An object whose changes are not passed on for the time being.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Postponed {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// The last state that was passed on; none when the object was not known.
    pub passed: Option<Version>,
    /// A place at which an object that was not known was not there yet.
    pub absent: ResourceVersion,
    /// The first state that was not.
    pub first: Version,
    /// The last state that was shown.
    pub last: Version,
    /// The last place at which it was there, as far as that was shown.
    pub there: ResourceVersion,
    /// When it was created.
    pub created: Option<DateTime<Utc>>,
    /// A place at which the object is gone, if it is.
    pub gone: Option<ResourceVersion>,
}

impl Postponed {
    /// The first generation that was not passed on.
    pub fn exception(&self, uid: Uuid) -> Exception {
        Exception {
            uid,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            version: self.first,
            // A list may show the first one long after it, or others between, were written.
            first: self.before().at.after(1).min(self.first.at),
            through: None,
        }
    }

    /// The state before the first that was not passed on; generation 0 where the object was not there yet.
    pub fn before(&self) -> Version {
        self.passed.unwrap_or(Version {
            generation: 0,
            at: self.absent,
        })
    }
}

impl Known {
    /// An object that a list shows and that was never seen: its past since the beginning is read, if it has any.
    pub(super) fn beginning(&self, change: &Change) -> Need {
        match self.begun.get(&change.uid).map(|begun| begun.version) {
            None => Need::Origin,
            Some(last) if last.generation >= change.generation => Need::Nothing,
            Some(last) => Need::After {
                last,
                refresh: true,
            },
        }
    }

    /// Recording begins at a place where these objects were there.
    pub fn begin(&mut self, there: impl IntoIterator<Item = Recorded>) {
        self.begun = there
            .into_iter()
            .map(|recorded| (recorded.uid, recorded))
            .collect();
    }

    /// Everything since the beginning was passed on.
    pub fn has_begun(&mut self) {
        self.begun.clear();
    }

    /// An earlier process could not store a generation, which is found now, or lost for good (`lost`). Later generations
    /// up to `through` changed nothing. Whatever is known of later ones stays.
    pub fn restore(&mut self, found: Result<&Change, &Lost>, through: Option<Version>) {
        let (uid, generation) = match found {
            Ok(change) => (change.uid, change.generation),
            Err(lost) => (lost.uid, *lost.generations.end()),
        };
        let ended = self.ended.get(&uid).map(|ended| ended.last.generation);
        let last = self.last(uid).map(|last| last.generation);
        if last.max(ended).is_none_or(|last| last < generation) {
            match found {
                Ok(change) => drop(self.select(change)),
                Err(lost) => self.close(lost),
            }
        }
        if let Some((workload, through)) = self.workloads.get_mut(&uid).zip(through)
            && workload.last.generation < through.generation
        {
            workload.last = through;
            workload.content = 0;
        }
    }

    /// The changes of an object wait for room from this one on. Returns it if they did not before. `absent_at` is a place at
    /// which an object that was not known was not there yet.
    pub fn postpone(
        &mut self,
        change: &Change,
        absent_at: Option<ResourceVersion>,
    ) -> Option<Exception> {
        let shown = change.version();
        let passed = self.last(change.uid);
        // A watch shows the end where the object is gone. A read back shows where it was written for the last time, which
        // says nothing about its end: see [`Known::postpone_end`].
        let ends = change.op == Op::Deleted;
        let there = match change.seen {
            Observed::Watch if ends => shown.at.before(),
            _ => shown.at,
        };
        let is_new = !self.is_postponed(change.uid);
        let postponed = self
            .postponed
            .entry(change.uid)
            .or_insert_with(|| Postponed {
                namespace: change.namespace.clone(),
                name: change.name.clone(),
                passed,
                absent: absent_at.unwrap_or(shown.at.before()),
                first: shown,
                last: shown,
                there,
                created: change.created,
                gone: None,
            });
        postponed.last = postponed.last.max(shown);
        postponed.there = postponed.there.max(there);
        let at_last_write = mutant::is(Mutant::PostponedEndAtLastWrite);
        if ends && (change.seen == Observed::Watch || at_last_write) {
            let known = postponed.gone.filter(|_| !at_last_write);
            postponed.gone = known.max(Some(shown.at.after(1)));
        }
        is_new.then(|| postponed.exception(change.uid))
    }

    /// An object is gone at `at`. True when its changes wait for room.
    pub fn postpone_end(&mut self, uid: Uuid, at: ResourceVersion) -> bool {
        let postponed = self.postponed.get_mut(&uid);
        let is_postponed = postponed.is_some();
        if let Some(postponed) = postponed {
            postponed.gone.get_or_insert(at);
        }
        is_postponed
    }

    /// A list at `at` has shown these objects and no others: those whose changes wait since before are gone.
    pub fn postpone_ends(&mut self, there: &BTreeSet<Uuid>, at: ResourceVersion) {
        for (uid, postponed) in &mut self.postponed {
            if !there.contains(uid) && postponed.last.at <= at {
                postponed.gone.get_or_insert(at);
            }
        }
    }

    /// Whether changes of any object wait for room.
    pub fn has_postponed(&self) -> bool {
        !self.postponed.is_empty()
    }

    /// Whether the changes of an object wait for room.
    pub fn is_postponed(&self, uid: Uuid) -> bool {
        self.postponed.contains_key(&uid)
    }

    /// So many of the objects whose changes wait, and for whose namespace there is room.
    pub fn next_postponed(
        &self,
        number: usize,
        has_room: impl Fn(&str) -> bool,
    ) -> Vec<(Uuid, Postponed)> {
        let postponed = self.postponed.iter();
        let next = postponed.filter(|(_, postponed)| has_room(&postponed.namespace));
        next.take(number)
            .map(|(uid, postponed)| (*uid, postponed.clone()))
            .collect()
    }

    /// The changes of an object do not wait any more.
    pub fn resume(&mut self, uid: Uuid) {
        self.postponed.remove(&uid);
    }
}
