//! Takes the model through every state within its bounds, and reports the findings.

use crate::bounds::Bounds;
use crate::replica::Item;
use crate::rules::RULES;
use crate::world::{Action, World};
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// The protocol of recording within bounds.
#[derive(Clone, Copy, Debug)]
pub struct Recording(pub Bounds);

impl Model for Recording {
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
        vec![
            Property::always(RULES[0].name, |_, world| (RULES[0].holds)(world)),
            Property::always(RULES[1].name, |_, world| (RULES[1].holds)(world)),
            Property::always(RULES[2].name, |_, world| (RULES[2].holds)(world)),
            Property::always(RULES[3].name, |_, world| (RULES[3].holds)(world)),
            Property::always(RULES[4].name, |_, world| (RULES[4].holds)(world)),
            Property::always(RULES[5].name, |_, world| (RULES[5].holds)(world)),
        ]
    }
}

/// The part of a state that an action has changed and that can be seen from outside.
struct Difference<'a>(&'a World, &'a World);

/// A way to a state that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The rule.
    pub rule: &'static str,
    /// The steps, one sentence for each action: with a defect that is put back, it has to be told at once.
    pub steps: Vec<String>,
    /// The steps.
    pub actions: Vec<Action>,
}

/// The result of a check.
#[derive(Clone, Debug)]
pub struct Report {
    /// The bounds.
    pub bounds: Bounds,
    /// Different states.
    pub states: usize,
    /// Things that happen one after the other, at most.
    pub depth: usize,
    /// The time that it took.
    pub took: Duration,
    /// Ways to states that break a rule; none when every state keeps every rule.
    pub broken: Vec<Counterexample>,
}

/// Checks every state within the bounds, or until a rule is broken.
pub fn check(bounds: Bounds) -> Report {
    let begin = Instant::now();
    let checker = Recording(bounds).checker();
    let checker = checker
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let paths = checker.discoveries().into_iter();
    let mut broken: Vec<_> = paths
        .map(|(rule, path)| shorten(bounds, rule, path.into_actions()))
        .collect();
    broken.sort_by_key(|counterexample| (counterexample.actions.len(), counterexample.rule));
    Report {
        bounds,
        states: checker.unique_state_count(),
        depth: checker.max_depth() - 1,
        took: begin.elapsed(),
        broken,
    }
}

/// The state after these actions; none when one of them is not possible.
fn run(bounds: Bounds, actions: &[Action]) -> Option<World> {
    let mut world = World::new(bounds);
    let mut possible = Vec::new();
    for action in actions {
        possible.clear();
        world.actions(&mut possible);
        if !possible.contains(action) {
            return None;
        }
        world.apply(*action);
    }
    Some(world)
}

fn steps(bounds: Bounds, actions: &[Action]) -> Vec<String> {
    let mut world = World::new(bounds);
    let step = |action: &Action| {
        let before = world.clone();
        world.apply(*action);
        format!("{action}{}", Difference(&before, &world))
    };
    actions.iter().map(step).collect()
}

/// The checker may have found a longer way after a shorter one: whatever is not needed is left out.
fn shorten(bounds: Bounds, rule: &'static str, mut actions: Vec<Action>) -> Counterexample {
    let holds = |world: &World| {
        let named = RULES.iter().find(|other| other.name == rule);
        named.is_none_or(|rule| (rule.holds)(world))
    };
    let breaks = |actions: &[Action]| run(bounds, actions).is_some_and(|world| !holds(&world));
    let mut at = 0;
    while at < actions.len() {
        let mut fewer = actions.clone();
        fewer.remove(at);
        if breaks(&fewer) {
            (actions, at) = (fewer, 0);
        } else {
            at += 1;
        }
    }
    Counterexample {
        rule,
        steps: steps(bounds, &actions),
        actions,
    }
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(before, after) = self;
        for write in &after.server.log[before.server.log.len()..] {
            write!(f, ": place {}", write.at)?;
        }
        if let Some(entry) = &after.store.checkpoint
            && after.store.checkpoint != before.store.checkpoint
        {
            write!(f, ": {}", entry.encode())?;
        }
        for (older, newer) in before.replicas.iter().zip(&after.replicas) {
            for item in newer
                .queue
                .iter()
                .filter(|item| !older.queue.contains(item))
            {
                let Item {
                    object, record, at, ..
                } = item;
                write!(f, "; on its way: {record:?} of object {object} at {at}")?;
            }
            for item in older
                .queue
                .iter()
                .filter(|item| !newer.queue.contains(item))
            {
                write!(f, ": {:?}", item.record)?;
            }
            if newer.at != older.at {
                write!(f, "; it has come to {}", newer.at)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "broken after {}: {}", self.actions.len(), self.rule)?;
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "{number:4}. {step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let Self {
            bounds,
            states,
            depth,
            ..
        } = self;
        writeln!(
            f,
            "{bounds}: {states} states, depth {depth}, {seconds:.1} s"
        )?;
        self.broken.iter().try_for_each(|broken| broken.fmt(f))
    }
}
