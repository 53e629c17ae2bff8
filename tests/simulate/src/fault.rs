//! The kinds of faults, and one injection of one.

use crate::call::Class;
use crate::etcd::Kind;
use crate::kinds::{NODE, POD};
use serde::{Deserialize, Serialize};

/// A kind of fault, by the name that people use.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[value(rename_all = "verbatim")]
pub enum Fault {
    /// An answer takes long.
    Slow,
    /// A request never arrives, and its connection breaks.
    RequestLost,
    /// A request is carried out, and the connection breaks before its answer.
    AnswerLost,
    /// The connection breaks at once, and the request is carried out later.
    CarriedOutLate,
    /// A proxy sends a request twice; the second answer is passed on.
    SentTwice,
    /// 429, with Retry-After.
    TooManyRequests,
    /// 500.
    InternalError,
    /// 503.
    Unavailable,
    /// 504.
    GatewayTimeout,
    /// 410 for a list, a page of it, or a watch.
    Gone,
    /// A request that is never answered.
    Hang,
    /// The connection breaks within the body of an answer.
    BodyCut,
    /// A watch ends early.
    WatchEnds,
    /// A watch breaks within a line.
    WatchCutInLine,
    /// A line arrives in two parts, the first of which ends within a character; sometimes the second never comes.
    WatchCutInCharacter,
    /// A watch shows nothing any more, and does not end.
    WatchStalls,
    /// A watch says that its history is gone.
    WatchExpires,
    /// A watch says that the server has failed.
    WatchFails,
    /// Events of a watch arrive late.
    EventsLate,
    /// An event arrives twice.
    EventTwice,
    /// An event never arrives (etcd #18089, #20655; kubernetes #123072).
    EventLost,
    /// An event is followed by an older one.
    EventsGoBack,
    /// etcd compacts its history.
    Compaction,
    /// etcd compacts its history just before a place in the past is read.
    CompactionAtRead,
    /// An API server restarts: its watches end, and its cache begins anew.
    ServerRestarts,
    /// Compaction and a restart of both API servers at once.
    Blackout,
    /// The cache of an API server hears nothing new for a while.
    CacheStale,
    /// A consistent list is answered from the past.
    ListStale,
    /// Nothing answers for a while.
    Outage,
    /// A replica reaches nothing for a while.
    Partition,
    /// Nothing of a replica's traffic moves for a while, in either direction.
    Freeze,
    /// A replica is killed, and started again.
    Kill,
    /// A replica is killed after it has written the checkpoint.
    KillAfterCheckpoint,
    /// A replica is killed between a list and the watch that follows.
    KillAfterList,
    /// A replica is killed when it has created a Revision.
    KillAfterCreate,
    /// A replica is away while etcd compacts its history.
    AwayOverCompaction,
    /// A status is written late, after a later one.
    StatusLate,
    /// A policy or a webhook refuses the Revisions of a namespace for a while.
    Denied,
    /// A policy or a webhook refuses some Revisions of a namespace for a while, and no others.
    DeniedObject,
    /// A namespace has no room for Revisions for a while.
    QuotaExceeded,
    /// For a while, creates in a namespace are answered up to 30 s late, and then stored or failed.
    CreateHangs,
    /// The checkpoint is deleted, mostly while a replica is away.
    CheckpointDeleted,
    /// A replica is killed, and the checkpoint cannot be read for a while.
    CheckpointUnreadable,
    /// Entries of the checkpoint are cut in the middle, mostly while a replica is away.
    CheckpointTruncated,
    /// The checkpoint becomes that of another cluster, mostly while a replica is away.
    CheckpointForeign,
    /// Workloads change from the first moment, and a replica is killed before its first checkpoint.
    FirstStart,
    /// The servers' clocks are not those of the replicas.
    ClockSkew,
    /// etcd is restored from a backup, and its resourceVersions go back.
    EtcdRestored,
    /// etcd is restored from a backup, and its resourceVersions are moved beyond all that were given before.
    EtcdRestoredBumped,
    /// A Revision is deleted.
    RevisionDeleted,
    /// All Revisions of a workload are deleted, or all there are.
    RevisionsDeleted,
    /// The definition of Revisions is deleted, and all Revisions with it, and comes back after a while.
    DefinitionGone,
    /// Another writer stores a Revision under the name of the next generation.
    RevisionForged,
    /// Another writer stores Revisions of generations that never were.
    ForgedGeneration,
    /// Another writer stores Gaps that end after the present generation.
    ForgedGap,
    /// Another writer says of the newest Revisions that nothing changed after them.
    ForgedClaim,
    /// Another writer stores Revisions whose names are not those of their generations.
    ForgedName,
    /// Another writer stores Revisions whose contents are not those of their digests.
    ForgedDigest,
    /// Another writer stores Revisions of workloads of other namespaces.
    ForgedElsewhere,
}

/// The faults of a hostile writer.
pub const HOSTILE: &[Fault] = &[
    Fault::ForgedGeneration,
    Fault::ForgedGap,
    Fault::ForgedClaim,
    Fault::ForgedName,
    Fault::ForgedDigest,
    Fault::ForgedElsewhere,
];

/// The faults that Revisor stands, in whatever company. Those that remove Revisions have histories of their own: where the
/// checkpoint is lost too, nothing tells that any were there.
pub const STOOD: &[Fault] = &[
    Fault::Slow,
    Fault::RequestLost,
    Fault::AnswerLost,
    Fault::CarriedOutLate,
    Fault::SentTwice,
    Fault::TooManyRequests,
    Fault::InternalError,
    Fault::Unavailable,
    Fault::GatewayTimeout,
    Fault::Gone,
    Fault::Hang,
    Fault::BodyCut,
    Fault::WatchEnds,
    Fault::WatchCutInLine,
    Fault::WatchCutInCharacter,
    Fault::WatchStalls,
    Fault::WatchExpires,
    Fault::WatchFails,
    Fault::EventsLate,
    Fault::EventTwice,
    Fault::EventLost,
    Fault::EventsGoBack,
    Fault::Compaction,
    Fault::CompactionAtRead,
    Fault::ServerRestarts,
    Fault::Blackout,
    Fault::CacheStale,
    Fault::ListStale,
    Fault::Outage,
    Fault::Partition,
    Fault::Freeze,
    Fault::Kill,
    Fault::KillAfterCheckpoint,
    Fault::KillAfterList,
    Fault::KillAfterCreate,
    Fault::AwayOverCompaction,
    Fault::Denied,
    Fault::DeniedObject,
    Fault::QuotaExceeded,
    Fault::CreateHangs,
    Fault::CheckpointDeleted,
    Fault::CheckpointUnreadable,
    Fault::CheckpointTruncated,
    Fault::CheckpointForeign,
    Fault::FirstStart,
];

/// The faults that stand in the way of the creates of one namespace, and touch nothing else.
pub const DENIALS: &[Fault] = &[
    Fault::Denied,
    Fault::DeniedObject,
    Fault::QuotaExceeded,
    Fault::CreateHangs,
];

/// The place at which a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strikes {
    /// The next request that it aims at.
    Request,
    /// The next event of a watch that it aims at.
    Event,
    /// The world, at once.
    World,
}

impl Fault {
    pub fn strikes(self) -> Strikes {
        match self {
            Self::Slow
            | Self::RequestLost
            | Self::AnswerLost
            | Self::CarriedOutLate
            | Self::StatusLate
            | Self::SentTwice
            | Self::TooManyRequests
            | Self::InternalError
            | Self::Unavailable
            | Self::GatewayTimeout
            | Self::Gone
            | Self::Hang
            | Self::BodyCut
            | Self::ListStale
            | Self::CompactionAtRead
            | Self::KillAfterCheckpoint
            | Self::KillAfterList
            | Self::KillAfterCreate => Strikes::Request,
            Self::WatchEnds
            | Self::WatchCutInLine
            | Self::WatchCutInCharacter
            | Self::WatchStalls
            | Self::WatchExpires
            | Self::WatchFails
            | Self::EventsLate
            | Self::EventTwice
            | Self::EventLost
            | Self::EventsGoBack => Strikes::Event,
            _ => Strikes::World,
        }
    }

    /// Whether events of this kind are among those that the fault can strike. Statuses are best effort: where the last
    /// event of a pod or a node is lost or followed by an older one, or comes a minute late, they may stay wrong until
    /// the next.
    pub fn strikes_events_of(self, kind: &Kind) -> bool {
        let is_believed = *kind == POD || *kind == NODE;
        !(is_believed
            && matches!(
                self,
                Self::EventLost | Self::EventsGoBack | Self::EventsLate
            ))
    }

    /// Whether a request of this class is one that the fault can strike.
    pub fn aims_at(self, class: Class) -> bool {
        match self {
            // A place in the past is gone when it is compacted, and not otherwise.
            Self::Gone => matches!(class, Class::List | Class::Watch | Class::Feed),
            Self::BodyCut => matches!(class, Class::List | Class::Exact | Class::Feed),
            Self::ListStale | Self::KillAfterList => class == Class::List,
            Self::CompactionAtRead => class == Class::Exact,
            Self::KillAfterCheckpoint => class == Class::Checkpoint,
            Self::KillAfterCreate => class == Class::Create,
            Self::SentTwice => {
                matches!(class, Class::Create | Class::Status | Class::Checkpoint)
            }
            Self::CarriedOutLate => matches!(class, Class::Create | Class::Checkpoint),
            Self::StatusLate => class == Class::Status,
            _ => true,
        }
    }
}

/// One fault, at one time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Injection {
    /// Milliseconds after the first change.
    pub at: u64,
    pub fault: Fault,
    /// The replica that it aims at, where it aims at one.
    pub replica: usize,
    /// How long it lasts, or how much it takes; of 1000.
    pub size: u32,
    /// So many requests or events that it could strike are spared first.
    pub spares: u32,
}

impl Injection {
    /// A time of up to `most` milliseconds.
    pub fn millis(&self, most: u64) -> u64 {
        most * u64::from(self.size) / 1000
    }
}
