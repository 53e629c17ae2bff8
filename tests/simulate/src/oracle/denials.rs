//! The judges' knowledge of Revisions that were refused: each has to be stored soon after nothing
//! is in its way any more, and those of other namespaces must not wait for it.

use super::Oracle;
use crate::server::Denied;
use crate::truth::State;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A generation is recorded so long after it was written, or after nothing was in its way any more.
const LONGEST: TimeDelta = TimeDelta::seconds(60);

/// The Revisions that were refused, and the namespaces in which that can be.
#[derive(Debug, Default)]
pub struct Denials {
    /// Whether a history has no other faults: then a generation that is recorded late was held up.
    pub are_alone: bool,
    /// Generations that were refused, by their workload.
    refused: BTreeSet<(Uuid, i64)>,
    /// Those that a replica that still runs has to write.
    owed: BTreeSet<(usize, Uuid, i64)>,
    /// Until then creates may be refused, by namespace.
    blocked: BTreeMap<String, DateTime<Utc>>,
}

impl Denials {
    /// Creates in a namespace may be refused until then.
    pub fn block(&mut self, namespace: &str, until: DateTime<Utc>) {
        let blocked = self.blocked.entry(namespace.to_owned()).or_insert(until);
        *blocked = until.max(*blocked);
    }

    /// Nothing is refused any more.
    pub fn end(&mut self, now: DateTime<Utc>) {
        for until in self.blocked.values_mut() {
            *until = now.min(*until);
        }
    }

    /// A create was refused. `replica` has sent it, and still runs.
    pub fn refused(&mut self, denied: &Denied, replica: Option<usize>) {
        for generation in denied.generations.clone() {
            self.refused.insert((denied.workload, generation));
            if let Some(replica) = replica {
                self.owed.insert((replica, denied.workload, generation));
            }
        }
    }

    /// A replica has ended: its successor goes on from the checkpoint, or finds a Gap.
    pub fn gone(&mut self, replica: usize) {
        self.owed.retain(|(of, _, _)| *of != replica);
    }

    /// etcd was restored: what was refused may never have been.
    pub fn forget(&mut self) {
        self.owed.clear();
    }

    /// Whether this generation of a workload, or one before it, was refused.
    pub fn has_refused_until(&self, workload: Uuid, generation: i64) -> bool {
        let mut until = self.refused.range((workload, 0)..=(workload, generation));
        until.next().is_some()
    }

    /// The time by which a generation was recorded too late.
    fn lateness(&self, namespace: &str, state: &State, stored: DateTime<Utc>) -> Option<TimeDelta> {
        let freed = self.blocked.get(namespace).copied().unwrap_or_default();
        let late = stored - state.time.max(freed) - LONGEST;
        (self.are_alone && late > TimeDelta::zero()).then_some(late)
    }
}

impl Oracle {
    /// A generation that is recorded at `stored`, although it could have been long before.
    pub(super) fn late(
        &self,
        workload: Uuid,
        generation: i64,
        stored: DateTime<Utc>,
    ) -> Option<String> {
        let life = self.truth.lives.get(&workload)?;
        let state = life.states.get(&generation)?;
        let late = self.denials.lateness(&life.namespace, state, stored)?;
        let told = life.describe(generation);
        let seconds = late.num_seconds();
        Some(format!("{told} is recorded {seconds} s too late"))
    }

    /// Generations that were refused, and are neither stored nor said to be lost.
    pub fn held(&self) -> Vec<String> {
        let lives = &self.truth.lives;
        let owed = self.denials.owed.iter();
        let held = owed.filter_map(|(replica, workload, generation)| {
            let life = lives.get(workload)?;
            let is_over = generation < &life.since
                || self.covers(*workload, life)
                || self.is_settled(*workload, life, *generation);
            let told = life.describe(*generation);
            (!is_over).then(|| format!("{told} is still held by replica {replica}"))
        });
        held.collect()
    }
}
