//! Revisions by workload and by id. Pure.
//!
//! In: Revisions that come, change or go, and the labels of namespaces. Out: everything that is served, and the
//! [`Head`]s for the recorders.

use super::namespaces::{Project, Projects};
use super::ownership::OwnedWorkloads;
use super::removed::RemovedHeads;
use super::render::Identity;
use super::rows::Rows;
use super::workload::CachedWorkload;
use super::{HistoryItem, Of, ServedList, ServedRevision, Summary, WorkloadRef};
use crate::kinds::GroupKind;
use crate::mutant::{self, Mutant};
use crate::record::queue::StatusPatch;
use crate::revision::Revision;
use crate::revision::identity::is_named_after_workload;
use crate::workload::{Head, RemovedHead};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use uuid::Uuid;

/// All Revisions.
#[derive(Debug, Default)]
pub(super) struct Index {
    workloads: OwnedWorkloads,
    /// Workload and generation by the id of a Revision, Gaps aside.
    ids: HashMap<Uuid, (Uuid, i64)>,
    projects: Projects,
    len: usize,
    /// Revisions that others name as the one before them and that are not there.
    removed: usize,
    /// Kinds whose recorder keeps the snapshots.
    handed_over: HashSet<GroupKind>,
    removed_heads: RemovedHeads,
}

impl Index {
    /// The number of Revisions and Gaps.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number of Revisions that others name as the one before them and that are not there.
    pub(super) fn removed(&self) -> usize {
        self.removed
    }

    /// Whether the label of a namespace says that nothing in it is recorded.
    pub(super) fn is_refused(&self, namespace: &str) -> bool {
        self.projects
            .get(namespace)
            .is_some_and(|project| project.is_refused)
    }

    pub(super) fn projects(&self) -> Projects {
        self.projects.clone()
    }

    /// Takes over the labels of namespaces that came while this index was filled.
    pub(super) fn adopt(&mut self, projects: Projects) {
        if self.projects != projects {
            self.projects = projects;
            self.workloads
                .all_mut()
                .for_each(|workload| workload.relabel(&self.projects));
        }
    }

    /// An empty index that is to replace this one.
    pub(super) fn successor(&self) -> Self {
        Self {
            handed_over: self.handed_over.clone(),
            projects: self.projects.clone(),
            ..Self::default()
        }
    }

    /// Adds or replaces a Revision; its snapshot is kept for the next comparison until its kind's recorder does that.
    /// False when the Revision is not named after its workload, or is a copy from another namespace, and is not shown.
    pub(super) fn put(&mut self, revision: &Revision, identity: &Identity) -> bool {
        if !is_named_after_workload(revision) {
            return false;
        }
        let spec = &revision.spec;
        let uid = spec.workload.uid;
        if spec.gap.is_none() {
            self.ids.insert(spec.id, (uid, spec.generation));
        }
        let workload = self.workloads.get_or_create(revision);
        let keep_snapshot = !self.handed_over.contains(workload.group_kind());
        self.removed -= workload.removed();
        let is_new = workload.put(revision, identity, &self.projects, keep_snapshot);
        self.removed += workload.removed();
        self.len += usize::from(is_new);
        self.workloads.settle(uid);
        self.removed_heads.stored(uid, spec.generation);
        let owner = self.workloads.get(uid).map(|owner| &**owner.namespace());
        owner == revision.metadata.namespace.as_deref()
    }

    pub(super) fn remove(&mut self, revision: &Revision) {
        let spec = &revision.spec;
        let uid = spec.workload.uid;
        let Some(workload) = self
            .workloads
            .get_mut(revision)
            .filter(|_| is_named_after_workload(revision))
        else {
            return;
        };
        self.removed -= workload.removed();
        let head = workload.live_head(Some(revision));
        let kind = workload.group_kind().clone();
        let was_there = workload.remove(revision, &self.projects);
        self.removed += workload.removed();
        self.len -= usize::from(was_there);
        self.workloads.settle(uid);
        if !self.workloads.has(uid, spec.generation) {
            self.ids.remove(&spec.id);
        }
        if let Some(head) = head {
            self.note_removed(uid, &kind, head);
        }
    }

    /// A head is gone, unless a Revision of that generation or a later one is there all the same.
    fn note_removed(&mut self, uid: Uuid, kind: &GroupKind, removed: RemovedHead) {
        let workload = self.workloads.get(uid);
        let is_there = workload.is_some_and(|one| one.reaches(removed.head.generation));
        if !is_there && !mutant::is(Mutant::RemovedHeadBelieved) {
            self.removed_heads.add(uid, kind, removed);
        }
    }

    /// Takes over what is known only by comparison with the index that this one replaces: the heads that were there, and
    /// are not any more.
    pub(super) fn succeed(&mut self, before: &mut Self) {
        for (uid, workload) in before.workloads.iter_mut() {
            let now = self.workloads.get(*uid);
            let is_there = now.is_some_and(|now| now.reaches(workload.last_recorded()));
            if is_there {
                continue;
            }
            if let Some(head) = workload.live_head(None) {
                self.note_removed(*uid, workload.group_kind(), head);
            }
        }
        for (uid, (kind, removed)) in before.removed_heads.drain() {
            self.note_removed(uid, &kind, removed);
        }
    }

    /// Whether heads were removed, and not asked for yet.
    pub(super) fn has_removed_heads(&self) -> bool {
        !self.removed_heads.is_empty()
    }

    /// The heads of a kind that were removed; they are not kept.
    pub(super) fn take_removed_heads(
        &mut self,
        group: &str,
        kind: &str,
    ) -> Vec<(Uuid, RemovedHead)> {
        self.removed_heads.take(&group_kind(group, kind))
    }

    /// The newest Revision of a workload, without its snapshot.
    pub(super) fn stored(&self, uid: Uuid) -> Option<Head> {
        self.workloads.get(uid).map(CachedWorkload::stored)
    }

    /// The present labels of a namespace; none when it is gone.
    pub(super) fn project(&mut self, namespace: &str, project: Option<Project>) {
        if self.projects.get(namespace) == project.as_ref() {
            return;
        }
        match project {
            Some(project) => self.projects.insert(namespace.to_owned(), project),
            None => self.projects.remove(namespace),
        };
        self.workloads
            .all_mut()
            .filter(|workload| **workload.namespace() == *namespace)
            .for_each(|workload| workload.relabel(&self.projects));
    }

    /// The heads of all workloads of a kind, with their snapshots, which are not kept from then on; without one when the
    /// workload is gone.
    pub(super) fn hand_over(&mut self, group: &str, kind: &str) -> Vec<(Uuid, Head)> {
        let group_kind = group_kind(group, kind);
        let heads = self
            .workloads
            .iter_mut()
            .filter(|(_, workload)| *workload.group_kind() == group_kind)
            .map(|(uid, workload)| (*uid, workload.hand_over()))
            .collect();
        self.handed_over.insert(group_kind);
        heads
    }

    /// Which of these generations are there, or in a Gap.
    pub(super) fn recorded(&self, uid: Uuid, generations: &RangeInclusive<i64>) -> BTreeSet<i64> {
        self.workloads
            .get(uid)
            .map(|workload| workload.recorded(generations))
            .unwrap_or_default()
    }

    /// Whether a Revision says already what a patch of its status would say, or more.
    pub(super) fn says(&self, patch: &StatusPatch) -> bool {
        let workload = self.workloads.get(patch.workload);
        workload.is_some_and(|workload| workload.says(patch))
    }

    /// Whether a Revision is there, with the same content.
    pub(super) fn holds(&self, revision: &Revision) -> bool {
        let workload = self.workloads.get(revision.spec.workload.uid);
        workload.is_some_and(|workload| workload.holds(revision))
    }

    fn find(&self, of: Of) -> Option<&CachedWorkload> {
        let uid = match of {
            Of::Workload(uid) => uid,
            Of::Revision(id) => self.ids.get(&id)?.0,
        };
        self.workloads.get(uid)
    }

    pub(super) fn workload(&self, of: Of) -> Option<Arc<WorkloadRef>> {
        self.find(of).map(|workload| workload.reference().clone())
    }

    pub(super) fn namespace(&self, of: Of) -> Option<Arc<str>> {
        self.find(of).map(|workload| workload.namespace().clone())
    }

    /// The rows of a workload that is deleted, or is not, as `deleted` says; no rows of one that is the other.
    fn rows(&self, uid: Uuid, deleted: bool) -> Option<&Rows> {
        static NONE: Rows = Rows::new();
        let workload = self.workloads.get(uid)?;
        Some(if workload.deleted_at().is_some() == deleted {
            workload.rows()
        } else {
            &NONE
        })
    }

    pub(super) fn list(&self, uid: Uuid, deleted: bool) -> Option<ServedList> {
        let (pieces, etag) = self.rows(uid, deleted)?.list();
        Some(ServedList { pieces, etag })
    }

    pub(super) fn count(&self, uid: Uuid, deleted: bool) -> usize {
        self.rows(uid, deleted).map_or(0, Rows::len)
    }

    pub(super) fn get(&self, id: Uuid) -> Option<ServedRevision> {
        let (uid, generation) = *self.ids.get(&id)?;
        self.workloads.get(uid)?.get(generation)
    }

    /// The workloads that `wanted` picks, in no order.
    pub(super) fn workloads(&self, wanted: &dyn Fn(&WorkloadRef) -> bool) -> Vec<Arc<WorkloadRef>> {
        self.workloads
            .values()
            .map(CachedWorkload::reference)
            .filter(|workload| wanted(workload))
            .cloned()
            .collect()
    }

    pub(super) fn summary(&self, uid: Uuid) -> Option<Summary> {
        self.workloads.get(uid).map(CachedWorkload::summary)
    }

    /// Everything of a workload that is older than `before`, newest first, Gaps included.
    pub(super) fn history(
        &self,
        uid: Uuid,
        before: Option<(i64, Uuid)>,
    ) -> Option<Vec<HistoryItem>> {
        let workload = self.workloads.get(uid)?;
        Some(workload.history(before))
    }
}

fn group_kind(group: &str, kind: &str) -> GroupKind {
    GroupKind {
        kind: kind.to_owned(),
        group: group.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::render::Etag;
    use crate::cache::render::tests::{identity as installation, revision};
    use crate::history::removed;
    use crate::revision::{Gap, Phase, Previous, identity};
    use crate::workload::ResourceVersion;
    use chrono::DateTime;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn index(generations: &[i64]) -> Index {
        let mut index = Index::default();
        for generation in generations {
            index.put(&revision(*generation), &installation());
        }
        index
    }

    fn gap(from: i64, to: i64) -> Revision {
        let mut gap = revision(to);
        gap.spec.id = identity::gap_id(uid(), from, to);
        gap.metadata.name = Some(identity::gap_name("llama", uid(), from, to));
        gap.spec.r#type = crate::revision::RevisionType::Gap;
        gap.spec.gap = Some(Gap {
            from,
            to,
            reason: "Compacted".into(),
        });
        gap.spec.content_digest = None;
        gap
    }

    fn uid() -> Uuid {
        revision(1).spec.workload.uid
    }

    fn id(generation: i64) -> Uuid {
        identity::id(uid(), generation)
    }

    /// `additionalFields` of each, newest first.
    fn fields(index: &Index) -> Vec<Value> {
        values(index, false)
            .iter()
            .map(|row| row["additionalFields"].clone())
            .collect()
    }

    /// The JSON of each, newest first.
    fn values(index: &Index, deleted: bool) -> Vec<Value> {
        let pieces = index.list(uid(), deleted).expect("known").pieces;
        let list: Value = serde_json::from_slice(&pieces.concat()).expect("json");
        list["revisions"].as_array().expect("a list").clone()
    }

    /// The etag of each, newest first.
    fn etags(index: &Index) -> Vec<Etag> {
        let workload = index.workloads.get(uid()).expect("known");
        workload.rows().iter().map(|row| row.etag).collect()
    }

    /// `departmentId` and `projectId` of the first Revision.
    fn labels(index: &Index) -> (Value, Value) {
        let found = index.get(id(1)).expect("known");
        let value: Value = serde_json::from_slice(&found.json).expect("json");
        (value["departmentId"].clone(), value["projectId"].clone())
    }

    #[test]
    fn a_deleted_workload_is_handed_over_as_such_and_without_content() {
        let mut index = index(&[1]);
        let mut gone = revision(2);
        gone.status = Some(crate::revision::RevisionStatus {
            workload_deletion_time: DateTime::from_timestamp(1, 0),
            ..crate::revision::RevisionStatus::default()
        });
        index.put(&gone, &installation());
        // A Revision that was found later says nothing of it.
        index.put(&revision(3), &installation());
        let (_, head) = index.hand_over("apps", "Deployment").remove(0);
        assert_eq!(
            (head.generation, head.deleted, head.snapshot.is_some()),
            (3, true, false)
        );
    }

    /// The head of the only workload.
    fn head(index: &mut Index) -> Head {
        let [(_, head)] = index
            .hand_over("apps", "Deployment")
            .try_into()
            .expect("one workload");
        head
    }

    #[test]
    fn a_head_that_is_removed_is_no_head_and_nothing_before_it_is_lost() {
        let mut index = index(&[1, 3]);
        let mut newest = after(3, 6);
        newest.spec.resource_version = "60".into();
        newest.spec.content_digest = None;
        index.put(&newest, &installation());
        index.remove(&newest);
        let left = head(&mut index);
        assert_eq!(
            (left.generation, left.revision.as_str(), left.only_gap),
            (3, identity::name("llama", uid(), 3).as_str(), false)
        );
        assert!(left.digest.is_some() && left.snapshot.is_none());
        assert_eq!(
            (left.api_version.as_str(), left.namespace.as_str()),
            ("apps/v1", "team-a")
        );
        let last = left.last();
        assert_eq!((last.generation, last.at.to_string()), (5, "60".to_owned()));
        // What its status says later changes nothing of that.
        index.put(&revision(3), &installation());
        assert_eq!(head(&mut index).last(), last);
        index.put(&revision(6), &installation());
        assert_eq!(head(&mut index).last().generation, 6);
        index.remove(&revision(1));
        assert_eq!(head(&mut index).generation, 6, "it was not the head");
    }

    #[test]
    fn a_gap_that_ends_with_a_revision_is_no_head() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let all = [revision(5), gap(3, 5), gap(1, 5)];
            let mut index = Index::default();
            for at in order {
                index.put(&all[at], &installation());
            }
            assert!(head(&mut index).snapshot.is_some(), "{order:?}");
            index.remove(&all[0]);
            let left = head(&mut index);
            assert_eq!(left.revision, identity::gap_name("llama", uid(), 1, 5));
            assert!(left.only_gap && left.digest.is_none());
        }
    }

    #[test]
    fn newest_first_and_the_head_is_the_newest() {
        let mut index = index(&[2, 10, 1]);
        let latest: Vec<_> = fields(&index)
            .iter()
            .map(|f| (f["generation"].clone(), f["latest"].clone()))
            .collect();
        assert_eq!(
            latest,
            [
                (json!(10), json!(true)),
                (json!(2), json!(false)),
                (json!(1), json!(false))
            ]
        );
        assert_eq!((index.len(), index.count(uid(), false)), (3, 3));
        let mut heads = || index.hand_over("apps", "Deployment");
        let (found, head) = heads().remove(0);
        assert_eq!(
            (found, head.generation, head.snapshot.is_some()),
            (uid(), 10, true)
        );
        assert_eq!(
            (head.digest.is_some(), head.deleted, head.only_gap),
            (true, false, false)
        );
        assert!(heads()[0].1.snapshot.is_none(), "handed over once");
        assert!(index.hand_over("other", "Deployment").is_empty());
        index.put(&revision(11), &installation());
        assert!(
            index.hand_over("apps", "Deployment")[0]
                .1
                .snapshot
                .is_none(),
            "the recorder keeps it"
        );
    }

    #[test]
    fn a_new_revision_changes_what_is_said_of_the_one_before() {
        let mut index = index(&[1, 2]);
        let before = etags(&index);
        index.put(&revision(3), &installation());
        let after = etags(&index);
        assert_ne!(after[1], before[0], "it is not the latest any more");
        assert_eq!(after[2], before[1]);
        let found = index.get(id(2)).expect("known");
        assert_eq!(
            (found.etag, found.generation, found.before),
            (after[1], 2, Some(id(1)))
        );
        // The order in which another replica saw them does not matter.
        assert_eq!(etags(&self::index(&[3, 1, 2])), after);
        index.remove(&revision(3));
        assert_eq!(etags(&index), before);
    }

    #[test]
    fn gaps_are_told_by_the_next_newer_revision() {
        let mut index = index(&[1, 5]);
        index.put(&gap(2, 4), &installation());
        index.put(&gap(6, 7), &installation());
        let missing = |from: i64, to: i64| json!({"from": from, "to": to, "reason": "Compacted"});
        assert_eq!(
            fields(&index)[0]["missing"],
            json!([missing(2, 4), missing(6, 7)])
        );
        assert_eq!(
            (fields(&index).len(), index.count(uid(), false), index.len()),
            (2, 2, 4)
        );
        index.put(&revision(3), &installation());
        assert_eq!(
            fields(&index)[0]["missing"],
            json!([missing(4, 4), missing(6, 7)])
        );
        assert_eq!(
            fields(&index)[1]["missing"],
            json!([missing(2, 2)]),
            "found later"
        );
        let all = index.history(uid(), None).expect("known");
        assert_eq!(
            all.iter().map(|item| item.generation).collect::<Vec<_>>(),
            [7, 5, 4, 3, 1]
        );
        let rest = index
            .history(uid(), Some((all[1].generation, all[1].id)))
            .expect("known");
        assert_eq!(rest.len(), 3);
        let hole: Value = serde_json::from_slice(&all[0].json).expect("json");
        assert_eq!(hole["additionalFields"]["missing"], json!([missing(6, 7)]));
        assert!(
            index.get(gap(6, 7).spec.id).is_none(),
            "a Gap is no revision of the contract"
        );
        assert_eq!(
            index.recorded(uid(), &(2..=6)),
            BTreeSet::from([2, 3, 4, 5, 6]),
            "in a Gap counts as recorded"
        );
        for gap in [gap(2, 4), gap(6, 7)] {
            index.remove(&gap);
        }
        assert!(
            fields(&index)
                .iter()
                .all(|fields| fields.get("missing").is_none())
        );
    }

    /// A Revision that names another one as the one before it.
    fn after(previous: i64, generation: i64) -> Revision {
        let mut revision = revision(generation);
        revision.spec.previous = Some(Previous {
            generation: previous,
            digest: "sha256:00".into(),
        });
        revision
    }

    #[test]
    fn a_removed_revision_is_told_by_the_one_that_names_it() {
        let mut index = index(&[1]);
        for (previous, generation) in [(1, 2), (2, 5), (5, 6)] {
            index.put(&after(previous, generation), &installation());
        }
        let removed = |index: &Index| {
            let told = fields(index)
                .into_iter()
                .filter(|f| f["removed"].is_array());
            told.map(|f| (f["generation"].clone(), f["removed"].clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(removed(&index), [], "3 and 4 changed nothing");
        index.remove(&revision(2));
        let expected = (json!(5), json!([{"from": 2, "to": 2}]));
        assert_eq!((removed(&index), index.removed()), (vec![expected], 1));
        index.put(&gap(1, 3), &installation());
        assert_eq!((removed(&index), index.removed()), (vec![], 0), "in a Gap");
        index.remove(&gap(1, 3));
        assert_eq!(index.removed(), 1);
        index.put(&after(1, 2), &installation());
        assert_eq!((removed(&index), index.removed()), (vec![], 0));
        index.remove(&revision(6));
        assert_eq!(index.removed(), 0, "no Revision names the newest one");
        for (previous, generation) in [(7, 7), (8, 7), (0, 7), (-1, 7)] {
            index.put(&after(previous, generation), &installation());
            assert_eq!(index.removed(), 0, "{previous} is not before {generation}");
        }
    }

    #[test]
    fn a_deleted_workload_is_listed_only_when_it_is_asked_for() {
        let mut index = index(&[1, 2]);
        assert!(values(&index, true).is_empty());
        let mut last = revision(2);
        last.status.as_mut().expect("one").workload_deletion_time = DateTime::from_timestamp(1, 0);
        index.put(&last, &installation());
        assert_eq!(
            (index.count(uid(), false), index.count(uid(), true)),
            (0, 2)
        );
        for value in values(&index, true) {
            assert_eq!(value["deletedAt"], "1970-01-01T00:00:01.000Z");
        }
        let summary = index.summary(uid()).expect("known");
        assert_eq!(
            (summary.revisions, summary.deleted_at, summary.phase),
            (2, DateTime::from_timestamp(1, 0), Some(Phase::Unknown))
        );
    }

    #[test]
    fn labels_of_the_namespace_reach_every_revision_of_it() {
        let mut index = index(&[1]);
        let project = Project {
            is_refused: false,
            department: Some("research".into()),
            project: None,
        };
        assert_eq!(labels(&index), (json!("default"), json!("team-a")));
        index.project("team-a", Some(project.clone()));
        assert_eq!(labels(&index), (json!("research"), json!("team-a")));
        let mut successor = index.successor();
        successor.put(&revision(1), &installation());
        assert_eq!(labels(&successor), labels(&index));
        index.project(
            "team-a",
            Some(Project {
                project: Some("p".into()),
                ..project
            }),
        );
        assert_eq!(labels(&index), (json!("research"), json!("p")));
        index.project("team-a", None);
        assert_eq!(labels(&index), (json!("default"), json!("team-a")));
    }

    #[test]
    fn what_is_removed_is_unknown() {
        let mut index = index(&[1, 1]);
        assert_eq!(index.len(), 1);
        index.remove(&revision(1));
        index.remove(&revision(1));
        assert_eq!(
            (
                index.len(),
                index.list(uid(), false).is_none(),
                index.get(id(1)).is_none()
            ),
            (0, true, true)
        );
    }

    /// The same in another namespace, created so many seconds after the beginning.
    fn copy(generation: i64, namespace: &str, second: u8) -> Revision {
        let mut copy = revision(generation);
        let time = serde_json::from_value(json!(format!("2026-01-01T00:00:{second:02}Z")))
            .expect("a time");
        copy.metadata.namespace = Some(namespace.to_owned());
        copy.metadata.creation_timestamp = Some(time);
        copy
    }

    /// The namespace and the generation of each, newest first.
    fn namespaces(index: &Index) -> Vec<(Value, Value)> {
        fields(index)
            .iter()
            .map(|f| (f["namespace"].clone(), f["generation"].clone()))
            .collect()
    }

    fn genuine() -> [Revision; 2] {
        [copy(1, "team-b", 1), copy(2, "team-b", 5)]
    }

    /// In a namespace that comes first in a list, and in one that comes last; one of a generation that was never recorded.
    fn copies() -> [Revision; 3] {
        [
            copy(2, "team-a", 3),
            copy(9, "team-a", 4),
            copy(1, "team-c", 2),
        ]
    }

    /// Orders in which the genuine Revisions and then the copies may come.
    const ORDERS: [[usize; 5]; 4] = [
        [0, 1, 2, 3, 4],
        [4, 3, 2, 1, 0],
        [2, 0, 3, 1, 4],
        [3, 4, 1, 2, 0],
    ];

    fn filled_in(order: [usize; 5]) -> Index {
        let all: Vec<_> = genuine().into_iter().chain(copies()).collect();
        let mut index = Index::default();
        let shown: Vec<_> = order
            .iter()
            .map(|at| (*at, index.put(&all[*at], &installation())))
            .collect();
        assert!(
            shown.iter().all(|(at, shown)| *shown || *at != 0),
            "the oldest is shown: {shown:?}"
        );
        index
    }

    #[test]
    fn a_copy_in_another_namespace_neither_mixes_in_nor_says_who_may_read() {
        let expected = [(json!("team-b"), json!(2)), (json!("team-b"), json!(1))];
        for order in ORDERS {
            let index = filled_in(order);
            assert_eq!(
                &*index
                    .workload(Of::Workload(uid()))
                    .expect("known")
                    .namespace,
                "team-b",
                "{order:?}"
            );
            assert_eq!(namespaces(&index), expected, "{order:?}");
            assert!(index.get(id(9)).is_none() && index.recorded(uid(), &(1..=9)).len() == 2);
            assert_eq!((index.len(), index.workloads(&|_| true).len()), (5, 1));
            assert_eq!(
                &*index.namespace(Of::Revision(id(2))).expect("known"),
                "team-b"
            );
        }
    }

    #[test]
    fn copies_that_go_take_nothing_along_and_the_next_oldest_takes_over() {
        let expected = [(json!("team-b"), json!(2)), (json!("team-b"), json!(1))];
        for order in ORDERS {
            let mut index = filled_in(order);
            index.remove(&copies()[0]);
            assert_eq!(
                namespaces(&index),
                expected,
                "a copy that goes takes nothing along"
            );
            assert!(index.get(id(2)).is_some());
            for revision in &genuine() {
                index.remove(revision);
            }
            assert_eq!(
                namespaces(&index),
                [(json!("team-c"), json!(1))],
                "what is left is the next oldest"
            );
            for revision in &copies() {
                index.remove(revision);
            }
            assert_eq!(
                (
                    index.len(),
                    index.namespace(Of::Workload(uid())),
                    index.get(id(1)).is_none()
                ),
                (0, None, true)
            );
        }
    }

    /// The hashes of these two uids begin with the same 8 digits.
    const ALIKE: [u128; 2] = [10_864, 68_225];

    /// A Revision of one of two workloads of one name in one namespace.
    fn alike(uid: Uuid, generation: i64, has_long_name: bool) -> Revision {
        let mut revision = revision(generation);
        let spec = &mut revision.spec;
        spec.workload.uid = uid;
        spec.id = identity::id(uid, generation);
        let name = if has_long_name {
            identity::long_name("llama", uid, generation)
        } else {
            identity::name("llama", uid, generation)
        };
        revision.metadata.name = Some(name);
        revision
    }

    #[test]
    fn two_workloads_whose_names_of_revisions_are_alike_have_each_its_own() {
        let [first, second] = ALIKE.map(Uuid::from_u128);
        let mut index = Index::default();
        for (uid, has_long_name) in [(first, false), (second, true)] {
            for generation in 1..=2 {
                let revision = alike(uid, generation, has_long_name);
                assert!(index.put(&revision, &installation()));
            }
        }
        for (uid, has_long_name) in [(first, false), (second, true)] {
            assert_eq!(index.count(uid, false), 2);
            let found = index.get(identity::id(uid, 1)).expect("known");
            let stored = alike(uid, 1, has_long_name).metadata.name;
            assert_eq!(Some(found.name()), stored);
        }
        index.remove(&alike(second, 2, true));
        let heads: BTreeMap<_, _> = index
            .hand_over("apps", "Deployment")
            .into_iter()
            .map(|(uid, head)| (uid, head.revision))
            .collect();
        assert_eq!(heads[&first], identity::name("llama", first, 2));
        assert_eq!(heads[&second], identity::long_name("llama", second, 1));
    }

    #[test]
    fn what_is_not_named_after_its_workload_is_not_shown() {
        let mut index = index(&[1]);
        let mut renamed = revision(2);
        renamed.metadata.name = Some("x".to_owned());
        let mut other_id = revision(2);
        other_id.spec.id = id(7);
        let mut another = revision(2);
        another.spec.generation = 3;
        let mut hole = gap(2, 3);
        hole.spec.gap = Some(Gap {
            from: 2,
            to: 900,
            reason: "Compacted".into(),
        });
        for forged in [&renamed, &other_id, &another, &hole] {
            assert!(!index.put(forged, &installation()));
        }
        assert_eq!((index.len(), index.count(uid(), false)), (1, 1));
        // One that is there already is not taken out by the name of another.
        let mut imposter = revision(1);
        imposter.metadata.name = Some("x".to_owned());
        index.remove(&imposter);
        assert!(index.get(id(1)).is_some());
        assert!(index.put(&revision(2), &installation()) && index.put(&gap(3, 4), &installation()));
    }

    /// What one client did to a Revision or a Gap.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// Whether it says that its workload is deleted, and how far before it is the one that it names.
        Put(i64, bool, i64),
        Remove(i64),
        PutGap(i64, i64),
        RemoveGap(i64, i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            20 => (1..60_i64, prop::bool::weighted(0.1), 0..4_i64).prop_map(|(generation, deleted, back)| Step::Put(generation, deleted, back)),
            4 => (1..60_i64).prop_map(Step::Remove),
            1 => (1..60_i64, 0..3_i64).prop_map(|(from, more)| Step::PutGap(from, from + more)),
            1 => (1..60_i64, 0..3_i64).prop_map(|(from, more)| Step::RemoveGap(from, from + more)),
        ]
    }

    /// All that is served of the workload.
    fn served(index: &Index) -> Vec<(Vec<Value>, Etag, usize)> {
        if index.list(uid(), false).is_none() {
            return Vec::new();
        }
        let list = |deleted| {
            let etag = index.list(uid(), deleted).expect("known").etag;
            let values = values(index, deleted);
            let count = index.count(uid(), deleted);
            assert_eq!(values.len(), count, "every run is in the list, once");
            let generations = values
                .iter()
                .map(|value| value["additionalFields"]["generation"].as_i64());
            assert!(
                generations.is_sorted_by(|newer, older| newer > older),
                "newest first"
            );
            (values, etag, count)
        };
        [list(false), list(true)].into()
    }

    /// What a recorder takes over, but for the content and the place, which are not kept of older Revisions.
    fn heads(index: &mut Index) -> Vec<Head> {
        let heads = index.hand_over("apps", "Deployment").into_iter();
        heads
            .map(|(_, head)| Head {
                snapshot: None,
                resource_version: ResourceVersion::default(),
                observed_through: None,
                ..head
            })
            .collect()
    }

    fn found(index: &Index) -> Vec<String> {
        (1..60)
            .map(|generation| format!("{:?}", index.get(id(generation))))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Only what a step can concern is written anew; that has to be what all of it anew would be.
        #[test]
        fn after_any_steps_it_is_as_if_filled_anew(steps in proptest::collection::vec(step(), 1..90)) {
            let mut index = Index::default();
            let mut present = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Put(generation, deleted, back) => {
                        let mut put = after(generation - back, generation);
                        let time = DateTime::from_timestamp(generation, 0).filter(|_| deleted);
                        put.status.as_mut().expect("one").workload_deletion_time = time;
                        index.put(&put, &installation());
                        present.insert(put.spec.id, put);
                    }
                    Step::PutGap(from, to) => {
                        index.put(&gap(from, to), &installation());
                        present.retain(|_, r: &mut Revision| r.spec.gap != gap(from, to).spec.gap);
                        present.insert(gap(from, to).spec.id, gap(from, to));
                    }
                    Step::Remove(generation) => {
                        index.remove(&revision(generation));
                        present.remove(&revision(generation).spec.id);
                    }
                    Step::RemoveGap(from, to) => {
                        index.remove(&gap(from, to));
                        present.retain(|_, r: &mut Revision| r.spec.gap != gap(from, to).spec.gap);
                    }
                }
                let mut anew = Index::default();
                present.values().rev().for_each(|revision| assert!(anew.put(revision, &installation())));
                prop_assert_eq!(served(&index), served(&anew));
                prop_assert_eq!(found(&index), found(&anew));
                prop_assert_eq!((index.len(), index.removed()), (anew.len(), anew.removed()));
                prop_assert_eq!(heads(&mut index), heads(&mut anew));
                let stored: Vec<_> = present.values().cloned().collect();
                let is_removed = |revision: &&Revision| removed(revision, &stored).is_some();
                prop_assert_eq!(index.removed(), stored.iter().filter(is_removed).count());
            }
        }
    }
}
