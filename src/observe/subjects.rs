//! Workloads, those of their Revisions whose status may still change, and their pods. In memory, no I/O.

mod attribution;
mod decide;
mod lists;
mod pods;
mod subject;

use super::attribute::Templates;
use super::live::Live;
use super::status::{self, Pools};
use crate::kinds::Kind;
use crate::revision::{Revision, RevisionStatus, Workload};
pub(super) use decide::Decision;
use lists::Lists;
use pods::TrackedPod;
pub(super) use pods::{OwnerLookup, OwnerLookups};
use serde_json::value::RawValue;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
pub(super) use subject::Unread;
use subject::{Subject, WorkloadName};
use uuid::Uuid;

/// All workloads that Revisions are known of.
pub(super) struct Subjects {
    kinds: Vec<Arc<Kind>>,
    all: HashMap<Uuid, Subject>,
    /// Workloads that are deleted, and of which everything is settled.
    over: HashMap<Uuid, Over>,
    /// Workloads of which no Revision is known yet, as they are now.
    early: HashMap<Uuid, Live>,
    lists: Lists,
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

/// A workload that was forgotten.
struct Over {
    /// Its newest generation.
    head: i64,
    /// The number of the list that named it last.
    list: u32,
}

/// A workload as it was written.
pub(super) struct Written {
    pub(super) group: String,
    pub(super) kind: String,
    /// Whether it is gone.
    pub(super) gone: bool,
    pub(super) raw: Box<RawValue>,
}

impl Subjects {
    /// None yet, of these kinds.
    pub(super) fn new(kinds: &[Arc<Kind>]) -> Self {
        Self {
            kinds: kinds.to_vec(),
            all: HashMap::new(),
            over: HashMap::new(),
            early: HashMap::new(),
            lists: Lists::new(kinds.len()),
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

    /// The number of workloads.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// All workloads, in ascending order.
    fn uids(&self) -> BTreeSet<Uuid> {
        self.all.keys().copied().collect()
    }

    /// This process leads from now on: every workload is to be looked at.
    pub(super) fn lead(&mut self, watches: &[Vec<Arc<Kind>>]) {
        self.leads = true;
        let numbers = |kinds: &Vec<Arc<Kind>>| {
            let numbers = kinds.iter().filter_map(|kind| self.number(kind));
            numbers.collect()
        };
        self.lists.watch_pods(watches.iter().map(numbers).collect());
        let all = self.uids();
        self.moved = all.iter().map(|uid| (*uid, true)).collect();
        self.dirty.extend(all);
    }

    /// This process does not lead any more. Pods and nodes are known to the leader only.
    pub(super) fn follow(&mut self) {
        self.leads = false;
        self.forget_pods();
    }

    fn number(&self, kind: &Arc<Kind>) -> Option<usize> {
        self.kinds.iter().position(|known| Arc::ptr_eq(known, kind))
    }

    fn number_of(&self, group: &str, kind: &str) -> Option<usize> {
        let is_it = |known: &Arc<Kind>| known.kind == kind && known.group == group;
        self.kinds.iter().position(is_it)
    }

    /// Whether everything is known that the statuses of a workload are made from.
    pub(super) fn is_known(&self, uid: Uuid) -> bool {
        let subject = self.all.get(&uid);
        subject
            .and_then(|subject| self.number(&subject.kind))
            .is_some_and(|kind| self.lists.is_complete(kind))
    }

    /// The workloads that changed since the last time. Those of which not everything is known yet stay.
    pub(super) fn take_dirty(&mut self) -> Vec<Uuid> {
        if self.lists.is_nothing_known() {
            return Vec::new();
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        let known = dirty.extract_if(.., |uid| self.is_known(*uid)).collect();
        self.dirty = dirty;
        known
    }

    /// Whether the API server serves a kind.
    pub(super) fn serves(&mut self, group: &str, kind: &str, is_served: bool) {
        if let Some(number) = self.number_of(group, kind) {
            self.lists.serves(number, is_served);
        }
    }

    /// A kind was listed, or is not served.
    pub(super) fn tried(&mut self, group: &str, kind: &str) {
        if let Some(number) = self.number_of(group, kind) {
            self.lists.tried(number);
        }
    }

    /// All workloads of a kind that a list has shown are known.
    pub(super) fn joined(&mut self, group: &str, kind: &str) {
        if let Some(number) = self.number_of(group, kind) {
            self.lists.joined(number);
        }
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
        if self.is_over(uid, revision) {
            return;
        }
        self.add(uid, &kind, revision);
        let Some(subject) = self.all.get_mut(&uid) else {
            return;
        };
        if subject.put(revision, self.list, self.leads) {
            self.dirty.insert(uid);
        }
        self.drop_finished(uid);
    }

    /// Whether it is of a workload that is over, and says nothing new. A Revision that is stored late does.
    fn is_over(&mut self, uid: Uuid, revision: &Revision) -> bool {
        let list = self.list;
        let status = revision.status.as_ref();
        let is_settled = status.is_some_and(|status| status::is_settled(status, true));
        let Some(over) = self.over.get_mut(&uid) else {
            return false;
        };
        over.list = list;
        is_settled && revision.spec.generation <= over.head
    }

    fn kind(&self, workload: &Workload) -> Option<Arc<Kind>> {
        self.kinds
            .iter()
            .find(|kind| kind.kind == workload.kind && kind.group == workload.group())
            .cloned()
    }

    fn add(&mut self, uid: Uuid, kind: &Arc<Kind>, revision: &Revision) {
        let namespace = revision.metadata.namespace.clone().unwrap_or_default();
        let name = revision.spec.workload.name.clone();
        let mut subject = Subject::new(kind.clone(), namespace.clone(), name);
        let known = self.all.get(&uid).map(Subject::workload_name);
        if known == Some(subject.workload_name()) {
            return;
        }
        subject.live = self.early.remove(&uid);
        if let Some(over) = self.over.remove(&uid) {
            subject.deleted = true;
            subject.head = Some(over.head).filter(|head| *head > revision.spec.generation);
        }
        if let Some(known) = self.all.get_mut(&uid) {
            // What came first was not of this workload, as has turned out since.
            subject.live = known.live.take();
            subject.pods = std::mem::take(&mut known.pods);
            self.forget(uid);
        }
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
            // Without its newest one nothing tells that the workload is over.
            let is_head = |over: &Over| over.head == generation;
            if self.over.get(&workload).is_some_and(is_head) {
                self.over.remove(&workload);
            }
            return;
        };
        subject.revisions.remove(&generation);
        self.dirty.insert(workload);
        self.drop_finished(workload);
    }

    /// A list of Revisions begins.
    pub(super) fn listing(&mut self) {
        self.list = self.list.wrapping_add(1);
        self.lists.has_revisions = false;
    }

    /// It is complete: what it did not name is gone.
    pub(super) fn listed(&mut self) {
        let list = self.list;
        self.lists.has_revisions = true;
        self.over.retain(|_, over| over.list == list);
        for subject in self.all.values_mut() {
            subject.revisions.retain(|_, known| known.list == list);
            for known in subject.revisions.values_mut() {
                known.is_unseen = false;
            }
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
        let is_open = subject
            .revisions
            .values()
            .any(|known| known.status.is_some() || known.is_unseen);
        let is_live = !subject.deleted && !subject.revisions.is_empty();
        if is_open || is_live || !subject.pods.is_empty() {
            return;
        }
        if let Some(newest) = subject.newest() {
            let over = Over {
                head: subject.head.unwrap_or(newest),
                list: self.list,
            };
            self.over.insert(uid, over);
        }
        self.forget(uid);
    }

    fn forget(&mut self, uid: Uuid) {
        let Some(subject) = self.all.get(&uid) else {
            return;
        };
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
    pub(super) fn live(&mut self, uid: Uuid, written: &Written) {
        let Some(subject) = self.all.get_mut(&uid) else {
            return self.early(uid, written);
        };
        let live = Live::read(&subject.kind, written.raw.get());
        if subject.live != live {
            subject.live = live;
            self.dirty.insert(uid);
        }
    }

    /// A workload was written of which no Revision is known yet.
    fn early(&mut self, uid: Uuid, written: &Written) {
        self.early.remove(&uid);
        let kind = self
            .number_of(&written.group, &written.kind)
            .filter(|_| !written.gone && !self.over.contains_key(&uid));
        let live = kind.and_then(|kind| Live::read(&self.kinds[kind], written.raw.get()));
        if let Some(live) = live {
            self.early.insert(uid, live);
        }
    }

    /// A status was written.
    pub(super) fn written(&mut self, workload: Uuid, generation: i64, status: RevisionStatus) {
        let Some(subject) = self.all.get_mut(&workload) else {
            return;
        };
        if let Some(known) = subject.revisions.get_mut(&generation) {
            known.set_status(status);
            known.is_unseen = true;
        }
        subject.settle();
        self.drop_finished(workload);
    }

    /// The templates of a Revision were made, or cannot be. `stored` is its status, where that was read with it.
    pub(super) fn learned(
        &mut self,
        workload: Uuid,
        generation: i64,
        templates: Option<Templates>,
        stored: Option<&RevisionStatus>,
    ) {
        let known = self
            .all
            .get_mut(&workload)
            .and_then(|subject| subject.revisions.get_mut(&generation));
        let Some(known) = known else { return };
        if !known.asked {
            known.templates = templates;
            known.asked = true;
        }
        known.gzip = None;
        if let Some(stored) = stored.filter(|_| known.status.is_none()) {
            known.set_status(status::own(stored));
        }
    }

    /// A Revision that was to be read is not there any more.
    pub(super) fn missing(&mut self, workload: Uuid, generation: i64) {
        if let Some(subject) = self.all.get_mut(&workload) {
            subject.revisions.remove(&generation);
        }
    }
}

#[cfg(test)]
mod restart_tests;
#[cfg(test)]
mod tests;
