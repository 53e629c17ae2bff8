//! The promises of the lanes about failures, as their documentation says: a failure delays what its cause says, or less
//! where more is known; one write probes, and the others follow only when something has shown that the failure is over;
//! and a Revision that is refused for long steps aside.

use super::action::{Edit, Workload, namespace};
use revisor::record::queue::evidence::{Cause, Proof, Scope};
use revisor::record::queue::lanes::{Failed, LaneItem};
use std::collections::{BTreeMap, BTreeSet};

/// A write that failed so often, while others of its namespace pass, fails by itself.
const PATIENCE: u8 = 2;
/// Seconds after which a Revision that is refused steps aside.
const STEPS_ASIDE: u8 = 30;

/// A namespace that is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Held {
    /// Whether only a Revision that is created ends that.
    strict: bool,
    /// Whether it is known that others are not concerned.
    alone: bool,
}

/// Failures in a row of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Failures {
    count: u8,
    /// The second of the first one.
    since: u8,
}

/// The failures that hold writes, and the writes that were given out since then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Contract {
    /// Whether everything is held, and then whether only a Revision that is created ends that.
    all: Option<bool>,
    /// The namespaces that are held.
    namespaces: BTreeMap<&'static str, Held>,
    /// Writes that were given out since everything is held, and are under way.
    probes: BTreeSet<Edit>,
    /// Revisions that were given out since their namespace is held, and are under way.
    namespace_probes: BTreeSet<Edit>,
    /// Whether a failure of another write could have held those of each workload.
    concerned: Vec<bool>,
    /// Writes that have failed and are not settled.
    failures: BTreeMap<Edit, Failures>,
    /// Revisions that have stepped aside.
    aside: BTreeSet<(Workload, u8)>,
    /// Namespaces in which Revisions were created since the last failure that may concern everything.
    created: BTreeSet<&'static str>,
    /// Whether the lanes have done with a failure what they should.
    is_right: bool,
}

impl Contract {
    /// Nothing has failed yet.
    pub(super) fn new(workloads: usize) -> Self {
        Self {
            all: None,
            namespaces: BTreeMap::new(),
            probes: BTreeSet::new(),
            namespace_probes: BTreeSet::new(),
            concerned: vec![false; workloads],
            failures: BTreeMap::new(),
            aside: BTreeSet::new(),
            created: BTreeSet::new(),
            is_right: true,
        }
    }

    /// A write is given out.
    pub(super) fn gave(&mut self, edit: Edit) {
        if self.all.is_some() {
            self.probes.insert(edit);
        }
        if edit.creates() && self.namespaces.contains_key(namespace(edit.workload)) {
            self.namespace_probes.insert(edit);
        }
    }

    /// A write is not under way any more.
    fn back(&mut self, edit: Edit) {
        self.probes.remove(&edit);
        self.namespace_probes.remove(&edit);
    }

    /// A write has failed at a second, and the lanes did something with it.
    pub(super) fn failed(&mut self, edit: Edit, cause: Cause, now: u8, did: &Failed) {
        self.back(edit);
        let scope = self.resolved(edit, cause.scope);
        let steps_aside = self.count(edit, now) && scope != Scope::All;
        self.is_right &= scope == did.scope && steps_aside == did.aside.is_some();
        if steps_aside {
            self.aside.insert((edit.workload, edit.revision));
        }
        self.hold(namespace(edit.workload), scope, cause.passing);
    }

    /// The writes that a failure has to delay.
    fn resolved(&mut self, edit: Edit, scope: Scope) -> Scope {
        let name = namespace(edit.workload);
        let held = self.namespaces.get(name);
        let mut scope = scope;
        if scope == Scope::All && held.is_some_and(|held| held.alone) {
            scope = Scope::Namespace;
        } else if scope == Scope::All {
            let created = std::mem::take(&mut self.created);
            if created.iter().any(|created| *created != name) {
                scope = Scope::Namespace;
            }
        }
        let failures = self.failures.get(&edit);
        let fails_often = failures.is_some_and(|failures| failures.count >= PATIENCE);
        let fails_by_itself = fails_often || self.is_aside(edit);
        if scope == Scope::Namespace && fails_by_itself && held.is_none() {
            scope = Scope::Workload;
        }
        scope
    }

    /// Counts a failure. Returns whether a Revision has been refused for long, and has not stepped aside yet.
    fn count(&mut self, edit: Edit, now: u8) -> bool {
        let first = Failures {
            count: 0,
            since: now,
        };
        let failures = self.failures.entry(edit).or_insert(first);
        failures.count += 1;
        let is_long = now - failures.since >= STEPS_ASIDE;
        is_long && edit.creates() && !self.is_aside(edit)
    }

    fn hold(&mut self, name: &'static str, scope: Scope, passing: bool) {
        if scope != Scope::Workload {
            let held = self.namespaces.entry(name).or_default();
            held.strict |= !passing;
            held.alone |= scope == Scope::Namespace;
            for (other, concerned) in self.concerned.iter_mut().enumerate() {
                *concerned |= scope == Scope::All || namespace(other) == name;
            }
        }
        if scope == Scope::All {
            self.all = Some(self.all.unwrap_or(false) || !passing);
        } else if !passing {
            self.answered();
        }
    }

    /// A write is settled.
    pub(super) fn settled(&mut self, edit: Edit, proof: Proof) {
        self.back(edit);
        self.failures.remove(&edit);
        let name = namespace(edit.workload);
        if proof == Proof::Created {
            self.created.insert(name);
            self.open();
        } else {
            self.answered();
        }
        let is_strict = self.namespaces.get(name).is_some_and(|held| held.strict);
        if proof != Proof::Answered || !is_strict {
            self.free(name);
        }
    }

    fn answered(&mut self) {
        if self.all == Some(false) {
            self.open();
        }
    }

    fn open(&mut self) {
        self.all = None;
        self.probes.clear();
    }

    fn free(&mut self, name: &'static str) {
        self.namespaces.remove(name);
        self.namespace_probes
            .retain(|edit| namespace(edit.workload) != name);
    }

    /// Everything is settled.
    pub(super) fn rest(&mut self) {
        *self = Self {
            created: std::mem::take(&mut self.created),
            is_right: self.is_right,
            ..Self::new(self.concerned.len())
        };
    }

    /// Everything that waits is dropped.
    pub(super) fn cleared(&mut self, is_left: impl Fn(&Edit) -> bool) {
        self.namespaces.clear();
        self.namespace_probes.clear();
        self.failures.retain(|edit, _| is_left(edit));
    }

    /// Nothing of these Revisions is left any more.
    pub(super) fn forget(&mut self, is_left: impl Fn(&(Workload, u8)) -> bool) {
        self.aside.retain(is_left);
    }

    /// Whether at most one write probes for everything, and one Revision for each namespace.
    pub(super) fn is_kept(&self) -> bool {
        let names: BTreeSet<_> = self
            .namespace_probes
            .iter()
            .map(|edit| namespace(edit.workload))
            .collect();
        self.probes.len() < 2 && names.len() == self.namespace_probes.len()
    }

    /// Whether the lanes have done with each failure what they should.
    pub(super) fn is_right(&self) -> bool {
        self.is_right
    }

    /// Whether the Revision of a write has stepped aside.
    pub(super) fn is_aside(&self, edit: Edit) -> bool {
        self.aside.contains(&(edit.workload, edit.revision))
    }

    /// Whether a write has failed, and is not settled.
    pub(super) fn has_failed(&self, edit: Edit) -> bool {
        self.failures.contains_key(&edit)
    }

    /// Whether a failure could have held a write.
    pub(super) fn concerns(&self, edit: Edit) -> bool {
        self.concerned[edit.workload] || self.has_failed(edit)
    }
}
