//! Workloads, those of their Revisions whose status may still change, and their pods. In memory, no I/O.

mod decide;
mod pods;
mod subject;

use super::attribute::Templates;
use super::live::Live;
use super::status::Pools;
use crate::kinds::Kind;
use crate::revision::{Revision, RevisionStatus, Workload};
pub(super) use decide::{Decision, Judgement};
pub(super) use pods::OwnerLookup;
use pods::TrackedPod;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
pub(super) use subject::Unread;
use subject::{Subject, WorkloadName};
use uuid::Uuid;

/// All workloads that Revisions are known of.
pub(super) struct Subjects {
    kinds: Vec<Arc<Kind>>,
    all: HashMap<Uuid, Subject>,
    names: HashMap<WorkloadName, Uuid>,
    namespaces: HashMap<String, usize>,
    pods: HashMap<Uuid, TrackedPod>,
    /// Pods whose owners have to be read.
    lookups: Vec<Uuid>,
    pub(super) pools: Pools,
    list: u32,
    /// Whether snapshots are of use here: only the leader makes templates.
    pub(super) leads: bool,
    /// Workloads that changed since they were last taken.
    pub(super) dirty: BTreeSet<Uuid>,
    /// Workloads that came, or went (false), since they were last taken.
    pub(super) moved: Vec<(Uuid, bool)>,
}

impl Subjects {
    /// None yet, of these kinds.
    pub(super) fn new(kinds: &[Arc<Kind>]) -> Self {
        Self {
            kinds: kinds.to_vec(),
            all: HashMap::new(),
            names: HashMap::new(),
            namespaces: HashMap::new(),
            pods: HashMap::new(),
            lookups: Vec::new(),
            pools: Pools::new(),
            list: 0,
            leads: false,
            dirty: BTreeSet::new(),
            moved: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(&std::mem::take(&mut self.kinds));
    }

    pub(super) fn get(&self, uid: Uuid) -> Option<&Subject> {
        self.all.get(&uid)
    }

    pub(super) fn has(&self, uid: Uuid) -> bool {
        self.all.contains_key(&uid)
    }

    /// All workloads, in ascending order.
    fn uids(&self) -> BTreeSet<Uuid> {
        self.all.keys().copied().collect()
    }

    /// This process leads from now on: every workload is to be looked at.
    pub(super) fn lead(&mut self) {
        self.leads = true;
        let all = self.uids();
        self.moved = all.iter().map(|uid| (*uid, true)).collect();
        self.dirty.extend(all);
    }

    /// This process does not lead any more. Pods and nodes are known to the leader only.
    pub(super) fn follow(&mut self) {
        self.leads = false;
        self.forget_pods();
    }

    pub(super) fn pod_count(&self) -> usize {
        self.pods.len()
    }

    /// Whether there is a workload of one of these kinds.
    pub(super) fn has_kind(&self, kinds: &[Arc<Kind>]) -> bool {
        self.all
            .values()
            .any(|subject| kinds.iter().any(|kind| Arc::ptr_eq(kind, &subject.kind)))
    }

    /// A Revision came or changed.
    pub(super) fn put(&mut self, revision: &Revision) {
        // Gaps have no pods.
        if revision.spec.gap.is_some() {
            return;
        }
        // Kinds that are not recorded any more are not observed either.
        let Some(kind) = self.kind(&revision.spec.workload) else {
            return;
        };
        let uid = revision.spec.workload.uid;
        self.add(uid, &kind, revision);
        let Some(subject) = self.all.get_mut(&uid) else {
            return;
        };
        if subject.put(revision, self.list, self.leads) {
            self.dirty.insert(uid);
        }
    }

    fn kind(&self, workload: &Workload) -> Option<Arc<Kind>> {
        self.kinds
            .iter()
            .find(|kind| kind.kind == workload.kind && kind.group == workload.group())
            .cloned()
    }

    fn add(&mut self, uid: Uuid, kind: &Arc<Kind>, revision: &Revision) {
        if self.all.contains_key(&uid) {
            return;
        }
        let namespace = revision.metadata.namespace.clone().unwrap_or_default();
        let name = revision.spec.workload.name.clone();
        let subject = Subject::new(kind.clone(), namespace.clone(), name);
        self.names.insert(subject.workload_name(), uid);
        self.all.insert(uid, subject);
        *self.namespaces.entry(namespace.clone()).or_default() += 1;
        self.tell(uid, true);
        self.look_again(&namespace);
    }

    /// On a replica that follows nothing takes what moved.
    fn tell(&mut self, uid: Uuid, came: bool) {
        if self.leads {
            self.moved.push((uid, came));
        }
    }

    /// A Revision was deleted.
    pub(super) fn remove(&mut self, workload: Uuid, generation: i64) {
        let Some(subject) = self.all.get_mut(&workload) else {
            return;
        };
        subject.revisions.remove(&generation);
        self.dirty.insert(workload);
        self.drop_finished(workload);
    }

    /// A list of Revisions begins.
    pub(super) fn listing(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// It is complete: what it did not name is gone.
    pub(super) fn listed(&mut self) {
        let list = self.list;
        for subject in self.all.values_mut() {
            subject.revisions.retain(|_, known| known.list == list);
        }
        self.uids()
            .into_iter()
            .for_each(|uid| self.drop_finished(uid));
    }

    /// Forgets a workload of which nothing can change any more.
    pub(super) fn drop_finished(&mut self, uid: Uuid) {
        let Some(subject) = self.all.get(&uid) else {
            return;
        };
        let open = subject
            .revisions
            .values()
            .any(|known| known.status.is_some());
        if open || (!subject.deleted && !subject.revisions.is_empty()) || !subject.pods.is_empty() {
            return;
        }
        let name = subject.workload_name();
        if self.names.get(&name) == Some(&uid) {
            self.names.remove(&name);
        }
        if let Some(count) = self.namespaces.get_mut(&subject.namespace) {
            *count -= 1;
            if *count == 0 {
                self.namespaces.remove(&subject.namespace);
            }
        }
        self.all.remove(&uid);
        self.dirty.remove(&uid);
        self.tell(uid, false);
    }

    /// A workload was written.
    pub(super) fn live(&mut self, uid: Uuid, raw: &str) {
        let Some(subject) = self.all.get_mut(&uid) else {
            return;
        };
        let live = Live::read(&subject.kind, raw);
        if subject.live != live {
            subject.live = live;
            self.dirty.insert(uid);
        }
    }

    /// A status was written.
    pub(super) fn written(&mut self, workload: Uuid, generation: i64, status: RevisionStatus) {
        let Some(subject) = self.all.get_mut(&workload) else {
            return;
        };
        if let Some(known) = subject.revisions.get_mut(&generation) {
            known.status = Some(status);
        }
        subject.settle();
        self.drop_finished(workload);
    }

    /// The templates of a Revision were made, or cannot be.
    pub(super) fn learned(
        &mut self,
        workload: Uuid,
        generation: i64,
        templates: Option<Templates>,
    ) {
        let known = self
            .all
            .get_mut(&workload)
            .and_then(|subject| subject.revisions.get_mut(&generation));
        if let Some(known) = known {
            known.templates = templates;
            known.asked = true;
            known.gzip = None;
        }
    }
}

#[cfg(test)]
mod tests;
