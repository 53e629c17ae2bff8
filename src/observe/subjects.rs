//! Workloads, those of their Revisions whose status may still change, and their pods. In memory, no I/O.

mod decide;
mod pods;

use super::attribute::Templates;
use super::live::Live;
use super::pod::{Pod, ViewHashes};
use super::status::{Pools, is_final, own};
use crate::kinds::Kind;
use crate::revision::{Revision, RevisionStatus, Workload};
use crate::snapshot;
use chrono::{DateTime, Utc};
pub(super) use decide::{Decision, Judgement};
pub(super) use pods::OwnerLookup;
use pods::TrackedPod;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// How many Revisions that are over are remembered of a workload, to know again what a rollback brings back.
const REMEMBERED: usize = 16;

/// A workload.
pub(super) struct Subject {
    pub(super) kind: Arc<Kind>,
    pub(super) namespace: String,
    name: String,
    /// It as it is now.
    pub(super) live: Option<Live>,
    /// Whether its deletion is recorded.
    deleted: bool,
    /// Boxed, because a map of one entry makes room for eleven.
    revisions: BTreeMap<i64, Box<TrackedRevision>>,
    pods: HashMap<Uuid, Pod>,
    /// When pods of a component and key were first made.
    born: HashMap<(String, String), DateTime<Utc>>,
}

/// The name by which labels of pods know a workload.
#[derive(PartialEq, Eq, Hash)]
struct WorkloadName {
    /// As in `Deployment.apps`.
    kind: String,
    namespace: String,
    name: String,
}

/// What is known of a Revision.
pub(super) struct TrackedRevision {
    name: String,
    changed: DateTime<Utc>,
    hashes: ViewHashes,
    images_unknown: bool,
    templates: Option<Templates>,
    /// Whether they were asked for; they may not be had.
    asked: bool,
    /// Its compressed snapshot, until the templates are made from it.
    gzip: Option<Arc<[u8]>>,
    /// What is stored of the fields that observing owns; none when that is final.
    status: Option<RevisionStatus>,
    /// Whether it had pods when it was last looked at.
    has_pods: bool,
    /// The number of the list that named it last.
    list: u32,
}

/// A Revision whose templates are wanted.
pub(super) struct Unread {
    pub(super) generation: i64,
    pub(super) name: String,
    pub(super) gzip: Option<Arc<[u8]>>,
}

/// All of them.
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
    /// Whether snapshots are of use here: only who leads makes templates.
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
        let subject = Subject {
            kind: kind.clone(),
            namespace: namespace.clone(),
            name: revision.spec.workload.name.clone(),
            live: None,
            deleted: false,
            revisions: BTreeMap::new(),
            pods: HashMap::new(),
            born: HashMap::new(),
        };
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

impl Subject {
    fn workload_name(&self) -> WorkloadName {
        WorkloadName {
            kind: self.kind.group_kind().to_string(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// Takes a Revision that came or changed, as it was named by the list of that number. Whether that changed anything
    /// that a status is made from.
    fn put(&mut self, revision: &Revision, list: u32, leads: bool) -> bool {
        let generation = revision.spec.generation;
        let stored = revision.status.clone().unwrap_or_default();
        let deleted = stored.workload_deletion_time.is_some();
        let status = own(&stored);
        let known = self.revisions.remove(&generation);
        let before = known.as_ref().and_then(|known| known.status.as_ref());
        let same = before == Some(&status) && self.deleted >= deleted;
        let mut known = known.unwrap_or_else(|| Box::new(TrackedRevision::new(revision, leads)));
        known.list = list;
        known.status = Some(status);
        self.revisions.insert(generation, known);
        self.deleted |= deleted;
        self.settle();
        !same
    }

    /// Whether a pod can be of this workload and not of an earlier one of that name.
    fn may_own(&self, pod: &Pod) -> bool {
        self.revisions
            .get(&1)
            .is_none_or(|first| first.changed <= pod.created)
    }

    /// Closes what is final, and forgets the oldest of that.
    fn settle(&mut self) {
        let newest = self.revisions.keys().next_back().copied();
        for (generation, known) in &mut self.revisions {
            let over = self.deleted || Some(*generation) != newest;
            if Some(*generation) != newest && !known.has_pods {
                // Should it get pods, it is read again.
                known.gzip = None;
            }
            if over
                && known
                    .status
                    .as_ref()
                    .is_some_and(|status| is_final(status, self.deleted))
            {
                known.status = None;
                known.gzip = None;
                known.has_pods = false;
            }
        }
        let closed: Vec<_> = self
            .revisions
            .iter()
            .filter(|(_, known)| known.status.is_none())
            .map(|(generation, _)| *generation)
            .collect();
        let many = closed.len().saturating_sub(REMEMBERED);
        closed[..many].iter().for_each(|generation| {
            self.revisions.remove(generation);
        });
    }

    /// The Revisions whose templates are of use and not known: the newest, and those that have pods.
    pub(super) fn unread(&self) -> Vec<Unread> {
        let newest = self.revisions.keys().next_back().copied();
        self.revisions
            .iter()
            .filter(|(generation, known)| Some(**generation) == newest || known.has_pods)
            .filter_map(|(generation, known)| known.unread(*generation))
            .collect()
    }
}

impl TrackedRevision {
    fn new(revision: &Revision, leads: bool) -> Self {
        let spec = &revision.spec;
        let view = spec.view.as_ref();
        let stored = spec.snapshot.as_ref().filter(|_| leads);
        Self {
            name: revision.metadata.name.clone().unwrap_or_default(),
            changed: spec.change_time,
            hashes: view.map(ViewHashes::of).unwrap_or_default(),
            images_unknown: view.is_some_and(|view| {
                view.unresolved
                    .iter()
                    .any(|what| what.starts_with("images"))
            }),
            templates: None,
            asked: false,
            gzip: stored.and_then(|snapshot| snapshot::compressed(snapshot).ok().flatten()),
            status: None,
            has_pods: false,
            list: 0,
        }
    }

    /// The request for its templates, unless it was made before or its status is final.
    fn unread(&self, generation: i64) -> Option<Unread> {
        (!self.asked && self.status.is_some()).then(|| Unread {
            generation,
            name: self.name.clone(),
            gzip: self.gzip.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
