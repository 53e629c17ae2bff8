//! The order of writes and their holds, in every order of events.
//!
//! In: [`Bounds`]. Out: a [`Report`], with a way to each rule that is broken. The decisions are the product's own plain
//! values: `Lanes` with its gates, and `Holds`. [`world`] repeats the few lines by which `Queue` asks them. A write may
//! fail for any cause, so many times as the bounds say: then the cause has ended, every way comes to an end, and there
//! everything has to be settled.
//!
//! Not here: the budget of the queue, its lock, and how it wakes the writers; which entries of the ledger go with a
//! Revision that steps aside; waits of other lengths than a second for each failure in a row.

mod action;
mod contract;
mod rules;
mod world;

pub use action::{Action, Edit, Failure, Fate, Workload};
pub use world::World;

use crate::explore::{Explored, Report, explore};
use stateright::{Model, Property};
use std::fmt;

/// A defect around the lanes, which the rules have to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// A write that failed goes behind the others of its workload.
    FailedGoesBehind,
    /// A write that failed is forgotten.
    FailedIsForgotten,
    /// A write counts as settled when it is given out.
    SettledWhenGiven,
    /// A refusal counts as a Revision that was created.
    RefusalTakenForCreated,
    /// No writer looks again when a wait is over.
    WaitNeverEnds,
    /// A workload that fails by itself counts as a failure of everything.
    OwnHoldsAll,
    /// A hold does not hear of writes that are settled.
    HoldNeverEnds,
    /// The lanes do not learn how long failures last.
    TimeStands,
    /// One namespace may have all writers.
    ShareIgnored,
}

/// How much of everything can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Workloads: the first two are in one namespace, the others in another.
    pub workloads: u8,
    /// Writes.
    pub writes: u8,
    /// How many of them may be of statuses.
    pub statuses: u8,
    /// Writes that are under way at the same time.
    pub writers: u8,
    /// How many of them may be of one namespace.
    pub share: u8,
    /// Failures, each for any cause.
    pub failures: u8,
    /// Times that a write is settled by another answer than that it was created.
    pub refusals: u8,
    /// Seconds that pass although nothing waits for them.
    pub seconds: u8,
    /// Times that half a minute passes.
    pub half_minutes: u8,
    /// Times that the queue is cleared, since history was restored.
    pub clears: u8,
    /// A defect around the lanes.
    pub defect: Option<Defect>,
}

impl Bounds {
    /// Three workloads in two namespaces, and nothing goes wrong.
    pub const CALM: Self = Self {
        workloads: 3,
        writes: 3,
        statuses: 0,
        writers: 2,
        share: 2,
        failures: 0,
        refusals: 0,
        seconds: 0,
        half_minutes: 0,
        clears: 0,
        defect: None,
    };
}

/// The lanes within bounds.
#[derive(Clone, Copy, Debug)]
pub struct Queueing(pub Bounds);

impl Model for Queueing {
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
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        rules::all(self.0.half_minutes > 0)
    }
}

impl Explored for Queueing {
    fn told(&self, before: &World, after: &World) -> String {
        after.told(before)
    }
}

/// Checks every state within the bounds, or until a rule is broken.
pub fn check(bounds: Bounds) -> Report {
    explore(&Queueing(bounds), &bounds)
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            workloads,
            writes,
            statuses,
            writers,
            share,
            failures,
            refusals,
            seconds,
            half_minutes,
            clears,
            defect,
        } = self;
        write!(
            f,
            "{writes} writes, {statuses} of statuses, of {workloads} workloads, {writers} writers, \
             {share} for a namespace, {failures} failures, {refusals} refusals, {seconds} s too late, \
             {half_minutes} half minutes, {clears} clears"
        )?;
        defect.map_or(Ok(()), |defect| write!(f, ", {defect:?}"))
    }
}
