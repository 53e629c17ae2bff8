//! The rules that always hold.

use super::Queueing;
use super::action::Edit;
use super::lanes::Next;
use super::world::World;
use stateright::Property;
use std::collections::{BTreeSet, VecDeque};

/// All of them.
pub(super) fn all() -> Vec<Property<Queueing>> {
    vec![
        Property::always(
            "the writes of a workload are given out in their order, one at a time",
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
            "a write that no failure concerns does not wait",
            |_, world| is_free(world),
        ),
        Property::always(
            "nothing is held when everything is settled",
            |_, world: &World| world.lanes.len() > 0 || !world.holds_any(),
        ),
    ]
}

fn is_ordered(world: &World) -> bool {
    let workloads: BTreeSet<_> = world.given.iter().map(|edit| edit.workload).collect();
    let is_first = |edit: &Edit| world.owed[edit.workload].front() == Some(edit);
    workloads.len() == world.given.len() && world.given.iter().all(is_first)
}

fn is_complete(world: &World) -> bool {
    let owed = world.owed.iter().flatten();
    let expected = owed.filter(|edit| !world.given.contains(edit)).copied();
    let len: usize = world.owed.iter().map(VecDeque::len).sum();
    let waiting = world.lanes.clone().clear();
    world.lanes.len() == len && waiting == expected.collect::<Vec<_>>()
}

/// Whether writes are left, and neither a writer nor time can change anything.
fn is_stuck(world: &World) -> bool {
    let is_left = world.owed.iter().any(|lane| !lane.is_empty());
    is_left && world.given.is_empty() && !world.can_take() && world.waits_until().is_none()
}

fn is_free(world: &World) -> bool {
    let waits = |(workload, lane): (usize, &VecDeque<Edit>)| {
        let under_way = world.given.iter().any(|edit| edit.workload == workload);
        !lane.is_empty() && !under_way && !world.contract.concerns(workload)
    };
    let any_waits = world.owed.iter().enumerate().any(waits);
    !any_waits || matches!(world.next(), Next::Item(_))
}
