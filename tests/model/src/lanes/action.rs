//! The events of the queue.

use revisor::record::queue::evidence::{Cause, Proof, Scope};
use revisor::record::queue::lanes::LaneItem;
use std::fmt;
use uuid::Uuid;

/// The number of a workload.
pub type Workload = usize;

/// Why a write failed, as the product's writer tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The API server fails on this write.
    Own,
    /// This write is refused.
    OwnHeld,
    /// No quota is left in the namespace, or a policy denies Revisions in it.
    Denied,
    /// Nothing can be stored.
    Full,
    /// No answer.
    Network,
}

impl Failure {
    pub(super) const ALL: [Self; 5] = [
        Self::Own,
        Self::OwnHeld,
        Self::Denied,
        Self::Full,
        Self::Network,
    ];
    /// Whatever else fails, a status that cannot be written is a matter of its workload.
    pub(super) const OF_STATUSES: [Self; 3] = [Self::Own, Self::OwnHeld, Self::Network];

    pub(super) fn cause(self) -> Cause {
        let (scope, passing) = match self {
            Self::Own => (Scope::Workload, true),
            Self::OwnHeld => (Scope::Workload, false),
            Self::Denied => (Scope::Namespace, false),
            Self::Full => (Scope::All, false),
            Self::Network => (Scope::All, true),
        };
        Cause { scope, passing }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Own | Self::OwnHeld => "ServerError",
            Self::Denied => "Denied",
            Self::Full => "EtcdFull",
            Self::Network => "Network",
        }
    }
}

/// How a write is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// A Revision was created.
    Created,
    /// It was refused, or a status was written.
    Answered,
    /// Its namespace is gone.
    Gone,
}

impl Fate {
    pub(super) fn proof(self) -> Proof {
        match self {
            Self::Created => Proof::Created,
            Self::Answered => Proof::Answered,
            Self::Gone => Proof::NamespaceGone,
        }
    }
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A new Revision of a workload is handed in.
    Push(Workload),
    /// A write into the status of the newest Revision of a workload is handed in.
    PushStatus(Workload),
    /// A writer asks for the next write.
    Take,
    /// A write is settled.
    Settle(Edit, Fate),
    /// A write fails.
    Fail(Edit, Failure),
    /// The time comes for which the writers wait.
    Wait,
    /// A second passes.
    Second,
    /// Half a minute passes.
    HalfMinute,
    /// History was restored: everything that waits is dropped.
    Clear,
}

/// One write. Those of a workload are handed in in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edit {
    pub(super) workload: Workload,
    /// The number of its Revision among those of its workload; 0 for one that was created long ago.
    pub(super) revision: u8,
    /// Its place among the writes into the status of that Revision; 0 when it creates the Revision.
    pub(super) status: u8,
    /// How often the queue had been cleared when it was handed in.
    pub(super) epoch: u8,
}

/// The namespace of a workload.
pub(super) fn namespace(workload: Workload) -> &'static str {
    if workload < 2 { "n" } else { "m" }
}

impl LaneItem for Edit {
    fn workload(&self) -> Uuid {
        Uuid::from_u128(self.workload.try_into().unwrap_or(u128::MAX))
    }

    fn namespace(&self) -> &str {
        namespace(self.workload)
    }

    fn revision(&self) -> &str {
        const NAMES: [&str; 6] = ["0", "1", "2", "3", "4", "5"];
        NAMES[usize::from(self.revision)]
    }

    fn creates(&self) -> bool {
        self.status == 0
    }

    fn may_be_passed(&self) -> bool {
        true
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            workload,
            revision,
            status,
            ..
        } = self;
        if *status > 0 {
            write!(f, "status {status} of ")?;
        }
        write!(f, "Revision {revision} of workload {workload}")
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Push(of) => write!(f, "a Revision of workload {of} is handed in"),
            Self::PushStatus(of) => write!(f, "a status of workload {of} is handed in"),
            Self::Take => f.write_str("a writer takes the next"),
            Self::Settle(_, fate) => write!(f, "{fate:?}"),
            Self::Fail(_, failure) => write!(f, "a failure, {failure:?}"),
            Self::Wait => f.write_str("a wait is over"),
            Self::Second => f.write_str("a second passes"),
            Self::HalfMinute => f.write_str("half a minute passes"),
            Self::Clear => f.write_str("what waits is dropped"),
        }
    }
}
