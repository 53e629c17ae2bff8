//! The outcome of a Revision. Pure.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// The way in which a Revision ended.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// All of its pods were ready once.
    Succeeded,
    /// It failed, and still fails or was superseded while it failed.
    Failed,
    /// It was superseded before all of its pods were ready.
    NeverReady,
    /// An outcome of a later version. Revisor never decides this one.
    Unknown,
}

/// An outcome that this version does not know is read as [`Outcome::Unknown`].
impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(Self::named(&name).unwrap_or(Self::Unknown))
    }
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 4] = [
        Self::Succeeded,
        Self::Failed,
        Self::NeverReady,
        Self::Unknown,
    ];

    /// The name of the outcome, as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::NeverReady => "NeverReady",
            Self::Unknown => "Unknown",
        }
    }

    /// The outcome of that name; none for one of a later version.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == name)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_written_as_in_json() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::named(outcome.as_str()), Some(outcome));
            let json = serde_json::to_string(&outcome).expect("text");
            assert_eq!(json, format!("{:?}", outcome.as_str()));
            let back: Outcome = serde_json::from_str(&json).expect("an outcome");
            assert_eq!(back, outcome);
        }
    }

    #[test]
    fn an_outcome_of_a_later_version_is_read_as_unknown() {
        let outcome: Outcome = serde_json::from_str("\"RolledBack\"").expect("an outcome");
        assert_eq!(outcome, Outcome::Unknown);
    }
}
