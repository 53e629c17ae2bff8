//! The head of a workload, from which its recorder goes on at the start: made from the newest Revision. Pure.

use crate::revision::Revision;
use crate::revision::identity::ContentDigest;
use crate::snapshot;
use crate::workload::Head;

/// The newest generation that a Revision or a Gap stands for.
pub(super) fn last_generation(revision: &Revision) -> i64 {
    revision
        .spec
        .gap
        .as_ref()
        .map_or(revision.spec.generation, |gap| gap.to)
}

/// The head of a workload whose newest Revision is `revision`.
pub(super) fn head(revision: &Revision, generation: i64, keep_snapshot: bool) -> Head {
    let spec = &revision.spec;
    let stored = spec.snapshot.as_ref().filter(|_| keep_snapshot);
    let status = revision.status.as_ref();
    Head {
        namespace: revision.metadata.namespace.clone().unwrap_or_default(),
        name: spec.workload.name.clone(),
        revision: revision.metadata.name.clone().unwrap_or_default(),
        generation,
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
    }
}
