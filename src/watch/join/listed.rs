//! A list, and which objects are behind or gone according to it. Pure.

use crate::watch::Recorded;
use crate::watch::checkpoint::Exception;
use crate::watch::known::{Known, Need};
use crate::workload::{Change, ResourceVersion, Version};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Times of creation have whole seconds, and are of another clock.
const SKEW: TimeDelta = TimeDelta::seconds(5);

/// One object, whatever its state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectName {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// metadata.uid.
    pub uid: Uuid,
}

/// An object that has to be brought up to date.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Behind {
    /// The object.
    pub of: ObjectName,
    /// Its last known state; generation 0 when it did not exist at that place.
    pub from: Version,
    /// Whether the content of that state has to be read again.
    pub refresh: bool,
    /// The state up to which it is brought.
    pub to: Version,
    /// The list that showed that state, when it has to be read as well.
    pub listed: Option<ResourceVersion>,
    /// When it was created.
    pub created: Option<DateTime<Utc>>,
    /// The first generation that a list or a watch has shown since it was last known.
    pub shown: i64,
}

impl ObjectName {
    /// The object that `change` is of.
    pub fn of(change: &Change) -> Self {
        Self {
            namespace: change.namespace.clone(),
            name: change.name.clone(),
            uid: change.uid,
        }
    }
}

impl From<&Exception> for ObjectName {
    fn from(exception: &Exception) -> Self {
        Self {
            namespace: exception.namespace.clone(),
            name: exception.name.clone(),
            uid: exception.uid,
        }
    }
}

impl From<&Recorded> for ObjectName {
    fn from(recorded: &Recorded) -> Self {
        Self {
            namespace: recorded.namespace.clone(),
            name: recorded.name.clone(),
            uid: recorded.uid,
        }
    }
}

impl Behind {
    /// An object whose past after `from` is read before `change` is passed on. With the list at `listed` that showed
    /// it, `change` is read as well.
    pub fn new(
        change: &Change,
        from: Version,
        refresh: bool,
        listed: Option<ResourceVersion>,
    ) -> Self {
        Self {
            of: ObjectName::of(change),
            from,
            refresh,
            to: change.version(),
            listed,
            created: change.created,
            shown: change.generation,
        }
    }

    /// The first generation that counts as lost if it cannot be had. Those before the first sight of the object do only
    /// if it was created while it should have been seen, after `since`; older ones are just unknown.
    pub fn first_of_ours(&self, since: Option<DateTime<Utc>>) -> i64 {
        let created_since = |(created, since): (DateTime<Utc>, _)| created + SKEW >= since;
        if self.from.generation > 0 || self.created.zip(since).is_some_and(created_since) {
            self.from.generation + 1
        } else {
            self.shown
        }
    }
}

/// A list, and what is missing according to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Listed {
    /// The place of the list.
    pub(super) at: ResourceVersion,
    /// Objects that moved since they were last known.
    pub(super) behind: Vec<Behind>,
    /// Workloads that are gone.
    pub(super) gone: Vec<Recorded>,
    /// Every object that exists.
    pub(super) there: BTreeSet<Uuid>,
}

/// The treatment of an object that a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placed {
    /// Its state can be passed on as it is.
    Now,
    /// Its past is read first, and its state again then.
    Later,
    /// It contradicts what was seen: etcd was restored.
    Rewound,
}

impl Listed {
    /// An object is there.
    pub fn saw(&mut self, uid: Uuid) {
        self.there.insert(uid);
    }

    /// `change` is shown by the page of a list at `at`, and needs `need`; everything up to `since` was passed on before.
    pub fn place(
        &mut self,
        change: &Change,
        need: Need,
        at: ResourceVersion,
        since: Option<ResourceVersion>,
    ) -> Placed {
        let (from, refresh) = match (need, since) {
            (Need::Rewound, _) => return Placed::Rewound,
            (Need::After { last, refresh }, _) => (last, refresh),
            (Need::Origin, Some(at)) if at < change.resource_version => {
                (Version { generation: 0, at }, false)
            }
            (Need::Nothing | Need::Origin, _) => return Placed::Now,
        };
        self.behind
            .push(Behind::new(change, from, refresh, Some(at)));
        Placed::Later
    }

    /// `change`, which a list at `at` shows, comes right after `last`, and has to be passed on.
    pub fn follows(&mut self, change: &Change, last: Version, at: ResourceVersion) {
        self.behind.push(Behind::new(change, last, false, Some(at)));
    }

    /// The last page was at `at`: what is known and was not shown is gone.
    pub fn complete(&mut self, at: ResourceVersion, known: &Known) {
        self.at = at;
        self.gone = known.missing(&self.there);
    }

    /// Workloads became known since the list: those that were there before its place, and are not in it, are gone.
    pub(super) fn find_gone(&mut self, known: &Known) {
        self.gone = known.missing(&self.there);
        self.gone.retain(|recorded| recorded.version.at <= self.at);
    }

    /// Every object that exists.
    pub fn there(&self) -> &BTreeSet<Uuid> {
        &self.there
    }

    /// The place of the list.
    pub fn at(&self) -> ResourceVersion {
        self.at
    }

    /// Whether nothing is missing.
    pub(super) fn is_settled(&self) -> bool {
        self.behind.is_empty() && self.gone.is_empty()
    }

    /// Leaves out whatever became known meanwhile.
    pub(super) fn drop_known(&mut self, known: &Known) {
        self.behind
            .retain(|behind| !known.knows(behind.of.uid, behind.to.generation));
        self.gone.retain(|recorded| !known.is_gone(recorded.uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_that_were_shown_are_ours_whenever_the_object_was_created() {
        let place = |generation| Version {
            generation,
            at: ResourceVersion::default(),
        };
        let created = DateTime::from_timestamp(100, 0);
        let behind = |from, created| Behind {
            of: ObjectName {
                namespace: String::new(),
                name: String::new(),
                uid: Uuid::nil(),
            },
            from: place(from),
            refresh: false,
            to: place(9),
            listed: None,
            created,
            shown: 5,
        };
        let first = |from, created, since| {
            behind(from, created).first_of_ours(DateTime::from_timestamp(since, 0))
        };
        assert_eq!(first(0, created, 900), 5, "it was there before");
        assert_eq!(first(0, None, 0), 5);
        assert_eq!(first(0, created, 50), 1, "created since");
        assert_eq!(first(3, created, 900), 4, "it was known");
    }
}
