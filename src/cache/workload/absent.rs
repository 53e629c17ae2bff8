//! Generations of a workload that are not there: in Gaps, or removed. Pure.

use super::CachedWorkload;
use crate::cache::WorkloadRef;
use crate::cache::render::type_name;
use crate::cache::rows::Row;
use crate::cache::wire::{Missing, Removed, rfc3339};
use crate::history::subtract;
use crate::revision::{Revision, RevisionType};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::num::NonZeroI64;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// A Gap, without its generations.
#[derive(Debug)]
pub(super) struct RecordedGap {
    pub(super) id: Uuid,
    pub(super) reason: String,
    pub(super) time: DateTime<Utc>,
    /// Whether it is stored under the long form of its name.
    pub(super) has_long_name: bool,
}

impl CachedWorkload {
    /// The generations of the Gaps that were not found later, by the Revision that shows them: the next newer one, or
    /// else the newest.
    pub(super) fn missing(&self) -> BTreeMap<i64, Vec<Missing>> {
        let mut all: BTreeMap<i64, Vec<Missing>> = BTreeMap::new();
        let Some(newest) = self.newest() else {
            return all;
        };
        for ((first, last), gap) in &self.gaps {
            let recorded = self.rows.within(&(*first..=*last)).collect();
            for range in subtract(*first..=*last, &recorded) {
                let (from, to) = range.into_inner();
                let carrier = self.rows.within(&(to..=i64::MAX)).min().unwrap_or(newest);
                all.entry(carrier).or_default().push(Missing {
                    from,
                    to,
                    reason: gap.reason.clone(),
                });
            }
        }
        all
    }

    /// The newest Revision that names this generation as the one before it.
    pub(super) fn last_naming(&self, generation: i64) -> Option<i64> {
        let names = |row: &&Row| {
            row.previous
                .is_some_and(|previous| previous.get() == generation)
        };
        let mut newer = self
            .rows
            .iter()
            .take_while(|row| row.generation > generation);
        newer.find(names).map(|row| row.generation)
    }

    /// Finds out again which Revisions are removed, as far as these name them.
    pub(super) fn find_removed(&mut self, which: &RangeInclusive<i64>) {
        let named = self.rows.rows_within(which);
        let found: Vec<_> = named
            .filter_map(|row| Some((row.generation, self.removed_by_name(row)?)))
            .collect();
        self.removed
            .retain(|generation, _| !which.contains(generation));
        self.removed.extend(found);
    }

    /// The Revision that a row names as the one before it, where it is not there.
    fn removed_by_name(&self, row: &Row) -> Option<Removed> {
        let previous = row.previous?.get();
        let is_there = self.has(previous) || self.is_in_gap(previous);
        (!is_there).then_some(Removed {
            from: previous,
            to: previous,
        })
    }

    fn is_in_gap(&self, generation: i64) -> bool {
        self.gaps
            .keys()
            .any(|(from, to)| (*from..=*to).contains(&generation))
    }
}

/// The generation that a Revision names as the one before it.
pub(super) fn previous(revision: &Revision) -> Option<NonZeroI64> {
    let spec = &revision.spec;
    let previous = spec.previous.as_ref()?.generation;
    NonZeroI64::new(previous).filter(|previous| (1..spec.generation).contains(&previous.get()))
}

impl RecordedGap {
    /// The Gap in the terms of the contract, as far as they fit.
    pub(super) fn render(&self, workload: &WorkloadRef, from: i64, to: i64) -> Bytes {
        let json = serde_json::json!({
            "id": self.id, "name": workload.name, "workloadId": workload.uid, "createdAt": rfc3339(self.time),
            "additionalFields": {
                "revisionType": type_name(RevisionType::Gap), "generation": to, "kind": workload.kind,
                "apiVersion": workload.api_version, "namespace": &*workload.namespace,
                "missing": [Missing { from, to, reason: self.reason.clone() }],
            },
        });
        Bytes::from(json.to_string())
    }
}
