//! The last recorded state of a workload. Pure.

use super::managed::Fingerprint;
use crate::revision::Previous;
use crate::revision::identity::{self, ContentDigest};
use crate::snapshot::{Packed, unpack};
use crate::view::normal::NewestSame;
use crate::watch::Lost;
use crate::workload::{Change, Head, Version};
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// The last recorded state of a workload.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) namespace: String,
    /// When it was created, once a state of it was seen.
    pub(super) created: Option<DateTime<Utc>>,
    /// The last generation that the watch has shown, whatever became of it, and where.
    pub(super) last: Version,
    /// Up to which generation its Revision says that nothing changed.
    pub(super) claimed: i64,
    /// The name of the newest Revision.
    pub(super) revision: String,
    /// Whether nothing but lost generations is recorded.
    pub(super) only_gap: bool,
    /// The Revision that the next one names as the one before it.
    pub(super) predecessor: Option<Predecessor>,
    pub(super) content: Content,
    pub(super) fingerprints: Vec<Fingerprint>,
    /// Which generations hold the same.
    pub(super) same: NewestSame,
}

/// The newest Revision of a workload, unless generations that were lost or not selected came after it. The known content
/// may be of a later generation that changed nothing, and have another digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Predecessor {
    generation: i64,
    digest: ContentDigest,
}

impl Predecessor {
    /// The Revision of a generation with this content.
    pub(super) fn of(generation: i64, digest: ContentDigest) -> Self {
        Self { generation, digest }
    }

    /// Itself where it is older than `generation`.
    pub(super) fn older_than(self, generation: i64) -> Option<Self> {
        (self.generation < generation).then_some(self)
    }

    /// As the next Revision names it.
    pub(super) fn named(self) -> Previous {
        Previous {
            generation: self.generation,
            digest: self.digest.to_string(),
        }
    }
}

/// The content of a generation, and the version of the kind in which it was shown.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) generation: i64,
    pub(super) digest: Option<ContentDigest>,
    pub(super) snapshot: Option<Arc<[u8]>>,
    api_version: String,
}

impl Content {
    pub(super) fn of(change: &Change, packed: &Packed) -> Self {
        Self {
            generation: change.generation,
            digest: Some(packed.digest),
            snapshot: Some(packed.gzip.clone()),
            api_version: change.resource.api_version(),
        }
    }

    /// The canonical JSON.
    pub(super) fn text(&self) -> Option<String> {
        self.snapshot.as_ref().and_then(|gzip| unpack(gzip).ok())
    }

    /// The version of the kind; none when the content is not known.
    pub(super) fn api_version(&self) -> Option<String> {
        (!self.api_version.is_empty()).then(|| self.api_version.clone())
    }

    pub(super) fn is_of(&self, api_version: &str) -> bool {
        self.api_version == api_version
    }
}

impl Tracked {
    /// A workload that was recorded by an earlier process.
    pub(super) fn recorded(head: Head) -> Self {
        let (last, claimed) = (head.own(), head.last().generation);
        let predecessor = head.digest.map(|digest| Predecessor {
            generation: head.generation,
            digest,
        });
        let content = Content {
            generation: head.generation,
            digest: head.digest,
            snapshot: head.snapshot,
            api_version: head.api_version,
        };
        Self {
            same: head.normals.into_iter().collect(),
            namespace: head.namespace,
            created: None,
            last,
            claimed,
            revision: head.revision,
            only_gap: head.only_gap,
            predecessor,
            content,
            fingerprints: Vec::new(),
        }
    }

    /// A workload in a state that was just decided.
    pub(super) fn decided(change: &Change, packed: &Packed) -> Self {
        Self {
            namespace: change.namespace.clone(),
            created: change.created,
            last: change.version(),
            claimed: 0,
            revision: identity::name(&change.name, change.uid, change.generation),
            only_gap: false,
            predecessor: Some(Predecessor {
                generation: change.generation,
                digest: packed.digest,
            }),
            content: Content::of(change, packed),
            fingerprints: Vec::new(),
            same: NewestSame::default(),
        }
    }

    /// A workload whose newest Revision is the Gap named `revision`.
    pub(super) fn closed(lost: &Lost, revision: String, only_gap: bool) -> Self {
        Self {
            namespace: lost.namespace.clone(),
            created: None,
            last: Version {
                generation: *lost.generations.end(),
                at: lost.at,
            },
            claimed: 0,
            revision,
            only_gap,
            predecessor: None,
            content: Content::default(),
            fingerprints: Vec::new(),
            same: NewestSame::default(),
        }
    }

    /// A list shows this generation: a claim about later ones is forged.
    pub(super) fn weigh(&mut self, listed: i64) {
        if self.claimed > listed {
            self.claimed = 0;
        }
    }

    /// The watch has shown this state, which made no Revision.
    pub(super) fn saw(&mut self, shown: Version) {
        if shown.generation > self.last.generation {
            self.last = shown;
        } else if shown.generation == self.last.generation {
            self.last.at = self.last.at.max(shown.at);
        }
    }
}
