//! The judges' knowledge of the checkpoint: its beginnings, its texts, and its readers.

use super::part::Part;
use super::{CLUSTER, is_cluster};
use crate::etcd::{Entry, Etcd, Op, Revision};
use crate::truth::Life;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The judges' knowledge of the checkpoint.
#[derive(Debug, Default)]
pub struct Checkpoints {
    /// By kind and group.
    beginnings: BTreeMap<String, Beginning>,
    /// The texts that are stored, by key.
    pub(super) stored: BTreeMap<String, String>,
    /// Texts that a fault has written.
    damaged: BTreeSet<String>,
    /// Generations that only a checkpoint named that is lost: later ones of their workloads are stored, and do not tell
    /// that one before them is missing.
    forgotten: BTreeSet<(Uuid, i64)>,
    /// Workloads of which a create was carried out after its process was gone.
    pub(in crate::oracle) late: BTreeSet<Uuid>,
    /// Replicas that have read it since they started.
    pub(super) read: BTreeSet<usize>,
    /// Replicas that were shown that it is lost, and have not said so yet.
    pub(super) silent: BTreeSet<usize>,
}

/// The beginning of the recording of a kind.
#[derive(Debug)]
struct Beginning {
    /// The place of the newest beginning: the first, or the first after a loss.
    place: Revision,
    /// Where that was written.
    written: Revision,
    /// Where the first one was written.
    first: Revision,
    /// The oldest place from which the first one may be.
    oldest: Revision,
    /// Whether the checkpoint is lost, and no new beginning is written.
    is_lost: bool,
    /// Whether the checkpoint was ever lost.
    was_lost: bool,
    /// The newest loss.
    loss: Loss,
    /// Those after which a beginning was written.
    losses: Vec<Loss>,
}

/// A loss of the checkpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    /// The last place of the kind that was stored.
    last: Revision,
    /// Where the checkpoint was lost.
    at: Revision,
    /// Where the beginning after it was written.
    written: Revision,
}

impl Checkpoints {
    /// A fault writes this text.
    pub fn damage(&mut self, text: &Value) {
        self.damaged.extend(text.as_str().map(str::to_owned));
    }

    /// The checkpoint is lost, or a part of it.
    pub fn lose(&mut self, at: Revision) {
        let texts = self.stored.iter();
        let parts: Vec<_> = texts
            .filter_map(|(key, text)| Part::read(key, text))
            .collect();
        self.forgotten.extend(parts.iter().flat_map(Part::named));
        for (kind, beginning) in &mut self.beginnings {
            let places = parts.iter().filter(|part| part.kind == *kind);
            if !beginning.is_lost {
                let last = places.map(|part| part.place).max().unwrap_or_default();
                let written = Revision::MAX;
                beginning.loss = Loss { last, at, written };
            }
            beginning.is_lost = true;
            beginning.was_lost = true;
        }
    }

    /// Whether a generation was named only by a checkpoint that is lost.
    pub fn is_forgotten(&self, workload: Uuid, generation: i64) -> bool {
        self.forgotten.contains(&(workload, generation))
    }

    /// A replica has ended.
    pub fn gone(&mut self, replica: usize) {
        self.read.remove(&replica);
        self.silent.remove(&replica);
    }

    /// A replica says that the checkpoint is lost. Of several, only the one that leads does.
    pub fn told(&mut self) {
        self.silent.clear();
    }

    /// The texts that a replica has changed, by key.
    pub(super) fn changed(&mut self, entry: &Entry) -> Vec<(String, String)> {
        let stored = texts(entry);
        let is_new = |(key, text): &(&String, &String)| {
            self.stored.get(*key) != Some(*text) && !self.damaged.contains(*text)
        };
        let changed = stored
            .iter()
            .filter(is_new)
            .map(|(key, text)| (key.clone(), text.clone()))
            .collect();
        self.stored = stored;
        changed
    }

    /// Whether the stored checkpoint names another cluster: then it is as good as lost, whatever a replica that was running
    /// when that happened writes into it.
    fn is_foreign(&self, etcd: &Etcd) -> bool {
        let cluster = self.stored.get(CLUSTER);
        cluster.is_some_and(|text| !is_cluster(text, etcd))
    }

    /// Notes the beginning of a kind. True when it is the first.
    pub(super) fn begin(&mut self, part: &Part, etcd: &Etcd) -> bool {
        let now = etcd.revision();
        let is_foreign = self.is_foreign(etcd);
        let Some(beginning) = self.beginnings.get_mut(&part.kind) else {
            let beginning = Beginning {
                place: part.place,
                written: now,
                first: now,
                oldest: part.place.min(etcd.compacted()),
                is_lost: false,
                was_lost: false,
                loss: Loss::default(),
                losses: Vec::new(),
            };
            self.beginnings.insert(part.kind.clone(), beginning);
            return true;
        };
        if beginning.is_lost && !is_foreign {
            beginning.is_lost = false;
            beginning.losses.push(Loss {
                written: now,
                ..beginning.loss
            });
            beginning.written = now;
            beginning.place = part.place;
        } else if beginning.written == now {
            // Both entries of a kind are written at once.
            beginning.place = part.place.max(beginning.place);
        }
        false
    }

    /// Whether everything up to the place of an entry has to be stored. Where several replicas
    /// write, the entry of the one that begins anew after a loss cannot be told from the others'.
    pub(super) fn is_bound(&self, part: &Part, replicas: usize) -> bool {
        let beginning = self.beginnings.get(&part.kind);
        beginning.is_none_or(|beginning| {
            part.place > beginning.place && (replicas == 1 || !beginning.was_lost)
        })
    }

    /// Whether a workload may have been there when recording of its kind began for the first time.
    pub fn is_older(&self, life: &Life) -> bool {
        let beginning = self.beginnings.get(&life.group_kind);
        beginning.is_some_and(|beginning| life.created <= beginning.first)
    }

    /// Whether a workload may have come and gone between the oldest place that could be read and
    /// the first list of its kind, or between the last place that was stored and a loss of it and the first list after
    /// that.
    pub fn is_passing(&self, life: &Life) -> bool {
        let beginning = self.beginnings.get(&life.group_kind);
        beginning
            .zip(life.deleted)
            .is_some_and(|(beginning, deleted)| {
                let losses = beginning.losses.iter();
                let losses = losses.map(|loss| (loss.last, loss.written));
                let mut unseen = losses.chain([(beginning.oldest, beginning.first)]);
                unseen.any(|(from, to)| life.created > from && deleted <= to)
            })
    }

    /// Whether recording may have begun, or begun anew, when a workload was there.
    pub fn begins_within(&self, life: &Life) -> bool {
        let beginning = self.beginnings.get(&life.group_kind);
        beginning.is_none_or(|begun| begun.is_lost || life.created <= begun.written)
    }

    /// Where the checkpoint was lost before the first beginning after a place.
    pub fn lost_before_beginning_after(&self, life: &Life, place: Revision) -> Option<Revision> {
        let beginning = self.beginnings.get(&life.group_kind)?;
        let mut losses = beginning.losses.iter();
        losses.find(|loss| loss.written > place).map(|loss| loss.at)
    }

    /// Whether a Revision of a workload was stored by a process that was gone then, and the checkpoint was lost, which named
    /// the rest: its successor knows nothing of that workload.
    pub fn is_behind_loss(&self, workload: Uuid, life: &Life) -> bool {
        self.late.contains(&workload) && self.was_lost(life)
    }

    /// Whether the checkpoint of a kind was ever lost.
    pub fn was_lost(&self, life: &Life) -> bool {
        let beginning = self.beginnings.get(&life.group_kind);
        beginning.is_some_and(|beginning| beginning.was_lost)
    }
}

/// The texts in the checkpoint after a write, by key.
fn texts(entry: &Entry) -> BTreeMap<String, String> {
    if entry.op == Op::Deleted {
        return BTreeMap::new();
    }
    let data = entry.object.value["data"].as_object();
    data.into_iter()
        .flatten()
        .filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned())))
        .collect()
}
