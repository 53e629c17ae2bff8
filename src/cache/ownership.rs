//! Workloads by uid, each in the one namespace that owns it. Pure.
//!
//! A uid is unique, so Revisions that claim it in a second namespace are copies or forgeries. They must neither mix with
//! the history of the workload nor decide who may read it. The API server stamps creation times, which no client can
//! choose, so the namespace of the oldest Revision owns the workload. The others are kept aside, and the oldest of
//! those takes over when the owner has no Revisions any more. Where the workload is live, its own namespace owns it
//! ([`super::claims`]), and the others are taken out.

use super::workload::CachedWorkload;
use crate::revision::{Revision, identity};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// All workloads.
#[derive(Debug, Default)]
pub(super) struct OwnedWorkloads {
    shown: HashMap<Uuid, CachedWorkload>,
    /// By uid and namespace.
    aside: BTreeMap<(Uuid, String), CachedWorkload>,
    /// Names of namespaces, each once: there are few, so the memory that all workloads of one refer to stays in the
    /// processor's cache. They are forgotten with the next list of all Revisions.
    namespaces: HashSet<Arc<str>>,
}

impl OwnedWorkloads {
    pub(super) fn get(&self, uid: Uuid) -> Option<&CachedWorkload> {
        self.shown.get(&uid)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &CachedWorkload> {
        self.shown.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Uuid, &mut CachedWorkload)> {
        self.shown.iter_mut()
    }

    /// The uids of all, each once.
    pub(super) fn uids(&self) -> impl Iterator<Item = Uuid> {
        self.shown.keys().copied()
    }

    /// Those that are shown, and those aside.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut CachedWorkload> {
        self.shown.values_mut().chain(self.aside.values_mut())
    }

    /// The workload of a Revision in the Revision's own namespace; a new one when there is none yet.
    pub(super) fn get_or_create(&mut self, revision: &Revision) -> &mut CachedWorkload {
        let (uid, namespace) = claim(revision);
        let create = || CachedWorkload::new(revision, intern(&mut self.namespaces, namespace));
        match self.shown.get(&uid) {
            Some(shown) if **shown.namespace() != *namespace => self
                .aside
                .entry((uid, namespace.to_owned()))
                .or_insert_with(create),
            _ => self.shown.entry(uid).or_insert_with(create),
        }
    }

    /// The workload of a Revision in the Revision's own namespace, when it is known.
    pub(super) fn get_mut(&mut self, revision: &Revision) -> Option<&mut CachedWorkload> {
        let (uid, namespace) = claim(revision);
        match self.shown.get_mut(&uid) {
            Some(shown) if **shown.namespace() == *namespace => Some(shown),
            _ => self.aside.get_mut(&(uid, namespace.to_owned())),
        }
    }

    /// Whether a generation is there, in whatever namespace.
    pub(super) fn has(&self, uid: Uuid, generation: i64) -> bool {
        let aside = self.aside_of(uid).map(|(_, workload)| workload);
        self.shown
            .get(&uid)
            .into_iter()
            .chain(aside)
            .any(|workload| workload.has(generation))
    }

    fn aside_of(&self, uid: Uuid) -> impl Iterator<Item = (&(Uuid, String), &CachedWorkload)> {
        self.aside
            .range((uid, String::new())..)
            .take_while(move |((of, _), _)| *of == uid)
    }

    /// Takes out what other namespaces claim of a workload that lives in this one.
    pub(super) fn evict(&mut self, uid: Uuid, owner: &str) -> Vec<CachedWorkload> {
        let keys: Vec<_> = self.aside_of(uid).map(|(key, _)| key.clone()).collect();
        let mut claimants: Vec<_> = keys
            .iter()
            .filter_map(|key| self.aside.remove(key))
            .chain(self.shown.remove(&uid))
            .collect();
        let own = claimants.extract_if(.., |workload| **workload.namespace() == *owner);
        if let Some(own) = own.last() {
            self.shown.insert(uid, own);
        }
        claimants
    }

    /// The workload that is shown.
    pub(super) fn shown_mut(&mut self, uid: Uuid) -> Option<&mut CachedWorkload> {
        self.shown.get_mut(&uid)
    }

    /// Forgets those of this uid that have no Revisions any more, and shows the oldest of the others.
    pub(super) fn settle(&mut self, uid: Uuid) {
        if self.aside.is_empty() {
            if self.shown.get(&uid).is_some_and(CachedWorkload::is_empty) {
                self.shown.remove(&uid);
            }
            return;
        }
        let keys: Vec<_> = self.aside_of(uid).map(|(key, _)| key.clone()).collect();
        let mut claimants: Vec<_> = keys
            .iter()
            .filter_map(|key| self.aside.remove(key))
            .chain(self.shown.remove(&uid))
            .filter(|workload| !workload.is_empty())
            .collect();
        claimants.sort_by(|a, b| a.age().cmp(&b.age()));
        let mut oldest_first = claimants.into_iter();
        if let Some(owner) = oldest_first.next() {
            self.shown.insert(uid, owner);
        }
        self.aside.extend(
            oldest_first.map(|workload| ((uid, workload.namespace().to_string()), workload)),
        );
    }
}

/// The one copy of a namespace's name.
fn intern(names: &mut HashSet<Arc<str>>, namespace: &str) -> Arc<str> {
    names.get(namespace).cloned().unwrap_or_else(|| {
        let name: Arc<str> = namespace.into();
        names.insert(name.clone());
        name
    })
}

/// The uid that a Revision claims, and the namespace that it claims it in.
fn claim(revision: &Revision) -> (Uuid, &str) {
    (
        revision.spec.workload.uid,
        revision.metadata.namespace.as_deref().unwrap_or_default(),
    )
}

/// Whether a Revision that is named after its workload has the long form of its name.
pub(super) fn has_long_name(revision: &Revision) -> bool {
    let name = revision.metadata.name.as_deref().unwrap_or_default();
    identity::lengthened(name, revision.spec.workload.uid).is_none()
}
