//! The order of writes: in sequence within a workload, side by side across workloads.
//!
//! A failure delays one lane (a workload), one namespace, or everything. The last two are delayed behind a gate: when
//! its time is up one item goes through as a probe, and only what shows that the failure is over lets the others follow.
//!
//! In: items, the fates of those that were given out, and the time. Out: the next item, or how long to wait. A plain
//! value: where its items can be copied, compared and hashed, it can be too, and no order depends on a hash.

use super::evidence::{Cause, Proof, Scope};
use super::gate::{Gate, Streak, later};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A lane that failed this often waits on its own too, so that one object that always fails does not hold the rest.
const PATIENCE: u32 = 2;

/// The effect of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Failed {
    /// The writes that are delayed; never [`Scope::Unclear`].
    pub(super) scope: Scope,
    /// Failures in a row of its lane.
    pub(super) lane: Streak,
    /// Failures in a row of everything.
    pub(super) gate: Streak,
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Next<T> {
    /// Write this item.
    Item(T),
    /// Wait until then, or until something changes.
    Wait(Option<Instant>),
}

/// The properties of an item that decide about its order.
pub(super) trait LaneItem {
    fn workload(&self) -> Uuid;
    fn namespace(&self) -> &str;
}

/// The lanes of all workloads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lanes<T> {
    workloads: BTreeMap<Uuid, Lane<T>>,
    /// A lane that has items and is not busy is in one of `ready`, `delayed` and the `waiting` of its namespace.
    ready: VecDeque<Uuid>,
    delayed: BTreeSet<(Instant, Uuid)>,
    parked: BTreeMap<String, ParkedNamespace>,
    gate: Gate,
    /// Whether the gate is closed by a failure of unclear scope.
    unclear: bool,
    /// Namespaces in which Revisions were created since the last failure of unclear scope.
    created: BTreeSet<String>,
    len: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lane<T> {
    items: VecDeque<T>,
    busy: bool,
    streak: Streak,
}

/// A namespace that is delayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct ParkedNamespace {
    gate: Gate,
    waiting: VecDeque<Uuid>,
    /// Whether it is known that other namespaces are not concerned.
    alone: bool,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self {
            items: VecDeque::new(),
            busy: false,
            streak: Streak::default(),
        }
    }
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            workloads: BTreeMap::new(),
            ready: VecDeque::new(),
            delayed: BTreeSet::new(),
            parked: BTreeMap::new(),
            gate: Gate::default(),
            unclear: false,
            created: BTreeSet::new(),
            len: 0,
        }
    }
}

impl<T: LaneItem> Lanes<T> {
    /// The number of items that are waiting or being written.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn push(&mut self, item: T, now: Instant) {
        self.len += 1;
        if self.unclear && !self.parked.contains_key(item.namespace()) {
            // One of another namespace makes it clear.
            self.gate.hurry(now);
        }
        let workload = item.workload();
        let lane = self.workloads.entry(workload).or_insert_with(|| {
            self.ready.push_back(workload);
            Lane::default()
        });
        lane.items.push_back(item);
    }

    /// Takes out all items that are not being written.
    pub(super) fn clear(&mut self) -> Vec<T> {
        let dropped: Vec<T> = self
            .workloads
            .values_mut()
            .flat_map(|lane| std::mem::take(&mut lane.items))
            .collect();
        self.workloads.retain(|_, lane| lane.busy);
        self.ready.clear();
        self.delayed.clear();
        self.parked.clear();
        self.len -= dropped.len();
        dropped
    }

    /// Gives out the next item; its lane waits until [`Lanes::done`] or [`Lanes::failed`].
    pub(super) fn take(&mut self, now: Instant) -> Next<T> {
        self.release(now);
        if !self.gate.lets(now) {
            return Next::Wait(self.gate.until());
        }
        loop {
            while let Some(workload) = self.ready.pop_front() {
                if let Some(item) = self.give(workload) {
                    return Next::Item(item);
                }
            }
            // Nothing else is there: the namespaces that may be tried again.
            if !self.elect(now) {
                return Next::Wait(self.next_release());
            }
        }
    }

    /// The time at which a namespace may be tried again, or the delay of a lane is over.
    fn next_release(&self) -> Option<Instant> {
        let probes = self
            .parked
            .values()
            .filter(|parked| !parked.waiting.is_empty())
            .filter_map(|parked| parked.gate.until());
        let delayed = self.delayed.first().map(|(at, _)| *at);
        probes.chain(delayed).min()
    }

    /// The next item of a lane, unless its namespace is delayed.
    fn give(&mut self, workload: Uuid) -> Option<T> {
        let lane = self.workloads.get_mut(&workload)?;
        let parked = lane
            .items
            .front()
            .and_then(|item| self.parked.get_mut(item.namespace()));
        if let Some(parked) = parked
            && !parked.gate.is_probe(workload)
        {
            parked.waiting.push_back(workload);
            return None;
        }
        let item = lane.items.pop_front()?;
        lane.busy = true;
        self.gate.pass(workload);
        Some(item)
    }

    /// Lanes whose delay is over are ready again.
    fn release(&mut self, now: Instant) {
        while let Some((at, workload)) = self.delayed.first().copied().filter(|(at, _)| *at <= now)
        {
            self.delayed.remove(&(at, workload));
            self.ready.push_back(workload);
        }
        self.elect(now);
    }

    /// One lane of every namespace whose time is up becomes ready, as a probe; behind all that are ready.
    fn elect(&mut self, now: Instant) -> bool {
        let mut any = false;
        for parked in self
            .parked
            .values_mut()
            .filter(|parked| parked.gate.lets(now))
        {
            if let Some(workload) = parked.waiting.pop_front() {
                parked.gate.pass(workload);
                self.ready.push_back(workload);
                any = true;
            }
        }
        any
    }

    /// The item of `workload` that was given out is settled. True when that let others go on.
    pub(super) fn done(
        &mut self,
        workload: Uuid,
        namespace: &str,
        proof: Proof,
        now: Instant,
    ) -> bool {
        self.len -= 1;
        let opened = self.shown(workload, namespace, proof, now);
        let Some(lane) = self.workloads.get_mut(&workload) else {
            return opened;
        };
        lane.busy = false;
        lane.streak = Streak::default();
        if lane.items.is_empty() {
            self.workloads.remove(&workload);
        } else {
            self.ready.push_back(workload);
        }
        if self.len == 0 {
            self.parked.clear();
            self.gate.open();
        }
        opened
    }

    /// Opens the gates that `proof` opens.
    fn shown(&mut self, workload: Uuid, namespace: &str, proof: Proof, now: Instant) -> bool {
        if proof == Proof::Created && !self.created.contains(namespace) {
            self.created.insert(namespace.to_owned());
        }
        if proof == Proof::Answered {
            self.give_back(workload, namespace);
            return self.gate.answered(workload);
        }
        let freed = self.parked.remove(namespace);
        let mut opened = freed.is_some();
        self.ready
            .extend(freed.into_iter().flat_map(|parked| parked.waiting));
        if proof == Proof::NamespaceGone {
            return self.gate.answered(workload) || opened;
        }
        if self.gate.open() {
            opened = true;
            self.parked
                .values_mut()
                .for_each(|parked| parked.gate.hurry(now));
        }
        opened
    }

    /// `workload` was perhaps the probe of its namespace, and shows nothing about that.
    fn give_back(&mut self, workload: Uuid, namespace: &str) {
        if let Some(parked) = self.parked.get_mut(namespace) {
            parked.gate.give_back(workload);
        }
    }

    /// The item that was given out comes back. `delay` is given the number of failures so far, from 1.
    pub(super) fn failed(
        &mut self,
        item: T,
        cause: Cause,
        now: Instant,
        delay: impl Fn(u32) -> Duration,
    ) -> Failed {
        let workload = item.workload();
        let namespace = item.namespace().to_owned();
        let scope = self.resolve(cause.scope, &namespace);
        let streak = self.put_back(item, now);
        if matches!(cause.scope, Scope::Namespace | Scope::Unclear) {
            let parked = self.parked.entry(namespace).or_default();
            parked.gate.close(workload, true, now, &delay);
            parked.alone |= scope == Scope::Namespace;
        } else {
            self.give_back(workload, &namespace);
        }
        match scope {
            Scope::All | Scope::Unclear => {
                self.gate.close(workload, !cause.passing, now, &delay);
                self.unclear = cause.scope == Scope::Unclear;
            }
            _ if cause.passing => self.gate.give_back(workload),
            _ => drop(self.gate.answered(workload)),
        }
        if scope == Scope::Workload || streak.failures > PATIENCE {
            let until = later(now, delay(streak.failures));
            self.delayed.insert((until, workload));
        } else {
            self.ready.push_back(workload);
        }
        Failed {
            scope,
            lane: streak,
            gate: self.gate.streak(),
        }
    }

    /// Puts an item that failed before all others of its lane. Returns the failures in a row of the lane.
    fn put_back(&mut self, item: T, now: Instant) -> Streak {
        let lane = self.workloads.entry(item.workload()).or_default();
        lane.busy = false;
        lane.items.push_front(item);
        lane.streak.grow(now);
        lane.streak
    }

    fn resolve(&mut self, scope: Scope, namespace: &str) -> Scope {
        if scope != Scope::Unclear {
            return scope;
        }
        if self
            .parked
            .get(namespace)
            .is_some_and(|parked| parked.alone)
        {
            return Scope::Namespace;
        }
        let elsewhere = self.created.iter().any(|created| created != namespace);
        self.created.clear();
        if elsewhere {
            Scope::Namespace
        } else {
            Scope::All
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    struct Edit(u128, &'static str, u32);

    impl LaneItem for Edit {
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
            lanes.push(*edit, Instant::now());
        }
        (lanes, Instant::now())
    }

    const PASSING: Cause = Cause {
        scope: Scope::All,
        passing: true,
    };

    fn held(scope: Scope) -> Cause {
        Cause {
            scope,
            passing: false,
        }
    }

    impl Lanes<Edit> {
        fn created(&mut self, edit: Edit, now: Instant) -> bool {
            self.done(edit.workload(), edit.1, Proof::Created, now)
        }

        fn answered(&mut self, edit: Edit, now: Instant) -> bool {
            self.done(edit.workload(), edit.1, Proof::Answered, now)
        }
    }

    #[test]
    fn in_order_within_a_workload_side_by_side_across() {
        let [a1, a2, b1] = [Edit(1, "n", 1), Edit(1, "n", 2), Edit(2, "n", 1)];
        let (mut lanes, now) = lanes(&[a1, a2, b1]);
        assert_eq!(lanes.take(now), Next::Item(a1));
        assert_eq!(lanes.take(now), Next::Item(b1));
        assert_eq!(lanes.take(now), Next::Wait(None));
        lanes.created(a1, now);
        assert_eq!(lanes.take(now), Next::Item(a2));
        lanes.created(a2, now);
        lanes.created(b1, now);
        assert_eq!((lanes.len(), lanes.workloads.len()), (0, 0));
    }

    #[test]
    fn a_failed_item_comes_again_first_and_later() {
        let [a1, a2, b1] = [Edit(1, "n", 1), Edit(1, "n", 2), Edit(2, "n", 1)];
        let (mut lanes, now) = lanes(&[a1, a2, b1]);
        let own = held(Scope::Workload);
        assert_eq!(lanes.take(now), Next::Item(a1));
        lanes.failed(a1, own, now, second);
        assert_eq!(lanes.take(now), Next::Item(b1));
        assert_eq!(lanes.take(now), Next::Wait(Some(now + second(1))));
        assert_eq!(lanes.take(now + second(1)), Next::Item(a1));
        let failed = lanes.failed(a1, own, now + second(1), second);
        assert_eq!(
            (
                failed.lane.failures,
                failed.lane.since,
                failed.gate.failures
            ),
            (2, Some(now), 0)
        );
        assert_eq!(
            lanes.take(now + second(2)),
            Next::Wait(Some(now + second(3)))
        );
    }

    #[test]
    fn a_parked_namespace_holds_no_other_and_lets_one_probe_for_all_of_it() {
        let [a, b, c] = [Edit(1, "full", 1), Edit(2, "full", 1), Edit(3, "n", 1)];
        let (mut lanes, now) = lanes(&[a, b, c]);
        let full = held(Scope::Namespace);
        assert_eq!(lanes.take(now), Next::Item(a));
        lanes.failed(a, full, now, second);
        assert_eq!(lanes.take(now), Next::Item(c));
        lanes.created(c, now);
        let probe = now + second(1);
        assert_eq!(lanes.take(now), Next::Wait(Some(probe)));
        assert_eq!(
            lanes.take(probe),
            Next::Item(b),
            "the one that failed is behind"
        );
        assert_eq!(lanes.take(probe), Next::Wait(None), "only one probe");
        lanes.failed(b, full, probe, second);
        let next_probe = probe + second(2);
        assert_eq!(
            lanes.take(probe),
            Next::Wait(Some(next_probe)),
            "the namespace's failures count"
        );
        assert_eq!(lanes.take(next_probe), Next::Item(a));
        assert!(lanes.created(a, next_probe));
        assert_eq!(lanes.take(next_probe), Next::Item(b));
    }

    #[test]
    fn behind_the_gate_one_probes_for_all() {
        let [a, b, c] = [Edit(1, "n", 1), Edit(2, "n", 1), Edit(3, "n", 1)];
        let (mut lanes, now) = lanes(&[a, b, c]);
        assert_eq!(lanes.take(now), Next::Item(a));
        assert_eq!(lanes.take(now), Next::Item(b));
        lanes.failed(a, PASSING, now, second);
        lanes.failed(b, PASSING, now, second);
        let probe = now + second(1);
        assert_eq!(
            lanes.take(now),
            Next::Wait(Some(probe)),
            "one outage, one failure"
        );
        assert_eq!(lanes.take(probe), Next::Item(c));
        assert_eq!(lanes.take(probe), Next::Wait(None), "only one probe");
        assert_eq!(lanes.failed(c, PASSING, probe, second).gate.failures, 2);
        let next_probe = probe + second(2);
        assert_eq!(lanes.take(probe), Next::Wait(Some(next_probe)));
        assert_eq!(lanes.take(next_probe), Next::Item(a));
        assert!(
            lanes.answered(a, next_probe),
            "any answer shows that the API server is back"
        );
        assert_eq!(lanes.take(next_probe), Next::Item(b));
        assert_eq!(lanes.take(next_probe), Next::Item(c));
    }

    #[test]
    fn what_must_be_mended_ends_only_when_a_revision_is_created() {
        for scope in [Scope::All, Scope::Unclear] {
            let [a, status, b, c] = [
                Edit(1, "n", 1),
                Edit(2, "m", 1),
                Edit(3, "o", 1),
                Edit(4, "p", 1),
            ];
            let (mut lanes, now) = lanes(&[a, status, b, c]);
            assert_eq!(lanes.take(now), Next::Item(a));
            assert_eq!(
                lanes.failed(a, held(scope), now, second).scope,
                Scope::All,
                "nothing else is known"
            );
            let later = now + second(1);
            assert_eq!(lanes.take(later), Next::Item(status));
            assert!(
                !lanes.answered(status, later),
                "a status or a refusal is no proof"
            );
            assert_eq!(lanes.take(later), Next::Item(b), "the next one probes");
            assert_eq!(lanes.take(later), Next::Wait(None), "and only that one");
            assert!(lanes.created(b, later));
            assert_eq!(lanes.take(later), Next::Item(c));
            assert!(
                matches!(lanes.take(later), Next::Item(Edit(1, ..))),
                "the one that failed may try at once"
            );
        }
    }

    #[test]
    fn a_denial_concerns_its_namespace_when_others_are_created_in_between() {
        let bad: Vec<_> = (1..=3).map(|workload| Edit(workload, "bad", 1)).collect();
        let good: Vec<_> = (4..=6).map(|workload| Edit(workload, "good", 1)).collect();
        let (mut lanes, now) = lanes(&[bad[0], bad[1], bad[2], good[0], good[1], good[2]]);
        let denied = held(Scope::Unclear);
        assert_eq!(lanes.take(now), Next::Item(bad[0]));
        assert_eq!(lanes.failed(bad[0], denied, now, second).scope, Scope::All);
        let later = now + second(1);
        assert_eq!(
            lanes.take(later),
            Next::Item(good[0]),
            "the probe is of another namespace"
        );
        assert!(lanes.created(good[0], later));
        assert_eq!(lanes.take(later), Next::Item(good[1]));
        assert_eq!(lanes.take(later), Next::Item(good[2]));
        let Next::Item(again) = lanes.take(later) else {
            panic!("the denied namespace is tried")
        };
        assert_eq!(
            lanes.failed(again, denied, later, second).scope,
            Scope::Namespace
        );
        lanes.created(good[1], later);
        lanes.created(good[2], later);
        // Nothing is created for a while: it is still known which namespace is concerned.
        let much_later = later + second(5);
        let Next::Item(once_more) = lanes.take(much_later) else {
            panic!("the denied namespace is tried")
        };
        assert_eq!(
            lanes.failed(once_more, denied, much_later, second).scope,
            Scope::Namespace
        );
        let new = Edit(7, "good", 1);
        lanes.push(new, much_later);
        assert_eq!(lanes.take(much_later), Next::Item(new));
    }

    #[test]
    fn a_new_namespace_does_not_wait_for_a_denied_one() {
        let (mut lanes, now) = lanes(&[Edit(1, "bad", 1)]);
        let Next::Item(bad) = lanes.take(now) else {
            panic!("there is one")
        };
        lanes.failed(bad, held(Scope::Unclear), now, |_| second(10));
        let [same, other] = [Edit(2, "bad", 1), Edit(3, "good", 1)];
        lanes.push(same, now);
        assert_eq!(lanes.take(now), Next::Wait(Some(now + second(10))));
        lanes.push(other, now);
        assert_eq!(lanes.take(now), Next::Item(other));
    }

    #[test]
    fn a_namespace_that_is_gone_frees_what_is_left_of_it() {
        let all: Vec<_> = (1..=4).map(|workload| Edit(workload, "gone", 1)).collect();
        let (mut lanes, now) = lanes(&all);
        let Next::Item(first) = lanes.take(now) else {
            panic!("there is one")
        };
        lanes.failed(first, held(Scope::Namespace), now, second);
        let later = now + second(1);
        let Next::Item(probe) = lanes.take(later) else {
            panic!("there is one")
        };
        assert!(lanes.done(probe.workload(), "gone", Proof::NamespaceGone, later));
        assert!(
            matches!(lanes.take(later), Next::Item(_))
                && matches!(lanes.take(later), Next::Item(_))
        );
    }

    #[test]
    fn a_copy_is_equal_and_goes_on_in_the_same_way() {
        let all: Vec<_> = ["z", "y", "x", "w"]
            .into_iter()
            .zip(1..)
            .map(|(namespace, workload)| Edit(workload, namespace, 1))
            .collect();
        let (mut lanes, now) = lanes(&all);
        for edit in &all {
            assert_eq!(lanes.take(now), Next::Item(*edit));
        }
        for edit in &all {
            lanes.failed(*edit, held(Scope::Namespace), now, second);
        }
        let mut copy = lanes.clone();
        assert_eq!(copy, lanes);
        assert_eq!(copy.take(now), Next::Wait(Some(now + second(1))));
        let probes: Vec<_> = all.iter().map(|_| copy.take(now + second(1))).collect();
        let by_namespace = all.iter().rev().map(|edit| Next::Item(*edit));
        assert_eq!(probes, by_namespace.collect::<Vec<_>>());
        assert_ne!(copy, lanes, "the copy alone went on");
    }

    #[test]
    fn a_wait_without_end_is_no_panic() {
        let (mut lanes, now) = lanes(&[Edit(1, "n", 1)]);
        let Next::Item(edit) = lanes.take(now) else {
            panic!("there is one")
        };
        lanes.failed(edit, PASSING, now, |_| Duration::MAX);
        assert!(matches!(lanes.take(now), Next::Wait(Some(_))));
    }

    proptest::proptest! {
        #[test]
        fn every_item_arrives_once_and_in_order(script in proptest::collection::vec((0..6u128, 0..9u8), 1..200)) {
            let namespaces = ["n", "m", "o"];
            let mut lanes = Lanes::default();
            let mut now = Instant::now();
            let mut counts = [0; 6];
            for (workload, _) in &script {
                let at = usize::try_from(*workload).expect("small");
                counts[at] += 1;
                lanes.push(Edit(*workload, namespaces[at % 3], counts[at]), now);
            }
            let mut arrived = [0; 6];
            let mut out = VecDeque::new();
            let mut fates = script.iter().map(|(_, fate)| *fate).chain(std::iter::repeat(8));
            while lanes.len() > 0 {
                // Up to three are being written at the same time.
                if out.len() < 3 {
                    match lanes.take(now) {
                        Next::Item(item) => {
                            out.push_back(item);
                            continue;
                        }
                        Next::Wait(until) if out.is_empty() => {
                            now = now.max(until.expect("something is waiting"));
                            continue;
                        }
                        Next::Wait(_) => {}
                    }
                }
                let item = out.pop_front().expect("one is being written");
                let cause = match fates.next() {
                    Some(0) => held(Scope::Workload),
                    Some(1) => held(Scope::Namespace),
                    Some(2) => held(Scope::All),
                    Some(3) => held(Scope::Unclear),
                    Some(4) => PASSING,
                    Some(5) => Cause { scope: Scope::Workload, passing: true },
                    fate => {
                        let at = usize::try_from(item.0).expect("small");
                        arrived[at] += 1;
                        proptest::prop_assert_eq!(arrived[at], item.2);
                        let proof = match fate {
                            Some(6) => Proof::Answered,
                            Some(7) => Proof::NamespaceGone,
                            _ => Proof::Created,
                        };
                        lanes.done(item.workload(), item.1, proof, now);
                        continue;
                    }
                };
                lanes.failed(item, cause, now, second);
            }
            proptest::prop_assert_eq!(arrived, counts);
        }
    }
}
