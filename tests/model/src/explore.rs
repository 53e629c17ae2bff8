//! Takes a small model through every state within its bounds, and reports the findings.

use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::collections::{HashSet, VecDeque};
use std::fmt::{self, Display};
use std::hash::Hash;
use std::time::Duration;
use tokio::time::Instant;

/// The checker tells of the last way that it found before it looked whether to finish, which it does from time to time.
/// Among fewer states than that the way may be a long one.
const FEW: usize = 20_000;

/// A way to a state that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The rule.
    pub rule: &'static str,
    /// The steps, one sentence for each action.
    pub steps: Vec<String>,
}

/// The result of a check.
#[derive(Clone, Debug)]
pub struct Report {
    /// The bounds, in words.
    pub bounds: String,
    /// Different states.
    pub states: usize,
    /// Things that happen one after the other, at most.
    pub depth: usize,
    /// The time that it took.
    pub took: Duration,
    /// Ways to states that break a rule; none when every state keeps every rule.
    pub broken: Vec<Counterexample>,
    /// Conditions that should hold in some state and hold in none.
    pub never: Vec<&'static str>,
}

/// A model that can be explored.
pub trait Explored:
    Model<State: Clone + Eq + Hash + Send + Sync + 'static, Action: Clone + Display + PartialEq>
    + Clone
    + Send
    + Sync
    + 'static
{
    /// The changes by an action, in words, as far as they are of interest.
    fn told(&self, before: &Self::State, after: &Self::State) -> String;
}

/// Checks every state within the bounds, or until a rule is broken.
pub fn explore<M: Explored>(model: &M, bounds: &impl Display) -> Report {
    let begin = Instant::now();
    let checker = model.clone().checker();
    let checker = checker
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let mut paths = checker.discoveries();
    let (mut broken, mut never) = (Vec::new(), Vec::new());
    for property in model.properties() {
        match (property.expectation, paths.remove(property.name)) {
            (Expectation::Sometimes, None) => never.push(property.name),
            (Expectation::Sometimes, Some(_)) | (_, None) => {}
            (Expectation::Always | Expectation::Eventually, Some(path)) => {
                let breaks = |state: &M::State| !(property.condition)(model, state);
                let actions = if checker.unique_state_count() < FEW {
                    shortest(model, breaks)
                } else {
                    path.into_actions()
                };
                broken.push(Counterexample {
                    rule: property.name,
                    steps: steps(model, actions),
                });
            }
        }
    }
    Report {
        bounds: bounds.to_string(),
        states: checker.unique_state_count(),
        depth: checker.max_depth() - 1,
        took: begin.elapsed(),
        broken,
        never,
    }
}

/// The shortest way to a state that there is.
fn shortest<M: Explored>(model: &M, is_it: impl Fn(&M::State) -> bool) -> Vec<M::Action> {
    let mut seen = HashSet::new();
    let begin = model.init_states().into_iter();
    let mut due: VecDeque<_> = begin.map(|state| (state, Vec::new())).collect();
    while let Some((state, way)) = due.pop_front() {
        if is_it(&state) {
            return way;
        }
        for (action, next) in model.next_steps(&state) {
            if seen.insert(next.clone()) {
                let way = way.iter().cloned().chain([action]).collect();
                due.push_back((next, way));
            }
        }
    }
    Vec::new()
}

fn steps<M: Explored>(model: &M, actions: Vec<M::Action>) -> Vec<String> {
    let mut state = model.init_states().into_iter().next();
    let step = |action: M::Action| {
        let before = state.take()?;
        let after = model.next_state(&before, action.clone())?;
        let text = format!("{action}{}", model.told(&before, &after));
        state = Some(after);
        Some(text)
    };
    actions.into_iter().map_while(step).collect()
}

impl Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "broken after {}: {}", self.steps.len(), self.rule)?;
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "{number:4}. {step}")?;
        }
        Ok(())
    }
}

impl Display for Report {
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
        self.never
            .iter()
            .try_for_each(|never| writeln!(f, "in no state: {never}"))?;
        self.broken.iter().try_for_each(|broken| broken.fmt(f))
    }
}
