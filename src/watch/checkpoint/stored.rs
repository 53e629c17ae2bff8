//! The data of the checkpoint's ConfigMap, and where a restart goes on by it. Pure.

use super::entry::CheckpointEntry;
use crate::mutant::{self, Mutant};
use std::collections::BTreeMap;

/// The key of the uid of the cluster.
pub const CLUSTER: &str = "cluster";

/// Where the reading of a kind starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Where an earlier process was.
    Resume(CheckpointEntry),
    /// As far back as etcd's history reaches, because there is no place to go on from.
    Begin(Unusable),
}

/// Why there is no place to go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// None is stored.
    Absent,
    /// The stored text cannot be read.
    Damaged,
    /// It was written in another cluster.
    Foreign,
}

impl Unusable {
    /// For people.
    pub fn explain(self) -> &'static str {
        match self {
            Self::Absent => "is not there",
            Self::Damaged => "is damaged",
            Self::Foreign => "is of another cluster",
        }
    }
}

/// The key of the entry that has exceptions. Earlier releases do not know it, and go on from the one without.
pub fn settled_key(key: &str) -> String {
    format!("v2.{key}")
}

/// Whether the data was written in another cluster than the one with this uid.
pub fn is_foreign(cluster: Option<&str>, data: &BTreeMap<String, String>) -> bool {
    let writer = data.get(CLUSTER).map(String::as_str);
    writer
        .zip(cluster)
        .is_some_and(|(writer, cluster)| writer != cluster)
}

/// Where the reading of each kind starts, by its key.
pub fn starts<'k>(
    keys: impl Iterator<Item = &'k str>,
    cluster: Option<&str>,
    data: &BTreeMap<String, String>,
) -> BTreeMap<String, Start> {
    let is_foreign = is_foreign(cluster, data);
    keys.map(|key| {
        let start = if is_foreign {
            Start::Begin(Unusable::Foreign)
        } else {
            start(key, data)
        };
        (key.to_owned(), start)
    })
    .collect()
}

fn start(key: &str, data: &BTreeMap<String, String>) -> Start {
    let entry = |key: &str| data.get(key).map(|text| CheckpointEntry::decode(text).ok());
    match (entry(key), entry(&settled_key(key))) {
        (None, None) => Start::Begin(Unusable::Absent),
        (Some(Some(old)), Some(Some(settled))) => Start::Resume(newer(old, settled)),
        (Some(Some(entry)), _) | (_, Some(Some(entry))) => Start::Resume(entry),
        _ => Start::Begin(Unusable::Damaged),
    }
}

/// The entry without exceptions is never of a later place than the other, unless an earlier release has written since.
fn newer(old: CheckpointEntry, mut settled: CheckpointEntry) -> CheckpointEntry {
    if old.position.at > settled.position.at {
        return old;
    }
    if mutant::is(Mutant::ExceptionsForgotten) {
        settled.exceptions.clear();
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Thing.example.com";

    fn text(at: u32) -> String {
        format!(r#"{{"resourceVersion":"{at}","time":"2026-01-01T00:00:00Z"}}"#)
    }

    fn data(texts: &[(&str, &str)]) -> BTreeMap<String, String> {
        texts
            .iter()
            .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
            .collect()
    }

    fn started(cluster: Option<&str>, data: &BTreeMap<String, String>) -> Result<String, Unusable> {
        match starts(std::iter::once(KEY), cluster, data).remove(KEY) {
            Some(Start::Resume(entry)) => Ok(entry.position.at.to_string()),
            Some(Start::Begin(unusable)) => Err(unusable),
            None => panic!("every key has a start"),
        }
    }

    #[test]
    fn a_restart_goes_on_from_the_latest_place_that_is_true() {
        let settled = settled_key(KEY);
        let at = |old: &str, new: &str| started(None, &data(&[(KEY, old), (&settled, new)]));
        assert_eq!(at(&text(5), &text(9)), Ok("9".to_owned()));
        assert_eq!(
            at(&text(12), &text(9)),
            Ok("12".to_owned()),
            "an earlier release wrote it"
        );
        assert_eq!(at(&text(5), "{\"resource"), Ok("5".to_owned()));
        assert_eq!(at("{", &text(9)), Ok("9".to_owned()));
        assert_eq!(at("{", ""), Err(Unusable::Damaged));
        assert_eq!(started(None, &data(&[(KEY, &text(5))])), Ok("5".to_owned()));
        assert_eq!(started(None, &data(&[])), Err(Unusable::Absent));
    }

    #[test]
    fn a_place_of_another_cluster_is_not_used() {
        let stored = data(&[(KEY, &text(5)), (CLUSTER, "one")]);
        assert_eq!(started(Some("two"), &stored), Err(Unusable::Foreign));
        for cluster in [None, Some("one")] {
            assert_eq!(started(cluster, &stored), Ok("5".to_owned()));
        }
        let unsigned = data(&[(KEY, &text(5))]);
        assert_eq!(
            started(Some("two"), &unsigned),
            Ok("5".to_owned()),
            "of an earlier release"
        );
    }
}
