//! The checkpoint and the Revisions of the first release, as it stored them, and its reading of a present checkpoint.
//! `tests/e2e/settled/first_release.rs` has made the fixtures, and runs both releases on one cluster.

use chrono::{DateTime, Utc};
use revisor::json::Document;
use revisor::revision::Revision;
use revisor::snapshot;
use revisor::watch::Position;
use revisor::watch::checkpoint::{CheckpointEntry, Exception, Start, starts};
use revisor::workload::{Ack, Resource, ResourceVersion, Version};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

const CHECKPOINT: &str = include_str!("../fixtures/first-release/checkpoint.json");
const REVISIONS: &str = include_str!("../fixtures/first-release/revisions.json");
const KEY: &str = "InferenceService.serving.kserve.io";

/// An entry of the checkpoint as the first release reads it: fields that it does not know are passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FirstEntry {
    resource_version: String,
    time: DateTime<Utc>,
    #[serde(default)]
    blind: Vec<FirstInterval>,
}

#[derive(Deserialize)]
struct FirstInterval {
    from: String,
    to: String,
}

#[derive(Deserialize)]
struct ConfigMap {
    data: BTreeMap<String, String>,
}

fn checkpoint() -> BTreeMap<String, String> {
    let stored: ConfigMap = serde_json::from_str(CHECKPOINT).expect("a ConfigMap");
    stored.data
}

fn inference_service() -> Resource {
    Resource {
        group: "serving.kserve.io".into(),
        version: "v1beta1".into(),
        kind: "InferenceService".into(),
        plural: "inferenceservices".into(),
    }
}

fn rv(text: &str) -> ResourceVersion {
    text.parse().expect("positive")
}

#[test]
fn a_restart_goes_on_from_the_checkpoint_of_the_first_release() {
    let data = checkpoint();
    let first: FirstEntry = serde_json::from_str(&data[KEY]).expect("an entry");
    let start = starts(std::iter::once(KEY), Some("this cluster"), &data).remove(KEY);
    let Some(Start::Resume(entry)) = start else {
        panic!("{start:?}");
    };
    assert_eq!(entry.position.at, rv(&first.resource_version));
    assert_eq!(entry.position.time, first.time);
    assert_eq!(entry.blind.len(), first.blind.len());
    assert!(entry.exceptions.is_empty());
}

#[test]
fn the_first_release_reads_a_place_before_which_all_is_durable() {
    let at = |through| Ack {
        through: rv(through),
        time: DateTime::from_timestamp(56, 0).expect("a time"),
    };
    let version = Version {
        generation: 3,
        at: rv("1040"),
    };
    let exception = Exception {
        uid: Uuid::from_u128(5),
        namespace: "n".into(),
        name: "w".into(),
        version,
        first: version.at,
        through: None,
    };
    let blind = vec![(rv("17"), rv("40"))];
    let conservative = CheckpointEntry::new(at("1039"), blind.clone(), Vec::new());
    let settled = CheckpointEntry::new(at("2000"), blind, vec![exception]);
    let read: FirstEntry = serde_json::from_str(&conservative.encode()).expect("an entry");
    assert_eq!(read.resource_version, "1039");
    assert_eq!(read.time, at("1039").time);
    let blind = read.blind.iter().map(|i| (i.from.as_str(), i.to.as_str()));
    assert_eq!(blind.collect::<Vec<_>>(), [("17", "40")]);
    // A later place that the first release has written meanwhile counts, and the exceptions before it do not.
    let data = |first: &str| {
        BTreeMap::from([
            (KEY.to_owned(), first.to_owned()),
            (format!("v2.{KEY}"), settled.encode()),
        ])
    };
    let resumed = |data| match starts(std::iter::once(KEY), None, &data).remove(KEY) {
        Some(Start::Resume(CheckpointEntry {
            position: Position { at, .. },
            exceptions,
            ..
        })) => (at, exceptions.len()),
        other => panic!("{other:?}"),
    };
    assert_eq!(resumed(data(&conservative.encode())), (rv("2000"), 1));
    let later = r#"{"resourceVersion":"2001","time":"2026-01-01T00:00:00Z"}"#;
    assert_eq!(resumed(data(later)), (rv("2001"), 0));
}

#[test]
fn revisions_of_the_first_release_are_read_whole() {
    let stored: Vec<Value> = serde_json::from_str(REVISIONS).expect("a list");
    assert!(!stored.is_empty());
    for stored in stored {
        let revision: Revision = serde_json::from_value(stored.clone()).expect("a Revision");
        assert_eq!(
            serde_json::to_value(&revision.spec).expect("JSON"),
            stored["spec"],
            "nothing of the spec is left out"
        );
        let text = snapshot::read(revision.spec.snapshot.as_ref().expect("one"))
            .expect("sound")
            .expect("with data");
        let document = Document::parse(&text).expect("JSON");
        let packed = snapshot::pack(&inference_service(), document.root()).expect("memory");
        assert_eq!(
            Some(packed.digest.to_string()),
            revision.spec.content_digest,
            "what is compared with later generations"
        );
    }
}
