//! Reads every change of the workloads of one kind, in order, and what was missed from etcd's past.
//!
//! In: a kind, a client and the place up to which everything is recorded. Out: [`Change`]s into a [`Sink`], for each
//! object one after the other, none merged and none skipped; or the generations that cannot be had. A sink that is slow
//! makes the watch stop reading; the API server then ends it, and it resumes where it was.
//!
//! Continuity: a list says what is there, a watch from the last place says what happened since. Where the API server
//! has forgotten that (410), each object that moved is walked back through etcd ([`walk`]) until compaction ends it.

mod check;
pub mod checkpoint;
mod discover;
mod edge;
mod exact;
mod relist;
mod repair;
mod stream;
mod walk;

pub use discover::{Discovery, resource};
pub use stream::{Parts, Stream};

use crate::workload::{Change, ResourceVersion};
use chrono::{DateTime, Utc};
use std::collections::HashSet;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// What takes the changes of one kind.
pub trait Sink: Send {
    /// A list begins: what it does not name by its end is gone, and everything known may be told anew.
    fn listing(&mut self);
    /// What has to be read before `change` can be decided.
    fn need(&mut self, change: &Change) -> Need;
    /// Whether an object is known in this or a later generation, or is none of ours, or is known to be gone.
    fn knows(&self, uid: Uuid, generation: i64) -> bool;
    /// Whether an object is selected for recording as it is now.
    fn wants(&self, change: &Change) -> bool;
    /// Whether `change` cannot follow what was seen before: it is younger, and was written later.
    fn contradicts(&self, change: &Change) -> bool;
    /// One change. Returns when there is room for the next.
    fn change(&mut self, change: Change) -> impl Future<Output = ()> + Send;
    /// Generations that existed and cannot be had.
    fn lost(&mut self, lost: Lost) -> impl Future<Output = ()> + Send;
    /// The list is complete, and these are all there are. Returns what is recorded as being there and is not.
    fn listed(&mut self, there: &HashSet<Uuid>) -> Vec<Recorded>;
    /// A workload is gone, and its last state with it.
    fn gone(&mut self, recorded: &Recorded) -> impl Future<Output = ()> + Send;
    /// Between two places objects may have come and gone without a trace.
    fn blind(&mut self, from: ResourceVersion, to: ResourceVersion);
    /// The API server is older than what was read from it: etcd was restored.
    fn rewound(&mut self, last: ResourceVersion, now: ResourceVersion);
    /// Everything up to there was passed on.
    fn reached(&mut self, position: Position);
    /// The API server answered; or, when not `expected`, there is nothing to hear of this kind.
    fn heard(&mut self, expected: bool);
}

/// What has to be read before a change can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// Every generation after this one.
    After {
        /// The last known generation.
        generation: i64,
        /// Where it was seen.
        at: ResourceVersion,
        /// Whether its content has to be read again: it is not known, or as another version of the kind showed it.
        refresh: bool,
    },
    /// Everything since it was made, if that was since the last place.
    Origin,
    /// Nothing can be believed: the object is younger here than it was before.
    Rewound,
}

/// Generations that existed and cannot be had.
#[derive(Clone, Debug)]
pub struct Lost {
    /// metadata.uid.
    pub uid: Uuid,
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// Which.
    pub generations: RangeInclusive<i64>,
    /// Why.
    pub reason: Reason,
    /// Where the last of them may still have been.
    pub at: ResourceVersion,
    /// The version of the kind that was asked for.
    pub api_version: String,
}

/// Why generations cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// etcd's history was compacted before they could be read.
    Compacted,
    /// Nothing was watching, and etcd's history was compacted meanwhile.
    RecorderAway,
    /// They were stored in a form that cannot be read.
    Undecodable,
    /// The workload was not selected then.
    NotSelected,
}

impl Reason {
    /// One CamelCase word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compacted => "Compacted",
            Self::RecorderAway => "RecorderAway",
            Self::Undecodable => "Undecodable",
            Self::NotSelected => "NotSelected",
        }
    }

    /// For people.
    pub fn explain(self) -> &'static str {
        match self {
            Self::Compacted => "etcd's history was compacted before they could be read back",
            Self::RecorderAway => "nothing was watching and etcd's history was compacted meanwhile",
            Self::Undecodable => "they were stored in a form that cannot be read",
            Self::NotSelected => "the workload was not selected then",
        }
    }
}

/// A workload that is recorded as being there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// metadata.uid.
    pub uid: Uuid,
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// The last known generation.
    pub generation: i64,
    /// Where it was seen.
    pub at: ResourceVersion,
}

/// Up to where everything of a kind was recorded before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The place.
    pub at: ResourceVersion,
    /// A time at which the history had come no further than that.
    pub time: DateTime<Utc>,
}
