//! What is stored of one workload, and which generations it explains. Pure.
//!
//! A generation that this process has not seen, and that cannot be read back, is not lost when another replica has
//! recorded it, or has compared it and found that it changed nothing. Only stored objects say so: a Revision of it, a Gap
//! that holds it, a later Revision that names the one before, or the newest generation that is observed.

use crate::history::subtract;
use crate::revision::identity::is_named_after_workload;
use crate::revision::{Gap, ObservedThrough, Revision};
use crate::workload::{Head, Version};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// The Revisions of a workload, as far as they explain generations up to a given one.
#[derive(Debug)]
pub struct Stored {
    workload: Uuid,
    /// The last generation that is to be explained.
    last: i64,
    /// Generations that are explained, in ranges, by the generation of the Revision that explains them.
    explained: Vec<(i64, RangeInclusive<i64>)>,
    /// The newest Revision or Gap that is not above that generation.
    head: Option<Head>,
    /// Whether any Revision says that the workload is deleted, and that its last state was seen.
    ended: bool,
}

/// Generations that were not seen, by what became of them.
#[derive(Debug, PartialEq)]
pub struct Explanation {
    /// Those that nothing explains, from the oldest on.
    pub lost: Vec<RangeInclusive<i64>>,
    /// Whether the last of them is explained.
    pub reaches_end: bool,
}

impl Stored {
    /// Nothing is stored of a workload whose generations up to `last` are to be explained.
    pub fn new(workload: Uuid, last: i64) -> Self {
        Self {
            workload,
            last,
            explained: Vec::new(),
            head: None,
            ended: false,
        }
    }

    /// A Revision is stored. Those of other workloads, and those that are not named after their workload, do not count.
    pub fn add(&mut self, revision: &Revision) {
        let spec = &revision.spec;
        if spec.workload.uid != self.workload || !is_named_after_workload(revision) {
            return;
        }
        let own = own(revision);
        // The Revision that it names as the one before was recorded, and those between changed nothing.
        let previous = spec.previous.as_ref().map(|previous| previous.generation);
        let first = previous.map_or(*own.start(), |previous| previous.min(*own.start()));
        let mut explain = |range| self.explained.push((*own.end(), range));
        explain(first..=*own.end());
        let status = revision.status.as_ref();
        if let Some(through) = status.and_then(|status| status.observed_through.as_ref()) {
            explain(spec.generation..=through.generation);
        }
        self.ended |= status.is_some_and(|status| {
            status.workload_deletion_time.is_some() && !status.workload_end_unknown
        });
        let known = self.head.as_ref().map(|head| head.generation);
        if *own.end() <= self.last && known.is_none_or(|known| known <= *own.end()) {
            self.head = Some(Head::of(revision, true));
        }
    }

    /// Whether a Revision is above the last generation that is to be explained.
    pub fn is_ahead(&self) -> bool {
        let mut generations = self.explained.iter().map(|(generation, _)| *generation);
        generations.any(|generation| generation > self.last)
    }

    /// The workload has come to the generation `live`: whatever is above that was not recorded of it, and explains nothing.
    pub fn live(&mut self, live: i64) {
        self.explained.retain(|(generation, _)| *generation <= live);
    }

    /// Whether the workload is said to be deleted, and its last state to have been seen.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// What became of generations that this process has not seen.
    pub fn explain(&self, generations: &RangeInclusive<i64>) -> Explanation {
        let (from, to) = generations.clone().into_inner();
        let within = |range: &RangeInclusive<i64>| from.max(*range.start())..=to.min(*range.end());
        let explained = self.explained.iter().map(|(_, range)| range);
        let explained: BTreeSet<i64> = explained.flat_map(within).collect();
        let lost = subtract(generations.clone(), &explained);
        let reaches_end = lost
            .last()
            .is_none_or(|last| last.end() < generations.end());
        Explanation { lost, reaches_end }
    }

    /// The newest Revision that is not above the last generation, which is known to have changed nothing if it is above.
    pub fn into_head(self, last: Version) -> Option<Head> {
        let head = self.head?;
        let through = ObservedThrough {
            generation: last.generation,
            resource_version: last.at.to_string(),
        };
        let observed_through = (head.generation < last.generation).then_some(through);
        Some(Head {
            observed_through,
            ..head
        })
    }
}

/// The generations that a Revision is of.
fn own(revision: &Revision) -> RangeInclusive<i64> {
    match revision.spec.gap {
        Some(Gap { from, to, .. }) => from..=to,
        None => revision.spec.generation..=revision.spec.generation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::fixture;
    use crate::revision::{Previous, RevisionStatus, RevisionType, identity};

    /// The workload of the fixture.
    const W: Uuid = Uuid::from_u128(5);

    fn stored(generation: i64, previous: Option<i64>) -> Revision {
        let mut revision = fixture(generation);
        revision.spec.previous = previous.map(|generation| Previous {
            generation,
            digest: String::new(),
        });
        revision.status = None;
        revision
    }

    fn observed(revision: Revision, generation: i64) -> Revision {
        let observed_through = Some(ObservedThrough {
            generation,
            resource_version: "9".to_owned(),
        });
        let status = Some(RevisionStatus {
            observed_through,
            ..RevisionStatus::default()
        });
        Revision { status, ..revision }
    }

    fn gap(from: i64, to: i64) -> Revision {
        let mut revision = stored(to, None);
        let spec = &mut revision.spec;
        spec.r#type = RevisionType::Gap;
        spec.id = identity::gap_id(W, from, to);
        spec.gap = Some(Gap {
            from,
            to,
            reason: "Compacted".to_owned(),
        });
        revision.metadata.name = Some(identity::gap_name(&spec.workload.name, W, from, to));
        revision
    }

    fn explained(stored: &[Revision], generations: RangeInclusive<i64>) -> Explanation {
        let mut all = Stored::new(W, *generations.end());
        for revision in stored {
            all.add(revision);
        }
        all.explain(&generations)
    }

    #[test]
    fn nothing_stored_explains_nothing() {
        let explanation = explained(&[stored(1, None)], 2..=4);
        assert_eq!(explanation.lost, [2..=4]);
        assert!(!explanation.reaches_end);
    }

    #[test]
    fn what_is_recorded_compared_or_in_a_gap_is_explained() {
        let all = [
            observed(stored(1, None), 3),
            gap(5, 6),
            stored(8, None),
            stored(12, Some(8)),
        ];
        let explanation = explained(&all, 2..=12);
        assert_eq!(explanation.lost, [4..=4, 7..=7]);
        assert!(explanation.reaches_end);
    }

    #[test]
    fn a_revision_that_was_removed_is_not_lost() {
        let explanation = explained(&[stored(9, Some(5))], 4..=8);
        assert_eq!(explanation.lost, [4..=4]);
    }

    #[test]
    fn a_revision_above_the_live_generation_explains_nothing() {
        let mut all = Stored::new(W, 4);
        all.add(&stored(1, None));
        assert!(!all.is_ahead());
        all.add(&stored(1000, Some(1)));
        assert!(all.is_ahead());
        assert_eq!(all.explain(&(2..=4)).lost, []);
        all.live(5);
        assert_eq!(all.explain(&(2..=4)).lost, [2..=4]);
    }

    #[test]
    fn another_workload_and_a_wrong_name_explain_nothing() {
        let mut other = stored(3, Some(1));
        other.spec.workload.uid = Uuid::from_u128(8);
        let mut misnamed = stored(3, Some(1));
        misnamed.metadata.name = Some("x".to_owned());
        assert_eq!(explained(&[other, misnamed], 2..=3).lost, [2..=3]);
    }

    #[test]
    fn the_head_is_the_newest_that_is_not_above_the_last_generation() {
        let mut all = Stored::new(W, 10);
        for revision in [stored(3, None), stored(7, Some(3)), stored(12, Some(7))] {
            all.add(&revision);
        }
        let at = "40".parse().expect("a number");
        let generation = 10;
        let head = all.into_head(Version { generation, at }).expect("a head");
        assert_eq!((head.generation, head.last().generation), (7, 10));
        assert!(head.snapshot.is_some());
    }
}
