//! Which item is written next: in order within a workload, side by side across workloads. Pure; time is passed in.
//!
//! A failure delays one lane (a workload), one namespace, or everything. Everything is delayed behind a gate: when its
//! time is up one item goes through as a probe, and only when that arrives do the others follow.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A lane that failed this often waits on its own too, so that one object that always fails does not hold the rest.
const PATIENCE: u32 = 2;

/// What a failure delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Workload,
    Namespace,
    All,
}

/// An answer to "what next".
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    Item(T),
    /// Nothing until then, or until something changes.
    Wait(Option<Instant>),
}

/// What the lanes need to know of an item.
pub(super) trait Item {
    fn workload(&self) -> Uuid;
    fn namespace(&self) -> &str;
}

#[derive(Debug)]
pub(super) struct Lanes<T> {
    workloads: HashMap<Uuid, Lane<T>>,
    ready: VecDeque<Uuid>,
    delayed: BTreeSet<(Instant, Uuid)>,
    parked: HashMap<String, Instant>,
    gate: Gate,
    len: usize,
}

#[derive(Debug)]
struct Lane<T> {
    items: VecDeque<T>,
    busy: bool,
    failures: u32,
}

#[derive(Debug, Default)]
struct Gate {
    until: Option<Instant>,
    probing: bool,
    failures: u32,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            workloads: HashMap::new(),
            ready: VecDeque::new(),
            delayed: BTreeSet::new(),
            parked: HashMap::new(),
            gate: Gate::default(),
            len: 0,
        }
    }
}

impl<T: Item> Lanes<T> {
    /// Items that are waiting or being written.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn push(&mut self, item: T) {
        self.len += 1;
        let workload = item.workload();
        let lane = self.workloads.entry(workload).or_insert_with(|| {
            self.ready.push_back(workload);
            Lane { items: VecDeque::new(), busy: false, failures: 0 }
        });
        lane.items.push_back(item);
    }

    /// Takes out everything that was not given out.
    pub(super) fn clear(&mut self) -> Vec<T> {
        let dropped: Vec<T> =
            self.workloads.values_mut().flat_map(|lane| std::mem::take(&mut lane.items)).collect();
        self.workloads.retain(|_, lane| lane.busy);
        self.ready.clear();
        self.delayed.clear();
        self.len -= dropped.len();
        dropped
    }

    /// Gives out the next item; its lane waits until [`Lanes::done`] or [`Lanes::failed`].
    pub(super) fn take(&mut self, now: Instant) -> Next<T> {
        self.release(now);
        if let Some(until) = self.gate.until {
            if until > now {
                return Next::Wait(Some(until));
            }
            if self.gate.probing {
                return Next::Wait(None);
            }
        }
        while let Some(workload) = self.ready.pop_front() {
            let Some(lane) = self.workloads.get_mut(&workload) else { continue };
            let parked = lane.items.front().and_then(|item| self.parked.get(item.namespace()));
            if let Some(until) = parked.filter(|until| **until > now) {
                self.delayed.insert((*until, workload));
                continue;
            }
            if let Some(item) = lane.items.pop_front() {
                lane.busy = true;
                self.gate.probing = self.gate.until.is_some();
                return Next::Item(item);
            }
        }
        Next::Wait(self.delayed.first().map(|(at, _)| *at))
    }

    /// Lanes whose delay is over are ready again.
    fn release(&mut self, now: Instant) {
        while let Some((at, workload)) = self.delayed.first().copied().filter(|(at, _)| *at <= now) {
            self.delayed.remove(&(at, workload));
            self.ready.push_back(workload);
        }
        self.parked.retain(|_, until| *until > now);
    }

    /// The item of `workload` that was given out is settled. True when that opened the gate for the others.
    pub(super) fn done(&mut self, workload: Uuid) -> bool {
        self.len -= 1;
        let opened = self.gate.until.is_some();
        self.gate = Gate::default();
        let Some(lane) = self.workloads.get_mut(&workload) else { return opened };
        lane.busy = false;
        lane.failures = 0;
        if lane.items.is_empty() {
            self.workloads.remove(&workload);
        } else {
            self.ready.push_back(workload);
        }
        opened
    }

    /// The item that was given out comes back. `delay` is given the number of failures so far, from 1.
    pub(super) fn failed(&mut self, item: T, scope: Scope, now: Instant, delay: impl Fn(u32) -> Duration) {
        let workload = item.workload();
        let Some(lane) = self.workloads.get_mut(&workload) else { return };
        lane.busy = false;
        lane.failures = lane.failures.saturating_add(1);
        let own = now + delay(lane.failures);
        let namespace = item.namespace().to_owned();
        lane.items.push_front(item);
        match scope {
            Scope::All => {
                // Several failures of one outage count as one: only the probe's failure lengthens the wait.
                if self.gate.until.is_none() || self.gate.probing {
                    self.gate.failures = self.gate.failures.saturating_add(1);
                    self.gate.until = Some(now + delay(self.gate.failures));
                }
                self.gate.probing = false;
                if lane.failures > PATIENCE {
                    self.delayed.insert((own, workload));
                } else {
                    self.ready.push_back(workload);
                }
            }
            Scope::Namespace => {
                self.gate = Gate::default();
                self.parked.insert(namespace, own);
                self.delayed.insert((own, workload));
            }
            Scope::Workload => {
                self.gate = Gate::default();
                self.delayed.insert((own, workload));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Clone, Copy)]
    struct Edit(u128, &'static str, u32);

    impl Item for Edit {
        fn workload(&self) -> Uuid {
            Uuid::from_u128(self.0)
        }
        fn namespace(&self) -> &str {
            self.1
        }
    }

    fn second(failures: u32) -> Duration {
        Duration::from_secs(u64::from(failures))
    }

    fn lanes(edits: &[Edit]) -> (Lanes<Edit>, Instant) {
        let mut lanes = Lanes::default();
        for edit in edits {
            lanes.push(*edit);
        }
        (lanes, Instant::now())
    }

    #[test]
    fn in_order_within_a_workload_side_by_side_across() {
        let (a1, a2, b1) = (Edit(1, "n", 1), Edit(1, "n", 2), Edit(2, "n", 1));
        let (mut lanes, now) = lanes(&[a1, a2, b1]);
        assert_eq!(lanes.take(now), Next::Item(a1));
        assert_eq!(lanes.take(now), Next::Item(b1));
        assert_eq!(lanes.take(now), Next::Wait(None));
        lanes.done(a1.workload());
        assert_eq!(lanes.take(now), Next::Item(a2));
        lanes.done(a2.workload());
        lanes.done(b1.workload());
        assert_eq!((lanes.len(), lanes.workloads.len()), (0, 0));
    }

    #[test]
    fn a_failed_item_comes_again_first_and_later() {
        let (a1, a2, b1) = (Edit(1, "n", 1), Edit(1, "n", 2), Edit(2, "n", 1));
        let (mut lanes, now) = lanes(&[a1, a2, b1]);
        assert_eq!(lanes.take(now), Next::Item(a1));
        lanes.failed(a1, Scope::Workload, now, second);
        assert_eq!(lanes.take(now), Next::Item(b1));
        assert_eq!(lanes.take(now), Next::Wait(Some(now + second(1))));
        assert_eq!(lanes.take(now + second(1)), Next::Item(a1));
        lanes.failed(a1, Scope::Workload, now + second(1), second);
        assert_eq!(lanes.take(now + second(2)), Next::Wait(Some(now + second(3))));
    }

    #[test]
    fn a_parked_namespace_holds_no_other() {
        let (a, b, c) = (Edit(1, "full", 1), Edit(2, "full", 1), Edit(3, "n", 1));
        let (mut lanes, now) = lanes(&[a, b, c]);
        assert_eq!(lanes.take(now), Next::Item(a));
        lanes.failed(a, Scope::Namespace, now, second);
        assert_eq!(lanes.take(now), Next::Item(c));
        assert_eq!(lanes.take(now), Next::Wait(Some(now + second(1))));
        assert!(matches!(lanes.take(now + second(1)), Next::Item(Edit(_, "full", _))));
    }

    #[test]
    fn behind_the_gate_one_probes_for_all() {
        let (a, b, c) = (Edit(1, "n", 1), Edit(2, "n", 1), Edit(3, "n", 1));
        let (mut lanes, now) = lanes(&[a, b, c]);
        assert_eq!(lanes.take(now), Next::Item(a));
        assert_eq!(lanes.take(now), Next::Item(b));
        lanes.failed(a, Scope::All, now, second);
        lanes.failed(b, Scope::All, now, second);
        assert_eq!(lanes.take(now), Next::Wait(Some(now + second(1))), "one outage, one failure");
        let later = now + second(1);
        assert_eq!(lanes.take(later), Next::Item(c));
        assert_eq!(lanes.take(later), Next::Wait(None), "only one probe");
        lanes.failed(c, Scope::All, later, second);
        assert_eq!(lanes.take(later), Next::Wait(Some(later + second(2))));
        let later = later + second(2);
        assert_eq!(lanes.take(later), Next::Item(a));
        assert!(lanes.done(a.workload()));
        assert_eq!(lanes.take(later), Next::Item(b));
        assert_eq!(lanes.take(later), Next::Item(c));
    }

    proptest::proptest! {
        #[test]
        fn every_item_arrives_once_and_in_order(script in proptest::collection::vec((0..5u128, 0..4u8), 1..200)) {
            let mut lanes = Lanes::default();
            let mut now = Instant::now();
            let mut counts = [0; 5];
            for (workload, _) in &script {
                let at = usize::try_from(*workload).expect("small");
                counts[at] += 1;
                lanes.push(Edit(*workload, "n", counts[at]));
            }
            let mut arrived = [0; 5];
            let mut fates = script.iter().map(|(_, fate)| *fate).chain(std::iter::repeat(3));
            while lanes.len() > 0 {
                match lanes.take(now) {
                    Next::Item(item) => match fates.next() {
                        Some(0) => lanes.failed(item, Scope::Workload, now, second),
                        Some(1) => lanes.failed(item, Scope::Namespace, now, second),
                        Some(2) => lanes.failed(item, Scope::All, now, second),
                        _ => {
                            let at = usize::try_from(item.0).expect("small");
                            arrived[at] += 1;
                            proptest::prop_assert_eq!(arrived[at], item.2);
                            lanes.done(item.workload());
                        }
                    },
                    Next::Wait(until) => now = until.expect("something is waiting"),
                }
            }
            proptest::prop_assert_eq!(arrived, counts);
        }
    }
}
