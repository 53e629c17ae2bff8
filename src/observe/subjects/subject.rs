//! One workload, and those of its Revisions whose status may still change. Pure.

use super::super::attribute::Templates;
use super::super::live::Live;
use super::super::pod::{Pod, ViewHashes};
use super::super::status::{counts_pods, is_settled, own};
use crate::kinds::Kind;
use crate::revision::{Revision, RevisionStatus};
use crate::snapshot;
use chrono::{DateTime, SubsecRound, Utc};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// How many settled Revisions that never had pods are remembered of a workload.
pub(super) const REMEMBERED: usize = 16;
/// How many settled Revisions that had pods are remembered of a workload: should those come back, they are known again.
const REMEMBERED_BY_KEY: usize = 256;

/// A workload.
pub(in super::super) struct Subject {
    pub(in super::super) kind: Arc<Kind>,
    pub(in super::super) namespace: String,
    pub(super) name: String,
    /// It as it is now.
    pub(in super::super) live: Option<Live>,
    /// Whether its deletion is recorded.
    pub(super) deleted: bool,
    /// Up to which generation it is known to have changed no further.
    pub(super) through: i64,
    /// A generation that is newer than all that are tracked, of a workload that was forgotten when it was over.
    pub(super) head: Option<i64>,
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is set by something else"
)]
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
    /// The stored fields that observing owns; none when they are settled. They are read again when pods come.
    pub(super) status: Option<RevisionStatus>,
    /// The keys of the pods that it had.
    pub(super) keys: Box<[String]>,
    /// Whether its status was written and the watch of Revisions has not shown that yet.
    pub(super) is_unseen: bool,
    /// Whether it had pods when it was last looked at.
    pub(super) has_pods: bool,
    /// The number of the list that named it last.
    pub(super) list: u32,
}

/// A Revision that has to be read: its templates are wanted, or its status.
pub(in super::super) struct Unread {
    pub(in super::super) generation: i64,
    pub(in super::super) name: String,
    /// Its content, where that is known.
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
            through: 0,
            head: None,
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
        let through = stored.observed_through.map_or(0, |it| it.generation);
        let mut same = self.deleted >= deleted && self.through >= through;
        let known = self.revisions.remove(&generation);
        let mut known = if let Some(mut known) = known {
            let is_shown = known.has_status(&status, self.deleted || deleted);
            known.is_unseen &= !is_shown;
            same &= is_shown;
            known
        } else {
            same = false;
            Box::new(TrackedRevision::new(revision, leads))
        };
        known.list = list;
        known.set_status(status);
        self.revisions.insert(generation, known);
        self.deleted |= deleted;
        self.through = self.through.max(through);
        self.settle();
        !same
    }

    /// Whether a pod can be of this workload and not of an earlier one of that name.
    pub(super) fn may_own(&self, pod: &Pod) -> bool {
        self.revisions
            .get(&1)
            .is_none_or(|first| first.changed <= pod.created)
    }

    /// The newest generation that is tracked.
    pub(super) fn newest(&self) -> Option<i64> {
        self.revisions.keys().next_back().copied()
    }

    /// Closes what is settled, and forgets the oldest of that. The first Revision stays: nothing is older than its pods.
    pub(super) fn settle(&mut self) {
        let newest = self.newest();
        let predecessor = self.revisions.keys().nth_back(1).copied();
        for (generation, known) in &mut self.revisions {
            let is_superseded = Some(*generation) != newest || self.head.is_some();
            let is_undecided = Some(*generation) == predecessor && known.is_undecided();
            if is_superseded && !known.has_pods && !is_undecided {
                // Should it get pods, it is read again.
                known.gzip = None;
            }
            if self.deleted || is_superseded {
                known.close_if_settled(self.deleted);
            }
        }
        self.forget_oldest(REMEMBERED, |known| known.keys.is_empty());
        self.forget_oldest(REMEMBERED_BY_KEY, |known| !known.keys.is_empty());
    }

    /// Forgets the oldest closed Revisions of a sort, beyond so many.
    fn forget_oldest(&mut self, remembered: usize, of_sort: impl Fn(&TrackedRevision) -> bool) {
        let closed: Vec<_> = self
            .revisions
            .iter()
            .skip(1)
            .filter(|(_, known)| known.is_closed() && of_sort(known))
            .map(|(generation, _)| *generation)
            .collect();
        let many = closed.len().saturating_sub(remembered);
        for generation in &closed[..many] {
            self.revisions.remove(generation);
        }
    }

    /// The Revisions that have to be read before statuses are decided: the templates of the newest, of those that have
    /// pods or had some, and of the one before the newest as long as that may complete it; and the statuses of those
    /// that are settled and have pods again.
    pub(super) fn unread(&self, with_pods: &BTreeSet<i64>) -> Vec<Unread> {
        let newest = self.newest();
        let predecessor = self.revisions.keys().nth_back(1).copied();
        self.revisions
            .iter()
            .filter(|(generation, known)| {
                let generation = **generation;
                let is_of_use = Some(generation) == newest
                    || with_pods.contains(&generation)
                    || known.status.as_ref().is_some_and(counts_pods)
                    || (Some(generation) == predecessor && known.is_undecided());
                let is_closed = known.status.is_none() && with_pods.contains(&generation);
                is_closed || is_of_use && !known.asked && known.status.is_some()
            })
            .map(|(generation, known)| known.unread(*generation))
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
            keys: Box::default(),
            is_unseen: false,
            has_pods: false,
            list: 0,
        }
    }

    pub(super) fn set_status(&mut self, status: RevisionStatus) {
        if *self.keys != *status.pod_keys {
            self.keys = status.pod_keys.clone().into();
        }
        self.status = Some(status);
    }

    /// Whether this is the status that it is known to have.
    fn has_status(&self, status: &RevisionStatus, deleted: bool) -> bool {
        match &self.status {
            Some(known) => known == status,
            None => is_settled(status, deleted) && *self.keys == *status.pod_keys,
        }
    }

    /// Whether its status is settled and not kept.
    fn is_closed(&self) -> bool {
        self.status.is_none()
    }

    /// Whether it is still open how it ends.
    fn is_undecided(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|status| status.outcome.is_none())
    }

    fn close_if_settled(&mut self, deleted: bool) {
        let status = self.status.as_ref();
        if !self.has_pods && status.is_some_and(|status| is_settled(status, deleted)) {
            self.status = None;
            self.gzip = None;
        }
    }

    fn unread(&self, generation: i64) -> Unread {
        Unread {
            generation,
            name: self.name.clone(),
            gzip: self.gzip.clone().filter(|_| self.status.is_some()),
        }
    }
}
