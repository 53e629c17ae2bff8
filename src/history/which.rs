//! The revisions that a person can name: by number, from the newest, by id, by time, `last-good`, `serving`. Pure.

use super::moment::{Moment, written};
use super::{HistoryError, serves};
use crate::revision::{Outcome, Revision, RevisionType};
use chrono::{DateTime, Utc};
use std::str::FromStr;

/// Shorter prefixes of an id would be met by chance.
const SHORTEST_PREFIX: usize = 4;

/// The annotation that marks a Revision as bad: `last-good` skips it.
pub const BAD: &str = "revisor.dev/bad";

/// Names one Revision of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// metadata.generation of the workload.
    Generation(i64),
    /// 0 is the newest.
    FromNewest(usize),
    /// The id, its first digits, or the name of the Revision object.
    Id(String),
    /// The one that was in force at the end of this second.
    At(Moment),
    /// The newest that came to run, and is not marked as bad.
    LastGood,
    /// The newest with pods that are ready.
    Serving,
}

impl Which {
    /// Whether a word can only be a revision, and not the name of a workload.
    pub fn is_certain(word: &str) -> bool {
        matches!(
            word.parse(),
            Ok(Self::Generation(_)
                | Self::FromNewest(_)
                | Self::At(_)
                | Self::LastGood
                | Self::Serving)
        )
    }
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(time) = text.strip_prefix('@') {
            return time.parse().map(Self::At);
        }
        match text {
            "last-good" => return Ok(Self::LastGood),
            "serving" => return Ok(Self::Serving),
            _ => {}
        }
        match text.parse::<i64>() {
            Ok(0) => Err(
                "0 is no revision: 1 is the first generation, -1 the newest revision".to_owned(),
            ),
            Ok(number) if number < 0 => Ok(Self::FromNewest(
                usize::try_from(-(number + 1)).unwrap_or(usize::MAX),
            )),
            Ok(number) => Ok(Self::Generation(number)),
            Err(_) if is_id(text) => Ok(Self::Id(text.to_ascii_lowercase())),
            Err(_) => Err(format!(
                "{text:?} is no revision: 7, -1 (the newest), @2h, @2026-11-20T10:00Z, last-good, \
                 serving, or an id of at least {SHORTEST_PREFIX} digits"
            )),
        }
    }
}

/// An id or its beginning, or a name of a Revision object, which ends in a hash and digits.
fn is_id(text: &str) -> bool {
    let is_prefix =
        text.len() >= SHORTEST_PREFIX && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let is_name = text
        .rsplit_once('-')
        .is_some_and(|(_, number)| number.len() >= 5 && number.chars().all(|c| c.is_ascii_digit()));
    is_prefix || is_name
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Generation(generation) => write!(f, "{generation}"),
            Self::FromNewest(back) => write!(f, "-{}", back.saturating_add(1)),
            Self::Id(id) => f.write_str(id),
            Self::At(Moment::Ago(ago)) => write!(f, "@{}", written(*ago)),
            Self::At(moment) => write!(f, "@{moment}"),
            Self::LastGood => f.write_str("last-good"),
            Self::Serving => f.write_str("serving"),
        }
    }
}

/// Finds a Revision among those of one workload, which are sorted from the oldest to the newest.
///
/// # Errors
/// Lists the revisions that there are.
pub fn find<'r>(
    history: &'r [Revision],
    which: &Which,
    now: DateTime<Utc>,
) -> Result<&'r Revision, HistoryError> {
    let missing = || HistoryError::NoSuchRevision(which.to_string(), super::numbers(history));
    match which {
        Which::Generation(generation) => by_generation(history, *generation).ok_or_else(missing),
        Which::FromNewest(back) => with_content(history).rev().nth(*back).ok_or_else(missing),
        Which::Id(id) => by_id(history, id)?.ok_or_else(missing),
        Which::At(moment) => at(history, *moment, now),
        Which::LastGood => with_content(history)
            .rev()
            .find(|revision| is_good(revision))
            .ok_or(HistoryError::NoneGood),
        Which::Serving => with_content(history)
            .rev()
            .find(|revision| serves(revision))
            .ok_or(HistoryError::NoneServes),
    }
}

/// The newer revisions that `last-good` skips, from the newest, each with the reason.
pub fn skipped(history: &[Revision]) -> Vec<(i64, String)> {
    let newer = with_content(history)
        .rev()
        .take_while(|revision| !is_good(revision));
    newer.map(|it| (it.spec.generation, not_good(it))).collect()
}

fn not_good(revision: &Revision) -> String {
    if is_bad(revision) {
        return "marked as bad".to_owned();
    }
    let status = revision.status.as_ref();
    match status.and_then(|status| status.outcome) {
        Some(outcome) => outcome.to_string(),
        None => "not ready so far".to_owned(),
    }
}

fn is_bad(revision: &Revision) -> bool {
    let annotations = revision.metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.get(BAD).is_some_and(|value| value != "false"))
}

fn is_good(revision: &Revision) -> bool {
    let status = revision.status.as_ref();
    let outcome = status.and_then(|status| status.outcome);
    outcome == Some(Outcome::Succeeded) && !is_bad(revision)
}

fn with_content(history: &[Revision]) -> impl DoubleEndedIterator<Item = &Revision> {
    let is_gap = |it: &&Revision| it.spec.r#type == RevisionType::Gap;
    history.iter().filter(move |revision| !is_gap(revision))
}

fn by_generation(history: &[Revision], generation: i64) -> Option<&Revision> {
    // A Gap may have been filled later.
    let exact = with_content(history).find(|r| r.spec.generation == generation);
    exact.or_else(|| {
        history.iter().find(|revision| match &revision.spec.gap {
            Some(gap) => (gap.from..=gap.to).contains(&generation),
            None => false,
        })
    })
}

fn by_id<'r>(history: &'r [Revision], id: &str) -> Result<Option<&'r Revision>, HistoryError> {
    let is_meant = |revision: &&Revision| {
        let simple = revision.spec.id.simple().to_string();
        revision.metadata.name.as_deref() == Some(id)
            || revision.spec.id.to_string().starts_with(id)
            || simple.starts_with(id)
    };
    let found: Vec<_> = history.iter().filter(is_meant).collect();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        several => Err(HistoryError::Ambiguous {
            prefix: id.to_owned(),
            ids: several.iter().map(|r| r.spec.id.to_string()).collect(),
        }),
    }
}

/// The Revision that was in force at the end of a second.
fn at(history: &[Revision], moment: Moment, now: DateTime<Utc>) -> Result<&Revision, HistoryError> {
    let end = moment.end(now);
    let said = moment.to_string();
    let gone = history
        .iter()
        .filter_map(|revision| revision.status.as_ref()?.workload_deletion_time)
        .max();
    if let Some(gone) = gone.filter(|gone| *gone < end) {
        return Err(HistoryError::Deleted(said, gone));
    }
    let is_there = |revision: &&Revision| revision.spec.change_time < end;
    let is_open = |revision: &&Revision| match &revision.spec.gap {
        Some(gap) => !super::missing(gap, history).is_empty(),
        None => true,
    };
    let newest = history.iter().filter(is_there).rfind(is_open);
    match newest {
        None => Err(HistoryError::TooEarly(
            said,
            history.first().map(|first| first.spec.change_time),
        )),
        Some(gap) if gap.spec.r#type == RevisionType::Gap => Err(HistoryError::InGap(
            said,
            gap.spec.gap.as_ref().map_or_else(String::new, |gap| {
                format!("{}-{} ({})", gap.from, gap.to, gap.reason)
            }),
        )),
        Some(revision) => Ok(revision),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{gap, revision};
    use super::*;
    use serde_json::json;

    fn generation(history: &[Revision], text: &str) -> Result<i64, String> {
        let now = "2026-01-01T12:00:00Z".parse().expect("a time");
        let which = text.parse()?;
        let found = find(history, &which, now).map_err(|error| error.to_string())?;
        Ok(found.spec.generation)
    }

    #[test]
    fn revisions_are_found_by_number_from_the_newest_by_id_and_by_name() {
        let history = [revision(1, "a"), revision(2, "b"), revision(5, "c")];
        let id = history[2].spec.id.to_string();
        for (text, expected) in [
            ("2", Ok(2)),
            ("-1", Ok(5)),
            ("-3", Ok(1)),
            (&id, Ok(5)),
            (&id[..8], Ok(5)),
            ("x-00000000-00002", Ok(2)),
            ("3", Err("there is no revision 3; there are: 1, 2, 5")),
            ("-4", Err("there is no revision -4; there are: 1, 2, 5")),
            ("ffff", Err("there is no revision ffff; there are: 1, 2, 5")),
        ] {
            let expected = expected.map_err(str::to_owned);
            assert_eq!(generation(&history, text), expected, "{text}");
        }
        for wrong in ["0", "x", "abc", "@", "@x", "last", ""] {
            assert!(wrong.parse::<Which>().is_err(), "{wrong}");
        }
        assert!(i64::MIN.to_string().parse::<Which>().is_ok());
    }

    #[test]
    fn a_prefix_of_several_ids_names_them() {
        let mut history = [revision(1, "a"), revision(2, "b")];
        for (at, revision) in history.iter_mut().enumerate() {
            revision.spec.id = uuid::Uuid::from_u128((0xabcd << 112) + at as u128);
        }
        let error = generation(&history, "abcd").expect_err("ambiguous");
        assert!(
            error.starts_with("\"abcd\" is the beginning of 2 ids: abcd"),
            "{error}"
        );
    }

    #[test]
    fn a_time_means_the_end_of_its_second() {
        let history = [
            revision(1, "a").at("2026-01-01T10:00:00Z"),
            revision(2, "b").at("2026-01-01T10:00:05Z"),
            revision(3, "c").at("2026-01-01T10:00:05.9Z"),
            revision(4, "d").at("2026-01-01T10:00:06Z"),
        ]
        .map(|it| it.0);
        for (text, expected) in [
            ("@2026-01-01T10:00:05Z", Ok(3)),
            ("@2026-01-01T10:00:04Z", Ok(1)),
            ("@2026-01-01T11:00+01:00", Ok(1)),
            ("@2h", Ok(1)),
            ("@1h", Ok(4)),
            (
                "@3h",
                Err("nothing is recorded at 3h ago: the history begins at 2026-01-01T10:00:00Z"),
            ),
        ] {
            let expected = expected.map_err(str::to_owned);
            assert_eq!(generation(&history, text), expected, "{text}");
        }
    }

    #[test]
    fn a_time_in_a_gap_or_after_the_deletion_is_refused() {
        let mut history = [
            revision(1, "a"),
            gap(2, 3).at("2026-01-01T10:00:00Z").0,
            revision(4, "c").at("2026-01-01T11:00:00Z").0,
        ];
        let error = generation(&history, "@90m").expect_err("in the gap");
        assert_eq!(
            error,
            "the state at 1h30m ago is not recorded: generations 2-3 (Compacted) are missing"
        );
        assert_eq!(generation(&history, "@30m"), Ok(4));
        let status = json!({"workloadDeletionTime": "2026-01-01T11:30:00Z"});
        history[2].status = Some(serde_json::from_value(status).expect("a status"));
        let error = generation(&history, "@10m").expect_err("deleted");
        assert_eq!(
            error,
            "the workload was not there at 10m ago: it was deleted at 2026-01-01T11:30:00Z"
        );
    }

    #[test]
    fn the_last_good_one_succeeded_and_is_not_marked_and_what_is_newer_is_named() {
        let mut history: Vec<_> = (1..=5).map(|number| revision(number, "a")).collect();
        assert_eq!(
            generation(&history, "last-good").expect_err("none"),
            "no revision is known to be good: none has the outcome Succeeded"
        );
        let outcomes = [
            Some("Succeeded"),
            Some("Succeeded"),
            Some("Failed"),
            None,
            Some("NeverReady"),
        ];
        for (revision, outcome) in history.iter_mut().zip(outcomes) {
            let status = json!({"outcome": outcome});
            revision.status = Some(serde_json::from_value(status).expect("a status"));
        }
        assert_eq!(generation(&history, "last-good"), Ok(2));
        let bad = [(BAD.to_owned(), "OOM at night".to_owned())];
        history[1].metadata.annotations = Some(bad.into());
        assert_eq!(generation(&history, "last-good"), Ok(1));
        let named = [
            (5, "NeverReady"),
            (4, "not ready so far"),
            (3, "Failed"),
            (2, "marked as bad"),
        ];
        assert_eq!(
            skipped(&history),
            named.map(|(number, why)| (number, why.to_owned()))
        );
    }

    #[test]
    fn the_one_that_serves_has_pods_that_are_ready() {
        let mut history = [revision(1, "a"), revision(2, "b")];
        assert!(generation(&history, "serving").is_err());
        let status = json!({"phase": "Terminating", "readyPods": 1});
        history[0].status = Some(serde_json::from_value(status).expect("a status"));
        assert_eq!(generation(&history, "serving"), Ok(1));
    }
}
