//! One workload, and those of its Revisions whose status may still change. Pure.

use super::super::attribute::Templates;
use super::super::live::Live;
use super::super::pod::{Pod, ViewHashes};
use super::super::status::{is_final, own};
use crate::kinds::Kind;
use crate::revision::{Revision, RevisionStatus};
use crate::snapshot;
use chrono::{DateTime, SubsecRound, Utc};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// How many Revisions that are over are remembered of a workload, to know again what a rollback brings back.
pub(super) const REMEMBERED: usize = 16;

/// A workload.
pub(in super::super) struct Subject {
    pub(in super::super) kind: Arc<Kind>,
    pub(in super::super) namespace: String,
    pub(super) name: String,
    /// It as it is now.
    pub(in super::super) live: Option<Live>,
    /// Whether its deletion is recorded.
    pub(super) deleted: bool,
    /// Boxed, because a map of one entry makes room for eleven.
    pub(super) revisions: BTreeMap<i64, Box<TrackedRevision>>,
    pub(super) pods: HashMap<Uuid, Pod>,
    /// When pods of a component and key were first made.
    pub(super) born: HashMap<(String, String), DateTime<Utc>>,
}

/// The name by which labels of pods know a workload.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct WorkloadName {
    /// As in `Deployment.apps`.
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A Revision as it is kept in memory.
pub(super) struct TrackedRevision {
    pub(super) name: String,
    pub(super) changed: DateTime<Utc>,
    pub(super) hashes: ViewHashes,
    pub(super) images_unknown: bool,
    pub(super) templates: Option<Templates>,
    /// Whether they were asked for; they may not be had.
    pub(super) asked: bool,
    /// Its compressed snapshot, until the templates are made from it.
    pub(super) gzip: Option<Arc<[u8]>>,
    /// The stored fields that observing owns; none when they are final.
    pub(super) status: Option<RevisionStatus>,
    /// Whether it had pods when it was last looked at.
    pub(super) has_pods: bool,
    /// The number of the list that named it last.
    pub(super) list: u32,
}

/// A Revision whose templates are wanted.
pub(in super::super) struct Unread {
    pub(in super::super) generation: i64,
    pub(in super::super) name: String,
    pub(in super::super) gzip: Option<Arc<[u8]>>,
}

impl Subject {
    pub(super) fn new(kind: Arc<Kind>, namespace: String, name: String) -> Self {
        Self {
            kind,
            namespace,
            name,
            live: None,
            deleted: false,
            revisions: BTreeMap::new(),
            pods: HashMap::new(),
            born: HashMap::new(),
        }
    }

    pub(super) fn workload_name(&self) -> WorkloadName {
        WorkloadName {
            kind: self.kind.group_kind().to_string(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// Takes a Revision that came or changed, as it was named by the list of that number. Whether that changed anything
    /// that a status is made from.
    pub(super) fn put(&mut self, revision: &Revision, list: u32, leads: bool) -> bool {
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
    pub(super) fn may_own(&self, pod: &Pod) -> bool {
        self.revisions
            .get(&1)
            .is_none_or(|first| first.changed <= pod.created)
    }

    /// Closes what is final, and forgets the oldest of that.
    pub(super) fn settle(&mut self) {
        let newest = self.revisions.keys().next_back().copied();
        for (generation, known) in &mut self.revisions {
            let is_superseded = Some(*generation) != newest;
            if is_superseded && !known.has_pods {
                // Should it get pods, it is read again.
                known.gzip = None;
            }
            if self.deleted || is_superseded {
                known.close_if_final(self.deleted);
            }
        }
        let closed: Vec<_> = self
            .revisions
            .iter()
            .filter(|(_, known)| known.status.is_none())
            .map(|(generation, _)| *generation)
            .collect();
        let many = closed.len().saturating_sub(REMEMBERED);
        for generation in &closed[..many] {
            self.revisions.remove(generation);
        }
    }

    /// The Revisions whose templates are of use and not known: the newest, and those that have pods.
    pub(in super::super) fn unread(&self) -> Vec<Unread> {
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
            // The time of Revisor's own clock has fractions, and is compared with the times of pods, which have none.
            changed: spec.change_time.trunc_subsecs(0),
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

    fn close_if_final(&mut self, deleted: bool) {
        let status = self.status.as_ref();
        if status.is_some_and(|status| is_final(status, deleted)) {
            self.status = None;
            self.gzip = None;
            self.has_pods = false;
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
