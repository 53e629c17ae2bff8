//! The API server: one Lease, with a resourceVersion that a write has to name.

use super::k8s::api::coordination::v1::LeaseSpec;
use super::k8s::apimachinery::pkg::apis::meta::v1::MicroTime;
use super::k8s::jiff::Timestamp;
use std::collections::BTreeSet;
use std::fmt;

/// The record of a Lease, and the version at which it was stored, or which a write of it names; 0 when there is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Versioned {
    pub(super) version: u8,
    pub(super) record: LeaseSpec,
}

/// A request about the Lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    Get,
    /// A POST, or a PUT.
    Write(Versioned),
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    Absent,
    Found(Versioned),
    Written(Versioned),
    Conflict,
}

/// The API server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Server {
    pub(super) lease: Option<Versioned>,
}

/// The records that there are, as far as they are told apart.
#[derive(Debug)]
pub(super) struct Names {
    /// The wall times of the renewals.
    pub(super) times: BTreeSet<i64>,
    /// The version that is stored.
    pub(super) newest: u8,
}

impl Versioned {
    /// The wall time of its last renewal.
    pub(super) fn time(&self) -> i64 {
        let time = self.record.renew_time.as_ref();
        time.map_or(0, |time| time.0.0)
    }

    /// Only the equality of records counts, which the time of the renewal decides, and of versions whether it is the
    /// newest. Other values that differ without end are made alike. Returns whether the record has changed.
    pub(super) fn rename(&mut self, names: &Names) -> bool {
        self.version = u8::from(self.version > 0 && self.version == names.newest);
        let time = names.times.range(..self.time()).count();
        let time = i64::try_from(time).unwrap_or(i64::MAX);
        let record = LeaseSpec {
            renew_time: Some(MicroTime(Timestamp(time))),
            acquire_time: None,
            lease_transitions: self.record.lease_transitions.map(|count| count.min(1)),
            ..self.record.clone()
        };
        let before = std::mem::replace(&mut self.record, record);
        before != self.record
    }
}

impl Call {
    pub(super) fn record(&self) -> Option<&Versioned> {
        match self {
            Self::Get => None,
            Self::Write(versioned) => Some(versioned),
        }
    }

    pub(super) fn record_mut(&mut self) -> Option<&mut Versioned> {
        match self {
            Self::Get => None,
            Self::Write(versioned) => Some(versioned),
        }
    }
}

impl Answer {
    pub(super) fn record(&self) -> Option<&Versioned> {
        match self {
            Self::Absent | Self::Conflict => None,
            Self::Found(versioned) | Self::Written(versioned) => Some(versioned),
        }
    }

    pub(super) fn record_mut(&mut self) -> Option<&mut Versioned> {
        match self {
            Self::Absent | Self::Conflict => None,
            Self::Found(versioned) | Self::Written(versioned) => Some(versioned),
        }
    }
}

impl Server {
    /// Carries a request out.
    pub(super) fn answer(&mut self, call: Call) -> Answer {
        match (call, &self.lease) {
            (Call::Get, Some(stored)) => Answer::Found(stored.clone()),
            (Call::Get, None) => Answer::Absent,
            (Call::Write(Versioned { version, record }), _) if version == self.version() => {
                let version = version + 1;
                let stored = Versioned { version, record };
                self.lease = Some(stored.clone());
                Answer::Written(stored)
            }
            _ => Answer::Conflict,
        }
    }

    /// Whether a request could change the Lease, now or later.
    pub(super) fn takes(&self, call: &Call) -> bool {
        matches!(call, Call::Write(versioned) if versioned.version == self.version())
    }

    /// The version that is stored; 0 when there is none.
    pub(super) fn version(&self) -> u8 {
        self.lease.as_ref().map_or(0, |stored| stored.version)
    }

    /// Whether the Lease has passed from one process to another.
    pub(super) fn has_passed(&self) -> bool {
        let stored = self.lease.as_ref();
        let count = stored.and_then(|stored| stored.record.lease_transitions);
        count.is_some_and(|count| count > 0)
    }

    /// The identity in the Lease.
    pub(super) fn holder(&self) -> Option<&str> {
        let stored = self.lease.as_ref();
        stored.and_then(|stored| stored.record.holder_identity.as_deref())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Write(versioned) = self else {
            return f.write_str("GET");
        };
        let holder = versioned.record.holder_identity.as_deref();
        match versioned.version {
            0 => f.write_str("POST"),
            _ => write!(f, "PUT of {:?}", holder.unwrap_or_default()),
        }
    }
}
