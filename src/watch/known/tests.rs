//! Each question and each step of what is known, on values alone.

use super::*;
use crate::revision::ObservedThrough;
use crate::workload::Resource;
use serde_json::value::RawValue;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

const W: Uuid = Uuid::from_u128(7);

fn rv(number: i64) -> ResourceVersion {
    number.to_string().parse().expect("positive")
}

fn version(generation: i64, at: i64) -> Version {
    let at = rv(at);
    Version { generation, at }
}

fn change(seen: Observed, generation: i64, at: i64) -> Change {
    Change {
        resource: Arc::new(Resource {
            group: "g".into(),
            version: "v1".into(),
            kind: "K".into(),
            plural: "ks".into(),
        }),
        uid: W,
        name: "w".into(),
        namespace: "n".into(),
        generation,
        resource_version: rv(at),
        created: None,
        seen,
        op: Op::Modified,
        raw: RawValue::from_string("{}".into()).expect("JSON"),
        absent_at: None,
    }
}

fn watched(generation: i64, at: i64) -> Change {
    change(Observed::Watch, generation, at)
}

fn listed(generation: i64, at: i64) -> Change {
    change(Observed::List, generation, at)
}

fn deleted(generation: i64, at: i64) -> Change {
    let op = Op::Deleted;
    Change {
        op,
        ..watched(generation, at)
    }
}

fn head(generation: i64, through: Option<i64>, deleted: bool) -> (Uuid, Head) {
    let through = through.map(|generation| ObservedThrough {
        generation,
        resource_version: (generation * 10).to_string(),
    });
    let head = Head {
        namespace: "n".into(),
        name: "w".into(),
        generation,
        resource_version: rv(generation * 10),
        deleted,
        observed_through: through,
        ..Head::default()
    };
    (W, head)
}

/// The state after a first list and these changes, each selected.
fn after(heads: &[(Uuid, Head)], changes: &[Change]) -> Known {
    let mut known = Known::default();
    known.listing(heads);
    for change in changes {
        known.select(change);
        known.end_with(change);
    }
    known
}

fn lost(generations: std::ops::RangeInclusive<i64>) -> Lost {
    Lost {
        generations,
        reason: Reason::Compacted,
        ..Lost::undecodable(&watched(1, 99))
    }
}

fn need(known: &Known, change: &Change) -> Need {
    known.need(change, || true)
}

#[test]
fn the_next_generation_needs_nothing_and_a_later_one_those_between() {
    let known = after(&[], &[watched(3, 30)]);
    for generation in [1, 3, 4] {
        assert_eq!(need(&known, &watched(generation, 40)), Need::Nothing);
    }
    let last = version(3, 30);
    let refresh = false;
    assert_eq!(need(&known, &watched(5, 40)), Need::After { last, refresh });
}

#[test]
fn after_a_list_the_content_is_read_again_before_the_next_generation() {
    let mut known = after(&[], &[watched(3, 30)]);
    known.listing(&[]);
    let last = version(3, 30);
    let refresh = true;
    assert_eq!(need(&known, &watched(4, 40)), Need::After { last, refresh });
    assert_eq!(known.sight(&listed(3, 35)), Sight::Content);
    known.see_again(&listed(3, 35), Sight::Content);
    assert_eq!(known.sight(&watched(3, 36)), Sight::Nothing);
    assert_eq!(need(&known, &watched(4, 40)), Need::Nothing);
    let last = version(3, 35);
    let refresh = false;
    assert_eq!(need(&known, &watched(6, 60)), Need::After { last, refresh });
}

#[test]
fn an_unknown_object_of_a_list_has_an_origin_if_it_is_selected() {
    let known = after(&[], &[]);
    assert_eq!(need(&known, &listed(3, 30)), Need::Origin);
    assert_eq!(known.need(&listed(3, 30), || false), Need::Nothing);
}

#[test]
fn an_object_whose_creation_the_watch_has_not_shown_has_an_origin() {
    let mut known = after(&[], &[]);
    let created = Change {
        op: Op::Added,
        ..watched(1, 30)
    };
    assert_eq!(need(&known, &created), Need::Nothing);
    assert_eq!(need(&known, &watched(3, 30)), Need::Origin);
    assert_eq!(need(&known, &deleted(3, 30)), Need::Origin);
    assert_eq!(known.need(&watched(3, 30), || false), Need::Nothing);
    known.pass_over(&watched(2, 20));
    assert_eq!(
        need(&known, &watched(3, 30)),
        Need::Nothing,
        "it was there and not selected"
    );
}

#[test]
fn recorded_workloads_go_on_from_their_newest_revision() {
    let known = after(&[head(3, Some(5), false)], &[]);
    let last = version(3, 30);
    let refresh = true;
    assert_eq!(need(&known, &watched(6, 60)), Need::After { last, refresh });
    assert!(known.knows(W, 3) && !known.knows(W, 4) && !known.is_gone(W));
    assert_eq!(known.missing(&BTreeSet::new())[0].version, last);
    assert!(known.missing(&BTreeSet::from([W])).is_empty());
}

#[test]
fn a_claim_that_nothing_changed_is_believed_where_nothing_can_be_read() {
    let since = |place: i64| Some(version(1, place).at);
    let weighed = |listed: &Change, place| {
        let mut known = after(&[head(3, Some(5), false)], &[]);
        known.weigh(listed, place);
        known
    };
    let settled = weighed(&listed(5, 50), since(50));
    assert_eq!(settled.last(W), Some(version(5, 50)), "not written since");
    for (listed, place) in [
        (listed(5, 51), since(50)),
        (listed(5, 51), None),
        (listed(4, 40), since(50)),
        (listed(6, 50), since(50)),
    ] {
        assert_eq!(weighed(&listed, place).last(W), Some(version(3, 30)));
    }
    let lost = |listed: &Change| {
        let mut known = weighed(listed, since(50));
        let lost = known.lose(lost(4..=7));
        lost.map(|lost| lost.generations)
    };
    assert_eq!(
        lost(&listed(8, 80)),
        Some(6..=7),
        "the claim explains the rest"
    );
    assert_eq!(
        lost(&listed(4, 80)),
        Some(4..=7),
        "a claim above the list is forged"
    );
    let mut known = weighed(&listed(8, 80), since(50));
    assert_eq!(known.lose(self::lost(4..=5)), None);
}

#[test]
fn a_younger_object_contradicts_only_what_was_seen_here() {
    let seen = after(&[], &[watched(5, 50)]);
    assert_eq!(need(&seen, &listed(3, 60)), Need::Rewound);
    assert!(seen.contradicts(&listed(3, 40)), "a list is of the present");
    assert!(seen.contradicts(&watched(3, 60)));
    assert!(!seen.contradicts(&watched(3, 40)), "an old event");
    assert!(!seen.contradicts(&watched(5, 60)));
    let recorded = after(&[head(5, None, false)], &[]);
    assert_eq!(need(&recorded, &listed(3, 60)), Need::Nothing);
    assert!(!recorded.contradicts(&listed(3, 60)));
    assert_eq!(recorded.sight(&listed(3, 60)), Sight::New);
    assert_eq!(recorded.sight(&watched(3, 60)), Sight::Nothing);
}

#[test]
fn a_workload_that_went_here_does_not_come_back() {
    let known = after(&[], &[watched(1, 10), deleted(2, 25)]);
    assert!(known.is_gone(W) && known.knows(W, 9));
    assert_eq!(known.sight(&watched(2, 20)), Sight::Ended);
    assert!(known.contradicts(&watched(2, 30)) && !known.contradicts(&watched(2, 20)));
    assert_eq!(need(&known, &listed(2, 30)), Need::Rewound);
}

#[test]
fn a_workload_that_is_recorded_as_gone_goes_on_where_it_was() {
    let known = after(&[head(3, None, true)], &[]);
    assert!(known.is_gone(W) && known.knows(W, 3) && !known.knows(W, 4));
    assert_eq!(known.sight(&watched(3, 30)), Sight::Ended);
    assert_eq!(need(&known, &listed(3, 60)), Need::Nothing);
    let last = version(3, 30);
    let refresh = false;
    assert_eq!(need(&known, &listed(5, 60)), Need::After { last, refresh });
}

#[test]
fn an_object_that_is_not_selected_is_ignored_until_the_next_list() {
    let mut known = after(&[], &[]);
    assert!(!known.pass_over(&watched(1, 10)));
    assert!(known.knows(W, 9) && known.is_gone(W));
    known.listing(&[]);
    assert!(!known.knows(W, 1));
    known.pass_over(&watched(1, 10));
    known.select(&watched(2, 20));
    assert!(known.knows(W, 2) && !known.knows(W, 3));
}

#[test]
fn generations_without_selection_are_lost_once_it_is_selected_again() {
    let mut known = after(&[], &[watched(1, 10)]);
    assert!(known.pass_over(&watched(2, 20)) && known.pass_over(&watched(3, 30)));
    assert_eq!(known.sight(&watched(3, 31)), Sight::Unselected);
    assert_eq!(need(&known, &watched(4, 40)), Need::Nothing);
    let lost = known.select(&watched(4, 40)).expect("two generations");
    assert_eq!(
        (lost.generations, lost.reason, lost.at),
        (2..=3, Reason::NotSelected, rv(39))
    );
    assert_eq!(known.select(&watched(5, 50)), None);
}

#[test]
fn a_workload_may_be_selected_again_in_the_generation_in_which_it_was_not() {
    let mut known = after(&[], &[watched(1, 10)]);
    known.pass_over(&watched(2, 20));
    assert_eq!(known.select(&watched(2, 25)), None);
    assert_eq!(known.sight(&watched(2, 26)), Sight::Nothing);
}

#[test]
fn what_is_lost_begins_after_what_is_known() {
    let mut known = after(&[], &[watched(5, 50)]);
    assert_eq!(known.lose(lost(3..=5)), None);
    let part = known.lose(lost(4..=7)).expect("two generations");
    assert_eq!(part.generations, 6..=7);
    assert_eq!(known.lose(lost(2..=6)), None);
    assert!(known.knows(W, 7) && !known.knows(W, 8));
}

#[test]
fn whatever_is_lost_after_a_workload_was_not_selected_counts_as_that() {
    for list_only in [false, true] {
        let mut known = after(&[], &[watched(1, 10)]);
        if list_only {
            known.deselect(W);
        } else {
            known.pass_over(&watched(3, 30));
        }
        let part = known.lose(lost(4..=5)).expect("lost");
        assert_eq!(
            (part.generations, part.reason),
            (2..=5, Reason::NotSelected)
        );
    }
}

#[test]
fn a_later_generation_without_selection_does_not_touch_the_last_known_one() {
    let mut known = after(&[], &[watched(2, 20)]);
    known.listing(&[]);
    known.deselect(W);
    assert_eq!(
        known.sight(&change(Observed::Repair, 2, 20)),
        Sight::Content
    );
}

#[test]
fn what_has_seen_the_same_is_the_same() {
    let changes = [watched(1, 10), watched(2, 20), deleted(2, 30)];
    let hash = |known: &Known| {
        let mut hasher = DefaultHasher::new();
        known.hash(&mut hasher);
        hasher.finish()
    };
    let one = after(&[], &changes);
    let other = after(&[], &changes);
    assert_eq!(one, other);
    assert_eq!(hash(&one), hash(&other));
    assert_ne!(one, after(&[], &changes[..2]));
}

#[test]
fn an_object_whose_changes_wait_is_gone_where_a_list_does_not_show_it() {
    let mut known = Known::default();
    known.listing(&[]);
    let exception = known
        .postpone(&watched(1, 8), Some(rv(3)))
        .expect("the first change");
    assert_eq!(
        (exception.version.at, exception.first),
        (rv(8), rv(4)),
        "it may have been created since the place where it was not there"
    );
    assert!(known.postpone(&watched(2, 9), None).is_none());
    let gone = |known: &Known| known.next_postponed(1, |_| true)[0].1.gone;
    known.postpone_ends(&BTreeSet::new(), rv(5));
    known.postpone_ends(&BTreeSet::from([W]), rv(20));
    assert_eq!(gone(&known), None, "shown later, and there");
    known.postpone_ends(&BTreeSet::new(), rv(20));
    assert_eq!(gone(&known), Some(rv(20)));
    assert!(known.missing(&BTreeSet::new()).is_empty());
}

#[test]
fn changes_that_wait_may_be_of_any_place_after_the_last_that_was_passed_on() {
    let mut known = after(&[], &[watched(1, 8)]);
    let exception = known.postpone(&listed(5, 30), None).expect("the first");
    assert_eq!((exception.version.at, exception.first), (rv(30), rv(9)));
}

#[test]
fn an_object_whose_changes_wait_was_there_just_before_a_watch_showed_its_end() {
    let mut known = Known::default();
    known.listing(&[]);
    let mut shown = |change: Change| {
        known.postpone(&change, None);
        let postponed = known.next_postponed(1, |_| true).remove(0).1;
        (postponed.there, postponed.gone)
    };
    assert_eq!(shown(watched(1, 8)), (rv(8), None));
    assert_eq!(shown(watched(2, 12)), (rv(12), None));
    assert_eq!(shown(deleted(2, 20)), (rv(19), Some(rv(21))));
    let read_back = Change {
        seen: Observed::Repair,
        ..deleted(2, 12)
    };
    assert_eq!(shown(read_back), (rv(19), Some(rv(21))));
}

#[test]
fn an_object_that_is_read_back_and_waits_may_have_been_there_long_after_its_last_write() {
    let mut known = Known::default();
    known.listing(&[]);
    let read_back = Change {
        seen: Observed::Repair,
        ..deleted(1, 18)
    };
    known.postpone(&read_back, None);
    assert!(known.postpone_end(W, rv(53)));
    let postponed = known.next_postponed(1, |_| true).remove(0).1;
    assert_eq!((postponed.there, postponed.gone), (rv(18), Some(rv(53))));
}
