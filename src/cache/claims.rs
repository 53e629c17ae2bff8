//! Which of the stored Revisions are believed. Pure.
//!
//! Whoever may create Revisions in a namespace can store what never was. What the watch of a kind has shown of a live
//! workload tells: its Revisions lie in its namespace, name it, and are of generations that it has had. Of a workload
//! that is not there nothing is known but its Revisions; there the age of their namespaces decides ([`super::ownership`]).
//!
//! In: the changes that the watches show, and Revisions. Out: the reason for which a Revision is not believed, if there is
//! one.

use crate::revision::identity::is_named_after_workload;
use crate::revision::{Revision, Workload};
use crate::snapshot::is_sound;
use crate::workload::{Change, Resource};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use uuid::Uuid;

/// Why a Revision is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Doubt {
    /// Its generation is above that of its live workload. The watch may be late.
    Generation,
    /// Its live workload is in another namespace.
    Namespace,
    /// Its live workload has another name or is of another kind.
    Workload,
    /// Its own name or its id does not follow from its workload and its generation.
    Name,
    /// Its snapshot is not of its digest.
    Content,
}

impl Doubt {
    pub(super) const ALL: [Self; 5] = [
        Self::Generation,
        Self::Namespace,
        Self::Workload,
        Self::Name,
        Self::Content,
    ];

    /// One CamelCase word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Generation => "Generation",
            Self::Namespace => "Namespace",
            Self::Workload => "Workload",
            Self::Name => "Name",
            Self::Content => "Content",
        }
    }

    /// For people.
    pub(super) fn explain(self) -> &'static str {
        match self {
            Self::Generation => "its workload has not had that generation",
            Self::Namespace => "its workload is in another namespace",
            Self::Workload => "its workload has another name or kind",
            Self::Name => "its name or its id is not that of its workload and generation",
            Self::Content => "its snapshot is not the one that its digest names",
        }
    }
}

/// A workload that is there, as the watch of its kind has shown it.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) namespace: Arc<str>,
    pub(super) resource: Arc<Resource>,
    /// The newest generation.
    pub(super) generation: i64,
    /// Of metadata.name. There may be many that are not recorded, and names take memory.
    name: u64,
    /// Whether it is gone since. What was known of it still tells what it never was.
    is_over: bool,
}

/// All live workloads of the kinds that are watched.
#[derive(Debug, Default)]
pub(super) struct LiveWorkloads {
    all: HashMap<Uuid, Live>,
    /// Names of namespaces, each once.
    namespaces: HashSet<Arc<str>>,
    hasher: RandomState,
}

impl LiveWorkloads {
    pub(super) fn get(&self, uid: Uuid) -> Option<&Live> {
        self.all.get(&uid)
    }

    /// Whether a workload is there.
    pub(super) fn is_live(&self, uid: Uuid) -> bool {
        self.all.get(&uid).is_some_and(|live| !live.is_over)
    }

    /// Whether a change shows no more than is known.
    pub(super) fn knows(&self, change: &Change) -> bool {
        self.all
            .get(&change.uid)
            .is_some_and(|live| !live.is_over && live.generation >= change.generation)
    }

    /// The watch has shown a workload that is there.
    pub(super) fn see(&mut self, change: &Change) {
        let generation = match self.all.get(&change.uid) {
            Some(live) if live.generation != i64::MAX => live.generation.max(change.generation),
            _ => change.generation,
        };
        let live = Live {
            namespace: self.namespace(&change.namespace),
            resource: change.resource.clone(),
            generation,
            name: self.hasher.hash_one(change.name.as_str()),
            is_over: false,
        };
        self.all.insert(change.uid, live);
    }

    /// Whether a generation is above what is known of a workload.
    pub(super) fn is_above(&self, uid: Uuid, generation: i64) -> bool {
        let live = self.all.get(&uid);
        live.is_some_and(|live| live.generation < generation)
    }

    /// A workload that is or was there has had a generation.
    pub(super) fn raise(&mut self, uid: Uuid, generation: i64) {
        if let Some(live) = self.all.get_mut(&uid) {
            live.generation = live.generation.max(generation);
        }
    }

    /// A workload is gone. What is known of it is kept as long as the process runs if it `is_recorded`; unless its last
    /// state `is_shown`, it may have had any generation.
    pub(super) fn end(&mut self, uid: Uuid, is_recorded: bool, is_shown: bool) {
        if !is_recorded {
            self.all.remove(&uid);
        } else if let Some(live) = self.all.get_mut(&uid) {
            live.is_over = true;
            if !is_shown {
                live.generation = i64::MAX;
            }
        }
    }

    fn namespace(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.namespaces.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.namespaces.insert(name.clone());
        name
    }

    /// Why a Revision is not believed; none when it is.
    pub(super) fn doubt(&self, revision: &Revision) -> Option<Doubt> {
        if !is_named_after_workload(revision) {
            return Some(Doubt::Name);
        }
        if !is_sound(&revision.spec) {
            return Some(Doubt::Content);
        }
        let live = self.all.get(&revision.spec.workload.uid)?;
        if revision.metadata.namespace.as_deref() != Some(&*live.namespace) {
            return Some(Doubt::Namespace);
        }
        if !self.is_of(&revision.spec.workload, live) {
            return Some(Doubt::Workload);
        }
        (last(revision) > live.generation).then_some(Doubt::Generation)
    }

    /// Whether a Revision names the live workload that has its uid.
    fn is_of(&self, workload: &Workload, live: &Live) -> bool {
        workload.kind == live.resource.kind
            && workload.group() == live.resource.group
            && self.hasher.hash_one(workload.name.as_str()) == live.name
    }
}

/// The last generation that a Revision or a Gap stands for.
pub(super) fn last(revision: &Revision) -> i64 {
    let spec = &revision.spec;
    spec.gap
        .as_ref()
        .map_or(spec.generation, |gap| gap.to.max(spec.generation))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cache::render::tests::revision;
    use crate::revision::{Gap, Observed, RevisionType, identity};
    use crate::workload::{Op, ResourceVersion};
    use serde_json::value::RawValue;

    /// The workload of [`revision`], live in a generation.
    pub(in crate::cache) fn live(generation: i64) -> Change {
        let workload = revision(1).spec.workload;
        let resource = Resource {
            group: workload.group().to_owned(),
            version: "v1".into(),
            kind: workload.kind,
            plural: "deployments".into(),
        };
        Change {
            resource: Arc::new(resource),
            uid: workload.uid,
            name: workload.name,
            namespace: "team-a".into(),
            generation,
            resource_version: ResourceVersion::FIRST,
            created: None,
            seen: Observed::List,
            op: Op::Added,
            raw: RawValue::from_string("{}".into()).expect("JSON"),
            absent_at: None,
        }
    }

    /// The same with content of its digest.
    pub(in crate::cache) fn sound(generation: i64) -> Revision {
        let mut sound = revision(generation);
        let text = r#"{"spec":{"a":1}}"#;
        let digest = identity::ContentDigest::of_canonical_spec(br#"{"a":1}"#);
        sound.spec.content_digest = Some(digest.to_string());
        let snapshot = sound.spec.snapshot.as_mut().expect("one");
        snapshot.encoding = crate::revision::SnapshotEncoding::Json;
        snapshot.size = i64::try_from(text.len()).expect("small");
        snapshot.data = Some(text.to_owned());
        sound
    }

    fn lives(generation: i64) -> LiveWorkloads {
        let mut lives = LiveWorkloads::default();
        lives.see(&live(generation));
        lives
    }

    fn with(generation: i64, change: impl FnOnce(&mut Revision)) -> Revision {
        let mut revision = sound(generation);
        change(&mut revision);
        revision
    }

    #[test]
    fn what_does_not_fit_is_doubted_and_why() {
        let lives = lives(5);
        let gap = |from, to| {
            with(to, |gap| {
                let uid = gap.spec.workload.uid;
                gap.spec.r#type = RevisionType::Gap;
                gap.spec.id = identity::gap_id(uid, from, to);
                gap.metadata.name = Some(identity::gap_name("llama", uid, from, to));
                gap.spec.snapshot = None;
                gap.spec.gap = Some(Gap {
                    from,
                    to,
                    reason: "Compacted".into(),
                });
            })
        };
        let cases = vec![
            (sound(5), None),
            (sound(1), None),
            (gap(2, 5), None),
            (sound(6), Some(Doubt::Generation)),
            (sound(1_000_000_000_000), Some(Doubt::Generation)),
            (gap(2, 6), Some(Doubt::Generation)),
            (
                with(5, |r| r.metadata.namespace = Some("team-b".into())),
                Some(Doubt::Namespace),
            ),
            (
                with(5, |r| r.spec.workload.kind = "Other".into()),
                Some(Doubt::Workload),
            ),
            (
                with(5, |r| r.spec.workload.api_version = "other/v1".into()),
                Some(Doubt::Workload),
            ),
            (
                with(5, |r| r.metadata.name = Some("x".into())),
                Some(Doubt::Name),
            ),
            (with(5, |r| r.spec.id = Uuid::nil()), Some(Doubt::Name)),
            (
                with(5, |r| r.spec.content_digest = None),
                Some(Doubt::Content),
            ),
            (
                with(5, |r| {
                    r.spec.snapshot.as_mut().expect("one").data = Some("{}".into());
                }),
                Some(Doubt::Content),
            ),
        ];
        for (revision, expected) in cases {
            assert_eq!(
                lives.doubt(&revision),
                expected,
                "{:?}",
                revision.metadata.name
            );
        }
        // A version of the kind is no part of what it is.
        let moved = with(5, |r| r.spec.workload.api_version = "apps/v2".into());
        assert_eq!(lives.doubt(&moved), None);
    }

    #[test]
    fn of_a_workload_that_is_not_there_only_the_revision_itself_is_looked_at() {
        let mut lives = LiveWorkloads::default();
        assert_eq!(lives.doubt(&sound(9)), None);
        assert_eq!(
            lives.doubt(&with(9, |r| r.spec.id = Uuid::nil())),
            Some(Doubt::Name)
        );
        lives.see(&live(5));
        assert!(lives.is_live(live(5).uid) && lives.knows(&live(4)) && !lives.knows(&live(6)));
        lives.see(&live(4));
        assert_eq!(
            lives.doubt(&sound(5)),
            None,
            "an older state takes nothing back"
        );
        lives.end(live(5).uid, true, true);
        assert!(!lives.is_live(live(5).uid));
        assert_eq!(lives.doubt(&sound(6)), Some(Doubt::Generation));
        lives.end(live(5).uid, true, false);
        assert_eq!(lives.doubt(&sound(6)), None);
        lives.see(&live(5));
        assert_eq!(lives.doubt(&sound(6)), Some(Doubt::Generation));
        lives.end(live(5).uid, false, true);
        assert_eq!(lives.doubt(&sound(6)), None);
    }
}
