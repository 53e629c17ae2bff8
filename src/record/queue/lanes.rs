//! The order of writes: in sequence within a workload, side by side across workloads.
//!
//! A failure delays one lane, one namespace ([`Spaces`]), or everything. The last two are delayed behind a gate: when its
//! time is up one item goes through as a probe, and only what shows that the failure is over lets the others follow.
//! That everything is concerned is believed while nothing else is known: probes are of other namespaces, and once
//! Revisions were created there, it is the namespace that failed. A Revision that is refused for long steps aside into a
//! lane of its own, and later ones pass it, once it may be passed.
//!
//! In: items, the fates of those that were given out, and the time. Out: the next item, or how long to wait. A plain
//! value: where its items can be copied, compared and hashed, it can be too, and no order depends on a hash.

mod aside;

use super::evidence::{Cause, Proof, Scope};
use super::gate::{Gate, Streak, later};
use super::lane::Lane;
pub use super::lane::{Given, LaneItem, LaneKey};
use super::spaces::Spaces;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// A lane that failed this often waits on its own too, so that one object that always fails does not hold the rest.
const PATIENCE: u32 = 2;
/// A Revision that has been refused for so long steps aside, once the checkpoint names it.
const STEPS_ASIDE: Duration = Duration::from_secs(30);

/// The effect of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Failed {
    /// The writes that are delayed.
    pub scope: Scope,
    /// Failures in a row of its lane.
    pub lane: Streak,
    /// Failures in a row of everything.
    pub gate: Streak,
    /// Whether the item is a Revision that has been refused for long. It steps aside as soon as it may be passed.
    pub refused: bool,
    /// The lane into which the item has stepped aside now: later writes of its workload pass it.
    pub aside: Option<LaneKey>,
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Next<T> {
    /// Write this item.
    Item(Given<T>),
    /// Wait until then, or until something changes.
    Wait(Option<Instant>),
}

/// All lanes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lanes<T> {
    /// A lane that has items and is not busy is in one of `ready`, `delayed` and those that wait in `spaces`.
    lanes: BTreeMap<LaneKey, Lane<T>>,
    ready: VecDeque<LaneKey>,
    delayed: BTreeSet<(Instant, LaneKey)>,
    spaces: Spaces,
    gate: Gate,
    /// Namespaces in which Revisions were created since the last failure that may concern everything: two of them tell
    /// whether there is another one than any.
    created: BTreeSet<String>,
    len: usize,
    /// The number of Revisions that have stepped aside so far.
    aside: u64,
    /// So many writes of one namespace are under way at most.
    share: usize,
}

impl<T: LaneItem> Lanes<T> {
    /// No lanes yet. No namespace has more than `share` writes under way.
    pub fn new(share: usize) -> Self {
        Self {
            lanes: BTreeMap::new(),
            ready: VecDeque::new(),
            delayed: BTreeSet::new(),
            spaces: Spaces::default(),
            gate: Gate::default(),
            created: BTreeSet::new(),
            len: 0,
            aside: 0,
            share: share.max(1),
        }
    }

    /// The number of items that are waiting or being written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no item is waiting or being written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether an item may be there to be given out at once.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether anything is written, or could be written now: all the rest is held.
    pub fn is_moving(&self) -> bool {
        let is_free = |key: &LaneKey| {
            let first = self.lanes.get(key).and_then(|lane| lane.items.front());
            first.is_some_and(|item| !self.spaces.is_held(item.namespace()))
        };
        !self.gate.is_closed() && (self.spaces.is_moving() || self.ready.iter().any(is_free))
    }

    /// Whether a namespace is held.
    pub fn is_held(&self, namespace: &str) -> bool {
        self.spaces.is_held(namespace)
    }

    /// The namespaces that are held.
    pub fn held(&self) -> impl Iterator<Item = &str> {
        self.spaces.held()
    }

    /// Adds an item behind all others of its workload. Returns its lane.
    pub fn push(&mut self, item: T, now: Instant) -> LaneKey {
        self.len += 1;
        if !self.spaces.is_held(item.namespace()) {
            // While everything is held, one of another namespace may show that it is not everything.
            self.gate.hurry(now);
        }
        let key = self
            .refused(&item)
            .unwrap_or(LaneKey::Workload(item.workload()));
        self.lane(key).items.push_back(item);
        key
    }

    /// The items that wait in a lane.
    pub fn items_mut(&mut self, key: LaneKey) -> impl Iterator<Item = &mut T> {
        self.lanes
            .get_mut(&key)
            .into_iter()
            .flat_map(|lane| &mut lane.items)
    }

    /// A lane, which is ready if it is new.
    fn lane(&mut self, key: LaneKey) -> &mut Lane<T> {
        self.lanes.entry(key).or_insert_with(|| {
            self.ready.push_back(key);
            Lane::default()
        })
    }

    /// Takes out all items that are not being written.
    pub fn clear(&mut self) -> Vec<T> {
        let dropped: Vec<T> = self
            .lanes
            .values_mut()
            .flat_map(|lane| std::mem::take(&mut lane.items))
            .collect();
        self.lanes.retain(|_, lane| lane.busy);
        self.ready.clear();
        self.delayed.clear();
        self.spaces.clear();
        self.len -= dropped.len();
        dropped
    }

    /// Gives out the next item; its lane waits until [`Lanes::done`] or [`Lanes::failed`].
    pub fn take(&mut self, now: Instant) -> Next<T> {
        self.release(now);
        if !self.gate.lets(now) {
            return Next::Wait(self.gate.until());
        }
        loop {
            while let Some(key) = self.ready.pop_front() {
                if let Some(item) = self.give(key) {
                    return Next::Item(Given { lane: key, item });
                }
            }
            // Lanes that have come to wait just now may be probes.
            self.ready.extend(self.spaces.elect(now));
            if self.ready.is_empty() {
                return Next::Wait(self.next_release());
            }
        }
    }

    /// The time at which a namespace may be tried again, or the delay of a lane is over.
    fn next_release(&self) -> Option<Instant> {
        let delayed = self.delayed.first().map(|(at, _)| *at);
        self.spaces.until().into_iter().chain(delayed).min()
    }

    /// Lanes whose delay is over are ready again, and behind all that are ready one of each held namespace.
    fn release(&mut self, now: Instant) {
        while let Some((at, key)) = self.delayed.first().copied().filter(|(at, _)| *at <= now) {
            self.delayed.remove(&(at, key));
            self.ready.push_back(key);
        }
        self.ready.extend(self.spaces.elect(now));
    }

    /// The next item of a lane, unless its namespace is held or has its share.
    fn give(&mut self, key: LaneKey) -> Option<T> {
        self.pass_statuses(key);
        let lane = self.lanes.get_mut(&key)?;
        let Some(first) = lane.items.front() else {
            self.lanes.remove(&key);
            return None;
        };
        let has_failed = lane.streak.failures > 0;
        let namespace = first.namespace();
        let creates = first.creates();
        let may_pass = self
            .spaces
            .admits(namespace, key, has_failed, creates, self.share);
        let item = lane.items.pop_front_if(|_| may_pass)?;
        lane.busy = true;
        self.gate.pass(key);
        self.spaces.begun(item.namespace());
        Some(item)
    }

    /// An item that was given out is settled. True when that let others go on.
    pub fn done(&mut self, key: LaneKey, namespace: &str, proof: Proof, now: Instant) -> bool {
        self.len -= 1;
        let freed = self.spaces.ended(namespace);
        self.ready.extend(freed);
        let opened = self.shown(key, namespace, proof, now) || freed.is_some();
        let Some(lane) = self.lanes.get_mut(&key) else {
            return opened;
        };
        lane.busy = false;
        lane.streak = Streak::default();
        if lane.items.is_empty() {
            self.lanes.remove(&key);
        } else {
            self.ready.push_back(key);
        }
        if self.len == 0 {
            self.spaces.clear();
            self.gate.open();
        }
        opened
    }

    /// Opens the gates that `proof` opens.
    fn shown(&mut self, key: LaneKey, namespace: &str, proof: Proof, now: Instant) -> bool {
        let tells = self.created.len() < 2 && !self.created.contains(namespace);
        if proof == Proof::Created && tells {
            self.created.insert(namespace.to_owned());
        }
        let freed = match proof {
            Proof::Created | Proof::NamespaceGone => self.spaces.open(namespace),
            Proof::Answered => self.spaces.answered(namespace, key),
        };
        let opened = match proof {
            Proof::Created => self.gate.open(),
            Proof::Answered | Proof::NamespaceGone => self.gate.answered(key),
        };
        if opened {
            self.spaces.hurry(now);
        }
        let is_freed = !freed.is_empty();
        self.ready.extend(freed);
        opened || is_freed
    }

    /// An item that was given out comes back. `delay` is given the number of failures so far, from 1.
    pub fn failed(
        &mut self,
        given: Given<T>,
        cause: Cause,
        now: Instant,
        delay: impl Fn(u32) -> Duration,
    ) -> Failed {
        let Given { lane: key, item } = given;
        let namespace = item.namespace().to_owned();
        let scope = self.resolve(cause.scope, key, &namespace);
        let creates = item.creates();
        let may_be_passed = item.may_be_passed();
        let streak = self.put_back(key, item, now);
        let freed = self.spaces.ended(&namespace);
        self.ready.extend(freed);
        self.hold(scope, cause.passing, key, &namespace, now, &delay);
        let refused = scope != Scope::All && creates && streak.lasts(STEPS_ASIDE, now);
        let steps_aside = refused && may_be_passed && matches!(key, LaneKey::Workload(_));
        let aside = steps_aside.then(|| self.step_aside(key));
        let key = aside.unwrap_or_else(|| self.pass_by(key, creates));
        if scope == Scope::Workload || streak.failures > PATIENCE {
            self.delayed
                .insert((later(now, delay(streak.failures)), key));
        } else {
            self.ready.push_back(key);
        }
        Failed {
            scope,
            lane: streak,
            gate: self.gate.streak(),
            refused,
            aside,
        }
    }

    /// The writes that a failure delays, as far as is known.
    fn resolve(&mut self, scope: Scope, key: LaneKey, namespace: &str) -> Scope {
        let scope = match scope {
            Scope::All if self.is_elsewhere_free(namespace) => Scope::Namespace,
            scope => scope,
        };
        let failures = self.lanes.get(&key).map_or(0, |lane| lane.streak.failures);
        let is_known_to_fail = failures >= PATIENCE || matches!(key, LaneKey::Refused(..));
        if scope == Scope::Namespace && is_known_to_fail && !self.spaces.is_held(namespace) {
            // Others of its namespace have passed since.
            return Scope::Workload;
        }
        scope
    }

    /// Whether a failure that may concern everything concerns this namespace only.
    fn is_elsewhere_free(&mut self, namespace: &str) -> bool {
        if self.spaces.is_alone(namespace) {
            return true;
        }
        let elsewhere = self.created.iter().any(|created| created != namespace);
        self.created.clear();
        elsewhere
    }

    /// Closes the gates that a failure closes, and opens those of which it shows that they need not be closed.
    fn hold(
        &mut self,
        scope: Scope,
        passing: bool,
        key: LaneKey,
        namespace: &str,
        now: Instant,
        delay: impl Fn(u32) -> Duration,
    ) {
        if scope == Scope::Workload {
            self.spaces.give_back(namespace, key);
        } else {
            let alone = scope == Scope::Namespace;
            self.spaces
                .hold(namespace, key, alone, !passing, now, &delay);
        }
        if scope == Scope::All {
            self.gate.close(key, !passing, now, &delay);
        } else if passing {
            self.gate.give_back(key);
        } else if self.gate.answered(key) {
            self.spaces.hurry(now);
        }
    }

    /// Puts an item that failed before all others of its lane. Returns the failures in a row of the lane.
    fn put_back(&mut self, key: LaneKey, item: T, now: Instant) -> Streak {
        let lane = self.lanes.entry(key).or_default();
        lane.busy = false;
        lane.items.push_front(item);
        lane.streak.grow(now);
        lane.streak
    }
}

#[cfg(test)]
mod tests;
