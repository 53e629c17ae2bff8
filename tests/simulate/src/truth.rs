//! The true history of each workload, from the log of etcd.

use crate::etcd::{Entry, Op, Revision};
use crate::kinds::is_workload;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The life of one workload.
#[derive(Debug)]
pub struct Life {
    pub kind: &'static str,
    pub group_kind: String,
    pub namespace: String,
    pub name: String,
    pub created: Revision,
    pub deleted: Option<Revision>,
    /// By generation.
    pub states: BTreeMap<i64, State>,
    /// The first generation that has to be recorded; what came before is from before Revisor.
    pub since: i64,
}

/// One generation.
#[derive(Debug)]
pub struct State {
    /// Where it was first.
    pub from: Revision,
    /// When it was written first.
    pub time: DateTime<Utc>,
    /// Where it was written last: a watch from before that shows it.
    pub last: Revision,
    /// Where it was no more: the next generation, or the end.
    pub until: Option<Revision>,
    pub spec: Value,
    /// Whether it changed nothing that counts.
    pub quiet: bool,
}

impl State {
    /// Whether it can still be read at some place.
    pub fn is_readable(&self, compacted: Revision) -> bool {
        self.until.is_none_or(|until| until > compacted)
    }
}

/// All workloads that ever were.
#[derive(Debug, Default)]
pub struct Truth {
    pub lives: BTreeMap<Uuid, Life>,
}

impl Truth {
    /// Takes in a write. `autoscaled` when an autoscaler made it.
    pub fn saw(&mut self, entry: &Entry, autoscaled: bool) {
        if !is_workload(entry.key.kind) {
            return;
        }
        let object = &entry.object.value;
        let Some(uid) = uid(&object["metadata"]["uid"]) else {
            return;
        };
        let life = self.lives.entry(uid).or_insert_with(|| Life {
            kind: entry.key.kind.kind,
            group_kind: format!("{}.{}", entry.key.kind.kind, entry.key.kind.group),
            namespace: entry.key.namespace.clone(),
            name: entry.key.name.clone(),
            created: entry.at,
            deleted: None,
            states: BTreeMap::new(),
            since: 1,
        });
        let generation = object["metadata"]["generation"]
            .as_i64()
            .unwrap_or_default();
        life.is_in(generation, entry, autoscaled);
        if entry.op == Op::Deleted {
            life.deleted = Some(entry.at);
            if let Some(mut last) = life.states.last_entry() {
                last.get_mut().until = Some(entry.at);
            }
        }
    }
}

impl Truth {
    /// Recording of a kind begins: generations that were over at the oldest place are from before
    /// Revisor.
    pub fn begin(&mut self, group_kind: &str, oldest: Revision) {
        let of_kind = |life: &&mut Life| life.group_kind == group_kind;
        for life in self.lives.values_mut().filter(of_kind) {
            let mut states = life.states.iter();
            let first = states.find(|(_, state)| state.is_readable(oldest));
            life.since = first.map_or(i64::MAX, |(generation, _)| *generation);
        }
    }

    /// The generation that a live workload has next.
    pub fn next(&self, workload: &Value) -> Option<(Uuid, i64)> {
        let workload = uid(workload)?;
        let life = self
            .lives
            .get(&workload)
            .filter(|life| life.deleted.is_none())?;
        let (last, _) = life.states.last_key_value()?;
        Some((workload, last + 1))
    }
}

impl Life {
    fn is_in(&mut self, generation: i64, entry: &Entry, autoscaled: bool) {
        if let Some(state) = self.states.get_mut(&generation) {
            state.last = entry.at;
            return;
        }
        let spec = entry.object.value["spec"].clone();
        let mut quiet = autoscaled;
        if let Some(mut before) = self.states.last_entry() {
            before.get_mut().until = Some(entry.at);
            quiet |= before.get().spec == spec;
        }
        let state = State {
            from: entry.at,
            time: entry.time,
            last: entry.at,
            until: None,
            spec,
            quiet,
        };
        self.states.insert(generation, state);
    }

    /// Its end, in words.
    pub fn end(&self) -> String {
        format!("the end of {} {}/{}", self.kind, self.namespace, self.name)
    }

    pub fn describe(&self, generation: i64) -> String {
        format!(
            "generation {generation} of {} {}/{}",
            self.kind, self.namespace, self.name
        )
    }
}

pub fn uid(value: &Value) -> Option<Uuid> {
    Uuid::try_parse(value.as_str()?).ok()
}
