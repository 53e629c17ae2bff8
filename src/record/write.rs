//! One write to the API server: a new Revision, or two fields in the status of one.

use crate::kinds::Kind;
use crate::revision::{ObservedThrough, Revision, View};
use crate::view::MAX_BYTES;
use crate::workload::Version;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// One write.
#[derive(Debug)]
pub enum Write {
    /// A Revision that does not exist yet.
    Create(Box<Revision>, Option<Viewing>),
    /// Facts about a workload that are newer than its newest Revision.
    Status(StatusPatch),
}

/// The source of the rest of a Revision's view, which is made off the path of recording.
#[derive(Clone, Debug)]
pub struct Unviewed {
    /// The kind of its workload.
    pub kind: Arc<Kind>,
    /// The workload, compressed.
    pub gzip: Arc<[u8]>,
}

/// The whole view, which is made while the Revision waits to be written. Dropping it ends its task.
pub type Viewing = AbortOnDropHandle<View>;

/// A merge patch of a Revision's status: it names the recorder's own fields only.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusPatch {
    /// Namespace of the Revision.
    pub namespace: String,
    /// Name of the Revision.
    pub name: String,
    /// Kind of its workload.
    pub kind: String,
    /// metadata.uid of its workload.
    pub workload: Uuid,
    /// Later generations that changed nothing.
    pub observed_through: Option<ObservedThrough>,
    /// The time at which the workload was deleted.
    pub deletion_time: Option<DateTime<Utc>>,
    /// Whether the workload may have had later generations, which are compacted.
    pub end_unknown: bool,
}

#[derive(Serialize)]
struct MergePatch<'a> {
    status: StatusFields<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_through: &'a Option<ObservedThrough>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload_deletion_time: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    workload_end_unknown: bool,
}

impl StatusPatch {
    /// A patch of nothing yet.
    pub(super) fn new(namespace: &str, name: &str, kind: &str, workload: Uuid) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            kind: kind.to_owned(),
            workload,
            observed_through: None,
            deletion_time: None,
            end_unknown: false,
        }
    }

    /// The last of the later generations that changed nothing.
    pub(super) fn through_version(&self) -> Option<Version> {
        let through = self.observed_through.as_ref()?;
        Some(Version {
            generation: through.generation,
            at: through.resource_version.parse().ok()?,
        })
    }

    /// The JSON merge patch.
    pub(super) fn body(&self) -> serde_json::Result<Vec<u8>> {
        let time = self
            .deletion_time
            .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
        let status = StatusFields {
            observed_through: &self.observed_through,
            workload_deletion_time: time,
            workload_end_unknown: self.end_unknown,
        };
        serde_json::to_vec(&MergePatch { status })
    }
}

impl Write {
    /// The generation of a new Revision that is no Gap.
    pub(super) fn generation(&self) -> Option<i64> {
        match self {
            Self::Create(revision, _) if revision.spec.gap.is_none() => {
                Some(revision.spec.generation)
            }
            _ => None,
        }
    }

    /// Namespace of the Revision.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Create(revision, _) => revision.metadata.namespace.as_deref().unwrap_or_default(),
            Self::Status(patch) => &patch.namespace,
        }
    }

    /// Name of the Revision.
    pub fn name(&self) -> &str {
        match self {
            Self::Create(revision, _) => revision.metadata.name.as_deref().unwrap_or_default(),
            Self::Status(patch) => &patch.name,
        }
    }

    /// Bytes of the parts that may be large. A view that is still being made counts as large as it may become, or the
    /// waiting writes would outgrow the queue's bound.
    pub(super) fn data(&self) -> usize {
        let Self::Create(revision, viewing) = self else {
            return 0;
        };
        let spec = &revision.spec;
        let data = spec
            .snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.data.as_ref());
        let view = match viewing {
            Some(_) => MAX_BYTES,
            None => spec.view.as_ref().map_or(0, size),
        };
        data.map_or(0, String::len) + view
    }
}

/// The size of a view as it is stored.
fn size(view: &View) -> usize {
    serde_json::to_vec(view).map_or(MAX_BYTES, |json| json.len())
}

#[cfg(test)]
mod tests {
    use super::super::gap::gap;
    use super::*;
    use crate::clock;
    use crate::watch::{Lost, Reason};

    fn text(patch: &StatusPatch) -> String {
        String::from_utf8(patch.body().expect("json")).expect("text")
    }

    #[test]
    fn a_patch_names_its_own_fields_only() {
        let mut patch = StatusPatch::new("n", "r", "Thing", Uuid::nil());
        assert_eq!(text(&patch), r#"{"status":{}}"#);
        patch = patch.through(7, "12".parse().expect("a number"));
        assert_eq!(
            text(&patch),
            r#"{"status":{"observedThrough":{"generation":7,"resourceVersion":"12"}}}"#
        );
        patch.deletion_time = DateTime::from_timestamp(0, 0);
        assert!(text(&patch).ends_with(r#""workloadDeletionTime":"1970-01-01T00:00:00Z"}}"#));
        patch.end_unknown = true;
        assert!(text(&patch).ends_with(r#","workloadEndUnknown":true}}"#));
    }

    #[tokio::test]
    async fn a_view_in_the_making_counts_as_large_as_it_may_become() {
        let lost = Lost {
            uid: Uuid::nil(),
            namespace: "n".into(),
            name: "w".into(),
            generations: 1..=1,
            reason: Reason::Compacted,
            from: "1".parse().expect("a number"),
            at: "1".parse().expect("a number"),
            api_version: "g/v1".into(),
        };
        let revision = || Box::new(gap("Thing", &lost, clock::now()));
        let stored = Write::Create(revision(), None).data();
        assert!((1..500).contains(&stored), "the view of a Gap: {stored}");
        let viewing = AbortOnDropHandle::new(tokio::spawn(async { View::default() }));
        assert_eq!(Write::Create(revision(), Some(viewing)).data(), MAX_BYTES);
    }
}
