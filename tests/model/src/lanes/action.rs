//! The events of the queue.

use super::evidence::{Cause, Proof, Scope};
use super::lanes::LaneItem;
use std::fmt;
use uuid::Uuid;

/// The number of a workload.
pub type Workload = usize;

/// Why a write failed, as the product's writer tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The API server fails on this workload.
    Own,
    /// A status cannot be written.
    OwnHeld,
    /// No quota is left in the namespace.
    Quota,
    /// A right is missing, or a policy denies it.
    Denied,
    /// Nothing can be stored.
    Full,
    /// No answer.
    Network,
}

impl Failure {
    pub(super) const ALL: [Self; 6] = [
        Self::Own,
        Self::OwnHeld,
        Self::Quota,
        Self::Denied,
        Self::Full,
        Self::Network,
    ];

    pub(super) fn cause(self) -> Cause {
        let (scope, passing) = match self {
            Self::Own => (Scope::Workload, true),
            Self::OwnHeld => (Scope::Workload, false),
            Self::Quota => (Scope::Namespace, false),
            Self::Denied => (Scope::Unclear, false),
            Self::Full => (Scope::All, false),
            Self::Network => (Scope::All, true),
        };
        Cause { scope, passing }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Own | Self::OwnHeld => "ServerError",
            Self::Quota => "QuotaExceeded",
            Self::Denied => "Forbidden",
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
    /// It was refused, or was none of a Revision.
    Refused,
    /// Its namespace is gone.
    Gone,
}

impl Fate {
    pub(super) fn proof(self) -> Proof {
        match self {
            Self::Created => Proof::Created,
            Self::Refused => Proof::Answered,
            Self::Gone => Proof::NamespaceGone,
        }
    }
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A write of a workload is handed in.
    Push(Workload),
    /// A writer asks for the next write.
    Take,
    /// A write of a workload is settled.
    Settle(Workload, Fate),
    /// A write of a workload fails.
    Fail(Workload, Failure),
    /// The time comes for which the writers wait.
    Wait,
    /// A second passes.
    Second,
    /// History was restored: everything that waits is dropped.
    Clear,
}

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Edit {
    pub(super) workload: Workload,
    /// Its place among the writes of its workload.
    pub(super) number: u8,
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
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            workload, number, ..
        } = self;
        write!(f, "write {number} of workload {workload}")
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Push(of) => write!(f, "a write of workload {of} is handed in"),
            Self::Take => f.write_str("a writer takes the next"),
            Self::Settle(_, fate) => write!(f, "{fate:?}"),
            Self::Fail(_, failure) => write!(f, "a failure, {failure:?}"),
            Self::Wait => f.write_str("a wait is over"),
            Self::Second => f.write_str("a second passes"),
            Self::Clear => f.write_str("what waits is dropped"),
        }
    }
}
