//! One workload in the cache: its Revisions as rows, its Gaps, and its deletion. Pure.
//!
//! In: Revisions of the workload that come, change or go, and the labels of its namespace. Out: the rows, whose JSON is
//! kept up to date with each other, and the [`Head`] for the workload's recorder.

mod absent;
mod head;

use absent::{RecordedGap, previous};
pub(super) use head::Recorded;

use super::namespaces::Projects;
use super::ownership::has_long_name;
use super::render::{Identity, Siblings, phase_of, render};
use super::rows::{Row, Rows};
use super::wire::Removed;
use super::{HistoryItem, ServedRevision, Summary, WorkloadRef};
use crate::kinds::GroupKind;
use crate::revision::{Gap, Revision, Workload};
use crate::view::normal;
use crate::workload::{Head, Version};
use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use uuid::Uuid;

/// All generations.
const ALL: RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// `departmentId` of a namespace without a label for it.
const DEFAULT_DEPARTMENT: &str = "default";

/// One workload, with its Revisions and Gaps.
#[derive(Debug)]
pub(super) struct CachedWorkload {
    /// Equal to that of the reference. Every request reads it, and the reference lies elsewhere in memory.
    namespace: Arc<str>,
    reference: Arc<WorkloadRef>,
    /// When the oldest of its Revisions was created; none sorts before all times.
    created: Option<Time>,
    group_kind: GroupKind,
    rows: Rows,
    /// By first and last generation.
    gaps: BTreeMap<(i64, i64), RecordedGap>,
    /// Revisions that are named as the one before and are not there, by the generation that names them.
    removed: BTreeMap<i64, Removed>,
    /// When the workload was deleted, by the Revision that says so. Only the newest Revision of its time does, so there
    /// are at most a few.
    deletions: BTreeMap<Uuid, DateTime<Utc>>,
    head: Head,
    /// The last generation before a head that was removed, when there was one.
    accounted: Option<Box<Version>>,
    /// Whether the workload is there, whatever its Revisions say.
    is_live: bool,
    /// Whether its Revisions do not agree on its name or its kind.
    is_mixed: bool,
    /// Generations that have another content than the Revisions that are stored of them.
    contested: BTreeSet<i64>,
}

/// The state of a workload that the JSON of its Revisions depends on.
#[derive(Clone, Copy)]
struct SharedState {
    newest: Option<i64>,
    deleted_at: Option<DateTime<Utc>>,
    has_gaps: bool,
}

impl CachedWorkload {
    /// A workload without any Revisions, named as `revision` names it.
    pub(super) fn new(revision: &Revision, namespace: Arc<str>) -> Self {
        let workload = &revision.spec.workload;
        Self {
            namespace: namespace.clone(),
            reference: Arc::new(WorkloadRef {
                uid: workload.uid,
                namespace,
                name: workload.name.clone(),
                api_version: workload.api_version.clone(),
                kind: workload.kind.clone(),
            }),
            created: revision.metadata.creation_timestamp.clone(),
            group_kind: GroupKind {
                kind: workload.kind.clone(),
                group: workload.group().to_owned(),
            },
            rows: Rows::default(),
            gaps: BTreeMap::new(),
            removed: BTreeMap::new(),
            deletions: BTreeMap::new(),
            head: Head::default(),
            accounted: None,
            is_live: false,
            is_mixed: false,
            contested: BTreeSet::new(),
        }
    }

    pub(super) fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    pub(super) fn reference(&self) -> &Arc<WorkloadRef> {
        &self.reference
    }

    pub(super) fn group_kind(&self) -> &GroupKind {
        &self.group_kind
    }

    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Orders the namespaces that claim one uid from the oldest, on every replica in the same way.
    pub(super) fn age(&self) -> (Option<&Time>, &str) {
        (self.created.as_ref(), &self.namespace)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.gaps.is_empty()
    }

    pub(super) fn has(&self, generation: i64) -> bool {
        self.rows.get(generation).is_some()
    }

    /// Whether a generation is stored under the long form of its name; none when it is not stored.
    pub(super) fn has_long_name(&self, generation: i64) -> Option<bool> {
        self.rows.get(generation).map(|(row, _)| row.has_long_name)
    }

    /// Whether a Revision or a Gap is there, under this name.
    pub(super) fn stores(&self, recorded: Recorded, name: &str) -> bool {
        let is_there = match recorded {
            Recorded::Revision(generation) => self.has(generation),
            Recorded::Gap { from, to } => self.gaps.contains_key(&(from, to)),
        };
        is_there && self.stored_name(recorded) == name
    }

    /// How many Revisions are named as the one before and are not there.
    pub(super) fn removed(&self) -> usize {
        self.removed.len()
    }

    /// The time of its deletion. It is kept on the newest Revision of that time, and a Revision that was found later may
    /// be newer. One that is there was not deleted.
    pub(super) fn deleted_at(&self) -> Option<DateTime<Utc>> {
        let latest = self.deletions.values().max();
        latest.filter(|_| !self.is_live).copied()
    }

    /// The workload is there, or is not any more. True when that changes what its Revisions say of it.
    pub(super) fn set_live(&mut self, is_live: bool, projects: &Projects) -> bool {
        let before = self.deleted_at();
        self.is_live = is_live;
        let has_changed = before != self.deleted_at();
        if has_changed {
            self.rewrite_tails(projects, &ALL);
        }
        has_changed
    }

    /// A generation has another content than the Revision that is stored of it, or has not any more.
    pub(super) fn contest(&mut self, generation: i64, is_contested: bool, projects: &Projects) {
        let has_changed = if is_contested {
            self.contested.insert(generation)
        } else {
            self.contested.remove(&generation)
        };
        if has_changed {
            let newest = self.newest_recorded();
            self.head = newest.map_or_else(Head::default, |newest| self.restored(newest));
            self.rewrite_tails(projects, &(generation..=generation));
        }
    }

    /// Whether its Revisions do not agree on this name and kind.
    pub(super) fn is_mixed(&self, name: &str, kind: &GroupKind) -> bool {
        self.is_mixed || self.reference.name != name || self.group_kind != *kind
    }

    /// The workload is called so, and is of this kind.
    pub(super) fn rename(&mut self, api_version: String, name: &str, kind: GroupKind) {
        self.is_mixed = false;
        self.reference = Arc::new(WorkloadRef {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            uid: self.reference.uid,
            api_version,
            kind: kind.kind.clone(),
        });
        self.group_kind = kind;
    }

    fn names(&self, workload: &Workload) -> bool {
        let GroupKind { kind, group } = &self.group_kind;
        (workload.kind == *kind && workload.group() == group)
            && workload.name == self.reference.name
    }

    /// One of its Revisions.
    pub(super) fn get(&self, generation: i64) -> Option<ServedRevision> {
        let (row, json) = self.rows.get(generation)?;
        Some(ServedRevision {
            workload: self.reference.clone(),
            generation,
            before: self.rows.before(generation).map(|older| older.id),
            json,
            etag: row.etag,
            has_long_name: row.has_long_name,
        })
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            deleted_at: self.deleted_at(),
            revisions: self.rows.len(),
            phase: self.rows.newest().map(|row| row.phase),
            changed: self.rows.newest().map(|row| row.changed),
        }
    }

    /// Which of these generations are there, or in a Gap.
    pub(super) fn recorded(&self, generations: &RangeInclusive<i64>) -> BTreeSet<i64> {
        let in_gaps = self
            .gaps
            .keys()
            .flat_map(|(from, to)| *from.max(generations.start())..=*to.min(generations.end()));
        self.rows.within(generations).chain(in_gaps).collect()
    }

    /// Everything that is older than `before`, newest first, Gaps included.
    pub(super) fn history(&self, before: Option<(i64, Uuid)>) -> Vec<HistoryItem> {
        let revisions = self.rows.with_json().map(|(row, json)| HistoryItem {
            generation: row.generation,
            id: row.id,
            changed: row.changed,
            json,
        });
        let gaps = self.gaps.iter().map(|((from, to), gap)| HistoryItem {
            generation: *to,
            id: gap.id,
            changed: gap.time,
            json: gap.render(&self.reference, *from, *to),
        });
        let mut all: Vec<_> = revisions
            .chain(gaps)
            .filter(|item| before.is_none_or(|before| (item.generation, item.id) < before))
            .collect();
        all.sort_unstable_by_key(|item| Reverse((item.generation, item.id)));
        all
    }

    /// Adds or replaces a Revision or a Gap; true when it is new. The head keeps a snapshot only if `keep_snapshot`.
    pub(super) fn put(
        &mut self,
        revision: &Revision,
        identity: &Identity,
        projects: &Projects,
        keep_snapshot: bool,
    ) -> bool {
        let spec = &revision.spec;
        let before = self.shared_state();
        self.created = self
            .created
            .take()
            .min(revision.metadata.creation_timestamp.clone());
        self.note_deletion(revision);
        self.is_mixed |= !self.names(&spec.workload);
        let is_new = if let Some(gap) = &spec.gap {
            let recorded = RecordedGap {
                id: spec.id,
                reason: gap.reason.clone(),
                time: spec.change_time,
                has_long_name: has_long_name(revision),
            };
            self.gaps.insert((gap.from, gap.to), recorded).is_none()
        } else {
            let siblings = Siblings {
                latest: before.newest.is_none_or(|newest| newest <= spec.generation),
                ..self.siblings(projects)
            };
            let rendered = render(revision, identity, &siblings);
            let mut row = Row::new(
                spec.generation,
                spec.id,
                phase_of(revision),
                spec.change_time,
            );
            row.previous = previous(revision);
            row.has_long_name = has_long_name(revision);
            let view = revision.spec.view.as_ref();
            row.normal = view.and_then(|view| normal::key(&view.normal_digest));
            row.at = spec.resource_version.parse().unwrap_or_default();
            row.through = observed(revision);
            self.rows.put(row, rendered)
        };
        self.follow(revision, keep_snapshot);
        self.settle(before, spec.generation, projects);
        is_new
    }

    /// Takes a Revision or a Gap out; true when it was there.
    pub(super) fn remove(&mut self, revision: &Revision, projects: &Projects) -> bool {
        let before = self.shared_state();
        self.deletions.remove(&revision.spec.id);
        let removed = match revision.spec.gap {
            Some(Gap { from, to, .. }) => self.gaps.remove(&(from, to)).is_some(),
            None => self.rows.remove(revision.spec.generation),
        };
        self.step_back(revision);
        self.settle(before, revision.spec.generation, projects);
        removed
    }

    /// Brings all Revisions up to date with the labels of the namespace.
    pub(super) fn relabel(&mut self, projects: &Projects) {
        self.rewrite_tails(projects, &ALL);
    }

    fn note_deletion(&mut self, revision: &Revision) {
        let status = revision.status.as_ref();
        match status.and_then(|status| status.workload_deletion_time) {
            Some(time) => self.deletions.insert(revision.spec.id, time),
            None => self.deletions.remove(&revision.spec.id),
        };
    }

    fn newest(&self) -> Option<i64> {
        self.rows.newest().map(|row| row.generation)
    }

    fn shared_state(&self) -> SharedState {
        SharedState {
            newest: self.newest(),
            deleted_at: self.deleted_at(),
            has_gaps: !self.gaps.is_empty(),
        }
    }

    /// Brings the Revisions up to date after Revision `generation` came, changed or went. Only those are rewritten that
    /// this can concern; otherwise the thousandth Revision of a workload would cost a thousand times the first.
    fn settle(&mut self, before: SharedState, generation: i64, projects: &Projects) {
        let now = self.shared_state();
        let which = if before.has_gaps || now.has_gaps || before.deleted_at != now.deleted_at {
            ALL
        } else if before.newest == now.newest {
            generation..=self.last_naming(generation).unwrap_or(generation)
        } else {
            before.newest.min(now.newest).unwrap_or(generation)..=i64::MAX
        };
        self.rewrite_tails(projects, &which);
    }

    /// The part of [`Siblings`] that is the same for all Revisions of the workload.
    fn siblings<'a>(&'a self, projects: &'a Projects) -> Siblings<'a> {
        let labels = projects.get(&*self.namespace);
        let department = labels.and_then(|labels| labels.department.as_deref());
        let project = labels.and_then(|labels| labels.project.as_deref());
        Siblings {
            latest: false,
            missing: &[],
            removed: None,
            contested: false,
            department: department.unwrap_or(DEFAULT_DEPARTMENT),
            project: project.unwrap_or(&self.namespace),
            deleted_at: self.deleted_at(),
        }
    }

    /// Brings these Revisions up to date with their siblings and their namespace.
    fn rewrite_tails(&mut self, projects: &Projects, which: &RangeInclusive<i64>) {
        let missing = if self.gaps.is_empty() {
            BTreeMap::new()
        } else {
            self.missing()
        };
        self.find_removed(which);
        let newest = self.newest();
        let mut rows = std::mem::take(&mut self.rows);
        let shared = self.siblings(projects);
        rows.rewrite_tails(which, |generation| Siblings {
            latest: Some(generation) == newest,
            missing: missing.get(&generation).map_or(&[], Vec::as_slice),
            removed: self.removed.get(&generation).copied(),
            contested: self.contested.contains(&generation),
            ..shared
        });
        self.rows = rows;
    }
}

/// The last generation that a Revision says to have changed nothing after it.
fn observed(revision: &Revision) -> Version {
    let status = revision.status.as_ref();
    let through = status.and_then(|status| status.observed_through.as_ref());
    through.map_or_else(Version::default, |through| Version {
        generation: through.generation,
        at: through.resource_version.parse().unwrap_or_default(),
    })
}
