//! An object as it came over the wire to a [`Change`]. Pure.

use crate::revision::Observed;
use crate::workload::{Change, Op, Resource, ResourceVersion, Version};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use uuid::Uuid;

/// The few fields that order and identify a change; the rest of the object is skipped, whatever its depth.
#[derive(Deserialize)]
pub(super) struct PartialObject<'a> {
    #[serde(borrow)]
    pub(super) metadata: Metadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) namespace: Cow<'a, str>,
    pub(super) uid: Uuid,
    #[serde(borrow)]
    resource_version: Cow<'a, str>,
    generation: Option<i64>,
    #[serde(default)]
    creation_timestamp: Option<DateTime<Utc>>,
}

impl<'a> PartialObject<'a> {
    /// Reads the metadata of an object.
    pub(super) fn read(raw: &'a str) -> Result<Self, EdgeError> {
        Ok(serde_json::from_str(raw)?)
    }

    /// The generation, and the place at which it was written.
    pub(super) fn version(&self) -> Result<Version, EdgeError> {
        let metadata = &self.metadata;
        let at = metadata.resource_version.parse()?;
        match metadata.generation {
            Some(generation) => Ok(Version { generation, at }),
            None => Err(EdgeError::NoGeneration(Unordered {
                namespace: metadata.namespace.clone().into_owned(),
                name: metadata.name.clone().into_owned(),
                at,
            })),
        }
    }
}

/// An object without a generation: its states cannot be told apart, so none of them is recorded.
#[derive(Debug)]
pub(super) struct Unordered {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The place at which it was written.
    pub(super) at: ResourceVersion,
}

/// Why an object is not a change.
#[derive(Debug, thiserror::Error)]
pub(super) enum EdgeError {
    #[error("metadata cannot be read: {0}")]
    Metadata(#[from] serde_json::Error),
    #[error(transparent)]
    ResourceVersion(#[from] crate::workload::BadResourceVersion),
    #[error("{} has no metadata.generation: changes of this kind cannot be told apart", .0.name)]
    NoGeneration(Unordered),
}

/// Reads the metadata of `raw`.
pub(super) fn change(
    resource: &Arc<Resource>,
    seen: Observed,
    op: Op,
    raw: Box<RawValue>,
) -> Result<Change, EdgeError> {
    let object = PartialObject::read(raw.get())?;
    let version = object.version()?;
    let PartialObject { metadata } = object;
    Ok(Change {
        resource: resource.clone(),
        uid: metadata.uid,
        name: metadata.name.into_owned(),
        namespace: metadata.namespace.into_owned(),
        generation: version.generation,
        resource_version: version.at,
        created: metadata.creation_timestamp,
        seen,
        op,
        raw,
        absent_at: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Change, String> {
        let resource = Arc::new(Resource {
            group: "g".into(),
            version: "v1".into(),
            kind: "K".into(),
            plural: "ks".into(),
        });
        let raw = RawValue::from_string(json.to_owned()).expect("valid");
        change(&resource, Observed::Watch, Op::Added, raw).map_err(|e| e.to_string())
    }

    const UID: &str = "12345678-9abc-def0-1122-334455667788";

    #[test]
    fn metadata_is_read_and_the_rest_is_kept_as_it_is() {
        let json = format!(
            r#"{{"spec":{}1{},"metadata":{{"name":"n","namespace":"ns","uid":"{UID}","resourceVersion":"12","generation":3}}}}"#,
            "[".repeat(2000),
            "]".repeat(2000)
        );
        let change = read(&json).expect("a change");
        assert_eq!(
            (
                change.name.as_str(),
                change.namespace.as_str(),
                change.generation
            ),
            ("n", "ns", 3)
        );
        assert_eq!(change.raw.get(), json);
    }

    #[test]
    fn an_object_without_a_generation_says_where_it_was_written() {
        let json = format!(
            r#"{{"metadata":{{"name":"n","namespace":"ns","uid":"{UID}","resourceVersion":"12"}}}}"#
        );
        let object = PartialObject::read(&json).expect("metadata");
        let Err(EdgeError::NoGeneration(unordered)) = object.version() else {
            panic!("it has no generation");
        };
        assert_eq!(
            (unordered.namespace.as_str(), unordered.name.as_str()),
            ("ns", "n")
        );
        assert_eq!(unordered.at.to_string(), "12");
    }

    #[test]
    fn what_cannot_be_ordered_is_no_change() {
        for (metadata, why) in [
            (
                format!(r#"{{"name":"n","uid":"{UID}","resourceVersion":"1"}}"#),
                "no metadata.generation",
            ),
            (
                format!(r#"{{"name":"n","uid":"{UID}","resourceVersion":"x","generation":1}}"#),
                "\"x\"",
            ),
            (
                r#"{"name":"n","uid":"u","resourceVersion":"1","generation":1}"#.to_owned(),
                "metadata",
            ),
            ("1".to_owned(), "metadata"),
        ] {
            let error = read(&format!(r#"{{"metadata":{metadata}}}"#)).expect_err(&metadata);
            assert!(error.contains(why), "{error}");
        }
    }
}
