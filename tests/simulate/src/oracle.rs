//! The judges of a history: what Revisor has stored and said, compared with what happened.
//!
//! Each write is judged when it is carried out, against the state of the world at that moment; what is still missing
//! is asked for at the end.

mod checkpoint;
mod denials;
mod extra;
mod hostile;
mod loss;
pub mod statuses;
mod stored;

pub use checkpoint::Checkpoints;
pub use denials::Denials;
pub use hostile::Hostile;
pub use stored::{Said, Stored};

use crate::etcd::{Entry, Etcd, Op, Revision};
use crate::kinds::{CONFIG_MAP, REVISION};
use crate::truth::{Life, Truth, uid};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The promise that is broken, in one word.
    pub promise: Promise,
    pub text: String,
}

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Promise {
    /// Every change is recorded or named.
    NoneMissing,
    /// Nothing is recorded that was no change.
    NoneExtra,
    /// A Revision is of the object and the content that it names.
    NoneWrong,
    /// A Gap names nothing that is known or can be read.
    NoFalseGap,
    /// A Revision never changes, apart from its view.
    Immutable,
    /// Everything before the checkpoint is stored, or named by it, and no replica overwrites it
    /// unread.
    CheckpointDurable,
    /// The checkpoint's time is not later than its place.
    CheckpointTime,
    /// The observed generation of a Revision never goes back.
    ObservedForward,
    /// Recording goes on once nothing is in its way.
    Liveness,
    /// A replica never ends by itself.
    NoEnd,
    /// An end that is unknown is told by an Event of its own, unless a replica was killed before it could.
    Told,
    /// etcd is not said to have been restored when it was not.
    NoFalseRewind,
    /// Once nothing happens any more, statuses agree with the pods.
    StatusesAtRest,
    /// A history takes no more memory than it needs.
    Memory,
}

/// The judges.
#[expect(clippy::struct_excessive_bools, reason = "each excuses something else")]
#[derive(Default)]
pub struct Oracle {
    pub truth: Truth,
    pub stored: Stored,
    pub said: Said,
    pub denials: Denials,
    pub checkpoints: Checkpoints,
    pub violations: Vec<Violation>,
    /// Revisions of generations that changed nothing, and the violation that each is unless a Gap is before it.
    pub suspects: Vec<(Uuid, i64, String)>,
    /// The names of Revisions that another writer has stored, by the generation that they stand for.
    pub forged: BTreeMap<(Uuid, i64), String>,
    /// What a hostile writer has stored.
    pub hostile: Hostile,
    /// Whether several replicas write: then one may not know yet what another has stored.
    pub replicas: usize,
    /// Whether a list was answered from the past: then no place can be dated.
    pub is_misled: bool,
    /// Whether etcd was restored from a backup.
    pub is_restored: bool,
    /// Whether a replica was killed: then an Event may never have been written.
    pub is_killed: bool,
    /// Whether a watch has lost an event: then the checkpoint passes it, until the next audit finds it.
    pub is_deaf: bool,
    /// Up to where etcd's history is compacted.
    pub compacted: Revision,
}

impl Oracle {
    pub fn violated(&mut self, promise: Promise, text: String) {
        self.violations.push(Violation { promise, text });
    }

    /// One violation for all of these; none where there are none.
    pub fn violated_all(&mut self, promise: Promise, texts: &[String]) {
        if !texts.is_empty() {
            self.violated(promise, texts.join("; "));
        }
    }

    /// Judges a write that was just carried out.
    pub fn saw(&mut self, entry: &Entry, etcd: &Etcd, autoscaled: bool) {
        self.truth.saw(entry, autoscaled);
        self.compacted = etcd.compacted();
        if *entry.key.kind == REVISION {
            self.revision(entry, etcd);
        } else if *entry.key.kind == CONFIG_MAP && entry.key.name == "revisor-checkpoint" {
            self.checkpoint(entry, etcd);
        }
    }

    /// etcd was restored: the truth and everything stored are those of its log. What was said before stays said.
    pub fn restored(&mut self, log: &[Entry], etcd: &Etcd, autoscaled: &BTreeSet<Revision>) {
        let mut before = Self {
            replicas: self.replicas,
            ..Self::default()
        };
        for entry in log {
            before.saw(entry, etcd, autoscaled.contains(&entry.at));
        }
        self.truth = before.truth;
        self.stored = before.stored;
        self.is_restored = true;
        self.denials.forget();
    }

    /// A replica has ended: the answers to its requests reach no process.
    pub fn gone(&mut self, replica: usize) {
        self.is_killed = true;
        self.denials.gone(replica);
        self.checkpoints.gone(replica);
    }

    /// An Event that Revisor wants to be written, whether that succeeds or not: EtcdRewound breaks a promise at once.
    pub fn heard(&mut self, body: &[u8]) {
        let Ok(event) = serde_json::from_slice::<Value>(body) else {
            return;
        };
        if event["reason"] == "EtcdRewound" && !self.is_restored {
            let note = event["note"].as_str().unwrap_or_default().to_owned();
            self.violated(Promise::NoFalseRewind, note);
        }
        if event["reason"] == "CheckpointLost" {
            self.checkpoints.told();
        }
        self.said.event(&event);
    }

    fn revision(&mut self, entry: &Entry, etcd: &Etcd) {
        let object = &entry.object.value;
        let Some(workload) = uid(&object["spec"]["workload"]["uid"]) else {
            return self.violated(
                Promise::NoneWrong,
                format!("a Revision of nothing: {object}"),
            );
        };
        if self.hostile.is_forged(&entry.key) {
            return;
        }
        match entry.op {
            Op::Deleted => {
                let generation = object["spec"]["generation"].as_i64();
                let generation = generation.unwrap_or_default();
                self.stored.removed(workload, generation);
            }
            Op::Updated => self.status(workload, object),
            Op::Created if object["spec"]["type"] == "Gap" => self.gap(workload, object, etcd),
            Op::Created => self.created(workload, entry, etcd),
        }
    }

    fn created(&mut self, workload: Uuid, entry: &Entry, etcd: &Etcd) {
        let object = &entry.object.value;
        let generation = object["spec"]["generation"].as_i64().unwrap_or_default();
        let Some(life) = self.truth.lives.get(&workload) else {
            return self.violated(Promise::NoneWrong, format!("no such workload: {workload}"));
        };
        if self.forged.contains_key(&(workload, generation)) {
            return;
        }
        let told = life.describe(generation);
        let wrong = wrong(life, generation, entry);
        let is_baseline = object["spec"]["type"] == "Baseline";
        let extra = self.is_extra(workload, life, generation, is_baseline, etcd);
        let late = self.late(workload, generation, entry.time);
        if let Some(text) = wrong {
            self.violated(Promise::NoneWrong, text);
        }
        if extra {
            let text = format!("{told} changed nothing: {}", object["spec"]["type"]);
            // The Gap before it may be refused at the moment, and come later.
            self.suspects.push((workload, generation, text));
        }
        if let Some(text) = late {
            self.violated(Promise::Liveness, text);
        }
        self.stored.revision(workload, generation, entry.at);
    }

    /// A replica asks for a Revision. A Gap is judged by what was known then: a create of a process that is gone may be
    /// carried out after another process has stored the same.
    pub fn asked_for_revision(&mut self, body: &[u8]) {
        let object: Value = serde_json::from_slice(body).unwrap_or_default();
        let gap = &object["spec"]["gap"];
        let ends = gap["from"].as_i64().zip(gap["to"].as_i64());
        if let Some((workload, (from, to))) = uid(&object["spec"]["workload"]["uid"]).zip(ends) {
            let known = (from..=to).filter(|generation| self.is_known(workload, *generation));
            let known = known.collect();
            self.stored.asks_for_gap(workload, (from, to), known);
        }
    }

    fn gap(&mut self, workload: Uuid, object: &Value, etcd: &Etcd) {
        let gap = &object["spec"]["gap"];
        let from = gap["from"].as_i64().unwrap_or_default();
        let to = gap["to"].as_i64().unwrap_or_default();
        let Some(life) = self.truth.lives.get(&workload) else {
            return self.violated(Promise::NoneWrong, format!("no such workload: {workload}"));
        };
        // What was removed while nobody looked, of a workload that has changed since then, cannot be told from what was lost.
        let is_unknown = self.is_killed && self.stored.was_removed(workload);
        let mut wrong = Vec::new();
        for generation in from..=to {
            let told = life.describe(generation);
            let Some(state) = life.states.get(&generation) else {
                wrong.push(format!("{told} never was, and is in a Gap"));
                continue;
            };
            if state.is_readable(etcd.compacted()) {
                wrong.push(format!("{told} can be read, and is in a Gap"));
            }
            if !is_unknown && self.stored.was_known(workload, generation, (from, to)) {
                wrong.push(format!("{told} is known, or in another Gap, and in a Gap"));
            }
        }
        for text in wrong {
            self.violated(Promise::NoFalseGap, text);
        }
        self.stored.gap(workload, from, to);
    }

    /// Whether a generation is recorded, known to have changed nothing, or in a Gap. One that was refused is passed by
    /// later ones.
    fn is_known(&self, workload: Uuid, generation: i64) -> bool {
        let is_passed = || self.denials.has_refused_until(workload, generation);
        self.stored.is_stored(workload, generation)
            || self.stored.is_lost(workload, generation)
            || self.stored.knows(workload, generation) && !is_passed()
    }

    fn status(&mut self, workload: Uuid, object: &Value) {
        let generation = object["spec"]["generation"].as_i64().unwrap_or_default();
        let through = object["status"]["observedThrough"]["generation"].as_i64();
        let is_claimed = self.hostile.claims_any(workload);
        if let Some(through) = through.filter(|_| !is_claimed) {
            let told = self
                .truth
                .lives
                .get(&workload)
                .map(|life| life.describe(through));
            if self.stored.through(workload, generation, through) && self.replicas == 1 {
                let text = format!("{} is observed after a later one", told.unwrap_or_default());
                self.violated(Promise::ObservedForward, text);
            }
        }
        if object["status"].get("workloadDeletionTime").is_some() {
            self.stored.ended(workload);
        }
        if object["status"]["workloadEndUnknown"] == true {
            let known = self.stored.newest_known(workload);
            self.said.ends.entry(workload).or_insert(known);
        }
    }

    /// Everything that is neither stored nor said.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (workload, life) in &self.truth.lives {
            if self.covers(*workload, life) {
                continue;
            }
            let unsettled = life.states.keys().filter(|generation| {
                **generation >= life.since && !self.is_settled(*workload, life, **generation)
            });
            missing.extend(unsettled.map(|generation| life.describe(*generation)));
            missing.extend(self.headless(*workload, life));
            let has_end = life.deleted.is_none()
                || self.stored.is_ended(*workload)
                || self.stored.was_removed(*workload)
                || !self.stored.has_any(*workload);
            if !has_end {
                missing.push(life.end());
            }
        }
        missing
    }

    /// A live workload whose newest Revision was removed, and is not stored again.
    fn headless(&self, workload: Uuid, life: &Life) -> Option<String> {
        let mut states = life.states.range(life.since..).rev();
        let (head, _) = states.find(|(_, state)| !state.quiet)?;
        let is_gone = life.deleted.is_none()
            && self.stored.was_removed(workload)
            && self.stored.is_stored(workload, *head)
            && !self.stored.reaches(workload, *head);
        is_gone.then(|| format!("{}, which was removed,", life.describe(*head)))
    }

    /// Workloads whose end is unknown, and of which no Event says so.
    pub fn untold(&self) -> Vec<String> {
        if self.is_killed {
            return Vec::new();
        }
        let untold = self
            .said
            .ends
            .keys()
            .filter(|workload| !self.said.told.contains(workload));
        untold
            .map(|workload| format!("the unknown end of {workload}"))
            .collect()
    }

    /// Whether a generation is recorded, in a Gap, said to be unknown, or quiet and known to be.
    fn is_settled(&self, workload: Uuid, life: &Life, generation: i64) -> bool {
        let is_quiet = life.states.get(&generation).is_none_or(|state| state.quiet);
        let forged = self.forged.get(&(workload, generation));
        if let Some(name) = forged.filter(|_| !is_quiet) {
            return self.said.differing.contains(name);
        }
        // Where the content of the generation before cannot be had, the last recorded one is compared with.
        let is_quiet = is_quiet || self.is_as_recorded(workload, life, generation);
        let is_unreadable = life
            .states
            .get(&generation)
            .is_none_or(|state| !state.is_readable(self.compacted));
        self.stored.is_stored(workload, generation)
            || self.stored.is_lost(workload, generation)
            || (is_unreadable && self.hostile.claims(workload, generation))
            || (is_quiet && self.hostile.claims_any(workload))
            || (is_quiet && self.stored.knows(workload, generation))
            // Whatever said so was removed. A restart finds by the checkpoint that nothing is lost.
            || (is_quiet && self.stored.was_removed(workload))
            || self.said.is_unknown(workload, generation)
            || self.is_before_loss(workload, life, generation)
            || self.checkpoints.is_forgotten(workload, generation)
    }

    /// Whether the life of a workload is said to have gone unseen, or need not have been seen: it
    /// may have been over when recording began. Of one that was there then, an interval that is
    /// blind need not hold the beginning.
    fn covers(&self, workload: Uuid, life: &Life) -> bool {
        let is_unknown = !self.stored.has_any(workload);
        let from_before = is_unknown && self.checkpoints.is_older(life);
        // A restart may have found the end of one that came and went before the first list.
        self.said.covers(life, from_before)
            || self.checkpoints.is_passing(life)
            || self.checkpoints.is_behind_loss(workload, life)
    }
}

impl Oracle {
    /// Whether a generation has the spec of the last one before it that is recorded.
    fn is_as_recorded(&self, workload: Uuid, life: &Life, generation: i64) -> bool {
        let before = self.stored.last_before(workload, generation);
        let spec = |generation: i64| life.states.get(&generation).map(|state| &state.spec);
        before.is_some_and(|before| spec(before) == spec(generation))
    }
}

/// The way in which a Revision is not what it says.
fn wrong(life: &Life, generation: i64, entry: &Entry) -> Option<String> {
    let told = life.describe(generation);
    let object = &entry.object.value;
    let Some(state) = life.states.get(&generation) else {
        return Some(format!("{told} never was"));
    };
    if entry.key.namespace != life.namespace
        || object["spec"]["workload"]["name"] != life.name.as_str()
    {
        return Some(format!("{told} is recorded of another workload"));
    }
    let at = object["spec"]["resourceVersion"]
        .as_str()
        .and_then(|at| at.parse().ok());
    let is_there = |at: u64| at >= state.from && state.until.is_none_or(|until| at <= until);
    if !at.is_some_and(is_there) {
        return Some(format!("{told} was not at {at:?}"));
    }
    match stored::content(&object["spec"]["snapshot"]) {
        Ok(content) if content["spec"] == state.spec => None,
        Ok(content) => Some(format!("{told} has another content: {}", content["spec"])),
        Err(error) => Some(format!("{told} cannot be unpacked: {error}")),
    }
}
