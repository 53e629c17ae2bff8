//! Reads every change of the workloads of one kind, in order, and reads back from etcd's past whatever was missed.
//!
//! In: a kind, a client, the position up to which everything is recorded, and the newest Revisions. Out: [`Fact`]s
//! into a [`Sink`], for each object one after the other, none merged and none skipped. The door is one-way: a sink
//! takes facts and is asked nothing. A sink that is slow makes the watch stop reading; the API server then ends it,
//! and it resumes where it was.
//!
//! Continuity: a list says what is there, a watch from the last position says what happened since. Where the API
//! server has forgotten that (410), each object that moved is walked back through etcd ([`walk`]) until compaction ends
//! it. [`known`] decides what is news and [`join`] in which order a list is joined to the past; both are plain values
//! without I/O.

pub mod checkpoint;
mod discover;
mod edge;
mod exact;
pub mod join;
pub mod known;
mod outlet;
mod position;
mod repair;
mod room;
mod stored;
mod stream;
pub mod walk;

pub use discover::{Discovery, resource};
pub use outlet::Outlet;
pub use position::{Dates, Position};
pub use room::Room;
pub use stream::{STALENESS, Stream, StreamDeps};

use crate::workload::{Change, Head, RemovedHead, ResourceVersion, Version};
use checkpoint::{Exception, Unusable};
use std::ops::RangeInclusive;
use uuid::Uuid;

/// Takes the facts of one kind, in order.
pub trait Sink: Send {
    /// Takes one fact. Returns when there is room for the next.
    fn take(&mut self, fact: Fact) -> impl Future<Output = ()> + Send;
}

/// The newest Revisions, as an earlier process or another replica left them.
pub trait Heads: Send + Sync {
    /// The newest Revision of every workload of a kind. Snapshots are moved out of the store that answers: the caller
    /// keeps them from then on.
    fn hand_over(&self, group: &str, kind: &str) -> Vec<(Uuid, Head)>;

    /// The newest Revision of a workload now, without its snapshot.
    fn stored(&self, workload: Uuid) -> Option<Head>;

    /// Whether a namespace is being deleted.
    fn is_going(&self, namespace: &str) -> bool;

    /// Changes whenever heads of workloads that are not deleted were removed.
    fn removals(&self) -> tokio::sync::watch::Receiver<u64>;

    /// Those of a kind that were removed and were not asked for yet.
    fn removed(&self, group: &str, kind: &str) -> Vec<(Uuid, RemovedHead)>;

    /// Whether the label of a namespace says that nothing in it is recorded. While the labels are not known, everything is.
    fn is_refused(&self, _namespace: &str) -> bool {
        false
    }

    /// The watch has shown a workload that is there. Anybody may have written Revisions of it, and now it is known which of
    /// them cannot be genuine: returns what is left where a head was handed over that is not believed any more.
    fn shown(&self, _change: &Change) -> Option<Correction> {
        None
    }

    /// A workload has had a generation, which was read from the past.
    fn had(&self, _workload: Uuid, _generation: i64) {}

    /// A workload is gone. Where its last state `is_shown`, its generations are known to the last.
    fn over(&self, _workload: Uuid, _is_shown: bool) {}
}

/// A head that was handed over is not believed any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    /// The newest Revision that is; none when none is.
    pub head: Option<Head>,
}

/// One thing that the watch of a kind has found out.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A list begins. The first one brings the workloads that are recorded already.
    Listing(Vec<(Uuid, Head)>),
    /// The head of a workload that the first list brought is not believed any more; that one is its newest Revision.
    Corrected(Uuid, Option<Box<Head>>),
    /// A state of a workload that is recorded, or has to be.
    Change(Change, News),
    /// Generations that existed and cannot be had. All of them are above the last known generation.
    Lost(Lost),
    /// The head of a live workload was removed.
    Removed(Box<Removal>),
    /// Another replica has recorded, or compared, every generation of a workload up to there that this one could not
    /// read; the newest Revision that is not above it, if one is left.
    Recorded {
        /// metadata.uid.
        uid: Uuid,
        /// That Revision; where it says that the workload is deleted, nothing is left to be recorded of it.
        head: Option<Head>,
        /// The last of those generations, and a place at which the workload had it.
        through: Version,
    },
    /// A workload is gone, and its last state with it.
    Gone(Recorded),
    /// Between two places objects may have come and gone without a trace.
    Blind {
        /// The last place before the interval.
        from: ResourceVersion,
        /// The first place after it.
        to: ResourceVersion,
    },
    /// An object of the kind has no generation: its changes cannot be told apart, and are not recorded. Passed on for
    /// the first such object only.
    Unordered {
        /// metadata.namespace.
        namespace: String,
        /// metadata.name.
        name: String,
    },
    /// The API server is older than a state that was read from it: etcd was restored.
    Rewound {
        /// The last place that was read before.
        last: ResourceVersion,
        /// The present.
        now: ResourceVersion,
    },
    /// Recording begins where etcd's history begins, because no place to go on from can be used, although workloads of
    /// the kind are recorded.
    CheckpointLost(Unusable),
    /// A generation that an earlier process could not store: its state, or that it cannot be had any more.
    Excepted(Exception, Result<Change, Lost>),
    /// This generation of a workload, and whatever follows it, is not passed on before there is room for it.
    Postponed(Exception),
    /// The changes that were postponed, from that generation on, were passed on.
    Resumed(Exception),
    /// Every change before the newest list was passed on.
    Joined,
    /// Every change up to this position was passed on.
    Reached(Position),
    /// The API server answered; or, when nothing is `expected`, the kind is not served.
    Heard {
        /// Whether silence from now on means that the watch is broken.
        expected: bool,
    },
}

/// The newest Revision of a live workload that was removed.
#[derive(Clone, Debug)]
pub struct Removal {
    /// The workload, as it was read after that.
    pub change: Change,
    /// The Revision.
    pub removed: RemovedHead,
    /// The newest Revision that is left.
    pub older: Option<Head>,
    /// The place of that read.
    pub at: ResourceVersion,
}

/// How a change relates to the last known state of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum News {
    /// A generation that was not seen before, of an object that is selected: it has to be decided.
    Generation,
    /// The last known generation, whose content has to be taken again: a definition may have changed since.
    Content,
    /// A generation that was not seen before, in which the workload is not selected.
    Unselected,
    /// Neither generation nor content moved, or the state cannot be read.
    Nothing,
}

/// Generations that existed and cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lost {
    /// metadata.uid.
    pub uid: Uuid,
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// The generations.
    pub generations: RangeInclusive<i64>,
    /// Why.
    pub reason: Reason,
    /// The first place at which the first of them may have been: until the Gap is stored, nothing from there on counts
    /// as durable.
    pub from: ResourceVersion,
    /// The last place at which the last of them may have been.
    pub at: ResourceVersion,
    /// The version of the kind that was asked for.
    pub api_version: String,
}

impl Lost {
    /// The generation of `change`, which is there and cannot be read.
    pub fn undecodable(change: &Change) -> Self {
        Self {
            uid: change.uid,
            namespace: change.namespace.clone(),
            name: change.name.clone(),
            generations: change.generation..=change.generation,
            reason: Reason::Undecodable,
            from: change.resource_version,
            at: change.resource_version,
            api_version: change.resource.api_version(),
        }
    }
}

/// Why generations cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// etcd's history was compacted before they could be read.
    Compacted,
    /// Nothing was watching, and etcd's history was compacted meanwhile.
    RecorderAway,
    /// They were stored in a form that cannot be read.
    Undecodable,
    /// The workload was not selected then.
    NotSelected,
    /// The API server refuses their Revisions, for the sake of the definition of Revisions itself.
    Refused,
}

impl Reason {
    /// One CamelCase word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compacted => "Compacted",
            Self::RecorderAway => "RecorderAway",
            Self::Undecodable => "Undecodable",
            Self::NotSelected => "NotSelected",
            Self::Refused => "Refused",
        }
    }

    /// For people.
    pub fn explain(self) -> &'static str {
        match self {
            Self::Compacted => "etcd's history was compacted before they could be read back",
            Self::RecorderAway => "nothing was watching and etcd's history was compacted meanwhile",
            Self::Undecodable => "they were stored in a form that cannot be read",
            Self::NotSelected => "the workload was not selected then",
            Self::Refused => "the API server refuses them as invalid",
        }
    }
}

/// A workload that is recorded as being there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recorded {
    /// metadata.uid.
    pub uid: Uuid,
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// The last known generation, and where it was seen.
    pub version: Version,
}

impl Recorded {
    /// The object that a change shows.
    pub fn of(change: &Change) -> Self {
        Self::at(change, change.resource_version)
    }

    /// The object that a change shows, and that was so at a later place too.
    pub fn at(change: &Change, at: ResourceVersion) -> Self {
        Self {
            uid: change.uid,
            namespace: change.namespace.clone(),
            name: change.name.clone(),
            version: Version {
                generation: change.generation,
                at,
            },
        }
    }
}
