//! The order of writes while some of them fail.

mod aside;

use super::*;
use uuid::Uuid;

/// Nothing passes the Revisions of this namespace.
const NEVER_PASSED: &str = "strict";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Edit(u128, &'static str, u32);

impl LaneItem for Edit {
    fn workload(&self) -> Uuid {
        Uuid::from_u128(self.0)
    }
    fn namespace(&self) -> &str {
        self.1
    }
    fn revision(&self) -> &str {
        ["", "1", "2"]
            .get(self.2 as usize % 100)
            .copied()
            .unwrap_or("more")
    }
    fn creates(&self) -> bool {
        self.2 % 1000 < STATUS
    }
    fn may_be_passed(&self) -> bool {
        self.1 != NEVER_PASSED
    }
}

fn second(failures: u32) -> Duration {
    Duration::from_secs(u64::from(failures))
}

fn lanes(edits: &[Edit]) -> (Lanes<Edit>, Instant) {
    let mut lanes = Lanes::new(16);
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

fn given(edit: Edit) -> Given<Edit> {
    Given {
        lane: LaneKey::Workload(edit.workload()),
        item: edit,
    }
}

fn item(edit: Edit) -> Next<Edit> {
    Next::Item(given(edit))
}

/// The next item, which has to be there.
fn next(lanes: &mut Lanes<Edit>, now: Instant) -> Given<Edit> {
    match lanes.take(now) {
        Next::Item(given) => given,
        Next::Wait(until) => panic!("nothing before {until:?}"),
    }
}

impl Lanes<Edit> {
    fn created(&mut self, edit: Edit, now: Instant) -> bool {
        self.done(given(edit).lane, edit.1, Proof::Created, now)
    }

    fn answered(&mut self, edit: Edit, now: Instant) -> bool {
        self.done(given(edit).lane, edit.1, Proof::Answered, now)
    }

    fn fails(&mut self, edit: Edit, cause: Cause, now: Instant) -> Failed {
        self.failed(given(edit), cause, now, second)
    }
}

#[test]
fn in_order_within_a_workload_side_by_side_across() {
    let [a1, a2, b1] = [Edit(1, "n", 1), Edit(1, "n", 2), Edit(2, "n", 1)];
    let (mut lanes, now) = lanes(&[a1, a2, b1]);
    assert_eq!(lanes.take(now), item(a1));
    assert_eq!(lanes.take(now), item(b1));
    assert_eq!(lanes.take(now), Next::Wait(None));
    lanes.created(a1, now);
    assert_eq!(lanes.take(now), item(a2));
    lanes.created(a2, now);
    lanes.created(b1, now);
    assert_eq!((lanes.len(), lanes.lanes.len()), (0, 0));
}

#[test]
fn a_failed_item_comes_again_first_and_later() {
    let [a1, a2, b1] = [Edit(1, "n", 1), Edit(1, "n", 2), Edit(2, "n", 1)];
    let (mut lanes, now) = lanes(&[a1, a2, b1]);
    let own = held(Scope::Workload);
    assert_eq!(lanes.take(now), item(a1));
    lanes.fails(a1, own, now);
    assert_eq!(lanes.take(now), item(b1));
    assert_eq!(lanes.take(now), Next::Wait(Some(now + second(1))));
    assert_eq!(lanes.take(now + second(1)), item(a1));
    let failed = lanes.fails(a1, own, now + second(1));
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
    assert_eq!(lanes.take(now), item(a));
    lanes.fails(a, full, now);
    assert_eq!(lanes.take(now), item(c));
    lanes.created(c, now);
    let probe = now + second(1);
    assert_eq!(lanes.take(now), Next::Wait(Some(probe)));
    assert_eq!(lanes.take(probe), item(b), "the one that failed is behind");
    assert_eq!(lanes.take(probe), Next::Wait(None), "only one probe");
    lanes.fails(b, full, probe);
    let next_probe = probe + second(2);
    assert_eq!(
        lanes.take(probe),
        Next::Wait(Some(next_probe)),
        "the namespace's failures count"
    );
    assert_eq!(lanes.take(next_probe), item(a));
    assert!(lanes.created(a, next_probe));
    assert_eq!(lanes.take(next_probe), item(b));
}

#[test]
fn behind_the_gate_one_probes_for_all() {
    let [a, b, c] = [Edit(1, "n", 1), Edit(2, "n", 1), Edit(3, "n", 1)];
    let (mut lanes, now) = lanes(&[a, b, c]);
    assert_eq!(lanes.take(now), item(a));
    assert_eq!(lanes.take(now), item(b));
    lanes.fails(a, PASSING, now);
    lanes.fails(b, PASSING, now);
    let probe = now + second(1);
    assert_eq!(
        lanes.take(now),
        Next::Wait(Some(probe)),
        "one outage, one failure"
    );
    assert_eq!(lanes.take(probe), item(c));
    assert_eq!(lanes.take(probe), Next::Wait(None), "only one probe");
    assert_eq!(lanes.fails(c, PASSING, probe).gate.failures, 2);
    let next_probe = probe + second(2);
    assert_eq!(lanes.take(probe), Next::Wait(Some(next_probe)));
    assert_eq!(lanes.take(next_probe), item(a));
    assert!(
        lanes.answered(a, next_probe),
        "any answer shows that the API server is back"
    );
    assert_eq!(lanes.take(next_probe), item(b));
    assert_eq!(lanes.take(next_probe), item(c));
}

#[test]
fn what_must_be_mended_ends_only_when_a_revision_is_created() {
    {
        let scope = Scope::All;
        let [a, status, b, c] = [
            Edit(1, "n", 1),
            Edit(2, "m", 1),
            Edit(3, "o", 1),
            Edit(4, "p", 1),
        ];
        let (mut lanes, now) = lanes(&[a, status, b, c]);
        assert_eq!(lanes.take(now), item(a));
        assert_eq!(
            lanes.fails(a, held(scope), now).scope,
            Scope::All,
            "nothing else is known"
        );
        let later = now + second(1);
        assert_eq!(lanes.take(later), item(status));
        assert!(
            !lanes.answered(status, later),
            "a status or a refusal is no proof"
        );
        assert_eq!(lanes.take(later), item(b), "the next one probes");
        assert_eq!(lanes.take(later), Next::Wait(None), "and only that one");
        assert!(lanes.created(b, later));
        assert_eq!(lanes.take(later), item(c));
        assert!(
            next(&mut lanes, later).item == a,
            "the one that failed may try at once"
        );
    }
}

#[test]
fn a_denial_concerns_its_namespace_when_others_are_created_in_between() {
    let bad: Vec<_> = (1..=3).map(|workload| Edit(workload, "bad", 1)).collect();
    let good: Vec<_> = (4..=6).map(|workload| Edit(workload, "good", 1)).collect();
    let (mut lanes, now) = lanes(&[bad[0], bad[1], bad[2], good[0], good[1], good[2]]);
    let denied = held(Scope::All);
    assert_eq!(lanes.take(now), item(bad[0]));
    assert_eq!(lanes.fails(bad[0], denied, now).scope, Scope::All);
    let later = now + second(1);
    assert_eq!(
        lanes.take(later),
        item(good[0]),
        "the probe is of another namespace"
    );
    assert!(lanes.created(good[0], later));
    assert_eq!(lanes.take(later), item(good[1]));
    assert_eq!(lanes.take(later), item(good[2]));
    let again = next(&mut lanes, later).item;
    assert_eq!(lanes.fails(again, denied, later).scope, Scope::Namespace);
    lanes.created(good[1], later);
    lanes.created(good[2], later);
    // Nothing is created for a while: it is still known which namespace is concerned.
    let much_later = later + second(5);
    let once_more = next(&mut lanes, much_later).item;
    assert_eq!(
        lanes.fails(once_more, denied, much_later).scope,
        Scope::Namespace
    );
    let new = Edit(7, "good", 1);
    lanes.push(new, much_later);
    assert_eq!(lanes.take(much_later), item(new));
}

#[test]
fn a_new_namespace_does_not_wait_for_a_denied_one() {
    let (mut lanes, now) = lanes(&[Edit(1, "bad", 1)]);
    let bad = next(&mut lanes, now);
    lanes.failed(bad, held(Scope::All), now, |_| second(10));
    let [same, other] = [Edit(2, "bad", 1), Edit(3, "good", 1)];
    lanes.push(same, now);
    assert_eq!(lanes.take(now), Next::Wait(Some(now + second(10))));
    lanes.push(other, now);
    assert_eq!(lanes.take(now), item(other));
}

#[test]
fn a_namespace_that_is_gone_frees_what_is_left_of_it() {
    let all: Vec<_> = (1..=4).map(|workload| Edit(workload, "gone", 1)).collect();
    let (mut lanes, now) = lanes(&all);
    let first = next(&mut lanes, now).item;
    lanes.fails(first, held(Scope::Namespace), now);
    let later = now + second(1);
    let probe = next(&mut lanes, later);
    assert!(lanes.done(probe.lane, "gone", Proof::NamespaceGone, later));
    next(&mut lanes, later);
    next(&mut lanes, later);
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
        assert_eq!(lanes.take(now), item(*edit));
    }
    for edit in &all {
        lanes.fails(*edit, held(Scope::Namespace), now);
    }
    let mut copy = lanes.clone();
    assert_eq!(copy, lanes);
    assert_eq!(copy.take(now), Next::Wait(Some(now + second(1))));
    let probes: Vec<_> = all.iter().map(|_| copy.take(now + second(1))).collect();
    let by_namespace = all.iter().rev().map(|edit| item(*edit));
    assert_eq!(probes, by_namespace.collect::<Vec<_>>());
    assert_ne!(copy, lanes, "the copy alone went on");
}

#[test]
fn a_wait_without_end_is_no_panic() {
    let (mut lanes, now) = lanes(&[Edit(1, "n", 1)]);
    let edit = next(&mut lanes, now);
    lanes.failed(edit, PASSING, now, |_| Duration::MAX);
    assert!(matches!(lanes.take(now), Next::Wait(Some(_))));
}

const STATUS: u32 = 100;
