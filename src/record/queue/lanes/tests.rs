use super::*;
use uuid::Uuid;

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

#[test]
fn no_namespace_has_more_than_its_share_under_way() {
    let many: Vec<_> = (1..=5).map(|workload| Edit(workload, "slow", 1)).collect();
    let mut lanes = Lanes::new(2);
    let now = Instant::now();
    for edit in &many {
        lanes.push(*edit, now);
    }
    lanes.push(Edit(9, "other", 1), now);
    let given: Vec<_> = (0..3).map(|_| next(&mut lanes, now)).collect();
    let namespaces: Vec<_> = given.iter().map(|given| given.item.1).collect();
    assert_eq!(namespaces, ["slow", "slow", "other"]);
    assert_eq!(lanes.take(now), Next::Wait(None));
    assert!(
        lanes.created(given[0].item, now),
        "the next one has its place"
    );
    assert_eq!(lanes.take(now), item(many[2]));
    assert_eq!(lanes.take(now), Next::Wait(None));
}

#[test]
fn later_revisions_pass_one_that_is_refused_for_long() {
    let refused = Edit(1, "n", 1);
    let (mut lanes, mut now) = lanes(&[refused, Edit(1, "n", STATUS + 1), Edit(1, "n", 2)]);
    let own = held(Scope::Workload);
    let aside = loop {
        let given = next(&mut lanes, now);
        assert_eq!(given.item, refused, "nothing passes it before");
        if let Some(aside) = lanes.failed(given, own, now, second).aside {
            break aside;
        }
        now += second(8);
    };
    lanes.push(Edit(1, "n", STATUS + 1), now);
    assert_eq!(lanes.take(now), item(Edit(1, "n", 2)));
    lanes.created(Edit(1, "n", 2), now);
    now += second(60);
    let again = next(&mut lanes, now);
    assert_eq!((again.lane, again.item), (aside, refused));
    lanes.done(aside, "n", Proof::Created, now);
    for _ in 0..2 {
        let status = next(&mut lanes, now);
        assert_eq!(status.item.2, STATUS + 1, "its statuses come after it");
        lanes.done(status.lane, "n", Proof::Answered, now);
    }
    assert_eq!((lanes.len(), lanes.lanes.len()), (0, 0));
}

#[test]
fn revisions_pass_a_status_that_cannot_be_written() {
    let status = Edit(1, "n", STATUS + 1);
    let later_status = Edit(1, "n", STATUS + 2);
    let (mut lanes, now) = lanes(&[status, Edit(1, "n", 2), later_status]);
    assert_eq!(lanes.take(now), item(status));
    lanes.fails(status, held(Scope::Workload), now);
    assert_eq!(lanes.take(now), item(Edit(1, "n", 2)));
    lanes.created(Edit(1, "n", 2), now);
    let then = now + second(1);
    for expected in [status, later_status] {
        let given = next(&mut lanes, then);
        assert_eq!(given.item, expected, "statuses stay in order");
        lanes.done(given.lane, "n", Proof::Answered, then);
    }
    assert!(lanes.is_empty());
}

#[test]
fn one_that_always_fails_does_not_hold_its_namespace() {
    let bad = Edit(1, "n", 1);
    let (mut lanes, mut now) = lanes(&[bad]);
    let denied = held(Scope::Namespace);
    for _ in 0..3 {
        let given = next(&mut lanes, now);
        lanes.failed(given, denied, now, second);
        now += second(5);
    }
    lanes.push(Edit(2, "n", 1), now);
    assert_eq!(
        lanes.take(now),
        item(Edit(2, "n", 1)),
        "one that has not failed goes first"
    );
    lanes.created(Edit(2, "n", 1), now);
    let again = next(&mut lanes, now).item;
    assert_eq!(lanes.fails(again, denied, now).scope, Scope::Workload);
    assert!(!lanes.is_held("n"));
}

#[test]
fn whatever_is_held_does_not_move() {
    let (mut lanes, now) = lanes(&[Edit(1, "full", 1), Edit(2, "full", 1)]);
    assert!(lanes.is_moving());
    let given = next(&mut lanes, now);
    lanes.failed(given, held(Scope::Namespace), now, second);
    assert!(!lanes.is_moving(), "the namespace is held");
    next(&mut lanes, now + second(1));
    assert!(!lanes.is_moving(), "its probe does not count");
    lanes.push(Edit(3, "n", 1), now);
    assert!(lanes.is_moving());
    let given = next(&mut lanes, now);
    assert!(lanes.is_moving(), "it is being written");
    lanes.failed(given, held(Scope::Namespace), now, second);
    assert!(!lanes.is_moving());
    assert_eq!(lanes.held().collect::<Vec<_>>(), ["full", "n"]);
}

fn fate(number: u8) -> Result<Proof, Cause> {
    match number {
        0 => Err(held(Scope::Workload)),
        1 => Err(held(Scope::Namespace)),
        2 | 3 => Err(held(Scope::All)),
        4 => Err(PASSING),
        5 => Err(Cause {
            scope: Scope::Workload,
            passing: true,
        }),
        6 => Ok(Proof::Answered),
        7 => Ok(Proof::NamespaceGone),
        _ => Ok(Proof::Created),
    }
}

proptest::proptest! {
    #[test]
    fn every_item_arrives_once_and_in_order_unless_it_steps_aside(
        script in proptest::collection::vec((0..6u128, 0..9u8, 0..2u32), 1..200),
    ) {
        let namespaces = ["n", "m", "o"];
        let mut lanes = Lanes::new(2);
        let mut now = Instant::now();
        let mut missing = BTreeSet::new();
        for (number, (workload, _, status)) in (1..).zip(&script) {
            let at = usize::try_from(*workload % 3).expect("small");
            let edit = Edit(*workload, namespaces[at], 1000 * number + STATUS * status);
            missing.insert((edit.0, edit.2));
            lanes.push(edit, now);
        }
        let mut last = BTreeMap::new();
        let mut out = VecDeque::new();
        let mut fates = script.iter().map(|(_, fate, _)| *fate).chain(std::iter::repeat(8));
        while !lanes.is_empty() {
            // Up to three are being written at the same time.
            if out.len() < 3 {
                match lanes.take(now) {
                    Next::Item(given) => {
                        out.push_back(given);
                        continue;
                    }
                    Next::Wait(until) if out.is_empty() => {
                        now = now.max(until.expect("something is waiting"));
                        continue;
                    }
                    Next::Wait(_) => {}
                }
            }
            let given: Given<Edit> = out.pop_front().expect("one is being written");
            match fate(fates.next().expect("endless")) {
                Err(cause) => {
                    lanes.failed(given, cause, now, second);
                }
                Ok(proof) => {
                    proptest::prop_assert!(missing.remove(&(given.item.0, given.item.2)));
                    let before = last.insert(given.lane, given.item.2);
                    proptest::prop_assert!(before.is_none_or(|before| before < given.item.2));
                    lanes.done(given.lane, given.item.1, proof, now);
                }
            }
        }
        proptest::prop_assert!(missing.is_empty());
        proptest::prop_assert!(lanes.lanes.is_empty());
    }
}
