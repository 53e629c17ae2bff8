//! One kind in the checkpoint, and the text that is stored of it. Pure.
//!
//! ```json
//! {"resourceVersion":"1039","time":"2026-01-01T00:00:56Z","blind":[{"from":"17","to":"40"}]}
//! ```
//!
//! There are two of them for a kind. The first, under a key that every release reads, has a place before which
//! everything is durable. The second has a later place, and the exceptions: generations before it that are not.

use crate::watch::Position;
use crate::workload::{Ack, BadResourceVersion, ResourceVersion, Version};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Up to where a kind is recorded, and where something may have gone unseen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckpointEntry {
    /// Everything up to there is durable.
    pub position: Position,
    /// The newest intervals in which something may have gone unseen.
    pub blind: Vec<(ResourceVersion, ResourceVersion)>,
    /// Generations that are not durable, although everything else up to there is.
    pub exceptions: Vec<Exception>,
}

/// A generation whose Revision could not be stored yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exception {
    /// metadata.uid of its workload.
    pub uid: Uuid,
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// The generation, and where it was seen.
    pub version: Version,
    /// The place of the first of the generations before it that changed nothing and that its Revision explains; its own
    /// place where there is none.
    pub first: ResourceVersion,
    /// The last of the later generations that changed nothing.
    pub through: Option<Version>,
}

/// Why a stored text is not an entry.
#[derive(Debug, thiserror::Error)]
pub enum BadEntry {
    /// It is not the JSON that is written.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Its place is not a resourceVersion.
    #[error(transparent)]
    ResourceVersion(#[from] BadResourceVersion),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredEntry {
    resource_version: String,
    time: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    blind: Vec<StoredInterval>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exceptions: Vec<StoredException>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredException {
    uid: Uuid,
    namespace: String,
    name: String,
    #[serde(flatten)]
    version: StoredVersion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    through: Option<StoredVersion>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredVersion {
    generation: i64,
    resource_version: String,
}

#[derive(Serialize, Deserialize)]
struct StoredInterval {
    from: String,
    to: String,
}

impl CheckpointEntry {
    /// The entry of a kind whose recording has come so far.
    pub fn new(
        ack: Ack,
        blind: Vec<(ResourceVersion, ResourceVersion)>,
        exceptions: Vec<Exception>,
    ) -> Self {
        let position = Position {
            at: ack.through,
            time: ack.time,
        };
        Self {
            position,
            blind,
            exceptions,
        }
    }

    /// The text that is stored.
    pub fn encode(&self) -> String {
        let interval = |(from, to): &(ResourceVersion, ResourceVersion)| StoredInterval {
            from: from.to_string(),
            to: to.to_string(),
        };
        let stored = StoredEntry {
            resource_version: self.position.at.to_string(),
            time: self.position.time,
            blind: self.blind.iter().map(interval).collect(),
            exceptions: self.exceptions.iter().map(StoredException::of).collect(),
        };
        // Plain data always serializes.
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Reads a stored text. Intervals that cannot be read are left out.
    ///
    /// # Errors
    /// When the text is not an entry, or a place in it is not a resourceVersion.
    pub fn decode(text: &str) -> Result<Self, BadEntry> {
        let stored: StoredEntry = serde_json::from_str(text)?;
        let position = Position {
            at: stored.resource_version.parse()?,
            time: stored.time,
        };
        let interval = |interval: &StoredInterval| {
            Some((interval.from.parse().ok()?, interval.to.parse().ok()?))
        };
        let blind = stored.blind.iter().filter_map(interval).collect();
        let exceptions = stored.exceptions.into_iter().map(StoredException::read);
        Ok(Self {
            position,
            blind,
            exceptions: exceptions.collect::<Result<_, _>>()?,
        })
    }
}

impl StoredException {
    fn of(exception: &Exception) -> Self {
        Self {
            uid: exception.uid,
            namespace: exception.namespace.clone(),
            name: exception.name.clone(),
            version: StoredVersion::of(exception.version),
            first: (exception.first != exception.version.at).then(|| exception.first.to_string()),
            through: exception.through.map(StoredVersion::of),
        }
    }

    fn read(self) -> Result<Exception, BadEntry> {
        let version = self.version.read()?;
        let first = self.first.as_deref().map(str::parse).transpose()?;
        Ok(Exception {
            uid: self.uid,
            namespace: self.namespace,
            name: self.name,
            version,
            first: first.unwrap_or(version.at),
            through: self.through.as_ref().map(StoredVersion::read).transpose()?,
        })
    }
}

impl StoredVersion {
    fn of(version: Version) -> Self {
        Self {
            generation: version.generation,
            resource_version: version.at.to_string(),
        }
    }

    fn read(&self) -> Result<Version, BadEntry> {
        Ok(Version {
            generation: self.generation,
            at: self.resource_version.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rv(text: &str) -> ResourceVersion {
        text.parse().expect("positive")
    }

    fn exception(through: Option<i64>) -> Exception {
        let version = |generation| Version {
            generation,
            at: rv("30"),
        };
        Exception {
            uid: Uuid::from_u128(5),
            namespace: "n".into(),
            name: "w".into(),
            version: version(3),
            first: through.map_or(rv("30"), |_| rv("29")),
            through: through.map(version),
        }
    }

    #[test]
    fn an_exception_that_cannot_be_read_is_not_left_out() {
        let entry = CheckpointEntry::new(Ack::default(), Vec::new(), vec![exception(None)]);
        let damaged = entry.encode().replace("\"30\"", "\"x\"");
        assert!(CheckpointEntry::decode(&damaged).is_err());
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let ack = Ack {
            through: rv("1039"),
            time: DateTime::from_timestamp(56, 300_000_000).expect("a time"),
        };
        for blind in [vec![], vec![(rv("17"), rv("40")), (rv("50"), rv("60"))]] {
            let exceptions = vec![exception(None), exception(Some(7))];
            let entry = CheckpointEntry::new(ack, blind, exceptions);
            let read = CheckpointEntry::decode(&entry.encode()).expect("an entry");
            assert_eq!(read, entry);
        }
    }

    #[test]
    fn the_text_is_the_one_that_earlier_versions_wrote() {
        let text = r#"{"resourceVersion":"7","time":"2026-01-01T00:00:00Z","blind":[{"from":"1","to":"x"},{"from":"1","to":"3"}]}"#;
        let entry = CheckpointEntry::decode(text).expect("an entry");
        assert_eq!(
            entry.blind,
            [(rv("1"), rv("3"))],
            "a damaged interval is left out"
        );
        let whole = text.replace(r#"{"from":"1","to":"x"},"#, "");
        assert_eq!(entry.encode(), whole);
        for bad in ["", "7", "{}", &whole.replace("\"7\"", "\"07\"")] {
            assert!(CheckpointEntry::decode(bad).is_err(), "{bad}");
        }
    }
}
