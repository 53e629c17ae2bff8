//! A replica: the order in which the product's `Elector` asks the Lease and its own observation, and its timers.
//!
//! Every time is counted from the present second, and becomes one less when a second passes: states that differ by
//! their date only are one state, and time goes on without a bound.

use super::Defect;
use super::k8s::jiff::Timestamp;
use super::lease::{DEADLINE, DURATION, ObservedLease, PERIOD, held};
use super::server::{Answer, Call, Names, Versioned};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::Instant;

/// A time in seconds from the present one.
pub(super) type Second = i8;

/// The most that one who does not lead waits longer, by lot: a fifth of the period, rounded up.
pub(super) const LOT: Duration = Duration::from_secs(1);

/// Before the earliest moment that is asked for.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn instant(second: Second) -> Instant {
    let since_start = i64::from(second) - i64::from(Second::MIN);
    *START + Duration::from_secs(since_start.unsigned_abs())
}

/// A length of time in whole seconds.
pub(super) fn seconds(length: Duration) -> Second {
    Second::try_from(length.as_secs()).unwrap_or(Second::MAX)
}

/// The progress of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// It does not run.
    Down,
    /// It looks at the Lease again at this time, or, when it does not lead, by lot up to [`LOT`] earlier.
    Asleep(Second),
    /// It waits for an answer until this time.
    Asking(Second),
}

/// A replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Replica {
    pub(super) phase: Phase,
    /// Whether it believes that it leads.
    pub(super) leads: bool,
    /// The time until which it is not run.
    pub(super) paused: Second,
    /// An answer that is on its way.
    pub(super) coming: Option<Answer>,
    identity: String,
    /// The Lease as it was last observed.
    observed: Option<(Versioned, ObservedLease)>,
    /// The beginning of the attempt that is under way.
    started: Second,
    /// The beginning of the last attempt that renewed the Lease.
    renewed: Option<Second>,
    defect: Option<Defect>,
}

impl Replica {
    /// A replica that does not run.
    pub(super) fn new(identity: String, defect: Option<Defect>) -> Self {
        Self {
            phase: Phase::Down,
            leads: false,
            paused: 0,
            coming: None,
            identity,
            observed: None,
            started: -seconds(DEADLINE),
            renewed: None,
            defect,
        }
    }

    /// Its process has ended, and with it everything that it knew.
    pub(super) fn end(&mut self) {
        *self = Self::new(std::mem::take(&mut self.identity), self.defect);
    }

    pub(super) fn runs(&self) -> bool {
        self.phase != Phase::Down
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused > 0
    }

    /// Whether it has to look at the Lease.
    pub(super) fn wakes(&self) -> bool {
        matches!(self.phase, Phase::Asleep(until) if until <= 0) && !self.is_paused()
    }

    /// Whether its lot may be that it looks at the Lease now.
    pub(super) fn may_look(&self) -> bool {
        let is_time = matches!(self.phase, Phase::Asleep(until) if until <= seconds(LOT));
        is_time && !self.leads && !self.is_paused()
    }

    /// Whether it has waited long enough for an answer.
    pub(super) fn is_late(&self) -> bool {
        matches!(self.phase, Phase::Asking(until) if until <= 0) && !self.is_paused()
    }

    /// An attempt begins.
    pub(super) fn ask(&mut self) -> Call {
        let elapsed = self.renewed.map_or(0, |at| -at);
        self.started = 0;
        self.phase = Phase::Asking((seconds(DEADLINE) - elapsed).max(0));
        Call::Get
    }

    /// An answer arrives at the wall time `wall`. Returns the write that follows.
    pub(super) fn answered(&mut self, answer: Answer, wall: Timestamp) -> Option<Call> {
        match answer {
            Answer::Absent => {
                let record = held(&self.identity, 0, wall);
                return Some(Call::Write(Versioned { version: 0, record }));
            }
            Answer::Found(stored) => {
                self.observe(stored);
                let claim = self.claim(wall);
                if claim.is_some() {
                    return claim;
                }
                self.decide(Some(false));
            }
            Answer::Written(stored) => {
                self.observe(stored);
                self.decide(Some(true));
            }
            Answer::Conflict => {
                let leads = self.defect == Some(Defect::IgnoresConflict);
                self.decide(Some(leads));
            }
        }
        None
    }

    fn observe(&mut self, stored: Versioned) {
        let is_forgotten = self.defect == Some(Defect::SeenIsRenewed);
        let before = self.observed.take().filter(|_| !is_forgotten);
        let before = before.map(|(_, observed)| observed);
        let observed = ObservedLease::update(before, stored.record.clone(), instant(0));
        self.observed = Some((stored, observed));
    }

    fn claim(&self, wall: Timestamp) -> Option<Call> {
        let (stored, observed) = self.observed.as_ref()?;
        let record = observed.claim(&self.identity, instant(0), wall)?;
        let version = stored.version;
        Some(Call::Write(Versioned { version, record }))
    }

    /// An attempt has ended: with an answer that decides who leads, or with none.
    pub(super) fn decide(&mut self, leads: Option<bool>) {
        let began = match self.defect {
            Some(Defect::CountsFromAnswer) => 0,
            _ => self.started,
        };
        if let Some(leads) = leads {
            self.renewed = leads.then_some(began);
        }
        let goes_on = self.defect == Some(Defect::NeverGivesUp);
        let is_fresh = |at: &Second| goes_on || -at < seconds(DEADLINE);
        self.renewed = self.renewed.filter(is_fresh);
        self.leads = self.renewed.is_some();
        self.started = -seconds(DEADLINE);
        let period = if self.leads { PERIOD } else { PERIOD + LOT };
        self.phase = Phase::Asleep(seconds(period));
        self.coming = None;
    }

    /// It ends in order. Returns the write by which it gives the Lease up.
    pub(super) fn stop(&mut self, wall: Timestamp) -> Option<Call> {
        let observed = self.observed.take().filter(|_| self.leads);
        self.end();
        let (stored, observed) = observed?;
        let (version, record) = (stored.version, observed.release(wall));
        Some(Call::Write(Versioned { version, record }))
    }

    /// A second has passed.
    pub(super) fn pass(&mut self) {
        if let Phase::Asleep(at) | Phase::Asking(at) = &mut self.phase {
            *at = (*at - 1).max(0);
        }
        self.paused = (self.paused - 1).max(0);
        self.started = (self.started - 1).max(-seconds(DEADLINE));
        self.renewed = self.renewed.map(|at| (at - 1).max(-seconds(DEADLINE)));
        if let Some((stored, observed)) = &mut self.observed {
            let expires = (expires(observed) - 1).max(0);
            *observed = observation(stored, expires);
        }
    }

    /// The records that it knows.
    pub(super) fn records(&self) -> impl Iterator<Item = &Versioned> {
        let observed = self.observed.as_ref().map(|(stored, _)| stored);
        let coming = self.coming.as_ref().and_then(Answer::record);
        observed.into_iter().chain(coming)
    }

    /// Renames the records that it knows.
    pub(super) fn rename(&mut self, names: &Names) {
        let coming = self.coming.as_mut().and_then(Answer::record_mut);
        coming.map(|record| record.rename(names));
        if let Some((stored, observed)) = &mut self.observed
            && stored.rename(names)
        {
            *observed = observation(stored, expires(observed));
        }
    }
}

/// The seconds after which another process may take a Lease that looks like that.
fn expires(observed: &ObservedLease) -> Second {
    let is_free = |at: &Second| {
        observed
            .claim("another", instant(*at), Timestamp(0))
            .is_some()
    };
    (0..seconds(DURATION))
        .find(is_free)
        .unwrap_or(seconds(DURATION))
}

/// The observation of a Lease that another process may take after so many seconds: the product compares lengths of time
/// only.
fn observation(stored: &Versioned, expires: Second) -> ObservedLease {
    let since = instant(expires - seconds(DURATION));
    ObservedLease::update(None, stored.record.clone(), since)
}
