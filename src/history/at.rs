//! The Revision of a workload that was in force at a resourceVersion. Pure.

use super::lives::Life;
use super::{missing, rfc3339};
use crate::revision::{Revision, RevisionType};
use crate::workload::ResourceVersion;
use chrono::{DateTime, TimeDelta, Utc};

/// Why it is not known.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AtError {
    /// Generations are missing.
    #[error("generations {from} to {to} are not recorded ({reason})")]
    InGap {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
        /// The reason.
        reason: String,
    },
    /// It was deleted at a time, and at an unknown resourceVersion.
    #[error(
        "it was deleted at {time}, and the resourceVersion of that is not recorded: it may or may not have been there",
        time = rfc3339(*.0)
    )]
    Deleted(DateTime<Utc>),
    /// A Revision has none that can be read.
    #[error("revision {0} has no resourceVersion")]
    Unreadable(i64),
}

/// The Revision that was in force; none when the workload was not there. `all` are all workloads that are known: their
/// Revisions have a time and a resourceVersion, which tells whether a deletion was before.
///
/// # Errors
/// When it is not recorded.
pub fn at_version<'l>(
    life: &'l Life,
    version: ResourceVersion,
    all: &[Life],
) -> Result<Option<&'l Revision>, AtError> {
    let mut newest = None;
    for revision in &life.revisions {
        let at = position(revision).ok_or(AtError::Unreadable(revision.spec.generation))?;
        let is_open = |gap| !missing(gap, &life.revisions).is_empty();
        if at <= version && revision.spec.gap.as_ref().is_none_or(is_open) {
            newest = Some(revision);
        }
    }
    let Some(newest) = newest else {
        return Ok(None);
    };
    if let Some(gap) = &newest.spec.gap {
        let reason = gap.reason.clone();
        return Err(AtError::InGap {
            from: gap.from,
            to: gap.to,
            reason,
        });
    }
    let is_last = newest.spec.generation == life.newest().spec.generation;
    match life.deleted_at().filter(|_| is_last) {
        None => Ok(Some(newest)),
        Some(deleted) => match was_before(deleted, version, all) {
            Some(true) => Ok(None),
            Some(false) => Ok(Some(newest)),
            None => Err(AtError::Deleted(deleted)),
        },
    }
}

fn position(revision: &Revision) -> Option<ResourceVersion> {
    revision.spec.resource_version.parse().ok()
}

/// Whether a time was before a resourceVersion. Times have whole seconds, and clocks differ.
fn was_before(time: DateTime<Utc>, version: ResourceVersion, all: &[Life]) -> Option<bool> {
    let margin = TimeDelta::seconds(2);
    let recorded = all.iter().flat_map(|life| &life.revisions);
    let mut known = recorded
        .filter(|it| it.spec.r#type != RevisionType::Gap)
        .filter_map(|it| Some((position(it)?, it.spec.change_time)));
    known.find_map(|(at, changed)| {
        let before = at <= version && changed > time + margin;
        let after = at >= version && changed < time - margin;
        (before || after).then_some(before)
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample::{gap, revision};
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn life(uid: u128, revisions: Vec<Revision>) -> Life {
        Life {
            uid: Uuid::from_u128(uid),
            revisions,
        }
    }

    fn at(life: &Life, version: &str, all: &[Life]) -> Result<Option<i64>, AtError> {
        let version = version.parse().expect("a version");
        Ok(at_version(life, version, all)?.map(|it| it.spec.generation))
    }

    #[test]
    fn the_newest_that_is_not_later_counts() {
        let mut revisions = vec![
            revision(1, "a"),
            revision(2, "b"),
            gap(3, 4),
            revision(5, "c"),
        ];
        for (revision, version) in revisions.iter_mut().zip(["10", "20", "30", "40"]) {
            version.clone_into(&mut revision.spec.resource_version);
        }
        let one = life(1, revisions);
        assert_eq!(at(&one, "9", &[]), Ok(None));
        assert_eq!(at(&one, "19", &[]), Ok(Some(1)));
        assert_eq!(at(&one, "20", &[]), Ok(Some(2)));
        assert!(matches!(
            at(&one, "35", &[]),
            Err(AtError::InGap { from: 3, to: 4, .. })
        ));
        assert_eq!(at(&one, "100", &[]), Ok(Some(5)));
    }

    #[test]
    fn a_deletion_is_dated_by_other_workloads_or_is_not_known() {
        let mut gone = revision(1, "a").at("2026-01-01T00:00:00Z").0;
        let status = json!({"workloadDeletionTime": "2026-01-01T01:00:00Z"});
        gone.status = Some(serde_json::from_value(status).expect("a status"));
        let other = |time: &str, version: &str| {
            let mut other = revision(1, "a").at(time).0;
            version.clone_into(&mut other.spec.resource_version);
            life(2, vec![other])
        };
        let gone = life(1, vec![gone]);
        let earlier = other("2026-01-01T00:30:00Z", "50");
        let later = other("2026-01-01T02:00:00Z", "60");
        let all = [earlier, later];
        assert_eq!(at(&gone, "40", &all), Ok(Some(1)));
        assert_eq!(at(&gone, "70", &all), Ok(None));
        assert!(matches!(at(&gone, "55", &all), Err(AtError::Deleted(_))));
    }
}
