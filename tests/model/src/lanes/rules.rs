//! The rules that always hold.

use super::Queueing;
use super::action::{Edit, namespace};
use super::world::World;
use revisor::record::queue::holds::HoldScope;
use revisor::record::queue::lanes::{LaneItem, Next};
use stateright::Property;
use std::collections::VecDeque;

/// Shown to happen where time is long enough.
const PASSED: &str = "a Revision is given out before one that has stepped aside";

/// All of them.
pub(super) fn all(is_long: bool) -> Vec<Property<Queueing>> {
    let mut all = vec![
        Property::always(
            "the writes of a workload are given out in their order, one at a time, but for those that step aside",
            |_, world| is_ordered(world),
        ),
        Property::always(
            "each write waits, is under way, or is settled",
            |_, world| is_complete(world),
        ),
        Property::always(
            "something can be done until everything is settled",
            |_, world| !is_stuck(world),
        ),
        Property::always(
            "one write probes for those that a failure holds",
            |_, world: &World| world.contract.is_kept(),
        ),
        Property::always(
            "a failure delays what its cause says, and whatever is refused for long steps aside",
            |_, world: &World| world.contract.is_right(),
        ),
        Property::always(
            "a write that no failure concerns does not wait",
            |_, world| is_free(world),
        ),
        Property::always(
            "no namespace has more than its share of Revisions under way",
            |_, world| keeps_shares(world),
        ),
        Property::always("a namespace that is said to be held is held", |_, world| {
            is_true(world)
        }),
        Property::always(
            "nothing is held when everything is settled",
            |_, world: &World| !world.lanes.is_empty() || !world.holds_any(),
        ),
    ];
    if is_long {
        all.push(Property::sometimes(PASSED, |_, world| is_passed(world)));
    }
    all
}

/// Whether a write may be given out before one of its workload that was handed in earlier. `is_slow` when that is a
/// status, and Revisions may pass it.
fn may_pass(world: &World, edit: Edit, earlier: Edit, is_slow: bool) -> bool {
    let steps_aside = world.contract.is_aside(edit) || world.contract.is_aside(earlier);
    let passes_status = edit.creates() && !earlier.creates() && is_slow;
    edit.revision != earlier.revision && (steps_aside || passes_status)
}

/// Whether a write may be given out before everything of its workload that was handed in earlier.
fn is_due(world: &World, edit: Edit, is_slow: impl Fn(Edit) -> bool) -> bool {
    let mut earlier = world.owed[edit.workload]
        .iter()
        .take_while(|other| **other != edit);
    earlier.all(|other| may_pass(world, edit, *other, is_slow(*other)))
}

fn is_ordered(world: &World) -> bool {
    let is_owed = |edit: &Edit| world.owed[edit.workload].contains(edit);
    let is_slow = |status: Edit| world.slow.contains(&status.workload);
    let mut given = world.given.iter().map(|given| given.item);
    given.all(|edit| is_owed(&edit) && is_due(world, edit, is_slow))
}

/// Whether a status is one that cannot be written, or waits behind one.
fn is_behind(world: &World, status: Edit) -> bool {
    let mut owed = world.owed[status.workload].iter();
    owed.any(|other| !other.creates() && *other <= status && world.contract.has_failed(*other))
}

fn is_complete(world: &World) -> bool {
    let owed = world.owed.iter().flatten();
    let expected = owed.filter(|edit| !world.is_given(edit)).copied();
    let len: usize = world.owed.iter().map(VecDeque::len).sum();
    let mut waiting = world.lanes.clone().clear();
    waiting.sort();
    world.lanes.len() == len && waiting == expected.collect::<Vec<_>>()
}

/// Whether writes are left, and neither a writer nor time can change anything.
fn is_stuck(world: &World) -> bool {
    let is_left = world.owed.iter().any(|lane| !lane.is_empty());
    is_left && world.given.is_empty() && !world.can_take() && world.waits_until().is_none()
}

/// The writes of a namespace that are under way.
fn under_way(world: &World, name: &str) -> impl Iterator<Item = Edit> {
    let given = world.given.iter().map(|given| given.item);
    given.filter(move |edit| namespace(edit.workload) == name)
}

/// Statuses are under way besides: they pass whatever keeps Revisions back.
fn keeps_shares(world: &World) -> bool {
    let revisions = |name| under_way(world, name).filter(LaneItem::creates).count();
    let mut given = world.given.iter().map(|given| given.item);
    given.all(|edit| revisions(namespace(edit.workload)) <= world.share())
}

fn is_free(world: &World) -> bool {
    let is_slow = |edit: &Edit| !edit.creates() && world.slow.contains(&edit.workload);
    let has_place =
        |edit: &Edit| under_way(world, namespace(edit.workload)).count() < world.share();
    let waits = |edit: &Edit| {
        let is_concerned = world.contract.concerns(*edit) || is_slow(edit);
        let is_due = || is_due(world, *edit, |status| is_behind(world, status));
        !world.is_given(edit) && !is_concerned && has_place(edit) && is_due()
    };
    let any_waits = world.owed.iter().flatten().any(waits);
    !any_waits || matches!(world.next(), Next::Item(_))
}

fn is_true(world: &World) -> bool {
    let mut holds = world.holds.present().map(|(hold, _)| hold);
    holds.all(|hold| match &hold.scope {
        HoldScope::Namespace(name) => world.lanes.is_held(name),
        HoldScope::All | HoldScope::Workload(_) => true,
    })
}

/// Whether a Revision is under way while an earlier one of its workload, which has stepped aside, is not settled.
fn is_passed(world: &World) -> bool {
    world.given.iter().any(|given| {
        let edit = given.item;
        let mut owed = world.owed[edit.workload].iter();
        let is_aside = |other: &Edit| other.creates() && world.contract.is_aside(*other);
        edit.creates() && owed.any(|other| *other < edit && is_aside(other))
    })
}
