//! The store: every write of every object in one log, and each object's versions, as etcd keeps them.
//!
//! Nothing of the log is forgotten, since the oracles read it, unless a backup is restored; compaction only moves the
//! place before which the API servers cannot read.

use chrono::{DateTime, Utc};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

/// A place in the log.
pub type Revision = u64;

/// The first place, as if other objects had been written before.
const FIRST: Revision = 1000;

/// A restored etcd goes on so many places later, where the operator asks for it.
const BUMP: Revision = 1_000_000;

/// The key of an object. Objects of a kind are in one range, ordered by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub kind: &'static Kind,
    pub namespace: String,
    pub name: String,
}

/// A kind of object, as it is served.
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own")]
#[derive(Debug)]
pub struct Kind {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub namespaced: bool,
    /// Whether `status` is a subresource, and generations count changes of everything else.
    pub has_status: bool,
    /// Whether it is defined by a CustomResourceDefinition.
    pub is_custom: bool,
    /// Whether annotations count as a change of the generation too.
    pub counts_annotations: bool,
}

// Compared at every read of the store, by the one field in which they all differ.
impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.plural == other.plural
    }
}

impl Eq for Kind {}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> Ordering {
        self.plural.cmp(other.plural)
    }
}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.plural.hash(state);
    }
}

impl Kind {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Created,
    Updated,
    Deleted,
}

/// One write.
#[derive(Clone, Debug)]
pub struct Entry {
    pub at: Revision,
    pub time: DateTime<Utc>,
    pub key: Arc<Key>,
    pub op: Op,
    /// The object as it is then; the last state, with the place of the deletion, of one that is gone.
    pub object: Arc<Object>,
}

/// One state of an object, and its JSON once it was asked for.
#[derive(Debug)]
pub struct Object {
    pub value: Value,
    text: OnceLock<String>,
}

impl Object {
    pub fn new(value: Value) -> Self {
        Self {
            value,
            text: OnceLock::new(),
        }
    }

    pub fn text(&self) -> &str {
        self.text.get_or_init(|| self.value.to_string())
    }
}

#[derive(Debug)]
pub struct Etcd {
    log: Vec<Entry>,
    /// The indices of the writes of each object, ascending.
    objects: BTreeMap<Arc<Key>, Vec<usize>>,
    revision: Revision,
    compacted: Revision,
}

impl Etcd {
    pub fn new() -> Self {
        Self {
            log: Vec::new(),
            objects: BTreeMap::new(),
            revision: FIRST,
            compacted: 0,
        }
    }

    /// The place of the newest write.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The place before which nothing can be read.
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    pub fn compact(&mut self, to: Revision) {
        self.compacted = self.compacted.max(to.min(self.revision));
    }

    /// Goes back to a backup: everything after `to` never was. With `bumped` the next places are beyond all that were
    /// given before, and nothing before them can be read (`etcdutl snapshot restore --bump-revision --mark-compacted`).
    pub fn restore(&mut self, to: Revision, bumped: bool) {
        let kept = self.log.partition_point(|entry| entry.at <= to);
        self.log.truncate(kept);
        self.objects.retain(|_, writes| {
            writes.truncate(writes.partition_point(|index| *index < kept));
            !writes.is_empty()
        });
        if bumped {
            self.revision += BUMP;
            self.compacted = self.revision;
        } else {
            self.revision = to.min(self.revision);
            self.compacted = self.compacted.min(self.revision);
        }
    }

    /// Every write, in order.
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// Writes `object`, whose resourceVersion becomes the place of the write, `skip` places after the last one.
    pub fn put(
        &mut self,
        key: &Key,
        op: Op,
        mut object: Value,
        time: DateTime<Utc>,
        skip: u64,
    ) -> Entry {
        self.revision += 1 + skip;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let key = match self.objects.get_key_value(key) {
            Some((key, _)) => key.clone(),
            None => Arc::new(key.clone()),
        };
        self.objects
            .entry(key.clone())
            .or_default()
            .push(self.log.len());
        let entry = Entry {
            at: self.revision,
            time,
            key,
            op,
            object: Arc::new(Object::new(object)),
        };
        self.log.push(entry.clone());
        entry
    }

    /// The object as it is now.
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        let last = self.objects.get(key)?.last()?;
        Some(&self.log[*last]).filter(|entry| entry.op != Op::Deleted)
    }

    /// The objects of a kind, in one namespace or all, as they were at a place.
    pub fn range<'a>(
        &'a self,
        kind: &'static Kind,
        namespace: Option<&'a str>,
        at: Revision,
    ) -> impl Iterator<Item = &'a Entry> {
        let from = Key {
            kind,
            namespace: namespace.unwrap_or_default().to_owned(),
            name: String::new(),
        };
        self.objects
            .range(from..)
            .take_while(move |(key, _)| {
                key.kind == kind && namespace.is_none_or(|namespace| key.namespace == namespace)
            })
            .filter_map(move |(_, writes)| {
                let before = writes.partition_point(|index| self.log[*index].at <= at);
                let last = writes[..before].last()?;
                Some(&self.log[*last]).filter(|entry| entry.op != Op::Deleted)
            })
    }

    /// The writes after `from`, in order.
    pub fn since(&self, from: Revision) -> &[Entry] {
        &self.log[self.log.partition_point(|entry| entry.at <= from)..]
    }
}
