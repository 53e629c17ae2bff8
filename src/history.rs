//! Queries on the Revisions of one workload, and comparisons of what they hold: which one is meant, which one was before
//! it, what is missing, what two contents differ in, who owns a workload, and the way back to an earlier state. Pure.

pub mod at;
pub mod delta;
pub mod kept;
pub mod last_applied;
pub mod lives;
pub mod managed;
pub mod moment;
pub mod noise;
pub mod owner;
pub mod references;
pub mod same;
pub mod selector;
#[cfg(test)]
pub(crate) mod sample;
pub mod which;

pub use which::{Which, find, skipped};

use crate::revision::{Gap, Revision, RevisionType};
use chrono::{DateTime, SecondsFormat, Utc};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Why there is no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HistoryError {
    /// No such Revision.
    #[error("there is no revision {0}; there are: {1}")]
    NoSuchRevision(String, String),
    /// An id has to be told apart from others.
    #[error("{prefix:?} is the beginning of {} ids: {}", ids.len(), ids.join(", "))]
    Ambiguous {
        /// The beginning.
        prefix: String,
        /// The ids that begin so.
        ids: Vec<String>,
    },
    /// No Revision came to run, or all of those are marked as bad.
    #[error("no revision is known to be good: none has the outcome Succeeded")]
    NoneGood,
    /// No Revision has pods that are ready.
    #[error("no revision serves: none has pods that are ready")]
    NoneServes,
    /// The history begins later.
    #[error("nothing is recorded at {0}: the history begins at {since}", since = .1.map_or_else(|| "no time".to_owned(), rfc3339))]
    TooEarly(String, Option<DateTime<Utc>>),
    /// The workload was deleted before.
    #[error("the workload was not there at {0}: it was deleted at {time}", time = rfc3339(*.1))]
    Deleted(String, DateTime<Utc>),
    /// The state at that time is not recorded.
    #[error("the state at {0} is not recorded: generations {1} are missing")]
    InGap(String, String),
}

/// A time in whole seconds.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Whether pods of a Revision are ready, so that it may be answering requests.
pub fn serves(revision: &Revision) -> bool {
    let status = revision.status.as_ref();
    status.is_some_and(|status| status.ready_pods.is_some_and(|pods| pods > 0))
}

/// `1, 2, 5, …, 9` at most.
fn numbers(history: &[Revision]) -> String {
    let all: Vec<_> = history
        .iter()
        .map(|r| r.spec.generation.to_string())
        .collect();
    match all.as_slice() {
        [first @ .., last] if first.len() > 10 => format!("{}, …, {last}", first[..10].join(", ")),
        all => all.join(", "),
    }
}

/// The generations of a Gap that were not found later either.
pub fn missing(gap: &Gap, history: &[Revision]) -> Vec<RangeInclusive<i64>> {
    let recorded = history
        .iter()
        .filter(|r| r.spec.gap.is_none())
        .map(|r| r.spec.generation);
    subtract(gap.from..=gap.to, &recorded.collect())
}

/// The generation that `revision` names as the one before it, where it is neither stored nor in a Gap: it was removed by
/// retention or by hand, or still waits to be stored.
pub fn removed(revision: &Revision, history: &[Revision]) -> Option<i64> {
    let spec = &revision.spec;
    let previous = spec.previous.as_ref()?.generation;
    let is_there = history.iter().any(|other| covers(other, previous));
    ((1..spec.generation).contains(&previous) && !is_there).then_some(previous)
}

fn covers(revision: &Revision, generation: i64) -> bool {
    match &revision.spec.gap {
        Some(gap) => (gap.from..=gap.to).contains(&generation),
        None => revision.spec.generation == generation,
    }
}

/// The parts of `range` that are left without `taken`.
pub fn subtract(range: RangeInclusive<i64>, taken: &BTreeSet<i64>) -> Vec<RangeInclusive<i64>> {
    let (mut from, to) = range.into_inner();
    if from > to {
        return Vec::new();
    }
    let mut left = Vec::new();
    for generation in taken.range(from..=to) {
        if from < *generation {
            left.push(from..=generation - 1);
        }
        from = generation + 1;
    }
    if from <= to {
        left.push(from..=to);
    }
    left
}

/// The newest Revision with content that is older than `revision`.
pub fn before<'a>(history: &'a [Revision], revision: &Revision) -> Option<&'a Revision> {
    history.iter().rev().find(|r| {
        r.spec.generation < revision.spec.generation && r.spec.r#type != RevisionType::Gap
    })
}

#[cfg(test)]
mod tests {
    use super::sample::revision;
    use super::*;

    #[test]
    fn the_one_before_is_the_newest_that_is_older() {
        let history = [revision(1, "a"), revision(2, "b"), revision(5, "c")];
        let older = before(&history, &history[2]).expect("one");
        assert_eq!(older.spec.generation, 2);
        assert!(before(&history, &history[0]).is_none());
    }

    #[test]
    fn a_gap_is_what_nobody_found_later() {
        let gap = Gap {
            from: 3,
            to: 7,
            reason: "Compacted".to_owned(),
        };
        let of = |found: &[i64]| {
            let history: Vec<_> = found
                .iter()
                .map(|generation| revision(*generation, "a"))
                .collect();
            missing(&gap, &history)
        };
        assert_eq!(of(&[2, 8]), [3..=7]);
        assert_eq!(of(&[3, 5]), [4..=4, 6..=7]);
        assert_eq!(of(&[7, 4, 3]), [5..=6]);
        assert!(of(&[3, 4, 5, 6, 7]).is_empty());
    }
}
