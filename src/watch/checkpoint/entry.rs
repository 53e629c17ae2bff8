//! One kind in the checkpoint, and the text that is stored of it. Pure.
//!
//! ```json
//! {"resourceVersion":"1039","time":"2026-01-01T00:00:56Z","blind":[{"from":"17","to":"40"}]}
//! ```

use crate::watch::Position;
use crate::workload::{Ack, BadResourceVersion, ResourceVersion};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Up to where a kind is recorded, and where something may have gone unseen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckpointEntry {
    /// Everything up to there is durable.
    pub position: Position,
    /// The newest intervals in which something may have gone unseen.
    pub blind: Vec<(ResourceVersion, ResourceVersion)>,
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
}

#[derive(Serialize, Deserialize)]
struct StoredInterval {
    from: String,
    to: String,
}

impl CheckpointEntry {
    /// The entry of a kind whose recording has come so far.
    pub fn new(ack: Ack, blind: Vec<(ResourceVersion, ResourceVersion)>) -> Self {
        let position = Position {
            at: ack.through,
            time: ack.time,
        };
        Self { position, blind }
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
        };
        // Plain data always serializes.
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Reads a stored text. Intervals that cannot be read are left out.
    ///
    /// # Errors
    /// When the text is not an entry, or its place is not a resourceVersion.
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
        Ok(Self { position, blind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rv(text: &str) -> ResourceVersion {
        text.parse().expect("positive")
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let ack = Ack {
            through: rv("1039"),
            time: DateTime::from_timestamp(56, 300_000_000).expect("a time"),
        };
        for blind in [vec![], vec![(rv("17"), rv("40")), (rv("50"), rv("60"))]] {
            let entry = CheckpointEntry::new(ack, blind);
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
