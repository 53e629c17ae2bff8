//! The stored Revisions and Gaps, the stored checkpoint, and what was said of what is not stored.

use crate::beginning::Beginning;
use crate::bounds::Bounds;
use crate::server::{BEGIN, Object, Server, Write, place, uid};
use revisor::watch::Position;
use revisor::watch::checkpoint::CheckpointEntry;
use revisor::workload::{Ack, Head, ResourceVersion};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use uuid::Uuid;

/// One write on its way to the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// A Revision of this generation.
    Revision(i64),
    /// A Gap over these generations.
    Gap(RangeInclusive<i64>),
    /// The newest Revision says that the workload was deleted.
    Deleted,
}

/// The history of one workload, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StoredWorkload {
    /// Where the generation of each Revision was seen.
    revisions: BTreeMap<i64, ResourceVersion>,
    /// Where the last generation of each Gap may have been, by its last and first generation.
    gaps: BTreeMap<(i64, i64), ResourceVersion>,
    /// Whether it is known to have been deleted.
    pub deleted: bool,
}

/// Everything that is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    workloads: BTreeMap<Object, StoredWorkload>,
    /// The checkpoint, as its text is read; none when it cannot be.
    pub checkpoint: Option<CheckpointEntry>,
    /// Whether there is no checkpoint because it was lost, or none was ever written.
    pub is_lost: bool,
    /// Where recording began without a checkpoint.
    pub beginning: Option<Beginning>,
    /// Intervals in which objects may have come and gone.
    pub blind: BTreeSet<(u64, u64)>,
    /// Workloads whose end is not known, and the last generation that is.
    pub ends: BTreeSet<(Object, i64)>,
    /// Whether etcd was said to be restored.
    pub restored: bool,
}

impl Store {
    /// The store of a recorder that has come to [`BEGIN`]: object 0 is recorded. Or that of one that was never started.
    pub fn new(server: &Server, bounds: Bounds) -> Self {
        let mut store = Self {
            workloads: BTreeMap::new(),
            checkpoint: None,
            is_lost: true,
            beginning: None,
            blind: BTreeSet::new(),
            ends: BTreeSet::new(),
            restored: false,
        };
        if !bounds.first_start {
            let begin = Ack {
                through: place(BEGIN),
                time: server.time(BEGIN),
            };
            store.save(&CheckpointEntry::new(begin, Vec::new(), Vec::new()));
            store.take(0, &Record::Revision(1), place(BEGIN));
        }
        store
    }

    /// The checkpoint is written, as text.
    pub fn save(&mut self, entry: &CheckpointEntry) {
        self.checkpoint = CheckpointEntry::decode(&entry.encode()).ok();
        self.is_lost = false;
    }

    /// The checkpoint is deleted.
    pub fn lose(&mut self) {
        self.checkpoint = None;
        self.is_lost = true;
    }

    /// A list shows a place.
    pub fn list(&mut self, at: u64) {
        if let Some(beginning) = &mut self.beginning {
            beginning.list(at);
        }
    }

    /// The position of the checkpoint.
    pub fn position(&self) -> Option<Position> {
        self.checkpoint.as_ref().map(|entry| entry.position)
    }

    /// A write arrives. A Revision or a Gap that exists stays.
    pub fn take(&mut self, object: Object, record: &Record, at: ResourceVersion) {
        let workload = self.workloads.entry(object).or_default();
        match record {
            Record::Revision(generation) => {
                workload.revisions.entry(*generation).or_insert(at);
            }
            Record::Gap(generations) => {
                let key = (*generations.end(), *generations.start());
                workload.gaps.entry(key).or_insert(at);
            }
            Record::Deleted => workload.deleted = true,
        }
    }

    /// The newest Revision of every workload.
    pub fn heads(&self) -> Vec<(Uuid, Head)> {
        let head = |(object, workload): (&Object, &StoredWorkload)| (uid(*object), workload.head());
        self.workloads.iter().map(head).collect()
    }

    /// The first generation of every workload that is stored or named by a Gap.
    pub fn first_generations(&self) -> BTreeMap<Object, i64> {
        let first = |(object, workload): (&Object, &StoredWorkload)| {
            let gaps = workload.gaps.keys().map(|(_, first)| first);
            let first = workload.revisions.keys().chain(gaps).min();
            Some((*object, *first?))
        };
        self.workloads.iter().filter_map(first).collect()
    }

    /// The generations of an object, among these, that have a Revision or are in a Gap.
    pub fn recorded(&self, object: Object, generations: &RangeInclusive<i64>) -> BTreeSet<i64> {
        let range = |workload: &StoredWorkload| {
            let is_there = |generation: &i64| workload.holds(*generation);
            generations.clone().filter(is_there).collect()
        };
        self.workloads.get(&object).map(range).unwrap_or_default()
    }

    /// The history of an object.
    pub fn workload(&self, object: Object) -> Option<&StoredWorkload> {
        self.workloads.get(&object)
    }

    /// Whether what a write has made is stored, or named by a Gap, a blind interval or an unknown end; or is not known,
    /// since recording began later.
    pub fn accounts_for(&self, server: &Server, write: Write) -> bool {
        let Write {
            object, generation, ..
        } = write;
        let is_stored = || {
            self.workload(object)
                .is_some_and(|workload| workload.holds(generation))
        };
        let mut ends = self.ends.iter();
        generation == 0
            || is_stored()
            || ends.any(|(ended, last)| *ended == object && generation > *last)
            || self.is_blind_for(server, object)
            || !self.expects(server, write)
    }

    fn expects(&self, server: &Server, write: Write) -> bool {
        let beginning = self.beginning.as_ref();
        beginning.is_none_or(|beginning| beginning.expects(server, write))
    }

    /// Whether an object lived within a blind interval.
    fn is_blind_for(&self, server: &Server, object: Object) -> bool {
        let Some((created, deleted)) = server.created(object).zip(server.deleted(object)) else {
            return false;
        };
        self.blind
            .iter()
            .any(|(from, to)| *from < created && deleted <= *to)
    }
}

impl StoredWorkload {
    fn head(&self) -> Head {
        let revision = self.revisions.last_key_value();
        let gap = self.gaps.last_key_value();
        let newest = revision.map(|(generation, at)| (*generation, *at));
        let gap = gap.map(|((last, _), at)| (*last, *at));
        let (generation, resource_version) = gap
            .filter(|(last, _)| newest.is_none_or(|(generation, _)| *last > generation))
            .or(newest)
            .unwrap_or_default();
        Head {
            generation,
            resource_version,
            deleted: self.deleted,
            ..Head::default()
        }
    }

    fn holds(&self, generation: i64) -> bool {
        let covers = |(last, first): &(i64, i64)| (*first..=*last).contains(&generation);
        self.revisions.contains_key(&generation) || self.gaps.keys().any(covers)
    }
}
