//! Workloads, those of their Revisions whose status may still change, and their pods. In memory, no I/O.

mod decide;
mod pods;

use super::attribute::Templates;
use super::live::Live;
use super::pod::{Pod, ViewHashes};
use super::status::{Pools, is_final, own};
use crate::kinds::Kind;
use crate::revision::{Revision, RevisionStatus};
use crate::snapshot;
use chrono::{DateTime, Utc};
pub(super) use decide::{Decision, Judgement};
pub(super) use pods::OwnerLookup;
use pods::TrackedPod;
use std::collections::{BTreeMap, HashMap, HashSet};
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
    /// By kind, namespace and name.
    names: HashMap<(String, String, String), Uuid>,
    namespaces: HashMap<String, usize>,
    pods: HashMap<Uuid, TrackedPod>,
    /// Pods whose owners have to be asked.
    lookups: Vec<Uuid>,
    pub(super) pools: Pools,
    list: u32,
    /// Whether snapshots are of use here: only who leads makes templates.
    pub(super) leads: bool,
    /// What changed since it was last asked.
    pub(super) dirty: HashSet<Uuid>,
    /// Workloads that came, or went (false), since it was last asked.
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
            dirty: HashSet::new(),
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

    pub(super) fn uids(&self) -> Vec<Uuid> {
        self.all.keys().copied().collect()
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
        let spec = &revision.spec;
        let (group, of) = (spec.workload.group(), &spec.workload.kind);
        let kind = self
            .kinds
            .iter()
            .find(|kind| kind.kind == *of && kind.group == group)
            .cloned();
        // Gaps have no pods, and kinds that are not recorded any more nobody looks after.
        let Some(kind) = kind.filter(|_| spec.gap.is_none()) else {
            return;
        };
        let kind = &kind;
        let (spec, stored) = (&revision.spec, revision.status.clone().unwrap_or_default());
        let uid = spec.workload.uid;
        self.add(uid, kind, revision);
        let (leads, list) = (self.leads, self.list);
        let Some(subject) = self.all.get_mut(&uid) else {
            return;
        };
        let deleted = stored.workload_deletion_time.is_some();
        let status = own(&stored);
        let known = subject.revisions.remove(&spec.generation);
        let same = known
            .as_ref()
            .is_some_and(|known| known.status.as_ref() == Some(&status))
            && subject.deleted >= deleted;
        subject.deleted |= deleted;
        let mut known = known.unwrap_or_else(|| Box::new(TrackedRevision::new(revision, leads)));
        known.list = list;
        known.status = Some(status);
        subject.revisions.insert(spec.generation, known);
        subject.settle();
        if !same {
            self.dirty.insert(uid);
        }
    }

    fn add(&mut self, uid: Uuid, kind: &Arc<Kind>, revision: &Revision) {
        if self.all.contains_key(&uid) {
            return;
        }
        let namespace = revision.metadata.namespace.clone().unwrap_or_default();
        let name = revision.spec.workload.name.clone();
        let subject = Subject {
            kind: kind.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
            live: None,
            deleted: false,
            revisions: BTreeMap::new(),
            pods: HashMap::new(),
            born: HashMap::new(),
        };
        self.all.insert(uid, subject);
        self.names.insert(
            (kind.group_kind().to_string(), namespace.clone(), name),
            uid,
        );
        *self.namespaces.entry(namespace.clone()).or_default() += 1;
        self.tell(uid, true);
        self.look_again(&namespace);
    }

    /// Nobody asks a replica that follows.
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
        let key = (
            subject.kind.group_kind().to_string(),
            subject.namespace.clone(),
            subject.name.clone(),
        );
        if self.names.get(&key) == Some(&uid) {
            self.names.remove(&key);
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
            (known.templates, known.asked, known.gzip) = (templates, true, None);
        }
    }
}

impl Subject {
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
                (known.status, known.gzip, known.has_pods) = (None, None, false);
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
        let wanted = |generation: i64, known: &TrackedRevision| {
            !known.asked && known.status.is_some() && (Some(generation) == newest || known.has_pods)
        };
        let all = self
            .revisions
            .iter()
            .map(|(generation, known)| (*generation, known.as_ref()));
        let unread = |(generation, known): (i64, &TrackedRevision)| Unread {
            generation,
            name: known.name.clone(),
            gzip: known.gzip.clone(),
        };
        all.filter(|(generation, known)| wanted(*generation, known))
            .map(unread)
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
}

#[cfg(test)]
mod tests;
