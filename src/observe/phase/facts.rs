//! What is known of a Revision when its phase is decided. Pure.

use super::super::pod::{Pod, PodState};
use super::Finding;
use crate::revision::Phase;
use chrono::{DateTime, TimeDelta, Utc};

/// How far a workload is with its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Lifecycle {
    /// It is there.
    Live,
    /// Its deletion was asked for.
    Deleting,
    /// It is gone.
    Deleted,
}

/// What the workload's status says of its newest generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Ruling {
    /// Nothing that a rule of its kind file knows.
    Silent,
    /// A rule matched.
    Match {
        /// Its phase.
        phase: Phase,
        /// In one CamelCase word.
        reason: Option<String>,
        /// For people.
        message: Option<String>,
        /// Since when, where it says that.
        since: Option<DateTime<Utc>>,
    },
    /// It cannot be read, and why.
    Unreadable(String),
}

/// Where a Revision stands among those of its workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Standing {
    /// It is the newest.
    Newest,
    /// There is a newer one, and none of those was ready yet.
    Superseded,
    /// A newer one runs.
    Replaced,
    /// There is a newer one, and its own pods serve whatever is newer.
    Serving,
}

/// Why a workload is not ready, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Words {
    /// In one CamelCase word.
    pub(in super::super) reason: String,
    /// For people.
    pub(in super::super) message: Option<String>,
    /// Since when.
    pub(in super::super) since: Option<DateTime<Utc>>,
}

/// The pods of the same workload that are of other Revisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Others {
    /// Whether there are any.
    pub(in super::super) are_there: bool,
    /// Whether the workload's status says that ready ones of them, or ones with another key than the newest, serve.
    pub(in super::super) serve: bool,
}

/// What is known of a Revision.
#[derive(Clone, Debug)]
pub(in super::super) struct Facts<'a> {
    /// Where it stands.
    pub(in super::super) standing: Standing,
    /// How far the workload is.
    pub(in super::super) lifecycle: Lifecycle,
    /// Its pods.
    pub(in super::super) pods: &'a [&'a Pod],
    /// How many it should have; none when any number is right.
    pub(in super::super) expected: Option<i64>,
    /// What the workload's status says; of the newest only.
    pub(in super::super) ruling: &'a Ruling,
    /// Why the workload is not ready, in its own words; of the newest only.
    pub(in super::super) words: Option<&'a Words>,
    /// The pods of the other Revisions; of the newest only.
    pub(in super::super) others: Others,
    /// A rollout without progress for so long has failed; none where something else judges that.
    pub(in super::super) deadline: Option<TimeDelta>,
    /// Whether the status is known to speak of this generation.
    pub(in super::super) trusted: bool,
    /// When the change was made.
    pub(in super::super) changed: DateTime<Utc>,
    /// Whether all of its pods were ready once.
    pub(in super::super) was_ready: bool,
    /// How many of its pods were ready when its status was last written.
    pub(in super::super) ready_before: i32,
    /// Whether it is known to have failed.
    pub(in super::super) has_failed: bool,
    /// Its phase, reason and message up to now.
    pub(in super::super) before: Option<Finding>,
    /// What the clock says.
    pub(in super::super) now: DateTime<Utc>,
}

impl Facts<'_> {
    /// Whether it is the newest of its workload.
    pub(in super::super) fn is_newest(&self) -> bool {
        self.standing == Standing::Newest
    }

    pub(super) fn was(&self, phases: &[Phase]) -> bool {
        self.before
            .as_ref()
            .is_some_and(|before| phases.contains(&before.phase))
    }

    /// Whether it is on its way back after it was stopped.
    pub(super) fn resumes(&self) -> bool {
        self.was_ready && self.was(&[Phase::Stopped, Phase::Stopping, Phase::Resuming])
    }

    /// Whether pods that were ready are missing, and nobody wants it so.
    pub(super) fn has_lost_pods(&self) -> bool {
        let elastic = self.expected.is_none();
        self.was_ready && (!elastic || self.ready_before > 0 || self.was(&[Phase::Degraded]))
    }

    /// Whether what is said of the workload cannot be about this Revision: it has no pods yet, and others have.
    pub(super) fn is_said_of_others(&self) -> bool {
        self.others.are_there && self.expected.is_some_and(|pods| pods > 0)
    }

    /// When something last got better.
    pub(super) fn progressed(&self) -> DateTime<Utc> {
        let ready = self.pods.iter().filter_map(|pod| match pod.state {
            PodState::Ready(since) => Some(since),
            _ => None,
        });
        ready.fold(self.changed, DateTime::max)
    }
}
