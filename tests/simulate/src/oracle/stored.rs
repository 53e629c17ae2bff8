//! The Revisions that Revisor has stored, and the Events by which it has said what it cannot record.

use crate::etcd::Revision;
use crate::truth::{Life, uid};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use uuid::Uuid;

/// The Revisions that are stored.
#[derive(Debug, Default)]
pub struct Stored {
    workloads: BTreeMap<Uuid, Workload>,
}

#[derive(Debug, Default)]
struct Workload {
    /// Generations that are recorded, and where each was stored.
    revisions: BTreeMap<i64, Revision>,
    /// Those of them that are stored now.
    present: BTreeSet<i64>,
    /// Whether any Revision was removed.
    was_removed: bool,
    gaps: Vec<(i64, i64)>,
    /// The generations in a Gap that were known when a replica first asked for it.
    asked: BTreeMap<(i64, i64), BTreeSet<i64>>,
    /// The newest generation that is observed, by the generation of the Revision that says so.
    through: BTreeMap<i64, i64>,
    ended: bool,
}

impl Stored {
    pub fn revision(&mut self, workload: Uuid, generation: i64, at: Revision) {
        let workload = self.workloads.entry(workload).or_default();
        workload.revisions.insert(generation, at);
        workload.present.insert(generation);
    }

    /// A Revision was removed, by somebody else than Revisor.
    pub fn removed(&mut self, workload: Uuid, generation: i64) {
        let workload = self.workloads.entry(workload).or_default();
        workload.present.remove(&generation);
        workload.was_removed = true;
    }

    pub fn was_removed(&self, workload: Uuid) -> bool {
        self.of(workload)
            .is_some_and(|workload| workload.was_removed)
    }

    /// Whether this generation or a later one is stored now.
    pub fn reaches(&self, workload: Uuid, generation: i64) -> bool {
        let newest = self
            .of(workload)
            .and_then(|workload| workload.present.last());
        newest.is_some_and(|newest| *newest >= generation)
    }

    /// A replica asks for a Gap, of which these generations are known.
    pub fn asks_for_gap(&mut self, workload: Uuid, gap: (i64, i64), known: BTreeSet<i64>) {
        let workload = self.workloads.entry(workload).or_default();
        workload.asked.entry(gap).or_insert(known);
    }

    /// Whether a generation was known when a replica first asked for the Gap that holds it.
    pub fn was_known(&self, workload: Uuid, generation: i64, gap: (i64, i64)) -> bool {
        let asked = self
            .of(workload)
            .and_then(|workload| workload.asked.get(&gap));
        asked.is_some_and(|known| known.contains(&generation))
    }

    pub fn gap(&mut self, workload: Uuid, from: i64, to: i64) {
        self.workloads
            .entry(workload)
            .or_default()
            .gaps
            .push((from, to));
    }

    /// Returns whether a later generation was observed before.
    pub fn through(&mut self, workload: Uuid, revision: i64, through: i64) -> bool {
        let workload = self.workloads.entry(workload).or_default();
        let newest = workload.through.entry(revision).or_insert(through);
        let goes_back = *newest > through;
        *newest = through.max(*newest);
        goes_back
    }

    pub fn ended(&mut self, workload: Uuid) {
        self.workloads.entry(workload).or_default().ended = true;
    }

    pub fn is_stored(&self, workload: Uuid, generation: i64) -> bool {
        self.of(workload)
            .is_some_and(|workload| workload.revisions.contains_key(&generation))
    }

    /// Whether a later generation is recorded.
    pub fn is_passed(&self, workload: Uuid, generation: i64) -> bool {
        let later = self
            .of(workload)
            .and_then(|workload| workload.revisions.range(generation + 1..).next());
        later.is_some()
    }

    /// The last generation before this one that is recorded.
    pub fn last_before(&self, workload: Uuid, generation: i64) -> Option<i64> {
        self.of(workload)?
            .revisions
            .range(..generation)
            .next_back()
            .map(|(generation, _)| *generation)
    }

    pub fn is_lost(&self, workload: Uuid, generation: i64) -> bool {
        let is_in = |(from, to): &(i64, i64)| (*from..=*to).contains(&generation);
        self.of(workload)
            .is_some_and(|workload| workload.gaps.iter().any(is_in))
    }

    /// Whether a generation is recorded, or one after it is, or it is known to have changed nothing.
    pub fn knows(&self, workload: Uuid, generation: i64) -> bool {
        self.of(workload).is_some_and(|workload| {
            workload.revisions.range(generation..).next().is_some()
                || workload
                    .through
                    .values()
                    .any(|through| *through >= generation)
                || workload.gaps.iter().any(|(from, _)| *from > generation)
        })
    }

    /// The newest generation that is recorded, in a Gap, or known to have changed nothing.
    pub fn newest_known(&self, workload: Uuid) -> i64 {
        let newest = self.of(workload).and_then(|workload| {
            let gaps = workload.gaps.iter().map(|(_, to)| to);
            let known = workload.through.values().chain(gaps);
            let newest = workload.revisions.last_key_value();
            let newest = newest.map(|(generation, _)| generation);
            known.chain(newest).max().copied()
        });
        newest.unwrap_or_default()
    }

    pub fn is_ended(&self, workload: Uuid) -> bool {
        self.of(workload).is_some_and(|workload| workload.ended)
    }

    pub fn has_any(&self, workload: Uuid) -> bool {
        self.of(workload)
            .is_some_and(|workload| !workload.revisions.is_empty() || !workload.gaps.is_empty())
    }

    /// Whether a generation was recorded before a place.
    pub fn has_any_before(&self, workload: Uuid, place: Revision) -> bool {
        self.of(workload)
            .is_some_and(|workload| workload.revisions.values().any(|at| *at < place))
    }

    pub fn counts(&self) -> (usize, usize) {
        let revisions = self
            .workloads
            .values()
            .map(|workload| workload.revisions.len());
        let gaps = self.workloads.values().map(|workload| workload.gaps.len());
        (revisions.sum(), gaps.sum())
    }

    fn of(&self, workload: Uuid) -> Option<&Workload> {
        self.workloads.get(&workload)
    }
}

/// The history that Revisor has said it cannot record: in objects that are stored, as an Event may never arrive. Only
/// that a Revision differs is said by an Event alone.
#[derive(Debug, Default)]
pub struct Said {
    /// Workloads that are gone, and the last generation that is known of each.
    pub ends: BTreeMap<Uuid, i64>,
    /// Intervals in which workloads may have come and gone, by the plural of their kind.
    pub blind: Vec<(String, u64, u64)>,
    /// Workloads whose unknown end was to be told by an Event.
    pub told: BTreeSet<Uuid>,
    /// Names of Revisions that are stored with another content.
    pub differing: BTreeSet<String>,
}

impl Said {
    pub fn event(&mut self, event: &Value) {
        if event["reason"] == "EndUnknown" {
            self.told.extend(uid(&event["regarding"]["uid"]));
        }
        if event["reason"] == "RevisionContested" {
            let note = event["note"].as_str().unwrap_or_default();
            let name = note.split(' ').nth(1).unwrap_or_default();
            self.differing.insert(name.to_owned());
        }
    }

    /// Whether a workload that is gone is said to have had generations that are unknown, this one among them.
    pub fn is_unknown(&self, workload: Uuid, generation: i64) -> bool {
        self.ends
            .get(&workload)
            .is_some_and(|known| *known < generation)
    }

    /// Whether the whole life of a workload lies in an interval that is said to be blind. With
    /// `from_before` its beginning may lie before that.
    pub fn covers(&self, life: &Life, from_before: bool) -> bool {
        let created = if from_before {
            Revision::MAX
        } else {
            life.created
        };
        life.deleted
            .is_some_and(|deleted| self.is_blind(life, created, deleted))
    }

    /// Whether two places lie in an interval that is said to be blind for a kind.
    pub fn is_blind(&self, life: &Life, after: Revision, until: Revision) -> bool {
        let plural = format!("{}s", life.kind.to_lowercase());
        let mut blind = self.blind.iter();
        blind.any(|(of, from, to)| *of == plural && *from < after && until <= *to)
    }
}

/// The workload in a snapshot.
pub fn content(snapshot: &Value) -> anyhow::Result<Value> {
    let data = snapshot["data"].as_str().unwrap_or_default();
    if snapshot["encoding"] == "json" {
        return Ok(serde_json::from_str(data)?);
    }
    let gzip = BASE64_STANDARD.decode(data)?;
    let mut text = String::new();
    GzDecoder::new(gzip.as_slice()).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}
