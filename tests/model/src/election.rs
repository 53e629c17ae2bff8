//! The election of the replica that does the work for which one is enough, in every order of events.
//!
//! In: [`Bounds`]. Out: a [`Report`], with a way to each rule that is broken. The decision is the product's own plain
//! value, `ObservedLease`, whose file is compiled here as it is, since the product keeps it to itself. [`replica`]
//! repeats the order in which `Elector` asks it, and its timers. The API server keeps one Lease, and refuses a write
//! that names an old resourceVersion with 409. Time has no bound. The clocks of all replicas run at one rate; of wall
//! times nothing is known but that no two renewals have the same.
//!
//! Coarser than the product: time passes in whole seconds, so whoever waits looks at the Lease every two or three
//! seconds, while the product draws a time between 2 and 2.4 s. Reads show the present, as reads without a
//! resourceVersion do, and nobody deletes the Lease.

mod action;
pub(crate) mod k8s;
// Whether a holder seems to run decides when to write, not who leads, and is in no model.
#[allow(dead_code)]
#[path = "../../../src/lead/election.rs"]
mod lease;
mod replica;
mod server;
mod world;

pub use action::{Action, Who};
pub use world::World;

use crate::explore::{Explored, Report, explore};
use stateright::{Model, Property};
use std::fmt;

/// The rule of the leader.
///
/// It holds as long as no leader is kept from running for more than 3 s: for `DEADLINE` after a renewal it may lead,
/// for `PERIOD` more it may not have looked, and the Lease lasts for `DURATION`. The product asks for less: nothing is
/// wrong when two lead for a moment.
pub const ONE: &str = "at most one replica leads";
/// The rule of the successor.
///
/// It holds within 21 s of the last fault: three to see the Lease of one that is gone, `DURATION` until it expires, and
/// three to see that.
pub const SOON: &str = "one leads again soon";
/// Shown to happen, so that the rules are not kept by standing still.
pub const SUCCEEDED: &str = "one leads after another";

/// A defect of a replica, which the rules have to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// A write that is refused with 409 counts as one that was carried out.
    IgnoresConflict,
    /// A leader that cannot renew goes on leading until another process is seen to hold the Lease.
    NeverGivesUp,
    /// The time of leading counts from the answer to a renewal, not from before its request.
    CountsFromAnswer,
    /// A record that is seen once more counts as renewed.
    SeenIsRenewed,
}

/// How much of everything can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Replicas, which start at any time.
    pub replicas: u8,
    /// Requests that are carried out late or never, or whose answers are late or lost.
    pub delays: u8,
    /// Kills.
    pub kills: u8,
    /// Orderly ends, which give the Lease up.
    pub stops: u8,
    /// Times that a replica is not run for [`Bounds::pause`] seconds.
    pub pauses: u8,
    /// Seconds for which a paused replica is not run.
    pub pause: i8,
    /// A defect that all replicas have.
    pub defect: Option<Defect>,
}

impl Bounds {
    /// Two replicas, and nothing goes wrong.
    pub const CALM: Self = Self {
        replicas: 2,
        delays: 0,
        kills: 0,
        stops: 0,
        pauses: 0,
        pause: 0,
        defect: None,
    };
}

/// The election within bounds.
#[derive(Clone, Copy, Debug)]
pub struct Election(pub Bounds);

impl Model for Election {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.0)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.apply(action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE, |_, world: &World| world.leaders() < 2),
            Property::always(SOON, |_, world: &World| world.is_led()),
            Property::sometimes(SUCCEEDED, |_, world: &World| world.is_succeeded()),
        ]
    }
}

impl Explored for Election {
    fn told(&self, before: &World, after: &World) -> String {
        after.told(before)
    }
}

/// Checks every state within the bounds, or until a rule is broken.
pub fn check(bounds: Bounds) -> Report {
    explore(&Election(bounds), &bounds)
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            replicas,
            delays,
            kills,
            stops,
            pauses,
            pause,
            defect,
        } = self;
        write!(
            f,
            "{replicas} replicas, {delays} delays, {kills} kills, {stops} stops, {pauses} pauses"
        )?;
        if *pauses > 0 {
            write!(f, " of {pause} s")?;
        }
        defect.map_or(Ok(()), |defect| write!(f, ", {defect:?}"))
    }
}
