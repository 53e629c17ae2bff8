//! Revisions by workload, newest first. Pure.

use super::render::{Identity, render};
use crate::record::snapshot;
use crate::revision::identity::ContentDigest;
use crate::revision::{Revision, RevisionType};
use crate::workload::Head;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;
use uuid::Uuid;

/// All Revisions.
#[derive(Debug, Default)]
pub(super) struct Index {
    workloads: HashMap<Uuid, Workload>,
    len: usize,
    /// Kinds whose recorder keeps the snapshots.
    handed_over: HashSet<GroupKind>,
}

/// Group and kind.
type GroupKind = (String, String);

#[derive(Debug, Default)]
struct Workload {
    kind: GroupKind,
    /// By generation; a Gap by the last one it stands for.
    rows: BTreeMap<i64, Row>,
    head: Head,
}

#[derive(Debug)]
struct Row {
    id: Uuid,
    /// None for a Gap, which is in no list.
    json: Option<Bytes>,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// An empty one that takes this one's place.
    pub(super) fn successor(&self) -> Self {
        Self { handed_over: self.handed_over.clone(), ..Self::default() }
    }

    /// Adds or replaces a Revision; its snapshot is kept for the next comparison until its kind's recorder does that.
    pub(super) fn put(&mut self, revision: &Revision, identity: &Identity) {
        let spec = &revision.spec;
        let workload = self.workloads.entry(spec.workload.uid).or_default();
        if workload.kind.1.is_empty() {
            workload.kind = group_kind(revision);
        }
        let keep_snapshot = !self.handed_over.contains(&workload.kind);
        let generation = last_generation(revision);
        let json = (spec.r#type != RevisionType::Gap).then(|| render(revision, identity));
        if workload.rows.insert(generation, Row { id: spec.id, json }).is_none() {
            self.len += 1;
        }
        if generation >= workload.head.generation {
            workload.head = head(revision, generation, keep_snapshot);
        }
    }

    pub(super) fn remove(&mut self, revision: &Revision) {
        let uid = revision.spec.workload.uid;
        let Some(workload) = self.workloads.get_mut(&uid) else { return };
        let generation = last_generation(revision);
        if workload.rows.get(&generation).is_some_and(|row| row.id == revision.spec.id) {
            workload.rows.remove(&generation);
            self.len -= 1;
        }
        if workload.rows.is_empty() {
            self.workloads.remove(&uid);
        }
    }

    /// The heads of all workloads of a kind that are there, with their snapshots, which are not kept from then on.
    pub(super) fn hand_over(&mut self, group: &str, kind: &str) -> Vec<(Uuid, Head)> {
        let key = (group.to_owned(), kind.to_owned());
        let of_kind = self.workloads.iter_mut().filter(|(_, workload)| workload.kind == key);
        let heads = of_kind.map(|(uid, workload)| {
            let without = Head { snapshot: None, ..workload.head.clone() };
            (*uid, std::mem::replace(&mut workload.head, without))
        });
        let heads = heads.filter(|(_, head)| !head.deleted).collect();
        self.handed_over.insert(key);
        heads
    }

    /// Which of these generations are there, Gaps aside.
    pub(super) fn recorded(&self, uid: Uuid, generations: &RangeInclusive<i64>) -> BTreeSet<i64> {
        let rows = self.workloads.get(&uid).map(|workload| workload.rows.range(generations.clone()));
        let recorded = rows.into_iter().flatten().filter(|(_, row)| row.json.is_some());
        recorded.map(|(generation, _)| *generation).collect()
    }

    pub(super) fn list(&self, uid: Uuid) -> Option<Vec<Bytes>> {
        let workload = self.workloads.get(&uid)?;
        Some(workload.rows.values().rev().filter_map(|row| row.json.clone()).collect())
    }
}

fn group_kind(revision: &Revision) -> GroupKind {
    let workload = &revision.spec.workload;
    let group = workload.api_version.split_once('/').map_or("", |(group, _)| group);
    (group.to_owned(), workload.kind.clone())
}

fn last_generation(revision: &Revision) -> i64 {
    revision.spec.gap.as_ref().map_or(revision.spec.generation, |gap| gap.to)
}

fn head(revision: &Revision, generation: i64, keep_snapshot: bool) -> Head {
    let spec = &revision.spec;
    let stored = spec.snapshot.as_ref().filter(|_| keep_snapshot);
    let status = revision.status.as_ref();
    Head {
        namespace: revision.metadata.namespace.clone().unwrap_or_default(),
        name: spec.workload.name.clone(),
        revision: revision.metadata.name.clone().unwrap_or_default(),
        generation,
        // Written by Revisor; anything else would be walked back to the beginning, which is safe.
        resource_version: spec.resource_version.parse().unwrap_or_default(),
        api_version: spec.workload.api_version.clone(),
        deleted: status.is_some_and(|status| status.workload_deletion_time.is_some()),
        only_gap: spec.gap.as_ref().is_some_and(|gap| gap.from == 1),
        observed_through: status.and_then(|status| status.observed_through.clone()),
        digest: spec.content_digest.as_deref().and_then(ContentDigest::parse),
        // A damaged snapshot is as good as none: the next change is recorded without a list of changes.
        snapshot: stored.and_then(|stored| snapshot::compressed(stored).ok().flatten()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::render::tests::{identity, revision};

    #[test]
    fn newest_first_and_the_head_is_the_newest() {
        let mut index = Index::default();
        for generation in [2, 10, 1] {
            index.put(&revision(generation), &identity());
        }
        let uid = revision(1).spec.workload.uid;
        let generations: Vec<i64> = index
            .list(uid)
            .expect("known")
            .iter()
            .map(|json| {
                let value: serde_json::Value = serde_json::from_slice(json).expect("json");
                value["additionalFields"]["generation"].as_i64().expect("a number")
            })
            .collect();
        assert_eq!((generations, index.len()), (vec![10, 2, 1], 3));
        let mut heads = || index.hand_over("apps", "Deployment");
        let (found, head) = heads().remove(0);
        assert_eq!((found, head.generation, head.snapshot.is_some()), (uid, 10, true));
        assert_eq!((head.digest.is_some(), head.deleted, head.only_gap), (true, false, false));
        assert!(heads()[0].1.snapshot.is_none(), "handed over once");
        assert!(index.hand_over("other", "Deployment").is_empty());
        index.put(&revision(11), &identity());
        assert!(index.hand_over("apps", "Deployment")[0].1.snapshot.is_none(), "the recorder keeps it");
    }

    #[test]
    fn what_is_removed_is_unknown() {
        let mut index = Index::default();
        index.put(&revision(1), &identity());
        index.put(&revision(1), &identity());
        assert_eq!(index.len(), 1);
        index.remove(&revision(1));
        index.remove(&revision(1));
        assert_eq!((index.len(), index.list(revision(1).spec.workload.uid)), (0, None));
    }
}
