//! Queries on the Revisions of one workload: which one is meant, which one was before it, what is missing. Pure.

use crate::revision::{Gap, Revision, RevisionType};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Which Revision a person means: a generation, or a place counted from the newest (-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// metadata.generation of the workload.
    Generation(i64),
    /// 0 is the newest.
    FromNewest(usize),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<i64>() {
            Ok(0) => Err(
                "0 is no revision: 1 is the first generation, -1 the newest revision".to_owned(),
            ),
            Ok(number) if number < 0 => Ok(Self::FromNewest(
                usize::try_from(-(number + 1)).unwrap_or(usize::MAX),
            )),
            Ok(number) => Ok(Self::Generation(number)),
            Err(_) => Err(format!("{text:?} is not a number such as 7 or -1")),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HistoryError {
    /// No such Revision.
    #[error("there is no revision {0}; there are: {1}")]
    NoSuchRevision(String, String),
}

/// Finds a Revision among those of one workload, which are sorted from the oldest to the newest.
///
/// # Errors
/// Lists what there is.
pub fn find(history: &[Revision], which: Which) -> Result<&Revision, HistoryError> {
    let found = match which {
        Which::Generation(generation) => {
            // A Gap may have been filled later.
            let exact = |r: &&Revision| r.spec.gap.is_none() && r.spec.generation == generation;
            history
                .iter()
                .find(exact)
                .or_else(|| history.iter().find(|r| covers(r, generation)))
        }
        Which::FromNewest(back) => history
            .iter()
            .rev()
            .filter(|r| r.spec.r#type != RevisionType::Gap)
            .nth(back),
    };
    found.ok_or_else(|| {
        let asked = match which {
            Which::Generation(generation) => generation.to_string(),
            Which::FromNewest(back) => format!("-{}", back.saturating_add(1)),
        };
        HistoryError::NoSuchRevision(asked, numbers(history))
    })
}

fn covers(revision: &Revision, generation: i64) -> bool {
    match &revision.spec.gap {
        Some(gap) => (gap.from..=gap.to).contains(&generation),
        None => revision.spec.generation == generation,
    }
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
    use super::*;
    use serde_json::json;

    fn revision(generation: i64, image: &str) -> Revision {
        let manifest =
            json!({"kind": "Deployment", "spec": {"image": image, "replicas": 1}}).to_string();
        serde_json::from_value(json!({
            "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision", "metadata": {"name": "x"},
            "spec": {
                "id": uuid::Uuid::nil(), "type": "Change", "generation": generation, "resourceVersion": "1", "observedVia": "Watch",
                "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": uuid::Uuid::nil()},
                "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed",
                "snapshot": {"encoding": "json", "size": manifest.len(), "data": manifest},
            },
        }))
        .expect("a Revision")
    }

    #[test]
    fn revisions_are_found_by_generation_or_from_the_newest() {
        let history = [revision(1, "a"), revision(2, "b"), revision(5, "c")];
        let generation =
            |text: &str| find(&history, text.parse().expect("valid")).map(|r| r.spec.generation);
        assert_eq!(
            (generation("2"), generation("-1"), generation("-3")),
            (Ok(2), Ok(5), Ok(1))
        );
        assert_eq!(
            generation("3").expect_err("none").to_string(),
            "there is no revision 3; there are: 1, 2, 5"
        );
        assert_eq!(
            generation("-4").expect_err("none").to_string(),
            "there is no revision -4; there are: 1, 2, 5"
        );
        assert_eq!(
            before(&history, &history[2]).expect("one").spec.generation,
            2
        );
        assert!(before(&history, &history[0]).is_none());
        assert!(
            "0".parse::<Which>().is_err()
                && "x".parse::<Which>().is_err()
                && i64::MIN.to_string().parse::<Which>().is_ok()
        );
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
