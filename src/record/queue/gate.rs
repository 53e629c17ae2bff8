//! A gate that a failure closes. When its time is up one item goes through as a probe, and the others follow only when
//! something has shown that the failure is over.
//!
//! In: failures, answers and the time. Out: whether an item may pass. A plain value, which can be copied and compared.

use super::lane::LaneKey;
use std::time::Duration;
use tokio::time::Instant;

/// No wait is longer, whatever it was computed from.
const LONGEST: Duration = Duration::from_secs(3600);

/// A moment after `now`.
pub(super) fn later(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay.min(LONGEST)).unwrap_or(now)
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Streak {
    /// The number of failures.
    pub failures: u32,
    /// The time of the first failure.
    pub since: Option<Instant>,
}

impl Streak {
    /// Whether it has been going on for so long.
    pub(super) fn lasts(&self, time: Duration, now: Instant) -> bool {
        let since = self.since.map(|since| now.duration_since(since));
        since.is_some_and(|lasting| lasting >= time)
    }

    /// Counts one more failure.
    pub(super) fn grow(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.since.get_or_insert(now);
    }
}

/// The gate. It is open until something fails.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Gate {
    until: Option<Instant>,
    probe: Option<LaneKey>,
    streak: Streak,
    /// Whether only a write of the kind that failed opens it; otherwise any answer does.
    strict: bool,
}

impl Gate {
    pub(super) fn is_closed(&self) -> bool {
        self.until.is_some()
    }

    /// Whether an item may pass now; while the gate is closed, as a probe.
    pub(super) fn lets(&self, now: Instant) -> bool {
        self.probe.is_none() && self.until.is_none_or(|until| until <= now)
    }

    /// The time at which the next probe may go, if none is on its way.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until.filter(|_| self.probe.is_none())
    }

    pub(super) fn is_probe(&self, lane: LaneKey) -> bool {
        self.probe == Some(lane)
    }

    pub(super) fn streak(&self) -> Streak {
        self.streak
    }

    /// `lane` passes.
    pub(super) fn pass(&mut self, lane: LaneKey) {
        self.probe = self.until.map(|_| lane);
    }

    /// A write of `lane` has failed. `delay` is given the number of failures so far, from 1.
    pub(super) fn close(
        &mut self,
        lane: LaneKey,
        strict: bool,
        now: Instant,
        delay: impl Fn(u32) -> Duration,
    ) {
        // Several failures of one outage count as one: only the probe's failure lengthens the wait.
        if self.until.is_none() || self.is_probe(lane) {
            self.streak.grow(now);
            self.until = Some(later(now, delay(self.streak.failures)));
        }
        self.strict |= strict;
        self.give_back(lane);
    }

    /// The probe is back and shows nothing: the next one may go at once.
    pub(super) fn give_back(&mut self, lane: LaneKey) {
        self.probe = self.probe.filter(|probe| *probe != lane);
    }

    /// A write of `lane` was answered, though it created nothing. True when that opened the gate.
    pub(super) fn answered(&mut self, lane: LaneKey) -> bool {
        if self.strict {
            self.give_back(lane);
            return false;
        }
        self.open()
    }

    /// Opens the gate. True when it was closed.
    pub(super) fn open(&mut self) -> bool {
        let closed = self.is_closed();
        *self = Self::default();
        closed
    }

    /// The failure is probably over: the next probe need not wait.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.until = self.until.map(|until| until.min(now));
    }
}
