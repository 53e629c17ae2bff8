//! Revisions by workload, newest first. Pure.

use super::render::{Identity, render};
use crate::record::snapshot;
use crate::revision::identity::ContentDigest;
use crate::revision::{Revision, RevisionType};
use crate::workload::Head;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// All Revisions.
#[derive(Debug, Default)]
pub(super) struct Index {
    workloads: HashMap<Uuid, Workload>,
    len: usize,
}

#[derive(Debug, Default)]
struct Workload {
    kind: String,
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

    /// Adds or replaces a Revision; its snapshot is kept for the next comparison only when that may be asked for.
    pub(super) fn put(&mut self, revision: &Revision, identity: &Identity, keep_snapshot: bool) {
        let spec = &revision.spec;
        let workload = self.workloads.entry(spec.workload.uid).or_default();
        if workload.kind.is_empty() {
            workload.kind.clone_from(&spec.workload.kind);
        }
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

    pub(super) fn take_head(&mut self, uid: Uuid) -> Option<Head> {
        let head = &mut self.workloads.get_mut(&uid)?.head;
        let taken = head.clone();
        head.snapshot = None;
        Some(taken)
    }

    pub(super) fn drop_snapshots(&mut self, kind: &str) {
        for workload in self.workloads.values_mut().filter(|w| w.kind == kind) {
            workload.head.snapshot = None;
        }
    }

    pub(super) fn list(&self, uid: Uuid) -> Option<Vec<Bytes>> {
        let workload = self.workloads.get(&uid)?;
        Some(workload.rows.values().rev().filter_map(|row| row.json.clone()).collect())
    }
}

fn last_generation(revision: &Revision) -> i64 {
    revision.spec.gap.as_ref().map_or(revision.spec.generation, |gap| gap.to)
}

fn head(revision: &Revision, generation: i64, keep_snapshot: bool) -> Head {
    let spec = &revision.spec;
    let stored = spec.snapshot.as_ref().filter(|_| keep_snapshot);
    Head {
        generation,
        observed_through: revision.status.as_ref().and_then(|status| status.observed_through.clone()),
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
            index.put(&revision(generation), &identity(), true);
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
        let head = index.take_head(uid).expect("a head");
        assert_eq!((head.generation, head.snapshot.is_some(), head.digest.is_some()), (10, true, true));
        assert!(index.take_head(uid).expect("a head").snapshot.is_none(), "handed over once");
    }

    #[test]
    fn what_is_removed_is_unknown() {
        let mut index = Index::default();
        index.put(&revision(1), &identity(), false);
        index.put(&revision(1), &identity(), false);
        assert_eq!(index.len(), 1);
        index.remove(&revision(1));
        index.remove(&revision(1));
        assert_eq!((index.len(), index.list(revision(1).spec.workload.uid)), (0, None));
    }
}
