//! What a hostile writer has stored: nothing of it counts, and nothing else is excused by it.

use crate::etcd::Key;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Everything that was forged.
#[derive(Debug, Default)]
pub struct Hostile {
    /// Namespaces and names of Revisions.
    forged: BTreeSet<(String, String)>,
    /// The last generation that is claimed to have changed nothing, by workload.
    claims: BTreeMap<Uuid, i64>,
}

impl Hostile {
    pub fn forge(&mut self, key: &Key) {
        self.forged
            .insert((key.namespace.clone(), key.name.clone()));
    }

    pub fn is_forged(&self, key: &Key) -> bool {
        self.forged
            .contains(&(key.namespace.clone(), key.name.clone()))
    }

    pub fn claim(&mut self, workload: Uuid, generation: i64) {
        let claimed = self.claims.entry(workload).or_insert(generation);
        *claimed = generation.max(*claimed);
    }

    /// Whether it is claimed of a workload that generations changed nothing.
    pub fn claims_any(&self, workload: Uuid) -> bool {
        self.claims.contains_key(&workload)
    }

    /// Whether that is claimed up to this generation. It explains what cannot be read.
    pub fn claims(&self, workload: Uuid, generation: i64) -> bool {
        self.claims
            .get(&workload)
            .is_some_and(|claimed| *claimed >= generation)
    }
}
