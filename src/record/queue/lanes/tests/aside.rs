//! Shares of a namespace, writes that others pass, and all of it in any order.

use super::*;

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
fn nothing_passes_a_revision_that_no_checkpoint_names() {
    let refused = Edit(1, NEVER_PASSED, 1);
    let (mut lanes, mut now) = lanes(&[refused, Edit(1, NEVER_PASSED, 2)]);
    for round in 0..8 {
        let given = next(&mut lanes, now);
        assert_eq!(given.item, refused);
        let failed = lanes.failed(given, held(Scope::Workload), now, second);
        assert_eq!((failed.refused, failed.aside), (round > 3, None), "{round}");
        now += second(8);
    }
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
