//! An object as it came over the wire to a [`Change`]. Pure.

use crate::revision::Observed;
use crate::workload::{Change, Op, Resource, Version};
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
        let Some(generation) = self.metadata.generation else {
            return Err(EdgeError::NoGeneration(
                self.metadata.name.clone().into_owned(),
            ));
        };
        Ok(Version {
            generation,
            at: self.metadata.resource_version.parse()?,
        })
    }
}

/// Why an object is not a change.
#[derive(Debug, thiserror::Error)]
pub(super) enum EdgeError {
    #[error("metadata cannot be read: {0}")]
    Metadata(#[from] serde_json::Error),
    #[error(transparent)]
    ResourceVersion(#[from] crate::workload::BadResourceVersion),
    #[error("{0} has no metadata.generation: changes of this kind cannot be told apart")]
    NoGeneration(String),
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
