//! Shared by these tests: the Revisions that are stored, and waiting for a head to come back.

use crate::settled::{History, until};
use serde_json::Value;
use std::time::Duration;

/// Four times the ten seconds within which a head that was removed is stored again.
pub const BACK: Duration = Duration::from_secs(40);

/// The Revisions of a namespace with one workload, from the oldest on.
pub struct Present {
    pub names: Vec<String>,
    pub types: Vec<String>,
    generations: Vec<i64>,
    digests: Vec<String>,
}

impl Present {
    pub async fn of(history: &History) -> Self {
        let revisions = history.revisions().await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let specs = || revisions.iter().map(|revision| &revision["spec"]);
        let generation = |spec: &Value| spec["generation"].as_i64().expect("a number");
        Self {
            names: revisions
                .iter()
                .map(|one| text(&one["metadata"]["name"]))
                .collect(),
            types: specs().map(|spec| text(&spec["type"])).collect(),
            generations: specs().map(generation).collect(),
            digests: specs().map(|spec| text(&spec["contentDigest"])).collect(),
        }
    }

    pub fn generations(&self) -> &[i64] {
        &self.generations
    }

    /// The generations, but the one at this place.
    pub fn without(&self, place: usize) -> Vec<i64> {
        let mut generations = self.generations.clone();
        generations.remove(place);
        generations
    }

    /// The name of the newest.
    pub fn head(&self) -> &str {
        self.names.last().expect("a head")
    }

    /// The generation of the newest.
    pub fn last(&self) -> i64 {
        *self.generations.last().expect("a head")
    }

    pub fn has_no_gap(&self) -> bool {
        self.types.iter().all(|one| one != "Gap")
    }

    /// Waits until the newest is stored again, under its own name and with its content.
    pub async fn wait_for_head(&self, history: &History, r#type: &str) {
        let is_back = async || {
            let now = Self::of(history).await;
            now.names.last() == self.names.last()
                && now.digests.last() == self.digests.last()
                && now.types.last().map(String::as_str) == Some(r#type)
        };
        until(BACK, "the head is back", is_back).await;
    }
}
