//! The namespaces that have writes on their way, or are held. Pure.
//!
//! No namespace has more writes under way than its share, and one that is held has one at a time, its workloads in turn.
//!
//! In: lanes that want to pass, writes that end, failures, and the time. Out: the lanes that may pass.

use super::gate::Gate;
use super::lane::LaneKey;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// One namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Space {
    gate: Gate,
    /// Writes that are under way.
    busy: usize,
    /// Lanes that wait and have not failed, then those that have: one that always fails must not hold the others.
    fresh: VecDeque<LaneKey>,
    failed: VecDeque<LaneKey>,
    /// Whether it is known that other namespaces are not concerned.
    alone: bool,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Spaces {
    spaces: BTreeMap<String, Space>,
}

impl Space {
    fn is_idle(&self) -> bool {
        let is_waited_for = !self.fresh.is_empty() || !self.failed.is_empty();
        self.busy == 0 && !self.gate.is_closed() && !is_waited_for
    }

    fn next(&mut self) -> Option<LaneKey> {
        self.fresh.pop_front().or_else(|| self.failed.pop_front())
    }
}

impl Spaces {
    /// Whether a lane may pass now. Otherwise it waits, and comes by [`Spaces::elect`], [`Spaces::ended`] or
    /// [`Spaces::open`].
    pub(super) fn admits(
        &mut self,
        namespace: &str,
        lane: LaneKey,
        has_failed: bool,
        creates: bool,
        share: usize,
    ) -> bool {
        let space = self.entry(namespace);
        // A hold is about new Revisions; statuses of stored ones can be written meanwhile.
        let is_free = (!creates || !space.gate.is_closed()) && space.busy < share;
        if is_free || space.gate.is_probe(lane) {
            return true;
        }
        let waiting = if has_failed {
            &mut space.failed
        } else {
            &mut space.fresh
        };
        waiting.push_back(lane);
        false
    }

    fn entry(&mut self, namespace: &str) -> &mut Space {
        self.spaces.entry(namespace.to_owned()).or_default()
    }

    /// A write of that namespace is under way.
    pub(super) fn begun(&mut self, namespace: &str) {
        self.entry(namespace).busy += 1;
    }

    /// A write of that namespace has ended. Returns a lane that may have its place.
    pub(super) fn ended(&mut self, namespace: &str) -> Option<LaneKey> {
        let space = self.spaces.get_mut(namespace)?;
        space.busy = space.busy.saturating_sub(1);
        let next = if space.gate.is_closed() {
            None
        } else {
            space.next()
        };
        self.tidy(namespace);
        next
    }

    fn tidy(&mut self, namespace: &str) {
        if self.spaces.get(namespace).is_some_and(Space::is_idle) {
            self.spaces.remove(namespace);
        }
    }

    /// A write of `lane` has failed for a reason that may concern its whole namespace.
    pub(super) fn hold(
        &mut self,
        namespace: &str,
        lane: LaneKey,
        alone: bool,
        strict: bool,
        now: Instant,
        delay: impl Fn(u32) -> Duration,
    ) {
        let space = self.entry(namespace);
        space.gate.close(lane, strict, now, delay);
        space.alone |= alone;
    }

    /// Whether a write of a namespace that is not held is under way.
    pub(super) fn is_moving(&self) -> bool {
        let is_moving = |space: &Space| space.busy > 0 && !space.gate.is_closed();
        self.spaces.values().any(is_moving)
    }

    /// Whether the namespace is held.
    pub(super) fn is_held(&self, namespace: &str) -> bool {
        let space = self.spaces.get(namespace);
        space.is_some_and(|space| space.gate.is_closed())
    }

    /// Whether the namespace is held, and it is known that others are not concerned.
    pub(super) fn is_alone(&self, namespace: &str) -> bool {
        let space = self.spaces.get(namespace);
        space.is_some_and(|space| space.gate.is_closed() && space.alone)
    }

    /// The names of those that are held.
    pub(super) fn held(&self) -> impl Iterator<Item = &str> {
        let held = self
            .spaces
            .iter()
            .filter(|(_, space)| space.gate.is_closed());
        held.map(|(name, _)| name.as_str())
    }

    /// `lane` was perhaps the probe of its namespace, and shows nothing about that.
    pub(super) fn give_back(&mut self, namespace: &str, lane: LaneKey) {
        if let Some(space) = self.spaces.get_mut(namespace) {
            space.gate.give_back(lane);
        }
    }

    /// A write of `lane` was answered, though it created nothing. Returns the lanes that may go on with that.
    pub(super) fn answered(&mut self, namespace: &str, lane: LaneKey) -> Vec<LaneKey> {
        let Some(space) = self.spaces.get_mut(namespace) else {
            return Vec::new();
        };
        if space.gate.answered(lane) {
            self.open(namespace)
        } else {
            Vec::new()
        }
    }

    /// The namespace is not held any more. Returns all lanes that waited.
    pub(super) fn open(&mut self, namespace: &str) -> Vec<LaneKey> {
        let Some(space) = self.spaces.get_mut(namespace) else {
            return Vec::new();
        };
        space.gate.open();
        space.alone = false;
        let fresh = std::mem::take(&mut space.fresh);
        let waiting = fresh
            .into_iter()
            .chain(std::mem::take(&mut space.failed))
            .collect();
        self.tidy(namespace);
        waiting
    }

    /// The failure is probably over: the next probes need not wait.
    pub(super) fn hurry(&mut self, now: Instant) {
        for space in self.spaces.values_mut() {
            space.gate.hurry(now);
        }
    }

    /// One lane of every held namespace whose time is up, and that has nothing under way: they pass as probes.
    pub(super) fn elect(&mut self, now: Instant) -> Vec<LaneKey> {
        let mut probes = Vec::new();
        let held = self
            .spaces
            .values_mut()
            .filter(|space| space.gate.is_closed());
        for space in held.filter(|space| space.busy == 0 && space.gate.lets(now)) {
            if let Some(lane) = space.next() {
                space.gate.pass(lane);
                probes.push(lane);
            }
        }
        probes
    }

    /// The time at which the next of them may be tried again.
    pub(super) fn until(&self) -> Option<Instant> {
        let waited_for = |space: &&Space| !space.fresh.is_empty() || !space.failed.is_empty();
        let free = self.spaces.values().filter(|space| space.busy == 0);
        free.filter(waited_for)
            .filter_map(|space| space.gate.until())
            .min()
    }

    /// Nothing waits any more, and nothing is held.
    pub(super) fn clear(&mut self) {
        for space in self.spaces.values_mut() {
            space.fresh.clear();
            space.failed.clear();
            space.gate.open();
            space.alone = false;
        }
        self.spaces.retain(|_, space| space.busy > 0);
    }
}
