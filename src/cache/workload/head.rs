//! The head of a workload, from which its recorder goes on at the start: made from the newest Revision, and made anew when
//! that is removed. Pure.

use super::CachedWorkload;
use crate::cache::namespaces::Projects;
use crate::cache::rows::Row;
use crate::kinds::GroupKind;
use crate::record::queue::StatusPatch;
use crate::revision::identity::{self, ContentDigest};
use crate::revision::{Gap, ObservedThrough, Previous, Revision};
use crate::workload::{Head, RemovedHead, Version};
use bytes::Bytes;
use serde::Deserialize;
use std::borrow::Cow;
use std::cmp::Reverse;

/// A Revision or a Gap of a workload, by its generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Recorded {
    Revision(i64),
    Gap { from: i64, to: i64 },
}

impl Recorded {
    pub(in crate::cache) fn of(revision: &Revision) -> Self {
        match revision.spec.gap {
            Some(Gap { from, to, .. }) => Self::Gap { from, to },
            None => Self::Revision(revision.spec.generation),
        }
    }

    /// Orders them by their last generation. One whose content is known counts more than a Gap that ends with it, and of
    /// two Gaps the longer one.
    fn rank(self) -> (i64, bool, Reverse<i64>) {
        match self {
            Self::Revision(generation) => (generation, true, Reverse(generation)),
            Self::Gap { from, to } => (to, false, Reverse(from)),
        }
    }

    /// The last of its generations.
    pub(in crate::cache) fn last(self) -> i64 {
        self.rank().0
    }
}

impl CachedWorkload {
    /// A Revision or a Gap has come: the head is made from it if it is the newest.
    pub(super) fn follow(&mut self, revision: &Revision, keep_snapshot: bool) {
        let recorded = Recorded::of(revision);
        if self.newest_recorded() == Some(recorded) {
            self.head = Head::of(revision, keep_snapshot);
        }
    }

    /// A Revision or a Gap is gone: if it was the head, the newest one that is left takes its place. The generations
    /// before the one that was removed stay accounted for, or they would be taken for lost.
    pub(super) fn step_back(&mut self, revision: &Revision) {
        if revision.metadata.name.as_ref() != Some(&self.head.revision) {
            return;
        }
        let last = self.head.last();
        self.accounted = Some(Box::new(Version {
            generation: last.generation - 1,
            at: last.at,
        }));
        let left = self.newest_recorded();
        self.head = left.map_or_else(Head::default, |recorded| self.rebuilt(recorded, last));
    }

    /// Takes out a Revision or a Gap that is not the workload's: no generation is accounted for by it. Returns the name
    /// under which it is stored.
    pub(in crate::cache) fn disown(&mut self, recorded: Recorded, projects: &Projects) -> String {
        let name = self.stored_name(recorded);
        let before = self.shared_state();
        match recorded {
            Recorded::Revision(generation) => {
                let id = self.rows.get(generation).map(|(row, _)| row.id);
                id.map(|id| self.deletions.remove(&id));
                self.rows.remove(generation);
            }
            Recorded::Gap { from, to } => {
                let gap = self.gaps.remove(&(from, to));
                gap.map(|gap| self.deletions.remove(&gap.id));
            }
        }
        if name == self.head.revision {
            let left = self.newest_recorded();
            self.head = left.map_or_else(Head::default, |left| self.restored(left));
        }
        self.settle(before, recorded.last(), projects);
        name
    }

    /// Everything that is stored of the workload.
    pub(in crate::cache) fn all_recorded(&self) -> Vec<Recorded> {
        let revisions = self
            .rows
            .iter()
            .map(|row| Recorded::Revision(row.generation));
        let gaps = self.gaps.keys();
        let gaps = gaps.map(|(from, to)| Recorded::Gap {
            from: *from,
            to: *to,
        });
        revisions.chain(gaps).collect()
    }

    /// The Revisions that name another workload than this one.
    pub(in crate::cache) fn of_others(&self, name: &str, kind: &GroupKind) -> Vec<Recorded> {
        let is_other = |(row, json): (&Row, Bytes)| {
            let rendered = serde_json::from_slice::<Names<'_>>(&json).ok();
            let is_ours = rendered.is_some_and(|of| {
                let group = of.additional_fields.api_version.split_once('/');
                of.name == name
                    && of.additional_fields.kind == kind.kind
                    && group.map_or("", |(group, _)| group) == kind.group
            });
            (!is_ours).then_some(Recorded::Revision(row.generation))
        };
        self.rows.with_json().filter_map(is_other).collect()
    }

    /// The head that is made from what is kept of an older Revision, of which everything is believed.
    pub(super) fn restored(&self, recorded: Recorded) -> Head {
        let Recorded::Revision(generation) = recorded else {
            return self.rebuilt(recorded, Version::default());
        };
        let row = self.rows.get(generation).map(|(row, _)| *row);
        let (at, quiet) = row.map_or_else(Default::default, |row| (row.at, row.through));
        let last = Version { generation, at };
        let observed_through = (quiet.generation > generation).then(|| through(&quiet));
        Head {
            observed_through,
            ..self.rebuilt(recorded, last)
        }
    }

    /// The head, with its snapshot unless the workload is deleted. The cache keeps the head without the snapshot.
    pub(in crate::cache) fn hand_over(&mut self) -> Head {
        let snapshot = self.head.snapshot.take();
        // Another Revision than the newest may say that the workload is deleted.
        let deleted = self.deleted_at().is_some();
        let last = self.head.last().generation;
        let accounted = self.accounted.as_ref();
        let accounted = accounted.filter(|accounted| accounted.generation > last);
        Head {
            deleted,
            snapshot: snapshot.filter(|_| !deleted),
            normals: self
                .rows
                .iter()
                .filter(|_| !deleted)
                .filter_map(|row| Some((row.generation, row.normal?)))
                .collect(),
            observed_through: accounted
                .map(|accounted| through(accounted))
                .or_else(|| self.head.observed_through.clone()),
            ..self.head.clone()
        }
    }

    /// The head, if it is a Revision of a workload that is not deleted, and `of` is it where that is given.
    pub(in crate::cache) fn live_head(&self, of: Option<&Revision>) -> Option<RemovedHead> {
        let is_it =
            |revision: &Revision| revision.metadata.name.as_ref() == Some(&self.head.revision);
        if !of.is_none_or(is_it) || self.deleted_at().is_some() {
            return None;
        }
        let (row, _) = self.rows.get(self.head.generation)?;
        let named = row.previous.map(|generation| Previous {
            generation: generation.get(),
            digest: String::new(),
        });
        let whole = of.and_then(|revision| revision.spec.previous.clone());
        Some(RemovedHead {
            head: self.stored(),
            previous: whole.or(named),
        })
    }

    /// Whether a Revision is there with the same content, or a Gap of the same generations.
    pub(in crate::cache) fn holds(&self, revision: &Revision) -> bool {
        if **self.namespace() != *revision.metadata.namespace.as_deref().unwrap_or_default() {
            return false;
        }
        let recorded = Recorded::of(revision);
        match recorded {
            Recorded::Gap { from, to } => self.gaps.contains_key(&(from, to)),
            Recorded::Revision(generation) => {
                self.has(generation)
                    && self.rendered_fields(recorded).content_digest == revision.spec.content_digest
            }
        }
    }

    /// Whether the head says of later generations what a patch of its status would say, or more. That never goes back, whoever
    /// of several replicas is the last to write.
    pub(in crate::cache) fn says(&self, patch: &StatusPatch) -> bool {
        let ends = patch.deletion_time.is_some() || patch.end_unknown;
        let is_it = !ends && self.head.revision == patch.name;
        let [said, stored] = [&patch.observed_through, &self.head.observed_through];
        let is_less = said.as_ref().zip(stored.as_ref());
        is_it && is_less.is_some_and(|(said, stored)| said.generation <= stored.generation)
    }

    /// The head without its snapshot.
    pub(in crate::cache) fn stored(&self) -> Head {
        Head {
            snapshot: None,
            ..self.head.clone()
        }
    }

    /// The generation of the head; of a Gap the last one.
    pub(in crate::cache) fn last_recorded(&self) -> i64 {
        self.head.generation
    }

    /// Whether this generation or a later one is there, or in a Gap.
    pub(in crate::cache) fn reaches(&self, generation: i64) -> bool {
        let newest = self.newest_recorded().map(Recorded::last);
        newest.is_some_and(|newest| newest >= generation)
    }

    pub(super) fn newest_recorded(&self) -> Option<Recorded> {
        let believed = |row: &&Row| !self.contested.contains(&row.generation);
        let revision = self.rows.iter().find(believed);
        let revision = revision.map(|row| Recorded::Revision(row.generation));
        let gaps = self.gaps.keys();
        let gaps = gaps.map(|(from, to)| Recorded::Gap {
            from: *from,
            to: *to,
        });
        gaps.chain(revision).max_by_key(|recorded| recorded.rank())
    }

    /// The head that is made from what is kept of a Revision or a Gap: its snapshot is not. The workload was last seen at
    /// `last`, a later place than that of the Revision, which is not kept either.
    fn rebuilt(&self, recorded: Recorded, last: Version) -> Head {
        let workload = &self.reference;
        let fields = self.rendered_fields(recorded);
        Head {
            namespace: self.namespace.to_string(),
            name: workload.name.clone(),
            revision: self.stored_name(recorded),
            generation: recorded.last(),
            resource_version: last.at,
            api_version: fields
                .api_version
                .unwrap_or_else(|| workload.api_version.clone()),
            only_gap: matches!(recorded, Recorded::Gap { from: 1, .. }),
            digest: fields
                .content_digest
                .as_deref()
                .and_then(ContentDigest::parse),
            ..Head::default()
        }
    }

    /// The name under which a Revision or a Gap is stored.
    pub(in crate::cache) fn stored_name(&self, recorded: Recorded) -> String {
        let name = &self.reference.name;
        let uid = self.reference.uid;
        let (short, has_long_name) = match recorded {
            Recorded::Revision(generation) => {
                let row = self.rows.get(generation);
                let has_long_name = row.is_some_and(|(row, _)| row.has_long_name);
                (identity::name(name, uid, generation), has_long_name)
            }
            Recorded::Gap { from, to } => {
                let gap = self.gaps.get(&(from, to));
                let has_long_name = gap.is_some_and(|gap| gap.has_long_name);
                (identity::gap_name(name, uid, from, to), has_long_name)
            }
        };
        let long = has_long_name.then(|| identity::lengthened(&short, uid));
        long.flatten().unwrap_or(short)
    }

    /// The digest of a Revision.
    pub(in crate::cache) fn digest(&self, generation: i64) -> Option<ContentDigest> {
        let fields = self.rendered_fields(Recorded::Revision(generation));
        let digest = fields.content_digest?;
        ContentDigest::parse(&digest)
    }

    /// The fields of a Revision that only its JSON has; none of a Gap.
    fn rendered_fields(&self, recorded: Recorded) -> RenderedFields {
        let Recorded::Revision(generation) = recorded else {
            return RenderedFields::default();
        };
        let json = self.rows.get(generation).map(|(_, json)| json);
        let rendered = json.and_then(|json| serde_json::from_slice::<Rendered>(&json).ok());
        rendered.map_or_else(RenderedFields::default, |rendered| {
            rendered.additional_fields
        })
    }
}

/// The JSON of a Revision, as far as it names its workload.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names<'j> {
    name: Cow<'j, str>,
    #[serde(borrow)]
    additional_fields: NamedFields<'j>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedFields<'j> {
    kind: Cow<'j, str>,
    api_version: Cow<'j, str>,
}

/// The JSON of a Revision, as far as a head is made from it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rendered {
    additional_fields: RenderedFields,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenderedFields {
    api_version: Option<String>,
    content_digest: Option<String>,
}

fn through(version: &Version) -> ObservedThrough {
    ObservedThrough {
        generation: version.generation,
        resource_version: version.at.to_string(),
    }
}
