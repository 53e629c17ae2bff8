//! One state of the queue, and everything that can happen next: the few lines by which the product's `Queue` asks its
//! plain values.

use super::action::{Action, Edit, Failure, Fate, Workload};
use super::contract::Contract;
use super::{Bounds, Defect};
use revisor::record::queue::evidence::Proof;
use revisor::record::queue::holds::{HoldScope, Holds};
use revisor::record::queue::lanes::{Failed, Given, LaneItem, Lanes, Next};
use std::collections::{BTreeSet, VecDeque};
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
    statuses: u8,
    failures: u8,
    refusals: u8,
    seconds: u8,
    half_minutes: u8,
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
    pub(super) given: Vec<Given<Edit>>,
    /// Workloads of which a status has failed, until none of their statuses is left: Revisions may pass those.
    pub(super) slow: BTreeSet<Workload>,
    bounds: Bounds,
    /// Seconds since the beginning.
    now: u8,
    /// The newest write of each workload so far.
    newest: Vec<Edit>,
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
        let share = match bounds.defect {
            Some(Defect::ShareIgnored) => bounds.writers,
            _ => bounds.share,
        };
        let newest = |workload| Edit {
            workload,
            revision: 0,
            status: 0,
            epoch: 0,
        };
        Self {
            lanes: Lanes::new(share.into()),
            holds: Holds::default(),
            contract: Contract::new(workloads),
            owed: vec![VecDeque::new(); workloads],
            given: Vec::new(),
            slow: BTreeSet::new(),
            bounds,
            now: 0,
            newest: (0..workloads).map(newest).collect(),
            used: Used::default(),
        }
    }

    pub(super) fn instant(&self) -> Instant {
        *START + Duration::from_secs(self.now.into())
    }

    /// So many writes of a namespace are under way at most.
    pub(super) fn share(&self) -> usize {
        self.bounds.share.into()
    }

    /// Whether a write is under way.
    pub(super) fn is_given(&self, edit: &Edit) -> bool {
        self.given.iter().any(|given| given.item == *edit)
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
            let workloads = (0..self.newest.len()).filter(|of| self.may_push(*of));
            actions.extend(workloads.clone().map(Action::Push));
            if used.statuses < bounds.statuses {
                actions.extend(workloads.map(Action::PushStatus));
            }
        }
        for given in &self.given {
            self.fates(given.item, actions);
        }
        if self.given.len() < bounds.writers.into() {
            actions.push(Action::Take);
            actions.extend(self.waits_until().map(|_| Action::Wait));
        }
        let more = [
            (used.seconds < bounds.seconds, Action::Second),
            (used.half_minutes < bounds.half_minutes, Action::HalfMinute),
            (used.clears < bounds.clears, Action::Clear),
        ];
        let possible = more.into_iter().filter(|(is_possible, _)| *is_possible);
        actions.extend(possible.map(|(_, action)| action));
    }

    /// Workloads of one namespace that were not written yet are all alike.
    fn may_push(&self, workload: Workload) -> bool {
        let first = self.newest[0];
        workload != 1 || first.revision + first.status > 0
    }

    fn fates(&self, edit: Edit, actions: &mut Vec<Action>) {
        let settle = |fate| Action::Settle(edit, fate);
        let (good, bad) = if edit.creates() {
            (Fate::Created, &[Fate::Answered, Fate::Gone][..])
        } else {
            (Fate::Answered, &[Fate::Gone][..])
        };
        actions.push(settle(good));
        if self.used.refusals < self.bounds.refusals {
            actions.extend(bad.iter().map(|fate| settle(*fate)));
        }
        let failures = if edit.creates() {
            &Failure::ALL[..]
        } else {
            &Failure::OF_STATUSES[..]
        };
        if self.used.failures < self.bounds.failures {
            let fail = |failure: &Failure| Action::Fail(edit, *failure);
            actions.extend(failures.iter().map(fail));
        }
    }

    /// The state after something has happened.
    pub(super) fn apply(&mut self, action: Action) {
        match action {
            Action::Push(workload) => self.push(workload, true),
            Action::PushStatus(workload) => self.push(workload, false),
            Action::Take => self.take(),
            Action::Settle(edit, fate) => {
                let is_bad = edit.creates() != (fate == Fate::Created) || fate == Fate::Gone;
                self.used.refusals += u8::from(is_bad);
                if let Some(given) = self.back(edit) {
                    self.settle(given, fate.proof());
                }
            }
            Action::Fail(edit, failure) => {
                self.used.failures += 1;
                if let Some(given) = self.back(edit) {
                    self.fail(given, failure);
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
            Action::HalfMinute => {
                self.used.half_minutes += 1;
                self.now += 30;
            }
            Action::Clear => self.clear(),
        }
    }

    fn push(&mut self, workload: Workload, creates: bool) {
        self.used.writes += 1;
        self.used.statuses += u8::from(!creates);
        let newest = &mut self.newest[workload];
        if creates {
            newest.revision += 1;
            newest.status = 0;
        } else {
            newest.status += 1;
        }
        let edit = Edit {
            epoch: self.used.clears,
            ..*newest
        };
        self.owed[workload].push_back(edit);
        self.lanes.push(edit, self.instant());
    }

    fn take(&mut self) {
        let Next::Item(given) = self.lanes.take(self.instant()) else {
            return;
        };
        self.contract.gave(given.item);
        self.given.push(given);
        self.given.sort_by_key(|given| given.item);
        if self.bounds.defect == Some(Defect::SettledWhenGiven) {
            self.done(given, Proof::Created);
        }
    }

    /// A write is not under way any more.
    fn back(&mut self, edit: Edit) -> Option<Given<Edit>> {
        let at = self.given.iter().position(|given| given.item == edit)?;
        Some(self.given.remove(at))
    }

    fn settle(&mut self, given: Given<Edit>, proof: Proof) {
        let edit = given.item;
        self.owed[edit.workload].retain(|owed| *owed != edit);
        self.contract.settled(edit, proof);
        match self.bounds.defect {
            Some(Defect::RefusalTakenForCreated) => self.done(given, Proof::Created),
            Some(Defect::SettledWhenGiven) => {}
            _ => self.done(given, proof),
        }
        if self.lanes.is_empty() {
            self.contract.rest();
        }
        self.forget();
    }

    /// What is settled does not matter any more.
    fn forget(&mut self) {
        let owed = &self.owed;
        let is_status = |edit: &Edit| !edit.creates();
        self.slow
            .retain(|workload| owed[*workload].iter().any(is_status));
        self.contract.forget(|(workload, revision)| {
            let mut of_workload = owed[*workload].iter();
            of_workload.any(|edit| edit.revision == *revision)
        });
    }

    /// The queue is told that a write is settled.
    fn done(&mut self, given: Given<Edit>, proof: Proof) {
        let (edit, now) = (given.item, self.instant());
        self.lanes.done(given.lane, edit.namespace(), proof, now);
        let idle = self.lanes.is_empty();
        if self.bounds.defect != Some(Defect::HoldNeverEnds) {
            self.holds
                .settle(proof, edit.workload(), edit.namespace(), idle);
        }
    }

    fn fail(&mut self, given: Given<Edit>, failure: Failure) {
        let edit = given.item;
        if edit.epoch != self.used.clears {
            return self.settle(given, Proof::Answered);
        }
        let now = self.instant();
        match self.bounds.defect {
            Some(Defect::FailedGoesBehind) => {
                self.done(given, Proof::Answered);
                self.lanes.push(edit, now);
            }
            Some(Defect::SettledWhenGiven) => {
                self.lanes.push(edit, now);
            }
            Some(Defect::FailedIsForgotten) => self.done(given, Proof::Answered),
            _ => self.put_back(given, failure),
        }
    }

    fn put_back(&mut self, given: Given<Edit>, failure: Failure) {
        let (edit, cause) = (given.item, failure.cause());
        let told = match self.bounds.defect {
            Some(Defect::OwnHoldsAll) => Failure::Network.cause(),
            _ => cause,
        };
        let now = match self.bounds.defect {
            Some(Defect::TimeStands) => *START,
            _ => self.instant(),
        };
        let failed = self.lanes.failed(given, told, now, delay);
        if !edit.creates() {
            self.slow.insert(edit.workload);
        }
        self.contract.failed(edit, cause, self.now, &failed);
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
            self.holds
                .raise(reason, &scope, workload, cause.passing, now);
        }
    }

    fn clear(&mut self) {
        self.used.clears += 1;
        self.lanes.clear();
        self.holds.clear();
        let Self { owed, given, .. } = self;
        let is_given = |edit: &Edit| given.iter().any(|given| given.item == *edit);
        for lane in owed {
            lane.retain(is_given);
        }
        self.contract.cleared(is_given);
        self.forget();
    }

    /// The changes since a state before, as far as they are of interest.
    pub(super) fn told(&self, before: &Self) -> String {
        let mut text = String::new();
        let (old, new) = (&before.given, &self.given);
        let given = new.iter().filter(|given| !old.contains(given));
        let back = old.iter().filter(|given| !new.contains(given));
        for Given { item, .. } in given.chain(back) {
            let _ = write!(text, ": {item}");
        }
        if self.now != before.now {
            let _ = write!(text, ": second {}", self.now);
        }
        text
    }
}
