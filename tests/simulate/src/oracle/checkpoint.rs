//! Judges the checkpoint: nothing before its place may be missing, its time may not be later than
//! its place, and no replica writes it before it has read it.
//!
//! Two entries of a kind are judged. That under the kind's own key has a place before which
//! everything is stored or named. That under `v2.` and the same key has a later one, and names the
//! generations before it that are not stored: its exceptions. The first entry of a kind is a
//! beginning, which is written before anything can be stored; so is the first one after a loss.

mod known;
mod part;

pub use known::Checkpoints;

use super::{Oracle, Promise};
use crate::etcd::{Entry, Etcd, Key, Revision};
use crate::kinds::NAMESPACE;
use crate::truth::{Life, State, uid};
use chrono::{DateTime, Utc};
use part::{LATER, Part};
use serde_json::Value;
use uuid::Uuid;

/// The oldest place that can be read is found to this fraction of the history that can be read.
const PRECISION: Revision = 100;
/// The key of the cluster of which the checkpoint is: the uid of its namespace kube-system.
const CLUSTER: &str = "cluster";

impl Oracle {
    pub(super) fn checkpoint(&mut self, entry: &Entry, etcd: &Etcd) {
        let mut parts = Vec::new();
        for (key, text) in self.checkpoints.changed(entry) {
            if key == CLUSTER {
                if !is_cluster(&text, etcd) {
                    self.violated(
                        Promise::CheckpointDurable,
                        format!("another cluster: {text}"),
                    );
                }
            } else if let Some(part) = Part::read(&key, &text) {
                parts.push(part);
            } else {
                self.violated(Promise::CheckpointDurable, format!("{key}: {text}"));
            }
        }
        for part in &parts {
            if self.checkpoints.begin(part, etcd) {
                self.truth.begin(&part.kind, oldest(etcd));
            }
            self.blind(part);
        }
        for part in &parts {
            self.judge_place(part, etcd);
            self.judge_time(part, etcd);
        }
    }

    fn judge_place(&mut self, part: &Part, etcd: &Etcd) {
        if self.is_deaf || !self.checkpoints.is_bound(part, self.replicas) {
            return;
        }
        let Part { kind, place, .. } = part;
        if let Some(text) = self.ahead(part, etcd.compacted()) {
            let which = if part.is_later {
                "later place"
            } else {
                "place"
            };
            let text = format!("the {which} of {kind} is {place}, and {text} is not stored");
            self.violated(Promise::CheckpointDurable, text);
        }
        let exceptions = part.value["exceptions"].as_array();
        let mut wrong = exceptions.into_iter().flatten();
        if let Some(exception) = wrong.find(|exception| !self.is_exception(exception, etcd)) {
            let text = format!("an exception of {kind} is of nothing: {exception}");
            self.violated(Promise::CheckpointDurable, text);
        }
    }

    fn judge_time(&mut self, part: &Part, etcd: &Etcd) {
        let Part { kind, place, .. } = part;
        let time = part.value["time"].as_str();
        let time = time.and_then(|time| time.parse::<DateTime<Utc>>().ok());
        let next = etcd.since(*place).first();
        let is_late = |(time, next): (DateTime<Utc>, &Entry)| time > next.time;
        if !self.is_misled && time.zip(next).is_some_and(is_late) {
            let text = format!("{kind} is at {place}, which is older than {time:?}");
            self.violated(Promise::CheckpointTime, text);
        }
    }

    /// Intervals that the checkpoint says are blind.
    fn blind(&mut self, part: &Part) {
        let kind = part.kind.split('.').next().unwrap_or_default();
        let plural = format!("{}s", kind.to_lowercase());
        for interval in part.value["blind"].as_array().into_iter().flatten() {
            let end = |name: &str| interval[name].as_str().and_then(|at| at.parse().ok());
            if let Some((from, to)) = end("from").zip(end("to")) {
                let blind = (plural.clone(), from, to);
                if !self.said.blind.contains(&blind) {
                    self.said.blind.push(blind);
                }
            }
        }
    }

    /// Something of a kind that happened up to the place of an entry, and is neither stored nor one
    /// of its exceptions.
    fn ahead(&self, part: &Part, compacted: Revision) -> Option<String> {
        let lives = self.truth.lives.iter();
        let lives = lives.filter(|(_, life)| life.group_kind == part.kind);
        for (workload, life) in lives.filter(|(workload, life)| !self.covers(**workload, life)) {
            if let Some(generation) = self.unsettled(*workload, life, part, compacted) {
                return Some(life.describe(generation));
            }
            let has_ended = life.deleted.is_some_and(|deleted| deleted <= part.place);
            let is_named = self.stored.is_ended(*workload)
                || self.stored.was_removed(*workload)
                || !self.stored.has_any(*workload)
                || part.exceptions(*workload).next().is_some();
            if has_ended && !is_named {
                return Some(life.end());
            }
        }
        None
    }

    fn unsettled(
        &self,
        workload: Uuid,
        life: &Life,
        part: &Part,
        compacted: Revision,
    ) -> Option<i64> {
        let mut before = life
            .states
            .range(life.since..)
            .take_while(|(_, state)| state.last <= part.place);
        let is_open = |(generation, state): &(&i64, &State)| {
            let is_passed = self.stored.knows(workload, **generation);
            let is_lost = !state.is_readable(compacted);
            !self.is_settled(workload, life, **generation)
                && !part.excepts(workload, **generation, state.quiet, is_lost, is_passed)
        };
        before.find(is_open).map(|(generation, _)| *generation)
    }

    /// Whether an exception names a generation of a workload, where it can be read.
    fn is_exception(&self, exception: &Value, etcd: &Etcd) -> bool {
        let workload = uid(&exception["uid"]);
        let Some(life) = workload.and_then(|workload| self.truth.lives.get(&workload)) else {
            return false;
        };
        let generation = exception["generation"].as_i64().unwrap_or_default();
        let Some(state) = life.states.get(&generation) else {
            return false;
        };
        let at = exception["resourceVersion"].as_str();
        let at: Option<Revision> = at.and_then(|at| at.parse().ok());
        let is_there = |at: Revision| {
            at >= state.from && state.until.is_none_or(|until| at <= until)
                || !state.is_readable(etcd.compacted())
        };
        exception["namespace"] == life.namespace.as_str()
            && exception["name"] == life.name.as_str()
            && at.is_some_and(is_there)
    }

    /// A replica writes the checkpoint.
    pub fn writes_checkpoint(&mut self, replica: usize) {
        if !self.checkpoints.read.contains(&replica) {
            let text = format!("replica {replica} writes a checkpoint that it has not read");
            self.violated(Promise::CheckpointDurable, text);
        }
    }

    /// A replica is shown the checkpoint. For the first time: where recording has begun, and no
    /// entry of a kind can be read, the replica has to say so.
    pub fn shown_checkpoint(&mut self, replica: usize, code: u16, body: &str, etcd: &Etcd) {
        if !matches!(code, 200 | 404) || !self.checkpoints.read.insert(replica) {
            return;
        }
        let object: Value = serde_json::from_str(body).unwrap_or_default();
        let cluster = object["data"][CLUSTER].as_str();
        let is_foreign = cluster.is_some_and(|text| !is_cluster(text, etcd));
        let is_lost = |life: &Life| is_foreign || !is_readable(&object["data"], &life.group_kind);
        let mut lives = self.truth.lives.iter();
        if lives.any(|(workload, life)| self.stored.has_any(*workload) && is_lost(life)) {
            self.checkpoints.silent.insert(replica);
        }
    }

    /// Duties that are left at the end.
    pub fn left(&self) -> Vec<String> {
        let silent = self.checkpoints.silent.iter();
        let silent = silent
            .map(|replica| format!("replica {replica} has not said that the checkpoint is lost"));
        let texts = self.checkpoints.stored.iter();
        let later = texts.filter_map(|(key, text)| Part::read(key, text));
        let excepted = later.filter_map(|part| {
            let first = part.value["exceptions"].get(0)?;
            Some(format!("{} still has an exception: {first}", part.kind))
        });
        silent.chain(excepted).collect()
    }
}

/// The place before which recording need not begin: the oldest one that can be read, as exactly as
/// it has to be found.
pub(super) fn oldest(etcd: &Etcd) -> Revision {
    let readable = etcd.revision() - etcd.compacted();
    etcd.compacted() + 2 + readable / PRECISION
}

/// Whether a text names the simulated cluster.
fn is_cluster(text: &str, etcd: &Etcd) -> bool {
    let key = Key {
        kind: &NAMESPACE,
        namespace: String::new(),
        name: "kube-system".to_owned(),
    };
    let system = etcd
        .get(&key)
        .map(|entry| &entry.object.value["metadata"]["uid"]);
    let uid = system.and_then(Value::as_str);
    uid.is_some_and(|uid| text.contains(uid))
}

/// Whether one of the two entries of a kind can be read.
fn is_readable(data: &Value, kind: &str) -> bool {
    let keys = [kind.to_owned(), format!("{LATER}{kind}")];
    keys.iter().any(|key| {
        let text = data[key].as_str().unwrap_or_default();
        Part::read(key, text).is_some()
    })
}
