//! One entry of the checkpoint, as it is stored.

use crate::etcd::Revision;
use crate::truth::uid;
use serde_json::Value;
use uuid::Uuid;

/// The prefix of the keys whose entries name exceptions.
pub const LATER: &str = "v2.";

/// One entry.
pub struct Part {
    /// Kind and group.
    pub kind: String,
    pub value: Value,
    pub place: Revision,
    /// Whether it names exceptions.
    pub is_later: bool,
}

impl Part {
    pub fn read(key: &str, text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let place = value["resourceVersion"].as_str()?.parse().ok()?;
        Some(Self {
            kind: key.strip_prefix(LATER).unwrap_or(key).to_owned(),
            value,
            place,
            is_later: key.starts_with(LATER),
        })
    }

    /// The exceptions of a workload, by generation.
    pub fn exceptions(&self, workload: Uuid) -> impl Iterator<Item = &Value> {
        let all = self.value["exceptions"].as_array();
        all.into_iter()
            .flatten()
            .filter(move |exception| uid(&exception["uid"]) == Some(workload))
    }

    /// The generations that exceptions name.
    pub fn named(&self) -> Vec<(Uuid, i64)> {
        let all = self.value["exceptions"].as_array();
        let name =
            |exception: &Value| Some((uid(&exception["uid"])?, exception["generation"].as_i64()?));
        all.into_iter().flatten().filter_map(name).collect()
    }

    /// Whether a generation that is not stored is named by an exception. An exception stands for
    /// the quiet generations before it, and after it up to a given one, for those of a Gap, which it names by the
    /// last one (`is_lost`: they cannot be read any more), and for all of its workload that are not
    /// known, as long as no later one is stored (`is_passed`: one is).
    pub fn excepts(
        &self,
        workload: Uuid,
        generation: i64,
        is_quiet: bool,
        is_lost: bool,
        is_passed: bool,
    ) -> bool {
        self.exceptions(workload).any(|exception| {
            let named = exception["generation"].as_i64().unwrap_or_default();
            let through = exception["through"]["generation"].as_i64().unwrap_or(named);
            let is_through = is_quiet && generation <= through;
            let is_in_gap = is_lost && generation < named;
            named == generation || is_through || is_in_gap || !is_passed
        })
    }
}
