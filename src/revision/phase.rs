//! What the pods of a Revision are doing, in the words of the REST contract (its section "Phases"). Pure.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// What the pods of a revision are doing.
#[derive(Serialize, ToSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Submitted; there are no pods yet.
    Creating,
    /// All pods are scheduled, and not all of them are ready.
    Initializing,
    /// Resumed by its user, and not all pods are there.
    Resuming,
    /// Pods exist, and not all of them are scheduled.
    Pending,
    /// The workload is being deleted.
    Deleting,
    /// All pods are ready; none is right where the workload scales to zero.
    Running,
    /// Its rollout is paused midway.
    Updating,
    /// Superseded after a success, scaled to zero, stopped by its user, or deleted.
    Stopped,
    /// Stopped, and pods are still there.
    Stopping,
    /// It runs, but not as specified.
    Degraded,
    /// Images cannot be pulled, containers crash, or the rollout did not come through.
    Failed,
    /// Its pods have ended without an error.
    Completed,
    /// Superseded, and its pods are going.
    Terminating,
    /// Cannot be read.
    Unknown,
}

/// A phase that this version does not know, because a later one wrote it, is read as [`Phase::Unknown`].
impl<'de> Deserialize<'de> for Phase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(Self::named(&name).unwrap_or(Self::Unknown))
    }
}

impl Phase {
    /// All of them, in the order of the contract.
    pub const ALL: [Self; 14] = [
        Self::Creating,
        Self::Initializing,
        Self::Resuming,
        Self::Pending,
        Self::Deleting,
        Self::Running,
        Self::Updating,
        Self::Stopped,
        Self::Stopping,
        Self::Degraded,
        Self::Failed,
        Self::Completed,
        Self::Terminating,
        Self::Unknown,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Initializing => "Initializing",
            Self::Resuming => "Resuming",
            Self::Pending => "Pending",
            Self::Deleting => "Deleting",
            Self::Running => "Running",
            Self::Updating => "Updating",
            Self::Stopped => "Stopped",
            Self::Stopping => "Stopping",
            Self::Degraded => "Degraded",
            Self::Failed => "Failed",
            Self::Completed => "Completed",
            Self::Terminating => "Terminating",
            Self::Unknown => "Unknown",
        }
    }

    /// The phase of that name; none for one of a later version.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == name)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_written_as_in_json() {
        for phase in Phase::ALL {
            assert_eq!(Phase::named(phase.as_str()), Some(phase));
            let json = serde_json::to_string(&phase).expect("text");
            assert_eq!(json, format!("{:?}", phase.as_str()));
            assert_eq!(
                serde_json::from_str::<Phase>(&json).expect("a phase"),
                phase
            );
        }
        assert_eq!(Phase::named("Napping"), None);
    }

    #[test]
    fn a_phase_of_a_later_version_is_read_as_unknown() {
        for name in ["\"Napping\"", "\"\"", "\"running\""] {
            let phase: Phase = serde_json::from_str(name).expect("a phase");
            assert_eq!(phase, Phase::Unknown, "{name}");
        }
        assert!(serde_json::from_str::<Phase>("3").is_err());
    }
}
