//! The last known state of a workload. Pure.

use super::managed::Fingerprint;
use crate::revision::identity::{self, ContentDigest};
use crate::snapshot::{Packed, unpack};
use crate::watch::Recorded;
use crate::workload::{Change, Head, ResourceVersion};
use std::sync::Arc;
use uuid::Uuid;

/// The last known state of a workload.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The last generation that was seen, whatever became of it, and where.
    pub(super) generation: i64,
    pub(super) at: ResourceVersion,
    /// Whether this process has seen it, not only what an earlier one recorded.
    pub(super) seen: bool,
    /// The newest Revision: its name.
    pub(super) revision: String,
    /// Whether nothing but lost generations is recorded.
    pub(super) only_gap: bool,
    /// The first of the generations that were seen while the workload was not selected.
    pub(super) deselected: Option<i64>,
    pub(super) content: Content,
    pub(super) fingerprints: Vec<Fingerprint>,
}

/// What a spec was, and as which version of the kind and by which list it was told.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) generation: i64,
    pub(super) digest: Option<ContentDigest>,
    pub(super) snapshot: Option<Arc<[u8]>>,
    api_version: String,
    list: u32,
}

impl Content {
    pub(super) fn of(change: &Change, packed: &Packed, list: u32) -> Self {
        Self {
            generation: change.generation,
            digest: Some(packed.digest),
            snapshot: Some(packed.gzip.clone()),
            api_version: change.resource.api_version(),
            list,
        }
    }

    /// The canonical JSON.
    pub(super) fn text(&self) -> Option<String> {
        self.snapshot.as_ref().and_then(|gzip| unpack(gzip).ok())
    }

    pub(super) fn is_of(&self, api_version: &str) -> bool {
        self.api_version == api_version
    }
}

impl Tracked {
    /// What is known of a workload that was recorded by an earlier process.
    pub(super) fn recorded(head: Head) -> Self {
        let through = head
            .observed_through
            .filter(|through| through.generation > head.generation);
        let place = through.and_then(|t| Some((t.generation, t.resource_version.parse().ok()?)));
        let (generation, at) = place.unwrap_or((head.generation, head.resource_version));
        let content = Content {
            generation: head.generation,
            digest: head.digest,
            snapshot: head.snapshot,
            api_version: head.api_version,
            list: 0,
        };
        let Head {
            namespace,
            name,
            revision,
            only_gap,
            ..
        } = head;
        Self {
            namespace,
            name,
            generation,
            at,
            seen: false,
            revision,
            only_gap,
            deselected: None,
            content,
            fingerprints: Vec::new(),
        }
    }

    /// What is known of a workload that is seen for the first time.
    pub(super) fn new(change: &Change, packed: &Packed, list: u32) -> Self {
        Self {
            namespace: change.namespace.clone(),
            name: change.name.clone(),
            generation: change.generation,
            at: change.resource_version,
            seen: true,
            revision: identity::name(&change.name, change.uid, change.generation),
            only_gap: false,
            deselected: None,
            content: Content::of(change, packed, list),
            fingerprints: Vec::new(),
        }
    }

    /// Whether the content of the last generation is known as `api_version` shows it since the list of that number. A
    /// definition may have changed before it, and with it the content of every generation.
    pub(super) fn is_current(&self, api_version: &str, list: u32) -> bool {
        let Content {
            generation,
            list: told,
            ..
        } = self.content;
        generation == self.generation && told == list && self.content.is_of(api_version)
    }

    pub(super) fn as_recorded(&self, uid: Uuid) -> Recorded {
        let Self {
            namespace,
            name,
            generation,
            at,
            ..
        } = self;
        Recorded {
            uid,
            namespace: namespace.clone(),
            name: name.clone(),
            generation: *generation,
            at: *at,
        }
    }
}
