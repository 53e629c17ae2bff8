//! The promises of the lanes about failures, as their documentation says: one write probes, and the others follow only
//! when something has shown that the failure is over.

use super::action::{Workload, namespace};
use super::evidence::{Cause, Proof, Scope};
use std::collections::BTreeSet;

/// The failures that hold writes, and the writes that were given out since then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Contract {
    /// Whether everything is held, and then whether only a Revision that is created ends that.
    all: Option<bool>,
    /// The namespaces that are held.
    namespaces: BTreeSet<&'static str>,
    /// Workloads of which a write was given out since everything is held, and is under way.
    probes: BTreeSet<Workload>,
    /// Workloads of which a write was given out since their namespace is held, and is under way.
    namespace_probes: BTreeSet<Workload>,
    /// Whether a failure could have held the writes of each workload.
    concerned: Vec<bool>,
}

impl Contract {
    /// Nothing has failed yet.
    pub(super) fn new(workloads: usize) -> Self {
        Self {
            all: None,
            namespaces: BTreeSet::new(),
            probes: BTreeSet::new(),
            namespace_probes: BTreeSet::new(),
            concerned: vec![false; workloads],
        }
    }

    /// A write is given out.
    pub(super) fn gave(&mut self, workload: Workload) {
        if self.all.is_some() {
            self.probes.insert(workload);
        }
        if self.namespaces.contains(namespace(workload)) {
            self.namespace_probes.insert(workload);
        }
    }

    /// A write is not under way any more.
    fn back(&mut self, workload: Workload) {
        self.probes.remove(&workload);
        self.namespace_probes.remove(&workload);
    }

    /// A write has failed. Where the extent of the hold is unclear, that of the lanes counts.
    pub(super) fn failed(&mut self, workload: Workload, cause: Cause, said: Scope) {
        self.back(workload);
        let is_unclear = cause.scope == Scope::Unclear;
        if is_unclear || cause.scope == Scope::Namespace {
            self.namespaces.insert(namespace(workload));
        }
        let scope = if is_unclear { said } else { cause.scope };
        self.concern(workload, scope);
        if scope == Scope::All {
            self.all = Some(self.all.unwrap_or(false) || !cause.passing);
        } else if !cause.passing {
            self.answered();
        }
    }

    fn concern(&mut self, workload: Workload, scope: Scope) {
        for (other, concerned) in self.concerned.iter_mut().enumerate() {
            *concerned |= match scope {
                Scope::All | Scope::Unclear => true,
                Scope::Namespace => namespace(other) == namespace(workload),
                Scope::Workload => other == workload,
            };
        }
    }

    /// A write is settled.
    pub(super) fn settled(&mut self, workload: Workload, proof: Proof) {
        self.back(workload);
        match proof {
            Proof::Created => {
                self.free(namespace(workload));
                self.open();
            }
            Proof::Answered => self.answered(),
            Proof::NamespaceGone => {
                self.free(namespace(workload));
                self.answered();
            }
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
            .retain(|workload| namespace(*workload) != name);
    }

    /// Everything that waits is dropped.
    pub(super) fn cleared(&mut self) {
        self.namespaces.clear();
        self.namespace_probes.clear();
    }

    /// Whether at most one write probes for everything, and for each namespace.
    pub(super) fn is_kept(&self) -> bool {
        let names: BTreeSet<_> = self
            .namespace_probes
            .iter()
            .map(|of| namespace(*of))
            .collect();
        self.probes.len() < 2 && names.len() == self.namespace_probes.len()
    }

    /// Whether a failure could have held the writes of a workload.
    pub(super) fn concerns(&self, workload: Workload) -> bool {
        self.concerned[workload]
    }
}
