//! One state of the queue, and everything that can happen next: the few lines by which the product's `Queue` asks its
//! plain values.

use super::action::{Action, Edit, Failure, Fate, Workload};
use super::contract::Contract;
use super::evidence::Proof;
use super::holds::{HoldScope, Holds};
use super::lanes::{Failed, LaneItem, Lanes, Next};
use super::{Bounds, Defect};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::Instant;

/// The time at which everything begins.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The number of bounded events that have happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Used {
    writes: u8,
    failures: u8,
    refusals: u8,
    seconds: u8,
    clears: u8,
}

/// One state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub(super) lanes: Lanes<Edit>,
    pub(super) holds: Holds,
    pub(super) contract: Contract,
    /// The writes of each workload that are not settled, in their order.
    pub(super) owed: Vec<VecDeque<Edit>>,
    /// The writes that are under way.
    pub(super) given: Vec<Edit>,
    bounds: Bounds,
    /// Seconds since the beginning.
    now: u8,
    /// The writes of each workload so far.
    pushed: Vec<u8>,
    used: Used,
}

/// The wait after so many failures in a row.
fn delay(failures: u32) -> Duration {
    Duration::from_secs(failures.into())
}

impl World {
    /// Nothing was handed in.
    pub(super) fn new(bounds: Bounds) -> Self {
        let workloads = bounds.workloads.into();
        Self {
            lanes: Lanes::default(),
            holds: Holds::default(),
            contract: Contract::new(workloads),
            owed: vec![VecDeque::new(); workloads],
            given: Vec::new(),
            bounds,
            now: 0,
            pushed: vec![0; workloads],
            used: Used::default(),
        }
    }

    pub(super) fn instant(&self) -> Instant {
        *START + Duration::from_secs(self.now.into())
    }

    /// Whether any write is said to be held.
    pub(super) fn holds_any(&self) -> bool {
        let mut failures = Failure::ALL.into_iter();
        failures.any(|failure| self.holds.holds(failure.reason()))
    }

    /// The answer to a writer that asks now.
    pub(super) fn next(&self) -> Next<Edit> {
        self.lanes.clone().take(self.instant())
    }

    /// Whether a writer has something to do.
    pub(super) fn can_take(&self) -> bool {
        self.given.len() < self.bounds.writers.into() && matches!(self.next(), Next::Item(_))
    }

    /// The second for which writers wait.
    pub(super) fn waits_until(&self) -> Option<u8> {
        if self.bounds.defect == Some(Defect::WaitNeverEnds) {
            return None;
        }
        let Next::Wait(Some(until)) = self.next() else {
            return None;
        };
        let second = (until - *START).as_secs().try_into().ok();
        second.filter(|second| *second > self.now)
    }

    /// Everything that can happen next.
    pub(super) fn actions(&self, actions: &mut Vec<Action>) {
        let Self { used, bounds, .. } = self;
        if used.writes < bounds.writes {
            let workloads = (0..self.pushed.len()).filter(|of| self.may_push(*of));
            actions.extend(workloads.map(Action::Push));
        }
        for edit in &self.given {
            self.fates(edit.workload, actions);
        }
        if self.given.len() < bounds.writers.into() {
            actions.push(Action::Take);
            actions.extend(self.waits_until().map(|_| Action::Wait));
        }
        if used.seconds < bounds.seconds {
            actions.push(Action::Second);
        }
        if used.clears < bounds.clears {
            actions.push(Action::Clear);
        }
    }

    /// Workloads of one namespace that were not written yet are all alike.
    fn may_push(&self, workload: Workload) -> bool {
        workload != 1 || self.pushed[0] > 0
    }

    fn fates(&self, workload: Workload, actions: &mut Vec<Action>) {
        actions.push(Action::Settle(workload, Fate::Created));
        if self.used.refusals < self.bounds.refusals {
            let fates = [Fate::Refused, Fate::Gone].into_iter();
            actions.extend(fates.map(|fate| Action::Settle(workload, fate)));
        }
        if self.used.failures < self.bounds.failures {
            let failures = Failure::ALL.into_iter();
            actions.extend(failures.map(|failure| Action::Fail(workload, failure)));
        }
    }

    /// The state after something has happened.
    pub(super) fn apply(&mut self, action: Action) {
        match action {
            Action::Push(workload) => self.push(workload),
            Action::Take => self.take(),
            Action::Settle(workload, fate) => {
                self.used.refusals += u8::from(fate != Fate::Created);
                if let Some(edit) = self.back(workload) {
                    self.settle(edit, fate.proof());
                }
            }
            Action::Fail(workload, failure) => {
                self.used.failures += 1;
                if let Some(edit) = self.back(workload) {
                    self.fail(edit, failure);
                }
            }
            Action::Wait => {
                let until = self.waits_until();
                self.take();
                self.now = until.unwrap_or(self.now);
            }
            Action::Second => {
                self.used.seconds += 1;
                self.now += 1;
            }
            Action::Clear => self.clear(),
        }
    }

    fn push(&mut self, workload: Workload) {
        self.used.writes += 1;
        self.pushed[workload] += 1;
        let edit = Edit {
            workload,
            number: self.pushed[workload],
            epoch: self.used.clears,
        };
        self.owed[workload].push_back(edit);
        self.lanes.push(edit, self.instant());
    }

    fn take(&mut self) {
        let Next::Item(edit) = self.lanes.take(self.instant()) else {
            return;
        };
        self.contract.gave(edit.workload);
        self.given.push(edit);
        self.given.sort();
        if self.bounds.defect == Some(Defect::SettledWhenGiven) {
            self.done(edit, Proof::Created);
        }
    }

    /// The write of a workload is not under way any more.
    fn back(&mut self, workload: Workload) -> Option<Edit> {
        let is_it = |edit: &Edit| edit.workload == workload;
        let at = self.given.iter().position(is_it)?;
        Some(self.given.remove(at))
    }

    fn settle(&mut self, edit: Edit, proof: Proof) {
        self.owed[edit.workload].retain(|owed| *owed != edit);
        self.contract.settled(edit.workload, proof);
        match self.bounds.defect {
            Some(Defect::RefusalTakenForCreated) => self.done(edit, Proof::Created),
            Some(Defect::SettledWhenGiven) => {}
            _ => self.done(edit, proof),
        }
        if self.lanes.len() == 0 {
            self.contract = Contract::new(self.owed.len());
        }
    }

    /// The queue is told that a write is settled.
    fn done(&mut self, edit: Edit, proof: Proof) {
        let now = self.instant();
        self.lanes
            .done(edit.workload(), edit.namespace(), proof, now);
        let idle = self.lanes.len() == 0;
        if self.bounds.defect != Some(Defect::HoldNeverEnds) {
            self.holds
                .settle(proof, edit.workload(), edit.namespace(), idle);
        }
    }

    fn fail(&mut self, edit: Edit, failure: Failure) {
        if edit.epoch != self.used.clears {
            return self.settle(edit, Proof::Answered);
        }
        let now = self.instant();
        match self.bounds.defect {
            Some(Defect::FailedGoesBehind) => {
                self.done(edit, Proof::Answered);
                self.lanes.push(edit, now);
            }
            Some(Defect::SettledWhenGiven) => self.lanes.push(edit, now),
            Some(Defect::FailedIsForgotten) => self.done(edit, Proof::Answered),
            _ => self.put_back(edit, failure),
        }
    }

    fn put_back(&mut self, edit: Edit, failure: Failure) {
        let (cause, now) = (failure.cause(), self.instant());
        let told = match self.bounds.defect {
            Some(Defect::OwnHoldsAll) => Failure::Network.cause(),
            _ => cause,
        };
        let failed = self.lanes.failed(edit, told, now, delay);
        self.contract.failed(edit.workload, cause, failed.scope);
        if !cause.passing {
            self.holds.answered();
        }
        self.hold(edit, failure, &failed);
    }

    fn hold(&mut self, edit: Edit, failure: Failure, failed: &Failed) {
        let (cause, now) = (failure.cause(), self.instant());
        let (workload, namespace) = (edit.workload(), edit.namespace());
        if let Some(scope) = HoldScope::of(cause, failed, workload, namespace, now) {
            let reason = failure.reason();
            self.holds.raise(reason, &scope, workload, cause.passing);
        }
    }

    fn clear(&mut self) {
        self.used.clears += 1;
        self.lanes.clear();
        self.holds.clear();
        self.contract.cleared();
        let Self { owed, given, .. } = self;
        let owed = owed.iter_mut();
        owed.for_each(|lane| lane.retain(|edit| given.contains(edit)));
    }

    /// The changes since a state before, as far as they are of interest.
    pub(super) fn told(&self, before: &Self) -> String {
        let mut text = String::new();
        let (old, new) = (&before.given, &self.given);
        let given = new.iter().filter(|edit| !old.contains(edit));
        let back = old.iter().filter(|edit| !new.contains(edit));
        for edit in given.chain(back) {
            let _ = write!(text, ": {edit}");
        }
        if self.now != before.now {
            let _ = write!(text, ": second {}", self.now);
        }
        text
    }
}
