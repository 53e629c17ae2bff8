//! The types that the stages hand to each other: changes from `watch` to `record`, heads from `cache` to `record`. Pure.

use crate::revision::identity::ContentDigest;
use crate::revision::{Observed, ObservedThrough, Previous, Revision};
use crate::snapshot;
use crate::view::normal::NormalKey;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use uuid::Uuid;

/// One kind of object in one version, as the API server serves it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Plural, lower-case name, as in URLs.
    pub plural: String,
}

impl Resource {
    /// `group/version`, or just the version in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// URL path of the collection in all namespaces, or in one.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() {
            "/api"
        } else {
            "/apis"
        };
        let api_version = self.api_version();
        match namespace {
            Some(namespace) => format!(
                "{root}/{api_version}/namespaces/{namespace}/{}",
                self.plural
            ),
            None => format!("{root}/{api_version}/{}", self.plural),
        }
    }
}

/// A place in the history of a collection. Comparable within one kind only (KEP-5504).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceVersion(u128);

impl ResourceVersion {
    /// The first place that there can be.
    pub const FIRST: Self = Self(1);

    /// The place just before this one.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The place half way between this one and a later one, nearer to this one.
    #[must_use]
    pub fn middle(self, later: Self) -> Self {
        Self(self.0 + later.0.saturating_sub(self.0) / 2)
    }

    /// The place so many places later.
    #[must_use]
    pub fn after(self, places: u128) -> Self {
        Self(self.0.saturating_add(places))
    }

    /// How many places later `later` is.
    pub fn distance(self, later: Self) -> u128 {
        later.0.saturating_sub(self.0)
    }

    /// As a number for a metric; exact up to 2^63.
    pub fn as_metric(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

/// A resourceVersion that is not a plain positive number.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("resourceVersion {0:?} is not a positive number without leading zeros")]
pub struct BadResourceVersion(String);

impl FromStr for ResourceVersion {
    type Err = BadResourceVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        let number = if plain { text.parse().ok() } else { None };
        number
            .map(Self)
            .ok_or_else(|| BadResourceVersion(text.to_owned()))
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A generation of one object, and a place in the history of its kind at which the object had it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// `metadata.generation`; 0 stands for an object that does not exist yet.
    pub generation: i64,
    /// The place.
    pub at: ResourceVersion,
}

/// An operation on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// It exists, and was not known to this watch before.
    Added,
    /// It was written.
    Modified,
    /// It is gone; the change carries its last state.
    Deleted,
}

/// One state of one object, in the order of its kind.
#[derive(Clone, Debug)]
pub struct Change {
    /// The kind it was read as.
    pub resource: Arc<Resource>,
    /// metadata.uid.
    pub uid: Uuid,
    /// metadata.name.
    pub name: String,
    /// metadata.namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// metadata.generation.
    pub generation: i64,
    /// metadata.resourceVersion.
    pub resource_version: ResourceVersion,
    /// metadata.creationTimestamp.
    pub created: Option<DateTime<Utc>>,
    /// How it was seen.
    pub seen: Observed,
    /// The operation that led to this state.
    pub op: Op,
    /// The object, as served.
    pub raw: Box<RawValue>,
    /// The last place at which the object was not there yet, where its creation was not seen.
    pub absent_at: Option<ResourceVersion>,
}

impl Change {
    /// The generation, and the resourceVersion at which it was seen.
    pub fn version(&self) -> Version {
        Version {
            generation: self.generation,
            at: self.resource_version,
        }
    }
}

/// Up to where everything of one kind is durably recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Nothing at or below this place is still on its way.
    pub through: ResourceVersion,
    /// When that place was the newest.
    pub time: DateTime<Utc>,
}

/// The newest Revision of one workload, as far as the next decision needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// metadata.namespace of the workload, and of its Revisions.
    pub namespace: String,
    /// metadata.name of the workload.
    pub name: String,
    /// metadata.name of the Revision.
    pub revision: String,
    /// Its generation; of a Gap, the last it stands for.
    pub generation: i64,
    /// Where that generation was seen.
    pub resource_version: ResourceVersion,
    /// The apiVersion in which it was seen.
    pub api_version: String,
    /// Whether it is known to have been deleted.
    pub deleted: bool,
    /// Whether nothing but lost generations is recorded.
    pub only_gap: bool,
    /// Later generations that are known to have changed nothing.
    pub observed_through: Option<ObservedThrough>,
    /// Digest of its spec; none for a Gap.
    pub digest: Option<ContentDigest>,
    /// Its snapshot, decoded from base64 but still compressed; none when oversize or a Gap.
    pub snapshot: Option<Arc<[u8]>>,
    /// The generations that are recorded, each with the beginning of the digest of its normal form.
    pub normals: Vec<(i64, NormalKey)>,
}

/// A head that is not stored any more.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovedHead {
    /// The head, without its snapshot.
    pub head: Head,
    /// The Revision that it named as the one before it. The digest is empty where it is not known any more.
    pub previous: Option<Previous>,
}

impl Head {
    /// The head of a workload whose newest Revision is `revision`, with the snapshot where it is kept.
    pub fn of(revision: &Revision, keep_snapshot: bool) -> Self {
        let spec = &revision.spec;
        let stored = spec.snapshot.as_ref().filter(|_| keep_snapshot);
        let status = revision.status.as_ref();
        Self {
            namespace: revision.metadata.namespace.clone().unwrap_or_default(),
            name: spec.workload.name.clone(),
            revision: revision.metadata.name.clone().unwrap_or_default(),
            generation: spec.gap.as_ref().map_or(spec.generation, |gap| gap.to),
            // Written by Revisor; anything else would be walked back to the beginning, which is safe.
            resource_version: spec.resource_version.parse().unwrap_or_default(),
            api_version: spec.workload.api_version.clone(),
            deleted: status.is_some_and(|status| status.workload_deletion_time.is_some()),
            only_gap: spec.gap.as_ref().is_some_and(|gap| gap.from == 1),
            observed_through: status.and_then(|status| status.observed_through.clone()),
            digest: spec
                .content_digest
                .as_deref()
                .and_then(ContentDigest::parse),
            // A damaged snapshot is as good as none: the next change is recorded without a list of changes.
            snapshot: stored.and_then(|stored| snapshot::compressed(stored).ok().flatten()),
            normals: Vec::new(),
        }
    }

    /// Its own generation, and where that was seen.
    pub fn own(&self) -> Version {
        Version {
            generation: self.generation,
            at: self.resource_version,
        }
    }

    /// The last generation of the workload that is accounted for, and where it was seen: the Revision's own, or a later
    /// one that is known to have changed nothing.
    pub fn last(&self) -> Version {
        let own = self.own();
        let through = self.observed_through.as_ref().and_then(|through| {
            let generation = through.generation;
            let at = through.resource_version.parse().ok()?;
            (generation > own.generation).then_some(Version { generation, at })
        });
        through.unwrap_or(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_versions_order_as_numbers() {
        let rv = |text: &str| text.parse::<ResourceVersion>();
        assert!(rv("9").expect("number") < rv("10").expect("number"));
        assert_eq!(rv("10").expect("number").before(), rv("9").expect("number"));
        for bad in [
            "",
            "0",
            "01",
            "-1",
            "+1",
            "1a",
            " 1",
            "340282366920938463463374607431768211456",
        ] {
            assert_eq!(rv(bad), Err(BadResourceVersion(bad.to_owned())));
        }
    }

    #[test]
    fn paths_follow_the_api() {
        let resource = |group: &str| Resource {
            group: group.into(),
            version: "v1".into(),
            kind: "Thing".into(),
            plural: "things".into(),
        };
        assert_eq!(resource("a.b").path(None), "/apis/a.b/v1/things");
        assert_eq!(
            resource("a.b").path(Some("n")),
            "/apis/a.b/v1/namespaces/n/things"
        );
        assert_eq!(resource("").path(Some("n")), "/api/v1/namespaces/n/things");
    }
}
