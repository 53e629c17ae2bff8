//! Workloads by uid, each in the one namespace that it is in. Pure.
//!
//! A uid is unique, so Revisions that claim it in a second namespace are copies or forgeries. They must neither mix with
//! the history of the workload nor say who may read it. The API server stamps creation times and nobody can choose
//! them, so the namespace of the oldest Revision is that of the workload; the others are kept aside, and the oldest of
//! those takes its place when it is gone.

use super::index::Workload;
use crate::revision::{Gap, Revision, identity};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// All workloads.
#[derive(Debug, Default)]
pub(super) struct Seats {
    shown: HashMap<Uuid, Workload>,
    /// By uid and namespace.
    aside: BTreeMap<(Uuid, String), Workload>,
    /// Names of namespaces, each once: there are few, so what all workloads of one refer to stays at hand. They are
    /// forgotten with the next list of all Revisions.
    namespaces: HashSet<Arc<str>>,
}

impl Seats {
    pub(super) fn get(&self, uid: Uuid) -> Option<&Workload> {
        self.shown.get(&uid)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Workload> {
        self.shown.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Uuid, &mut Workload)> {
        self.shown.iter_mut()
    }

    /// Those aside too.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Workload> {
        self.shown.values_mut().chain(self.aside.values_mut())
    }

    /// The workload of a Revision in the Revision's own namespace.
    pub(super) fn seat(&mut self, revision: &Revision) -> &mut Workload {
        let (uid, namespace) = whose(revision);
        let new = || Workload::new(revision, named(&mut self.namespaces, namespace));
        match self.shown.get(&uid) {
            Some(shown) if shown.namespace() != namespace => self
                .aside
                .entry((uid, namespace.to_owned()))
                .or_insert_with(new),
            _ => self.shown.entry(uid).or_insert_with(new),
        }
    }

    /// The same, when it is there.
    pub(super) fn find(&mut self, revision: &Revision) -> Option<&mut Workload> {
        let (uid, namespace) = whose(revision);
        match self.shown.get_mut(&uid) {
            Some(shown) if shown.namespace() == namespace => Some(shown),
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

    fn aside_of(&self, uid: Uuid) -> impl Iterator<Item = (&(Uuid, String), &Workload)> {
        self.aside
            .range((uid, String::new())..)
            .take_while(move |((of, _), _)| *of == uid)
    }

    /// Forgets who has nothing any more, and shows the oldest.
    pub(super) fn settle(&mut self, uid: Uuid) {
        if self.aside.is_empty() {
            if self.shown.get(&uid).is_some_and(Workload::is_empty) {
                self.shown.remove(&uid);
            }
            return;
        }
        let others: Vec<_> = self.aside_of(uid).map(|(key, _)| key.clone()).collect();
        let others = others.iter().filter_map(|key| self.aside.remove(key));
        let mut all: Vec<_> = others.chain(self.shown.remove(&uid)).collect();
        all.retain(|workload| !workload.is_empty());
        all.sort_by(|a, b| a.age().cmp(&b.age()));
        let mut all = all.into_iter();
        if let Some(oldest) = all.next() {
            self.shown.insert(uid, oldest);
        }
        self.aside
            .extend(all.map(|workload| ((uid, workload.namespace().to_owned()), workload)));
    }
}

fn named(known: &mut HashSet<Arc<str>>, namespace: &str) -> Arc<str> {
    let found = known.get(namespace).cloned();
    found.unwrap_or_else(|| {
        let name: Arc<str> = namespace.into();
        known.insert(name.clone());
        name
    })
}

fn whose(revision: &Revision) -> (Uuid, &str) {
    (
        revision.spec.workload.uid,
        revision.metadata.namespace.as_deref().unwrap_or_default(),
    )
}

/// Name and id follow from the workload and the generation; whatever else somebody made is none of its Revisions.
pub(super) fn is_named_rightly(revision: &Revision) -> bool {
    let spec = &revision.spec;
    let (uid, of) = (spec.workload.uid, spec.workload.name.as_str());
    let (id, name) = match spec.gap {
        Some(Gap { from, to, .. }) => (
            identity::gap_id(uid, from, to),
            identity::gap_name(of, uid, from, to),
        ),
        None => (
            identity::id(uid, spec.generation),
            identity::name(of, uid, spec.generation),
        ),
    };
    spec.id == id && revision.metadata.name == Some(name)
}
